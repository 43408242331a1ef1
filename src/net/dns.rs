//! Names to addresses, and domains to the hosts that take their mail.
//!
//! Answers are typed, bounded in time and number, and say whether asking again may help. Which
//! host is tried when is the queue's. [`Resolver::fixed`] answers out of a table, without a socket.

#[cfg(test)]
pub(crate) mod responder;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::{DnsError as Answered, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, rdata::MX},
    },
};
use tokio::time::timeout;

/// How long one server is waited for, and how often it is asked.
const ONE_ANSWER: Duration = Duration::from_secs(4);
const ATTEMPTS: usize = 2;
/// How long a question may take in all.
const ALL_ANSWERS: Duration = Duration::from_secs(20);
/// Hosts, and addresses of a host, that are taken of an answer.
const MOST: usize = 50;
/// Answers that are remembered as long as they are good.
const REMEMBERED: u64 = 4096;

/// Why a name has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// There is no such name, and asking again does not make it one.
    #[error("{0}: no such domain")]
    NoDomain(String),
    /// Asking again later may help.
    #[error("{name}: {reason}")]
    Temporary { name: String, reason: String },
}

/// A host that takes a domain's mail, the lowest preference first (RFC 5321 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchange {
    pub preference: u16,
    /// Its name, without the dot at the end.
    pub host: String,
}

/// Where a domain wants its mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailHosts {
    /// At these, in order.
    Exchanges(Vec<Exchange>),
    /// It does not say; the domain itself is the host (RFC 5321 §5.1).
    Itself,
    /// Nowhere: it takes no mail (RFC 7505).
    Null,
}

/// What answers, instead of the DNS, out of memory.
#[derive(Clone, Debug, Default)]
pub struct Table {
    mail: HashMap<String, MailHosts>,
    addresses: HashMap<String, Vec<IpAddr>>,
    failing: Vec<String>,
}

impl Table {
    /// A domain's mail goes to these hosts; an empty list says that it takes none.
    pub fn mx(mut self, domain: &str, hosts: &[(u16, &str)]) -> Self {
        let exchanges = hosts.iter().map(|(preference, host)| Exchange {
            preference: *preference,
            host: (*host).to_owned(),
        });
        let hosts = if hosts.is_empty() { MailHosts::Null } else { sorted(exchanges) };
        self.mail.insert(key(domain), hosts);
        self
    }

    /// A host has these addresses.
    pub fn host(mut self, host: &str, addresses: &[IpAddr]) -> Self {
        self.addresses.insert(key(host), addresses.to_vec());
        self
    }

    /// Nothing can be learnt of this name for now.
    pub fn failing(mut self, name: &str) -> Self {
        self.failing.push(key(name));
        self
    }

    fn find<T: Clone>(&self, map: &HashMap<String, T>, name: &str) -> Result<Option<T>, DnsError> {
        if self.failing.contains(&key(name)) {
            let (name, reason) = (name.to_owned(), "no answer".to_owned());
            return Err(DnsError::Temporary { name, reason });
        }
        let found = map.get(&key(name)).cloned();
        let exists = [self.mail.contains_key(&key(name)), self.addresses.contains_key(&key(name))];
        if exists.contains(&true) { Ok(found) } else { Err(DnsError::NoDomain(name.to_owned())) }
    }
}

/// Answers questions about names.
pub struct Resolver(Source);

enum Source {
    Dns(Box<TokioResolver>),
    Table(Table),
}

impl Resolver {
    /// Asks these name servers; if there are none, those that the system asks.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, DnsError> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
                .map_err(|error| fault("system's name servers", &error))?
        } else {
            let servers = servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = ONE_ANSWER;
        options.attempts = ATTEMPTS;
        options.cache_size = REMEMBERED;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let resolver = builder.build().map_err(|error| fault("name servers", &error))?;
        Ok(Self(Source::Dns(Box::new(resolver))))
    }

    /// Answers out of a table alone.
    pub fn fixed(table: Table) -> Self {
        Self(Source::Table(table))
    }

    /// The hosts that take a domain's mail. A domain may have addresses without having these.
    pub async fn mx(&self, domain: &str) -> Result<MailHosts, DnsError> {
        let resolver = match &self.0 {
            Source::Dns(resolver) => resolver,
            Source::Table(table) => {
                return Ok(table.find(&table.mail, domain)?.unwrap_or(MailHosts::Itself));
            }
        };
        let asked = timeout(ALL_ANSWERS, resolver.mx_lookup(absolute(domain)?)).await;
        match asked.unwrap_or(Err(NetError::Timeout)) {
            Ok(lookup) => {
                let exchanges = lookup.answers().iter().filter_map(|record| match &record.data {
                    RData::MX(mx) => Some(mx),
                    _ => None,
                });
                Ok(mail_hosts(exchanges))
            }
            Err(error) => nothing(domain, &error).map(|()| MailHosts::Itself),
        }
    }

    /// A host's addresses, none if it exists without any.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let resolver = match &self.0 {
            Source::Dns(resolver) => resolver,
            Source::Table(table) => {
                return Ok(table.find(&table.addresses, host)?.unwrap_or_default());
            }
        };
        let asked = timeout(ALL_ANSWERS, resolver.lookup_ip(absolute(host)?)).await;
        match asked.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => Ok(found.iter().take(MOST).collect()),
            Err(error) => nothing(host, &error).map(|()| Vec::new()),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// The name from the root on: the system's search list has no business with mail.
fn absolute(name: &str) -> Result<Name, DnsError> {
    let mut absolute = Name::from_utf8(name).map_err(|_| DnsError::NoDomain(name.to_owned()))?;
    absolute.set_fqdn(true);
    Ok(absolute)
}

/// A lone exchange at the root, whatever its preference, says that no mail is taken (RFC 7505 §3).
fn mail_hosts<'a>(exchanges: impl Iterator<Item = &'a MX>) -> MailHosts {
    let mut at_root = false;
    let named = exchanges.filter(|mx| {
        at_root |= mx.exchange.is_root();
        !mx.exchange.is_root()
    });
    let hosts = sorted(named.map(|mx| Exchange {
        preference: mx.preference,
        host: mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase(),
    }));
    if at_root && hosts == MailHosts::Itself { MailHosts::Null } else { hosts }
}

fn sorted(exchanges: impl Iterator<Item = Exchange>) -> MailHosts {
    let mut exchanges: Vec<_> = exchanges.collect();
    exchanges.sort();
    exchanges.truncate(MOST);
    if exchanges.is_empty() { MailHosts::Itself } else { MailHosts::Exchanges(exchanges) }
}

/// Is it only that there is nothing of this kind?
fn nothing(name: &str, error: &NetError) -> Result<(), DnsError> {
    match error {
        NetError::Dns(Answered::NoRecordsFound(NoRecords { response_code, .. })) => {
            match *response_code {
                ResponseCode::NXDomain => Err(DnsError::NoDomain(name.to_owned())),
                ResponseCode::NoError => Ok(()),
                _ => Err(fault(name, error)),
            }
        }
        _ => Err(fault(name, error)),
    }
}

fn fault(name: &str, error: &NetError) -> DnsError {
    DnsError::Temporary { name: name.to_owned(), reason: error.to_string() }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::proto::rr::RecordType;

    use super::{
        responder::{Responder, Zone, a, aaaa, cname, mx},
        *,
    };

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const HERE_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn exchanges(hosts: &[(u16, &str)]) -> MailHosts {
        sorted(hosts.iter().map(|(preference, host)| Exchange {
            preference: *preference,
            host: (*host).to_owned(),
        }))
    }

    #[tokio::test]
    async fn a_name_server_is_asked_and_its_answers_are_told_apart() {
        let zone = Zone::default()
            .with("two.example", &[mx(20, "Backup.example"), mx(10, "mail.example")])
            .with("null.example", &[mx(0, ".")])
            .with("mail.example", &[a("127.0.0.1")])
            .failing("broken.example");
        let responder = Responder::start(zone).await;
        let resolver = Resolver::new(&[responder.address]).unwrap();
        let two = exchanges(&[(10, "mail.example"), (20, "backup.example")]);
        assert_eq!(resolver.mx("two.example").await, Ok(two));
        assert_eq!(resolver.mx("null.example").await, Ok(MailHosts::Null));
        assert_eq!(resolver.mx("mail.example").await, Ok(MailHosts::Itself));
        assert_eq!(resolver.addresses("mail.example").await, Ok(vec![HERE]));
        let none = Err(DnsError::NoDomain("none.example".to_owned()));
        assert_eq!(resolver.mx("none.example").await, none);
        let broken = resolver.mx("broken.example").await;
        assert!(matches!(broken, Err(DnsError::Temporary { .. })), "{broken:?}");
    }

    #[tokio::test]
    async fn aliases_are_followed_and_both_families_found() {
        let zone = Zone::default()
            .with("other.example", &[cname("two.example")])
            .with("two.example", &[mx(10, "mail.example")])
            .with("mail.example", &[cname("host.example")])
            .with("host.example", &[a("127.0.0.1"), aaaa("::1")]);
        let responder = Responder::start(zone).await;
        let resolver = Resolver::new(&[responder.address]).unwrap();
        assert_eq!(resolver.mx("other.example").await, Ok(exchanges(&[(10, "mail.example")])));
        let mut found = resolver.addresses("mail.example").await.unwrap();
        found.sort();
        assert_eq!(found, [HERE, HERE_6]);
    }

    #[tokio::test]
    async fn an_answer_is_remembered_and_a_server_that_says_nothing_is_not_waited_for_long() {
        let zone = Zone::default().with("mail.example", &[a("127.0.0.1")]).silent("mute.example");
        let responder = Responder::start(zone).await;
        let resolver = Resolver::new(&[responder.address]).unwrap();
        for _ in 0..3 {
            resolver.addresses("mail.example").await.unwrap();
        }
        assert_eq!(responder.asked("mail.example", RecordType::A), 1);
        let mute = resolver.mx("mute.example").await;
        assert!(matches!(mute, Err(DnsError::Temporary { .. })), "{mute:?}");
        assert!(responder.asked("mute.example", RecordType::MX) >= ATTEMPTS);
    }

    #[tokio::test]
    async fn a_table_answers_like_a_name_server() {
        let table = Table::default()
            .mx("two.example", &[(20, "b.example"), (10, "a.example")])
            .mx("null.example", &[])
            .host("a.example", &[HERE])
            .failing("broken.example");
        let resolver = Resolver::fixed(table);
        let two = exchanges(&[(10, "a.example"), (20, "b.example")]);
        assert_eq!(resolver.mx("Two.Example.").await, Ok(two));
        assert_eq!(resolver.mx("null.example").await, Ok(MailHosts::Null));
        assert_eq!(resolver.mx("a.example").await, Ok(MailHosts::Itself));
        assert_eq!(resolver.addresses("a.example").await, Ok(vec![HERE]));
        assert_eq!(resolver.addresses("two.example").await, Ok(Vec::new()));
        assert_eq!(resolver.addresses("192.0.2.1").await, Ok(vec!["192.0.2.1".parse().unwrap()]));
        assert!(matches!(resolver.mx("x.example").await, Err(DnsError::NoDomain(_))));
        assert!(matches!(resolver.mx("broken.example").await, Err(DnsError::Temporary { .. })));
    }

    #[test]
    fn a_root_beside_named_hosts_is_passed_over() {
        let mx = |preference, host: &str| MX::new(preference, Name::from_ascii(host).unwrap());
        let both = [mx(0, "."), mx(5, "a.example.")];
        assert_eq!(mail_hosts(both.iter()), exchanges(&[(5, "a.example")]));
        assert_eq!(mail_hosts(both[..1].iter()), MailHosts::Null);
        assert_eq!(mail_hosts(both[..0].iter()), MailHosts::Itself);
    }
}
