//! The INTERNAL mechanism (RFC 4467 §2.4.1): HMAC-SHA-256 over the very octets of the URL.
//!
//! A token begins with two digits for the algorithm, so that another one can come beside it.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac, rand};

use super::LinkError;
use crate::{
    store::{self, UrlKey},
    wire::work::looked_at,
};

/// The name of the mechanism, as it is told.
pub(super) const INTERNAL: &str = "internal";

/// HMAC-SHA-256.
const ALGORITHM: &str = "01";

/// A key that nobody has had.
pub(super) fn fresh_key() -> Result<UrlKey, LinkError> {
    let mut key = UrlKey::default();
    let failed = |_| LinkError::from(store::Error::Limit("no random numbers"));
    rand::fill(&mut key).map_err(failed)?;
    Ok(key)
}

/// The token for these octets.
pub(super) fn token(key: &UrlKey, signed: &str) -> String {
    looked_at(signed.len());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), signed.as_bytes());
    let mut token = ALGORITHM.to_owned();
    for octet in tag.as_ref() {
        let _ = write!(token, "{octet:02x}");
    }
    token
}

/// Was this token made with this key? Without a key it was not, and that costs the same.
pub(super) fn proves(key: Option<&UrlKey>, signed: &str, given: &str) -> bool {
    let decoy = UrlKey::default();
    let expected = token(key.unwrap_or(&decoy), signed);
    let given = given.to_ascii_lowercase();
    let same = constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes());
    same.is_ok() & key.is_some()
}
