//! The one serialiser of message data for the wire: whatever is stored, no octet sequence can end
//! the data but the end itself (RFC 5321 §4.5.2).

use crate::mail::rewrite::LineEnds;

/// Message data behind a 354: every line ends in CRLF, every dot at a line's start is doubled.
#[derive(Debug)]
pub(super) struct Dots {
    ends: LineEnds,
    clean: Vec<u8>,
    at_start: bool,
}

impl Dots {
    pub(super) fn new() -> Self {
        Self { ends: LineEnds::default(), clean: Vec::new(), at_start: true }
    }

    /// Takes the message's next octets and appends what goes over the wire.
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut clean = std::mem::take(&mut self.clean);
        self.ends.feed(octets, &mut clean);
        self.stuff(&clean, out);
        clean.clear();
        self.clean = clean;
    }

    /// The end of the message and of the data.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        let mut clean = Vec::new();
        std::mem::take(&mut self.ends).finish(&mut clean);
        self.stuff(&clean, out);
        if !self.at_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    fn stuff(&mut self, clean: &[u8], out: &mut Vec<u8>) {
        for line in clean.split_inclusive(|octet| *octet == b'\n') {
            if self.at_start && line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
            self.at_start = line.ends_with(b"\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut dots, mut out) = (Dots::new(), Vec::new());
        for piece in pieces {
            dots.feed(piece, &mut out);
        }
        dots.finish(&mut out);
        out
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_a_line_of_its_own() {
        assert_eq!(wire(&[b"a\r\n.b\r\n..\r\n"]), b"a\r\n..b\r\n...\r\n.\r\n");
        assert_eq!(wire(&[b"no end"]), b"no end\r\n.\r\n");
        assert_eq!(wire(&[]), b".\r\n");
        assert_eq!(wire(&[b"."]), b"..\r\n.\r\n");
    }

    #[test]
    fn nothing_in_the_message_can_end_the_data() {
        for evil in [
            &b"a\n.\nMAIL FROM:<x>\r\n"[..],
            b"a\n.\r\nb",
            b"a\r\n.\nb",
            b"a\r.\rb",
            b"a\r\n.\r\nb",
            b"a\r\n\0.\r\nb",
        ] {
            let out = wire(&[evil]);
            let end = out.len() - 5;
            assert!(!out[..end + 4].windows(5).any(|five| five == b"\r\n.\r\n"));
            assert!(out.ends_with(b"\r\n.\r\n"));
        }
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(text in "[.a\r\n]{0,24}", at in 0usize..24) {
            let (one, two) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(wire(&[one, two]), wire(&[text.as_bytes()]));
        }
    }
}
