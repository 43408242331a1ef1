//! Bare CR and bare LF to CRLF.

/// Makes every line end CRLF, whatever the pieces in which the text comes. NUL, which no door could
/// ever show, becomes a blank.
#[derive(Debug, Default)]
pub struct LineEnds {
    /// A CR was the last octet; its line end is not written yet.
    cr: bool,
}

impl LineEnds {
    /// Takes the next octets and appends the text with right line ends.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        if self.cr
            && let Some((first, behind)) = rest.split_first()
        {
            self.cr = false;
            out.extend_from_slice(b"\r\n");
            if *first == b'\n' {
                rest = behind;
            }
        }
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
            let Some((plain, [odd, behind @ ..])) = rest.split_at_checked(at) else { return };
            out.extend_from_slice(plain);
            rest = behind;
            match (odd, behind) {
                (0, _) => out.push(b' '),
                (b'\r', []) => self.cr = true,
                (b'\r', [b'\n', after @ ..]) => {
                    out.extend_from_slice(b"\r\n");
                    rest = after;
                }
                _ => out.extend_from_slice(b"\r\n"),
            }
        }
        out.extend_from_slice(rest);
    }

    /// The text ends here.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<u8> {
        let (mut ends, mut out) = (LineEnds::default(), Vec::new());
        ends.feed(text, &mut out);
        ends.finish(&mut out);
        out
    }

    #[test]
    fn every_line_end_becomes_crlf() {
        assert_eq!(all(b"a\nb\rc\r\nd\r\re\n\nf\r"), b"a\r\nb\r\nc\r\nd\r\n\r\ne\r\n\r\nf\r\n");
        assert_eq!(all(b"a\0b"), b"a b");
    }

    proptest! {
        #[test]
        fn splits_make_no_difference(text in "[a\r\n]{0,20}", at in 0usize..20) {
            let (one, two) = text.as_bytes().split_at(at.min(text.len()));
            let (mut ends, mut out) = (LineEnds::default(), Vec::new());
            ends.feed(one, &mut out);
            ends.feed(two, &mut out);
            ends.finish(&mut out);
            prop_assert_eq!(&out, &all(text.as_bytes()));
            prop_assert_eq!(all(&out), out);
        }
    }
}
