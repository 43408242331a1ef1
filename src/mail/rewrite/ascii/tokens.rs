//! What a structured value is made of, each piece with the blanks before it: nothing is lost, so that
//! what needs no other form can be written as it came.

use crate::wire::work::looked_at;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An atom, or a domain literal with its brackets.
    Word,
    /// A string with its quotes.
    Quoted,
    /// A comment with its brackets.
    Comment,
    /// One of the octets that part words here.
    Special,
}

/// A piece of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) gap: &'a [u8],
    pub(super) text: &'a [u8],
    pub(super) kind: Kind,
}

impl Token<'_> {
    pub(super) fn is(&self, special: u8) -> bool {
        self.kind == Kind::Special && self.text == [special]
    }

    pub(super) fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// What it says, without quotes and quoting.
    pub(super) fn content(&self) -> Vec<u8> {
        match self.kind {
            Kind::Quoted => {
                let inner = self.text.strip_prefix(b"\"").unwrap_or(self.text);
                unquoted(inner.strip_suffix(b"\"").unwrap_or(inner))
            }
            _ => self.text.to_vec(),
        }
    }
}

/// Takes the backslash off each quoted pair.
pub(super) fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(octet) = rest.next() {
        let octet = if *octet == b'\\' { rest.next().unwrap_or(octet) } else { octet };
        content.push(*octet);
    }
    content
}

/// Parts an unfolded value; `specials` part words and are pieces of their own.
pub(super) fn tokens<'a>(value: &'a [u8], specials: &[u8]) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    let mut rest = value;
    loop {
        let (gap, behind) = split(rest, rest.iter().position(|octet| !is_blank(*octet)));
        let Some(first) = behind.first() else { return tokens };
        let (size, kind) = match first {
            b'(' => (comment_size(behind), Kind::Comment),
            b'"' => (size_to(behind, b'"'), Kind::Quoted),
            b'[' => (size_to(behind, b']'), Kind::Word),
            octet if specials.contains(octet) => (1, Kind::Special),
            _ => {
                let ends = |octet: &u8| {
                    is_blank(*octet) || specials.contains(octet) || matches!(octet, b'(' | b'"')
                };
                (behind.iter().position(ends).unwrap_or(behind.len()), Kind::Word)
            }
        };
        looked_at(gap.len().saturating_add(size));
        let (text, behind) = split(behind, Some(size));
        tokens.push(Token { gap, text, kind });
        rest = behind;
    }
}

pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Everything is in front when no place is given.
fn split(octets: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    octets.split_at_checked(at.unwrap_or(octets.len())).unwrap_or((octets, b""))
}

/// Up to and with the closing octet; an open one goes to the end.
fn size_to(octets: &[u8], close: u8) -> usize {
    let mut all = octets.iter().enumerate().skip(1);
    while let Some((at, octet)) = all.next() {
        if *octet == close {
            return at.saturating_add(1);
        }
        if *octet == b'\\' {
            all.next();
        }
    }
    octets.len()
}

fn comment_size(octets: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut all = octets.iter().enumerate();
    while let Some((at, octet)) = all.next() {
        match octet {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b'\\' => {
                all.next();
            }
            _ => {}
        }
        if depth == 0 {
            return at.saturating_add(1);
        }
    }
    octets.len()
}
