//! A value and its parameters (RFC 2045 §5.1): parameters of eight bits are written in the extended
//! form, long ones in pieces (RFC 2231 §3, §4).

use std::{collections::HashMap, fmt::Write as _};

use super::{
    comment, masked, put_words,
    tokens::{Kind, Token, tokens},
    writer::{Charset, Writer},
};
use crate::mail::words::hex;

/// Columns of one piece of a value.
const PIECE: usize = 50;
/// A parameter with a longer name is only made harmless.
const NAME_MAX: usize = 60;

/// No character set has a longer name.
const CHARSET_MAX: usize = 40;

/// Writes a value; parameters that are ASCII stay as they came.
pub(super) fn put(value: &[u8], writer: &mut Writer<'_>) {
    let all = tokens(value, b";=");
    let mut segments = all.split(|token| token.is(b';'));
    put_words(segments.next().unwrap_or_default(), writer);
    let parameters: Vec<_> = segments.map(Parameter::read).collect();
    let mut extended: HashMap<&[u8], Vec<&Parameter<'_, '_>>> = HashMap::new();
    for parameter in parameters.iter().filter(|parameter| !parameter.value.is_ascii()) {
        if parameter.can_be_extended() {
            extended.entry(parameter.base.as_slice()).or_default();
        }
    }
    for parameter in &parameters {
        if let Some(pieces) = extended.get_mut(parameter.base.as_slice()) {
            pieces.push(parameter);
        }
    }
    for parameter in &parameters {
        match extended.get_mut(parameter.base.as_slice()) {
            None => {
                writer.put(b"", b";");
                put_words(parameter.tokens, writer);
            }
            // All pieces are written where the first one stood.
            Some(pieces) => put_extended(std::mem::take(pieces), writer),
        }
    }
}

/// `parameter = regular-parameter / extended-parameter` (RFC 2231 §7), perhaps one piece of it.
struct Parameter<'l, 'a> {
    tokens: &'l [Token<'a>],
    /// The name in small letters, without the marks of its form.
    base: Vec<u8>,
    /// Which piece it is.
    number: u32,
    is_extended: bool,
    /// What it says, quotes taken off.
    value: Vec<u8>,
}

impl<'l, 'a> Parameter<'l, 'a> {
    fn read(tokens: &'l [Token<'a>]) -> Self {
        let equals = tokens.iter().position(|token| token.is(b'=')).unwrap_or(tokens.len());
        let (name, value) = tokens.split_at_checked(equals).unwrap_or((tokens, &[]));
        let words = |tokens: &'l [Token<'a>]| tokens.iter().filter(|t| t.kind != Kind::Comment);
        let name: Vec<u8> = words(name).flat_map(|token| token.text.to_ascii_lowercase()).collect();
        let mut content = Vec::new();
        for token in words(value.get(1..).unwrap_or_default()) {
            if !content.is_empty() {
                content.extend_from_slice(token.gap);
            }
            content.extend(token.content());
        }
        let (base, is_extended) = name.strip_suffix(b"*").map_or((&*name, false), |n| (n, true));
        let (base, number) = numbered(base).unwrap_or((base, 0));
        Self { tokens, base: base.to_vec(), number, is_extended, value: content }
    }

    fn can_be_extended(&self) -> bool {
        let plain = self.base.iter().all(|b| b.is_ascii_graphic() && !b"*'%\"(),".contains(b));
        plain && !self.base.is_empty() && self.base.len() <= NAME_MAX
    }
}

/// `section = "*" number` behind a name.
fn numbered(name: &[u8]) -> Option<(&[u8], u32)> {
    let star = name.iter().rposition(|octet| *octet == b'*')?;
    let (base, number) = name.split_at_checked(star)?;
    let number = std::str::from_utf8(number.get(1..)?).ok()?;
    Some((base, number.parse().ok()?))
}

/// Writes a parameter whole, whatever pieces it came in.
fn put_extended(mut pieces: Vec<&Parameter<'_, '_>>, writer: &mut Writer<'_>) {
    pieces.sort_by_key(|piece| piece.number);
    let Some(first) = pieces.first() else { return };
    let name = first.base.clone();
    let comments = pieces.iter().flat_map(|piece| piece.tokens);
    let comments = comments.filter(|token| token.kind == Kind::Comment);
    if name == b"boundary" {
        // It must be what the lines between the parts say, where the same is done.
        let value: Vec<u8> = masked(&first.value).collect();
        writer.put(b"", b";");
        writer.put(b" ", &[b"boundary=\"", &*escaped(&value), b"\""].concat());
        return comments.for_each(|token| comment::put(token, writer));
    }
    let (mut charset, mut octets) = (None, Vec::new());
    for (at, piece) in pieces.iter().enumerate() {
        let mut value = piece.value.as_slice();
        if at == 0 && piece.is_extended {
            let mut parts = value.splitn(3, |octet| *octet == b'\'');
            if let (Some(named), Some(_language), Some(rest)) =
                (parts.next(), parts.next(), parts.next())
            {
                let token = (1..=CHARSET_MAX).contains(&named.len())
                    && named.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(b));
                charset = std::str::from_utf8(named).ok().filter(|_| token).map(str::to_owned);
                value = rest;
            }
        }
        if piece.is_extended { percent_decode(value, &mut octets) } else { octets.extend(value) }
    }
    let charset = charset.unwrap_or_else(|| Charset::of(&octets).name().to_owned());
    let pieces = percent_encode(&octets, &charset);
    let alone = pieces.len() == 1;
    for (number, piece) in pieces.iter().enumerate() {
        let name = String::from_utf8_lossy(&name);
        let text =
            if alone { format!("{name}*={piece}") } else { format!("{name}*{number}*={piece}") };
        writer.put(b"", b";");
        writer.put(b" ", text.as_bytes());
    }
    comments.for_each(|token| comment::put(token, writer));
}

/// For a quoted string.
fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for octet in value {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out
}

fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value.iter().copied();
    while let Some(octet) = rest.next() {
        let mut ahead = rest.clone();
        match (octet, ahead.next().and_then(hex), ahead.next().and_then(hex)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                rest = ahead;
            }
            _ => out.push(octet),
        }
    }
}

/// `extended-initial-value` and what follows it (RFC 2231 §7), in short pieces.
fn percent_encode(octets: &[u8], charset: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = format!("{charset}''");
    for octet in octets {
        if piece.len() >= PIECE {
            pieces.push(std::mem::take(&mut piece));
        }
        // `attribute-char` (RFC 2231 §7), less what old readers stumble over.
        if octet.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(octet) {
            piece.push(char::from(*octet));
        } else {
            let _ = write!(piece, "%{octet:02X}");
        }
    }
    pieces.push(piece);
    pieces
}
