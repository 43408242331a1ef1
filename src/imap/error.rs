//! Why we say no, in the words of RFC 5530.

use std::{borrow::Cow, io};

use super::reply::Code;
use crate::{mail, metrics::Limit, store, wire::Syntax};

/// How a command can fail, by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client's text: `BAD`.
    #[error("{0}")]
    Bad(#[from] Syntax),
    /// The client's command does not fit here and now: `BAD`, with a code when one helps.
    #[error("{1}")]
    Unfit(Option<Code>, &'static str),
    /// A refusal: `NO`.
    #[error("{1}")]
    No(Option<Code>, Cow<'static, str>),
    /// A refusal for a bound of `[limits]`, which is counted: `NO`.
    #[error("{2}")]
    Over(Limit, Code, Cow<'static, str>),
    /// What the client does ends the connection: `* BYE`.
    #[error("{1}")]
    Bye(Option<Code>, &'static str),
    /// Our own failure: the client reads `NO [SERVERBUG]`, the cause goes to the log.
    #[error("internal error")]
    Internal(#[source] mail::Error),
    /// The connection is gone: nobody reads anything.
    #[error("connection: {0}")]
    Connection(#[from] io::Error),
}

impl Error {
    /// A refusal with a code.
    pub fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self::No(Some(code), text.into())
    }

    /// Too many messages for one command, of which so many may be: `NO [MESSAGELIMIT most]`.
    pub fn too_many(most: usize, text: &'static str) -> Self {
        Self::Over(Limit::ImapMessagesPerCommandMax, Code::MessageLimit(most, None), text.into())
    }

    /// The bound of `[limits]` that the client came up against, if that is why.
    pub fn limit(&self) -> Option<Limit> {
        match self {
            Self::Over(limit, ..) | Self::Bad(Syntax::Over(limit, _)) => Some(*limit),
            _ => None,
        }
    }

    /// Does the client read `NO`?
    pub fn says_no(&self) -> bool {
        matches!(self, Self::No(..) | Self::Over(..) | Self::Internal(_))
    }

    /// A refusal that no code fits.
    pub fn plain(text: impl Into<Cow<'static, str>>) -> Self {
        Self::No(None, text.into())
    }

    /// A command that does not fit here and now.
    pub fn unfit(text: &'static str) -> Self {
        Self::Unfit(None, text)
    }
}

/// The one place where the house's errors become IMAP's (RFC 5530).
impl From<mail::Error> for Error {
    fn from(error: mail::Error) -> Self {
        use mail::Error as Mail;
        if matches!(error, Mail::NoPart) {
            // RFC 5257 §3.2.1
            return Self::unfit("there is no such part");
        }
        let code = match &error {
            Mail::NoMailbox | Mail::NoUser => Code::NonExistent,
            Mail::MailboxExists => Code::AlreadyExists,
            Mail::SpecialUseTaken | Mail::SpecialUseNotHere | Mail::NoSuchSpecialUse => {
                Code::UseAttr
            }
            Mail::LongMetadata(most) => Code::MetadataMaxSize(*most),
            Mail::ManyMetadata => Code::MetadataTooMany,
            Mail::LongAnnotation => Code::AnnotateTooBig,
            Mail::ManyAnnotations => Code::AnnotateTooMany,
            Mail::NoPart | Mail::NotSelectable | Mail::BadName(_) | Mail::Cannot(_) => Code::Cannot,
            Mail::Forbidden => Code::NoPerm,
            Mail::OverQuota => Code::OverQuota,
            Mail::Limit(_) | Mail::Over(..) => Code::Limit,
            Mail::TooBig(_) => Code::TooBig,
            Mail::DiskFull | Mail::ReadOnly => Code::Unavailable,
            Mail::Damaged(cause) => {
                tracing::error!(error = %cause, "damaged");
                Code::Corruption
            }
            Mail::Internal(store::Error::Closed | store::Error::SyncFailed) => {
                return Self::no(Code::Unavailable, "the server is closing");
            }
            // Only a reader that was cut off is heard of: the others' askers have gone.
            Mail::Internal(store::Error::Cancelled) => {
                return Self::no(Code::Unavailable, "it took too long; try again");
            }
            Mail::Internal(_) => return Self::Internal(error),
        };
        let limit = match &error {
            Mail::OverQuota => Some(Limit::Quota),
            Mail::Over(limit, _) => Some(*limit),
            Mail::TooBig(_) => Some(Limit::MessageSizeMax),
            Mail::LongMetadata(_) | Mail::LongAnnotation => Some(Limit::MetadataValueMax),
            Mail::ManyMetadata | Mail::ManyAnnotations => Some(Limit::MetadataEntriesMax),
            Mail::DiskFull => Some(Limit::DiskFreeMin),
            _ => None,
        };
        match limit {
            Some(limit) => Self::Over(limit, code, error.to_string().into()),
            None => Self::no(code, error.to_string()),
        }
    }
}
