//! Why a deed on mail could not be done.

use crate::{metrics::Limit, store};

/// An error of the mail rooms, sorted by who can mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such mailbox, or the user may not know of it.
    #[error("no such mailbox")]
    NoMailbox,
    /// It is a mere level of hierarchy.
    #[error("this mailbox holds no messages, only other mailboxes")]
    NotSelectable,
    /// A mailbox of that name, in any case, exists.
    #[error("a mailbox of that name exists already")]
    MailboxExists,
    /// A mailbox with one of these special uses exists (RFC 6154 §3).
    #[error("another mailbox has this special use")]
    SpecialUseTaken,
    /// There is no such special use.
    #[error("unknown special use")]
    NoSuchSpecialUse,
    /// A value of metadata has more octets than this.
    #[error("no value may be longer than {0} octets")]
    LongMetadata(u64),
    /// There would be more entries than there may be.
    #[error("too many entries")]
    ManyMetadata,
    /// Special uses are of one's own mailboxes only.
    #[error("only your own mailboxes have a special use")]
    SpecialUseNotHere,
    /// There is no such user to be given rights.
    #[error("no such user")]
    NoUser,
    /// A value that is said of a message is too long.
    #[error("the value is too long")]
    LongAnnotation,
    /// More would be said of a message than may be.
    #[error("too many annotations")]
    ManyAnnotations,
    /// A message has not the part that is named.
    #[error("there is no such part")]
    NoPart,
    /// The name can't be a mailbox's.
    #[error("{0}")]
    BadName(&'static str),
    /// The user lacks the right.
    #[error("you have no right to do this")]
    Forbidden,
    /// It may never be done to this one.
    #[error("{0}")]
    Cannot(&'static str),
    /// The owner's quota is used up.
    #[error("the mailbox's owner is over quota")]
    OverQuota,
    /// A limit of the server.
    #[error("{0}")]
    Limit(&'static str),
    /// The same for a bound that is a key of the configuration.
    #[error("{1}")]
    Over(Limit, &'static str),
    /// The message is larger than this server takes, which is so many octets.
    #[error("the message is larger than {0} octets")]
    TooBig(u64),
    /// The disk is nearly full; it can be tried again later.
    #[error("the server's disk is full; try again later")]
    DiskFull,
    /// The disk takes no writes; it can be tried again later.
    #[error("the server's disk takes no changes now; try again later")]
    ReadOnly,
    /// What is stored can't be read.
    #[error("the message is damaged in the store")]
    Damaged(#[source] store::Error),
    /// Our own failure; the cause goes to the log, not to the peer.
    #[error("internal error")]
    Internal(#[source] store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NotFound("mailbox") => Self::NoMailbox,
            store::Error::Exists("mailbox") => Self::MailboxExists,
            store::Error::Refused(text) => Self::Cannot(text),
            store::Error::OverQuota => Self::OverQuota,
            store::Error::ManyAnnotations => Self::ManyAnnotations,
            store::Error::Limit(text) => Self::Limit(text),
            store::Error::Over(limit, text) => Self::Over(limit, text),
            store::Error::DiskFull => Self::DiskFull,
            store::Error::ReadOnly => Self::ReadOnly,
            store::Error::Corrupt(_) => Self::Damaged(error),
            _ => Self::Internal(error),
        }
    }
}

/// What the mail rooms' functions give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;
