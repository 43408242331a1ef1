//! The configuration: a TOML file, then `MAILADE_…` variables, then flags, become one checked
//! [`Config`].
//!
//! Every key is a documented field; from the same declaration come its default, the example, the
//! reading of the environment, and errors that name the key, the place and what is allowed.

mod check;
mod error;
mod example;
mod layers;
mod limits;
mod section;
mod sections;
mod values;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::Figment;

use self::section::{Section, section};
pub use self::{
    error::Error,
    example::example,
    layers::Sources,
    limits::Limits,
    sections::{
        Burl, BurlHost, Dns, Immp, Listen, Log, Outbound, Policy, Proxy, Smtp, Tls, UrlAuth, Web,
    },
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
        /// Where users find the source of this very program, which the licence asks to offer when it was
        /// changed (AGPL §13); told by IMAP's ID and SMTP's HELP.
        source_url: Option<WebAddress> = None => "\"https://git.example.org/mailade\"",
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

/// Where a value stands that nobody has set.
const DEFAULTS: &str = "the defaults";

/// A configuration, and how it came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// Keys that were set, with their sections, and where; all others have their defaults.
    pub explicit: BTreeMap<String, String>,
    /// Variables that begin like ours but are no settings.
    pub ignored: Vec<String>,
    /// What was loaded, to load it once more.
    pub sources: Sources,
}

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "MAILADE_CONFIG";

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
            // The command line takes this one for itself.
            None if name == FILE_VARIABLE => {}
            None => ignored.push(name.clone()),
        }
    }
    for (key, value) in &sources.flags {
        layers.push(layers::flag(Config::KEYS, key, value)?);
    }
    layers.iter().try_for_each(|layer| layers::check_sections(Config::KEYS, layer))?;
    let mut explicit = BTreeMap::new();
    for layer in &layers {
        layer.paths(&mut explicit);
    }
    let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
    let config: Config = figment.extract().map_err(|fault| error::explain(Config::KEYS, fault))?;
    if let Err(fault) = config.check() {
        let known = figment.find_metadata(&fault.key).map(|from| from.name.to_string());
        let place = known.unwrap_or_else(|| DEFAULTS.to_owned());
        return Err(Error::Key { place, key: fault.key, what: fault.what, allowed: fault.allowed });
    }
    let folder = sources.file.as_deref().and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    Ok(Loaded { config: config.rooted(folder), explicit, ignored, sources: sources.clone() })
}

impl Loaded {
    /// A key's value is right by itself, but what it names cannot be used; `remedy` is what to do.
    pub fn unusable(&self, key: &str, what: String, remedy: &str) -> Error {
        let place = self.explicit.get(key).map_or(DEFAULTS, String::as_str).to_owned();
        Error::Unusable { place, key: key.to_owned(), what, remedy: remedy.to_owned() }
    }
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
        let Proxy { ca, relay_cert, relay_key, .. } = &mut self.proxy;
        let paths = [&mut self.tls.cert, &mut self.tls.key, ca, relay_cert, relay_key];
        let others = self.burl.host.values_mut().filter_map(|host| host.ca.as_mut());
        let paths = paths.into_iter().flatten().chain([&mut self.data_dir]).chain(others);
        for path in paths {
            let joined = folder.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        }
        self
    }
}

#[cfg(test)]
mod tests;
