//! What happened to each message, step by step: no subject, no content. Kept for some weeks.

use super::{error::Result, reader::Reader, sql::signed, tx::Tx};
use crate::{
    events::Kind,
    ids::{AccountId, MailboxId, Uid},
};

/// A step to be recorded.
#[derive(Clone, Debug, Default)]
pub struct NewTrace<'a> {
    /// The id that follows the message through the house and stands in the log.
    pub trace: &'a str,
    /// Whose message, when that is known.
    pub account: Option<AccountId>,
    /// Where it is, when it is somewhere.
    pub place: Option<(MailboxId, Uid)>,
    /// What happened: `received`, `delivered`, `queued`, `sent`, `deferred`, `failed`, `fetched` …
    pub step: &'a str,
    /// More of it in plain words.
    pub detail: &'a str,
}

/// A recorded step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Seconds since 1970.
    pub at: i64,
    /// The id that follows the message.
    pub trace: String,
    /// Whose message.
    pub account: Option<AccountId>,
    /// What happened.
    pub step: String,
    /// More of it.
    pub detail: String,
}

impl Reader<'_> {
    /// All steps of one message, in order.
    pub fn traces(&self, trace: &str) -> Result<Vec<Trace>> {
        let sql = "SELECT at, trace, account, step, detail FROM trace WHERE trace = ?1 ORDER BY id";
        self.rows(sql, [trace], |row| {
            Ok(Trace {
                at: row.get(0)?,
                trace: row.get(1)?,
                account: row.get(2)?,
                step: row.get(3)?,
                detail: row.get(4)?,
            })
        })
    }
}

impl Tx<'_> {
    /// Records a step.
    pub fn trace(&mut self, new: &NewTrace<'_>) -> Result<()> {
        let sql = "INSERT INTO trace (at, trace, account, mailbox, uid, step, detail)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let (mailbox, uid) = new.place.unzip();
        let row = (self.now(), new.trace, new.account, mailbox, uid, new.step, new.detail);
        self.execute(sql, row)?;
        self.happened_to(new.account, Kind::Trace);
        Ok(())
    }

    /// Forgets at most `limit` steps that are older than `before`; says how many.
    pub fn forget_traces(&mut self, before: i64, limit: u64) -> Result<usize> {
        let sql = "DELETE FROM trace WHERE id IN
            (SELECT id FROM (SELECT id, at FROM trace ORDER BY id LIMIT ?2) WHERE at < ?1)";
        self.execute(sql, (before, signed(limit)))
    }
}
