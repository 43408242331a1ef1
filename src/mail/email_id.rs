//! The id of a message's octets (RFC 8474 §5.1): the same wherever the same octets are, for ever.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// How much of the hash is shown: 144 bits are as good as all of them.
const SHOWN: usize = 18;

/// An email id: `E`, and some of the hash of all octets in letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailId(String);

impl EmailId {
    /// The id of the octets that have this hash.
    pub fn of(hash: &[u8; 32]) -> Self {
        let shown = hash.get(..SHOWN).unwrap_or(hash);
        Self(format!("E{}", URL_SAFE_NO_PAD.encode(shown)))
    }

    /// Its letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
