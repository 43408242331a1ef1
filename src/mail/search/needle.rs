//! What is looked for in texts, compared as the client wants.

use std::ops::ControlFlow;

use memchr::memmem::Finder;

use super::text::See;
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

/// Looks for a needle in texts that come in pieces.
pub(super) struct Seeker<'n> {
    needle: &'n Needle,
    /// The end of what was seen of this text, in which the needle may have begun.
    tail: Vec<u8>,
    pub(super) found: bool,
}

impl<'n> Seeker<'n> {
    /// Has seen nothing yet.
    pub(super) fn new(needle: &'n Needle) -> Self {
        Self { needle, tail: Vec::new(), found: false }
    }
}

impl See for Seeker<'_> {
    fn see(&mut self, piece: &str, last: bool) -> ControlFlow<()> {
        let Needle { collation, text, finder, .. } = self.needle;
        let piece = collation.prepare(piece);
        let (piece, overlap) = (piece.as_bytes(), text.len().saturating_sub(1));
        let (ahead, behind) = piece.split_at_checked(overlap).unwrap_or((piece, b""));
        self.tail.extend_from_slice(ahead);
        self.found = finder.find(&self.tail).is_some() || finder.find(piece).is_some();
        if self.found {
            return ControlFlow::Break(());
        }
        if last {
            self.tail.clear();
        } else {
            self.tail.extend_from_slice(
                behind.get(behind.len().saturating_sub(overlap)..).unwrap_or(behind),
            );
            self.tail.drain(..self.tail.len().saturating_sub(overlap));
        }
        ControlFlow::Continue(())
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_composition_do_not_matter() {
        let new = |text| Needle::new(text, Collation::UnicodeCasemap);
        assert!(new("GRÜSSE").is_in("Viele gru\u{308}sse"));
        assert!(new("σας").is_in("ΣΑΣ"));
        assert!(new("").is_in(""));
        assert!(!new("a").is_in(""));
    }

    /// Are they in a text that comes in pieces of so many letters?
    fn sought(needle: &Needle, text: &str, size: usize) -> bool {
        let mut seeker = Seeker::new(needle);
        let letters: Vec<char> = text.chars().collect();
        let pieces: Vec<String> =
            letters.chunks(size).map(|piece| piece.iter().collect()).collect();
        for (place, piece) in pieces.iter().enumerate() {
            if seeker.see(piece, place + 1 == pieces.len()).is_break() {
                break;
            }
        }
        seeker.found
    }

    #[test]
    fn what_lies_across_pieces_is_found_and_what_lies_across_texts_is_not() {
        let text = "aabab Gr\u{fc}\u{df}e aab";
        for size in 1..=text.len() {
            for (needle, found) in
                [("bab gr", true), ("AABAB", true), ("aaba ", false), ("b", true)]
            {
                let needle = Needle::new(needle, Collation::default());
                assert_eq!(sought(&needle, text, size), found, "{needle:?} by {size}");
            }
        }
        let needle = Needle::new("ab", Collation::default());
        let mut seeker = Seeker::new(&needle);
        assert!(seeker.see("xa", true).is_continue() && seeker.see("bx", true).is_continue());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab]{0,40}", needle in "[ab]{1,9}", size in 1usize..12) {
            let needle = Needle::new(&needle, Collation::Octet);
            prop_assert_eq!(sought(&needle, &text, size), needle.is_in(&text));
        }
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
