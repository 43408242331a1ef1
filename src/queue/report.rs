//! Makes reports of what is to be told, and hands each over in the same commit that ends its rows.

use super::{
    Inner,
    dsn::{self, Notification},
};
use crate::{
    delivery::Share,
    events::{Door, Origin},
    ids::QueueId,
    ids::trace_id,
    mail,
    store::{self, DelayReport, Queued, QueuedRecipient, RecipientState, Want},
    submission::{self, Author, Outgoing, Parcel},
    wire::envelope::Ret,
};

/// How many messages one look brings.
const PAGE: u32 = 100;
/// Originals up to this size are returned whole, when that was asked for.
const FULL_MAX: u64 = 1 << 20;

/// Reports all there is to report; whether all of it could be done.
pub(super) async fn all(inner: &Inner) -> bool {
    let mut after = QueueId(0);
    let mut all = true;
    loop {
        let Ok(found) = inner.store().read(move |r| r.queue_reports(after, PAGE)).await else {
            return false;
        };
        let Some(last) = found.last() else { return all };
        after = *last;
        for id in found {
            if let Err(error) = one(inner, id).await {
                tracing::error!(%error, queue = %id, "cannot report to a sender");
                all = false;
            }
        }
    }
}

/// Reports on one message.
async fn one(inner: &Inner, id: QueueId) -> Result<(), submission::Error> {
    let Some(message) = inner.store().read(move |r| r.queued(id)).await? else { return Ok(()) };
    let told: Vec<_> = message.recipients.iter().filter(|to| is_due(to)).collect();
    let number = |to: &&QueuedRecipient| to.number;
    let (ended, delayed): (Vec<_>, Vec<_>) =
        told.iter().copied().partition(|to| to.state != RecipientState::Waiting);
    let (ended, delayed): (Vec<_>, Vec<_>) =
        (ended.iter().map(number).collect(), delayed.iter().map(number).collect());
    let notification = write(inner, &message, &told).await?;
    let lines: Vec<_> = told.iter().map(|to| (to.recipient.address.clone(), to.state)).collect();
    let (heard, trace) = (notification.is_some(), message.trace.clone());
    let parcel = match notification {
        Some(notification) => parcel(inner, &message, notification).await?,
        None => None,
    };
    let origin = Origin::new(Door::House, inner.now());
    let job = inner.store().write(origin, move |tx| {
        // Somebody else may have told it meanwhile, or the owner removed it.
        let open = tx.queued(id)?.map(|message| message.recipients).unwrap_or_default();
        let open: Vec<_> = open.iter().filter(|to| is_due(to)).map(|to| to.number).collect();
        if !ended.iter().chain(&delayed).all(|number| open.contains(number)) {
            return Ok(());
        }
        if let Some(parcel) = parcel {
            match parcel.hand_over(tx) {
                Ok(_) => {}
                Err(submission::Error::Refused(_)) => unheard(id),
                Err(error) => return Err(error),
            }
        }
        Ok::<_, submission::Error>(tx.queue_reported(id, &ended, &delayed)?)
    });
    let _committed = job.await?;
    for (about, state) in lines {
        tracing::info!(trace, queue = %id, %about, ?state, heard, "reported");
    }
    Ok(())
}

fn is_due(to: &QueuedRecipient) -> bool {
    to.state != RecipientState::Waiting || to.delay == DelayReport::Due
}

async fn write(
    inner: &Inner,
    message: &Queued,
    told: &[&QueuedRecipient],
) -> Result<Option<Notification>, mail::Error> {
    let mail = inner.submission.delivery().mail();
    let whole = message.envelope.ret == Some(Ret::Full)
        && message.size <= FULL_MAX
        && told.iter().any(|to| to.state == RecipientState::Failed);
    let want =
        Want { header: true, octets_up_to: if whole { FULL_MAX } else { 0 }, ..Want::default() };
    let original = match mail.contents(vec![message.content], want).await?.pop().transpose() {
        Ok(original) => original.unwrap_or_default(),
        // A report without the original is better than none.
        Err(mail::Error::Damaged(_)) => store::ContentParts::default(),
        Err(error) => return Err(error),
    };
    let (now, schedule) = (inner.now(), &inner.settings.schedule);
    let at = jiff::Timestamp::from_second(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Ok(dsn::notification(&dsn::Report {
        hostname: &inner.settings.hostname,
        now,
        until: schedule.end(message.created, false),
        message,
        told,
        header: &original.header,
        full: original.octets.as_deref(),
        // Several reports may be due about one message within a second.
        id: &format!("report.{}.{}", message.trace, trace_id(at)),
    }))
}

/// The report, ready to be handed over; None when there is nobody who would take it.
async fn parcel(
    inner: &Inner,
    message: &Queued,
    notification: Notification,
) -> Result<Option<Parcel>, submission::Error> {
    let Notification { envelope, octets } = notification;
    let mut spool = inner.submission.delivery().mail().spool();
    for piece in octets.chunks(64 << 10) {
        spool.write(piece)?;
    }
    let (trace, received, arrival) = (message.trace.clone(), Vec::new(), String::new());
    let outgoing = Outgoing { trace, envelope, received, arrival, message: spool };
    match inner.submission.parcel(Author::House, inner.now(), Share::Each, outgoing).await {
        Ok(parcel) => Ok(Some(parcel)),
        Err(submission::Error::Refused(_)) => {
            unheard(message.id);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn unheard(id: QueueId) {
    tracing::warn!(queue = %id, "the sender takes no report");
}
