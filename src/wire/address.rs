//! Mail addresses as values that cannot be wrong (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! A [`LocalPart`] has 1 to 64 octets, a [`Domain`] at most 255, an [`Address`] at most 254, and
//! none of them can hold CR, LF, NUL or any other control character: what was once parsed can be
//! written into a command, a header field or a report without a second look. How a local part was
//! written, quotes included, is kept. What an address means (subinbox, alias, which account) is the
//! business of delivery.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod domain;
mod local_part;

use std::{borrow::Cow, fmt, str::FromStr};

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;

pub use self::{domain::Domain, local_part::LocalPart};

/// Octets of an address: a path of 256 without its angle brackets (RFC 5321 §4.5.3.1.3).
const ADDRESS_MAX: usize = 254;

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The part before the `@` breaks the grammar.
    #[error("bad local part")]
    LocalPart,
    /// The part behind the `@` breaks the grammar.
    #[error("bad domain")]
    Domain,
    /// There is no `@` between two parts.
    #[error("no @ in the address")]
    NoAt,
    /// Something follows the address.
    #[error("text behind the address")]
    Trailing,
    /// Longer than SMTP allows.
    #[error("address too long")]
    TooLong,
}

/// `Mailbox = Local-part "@" ( Domain / address-literal )` (RFC 5321 §4.1.2)
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    local: LocalPart,
    domain: Domain,
}

impl Address {
    /// Reads an address that is the whole text, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match Self::read(text)? {
            (address, "") => Ok(address),
            _ => Err(AddressError::Trailing),
        }
    }

    /// Joins two parts; only their sum can be too long.
    pub fn new(local: LocalPart, domain: Domain) -> Result<Self, AddressError> {
        let octets = local.as_str().len().saturating_add(domain.as_str().len()).saturating_add(1);
        let ascii = local.as_str().len().saturating_add(domain.ascii().len()).saturating_add(1);
        if octets.max(ascii) > ADDRESS_MAX {
            return Err(AddressError::TooLong);
        }
        Ok(Self { local, domain })
    }

    /// An address at the start of the text, and what follows it.
    pub fn read(text: &str) -> Result<(Self, &str), AddressError> {
        let (local, rest) = LocalPart::read(text)?;
        let rest = rest.strip_prefix('@').ok_or(AddressError::NoAt)?;
        let (domain, rest) = Domain::read(rest)?;
        Ok((Self::new(local, domain)?, rest))
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &LocalPart {
        &self.local
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// How addresses of this house are looked up: the local part's value in NFC and casefolded, the
    /// domain in A-labels. Only our own addresses may be compared so; elsewhere case may matter.
    pub fn key(&self) -> String {
        let value = self.local.value();
        let mut key = if value.is_ascii() {
            value.to_ascii_lowercase()
        } else {
            let nfc = ComposingNormalizerBorrowed::new_nfc();
            let folded = CaseMapper::new().fold_string(&nfc.normalize(&value)).into_owned();
            nfc.normalize(&folded).into_owned()
        };
        key.push('@');
        key.push_str(self.domain.ascii());
        key
    }

    /// True when no way of writing it does without SMTPUTF8: the local part is not ASCII.
    pub fn needs_utf8(&self) -> bool {
        !self.local.as_str().is_ascii()
    }

    /// The same address with its domain in A-labels, for a peer that lacks SMTPUTF8.
    pub fn with_ascii_domain(&self) -> Cow<'_, Self> {
        if self.domain.as_str().is_ascii() {
            return Cow::Borrowed(self);
        }
        let domain = self.domain.to_ascii();
        Cow::Owned(Self { local: self.local.clone(), domain })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// Where failures are reported to; `<>` for mail that must not be answered (RFC 5321 §3.6.3).
/// Displayed without angle brackets: the null path is the empty text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReversePath(pub Option<Address>);

impl ReversePath {
    /// `<>`
    pub const NULL: Self = Self(None);

    /// Reads what [`fmt::Display`] wrote: an address, or nothing for the null path.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self::NULL) } else { Address::parse(text).map(|a| Self(Some(a))) }
    }

    /// True for `<>`.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The address, when there is one.
    pub fn address(&self) -> Option<&Address> {
        self.0.as_ref()
    }
}

impl From<Address> for ReversePath {
    fn from(address: Address) -> Self {
        Self(Some(address))
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |address| address.fmt(f))
    }
}

/// The longest start of the text that passes the test, and the rest.
fn span(text: &str, test: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !test(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests;
