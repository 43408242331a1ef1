//! Patterns of LIST and LSUB: `*` is anything, `%` anything within one level (RFC 9051 §6.3.9).

use crate::mail::{casemap::nfc, name::SEPARATOR};

/// A reference and a pattern, joined, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// The pattern as it is meant under this reference, composed as names are. INBOX matches in any
    /// case.
    pub fn new(reference: &str, pattern: &str) -> Self {
        let mut joined: Vec<char> = Vec::new();
        for char in nfc(&format!("{reference}{pattern}")).chars() {
            match (joined.last(), char) {
                // Next to `*` nothing else that is wild means anything.
                (Some('*'), '*' | '%') | (Some('%'), '%') => continue,
                (Some('%'), '*') => {
                    joined.pop();
                }
                _ => {}
            }
            joined.push(char);
        }
        let first = joined.split(|char| *char == SEPARATOR).next().unwrap_or_default();
        let inbox = "INBOX".chars();
        if first.len() == 5
            && first.iter().zip(inbox.clone()).all(|(a, b)| a.eq_ignore_ascii_case(&b))
        {
            joined.splice(..5, inbox);
        }
        Self(joined)
    }

    /// Are levels above mailboxes meant too, where nothing else is (RFC 9051 §6.3.9)?
    pub fn asks_for_levels(&self) -> bool {
        self.0.last() == Some(&'%')
    }

    /// Does a mailbox of this name match?
    ///
    /// Walks the pattern once, with the set of all places in the name that it may have reached.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let plain = self.0.iter().filter(|char| !matches!(char, '*' | '%')).count();
        if plain > name.len() {
            return false;
        }
        let mut reached = vec![false; name.len() + 1];
        if let Some(start) = reached.first_mut() {
            *start = true;
        }
        for wanted in &self.0 {
            let mut before = false;
            let chars = std::iter::once(None).chain(name.iter().map(Some));
            for (here, char) in reached.iter_mut().zip(chars) {
                let was = *here;
                *here = match (wanted, char) {
                    ('*', _) => was || before,
                    ('%', Some(char)) => was || before && *char != SEPARATOR,
                    ('%', None) => was,
                    (wanted, char) => before && char == Some(wanted),
                };
                before = if matches!(wanted, '*' | '%') { *here } else { was };
            }
            if !reached.contains(&true) {
                return false;
            }
        }
        reached.last() == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new("", pattern).matches(name)
    }

    #[test]
    fn percent_stays_in_its_level_and_star_does_not() {
        assert!(matches("%", "INBOX") && !matches("%", "a/b"));
        assert!(matches("*", "a/b") && matches("", "") && !matches("", "a"));
        assert!(matches("a/%", "a/b") && !matches("a/%", "a/b/c") && !matches("a/%", "a"));
        assert!(matches("%/b%", "a/bc") && matches("*b", "a/b") && !matches("*b", "a/bc"));
        assert!(matches("%*%", "a/b/c") && matches("x%/a%b", "x/ab"));
        assert!(!matches("x%/a%b", "x/a/ab"));
    }

    #[test]
    fn composition_does_not_matter() {
        assert!(matches("e\u{301}%", "\u{e9}t\u{e9}"));
    }

    #[test]
    fn inbox_is_matched_in_any_case_and_other_names_are_not() {
        assert!(matches("inbox", "INBOX") && matches("iNbOx/%", "INBOX/a"));
        assert!(!matches("archive", "Archive"));
        assert!(Pattern::new("INBOX/", "%").matches("INBOX/a"));
    }

    /// What the matcher means, said as slowly and plainly as possible.
    fn slow(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some(('*', rest)), next) => {
                slow(rest, name) || next.is_some_and(|(_, name)| slow(pattern, name))
            }
            (Some(('%', rest)), next) => {
                slow(rest, name) || next.is_some_and(|(c, name)| *c != '/' && slow(pattern, name))
            }
            (Some((wanted, rest)), Some((char, name))) => wanted == char && slow(rest, name),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_plain_words_say(pattern in "[ab/%*]{0,6}", name in "[ab/]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &name), slow(&chars(&pattern), &chars(&name)));
        }
    }
}
