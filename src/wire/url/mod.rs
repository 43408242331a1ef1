//! IMAP URLs (RFC 5092), also with an authorisation (RFC 4467): read, and written.
//!
//! An absolute URL names its server; a relative one leaves that out, and may leave out the mailbox too:
//! whoever has the base says what is meant then. What the grammar lets stand is kept as it was meant,
//! decoded; the text itself is kept by the caller, for an authorisation signs its very octets.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod parse;
mod percent;
#[cfg(test)]
mod tests;
mod write;

use jiff::Timestamp;

/// Octets of a URL that is read.
pub const URL_MAX: usize = 8192;

/// Why a text is no URL that can be followed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is longer than [`URL_MAX`].
    #[error("the URL is too long")]
    TooLong,
    /// Another scheme.
    #[error("not an imap: URL")]
    Scheme,
    /// Something else stood where this should be.
    #[error("the URL lacks {0}")]
    Expected(&'static str),
}

/// An IMAP URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImapUrl {
    /// None for a relative URL: the server and user of the base.
    pub server: Option<UrlServer>,
    /// What of it is meant.
    pub target: UrlTarget,
}

/// `iserver = [iuserinfo "@"] host [":" port]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlServer {
    /// Whose mailboxes; decoded.
    pub user: Option<String>,
    /// The SASL mechanism, `*` for any; decoded.
    pub auth: Option<String>,
    /// A name, or an address (one of version 6 in its brackets), as it was written.
    pub host: String,
    /// None means the usual one.
    pub port: Option<u16>,
}

/// What a URL refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlTarget {
    /// The server itself, or all its mailboxes.
    Server,
    /// A mailbox, or the messages that a search finds there.
    Mailbox(UrlMailbox, Option<String>),
    /// A message, or a part of one.
    Message(Box<UrlMessage>),
}

/// `imailbox-ref = enc-mailbox [uidvalidity]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlMailbox {
    /// Its name in UTF-8.
    pub name: String,
    /// What the UID is valid under.
    pub uid_validity: Option<u32>,
}

/// `imessagepart [iurlauth]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlMessage {
    /// None: the mailbox of the base.
    pub mailbox: Option<UrlMailbox>,
    /// The message.
    pub uid: u32,
    /// `section-spec`, decoded; None for the whole message.
    pub section: Option<String>,
    /// Some of the octets that it names.
    pub partial: Option<UrlPartial>,
    /// Until when an authorisation holds.
    pub expire: Option<Timestamp>,
    /// Who may use it.
    pub authorisation: Option<UrlAuth>,
}

/// `partial-range = number ["." nz-number]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlPartial {
    /// The first octet, from 0.
    pub offset: u64,
    /// How many octets; None means to the end.
    pub length: Option<u64>,
}

/// `";URLAUTH=" access [":" mechanism ":" token]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlAuth {
    /// Who may use it.
    pub access: UrlAccess,
    /// The proof; None before one is made (`authimapurlrump`).
    pub proof: Option<UrlProof>,
}

/// `access`: the authorised access identifier (RFC 4467 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlAccess {
    /// A submission server on behalf of this user.
    Submit(String),
    /// This user.
    User(String),
    /// Everybody who is logged in.
    AuthUser,
    /// Everybody.
    Anonymous,
}

/// What shows that an authorisation was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlProof {
    /// How it was made.
    pub mechanism: String,
    /// Hexadecimal digits, at least 32.
    pub token: String,
    /// How many octets of the URL were signed: all in front of the mechanism's colon.
    pub signed: usize,
}

impl ImapUrl {
    /// Reads a URL that is the whole text, absolute or relative.
    ///
    /// A message without mailbox (`;UID=20`) is one of the base's mailbox; other relative paths are
    /// not read (RFC 5092 §7.2). A `/` may stand before `;EXPIRE` and `;URLAUTH`, and an `@` in the
    /// name of the user: clients write them.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::url(text)
    }

    /// The message that it refers to, if it is one.
    pub fn message(&self) -> Option<&UrlMessage> {
        match &self.target {
            UrlTarget::Message(message) => Some(message),
            UrlTarget::Server | UrlTarget::Mailbox(..) => None,
        }
    }
}
