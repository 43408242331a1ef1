//! What SMTP answers: a code, an enhanced code and a text. The one place where refusals and failures get
//! their codes, whatever the door that tells them (RFC 5321 §4.2, RFC 3463).
//!
//! The cause of our own failures goes to the log, never to the peer.

use std::{borrow::Cow, fmt};

use super::submit::{Error, Taken};
use crate::{
    delivery::{self, Refusal},
    mail::{self, skeleton::SkeletonError},
    store,
    wire::parameters::Fault,
};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three digits.
    pub code: u16,
    /// The enhanced code.
    pub enhanced: &'static str,
    /// What it says to people.
    pub text: Cow<'static, str>,
}

impl Answer {
    /// An answer.
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced, text: text.into() }
    }

    /// The message cannot be sent as it is.
    pub fn unfit(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(554, "5.6.0", text)
    }

    /// True for 4xx and 5xx.
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// Is it for a reason of this house that may pass: no room, too much at once, a failure?
    pub fn may_pass(&self) -> bool {
        (400..500).contains(&self.code)
            && ["4.3.", "4.7."].iter().any(|ours| self.enhanced.starts_with(ours))
    }
}

/// `550 5.1.1 no such user here`, always one line
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.code, self.enhanced)?;
        let printable = self.text.chars().map(|c| if c.is_control() { ' ' } else { c });
        printable.into_iter().try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl From<&Fault> for Answer {
    fn from(fault: &Fault) -> Self {
        let (code, enhanced) = match fault {
            Fault::Arguments(_) | Fault::Value(_) => (501, "5.5.4"),
            Fault::Sender(_) => (501, "5.1.7"),
            Fault::Recipient(_) => (501, "5.1.3"),
            Fault::Parameter => (555, "5.5.4"),
        };
        Self::new(code, enhanced, fault.to_string())
    }
}

impl From<Refusal> for Answer {
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

impl From<&mail::Error> for Answer {
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

impl From<&delivery::Error> for Answer {
    fn from(error: &delivery::Error) -> Self {
        match error {
            delivery::Error::Refused(refusal) => Self::from(*refusal),
            delivery::Error::Mail(error) => Self::from(error),
        }
    }
}

impl From<&SkeletonError> for Answer {
    fn from(error: &SkeletonError) -> Self {
        match error {
            SkeletonError::Part(_) => Self::new(554, "5.6.6", error.to_string()),
            SkeletonError::Hidden => Self::new(554, "5.3.4", error.to_string()),
            SkeletonError::Mail(error) => Self::from(error),
        }
    }
}

impl From<&Error> for Answer {
    fn from(error: &Error) -> Self {
        let (code, enhanced) = match error {
            Error::NotYours(_) => (550, "5.7.1"),
            Error::NoAuthor => (550, "5.6.0"),
            Error::HeaderTooLong => (552, "5.3.4"),
            Error::NoRecipients => (554, "5.5.1"),
            Error::TooMany => (450, "4.7.1"),
            Error::Loop => return Self::from(Refusal::Loop),
            Error::QueueFull(_) => (452, "4.3.1"),
            Error::AlreadySubmitted | Error::Queued => (554, "5.6.0"),
            Error::Gone | Error::Withdrawn => (554, "5.6.6"),
            Error::Refused(refused) => {
                let Some((recipient, refusal)) = refused.first() else {
                    return Self::new(554, "5.5.1", "no valid recipients");
                };
                let Self { code, enhanced, text } = Self::from(*refusal);
                return Self::new(code, enhanced, format!("{}: {text}", recipient.address));
            }
            Error::Copy(error) => return no_copy(error),
            Error::Mail(error) => return Self::from(error),
        };
        Self::new(code, enhanced, error.to_string())
    }
}

/// Why what is sent can't be kept where its sender wants a copy of it.
fn no_copy(error: &mail::Error) -> Answer {
    use mail::Error;
    match error {
        Error::NoMailbox
        | Error::NotSelectable
        | Error::Forbidden
        | Error::BadName(_)
        | Error::Cannot(_)
        | Error::Limit(_)
        | Error::Over(..) => Answer::new(554, "5.2.0", format!("no copy can be kept: {error}")),
        Error::OverQuota => Answer::new(552, "5.2.2", format!("no copy can be kept: {error}")),
        other => Answer::from(other),
    }
}

impl From<&Taken> for Answer {
    fn from(taken: &Taken) -> Self {
        match taken {
            Taken::Delivered => Self::new(250, "2.1.5", "delivered"),
            Taken::Queued(id) => Self::new(250, "2.1.5", format!("queued as {id}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line() {
        let answer = Answer::new(550, "5.1.1", "a\r\n250 b");
        assert_eq!(answer.to_string(), "550 5.1.1 a  250 b");
        assert!(answer.is_refusal() && !answer.may_pass());
        assert!(Answer::from(Refusal::DiskFull).may_pass());
        assert!(!Answer::from(Refusal::OverQuota).may_pass());
        assert!(Answer::from(&Error::TooMany).may_pass());
    }

    #[test]
    fn a_copy_that_cannot_be_kept_is_no_failure_of_ours() {
        for (error, code) in [
            (mail::Error::NoMailbox, 554),
            (mail::Error::Forbidden, 554),
            (mail::Error::OverQuota, 552),
            (mail::Error::DiskFull, 452),
        ] {
            assert_eq!(Answer::from(&Error::Copy(error)).code, code);
        }
    }
}
