//! What stands behind the `@`: a name, or an address in brackets (RFC 5321 §4.1.2, §4.1.3).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::{AddressError, span};

/// Octets of a domain (RFC 5321 §4.5.3.1.2).
const DOMAIN_MAX: usize = 255;
/// Octets of one label (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// A domain name or an address literal, as it was written; two are equal when they name the same.
#[derive(Clone, Debug)]
pub struct Domain {
    written: Box<str>,
    /// A-labels in lower case, or the literal.
    ascii: Box<str>,
}

impl Domain {
    /// Reads a domain or an address literal that is the whole text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match Self::read(text)? {
            (domain, "") => Ok(domain),
            _ => Err(AddressError::Domain),
        }
    }

    /// The literal for an IP address (RFC 5321 §4.1.3).
    pub fn literal(ip: IpAddr) -> Self {
        let text: Box<str> = match ip.to_canonical() {
            IpAddr::V4(ip) => format!("[{ip}]").into(),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]").into(),
        };
        Self { ascii: text.to_ascii_lowercase().into(), written: text }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// In A-labels and lower case: what goes to DNS, and how domains are compared.
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// The same domain, written in A-labels.
    pub(super) fn to_ascii(&self) -> Self {
        let ascii = self.ascii.clone();
        Self { written: ascii.clone(), ascii }
    }

    /// In U-labels, for people.
    pub fn unicode(&self) -> Cow<'_, str> {
        if self.ascii.contains("xn--") {
            Cow::Owned(idna::domain_to_unicode(&self.ascii).0)
        } else {
            Cow::Borrowed(&self.ascii)
        }
    }

    /// The address of a literal; None for a name.
    pub fn ip(&self) -> Option<IpAddr> {
        literal_ip(self.ascii.strip_prefix('[')?.strip_suffix(']')?)
    }

    /// `Domain / address-literal` at the start of the text, and what follows it.
    pub(super) fn read(text: &str) -> Result<(Self, &str), AddressError> {
        if let Some(inner) = text.strip_prefix('[') {
            let (inner, rest) = inner.split_once(']').ok_or(AddressError::Domain)?;
            literal_ip(inner).ok_or(AddressError::Domain)?;
            let written: Box<str> = format!("[{inner}]").into();
            return Ok((Self { ascii: written.to_ascii_lowercase().into(), written }, rest));
        }
        let (name, rest) = span(text, is_domain_char);
        if name.is_empty() {
            return Err(AddressError::Domain);
        }
        if name.len() > DOMAIN_MAX {
            return Err(AddressError::TooLong);
        }
        let ascii: Box<str> = if name.is_ascii() {
            name.to_ascii_lowercase().into()
        } else {
            let deny = idna::AsciiDenyList::URL;
            let ascii = idna::domain_to_ascii_cow(name.as_bytes(), deny);
            ascii.map_err(|_| AddressError::Domain)?.into()
        };
        if ascii.len() > DOMAIN_MAX {
            return Err(AddressError::TooLong);
        }
        if !ascii.split('.').all(is_label) {
            return Err(AddressError::Domain);
        }
        Ok((Self { written: name.into(), ascii }, rest))
    }
}

impl PartialEq for Domain {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for Domain {}

impl Hash for Domain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ascii.hash(state);
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// What can stand in a domain: letters, digits, hyphen, dot, U-labels, and the underscore that real
/// host names have.
fn is_domain_char(c: char) -> bool {
    matches!(c, '-' | '.' | '_')
        || if c.is_ascii() {
            c.is_ascii_alphanumeric()
        } else {
            !c.is_control() && !c.is_whitespace()
        }
}

/// `sub-domain = Let-dig [Ldh-str]` (RFC 5321 §4.1.2), at most 63 octets.
fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= LABEL_MAX
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What stands between the brackets of an address literal (RFC 5321 §4.1.3).
fn literal_ip(inner: &str) -> Option<IpAddr> {
    match inner.split_once(':') {
        Some((tag, ip)) if tag.eq_ignore_ascii_case("IPv6") => {
            ip.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}
