//! Octets of a named character set to text, piece by piece: for texts too long to be held whole.

use encoding_rs::{Decoder, Encoding, UTF_8, WINDOWS_1252};
use mail_parser::decoders::charsets::{DecoderFnc, map::charset_decoder};

use super::converted::as_text;

/// More octets than this are not held back for the sake of a place where a text may be parted.
const HELD_MAX: usize = 64 << 10;

/// How the octets of a text are to be understood. What [`text_in`](super::words::text_in) does with
/// all of them at once, [`TextDecoder`] does in pieces.
pub(super) enum Charset {
    /// None is named, or US-ASCII, which is meant where none is: UTF-8 if all octets are, else
    /// windows-1252.
    Unnamed,
    /// UTF-8. What is something else is shown as if nothing were named.
    Plain,
    /// One that nobody knows; shown as if nothing were named.
    Unknown,
    /// One with letters of several octets, or with states.
    Wide(&'static Encoding),
    /// One whose letters are octets; or UTF-7, which may be parted behind what is no base64.
    Narrow(DecoderFnc),
}

impl Charset {
    /// The character set of that name, in whatever case.
    pub(super) fn of(name: &[u8]) -> Self {
        let lower = name.to_ascii_lowercase();
        match lower.as_slice() {
            b"" | b"us-ascii" => return Self::Unnamed,
            b"utf-8" => return Self::Plain,
            _ => {}
        }
        let Some(table) = charset_decoder(name) else { return Self::Unknown };
        let label = match lower.as_slice() {
            b"csutf16" | b"csutf16le" => b"utf-16le".as_slice(),
            b"csutf16be" => b"utf-16be",
            label => label,
        };
        let wide = |label: &[u8]| Encoding::for_label(label).filter(|wide| !wide.is_single_byte());
        let dashes = || label.iter().map(|octet| if *octet == b'_' { b'-' } else { *octet });
        let known = wide(label).or_else(|| wide(&dashes().collect::<Vec<u8>>()));
        known.map_or(Self::Narrow(table), Self::Wide)
    }
}

/// Tells whether octets that come in pieces are UTF-8.
#[derive(Default)]
pub(super) struct Utf8Check {
    /// The beginning of a letter.
    held: Vec<u8>,
    failed: bool,
}

impl Utf8Check {
    /// The next octets; false when it is certain that it is something else.
    pub(super) fn feed(&mut self, octets: &[u8]) -> bool {
        if self.failed {
            return false;
        }
        let joined;
        let octets = if self.held.is_empty() {
            octets
        } else {
            joined = [self.held.as_slice(), octets].concat();
            &joined
        };
        let held = match std::str::from_utf8(octets) {
            Ok(_) => Vec::new(),
            Err(error) if error.error_len().is_none() => {
                octets.get(error.valid_up_to()..).unwrap_or_default().to_vec()
            }
            Err(_) => {
                self.failed = true;
                Vec::new()
            }
        };
        self.held = held;
        !self.failed
    }

    /// The octets are complete: are they UTF-8?
    pub(super) fn finish(self) -> bool {
        !self.failed && self.held.is_empty()
    }
}

/// Tells whether octets that come in pieces are of a character set.
pub(super) enum Check {
    Utf8(Utf8Check),
    Wide {
        decoder: Decoder,
        scratch: String,
        failed: bool,
    },
    /// Whatever they are.
    Any,
    /// None are.
    Never,
}

impl Check {
    /// For octets of this character set; what names none is UTF-8 or not.
    pub(super) fn new(charset: &Charset) -> Self {
        match charset {
            Charset::Unnamed | Charset::Plain => Self::Utf8(Utf8Check::default()),
            Charset::Unknown => Self::Never,
            Charset::Wide(encoding) => {
                let (decoder, scratch) = (encoding.new_decoder(), String::new());
                Self::Wide { decoder, scratch, failed: false }
            }
            Charset::Narrow(_) => Self::Any,
        }
    }

    /// The next octets, the `last` ones perhaps; false when it is certain that they are not.
    pub(super) fn feed(&mut self, octets: &[u8], last: bool) -> bool {
        match self {
            Self::Utf8(check) => check.feed(octets),
            Self::Wide { decoder, scratch, failed } => {
                let room = decoder.max_utf8_buffer_length(octets.len());
                scratch.clear();
                scratch.reserve(room.unwrap_or(octets.len()));
                *failed |= decoder.decode_to_string(octets, scratch, last).2;
                !*failed
            }
            Self::Any => true,
            Self::Never => false,
        }
    }

    /// The octets are complete: are they?
    pub(super) fn finish(self) -> bool {
        match self {
            Self::Utf8(check) => check.finish(),
            Self::Wide { failed, .. } => !failed,
            Self::Any => true,
            Self::Never => false,
        }
    }
}

/// Takes octets, gives text.
pub(super) enum TextDecoder {
    Wide(Decoder),
    Narrow {
        table: DecoderFnc,
        held: Vec<u8>,
    },
    /// What can't be converted (see [`as_text`]): the beginning of a letter is held.
    Octets {
        held: Vec<u8>,
    },
}

impl TextDecoder {
    /// For octets that can't be converted.
    pub(super) fn octets() -> Self {
        Self::Octets { held: Vec::new() }
    }

    /// For octets of this character set, which are UTF-8 or not.
    pub(super) fn new(charset: &Charset, is_utf8: bool) -> Self {
        match charset {
            Charset::Unnamed | Charset::Plain | Charset::Unknown if is_utf8 => {
                Self::Wide(UTF_8.new_decoder_without_bom_handling())
            }
            Charset::Unnamed | Charset::Plain | Charset::Unknown => {
                Self::Wide(WINDOWS_1252.new_decoder_without_bom_handling())
            }
            Charset::Wide(encoding) => Self::Wide(encoding.new_decoder()),
            Charset::Narrow(table) => Self::Narrow { table: *table, held: Vec::new() },
        }
    }

    /// Decodes the next octets and appends the text; `last` when no more follow.
    pub(super) fn feed(&mut self, octets: &[u8], last: bool, out: &mut String) {
        match self {
            Self::Wide(decoder) => {
                let room = decoder.max_utf8_buffer_length(octets.len());
                out.reserve(room.unwrap_or(octets.len()));
                let _ = decoder.decode_to_string(octets, out, last);
            }
            Self::Narrow { table, held } => {
                held.extend_from_slice(octets);
                let in_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || b"+/".contains(octet);
                let seam = held.iter().rposition(|octet| !in_base64(octet));
                let end = match seam {
                    _ if last || held.len() > HELD_MAX => held.len(),
                    Some(place) => place.saturating_add(1),
                    None => return,
                };
                let whole: Vec<u8> = held.drain(..end).collect();
                out.push_str(&table(&whole));
            }
            Self::Octets { held } => {
                held.extend_from_slice(octets);
                let rest = held.utf8_chunks().last().map_or(&[][..], |chunk| chunk.invalid());
                let begins = |rest: &[u8]| {
                    str::from_utf8(rest).is_err_and(|error| error.error_len().is_none())
                };
                let kept = if !last && begins(rest) { rest.len() } else { 0 };
                let rest = held.split_off(held.len().saturating_sub(kept));
                out.push_str(&as_text(held));
                *held = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::mail::{
        converted::{Converted, Form},
        words::text_in,
    };

    fn in_pieces(charset: &str, octets: &[u8], size: usize) -> String {
        let (name, mut check) = (Charset::of(charset.as_bytes()), Utf8Check::default());
        octets.chunks(size).all(|piece| check.feed(piece));
        let mut decoder = TextDecoder::new(&name, check.finish());
        let mut out = String::new();
        octets.chunks(size).for_each(|piece| decoder.feed(piece, false, &mut out));
        decoder.feed(b"", true, &mut out);
        out
    }

    #[test]
    fn letters_that_are_parted_come_out_whole() {
        for (charset, octets, text) in [
            ("utf-8", "Gr\u{fc}\u{df}e \u{1f600}".as_bytes(), "Gr\u{fc}\u{df}e \u{1f600}"),
            ("", b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            ("utf-8", b"Gr\xc3\xbc\xdf", "Gr\u{c3}\u{bc}\u{df}"),
            ("us-ascii", b"cut \xe2\x82", "cut \u{e2}\u{201a}"),
            ("x-unknown", "\u{e9}".as_bytes(), "\u{e9}"),
            ("iso-8859-1", b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            ("Shift_JIS", b"\x93\xfa\x96{", "\u{65e5}\u{672c}"),
            ("gb2312", b"\xc4\xe3\xba\xc3", "\u{4f60}\u{597d}"),
            ("iso-2022-jp", b"\x1b$BF|K\\\x1b(B.", "\u{65e5}\u{672c}."),
            ("UTF-16", b"\xfe\xff\x65\xe5\xd8\x3d\xde\x00", "\u{65e5}\u{1f600}"),
            ("csUTF16BE", b"\x65\xe5", "\u{65e5}"),
            ("utf-7", b"a +ZeVnLIqe- z +ACE-", "a \u{65e5}\u{672c}\u{8a9e} z !"),
        ] {
            for size in 1..=octets.len() {
                assert_eq!(in_pieces(charset, octets, size), text, "{charset} by {size}");
            }
            assert_eq!(text_in(charset.as_bytes(), octets), text, "{charset}");
        }
    }

    const NAMES: [&str; 12] = [
        "",
        "utf-8",
        "utf8",
        "us-ascii",
        "iso-8859-15",
        "windows-1251",
        "koi8-r",
        "big5",
        "euc-kr",
        "gb18030",
        "x-none",
        "macintosh",
    ];

    proptest! {
        #[test]
        fn octets_in_pieces_are_as_the_whole(
            octets in proptest::collection::vec(
                prop_oneof![select(&b"a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xff"[..]), any::<u8>()], 0..40),
            size in 1usize..6,
        ) {
            let (mut decoder, mut out) = (TextDecoder::octets(), String::new());
            octets.chunks(size).for_each(|piece| decoder.feed(piece, false, &mut out));
            decoder.feed(b"", true, &mut out);
            prop_assert_eq!(out, as_text(&octets));
        }

        #[test]
        fn a_check_says_what_converting_says(
            octets in proptest::collection::vec(
                prop_oneof![select(&b"aB \n\xc3\xa4\xe2\x82\xac\x80\xff\x1b"[..]), any::<u8>()], 0..40),
            charset in select(&NAMES[1..]),
            size in 1usize..9,
        ) {
            let mut check = Check::new(&Charset::of(charset.as_bytes()));
            let _ = octets.chunks(size).all(|piece| check.feed(piece, false)) && check.feed(b"", true);
            let whole = Converted::of(charset.as_bytes(), &octets);
            let is_guessed = charset == "us-ascii" && str::from_utf8(&octets).is_err();
            prop_assert_eq!(check.finish() || is_guessed, whole.form == Form::Text);
        }

        #[test]
        fn splits_make_no_difference(
            octets in proptest::collection::vec(
                prop_oneof![select(&b"aB +-\n\xc3\xa4\xe2\x82\xac\x80\xff"[..]), any::<u8>()], 0..60),
            charset in select(&NAMES[..]),
            size in 1usize..9,
        ) {
            let whole = text_in(charset.as_bytes(), &octets);
            prop_assert_eq!(in_pieces(charset, &octets, size), whole);
        }
    }
}
