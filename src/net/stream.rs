//! One connection, whatever layers it has: TCP, or TLS over TCP.
//!
//! A layer is put on in its place, so that nobody is generic over the connection. What the
//! peer says of itself never counts: [`Stream::is_secured`] looks at the socket alone.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use rustls::{ConnectionCommon, ProtocolVersion, SideData};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{client, server};

use super::{ClientTls, Input, LineEnds, Memory, Output, ServerTls, tls::HANDSHAKE};

/// The label of the binding that both ends derive from the handshake (RFC 9266 §2).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// A connection to a peer.
#[derive(Debug)]
pub struct Stream {
    layer: Layer,
    peer: SocketAddr,
    local: SocketAddr,
}

/// The big ones stand in a box: most connections are idle, and plain ones should cost nothing.
#[derive(Debug)]
enum Layer {
    Plain(TcpStream),
    Server(Box<server::TlsStream<TcpStream>>),
    Client(Box<client::TlsStream<TcpStream>>),
    /// A handshake is going on elsewhere, or has failed.
    Closed,
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
        Ok(Self { layer: Layer::Plain(tcp), peer, local })
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
        match &self.layer {
            Layer::Plain(tcp) => tcp.poll_read_ready(context),
            Layer::Server(tls) => poll_tls_readable(tls.get_ref(), context),
            Layer::Client(tls) => poll_tls_readable(tls.get_ref(), context),
            Layer::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
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
        Self { layer, ..*self }
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

/// Ready when plaintext or the end waits inside, or the socket has something new.
///
/// The library allocates before it reads, so an idle connection must not be read just to see.
fn poll_tls_readable<S: SideData, C: std::ops::Deref<Target = ConnectionCommon<S>>>(
    (tcp, tls): (&TcpStream, &C),
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if tls.wants_read() { tcp.poll_read_ready(context) } else { Poll::Ready(Ok(())) }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Layer::Server(tls) => {
                ready!(poll_tls_readable(tls.get_ref(), context))?;
                ended_without_notice(Pin::new(tls).poll_read(context, buffer))
            }
            Layer::Client(tls) => {
                ready!(poll_tls_readable(tls.get_ref(), context))?;
                ended_without_notice(Pin::new(tls).poll_read(context, buffer))
            }
            Layer::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// Many clients leave without TLS's close notice. Frames say themselves where they end, so that
/// this is an end like any other.
fn ended_without_notice(read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match read {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Poll::Ready(Ok(()))
        }
        other => other,
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Layer::Server(tls) => Pin::new(tls).poll_write(context, bytes),
            Layer::Client(tls) => Pin::new(tls).poll_write(context, bytes),
            Layer::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Layer::Server(tls) => Pin::new(tls).poll_flush(context),
            Layer::Client(tls) => Pin::new(tls).poll_flush(context),
            Layer::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Layer::Server(tls) => Pin::new(tls).poll_shutdown(context),
            Layer::Client(tls) => Pin::new(tls).poll_shutdown(context),
            Layer::Closed => Poll::Ready(Ok(())),
        }
    }
}
