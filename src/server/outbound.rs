//! The queue's room, built from the configuration.

use std::sync::Arc;

use super::{Error, House};
use crate::{
    config::{self, Config},
    net::{ClientTls, Memory, dns::Resolver},
    queue::{Login, Queue, Schedule, Security, Settings, Times, Ways},
};

/// The room of mail on its way out.
pub(super) fn queue(house: &House) -> Result<Arc<Queue>, Error> {
    let config = &house.config;
    let servers: Vec<_> = config.dns.servers.iter().map(|server| server.0).collect();
    let names = Resolver::new(&servers)?;
    let ways = Ways {
        hostname: house.hostname.ascii().to_owned(),
        security: security(config),
        login: login(config),
        times: Times::default(),
        anybody: ClientTls::opportunistic()?,
        verified: ClientTls::verified(None)?,
        memory: Memory::new(config.limits.input_memory_max.len()),
    };
    Ok(Arc::new(Queue::new(house.submission.clone(), ways, names, settings(config))))
}

/// Other servers are spoken to as well as they can; a smarthost as the owner says.
fn security(config: &Config) -> Security {
    if config.outbound.relay.is_none() {
        return Security::Opportunistic;
    }
    match config.outbound.tls {
        config::Security::Opportunistic => Security::Opportunistic,
        config::Security::StartTls => Security::StartTls,
        config::Security::Tls => Security::Tls,
        config::Security::Plain => Security::Plain,
    }
}

fn login(config: &Config) -> Option<Login> {
    let outbound = &config.outbound;
    outbound.relay.as_ref()?;
    let user = outbound.user.clone()?;
    let password = outbound.password.as_ref()?.reveal().to_owned();
    Some(Login { user, password })
}

fn settings(config: &Config) -> Settings {
    let limits = &config.limits;
    let relay = config.outbound.relay.as_ref();
    Settings {
        relay: relay.map(|relay| (relay.host.clone(), relay.port)),
        schedule: Schedule {
            pauses: limits.queue_retry_after.iter().map(|pause| **pause).collect(),
            life: *limits.queue_life,
            bounce_life: *limits.queue_bounce_life,
            ..Schedule::default()
        },
        per_destination: limits.queue_connections_per_destination,
        connections: limits.queue_connections_max,
        messages_per_connection: limits.queue_messages_per_connection,
    }
}
