//! The transfer encodings, written piece by piece (RFC 2045 §6.7, §6.8).
//!
//! None of them ends with a line end of its own: what follows the body (a boundary's line end)
//! stays in the message.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::mail::{
    binary::decode::{Base64Scan, Seen},
    words::hex,
};

/// Characters of an encoded line (RFC 2045 §6.7, rule 5; §6.8).
const COLUMNS: usize = 76;
/// Octets of a line of base64.
const QUANTA: usize = COLUMNS / 4 * 3;

/// Octets to lines of base64.
#[derive(Debug, Default)]
pub(in crate::mail) struct Base64 {
    held: Vec<u8>,
    begun: bool,
}

impl Base64 {
    pub(in crate::mail) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        if !self.held.is_empty() {
            let wanted = QUANTA.saturating_sub(self.held.len()).min(rest.len());
            let (first, behind) = rest.split_at_checked(wanted).unwrap_or((rest, b""));
            self.held.extend_from_slice(first);
            rest = behind;
            if self.held.len() < QUANTA {
                return;
            }
            let line = std::mem::take(&mut self.held);
            self.line(&line, out);
        }
        let lines = rest.chunks_exact(QUANTA);
        self.held.extend_from_slice(lines.remainder());
        lines.for_each(|line| self.line(line, out));
    }

    pub(in crate::mail) fn finish(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.held);
        if !line.is_empty() {
            self.line(&line, out);
        }
    }

    fn line(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(b"\r\n");
        }
        let mut line = [0; COLUMNS];
        if let Ok(size) = STANDARD.encode_slice(octets, &mut line) {
            out.extend_from_slice(line.get(..size).unwrap_or_default());
        }
    }
}

/// Lines of text to quoted-printable; line ends stay, everything comes back octet for octet.
#[derive(Debug, Default)]
pub(in crate::mail) struct Quoted {
    column: usize,
    /// A blank or CR of which the next octet tells whether it must be escaped.
    held: Option<u8>,
}

impl Quoted {
    pub(in crate::mail) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            self.octet(*octet, out);
        }
    }

    pub(in crate::mail) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(held) = self.held.take() {
            self.escape(held, out);
        }
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        match (self.held.take(), octet) {
            (Some(b'\r'), b'\n') => {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
                return;
            }
            (Some(b'\r'), _) => self.escape(b'\r', out),
            // A blank must not end a line.
            (Some(blank), b'\r' | b'\n') => self.escape(blank, out),
            (Some(blank), _) => self.put(&[blank], out),
            (None, _) => {}
        }
        match octet {
            b' ' | b'\t' | b'\r' => self.held = Some(octet),
            b'=' => self.escape(octet, out),
            // A lone dot would end the data for a careless reader, "From " begins a mailbox.
            b'.' | b'F' if self.column == 0 => self.escape(octet, out),
            b'!'..=b'~' => self.put(&[octet], out),
            _ => self.escape(octet, out),
        }
    }

    fn escape(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.put(&escaped(octet), out);
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        soft_break(&mut self.column, text.len(), out);
        out.extend_from_slice(text);
    }
}

/// `hex-octet` (RFC 2045 §6.7)
pub(super) fn escaped(octet: u8) -> [u8; 3] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' - 10 + value };
    [b'=', digit(octet >> 4), digit(octet & 15)]
}

/// Ends the line softly when there is no room for so much text and the `=`.
fn soft_break(column: &mut usize, size: usize, out: &mut Vec<u8>) {
    if column.saturating_add(size) >= COLUMNS {
        out.extend_from_slice(b"=\r\n");
        *column = 0;
    }
    *column = column.saturating_add(size);
}

/// Base64 as it came to clean lines of it; the content stays the same.
#[derive(Debug, Default)]
pub(super) struct Rewrap {
    scan: Base64Scan,
    column: usize,
}

impl Rewrap {
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            if let Seen::Nothing = self.scan.look(*octet) {
                continue;
            }
            if self.column == COLUMNS {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            self.column = self.column.saturating_add(1);
            out.push(*octet);
        }
    }
}

/// Quoted-printable as it came to short lines of seven bits; the content stays the same.
#[derive(Debug, Default)]
pub(super) struct Requote {
    column: usize,
    /// The beginning of an escape, or a CR.
    held: Vec<u8>,
}

impl Requote {
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            self.octet(*octet, out);
        }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.put(&held, out);
    }

    fn octet(&mut self, octet: u8, out: &mut Vec<u8>) {
        self.held.push(octet);
        match self.held.as_slice() {
            [b'=' | b'\r'] | [b'=', b'\r'] => {}
            [b'=', digit] if hex(*digit).is_some() => {}
            [.., b'\n'] => {
                out.append(&mut self.held);
                self.column = 0;
            }
            [b'=' | b'\r', ..] => {
                // The escape is whole, or it was none: then its last octet stands for itself.
                let mut text = std::mem::take(&mut self.held);
                let whole = matches!(text.as_slice(), [b'=', _, last] if hex(*last).is_some());
                let last = if whole { None } else { text.pop() };
                self.put(&text, out);
                if let Some(last) = last {
                    self.octet(last, out);
                }
            }
            _ => {
                self.held.clear();
                if octet.is_ascii() && octet != 0 {
                    self.put(&[octet], out);
                } else {
                    self.put(&escaped(octet), out);
                }
            }
        }
    }

    fn put(&mut self, text: &[u8], out: &mut Vec<u8>) {
        soft_break(&mut self.column, text.len(), out);
        out.extend_from_slice(text);
    }
}

/// What text around the parts may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mail) struct Mask {
    /// Octets of a line.
    pub line: usize,
    /// Seven bits only.
    pub ascii: bool,
}

/// Text around the parts: what it may not hold becomes `?`, long lines are broken. Lines that may be
/// boundaries are not broken, and change as the parameter does that names them.
#[derive(Debug)]
pub(super) struct Masking {
    mask: Mask,
    column: usize,
    dashes: usize,
}

impl Masking {
    pub(super) fn new(mask: Mask) -> Self {
        Self { mask, column: 0, dashes: 0 }
    }

    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for octet in octets {
            if *octet == b'\n' {
                out.push(*octet);
                *self = Self::new(self.mask);
                continue;
            }
            if *octet == b'-' && self.dashes == self.column {
                self.dashes = self.dashes.saturating_add(1);
            }
            let boundary = self.dashes >= 2;
            if self.column >= self.mask.line && *octet != b'\r' && !boundary {
                out.extend_from_slice(b"\r\n");
                *self = Self::new(self.mask);
            }
            self.column = self.column.saturating_add(1);
            let harmless = *octet != 0 && (octet.is_ascii() || !self.mask.ascii);
            out.push(if harmless { *octet } else { b'?' });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::{binary::decode::decode_all, encoding::Encoding};

    macro_rules! through {
        ($work:ty, $octets:expr) => {{
            let (mut work, mut out) = (<$work>::default(), Vec::new());
            $octets.chunks(7).for_each(|piece| work.feed(piece, &mut out));
            work.finish(&mut out);
            out
        }};
    }

    fn fits_seven_bits(text: &[u8]) -> bool {
        text.is_ascii() && text.split(|octet| *octet == b'\n').all(|line| line.len() <= COLUMNS + 1)
    }

    #[test]
    fn blanks_at_line_ends_and_equal_signs_are_escaped() {
        let encoded = through!(Quoted, b"a = b \r\nc\t\r\n.\r\nd\n\re ".as_slice());
        assert_eq!(encoded, b"a =3D b=20\r\nc=09\r\n=2E\r\nd=0A=0De=20");
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let encoded = through!(Base64, octets);
            prop_assert!(fits_seven_bits(&encoded));
            prop_assert_eq!(&decode_all(Encoding::Base64, &encoded), &octets);
            let encoded = through!(Quoted, octets);
            prop_assert!(fits_seven_bits(&encoded));
            prop_assert_eq!(&decode_all(Encoding::QuotedPrintable, &encoded), &octets);
        }

        #[test]
        fn text_is_encoded_line_by_line(text in "([ -~\u{e4}=\t]{0,100}\r\n){0,6}") {
            let encoded = through!(Quoted, text.as_bytes());
            prop_assert!(fits_seven_bits(&encoded));
            prop_assert_eq!(decode_all(Encoding::QuotedPrintable, &encoded), text.as_bytes());
        }

        #[test]
        fn what_was_encoded_badly_keeps_its_content(
            text in "([A-F0-9=\u{e4}]{1,200}|=[0-9A-F]{2}|=\r\n|\r\n){0,9}"
        ) {
            let better = through!(Requote, text.as_bytes());
            prop_assert!(fits_seven_bits(&better));
            prop_assert_eq!(
                decode_all(Encoding::QuotedPrintable, &better),
                decode_all(Encoding::QuotedPrintable, text.as_bytes())
            );
            let (mut work, mut better) = (Rewrap::default(), Vec::new());
            text.as_bytes().chunks(7).for_each(|piece| work.feed(piece, &mut better));
            prop_assert!(fits_seven_bits(&better));
            prop_assert_eq!(
                decode_all(Encoding::Base64, &better),
                decode_all(Encoding::Base64, text.as_bytes())
            );
        }
    }
}
