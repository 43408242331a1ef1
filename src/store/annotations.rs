//! Annotations of messages (RFC 5257): named values, shared by the users of a mailbox or one user's
//! own. Values are never changed in place: one goes and another comes, and the database counts their
//! octets against quotas as it counts mail.
//!
//! Most mailboxes have none, and what is done to many messages looks at that first.

use std::sync::Arc;

use rusqlite::Row;

use super::{
    error::{Error, Result},
    mailboxes::MailboxRow,
    messages::{MarkOutcome, Tally},
    reader::Reader,
    sql::unsigned,
    tx::Tx,
};
use crate::{
    events::{Entries, Kind, MarkChange},
    ids::{AccountId, MailboxId, ModSeq, Uid},
};

/// In place of an owner: all users.
const SHARED: AccountId = AccountId(0);

/// What is said of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The name of the entry.
    pub entry: Arc<str>,
    /// Whose it is; None when it is shared.
    pub owner: Option<AccountId>,
    /// What is said.
    pub value: Vec<u8>,
}

/// A value to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnnotation {
    /// The name of the entry.
    pub entry: Arc<str>,
    /// Whose it is; None when it is shared.
    pub owner: Option<AccountId>,
    /// None removes it.
    pub value: Option<Vec<u8>>,
}

/// Whose annotations go along when messages are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Everybody's: the mailbox has another name.
    All,
    /// The user's own and the shared ones (RFC 5257 §4.6).
    OwnAndShared(AccountId),
    /// The user's own: in the other mailbox nothing may be said to all.
    Own(AccountId),
}

fn annotation(row: &Row<'_>) -> rusqlite::Result<Annotation> {
    let owner: AccountId = row.get(1)?;
    let owner = (owner != SHARED).then_some(owner);
    Ok(Annotation { entry: row.get(0)?, owner, value: row.get(2)? })
}

impl Reader<'_> {
    /// Is anything said of any message of a mailbox?
    pub fn has_annotations(&self, mailbox: MailboxId) -> Result<bool> {
        let sql = "SELECT 1 FROM annotation WHERE mailbox = ?1 LIMIT 1";
        Ok(self.row(sql, [mailbox], |_| Ok(()))?.is_some())
    }

    /// What is said of a message, as far as an account may read it, by entry.
    pub fn annotations(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        account: AccountId,
    ) -> Result<Vec<Annotation>> {
        let sql = "SELECT entry, owner, value FROM annotation
            WHERE mailbox = ?1 AND uid = ?2 AND owner IN (?3, ?4) ORDER BY entry, owner";
        self.rows(sql, (mailbox, uid, SHARED, account), annotation)
    }

    /// The names of what is said of a message, as far as an account may read it.
    pub fn annotation_names(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        account: AccountId,
    ) -> Result<Vec<Arc<str>>> {
        let sql = "SELECT DISTINCT entry FROM annotation
            WHERE mailbox = ?1 AND uid = ?2 AND owner IN (?3, ?4) ORDER BY entry";
        self.rows(sql, (mailbox, uid, SHARED, account), |row| row.get(0))
    }

    /// At most `limit` UIDs, rising, of messages from `first` on of which something is said.
    pub fn annotated(&self, mailbox: MailboxId, first: Uid, limit: u32) -> Result<Vec<Uid>> {
        let sql = "SELECT DISTINCT uid FROM annotation WHERE mailbox = ?1 AND uid >= ?2
            ORDER BY uid LIMIT ?3";
        self.rows(sql, (mailbox, first, limit), |row| row.get(0))
    }

    /// What is said of a message under one name, by this user to itself or to everybody.
    pub fn annotation(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        entry: &str,
        owner: Option<AccountId>,
    ) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM annotation
            WHERE mailbox = ?1 AND uid = ?2 AND entry = ?3 AND owner = ?4";
        self.row(sql, (mailbox, uid, entry, owner.unwrap_or(SHARED)), |row| row.get(0))
    }

    fn count_annotations(&self, mailbox: MailboxId, uid: Uid, account: AccountId) -> Result<u64> {
        let sql = "SELECT count(*) FROM annotation
            WHERE mailbox = ?1 AND uid = ?2 AND owner IN (?3, ?4)";
        let count = |row: &Row<'_>| row.get(0).map(unsigned);
        Ok(self.row(sql, (mailbox, uid, SHARED, account), count)?.unwrap_or(0))
    }
}

impl Tx<'_> {
    /// Sets values of messages, UIDs rising, for this account; with `unchanged_since` only of those
    /// that have not changed after it (RFC 7162 §3.1.3). A message's mod-sequence rises when what is
    /// said of it changes.
    ///
    /// # Errors
    /// [`Error::ManyAnnotations`] when of one of them more than `most` would be said.
    pub fn annotate(
        &mut self,
        mailbox: &MailboxRow,
        uids: &[Uid],
        by: AccountId,
        values: &[NewAnnotation],
        most: u64,
        unchanged_since: Option<ModSeq>,
    ) -> Result<MarkOutcome> {
        self.check_space()?;
        let mut outcome = MarkOutcome::default();
        let mut mod_seq = None;
        for uid in uids {
            let Some(entry) = self.message(mailbox.id, *uid)? else {
                outcome.missing.push(*uid);
                continue;
            };
            if unchanged_since.is_some_and(|known| entry.mod_seq > known) {
                outcome.modified.push(*uid);
                continue;
            }
            if !self.say(mailbox.id, *uid, by, values, most)? {
                outcome.as_before.push((*uid, entry.mod_seq));
                continue;
            }
            let mod_seq = match mod_seq {
                Some(mod_seq) => mod_seq,
                None => *mod_seq.insert(self.next_mod_seq(mailbox.account)?),
            };
            let sql = "UPDATE message SET mod_seq = ?3 WHERE mailbox = ?1 AND uid = ?2";
            self.execute(sql, (mailbox.id, *uid, mod_seq))?;
            outcome.changed.push(MarkChange { uid: *uid, marks: entry.marks, mod_seq });
        }
        if let Some(mod_seq) = mod_seq {
            self.add_tally(mailbox.account, mailbox.id, Tally::default(), mod_seq)?;
            let uids: Arc<[Uid]> = outcome.changed.iter().map(|change| change.uid).collect();
            for of in [None, Some(by)] {
                let names = values.iter().filter(|value| value.owner == of);
                let names: Arc<[Arc<str>]> = names.map(|value| Arc::clone(&value.entry)).collect();
                if !names.is_empty() {
                    let entries = Entries { names, of };
                    let kind = Kind::AnnotationChange(Arc::clone(&uids), entries);
                    self.happened(mailbox.account, mailbox.id, mod_seq, kind);
                }
            }
        }
        Ok(outcome)
    }

    /// Sets values of one message, which need not be told to anybody; says whether any changed.
    pub fn say(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        by: AccountId,
        values: &[NewAnnotation],
        most: u64,
    ) -> Result<bool> {
        let (mut changed, mut more) = (false, false);
        for new in values {
            let before = self.annotation(mailbox, uid, &new.entry, new.owner)?;
            if before == new.value {
                continue;
            }
            (changed, more) = (true, more || before.is_none());
            let owner = new.owner.unwrap_or(SHARED);
            if before.is_some() {
                let sql = "DELETE FROM annotation
                    WHERE mailbox = ?1 AND uid = ?2 AND entry = ?3 AND owner = ?4";
                self.execute(sql, (mailbox, uid, &new.entry, owner))?;
            }
            if let Some(value) = &new.value {
                let sql = "INSERT INTO annotation (mailbox, uid, entry, owner, value)
                    VALUES (?1, ?2, ?3, ?4, ?5)";
                self.execute(sql, (mailbox, uid, &new.entry, owner, value))?;
            }
        }
        if more && self.count_annotations(mailbox, uid, by)? > most {
            return Err(Error::ManyAnnotations);
        }
        Ok(changed)
    }

    /// What is said of messages is said of their copies too; says whether there was anything.
    pub fn copy_annotations(
        &self,
        from: MailboxId,
        copied: &[(Uid, Uid)],
        to: MailboxId,
        along: Along,
    ) -> Result<bool> {
        if !self.has_annotations(from)? {
            return Ok(false);
        }
        let (all, shared, own) = match along {
            Along::All => (true, true, SHARED),
            Along::OwnAndShared(own) => (false, true, own),
            Along::Own(own) => (false, false, own),
        };
        let sql = "INSERT INTO annotation SELECT ?3, ?4, entry, owner, value FROM annotation
            WHERE mailbox = ?1 AND uid = ?2 AND (?5 OR owner = ?6 AND owner <> 0 OR ?7 AND owner = 0)";
        let mut any = false;
        for (source, copy) in copied {
            any |= self.execute(sql, (from, *source, to, *copy, all, own, shared))? > 0;
        }
        Ok(any)
    }

    /// Nothing is said of these messages any more.
    pub(super) fn forget_annotations_of(&self, mailbox: MailboxId, uids: &[Uid]) -> Result<()> {
        if !self.has_annotations(mailbox)? {
            return Ok(());
        }
        let sql = "DELETE FROM annotation WHERE mailbox = ?1 AND uid = ?2";
        uids.iter().try_for_each(|uid| self.execute(sql, (mailbox, *uid)).map(|_| ()))
    }

    /// Nothing is said of a mailbox's messages any more.
    pub(super) fn forget_annotations(&self, mailbox: MailboxId) -> Result<()> {
        self.execute("DELETE FROM annotation WHERE mailbox = ?1", [mailbox])?;
        Ok(())
    }
}
