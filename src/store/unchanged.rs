//! The test of a STORE that is made only of messages where what it names is unchanged, and the log of
//! keywords that were taken away, without which it could not see them (RFC 7162 §3.1.3).
//!
//! A message has one mod-sequence for all its marks, and a keyword that it does not bear has none. So
//! whoever takes keywords away notes it here; most STOREs take away system flags, which every message
//! has, set or not, and note nothing. Of a log that grows too long the oldest entries are forgotten:
//! for who knows only what was before, anything may have been taken away.

use super::{error::Result, messages::MarkDeed, reader::Reader, tx::Tx};
use crate::{
    events::Entry,
    flags::{Flags, Marks},
    ids::{MailboxId, ModSeq, Uid},
    wire::Ranges,
};

/// What a message must not have changed in since the client looked.
pub(super) struct Unchanged {
    since: ModSeq,
    deed: MarkDeed,
    named: Marks,
    /// From these UIDs one of the named keywords was taken away, or may have been.
    taken: Ranges,
}

impl Unchanged {
    /// Did something change that is named?
    pub(super) fn fails(&self, entry: &Entry) -> bool {
        entry.mod_seq > self.since
            && (self.bears(entry.marks) || self.taken.contains(entry.uid.get()))
    }

    /// Is something named that a message with these marks has? It may be that which changed last.
    fn bears(&self, marks: Marks) -> bool {
        self.deed == MarkDeed::Replace
            || self.named.flags.meets(Flags::SYSTEM)
            || self.named.flags.meets(marks.flags)
            || self.named.keywords.meet(marks.keywords)
    }
}

impl Reader<'_> {
    /// The test of a deed that names these marks, as far as the mailbox knows them.
    ///
    /// Zero asks only whether a message has them now (RFC 7162 §3.1.3, Examples 7 and 8).
    pub(super) fn unchanged(
        &self,
        mailbox: MailboxId,
        since: ModSeq,
        deed: MarkDeed,
        named: Marks,
    ) -> Result<Unchanged> {
        let always = deed == MarkDeed::Replace || named.flags.meets(Flags::SYSTEM);
        let taken = if always || since == ModSeq::default() {
            Ranges::default()
        } else {
            self.taken(mailbox, since, named)?
        };
        Ok(Unchanged { since, deed, named, taken })
    }

    /// UIDs from which one of these keywords was taken away after this change; all UIDs when the log
    /// does not reach back so far.
    fn taken(&self, mailbox: MailboxId, since: ModSeq, named: Marks) -> Result<Ranges> {
        let sql = "SELECT unmarked_from FROM mailbox WHERE id = ?1";
        let from: Option<ModSeq> = self.row(sql, [mailbox], |row| row.get(0))?;
        if from.is_none_or(|from| since < from) {
            return Ok(Ranges::from(1..=u32::MAX));
        }
        let sql = "SELECT first, last, flags, keywords FROM unmarked
            WHERE mailbox = ?1 AND mod_seq > ?2";
        let runs: Vec<(Uid, Uid, Marks)> = self.rows(sql, (mailbox, since), |row| {
            Ok((row.get(0)?, row.get(1)?, Marks { flags: row.get(2)?, keywords: row.get(3)? }))
        })?;
        let named =
            |marks: &Marks| named.flags.meets(marks.flags) || named.keywords.meet(marks.keywords);
        let runs = runs.into_iter().filter(|(_, _, marks)| named(marks));
        Ok(runs.map(|(first, last, _)| first.get()..=last.get()).collect())
    }
}

/// Keywords that one change takes from messages: runs of UIDs that lose the same.
#[derive(Default)]
pub(super) struct Taken(Vec<(Uid, Uid, Marks)>);

impl Taken {
    /// A message gets other marks; UIDs come rising.
    pub(super) fn note(&mut self, uid: Uid, old: Marks, new: Marks) {
        let marks = Marks {
            flags: old.flags.without(new.flags).without(Flags::SYSTEM),
            keywords: old.keywords.without(new.keywords),
        };
        if marks == Marks::default() {
            return;
        }
        match self.0.last_mut() {
            Some((_, last, same))
                if *same == marks && last.get().checked_add(1) == Some(uid.get()) =>
            {
                *last = uid;
            }
            _ => self.0.push((uid, uid, marks)),
        }
    }
}

impl Tx<'_> {
    /// Keeps in the log what this change has taken away.
    pub(super) fn keep_taken(
        &self,
        mailbox: MailboxId,
        mod_seq: ModSeq,
        taken: &Taken,
    ) -> Result<()> {
        let sql = "INSERT INTO unmarked (mailbox, mod_seq, first, last, flags, keywords)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        taken.0.iter().try_for_each(|(first, last, marks)| {
            let run = (mailbox, mod_seq, *first, *last, marks.flags, marks.keywords);
            self.execute(sql, run).map(|_| ())
        })
    }

    /// Forgets about `limit` of the oldest runs of a mailbox's log, as long as more than `keep` are
    /// left; says whether there are more to be forgotten.
    pub fn shorten_unmarked_log(
        &mut self,
        mailbox: MailboxId,
        keep: usize,
        limit: usize,
    ) -> Result<bool> {
        let Some((step, last)) = self.oldest("unmarked", mailbox, keep, limit)? else {
            return Ok(false);
        };
        self.forget_taken(mailbox, step)?;
        Ok(step < last)
    }

    /// Forgets all that was taken away up to now: the number of a keyword means another one.
    pub(super) fn forget_all_taken(&self, mailbox: MailboxId) -> Result<()> {
        let sql = "SELECT mod_seq FROM mailbox WHERE id = ?1";
        match self.row(sql, [mailbox], |row| row.get(0))? {
            Some(now) => self.forget_taken(mailbox, now),
            None => Ok(()),
        }
    }

    fn forget_taken(&self, mailbox: MailboxId, upto: ModSeq) -> Result<()> {
        let sql = "UPDATE mailbox SET unmarked_from = max(unmarked_from, ?2) WHERE id = ?1";
        self.execute(sql, (mailbox, upto))?;
        let sql = "DELETE FROM unmarked WHERE mailbox = ?1 AND mod_seq <= ?2";
        self.execute(sql, (mailbox, upto))?;
        Ok(())
    }
}
