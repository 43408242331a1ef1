//! What a connection's octets go through: TCP, or TLS over TCP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{ConnectionCommon, SideData};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{client, server};

/// The big ones stand in a box: most connections are idle, and plain ones should cost nothing.
#[derive(Debug)]
pub(super) enum Layer {
    Plain(TcpStream),
    Server(Box<server::TlsStream<TcpStream>>),
    Client(Box<client::TlsStream<TcpStream>>),
    /// A handshake is going on elsewhere, or has failed.
    Closed,
}

impl Layer {
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(context),
            Self::Server(tls) => poll_tls_readable(tls.get_ref(), context),
            Self::Client(tls) => poll_tls_readable(tls.get_ref(), context),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
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

impl AsyncRead for Layer {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Server(tls) => {
                ready!(poll_tls_readable(tls.get_ref(), context))?;
                ended_without_notice(Pin::new(tls).poll_read(context, buffer))
            }
            Self::Client(tls) => {
                ready!(poll_tls_readable(tls.get_ref(), context))?;
                ended_without_notice(Pin::new(tls).poll_read(context, buffer))
            }
            Self::Closed => Poll::Ready(Ok(())),
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

impl AsyncWrite for Layer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Server(tls) => Pin::new(tls).poll_write(context, bytes),
            Self::Client(tls) => Pin::new(tls).poll_write(context, bytes),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Server(tls) => Pin::new(tls).poll_flush(context),
            Self::Client(tls) => Pin::new(tls).poll_flush(context),
            Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Server(tls) => Pin::new(tls).poll_shutdown(context),
            Self::Client(tls) => Pin::new(tls).poll_shutdown(context),
            Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
