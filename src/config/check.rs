//! What no value can see alone: whether they fit each other.

use std::collections::BTreeMap;

use super::{BurlHost, Config, Security, Size};

/// What reads brackets within brackets calls itself; so deep there is always room on the stack.
const DEEPEST: usize = 64;

/// Values that are each right, but not together.
pub(super) struct Contradiction {
    pub(super) key: String,
    pub(super) what: String,
    pub(super) allowed: String,
}

impl Config {
    /// What serde cannot see: values that must fit each other.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let wrong = |key: &str, what: &str, allowed: &str| Contradiction {
            key: key.to_owned(),
            what: what.to_owned(),
            allowed: allowed.to_owned(),
        };
        if self.data_dir.as_os_str().is_empty() {
            return Err(wrong("data_dir", "is empty", "a folder of its own"));
        }
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => {
                return Err(wrong("tls.cert", "stands without tls.key", "both or none"));
            }
            (None, Some(_)) => {
                return Err(wrong("tls.key", "stands without tls.cert", "both or none"));
            }
            _ => {}
        }
        self.check_outbound(&wrong)?;
        let insecure = |host: &&BurlHost| !matches!(host.tls, Security::Tls | Security::StartTls);
        if self.burl.host.values().any(|host| insecure(&host)) {
            return Err(wrong("burl.host", "tls must be on", "\"tls\", \"starttls\""));
        }
        self.check_proxy(&wrong)?;
        self.check_limits(&wrong)?;
        self.check_ports(&wrong)
    }

    fn check_outbound(
        &self,
        wrong: &dyn Fn(&str, &str, &str) -> Contradiction,
    ) -> Result<(), Contradiction> {
        let outbound = &self.outbound;
        if outbound.user.is_some() != outbound.password.is_some() {
            let key = if outbound.user.is_some() { "user" } else { "password" };
            let allowed = "outbound.user and outbound.password together";
            return Err(wrong(&format!("outbound.{key}"), "stands alone", allowed));
        }
        let Some(relay) = &outbound.relay else {
            return match outbound.user {
                Some(_) => {
                    Err(wrong("outbound.user", "there is no outbound.relay", "both or none"))
                }
                None => Ok(()),
            };
        };
        if outbound.user.is_some() && outbound.tls == Security::Plain && !relay.is_loopback() {
            let what = "a password is never sent in the clear, except to loopback";
            return Err(wrong("outbound.tls", what, "\"starttls\", \"tls\""));
        }
        Ok(())
    }

    fn check_proxy(
        &self,
        wrong: &dyn Fn(&str, &str, &str) -> Contradiction,
    ) -> Result<(), Contradiction> {
        let proxy = &self.proxy;
        let ways = [
            ("proxy.listen_tls", proxy.listen_tls),
            ("proxy.imap_tls", proxy.imap_tls),
            ("proxy.smtp_tls", proxy.smtp_tls),
        ];
        if let Some((key, _)) = ways.iter().find(|(_, way)| *way == Security::Opportunistic) {
            let allowed = "\"tls\", \"starttls\", \"none\"";
            return Err(wrong(key, "can be none or some, which is no choice here", allowed));
        }
        if proxy.smtp_tls == Security::Plain
            && proxy.smtp.as_ref().is_some_and(|at| !at.is_loopback())
        {
            let what = "a password is never sent in the clear, except to loopback";
            return Err(wrong("proxy.smtp_tls", what, "\"starttls\", \"tls\""));
        }
        if proxy.relay_user.is_some() != proxy.relay_password.is_some() {
            let key = if proxy.relay_user.is_some() { "user" } else { "password" };
            let allowed = "proxy.relay_user and proxy.relay_password together";
            return Err(wrong(&format!("proxy.relay_{key}"), "stands alone", allowed));
        }
        if proxy.relay_cert.is_some() != proxy.relay_key.is_some() {
            let key = if proxy.relay_cert.is_some() { "cert" } else { "key" };
            let allowed = "proxy.relay_cert and proxy.relay_key together";
            return Err(wrong(&format!("proxy.relay_{key}"), "stands alone", allowed));
        }
        if proxy.relay_cert.is_some() && proxy.smtp_tls == Security::Plain {
            let what = "a certificate is shown within TLS only";
            return Err(wrong("proxy.smtp_tls", what, "\"tls\", \"starttls\""));
        }
        Ok(())
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
        if !(78..=998).contains(&limits.text_line_sent_max.octets()) {
            let fault = "cannot be kept to (RFC 5322 §2.1.1)";
            return Err(wrong("limits.text_line_sent_max", fault, "78 to 998"));
        }
        if limits.imap_messages_per_command_max == 0 {
            let key = "limits.imap_messages_per_command_max";
            return Err(wrong(key, "cannot be announced (RFC 9738 §5)", "1 or more"));
        }
        if limits.mime_parts_max == 0 {
            let allowed = "1 or more: the message itself is one";
            return Err(wrong("limits.mime_parts_max", "is too few", allowed));
        }
        if limits.imap_depth_max > DEEPEST {
            let allowed = format!("0 to {DEEPEST}");
            return Err(wrong("limits.imap_depth_max", "is too much", &allowed));
        }
        if limits.wal_alarm > limits.wal_cut_readers {
            let allowed = format!("at most wal_cut_readers, {}", limits.wal_cut_readers);
            return Err(wrong("limits.wal_alarm", "is too much", &allowed));
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
