//! Which servers to try for a domain, in which order: MX records, else the domain's own addresses
//! (RFC 5321 §5.1, RFC 7505).

use std::net::{IpAddr, SocketAddr};

use super::answer::{Answer, Status};
use crate::net::dns::{DnsError, Exchange, MailHosts, Resolver};

/// How many servers of a domain are tried.
const HOSTS_MAX: usize = 8;
/// How many addresses of one server are tried: some of each family.
const ADDRESSES_MAX: usize = 4;

/// A server to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

/// The servers of a domain, best first.
pub(super) async fn by_mx(
    names: &Resolver,
    domain: &str,
    (hostname, port): (&str, u16),
    shuffle: impl FnMut() -> u32 + Send,
) -> Result<Vec<Hop>, Answer> {
    let hosts = match names.mx(domain).await {
        Ok(MailHosts::Exchanges(hosts)) => order(hosts, domain, hostname, shuffle)?,
        Ok(MailHosts::Itself) => vec![domain.to_owned()],
        Ok(MailHosts::Null) => {
            let text = format!("the domain {domain} does not accept mail");
            return Err(Answer::own(Status(5, 1, 10), text));
        }
        Err(DnsError::NoDomain(_)) => {
            return Err(Answer::own(
                Status(5, 1, 2),
                format!("the domain {domain} does not exist"),
            ));
        }
        Err(DnsError::Temporary { .. }) => return Err(unknown(domain)),
    };
    by_names(names, hosts, port).await
}

/// The addresses of some servers, in their order.
pub(super) async fn by_names(
    names: &Resolver,
    hosts: Vec<String>,
    port: u16,
) -> Result<Vec<Hop>, Answer> {
    let (mut hops, mut fault) = (Vec::new(), None);
    for name in hosts.into_iter().take(HOSTS_MAX) {
        match names.addresses(&name).await {
            Ok(addresses) if !addresses.is_empty() => {
                let addresses = mixed(addresses).into_iter().take(ADDRESSES_MAX);
                hops.extend(
                    addresses
                        .map(|ip| Hop { name: name.clone(), address: SocketAddr::new(ip, port) }),
                );
            }
            Err(DnsError::Temporary { .. }) => fault = Some(unknown(&name)),
            Ok(_) | Err(DnsError::NoDomain(_)) => {
                let text = format!("the mail server {name} has no address");
                fault.get_or_insert_with(|| Answer::own(Status(5, 4, 4), text));
            }
        }
    }
    match (hops.is_empty(), fault) {
        (false, _) => Ok(hops),
        (true, Some(fault)) => Err(fault),
        (true, None) => Err(Answer::own(Status(5, 4, 4), "no mail server has an address")),
    }
}

fn unknown(name: &str) -> Answer {
    Answer::own(Status(4, 4, 3), format!("cannot look up {name} now"))
}

/// The names of MX records, lowest preference first, equals in any order. Where we stand ourselves
/// the list ends: mail never goes to a server that would give it back to us.
fn order(
    mut hosts: Vec<Exchange>,
    domain: &str,
    hostname: &str,
    mut shuffle: impl FnMut() -> u32,
) -> Result<Vec<String>, Answer> {
    let ours = |exchange: &&Exchange| exchange.host.eq_ignore_ascii_case(hostname);
    if let Some(own) = hosts.iter().filter(ours).map(|exchange| exchange.preference).min() {
        hosts.retain(|exchange| exchange.preference < own);
        if hosts.is_empty() {
            return Err(looping(domain));
        }
    }
    hosts.sort_by_cached_key(|exchange| (exchange.preference, shuffle()));
    Ok(hosts.into_iter().map(|exchange| exchange.host).collect())
}

/// A domain that we would send to ourselves, though it is none of ours.
pub(super) fn looping(domain: &str) -> Answer {
    let text = format!("mail for {domain} would come back to this server");
    Answer::own(Status(5, 4, 6), text)
}

/// Both families by turns, IPv6 first (RFC 8305 §4).
fn mixed(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(six.next());
        mixed.extend(four.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::Table;

    fn ordered(hosts: &[(u16, &str)]) -> Result<Vec<String>, Status> {
        let hosts = hosts.iter().map(|(preference, host)| Exchange {
            preference: *preference,
            host: (*host).to_owned(),
        });
        let mut next = 100;
        let falling = || {
            next -= 1;
            next
        };
        order(hosts.collect(), "x", "here.example", falling).map_err(|answer| answer.status)
    }

    #[test]
    fn the_lowest_preference_is_first_and_equals_are_shuffled() {
        let hosts = ordered(&[(20, "c"), (10, "a"), (10, "b")]).unwrap();
        assert_eq!(hosts, ["b", "a", "c"]);
    }

    #[test]
    fn where_we_stand_ourselves_the_list_ends() {
        assert_eq!(ordered(&[(20, "Here.Example"), (10, "a"), (30, "b")]), Ok(vec!["a".into()]));
        assert_eq!(ordered(&[(20, "here.example"), (20, "a")]), Err(Status(5, 4, 6)));
    }

    async fn found(domain: &str) -> Result<Vec<String>, Status> {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let names = Table::default()
            .mx("a.example", &[(10, "mx1"), (20, "mx2")])
            .mx("null.example", &[])
            .mx("dead.example", &[(10, "gone")])
            .mx("half.example", &[(10, "gone"), (20, "later")])
            .host("mx1", &[v4, v4, v6])
            .host("mx2", &[v4])
            .host("bare.example", &[v4])
            .failing("later")
            .failing("later.example");
        let names = Resolver::fixed(names);
        let hops = by_mx(&names, domain, ("here.example", 25), || 0).await;
        let show = |hop: &Hop| format!("{} {}", hop.name, hop.address);
        hops.map(|hops| hops.iter().map(show).collect()).map_err(|answer| answer.status)
    }

    #[tokio::test]
    async fn servers_are_found_by_mx_or_by_the_domain_itself() {
        let hops = found("a.example").await.unwrap();
        assert_eq!(
            hops,
            ["mx1 [2001:db8::1]:25", "mx1 192.0.2.1:25", "mx1 192.0.2.1:25", "mx2 192.0.2.1:25"]
        );
        assert_eq!(found("bare.example").await, Ok(vec!["bare.example 192.0.2.1:25".into()]));
    }

    #[tokio::test]
    async fn what_can_never_be_is_told_from_what_cannot_be_told_now() {
        assert_eq!(found("none.example").await, Err(Status(5, 1, 2)));
        assert_eq!(found("null.example").await, Err(Status(5, 1, 10)));
        assert_eq!(found("dead.example").await, Err(Status(5, 4, 4)));
        assert_eq!(found("later.example").await, Err(Status(4, 4, 3)));
        assert_eq!(found("half.example").await, Err(Status(4, 4, 3)));
    }
}
