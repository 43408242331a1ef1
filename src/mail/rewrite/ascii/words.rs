//! Words of a text, a phrase or a comment: those of eight bits become encoded words, together with the
//! blanks between them; the others stay.

use super::{
    tokens::{Kind, Token, is_blank},
    writer::Writer,
};
use crate::mail::rewrite::encode::escaped;

/// A word, as it came and as it is meant.
pub(super) struct Word<'a> {
    pub(super) gap: &'a [u8],
    pub(super) raw: &'a [u8],
    pub(super) content: Vec<u8>,
}

impl Word<'_> {
    /// Blanks between it and another one say nothing (RFC 2047 §6.2).
    fn is_encoded(&self) -> bool {
        self.raw.len() > 6 && self.raw.starts_with(b"=?") && self.raw.ends_with(b"?=")
    }

    /// An encoded word whose sender forgot to encode some octets: it has said already what they are.
    fn mended(&self) -> Option<Vec<u8>> {
        if !self.is_encoded() || self.raw.is_ascii() {
            return None;
        }
        let mut parts = self.raw.strip_prefix(b"=?")?.splitn(3, |octet| *octet == b'?');
        let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
        let known = !charset.is_empty() && charset.is_ascii() && matches!(encoding, b"Q" | b"q");
        if !known || text.strip_suffix(b"?=")?.contains(&b'?') {
            return None;
        }
        let mut word = Vec::with_capacity(self.raw.len().saturating_mul(2));
        for octet in self.raw {
            if octet.is_ascii() { word.push(*octet) } else { word.extend(escaped(*octet)) }
        }
        Some(word)
    }
}

impl<'a> From<&Token<'a>> for Word<'a> {
    fn from(token: &Token<'a>) -> Self {
        debug_assert!(token.kind != Kind::Comment, "comments are no words");
        Self { gap: token.gap, raw: token.text, content: token.content() }
    }
}

/// The words of an unstructured value.
pub(super) fn of_text(value: &[u8]) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let begin = rest.iter().position(|octet| !is_blank(*octet)).unwrap_or(rest.len());
        let (gap, behind) = rest.split_at_checked(begin).unwrap_or((rest, b""));
        let end = behind.iter().position(|octet| is_blank(*octet)).unwrap_or(behind.len());
        let (raw, behind) = behind.split_at_checked(end).unwrap_or((behind, b""));
        words.push(Word { gap, raw, content: raw.to_vec() });
        rest = behind;
    }
    words
}

/// Writes words, those of eight bits encoded.
pub(super) fn put(words: &[Word<'_>], writer: &mut Writer<'_>) {
    let encoded = to_be_encoded(words);
    let mut rest = words.iter().zip(encoded).peekable();
    let mut after_encoded = false;
    while let Some((word, encode)) = rest.next() {
        if !encode {
            let mended = word.mended();
            writer.put(word.gap, mended.as_deref().unwrap_or(word.raw));
            after_encoded = word.is_encoded();
            continue;
        }
        let mut octets = if after_encoded { word.gap.to_vec() } else { Vec::new() };
        octets.extend_from_slice(&word.content);
        while let Some((more, _)) = rest.next_if(|(_, encode)| *encode) {
            octets.extend_from_slice(more.gap);
            octets.extend_from_slice(&more.content);
        }
        if let Some((next, _)) = rest.peek().filter(|(next, _)| next.is_encoded()) {
            octets.extend_from_slice(next.gap);
        }
        writer.encode(word.gap, &octets);
        after_encoded = false;
    }
}

/// Which words are of eight bits, or stand so close to one that they cannot be parted from it.
fn to_be_encoded(words: &[Word<'_>]) -> Vec<bool> {
    let eight_bit = |word: &Word<'_>| !word.content.is_ascii() && word.mended().is_none();
    let mut encoded: Vec<_> = words.iter().map(eight_bit).collect();
    let mut before = false;
    for (slot, word) in encoded.iter_mut().zip(words) {
        *slot |= before && word.gap.is_empty();
        before = *slot;
    }
    let mut close = false;
    for (slot, word) in encoded.iter_mut().zip(words).rev() {
        *slot |= close;
        close = *slot && word.gap.is_empty();
    }
    encoded
}
