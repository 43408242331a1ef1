//! Reports on what became of queued mail: each is submitted in the same store job that forgets what
//! it reports, so none is lost and none is sent twice.

use super::{
    dsn::{self, Report},
    runner::{Queue, now, origin},
};
use crate::{
    delivery::Share,
    ids::QueueId,
    store::{DelayReport, Error, Queued, QueuedRecipient, RecipientState, Want},
    submission::{self, Author, Outgoing},
    wire::envelope::Ret,
};

/// Messages with reports due that are read at once.
const PAGE: u32 = 100;
/// Octets of a message that is returned whole; of a larger one the header is returned.
const WHOLE_MAX: u64 = 1 << 20;

/// Makes all reports that are due. One that can't be made is left for the next time.
pub(super) async fn all(queue: &Queue) -> Result<(), Error> {
    let mut after = QueueId(0);
    loop {
        let page = queue.mail.store().read(move |r| r.queue_reports(after, PAGE)).await?;
        let Some(last) = page.last().copied() else { return Ok(()) };
        after = last;
        for id in page {
            let Some(message) = queue.mail.store().read(move |r| r.queued(id)).await? else {
                continue;
            };
            if let Err(error) = report(queue, &message).await {
                tracing::error!(%error, queue = %id, "a report cannot be made now");
            }
        }
    }
}

async fn report(queue: &Queue, message: &Queued) -> Result<(), submission::Error> {
    let ended = |to: &&QueuedRecipient| to.state != RecipientState::Waiting;
    let delayed =
        |to: &&QueuedRecipient| to.state == RecipientState::Waiting && to.delay == DelayReport::Due;
    let number = |to: &QueuedRecipient| to.number;
    let recipients = &message.recipients;
    let told: Vec<&QueuedRecipient> =
        recipients.iter().filter(|to| ended(to) || delayed(to)).collect();
    let ended: Vec<u32> = recipients.iter().filter(ended).map(number).collect();
    let delayed: Vec<u32> = recipients.iter().filter(delayed).map(number).collect();

    let wants_whole = message.envelope.ret == Some(Ret::Full)
        && told.iter().any(|to| to.state == RecipientState::Failed);
    let octets_up_to = if wants_whole { WHOLE_MAX } else { 0 };
    let want = Want { header: true, octets_up_to, ..Want::default() };
    let parts = queue.mail.contents(vec![message.content], want).await?.pop();
    let parts = parts.transpose()?.unwrap_or_default();

    let bounce = message.envelope.reverse_path.is_null();
    let id = format!("{}.{}", message.trace, now());
    let notification = dsn::notification(&Report {
        hostname: &queue.ways.hostname,
        now: now(),
        until: queue.settings.schedule.end(message.created, bounce),
        message,
        told: &told,
        header: &parts.header,
        full: parts.octets.as_deref(),
        id: &id,
    });
    let mut parcel = None;
    if let Some(notification) = notification {
        let mut spool = queue.mail.spool();
        spool.write(&notification.octets)?;
        let outgoing = Outgoing {
            trace: message.trace.clone(),
            envelope: notification.envelope,
            received: Vec::new(),
            message: spool,
        };
        parcel = Some(queue.submission.parcel(Author::House, now(), Share::Each, outgoing).await?);
    }
    let id = message.id;
    let job = move |tx: &mut crate::store::Tx<'_>| {
        if let Some(parcel) = &parcel {
            for refusal in parcel.hand_over(tx)?.into_iter().filter_map(Result::err) {
                tracing::warn!(queue = %id, reason = %refusal, "a report was refused");
            }
        }
        tx.queue_reported(id, &ended, &delayed)?;
        Ok::<_, submission::Error>(())
    };
    queue.mail.store().write(origin(), job).await?.into_inner();
    Ok(())
}
