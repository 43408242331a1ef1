//! What a message is made of: its parts with their places, sizes and MIME fields.
//!
//! Computed once at arrival by [`Scanner`] and stored in a compact form, which [`StructureRef`]
//! reads without copying; BODYSTRUCTURE, section fetches and conversions are answered from it and
//! never parse the message again. Every offset counts from the first octet of the message.
//!
//! Choices for mail that is not as it should be:
//! - A header ends at the first empty line, or before a line without a colon that is the first one
//!   or begins with `--`, or where a boundary of an open multipart stands.
//! - A boundary is a whole line: `--`, the boundary, perhaps `--`, perhaps blanks (RFC 2046 §5.1.1).
//! - A multipart in which no boundary was found gets one child, a text/plain part without a header
//!   that spans the body, so that nothing is hidden and every multipart has a part.
//! - An encoded message/rfc822 is a leaf and shown as application/octet-stream: what decodes it is
//!   BINARY or the client (RFC 2046 §5.2.1 forbids the encoding).
//! - A content type that cannot be read is text/plain, or application/octet-stream when the part is
//!   in base64 (RFC 2045 §5.2).
//! - Of fields and parameters given twice the first counts.
//! - Continued parameters (RFC 2231) are joined: pieces without `*` at their end become `name`,
//!   others `name*` with the value `charset'language'percent-encoded`.

mod media;
mod packed;
mod scanner;

pub use self::{
    packed::{DispositionRef, ParamIter, Params, PartRef, Parts, StructureRef},
    scanner::{Limits, Scanned, Scanner, scan},
};
use super::summary::Summary;

/// All parts of a message; the first is the message itself, children follow their parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    pub parts: Vec<Part>,
}

/// What can be inside a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Content.
    #[default]
    Leaf,
    /// At least one part.
    Multipart,
    /// Exactly one part, the root of an embedded message (message/rfc822, message/global).
    Message,
}

/// One part: a header, perhaps empty, and a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub kind: Kind,
    /// The number of parts that are in this one, itself included: `index + size` is the next
    /// part that is not inside.
    pub size: usize,
    /// Where the header begins.
    pub header: u64,
    /// Where the header has ended, with its empty line, and the body begins.
    pub body: u64,
    /// Where the body ends; the line end before a boundary belongs to the boundary.
    pub end: u64,
    /// Line ends in the body.
    pub lines: u64,
    /// What octets stand in the body; for a multipart in what lies between its parts.
    pub octets: Octets,
    /// What octets stand in the header.
    pub header_octets: Octets,
    pub damage: Damage,
    /// Content-Type.
    pub media: Media,
    /// Content-Transfer-Encoding as it was sent, `7bit` when it was not.
    pub encoding: Vec<u8>,
    /// Content-ID.
    pub id: Option<Vec<u8>>,
    /// Content-Description, encoded as it was sent.
    pub description: Option<Vec<u8>>,
    /// Content-MD5.
    pub md5: Option<Vec<u8>>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub languages: Vec<Vec<u8>>,
    /// Content-Location.
    pub location: Option<Vec<u8>>,
    /// Of the embedded message, when the kind is [`Kind::Message`].
    pub summary: Option<Box<Summary>>,
}

/// Content-Type: `text/plain; charset=utf-8`. No value holds CR, LF or NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `text`, spelled as it was sent.
    pub name: Vec<u8>,
    /// `plain`, spelled as it was sent.
    pub subtype: Vec<u8>,
    pub params: Vec<Param>,
}

/// Content-Disposition: `attachment; filename=…` (RFC 2183).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    pub name: Vec<u8>,
    pub params: Vec<Param>,
}

/// A parameter without its quoting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Param {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// What kinds of octets and lines occur, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Octets(pub u8);

impl Octets {
    /// Octets above 127.
    pub const EIGHT_BIT: Self = Self(1);
    /// The octet 0.
    pub const NUL: Self = Self(1 << 1);
    /// A line of more than 998 octets (RFC 5322 §2.1.1).
    pub const LONG_LINE: Self = Self(1 << 2);
    /// A CR that is not part of a line end.
    pub const BARE_CR: Self = Self(1 << 3);
    /// A line end without CR.
    pub const BARE_LF: Self = Self(1 << 4);

    /// Whether any of these occurs.
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    /// Both together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is wrong with a part, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage(pub u16);

impl Damage {
    /// The header goes beyond a limit; what lies beyond was not read.
    pub const HEADER_TOO_LARGE: Self = Self(1);
    /// No empty line behind the header.
    pub const HEADER_OPEN: Self = Self(1 << 1);
    /// The content type could not be read.
    pub const BAD_TYPE: Self = Self(1 << 2);
    /// A multipart without a usable boundary.
    pub const NO_BOUNDARY: Self = Self(1 << 3);
    /// A multipart in which no part was found.
    pub const NO_PARTS: Self = Self(1 << 4);
    /// A multipart without its closing boundary.
    pub const OPEN_END: Self = Self(1 << 5);
    /// Not looked into because of its depth or number.
    pub const OPAQUE: Self = Self(1 << 6);
    /// An embedded message that is encoded, so that it is a leaf.
    pub const ENCODED_MESSAGE: Self = Self(1 << 7);

    /// Whether any of these is the case.
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    fn add(&mut self, more: Self) {
        self.0 |= more.0;
    }
}

impl Media {
    /// Whether this is `name/subtype`, in whatever case.
    pub fn is(&self, name: &str, subtype: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
            && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// The parameter of that name.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params
            .iter()
            .find(|param| param.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|param| param.value.as_slice())
    }

    /// What a part is that does not say (RFC 2045 §5.2).
    fn plain_text() -> Self {
        let charset = Param { name: b"charset".to_vec(), value: b"us-ascii".to_vec() };
        Self { name: b"text".to_vec(), subtype: b"plain".to_vec(), params: vec![charset] }
    }

    fn new(name: &str, subtype: &str, params: Vec<Param>) -> Self {
        Self { name: name.as_bytes().to_vec(), subtype: subtype.as_bytes().to_vec(), params }
    }
}
