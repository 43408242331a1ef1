//! Bytes to frames: lines, announced literals, and mail data with its dots.
//!
//! Pure machines over bytes: they keep no clock and read no socket, and give the same frames
//! however the bytes were cut into packets. [`Input`](super::Input) feeds them.

use memchr::{memchr, memchr2};

/// How the lines of a protocol end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// CRLF, or LF alone: IMAP and `ManageSieve`.
    Lenient,
    /// CRLF only; a lone CR or LF, or NUL, is a fault (RFC 5321 §2.3.8): SMTP and LMTP.
    Strict,
}

/// A line that is no command whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    #[error("line too long")]
    TooLong,
    #[error("bare CR in line")]
    BareCr,
    #[error("bare LF in line")]
    BareLf,
    #[error("NUL in line")]
    Nul,
}

/// What [`Lines::find`] saw at the start of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A line: its text without the line end, and how much to take off.
    Line { text: usize, taken: usize },
    /// A fault, and how much to take off; the next call goes on behind it.
    Bad { fault: BadLine, taken: usize },
    /// No whole line. What is to take off was the rest of a line too long; if anything stands
    /// behind it, it can be looked at again.
    More { taken: usize },
}

/// Finds lines, looking at each byte once.
#[derive(Debug)]
pub struct Lines {
    ends: LineEnds,
    /// Bytes from the start that hold no LF.
    seen: usize,
    /// Inside the rest of a line that was too long; true after a CR.
    skipping: Option<bool>,
}

impl Lines {
    /// A finder before the first byte.
    pub fn new(ends: LineEnds) -> Self {
        Self { ends, seen: 0, skipping: None }
    }

    /// Is a line begun that was already answered with [`BadLine::TooLong`]?
    pub fn is_skipping(&self) -> bool {
        self.skipping.is_some()
    }

    /// Forgets half a line: its bytes were thrown away.
    pub fn reset(&mut self) {
        self.seen = 0;
        self.skipping = None;
    }

    /// Looks for a line with at most `max` octets of text at the start of `bytes`.
    ///
    /// Between two calls that found nothing, bytes may only be added.
    pub fn find(&mut self, bytes: &[u8], max: usize) -> Found {
        if let Some(after_cr) = self.skipping {
            return self.skip(bytes, after_cr);
        }
        let window = bytes.get(..max.saturating_add(2)).unwrap_or(bytes);
        let unseen = window.get(self.seen..).unwrap_or_default();
        let Some(at) = memchr(b'\n', unseen).map(|at| at + self.seen) else {
            if window.len() < max.saturating_add(2) {
                self.seen = window.len();
                return Found::More { taken: 0 };
            }
            self.seen = 0;
            self.skipping = Some(window.last() == Some(&b'\r'));
            return Found::Bad { fault: BadLine::TooLong, taken: window.len() };
        };
        self.seen = 0;
        let line = window.get(..at).unwrap_or_default();
        match self.text(line, max) {
            Ok(text) => Found::Line { text, taken: at + 1 },
            Err(fault) => Found::Bad { fault, taken: at + 1 },
        }
    }

    fn text(&self, line: &[u8], max: usize) -> Result<usize, BadLine> {
        let text = match (line.strip_suffix(b"\r"), self.ends) {
            (Some(text), _) => text,
            (None, LineEnds::Lenient) => line,
            (None, LineEnds::Strict) => return Err(BadLine::BareLf),
        };
        if text.len() > max {
            return Err(BadLine::TooLong);
        }
        if self.ends == LineEnds::Strict {
            match memchr2(b'\r', 0, text).and_then(|at| text.get(at)) {
                Some(b'\r') => return Err(BadLine::BareCr),
                Some(_) => return Err(BadLine::Nul),
                None => {}
            }
        }
        Ok(text.len())
    }

    fn skip(&mut self, bytes: &[u8], mut after_cr: bool) -> Found {
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' && (after_cr || self.ends == LineEnds::Lenient) {
                self.skipping = None;
                return Found::More { taken: at + 1 };
            }
            after_cr = *byte == b'\r';
        }
        self.skipping = Some(after_cr);
        Found::More { taken: bytes.len() }
    }
}

/// `literal = "{" number64 ["+"] "}"`, `literal8 = "~{" …` at the end of a line
/// (RFC 9051 §9, RFC 3516 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Octets to come; what does not fit a number is the largest one.
    pub size: u64,
    /// `{n+}`: the client does not wait for a go-ahead (RFC 7888).
    pub sent_at_once: bool,
    /// `~{n}`: may hold NUL.
    pub binary: bool,
}

impl Literal {
    /// The literal that this line announces.
    pub fn announced_by(line: &[u8]) -> Option<Self> {
        let inner = line.strip_suffix(b"}")?;
        let (inner, sent_at_once) = match inner.strip_suffix(b"+") {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (before, number) = inner.split_at_checked(inner.len().checked_sub(digits)?)?;
        let before = before.strip_suffix(b"{")?;
        if number.is_empty() {
            return None;
        }
        let size = number.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
        });
        Some(Self { size, sent_at_once, binary: before.ends_with(b"~") })
    }
}

/// What mail data must not hold outside BDAT (RFC 5321 §2.3.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    pub bare_cr: bool,
    pub bare_lf: bool,
    pub nul: bool,
}

impl Damage {
    /// Is there any?
    pub fn any(self) -> bool {
        self.bare_cr || self.bare_lf || self.nul
    }
}

/// Where in a line of mail data the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    InLine,
    /// After a CR that was not written yet.
    Cr,
    /// After the dot that starts a line; it is never written.
    Dot,
    DotCr,
    End,
}

/// The octets behind DATA's 354, up to CRLF "." CRLF and nothing else (RFC 5321 §4.1.1.4).
///
/// A dot that starts a line is taken off (§4.5.2). A lone CR or LF, or NUL, is passed on and told
/// by [`Data::damage`], but never starts a line: whatever follows it, a dot included, is text.
#[derive(Debug)]
pub struct Data {
    place: Place,
    damage: Damage,
    line: usize,
    longest: usize,
}

impl Default for Data {
    fn default() -> Self {
        Self { place: Place::LineStart, damage: Damage::default(), line: 0, longest: 0 }
    }
}

impl Data {
    /// Has the final dot come?
    pub fn is_ended(&self) -> bool {
        self.place == Place::End
    }

    /// What was wrong up to here.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// Octets of the longest line up to here, without its end.
    pub fn longest_line(&self) -> usize {
        self.longest.max(self.line)
    }

    /// Writes what these bytes mean to `out`; says how many of them belong to the data.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = bytes;
        while self.place != Place::End {
            if self.place == Place::InLine {
                let run = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                let (text, behind) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                self.text(text, out);
                rest = behind;
            }
            let Some((byte, behind)) = rest.split_first() else { break };
            rest = behind;
            self.step(*byte, out);
        }
        bytes.len() - rest.len()
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.place = match (self.place, byte) {
            (Place::LineStart, b'.') => Place::Dot,
            (Place::Dot, b'\r') => Place::DotCr,
            (Place::DotCr, b'\n') => Place::End,
            (Place::Cr, b'\n') => {
                out.extend_from_slice(b"\r\n");
                self.longest = self.longest.max(self.line);
                self.line = 0;
                Place::LineStart
            }
            (Place::Cr | Place::DotCr, _) => {
                self.damage.bare_cr = true;
                self.text(b"\r", out);
                self.inside(byte, out)
            }
            (Place::LineStart | Place::InLine | Place::Dot | Place::End, _) => {
                self.inside(byte, out)
            }
        };
    }

    /// A byte that does not stand behind a line end.
    fn inside(&mut self, byte: u8, out: &mut Vec<u8>) -> Place {
        if byte == b'\r' {
            return Place::Cr;
        }
        self.damage.bare_lf |= byte == b'\n';
        self.text(&[byte], out);
        Place::InLine
    }

    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.damage.nul |= memchr(0, text).is_some();
        self.line = self.line.saturating_add(text.len());
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything that comes out when the bytes come in pieces of these sizes.
    fn lines(ends: LineEnds, bytes: &[u8], cuts: &[usize]) -> Vec<Result<Vec<u8>, BadLine>> {
        let (mut finder, mut buffer, mut out) = (Lines::new(ends), Vec::new(), Vec::new());
        for packet in packets(bytes, cuts) {
            buffer.extend_from_slice(packet);
            loop {
                let taken = match finder.find(&buffer, 10) {
                    Found::Line { text, taken } => {
                        out.push(Ok(buffer[..text].to_vec()));
                        taken
                    }
                    Found::Bad { fault, taken } => {
                        out.push(Err(fault));
                        taken
                    }
                    Found::More { taken } => {
                        buffer.drain(..taken);
                        if taken > 0 && !buffer.is_empty() {
                            continue;
                        }
                        break;
                    }
                };
                buffer.drain(..taken);
            }
        }
        out
    }

    fn packets<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
        let mut packets = Vec::new();
        for cut in cuts {
            let (packet, rest) = bytes.split_at((*cut).min(bytes.len()));
            packets.push(packet);
            bytes = rest;
        }
        packets.push(bytes);
        packets
    }

    /// The text, the damage, and what is left behind the end; none when there was no end.
    fn data(bytes: &[u8], cuts: &[usize]) -> Option<(Vec<u8>, Damage, Vec<u8>)> {
        let (mut data, mut text, mut behind) = (Data::default(), Vec::new(), Vec::new());
        for packet in packets(bytes, cuts) {
            let taken = data.feed(packet, &mut text);
            behind.extend_from_slice(&packet[taken..]);
        }
        data.is_ended().then(|| (text, data.damage(), behind))
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        let ok = |text: &[u8]| Ok(text.to_vec());
        for ends in [LineEnds::Strict, LineEnds::Lenient] {
            assert_eq!(lines(ends, b"123456789\r\n", &[]), [ok(b"123456789")]);
            assert_eq!(lines(ends, b"1234567890\r\n", &[]), [ok(b"1234567890")]);
            assert_eq!(
                lines(ends, b"1234567890a\r\nNOOP\r\n", &[]),
                [Err(BadLine::TooLong), ok(b"NOOP")]
            );
        }
    }

    #[test]
    fn a_line_too_long_is_told_before_it_ends() {
        assert_eq!(lines(LineEnds::Strict, &[b'x'; 12], &[]), [Err(BadLine::TooLong)]);
    }

    #[test]
    fn a_bare_line_feed_ends_an_imap_line_and_is_a_fault_in_smtp() {
        let ok = |text: &[u8]| Ok(text.to_vec());
        assert_eq!(lines(LineEnds::Lenient, b"a\nb\r\n", &[]), [ok(b"a"), ok(b"b")]);
        assert_eq!(lines(LineEnds::Strict, b"a\nb\r\n", &[]), [Err(BadLine::BareLf), ok(b"b")]);
        assert_eq!(lines(LineEnds::Strict, b"a\rb\r\n", &[]), [Err(BadLine::BareCr)]);
        assert_eq!(lines(LineEnds::Strict, b"a\0b\r\n", &[]), [Err(BadLine::Nul)]);
        assert_eq!(lines(LineEnds::Strict, b"a\r\r\n", &[]), [Err(BadLine::BareCr)]);
    }

    #[test]
    fn literals_are_announced_in_three_forms() {
        let literal = |size, sent_at_once, binary| Some(Literal { size, sent_at_once, binary });
        assert_eq!(Literal::announced_by(b"a APPEND x {310}"), literal(310, false, false));
        assert_eq!(Literal::announced_by(b"a LOGIN {11+}"), literal(11, true, false));
        assert_eq!(Literal::announced_by(b"a APPEND x ~{0}"), literal(0, false, true));
        assert_eq!(Literal::announced_by(b"x ~{9+}"), literal(9, true, true));
        let huge = b"{99999999999999999999999}";
        assert_eq!(Literal::announced_by(huge), literal(u64::MAX, false, false));
    }

    #[test]
    fn what_only_looks_like_a_literal_is_none() {
        for line in [&b"a {}"[..], b"a {+}", b"a {1} ", b"a {-1}", b"a 1}", b"}", b"", b"a {1++}"] {
            assert_eq!(Literal::announced_by(line), None);
        }
    }

    #[test]
    fn data_ends_at_its_dot_and_loses_the_stuffed_ones() {
        let sent = b"Subject: x\r\n\r\n..dot\r\n.x\r\n\r\n.\r\nQUIT\r\n";
        let text = b"Subject: x\r\n\r\n.dot\r\nx\r\n\r\n".to_vec();
        assert_eq!(data(sent, &[]), Some((text, Damage::default(), b"QUIT\r\n".to_vec())));
        assert_eq!(data(b".\r\n", &[]), Some((Vec::new(), Damage::default(), Vec::new())));
    }

    #[test]
    fn nothing_but_crlf_dot_crlf_ends_data() {
        let damaged = |cr, lf, nul| Damage { bare_cr: cr, bare_lf: lf, nul };
        for (end, damage) in [
            (&b"\n.\n"[..], damaged(false, true, false)),
            (b"\n.\r\n", damaged(false, true, false)),
            (b"\r\n.\n", damaged(false, true, false)),
            (b"\r.\r", damaged(true, false, false)),
            (b"\r.\r\n", damaged(true, false, false)),
            (b"\r\n.\r", damaged(true, false, false)),
            (b"\r\n.\r\r\n", damaged(true, false, false)),
            (b"\r\n\0.\r\n", damaged(false, false, true)),
            (b"\r\n.\0\r\n", damaged(false, false, true)),
            (b"\n\n.\r\n", damaged(false, true, false)),
            (b"\r\r\n\n.\r\n", damaged(true, true, false)),
        ] {
            let sent = [b"x", end, b"MAIL FROM:<>\r\n.\r\n"].concat();
            let (text, found, behind) = data(&sent, &[]).unwrap();
            assert_eq!(found, damage, "{end:?}");
            assert!(behind.is_empty(), "{end:?}");
            assert!(text.ends_with(b"MAIL FROM:<>\r\n"), "{end:?}");
            assert_eq!(data(&sent[..sent.len() - 3], &[]), None, "{end:?}");
        }
    }

    #[test]
    fn the_longest_line_is_known_before_it_ends() {
        let (mut data, mut text) = (Data::default(), Vec::new());
        data.feed(b"123\r\n12345\r\n1234567", &mut text);
        assert_eq!(data.longest_line(), 7);
        data.feed(b"\r\n1", &mut text);
        assert_eq!(data.longest_line(), 7);
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 8] =
            [b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"bcdefgh", b"\r\n.\r\n"];
        let piece = prop::sample::select(pieces.to_vec());
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            bytes in soup(),
            cuts in prop::collection::vec(0_usize..9, 0..40),
        ) {
            for ends in [LineEnds::Strict, LineEnds::Lenient] {
                prop_assert_eq!(lines(ends, &bytes, &cuts), lines(ends, &bytes, &[]));
            }
        }

        #[test]
        fn data_is_the_same_however_it_is_cut(
            bytes in soup(),
            cuts in prop::collection::vec(0_usize..9, 0..40),
        ) {
            prop_assert_eq!(data(&bytes, &cuts), data(&bytes, &[]));
        }

        #[test]
        fn any_text_comes_back_from_its_stuffed_form(
            lines in prop::collection::vec("[.a-z]{0,5}", 0..9),
        ) {
            let plain: String = lines.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
            let stuffed: String = lines
                .iter()
                .map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") })
                .collect();
            let (text, damage, _) = data(format!("{stuffed}.\r\n").as_bytes(), &[]).unwrap();
            prop_assert_eq!(text, plain.into_bytes());
            prop_assert!(!damage.any());
        }
    }
}
