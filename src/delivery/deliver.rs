//! The room that takes mail for our users: whom an address means, whether there is room, and the
//! message itself, whose store job is an [`Arrived`](super::Arrived).

use std::{sync::Arc, time::Duration};

use super::recipient::{Addressee, Quota, Refusal, resolve};
use crate::{
    events::Origin,
    ids::AccountId,
    mail::{self, Mail, Spool},
    metrics::{Count, Limit, Metrics},
    store::{self, Committed, NewTrace, Tx},
    wire::{
        address::{Address, Domain, LocalPart},
        envelope::{Envelope, Recipient},
    },
};

/// What delivery needs to know of the house.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name, for the postmaster who is addressed without a domain.
    pub hostname: Domain,
    /// Received fields of a message; more mean a loop (RFC 5321 §6.3).
    pub received_max: usize,
    /// How long mail for a full account is put off before it is refused for good.
    pub quota_refused_after: Duration,
    /// Messages in the queue; with more nobody waits there for room.
    pub queue_max: u64,
    /// Where it is counted what is delivered and refused.
    pub metrics: Arc<Metrics>,
}

/// The room that takes mail for our users; cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub(super) mail: Mail,
    pub(super) settings: Settings,
}

/// A message for users of ours.
pub struct Incoming {
    /// The id that follows it through the house.
    pub trace: String,
    /// The user who wrote it; None for who did not log in.
    pub author: Option<AccountId>,
    /// Its sender and parameters; its recipients are not looked at.
    pub envelope: Envelope,
    /// Who gets it.
    pub addressees: Vec<Addressee>,
    /// Header fields to stand in front of its own, each with its CRLF: how it came here.
    pub received: Vec<u8>,
    /// The same in words, for the trace: from whom, by which protocol.
    pub arrival: String,
    /// Its octets.
    pub message: Spool,
}

/// Whether the recipients of a message share one fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// It is kept for all of them, or for nobody.
    #[default]
    All,
    /// Each has a result of its own.
    Each,
    /// Who has no room now waits in the queue, while the others have it. When nobody has room, nobody
    /// has it.
    Later,
}

/// What became of one recipient.
pub type Outcome = Result<(), Refusal>;

/// Why a message was not delivered to anybody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipient, or the message, gets no mail here.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The message itself: too big, or our own failure; the cause goes to the log.
    #[error(transparent)]
    Mail(mail::Error),
}

impl From<mail::Error> for Error {
    fn from(error: mail::Error) -> Self {
        match error {
            mail::Error::DiskFull => Self::Refused(Refusal::DiskFull),
            other => Self::Mail(other),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        mail::Error::from(error).into()
    }
}

impl Delivery {
    /// Makes the room.
    pub fn new(mail: Mail, settings: Settings) -> Self {
        Self { mail, settings }
    }

    /// The room of mailboxes below.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Where it is counted what is delivered and refused.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.settings.metrics
    }

    /// Counts a recipient who gets no mail, and the bound that it is for.
    pub fn count_refusal(&self, refusal: Refusal) {
        let metrics = &self.settings.metrics;
        metrics.count(Count::DeliveryRefused);
        match refusal {
            Refusal::OverQuota => metrics.exceeded(Limit::Quota),
            Refusal::LongOverQuota => metrics.exceeded(Limit::QuotaRefusedAfter),
            Refusal::DiskFull => metrics.exceeded(Limit::DiskFreeMin),
            Refusal::QueueFull => metrics.exceeded(Limit::QueueMessagesMax),
            Refusal::Loop => metrics.exceeded(Limit::ReceivedFieldsMax),
            Refusal::UnknownUser
            | Refusal::UnknownDomain
            | Refusal::NoPostmaster
            | Refusal::Disabled
            | Refusal::Again => {}
        }
    }

    fn count_outcomes(&self, share: Share, delivered: &Result<Committed<Vec<Outcome>>, Error>) {
        match delivered {
            Ok(outcomes) => {
                for outcome in outcomes.iter() {
                    match outcome {
                        Ok(()) => self.settings.metrics.count(Count::Delivery),
                        // Who waits in the queue is counted there, at each attempt.
                        Err(_) if share == Share::Later => {}
                        Err(refusal) => self.count_refusal(*refusal),
                    }
                }
            }
            Err(Error::Refused(refusal)) => self.count_refusal(*refusal),
            Err(Error::Mail(_)) => self.settings.metrics.count(Count::DeliveryRefused),
        }
    }

    /// Whom an address means, and whether a message of `size` octets (0 when it was not announced)
    /// could be taken for it now. [`Refusal::UnknownDomain`] leaves it to the asker whether to relay.
    pub async fn recipient(
        &self,
        origin: Origin,
        recipient: &Recipient,
        size: u64,
    ) -> Result<Addressee, Error> {
        let found = self.look_up(origin, recipient, size).await;
        match &found {
            // Submission asks too, and may send it elsewhere.
            Ok(_) | Err(Error::Refused(Refusal::UnknownDomain) | Error::Mail(_)) => {}
            Err(Error::Refused(refusal)) => self.count_refusal(*refusal),
        }
        found
    }

    async fn look_up(
        &self,
        origin: Origin,
        recipient: &Recipient,
        size: u64,
    ) -> Result<Addressee, Error> {
        let (recipient, quota) = (recipient.clone(), self.quota());
        let hostname = self.settings.hostname.clone();
        let job = move |r: &store::Reader<'_>| {
            let addressee = resolve(r, hostname.ascii(), &recipient)??;
            for id in &addressee.accounts {
                let account = r.account_by_id(*id)?.ok_or(Refusal::UnknownUser)?;
                if let Err(refusal) = quota.check(&account, size, origin.at) {
                    let newly = account.full_since.is_none().then_some(*id);
                    return Ok::<_, Error>((addressee, Some((refusal, newly))));
                }
            }
            Ok((addressee, None))
        };
        let (addressee, refused) = self.mail.store().read(job).await?;
        if let Some((refusal, newly)) = refused {
            self.note_full(origin, newly.into_iter().collect(), size).await;
            return Err(refusal.into());
        }
        self.mail.store().check_adding()?;
        Ok(addressee)
    }

    /// How much room accounts have.
    pub fn quota(&self) -> Quota {
        let patience = self.settings.quota_refused_after.as_secs();
        Quota {
            octets: self.mail.limits().quota_octets,
            refused_after: i64::try_from(patience).unwrap_or(i64::MAX),
        }
    }

    /// Remembers since when those of these accounts are full that have no room for so many octets.
    async fn note_full(&self, origin: Origin, accounts: Vec<AccountId>, octets: u64) {
        if accounts.is_empty() {
            return;
        }
        let quota = self.quota();
        let job = move |tx: &mut Tx<'_>| {
            for id in accounts {
                let account = tx.account_by_id(id)?;
                if account.is_some_and(|account| quota.check(&account, octets, origin.at).is_err())
                {
                    tx.mark_full(id)?;
                }
            }
            Ok::<_, store::Error>(())
        };
        if let Err(error) = self.mail.store().write(origin, job).await {
            tracing::debug!(%error, "it is not remembered that an account is full");
        }
    }

    /// The house's own name.
    pub fn hostname(&self) -> &Domain {
        &self.settings.hostname
    }

    /// The postmaster who is addressed without a domain (RFC 5321 §4.5.1).
    pub fn postmaster(&self) -> Result<Address, Refusal> {
        LocalPart::parse("postmaster")
            .and_then(|local| Address::new(local, self.settings.hostname.clone()))
            .map_err(|_| Refusal::UnknownUser)
    }

    /// Delivers a message; one outcome for each addressee, in order, once it is on the disk. With
    /// [`Share::Later`] a refusal among them says why that one waits in the queue.
    ///
    /// # Errors
    /// With [`Share::All`] the first refusal of an addressee, with [`Share::Later`] one that they all
    /// share; nobody has the message then.
    pub async fn deliver(
        &self,
        origin: Origin,
        share: Share,
        incoming: Incoming,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let delivered = self.file(origin, share, incoming).await;
        self.count_outcomes(share, &delivered);
        delivered
    }

    async fn file(
        &self,
        origin: Origin,
        share: Share,
        incoming: Incoming,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let accounts: Vec<_> =
            incoming.addressees.iter().flat_map(|to| to.accounts.clone()).collect();
        let arrived = self.arrived(incoming).await?;
        let size = arrived.size();
        let filed = self.mail.store().write(origin, move |tx| arrived.hand_over(tx, share)).await;
        let full = match &filed {
            Ok(outcomes) => outcomes.contains(&Err(Refusal::OverQuota)),
            Err(error) => matches!(error, Error::Refused(Refusal::OverQuota)),
        };
        if full {
            self.note_full(origin, accounts, size).await;
        }
        filed
    }

    /// Traces that a message was refused, and why. It is no promise: when it cannot be written, the log
    /// has it.
    pub async fn trace_refusal(
        &self,
        origin: Origin,
        trace: String,
        account: Option<AccountId>,
        detail: String,
    ) {
        let job = move |tx: &mut Tx<'_>| {
            let (trace, step, detail) = (&*trace, "refused", &*detail);
            tx.trace(&NewTrace { trace, account, step, detail, ..NewTrace::default() })
        };
        if let Err(error) = self.mail.store().write::<_, store::Error, _>(origin, job).await {
            tracing::debug!(%error, "a refusal was not traced");
        }
    }

    /// Refuses a message that has been through too many servers before us (RFC 5321 §6.3).
    pub fn check_hops(&self, hops: usize) -> Result<(), Refusal> {
        if hops > self.settings.received_max { Err(Refusal::Loop) } else { Ok(()) }
    }
}
