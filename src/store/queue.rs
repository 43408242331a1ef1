//! The outbound queue: messages on their way out, and the state of each recipient.
//!
//! A recipient waits until it is struck off, which its row's end says, or until its fate is to be
//! reported to the sender: then the row stays, in another state, until the report is stored in the
//! same transaction that ends it. So a crash loses no mail, no report, and makes none twice.

mod row;

use rusqlite::Params;

pub use self::row::{DelayReport, Queued, QueuedRecipient, RecipientState};
use self::row::{QUEUED, body_number, queued, recipient};

use super::{
    error::{Error, Result},
    reader::Reader,
    sql::unsigned,
    tx::Tx,
};
use crate::{
    events::Kind,
    ids::{AccountId, ContentId, QueueId},
    wire::envelope::{EnvId, Envelope, Orcpt, Recipient, Ret},
};

/// Stands for all accounts, and for nobody, in the table of the queue's length.
const EVERYBODY: AccountId = AccountId(-1);

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
mod tests;
