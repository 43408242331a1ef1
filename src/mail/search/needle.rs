//! What is looked for in texts, compared as the client wants.

use std::ops::ControlFlow;

use memchr::memmem::{self, Finder};

use super::text::See;
use crate::mail::{
    Collation,
    casemap::casemap,
    converted::{Converted, Form},
};

/// A text to be found.
#[derive(Clone, Debug)]
pub struct Needle {
    collation: Collation,
    text: String,
    finder: Finder<'static>,
    /// As it was written, for what is compared by its octets.
    written: Box<str>,
    /// Its number among those that are looked up in the index.
    pub(super) probe: Option<usize>,
}

impl Needle {
    /// Prepares a text to be looked for.
    pub fn new(text: &str, collation: Collation) -> Self {
        let written = text.into();
        let text = collation.prepare(text).into_owned();
        let finder = Finder::new(text.as_bytes()).into_owned();
        Self { collation, text, finder, written, probe: None }
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
    pub fn is_in(&self, Converted { text, form }: &Converted) -> bool {
        match form {
            Form::Text => self.finder.find(self.collation.prepare(text).as_bytes()).is_some(),
            Form::Octets => memmem::find(text.as_bytes(), self.written.as_bytes()).is_some(),
        }
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
    fn see(&mut self, piece: &str, form: Form, last: bool) -> ControlFlow<()> {
        let Needle { collation, finder, written, .. } = self.needle;
        let (piece, finder) = match form {
            Form::Text => (collation.prepare(piece), finder.as_ref()),
            Form::Octets => (piece.into(), Finder::new(written.as_bytes())),
        };
        let (piece, overlap) = (piece.as_bytes(), finder.needle().len().saturating_sub(1));
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

    fn is_in(needle: &Needle, text: &str) -> bool {
        needle.is_in(&Converted { text: text.to_owned(), form: Form::Text })
    }

    #[test]
    fn what_cannot_be_converted_is_compared_by_its_octets() {
        let needle = Needle::new("Gr\u{fc}\u{df}e", Collation::default());
        for (octets, found) in [
            (&b"\xff Gr\xc3\xbc\xc3\x9fe"[..], true),
            (b"\xff GR\xc3\xbc\xc3\x9fe", false),
            (b"\xc3Gr\xc3\xbc\xc3\x9fe\xc3", true),
            (b"Gr\xfc\xdfe", false),
        ] {
            assert_eq!(needle.is_in(&Converted::of(b"utf-8", octets)), found, "{octets:?}");
        }
        assert!(needle.is_in(&Converted::of(b"iso-8859-1", b"GR\xdc\xdfE")));
        let mut seeker = Seeker::new(&needle);
        assert!(seeker.see("xGr\u{fc}", Form::Octets, false).is_continue());
        assert!(seeker.see("\u{df}e", Form::Octets, true).is_break());
    }

    #[test]
    fn case_and_composition_do_not_matter() {
        let new = |text| Needle::new(text, Collation::UnicodeCasemap);
        assert!(is_in(&new("GRÜSSE"), "Viele gru\u{308}sse"));
        assert!(is_in(&new("σας"), "ΣΑΣ"));
        assert!(is_in(&new(""), ""));
        assert!(!is_in(&new("a"), ""));
    }

    /// Are they in a text that comes in pieces of so many letters?
    fn sought(needle: &Needle, text: &str, size: usize) -> bool {
        let mut seeker = Seeker::new(needle);
        let letters: Vec<char> = text.chars().collect();
        let pieces: Vec<String> =
            letters.chunks(size).map(|piece| piece.iter().collect()).collect();
        for (place, piece) in pieces.iter().enumerate() {
            if seeker.see(piece, Form::Text, place + 1 == pieces.len()).is_break() {
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
        assert!(seeker.see("xa", Form::Text, true).is_continue());
        assert!(seeker.see("bx", Form::Text, true).is_continue());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(text in "[ab]{0,40}", needle in "[ab]{1,9}", size in 1usize..12) {
            let needle = Needle::new(&needle, Collation::Octet);
            prop_assert_eq!(sought(&needle, &text, size), is_in(&needle, &text));
        }
    }

    #[test]
    fn they_matter_as_the_client_wants() {
        let ascii = |text| Needle::new(text, Collation::AsciiCasemap);
        assert!(is_in(&ascii("viele GRü"), "Viele Grüße") && !is_in(&ascii("GRÜ"), "Grüße"));
        let octet = |text| Needle::new(text, Collation::Octet);
        assert!(is_in(&octet("Grü"), "Viele Grüße") && !is_in(&octet("grü"), "Grüße"));
        assert_eq!(octet("Mail").indexed().as_deref(), Some("MAIL"));
        assert_eq!(octet("Grü").indexed(), None);
    }
}
