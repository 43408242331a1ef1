//! Cuts octets that come in pieces into lines, with a bounded beginning of each.

use crate::{mail::structure::Octets, wire::work::looked_at};

/// Octets of a line that is not too long, without its end (RFC 5322 §2.1.1).
const LINE_MAX: u64 = 998;

/// One line.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// The line with its end, or its beginning when it is very long.
    pub head: &'a [u8],
    /// Whether `head` is not all of it.
    pub cut: bool,
    /// All octets of the line, its end included.
    pub len: u64,
    /// Octets of its end: 2 for CRLF, 1 for LF, 0 at the end of the message.
    pub ending: u64,
    pub octets: Octets,
}

/// The unfinished line between two pieces.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Of a longer line only so much is shown.
    head_max: usize,
    held: Vec<u8>,
    len: u64,
    octets: Octets,
    /// The last octet seen was a CR: the line's end or a stray.
    cr: bool,
}

impl Lines {
    pub(super) fn new(head_max: usize) -> Self {
        Self { head_max, ..Self::default() }
    }

    /// The next whole line; what is left without a line end is kept. Call [`Lines::done`] after
    /// each line.
    pub(super) fn next<'a, 'b: 'a>(&'a mut self, rest: &mut &'b [u8]) -> Option<Line<'a>> {
        let Some(at) = memchr::memchr(b'\n', rest) else {
            looked_at(rest.len());
            self.hold(rest);
            *rest = b"";
            return None;
        };
        looked_at(at);
        let (piece, behind) = rest.split_at_checked(at.saturating_add(1))?;
        *rest = behind;
        if self.len == 0 {
            let ending = if piece.ends_with(b"\r\n") { 2 } else { 1 };
            let (content, _) = piece.split_at_checked(piece.len().saturating_sub(ending))?;
            return Some(self.line(piece, octets_of(content), length(piece), length_of(ending)));
        }
        self.hold(piece);
        let ending = if self.cr { 2 } else { 1 };
        Some(Line {
            cut: length(&self.held) < self.len,
            ..self.line(&self.held, self.octets, self.len, ending)
        })
    }

    /// What is left at the end of the message.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        if self.len == 0 {
            return None;
        }
        if self.cr {
            self.octets = self.octets.with(Octets::BARE_CR);
        }
        let cut = length(&self.held) < self.len;
        Some(Line { cut, ..self.line(&self.held, self.octets, self.len, 0) })
    }

    /// The line was read.
    pub(super) fn done(&mut self) {
        if self.len > 0 {
            let held = std::mem::take(&mut self.held);
            *self = Self { held, ..Self::new(self.head_max) };
            self.held.clear();
        }
    }

    fn line<'a>(&self, head: &'a [u8], octets: Octets, len: u64, ending: u64) -> Line<'a> {
        let long = len.saturating_sub(ending) > LINE_MAX;
        let octets = octets.with(if long { Octets::LONG_LINE } else { Octets::default() });
        let octets = octets.with(if ending == 1 { Octets::BARE_LF } else { Octets::default() });
        match head.split_at_checked(self.head_max) {
            Some((head, tail)) if !tail.is_empty() => Line { head, cut: true, len, ending, octets },
            _ => Line { head, cut: false, len, ending, octets },
        }
    }

    /// Keeps a piece of a line, perhaps its last one.
    fn hold(&mut self, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        if self.cr && piece != b"\n" {
            self.octets = self.octets.with(Octets::BARE_CR);
        }
        let (content, cr) = match piece {
            [b'\n'] => (&b""[..], self.cr),
            [content @ .., b'\r', b'\n'] | [content @ .., b'\r'] => (content, true),
            [content @ .., b'\n'] | content => (content, false),
        };
        self.cr = cr;
        self.octets = self.octets.with(octets_of(content));
        self.len = self.len.saturating_add(length(piece));
        let room = self.head_max.saturating_sub(self.held.len());
        self.held.extend(piece.iter().take(room));
    }
}

/// What a line's octets are, its end apart.
fn octets_of(content: &[u8]) -> Octets {
    let mut octets = Octets::default();
    if !content.is_ascii() {
        octets = octets.with(Octets::EIGHT_BIT);
    }
    if memchr::memchr2(b'\r', 0, content).is_some() {
        if memchr::memchr(b'\r', content).is_some() {
            octets = octets.with(Octets::BARE_CR);
        }
        if memchr::memchr(0, content).is_some() {
            octets = octets.with(Octets::NUL);
        }
    }
    octets
}

fn length(octets: &[u8]) -> u64 {
    length_of(octets.len())
}

fn length_of(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}
