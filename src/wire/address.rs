//! Mail addresses as values that cannot be wrong (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! A [`LocalPart`] has 1 to 64 octets, a [`Domain`] at most 255, an [`Address`] at most 254, and
//! none of them can hold CR, LF, NUL or any other control character: what was once parsed can be
//! written into a command, a header field or a report without a second look. How a local part was
//! written, quotes included, is kept. What an address means (subinbox, alias, which account) is the
//! business of delivery.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;

/// Octets of a local part (RFC 5321 §4.5.3.1.1).
const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321 §4.5.3.1.2).
const DOMAIN_MAX: usize = 255;
/// Octets of an address: a path of 256 without its angle brackets (RFC 5321 §4.5.3.1.3).
const ADDRESS_MAX: usize = 254;
/// Octets of one label (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

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
    fn read(text: &str) -> Result<(Self, &str), AddressError> {
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
    fn read(text: &str) -> Result<(Self, &str), AddressError> {
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
        let octets = local.0.len().saturating_add(domain.written.len()).saturating_add(1);
        let ascii = local.0.len().saturating_add(domain.ascii.len()).saturating_add(1);
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
        key.push_str(&self.domain.ascii);
        key
    }

    /// True when no way of writing it does without SMTPUTF8: the local part is not ASCII.
    pub fn needs_utf8(&self) -> bool {
        !self.local.0.is_ascii()
    }

    /// The same address with its domain in A-labels, for a peer that lacks SMTPUTF8.
    pub fn with_ascii_domain(&self) -> Cow<'_, Self> {
        if self.domain.written.is_ascii() {
            return Cow::Borrowed(self);
        }
        let ascii = self.domain.ascii.clone();
        let domain = Domain { written: ascii.clone(), ascii };
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

/// The longest start of the text that passes the test, and the rest.
fn span(text: &str, test: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !test(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_print_as_they_were_written() {
        for text in [
            "a@b",
            "john.doe+tag@Example.ORG",
            "\"john doe\"@example.org",
            "\"a\\\"b\\\\@c\"@example.org",
            "\"\"@example.org",
            "user@[192.0.2.1]",
            "user@[IPv6:2001:db8::1]",
            "дядя@почта.рф",
            "o'hara!#$%&*/=?^_`{|}~-@ex_ample.org",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_no_address() {
        for text in [
            "",
            "@",
            "a",
            "a@",
            "@b",
            "a@@b",
            "a b@c",
            "a@b c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@-b",
            "a@b-",
            "<a@b>",
            "\"a@b",
            "\"a\"b@c",
            "\"a\\",
            "\"\\",
            "a@[1.2.3]",
            "a@[1.2.3.4",
            "a@[IPv6:zz]",
            "a@[tag:x]",
            "a\r@b",
            "\"a\r\n\"@b",
            "\"a\0\"@b",
            "a@b\u{85}",
            "a\u{a0}@b",
            "a@b,c@d",
            "(x)a@b",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_hold_to_the_octet() {
        let local = |n: usize| "a".repeat(n);
        assert!(Address::parse(&format!("{}@b", local(64))).is_ok());
        assert_eq!(Address::parse(&format!("{}@b", local(65))), Err(AddressError::TooLong));
        let labels = |n: usize| {
            let mut name = format!("{}.", "b".repeat(63)).repeat(3);
            name.push_str(&"c".repeat(n.saturating_sub(name.len())));
            name
        };
        assert_eq!(labels(252).len(), 252);
        assert!(Address::parse(&format!("a@{}", labels(252))).is_ok());
        assert_eq!(Address::parse(&format!("ab@{}", labels(252))), Err(AddressError::TooLong));
        assert!(Domain::parse(&labels(255)).is_ok());
        assert_eq!(Domain::parse(&"b.".repeat(128)), Err(AddressError::TooLong));
        assert_eq!(Domain::parse(&"b".repeat(64)), Err(AddressError::Domain));
    }

    #[test]
    fn a_quoted_local_part_means_what_stands_between_the_quotes() {
        assert_eq!(address("\"john\"@x").key(), address("John@X").key());
        assert_eq!(address("\"a\\\"b\\c\"@x").local().value(), "a\"bc");
        assert_eq!(address("\"\"@x").local().value(), "");
        assert_eq!(LocalPart::from_value("a b\"c").unwrap().as_str(), "\"a b\\\"c\"");
        assert_eq!(LocalPart::from_value("plain").unwrap().as_str(), "plain");
        assert!(LocalPart::from_value("a\nb").is_err());
    }

    #[test]
    fn domains_are_compared_by_their_a_labels() {
        let unicode = Domain::parse("BÜCHER.example").unwrap();
        assert_eq!(unicode.ascii(), "xn--bcher-kva.example");
        assert_eq!(unicode, Domain::parse("xn--bcher-KVA.example").unwrap());
        assert_eq!(unicode.unicode(), "bücher.example");
        assert_eq!(
            address("a@bücher.example").with_ascii_domain().to_string(),
            "a@xn--bcher-kva.example"
        );
        assert!(!address("a@bücher.example").needs_utf8());
        assert!(address("ä@b").needs_utf8());
    }

    #[test]
    fn keys_fold_case_and_composition() {
        assert_eq!(address("MÜLLER@x").key(), address("mu\u{308}ller@x").key());
        assert_eq!(address("Straße@x").key(), address("STRASSE@x").key());
    }

    #[test]
    fn literals_give_their_address() {
        assert_eq!(Domain::parse("[192.0.2.1]").unwrap().ip(), Some("192.0.2.1".parse().unwrap()));
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(Domain::literal(six).to_string(), "[IPv6:2001:db8::1]");
        assert_eq!(Domain::parse("[ipv6:2001:DB8::1]").unwrap().ip(), Some(six));
        assert_eq!(Domain::parse("example.org").unwrap().ip(), None);
    }

    #[test]
    fn the_null_path_is_the_empty_text() {
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::NULL));
        assert_eq!(ReversePath::NULL.to_string(), "");
        assert_eq!(ReversePath::parse("a@b").unwrap().to_string(), "a@b");
        assert!(ReversePath::parse(" ").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_the_same(text in "\\PC{0,80}") {
            if let Ok(address) = Address::parse(&text) {
                proptest::prop_assert_eq!(address.to_string(), text);
                proptest::prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn every_value_can_be_written_as_a_local_part(value in "[ -~]{0,20}") {
            let local = LocalPart::from_value(&value).unwrap();
            proptest::prop_assert_eq!(local.value(), value.as_str());
        }
    }
}
