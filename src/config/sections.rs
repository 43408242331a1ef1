//! The sections of the configuration, `[limits]` apart.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    section::section,
    values::{
        Address, HostName, HostPort, LmtpTarget, LogFormat, LogLevel, NameServer, Network,
        ProxyFrom, Secret, Security, WebAddress, loopback,
    },
};

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
        /// "none". A password is never sent in the clear, except to loopback, and "opportunistic" with a
        /// password means "starttls" elsewhere.
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
        /// Where it is reached, "host:port", if not by its name at port 993, or 143 for "starttls". Its
        /// certificate is for its name in any case.
        address: Option<HostPort> = None => "\"10.0.0.5:993\"",
        /// Certificates trusted besides the system's, PEM: of authorities, or the server's own.
        ca: Option<PathBuf> = None => "\"imap-ca.pem\"",
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
        /// Certificates trusted for both besides the system's, PEM: of authorities, or the servers' own.
        ca: Option<PathBuf> = None => "\"upstream-ca.pem\"",
        /// The login of a trusted relay.
        relay_user: Option<String> = None => "\"relay\"",
        /// Its password.
        relay_password: Option<Secret> = None => "\"secret\"",
        /// A certificate, PEM, that the proxy shows to the submission server. Without a `relay_user` it is
        /// known as a trusted relay by that alone.
        relay_cert: Option<PathBuf> = None => "\"relay.pem\"",
        /// Its private key, PEM, readable by nobody else.
        relay_key: Option<PathBuf> = None => "\"relay-key.pem\"",
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
pub(super) fn standard(port: u16) -> Vec<Address> {
    vec![Address((std::net::Ipv6Addr::UNSPECIFIED, port).into())]
}
