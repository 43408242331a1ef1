//! Takes a transfer encoding off, piece by piece (RFC 2045 §6).
//!
//! Lenient: what cannot be part of the encoding is passed over (base64) or stays as it is
//! (quoted-printable). Only a base64 text that breaks off within an octet, or is mostly something else,
//! cannot be decoded. What a list has put behind the padding is no part of it.

use crate::{
    mail::{encoding::Encoding, words::hex},
    wire::work::looked_at,
};

/// Why a part's content cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UndecodableContent {
    /// IMAP answers `[UNKNOWN-CTE]` (RFC 3516 §4.3).
    #[error("unknown transfer encoding")]
    UnknownEncoding,
    /// The base64 text breaks off, or is none.
    #[error("damaged base64 text")]
    Damaged,
}

/// Blanks at the end of a quoted-printable line that are kept in mind; a longer run is content.
const BLANKS_MAX: usize = 1_000;

/// Takes encoded octets, gives content.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64(Base64),
    /// What may be the beginning of an escape, or blanks that may be the end of a line.
    QuotedPrintable {
        held: Vec<u8>,
    },
}

impl Decoder {
    /// A decoder for that encoding.
    pub fn new(encoding: Encoding) -> Result<Self, UndecodableContent> {
        match encoding {
            Encoding::Lines | Encoding::Binary => Ok(Self(State::Identity)),
            Encoding::Base64 => Ok(Self(State::Base64(Base64::default()))),
            Encoding::QuotedPrintable => Ok(Self(State::QuotedPrintable { held: Vec::new() })),
            Encoding::Unknown => Err(UndecodableContent::UnknownEncoding),
        }
    }

    /// Decodes the next octets and appends the content.
    pub fn feed(&mut self, encoded: &[u8], out: &mut Vec<u8>) {
        looked_at(encoded.len());
        match &mut self.0 {
            State::Identity => out.extend_from_slice(encoded),
            State::Base64(base64) => encoded.iter().for_each(|octet| base64.take(*octet, out)),
            State::QuotedPrintable { held } => {
                for octet in encoded {
                    quoted_printable(held, *octet, out);
                }
            }
        }
    }

    /// The encoded octets are complete.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), UndecodableContent> {
        match self.0 {
            State::Base64(base64) if base64.scan.is_damaged() => Err(UndecodableContent::Damaged),
            State::QuotedPrintable { held } if held.starts_with(b"=") => {
                // A `=` at the very end is a soft line break.
                if !matches!(held.trim_ascii_end(), b"=") {
                    out.extend_from_slice(&held);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Decodes as much as can be decoded; for an unknown encoding that is the text itself.
pub(in crate::mail) fn decode_all(encoding: Encoding, encoded: &[u8]) -> Vec<u8> {
    let Ok(mut decoder) = Decoder::new(encoding) else { return encoded.to_vec() };
    let mut out = Vec::with_capacity(encoded.len());
    decoder.feed(encoded, &mut out);
    // What a damaged end leaves is better than nothing.
    let _ = decoder.finish(&mut out);
    out
}

/// A base64 text that is decoded.
#[derive(Debug, Default)]
struct Base64 {
    scan: Base64Scan,
    /// What the letters say of which not all was given out.
    bits: u32,
}

impl Base64 {
    fn take(&mut self, octet: u8, out: &mut Vec<u8>) {
        let Seen::Letter(value) = self.scan.look(octet) else { return };
        self.bits = (self.bits << 6 | u32::from(value)) & 0xffff;
        let left = match self.scan.pending {
            1 => return,
            2 => 4,
            3 => 2,
            _ => 0,
        };
        let [low, ..] = (self.bits >> left).to_le_bytes();
        out.push(low);
    }
}

/// Tells what of octets is a base64 text.
#[derive(Debug, Default)]
pub(in crate::mail) struct Base64Scan {
    /// Octets of the alphabet, and others that are no blanks.
    letters: u64,
    others: u64,
    /// Letters of a group of four that is not complete.
    pending: u8,
    /// There was padding, as stands at the end of a text.
    padded: bool,
    /// What follows is something else.
    over: bool,
}

/// What an octet is in a base64 text.
pub(in crate::mail) enum Seen {
    /// A letter of this value.
    Letter(u8),
    Padding,
    Nothing,
}

impl Base64Scan {
    /// The next octet.
    pub(in crate::mail) fn look(&mut self, octet: u8) -> Seen {
        let value = match octet {
            _ if self.over => return Seen::Nothing,
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.letters > 0 => {
                // Another text may follow: its groups begin anew.
                if self.pending != 1 {
                    self.pending = 0;
                    self.padded = true;
                }
                return Seen::Padding;
            }
            _ => {
                let foreign = !octet.is_ascii_whitespace();
                self.over = foreign && self.padded && self.pending == 0;
                self.others = self.others.saturating_add(u64::from(foreign && !self.over));
                return Seen::Nothing;
            }
        };
        self.letters = self.letters.saturating_add(1);
        self.pending = (self.pending + 1) % 4;
        Seen::Letter(value)
    }

    /// All of it was seen: is it no whole text?
    fn is_damaged(&self) -> bool {
        self.pending == 1 && !self.padded || self.others > self.letters
    }
}

fn quoted_printable(held: &mut Vec<u8>, octet: u8, out: &mut Vec<u8>) {
    match (held.as_slice(), octet) {
        (b"", b'=' | b' ' | b'\t') => held.push(octet),
        (b"", _) => out.push(octet),
        // An escape, or a soft line break with blanks before its end.
        ([b'='], _) if hex(octet).is_some() => held.push(octet),
        ([b'='] | [b'=', .., b'\r' | b' ' | b'\t'], b'\n') => held.clear(),
        ([b'='] | [b'=', .., b' ' | b'\t'], b' ' | b'\t' | b'\r') if held.len() < BLANKS_MAX => {
            held.push(octet);
        }
        ([b'=', high], low) if let (Some(high), Some(low)) = (hex(*high), hex(low)) => {
            out.push(high << 4 | low);
            held.clear();
        }
        ([b'=', ..], _) => {
            out.append(held);
            quoted_printable(held, octet, out);
        }
        // Blanks: they fall away at the end of a line (RFC 2045 §6.7, rule 3).
        ([.., b'\r'], b'\n') => {
            held.clear();
            out.extend_from_slice(b"\r\n");
        }
        ([.., b' ' | b'\t'], b'\n') => {
            held.clear();
            out.push(b'\n');
        }
        ([.., b' ' | b'\t'], b' ' | b'\t' | b'\r') if held.len() < BLANKS_MAX => held.push(octet),
        _ => {
            out.append(held);
            quoted_printable(held, octet, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn qp(encoded: &str) -> String {
        String::from_utf8(decode_all(Encoding::QuotedPrintable, encoded.as_bytes())).unwrap()
    }

    #[test]
    fn the_example_of_rfc_2045_section_6_7() {
        assert_eq!(
            qp("Now's the time =\r\nfor all folk to come=\r\n to the aid of their country."),
            "Now's the time for all folk to come to the aid of their country."
        );
    }

    #[test]
    fn blanks_at_line_ends_fall_away() {
        assert_eq!(qp("a \t \r\nb =20\r\nc= \t\r\nd \ne\r\n"), "a\r\nb  \r\ncd\ne\r\n");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(qp("a=b=zz==41=4=3D=e9x=".replace("=e9", "").as_str()), "a=b=zz=A=4=x");
    }

    #[test]
    fn base64_passes_over_what_is_foreign() {
        for text in ["SGVsbG8h", "SGVs\r\nbG8h", "S G*Vsb\u{e9}G8h", "SGVsbG8h===="] {
            assert_eq!(decode_all(Encoding::Base64, text.as_bytes()), b"Hello!", "{text}");
        }
        assert_eq!(decode_all(Encoding::Base64, b"QQ==QUI=QUJD"), b"AABABC");
        assert_eq!(decode_all(Encoding::Base64, b""), b"");
    }

    #[test]
    fn base64_that_breaks_off_is_damaged() {
        let mut decoder = Decoder::new(Encoding::Base64).unwrap();
        let mut out = Vec::new();
        decoder.feed(b"SGVsbG8hS", &mut out);
        assert_eq!(decoder.finish(&mut out), Err(UndecodableContent::Damaged));
        assert_eq!(out, b"Hello!");
    }

    #[test]
    fn what_is_no_base64_at_all_is_damaged_and_garbage_behind_it_is_not() {
        let decoded = |text: &str| {
            let mut decoder = Decoder::new(Encoding::Base64).unwrap();
            let mut out = Vec::new();
            decoder.feed(text.as_bytes(), &mut out);
            decoder.finish(&mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for text in ["!!!!", "====", "=", "\u{e4}\u{f6}\u{fc}", "Q", "*Q*U*J*D*"] {
            assert_eq!(decoded(text), Err(UndecodableContent::Damaged), "{text}");
        }
        for text in ["", " \r\n\t\r\n"] {
            assert_eq!(decoded(text).as_deref(), Ok(""), "{text}");
        }
        for text in
            ["SGVsbG8=!", "SGVsbG8=\r\n____\r\nAll of this list: x@y", "SGVs.bG8=\r\n--\r\nS"]
        {
            assert_eq!(decoded(text).as_deref(), Ok("Hello"), "{text}");
        }
        assert_eq!(decoded("SGVsbG8hISEh!").as_deref(), Ok("Hello!!!!"));
    }

    #[test]
    fn an_unknown_encoding_is_told() {
        let refused = Decoder::new(Encoding::of(b"x-uuencode")).err();
        assert_eq!(refused, Some(UndecodableContent::UnknownEncoding));
    }

    proptest! {
        #[test]
        fn splits_make_no_difference(text in "[=A-F0-9 \t\r\nx]{0,40}", at in 0usize..40, b64: bool) {
            let encoding = if b64 { Encoding::Base64 } else { Encoding::QuotedPrintable };
            let (one, two) = text.as_bytes().split_at(at.min(text.len()));
            let mut decoder = Decoder::new(encoding).unwrap();
            let mut out = Vec::new();
            decoder.feed(one, &mut out);
            decoder.feed(two, &mut out);
            let _ = decoder.finish(&mut out);
            prop_assert_eq!(out, decode_all(encoding, text.as_bytes()));
        }
    }
}
