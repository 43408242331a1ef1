//! What comes in: bounded frames out of a connection, for every protocol in lines.
//!
//! One reader with one budget. It takes memory as bytes come, never by an announced size, holds
//! none while it waits, and knows when the peer is too slow. What the frames mean is the door's.
//!
//! **Dropping**: every method but [`Input::start_tls`] and [`Input::connect_tls`] may stand in a
//! `select!` and be dropped half way: what was read stays here and is found by the next call.

use std::{cell::RefCell, future::poll_fn, io, pin::Pin, sync::Arc};

use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, timeout_at},
};

use super::{
    BadLine, ClientTls, Data, LineEnds, Memory, Rate, ServerTls,
    frame::{Found, Lines},
    memory::Share,
    pace::{Pace, Slow},
    stream::{Agreed, Shared},
};
use crate::metrics::Limit;

/// The most that is read at once, and the largest piece of message data handed on.
const STEP: usize = 64 * 1024;

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
}

/// A number of octets that come as they are: a literal, or a BDAT chunk.
#[derive(Debug)]
pub struct Octets {
    left: u64,
    pace: Pace,
}

impl Octets {
    /// So many octets are to come, no slower than this.
    pub fn new(size: u64, rate: Rate) -> Self {
        Self { left: size, pace: Pace::new(rate, Instant::now()) }
    }

    /// How many did not come yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

/// Mail data behind a 354, and how fast it comes.
#[derive(Debug)]
pub struct DataBody {
    data: Data,
    pace: Pace,
}

impl DataBody {
    /// Data that starts now, no slower than this.
    pub fn new(rate: Rate) -> Self {
        Self { data: Data::default(), pace: Pace::new(rate, Instant::now()) }
    }

    /// What is known of the data up to here: damage, longest line.
    pub fn data(&self) -> &Data {
        &self.data
    }
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
        loop {
            let rest = self.bytes.get(self.start..).unwrap_or_default();
            match self.lines.find(rest, max) {
                Found::Line { text, taken } => {
                    let line = self.rest().get(..text).unwrap_or_default().to_vec();
                    self.take(taken);
                    return Ok(Some(line));
                }
                Found::Bad { fault, taken } => {
                    self.take(taken);
                    return Err(fault.into());
                }
                Found::More { taken } => {
                    self.take(taken);
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

    /// The next piece of a counted run of octets, at most 64 KiB; none when all have come.
    pub async fn piece(&mut self, octets: &mut Octets) -> Result<Option<Vec<u8>>, InputError> {
        if octets.left == 0 {
            return Ok(None);
        }
        while !self.has_buffered() {
            self.fill_at(&octets.pace).await?;
        }
        let most = usize::try_from(octets.left).unwrap_or(STEP).min(STEP);
        let piece = self.take_up_to(most);
        octets.pace.came(piece.len());
        octets.left = octets.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Ok(Some(piece))
    }

    /// Reads a whole run of octets behind `into`, for one that is known to be small.
    pub async fn whole(
        &mut self,
        octets: &mut Octets,
        into: &mut Vec<u8>,
    ) -> Result<(), InputError> {
        while let Some(piece) = self.piece(octets).await? {
            into.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Reads a run of octets to its end and keeps nothing.
    pub async fn discard(&mut self, octets: &mut Octets) -> Result<(), InputError> {
        while self.piece(octets).await?.is_some() {}
        Ok(())
    }

    /// The next piece of mail data, dots taken off; none when its end has come.
    pub async fn data(&mut self, body: &mut DataBody) -> Result<Option<Vec<u8>>, InputError> {
        while !body.data.is_ended() {
            while !self.has_buffered() {
                self.fill_at(&body.pace).await?;
            }
            let step = self.rest().get(..STEP).unwrap_or_else(|| self.rest());
            let mut piece = Vec::with_capacity(step.len() + 1);
            let taken = body.data.feed(step, &mut piece);
            body.pace.came(taken);
            self.take(taken);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
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
        let (stream, bytes, share) = (&self.stream, &mut self.bytes, &mut self.share);
        let read = poll_fn(|context| {
            SCRATCH.with_borrow_mut(|scratch| {
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
            })
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
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{
        metrics::Metrics,
        net::{MemoryLimits, OutputError, OutputLimits, Stream, open},
    };

    /// Our end, and a peer's bare socket.
    async fn pair(ends: LineEnds, memory: usize) -> (Input, crate::net::Output, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let limits = MemoryLimits { all: memory, ..MemoryLimits::default() };
        let memory = Memory::new(limits, &Metrics::new());
        let (input, output) = open(Stream::new(ours).unwrap(), ends, &memory);
        (input, output, peer)
    }

    #[tokio::test]
    async fn lines_come_one_by_one_and_then_the_end() {
        let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
        peer.write_all(b"EHLO x\r\nQUIT\r\n").await.unwrap();
        drop(peer);
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"EHLO x");
        assert!(input.has_buffered());
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"QUIT");
        assert!(input.line(100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn half_a_line_at_the_end_is_a_fault() {
        let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
        peer.write_all(b"QUI").await.unwrap();
        drop(peer);
        assert!(matches!(input.line(100).await, Err(InputError::Ended)));
    }

    #[tokio::test]
    async fn a_line_dropped_half_way_is_not_lost() {
        let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
        peer.write_all(b"DO").await.unwrap();
        while !input.has_buffered() {
            tokio::select! {
                biased;
                _ = input.line(100) => panic!("half a line is none"),
                () = tokio::task::yield_now() => {}
            }
        }
        peer.write_all(b"NE\r\n").await.unwrap();
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"DONE");
    }

    #[tokio::test]
    async fn a_literal_comes_in_pieces_and_the_line_goes_on_behind_it() {
        let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
        let size = 200_000_usize;
        let sending = tokio::spawn(async move {
            peer.write_all(&vec![b'x'; size]).await.unwrap();
            peer.write_all(b" tail\r\n").await.unwrap();
            peer
        });
        let mut octets = Octets::new(size as u64, Rate::default());
        let mut sum = 0;
        while let Some(piece) = input.piece(&mut octets).await.unwrap() {
            assert!(piece.len() <= STEP);
            sum += piece.len();
        }
        assert_eq!((sum, octets.left()), (size, 0));
        assert_eq!(input.line(100).await.unwrap().unwrap(), b" tail");
        sending.await.unwrap();
    }

    #[tokio::test]
    async fn data_stops_at_its_dot_and_leaves_the_next_command() {
        let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
        peer.write_all(b"a\r\n..\r\n.\r\nNOOP\r\n").await.unwrap();
        let (mut body, mut text) = (DataBody::new(Rate::default()), Vec::new());
        while let Some(piece) = input.data(&mut body).await.unwrap() {
            text.extend(piece);
        }
        assert_eq!(text, b"a\r\n.\r\n");
        assert!(!body.data().damage().any());
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"NOOP");
    }

    #[tokio::test]
    async fn the_faults_of_a_slow_peer_tell_why() {
        let (mut input, _output, _peer) = pair(LineEnds::Strict, 1 << 20).await;
        input.set_deadline(Some(Instant::now()));
        assert!(matches!(input.line(100).await, Err(InputError::TimedOut)));
        input.set_deadline(None);
        let rate = Rate { grace: Duration::ZERO, ..Rate::default() };
        let mut body = DataBody::new(rate);
        assert!(matches!(input.data(&mut body).await, Err(InputError::TooSlow)));
        let mut octets = Octets::new(1, Rate { pause: Duration::ZERO, ..Rate::default() });
        assert!(matches!(input.piece(&mut octets).await, Err(InputError::TimedOut)));
    }

    #[tokio::test]
    async fn what_all_may_hold_together_is_a_limit() {
        let (mut input, _output, mut peer) = pair(LineEnds::Strict, 5).await;
        peer.write_all(b"12345\r\n").await.unwrap();
        assert!(matches!(input.line(100).await, Err(InputError::NoMemory)));
    }

    #[tokio::test]
    async fn an_early_talker_is_heard_and_his_words_are_thrown_away() {
        let (mut input, _output, mut peer) = pair(LineEnds::Strict, 1 << 20).await;
        assert!(!input.has_spoken());
        peer.write_all(b"EHLO").await.unwrap();
        poll_fn(|context| input.stream.lock().poll_readable(context)).await.unwrap();
        assert!(input.has_spoken());
        assert_eq!(input.discard_buffered(), 4);
        peer.write_all(b"NOOP\r\n").await.unwrap();
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"NOOP");
    }

    #[tokio::test]
    async fn a_leaving_peer_is_noticed_behind_what_it_sent() {
        let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
        peer.write_all(b"a NOOP\r\n").await.unwrap();
        drop(peer);
        input.ended(2).await;
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"a NOOP");
        assert!(input.line(100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn reading_stops_when_so_many_lines_wait() {
        for (most, read) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (100, 4)] {
            let (mut input, _output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
            for lines in [3, 1] {
                peer.write_all(&b"a NOOP\r\n".repeat(lines)).await.unwrap();
                poll_fn(|context| input.stream.lock().poll_readable(context)).await.unwrap();
                tokio::select! {
                    biased;
                    () = input.ended(most) => panic!("the peer is still there"),
                    () = std::future::ready(()) => {}
                }
            }
            assert_eq!(memchr::memchr_iter(b'\n', input.rest()).count(), read, "{most}");
            for _ in 0..4 {
                assert_eq!(input.line(100).await.unwrap().unwrap(), b"a NOOP");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_larger_than_all_buffers_arrives_whole() {
        let (_input, mut output, mut peer) = pair(LineEnds::Lenient, 1 << 20).await;
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            all
        });
        let chunk: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        for _ in 0..100 {
            output.put(&chunk);
            output.room().await.unwrap();
            assert!(output.waiting() <= 1024 * 1024);
        }
        output.close().await.unwrap();
        assert_eq!(output.waiting(), 0);
        assert!(reading.await.unwrap() == chunk.repeat(100));
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_holds_the_maker_back() {
        let (_input, mut output, _peer) = pair(LineEnds::Lenient, 1 << 20).await;
        let chunk = vec![0; 100_000];
        let mut held_back = false;
        for _ in 0..1000 {
            output.put(&chunk);
            tokio::select! {
                biased;
                room = output.room() => room.unwrap(),
                () = std::future::ready(()) => held_back = true,
            }
            if held_back {
                break;
            }
        }
        assert!(held_back);
        assert!(output.waiting() > 1024 * 1024);
    }

    #[tokio::test]
    async fn a_reader_that_never_reads_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let output = OutputLimits { stalled: Duration::ZERO, ..OutputLimits::default() };
        let (limits, metrics) =
            (MemoryLimits { output, ..MemoryLimits::default() }, Metrics::new());
        let memory = Memory::new(limits, &metrics);
        let (_input, mut output) = open(Stream::new(ours).unwrap(), LineEnds::Strict, &memory);
        output.put(vec![0; 100_000_000]);
        assert!(matches!(output.flush().await, Err(OutputError::Stalled)));
        assert_eq!(metrics.times_exceeded(Limit::OutputWaitingTime), 1);
    }
}
