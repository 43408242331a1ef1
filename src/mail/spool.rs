//! Message data on its way in: in memory up to the inline threshold, from there in a file. So the
//! memory of a connection is bounded whatever the size of the message.

use std::ops::Range;

use super::error::{Error, Result};
use crate::store::{BlobWriter, Store};

/// Octets of one message, in order.
pub struct Spool {
    store: Store,
    octets: Octets,
    most: u64,
}

/// Where a spool's octets are.
pub(super) enum Octets {
    Memory(Vec<u8>),
    File(BlobWriter),
}

impl Spool {
    /// An empty spool for a message of at most `most` octets.
    pub fn new(store: &Store, most: u64) -> Self {
        Self { store: store.clone(), octets: Octets::Memory(Vec::new()), most }
    }

    /// How many octets are in it.
    pub fn len(&self) -> u64 {
        match &self.octets {
            Octets::Memory(octets) => octets.len() as u64,
            Octets::File(file) => file.size(),
        }
    }

    /// Nothing in it yet?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds octets, at most some ten thousand at a time: a write to the page cache happens here.
    pub fn write(&mut self, more: &[u8]) -> Result<()> {
        if self.len().saturating_add(more.len() as u64) > self.most {
            return Err(Error::TooBig(self.most));
        }
        match &mut self.octets {
            Octets::Memory(octets)
                if octets.len() + more.len() <= self.store.inline_threshold() =>
            {
                octets.extend_from_slice(more);
            }
            Octets::Memory(octets) => {
                let mut file = self.store.temporary()?;
                file.write(octets)?;
                file.write(more)?;
                self.octets = Octets::File(file);
            }
            Octets::File(file) => file.write(more)?,
        }
        Ok(())
    }

    /// Reads all octets in order, in steps.
    pub fn each_chunk<E: From<Error>>(
        &mut self,
        mut f: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.octets {
            Octets::Memory(octets) => f(octets),
            Octets::File(file) => {
                let mut inner = Ok(());
                let outcome = file.each_chunk(|chunk| {
                    inner = f(chunk);
                    if inner.is_ok() { Ok(()) } else { Err(crate::store::Error::Cancelled) }
                });
                inner?;
                outcome.map_err(|error| Error::from(error).into())
            }
        }
    }

    /// Some of its octets; a range beyond its end is cut.
    pub(super) fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let range = range.start.min(self.len())..range.end.min(self.len());
        Ok(match &self.octets {
            Octets::Memory(octets) => {
                let at = |place| usize::try_from(place).unwrap_or(usize::MAX);
                octets.get(at(range.start)..at(range.end)).unwrap_or_default().to_vec()
            }
            Octets::File(file) => file.read(range)?,
        })
    }

    /// An empty spool with the same bound.
    pub(super) fn sibling(&self) -> Self {
        Self::new(&self.store, self.most)
    }

    /// Is it small enough to be worked on at once, without a thread for slow work?
    pub fn is_small(&self) -> bool {
        matches!(self.octets, Octets::Memory(_))
    }

    pub(super) fn into_octets(self) -> Octets {
        self.octets
    }
}
