//! An exchange of challenges and responses (RFC 4422), and the account that it is about.

use std::io;

use super::{LoggedIn, Logins, Mechanism, Refused, Visitor, attempt::Attempt, slot::Slot};
use crate::{
    auth::sasl::{self, Fault, Sasl},
    store::Account,
};

/// What follows in an exchange.
#[derive(Debug)]
pub enum Step {
    /// This is sent (in base64), and the client answers.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done(LoggedIn),
}

/// One exchange of challenges and responses, already decoded from base64.
pub struct Exchange<'a> {
    pub(super) logins: &'a Logins,
    pub(super) mechanism: Mechanism,
    pub(super) binding: Option<[u8; 32]>,
    pub(super) sasl: Option<Sasl>,
    /// Whom the client claims to be, once it has said so, and what was found under the name.
    pub(super) name: String,
    pub(super) account: Option<Account>,
}

impl Exchange<'_> {
    /// The first step: with an initial response (RFC 4422 §4.3.1), or without one.
    pub async fn start(
        &mut self,
        initial: Option<&[u8]>,
        visitor: Visitor,
    ) -> Result<Step, Refused> {
        let (sasl, step) = Sasl::start(self.mechanism, initial, self.binding);
        self.sasl = Some(sasl);
        self.follow(step, None, visitor).await
    }

    /// Each following step. After a refusal there is none.
    pub async fn respond(&mut self, response: &[u8], visitor: Visitor) -> Result<Step, Refused> {
        let judges = self.sasl.as_ref().is_some_and(Sasl::judges_next);
        let logins = self.logins;
        let slot = if judges { Some(logins.admit(self.attempt(visitor)).await?) } else { None };
        let step = self.sasl.as_mut().ok_or(Refused::Malformed)?.step(response);
        self.follow(step, slot, visitor).await
    }

    /// Does what the mechanism asks for, until it is the client's turn.
    async fn follow(
        &mut self,
        step: sasl::Step,
        slot: Option<Slot<'_>>,
        visitor: Visitor,
    ) -> Result<Step, Refused> {
        let step = match step {
            sasl::Step::Find(name) => {
                self.name = name;
                let found = self.logins.find(&self.name).await?;
                let sasl = self.sasl.as_mut().ok_or(Refused::Malformed)?;
                let keyring = found.as_ref().map(|(_, keyring)| keyring);
                let step = sasl.found(keyring, &self.logins.nobody);
                self.account = found.map(|(account, _)| account);
                step
            }
            other => other,
        };
        if let sasl::Step::Failed(fault) = step {
            return Err(self.refuse(fault, slot, visitor).await);
        }
        if let Some(slot) = slot {
            slot.give_back();
        }
        match step {
            sasl::Step::Challenge(challenge) => Ok(Step::Challenge(challenge)),
            sasl::Step::Verify(plain) => {
                self.name = plain.login;
                let verified = self.logins.verify(self.attempt(visitor), &plain.password).await;
                verified.map(Step::Done)
            }
            sasl::Step::Success(identity) => {
                let account = self.account.take().ok_or(Refused::Wrong)?;
                Ok(Step::Done(self.logins.welcome(self.attempt(visitor), identity, account)))
            }
            sasl::Step::Find(_) | sasl::Step::Failed(_) => Err(Refused::Malformed),
        }
    }

    fn attempt(&self, visitor: Visitor) -> Attempt<'_> {
        Attempt { name: &self.name, mechanism: self.mechanism, visitor }
    }

    async fn refuse(&self, fault: Fault, slot: Option<Slot<'_>>, visitor: Visitor) -> Refused {
        let refused = match fault {
            Fault::Syntax | Fault::Mechanism => Refused::Malformed,
            Fault::Internal => Refused::Internal(io::Error::other(fault).into()),
            Fault::Binding | Fault::Authorization | Fault::Credentials => {
                let attempt = self.attempt(visitor);
                let slot = match slot {
                    Some(slot) => Ok(slot),
                    None => self.logins.admit(attempt).await,
                };
                return slot
                    .map_or_else(|refused| refused, |slot| self.logins.failed(attempt, slot));
            }
        };
        if let Some(slot) = slot {
            slot.give_back();
        }
        refused
    }
}
