//! Finds the parts of a message in one pass over its octets.
//!
//! Lines come from [`lines`]; each is a delimiter, a header line, or body. Whatever is open (the
//! message, multiparts, embedded messages, the part being read) stands on one stack, so nesting
//! costs no recursion. Only headers and the beginning of an unfinished line are kept in memory.

mod lines;

use std::{collections::HashMap, mem};

use self::lines::{Line, Lines};
use super::{Damage, Kind, Media, Octets, Part, Structure, media::describe};
use crate::{
    mail::{budget::Budget, encoding::Encoding, lexer, summary::Summary, words},
    metrics::Limit,
    wire::work::looked_at,
};

/// Dashes, padding and line end of a delimiter are not longer.
const DELIMITER_EXTRA: usize = 56;
/// All headers of a message together: so many times the limit of one are read.
const HEADERS_FACTOR: usize = 4;

/// How much of a message is read; what lies beyond is opaque.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one header.
    pub header: usize,
    /// Octets of one line of a header.
    pub header_line: usize,
    /// Lines of one header.
    pub header_lines: usize,
    /// Addresses of all headers of a message.
    pub addresses: usize,
    /// Parameters of one field.
    pub parameters: usize,
    /// How deep parts are told apart.
    pub depth: usize,
    /// How many parts are told apart; one more takes the rest of the message.
    pub parts: usize,
    /// Octets of a boundary.
    pub boundary: usize,
    /// How deep comments nest; deeper ones end the value of their field.
    pub comment_depth: usize,
    /// Encoded words of a message that are decoded; further ones stay encoded.
    pub encoded_words: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: 1 << 20,
            header_line: 64 << 10,
            header_lines: 1_000,
            addresses: 10_000,
            parameters: 128,
            depth: 100,
            parts: 1_000,
            boundary: 200,
            comment_depth: lexer::COMMENT_DEPTH,
            encoded_words: words::WORDS_MAX,
        }
    }
}

/// What a scan has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    pub structure: Structure,
    /// Of the message's own header.
    pub summary: Summary,
    /// Octets of the header with its empty line.
    pub header_len: u64,
    /// Octets of the whole message.
    pub len: u64,
    /// What octets stand anywhere in the message.
    pub octets: Octets,
    /// A part says it is binary, or there are NUL octets: BODY cannot show it as it is.
    pub has_binary: bool,
    /// There are octets above 127.
    pub has_8bit: bool,
    /// Bounds behind which the rest was not told apart.
    pub beyond: Vec<Limit>,
}

/// Scans a message that is in memory.
pub fn scan(message: &[u8]) -> Scanned {
    let mut scanner = Scanner::new();
    scanner.feed(message);
    scanner.finish()
}

/// Scans a message that comes in pieces; how it is split makes no difference.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    lines: Lines,
    /// Where the current line begins.
    offset: u64,
    /// Line ends before the current line.
    line_ends: u64,
    /// Octets of the line end before the current line.
    ending: u64,
    in_body: bool,
    parts: Vec<Part>,
    /// From the message to the part being read.
    open: Vec<Open>,
    /// Boundary → place in `open` of the innermost multipart that has it.
    boundaries: HashMap<Vec<u8>, usize>,
    header: Vec<u8>,
    header_lines: usize,
    headers_left: usize,
    addresses_left: Budget,
    summary: Summary,
    beyond: Vec<Limit>,
}

/// A part that has not ended.
#[derive(Debug, Default)]
struct Open {
    part: usize,
    /// The boundary that ends its children, until it is closed.
    boundary: Option<Vec<u8>>,
    /// An outer multipart with the same boundary.
    shadowed: Option<usize>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// With the usual limits.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let mut scanner = Self {
            limits,
            lines: Lines::new(limits.header_line),
            offset: 0,
            line_ends: 0,
            ending: 0,
            in_body: false,
            parts: Vec::new(),
            open: Vec::new(),
            boundaries: HashMap::new(),
            header: Vec::new(),
            header_lines: 0,
            headers_left: limits.header.saturating_mul(HEADERS_FACTOR),
            addresses_left: Budget::new(limits.addresses),
            summary: Summary::default(),
            beyond: Vec::new(),
        };
        scanner.begin_part(0);
        scanner
    }

    /// Takes the next octets of the message.
    pub fn feed(&mut self, octets: &[u8]) {
        let mut lines = mem::take(&mut self.lines);
        let mut rest = octets;
        while let Some(line) = lines.next(&mut rest) {
            self.line(&line);
            lines.done();
        }
        self.lines = lines;
    }

    /// The message is complete.
    pub fn finish(mut self) -> Scanned {
        let mut lines = mem::take(&mut self.lines);
        if let Some(line) = lines.last() {
            self.line(&line);
        }
        self.ending = 0;
        self.close(0);
        let octets = self
            .parts
            .iter()
            .fold(Octets::default(), |all, part| all.with(part.octets).with(part.header_octets));
        let binary = |part: &Part| Encoding::of(&part.encoding) == Encoding::Binary;
        let mut beyond: Vec<Limit> = Vec::with_capacity(self.beyond.len());
        for limit in self.beyond {
            if !beyond.contains(&limit) {
                beyond.push(limit);
            }
        }
        Scanned {
            header_len: self.parts.first().map_or(0, |part| part.body),
            len: self.offset,
            octets,
            has_binary: octets.has(Octets::NUL) || self.parts.iter().any(binary),
            has_8bit: octets.has(Octets::EIGHT_BIT),
            structure: Structure { parts: self.parts },
            summary: self.summary,
            beyond,
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        looked_at(line.head.len());
        if let Some((level, closing)) = self.delimiter(line) {
            self.close(level.saturating_add(1));
            self.pass(line);
            self.in_body = true;
            self.note(line.octets);
            if closing {
                self.forget_boundary(level);
            } else {
                self.begin_part(self.offset);
            }
        } else if self.in_body {
            self.note(line.octets);
            self.pass(line);
        } else if self.ends_header(line) {
            self.damage(Damage::HEADER_OPEN);
            self.end_header();
            self.line(line);
        } else {
            self.header_line(line);
        }
    }

    /// Whether the header ends before this line although it is not empty.
    fn ends_header(&self, line: &Line<'_>) -> bool {
        if memchr::memchr(b':', line.head).is_some() || line.len == line.ending {
            return false;
        }
        let first = self.header_lines == 0;
        let mark = [b"From ".as_slice(), b">From ", b" ", b"\t"];
        line.head.starts_with(b"--")
            || first && !mark.iter().any(|mark| line.head.starts_with(mark))
    }

    fn pass(&mut self, line: &Line<'_>) {
        self.offset = self.offset.saturating_add(line.len);
        self.ending = line.ending;
        self.line_ends = self.line_ends.saturating_add(u64::from(line.ending > 0));
    }

    fn header_line(&mut self, line: &Line<'_>) {
        self.note(line.octets);
        self.pass(line);
        if line.len == line.ending {
            self.end_header();
            return;
        }
        self.header_lines = self.header_lines.saturating_add(1);
        let size = self.header.len().saturating_add(line.head.len());
        if size > self.limits.header.min(self.headers_left) {
            self.too_large(Limit::HeaderMax);
        } else if self.header_lines > self.limits.header_lines {
            self.too_large(Limit::HeaderLinesMax);
        } else {
            self.header.extend_from_slice(line.head);
        }
        if line.cut {
            self.header.push(b'\n');
            self.damage(Damage::HEADER_TOO_LARGE);
            let text = line.len.saturating_sub(line.ending);
            if text > u64::try_from(self.limits.header_line).unwrap_or(u64::MAX) {
                self.is_beyond(Limit::HeaderLineMax);
            }
        }
    }

    fn too_large(&mut self, limit: Limit) {
        self.damage(Damage::HEADER_TOO_LARGE);
        self.is_beyond(limit);
    }

    fn is_beyond(&mut self, limit: Limit) {
        if !self.beyond.contains(&limit) {
            self.beyond.push(limit);
        }
    }

    /// Which open multipart this line is a delimiter of, and whether it closes it.
    fn delimiter(&self, line: &Line<'_>) -> Option<(usize, bool)> {
        if self.boundaries.is_empty()
            || line.cut
            || line.head.len() > self.limits.boundary.saturating_add(DELIMITER_EXTRA)
        {
            return None;
        }
        let text = line.head.strip_prefix(b"--")?.trim_ascii_end();
        let begins = self.boundaries.get(text).map(|level| (*level, false));
        let bare = text.strip_suffix(b"--");
        let closes = bare.and_then(|bare| self.boundaries.get(bare)).map(|level| (*level, true));
        begins.max(closes)
    }

    fn begin_part(&mut self, at: u64) {
        let full = self.parts.len() >= self.limits.parts;
        self.open.push(Open { part: self.parts.len(), ..Open::default() });
        self.parts.push(Part { header: at, ..Part::default() });
        self.header.clear();
        self.header_lines = 0;
        self.in_body = false;
        if full {
            self.is_beyond(Limit::MimePartsMax);
            self.boundaries.clear();
            self.begin_body();
            let limits = self.limits;
            self.current(|part| {
                describe(part, b"", Media::plain_text, &limits, &mut Vec::new());
                part.damage.add(Damage::OPAQUE);
            });
        }
    }

    fn begin_body(&mut self) {
        let (at, lines) = (self.offset, self.line_ends);
        self.current(|part| {
            part.body = at;
            part.lines = lines;
        });
        self.in_body = true;
    }

    /// The header of the part being read is complete: now we know what kind of body follows.
    fn end_header(&mut self) {
        self.begin_body();
        let header = mem::take(&mut self.header);
        self.headers_left = self.headers_left.saturating_sub(header.len());
        self.summarise(&header);
        let default = self.default_media();
        let limits = self.limits;
        let mut beyond = mem::take(&mut self.beyond);
        self.current(|part| describe(part, &header, default, &limits, &mut beyond));
        self.beyond = beyond;
        self.header = header;
        let Some(part) = self.open.last().and_then(|open| self.parts.get(open.part)) else {
            return;
        };
        if part.media.name.eq_ignore_ascii_case(b"multipart") {
            let boundary = part.media.param("boundary").map(|text| text.trim_ascii_end().to_vec());
            self.open_multipart(boundary);
        } else if part.media.is("message", "rfc822") || part.media.is("message", "global") {
            self.open_message();
        }
    }

    fn open_multipart(&mut self, boundary: Option<Vec<u8>>) {
        let deep = self.open.len() >= self.limits.depth;
        let longest = self.limits.boundary;
        if deep {
            self.is_beyond(Limit::MimeDepthMax);
        }
        if boundary.as_ref().is_some_and(|text| text.len() > longest) {
            self.is_beyond(Limit::MimeBoundaryMax);
        }
        let boundary = boundary.filter(|text| (1..=longest).contains(&text.len()));
        self.current(|part| {
            part.kind = Kind::Multipart;
            if deep {
                part.damage.add(Damage::OPAQUE);
            } else if boundary.is_none() {
                part.damage.add(Damage::NO_BOUNDARY);
            }
        });
        let level = self.open.len().saturating_sub(1);
        if let Some(boundary) = boundary
            && !deep
            && let Some(open) = self.open.last_mut()
        {
            open.shadowed = self.boundaries.insert(boundary.clone(), level);
            open.boundary = Some(boundary);
        }
    }

    fn open_message(&mut self) {
        let (depth, full) =
            (self.open.len() >= self.limits.depth, self.parts.len() >= self.limits.parts);
        let deep = depth || full;
        if deep {
            self.is_beyond(if depth { Limit::MimeDepthMax } else { Limit::MimePartsMax });
        }
        let mut opens = false;
        self.current(|part| {
            opens = !deep && Encoding::of(&part.encoding).is_identity();
            if opens {
                part.kind = Kind::Message;
                part.summary = Some(Box::default());
            } else {
                part.damage.add(if deep { Damage::OPAQUE } else { Damage::ENCODED_MESSAGE });
                let params = mem::take(&mut part.media.params);
                part.media = Media::new("application", "octet-stream", params);
            }
        });
        if opens {
            self.begin_part(self.offset);
        }
    }

    /// If the part being read is the root of a message, its header makes a summary.
    fn summarise(&mut self, header: &[u8]) {
        let limits = self.limits;
        if self.open.len() == 1 {
            let (left, beyond) = (&mut self.addresses_left, &mut self.beyond);
            self.summary = Summary::read(header, left, &limits, beyond);
            self.summary.add_keys(header, &limits, beyond);
        } else if let Some(parent) = self.parent()
            && parent.kind == Kind::Message
        {
            let (left, beyond) = (&mut self.addresses_left, &mut self.beyond);
            let summary = Summary::read(header, left, &limits, beyond);
            if let Some(parent) = self.parent() {
                parent.summary = Some(Box::new(summary));
            }
        }
    }

    /// A part of a digest is a message if it does not say otherwise (RFC 2046 §5.1.5).
    fn default_media(&mut self) -> fn() -> Media {
        match self.parent() {
            Some(parent) if parent.media.is("multipart", "digest") => {
                || Media::new("message", "rfc822", Vec::new())
            }
            _ => Media::plain_text,
        }
    }

    /// Ends all parts from this place in `open` on; the current line begins behind them.
    fn close(&mut self, level: usize) {
        while !self.in_body {
            self.damage(Damage::HEADER_OPEN);
            self.end_header();
        }
        let before_delimiter = self.offset.saturating_sub(self.ending);
        let mut end = before_delimiter;
        while self.open.len() > level {
            let unclosed = self.open.last().is_some_and(|open| open.boundary.is_some());
            self.forget_boundary(self.open.len().saturating_sub(1));
            let Some(open) = self.open.pop() else { return };
            let count = self.parts.len();
            let Some(part) = self.parts.get_mut(open.part) else { return };
            end = end.max(part.body);
            let last_line_counts = self.ending == 0 || end > before_delimiter;
            let line_ends = self.line_ends.saturating_sub(u64::from(!last_line_counts));
            part.lines = line_ends.saturating_sub(part.lines);
            part.end = end;
            part.size = count.saturating_sub(open.part);
            if part.kind == Kind::Multipart {
                part.damage.add(if unclosed { Damage::OPEN_END } else { Damage::default() });
                if part.size == 1 {
                    part.size = 2;
                    part.damage.add(Damage::NO_PARTS);
                    let only = only_child(part, &self.limits);
                    self.parts.push(only);
                }
            }
        }
    }

    fn forget_boundary(&mut self, level: usize) {
        let Some(open) = self.open.get_mut(level) else { return };
        let Some(boundary) = open.boundary.take() else { return };
        looked_at(1);
        match open.shadowed.take() {
            Some(outer) => self.boundaries.insert(boundary, outer),
            None => self.boundaries.remove(&boundary),
        };
    }

    fn note(&mut self, octets: Octets) {
        if octets != Octets::default() {
            let in_body = self.in_body;
            self.current(|part| {
                let place = if in_body { &mut part.octets } else { &mut part.header_octets };
                *place = place.with(octets);
            });
        }
    }

    fn damage(&mut self, damage: Damage) {
        self.current(|part| part.damage.add(damage));
    }

    /// Does something to the part being read.
    fn current(&mut self, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.open.last().and_then(|open| self.parts.get_mut(open.part)) {
            change(part);
        }
    }

    fn parent(&mut self) -> Option<&mut Part> {
        let place = self.open.len().checked_sub(2)?;
        self.parts.get_mut(self.open.get(place)?.part)
    }
}

/// Stands for the parts of a multipart in which none was found.
fn only_child(multipart: &Part, limits: &Limits) -> Part {
    let mut child = Part {
        size: 1,
        header: multipart.body,
        body: multipart.body,
        end: multipart.end,
        lines: multipart.lines,
        octets: multipart.octets,
        ..Part::default()
    };
    describe(&mut child, b"", Media::plain_text, limits, &mut Vec::new());
    child
}

#[cfg(test)]
mod tests;
