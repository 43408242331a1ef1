//! A message that was checked, and the store job that delivers and queues it.

use std::sync::Arc;

use super::submit::{Author, Error, Outcome, Settings, Taken};
use crate::{
    delivery::{self, Addressee, Letter, Quota, Refusal, Share},
    ids::{AccountId, ContentId, QueueId},
    mail::Prepared,
    metrics::Limit,
    store::{self, NewQueued, NewTrace, Reader, RecipientState, Tx},
    wire::envelope::{Envelope, Recipient},
};

/// Which way mail goes.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Local(Addressee),
    Remote,
}

pub(super) fn way(
    reader: &Reader<'_>,
    hostname: &str,
    recipient: &Recipient,
) -> Result<Result<Way, Refusal>, store::Error> {
    Ok(match delivery::resolve(reader, hostname, recipient)? {
        Ok(addressee) => Ok(Way::Local(addressee)),
        Err(Refusal::UnknownDomain) if recipient.address.domain().ip().is_none() => Ok(Way::Remote),
        Err(refusal) => Err(refusal),
    })
}

pub(super) fn refuse_all<T>(
    share: Share,
    envelope: &Envelope,
    results: &[Result<T, Refusal>],
) -> Result<(), Error> {
    let refused: Vec<_> = envelope
        .recipients
        .iter()
        .zip(results)
        .filter_map(|(recipient, result)| Some((recipient.clone(), *result.as_ref().err()?)))
        .collect();
    let all = share != Share::Each || refused.len() == results.len();
    if all && !refused.is_empty() { Err(Error::Refused(refused)) } else { Ok(()) }
}

/// A message that was checked and waits for its store job.
pub struct Parcel {
    pub(super) author: Author,
    pub(super) share: Share,
    pub(super) trace: String,
    pub(super) arrival: String,
    pub(super) envelope: Envelope,
    pub(super) ways: Vec<Result<Way, Refusal>>,
    pub(super) message: Prepared,
    pub(super) settings: Arc<Settings>,
    pub(super) quota: Quota,
}

impl Parcel {
    /// Delivers to those here and queues for the rest; one outcome for each recipient, in order.
    pub fn hand_over(&self, tx: &mut Tx<'_>) -> Result<Vec<Outcome>, Error> {
        if let Author::User(account) = self.author
            && !tx.count_submission(account, self.settings.messages_per_hour)?
        {
            return Err(Error::TooMany);
        }
        let Self { trace, message, quota, .. } = self;
        let author = match self.author {
            Author::User(account) => Some(account),
            Author::House => None,
        };
        let letter = Letter { trace, author, message, quota: *quota };
        if let Author::User(account) = self.author {
            delivery::received_by(tx, &self.trace, Some(account), &self.arrival)?;
        }
        let local: Vec<_> = self.ways.iter().filter_map(local).collect();
        let (kept, content) = delivery::keep(tx, &letter, &local)?;
        let mut kept = kept.into_iter();
        let mut outcomes: Vec<Outcome> = self
            .ways
            .iter()
            .map(|way| match way {
                Ok(Way::Local(_)) => kept.next().unwrap_or(Ok(())).map(|()| Taken::Delivered),
                Ok(Way::Remote) => Ok(Taken::Queued(QueueId(0))),
                Err(refusal) => Err(*refusal),
            })
            .collect();
        if self.share == Share::Later && outcomes.iter().any(Result::is_ok) {
            // Who has no room now stands in the queue.
            outcomes.iter_mut().filter(|outcome| outcome.is_err()).for_each(|outcome| {
                *outcome = Ok(Taken::Queued(QueueId(0)));
            });
        }
        refuse_all(self.share, &self.envelope, &outcomes)?;
        let Some(queued) = self.enqueue(tx, content, &outcomes)? else { return Ok(outcomes) };
        let number = |taken| match taken {
            Taken::Queued(_) => Taken::Queued(queued),
            Taken::Delivered => Taken::Delivered,
        };
        Ok(outcomes.into_iter().map(|outcome| outcome.map(number)).collect())
    }

    /// Queues the recipients elsewhere and those without room, and the word that those here have it for whom that was asked
    /// (RFC 3461 §5.2.6).
    fn enqueue(
        &self,
        tx: &mut Tx<'_>,
        content: Option<ContentId>,
        outcomes: &[Outcome],
    ) -> Result<Option<QueueId>, Error> {
        let reports = !self.envelope.reverse_path.is_null();
        let wants = |to: &Recipient| reports && to.notify.is_some_and(|notify| notify.success);
        let recipients: Vec<_> = self
            .envelope
            .recipients
            .iter()
            .zip(outcomes)
            .filter_map(|(to, outcome)| match outcome {
                Ok(Taken::Queued(_)) => Some((to, RecipientState::Waiting)),
                Ok(Taken::Delivered) if wants(to) => Some((to, RecipientState::Delivered)),
                _ => None,
            })
            .collect();
        if recipients.is_empty() {
            return Ok(None);
        }
        let account = self.check_queue(tx)?;
        let content = match content {
            Some(content) => content,
            None => tx.add_content(self.message.content())?,
        };
        let Self { envelope, trace, .. } = self;
        let id =
            tx.enqueue(&NewQueued { account, envelope, recipients: &recipients, content, trace })?;
        let detail = format!("{} recipients as {id}", recipients.len());
        let step = "queued";
        tx.trace(&NewTrace { trace, account, step, detail: &detail, ..NewTrace::default() })?;
        Ok(Some(id))
    }

    /// The queue has an end; what the house itself says still gets in.
    fn check_queue(&self, tx: &Tx<'_>) -> Result<Option<AccountId>, Error> {
        let Author::User(account) = self.author else { return Ok(None) };
        let (own, all) = tx.queue_length(Some(account))?;
        if own >= self.settings.queue_per_user_max {
            return Err(Error::QueueFull(Limit::QueueMessagesPerUserMax));
        }
        if all >= self.settings.queue_max {
            return Err(Error::QueueFull(Limit::QueueMessagesMax));
        }
        Ok(Some(account))
    }
}

fn local(way: &Result<Way, Refusal>) -> Option<&Addressee> {
    match way {
        Ok(Way::Local(addressee)) => Some(addressee),
        _ => None,
    }
}
