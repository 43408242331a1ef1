//! Recipients in this very house who had no room at first: as soon as they have, one store job delivers
//! to them and ends their rows, so that a crash can neither lose their mail nor give it twice.

use super::{
    Inner,
    answer::{Answer, Status},
    fate::Circumstances,
    record::{Record, Told, jitter},
};
use crate::{
    delivery::{self, Addressee, Arrived, Incoming, Refusal},
    events::{Door, Origin},
    mail::{self, Spool},
    store::{self, Queued, QueuedRecipient, RecipientState, Tx},
};

/// Delivers a message to some of its recipients here, or records why that can't be done now.
pub(super) async fn serve(inner: &Inner, message: &Queued, due: &[&QueuedRecipient]) {
    let origin = Origin::new(Door::House, inner.now());
    let (mut welcome, mut addressees) = (Vec::new(), Vec::new());
    let (mut refused, mut told) = (Vec::new(), Vec::new());
    for to in due {
        let room = inner.submission.delivery();
        match room.recipient(origin, &to.recipient, message.size).await {
            Ok(addressee) => {
                welcome.push(*to);
                addressees.push(addressee);
            }
            Err(error) => {
                refused.push(*to);
                told.push(Told::own(answer(&error)));
            }
        }
    }
    if !refused.is_empty() {
        inner.record(message, &refused, &told).await;
    }
    if welcome.is_empty() {
        return;
    }
    if let Err(error) = deliver(inner, origin, message, &welcome, addressees).await {
        let told: Vec<_> = welcome.iter().map(|_| Told::own(answer(&error))).collect();
        inner.record(message, &welcome, &told).await;
    }
}

/// One store job: a place in each mailbox, and the end of each row.
async fn deliver(
    inner: &Inner,
    origin: Origin,
    message: &Queued,
    due: &[&QueuedRecipient],
    addressees: Vec<Addressee>,
) -> Result<(), delivery::Error> {
    let arrived = arrived(inner, message, addressees).await?;
    let (message, schedule) = (message.clone(), inner.settings.schedule.clone());
    let due: Vec<_> = due.iter().map(|to| (*to).clone()).collect();
    let job = move |tx: &mut Tx<'_>| {
        let open = tx.queued(message.id)?.map(|message| message.recipients).unwrap_or_default();
        let waits = |to: &QueuedRecipient| {
            let row = open.iter().find(|row| row.number == to.number);
            row.is_some_and(|row| row.state == RecipientState::Waiting)
        };
        if !due.iter().all(waits) {
            // The owner has removed it meanwhile; whoever still waits is due again.
            return Ok(None);
        }
        let told: Vec<_> = arrived.hand_over_late(tx)?.into_iter().map(outcome).collect();
        let around = Circumstances { schedule: &schedule, now: origin.at, jitter: jitter() };
        let due: Vec<_> = due.iter().collect();
        let record = Record::new(&message, &due, &told, around);
        record.write(tx, &message)?;
        Ok::<_, delivery::Error>(Some((record, message)))
    };
    if let Some((record, message)) = inner.store().write(origin, job).await?.into_inner() {
        record.tell(&message, inner.submission.delivery().metrics());
    }
    Ok(())
}

/// The message as it stands in the queue, ready to be delivered.
async fn arrived(
    inner: &Inner,
    message: &Queued,
    addressees: Vec<Addressee>,
) -> Result<Arrived, delivery::Error> {
    let room = inner.submission.delivery();
    let mut spool = Spool::new(inner.store(), message.size);
    let mut octets = room.mail().octets(message.content, 0..message.size);
    while let Some(piece) = octets.next().await {
        spool.write(&piece?)?;
    }
    let incoming = Incoming {
        trace: message.trace.clone(),
        author: message.account,
        envelope: message.envelope.clone(),
        addressees,
        received: Vec::new(),
        arrival: String::new(),
        message: spool,
    };
    room.arrived_before(incoming).await
}

fn outcome(outcome: delivery::Outcome) -> Told {
    match outcome {
        Ok(()) => Told::by_house(Answer::own(Status(2, 0, 0), "delivered")),
        Err(refusal) => Told::own(refused(refusal)),
    }
}

fn answer(error: &delivery::Error) -> Answer {
    match error {
        delivery::Error::Refused(refusal) => refused(*refusal),
        delivery::Error::Mail(mail::Error::Internal(
            cause @ (store::Error::Closed | store::Error::SyncFailed),
        )) => Answer::own(Status(4, 3, 2), cause.to_string()),
        delivery::Error::Mail(error) => {
            tracing::error!(%error, "a queued message could not be delivered here");
            Answer::own(Status(4, 3, 0), "a failure of this server")
        }
    }
}

fn refused(refusal: Refusal) -> Answer {
    let status = match refusal {
        Refusal::OverQuota => Status(4, 2, 2),
        Refusal::LongOverQuota => Status(5, 2, 2),
        Refusal::DiskFull | Refusal::QueueFull => Status(4, 3, 1),
        // The domain went elsewhere while its mail waited: the next look sends it there.
        Refusal::NoPostmaster | Refusal::UnknownDomain => Status(4, 3, 5),
        Refusal::UnknownUser => Status(5, 1, 1),
        Refusal::Disabled => Status(5, 2, 1),
        Refusal::Loop | Refusal::Again => Status(5, 4, 6),
    };
    Answer::own(status, refusal.to_string())
}
