//! Opens the doors: binds every address before the first conversation begins, so that the server
//! starts whole or not at all.
//!
//! What a door is made of hangs on the configuration; after a change of it, conversations that begin
//! are held at new doors, and those that stand go on at the old ones.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use tokio_util::task::TaskTracker;

use super::{House, Services, bounds};
use crate::{
    config::Address,
    imap,
    net::{BindError, Connection, Connections, Listener, Protocol, Refusal, ServerTls},
    smtp::{self, Role, extensions::Situation, foreign::Foreign},
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
pub(super) struct Doors {
    doors: Vec<Door>,
    hinges: Hinges,
}

/// What the doors hang on: the means to put others in their place.
pub(super) struct Hinges {
    now: Arc<RwLock<Leaves>>,
    tls: ServerTls,
    foreign: Foreign,
    connections: Arc<Connections>,
    /// Where submission listens, TLS before STARTTLS.
    submission_ports: Vec<u16>,
}

/// What is behind each kind of door, by the configuration that holds now.
struct Leaves {
    imap: Arc<imap::Door>,
    mx: Arc<smtp::Door>,
    lmtp: Arc<smtp::Door>,
    submission: Arc<smtp::Door>,
}

/// A service, and the address of it that cannot be bound.
pub(super) type Unbound = (&'static str, BindError);

/// Binds all addresses of all services.
pub(super) fn bind(house: &House, tls: &ServerTls, foreign: &Foreign) -> Result<Doors, Unbound> {
    let connections = Arc::clone(&house.connections);
    let bind = |service, addresses: &[Address], refusal: fn(Refusal) -> &'static str| {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.0).collect();
        let listener = Listener::bind(service, &addresses, &connections, refusal);
        listener.map_err(|fault| (service, fault))
    };
    let (imaps, submissions) = (tls.speaking(Protocol::Imap), tls.speaking(Protocol::Smtp));
    let listen = &house.config.listen;
    let to_smtp = smtp::Door::refusal;
    let imap = bind("imap", &listen.imap, imap::refusal)?;
    let imaps = bind("imaps", &listen.imaps, imap::refusal)?.with_tls(&Arc::new(imaps));
    let smtp = bind("smtp", &listen.smtp, to_smtp)?;
    let lmtp = bind("lmtp", &listen.lmtp, to_smtp)?;
    let submission = bind("submission", &listen.submission, to_smtp)?;
    let submissions =
        bind("submissions", &listen.submissions, to_smtp)?.with_tls(&Arc::new(submissions));
    let submission_ports = ports(&[&submissions, &submission]);
    let leaves = Leaves::new(house, tls, foreign, &submission_ports);
    let now = Arc::new(RwLock::new(leaves));
    let (tls, foreign) = (tls.clone(), foreign.clone());
    let hinges = Hinges { now, tls, foreign, connections, submission_ports };
    let door = |service, listener, greet| Door { service, listener, greet };
    let doors = vec![
        door("imap", imap, hinges.imap()),
        door("imaps", imaps, hinges.imap()),
        door("smtp", smtp, hinges.smtp(|leaves| &leaves.mx)),
        door("lmtp", lmtp, hinges.smtp(|leaves| &leaves.lmtp)),
        door("submission", submission, hinges.smtp(|leaves| &leaves.submission)),
        door("submissions", submissions, hinges.smtp(|leaves| &leaves.submission)),
    ];
    Ok(Doors { doors, hinges })
}

/// The ports of some listeners, each once, in their order.
fn ports(listeners: &[&Listener]) -> Vec<u16> {
    let mut ports = Vec::new();
    for address in listeners.iter().flat_map(|listener| listener.addresses()) {
        if !ports.contains(&address.port()) {
            ports.push(address.port());
        }
    }
    ports
}

impl Leaves {
    fn new(house: &House, tls: &ServerTls, foreign: &Foreign, submission_ports: &[u16]) -> Self {
        let limits = &house.config.limits;
        let host = house.hostname.ascii();
        let servers = submission_ports.iter().map(|port| format!("{host}:{port}"));
        let situation = Situation::of_user(limits.message_size_max.octets());
        let known = foreign.clone();
        let keywords = move || known.offers(&situation);
        let tls = tls.clone().with_handshake_time(*limits.tls_handshake_time);
        let source_url = house.config.source_url.as_ref().map(ToString::to_string);
        let smtp = |role| {
            let protocol = if role == Role::Lmtp { Protocol::Lmtp } else { Protocol::Smtp };
            let means = smtp::Means {
                hostname: house.hostname.clone(),
                source_url: source_url.clone(),
                delivery: house.delivery.clone(),
                submission: house.submission.clone(),
                urls: house.urls.clone(),
                foreign: foreign.clone(),
                logins: Arc::clone(&house.logins),
                tls: Some(Arc::new(tls.speaking(protocol))),
                connections: Arc::clone(&house.connections),
                sessions: Arc::clone(&house.sessions),
                memory: Arc::clone(&house.memory),
                metrics: Arc::clone(&house.metrics),
            };
            smtp::Door::new(role, bounds::smtp(limits, role), means)
        };
        Self {
            imap: Arc::new(imap::Door {
                mail: house.mail.clone(),
                urls: house.urls.clone(),
                submission: house.submission.clone(),
                submission_servers: servers.collect(),
                submission_keywords: Arc::new(keywords),
                logins: Arc::clone(&house.logins),
                limits: bounds::imap(limits),
                tls: Some(Arc::new(tls.speaking(Protocol::Imap))),
                memory: Arc::clone(&house.memory),
                metrics: Arc::clone(&house.metrics),
                hostname: house.config.hostname.to_string(),
                source_url: source_url.clone(),
                sessions: Arc::clone(&house.sessions),
            }),
            mx: smtp(Role::Mx),
            lmtp: smtp(Role::Lmtp),
            submission: smtp(Role::Submission),
        }
    }
}

impl Hinges {
    /// From now on conversations are held as this house has it.
    pub(super) fn renew(&self, house: &House) {
        self.connections.renew(bounds::connections(&house.config.limits));
        let leaves = Leaves::new(house, &self.tls, &self.foreign, &self.submission_ports);
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = leaves;
    }

    fn imap(&self) -> Greet {
        let now = Arc::clone(&self.now);
        Arc::new(move |connection| {
            let door = Arc::clone(&now.read().unwrap_or_else(PoisonError::into_inner).imap);
            Box::pin(imap::session::serve(door, connection))
        })
    }

    fn smtp(&self, which: fn(&Leaves) -> &Arc<smtp::Door>) -> Greet {
        let now = Arc::clone(&self.now);
        Arc::new(move |connection| {
            let door = Arc::clone(which(&now.read().unwrap_or_else(PoisonError::into_inner)));
            Box::pin(door.serve(connection))
        })
    }
}

impl Doors {
    /// Where each service listens.
    pub(super) fn services(&self) -> Services {
        let open = self.doors.iter().filter(|door| !door.listener.addresses().is_empty());
        open.map(|door| (door.service, door.listener.addresses())).collect()
    }

    /// Lets everybody in until the house stops.
    pub(super) fn serve(self, house: &House, tasks: &TaskTracker) -> Hinges {
        for door in self.doors {
            let greet = door.greet;
            let handler = move |connection| greet(connection);
            tasks.spawn(door.listener.serve(house.stop.clone(), handler));
        }
        self.hinges
    }
}
