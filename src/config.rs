//! The configuration: a TOML file, then `MAILADE_…` variables, then flags, become one checked
//! [`Config`].
//!
//! Every key is a documented field; from the same declaration come its default, the example, the
//! reading of the environment, and errors that name the key, the place and what is allowed.

mod error;
mod example;
mod layers;
mod limits;
mod section;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use figment::Figment;

use self::section::{Section, section};
pub use self::{
    error::Error,
    example::example,
    layers::Sources,
    limits::Limits,
    values::{
        Address, HostName, HostPort, LmtpTarget, LogFormat, LogLevel, NameServer, Network,
        ProxyFrom, Secret, Security, Size, Span, WebAddress, loopback,
    },
};

section! {
    /// The whole configuration, checked.
    pub struct Config {
        /// The name by which other servers know this one; needs an address record. The default is
        /// the machine's own name.
        hostname: HostName = HostName::of_this_machine() => "\"mail.example.org\"",
        /// The folder that holds all mail and accounts.
        data_dir: PathBuf = PathBuf::from("/var/lib/mailade"),
        /// Where each service listens: lists of "ip:port". An empty list switches a service off;
        /// port 0 takes any free port.
        listen: Listen = Listen::default(),
        /// The certificate shown to clients.
        tls: Tls = Tls::default(),
        /// How mail leaves.
        outbound: Outbound = Outbound::default(),
        /// What is logged, on standard error.
        log: Log = Log::default(),
        /// How names are looked up.
        dns: Dns = Dns::default(),
        /// Mail from other servers.
        smtp: Smtp = Smtp::default(),
        /// Subinboxes and spam guards for other programs.
        immp: Immp = Immp::default(),
        /// URLs that give access to a message (RFC 4467).
        urlauth: UrlAuth = UrlAuth::default(),
        /// Messages taken by reference from other IMAP servers (RFC 4468).
        burl: Burl = Burl::default(),
        /// The proxy that adds SUBMIT to another IMAP server.
        proxy: Proxy = Proxy::default(),
        /// Answers for another mail server that asks whether to take a message.
        policy: Policy = Policy::default(),
        /// The web pages.
        web: Web = Web::default(),
        /// Every bound of the house. A limit of 0 means 0, never "unlimited".
        limits: Limits = Limits::default(),
    }
}

section! {
    /// Where each service listens.
    pub struct Listen {
        /// IMAP, with STARTTLS.
        imap: Vec<Address> = standard(143),
        /// IMAP over TLS.
        imaps: Vec<Address> = standard(993),
        /// SMTP: mail from other servers.
        smtp: Vec<Address> = standard(25),
        /// LMTP: mail from programs that we trust.
        lmtp: Vec<Address> = vec![],
        /// Submission, with STARTTLS.
        submission: Vec<Address> = standard(587),
        /// Submission over TLS.
        submissions: Vec<Address> = standard(465),
        /// IMMP.
        immp: Vec<Address> = standard(323),
        /// `ManageSieve`.
        managesieve: Vec<Address> = standard(4190),
        /// Web pages by plain HTTP, for loopback or a reverse proxy.
        admin: Vec<Address> = "127.0.0.1:8080".parse().into_iter().collect(),
        /// The same pages for phones.
        https: Vec<Address> = standard(443),
        /// Redirects to https, answers ACME.
        http: Vec<Address> = vec![],
    }
}

section! {
    /// The certificate shown to clients.
    pub struct Tls {
        /// The certificate chain, PEM. Absent: a self-signed pair is made in `data_dir`.
        cert: Option<PathBuf> = None => "\"fullchain.pem\"",
        /// Its private key, PEM, readable by nobody else.
        key: Option<PathBuf> = None => "\"privkey.pem\"",
    }
}

section! {
    /// How mail leaves.
    pub struct Outbound {
        /// A smarthost that takes all mail, "host:port". Absent: mail goes by MX records.
        relay: Option<HostPort> = None => "\"smtp.example.net:587\"",
        /// The login at the smarthost.
        user: Option<String> = None => "\"mail.example.org\"",
        /// Its password.
        password: Option<Secret> = None => "\"secret\"",
        /// How the connection to the smarthost is secured: "opportunistic", "starttls", "tls" or
        /// "none". A password is never sent in the clear, except to loopback.
        tls: Security = Security::Opportunistic,
    }
}

section! {
    /// What is logged.
    pub struct Log {
        /// "text" for people, "json" for programs.
        format: LogFormat = LogFormat::Text,
        /// The least important lines: "error", "warn", "info", "debug" or "trace".
        level: LogLevel = LogLevel::Info,
    }
}

section! {
    /// How names are looked up.
    pub struct Dns {
        /// Name servers, "ip" or "ip:port". Empty: those of the system.
        servers: Vec<NameServer> = vec![],
    }
}

section! {
    /// Mail from other servers.
    pub struct Smtp {
        /// An IMMP server that is asked about recipients of `immp_domains`, "host:port".
        immp: Option<HostPort> = None => "\"mail.example.net:323\"",
        /// Domains whose recipients are asked about there.
        immp_domains: Vec<HostName> = vec![],
        /// Where mail for these domains goes, "lmtp://host:port".
        immp_deliver: Option<LmtpTarget> = None => "\"lmtp://mail.example.net:24\"",
    }
}

section! {
    /// Subinboxes and spam guards for other programs.
    pub struct Immp {
        /// Networks that may ask without a login.
        anonymous_from: Vec<Network> = loopback(),
    }
}

section! {
    /// URLs that give access to a message.
    pub struct UrlAuth {
        /// Logins that may resolve `submit+` URLs, for submission servers outside.
        submit_users: Vec<String> = vec![],
    }
}

section! {
    /// Messages taken by reference from other IMAP servers.
    pub struct Burl {
        /// An IMAP server whose URLs are taken, by its name.
        host: BTreeMap<String, BurlHost> = BTreeMap::new() => "\"imap.example.net\"",
    }
}

section! {
    /// An IMAP server whose URLs are taken.
    pub struct BurlHost {
        /// The login we use there.
        identity: String = String::new() => "\"submit@example.net\"",
        /// Its password.
        password: Secret = Secret::from("") => "\"secret\"",
        /// How the connection is secured: "tls" or "starttls".
        tls: Security = Security::Tls => "\"tls\"",
    }
}

section! {
    /// The proxy that adds SUBMIT to another IMAP server.
    pub struct Proxy {
        /// Where it listens.
        listen: Vec<Address> = vec![],
        /// How its own connections are secured: "tls", "starttls" or "none".
        listen_tls: Security = Security::StartTls,
        /// The IMAP server behind it, "host:port".
        imap: Option<HostPort> = None => "\"imap.example.net:993\"",
        /// How the connection to it is secured: "tls", "starttls" or "none".
        imap_tls: Security = Security::Tls,
        /// The submission server behind it, "host:port".
        smtp: Option<HostPort> = None => "\"smtp.example.net:465\"",
        /// How the connection to it is secured: "tls", "starttls" or "none".
        smtp_tls: Security = Security::Tls,
        /// Certificates trusted for both besides the system's, PEM.
        ca: Option<PathBuf> = None => "\"upstream-ca.pem\"",
        /// The login of a trusted relay.
        relay_user: Option<String> = None => "\"relay\"",
        /// Its password.
        relay_password: Option<Secret> = None => "\"secret\"",
        /// Whose From address is let through: "login", "domain" or "any".
        from: ProxyFrom = ProxyFrom::Domain,
    }
}

section! {
    /// Answers for another mail server.
    pub struct Policy {
        /// Where it listens.
        listen: Vec<Address> = vec![],
    }
}

section! {
    /// The web pages.
    pub struct Web {
        /// The address at which phones and browsers reach the pages.
        public_url: Option<WebAddress> = None => "\"https://mail.example.org\"",
        /// Reverse proxies whose word on a client's address is believed.
        trusted_proxies: Vec<Network> = vec![],
    }
}

/// The standard port on every address of both families.
fn standard(port: u16) -> Vec<Address> {
    vec![Address((std::net::Ipv6Addr::UNSPECIFIED, port).into())]
}

/// A configuration, and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// Keys that were set, with their sections; all others have their defaults.
    pub explicit: BTreeSet<String>,
    /// Variables that begin like ours but are no settings.
    pub ignored: Vec<String>,
    /// What was loaded, to load it once more.
    pub sources: Sources,
}

/// Reads, merges and checks.
pub fn load(sources: &Sources) -> Result<Loaded, Error> {
    let mut layers = Vec::new();
    let mut ignored = Vec::new();
    if let Some(file) = &sources.file {
        layers.push(layers::file(file)?);
    }
    let mut variables: Vec<_> = sources.environment.iter().collect();
    variables.sort();
    for (name, value) in variables.into_iter().filter(|(name, _)| name.starts_with("MAILADE_")) {
        match layers::variable(Config::KEYS, name, value) {
            Some(layer) => layers.push(layer?),
            None => ignored.push(name.clone()),
        }
    }
    for (key, value) in &sources.flags {
        layers.push(layers::flag(Config::KEYS, key, value)?);
    }
    let mut explicit = BTreeSet::new();
    for layer in &layers {
        layer.paths(&mut explicit);
    }
    let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
    let config: Config = figment.extract().map_err(|fault| error::explain(Config::KEYS, fault))?;
    if let Err(fault) = config.check() {
        let known = figment.find_metadata(&fault.key).map(|from| from.name.to_string());
        let place = known.unwrap_or_else(|| "the defaults".to_owned());
        return Err(Error::Key { place, key: fault.key, what: fault.what, allowed: fault.allowed });
    }
    let folder = sources.file.as_deref().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    Ok(Loaded { config: config.rooted(folder), explicit, ignored, sources: sources.clone() })
}

/// Values that are each right, but not together.
struct Contradiction {
    key: String,
    what: String,
    allowed: String,
}

impl Config {
    /// The services with their addresses, in the order of the file.
    pub fn services(&self) -> [(&'static str, &[Address]); 11] {
        let listen = &self.listen;
        [
            ("imap", &listen.imap),
            ("imaps", &listen.imaps),
            ("smtp", &listen.smtp),
            ("lmtp", &listen.lmtp),
            ("submission", &listen.submission),
            ("submissions", &listen.submissions),
            ("immp", &listen.immp),
            ("managesieve", &listen.managesieve),
            ("admin", &listen.admin),
            ("https", &listen.https),
            ("http", &listen.http),
        ]
    }

    /// The values of a section by its name, for the example.
    fn section(&self, name: &str) -> Vec<Option<String>> {
        match name {
            "listen" => self.listen.values(),
            "tls" => self.tls.values(),
            "outbound" => self.outbound.values(),
            "log" => self.log.values(),
            "dns" => self.dns.values(),
            "smtp" => self.smtp.values(),
            "immp" => self.immp.values(),
            "urlauth" => self.urlauth.values(),
            "burl" => self.burl.values(),
            "proxy" => self.proxy.values(),
            "policy" => self.policy.values(),
            "web" => self.web.values(),
            "limits" => self.limits.values(),
            _ => Vec::new(),
        }
    }

    /// Relative paths start at this folder.
    fn rooted(mut self, folder: &Path) -> Self {
        let paths = [&mut self.tls.cert, &mut self.tls.key, &mut self.proxy.ca];
        let paths = paths.into_iter().flatten().chain([&mut self.data_dir]);
        for path in paths {
            let joined = folder.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        }
        self
    }

    /// What serde cannot see: values that must fit each other.
    fn check(&self) -> Result<(), Contradiction> {
        let wrong = |key: &str, what: &str, allowed: &str| Contradiction {
            key: key.to_owned(),
            what: what.to_owned(),
            allowed: allowed.to_owned(),
        };
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => {
                return Err(wrong("tls.cert", "stands without tls.key", "both or none"));
            }
            (None, Some(_)) => {
                return Err(wrong("tls.key", "stands without tls.cert", "both or none"));
            }
            _ => {}
        }
        if self.outbound.user.is_some() != self.outbound.password.is_some() {
            let key = if self.outbound.user.is_some() { "user" } else { "password" };
            let key = format!("outbound.{key}");
            return Err(wrong(
                &key,
                "stands alone",
                "outbound.user and outbound.password together",
            ));
        }
        if self.outbound.user.is_some() && self.outbound.relay.is_none() {
            return Err(wrong("outbound.user", "there is no outbound.relay", "both or none"));
        }
        let insecure = |host: &&BurlHost| !matches!(host.tls, Security::Tls | Security::StartTls);
        if self.burl.host.values().any(|host| insecure(&host)) {
            return Err(wrong("burl.host", "tls must be on", "\"tls\", \"starttls\""));
        }
        self.check_limits(&wrong)?;
        self.check_ports(&wrong)
    }

    fn check_limits(
        &self,
        wrong: &dyn Fn(&str, &str, &str) -> Contradiction,
    ) -> Result<(), Contradiction> {
        let limits = &self.limits;
        if limits.connections_reserved > limits.connections_max {
            let allowed = format!("at most connections_max, {}", limits.connections_max);
            return Err(wrong("limits.connections_reserved", "is more than all", &allowed));
        }
        if limits.keywords_per_mailbox_max > crate::flags::Keywords::LIMIT {
            let allowed = "0 to 256";
            return Err(wrong("limits.keywords_per_mailbox_max", "is too much", allowed));
        }
        if limits.message_size_max > Size::gib(1) {
            return Err(wrong("limits.message_size_max", "is too much", "up to 1 GiB"));
        }
        if limits.disk_free_stop > limits.disk_free_min {
            let allowed = format!("at most disk_free_min, {}", limits.disk_free_min);
            return Err(wrong("limits.disk_free_stop", "is too much", &allowed));
        }
        if limits.queue_retry_after.is_empty() {
            return Err(wrong("limits.queue_retry_after", "is empty", "at least one duration"));
        }
        if limits.queue_retry_after.iter().any(|pause| pause.as_secs() == 0) {
            return Err(wrong("limits.queue_retry_after", "is too short", "pauses of 1 s or more"));
        }
        Ok(())
    }

    fn check_ports(
        &self,
        wrong: &dyn Fn(&str, &str, &str) -> Contradiction,
    ) -> Result<(), Contradiction> {
        let mut taken = BTreeMap::new();
        for (service, addresses) in self.services() {
            for address in addresses.iter().filter(|address| address.0.port() != 0) {
                if let Some(other) = taken.insert(address.0, service) {
                    let what = format!("{address} is taken by listen.{other}");
                    let key = format!("listen.{service}");
                    return Err(wrong(&key, &what, "each address once"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
