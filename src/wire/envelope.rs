//! SMTP's envelope: who sent a message, who shall get it, and what is asked of those who carry it.
//!
//! The values of MAIL's and RCPT's parameters, read and written (RFC 3461, RFC 6152, RFC 3030,
//! RFC 6533). Which commands and replies they travel in is the business of the doors and of the
//! queue. No value here can hold CR, LF, NUL or another control character.

use std::fmt::{self, Write as _};

use super::address::{Address, ReversePath};

/// Octets of a decoded ENVID (RFC 3461 §4.4).
const ENVID_MAX: usize = 100;
/// Octets of a decoded ORCPT (RFC 3461 §4.2).
const ORCPT_MAX: usize = 500;

/// A parameter's value breaks its grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad value of {0}")]
pub struct BadValue(pub &'static str);

/// Who sent a message, who shall get it, and what was asked along with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Where failures are reported to.
    pub reverse_path: ReversePath,
    /// Who shall get it, in the order of the commands.
    pub recipients: Vec<Recipient>,
    /// RET: how much of the message a report returns.
    pub ret: Option<Ret>,
    /// ENVID, decoded.
    pub envid: Option<EnvId>,
    /// BODY: what octets the message holds.
    pub body: Body,
    /// SMTPUTF8: addresses or header fields hold UTF-8 (RFC 6531 §3.4).
    pub utf8: bool,
}

/// One RCPT command's address and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward path.
    pub address: Address,
    /// NOTIFY: what the sender wants to hear of; None when it did not say.
    pub notify: Option<Notify>,
    /// ORCPT: the address as the sender's first server had it.
    pub orcpt: Option<Orcpt>,
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }
}

/// `body-value = "7BIT" / "8BITMIME" / "BINARYMIME"` (RFC 6152 §2, RFC 3030 §3)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Body {
    /// ASCII in lines.
    #[default]
    SevenBit,
    /// Any octet but NUL, in lines.
    EightBit,
    /// Any octet, and no lines.
    Binary,
}

impl Body {
    /// Reads a value of BODY; the misprint `BINARY` of old papers is understood.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        match text.to_ascii_uppercase().as_str() {
            "7BIT" => Ok(Self::SevenBit),
            "8BITMIME" => Ok(Self::EightBit),
            "BINARYMIME" | "BINARY" => Ok(Self::Binary),
            _ => Err(BadValue("BODY")),
        }
    }

    /// The value as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBit => "8BITMIME",
            Self::Binary => "BINARYMIME",
        }
    }
}

/// `ret-value = "FULL" / "HDRS"` (RFC 3461 §4.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header only.
    Headers,
}

impl Ret {
    /// Reads a value of RET.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Ok(Self::Full),
            "HDRS" => Ok(Self::Headers),
            _ => Err(BadValue("RET")),
        }
    }

    /// The value as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

/// What the sender wants to hear of a recipient's fate: nothing at all when all are false
/// (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// When it was delivered.
    pub success: bool,
    /// When it failed for good.
    pub failure: bool,
    /// When it takes long.
    pub delay: bool,
}

impl Notify {
    /// NEVER.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
    /// What holds when the sender did not say: failures and long delays.
    pub const UNSAID: Self = Self { success: false, failure: true, delay: true };

    /// `notify-esmtp-value = "NEVER" / 1#notify-list-element` (RFC 3461 §4.1)
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let mut notify = Self::NEVER;
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return Err(BadValue("NOTIFY")),
            }
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let mut between = "";
        for (_, word) in words.into_iter().filter(|(said, _)| *said) {
            write!(f, "{between}{word}")?;
            between = ",";
        }
        if between.is_empty() { f.write_str("NEVER") } else { Ok(()) }
    }
}

/// The sender's own name for this transaction, decoded: printable ASCII (RFC 3461 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvId(Box<str>);

impl EnvId {
    /// Reads a value of ENVID, which is xtext.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let value = xtext_decode(text).ok_or(BadValue("ENVID"))?;
        Self::from_value(&value)
    }

    /// Takes a decoded value.
    pub fn from_value(value: &str) -> Result<Self, BadValue> {
        let printable = value.bytes().all(|b| matches!(b, b' '..=b'~'));
        if value.is_empty() || value.len() > ENVID_MAX || !printable {
            return Err(BadValue("ENVID"));
        }
        Ok(Self(value.into()))
    }

    /// The decoded value.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value as xtext.
    pub fn encode(&self) -> String {
        xtext_encode(&self.0)
    }
}

/// `original-recipient-address = addr-type ";" xtext` (RFC 3461 §4.2), decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orcpt {
    addr_type: Box<str>,
    address: Box<str>,
}

impl Orcpt {
    /// Reads a value of ORCPT. With addr-type `utf-8` the address may also be written by the forms
    /// of RFC 6533 §3.
    pub fn parse(text: &str) -> Result<Self, BadValue> {
        let bad = BadValue("ORCPT");
        let (addr_type, address) = text.split_once(';').ok_or(bad)?;
        let address = if addr_type.eq_ignore_ascii_case("utf-8") {
            utf8_decode(&utf8_or_xtext(address).ok_or(bad)?).ok_or(bad)?
        } else {
            xtext_decode(address).ok_or(bad)?
        };
        Self::new(addr_type, &address)
    }

    /// Takes decoded values.
    pub fn new(addr_type: &str, address: &str) -> Result<Self, BadValue> {
        let is_atom = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let well_formed = !addr_type.is_empty()
            && addr_type.bytes().all(is_atom)
            && !address.is_empty()
            && !address.chars().any(char::is_control);
        if !well_formed || addr_type.len().saturating_add(address.len()) > ORCPT_MAX {
            return Err(BadValue("ORCPT"));
        }
        Ok(Self { addr_type: addr_type.into(), address: address.into() })
    }

    /// What kind of address it is; `rfc822` for one of the Internet's.
    pub fn addr_type(&self) -> &str {
        &self.addr_type
    }

    /// The address, decoded.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The value as it is written in a command of 7 bits.
    pub fn encode(&self) -> String {
        let mut text = format!("{};", self.addr_type);
        if self.addr_type.eq_ignore_ascii_case("utf-8") {
            text.push_str(&utf8_encode(&self.address));
        } else {
            text.push_str(&xtext_encode(&self.address));
        }
        text
    }
}

/// `xtext = *( xchar / "+" 2(HEXDIG) )` (RFC 3461 §4), decoded; None when it breaks the grammar or
/// does not give UTF-8. Lower case digits are let through.
pub fn xtext_decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push(hex(rest.next()?)? << 4 | hex(rest.next()?)?),
            b'=' => return None,
            b'!'..=b'~' => octets.push(octet),
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

/// Writes a value as xtext (RFC 3461 §4).
pub fn xtext_encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        match octet {
            b'+' | b'=' => _ = write!(text, "+{octet:02X}"),
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => _ = write!(text, "+{octet:02X}"),
        }
    }
    text
}

/// Undoes xtext where the text is ASCII; `utf-8-addr-unitext` has nothing to undo (RFC 6533 §3).
fn utf8_or_xtext(text: &str) -> Option<String> {
    if text.is_ascii() { xtext_decode(text) } else { Some(text.to_owned()) }
}

/// `EmbeddedUnicodeChar = "\x{" HEXPOINT "}"` (RFC 6533 §3), decoded.
fn utf8_decode(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        let (point, after) = after.split_once('}')?;
        value.push_str(before);
        value.push(char::from_u32(u32::from_str_radix(point, 16).ok()?)?);
        rest = after;
    }
    value.push_str(rest);
    Some(value)
}

/// `utf-8-addr-xtext` (RFC 6533 §3): what 7 bits can carry.
fn utf8_encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | '+' | '=' => _ = write!(text, "\\x{{{:02X}}}", u32::from(c)),
            '!'..='~' => text.push(c),
            _ => _ = write!(text, "\\x{{{:02X}}}", u32::from(c)),
        }
    }
    text
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_they_are_read() {
        for text in ["NEVER", "SUCCESS", "SUCCESS,FAILURE,DELAY", "FAILURE,DELAY"] {
            assert_eq!(Notify::parse(text).unwrap().to_string(), text);
        }
        for text in ["7BIT", "8BITMIME", "BINARYMIME"] {
            assert_eq!(Body::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(Ret::parse("hdrs"), Ok(Ret::Headers));
        assert!(Notify::parse("NEVER,SUCCESS").is_err());
        assert!(Notify::parse("").is_err());
    }

    #[test]
    fn an_original_recipient_is_xtext_behind_its_type() {
        let orcpt = Orcpt::parse("rfc822;Bob+2Btag@example.com").unwrap();
        assert_eq!((orcpt.addr_type(), orcpt.address()), ("rfc822", "Bob+tag@example.com"));
        assert_eq!(orcpt.encode(), "rfc822;Bob+2Btag@example.com");
        for bad in ["bob@x", ";bob@x", "rfc822;", "rfc822;a+0D+0Ab", "rfc822;a+4", "rfc822;a=b"] {
            assert!(Orcpt::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_international_original_recipient_travels_in_seven_bits() {
        let orcpt = Orcpt::parse("utf-8;\\x{434}@x").unwrap();
        assert_eq!(orcpt.address(), "д@x");
        assert_eq!(orcpt.encode(), "utf-8;\\x{434}@x");
        assert_eq!(Orcpt::parse("utf-8;д@x").unwrap(), orcpt);
        assert!(Orcpt::parse("utf-8;\\x{D}@x").is_err());
    }

    #[test]
    fn an_envelope_id_is_printable_and_short() {
        assert_eq!(EnvId::parse("QQ+20314").unwrap().as_str(), "QQ 314");
        assert_eq!(EnvId::parse("QQ+20314").unwrap().encode(), "QQ+20314");
        assert!(EnvId::parse("a+0A").is_err());
        assert!(EnvId::parse(&"a".repeat(101)).is_err());
        assert!(EnvId::parse(&"a".repeat(100)).is_ok());
    }
}
