//! What a key can hold: sizes, durations, addresses, networks and the like.
//!
//! Each type says in its error what is allowed, in words an owner understands.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ipnet::IpNet;
use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};

use super::section::{Kind, Section, Setting};

/// A number of octets: `"50 MiB"`, `"998 B"` or a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// So many KiB.
    pub const fn kib(number: u64) -> Self {
        Self(number << 10)
    }

    /// So many MiB.
    pub const fn mib(number: u64) -> Self {
        Self(number << 20)
    }

    /// So many GiB.
    pub const fn gib(number: u64) -> Self {
        Self(number << 30)
    }

    /// The octets.
    pub const fn octets(self) -> u64 {
        self.0
    }

    /// The octets as a length in memory; the largest there is when it does not fit.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// None at all?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = amount(text).ok_or(())?;
        let known = |(name, _): &&(&str, u64)| {
            unit.is_empty() && *name == "B" || name.eq_ignore_ascii_case(unit)
        };
        let (_, factor) = SIZE_UNITS.iter().find(known).ok_or(())?;
        number.checked_mul(*factor).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match SIZE_UNITS.iter().take(4).find(fits) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A duration: `"30 min"`, `"1 h 30 min"` or a plain number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    pub const fn millis(number: u64) -> Self {
        Self(Duration::from_millis(number))
    }

    /// So many seconds.
    pub const fn secs(number: u64) -> Self {
        Self(Duration::from_secs(number))
    }

    /// So many minutes.
    pub const fn mins(number: u64) -> Self {
        Self::secs(number * 60)
    }

    /// So many hours.
    pub const fn hours(number: u64) -> Self {
        Self::secs(number * 3_600)
    }

    /// So many days.
    pub const fn days(number: u64) -> Self {
        Self::secs(number * 86_400)
    }
}

impl Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// Milliseconds of a unit; the first name of each is the one that is written.
const SPAN_UNITS: [(&[&str], u64); 5] = [
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["min", "mins", "minute", "minutes"], 60_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000),
    (&["ms", "millisecond", "milliseconds"], 1),
];

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut rest = text.trim();
        let mut millis = 0_u64;
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(unit_at);
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, next) = after.split_at(end);
            let alone = unit.is_empty() && millis == 0;
            let unit = if alone { "s" } else { unit };
            let (_, factor) =
                SPAN_UNITS.iter().find(|(names, _)| names.contains(&unit)).ok_or(())?;
            let number = number.trim().parse::<u64>().map_err(|_| ())?;
            let part = number.checked_mul(*factor).ok_or(())?;
            millis = millis.checked_add(part).ok_or(())?;
            rest = next.trim();
        }
        if text.trim().is_empty() { Err(()) } else { Ok(Self::millis(millis)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let fits =
            |(_, factor): &&(&[&str], u64)| millis >= *factor && millis.is_multiple_of(*factor);
        match SPAN_UNITS.iter().find(fits) {
            Some((names, factor)) => {
                write!(f, "{} {}", millis / factor, names.first().copied().unwrap_or("ms"))
            }
            None => f.write_str("0 s"),
        }
    }
}

/// A number and the word behind it.
fn amount(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads what may be a number or a text with a unit.
struct Measure<T>(&'static str, fn(u64) -> T);

impl<T: FromStr> Visitor<'_> for Measure<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        Ok(self.1(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        let positive = u64::try_from(number);
        positive.map(self.1).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Measure("a size such as \"50 MiB\", or a number of octets", Self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = "a duration such as \"30 min\", or a number of seconds";
        from.deserialize_any(Measure(allowed, Self::secs))
    }
}

impl Setting for Size {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for Span {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for usize {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;

    fn toml(&self) -> Option<String> {
        Some(quoted(self.display()))
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(Setting::toml)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List;

    fn toml(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(Setting::toml).collect::<Vec<_>>().join(", ")))
    }
}

impl<T: Section> Setting for BTreeMap<String, T> {
    const KIND: Kind = Kind::Named(T::KEYS);

    fn toml(&self) -> Option<String> {
        None
    }
}

/// A TOML basic string.
fn quoted(text: impl fmt::Display) -> String {
    let mut out = String::from("\"");
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

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

impl FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let host = host.parse::<HostName>()?;
        Ok(Self { host: host.to_string(), port: port.parse().map_err(|_| ())? })
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
        let good = text.len() <= 253 && text.split('.').all(label);
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

/// A password: never shown, not even in debug output.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Text;

    fn toml(&self) -> Option<String> {
        None
    }
}

/// A choice between words.
macro_rules! choice {
    ($(#[$head:meta])+ $name:ident { $( $(#[$doc:meta])+ $variant:ident = $word:literal, )+ }) => {
        $(#[$head])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
        pub enum $name {
            $( $(#[$doc])+ #[serde(rename = $word)] $variant, )+
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Text;

            fn toml(&self) -> Option<String> {
                Some(quoted(match self { $( Self::$variant => $word, )+ }))
            }
        }
    };
}

choice! {
    /// How a connection that we make is secured.
    Security {
        /// By STARTTLS where it is offered, else plain.
        Opportunistic = "opportunistic",
        /// By STARTTLS, with a certificate that proves the name, or not at all.
        StartTls = "starttls",
        /// TLS from the first octet on, with a certificate that proves the name.
        Tls = "tls",
        /// Never.
        Plain = "none",
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// The least important lines that are still logged.
    LogLevel {
        /// Only what went wrong in our own house.
        Error = "error",
        /// And what the owner should know of.
        Warn = "warn",
        /// And each login, delivery and submission.
        Info = "info",
        /// And each command's fate.
        Debug = "debug",
        /// And everything.
        Trace = "trace",
    }
}

choice! {
    /// Whose From address the proxy lets through.
    ProxyFrom {
        /// Only the login name itself.
        Login = "login",
        /// Any address in the login's domain.
        Domain = "domain",
        /// Any.
        Any = "any",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, octets) in
            [("50 MiB", 50 << 20), ("64KiB", 65_536), ("998 B", 998), ("7", 7), ("2 kb", 2_000)]
        {
            assert_eq!(text.parse(), Ok(Size(octets)), "{text}");
        }
        for text in ["", "MiB", "-1", "5 apples", "99999999999 TiB", "1.5 GiB"] {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_parts() {
        for (text, millis) in [
            ("30 min", 1_800_000),
            ("1 h 30 min", 5_400_000),
            ("60", 60_000),
            ("500ms", 500),
            ("5 days", 432_000_000),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Span::millis(millis)), "{text}");
        }
        for text in ["", "min", "1 fortnight", "1 h 30", "-5 s", "99999999999999999999 s"] {
            assert_eq!(text.parse::<Span>(), Err(()), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for size in [0, 1, 998, 1_024, 1_536, 50 << 20, 1 << 40] {
            assert_eq!(Size(size).to_string().parse(), Ok(Size(size)));
        }
        for millis in [0, 1, 500, 1_000, 90_000, 86_400_000, 90_061_001] {
            assert_eq!(Span::millis(millis).to_string().parse(), Ok(Span::millis(millis)));
        }
        for host in ["smtp.example.org:587", "[2001:db8::1]:25", "127.0.0.1:2525"] {
            assert_eq!(host.parse::<HostPort>().map(|host| host.to_string()), Ok(host.to_owned()));
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(..)");
    }
}
