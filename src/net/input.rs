//! What comes in: bounded frames out of a connection, for every protocol in lines.
//!
//! One reader with one budget. It takes memory as bytes come, never by an announced size, holds
//! none while it waits, and knows when the peer is too slow. What the frames mean is the door's.
//!
//! **Dropping**: every method but [`Input::start_tls`] and [`Input::connect_tls`] may stand in a
//! `select!` and be dropped half way: what was read stays here and is found by the next call.

use std::{cell::RefCell, future::poll_fn, io, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, sleep, timeout_at},
};

use super::{
    BadLine, ClientTls, LineEnds, Memory, ServerTls,
    frame::{Found, Lines},
    memory::Share,
    pace::{Pace, Slow},
    stream::{Agreed, Shared},
};
use crate::metrics::Limit;

mod body;

pub use self::body::{DataBody, Octets};

/// The most that is read at once, and the largest piece of message data handed on.
const STEP: usize = 64 * 1024;

/// A deflated connection on which nothing comes for so long gives back what it sends with.
const QUIET: Duration = Duration::from_secs(5);

thread_local! {
    /// Bytes are read into this one and copied in their exact number, so that a connection that
    /// waits holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; STEP]);
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The line is no command, but the conversation can go on behind it.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The deadline is over, or a pause inside of data was too long.
    #[error("nothing came in time")]
    TimedOut,
    /// Data came more slowly than the least rate.
    #[error("data came too slowly")]
    TooSlow,
    /// All connections together hold too much. What came is lost: the conversation has to end.
    #[error("no memory left for input")]
    NoMemory,
    /// The peer left in the middle of a frame.
    #[error("the peer left in the middle")]
    Ended,
    /// Lines came out of far fewer deflated octets than anybody needs for words.
    #[error("what came inflates too much")]
    Inflated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct Input {
    stream: Shared,
    lines: Lines,
    bytes: Vec<u8>,
    /// Where the bytes begin that were not taken yet.
    start: usize,
    share: Share,
    deadline: Option<Instant>,
    ended: bool,
    /// Octets of lines that came deflated; None while nothing is.
    inflated: Option<u64>,
}

impl Input {
    pub(super) fn new(stream: Shared, ends: LineEnds, memory: &Arc<Memory>) -> Self {
        Self {
            stream,
            lines: Lines::new(ends),
            bytes: Vec::new(),
            start: 0,
            share: memory.purse().share(),
            deadline: None,
            ended: false,
            inflated: None,
        }
    }

    /// A share of what this connection may hold, for what is made of its input.
    pub fn share(&self) -> Share {
        self.share.another()
    }

    /// Until when anything may be waited for; none waits for ever.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The next line without its end; none when the peer has left.
    ///
    /// A line longer than `max` is a fault at once; its rest is thrown away before the next line.
    pub async fn line(&mut self, max: usize) -> Result<Option<Vec<u8>>, InputError> {
        self.line_by(|_| max).await
    }

    /// The same; how long the line may be is told from what of it has come.
    pub async fn line_by(
        &mut self,
        mut max: impl FnMut(&[u8]) -> usize,
    ) -> Result<Option<Vec<u8>>, InputError> {
        loop {
            let rest = self.bytes.get(self.start..).unwrap_or_default();
            match self.lines.find(rest, max(rest)) {
                Found::Line { text, taken } => {
                    let line = self.rest().get(..text).unwrap_or_default().to_vec();
                    self.take_of_line(taken)?;
                    return Ok(Some(line));
                }
                Found::Bad { fault, taken } => {
                    self.take_of_line(taken)?;
                    return Err(fault.into());
                }
                Found::More { taken } => {
                    self.take_of_line(taken)?;
                    if taken > 0 && self.has_buffered() {
                        continue;
                    }
                }
            }
            if !self.fill(self.deadline).await? {
                let inside = self.has_buffered() || self.lines.is_skipping();
                return if inside { Err(InputError::Ended) } else { Ok(None) };
            }
        }
    }

    /// Waits until something is there that was not asked for yet; false when the peer has left.
    ///
    /// For who understands no frames, or only some: see [`Input::buffered`].
    pub async fn some(&mut self) -> Result<bool, InputError> {
        Ok(self.has_buffered() || self.fill(self.deadline).await?)
    }

    /// What is there already.
    pub fn buffered(&self) -> &[u8] {
        self.rest()
    }

    /// Takes so much of what is there.
    pub fn consume(&mut self, octets: usize) {
        self.take(octets.min(self.rest().len()));
    }

    /// Waits until the peer leaves or the connection breaks, while something else is done.
    ///
    /// What comes meanwhile is kept, up to 64 KiB or so many lines; then nothing more is read and
    /// this never ends. More lines than so many wait only when they came in one piece, before.
    pub async fn ended(&mut self, lines: usize) {
        let mut waiting = memchr::memchr_iter(b'\n', self.rest()).count();
        // Reading goes on only at the half, so that a full line-up does not grow octet by octet.
        let mut may_read = waiting <= lines / 2;
        while may_read && self.rest().len() < STEP {
            let room = lines - waiting;
            if room == 0 {
                self.share.metrics().exceeded(Limit::ImapCommandsWaitingMax);
                may_read = false;
                continue;
            }
            let before = self.rest().len();
            // No line is shorter than an octet: not one too many can come.
            match self.fill_up_to(room.min(STEP), None).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let came = self.rest().get(before..).unwrap_or_default();
            waiting += memchr::memchr_iter(b'\n', came).count();
        }
        std::future::pending::<()>().await;
    }

    /// Is there input that was not asked for yet?
    pub fn has_buffered(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// The same, and looks at the socket too: has the peer spoken already?
    pub fn has_spoken(&mut self) -> bool {
        self.has_buffered() || {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let read = self.stream.lock().read_now(scratch)?;
                io::Result::Ok(scratch.get(..read).unwrap_or_default().to_vec())
            });
            match read {
                Ok(bytes) if bytes.is_empty() => self.ended = true,
                Ok(bytes) => self.bytes = bytes,
                Err(_) => {}
            }
            self.start = 0;
            self.has_buffered()
        }
    }

    /// Throws away all that was read and not asked for; says how much it was.
    pub fn discard_buffered(&mut self) -> usize {
        let thrown = self.bytes.len() - self.start;
        self.take(thrown);
        self.lines.reset();
        thrown
    }

    /// Puts TLS on as the server, after the go-ahead was flushed.
    ///
    /// What was read before is thrown away: it was not protected (RFC 3207 §4.2). Not to be
    /// dropped half way: the connection would be closed.
    pub async fn start_tls(&mut self, tls: &ServerTls) -> io::Result<()> {
        self.discard_buffered();
        let done = Box::pin(self.stream.start_tls(tls)).await;
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            self.share.metrics().exceeded(Limit::TlsHandshakeTime);
        }
        done
    }

    /// Puts TLS on as the client, after the server's go-ahead; as [`Input::start_tls`].
    pub async fn connect_tls(&mut self, tls: &ClientTls, host: &str) -> io::Result<()> {
        self.discard_buffered();
        Box::pin(self.stream.connect_tls(tls, host)).await
    }

    /// Deflates both ways from here on, after the go-ahead was flushed (RFC 4978 §3).
    pub fn compress(&mut self) {
        self.stream.lock().compress();
        self.inflated = Some(0);
    }

    /// Is what comes and leaves deflated?
    pub fn is_compressed(&self) -> bool {
        self.inflated.is_some()
    }

    /// As [`Stream::is_tls`](super::Stream::is_tls).
    pub fn is_tls(&self) -> bool {
        self.stream.lock().is_tls()
    }

    /// As [`Stream::is_secured`](super::Stream::is_secured).
    pub fn is_secured(&self) -> bool {
        self.stream.lock().is_secured()
    }

    /// As [`Stream::channel_binding`](super::Stream::channel_binding).
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        self.stream.lock().channel_binding()
    }

    /// As [`Stream::agreed`](super::Stream::agreed).
    pub fn agreed(&self) -> Option<Agreed> {
        self.stream.lock().agreed()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> std::net::SocketAddr {
        self.stream.lock().peer()
    }

    /// Our own end.
    pub fn local(&self) -> std::net::SocketAddr {
        self.stream.lock().local()
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Takes bytes off the front, and lets go of the memory with the last of them.
    fn take(&mut self, taken: usize) {
        self.start = self.start.saturating_add(taken);
        if self.start >= self.bytes.len() {
            self.bytes = Vec::new();
            self.start = 0;
            let _nothing_is_there = self.share.hold(0);
        }
    }

    /// The same, of a line: none has to be inflated from next to nothing. Message data is another
    /// matter, and has bounds of its own.
    fn take_of_line(&mut self, taken: usize) -> Result<(), InputError> {
        self.take(taken);
        let Some(inflated) = &mut self.inflated else { return Ok(()) };
        *inflated = inflated.saturating_add(taken as u64);
        let received = self.stream.lock().received_deflated().unwrap_or(0);
        let limits = self.share.inflation();
        if *inflated > received.saturating_mul(limits.ratio).max(limits.after) {
            self.share.metrics().exceeded(Limit::CompressRatioMax);
            return Err(InputError::Inflated);
        }
        Ok(())
    }

    fn take_up_to(&mut self, most: usize) -> Vec<u8> {
        if self.start == 0 && self.bytes.len() <= most {
            let all = std::mem::take(&mut self.bytes);
            self.take(0);
            return all;
        }
        let piece = self.rest().get(..most).unwrap_or_else(|| self.rest()).to_vec();
        self.take(piece.len());
        piece
    }

    /// Reads on inside of data: the peer must not leave, nor be slower than its pace allows.
    async fn fill_at(&mut self, pace: &Pace) -> Result<(), InputError> {
        let (limit, slow) = pace.limit(Instant::now());
        let (until, fault) = match (self.deadline, slow) {
            (Some(deadline), _) if deadline < limit => (deadline, InputError::TimedOut),
            (_, Slow::Paused) => (limit, InputError::TimedOut),
            (_, Slow::Dripping) => (limit, InputError::TooSlow),
        };
        match self.fill(Some(until)).await {
            Ok(true) => {
                self.stream.lock().acknowledge();
                Ok(())
            }
            Ok(false) => Err(InputError::Ended),
            Err(InputError::TimedOut) => {
                if matches!(fault, InputError::TooSlow) {
                    self.share.metrics().exceeded(Limit::DataRateMin);
                }
                Err(fault)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for more bytes and keeps them; false when the peer has left.
    async fn fill(&mut self, until: Option<Instant>) -> Result<bool, InputError> {
        self.fill_up_to(STEP, until).await
    }

    /// The same, with at most so many bytes.
    async fn fill_up_to(
        &mut self,
        most: usize,
        until: Option<Instant>,
    ) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        let most = if self.is_compressed() { most.min(self.share.inflation().step) } else { most };
        let mut quiet = self.inflated.map(|_| Box::pin(sleep(QUIET)));
        let (stream, bytes, share) = (&self.stream, &mut self.bytes, &mut self.share);
        let read = poll_fn(|context| {
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let room = scratch.len().min(most);
                let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
                let read = Pin::new(&mut *stream.lock()).poll_read(context, &mut buffer);
                read.map_ok(|()| {
                    let filled = buffer.filled();
                    let room = share.hold(bytes.len() + filled.len());
                    if room {
                        bytes.extend_from_slice(filled);
                    }
                    room.then_some(filled.len())
                })
            });
            if read.is_pending()
                && let Some(sleep) = &mut quiet
                && sleep.as_mut().poll(context).is_ready()
            {
                stream.lock().rest();
                quiet = None;
            }
            read
        });
        let read = match until {
            Some(until) => timeout_at(until, read).await.map_err(|_| InputError::TimedOut)??,
            None => read.await?,
        };
        match read {
            Some(0) => self.ended = true,
            Some(_) => {}
            None => return Err(InputError::NoMemory),
        }
        Ok(!self.ended)
    }
}

#[cfg(test)]
mod tests;
