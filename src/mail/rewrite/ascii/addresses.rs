//! Address lists (RFC 5322 §3.4, RFC 6857 §3.1.5 to §3.1.8): names as encoded words, domains in
//! A-labels; an address that can't be written in ASCII is shown as the name of an empty group.

use super::{
    a_labels, comment,
    tokens::{Kind, Token, tokens},
    words::{self, Word},
    writer::Writer,
};

/// Writes a list; what in it is ASCII stays as it came.
pub(super) fn put(value: &[u8], writer: &mut Writer<'_>) {
    let all = tokens(value, b"<>,;:@");
    let mut list = List { rest: &all, left: all.iter().filter(|token| token.is(b'>')).count() };
    let mut in_group = false;
    while let Some((item, stop)) = list.next() {
        match stop {
            Some(colon) if colon.is(b':') && !in_group && !item.is_empty() => {
                let mut ahead = list.clone();
                let members = ahead.group();
                if members.clone().any(is_unwritable) {
                    put_phrase(item, writer);
                    writer.encode(b" ", &text(members.rest, true));
                    writer.put(b" ", b":;");
                    list = ahead;
                    continue;
                }
                put_phrase(item, writer);
                in_group = true;
            }
            Some(semicolon) if semicolon.is(b';') => {
                put_item(item, writer);
                in_group = false;
            }
            _ => put_item(item, writer),
        }
        if let Some(stop) = stop {
            writer.put(stop.gap, stop.text);
        }
    }
}

/// What is left of a list.
#[derive(Clone)]
struct List<'l, 'a> {
    rest: &'l [Token<'a>],
    /// How many `>` are still to come: a `<` without one opens nothing.
    left: usize,
}

impl List<'_, '_> {
    /// Takes all up to the `;` of a group, and that too.
    fn group(&mut self) -> Self {
        let mut members = self.clone();
        let mut size = 0_usize;
        for (item, stop) in self.by_ref() {
            size = size.saturating_add(item.len());
            match stop {
                Some(stop) if !stop.is(b';') => size = size.saturating_add(1),
                _ => break,
            }
        }
        members.rest = members.rest.get(..size).unwrap_or_default();
        members
    }
}

impl<'l, 'a> Iterator for List<'l, 'a> {
    /// The tokens of one address or name, and what ends them.
    type Item = (&'l [Token<'a>], Option<&'l Token<'a>>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut in_angle = false;
        for (at, token) in self.rest.iter().enumerate() {
            if token.is(b'<') {
                in_angle |= self.left > 0;
            } else if token.is(b'>') {
                in_angle = false;
                self.left = self.left.saturating_sub(1);
            } else if !in_angle && (token.is(b',') || token.is(b';') || token.is(b':')) {
                let (item, behind) = self.rest.split_at_checked(at)?;
                self.rest = behind.get(1..).unwrap_or_default();
                return Some((item, Some(token)));
            }
        }
        Some((std::mem::take(&mut self.rest), None))
    }
}

/// An address with its name, or words that are none.
struct Parts<'l, 'a> {
    name: &'l [Token<'a>],
    /// With its angle brackets, when it has some.
    address: &'l [Token<'a>],
    behind: &'l [Token<'a>],
    in_angle: bool,
}

impl<'l, 'a> Parts<'l, 'a> {
    fn of(item: &'l [Token<'a>]) -> Self {
        let open = item.iter().position(|token| token.is(b'<'));
        if let Some(open) = open {
            let (name, rest) = item.split_at_checked(open).unwrap_or((item, &[]));
            let close = rest.iter().position(|token| token.is(b'>'));
            let end = close.map_or(rest.len(), |close| close.saturating_add(1));
            let (address, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            return Self { name, address, behind, in_angle: true };
        }
        let (name, address): (&[_], &[_]) =
            if item.iter().any(|token| token.is(b'@')) { (&[], item) } else { (item, &[]) };
        Self { name, address, behind: &[], in_angle: false }
    }

    /// The address alone.
    fn text(&self, with_gaps: bool) -> Vec<u8> {
        let text = text(self.address, with_gaps);
        if !self.in_angle {
            return text;
        }
        let inner = text.strip_prefix(b"<").unwrap_or(&text);
        inner.strip_suffix(b">").unwrap_or(inner).trim_ascii().to_vec()
    }
}

/// Tokens as they came, without comments.
fn text(tokens: &[Token<'_>], with_gaps: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for token in tokens.iter().filter(|token| token.kind != Kind::Comment) {
        if with_gaps {
            text.extend_from_slice(token.gap);
        }
        text.extend_from_slice(token.text);
    }
    text.trim_ascii().to_vec()
}

fn is_unwritable((item, _): (&[Token<'_>], Option<&Token<'_>>)) -> bool {
    let address = Parts::of(item).text(false);
    !address.is_ascii() && in_ascii(&address).is_none()
}

/// The same address with its domain in A-labels, if that is all it needs.
fn in_ascii(address: &[u8]) -> Option<Vec<u8>> {
    let at = address.iter().rposition(|octet| *octet == b'@')?;
    let (local, domain) = address.split_at_checked(at.saturating_add(1))?;
    if !local.is_ascii() {
        return None;
    }
    Some([local, a_labels(domain)?.as_slice()].concat())
}

fn put_item(item: &[Token<'_>], writer: &mut Writer<'_>) {
    let parts = Parts::of(item);
    put_phrase(parts.name, writer);
    let gap = parts.address.first().map_or(&b""[..], |first| first.gap);
    let address = parts.text(false);
    if address.is_ascii() {
        // As it came, comments apart.
        put_phrase(parts.address, writer);
    } else {
        match in_ascii(&address) {
            Some(ascii) if parts.in_angle => writer.put(gap, &[b"<", &*ascii, b">"].concat()),
            Some(ascii) => writer.put(gap, &ascii),
            None => {
                writer.encode(gap, &parts.text(true));
                writer.put(b" ", b":;");
            }
        }
        let comments = parts.address.iter().filter(|token| token.kind == Kind::Comment);
        comments.for_each(|token| comment::put(token, writer));
    }
    put_phrase(parts.behind, writer);
}

/// Words, and comments between them.
fn put_phrase(tokens: &[Token<'_>], writer: &mut Writer<'_>) {
    for part in tokens.chunk_by(|one, next| one.kind != Kind::Comment && next.kind != Kind::Comment)
    {
        match part {
            [token] if token.kind == Kind::Comment => comment::put(token, writer),
            _ => words::put(&part.iter().map(Word::from).collect::<Vec<_>>(), writer),
        }
    }
}
