//! The Received field that we put before a message (RFC 5321 §4.4).

use std::{fmt::Write as _, net::IpAddr};

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter, tz::TimeZone};

use super::{
    Role,
    command::{ClientName, Hello},
};
use crate::{
    net::stream::Agreed,
    wire::address::{Address, Domain},
};

/// What is known of a message's last hop.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// Which door it came by.
    pub role: Role,
    /// How the client greeted, and what it called itself.
    pub hello: Hello,
    /// See `hello`.
    pub client: &'a ClientName,
    /// Its address.
    pub peer: IpAddr,
    /// Our name.
    pub host: &'a str,
    /// What TLS agreed on, if it was on.
    pub tls: Option<&'a Agreed>,
    /// A user had logged in.
    pub authenticated: bool,
    /// The message came with SMTPUTF8.
    pub utf8: bool,
    /// The id that follows the message.
    pub trace: &'a str,
    /// Its recipient, if it has one only: others must not learn of each other.
    pub recipient: Option<&'a Address>,
    /// When.
    pub now: Timestamp,
}

impl Hop<'_> {
    /// The whole field with its line ends.
    pub fn field(&self) -> String {
        let mut field = format!("Received: from {}\r\n", self.client());
        // Writing to a String can't fail.
        let _ = write!(field, "\tby {} with {} id {}", self.host, self.protocol(), self.trace);
        if let Some(tls) = self.tls {
            let _ = write!(field, "\r\n\t(using {} with {})", tls.version, tls.cipher);
        }
        if let Some(to) = self.recipient.filter(|to| self.utf8 || to.to_string().is_ascii()) {
            let _ = write!(field, "\r\n\tfor <{to}>");
        }
        let _ = write!(field, ";\r\n\t{}\r\n", date(self.now));
        field
    }

    /// The same in a few words, for the trace.
    pub fn words(&self) -> String {
        format!("from {} with {}", self.client(), self.protocol())
    }

    /// `Extended-Domain`: what the client calls itself, and its address.
    fn client(&self) -> String {
        let ip = Domain::literal(self.peer);
        let name = self.client.as_str();
        let name = if Domain::parse(name).is_ok() { name } else { ip.as_str() };
        format!("{name} ({ip})")
    }

    /// The protocol's name with its letters for TLS and a login (RFC 3848, RFC 6531 §4.3).
    fn protocol(&self) -> String {
        let base = match (self.role, self.hello, self.utf8) {
            (Role::Lmtp, _, false) => "LMTP",
            (Role::Lmtp, _, true) => "UTF8LMTP",
            (_, _, true) => "UTF8SMTP",
            (_, Hello::Helo, false) => "SMTP",
            (_, _, false) => "ESMTP",
        };
        let tls = if self.tls.is_some() && base != "SMTP" { "S" } else { "" };
        let login = if self.authenticated && base != "SMTP" { "A" } else { "" };
        format!("{base}{tls}{login}")
    }
}

/// `date-time` (RFC 5322 §3.3), in UTC.
pub(super) fn date(now: Timestamp) -> String {
    let printer = DateTimePrinter::new();
    // A timestamp's year always has four digits in the years that we will see.
    printer.zoned_to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::Command;

    fn client(line: &str) -> (Hello, ClientName) {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Hello(hello, name)) => (hello, name),
            other => panic!("{other:?}"),
        }
    }

    fn hop<'a>(client: &'a (Hello, ClientName), recipient: Option<&'a Address>) -> Hop<'a> {
        Hop {
            role: Role::Mx,
            hello: client.0,
            client: &client.1,
            peer: "192.0.2.7".parse().unwrap(),
            host: "mail.example.org",
            tls: None,
            authenticated: false,
            utf8: false,
            trace: "abc",
            recipient,
            now: "2024-02-29T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_hop_says_who_where_how_and_when() {
        let (client, to) = (client("EHLO relay.example"), Address::parse("a@example.org").unwrap());
        assert_eq!(
            hop(&client, Some(&to)).field(),
            "Received: from relay.example ([192.0.2.7])\r\n\tby mail.example.org with ESMTP id abc\
             \r\n\tfor <a@example.org>;\r\n\tThu, 29 Feb 2024 12:00:00 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_tells_of_tls_login_and_utf8() {
        let client = client("EHLO x");
        let tls = Agreed { version: "TLSv1.3", cipher: "TLS13_AES_256_GCM_SHA384".into() };
        let plain = hop(&client, None);
        assert_eq!(plain.protocol(), "ESMTP");
        assert_eq!(Hop { hello: Hello::Helo, ..plain.clone() }.protocol(), "SMTP");
        let safe = Hop { tls: Some(&tls), authenticated: true, ..plain.clone() };
        assert_eq!(safe.protocol(), "ESMTPSA");
        assert_eq!(Hop { utf8: true, ..safe.clone() }.protocol(), "UTF8SMTPSA");
        assert_eq!(Hop { role: Role::Lmtp, ..plain.clone() }.protocol(), "LMTP");
        assert_eq!(Hop { role: Role::Lmtp, utf8: true, ..safe.clone() }.protocol(), "UTF8LMTPSA");
        assert_eq!(safe.words(), "from x ([192.0.2.7]) with ESMTPSA");
        assert!(safe.field().contains("\r\n\t(using TLSv1.3 with TLS13_AES_256_GCM_SHA384);"));
    }

    #[test]
    fn a_name_that_is_no_domain_is_replaced_by_the_address() {
        let client = client("EHLO _()<x>!");
        assert!(hop(&client, None).field().starts_with("Received: from [192.0.2.7] ([192.0.2.7])"));
    }
}
