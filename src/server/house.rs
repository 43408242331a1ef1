//! The rooms of the house, built from the configuration in their order.

use std::{num::NonZero, path::PathBuf, sync::Arc};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bounds;
use crate::{
    auth::{
        Passwords,
        login::{self, Logins, Refused},
    },
    config::{Config, Limits},
    control::{self, messages::Known},
    delivery::{self, Delivery},
    events::Bus,
    mail::{Mail, urls::Urls},
    metrics::Metrics,
    net::{Connections, Memory},
    sessions::Sessions,
    store,
    submission::{self, Submission},
    wire::address::Domain,
};

/// Why the house cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// The store.
    #[error("{}: {cause}", data_dir.display())]
    Store {
        /// Where it is.
        data_dir: PathBuf,
        /// What it says.
        cause: store::Error,
    },
    /// The host name.
    #[error("hostname {0} is no mail domain")]
    Hostname(String),
    /// The room of logins.
    #[error("logins: {0}")]
    Logins(#[from] Refused),
}

impl HouseError {
    /// Does another process have the house open?
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Store { cause: store::Error::InUse, .. })
    }
}

/// All rooms. Doors get what they need of it by their constructors.
#[derive(Clone)]
pub struct House {
    /// What it was built from.
    pub config: Arc<Config>,
    /// Our own name.
    pub hostname: Domain,
    /// The store.
    pub store: store::Store,
    /// Mailboxes and messages.
    pub mail: Mail,
    /// Who is it?
    pub logins: Arc<Logins>,
    /// URLs of messages, followed and authorised.
    pub urls: Urls,
    /// Mail for our users.
    pub delivery: Delivery,
    /// Mail from our users.
    pub submission: Submission,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// How many connections there are, and from where.
    pub connections: Arc<Connections>,
    /// What connections hold in memory.
    pub memory: Arc<Memory>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Imports under way.
    pub(crate) imports: Arc<Known>,
    /// Fires when all shall end.
    pub stop: CancellationToken,
}

impl House {
    /// Opens the store and builds the rooms; nothing listens and nothing is sent yet.
    pub async fn open(config: &Config) -> Result<Self, HouseError> {
        let limits = &config.limits;
        let hostname = parse_hostname(config)?;
        let metrics = Metrics::new();
        let options = store::Options { metrics: Arc::clone(&metrics), ..bounds::store(config) };
        let failed = |cause| HouseError::Store { data_dir: config.data_dir.clone(), cause };
        let store = store::Store::open(&options, Arc::new(Bus::default())).map_err(failed)?;
        let mail = Mail::new(store.clone(), bounds::mail(limits)).counting(&metrics);
        let parallel = std::thread::available_parallelism().map_or(1, NonZero::get);
        let passwords = Arc::new(Passwords::new(parallel).map_err(Refused::from)?);
        let throttle = bounds::throttle(limits);
        let logins = Logins::open(&store, passwords, throttle, &metrics, control::now()).await?;
        let (delivery, submission) = outgoing(&mail, &hostname, limits, &metrics);
        let urls = Urls::new(&mail, bounds::here(config, &hostname));
        let stop = CancellationToken::new();
        let sessions = Sessions::new(stop.clone());
        let connections = Connections::new(bounds::connections(limits), &metrics);
        for (known, ago) in login::lately(&store, control::now()).await.map_err(Refused::from)? {
            logins.remember(&known, ago, Instant::now());
            connections.remember(known.address, ago, Instant::now());
        }
        let memory = Memory::new(bounds::memory(limits), &metrics);
        let config = Arc::new(config.clone());
        Ok(Self {
            config,
            hostname,
            store,
            mail,
            logins: Arc::new(logins),
            urls,
            delivery,
            submission,
            sessions,
            connections,
            memory,
            metrics,
            imports: Arc::default(),
            stop,
        })
    }

    /// The same house by another configuration: its rooms know the new limits and the new name. What
    /// the store was opened with stays.
    pub fn renewed(&self, config: &Config) -> Result<Self, HouseError> {
        let limits = &config.limits;
        let hostname = parse_hostname(config)?;
        let mail = self.mail.with_limits(bounds::mail(limits));
        let (delivery, submission) = outgoing(&mail, &hostname, limits, &self.metrics);
        let urls = Urls::new(&mail, bounds::here(config, &hostname));
        let config = Arc::new(config.clone());
        Ok(Self { config, hostname, mail, urls, delivery, submission, ..self.clone() })
    }

    /// Finishes what is under way in the store and closes it.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

fn parse_hostname(config: &Config) -> Result<Domain, HouseError> {
    let hostname = Domain::parse(config.hostname.as_str());
    hostname.map_err(|_| HouseError::Hostname(config.hostname.to_string()))
}

/// The two rooms above the mail room.
fn outgoing(
    mail: &Mail,
    hostname: &Domain,
    limits: &Limits,
    metrics: &Arc<Metrics>,
) -> (Delivery, Submission) {
    let whole = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let delivery = delivery::Settings {
        hostname: hostname.clone(),
        received_max: limits.received_fields_max,
        quota_refused_after: *limits.quota_refused_after,
        queue_max: whole(limits.queue_messages_max),
        metrics: Arc::clone(metrics),
    };
    let delivery = Delivery::new(mail.clone(), delivery);
    let submission = submission::Settings {
        hostname: hostname.clone(),
        messages_per_hour: whole(limits.submission_messages_per_hour),
        queue_per_user_max: whole(limits.queue_messages_per_user_max),
        queue_max: whole(limits.queue_messages_max),
        recipients_max: limits.submission_recipients_max,
        retry_time: *limits.submission_retry_time,
    };
    (delivery.clone(), Submission::new(delivery, submission))
}
