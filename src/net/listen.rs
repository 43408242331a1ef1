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
use crate::metrics::{Count, Limit};

/// Connections that may wait to be accepted; the system may hold it lower.
const BACKLOG: u32 = 4096;
/// The pause when the process has no descriptors left: one may be closed meanwhile.
const BREATH: Duration = Duration::from_millis(100);

/// A connection that was let in.
#[derive(Debug)]
pub struct Connection {
    pub stream: Stream,
    /// Its place among all; given back when the conversation ends, whatever becomes of this one.
    pub permit: Arc<Permit>,
}

/// The sockets of one service.
#[derive(Debug)]
pub struct Listener {
    service: &'static str,
    sockets: Vec<TcpListener>,
    door: Door,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {cause}")]
pub struct BindError {
    pub address: SocketAddr,
    pub cause: io::Error,
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
    ) -> Result<Self, BindError> {
        let sockets = addresses.iter().copied().map(bind).collect::<Result<_, _>>()?;
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

fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|cause| BindError { address, cause })
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
        if error.kind() == io::ErrorKind::TimedOut {
            door.connections.metrics().exceeded(Limit::TlsHandshakeTime);
        }
        tracing::debug!(service, %peer, %error, "TLS handshake");
        return;
    }
    let permit = Arc::new(permit);
    let conversation = Box::pin(handler(Connection { stream, permit: Arc::clone(&permit) }));
    if AssertUnwindSafe(conversation).catch_unwind().await.is_err() {
        door.connections.metrics().count(Count::Panic);
        tracing::error!(service, %peer, "a conversation has panicked; this is a bug");
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::mpsc,
    };

    use super::*;
    use crate::{metrics::Metrics, net::ConnectionLimits};

    fn listener(total: usize) -> (Listener, Arc<Connections>) {
        let limits = ConnectionLimits { total, reserve: 0, ..ConnectionLimits::default() };
        let connections = Connections::new(limits, &Metrics::new());
        let any_port = ["127.0.0.1:0".parse().unwrap()];
        let listener =
            Listener::bind("test", &any_port, &connections, |_| "421 4.3.2 full\r\n").unwrap();
        (listener, connections)
    }

    #[tokio::test]
    async fn a_panic_ends_one_conversation_and_is_counted() {
        let (listener, connections) = listener(10);
        let address = listener.addresses()[0];
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(stop.clone(), |mut connection| async move {
            let byte = connection.stream.read_u8().await.unwrap();
            assert_ne!(byte, b'!', "a panic that belongs to the test");
            connection.stream.write_u8(byte).await.unwrap();
        }));
        let mut one = TcpStream::connect(address).await.unwrap();
        let mut two = TcpStream::connect(address).await.unwrap();
        one.write_u8(b'!').await.unwrap();
        assert!(one.read_u8().await.is_err());
        two.write_u8(b'x').await.unwrap();
        assert_eq!(two.read_u8().await.unwrap(), b'x');
        stop.cancel();
        serving.await.unwrap();
        assert_eq!(connections.metrics().counted(Count::Panic), 1);
        assert_eq!(connections.open_now(), 0);
    }

    #[tokio::test]
    async fn who_finds_the_house_full_is_told_so() {
        let (listener, connections) = listener(1);
        let address = listener.addresses()[0];
        let stop = CancellationToken::new();
        let (tell, mut hear) = mpsc::channel(1);
        let until = stop.clone();
        let serving = tokio::spawn(listener.serve(stop.clone(), move |connection| {
            let (tell, until) = (tell.clone(), until.clone());
            async move {
                tell.send(connection.stream.peer()).await.unwrap();
                until.cancelled().await;
            }
        }));
        let first = TcpStream::connect(address).await.unwrap();
        assert_eq!(hear.recv().await.unwrap(), first.local_addr().unwrap());
        let mut text = String::new();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "421 4.3.2 full\r\n");
        stop.cancel();
        serving.await.unwrap();
        assert_eq!(connections.metrics().times_exceeded(Limit::ConnectionsMax), 1);
    }

    #[test]
    fn a_lack_of_descriptors_passes_and_a_lost_peer_is_none() {
        assert!(is_need(&Errno::MFILE.into()));
        assert!(!is_need(&Errno::CONNABORTED.into()));
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let (first, connections) = listener(1);
        let address = first.addresses()[0];
        let error = Listener::bind("test", &[address], &connections, |_| "").unwrap_err();
        assert!(error.to_string().contains(&address.to_string()));
    }
}
