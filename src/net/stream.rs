//! One connection, whatever it goes through: TCP, TLS over TCP, and DEFLATE over either.
//!
//! A layer is put on in its place, so that nobody is generic over the connection. What the
//! peer says of itself never counts: [`Stream::is_secured`] looks at the socket alone.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ConnectionCommon, ProtocolVersion, SideData};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{
    ClientTls, Input, LineEnds, Memory, Output, ServerTls, deflate::Deflated, layer::Layer,
    tls::HANDSHAKE,
};

/// The label of the binding that both ends derive from the handshake (RFC 9266 §2).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// A connection to a peer.
#[derive(Debug)]
pub struct Stream {
    layer: Layer,
    /// Deflates what goes through it, once that was agreed.
    deflate: Option<Box<Deflated>>,
    peer: SocketAddr,
    local: SocketAddr,
}

/// What was agreed in a handshake, for trace fields and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: String,
}

impl Stream {
    /// A connection that was accepted or made.
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let (peer, local) = (canonical(tcp.peer_addr()?), canonical(tcp.local_addr()?));
        Ok(Self { layer: Layer::Plain(tcp), deflate: None, peer, local })
    }

    /// Connects within so much time.
    pub async fn connect(address: SocketAddr, within: Duration) -> io::Result<Self> {
        let tcp = timeout(within, TcpStream::connect(address)).await??;
        Self::new(tcp)
    }

    /// Who is at the other end; an IPv4 peer of an IPv6 socket is shown as IPv4.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our own end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Does TLS protect what is sent?
    pub fn is_tls(&self) -> bool {
        matches!(self.layer, Layer::Server(_) | Layer::Client(_))
    }

    /// Acknowledges what has come at once. A client under Nagle's algorithm sends the line end behind
    /// a literal only when the literal is acknowledged, which would else take 40 ms.
    pub(super) fn acknowledge(&self) {
        let tcp = match &self.layer {
            Layer::Plain(tcp) => tcp,
            Layer::Server(tls) => tls.get_ref().0,
            Layer::Client(tls) => tls.get_ref().0,
            Layer::Closed => return,
        };
        // A mere hint to the kernel: without it all is the same, but slower.
        let _ = rustix::net::sockopt::set_tcp_quickack(tcp, true);
    }

    /// May secrets be sent in clear words? TLS protects them, or they never leave this machine.
    ///
    /// Decided by the socket's peer address alone.
    pub fn is_secured(&self) -> bool {
        self.is_tls() || self.peer.ip().is_loopback()
    }

    /// The `tls-exporter` channel binding (RFC 9266), for TLS 1.3 only.
    ///
    /// TLS 1.2 has one only with an extended master secret, which the library does not tell of.
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        match &self.layer {
            Layer::Server(tls) => binding(tls.get_ref().1),
            Layer::Client(tls) => binding(tls.get_ref().1),
            Layer::Plain(_) | Layer::Closed => None,
        }
    }

    /// What was agreed in the TLS handshake.
    pub fn agreed(&self) -> Option<Agreed> {
        match &self.layer {
            Layer::Server(tls) => agreed(tls.get_ref().1),
            Layer::Client(tls) => agreed(tls.get_ref().1),
            Layer::Plain(_) | Layer::Closed => None,
        }
    }

    /// Puts TLS on as the server. If that fails the connection is closed.
    ///
    /// Nothing of what was read before may be used afterwards; see [`Input::start_tls`].
    pub async fn start_tls(&mut self, tls: &ServerTls) -> io::Result<()> {
        let handshake = tls.acceptor().accept(self.take_plain()?);
        let tls = timeout(tls.handshake_time(), Box::pin(handshake)).await??;
        self.layer = Layer::Server(Box::new(tls));
        Ok(())
    }

    /// Puts TLS on as the client of a server with this name or address.
    pub async fn connect_tls(&mut self, tls: &ClientTls, host: &str) -> io::Result<()> {
        let handshake = tls.connect(self.take_plain()?, host)?;
        let tls = timeout(HANDSHAKE, Box::pin(handshake)).await??;
        self.layer = Layer::Client(Box::new(tls));
        Ok(())
    }

    /// Waits until something can be read, holding no buffer. Can be dropped without loss.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    /// Reads what is there already; `WouldBlock` if nothing is.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(self).poll_read(&mut context, &mut buffer) {
            Poll::Ready(done) => done.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deflate.as_ref().is_some_and(|deflate| deflate.has_more()) {
            return Poll::Ready(Ok(()));
        }
        self.layer.poll_readable(context)
    }

    /// Deflates both ways from here on (RFC 4978 §3); for good.
    pub(super) fn compress(&mut self) {
        self.deflate.get_or_insert_with(|| Box::new(Deflated::new()));
    }

    /// Octets that came deflated; None when the connection is not.
    pub(super) fn received_deflated(&self) -> Option<u64> {
        self.deflate.as_ref().map(|deflate| deflate.received())
    }

    /// Gives back what a connection needs only while it sends.
    pub(super) fn rest(&mut self) {
        if let Some(deflate) = &mut self.deflate {
            deflate.rest();
        }
    }

    fn take_plain(&mut self) -> io::Result<TcpStream> {
        match std::mem::replace(&mut self.layer, Layer::Closed) {
            Layer::Plain(tcp) => Ok(tcp),
            other => {
                self.layer = other;
                Err(io::Error::other("TLS is on already"))
            }
        }
    }

    /// The connection itself, leaving a closed one in its place.
    fn take(&mut self) -> Self {
        let layer = std::mem::replace(&mut self.layer, Layer::Closed);
        Self { layer, deflate: self.deflate.take(), ..*self }
    }
}

/// Opens a connection for a conversation in lines.
///
/// The two halves are used by one task, which may read while it writes.
pub fn open(stream: Stream, ends: LineEnds, memory: &Arc<Memory>) -> (Input, Output) {
    let shared = Shared(Arc::new(Mutex::new(stream)));
    (Input::new(shared.clone(), ends, memory), Output::new(shared, memory))
}

/// One connection held by its two halves. It is locked for one poll at a time, never over an await.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Stream>>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn start_tls(&self, tls: &ServerTls) -> io::Result<()> {
        let mut stream = self.lock().take();
        stream.start_tls(tls).await?;
        *self.lock() = stream;
        Ok(())
    }

    pub(super) async fn connect_tls(&self, tls: &ClientTls, host: &str) -> io::Result<()> {
        let mut stream = self.lock().take();
        stream.connect_tls(tls, host).await?;
        *self.lock() = stream;
        Ok(())
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn binding<S: SideData>(tls: &ConnectionCommon<S>) -> Option<[u8; 32]> {
    if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    tls.export_keying_material([0; 32], EXPORTER, Some(b"")).ok()
}

fn agreed<S: SideData>(tls: &ConnectionCommon<S>) -> Option<Agreed> {
    let version = match tls.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let cipher = format!("{:?}", tls.negotiated_cipher_suite()?.suite());
    Some(Agreed { version, cipher })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.deflate {
            Some(deflate) => deflate.poll_read(&mut this.layer, context, buffer),
            None => Pin::new(&mut this.layer).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.deflate {
            Some(deflate) => deflate.poll_write(&mut this.layer, context, bytes),
            None => Pin::new(&mut this.layer).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.deflate {
            Some(deflate) => deflate.poll_flush(&mut this.layer, context),
            None => Pin::new(&mut this.layer).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.deflate {
            Some(deflate) => deflate.poll_shutdown(&mut this.layer, context),
            None => Pin::new(&mut this.layer).poll_shutdown(context),
        }
    }
}
