//! Why we say no: the one place where faults of the text and refusals of the rooms become replies.
//!
//! The cause of our own failures goes to the log, never to the peer.

use super::{Reply, command::Syntax};
use crate::{
    delivery::{self, Refusal},
    mail, store, submission,
};

impl From<&Syntax> for Reply {
    fn from(fault: &Syntax) -> Self {
        let (code, enhanced) = match fault {
            Syntax::Unknown => (500, "5.5.1"),
            Syntax::NotUtf8 => (500, "5.5.2"),
            Syntax::Arguments(_) | Syntax::Value(_) | Syntax::Bdat => (501, "5.5.4"),
            Syntax::Sender(_) => (501, "5.1.7"),
            Syntax::Recipient(_) => (501, "5.1.3"),
            Syntax::Parameter => (555, "5.5.4"),
        };
        Self::new(code, enhanced, fault.to_string())
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let (code, enhanced) = match refusal {
            Refusal::UnknownUser => (550, "5.1.1"),
            Refusal::UnknownDomain => return Self::new(550, "5.7.1", "relaying denied"),
            Refusal::NoPostmaster => (451, "4.3.5"),
            Refusal::Disabled => (550, "5.2.1"),
            Refusal::OverQuota => (452, "4.2.2"),
            Refusal::LongOverQuota => (552, "5.2.2"),
            Refusal::DiskFull | Refusal::QueueFull => (452, "4.3.1"),
            Refusal::Loop | Refusal::Again => (554, "5.4.6"),
        };
        Self::new(code, enhanced, refusal.to_string())
    }
}

impl From<&mail::Error> for Reply {
    fn from(error: &mail::Error) -> Self {
        match error {
            mail::Error::TooBig(_) => Self::new(552, "5.3.4", error.to_string()),
            mail::Error::OverQuota => Self::from(Refusal::OverQuota),
            mail::Error::DiskFull => Self::from(Refusal::DiskFull),
            mail::Error::ReadOnly => Self::new(451, "4.3.2", error.to_string()),
            mail::Error::Internal(store::Error::Closed | store::Error::SyncFailed) => {
                Self::new(451, "4.3.2", "the server is closing, try again later")
            }
            _ => {
                tracing::error!(%error, cause = ?error, "a message could not be taken");
                Self::new(451, "4.3.0", "a failure of ours, try again later")
            }
        }
    }
}

/// What delivery says no to.
pub(super) fn reply_to_delivery(error: &delivery::Error) -> Reply {
    match error {
        delivery::Error::Refused(refusal) => Reply::from(*refusal),
        delivery::Error::Mail(error) => Reply::from(error),
    }
}

impl From<&submission::Error> for Reply {
    fn from(error: &submission::Error) -> Self {
        use submission::Error;
        let (code, enhanced) = match error {
            Error::NotYours(_) => (550, "5.7.1"),
            Error::NoAuthor => (550, "5.6.0"),
            Error::HeaderTooLong => (552, "5.3.4"),
            Error::NoRecipients => (554, "5.5.1"),
            Error::TooMany => (450, "4.7.1"),
            Error::Loop => return Self::from(Refusal::Loop),
            Error::QueueFull(_) => (452, "4.3.1"),
            Error::Refused(refused) => {
                let Some((recipient, refusal)) = refused.first() else {
                    return Self::new(554, "5.5.1", "no valid recipients");
                };
                let reply = Self::from(*refusal);
                let text = format!("{}: {}", recipient.address, reply.text());
                return Self::new(reply.code(), reply.enhanced(), text);
            }
            Error::Mail(error) => return Self::from(error),
        };
        Self::new(code, enhanced, error.to_string())
    }
}
