//! The queue in a store of its own.

use std::sync::Arc;

use super::*;
use crate::{
    events::{Bus, Door, Origin},
    store::{NewContent, Options, Store},
    wire::{
        address::{Address, ReversePath},
        envelope::Body,
    },
};

const FIRST: (i64, QueueId, u32) = (0, QueueId(0), 0);

fn envelope() -> Envelope {
    Envelope {
        reverse_path: ReversePath::parse("alice@here.example").unwrap(),
        recipients: ["bob@there.example", "carol@там.example"]
            .map(|text| Address::parse(text).unwrap().into())
            .into(),
        ret: Some(Ret::Headers),
        envid: Some(EnvId::from_value("one two").unwrap()),
        body: Body::Binary,
        utf8: true,
    }
}

fn attempt(number: u32, fate: Fate) -> Attempt {
    Attempt { number, fate, reply: "4.0.0 later".into(), remote: "mx".into() }
}

async fn with_store<T: Send + 'static>(
    job: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
    let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
    let result = store.write(Origin::new(Door::House, 1_000), job).await.unwrap();
    store.close().await;
    result.into_inner()
}

fn enqueue(tx: &mut Tx<'_>) -> Result<QueueId> {
    enqueue_for(tx, None)
}

fn enqueue_for(tx: &mut Tx<'_>, account: Option<AccountId>) -> Result<QueueId> {
    let content = tx.add_content(&NewContent {
        hash: [1; 32],
        size: 2,
        header: b"\r\n".into(),
        pieces: Vec::new(),
        summary: Vec::new(),
        structure: Vec::new(),
        preview: String::new(),
        references: Vec::new(),
    })?;
    let envelope = envelope();
    let recipients: Vec<_> =
        envelope.recipients.iter().map(|to| (to, RecipientState::Waiting)).collect();
    let recipients = recipients.as_slice();
    tx.enqueue(&NewQueued { account, envelope: &envelope, recipients, content, trace: "t" })
}

#[tokio::test]
async fn what_is_queued_comes_back_as_it_was() {
    with_store(|tx| {
        let id = enqueue(tx)?;
        let message = tx.queued(id)?.unwrap();
        let mut read = message.envelope.clone();
        read.recipients = message.recipients.iter().map(|to| to.recipient.clone()).collect();
        assert_eq!(read, envelope());
        assert_eq!((message.size, message.created, message.trace.as_str()), (2, 1_000, "t"));
        assert_eq!(tx.queue_length(None)?, (0, 1));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_length_is_known_for_each_account_and_for_all() {
    with_store(|tx| {
        let alice = AccountId(7);
        let (one, two) = (enqueue_for(tx, Some(alice))?, enqueue_for(tx, Some(alice))?);
        let other = enqueue_for(tx, Some(AccountId(8)))?;
        let nobody = enqueue(tx)?;
        assert_eq!(tx.queue_length(Some(alice))?, (2, 4));
        tx.remove_queued(one)?;
        tx.settle_queued(two, &[attempt(0, Fate::StruckOff), attempt(1, Fate::StruckOff)])?;
        assert_eq!(tx.queue_length(Some(alice))?, (0, 2));
        tx.remove_queued(nobody)?;
        assert_eq!(tx.queue_length(Some(AccountId(8)))?, (1, 1));
        tx.remove_queued(other)?;
        assert_eq!(tx.queue_length(None)?, (0, 0));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_message_is_gone_with_its_last_recipient() {
    with_store(|tx| {
        let id = enqueue(tx)?;
        tx.settle_queued(id, &[attempt(1, Fate::StruckOff)])?;
        let due = tx.queue_due(1_000, FIRST, 9)?;
        assert_eq!(due.iter().map(|due| due.number).collect::<Vec<_>>(), [0]);
        tx.settle_queued(id, &[attempt(0, Fate::Report(RecipientState::Failed))])?;
        assert!(tx.queue_due(1_000, FIRST, 9)?.is_empty());
        assert_eq!(tx.queue_reports(QueueId(0), 9)?, [id]);
        tx.queue_reported(id, &[0], &[])?;
        assert!(tx.queued(id)?.is_none());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_deferred_recipient_waits_and_its_delay_is_told_once() {
    with_store(|tx| {
        let id = enqueue(tx)?;
        let later = Fate::Deferred { next_attempt: 2_000, tell: true };
        tx.settle_queued(id, &[attempt(0, later.clone()), attempt(1, Fate::StruckOff)])?;
        assert!(tx.queue_due(1_999, FIRST, 9)?.is_empty());
        assert_eq!(tx.queue_next_due(1_000)?, Some(2_000));
        assert_eq!(tx.queue_reports(QueueId(0), 9)?, [id]);
        tx.queue_reported(id, &[], &[0])?;
        tx.settle_queued(id, &[attempt(0, later)])?;
        assert!(tx.queue_reports(QueueId(0), 9)?.is_empty());
        assert_eq!(tx.queued(id)?.unwrap().recipients.first().unwrap().attempts, 2);
        assert_eq!(tx.retry_queued(None)?, 1);
        assert_eq!(tx.queue_due(1_000, FIRST, 9)?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_clock_set_back_keeps_nobody_waiting() {
    with_store(|tx| {
        let id = enqueue(tx)?;
        let far = Fate::Deferred { next_attempt: 1_000_000, tell: false };
        tx.settle_queued(id, &[attempt(0, far)])?;
        assert_eq!(tx.pull_in_queued(20_000)?, 1);
        assert_eq!(tx.queue_due(1_000, FIRST, 9)?.len(), 2);
        Ok(())
    })
    .await;
}
