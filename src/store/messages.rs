//! Messages in mailboxes: append, copy, mark. Each deed takes one mod-sequence, keeps the mailbox's
//! counters and the owner's quota, and records its event.

use std::sync::Arc;

use rusqlite::Row;

use super::{
    annotations::Along,
    error::{Error, Result},
    keywords::{MarkMask, MarkNames},
    mailboxes::MailboxRow,
    reader::Reader,
    sql::{signed, unsigned},
    tx::Tx,
    unchanged::{Taken, Unchanged},
};
use crate::{
    events::{Entry, Kind, MarkChange},
    flags::{Flags, Keywords, Marks},
    ids::{AccountId, ContentId, MailboxId, ModSeq, ThreadId, Uid},
};

/// A message to be put into a mailbox.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage {
    /// Its stored octets.
    pub content: ContentId,
    /// Their number.
    pub size: u64,
    /// What it is marked with there.
    pub marks: Marks,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date: i64,
    /// Its conversation in the mailbox's account.
    pub thread: ThreadId,
}

/// What a copy or move made: each source UID with its new UID, in order.
pub type Copied = Vec<(Uid, Uid)>;

/// What STORE does with the named marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkDeed {
    /// The message bears these and no others.
    Replace,
    /// These are added.
    Add,
    /// These are taken away.
    Remove,
}

/// What became of a STORE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkOutcome {
    /// Messages that bear something else now.
    pub changed: Vec<MarkChange>,
    /// Messages that bore just that already, each with its mod-sequence.
    pub as_before: Vec<(Uid, ModSeq)>,
    /// Messages that changed after the mod-sequence the asker knows (RFC 7162 §3.1.3).
    pub modified: Vec<Uid>,
    /// UIDs that are no longer there.
    pub missing: Vec<Uid>,
}

pub(super) const ENTRY: &str =
    "uid, mod_seq, flags, keywords, content, thread, internal_date, save_date, size";

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        uid: row.get(0)?,
        mod_seq: row.get(1)?,
        marks: Marks { flags: row.get(2)?, keywords: row.get(3)? },
        content: row.get(4)?,
        thread: row.get(5)?,
        internal_date: row.get(6)?,
        save_date: row.get(7)?,
        size: unsigned(row.get(8)?),
    })
}

impl Reader<'_> {
    /// The message of a UID.
    pub fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Entry>> {
        let sql = "SELECT uid, mod_seq, flags, keywords, content, thread, internal_date, save_date,
            size FROM message WHERE mailbox = ?1 AND uid = ?2";
        self.row(sql, (mailbox, uid), entry)
    }

    /// At most `limit` messages of a mailbox from `first` on, UIDs rising.
    pub fn messages(&self, mailbox: MailboxId, first: Uid, limit: u32) -> Result<Vec<Entry>> {
        let sql = format!(
            "SELECT {ENTRY} FROM message WHERE mailbox = ?1 AND uid >= ?2 ORDER BY uid LIMIT ?3"
        );
        self.rows(&sql, (mailbox, first, limit), entry)
    }

    /// All UIDs of a mailbox, rising.
    pub fn uids(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        let sql = "SELECT uid FROM message WHERE mailbox = ?1 ORDER BY uid";
        self.rows(sql, [mailbox], |row| row.get(0))
    }

    /// The hash of each message's octets, and its INTERNALDATE.
    pub fn octets_and_dates(&self, mailbox: MailboxId) -> Result<Vec<([u8; 32], i64)>> {
        let sql = "SELECT content.hash, message.internal_date FROM message
            JOIN content ON content.id = message.content WHERE message.mailbox = ?1";
        self.rows(sql, [mailbox], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// How many messages stand before and at the first without `\Seen`, itself counted.
    pub fn first_unseen(&self, mailbox: MailboxId) -> Result<Option<u64>> {
        let sql = "SELECT count(*) FROM message WHERE mailbox = ?1 AND uid <= (
                SELECT uid FROM message WHERE mailbox = ?1 AND flags & ?2 = 0 ORDER BY uid LIMIT 1)
            HAVING count(*) > 0";
        self.row(sql, (mailbox, Flags::SEEN), |row| row.get(0).map(unsigned))
    }

    /// UIDs of messages with `\Deleted`, rising.
    pub fn deleted(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        let sql = "SELECT uid FROM message WHERE mailbox = ?1 AND flags & ?2 <> 0 ORDER BY uid";
        self.rows(sql, (mailbox, Flags::DELETED), |row| row.get(0))
    }
}

/// How much a deed adds to a mailbox's counters; taking away is negative.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    messages: i64,
    unseen: i64,
    deleted: i64,
    octets: i64,
    deleted_octets: i64,
}

impl Tally {
    /// Counts a message in (`sign` 1) or out (-1).
    pub(super) fn count(&mut self, marks: Marks, size: u64, sign: i64) {
        let size = signed(size).saturating_mul(sign);
        self.messages += sign;
        self.octets += size;
        if !marks.flags.contains(Flags::SEEN) {
            self.unseen += sign;
        }
        if marks.flags.contains(Flags::DELETED) {
            self.deleted += sign;
            self.deleted_octets += size;
        }
    }
}

/// What marking messages in one change adds up to.
#[derive(Default)]
struct Marking {
    tally: Tally,
    taken: Taken,
    /// Flags of the marked messages.
    borne: Flags,
}

impl Tx<'_> {
    /// Puts messages into a mailbox under its next UIDs, in order.
    pub fn append(&mut self, mailbox: &MailboxRow, new: &[NewMessage]) -> Result<Vec<Entry>> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        self.check_space()?;
        self.add(mailbox, new)
    }

    /// The same, however full the disk is.
    fn add(&mut self, mailbox: &MailboxRow, new: &[NewMessage]) -> Result<Vec<Entry>> {
        let count = u32::try_from(new.len()).map_err(|_| Error::Limit("messages at once"))?;
        let mut uid = self.take_uids(mailbox.id, count)?.get();
        let mod_seq = self.next_mod_seq(mailbox.account)?;
        let mut tally = Tally::default();
        let mut entries = Vec::with_capacity(new.len());
        for message in new {
            let &NewMessage { content, size, marks, internal_date, thread } = message;
            let number = Uid::new(uid).ok_or(Error::Limit("UIDs of a mailbox"))?;
            let save_date = self.now();
            let entry = Entry {
                uid: number,
                mod_seq,
                marks,
                content,
                thread,
                internal_date,
                save_date,
                size,
            };
            self.insert_message(mailbox.id, &entry)?;
            tally.count(marks, size, 1);
            entries.push(entry);
            uid = uid.saturating_add(1);
        }
        self.add_tally(mailbox.account, mailbox.id, tally, mod_seq)?;
        let borne = new.iter().fold(Flags::NONE, |all, message| all.with(message.marks.flags));
        self.use_fixed(mailbox, borne)?;
        self.keywords_told.remove(&mailbox.id); // messages bear them now
        let kind = Kind::MessageNew(entries.as_slice().into());
        self.happened(mailbox.account, mailbox.id, mod_seq, kind);
        Ok(entries)
    }

    fn insert_message(&self, mailbox: MailboxId, entry: &Entry) -> Result<()> {
        let sql = "INSERT INTO message (mailbox, uid, mod_seq, flags, keywords, content, thread,
            internal_date, save_date, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let row = (
            mailbox,
            entry.uid,
            entry.mod_seq,
            entry.marks.flags,
            entry.marks.keywords,
            entry.content,
            entry.thread,
            entry.internal_date,
            entry.save_date,
            signed(entry.size),
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// Keeps counters, HIGHESTMODSEQ and quota in step with what was done to messages.
    pub(super) fn add_tally(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        tally: Tally,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let sql = "UPDATE mailbox SET messages = messages + ?2, unseen = unseen + ?3,
            deleted = deleted + ?4, octets = octets + ?5, deleted_octets = deleted_octets + ?6,
            mod_seq = max(mod_seq, ?7) WHERE id = ?1";
        let Tally { messages, unseen, deleted, octets, deleted_octets } = tally;
        self.execute(sql, (mailbox, messages, unseen, deleted, octets, deleted_octets, mod_seq))?;
        if messages != 0 || octets != 0 {
            self.use_quota(account, octets, messages)?;
        }
        Ok(())
    }

    /// Counts octets and messages against an account's quota; negative numbers give back. Who gets
    /// mail, or removes some, is not full without a break.
    pub(super) fn use_quota(&self, account: AccountId, octets: i64, messages: i64) -> Result<()> {
        let sql = "UPDATE account SET used_octets = max(0, used_octets + ?2),
            used_messages = max(0, used_messages + ?3), full_since = NULL WHERE id = ?1";
        self.execute(sql, (account, octets, messages))?;
        Ok(())
    }

    /// Refuses what would not fit into an account's quota.
    ///
    /// `default_octets` holds for accounts without a quota of their own.
    pub fn check_quota(
        &self,
        account: AccountId,
        octets: u64,
        messages: u64,
        default_octets: u64,
    ) -> Result<()> {
        let account = self.account_by_id(account)?.ok_or(Error::NotFound("account"))?;
        let room = account.quota_octets.unwrap_or(default_octets);
        let places = account.quota_messages.unwrap_or(u64::MAX);
        let fits = account.used_octets.saturating_add(octets) <= room
            && account.used_messages.saturating_add(messages) <= places;
        if fits { Ok(()) } else { Err(Error::OverQuota) }
    }

    /// Copies messages into another mailbox, which may be of another account; UIDs that are no
    /// longer there are passed over, and so are marks beyond the mask. `$Queued` is not copied: only
    /// its owner's STORE submits.
    pub fn copy(
        &mut self,
        from: &MailboxRow,
        uids: &[Uid],
        to: &MailboxRow,
        mask: MarkMask,
    ) -> Result<Copied> {
        self.check_space()?;
        self.link(from, uids, to, mask)
    }

    /// Moves messages; UIDs that are not there are passed over. It takes no room that it does not give
    /// back, and goes on when mail can't be added. What is said of them goes along as far as it may.
    pub fn move_messages(
        &mut self,
        from: &MailboxRow,
        uids: &[Uid],
        to: &MailboxRow,
        mask: MarkMask,
        along: Along,
    ) -> Result<Copied> {
        let moved = self.link(from, uids, to, mask)?;
        self.copy_annotations(from.id, &moved, to.id, along)?;
        let gone: Vec<Uid> = moved.iter().map(|(source, _)| *source).collect();
        self.expunge(from, &gone)?;
        Ok(moved)
    }

    fn link(
        &mut self,
        from: &MailboxRow,
        uids: &[Uid],
        to: &MailboxRow,
        mask: MarkMask,
    ) -> Result<Copied> {
        let names = self.keywords(from.id)?;
        let (mut sources, mut new) = (Vec::new(), Vec::new());
        for uid in uids {
            let Some(source) = self.message(from.id, *uid)? else { continue };
            let flags = not_asked_for(source.marks.flags).within(mask.flags);
            let keywords = if !mask.keywords {
                Keywords::default()
            } else if from.id == to.id || source.marks.keywords.is_empty() {
                source.marks.keywords
            } else {
                self.keywords_in(&names, source.marks.keywords, to.id)?
            };
            let thread = if from.account == to.account {
                source.thread
            } else {
                self.new_thread(to.account)?
            };
            sources.push(source.uid);
            new.push(NewMessage {
                content: source.content,
                size: source.size,
                marks: Marks { flags, keywords },
                internal_date: source.internal_date,
                thread,
            });
        }
        if new.is_empty() {
            return Ok(Copied::new());
        }
        let entries = self.add(to, &new)?;
        Ok(sources.into_iter().zip(entries.into_iter().map(|entry| entry.uid)).collect())
    }

    /// Changes flags and keywords of messages, UIDs rising; with `unchanged_since` only of those
    /// where what is named has not changed after it (RFC 7162 §3.1.3), decided here and now.
    pub fn mark(
        &mut self,
        mailbox: &MailboxRow,
        uids: &[Uid],
        deed: MarkDeed,
        names: &MarkNames,
        unchanged_since: Option<ModSeq>,
    ) -> Result<MarkOutcome> {
        self.mark_within(MarkMask::ALL, mailbox, uids, deed, names, unchanged_since)
    }

    /// The same for who may touch only these marks: the others stay as they are.
    pub fn mark_within(
        &mut self,
        mask: MarkMask,
        mailbox: &MailboxRow,
        uids: &[Uid],
        deed: MarkDeed,
        names: &MarkNames,
        unchanged_since: Option<ModSeq>,
    ) -> Result<MarkOutcome> {
        let names = &*mask.of(names);
        let mut named = self.known_marks(mailbox.id, names)?;
        // What the mailbox does not know yet no message bears or has lost.
        let test = unchanged_since.map(|since| self.unchanged(mailbox.id, since, deed, named));
        let test = test.transpose()?;
        if deed != MarkDeed::Remove
            && named.keywords.numbers().count() < names.keywords.len()
            && self.any_to_mark(mailbox.id, uids, test.as_ref())?
        {
            named = self.marks(mailbox.id, names)?;
        }
        let mut outcome = MarkOutcome::default();
        let (mut mod_seq, mut work) = (None, Marking::default());
        for uid in uids {
            let Some(entry) = self.message(mailbox.id, *uid)? else {
                outcome.missing.push(*uid);
                continue;
            };
            if test.as_ref().is_some_and(|test| test.fails(&entry)) {
                outcome.modified.push(*uid);
                continue;
            }
            let marks = mask.join(entry.marks, marked(entry.marks, deed, named));
            if marks == entry.marks {
                outcome.as_before.push((*uid, entry.mod_seq));
                continue;
            }
            let mod_seq = match mod_seq {
                Some(mod_seq) => mod_seq,
                None => *mod_seq.insert(self.next_mod_seq(mailbox.account)?),
            };
            self.set_marks(mailbox.id, &entry, marks, mod_seq, &mut work)?;
            outcome.changed.push(MarkChange { uid: *uid, marks, mod_seq });
        }
        self.keywords_told.remove(&mailbox.id); // messages bear them now, or need not
        if let Some(mod_seq) = mod_seq {
            self.end_marking(mailbox, mod_seq, &work, outcome.changed.as_slice().into())?;
        }
        Ok(outcome)
    }

    /// Turns some flags of a message on and others off, in one change and as far as the mask goes; None
    /// when it is gone, or bears just that already.
    pub fn turn_flags(
        &mut self,
        mask: MarkMask,
        mailbox: &MailboxRow,
        uid: Uid,
        on: Flags,
        off: Flags,
    ) -> Result<Option<MarkChange>> {
        let Some(entry) = self.message(mailbox.id, uid)? else { return Ok(None) };
        let turned = Marks { flags: entry.marks.flags.without(off).with(on), ..entry.marks };
        let marks = mask.join(entry.marks, turned);
        if marks == entry.marks {
            return Ok(None);
        }
        let (mod_seq, mut work) = (self.next_mod_seq(mailbox.account)?, Marking::default());
        self.set_marks(mailbox.id, &entry, marks, mod_seq, &mut work)?;
        let change = MarkChange { uid, marks, mod_seq };
        self.end_marking(mailbox, mod_seq, &work, [change].into())?;
        Ok(Some(change))
    }

    /// A message that loses its `$Queued` is not sent.
    fn set_marks(
        &mut self,
        mailbox: MailboxId,
        entry: &Entry,
        marks: Marks,
        mod_seq: ModSeq,
        work: &mut Marking,
    ) -> Result<()> {
        let sql = "UPDATE message SET flags = ?3, keywords = ?4, mod_seq = ?5
            WHERE mailbox = ?1 AND uid = ?2";
        self.execute(sql, (mailbox, entry.uid, marks.flags, marks.keywords, mod_seq))?;
        work.tally.count(entry.marks, entry.size, -1);
        work.tally.count(marks, entry.size, 1);
        work.taken.note(entry.uid, entry.marks, marks);
        work.borne = work.borne.with(marks.flags);
        if entry.marks.flags.without(marks.flags).contains(Flags::QUEUED) {
            self.withdraw_sending(mailbox, entry.uid)?;
        }
        Ok(())
    }

    /// All that one change marks is marked.
    fn end_marking(
        &mut self,
        mailbox: &MailboxRow,
        mod_seq: ModSeq,
        work: &Marking,
        changes: Arc<[MarkChange]>,
    ) -> Result<()> {
        self.keep_taken(mailbox.id, mod_seq, &work.taken)?;
        self.use_fixed(mailbox, work.borne)?;
        self.add_tally(mailbox.account, mailbox.id, work.tally, mod_seq)?;
        self.happened(mailbox.account, mailbox.id, mod_seq, Kind::FlagChange(changes));
        Ok(())
    }
}

impl Tx<'_> {
    /// Is there a message that will be marked? A keyword is made for one only.
    fn any_to_mark(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        test: Option<&Unchanged>,
    ) -> Result<bool> {
        for uid in uids {
            if let Some(entry) = self.message(mailbox, *uid)?
                && !test.is_some_and(|test| test.fails(&entry))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The flags of a message whose copy nobody has asked to be sent: if the house has claimed it, the copy is
/// not claimed either.
fn not_asked_for(flags: Flags) -> Flags {
    if flags.contains(Flags::QUEUED.with(Flags::CLAIM)) {
        return flags.without(Flags::QUEUED.with(Flags::CLAIM));
    }
    flags.without(Flags::QUEUED)
}

fn marked(old: Marks, deed: MarkDeed, named: Marks) -> Marks {
    match deed {
        MarkDeed::Replace => named,
        MarkDeed::Add => Marks {
            flags: old.flags.with(named.flags),
            keywords: old.keywords.with(named.keywords),
        },
        MarkDeed::Remove => Marks {
            flags: old.flags.without(named.flags),
            keywords: old.keywords.without(named.keywords),
        },
    }
}
