//! What happened to each message, step by step: no subject, no content. Kept for some weeks.

use super::{error::Result, reader::Reader, sql::signed, tx::Tx};
use crate::{
    events::Kind,
    ids::{AccountId, ContentId, MailboxId, Uid},
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
    /// What it holds, when it was put into a mailbox.
    pub content: Option<ContentId>,
    /// What happened: `received`, `delivered`, `queued`, `sent`, `deferred`, `failed`, `refused`,
    /// `fetched` …
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

    /// Which mailboxes these octets were put into, as this message.
    pub fn delivered(&self, trace: &str, content: ContentId) -> Result<Vec<MailboxId>> {
        let sql = "SELECT mailbox FROM trace WHERE content = ?2 AND trace = ?1
            AND step = 'delivered' AND mailbox IS NOT NULL";
        self.rows(sql, (trace, content), |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Records a step.
    pub fn trace(&mut self, new: &NewTrace<'_>) -> Result<()> {
        let sql = "INSERT INTO trace (at, trace, account, mailbox, uid, content, step, detail)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let NewTrace { trace, account, content, step, detail, .. } = *new;
        let (mailbox, uid) = new.place.unzip();
        let row = (self.now(), trace, account, mailbox, uid, content, step, detail);
        self.execute(sql, row)?;
        self.happened_to(new.account, Kind::Trace);
        Ok(())
    }

    /// Records that a message that was delivered here was fetched, unless that is known of this fetcher:
    /// a few words that say who it was. Says whether it was new.
    pub fn trace_fetched(
        &mut self,
        account: AccountId,
        content: ContentId,
        fetcher: &str,
    ) -> Result<bool> {
        let sql = "INSERT INTO trace (at, trace, account, content, step, detail)
            SELECT ?1, trace, ?2, ?3, 'fetched', ?4 FROM trace
            WHERE content = ?3 AND step = 'delivered' AND NOT EXISTS
                (SELECT 1 FROM trace WHERE content = ?3 AND step = 'fetched'
                 AND account = ?2 AND detail = ?4)
            ORDER BY id DESC LIMIT 1";
        let new = self.execute(sql, (self.now(), account, content, fetcher))? > 0;
        if new {
            self.happened_to(Some(account), Kind::Trace);
        }
        Ok(new)
    }

    /// Forgets at most `limit` steps that are older than `before`; says how many.
    pub fn forget_traces(&mut self, before: i64, limit: u64) -> Result<usize> {
        let sql = "DELETE FROM trace WHERE id IN
            (SELECT id FROM (SELECT id, at FROM trace ORDER BY id LIMIT ?2) WHERE at < ?1)";
        self.execute(sql, (before, signed(limit)))
    }
}
