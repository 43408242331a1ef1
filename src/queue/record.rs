//! What became of recipients, written down: their rows, the trace, the log and the counters.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use tokio::time::sleep;

use super::{
    Inner,
    answer::{Answer, Class},
    fate::{self, Circumstances},
};
use crate::{
    events::{Door, Origin},
    metrics::{Count, Limit, Metrics},
    store::{self, Attempt, Fate, NewTrace, Queued, QueuedRecipient, RecipientState, Tx},
};

/// Pauses between attempts to record what must not be forgotten.
pub(super) const RECORD_AGAIN: Duration = Duration::from_secs(1);
const RECORD_AGAIN_MAX: Duration = Duration::from_mins(1);

/// What became of a recipient.
pub(super) struct Told {
    pub(super) answer: Answer,
    /// What the sender can be told of a success; None when who took the mail reports it.
    pub(super) success: Option<RecipientState>,
}

impl Told {
    /// Our own finding, which is no success.
    pub(super) fn own(answer: Answer) -> Self {
        Self { answer, success: None }
    }

    /// Another server's word; it may report to the sender itself (RFC 3461 §5.2.1).
    pub(super) fn by_hop(answer: Answer, reports: bool) -> Self {
        Self { answer, success: (!reports).then_some(RecipientState::Relayed) }
    }

    /// The word of our own mailboxes.
    pub(super) fn by_house(answer: Answer) -> Self {
        Self { answer, success: Some(RecipientState::Delivered) }
    }
}

/// What is to be written down of an attempt.
pub(super) struct Record {
    attempts: Vec<Attempt>,
    lines: Vec<Line>,
}

/// The same of one recipient in words.
struct Line {
    step: &'static str,
    address: String,
    remote: String,
    class: Class,
}

impl Record {
    /// What some recipients of a message were told.
    pub(super) fn new(
        message: &Queued,
        due: &[&QueuedRecipient],
        told: &[Told],
        around: Circumstances<'_>,
    ) -> Self {
        let both = || due.iter().zip(told);
        let attempts: Vec<_> =
            both().map(|(to, told)| fate::attempt(message, to, told, around)).collect();
        let lines = both().zip(&attempts);
        let lines = lines.map(|((to, told), attempt)| Line::new(to, told, attempt)).collect();
        Self { attempts, lines }
    }

    /// Writes the rows and the trace, within a store job.
    pub(super) fn write(&self, tx: &mut Tx<'_>, message: &Queued) -> Result<(), store::Error> {
        tx.settle_queued(message.id, &self.attempts)?;
        let (account, trace) = (message.account, message.trace.as_str());
        for (Line { step, address, remote, .. }, attempt) in self.lines.iter().zip(&self.attempts) {
            // A delivery has left its trace already, in the account that has the mail.
            if *step != "delivered" {
                let detail = format!("{address} at {remote}: {}", attempt.reply);
                tx.trace(&NewTrace {
                    trace,
                    account,
                    step,
                    detail: &detail,
                    ..NewTrace::default()
                })?;
            }
        }
        Ok(())
    }

    /// Logs and counts it.
    pub(super) fn tell(&self, message: &Queued, metrics: &Metrics) {
        for (line, attempt) in self.lines.iter().zip(&self.attempts) {
            let Line { step, address, remote, class } = line;
            let reply = &attempt.reply;
            tracing::info!(
                trace = message.trace, queue = %message.id, to = %address, remote, reply, "{step}"
            );
            metrics.count(match *step {
                "delivered" => Count::Delivery,
                "sent" => Count::Sent,
                "deferred" => Count::Deferred,
                _ => Count::Failed,
            });
            let given_up = !matches!(attempt.fate, Fate::Deferred { .. });
            if *class == Class::Temporary && given_up {
                let bounce = message.envelope.reverse_path.is_null();
                let limit = if bounce { Limit::QueueBounceLife } else { Limit::QueueLife };
                metrics.exceeded(limit);
            }
        }
    }
}

impl Line {
    fn new(to: &QueuedRecipient, told: &Told, attempt: &Attempt) -> Self {
        let class = told.answer.class();
        let step = match (class, told.success, &attempt.fate) {
            (Class::Success, Some(RecipientState::Delivered), _) => "delivered",
            (Class::Success, ..) => "sent",
            (_, _, Fate::Deferred { .. }) => "deferred",
            _ => "failed",
        };
        let remote = told.answer.remote.clone().unwrap_or_else(|| "-".to_owned());
        Self { step, address: to.recipient.address.to_string(), remote, class }
    }
}

impl Inner {
    /// Records what became of some recipients; it goes on trying, since a yes must not be forgotten.
    pub(super) async fn record(&self, message: &Queued, due: &[&QueuedRecipient], told: &[Told]) {
        let now = self.now();
        let schedule = &self.settings.schedule;
        let around = Circumstances { schedule, now, jitter: jitter() };
        let record = Arc::new(Record::new(message, due, told, around));
        record.tell(message, self.submission.delivery().metrics());
        let message = Arc::new(message.clone());
        let mut pause = RECORD_AGAIN;
        loop {
            let (record, message, id) = (Arc::clone(&record), Arc::clone(&message), message.id);
            let job = move |tx: &mut Tx<'_>| record.write(tx, &message);
            match self.store().write(Origin::new(Door::House, now), job).await {
                Ok(_) | Err(store::Error::Closed | store::Error::SyncFailed) => return,
                Err(error) => tracing::error!(%error, queue = %id, "cannot record an attempt"),
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(RECORD_AGAIN_MAX);
        }
    }
}

/// Spreads attempts; without random numbers they stand together.
pub(super) fn jitter() -> u8 {
    let mut random = [0];
    let _ = rand::fill(&mut random);
    let [jitter] = random;
    jitter
}
