//! Addresses and names: each is written as one text.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected};

use super::quoted;
use crate::config::section::{Kind, Setting};

/// A type that is written as one text: reads it, and says what is allowed when it cannot.
macro_rules! text_value {
    ($name:ty, $allowed:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                let refuse = |_| D::Error::invalid_value(Unexpected::Str(&text), &$allowed);
                text.parse().map_err(refuse)
            }
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Text;

            fn toml(&self) -> Option<String> {
                Some(quoted(self))
            }
        }
    };
}

/// An address to listen on, with its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().map(Self).map_err(|_| ())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(Address, "an address and port such as \"127.0.0.1:1143\" or \"[::]:143\"");

/// A name server; port 53 when none is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        text.parse().or_else(|_| bare()).map(Self).map_err(|_| ())
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(NameServer, "an address such as \"9.9.9.9\" or \"127.0.0.1:5353\"");

/// A network of addresses; a single address is one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let single = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| single()).map(Self).map_err(|_| ())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_value!(Network, "a network such as \"10.0.0.0/8\" or a single address");

/// The loopback networks of both families.
pub fn loopback() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|text| text.parse().ok()).collect()
}

/// A host by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Names this machine itself, as far as the text tells (RFC 6761 §6.3).
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

impl FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = if let Ok(address) = text.parse::<SocketAddr>() {
            (address.ip().to_string(), address.port())
        } else {
            let (host, port) = text.rsplit_once(':').ok_or(())?;
            (host.parse::<HostName>()?.to_string(), port.parse().map_err(|_| ())?)
        };
        if port == 0 { Err(()) } else { Ok(Self { host, port }) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

text_value!(HostPort, "a host and port such as \"smtp.example.org:587\"");

/// A host's name in ASCII (RFC 1123 §2.1), lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name the kernel knows for this machine; `localhost` when that is no host name.
    pub fn of_this_machine() -> Self {
        let known = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        known.trim().parse().unwrap_or_else(|()| Self("localhost".to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_address = text.parse::<Ipv4Addr>().is_ok();
        let good = text.len() <= 253 && text.split('.').all(label) && !is_address;
        if good { Ok(Self(text.to_ascii_lowercase())) } else { Err(()) }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(HostName, "a host name such as \"mail.example.org\"");

/// The address of a web page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebAddress(String);

impl FromStr for WebAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = rest.ok_or(())?.split('/').next().unwrap_or_default();
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || !printable { Err(()) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(WebAddress, "an address such as \"https://mail.example.org\"");

/// Where mail goes by LMTP: `lmtp://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LmtpTarget(pub HostPort);

impl FromStr for LmtpTarget {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.strip_prefix("lmtp://").ok_or(())?.parse().map(Self)
    }
}

impl fmt::Display for LmtpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lmtp://{}", self.0)
    }
}

text_value!(LmtpTarget, "a target such as \"lmtp://127.0.0.1:24\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_as_it_is_read() {
        for host in ["smtp.example.org:587", "[2001:db8::1]:25", "127.0.0.1:2525"] {
            assert_eq!(host.parse::<HostPort>().map(|host| host.to_string()), Ok(host.to_owned()));
        }
    }

    #[test]
    fn nobody_listens_on_port_0_and_an_address_is_no_name() {
        for bad in ["smtp.example.org:0", "[::1]:0", "127.0.0.1:0", "127.0.0.1", "x:65536"] {
            assert_eq!(bad.parse::<HostPort>(), Err(()), "{bad}");
        }
        assert_eq!("127.0.0.1".parse::<HostName>(), Err(()));
        assert!("1.2.3.4.example".parse::<HostName>().is_ok());
    }

    #[test]
    fn this_machine_is_known_by_name_and_address() {
        let is_loopback = |text: &str| text.parse::<HostPort>().map(|host| host.is_loopback());
        for (host, here) in [
            ("localhost:25", true),
            ("127.1.2.3:25", true),
            ("[::1]:25", true),
            ("[::ffff:127.0.0.1]:25", true),
            ("192.0.2.1:25", false),
            ("localhost.example:25", false),
        ] {
            assert_eq!(is_loopback(host), Ok(here), "{host}");
        }
    }
}
