//! Who a client is, as it was seen to pass: kept in memory alone, as long as the login lasts.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use zeroize::Zeroizing;

use crate::{net::imap_client, wire::Cursor};

/// Who has logged in.
#[derive(Clone)]
pub(super) struct Login {
    /// The name by which the server knows the user, as far as that was seen.
    pub(super) user: Option<String>,
    /// Name and password, where both were seen.
    pub(super) secret: Option<imap_client::Login>,
}

impl Login {
    /// By a mechanism that keeps the password, and perhaps the name, to itself.
    pub(super) fn hidden(user: Option<String>) -> Self {
        Self { user, secret: None }
    }

    fn seen(acts_as: Option<String>, name: String, password: Zeroizing<String>) -> Self {
        let user = Some(acts_as.clone().unwrap_or_else(|| name.clone()));
        Self { user, secret: Some(imap_client::Login { acts_as, name, password }) }
    }

    /// `tag SP "LOGIN" SP userid SP password CRLF`, with its literals in their places.
    pub(super) fn of_command(command: &[u8]) -> Option<Self> {
        let line = command.strip_suffix(b"\n")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut spaces = line.iter().enumerate().filter(|(_, octet)| **octet == b' ');
        let (_, (second, _)) = (spaces.next()?, spaces.next()?);
        let mut args = Cursor::new(line.get(second.checked_add(1)?..)?);
        let name = String::from_utf8(args.astring().ok()?.into_owned()).ok()?;
        args.space().ok()?;
        let password = Zeroizing::new(args.astring().ok()?.into_owned());
        args.end().ok()?;
        let password = Zeroizing::new(std::str::from_utf8(&password).ok()?.to_owned());
        Some(Self::seen(None, name, password))
    }

    /// The first response of this mechanism, in base64.
    pub(super) fn of_response(mechanism: &[u8], response: &[u8]) -> Option<Self> {
        let message = Zeroizing::new(BASE64_STANDARD.decode(response.trim_ascii()).ok()?);
        let message = std::str::from_utf8(&message).ok()?;
        if mechanism == b"PLAIN" {
            // `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2)
            let mut fields = message.split('\0');
            let (acts_as, name) = (fields.next()?, fields.next()?);
            let password = Zeroizing::new(fields.next()?.to_owned());
            let acts_as = Some(acts_as.to_owned()).filter(|acts_as| !acts_as.is_empty());
            return fields.next().is_none().then(|| Self::seen(acts_as, name.to_owned(), password));
        }
        Some(Self::hidden(user_in(mechanism, message)))
    }
}

/// The name in the first message of other mechanisms.
fn user_in(mechanism: &[u8], message: &str) -> Option<String> {
    let value = |text: &str, name: &str| {
        let found = text.split([',', '\u{1}']).find_map(|field| field.strip_prefix(name));
        // A name's own commas and equals signs (RFC 5802 §5.1).
        found.map(|value| value.replace("=2C", ",").replace("=3D", "="))
    };
    let found = match mechanism {
        b"LOGIN" => Some(message.to_owned()),
        // The name, a blank and the digest (RFC 2195 §2).
        b"CRAM-MD5" => message.rsplit_once(' ').map(|(name, _)| name.to_owned()),
        b"XOAUTH2" => value(message, "user="),
        _ if mechanism.starts_with(b"SCRAM-") || mechanism == b"OAUTHBEARER" => {
            // The header of GS2 may name whom to act as (RFC 5801 §4).
            let gs2 = message.split(',').nth(1).and_then(|field| field.strip_prefix("a="));
            gs2.map(|name| name.replace("=2C", ",").replace("=3D", "="))
                .or_else(|| if mechanism == b"OAUTHBEARER" { None } else { value(message, "n=") })
        }
        _ => None,
    };
    found.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(login: Option<Login>) -> Option<(Option<String>, String, String)> {
        let secret = login?.secret?;
        Some((secret.acts_as, secret.name, secret.password.to_string()))
    }

    fn pair(name: &str, password: &str) -> (Option<String>, String, String) {
        (None, name.to_owned(), password.to_owned())
    }

    #[test]
    fn a_login_is_read_in_all_its_forms() {
        for command in [
            "a LOGIN alice@x \"se\\\"cret\"\r\n",
            "a login {7}\r\nalice@x {7+}\r\nse\"cret\r\n",
            "a login \"alice@x\" {7}\r\nse\"cret\r\n",
        ] {
            let read = seen(Login::of_command(command.as_bytes()));
            assert_eq!(read, Some(pair("alice@x", "se\"cret")), "{command}");
        }
        for command in ["a LOGIN\r\n", "a LOGIN x\r\n", "a LOGIN x y z\r\n", "a LOGIN x y"] {
            assert!(Login::of_command(command.as_bytes()).is_none(), "{command}");
        }
    }

    #[test]
    fn plain_tells_all_and_others_only_the_name() {
        let response = |mechanism: &[u8], message: &str| {
            Login::of_response(mechanism, BASE64_STANDARD.encode(message).as_bytes())
        };
        assert_eq!(seen(response(b"PLAIN", "\0a\0b")), Some(pair("a", "b")));
        let acting = response(b"PLAIN", "u\0a\0b").unwrap();
        assert_eq!(acting.user.as_deref(), Some("u"));
        assert_eq!(acting.secret.unwrap().acts_as.as_deref(), Some("u"));
        assert!(response(b"PLAIN", "a\0b").is_none());
        assert!(Login::of_response(b"PLAIN", b"*").is_none());
        for (mechanism, message, name) in [
            ("SCRAM-SHA-256", "n,,n=a=2Cb,r=x", Some("a,b")),
            ("SCRAM-SHA-256", "n,a=u,n=a,r=x", Some("u")),
            ("XOAUTH2", "user=a@x\u{1}auth=Bearer y\u{1}\u{1}", Some("a@x")),
            ("OAUTHBEARER", "n,a=a@x,\u{1}auth=Bearer y\u{1}\u{1}", Some("a@x")),
            ("LOGIN", "a@x", Some("a@x")),
            ("CRAM-MD5", "a@x b 913a602c7eda7a495b4e6e7334d3890", Some("a@x b")),
            ("CRAM-MD5", "x", None),
            ("X-OWN", "a@x", None),
        ] {
            let login = response(mechanism.as_bytes(), message).unwrap();
            assert_eq!(login.user.as_deref(), name, "{mechanism}");
            assert!(login.secret.is_none());
        }
    }
}
