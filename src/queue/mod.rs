//! Mail on its way out: from the durable queue to other servers, or into mailboxes of this house that
//! had no room at first, and reports on what became of it.
//!
//! [`Queue::run`] is woken by the store's events and by the next time that a recipient is due.
//! Nothing is remembered outside of the store that a crash could lose: after a server's yes a
//! recipient is struck off before anything else happens, so that only what was in flight can be sent
//! twice (RFC 1047). What is queued, and for whom, submission and delivery decide.

mod answer;
mod client;
mod courier;
mod dsn;
mod fate;
mod here;
mod plan;
mod record;
mod report;
mod retry;
mod route;
mod runner;
#[cfg(test)]
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod unheard;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};

use self::{
    client::Ways,
    plan::{Connections, Plan},
};
pub use self::{
    client::{Login, Proof, Security, Times},
    courier::{Courier, Errand, Undelivered},
    retry::Schedule,
    unheard::Unheard,
};
use crate::{
    net::{ClientTls, Memory, dns::Resolver},
    store::Store,
    submission::Submission,
};

/// A server that takes all mail.
#[derive(Clone)]
pub struct Relay {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// The login there.
    pub login: Option<Login>,
}

/// What the queue needs to know of the house.
#[derive(Clone)]
pub struct Settings {
    /// What we call ourselves.
    pub hostname: String,
    /// A smarthost; without one mail goes by MX records.
    pub relay: Option<Relay>,
    /// The port at which other servers take mail: 25, save in tests.
    pub port: u16,
    /// When to try again.
    pub schedule: Schedule,
    /// How long servers may take.
    pub times: Times,
    /// Connections to one destination.
    pub connections_per_destination: usize,
    /// Connections to all destinations together.
    pub connections_max: usize,
    /// Messages sent over one connection.
    pub messages_per_connection: usize,
    /// Octets of a text line that is sent, at most 998.
    pub text_line_max: usize,
    /// The wall clock, in seconds since 1970.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

/// What the queue reaches other servers with.
#[derive(Clone)]
pub struct Outside {
    /// Who looks names up.
    pub names: Arc<Resolver>,
    /// TLS with anybody, where the choice is between that and none.
    pub anybody: ClientTls,
    /// TLS with who proves its name.
    pub verified: ClientTls,
    /// What all connections may hold in memory together.
    pub memory: Arc<Memory>,
}

/// The room that sends; cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    submission: Submission,
    settings: Settings,
    names: Arc<Resolver>,
    ways: Ways,
    plan: Mutex<Plan>,
}

impl Queue {
    /// Makes the room; nothing is sent before [`Queue::run`].
    pub fn new(submission: Submission, outside: Outside, settings: Settings) -> Self {
        Self::with_plan(submission, outside, settings, Plan::default())
    }

    /// The same room by other settings. Who is in a worker's hands here stays there; the rest is for
    /// the new room, which may run before this one has ended.
    #[must_use]
    pub fn renewed(&self, submission: Submission, outside: Outside, settings: Settings) -> Self {
        let plan = self.0.plan.lock().unwrap_or_else(PoisonError::into_inner).renewed();
        Self::with_plan(submission, outside, settings, plan)
    }

    fn with_plan(submission: Submission, outside: Outside, settings: Settings, plan: Plan) -> Self {
        let plan = Mutex::new(plan);
        let Outside { names, anybody, verified, memory } = outside;
        let relay = settings.relay.as_ref();
        let ways = Ways {
            hostname: settings.hostname.clone(),
            security: relay.map_or(Security::Opportunistic, |relay| relay.security),
            login: relay.and_then(|relay| relay.login.clone()),
            times: settings.times,
            anybody,
            verified,
            memory,
        };
        Self(Arc::new(Inner { submission, settings, names, ways, plan }))
    }
}

impl Inner {
    fn store(&self) -> &Store {
        self.submission.delivery().mail().store()
    }

    fn now(&self) -> i64 {
        (self.settings.clock)()
    }

    fn connections(&self) -> Connections {
        Connections {
            per_destination: self.settings.connections_per_destination,
            in_all: self.settings.connections_max,
        }
    }
}
