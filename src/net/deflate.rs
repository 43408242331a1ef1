//! DEFLATE on both ways of a connection (RFC 4978): what comes is inflated as it is asked for and never
//! ahead, what leaves is deflated as it is written and reaches the peer with each flush.
//!
//! Inflating needs some 45 KiB for as long as the connection stands. Deflating needs far more, which is
//! given back while the connection rests: behind a flush the stream goes on as well with a new beginning.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets that are read from the connection at once.
const STEP: usize = 16 << 10;
/// Deflated octets that wait for the peer before more are made.
const WAITING: usize = 64 << 10;
/// Octets that are deflated at once.
const AT_ONCE: usize = 64 << 10;
/// Fast, and for the texts of this protocol nearly as good as the best.
const LEVEL: u32 = 3;
/// All the window there is (RFC 1951 §2).
const WINDOW_BITS: u8 = 15;
/// Room for what a flush adds.
const END: usize = 64;

thread_local! {
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; STEP]);
}

/// Both ways of a connection, deflated.
pub(super) struct Deflated {
    inflate: Decompress,
    /// Octets that came and were not inflated yet, for want of room.
    came: Vec<u8>,
    /// The last room was filled: more may wait inside.
    more: bool,
    /// The peer has ended its stream.
    ended: bool,
    /// Octets that came, counted.
    received: u64,
    /// None while the connection rests.
    deflate: Option<Compress>,
    /// Something was put in since the last flush.
    unflushed: bool,
    /// Octets on their way out, and how many of them have left.
    leaving: Vec<u8>,
    left: usize,
}

impl std::fmt::Debug for Deflated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflated").field("received", &self.received).finish_non_exhaustive()
    }
}

impl Deflated {
    /// Before the first octet.
    pub(super) fn new() -> Self {
        Self {
            inflate: Decompress::new_with_window_bits(false, WINDOW_BITS),
            came: Vec::new(),
            more: false,
            ended: false,
            received: 0,
            deflate: None,
            unflushed: false,
            leaving: Vec::new(),
            left: 0,
        }
    }

    /// Octets that came, as they came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// Can something be had without the connection?
    pub(super) fn has_more(&self) -> bool {
        self.more || self.ended || !self.came.is_empty()
    }

    /// Gives back the memory for deflating, unless something waits in it.
    pub(super) fn rest(&mut self) {
        if !self.unflushed {
            self.deflate = None;
        }
    }

    /// Fills the buffer with what has come, as far as it is there.
    pub(super) fn poll_read(
        &mut self,
        mut connection: impl AsyncRead + Unpin,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.more || !self.came.is_empty() {
            let came = std::mem::take(&mut self.came);
            if self.inflate(&came, buffer)? {
                return Poll::Ready(Ok(()));
            }
        }
        while !self.ended {
            let filled = READ.with_borrow_mut(|scratch| {
                let mut read = ReadBuf::new(scratch);
                ready!(Pin::new(&mut connection).poll_read(context, &mut read))?;
                let came = read.filled();
                if came.is_empty() {
                    self.ended = true;
                }
                self.received = self.received.saturating_add(came.len() as u64);
                Poll::Ready(self.inflate(came, buffer))
            });
            if ready!(filled)? {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Inflates as much as there is room for and keeps the rest; says whether anything came of it.
    fn inflate(&mut self, came: &[u8], buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let room = buffer.initialize_unfilled();
        let length = room.len();
        let status = self.inflate.decompress(came, room, FlushDecompress::Sync).map_err(broken)?;
        let taken = counted(self.inflate.total_in(), in_before);
        let made = counted(self.inflate.total_out(), out_before);
        buffer.advance(made);
        self.ended |= status == Status::StreamEnd;
        self.more = made == length && !self.ended;
        if !self.ended {
            self.came = came.get(taken..).unwrap_or_default().to_vec();
        }
        if made == 0 && !self.came.is_empty() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(made > 0)
    }

    /// Takes octets that shall leave; they wait here until the next flush.
    pub(super) fn poll_write(
        &mut self,
        connection: impl AsyncWrite + Unpin,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(pushed) = self.poll_push(connection, context) {
            pushed?;
        }
        if self.leaving.len().saturating_sub(self.left) >= WAITING {
            return Poll::Pending;
        }
        let octets = octets.get(..AT_ONCE).unwrap_or(octets);
        let mut taken = 0;
        while taken < octets.len() {
            let rest = octets.get(taken..).unwrap_or_default();
            taken += self.deflate(rest, rest.len(), FlushCompress::None)?;
        }
        self.unflushed = true;
        Poll::Ready(Ok(taken))
    }

    /// Deflates octets into the room that is made for this many; says how many were taken.
    fn deflate(&mut self, octets: &[u8], room: usize, flush: FlushCompress) -> io::Result<usize> {
        let make = || Compress::new_with_window_bits(Compression::new(LEVEL), false, WINDOW_BITS);
        let deflate = self.deflate.get_or_insert_with(make);
        self.leaving.reserve(room + END);
        let before = deflate.total_in();
        deflate.compress_vec(octets, &mut self.leaving, flush).map_err(broken)?;
        Ok(counted(deflate.total_in(), before))
    }

    /// Writes all that was taken, so that the peer can inflate all of it.
    pub(super) fn poll_flush(
        &mut self,
        mut connection: impl AsyncWrite + Unpin,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed {
            self.put_out(FlushCompress::Sync)?;
        }
        ready!(self.poll_push(&mut connection, context))?;
        Pin::new(&mut connection).poll_flush(context)
    }

    /// Puts out all that is inside, up to a mark behind which the peer needs nothing more.
    fn put_out(&mut self, flush: FlushCompress) -> io::Result<()> {
        loop {
            self.deflate(&[], STEP, flush)?;
            // Room that is left says that nothing is.
            if self.leaving.len() < self.leaving.capacity() {
                self.unflushed = false;
                return Ok(());
            }
        }
    }

    /// Ends the stream, then the connection.
    pub(super) fn poll_shutdown(
        &mut self,
        mut connection: impl AsyncWrite + Unpin,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed || self.deflate.is_some() {
            self.put_out(FlushCompress::Finish)?;
            self.deflate = None;
        }
        ready!(self.poll_push(&mut connection, context))?;
        Pin::new(&mut connection).poll_shutdown(context)
    }

    /// Writes what waits to leave.
    fn poll_push(
        &mut self,
        mut connection: impl AsyncWrite + Unpin,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.leaving.get(self.left..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut connection).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left += written;
        }
        self.leaving = Vec::new();
        self.left = 0;
        Poll::Ready(Ok(()))
    }
}

fn counted(now: u64, before: u64) -> usize {
    usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
