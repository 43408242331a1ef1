//! Expunging, and the log of it.
//!
//! An expunged message leaves a tombstone for a day, so that sessions that were not told yet can
//! still fetch it; then it is folded into ranges of UIDs. Of a log that grows too long the oldest
//! entries are forgotten, and the mailbox remembers from which mod-sequence on it is whole: who asks
//! for more is told so, and never gets less than what happened (RFC 7162 §5.3).

use super::{
    error::Result,
    mailboxes::MailboxRow,
    messages::{ENTRY, Tally, entry},
    reader::Reader,
    sql::signed,
    tx::Tx,
};
use crate::{
    events::{Entry, Kind},
    ids::{MailboxId, ModSeq, Uid},
};

impl Reader<'_> {
    /// A message that was expunged less than a day ago.
    pub fn tombstone(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Entry>> {
        let sql = format!("SELECT {ENTRY} FROM tombstone WHERE mailbox = ?1 AND uid = ?2");
        self.row(&sql, (mailbox, uid), entry)
    }

    /// Ranges of UIDs (first, last) that were expunged after `since`, in no order, perhaps touching;
    /// None when the log does not reach back so far.
    pub fn vanished(&self, mailbox: MailboxId, since: ModSeq) -> Result<Option<Vec<(Uid, Uid)>>> {
        let sql = "SELECT log_from FROM mailbox WHERE id = ?1";
        let log_from: Option<ModSeq> = self.row(sql, [mailbox], |row| row.get(0))?;
        if log_from.is_none_or(|from| since < from) {
            return Ok(None);
        }
        let sql = "SELECT first, last FROM vanished WHERE mailbox = ?1 AND mod_seq > ?2
            UNION ALL SELECT uid, uid FROM tombstone WHERE mailbox = ?1 AND mod_seq > ?2";
        self.rows(sql, (mailbox, since), |row| Ok((row.get(0)?, row.get(1)?))).map(Some)
    }

    /// Mailboxes whose log, kept in this table, holds more ranges than this.
    pub(super) fn long_logs(&self, table: &'static str, most: usize) -> Result<Vec<MailboxId>> {
        let sql = format!("SELECT mailbox FROM {table} GROUP BY mailbox HAVING count(*) > ?1");
        self.rows(&sql, [signed(most as u64)], |row| row.get(0))
    }

    /// Of a log of which so many ranges shall be kept: the newest change that is forgotten when at
    /// most about `limit` ranges go at once, and in the end.
    pub(super) fn oldest(
        &self,
        table: &'static str,
        mailbox: MailboxId,
        keep: usize,
        limit: usize,
    ) -> Result<Option<(ModSeq, ModSeq)>> {
        let nth = |order: &str, n: usize| {
            let sql = format!(
                "SELECT mod_seq FROM {table} WHERE mailbox = ?1 ORDER BY mod_seq {order}
                 LIMIT 1 OFFSET ?2"
            );
            self.row(&sql, (mailbox, signed(n as u64)), |row| row.get::<_, ModSeq>(0))
        };
        let Some(last) = nth("DESC", keep)? else { return Ok(None) };
        let step = nth("ASC", limit)?.map_or(last, |step| step.min(last));
        Ok(Some((step, last)))
    }
}

impl Tx<'_> {
    /// Expunges messages for good; UIDs that are not there are passed over. Gives those that were.
    pub fn expunge(&mut self, mailbox: &MailboxRow, uids: &[Uid]) -> Result<Vec<Uid>> {
        let mut gone = Vec::new();
        let mut tally = Tally::default();
        let mut taken = None;
        for uid in uids {
            let Some(entry) = self.message(mailbox.id, *uid)? else { continue };
            let mod_seq = match taken {
                Some(mod_seq) => mod_seq,
                None => *taken.insert(self.next_mod_seq(mailbox.account)?),
            };
            let sql = "INSERT INTO tombstone SELECT mailbox, uid, ?3, flags, keywords, content,
                thread, internal_date, save_date, size, ?4 FROM message
                WHERE mailbox = ?1 AND uid = ?2";
            self.execute(sql, (mailbox.id, *uid, mod_seq, self.now()))?;
            let sql = "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2";
            self.execute(sql, (mailbox.id, *uid))?;
            tally.count(entry.marks, entry.size, -1);
            gone.push(*uid);
        }
        if let Some(mod_seq) = taken {
            self.forget_annotations_of(mailbox.id, &gone)?;
            self.forget_sending(mailbox.id, &gone)?;
            self.add_tally(mailbox.account, mailbox.id, tally, mod_seq)?;
            let kind = Kind::MessageExpunge(gone.as_slice().into());
            self.happened(mailbox.account, mailbox.id, mod_seq, kind);
        }
        Ok(gone)
    }

    /// Folds at most `limit` tombstones that are older than `before` into ranges; says how many.
    pub fn fold_tombstones(&mut self, before: i64, limit: u64) -> Result<usize> {
        let sql = "SELECT mailbox, mod_seq, uid FROM tombstone WHERE expunged < ?1
            ORDER BY expunged, mailbox, mod_seq, uid LIMIT ?2";
        let old: Vec<(MailboxId, ModSeq, u32)> =
            self.rows(sql, (before, signed(limit)), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let mut ranges: Vec<(MailboxId, ModSeq, u32, u32)> = Vec::new();
        for &(mailbox, mod_seq, uid) in &old {
            match ranges.last_mut() {
                Some((m, s, _, last)) if *m == mailbox && *s == mod_seq && *last + 1 == uid => {
                    *last = uid;
                }
                _ => ranges.push((mailbox, mod_seq, uid, uid)),
            }
            let sql = "DELETE FROM tombstone WHERE mailbox = ?1 AND uid = ?2";
            self.execute(sql, (mailbox, uid))?;
        }
        let sql = "INSERT INTO vanished (mailbox, mod_seq, first, last) VALUES (?1, ?2, ?3, ?4)";
        for range in ranges {
            self.execute(sql, range)?;
        }
        Ok(old.len())
    }

    /// Forgets about `limit` of the oldest ranges of a mailbox's log, as long as more than `keep`
    /// are left; says whether there are more to be forgotten.
    pub fn shorten_log(&mut self, mailbox: MailboxId, keep: usize, limit: usize) -> Result<bool> {
        let Some((step, last)) = self.oldest("vanished", mailbox, keep, limit)? else {
            return Ok(false);
        };
        let sql = "UPDATE mailbox SET log_from = max(log_from, ?2) WHERE id = ?1";
        self.execute(sql, (mailbox, step))?;
        let sql = "DELETE FROM vanished WHERE mailbox = ?1 AND mod_seq <= ?2";
        self.execute(sql, (mailbox, step))?;
        Ok(step < last)
    }
}
