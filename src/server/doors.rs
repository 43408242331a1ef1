//! Opens the doors: binds every address before the first conversation begins, so that the server
//! starts whole or not at all.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio_util::task::TaskTracker;

use super::{Error, House, Services};
use crate::{
    config::Limits,
    net::{Connection, ConnectionLimits, Connections, Listener, Memory, ServerTls},
};

/// A conversation from its first word to its last.
type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins a conversation.
type Greet = Arc<dyn Fn(Connection) -> Conversation + Send + Sync>;

/// One service with its addresses bound.
struct Door {
    service: &'static str,
    listener: Listener,
    greet: Greet,
}

/// All services of this configuration.
pub(super) struct Doors(Vec<Door>);

/// What all doors share.
struct Common<'a> {
    house: &'a Arc<House>,
    tls: &'a Arc<ServerTls>,
    connections: Arc<Connections>,
    memory: Arc<Memory>,
}

/// Binds all addresses of all services.
pub(super) fn bind(house: &Arc<House>, tls: &Arc<ServerTls>) -> Result<Doors, Error> {
    let limits = &house.config.limits;
    let common = Common {
        house,
        tls,
        connections: Connections::new(connection_limits(limits)),
        memory: Memory::new(limits.input_memory_max.len()),
    };
    let mut doors = Vec::new();
    let _ = (&common, &mut doors);
    Ok(Doors(doors))
}

impl Doors {
    /// Where each service listens.
    pub(super) fn services(&self) -> Services {
        let open = self.0.iter().filter(|door| !door.listener.addresses().is_empty());
        open.map(|door| (door.service, door.listener.addresses())).collect()
    }

    /// Lets everybody in until the house stops.
    pub(super) fn serve(self, house: &House, tasks: &TaskTracker) {
        for door in self.0 {
            let greet = door.greet;
            let handler = move |connection| greet(connection);
            tasks.spawn(door.listener.serve(house.stop.clone(), handler));
        }
    }
}

/// How many connections there may be.
fn connection_limits(limits: &Limits) -> ConnectionLimits {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    ConnectionLimits {
        total: limits.connections_max,
        reserve: limits.connections_reserved,
        before_login: count(limits.connections_per_address_before_login),
        after_login: count(limits.connections_per_address_after_login),
        per_minute: count(limits.connections_per_address_per_minute),
        exempt: limits.unlimited_networks.iter().map(|network| network.0).collect(),
    }
}
