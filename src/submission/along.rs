//! What the store keeps beside a message that is sent, by the very job that delivers and queues it: the
//! author's copy, and in the mailbox where the message lies its flags and what became of it.

use super::{
    answers::Answers,
    parcel::Parcel,
    submit::{Author, Error, Outcome, Submission},
};
use crate::{
    events::Origin,
    flags::Flags,
    ids::{AccountId, SendingId},
    mail::{self, Appended, Draft, Kept, Limits, Prepared, Turn},
    store::{self, Tx},
};

/// What is kept beside what is sent.
#[derive(Clone, Debug, Default)]
pub struct Along {
    /// Where the author wants a copy, `\Seen` and with its Bcc.
    pub copy_to: Option<CopyTo>,
    /// The message in a mailbox that is sent.
    pub source: Option<Source>,
}

/// A mailbox that gets a copy.
#[derive(Clone, Debug)]
pub struct CopyTo {
    /// Who wants it.
    pub by: AccountId,
    /// The mailbox, as this user names it.
    pub name: String,
}

/// How a message is sent that lies in a mailbox.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is named along with a submission: what became of it is said where its user may change it.
    Named(Draft),
    /// It is the thing that is sent, and is marked so if its mailbox is open for that.
    Sent {
        /// The message.
        draft: Draft,
        /// Is it open for that?
        writes: bool,
    },
    /// Its user has asked the house to send it, and the house has claimed it.
    Claimed {
        /// The message.
        draft: Draft,
        /// The row that says so; it ends with this.
        id: SendingId,
    },
}

/// What became of a message that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// One outcome for each recipient, in order.
    pub outcomes: Vec<Outcome>,
    /// Where the copy is.
    pub copy: Option<Appended>,
}

impl Source {
    pub(super) fn draft(&self) -> &Draft {
        match self {
            Self::Named(draft) | Self::Sent { draft, .. } | Self::Claimed { draft, .. } => draft,
        }
    }

    fn turn(&self) -> Turn {
        match self {
            Self::Named(_) => Turn::default(),
            Self::Sent { .. } | Self::Claimed { .. } => Turn::SENT,
        }
    }

    /// Spares the work for what the store job would refuse.
    pub(super) fn check_flags(&self) -> Result<(), Error> {
        match self {
            Self::Sent { draft, .. } if was_sent(draft.flags) => Err(Error::AlreadySubmitted),
            _ => Ok(()),
        }
    }

    /// Refuses what was sent from there before, or will be.
    fn check(&self, tx: &Tx<'_>, by: AccountId) -> Result<(), Error> {
        let (draft, writes) = match self {
            Self::Named(_) => return Ok(()),
            Self::Claimed { draft, id } => {
                // Whoever took it back, or a right away, came first.
                let is_mine = Draft::asked_for(tx, by, draft.mailbox.id, draft.uid)?.is_some();
                let is_there = is_mine && tx.is_claimed(*id)?;
                return if is_there { Ok(()) } else { Err(Error::Withdrawn) };
            }
            Self::Sent { draft, writes } => (draft, writes),
        };
        let (flags, may_write) = draft.now(tx)?.ok_or(Error::Gone)?;
        if was_sent(flags) {
            return Err(Error::AlreadySubmitted);
        }
        // Where that can't be told it would be sent twice.
        if flags.contains(Flags::QUEUED) && !(*writes && may_write) {
            return Err(Error::Queued);
        }
        Ok(())
    }

    fn tell(&self, tx: &mut Tx<'_>, by: AccountId, turn: Turn, status: &str) -> mail::Result<()> {
        match self {
            Self::Sent { writes: false, .. } => Ok(()),
            // It may be gone: what was named is sent all the same.
            Self::Named(draft) if draft.now(tx)?.is_none() => Ok(()),
            Self::Named(draft) | Self::Sent { draft, .. } => draft.tell(tx, by, turn, status),
            Self::Claimed { draft, id } => {
                tx.end_sending(*id)?;
                mail::tell_by_house(tx, (draft.mailbox.id, draft.uid), by, turn, status)
            }
        }
    }
}

/// Was a message that is marked so sent before? Who claims it first marks it with both (RFC 5550 §5.10).
pub(super) fn was_sent(flags: Flags) -> bool {
    flags.contains(Flags::SUBMITTED) && !flags.contains(Flags::SUBMIT_PENDING)
}

/// The store job of one message.
pub(super) struct Handover {
    parcel: Parcel,
    copy: Option<Kept>,
    source: Option<Source>,
    limits: Limits,
}

impl Handover {
    pub(super) fn new(
        parcel: Parcel,
        copy: Option<Prepared>,
        along: Along,
        limits: &Limits,
    ) -> Self {
        let copy = along.copy_to.zip(copy);
        let copy = copy.map(|(to, message)| Kept { by: to.by, name: to.name, message });
        Self { parcel, copy, source: along.source, limits: *limits }
    }

    pub(super) fn run(&self, tx: &mut Tx<'_>) -> Result<Sent, Error> {
        if let (Some(source), Author::User(by)) = (&self.source, self.parcel.author) {
            source.check(tx, by)?;
        }
        let outcomes = self.parcel.hand_over(tx)?;
        let keep = |copy: &Kept, tx: &mut Tx<'_>| copy.keep(tx, &self.limits).map_err(Error::Copy);
        let copy = self.copy.as_ref().map(|copy| keep(copy, tx)).transpose()?;
        if let (Some(source), Author::User(by)) = (&self.source, self.parcel.author) {
            let status = Answers::of(&self.parcel.envelope, Ok(&outcomes));
            let status = status.status(self.limits.metadata_value);
            source.tell(tx, by, source.turn(), &status)?;
        }
        Ok(Sent { outcomes, copy })
    }
}

impl Submission {
    /// Says with a message in a mailbox why it was not sent. It is no promise: when it can't be written,
    /// the log has it.
    pub async fn tell_unsent(
        &self,
        by: AccountId,
        origin: Origin,
        source: Source,
        answers: &Answers,
    ) {
        let status = answers.status(self.delivery().mail().limits().metadata_value);
        let uid = source.draft().uid;
        // Its own session is told too: it could not know of this.
        let origin = Origin { session: None, ..origin };
        let job = move |tx: &mut Tx<'_>| source.tell(tx, by, Turn::default(), &status);
        let store = self.delivery().mail().store();
        if let Err(error) = store.write::<_, mail::Error, _>(origin, job).await {
            let gone = matches!(
                error,
                mail::Error::NoMailbox | mail::Error::Internal(store::Error::Closed)
            );
            if !gone {
                tracing::warn!(%error, %uid, "it is not said of a message that it was not sent");
            }
        }
    }
}
