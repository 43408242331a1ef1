//! Takes connections and gives each a task of its own.
//!
//! Everybody is accepted first and decided upon afterwards, so that a full house still answers. A
//! panic in one conversation ends that one only. What is said is the handler's.

use std::{
    future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration,
};

use futures_util::FutureExt;
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Connections, Permit, Refusal, ServerTls, Stream};

/// Connections that may wait to be accepted; the system may hold it lower.
const BACKLOG: u32 = 4096;
/// The pause when the process has no descriptors left: one may be closed meanwhile.
const BREATH: Duration = Duration::from_millis(100);

/// A connection that was let in.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    pub permit: Permit,
}

/// The sockets of one service.
#[derive(Debug)]
pub struct Listener {
    service: &'static str,
    sockets: Vec<TcpListener>,
    door: Door,
}

/// What every connection passes.
#[derive(Clone, Debug)]
struct Door {
    connections: Arc<Connections>,
    tls: Option<Arc<ServerTls>>,
    refusal: fn(Refusal) -> &'static str,
}

impl Listener {
    /// Binds all the addresses, or none. An IPv6 address for all takes IPv4 as well.
    ///
    /// `refusal` is what a connection reads that is not let in.
    pub fn bind(
        service: &'static str,
        addresses: &[SocketAddr],
        connections: &Arc<Connections>,
        refusal: fn(Refusal) -> &'static str,
    ) -> io::Result<Self> {
        let sockets = addresses.iter().copied().map(bind).collect::<io::Result<_>>()?;
        let door = Door { connections: Arc::clone(connections), tls: None, refusal };
        Ok(Self { service, sockets, door })
    }

    /// Puts TLS on before anything is said.
    pub fn with_tls(mut self, tls: &Arc<ServerTls>) -> Self {
        self.door.tls = Some(Arc::clone(tls));
        self
    }

    /// Where it listens; of use when the port was chosen by the system.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves until `stop`, then takes no more and waits for those that stand.
    ///
    /// The handler hears of the stop by itself; who waits here sets the time it has.
    pub async fn serve<H, F>(self, stop: CancellationToken, handler: H)
    where
        H: Fn(Connection) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = TaskTracker::new();
        for socket in self.sockets {
            let (door, stop, handler) = (self.door.clone(), stop.clone(), handler.clone());
            let (service, conversations) = (self.service, tasks.clone());
            tasks.spawn(async move {
                let accepting = accept(service, socket, door, conversations, handler);
                stop.run_until_cancelled(accepting).await;
            });
        }
        stop.cancelled().await;
        tasks.close();
        tasks.wait().await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

/// Takes connections for ever.
async fn accept<H, F>(
    service: &'static str,
    socket: TcpListener,
    door: Door,
    tasks: TaskTracker,
    handler: H,
) where
    H: Fn(Connection) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut in_need = false;
    loop {
        match socket.accept().await {
            Ok((tcp, peer)) => {
                in_need = false;
                if let Some((stream, permit)) = door.let_in(service, tcp, peer) {
                    let (door, handler) = (door.clone(), handler.clone());
                    tasks.spawn(converse(service, door, stream, permit, handler));
                }
            }
            Err(error) if is_need(&error) => {
                if !std::mem::replace(&mut in_need, true) {
                    tracing::error!(service, %error, "cannot accept connections for now");
                }
                sleep(BREATH).await;
            }
            // The peer has left again before it was accepted.
            Err(error) => tracing::debug!(service, %error, "accept"),
        }
    }
}

/// Is it our own lack of something that gets better with time?
fn is_need(error: &io::Error) -> bool {
    let needs = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| needs.contains(&errno))
}

impl Door {
    fn let_in(
        &self,
        service: &'static str,
        tcp: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Stream, Permit)> {
        let permit = match self.connections.open(peer.ip(), Instant::now()) {
            Ok(permit) => permit,
            Err(refusal) => {
                tracing::debug!(service, %peer, %refusal, "refused");
                if self.tls.is_none() {
                    // A new connection has room for a line; if not, nobody waits for it.
                    let _unheard = tcp.try_write((self.refusal)(refusal).as_bytes());
                }
                return None;
            }
        };
        let stream = Stream::new(tcp)
            .inspect_err(|error| tracing::debug!(service, %peer, %error, "gone at once"))
            .ok()?;
        Some((stream, permit))
    }
}

/// One connection from its handshake to its end. The handler stands in a box of its own, so that an
/// idle conversation is no larger than itself.
async fn converse<H, F>(
    service: &'static str,
    door: Door,
    mut stream: Stream,
    permit: Permit,
    handler: H,
) where
    H: Fn(Connection) -> F,
    F: Future<Output = ()>,
{
    let peer = stream.peer();
    if let Some(tls) = &door.tls
        && let Err(error) = stream.start_tls(tls).await
    {
        tracing::debug!(service, %peer, %error, "TLS handshake");
        return;
    }
    let conversation = Box::pin(handler(Connection { stream, permit }));
    if AssertUnwindSafe(conversation).catch_unwind().await.is_err() {
        door.connections.panicked();
        tracing::error!(service, %peer, "a conversation has panicked; this is a bug");
    }
}
