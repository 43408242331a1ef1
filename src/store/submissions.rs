//! When users submitted messages: the last hour of each, for the limit of it.
//!
//! It is written in the transaction that takes the message, so that neither a restart nor a failure
//! makes the count wrong.

use super::{
    error::Result,
    reader::Reader,
    sql::{signed, unsigned},
    tx::Tx,
};
use crate::ids::AccountId;

/// The window, in seconds.
const HOUR: i64 = 60 * 60;

impl Reader<'_> {
    /// How many messages an account has submitted within the hour up to `now`. A time in the future
    /// is of a clock that was set back since, and does not count.
    pub fn submissions(&self, account: AccountId, now: i64) -> Result<u64> {
        let sql = "SELECT count(*) FROM submission WHERE account = ?1 AND at > ?2 AND at <= ?3";
        let row = (account, now.saturating_sub(HOUR), now);
        Ok(self.row(sql, row, |row| row.get(0))?.map_or(0, unsigned))
    }
}

impl Tx<'_> {
    /// Counts a message in, unless the account's hour is full; says whether it did.
    pub fn count_submission(&mut self, account: AccountId, most: u64) -> Result<bool> {
        let now = self.now();
        if self.submissions(account, now)? >= most {
            return Ok(false);
        }
        let sql = "DELETE FROM submission WHERE account = ?1 AND (at <= ?2 OR at > ?3)";
        self.execute(sql, (account, now.saturating_sub(HOUR), now))?;
        self.execute("INSERT INTO submission (account, at) VALUES (?1, ?2)", (account, now))?;
        Ok(true)
    }

    /// Forgets some of what is older than an hour; says how many.
    pub(super) fn forget_submissions(&mut self, now: i64, limit: u64) -> Result<usize> {
        let sql = "DELETE FROM submission WHERE rowid IN
            (SELECT rowid FROM submission WHERE at <= ?1 LIMIT ?2)";
        self.execute(sql, (now.saturating_sub(HOUR), signed(limit)))
    }
}
