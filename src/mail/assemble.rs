//! A message made of others: pieces of stored messages put behind what a client sends (CATENATE, BURL
//! and what is built on them).
//!
//! What is small is copied; of large messages the new one shares the file. Sizes are known before
//! anything is copied, and memory stays flat.

mod written;

use std::sync::Arc;

use super::{
    Mail, Spool,
    error::{Error, Result},
    extract::{Large, Piece, Wanted},
    urls::Linked,
};
use crate::store::Run;

pub use self::written::{Unfit, Writer, WrittenAs};

impl Mail {
    /// Adds what a URL names to a message on its way in; false when there is no such part.
    ///
    /// # Errors
    /// [`Error::TooBig`], before anything is added; and what reading can bring.
    pub async fn add_linked(&self, spool: &mut Spool, linked: Linked) -> Result<bool> {
        let Linked { content, size, cut } = linked;
        let wanted = Wanted { cuts: vec![cut], ..Wanted::default() };
        let mut extracts = self.extract(vec![(content, size)], Arc::new(wanted)).await?;
        let Some(extract) = extracts.pop() else { return Ok(false) };
        match extract?.pieces.pop() {
            Some(Piece::Octets(octets)) => spool.write(&octets)?,
            Some(Piece::Large(large)) => {
                spool.check_room(large.len())?;
                self.add_large(spool, &large).await?;
            }
            Some(Piece::Absent | Piece::Size(_) | Piece::Undecodable(_)) | None => {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn add_large(&self, spool: &mut Spool, large: &Large) -> Result<()> {
        let Some((content, mut range)) = large.stored() else {
            let mut stream = self.stream(large);
            while let Some(octets) = stream.next().await {
                spool.write(&octets?)?;
            }
            return Ok(());
        };
        while range.start < range.end {
            let wanted = range.clone();
            let run = self.store.read(move |r| Ok::<_, Error>(r.run(content, wanted)?)).await?;
            let length = run.len();
            match run {
                Run::Octets(octets) => spool.write(&octets)?,
                Run::Shared(shared) => spool.share(shared)?,
            }
            if length == 0 {
                break;
            }
            range.start = range.start.saturating_add(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
