//! What all sessions share, and where a connection becomes a session.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::session::Session;
use crate::{
    mail::structure,
    metrics::{Limit, Metrics},
    net::{
        Connection, Input, LineEnds, Memory, Output, Rate, Refusal, Resolver, ServerTls,
        imap_client::{ImapClient, ImapError, Ways},
        open,
    },
    queue::{Courier, Proof},
    wire::address::Domain,
};

/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 4;

/// Every bound of the door.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Time to log in, in sum.
    pub login_time: Duration,
    /// Silence on both sides.
    pub idle_time: Duration,
    /// Commands that the server has not answered; then we stop reading from the client.
    pub commands_waiting: usize,
    /// Octets of a message.
    pub message: u64,
    /// Recipients of a message.
    pub recipients: usize,
    /// How fast a message must come.
    pub rate: Rate,
    /// All of one SUBMIT, once the message is there.
    pub submit_time: Duration,
    /// How a message is taken apart.
    pub parsing: structure::Limits,
}

/// The IMAP server behind.
#[derive(Clone)]
pub struct Server {
    /// Its name, and its port.
    pub host: String,
    pub port: u16,
    /// How it is spoken to.
    pub ways: Ways,
}

/// Whose From address is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromRule {
    /// The login name alone.
    Login,
    /// All of its domain.
    Domain,
    /// Any: the submission server sees to it.
    Any,
}

/// What a door is given.
pub struct Means {
    /// Our name.
    pub hostname: Domain,
    /// For STARTTLS; None: it is not offered.
    pub tls: Option<Arc<ServerTls>>,
    /// May secrets come in the clear, whoever may listen?
    pub trusts_network: bool,
    /// The IMAP server.
    pub server: Server,
    /// The submission server.
    pub courier: Courier,
    /// Our own login there; without one it is the user's.
    pub relay: Option<Proof>,
    /// Whom users may write as.
    pub from: FromRule,
    /// Who looks names up.
    pub names: Arc<Resolver>,
    /// What connections may hold in memory.
    pub memory: Arc<Memory>,
    /// Where it is counted what happens here.
    pub metrics: Arc<Metrics>,
}

/// The door.
pub struct Door {
    pub(super) limits: Limits,
    pub(super) means: Means,
}

impl Door {
    /// Makes a door; it serves the connections it is given.
    pub fn new(limits: Limits, means: Means) -> Arc<Self> {
        Arc::new(Self { limits, means })
    }

    /// What a connection reads that is not let in.
    pub fn refusal(refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::Full => "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
            Refusal::Address => "* BYE [LIMIT] too many connections from your address\r\n",
        }
    }

    /// Holds one conversation, to its end.
    pub async fn serve(self: Arc<Self>, connection: Connection, stop: CancellationToken) {
        let Connection { stream, permit } = connection;
        let peer = stream.peer();
        let (input, mut output) = open(stream, LineEnds::Lenient, &self.means.memory);
        match self.reach().await {
            Ok(server) => Session::new(self, permit, stop, (input, output), server).run().await,
            Err(error) => {
                tracing::warn!(%peer, %error, "the IMAP server behind the proxy cannot be reached");
                output.put("* BYE [UNAVAILABLE] the mail server cannot be reached now\r\n");
                let _the_client_may_not_hear_it = output.close().await;
            }
        }
    }

    /// A connection to the server, past its greeting.
    pub(super) async fn reach(&self) -> Result<ImapClient, ImapError> {
        let Server { host, port, ways } = &self.means.server;
        let addresses = self.means.names.addresses(host).await;
        let addresses = addresses.map_err(|error| ImapError::Away(error.to_string()))?;
        let mut last = ImapError::Away(format!("{host} has no address"));
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match ImapClient::connect(ways, host, (address, *port).into()).await {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Counts that somebody came up against a bound.
    pub(super) fn exceeded(&self, limit: Limit) {
        self.means.metrics.exceeded(limit);
    }
}

/// The two halves of a connection.
pub(super) type Halves = (Input, Output);
