//! The outbound queue: messages on their way out, and the state of each recipient.
//!
//! A recipient waits until it is struck off, which its row's end says, or until its fate is to be
//! reported to the sender: then the row stays, in another state, until the report is stored in the
//! same transaction that ends it. So a crash loses no mail, no report, and makes none twice.

use rusqlite::{Params, Row};

use super::{
    error::{Error, Result},
    reader::Reader,
    sql::unsigned,
    tx::Tx,
};
use crate::{
    events::Kind,
    ids::{AccountId, ContentId, QueueId},
    wire::{
        address::{Address, ReversePath},
        envelope::{Body, EnvId, Envelope, Notify, Orcpt, Recipient, Ret},
    },
};

/// Stands for all accounts, and for nobody, in the table of the queue's length.
const EVERYBODY: AccountId = AccountId(-1);

/// Where a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be tried.
    Waiting,
    /// It has its mail here, and the sender is to be told so.
    Delivered,
    /// A server that does not report took its mail, and the sender is to be told so.
    Relayed,
    /// Given up, and the sender is to be told so.
    Failed,
}

impl RecipientState {
    const fn number(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Delivered => 1,
            Self::Relayed => 2,
            Self::Failed => 3,
        }
    }

    fn from_number(number: i64) -> Result<Self> {
        [Self::Waiting, Self::Delivered, Self::Relayed, Self::Failed]
            .into_iter()
            .find(|state| state.number() == number)
            .ok_or_else(|| Error::Corrupt(format!("state {number} of a queued recipient")))
    }
}

/// How far the word on a delay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayReport {
    /// There is none to give yet.
    None,
    /// The sender is to be told.
    Due,
    /// The sender was told.
    Told,
}

impl DelayReport {
    const fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Due => 1,
            Self::Told => 2,
        }
    }

    const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Due,
            _ => Self::Told,
        }
    }
}

/// A message to be queued.
#[derive(Clone, Debug)]
pub struct NewQueued<'a> {
    /// Who wrote it, when a user did.
    pub account: Option<AccountId>,
    /// Sender and parameters; its recipients are not looked at.
    pub envelope: &'a Envelope,
    /// Each recipient and where it stands.
    pub recipients: &'a [(&'a Recipient, RecipientState)],
    /// Its stored octets.
    pub content: ContentId,
    /// The id that follows the message through the house.
    pub trace: &'a str,
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Its number.
    pub id: QueueId,
    /// Who wrote it, when a user did.
    pub account: Option<AccountId>,
    /// Sender and parameters; its recipients stand in [`Queued::recipients`].
    pub envelope: Envelope,
    /// Its stored octets.
    pub content: ContentId,
    /// Their number.
    pub size: u64,
    /// The id that follows the message through the house.
    pub trace: String,
    /// When it was queued, in seconds since 1970.
    pub created: i64,
    /// Who has not got it yet, or whose fate is not reported yet.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient of a message in the queue.
#[derive(Clone, Debug)]
pub struct QueuedRecipient {
    /// Its place among the message's recipients, from 0.
    pub number: u32,
    /// Its address and what its sender asked for.
    pub recipient: Recipient,
    /// Where it stands.
    pub state: RecipientState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in seconds since 1970.
    pub next_attempt: i64,
    /// When it was tried last.
    pub last_attempt: Option<i64>,
    /// How far the word on its delay is.
    pub delay: DelayReport,
    /// What was answered last: an enhanced status code and text, one line.
    pub reply: String,
    /// Who answered; empty when nobody was reached.
    pub remote: String,
}

/// A recipient that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Since when, in seconds since 1970.
    pub at: i64,
    /// Its message.
    pub queue: QueueId,
    /// Its number there.
    pub number: u32,
    /// Its address.
    pub address: String,
}

/// What became of a recipient in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Done, and nobody is to be told.
    StruckOff,
    /// Done or given up, and the sender is to be told.
    Report(RecipientState),
    /// To be tried again.
    Deferred {
        /// When, in seconds since 1970.
        next_attempt: i64,
        /// The sender is to be told that it takes long.
        tell: bool,
    },
}

/// A recipient's outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which recipient.
    pub number: u32,
    /// What became of it.
    pub fate: Fate,
    /// What was answered: an enhanced status code and text, one line.
    pub reply: String,
    /// Who answered; empty when nobody was reached.
    pub remote: String,
}

const QUEUED: &str = "queue.id, account, sender, content, ret, envid, body, utf8, trace,
    queue.created, content.size FROM queue JOIN content ON content.id = queue.content";

fn queued(row: &Row<'_>) -> rusqlite::Result<Result<Queued>> {
    let sender: String = row.get(2)?;
    let ret: Option<String> = row.get(4)?;
    let envid: Option<String> = row.get(5)?;
    let body: i64 = row.get(6)?;
    let utf8 = row.get(7)?;
    let envelope = || {
        Some(Envelope {
            reverse_path: ReversePath::parse(&sender).ok()?,
            recipients: Vec::new(),
            ret: ret.as_deref().map(Ret::parse).transpose().ok()?,
            envid: envid.as_deref().map(EnvId::from_value).transpose().ok()?,
            body: body_from_number(body),
            utf8,
        })
    };
    let Some(envelope) = envelope() else {
        return Ok(Err(Error::Corrupt("an envelope in the queue".into())));
    };
    Ok(Ok(Queued {
        id: row.get(0)?,
        account: row.get(1)?,
        envelope,
        content: row.get(3)?,
        size: unsigned(row.get(10)?),
        trace: row.get(8)?,
        created: row.get(9)?,
        recipients: Vec::new(),
    }))
}

const fn body_number(body: Body) -> i64 {
    match body {
        Body::SevenBit => 0,
        Body::EightBit => 1,
        Body::Binary => 2,
    }
}

const fn body_from_number(number: i64) -> Body {
    match number {
        0 => Body::SevenBit,
        1 => Body::EightBit,
        _ => Body::Binary,
    }
}

fn recipient(row: &Row<'_>) -> rusqlite::Result<Result<QueuedRecipient>> {
    let address: String = row.get(1)?;
    let notify: Option<String> = row.get(2)?;
    let orcpt: Option<String> = row.get(3)?;
    let state: i64 = row.get(4)?;
    let read = || {
        Some(Recipient {
            address: Address::parse(&address).ok()?,
            notify: notify.as_deref().map(Notify::parse).transpose().ok()?,
            orcpt: orcpt.as_deref().map(Orcpt::parse).transpose().ok()?,
        })
    };
    let Some(recipient) = read() else {
        return Ok(Err(Error::Corrupt("a recipient in the queue".into())));
    };
    let state = match RecipientState::from_number(state) {
        Ok(state) => state,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(QueuedRecipient {
        number: row.get(0)?,
        recipient,
        state,
        attempts: row.get(5)?,
        next_attempt: row.get(6)?,
        last_attempt: row.get(10)?,
        delay: DelayReport::from_number(row.get(7)?),
        reply: row.get(8)?,
        remote: row.get(9)?,
    }))
}

impl Reader<'_> {
    /// A message in the queue, with its recipients.
    pub fn queued(&self, id: QueueId) -> Result<Option<Queued>> {
        let sql = format!("SELECT {QUEUED} WHERE queue.id = ?1");
        Ok(self.queued_rows(&sql, [id])?.pop())
    }

    /// At most `limit` messages of the queue behind `after`, oldest first, of one account or of all.
    pub fn queue(
        &self,
        account: Option<AccountId>,
        after: QueueId,
        limit: u32,
    ) -> Result<Vec<Queued>> {
        let sql = format!(
            "SELECT {QUEUED} WHERE (?1 IS NULL OR account = ?1) AND queue.id > ?2
             ORDER BY queue.id LIMIT ?3"
        );
        self.queued_rows(&sql, (account, after, limit))
    }

    fn queued_rows(&self, sql: &str, params: impl Params) -> Result<Vec<Queued>> {
        let found = self.rows(sql, params, queued)?;
        let mut messages = found.into_iter().collect::<Result<Vec<_>>>()?;
        let sql =
            "SELECT number, address, notify, orcpt, state, attempts, next_attempt, delay_told,
            reply, remote, last_attempt FROM queue_recipient WHERE queue = ?1 ORDER BY number";
        for message in &mut messages {
            let found = self.rows(sql, [message.id], recipient)?;
            message.recipients = found.into_iter().collect::<Result<_>>()?;
        }
        Ok(messages)
    }

    /// At most `limit` recipients that are due by `now`, longest due first, behind the one named by
    /// `after`: since when, message, number.
    pub fn queue_due(&self, now: i64, after: (i64, QueueId, u32), limit: u32) -> Result<Vec<Due>> {
        let sql = "SELECT next_attempt, queue, number, address FROM queue_recipient
            WHERE state = 0 AND next_attempt >= ?2 AND next_attempt <= ?1
            AND (next_attempt, queue, number) > (?2, ?3, ?4)
            ORDER BY next_attempt, queue, number LIMIT ?5";
        let (at, queue, number) = after;
        self.rows(sql, (now, at, queue, number, limit), |row| {
            Ok(Due {
                at: row.get(0)?,
                queue: row.get(1)?,
                number: row.get(2)?,
                address: row.get(3)?,
            })
        })
    }

    /// The first time after `now` when a recipient becomes due.
    pub fn queue_next_due(&self, now: i64) -> Result<Option<i64>> {
        let sql = "SELECT min(next_attempt) FROM queue_recipient
            WHERE state = 0 AND next_attempt > ?1";
        Ok(self.row(sql, [now], |row| row.get(0))?.flatten())
    }

    /// At most `limit` messages with a fate that is to be reported, behind `after`.
    pub fn queue_reports(&self, after: QueueId, limit: u32) -> Result<Vec<QueueId>> {
        let sql = "SELECT DISTINCT queue FROM queue_recipient
            WHERE (state <> 0 OR delay_told = 1) AND queue > ?1 ORDER BY queue LIMIT ?2";
        self.rows(sql, (after, limit), |row| row.get(0))
    }

    /// How many messages are in the queue: of this account, and in all.
    pub fn queue_length(&self, account: Option<AccountId>) -> Result<(u64, u64)> {
        let length = |account: Option<AccountId>| {
            let sql = "SELECT messages FROM queue_length WHERE account = ?1";
            Ok::<_, Error>(self.row(sql, [account], |row| row.get(0))?.map_or(0, unsigned))
        };
        Ok((length(account)?, length(Some(EVERYBODY))?))
    }
}

impl Tx<'_> {
    /// Queues a message; its recipients are due at once.
    pub fn enqueue(&mut self, new: &NewQueued<'_>) -> Result<QueueId> {
        let sql = "INSERT INTO queue
            (account, sender, content, ret, envid, body, utf8, trace, created)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let Envelope { reverse_path, ret, envid, body, utf8, .. } = new.envelope;
        let (ret, envid) = (ret.map(Ret::as_str), envid.as_ref().map(EnvId::as_str));
        let sender = reverse_path.to_string();
        let body = body_number(*body);
        let row =
            (new.account, sender, new.content, ret, envid, body, *utf8, new.trace, self.now());
        self.execute(sql, row)?;
        let id = QueueId(self.sql.last_insert_rowid());
        let sql = "INSERT INTO queue_recipient
            (queue, number, address, notify, orcpt, state, next_attempt)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        for (number, (recipient, state)) in (0_u32..).zip(new.recipients) {
            let address = recipient.address.to_string();
            let notify = recipient.notify.map(|notify| notify.to_string());
            let orcpt = recipient.orcpt.as_ref().map(Orcpt::encode);
            let row = (id, number, address, notify, orcpt, state.number(), self.now());
            self.execute(sql, row)?;
        }
        self.happened_to(new.account, Kind::QueueChange);
        Ok(id)
    }

    /// Records what an attempt made of some recipients. A message without recipients is gone.
    pub fn settle_queued(&mut self, id: QueueId, attempts: &[Attempt]) -> Result<()> {
        for attempt in attempts {
            let (state, next_attempt, tell) = match attempt.fate {
                Fate::StruckOff => {
                    let sql = "DELETE FROM queue_recipient WHERE queue = ?1 AND number = ?2";
                    self.execute(sql, (id, attempt.number))?;
                    continue;
                }
                Fate::Report(state) => (state, self.now(), false),
                Fate::Deferred { next_attempt, tell } => {
                    (RecipientState::Waiting, next_attempt, tell)
                }
            };
            let sql = "UPDATE queue_recipient SET state = ?3, attempts = attempts + 1,
                next_attempt = ?4, last_attempt = ?5, reply = ?6, remote = ?7,
                delay_told = CASE WHEN ?8 AND delay_told = 0 THEN 1 ELSE delay_told END
                WHERE queue = ?1 AND number = ?2";
            let Attempt { number, reply, remote, .. } = attempt;
            let state = state.number();
            let row = (id, number, state, next_attempt, self.now(), reply, remote, tell);
            self.execute(sql, row)?;
        }
        self.forget_if_done(id)
    }

    /// Ends the rows whose fate was reported, and remembers who was told of a delay.
    pub fn queue_reported(&mut self, id: QueueId, ended: &[u32], delayed: &[u32]) -> Result<()> {
        for number in ended {
            let sql = "DELETE FROM queue_recipient WHERE queue = ?1 AND number = ?2 AND state <> 0";
            self.execute(sql, (id, number))?;
        }
        for number in delayed {
            let sql = "UPDATE queue_recipient SET delay_told = ?3
                WHERE queue = ?1 AND number = ?2 AND delay_told = 1";
            self.execute(sql, (id, number, DelayReport::Told.number()))?;
        }
        self.forget_if_done(id)
    }

    fn forget_if_done(&mut self, id: QueueId) -> Result<()> {
        let sql = "DELETE FROM queue WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM queue_recipient WHERE queue = ?1)";
        self.execute(sql, [id])?;
        self.happened_to(None, Kind::QueueChange);
        Ok(())
    }

    /// Makes the waiting recipients of a message, or of all messages, due now; says how many.
    pub fn retry_queued(&mut self, id: Option<QueueId>) -> Result<usize> {
        let sql = "UPDATE queue_recipient SET next_attempt = ?2
            WHERE state = 0 AND next_attempt > ?2 AND (?1 IS NULL OR queue = ?1)";
        let changed = self.execute(sql, (id, self.now()))?;
        self.happened_to(None, Kind::QueueChange);
        Ok(changed)
    }

    /// Makes those due now that a wall clock set back would keep waiting beyond `latest`.
    pub fn pull_in_queued(&mut self, latest: i64) -> Result<usize> {
        let sql = "UPDATE queue_recipient SET next_attempt = ?2
            WHERE state = 0 AND next_attempt > ?1";
        self.execute(sql, (latest, self.now()))
    }

    /// Removes a message from the queue; nobody is told.
    pub fn remove_queued(&mut self, id: QueueId) -> Result<()> {
        self.execute("DELETE FROM queue_recipient WHERE queue = ?1", [id])?;
        if self.execute("DELETE FROM queue WHERE id = ?1", [id])? == 0 {
            return Err(Error::NotFound("queued message"));
        }
        self.happened_to(None, Kind::QueueChange);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        events::{Bus, Door, Origin},
        store::{NewContent, Options, Store},
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
}
