//! A URL as text; read again it is the same.

use std::fmt;

use super::{
    ImapUrl, UrlAccess, UrlAuth, UrlMailbox, UrlMessage, UrlPartial, UrlServer, UrlTarget,
    percent::{achar, bchar, encode},
};

impl fmt::Display for ImapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "imap://{server}")?;
        }
        match &self.target {
            UrlTarget::Server => f.write_str("/"),
            UrlTarget::Mailbox(mailbox, None) => write!(f, "/{mailbox}"),
            UrlTarget::Mailbox(mailbox, Some(search)) => {
                write!(f, "/{mailbox}?")?;
                encode(f, search, bchar)
            }
            UrlTarget::Message(message) => {
                // Without a mailbox a relative URL has no path of its own.
                if message.mailbox.is_some() || self.server.is_some() {
                    f.write_str("/")?;
                }
                write!(f, "{message}")
            }
        }
    }
}

impl fmt::Display for UrlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            encode(f, user, achar)?;
        }
        if let Some(auth) = &self.auth {
            f.write_str(";AUTH=")?;
            encode(f, auth, achar)?;
        }
        if self.user.is_some() || self.auth.is_some() {
            f.write_str("@")?;
        }
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for UrlMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What would be taken for segments that go up is encoded, and a slash at either end
        // (RFC 5092 §7, §7.1).
        let whole = self.name.starts_with('/') || self.name.ends_with('/');
        let levels = self.name.split(|c| c == '/' && !whole);
        for (number, level) in levels.enumerate() {
            if number > 0 {
                f.write_str("/")?;
            }
            if matches!(level, "." | "..") {
                encode(f, level, |_| false)?;
            } else {
                encode(f, level, |octet| bchar(octet) && octet != b'/')?;
            }
        }
        self.uid_validity.map_or(Ok(()), |number| write!(f, ";UIDVALIDITY={number}"))
    }
}

impl fmt::Display for UrlMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(mailbox) = &self.mailbox {
            write!(f, "{mailbox}/")?;
        }
        write!(f, ";UID={}", self.uid)?;
        if let Some(section) = &self.section {
            f.write_str("/;SECTION=")?;
            // A slash would begin a segment, and some segments mean a step up.
            encode(f, section, |octet| bchar(octet) && octet != b'/')?;
        }
        if let Some(partial) = &self.partial {
            write!(f, "/;PARTIAL={partial}")?;
        }
        if let Some(expire) = &self.expire {
            write!(f, ";EXPIRE={expire}")?;
        }
        self.authorisation.as_ref().map_or(Ok(()), |given| write!(f, ";URLAUTH={given}"))
    }
}

impl fmt::Display for UrlPartial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.offset)?;
        self.length.map_or(Ok(()), |length| write!(f, ".{length}"))
    }
}

impl fmt::Display for UrlAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.access {
            UrlAccess::Submit(user) => {
                f.write_str("submit+")?;
                encode(f, user, achar)?;
            }
            UrlAccess::User(user) => {
                f.write_str("user+")?;
                encode(f, user, achar)?;
            }
            UrlAccess::AuthUser => f.write_str("authuser")?,
            UrlAccess::Anonymous => f.write_str("anonymous")?,
        }
        let Some(proof) = &self.proof else { return Ok(()) };
        write!(f, ":{}:{}", proof.mechanism, proof.token)
    }
}
