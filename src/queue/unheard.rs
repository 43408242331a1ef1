//! Mail that was refused when its author may not have been there to hear of it: a report in the author's
//! INBOX, like one on mail that failed later.

use super::dsn::{self, Notification, Report};
use crate::{
    delivery::Share,
    events::{Door, Origin},
    ids::{ContentId, QueueId},
    store::{DelayReport, Queued, QueuedRecipient, RecipientState},
    submission::{self, Answer, Author, Outgoing, Posted, Submission},
    wire::{
        address::Address,
        envelope::{Envelope, Recipient},
    },
};

/// Octets of the original's header that are kept for the report.
const HEADER_MAX: usize = 64 << 10;
/// Octets of a recipient's addresses.
const ADDRESSES: usize = 300;
/// Stands for recipients that could not be read.
const UNKNOWN: &str = "unknown@invalid";

/// A message that was not sent, to some of its recipients or to all.
pub struct Unheard {
    trace: String,
    envelope: Envelope,
    header: Vec<u8>,
    /// Who did not get it, and why.
    refused: Vec<(Recipient, String)>,
}

impl Unheard {
    /// What is to be reported of a message with this header; None when nobody was refused.
    pub fn of(trace: String, mut header: Vec<u8>, posted: &Posted) -> Option<Self> {
        let Posted { envelope, answers, outcome } = posted;
        let line = |answer: &Answer| format!("{} {}", answer.enhanced, answer.text);
        let unknown = || Address::parse(UNKNOWN).ok().map(Recipient::from);
        let mut refused = Vec::new();
        let mut known = envelope.recipients.iter().peekable();
        for (to, answer) in answers.fates() {
            let known = known.next_if(|known| known.address.to_string() == to).cloned();
            if answer.is_refusal() {
                refused.extend(known.or_else(unknown).map(|to| (to, line(answer))));
            }
        }
        if refused.is_empty() {
            let (.., answer) = answers.refusal().filter(|_| outcome.is_err())?;
            refused.push((unknown()?, line(answer)));
        }
        header.truncate(HEADER_MAX);
        header.shrink_to_fit();
        Some(Self { trace, envelope: envelope.clone(), header, refused })
    }

    /// Octets that it takes in memory, more or less.
    pub fn weight(&self) -> usize {
        let told = self.refused.iter().map(|(_, reply)| reply.len());
        let each = size_of::<(Recipient, String)>().saturating_add(ADDRESSES);
        let count = self.refused.len().saturating_add(self.envelope.recipients.len());
        told.fold(self.header.len(), usize::saturating_add)
            .saturating_add(count.saturating_mul(each))
    }

    /// Reports it to this address of the author's, `now` in seconds since 1970.
    pub async fn report(
        self,
        submission: &Submission,
        author: &Address,
        now: i64,
    ) -> Result<(), submission::Error> {
        let Self { trace, envelope, header, refused } = self;
        let recipients: Vec<_> =
            (0..).zip(refused).map(|(number, told)| failed(number, told, now)).collect();
        let envelope = Envelope { reverse_path: author.clone().into(), ..envelope };
        let message = Queued {
            id: QueueId(0),
            account: None,
            envelope,
            content: ContentId(0),
            size: 0,
            trace: trace.clone(),
            created: now,
            recipients: Vec::new(),
        };
        let notification = dsn::notification(&Report {
            hostname: submission.delivery().hostname().ascii(),
            now,
            until: now,
            message: &message,
            told: &recipients.iter().collect::<Vec<_>>(),
            header: &header,
            full: None,
            id: &format!("unsent.{trace}"),
        });
        let Some(Notification { envelope, octets }) = notification else { return Ok(()) };
        let mut spool = submission.delivery().mail().spool();
        for piece in octets.chunks(64 << 10) {
            spool.write(piece)?;
        }
        let (received, arrival) = (Vec::new(), String::new());
        let outgoing = Outgoing { trace, envelope, received, arrival, message: spool };
        let origin = Origin::new(Door::House, now);
        let _committed = submission.submit(Author::House, origin, Share::All, outgoing).await?;
        Ok(())
    }
}

fn failed(number: u32, (recipient, reply): (Recipient, String), now: i64) -> QueuedRecipient {
    QueuedRecipient {
        number,
        recipient,
        state: RecipientState::Failed,
        attempts: 0,
        next_attempt: now,
        delay: DelayReport::None,
        reply,
        remote: String::new(),
        last_attempt: None,
    }
}
