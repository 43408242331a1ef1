//! What all sessions of one door share, and where a connection becomes a session.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Limits, Role, Times, foreign::Foreign, rates::Rates, session::Session};
use crate::{
    auth::login::Logins,
    delivery::Delivery,
    events,
    ids::Neighbour,
    mail::urls::Urls,
    metrics::{Limit, Metrics},
    net::{Connection, Connections, LineEnds, Memory, Refusal, ServerTls, open},
    sessions::Sessions,
    submission::Submission,
    wire::address::Domain,
};

/// The rooms and means that a door is given.
#[derive(Clone)]
pub struct Means {
    /// Our name.
    pub hostname: Domain,
    /// Where the source of this very program is to be had; told by HELP, as the licence asks.
    pub source_url: Option<String>,
    /// Mail for our users.
    pub delivery: Delivery,
    /// Mail from our users.
    pub submission: Submission,
    /// URLs of messages, for BURL.
    pub urls: Urls,
    /// Other servers whose URLs BURL takes.
    pub foreign: Foreign,
    /// Who is it?
    pub logins: Arc<Logins>,
    /// For STARTTLS; None: it is not offered.
    pub tls: Option<Arc<ServerTls>>,
    /// All connections of the process.
    pub connections: Arc<Connections>,
    /// The register of live sessions.
    pub sessions: Arc<Sessions>,
    /// What input may hold in memory, all connections together.
    pub memory: Arc<Memory>,
    /// Where it is counted what happens here.
    pub metrics: Arc<Metrics>,
}

/// One door: its role, its bounds, and the rooms behind it.
pub struct Door {
    pub(super) role: Role,
    pub(super) limits: Limits,
    pub(super) means: Means,
    pub(super) rates: Rates<Neighbour>,
}

impl Door {
    /// Makes a door; it serves the connections it is given.
    pub fn new(role: Role, limits: Limits, means: Means) -> Arc<Self> {
        let minute = Duration::from_mins(1);
        let rates = Rates::new(limits.messages_per_address_and_minute, minute);
        Arc::new(Self { role, limits, means, rates })
    }

    /// What a connection reads that is not let in (RFC 5321 §3.8).
    pub fn refusal(refusal: Refusal) -> &'static str {
        match refusal {
            Refusal::Full => "421 4.3.2 too many connections, try again later\r\n",
            Refusal::Address => "421 4.7.0 too many connections from your address\r\n",
        }
    }

    /// Holds one conversation, to its end.
    pub async fn serve(self: Arc<Self>, connection: Connection) {
        let Connection { stream, permit } = connection;
        let now = Timestamp::now().as_second();
        let entry = self.means.sessions.open(self.role.door(), stream.peer().ip(), now);
        let (input, output) = open(stream, LineEnds::Strict, &self.means.memory);
        Session::new(self, entry, permit, input, output).run().await;
    }

    /// How long clients may take, now.
    pub(super) fn times(&self) -> &Times {
        let crowded = self.means.connections.is_crowded();
        if crowded { &self.limits.times_loaded } else { &self.limits.times }
    }

    /// Counts that somebody came up against a bound.
    pub(super) fn exceeded(&self, limit: Limit) {
        self.means.metrics.exceeded(limit);
    }

    /// Counts a message from there; false when it is one too many for this minute.
    pub(super) fn admits(&self, ip: std::net::IpAddr) -> bool {
        self.role != Role::Mx
            || self.means.connections.is_exempt(ip)
            || self.rates.count(ip.into(), Instant::now())
    }
}

impl Role {
    /// The door's name in events.
    pub const fn door(self) -> events::Door {
        match self {
            Self::Mx => events::Door::Smtp,
            Self::Submission => events::Door::Submission,
            Self::Lmtp => events::Door::Lmtp,
        }
    }
}
