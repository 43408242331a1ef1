//! Opens the doors: binds every address before the first conversation begins, so that the server
//! starts whole or not at all.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use tokio_util::task::TaskTracker;

use super::{Error, House, Services, bounds};
use crate::{
    config::Address,
    imap,
    net::{Connection, Listener, Refusal, ServerTls},
    smtp::{self, Role},
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
    house: &'a House,
    tls: &'a Arc<ServerTls>,
}

/// Binds all addresses of all services.
pub(super) fn bind(house: &House, tls: &Arc<ServerTls>) -> Result<Doors, Error> {
    let common = Common { house, tls };
    let listen = &house.config.listen;
    let (imap, mx, lmtp, submission) = (
        common.imap(),
        common.smtp(Role::Mx),
        common.smtp(Role::Lmtp),
        common.smtp(Role::Submission),
    );
    let smtp_refusal = smtp::Door::refusal;
    Ok(Doors(vec![
        common.door("imap", &listen.imap, imap::refusal, &imap)?,
        common.door("imaps", &listen.imaps, imap::refusal, &imap)?.over_tls(tls),
        common.door("smtp", &listen.smtp, smtp_refusal, &mx)?,
        common.door("lmtp", &listen.lmtp, smtp_refusal, &lmtp)?,
        common.door("submission", &listen.submission, smtp_refusal, &submission)?,
        common.door("submissions", &listen.submissions, smtp_refusal, &submission)?.over_tls(tls),
    ]))
}

impl Common<'_> {
    fn door(
        &self,
        service: &'static str,
        addresses: &[Address],
        refusal: fn(Refusal) -> &'static str,
        greet: &Greet,
    ) -> Result<Door, Error> {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.0).collect();
        let listener = Listener::bind(service, &addresses, &self.house.connections, refusal)
            .map_err(|cause| Error::Listen { service, cause })?;
        Ok(Door { service, listener, greet: Arc::clone(greet) })
    }

    fn imap(&self) -> Greet {
        let House { config, mail, logins, sessions, memory, metrics, .. } = self.house;
        let door = Arc::new(imap::Door {
            mail: mail.clone(),
            logins: Arc::clone(logins),
            limits: bounds::imap(&config.limits),
            tls: Some(Arc::clone(self.tls)),
            memory: Arc::clone(memory),
            metrics: Arc::clone(metrics),
            hostname: config.hostname.to_string(),
            source_url: None,
            sessions: Arc::clone(sessions),
        });
        Arc::new(move |connection| Box::pin(imap::session::serve(Arc::clone(&door), connection)))
    }

    fn smtp(&self, role: Role) -> Greet {
        let House { config, delivery, submission, logins, sessions, .. } = self.house;
        let means = smtp::Means {
            hostname: self.house.hostname.clone(),
            delivery: delivery.clone(),
            submission: submission.clone(),
            logins: Arc::clone(logins),
            tls: Some(Arc::clone(self.tls)),
            connections: Arc::clone(&self.house.connections),
            sessions: Arc::clone(sessions),
            memory: Arc::clone(&self.house.memory),
            metrics: Arc::clone(&self.house.metrics),
        };
        let door = smtp::Door::new(role, bounds::smtp(&config.limits, role), means);
        Arc::new(move |connection| Box::pin(Arc::clone(&door).serve(connection)))
    }
}

impl Door {
    fn over_tls(self, tls: &Arc<ServerTls>) -> Self {
        Self { listener: self.listener.with_tls(tls), ..self }
    }
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
