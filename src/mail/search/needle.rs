//! What is looked for in texts, compared by `i;unicode-casemap` (RFC 5051).

use memchr::memmem::Finder;

use crate::mail::casemap::casemap;

/// A text to be found.
#[derive(Clone, Debug)]
pub struct Needle {
    text: String,
    finder: Finder<'static>,
    /// Its number among those that are looked up in the index.
    pub(super) probe: Option<usize>,
}

impl Needle {
    /// Prepares a text to be looked for.
    pub fn new(text: &str) -> Self {
        let text = casemap(text);
        Self { finder: Finder::new(text.as_bytes()).into_owned(), text, probe: None }
    }

    /// As it is compared.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Is there nothing to look for? Then every text contains it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Does this text contain it?
    pub fn is_in(&self, text: &str) -> bool {
        self.finder.find(casemap(text).as_bytes()).is_some()
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Needle {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_do_not_matter() {
        assert!(Needle::new("GRÜSSE").is_in("Viele gru\u{308}sse"));
        assert!(Needle::new("σας").is_in("ΣΑΣ"));
        assert!(Needle::new("").is_in(""));
        assert!(!Needle::new("a").is_in(""));
    }
}
