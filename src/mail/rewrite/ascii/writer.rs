//! Writes a field piece by piece: folded before its blanks, eight-bit text in encoded words that stand
//! apart from what is around them (RFC 2047 §5).

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Columns of a line with encoded words (RFC 2047 §2).
const COLUMNS: usize = 76;
/// The largest character takes so many columns in either encoding.
const CHARACTER: usize = 12;

/// What eight-bit octets are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf8,
    Windows1252,
    /// RFC 1428 §3
    Unknown,
}

impl Charset {
    /// What these octets can be.
    pub(super) fn of(octets: &[u8]) -> Self {
        let undefined = |octet: &u8| matches!(octet, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
        if std::str::from_utf8(octets).is_ok() {
            Self::Utf8
        } else if octets.iter().any(undefined) {
            Self::Unknown
        } else {
            Self::Windows1252
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1252 => "windows-1252",
            Self::Unknown => "unknown-8bit",
        }
    }
}

/// What was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// The field's name, and a blank.
    Name,
    /// A bracket, behind which an encoded word may stand.
    Bracket,
    Encoded,
    Other,
}

pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    charset: Charset,
    column: usize,
    last: Last,
}

impl<'o> Writer<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>, name: &[u8], charset: Charset) -> Self {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        Self { out, charset, column: name.len().saturating_add(2), last: Last::Name }
    }

    /// A piece that is ASCII, behind its blanks.
    pub(super) fn put(&mut self, gap: &[u8], text: &[u8]) {
        let gap = if gap.is_empty() && self.last == Last::Encoded { b" " } else { gap };
        self.write(gap, text, Last::Other);
    }

    /// A bracket of a comment.
    pub(super) fn bracket(&mut self, gap: &[u8], bracket: u8) {
        self.write(gap, &[bracket], Last::Bracket);
    }

    /// Text of eight bits, in as many encoded words as it needs. No character is parted.
    pub(super) fn encode(&mut self, gap: &[u8], octets: &[u8]) {
        let apart = matches!(self.last, Last::Name | Last::Bracket);
        let mut gap = if gap.is_empty() && !apart { b" " } else { gap };
        let quoted: usize = octets.iter().map(|octet| quoted_size(*octet)).sum();
        // Base64 only where it is much shorter: some people read the other as it is.
        let base64 = base64_size(octets.len()).saturating_add(CHARACTER) < quoted;
        let mut chunk = Vec::new();
        let (mut size, mut room) = (0_usize, self.room(gap));
        for character in characters(octets, self.charset) {
            let more: usize = character.iter().map(|octet| quoted_size(*octet)).sum();
            let all = chunk.len().saturating_add(character.len());
            let needed = if base64 { base64_size(all) } else { size.saturating_add(more) };
            if needed > room && !chunk.is_empty() {
                self.word(gap, &chunk, base64);
                chunk.clear();
                (gap, size) = (b" ", 0);
                room = self.room(gap);
            }
            size = size.saturating_add(more);
            chunk.extend_from_slice(character);
        }
        self.word(gap, &chunk, base64);
    }

    /// Columns for the text of an encoded word: what is left of the line, or a line of its own.
    fn room(&self, gap: &[u8]) -> usize {
        // =? charset ?q? … ?=
        let around = self.charset.name().len().saturating_add(7);
        // An encoded word has 75 columns itself.
        let whole = COLUMNS.saturating_sub(around).saturating_sub(gap.len().max(1));
        let left =
            COLUMNS.saturating_sub(around).saturating_sub(self.column.saturating_add(gap.len()));
        if left < CHARACTER { whole.max(CHARACTER) } else { left.min(whole) }
    }

    fn word(&mut self, gap: &[u8], octets: &[u8], base64: bool) {
        let mut word = format!("=?{}?", self.charset.name());
        if base64 {
            word.push_str("b?");
            STANDARD.encode_string(octets, &mut word);
        } else {
            word.push_str("q?");
            for octet in octets {
                put_quoted(*octet, &mut word);
            }
        }
        word.push_str("?=");
        self.write(gap, word.as_bytes(), Last::Encoded);
    }

    fn write(&mut self, gap: &[u8], text: &[u8], last: Last) {
        let end = self.column.saturating_add(gap.len()).saturating_add(text.len());
        self.column = end;
        if end > COLUMNS && !gap.is_empty() && self.last != Last::Name {
            self.out.extend_from_slice(b"\r\n");
            self.column = gap.len().saturating_add(text.len());
        }
        self.out.extend_from_slice(gap);
        self.out.extend_from_slice(text);
        self.last = last;
    }
}

/// What must not be parted.
fn characters(octets: &[u8], charset: Charset) -> Vec<&[u8]> {
    match std::str::from_utf8(octets) {
        Ok(text) if charset == Charset::Utf8 => {
            text.char_indices().filter_map(|(at, c)| octets.get(at..at + c.len_utf8())).collect()
        }
        _ => octets.chunks(1).collect(),
    }
}

fn base64_size(octets: usize) -> usize {
    octets.div_ceil(3).saturating_mul(4)
}

/// Octets that stand for themselves in a phrase, and so everywhere (RFC 2047 §5, rule 3).
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!*+-/".contains(&octet)
}

fn quoted_size(octet: u8) -> usize {
    if is_plain(octet) || octet == b' ' { 1 } else { 3 }
}

/// The Q encoding (RFC 2047 §4.2).
fn put_quoted(octet: u8, word: &mut String) {
    match octet {
        b' ' => word.push('_'),
        _ if is_plain(octet) => word.push(char::from(octet)),
        _ => {
            let _ = write!(word, "={octet:02X}");
        }
    }
}
