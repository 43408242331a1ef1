//! Percent-encoding (RFC 3986 §2.1) of texts in UTF-8.

use std::fmt::{self, Write as _};

use super::UrlError;

/// Decodes a text in which every octet is one of these or encoded.
pub(super) fn decode(
    text: &str,
    allowed: fn(u8) -> bool,
    what: &'static str,
) -> Result<String, UrlError> {
    let wrong = UrlError::Expected(what);
    let mut decoded = Vec::with_capacity(text.len());
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        decoded.push(match octet {
            b'%' => {
                let mut digit = || octets.next().and_then(hex).ok_or(wrong);
                (digit()? << 4) | digit()?
            }
            octet if allowed(octet) => octet,
            _ => return Err(wrong),
        });
    }
    String::from_utf8(decoded).ok().filter(|text| !text.contains('\0')).ok_or(wrong)
}

/// Writes a text, encoding all octets but these.
pub(super) fn encode(f: &mut fmt::Formatter<'_>, text: &str, bare: fn(u8) -> bool) -> fmt::Result {
    for octet in text.bytes() {
        if bare(octet) {
            f.write_char(char::from(octet))?;
        } else {
            write!(f, "%{octet:02X}")?;
        }
    }
    Ok(())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// `achar`: what may stand in the name of a user.
pub(super) fn achar(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&octet)
}

/// `bchar`: what may stand in the name of a mailbox.
pub(super) fn bchar(octet: u8) -> bool {
    achar(octet) || b":@/".contains(&octet)
}
