//! Conversations: which thread a message belongs to, decided when it arrives and never changed.
//!
//! A message joins the thread of any message it refers to or that referred to it before. One that
//! would join two threads takes the older id, and no id ever changes (RFC 8474 §5.2).

use super::{
    error::{Error, Result},
    tx::Tx,
};
use crate::ids::{AccountId, ThreadId};

impl Tx<'_> {
    /// The thread of a message that names these references (hashes of Message-IDs), made if need be.
    pub fn thread(&mut self, account: AccountId, references: &[i64]) -> Result<ThreadId> {
        let mut thread: Option<ThreadId> = None;
        let mut unknown = Vec::new();
        for reference in references {
            let sql = "SELECT thread FROM reference WHERE account = ?1 AND reference = ?2";
            match self.row(sql, (account, reference), |row| row.get::<_, ThreadId>(0))? {
                Some(known) => thread = Some(thread.map_or(known, |other| other.min(known))),
                None => unknown.push(*reference),
            }
        }
        let thread = match thread {
            Some(thread) => thread,
            None => self.new_thread(account)?,
        };
        for reference in unknown {
            let sql = "INSERT INTO reference (account, reference, thread) VALUES (?1, ?2, ?3)
                ON CONFLICT DO NOTHING";
            self.execute(sql, (account, reference, thread))?;
        }
        Ok(thread)
    }

    /// A thread id that was never given before.
    pub fn new_thread(&self, account: AccountId) -> Result<ThreadId> {
        let sql = "UPDATE account SET thread_next = thread_next + 1 WHERE id = ?1
            RETURNING thread_next - 1";
        self.row(sql, [account], |row| row.get(0))?.ok_or(Error::NotFound("account"))
    }
}
