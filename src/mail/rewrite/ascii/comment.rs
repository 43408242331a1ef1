//! A comment (RFC 5322 §3.2.2): its words of eight bits become encoded words, its brackets stay.

use super::{
    tokens::{Token, is_blank, unquoted},
    words::{self, Word},
    writer::Writer,
};

/// Writes a comment; one that was open is closed.
pub(super) fn put(comment: &Token<'_>, writer: &mut Writer<'_>) {
    let mut depth = 0_usize;
    let mut gap = comment.gap;
    let mut rest = comment.text;
    let mut held: Vec<Word<'_>> = Vec::new();
    while let Some(first) = rest.first() {
        if matches!(first, b'(' | b')') {
            words::put(&std::mem::take(&mut held), writer);
            writer.bracket(gap, *first);
            depth = if *first == b'(' { depth.saturating_add(1) } else { depth.saturating_sub(1) };
            (gap, rest) = after_blanks(rest.get(1..).unwrap_or_default());
            continue;
        }
        let (raw, behind) = rest.split_at_checked(word_size(rest)).unwrap_or((rest, b""));
        held.push(Word { gap, raw, content: unquoted(raw) });
        (gap, rest) = after_blanks(behind);
    }
    words::put(&held, writer);
    for _ in 0..depth {
        writer.bracket(b"", b')');
    }
}

fn after_blanks(text: &[u8]) -> (&[u8], &[u8]) {
    let size = text.iter().position(|octet| !is_blank(*octet)).unwrap_or(text.len());
    text.split_at_checked(size).unwrap_or((text, b""))
}

fn word_size(text: &[u8]) -> usize {
    let mut all = text.iter().enumerate();
    while let Some((at, octet)) = all.next() {
        if is_blank(*octet) || matches!(octet, b'(' | b')') {
            return at;
        }
        if *octet == b'\\' {
            all.next();
        }
    }
    text.len()
}
