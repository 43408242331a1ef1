//! Message data on its way in: in memory up to the inline threshold, from there in a file. So the
//! memory of a connection is bounded whatever the size of the message.
//!
//! Between the octets that come there may be parts of stored messages (CATENATE, BURL): those that lie
//! in files are shared and not copied. A message that only passes through, and is kept nowhere, is
//! spooled in the same way, without a store.

use std::ops::Range;

use super::error::{Error, Result};
use crate::store::{self, BlobWriter, NewPiece, Scratch, Shared, Store};

/// Octets of a header that are looked at.
const HEADER_MAX: u64 = 1 << 20;
/// How many octets of a shared part are read at once.
const STEP: u64 = 64 << 10;
/// Octets that are kept in memory where there is no store to say so.
const IN_MEMORY: usize = 128 << 10;

/// Octets of one message, in order.
pub struct Spool {
    /// Where its octets may be kept; None for a message that only passes through.
    store: Option<Store>,
    /// The octets of its own, in order.
    own: Own,
    /// How its own and shared octets follow each other; empty while there are none but its own.
    segments: Vec<Segment>,
    /// All its octets, counted.
    length: u64,
    most: u64,
}

/// Where a spool's own octets are.
enum Own {
    Memory(Vec<u8>),
    File(BlobWriter),
    /// A file without a name, which can't be kept.
    Scratch(Scratch),
}

#[derive(Clone)]
enum Segment {
    /// Of its own.
    Own(Range<u64>),
    /// Of a stored file.
    Shared(Shared),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Own(range) => range.end.saturating_sub(range.start),
            Self::Shared(shared) => shared.len(),
        }
    }
}

impl Spool {
    /// An empty spool for a message of at most `most` octets.
    pub fn new(store: &Store, most: u64) -> Self {
        Self::at(Some(store.clone()), most)
    }

    /// An empty spool for a message that passes through a process without a store.
    pub fn passing(most: u64) -> Self {
        Self::at(None, most)
    }

    fn at(store: Option<Store>, most: u64) -> Self {
        let own = Own::Memory(Vec::new());
        Self { store, own, segments: Vec::new(), length: 0, most }
    }

    /// How many octets are in it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Nothing in it yet?
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Refuses more octets than there is room for.
    pub fn check_room(&self, more: u64) -> Result<()> {
        if self.length.saturating_add(more) > self.most {
            return Err(Error::TooBig(self.most));
        }
        Ok(())
    }

    /// Adds octets, at most some ten thousand at a time: a write to the page cache happens here.
    pub fn write(&mut self, more: &[u8]) -> Result<()> {
        self.check_room(more.len() as u64)?;
        let in_memory = self.store.as_ref().map_or(IN_MEMORY, Store::inline_threshold);
        match (&mut self.own, &self.store) {
            (Own::Memory(octets), _) if octets.len() + more.len() <= in_memory => {
                octets.extend_from_slice(more);
            }
            (Own::Memory(octets), Some(store)) => {
                let mut file = store.temporary()?;
                file.write(octets)?;
                file.write(more)?;
                self.own = Own::File(file);
            }
            (Own::Memory(octets), None) => {
                let mut file = Scratch::new()?;
                file.write(octets)?;
                file.write(more)?;
                self.own = Own::Scratch(file);
            }
            (Own::File(file), _) => file.write(more)?,
            (Own::Scratch(file), _) => file.write(more)?,
        }
        self.length = self.length.saturating_add(more.len() as u64);
        let end = self.own_length();
        match self.segments.last_mut() {
            None => {}
            Some(Segment::Own(range)) => range.end = end,
            Some(Segment::Shared(_)) => {
                let start = end.saturating_sub(more.len() as u64);
                self.segments.push(Segment::Own(start..end));
            }
        }
        Ok(())
    }

    /// Adds a part of a stored file without copying it.
    pub fn share(&mut self, shared: Shared) -> Result<()> {
        self.check_room(shared.len())?;
        if self.segments.is_empty() && self.length > 0 {
            self.segments.push(Segment::Own(0..self.length));
        }
        self.length = self.length.saturating_add(shared.len());
        self.segments.push(Segment::Shared(shared));
        Ok(())
    }

    fn own_length(&self) -> u64 {
        match &self.own {
            Own::Memory(octets) => octets.len() as u64,
            Own::File(file) => file.size(),
            Own::Scratch(file) => file.size(),
        }
    }

    /// Reads all octets in order, in steps.
    pub fn each_chunk<E: From<Error>>(
        &mut self,
        mut f: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.segments.is_empty() {
            return self.each_step(&mut f);
        }
        match &mut self.own {
            Own::Scratch(_) => {
                self.segments.push(Segment::Own(0..self.length));
                self.each_step(&mut f)
            }
            Own::Memory(octets) => f(octets),
            Own::File(file) => {
                let mut inner = Ok(());
                let outcome = file.each_chunk(|chunk| {
                    inner = f(chunk);
                    if inner.is_ok() { Ok(()) } else { Err(store::Error::Cancelled) }
                });
                inner?;
                outcome.map_err(|error| Error::from(error).into())
            }
        }
    }

    /// The same, segment by segment.
    fn each_step<E: From<Error>>(
        &self,
        f: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for segment in &self.segments {
            let (mut start, end) = (0, segment.len());
            while start < end {
                let step = start..end.min(start.saturating_add(STEP));
                start = step.end;
                f(&self.read_of(segment, step)?)?;
            }
        }
        Ok(())
    }

    /// Octets of a segment, counted from its start.
    fn read_of(&self, segment: &Segment, within: Range<u64>) -> Result<Vec<u8>> {
        match segment {
            Segment::Shared(shared) => {
                let store = self.store.as_ref().ok_or(Error::NoPart)?;
                Ok(shared.part(within).read(store)?)
            }
            Segment::Own(own) => {
                let start = own.start.saturating_add(within.start);
                self.read_own(start..own.start.saturating_add(within.end).min(own.end))
            }
        }
    }

    fn read_own(&self, range: Range<u64>) -> Result<Vec<u8>> {
        Ok(match &self.own {
            Own::Memory(octets) => octets.get(places(range)).unwrap_or_default().to_vec(),
            Own::File(file) => file.read(range)?,
            Own::Scratch(file) => file.read(range)?,
        })
    }

    /// Some of its octets; a range beyond its end is cut.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let range = range.start.min(self.length)..range.end.min(self.length);
        if self.segments.is_empty() {
            return self.read_own(range);
        }
        let (mut octets, mut start) = (Vec::new(), 0_u64);
        for segment in &self.segments {
            let end = start.saturating_add(segment.len());
            let within = range.start.max(start)..range.end.min(end);
            if within.start < within.end {
                let within = within.start.saturating_sub(start)..within.end.saturating_sub(start);
                octets.extend(self.read_of(segment, within)?);
            }
            start = end;
        }
        Ok(octets)
    }

    /// Adds a range of its octets to another spool; what is shared stays shared.
    pub(super) fn copy(&self, range: Range<u64>, to: &mut Self) -> Result<()> {
        let own = [Segment::Own(0..self.length)];
        let segments = if self.segments.is_empty() { &own[..] } else { &self.segments };
        let mut start = 0_u64;
        for segment in segments {
            let end = start.saturating_add(segment.len());
            let within = range.start.max(start)..range.end.min(end);
            let within = within.start.saturating_sub(start)..within.end.saturating_sub(start);
            start = end;
            if within.start >= within.end {
                continue;
            }
            if let Segment::Shared(shared) = segment {
                to.share(shared.part(within))?;
                continue;
            }
            let mut at = within.start;
            while at < within.end {
                let step = at..within.end.min(at.saturating_add(STEP));
                at = step.end;
                to.write(&self.read_of(segment, step)?)?;
            }
        }
        Ok(())
    }

    /// Its first octets, among them all of its header that is ever looked at.
    pub fn header(&self) -> Result<Vec<u8>> {
        self.read(0..HEADER_MAX)
    }

    /// The same octets behind others.
    pub fn behind(&self, front: &[u8]) -> Result<Self> {
        let mut whole = self.sibling();
        whole.write(front)?;
        self.copy(0..self.len(), &mut whole)?;
        Ok(whole)
    }

    /// The same with another header in place of the first `head` octets; there is room for that, whatever
    /// the bound.
    pub fn with_header(&self, header: &[u8], head: u64) -> Result<Self> {
        let most = self.most.saturating_add(header.len() as u64);
        let mut whole = Self::at(self.store.clone(), most);
        whole.write(header)?;
        self.copy(head..self.len(), &mut whole)?;
        Ok(whole)
    }

    /// An empty spool with the same bound.
    pub(super) fn sibling(&self) -> Self {
        Self::at(self.store.clone(), self.most)
    }

    /// An empty spool for as much as there is still room for in this one.
    pub fn for_the_rest(&self) -> Self {
        Self::at(self.store.clone(), self.most.saturating_sub(self.length))
    }

    /// Adds all octets of another spool.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        self.check_room(other.len())?;
        other.copy(0..other.len(), self)
    }

    /// Is it small enough to be worked on at once, without a thread for slow work?
    pub fn is_small(&self) -> bool {
        matches!(self.own, Own::Memory(_)) && self.segments.is_empty()
    }

    /// Its octets behind the first `skip` as they are stored: inline, or in a file that is synced
    /// here.
    pub(super) fn into_pieces(self, skip: u64) -> Result<Vec<NewPiece>> {
        let mut segments = self.segments;
        if segments.is_empty() {
            segments.push(Segment::Own(0..self.length));
        }
        let own = match self.own {
            Own::Memory(octets) => Kept::Memory(octets),
            Own::File(file) => Kept::File(file.finish()?),
            Own::Scratch(_) => return Err(Error::Cannot("a message that passes is not kept")),
        };
        let (mut pieces, mut skip) = (Vec::with_capacity(segments.len()), skip);
        for segment in segments {
            let skipped = skip.min(segment.len());
            skip = skip.saturating_sub(skipped);
            if skipped == segment.len() {
                continue;
            }
            pieces.push(match segment {
                Segment::Shared(shared) => NewPiece::Shared(shared.part(skipped..shared.len())),
                Segment::Own(range) => own.piece(range.start.saturating_add(skipped)..range.end),
            });
        }
        Ok(pieces)
    }
}

/// Where the own octets of a finished spool are.
enum Kept {
    Memory(Vec<u8>),
    File(store::Blob),
}

impl Kept {
    fn piece(&self, range: Range<u64>) -> NewPiece {
        match self {
            Self::Memory(octets) => {
                NewPiece::Octets(octets.get(places(range)).unwrap_or_default().to_vec())
            }
            Self::File(blob) => NewPiece::Blob(*blob, range),
        }
    }
}

fn places(range: Range<u64>) -> Range<usize> {
    let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
    place(range.start)..place(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_passes_comes_back_whole_from_memory_and_from_a_file() {
        for size in [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY] {
            let octets: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut spool = Spool::passing(octets.len() as u64);
            octets.chunks(50_000).for_each(|piece| spool.write(piece).unwrap());
            assert!(matches!(spool.write(b"x"), Err(Error::TooBig(_))));
            let mut read = Vec::new();
            spool
                .each_chunk::<Error>(|piece| {
                    read.extend_from_slice(piece);
                    Ok(())
                })
                .unwrap();
            assert!(read == octets);
            let middle = spool.read(size as u64 / 3..size as u64 / 2).unwrap();
            assert!(middle == octets[size / 3..size / 2]);
            let mut copy = Spool::passing(size as u64);
            copy.append(&spool).unwrap();
            assert!(copy.read(0..size as u64).unwrap() == octets);
            assert!(matches!(copy.append(&spool), Err(Error::TooBig(_))) || size == 0);
        }
    }
}
