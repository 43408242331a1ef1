//! Content-Transfer-Encoding (RFC 2045 §6).

/// How a part's octets were made fit for travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, `8bit`, or none given: the octets are the content, in lines.
    Lines,
    /// `binary`: the octets are the content.
    Binary,
    /// `quoted-printable`
    QuotedPrintable,
    /// `base64`
    Base64,
    /// One that we do not know: the content cannot be had.
    Unknown,
}

impl Encoding {
    /// The encoding of that name, in whatever case.
    pub fn of(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"" | b"7bit" | b"8bit" | b"7-bit" | b"8-bit" => Self::Lines,
            b"binary" => Self::Binary,
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            _ => Self::Unknown,
        }
    }

    /// Whether the octets are the content as they are.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::Lines | Self::Binary)
    }
}
