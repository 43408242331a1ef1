//! Octets of messages as literals: small ones from memory, large ones sent as they are read.

use std::io;

use crate::{
    imap::{error::Error, reply::Replies},
    mail::{Mail, extract::Large},
    wire::Buffer,
};

/// `literal / literal8`: the latter only where a NUL is among octets that may hold one.
pub fn small(octets: &[u8], may_hold_nul: bool, out: &mut Buffer) {
    if may_hold_nul && octets.contains(&0) {
        out.literal8(octets);
    } else {
        out.literal(octets);
    }
}

/// The same for many octets.
///
/// # Errors
/// The connection ends when octets that were promised can't be read.
pub async fn large(
    mail: &Mail,
    large: &Large,
    may_hold_nul: bool,
    out: &mut Replies,
) -> Result<(), Error> {
    if may_hold_nul && large.has_nul() {
        out.buffer().put("~");
    }
    out.buffer().literal_head(usize::try_from(large.len()).unwrap_or(usize::MAX));
    let mut stream = mail.stream(large);
    let mut left = large.len();
    while let Some(octets) = stream.next().await {
        let octets = octets.map_err(|error| {
            tracing::error!(%error, "a message could not be read to its end");
            Error::Connection(io::ErrorKind::InvalidData.into())
        })?;
        left = left.saturating_sub(octets.len() as u64);
        out.buffer().raw(&octets);
        out.breathe().await?;
    }
    if left > 0 {
        return Err(Error::Connection(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}
