//! What is looked for in texts, compared as the client wants.

use memchr::memmem::Finder;

use crate::mail::{Collation, casemap::casemap};

/// A text to be found.
#[derive(Clone, Debug)]
pub struct Needle {
    collation: Collation,
    text: String,
    finder: Finder<'static>,
    /// Its number among those that are looked up in the index.
    pub(super) probe: Option<usize>,
}

impl Needle {
    /// Prepares a text to be looked for.
    pub fn new(text: &str, collation: Collation) -> Self {
        let text = collation.prepare(text).into_owned();
        let finder = Finder::new(text.as_bytes()).into_owned();
        Self { collation, text, finder, probe: None }
    }

    /// As it is found in the index, which compares by `i;unicode-casemap`; None when that could miss
    /// it.
    pub(super) fn indexed(&self) -> Option<String> {
        self.collation.is_finer_for(&self.text).then(|| match self.collation {
            Collation::UnicodeCasemap => self.text.clone(),
            Collation::AsciiCasemap | Collation::Octet => casemap(&self.text),
        })
    }

    /// Is there nothing to look for? Then every text contains it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Does this text contain it?
    pub fn is_in(&self, text: &str) -> bool {
        self.finder.find(self.collation.prepare(text).as_bytes()).is_some()
    }
}

impl PartialEq for Needle {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.collation == other.collation
    }
}

impl Eq for Needle {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_do_not_matter() {
        let new = |text| Needle::new(text, Collation::UnicodeCasemap);
        assert!(new("GRÜSSE").is_in("Viele gru\u{308}sse"));
        assert!(new("σας").is_in("ΣΑΣ"));
        assert!(new("").is_in(""));
        assert!(!new("a").is_in(""));
    }

    #[test]
    fn they_matter_as_the_client_wants() {
        let ascii = |text| Needle::new(text, Collation::AsciiCasemap);
        assert!(ascii("viele GRü").is_in("Viele Grüße") && !ascii("GRÜ").is_in("Grüße"));
        let octet = |text| Needle::new(text, Collation::Octet);
        assert!(octet("Grü").is_in("Viele Grüße") && !octet("grü").is_in("Grüße"));
        assert_eq!(octet("Mail").indexed().as_deref(), Some("MAIL"));
        assert_eq!(octet("Grü").indexed(), None);
    }
}
