//! A header field of eight bits, written in seven so that people and programs still read the same
//! (RFC 6857): text, names and comments as encoded words (RFC 2047), parameters in their extended form
//! (RFC 2231), domains in A-labels. An address whose local part is not ASCII has no other form: it is
//! shown as the name of an empty group. What can be said in no way becomes `?`.
//!
//! Octets that are not UTF-8 are taken for windows-1252, or are called unknown (RFC 1428 §3).

mod addresses;
mod comment;
mod parameters;
mod tokens;
mod words;
mod writer;

use self::{
    tokens::{Kind, Token, tokens},
    writer::{Charset, Writer},
};
use crate::{
    mail::field::{Field, unfold},
    wire::{address::Domain, work::looked_at},
};

/// A longer field is not understood, only made harmless.
const FIELD_MAX: usize = 64 << 10;

/// How a field's value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Text for people (RFC 5322 §2.2.1).
    Text,
    /// Addresses, or phrases between commas.
    Addresses,
    /// A value and its parameters (RFC 2045 §5.1).
    Parameters,
    /// Words for programs, and comments.
    Words,
    /// The same; a field with more eight-bit words than comments goes by another name.
    Ids,
}

impl Form {
    /// RFC 6857 §3.2
    fn of(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"from"
            | b"sender"
            | b"reply-to"
            | b"to"
            | b"cc"
            | b"bcc"
            | b"resent-from"
            | b"resent-sender"
            | b"resent-reply-to"
            | b"resent-to"
            | b"resent-cc"
            | b"resent-bcc"
            | b"return-path"
            | b"disposition-notification-to"
            | b"return-receipt-to"
            | b"mail-followup-to"
            | b"mail-reply-to"
            | b"errors-to"
            | b"keywords" => Self::Addresses,
            b"content-type" | b"content-disposition" => Self::Parameters,
            b"message-id"
            | b"resent-message-id"
            | b"in-reply-to"
            | b"references"
            | b"original-recipient"
            | b"final-recipient" => Self::Ids,
            b"date"
            | b"resent-date"
            | b"received"
            | b"mime-version"
            | b"content-id"
            | b"content-transfer-encoding"
            | b"content-language"
            | b"accept-language"
            | b"auto-submitted" => Self::Words,
            _ => Self::Text,
        }
    }
}

/// Appends the field with its line end; its name must be its own.
pub(super) fn put(field: &Field<'_>, out: &mut Vec<u8>) {
    looked_at(field.raw.len());
    if field.name.is_empty() || !field.name.is_ascii() || field.raw.len() > FIELD_MAX {
        out.extend(masked(field.raw));
        return;
    }
    let value = unfold(field.value);
    let charset = Charset::of(&value);
    let mut name = field.name.to_vec();
    let mut form = Form::of(&name);
    if form == Form::Ids {
        form = if has_eight_bit_words(&value) { Form::Text } else { Form::Words };
        if form == Form::Text {
            // As a last resort (RFC 6857 §3.1.10).
            name.splice(0..0, *b"Downgraded-");
        }
    }
    let mut writer = Writer::begin(out, &name, charset);
    match form {
        Form::Text => words::put(&words::of_text(&value), &mut writer),
        Form::Addresses => addresses::put(&value, &mut writer),
        Form::Parameters => parameters::put(&value, &mut writer),
        Form::Words | Form::Ids => put_words(&tokens(&value, b"<>@,;:="), &mut writer),
    }
    if field.raw.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
}

/// The same octets, `?` for each of eight bits.
pub(super) fn masked(octets: &[u8]) -> impl Iterator<Item = u8> {
    octets.iter().map(|octet| if octet.is_ascii() { *octet } else { b'?' })
}

fn has_eight_bit_words(value: &[u8]) -> bool {
    tokens(value, b"").iter().any(|token| token.kind != Kind::Comment && !token.is_ascii())
}

/// Words that programs read: domains have another form, all else has none.
fn put_words(tokens: &[Token<'_>], writer: &mut Writer<'_>) {
    let mut before = None;
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        let next = rest.peek().map(|next| next.text);
        match token.kind {
            Kind::Comment => comment::put(token, writer),
            _ if token.is_ascii() => writer.put(token.gap, token.text),
            _ => {
                let local = before == Some(&b"<"[..]) || next == Some(b"@");
                let name = token.text.contains(&b'.') && !local;
                let domain = if name { a_labels(token.text) } else { None };
                let word = domain.unwrap_or_else(|| masked(token.text).collect());
                writer.put(token.gap, &word);
            }
        }
        before = Some(token.text);
    }
}

/// A domain without its letters beyond ASCII (RFC 5891).
fn a_labels(domain: &[u8]) -> Option<Vec<u8>> {
    let domain = Domain::parse(std::str::from_utf8(domain).ok()?).ok()?;
    Some(domain.ascii().as_bytes().to_vec())
}

#[cfg(test)]
mod tests;
