//! Mail of users of another server, which only passes: its header is mended as that of all mail that
//! starts here.

use super::{
    headers::{self, Reader, Repair, Writers},
    submit::{Error, HEADER_MAX, received, unique, with_header},
};
use crate::{
    mail::{
        self, Spool,
        structure::{self, StructureRef},
    },
    wire::address::{Address, Domain},
};

/// What a message is mended with.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Our own name.
    pub hostname: &'a Domain,
    /// By which protocol it came, and the id that follows it.
    pub protocol: &'a str,
    pub trace: &'a str,
    /// Seconds since 1970.
    pub now: i64,
}

/// Those whom a header says to have written or sent it: all must be its author's own. Nobody, when it
/// does not say.
///
/// # Errors
/// [`Error::NoAuthor`]: From or Sender is there more than once, or can't be read.
pub fn writers(header: &[u8]) -> Result<Vec<Address>, Error> {
    match headers::writers(header) {
        Writers::Nobody => Ok(Vec::new()),
        Writers::These(writers) => Ok(writers),
        Writers::Unclear => Err(Error::NoAuthor),
    }
}

/// A message whose header has all that it must have, and nothing that must not leave.
///
/// # Errors
/// [`Error::HeaderTooLong`]: what lies beyond could not be looked through.
pub async fn mended(
    message: Spool,
    parsing: structure::Limits,
    passage: Passage<'_>,
) -> Result<Spool, Error> {
    let Passage { hostname, protocol, trace, now } = passage;
    let mut message = with_header(message).await?;
    let own_id = hostname.ascii().to_owned();
    let front = received(&own_id, protocol, trace, now);
    let message_id = format!("{}@{own_id}", unique(trace));
    let reader = Reader::Recipients;
    let repair = Repair { front, now, message_id, own_id, reader };
    let work = move || {
        let structure = message.structure(&parsing)?;
        let root = StructureRef::parse(&structure).ok().and_then(|read| read.parts().next());
        let head = root.map_or(message.len(), |part| part.body);
        if head >= HEADER_MAX as u64 {
            return Err(Error::HeaderTooLong);
        }
        let header = headers::repair(&message.read(0..head)?, repair);
        Ok(message.with_header(&header, head)?)
    };
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|_| mail::Error::Internal(crate::store::Error::Cancelled))?
}
