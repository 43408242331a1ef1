//! Logins at every door: accounts and devices looked up, passwords and proofs checked, failures
//! counted and answered alike.
//!
//! A door decodes what its client sends and passes it to an [`Exchange`], or hands in name and
//! password as they are by [`Logins::login`]; it only waits the delay of a refusal and says it in its
//! own words. An unknown user costs the same work and gives the same answer as a wrong password.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;
use zeroize::Zeroizing;

pub use super::sasl::Mechanism;
use crate::{
    events::Origin,
    ids::{AccountId, DeviceId},
    store::{self, Store},
};

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Which account.
    pub account: AccountId,
    /// The device whose app password it was; None for the main password.
    pub device: Option<DeviceId>,
    /// The account's address as it is shown.
    pub address: String,
    /// May run the server?
    pub owner: bool,
}

/// A name and a password, as they came.
#[derive(Clone)]
pub struct Credentials {
    /// Whom to act as; empty for oneself.
    pub authorization: String,
    /// The login name: a full address.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// Who asks, from where, when.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The socket's peer address.
    pub ip: IpAddr,
    /// Door, session and wall clock.
    pub origin: Origin,
    /// The clock that delays are measured with.
    pub now: Instant,
}

/// Why somebody is not let in. One waits the delay before one says it.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Name, password or proof is wrong, or the account is closed: one answer for all of these.
    #[error("authentication failed")]
    Wrong {
        /// To be waited before the answer.
        delay: Duration,
    },
    /// Too many failures from there: the connection is ended.
    #[error("too many failed logins")]
    TooMany {
        /// To be waited before the answer.
        delay: Duration,
    },
    /// What the client sent breaks the mechanism's grammar.
    #[error("malformed response")]
    Malformed,
    /// Our own failure; the cause goes to the log.
    #[error("internal error")]
    Internal(#[from] store::Error),
}

/// What follows in an exchange.
#[derive(Debug)]
pub enum Step {
    /// This is sent (in base64), and the client answers.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done(LoggedIn),
}

/// The room of logins.
pub struct Logins {
    store: Store,
}

impl Logins {
    /// Makes the room.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Checks a name and a password.
    pub async fn login(
        &self,
        credentials: Credentials,
        visitor: Visitor,
    ) -> Result<LoggedIn, Refused> {
        let _ = (credentials, visitor, &self.store);
        Err(Refused::Internal(store::Error::Closed))
    }

    /// Begins an exchange; `binding` is the connection's channel binding, when it has one.
    pub fn exchange(&self, mechanism: Mechanism, binding: Option<[u8; 32]>) -> Exchange<'_> {
        Exchange { logins: self, mechanism, binding }
    }
}

/// One exchange of challenges and responses, already decoded from base64.
pub struct Exchange<'a> {
    logins: &'a Logins,
    mechanism: Mechanism,
    binding: Option<[u8; 32]>,
}

impl Exchange<'_> {
    /// The first step: with an initial response (RFC 4422 §4.3.1), or without one.
    pub async fn start(
        &mut self,
        initial: Option<&[u8]>,
        visitor: Visitor,
    ) -> Result<Step, Refused> {
        let _ = (self.logins, self.mechanism, self.binding, initial, visitor);
        Err(Refused::Internal(store::Error::Closed))
    }

    /// Each following step.
    pub async fn respond(&mut self, response: &[u8], visitor: Visitor) -> Result<Step, Refused> {
        let _ = (response, visitor);
        Err(Refused::Internal(store::Error::Closed))
    }
}
