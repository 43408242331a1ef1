//! Texts as they are compared: in UTF-8, or, where they are not what their character set says, by their
//! octets (RFC 5255 §4.6).
//!
//! What says nothing of its character set, or that it is US-ASCII, is UTF-8, or else windows-1252: a
//! guess, and no failure.

use encoding_rs::WINDOWS_1252;

use super::{Collation, charset::Charset};

/// Octets that are no UTF-8 stand as letters from here on, which nobody has a use for.
const STRAY: u32 = 0x10_ff00;
/// Begins a key that is compared by its octets.
const MARK: char = '\u{10fdff}';

/// How a text is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As the client wants it.
    #[default]
    Text,
    /// By its octets, for it could not be converted.
    Octets,
}

/// A text without its encodings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// As much of it as is UTF-8 stands as it is.
    pub text: String,
    /// How it is compared.
    pub form: Form,
}

/// How texts that are sorted come one before the other: those that are compared by octets at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sorted {
    /// Prepared for comparison.
    Text(String),
    /// Compared by octets.
    Octets(Vec<u8>),
}

impl Default for Sorted {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Converted {
    /// Octets of this character set.
    pub fn of(charset: &[u8], octets: &[u8]) -> Self {
        let mut converting = Converting::default();
        converting.push(charset, octets);
        converting.end()
    }

    /// Keeps it as a key by which messages are sorted, no longer than so many octets.
    pub fn into_key(self, most: usize) -> String {
        let mut key = self.text;
        if self.form == Form::Octets {
            key.insert(0, MARK);
        }
        key.truncate(key.floor_char_boundary(most));
        key
    }
}

impl Sorted {
    /// What a key says, which [`Converted::into_key`] made.
    pub(super) fn by(key: &[u8], collation: Collation) -> Self {
        let Ok(text) = str::from_utf8(key) else { return Self::Octets(key.to_vec()) };
        match text.strip_prefix(MARK) {
            Some(text) => Self::Octets(octets_of(text)),
            None => Self::Text(collation.prepare(text).into_owned()),
        }
    }

    /// Is there nothing?
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Octets(octets) => octets.is_empty(),
        }
    }
}

/// A text of several pieces, each in a character set of its own. If one of them can't be converted, none
/// is.
#[derive(Debug, Default)]
pub(super) struct Converting {
    text: String,
    octets: Vec<u8>,
    failed: bool,
}

impl Converting {
    /// A piece in this character set; it has none when that says nothing.
    pub(super) fn push(&mut self, charset: &[u8], octets: &[u8]) {
        match convert(charset, octets) {
            Some(text) => self.text.push_str(&text),
            None => self.failed = true,
        }
        self.octets.extend_from_slice(octets);
    }

    /// Is there nothing yet?
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Letters of our own.
    pub(super) fn push_ours(&mut self, text: &str) {
        self.text.push_str(text);
        self.octets.extend_from_slice(text.as_bytes());
    }

    /// All of it.
    pub(super) fn end(self) -> Converted {
        if self.failed {
            Converted { text: as_text(&self.octets), form: Form::Octets }
        } else {
            Converted { text: self.text, form: Form::Text }
        }
    }
}

/// Octets as text; None when they are none in this character set, or it is unknown.
fn convert(charset: &[u8], octets: &[u8]) -> Option<String> {
    match Charset::of(charset) {
        Charset::Unnamed => {
            let guessed = || WINDOWS_1252.decode_without_bom_handling(octets).0.into_owned();
            Some(str::from_utf8(octets).map_or_else(|_| guessed(), str::to_owned))
        }
        Charset::Plain => str::from_utf8(octets).ok().map(str::to_owned),
        Charset::Unknown => None,
        Charset::Wide(encoding) => {
            let (text, _, failed) = encoding.decode(octets);
            (!failed).then(|| text.into_owned())
        }
        Charset::Narrow(table) => Some(table(octets)),
    }
}

/// Octets as a text that holds another one where they hold its octets: nothing is put together of what
/// was not one letter before.
pub(super) fn as_text(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for chunk in octets.utf8_chunks() {
        text.push_str(chunk.valid());
        let strays = chunk.invalid().iter();
        text.extend(strays.filter_map(|octet| char::from_u32(STRAY + u32::from(*octet))));
    }
    text
}

fn octets_of(text: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for letter in text.chars() {
        match u32::from(letter).checked_sub(STRAY).and_then(|octet| u8::try_from(octet).ok()) {
            Some(octet) => octets.push(octet),
            None => octets.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(charset: &str, octets: &[u8]) -> Converted {
        Converted::of(charset.as_bytes(), octets)
    }

    #[test]
    fn what_its_character_set_does_not_allow_is_octets() {
        for (charset, octets) in [
            ("utf-8", &b"Gr\xc3\xbc\xdfe"[..]),
            ("x-unknown", b"abc"),
            ("shift_jis", b"\x93\xfa\x96"),
            ("euc-kr", b"\xff\xff"),
        ] {
            let converted = of(charset, octets);
            assert_eq!(converted.form, Form::Octets, "{charset}");
            assert_eq!(octets_of(&converted.text), octets, "{charset}");
        }
        for (charset, octets, text) in [
            ("", &b"Gr\xfc\xdfe"[..], "Gr\u{fc}\u{df}e"),
            ("", "Gr\u{fc}\u{df}e".as_bytes(), "Gr\u{fc}\u{df}e"),
            ("US-ASCII", b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            ("us-ascii", "Gr\u{fc}\u{df}e".as_bytes(), "Gr\u{fc}\u{df}e"),
            ("iso-8859-1", b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            ("KOI8-R", b"\xe1\xcc", "\u{410}\u{43b}"),
        ] {
            let text = Converted { text: text.to_owned(), form: Form::Text };
            assert_eq!(of(charset, octets), text, "{charset}");
        }
    }

    /// RFC 5255 §4.6
    #[test]
    fn strings_that_cannot_be_converted_stand_behind_the_others() {
        let strings: [(&str, &[u8]); 4] = [
            ("UTF-8", b"\xd0\xc0\xd0\xbd\xd0\xb4\xd1\x80\xd0\xb5\xd0\xb9"),
            ("UTF-8", b"\xd1\x81\xd0\x95\xd0\xa0\xd0\x93\xd0\x95\xd0\x99"),
            ("UTF-8", b"\xd0\x92\xd0\xb0\xd1\x81\xd0\xb8\xd0\xbb\xd0\xb8\xd0\xb9\xff\xb9"),
            ("KOI8-R", b"\xe1\xcc\xc5\xcb\xd3\xc5\xca"),
        ];
        let mut sorted: Vec<_> = strings
            .iter()
            .zip(1..)
            .map(|((charset, octets), number)| {
                let key = of(charset, octets).into_key(100);
                (Sorted::by(key.as_bytes(), Collation::UnicodeCasemap), number)
            })
            .collect();
        sorted.sort();
        let numbers: Vec<i32> = sorted.into_iter().map(|(_, number)| number).collect();
        assert_eq!(numbers, [4, 2, 3, 1]);
    }

    proptest! {
        #[test]
        fn octets_come_back_and_hold_what_they_held(
            before in proptest::collection::vec(any::<u8>(), 0..6),
            needle in "[a\u{fc}\u{20ac}\u{1f600}]{1,3}",
            behind in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let octets = [&before, needle.as_bytes(), &behind].concat();
            let text = as_text(&octets);
            prop_assert!(text.contains(&needle));
            prop_assert_eq!(octets_of(&text), octets);
        }
    }
}
