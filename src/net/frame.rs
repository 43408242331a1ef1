//! Bytes to frames: lines, announced literals, and mail data with its dots.
//!
//! Pure machines over bytes: they keep no clock and read no socket, and give the same frames
//! however the bytes were cut into packets. [`Input`](super::Input) feeds them.

use memchr::{memchr, memchr2};

/// How the lines of a protocol end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineEnds {
    /// CRLF, or LF alone: IMAP and ManageSieve.
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
