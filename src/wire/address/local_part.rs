//! What stands before the `@` (RFC 5321 §4.1.2, RFC 6531 §3.3).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{borrow::Cow, fmt};

use super::{AddressError, span};

/// Octets of a local part (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;

/// What stands before the `@`, as it was written: a dot-string or a quoted string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// Reads a local part that is the whole text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match Self::read(text)? {
            (local, "") => Ok(local),
            _ => Err(AddressError::LocalPart),
        }
    }

    /// Writes a value as a local part, quoted when it must be.
    pub fn from_value(value: &str) -> Result<Self, AddressError> {
        if let Ok(plain) = Self::parse(value)
            && !value.starts_with('"')
        {
            return Ok(plain);
        }
        let mut quoted = String::with_capacity(value.len().saturating_add(2));
        quoted.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        Self::parse(&quoted)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it says, without the quotes: `"john"@x` and `john@x` are one mailbox
    /// (RFC 5321 §4.1.2).
    pub fn value(&self) -> Cow<'_, str> {
        let Some(inner) = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Cow::Borrowed(&self.0);
        };
        if !inner.contains('\\') {
            return Cow::Borrowed(inner);
        }
        let mut value = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            value.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        Cow::Owned(value)
    }

    /// `Local-part = Dot-string / Quoted-string` at the start of the text, and what follows it.
    pub(super) fn read(text: &str) -> Result<(Self, &str), AddressError> {
        let (local, rest) = match text.strip_prefix('"') {
            Some(quoted) => {
                let inner = quoted_end(quoted).ok_or(AddressError::LocalPart)?;
                text.split_at_checked(inner.saturating_add(2)).ok_or(AddressError::LocalPart)?
            }
            None => span(text, |c| is_atext(c) || c == '.'),
        };
        let dots = !local.starts_with('"') && local.split('.').any(str::is_empty);
        if dots {
            return Err(AddressError::LocalPart);
        }
        if local.len() > LOCAL_PART_MAX {
            return Err(AddressError::TooLong);
        }
        Ok((Self(local.into()), rest))
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where in the text behind the opening quote the closing one stands.
///
/// `Quoted-string = DQUOTE *QcontentSMTP DQUOTE` (RFC 5321 §4.1.2, RFC 6531 §3.3)
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if c.is_control() => return None,
            _ if escaped && !c.is_ascii() => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// `atext` (RFC 5322 §3.2.3), and every other character that is not ASCII, a control or a space.
fn is_atext(c: char) -> bool {
    match c {
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => !c.is_control() && !c.is_whitespace(),
    }
}
