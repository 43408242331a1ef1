//! The server: opens the store, builds the rooms, opens the doors, and closes all in order.
//!
//! What the rooms and doors are made of stands in [`House`] and `doors`; here is only the order.

mod bounds;
mod doors;
mod fitness;
mod foreign;
mod house;
mod outbound;
pub mod proxy;
mod reload;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{doors::Hinges, outbound::Outbound};
pub use self::{
    fitness::{check, check_house},
    house::{House, HouseError},
};
use crate::{
    config::{self, Config, Loaded, Sources},
    control,
    events::{Door, Origin},
    mail::Mail,
    net::{self, ServerTls, TlsError, dns::DnsError},
};

/// How long conversations may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(7);

/// How long the store may take to finish afterwards.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// How long a data directory is tried that another process holds: a command, or a server that ends.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Pauses between looks at the certificate and at what can be swept away.
const HOUR: Duration = Duration::from_hours(1);

/// In so many hours everything that is stored is read once to see whether it is still whole.
const SCRUB_HOURS: u32 = 30 * 24;
/// In so many hours the full-text index is: one that rots hides mail as long as nobody knows.
const INDEX_SCRUB_HOURS: u32 = 24;

/// The addresses of each service that is open.
pub type Services = BTreeMap<&'static str, Vec<SocketAddr>>;

/// Why the server cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The house cannot be opened.
    #[error(transparent)]
    House(#[from] HouseError),
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The library that makes connections secure.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The name servers.
    #[error("dns.servers: {0}")]
    Dns(#[from] DnsError),
    /// The control socket.
    #[error("the control socket in {}: {cause}", data_dir.display())]
    Control {
        /// Where it should be.
        data_dir: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Signals cannot be heard.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// The disk failed: nothing can be promised any more.
    #[error("the store has failed; the log says why")]
    StoreFailed,
}

/// A server with all its doors open.
pub struct Server {
    /// As the configuration has it that holds now.
    house: Arc<House>,
    /// What the server was started with.
    started: Arc<Config>,
    /// Where the keys stand of the configuration that holds now.
    explicit: BTreeMap<String, String>,
    sources: Sources,
    /// The same house, for the control socket.
    current: Arc<RwLock<Arc<House>>>,
    tls: ServerTls,
    hinges: Hinges,
    outbound: Outbound,
    services: Services,
    tasks: TaskTracker,
    signals: Signals,
}

/// What may be said to the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on; what comes before [`Server::run`] is not lost.
    fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

impl Server {
    /// Opens everything; when it gives back, every service takes connections.
    pub async fn start(loaded: Loaded) -> Result<Self, Error> {
        let signals = Signals::listen()?;
        net::tls::install_provider();
        let config = &loaded.config;
        let house = open_house(&loaded).await.map_err(|error| {
            if error.is_in_use() { fitness::in_use(&loaded).into() } else { Error::House(error) }
        })?;
        let house = Arc::new(house);
        bounds::log_peers(&config.limits, &house.metrics).install();
        let tls = if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
            ServerTls::load(cert, key)
        } else {
            ServerTls::own(&config.data_dir, config.hostname.as_str(), SystemTime::now())
        };
        let tls = tls.map_err(|error| fitness::certificate(&loaded, &error))?;
        let tasks = TaskTracker::new();
        let outbound = Outbound::new(&house)?;
        let foreign = foreign::foreign(&loaded, &house)?;
        let doors = doors::bind(&house, &tls, &foreign).map_err(|(service, fault)| {
            fitness::address(&loaded, &format!("listen.{service}"), &fault)
        })?;
        tell_what_is_odd(&loaded);
        let services = doors.services();
        let socket = control::Socket::open(&config.data_dir);
        let data_dir = config.data_dir.clone();
        let socket = socket.map_err(|cause| Error::Control { data_dir, cause })?;
        let hinges = doors.serve(&house, &tasks);
        let current = Arc::new(RwLock::new(Arc::clone(&house)));
        let now = Arc::clone(&current);
        let router = move || {
            control::router(Arc::clone(&now.read().unwrap_or_else(PoisonError::into_inner)))
        };
        tasks.spawn(socket.serve(router, house.stop.clone()));
        outbound.run(&house, &tasks);
        tasks.spawn(foreign.watch(house.stop.clone()));
        tasks.spawn(keep_house(Arc::clone(&house), tls.clone()));
        tasks.spawn(keep_index(house.mail.clone(), house.stop.clone()));
        for (service, addresses) in &services {
            tracing::info!(service, ?addresses, "open");
        }
        let Loaded { explicit, sources, .. } = loaded;
        let started = Arc::clone(&house.config);
        Ok(Self {
            house,
            started,
            explicit,
            sources,
            current,
            tls,
            hinges,
            outbound,
            services,
            tasks,
            signals,
        })
    }

    /// The rooms.
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// The addresses of each service that is open.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Serves until SIGTERM or SIGINT, or until the store has failed; SIGHUP loads certificates and
    /// configuration anew.
    pub async fn run(mut self) -> Result<(), Error> {
        let failed = loop {
            tokio::select! {
                () = heard(&mut self.signals.terminate) => break false,
                () = heard(&mut self.signals.interrupt) => break false,
                () = heard(&mut self.signals.hangup) => self.reload(),
                () = self.house.store.failed() => break true,
            }
        };
        let Signals { mut interrupt, .. } = self.signals;
        tokio::select! {
            () = stop(&self.house, &self.tasks) => {}
            // Who asks twice does not want to wait.
            () = heard(&mut interrupt) => {}
        }
        if failed { Err(Error::StoreFailed) } else { Ok(()) }
    }

    /// Loads configuration and certificates anew; after a fault all stays as it was.
    pub fn reload(&mut self) {
        let anew = match config::load(&self.sources) {
            Ok(anew) => anew,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                self.reload_certificate(&self.holding());
                return;
            }
        };
        self.reload_certificate(&anew);
        match self.renew(&anew.config) {
            Ok(()) => self.explicit = anew.explicit,
            Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        }
    }

    /// The configuration that holds now.
    fn holding(&self) -> Loaded {
        let config = Config::clone(&self.house.config);
        let (explicit, sources) = (self.explicit.clone(), self.sources.clone());
        Loaded { config, explicit, ignored: Vec::new(), sources }
    }

    /// The certificate of this configuration, whether its files are the same or others.
    fn reload_certificate(&self, anew: &Loaded) {
        let config = &anew.config;
        let loaded = if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
            self.tls.load_anew(cert, key)
        } else {
            let (folder, host) = (&self.house.config.data_dir, config.hostname.as_str());
            self.tls.own_anew(folder, host, SystemTime::now())
        };
        match loaded {
            Ok(()) => tracing::info!("certificate loaded anew"),
            Err(error) => {
                let error = fitness::certificate(anew, &error);
                tracing::error!(%error, "the certificate stays as it was");
            }
        }
    }

    /// Lets the new configuration hold as far as it can without a new start.
    fn renew(&mut self, anew: &Config) -> Result<(), Error> {
        let house = Arc::new(self.house.renewed(anew)?);
        self.outbound.renew(&house, &self.tasks)?;
        self.hinges.renew(&house);
        house.logins.renew(bounds::throttle(&anew.limits));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&house);
        self.house = house;
        reload::tell(&self.started, anew);
        Ok(())
    }
}

/// Ends all conversations, then the background's work, then the store.
async fn stop(house: &House, tasks: &TaskTracker) {
    tracing::info!("stopping");
    house.stop.cancel();
    tasks.close();
    if timeout(GOODBYE, tasks.wait()).await.is_err() {
        tracing::warn!("some conversations did not end in time");
    }
    if timeout(LAST_WRITES, house.close()).await.is_err() {
        tracing::warn!("the store did not close in time; nothing that was promised is lost");
    }
    tracing::info!("stopped");
}

/// The next signal; one that can come no more never does.
async fn heard(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Opens the house; waits a little for a process that has it open and is about to end.
async fn open_house(loaded: &Loaded) -> Result<House, HouseError> {
    let mut tries = 0;
    loop {
        match House::open(&loaded.config).await {
            Err(error) if error.is_in_use() && tries < TRIES => {
                tries += 1;
                sleep(BETWEEN_TRIES).await;
            }
            opened => return opened,
        }
    }
}

/// Keeps the full-text index in step with the mail.
async fn keep_index(mail: Mail, stop: CancellationToken) {
    tokio::select! {
        () = mail.keep_index() => {}
        () = stop.cancelled() => {}
    }
}

/// Once an hour: a certificate that was renewed is loaded, what is not needed is swept away.
async fn keep_house(house: Arc<House>, tls: ServerTls) {
    let mut hours = interval_at(Instant::now() + HOUR, HOUR);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = hours.tick() => {}
            () = house.stop.cancelled() => return,
        }
        match tls.reload_if_changed() {
            Ok(true) => tracing::info!("certificate loaded anew"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
        let origin = Origin::new(Door::House, control::now());
        match house.store.sweep(origin).await {
            Ok(swept) => tracing::debug!(?swept, "swept"),
            Err(error) => tracing::error!(%error, "sweeping failed"),
        }
        if let Err(error) = house.mail.compare_index().await {
            tracing::warn!(%error, "what was swept is still in the full-text index");
        }
        if let Err(error) = house.mail.scrub_index(INDEX_SCRUB_HOURS).await {
            tracing::warn!(%error, "the full-text index could not be looked at");
        }
        match house.store.scrub(origin, SCRUB_HOURS).await {
            Ok(scrubbed) => tracing::debug!(?scrubbed, "scrubbed"),
            Err(error) => tracing::error!(%error, "scrubbing failed"),
        }
    }
}

/// What an owner should know of before anything goes wrong by it.
fn tell_what_is_odd(loaded: &Loaded) {
    let Loaded { config, explicit, ignored, .. } = loaded;
    for name in ignored {
        tracing::debug!(name, "environment variable ignored: no key of the configuration");
    }
    if !config.hostname.as_str().contains('.') {
        tracing::warn!(hostname = %config.hostname, "hostname is no full name; other servers may refuse our mail");
    }
    if config.source_url.is_none() {
        tracing::info!(
            "source_url is not set: whoever changes this program has to offer its source"
        );
    }
    let later = ["immp", "managesieve", "admin", "https", "http"];
    let wanted = |service: &&str| explicit.contains_key(&format!("listen.{service}"));
    for (service, addresses) in config.services() {
        if later.contains(&service) && wanted(&service) && !addresses.is_empty() {
            tracing::warn!(service, "listen.{service} is set, but this service is not there yet");
        }
    }
    tracing::info!(services = later.join(" "), "not there yet");
}
