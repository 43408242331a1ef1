//! `mailade proxy`: another process than the server, with one door, before another IMAP server and
//! another submission server. It has no store, and no folder of its own.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use zeroize::Zeroizing;

use super::{Error, GOODBYE, Services, Signals, bounds, fitness, heard};
use crate::{
    config::{self, HostPort, Loaded, ProxyFrom},
    metrics::Metrics,
    net::{
        self, ClientTls, Connections, Listener, Memory, Protocol, Resolver, ServerTls,
        imap_client::{Secured, Times, Ways},
    },
    proxy::{Door, FromRule, Means, Server},
    queue::{self, Courier, Outside},
    wire::address::Domain,
};

/// How long the IMAP server behind may take: for the connection, and for each answer to a command of
/// our own.
const CONNECT: Duration = Duration::from_secs(15);
const ANSWER: Duration = Duration::from_mins(1);

/// A proxy whose door is open.
pub struct Proxy {
    services: Services,
    tls: Option<ServerTls>,
    stop: CancellationToken,
    tasks: TaskTracker,
    signals: Signals,
}

/// Can a proxy run by this configuration, as far as one can see without starting it?
pub fn check(loaded: &Loaded) -> Result<(), config::Error> {
    let (config, proxy) = (&loaded.config, &loaded.config.proxy);
    let lacks = |key: &str, remedy: &str| {
        Err(loaded.unusable(key, "the proxy needs it".to_owned(), remedy))
    };
    if proxy.listen.is_empty() {
        return lacks("proxy.listen", "say where it listens, such as [\"[::]:143\"]");
    }
    if proxy.imap.is_none() {
        return lacks("proxy.imap", "name the IMAP server behind it, \"host:port\"");
    }
    if proxy.smtp.is_none() {
        return lacks("proxy.smtp", "name the submission server behind it, \"host:port\"");
    }
    if proxy.listen_tls != config::Security::Plain && config.tls.cert.is_none() {
        return lacks(
            "tls.cert",
            "name a certificate and its key, or set proxy.listen_tls = \"none\"",
        );
    }
    if Domain::parse(config.hostname.as_str()).is_err() {
        let what = format!("{} is no mail domain", config.hostname);
        return Err(loaded.unusable("hostname", what, "name this machine as others know it"));
    }
    own_tls(loaded)?;
    other_tls(loaded)?;
    relay_tls(loaded).map(drop)
}

impl Proxy {
    /// Opens the door; when it gives back, connections are taken. Belongs into a runtime.
    pub fn start(loaded: &Loaded) -> Result<Self, Error> {
        let signals = Signals::listen()?;
        net::tls::install_provider();
        check(loaded)?;
        let (config, limits) = (&loaded.config, &loaded.config.limits);
        let metrics = Metrics::new();
        bounds::log_peers(limits, &metrics).install();
        let tls = own_tls(loaded)?;
        let door = Door::new(bounds::proxy(limits), means(loaded, tls.as_ref(), &metrics)?);
        let connections = Connections::new(bounds::connections(limits), &metrics);
        let addresses: Vec<_> = config.proxy.listen.iter().map(|address| address.0).collect();
        let mut listener = Listener::bind("proxy", &addresses, &connections, Door::refusal)
            .map_err(|fault| fitness::address(loaded, "proxy.listen", &fault))?;
        if config.proxy.listen_tls == config::Security::Tls
            && let Some(tls) = &tls
        {
            listener = listener.with_tls(&Arc::new(tls.speaking(Protocol::Imap)));
        }
        tell_what_is_open(loaded);
        let services = Services::from([("proxy", listener.addresses())]);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let ending = stop.clone();
        let handler = move |connection| Arc::clone(&door).serve(connection, ending.clone());
        tasks.spawn(listener.serve(stop.clone(), handler));
        for (service, addresses) in &services {
            tracing::info!(service, ?addresses, "open");
        }
        Ok(Self { services, tls, stop, tasks, signals })
    }

    /// Where it listens.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Serves until SIGTERM or SIGINT; SIGHUP loads the certificate anew.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                () = heard(&mut self.signals.terminate) => break,
                () = heard(&mut self.signals.interrupt) => break,
                () = heard(&mut self.signals.hangup) => {
                    if let Some(Err(error)) = self.tls.as_ref().map(ServerTls::reload) {
                        tracing::error!(%error, "the certificate stays as it was");
                    } else {
                        tracing::info!("certificate loaded anew");
                    }
                }
            }
        }
        tracing::info!("stopping");
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(GOODBYE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some conversations did not end in time");
        }
    }
}

/// What an owner should know of: users' passwords pass here.
fn tell_what_is_open(loaded: &Loaded) {
    let proxy = &loaded.config.proxy;
    let is_away = |at: &HostPort| !at.is_loopback();
    if proxy.imap_tls == config::Security::Plain && proxy.imap.as_ref().is_some_and(is_away) {
        tracing::warn!("proxy.imap_tls is \"none\": passwords go to the IMAP server in the clear");
    }
    let is_near = |at: &config::Address| at.0.ip().to_canonical().is_loopback();
    if proxy.listen_tls == config::Security::Plain && !proxy.listen.iter().all(is_near) {
        tracing::warn!("proxy.listen_tls is \"none\": passwords come to the proxy in the clear");
    }
}

/// Our own certificate, if we need one.
fn own_tls(loaded: &Loaded) -> Result<Option<ServerTls>, config::Error> {
    let config = &loaded.config;
    let pair = config.tls.cert.as_ref().zip(config.tls.key.as_ref());
    let pair = pair.filter(|_| config.proxy.listen_tls != config::Security::Plain);
    let tls = pair.map(|(cert, key)| ServerTls::load(cert, key)).transpose();
    let tls = tls.map_err(|error| fitness::certificate(loaded, &error))?;
    Ok(tls.map(|tls| tls.with_handshake_time(*config.limits.tls_handshake_time)))
}

/// Whom we believe behind us.
fn other_tls(loaded: &Loaded) -> Result<ClientTls, config::Error> {
    let tls = ClientTls::verified(loaded.config.proxy.ca.as_deref());
    tls.map_err(|error| {
        let remedy = "it must hold certificates in PEM form";
        loaded.unusable("proxy.ca", error.to_string(), remedy)
    })
}

/// Whom we believe where mail is handed over, and what we show there.
fn relay_tls(loaded: &Loaded) -> Result<ClientTls, config::Error> {
    let proxy = &loaded.config.proxy;
    let Some((cert, key)) = proxy.relay_cert.as_ref().zip(proxy.relay_key.as_ref()) else {
        return other_tls(loaded);
    };
    ClientTls::identified(proxy.ca.as_deref(), cert, key).map_err(|error| {
        let remedy =
            "proxy.relay_cert must hold a certificate, and proxy.relay_key its key, in PEM form";
        loaded.unusable("proxy.relay_cert", error.to_string(), remedy)
    })
}

fn means(loaded: &Loaded, tls: Option<&ServerTls>, metrics: &Arc<Metrics>) -> Result<Means, Error> {
    let (config, proxy) = (&loaded.config, &loaded.config.proxy);
    let limits = &config.limits;
    let memory = Memory::new(bounds::memory(limits), metrics);
    let servers: Vec<_> = config.dns.servers.iter().map(|server| server.0).collect();
    let names = Arc::new(Resolver::new(&servers)?);
    let verified = other_tls(loaded)?;
    let hostname = Domain::parse(config.hostname.as_str()).map_err(|_| {
        let remedy = "name this machine as others know it";
        loaded.unusable("hostname", "is no mail domain".to_owned(), remedy)
    })?;
    let times = Times { connect: CONNECT, command: ANSWER, rate: bounds::rate(limits) };
    let secured = match proxy.imap_tls {
        config::Security::Tls => Secured::Tls,
        config::Security::StartTls => Secured::StartTls,
        config::Security::Opportunistic | config::Security::Plain => Secured::Plain,
    };
    let (host, port) = place(proxy.imap.as_ref());
    let ways = Ways { secured, tls: verified.clone(), memory: Arc::clone(&memory), times };
    let relay = proxy.relay_user.clone().zip(proxy.relay_password.as_ref());
    let relay = relay.map(|(user, password)| {
        let password = Zeroizing::new(password.reveal().to_owned());
        queue::Proof::Password { user, password }
    });
    let relay = relay.or_else(|| proxy.relay_cert.is_some().then_some(queue::Proof::Certificate));
    Ok(Means {
        courier: courier(loaded, hostname.ascii(), &names, &memory)?,
        hostname,
        tls: tls.map(|tls| Arc::new(tls.speaking(Protocol::Imap))),
        trusts_network: proxy.listen_tls == config::Security::Plain,
        server: Server { host, port, ways },
        relay,
        from: match proxy.from {
            ProxyFrom::Login => FromRule::Login,
            ProxyFrom::Domain => FromRule::Domain,
            ProxyFrom::Any => FromRule::Any,
        },
        names,
        memory,
        metrics: Arc::clone(metrics),
    })
}

fn courier(
    loaded: &Loaded,
    hostname: &str,
    names: &Arc<Resolver>,
    memory: &Arc<Memory>,
) -> Result<Courier, Error> {
    let (config, verified) = (&loaded.config, relay_tls(loaded)?);
    let outside = Outside {
        names: Arc::clone(names),
        anybody: ClientTls::opportunistic()?,
        verified,
        memory: Arc::clone(memory),
    };
    let security = match config.proxy.smtp_tls {
        config::Security::Tls => queue::Security::Tls,
        config::Security::StartTls => queue::Security::StartTls,
        config::Security::Opportunistic | config::Security::Plain => queue::Security::Plain,
    };
    let place = place(config.proxy.smtp.as_ref());
    let (parsing, line_max) =
        (bounds::mail(&config.limits).parsing, config.limits.text_line_sent_max.len());
    let times = queue::Times::default();
    Ok(Courier::new(hostname.to_owned(), place, security, times, outside, parsing, line_max))
}

fn place(at: Option<&HostPort>) -> (String, u16) {
    at.map(|at| (at.host.clone(), at.port)).unwrap_or_default()
}
