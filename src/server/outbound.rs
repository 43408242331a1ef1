//! The rooms of mail on its way out, built from the configuration: the queue, and the agent that submits
//! what users have marked.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Error, House};
use crate::{
    config::{self, Config},
    control,
    net::{ClientTls, dns::Resolver},
    queue::{Login, Outside, Proof, Queue, Relay, Schedule, Security, Settings, Times},
    submission::Queued,
};

/// The room of mail on its way out, and the means to put another in its place.
pub(super) struct Outbound {
    queue: Queue,
    retired: CancellationToken,
}

impl Outbound {
    /// Makes the room; nothing is sent yet.
    pub(super) fn new(house: &House) -> Result<Self, Error> {
        let settings = settings(&house.config, house.hostname.ascii());
        let queue = Queue::new(house.submission.clone(), outside(house)?, settings);
        Ok(Self { queue, retired: CancellationToken::new() })
    }

    /// Sends from now on.
    pub(super) fn run(&self, house: &House, tasks: &TaskTracker) {
        let queue = self.queue.clone();
        tasks.spawn(queue.run(house.stop.clone(), self.retired.clone()));
        let clock = Arc::new(jiff::Timestamp::now);
        let queued = Queued::new(house.submission.clone(), house.urls.clone(), clock);
        tasks.spawn(queued.run(house.stop.clone(), self.retired.clone()));
    }

    /// From now on mail leaves as this house has it; what is in flight lands as before.
    pub(super) fn renew(&mut self, house: &House, tasks: &TaskTracker) -> Result<(), Error> {
        let settings = settings(&house.config, house.hostname.ascii());
        let outside = outside(house)?;
        self.retired.cancel();
        let queue = self.queue.renewed(house.submission.clone(), outside, settings);
        *self = Self { queue, retired: CancellationToken::new() };
        self.run(house, tasks);
        Ok(())
    }
}

fn outside(house: &House) -> Result<Outside, Error> {
    let config = &house.config;
    let servers: Vec<_> = config.dns.servers.iter().map(|server| server.0).collect();
    Ok(Outside {
        names: Arc::new(Resolver::new(&servers)?),
        anybody: ClientTls::opportunistic()?,
        verified: ClientTls::verified(None)?,
        memory: Arc::clone(&house.memory),
    })
}

/// A smarthost is spoken to as the owner says; but a password leaves this machine only to who can show
/// that it is the smarthost.
fn relay(config: &Config) -> Option<Relay> {
    let outbound = &config.outbound;
    let relay = outbound.relay.as_ref()?;
    let security = match outbound.tls {
        config::Security::Opportunistic if outbound.user.is_some() && !relay.is_loopback() => {
            Security::StartTls
        }
        config::Security::Opportunistic => Security::Opportunistic,
        config::Security::StartTls => Security::StartTls,
        config::Security::Tls => Security::Tls,
        config::Security::Plain => Security::Plain,
    };
    let login = outbound.user.clone().zip(outbound.password.as_ref());
    let login = login.map(|(user, password)| {
        let password = password.reveal().to_owned().into();
        Login { acts_as: None, proof: Proof::Password { user, password } }
    });
    Some(Relay { host: relay.host.clone(), port: relay.port, security, login })
}

fn settings(config: &Config, hostname: &str) -> Settings {
    let limits = &config.limits;
    Settings {
        hostname: hostname.to_owned(),
        relay: relay(config),
        port: 25,
        schedule: Schedule {
            pauses: limits.queue_retry_after.iter().map(|pause| **pause).collect(),
            life: *limits.queue_life,
            bounce_life: *limits.queue_bounce_life,
            ..Schedule::default()
        },
        times: Times::default(),
        connections_per_destination: limits.queue_connections_per_destination,
        connections_max: limits.queue_connections_max,
        messages_per_connection: limits.queue_messages_per_connection,
        text_line_max: limits.text_line_sent_max.len(),
        clock: Arc::new(control::now),
    }
}
