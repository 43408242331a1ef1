//! Mailboxes: names, counters, special uses, subscriptions.
//!
//! A name is kept as it was given and beside it a key, folded for comparison by the caller, under
//! which it is unique. UIDVALIDITY, UIDNEXT and the mod-sequence only ever grow.

use std::sync::Arc;

use rusqlite::Row;

use super::{
    error::{Error, Result},
    reader::Reader,
    sql::{signed, unsigned},
    tx::Tx,
};
use crate::{
    events::{Entries, Kind},
    flags::Flags,
    ids::{AccountId, MailboxId, ModSeq, Uid, UidValidity},
};

/// What a mailbox is for (RFC 6154, RFC 8457), as a set: one mailbox can have several uses.
///
/// The bits are stored in the database: never renumber them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialUse(pub u32);

impl SpecialUse {
    /// Each use with its attribute as LIST shows it.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self(1), "\\All"),
        (Self(1 << 1), "\\Archive"),
        (Self(1 << 2), "\\Drafts"),
        (Self(1 << 3), "\\Flagged"),
        (Self(1 << 4), "\\Junk"),
        (Self(1 << 5), "\\Sent"),
        (Self(1 << 6), "\\Trash"),
        (Self(1 << 7), "\\Important"),
    ];

    /// The use of an attribute, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(bit, _)| *bit)
    }

    /// The attributes of all uses in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.0 & bit.0 != 0).map(|(_, name)| name)
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// No use at all?
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A mailbox as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRow {
    /// Its number, which outlives its names.
    pub id: MailboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its full name, `/` between levels, UTF-8.
    pub name: Arc<str>,
    /// The name folded for comparison.
    pub key: Arc<str>,
    /// What the UIDs are valid under.
    pub uid_validity: UidValidity,
    /// Its counters and sequences.
    pub status: Status,
    /// What it is for.
    pub special_use: SpecialUse,
    /// May it be selected? False: a mere level of hierarchy (`\Noselect`).
    pub selectable: bool,
}

/// A mailbox's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The UID the next message gets; 2^32 when all are used up.
    pub uid_next: u64,
    /// The highest mod-sequence of all its messages and changes.
    pub mod_seq: ModSeq,
    /// From this UID on messages are `\Recent` to the next session that selects.
    pub recent_uid: u64,
    /// How many messages.
    pub messages: u64,
    /// How many without `\Seen`.
    pub unseen: u64,
    /// How many with `\Deleted`.
    pub deleted: u64,
    /// Octets of all messages.
    pub octets: u64,
    /// Octets of those with `\Deleted`.
    pub deleted_octets: u64,
    /// Fixed keywords that messages bear or bore.
    pub fixed_keywords: Flags,
}

const COLUMNS: &str = "id, account, name, name_key, uid_validity, uid_next, mod_seq, recent_uid,
    messages, unseen, deleted, octets, deleted_octets, special_use, selectable, fixed_keywords";

fn mailbox(row: &Row<'_>) -> rusqlite::Result<MailboxRow> {
    let count = |column| row.get(column).map(unsigned);
    Ok(MailboxRow {
        id: row.get(0)?,
        account: row.get(1)?,
        name: row.get(2)?,
        key: row.get(3)?,
        uid_validity: row.get(4)?,
        status: Status {
            uid_next: count(5)?,
            mod_seq: row.get(6)?,
            recent_uid: count(7)?,
            messages: count(8)?,
            unseen: count(9)?,
            deleted: count(10)?,
            octets: count(11)?,
            deleted_octets: count(12)?,
            fixed_keywords: row.get(15)?,
        },
        special_use: SpecialUse(row.get(13)?),
        selectable: row.get(14)?,
    })
}

impl Reader<'_> {
    /// All mailboxes of an account by name.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxRow>> {
        let sql = format!("SELECT {COLUMNS} FROM mailbox WHERE account = ?1 ORDER BY name_key");
        self.rows(&sql, [account], mailbox)
    }

    /// The mailbox with this key.
    pub fn mailbox(&self, account: AccountId, key: &str) -> Result<Option<MailboxRow>> {
        let sql = format!("SELECT {COLUMNS} FROM mailbox WHERE account = ?1 AND name_key = ?2");
        self.row(&sql, (account, key), mailbox)
    }

    /// The mailbox of this number.
    pub fn mailbox_by_id(&self, id: MailboxId) -> Result<Option<MailboxRow>> {
        let sql = format!("SELECT {COLUMNS} FROM mailbox WHERE id = ?1");
        self.row(&sql, [id], mailbox)
    }

    /// The names of an account's mailboxes, those that were there first before others; mere levels of
    /// hierarchy are left out.
    pub fn selectable_mailboxes(&self, account: AccountId) -> Result<Vec<(MailboxId, Arc<str>)>> {
        let sql = "SELECT id, name FROM mailbox WHERE account = ?1 AND selectable = 1 ORDER BY id";
        self.rows(sql, [account], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Is there a mailbox below this key?
    pub fn has_mailbox_below(&self, account: AccountId, key: &str) -> Result<bool> {
        // `0` comes right behind `/`.
        let sql = "SELECT EXISTS (SELECT 1 FROM mailbox
            WHERE account = ?1 AND name_key > ?2 || '/' AND name_key < ?2 || '0')";
        Ok(self.row(sql, (account, key), |row| row.get(0))?.unwrap_or(false))
    }

    /// Does an account subscribe this name?
    pub fn is_subscribed(&self, account: AccountId, name: &str) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM subscription WHERE account = ?1 AND name = ?2)";
        Ok(self.row(sql, (account, name), |row| row.get(0))?.unwrap_or(false))
    }

    /// The subscribed names of an account; a name may be of no mailbox.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<Arc<str>>> {
        let sql = "SELECT name FROM subscription WHERE account = ?1 ORDER BY name";
        self.rows(sql, [account], |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Makes a mailbox. One in the place of a mere level of hierarchy gets a number of its own: a
    /// number means one mailbox under one UIDVALIDITY (RFC 8474 §4).
    pub fn add_mailbox(
        &mut self,
        account: AccountId,
        name: &str,
        key: &str,
        special_use: SpecialUse,
    ) -> Result<MailboxId> {
        let level = self.mailbox(account, key)?;
        if level.as_ref().is_some_and(|level| level.selectable) {
            return Err(Error::Exists("mailbox"));
        }
        if let Some(level) = &level {
            // Under a name nobody can have, until what is said of it has moved.
            let sql = "UPDATE mailbox SET name_key = '/' || id WHERE id = ?1";
            self.execute(sql, [level.id])?;
        }
        let validity = self.next_uid_validity(account)?;
        let mod_seq = self.next_mod_seq(account)?;
        let sql = "INSERT INTO mailbox
            (account, name, name_key, uid_validity, mod_seq, special_use, created)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let now = self.now();
        self.execute(sql, (account, name, key, validity, mod_seq, special_use.0, now))?;
        let id = MailboxId(self.sql.last_insert_rowid());
        if let Some(level) = level {
            self.move_metadata(level.id, id)?;
            self.execute("DELETE FROM mailbox WHERE id = ?1", [level.id])?;
        }
        self.happened(account, id, mod_seq, Kind::MailboxCreate(name.into()));
        Ok(id)
    }

    /// UIDVALIDITY of a mailbox made now: above every one given before, and never below the time, so
    /// that even a lost database gives no old one again.
    fn next_uid_validity(&self, account: AccountId) -> Result<UidValidity> {
        let sql = "UPDATE account SET uid_validity = max(uid_validity + 1, ?2) WHERE id = ?1
            RETURNING uid_validity";
        let now = self.now().clamp(1, i64::from(u32::MAX));
        self.row(sql, (account, now), |row| row.get(0))?.ok_or(Error::NotFound("account"))
    }

    /// Removes a mailbox with its messages and its expunge log; `keep_level` keeps the name as a
    /// mere level of hierarchy.
    pub fn remove_mailbox(&mut self, mailbox: &MailboxRow, keep_level: bool) -> Result<()> {
        let (id, account) = (mailbox.id, mailbox.account);
        self.execute("DELETE FROM message WHERE mailbox = ?1", [id])?;
        self.use_quota(account, -signed(mailbox.status.octets), -signed(mailbox.status.messages))?;
        let mod_seq = self.next_mod_seq(account)?;
        self.forget_metadata(id)?;
        self.forget_annotations(id)?;
        if keep_level {
            for table in
                ["tombstone", "vanished", "unmarked", "keyword", "url_key", "acl", "sending"]
            {
                self.execute(&format!("DELETE FROM {table} WHERE mailbox = ?1"), [id])?;
            }
            let sql = "UPDATE mailbox SET selectable = 0, special_use = 0, messages = 0,
                unseen = 0, deleted = 0, octets = 0, deleted_octets = 0, mod_seq = ?2
                WHERE id = ?1";
            self.execute(sql, (id, mod_seq))?;
        } else {
            self.execute("DELETE FROM mailbox WHERE id = ?1", [id])?;
        }
        self.happened(account, id, mod_seq, Kind::MailboxDelete(Arc::clone(&mailbox.name)));
        Ok(())
    }

    /// Gives a mailbox and all below it another name. The new names must be free.
    pub fn rename_mailbox(&mut self, mailbox: &MailboxRow, name: &str, key: &str) -> Result<()> {
        let account = mailbox.account;
        let (old_name, old_key) = (&*mailbox.name, &*mailbox.key);
        let sql = format!(
            "SELECT {COLUMNS} FROM mailbox WHERE account = ?1 AND (id = ?2 OR
             substr(name_key, 1, length(?3) + 1) = ?3 || '/') ORDER BY name_key"
        );
        let moved = self.rows(&sql, (account, mailbox.id, old_key), self::mailbox)?;
        // Under names nobody can have, so that the order of the steps does not matter.
        for row in &moved {
            let sql = "UPDATE mailbox SET name_key = '/' || id WHERE id = ?1";
            self.execute(sql, [row.id])?;
        }
        for row in moved {
            let new_name = renamed(&row.name, old_name, name);
            let new_key = renamed(&row.key, old_key, key);
            if self.mailbox(account, &new_key)?.is_some() {
                return Err(Error::Exists("mailbox"));
            }
            let mod_seq = self.next_mod_seq(account)?;
            let sql = "UPDATE mailbox SET name = ?2, name_key = ?3, mod_seq = max(mod_seq, ?4)
                WHERE id = ?1";
            self.execute(sql, (row.id, &new_name, new_key, mod_seq))?;
            self.execute("DELETE FROM url_key WHERE mailbox = ?1", [row.id])?;
            let kind = Kind::MailboxRename { from: row.name, to: new_name.into() };
            self.happened(account, row.id, mod_seq, kind);
        }
        Ok(())
    }

    /// Sets what a mailbox is for: to clients a change of its metadata (RFC 6154 §4).
    pub fn set_special_use(&mut self, mailbox: &MailboxRow, special_use: SpecialUse) -> Result<()> {
        let mod_seq = self.mailbox_changed(mailbox)?;
        let sql = "UPDATE mailbox SET special_use = ?2 WHERE id = ?1";
        self.execute(sql, (mailbox.id, special_use.0))?;
        let names = [Arc::from("/private/specialuse")].into();
        let kind = Kind::MailboxMetadataChange(Entries { names, of: None });
        self.happened(mailbox.account, mailbox.id, mod_seq, kind);
        Ok(())
    }

    /// Subscribes a name or ends its subscription; either may be so already.
    pub fn subscribe(&mut self, account: AccountId, name: &str, subscribed: bool) -> Result<()> {
        let sql = if subscribed {
            "INSERT INTO subscription (account, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM subscription WHERE account = ?1 AND name = ?2"
        };
        if self.execute(sql, (account, name))? > 0 {
            self.happened_to(Some(account), Kind::SubscriptionChange(name.into(), subscribed));
        }
        Ok(())
    }

    /// Messages below `uid` are no longer `\Recent` to sessions that select from now on.
    pub fn set_recent(&mut self, id: MailboxId, uid: u64) -> Result<()> {
        let sql = "UPDATE mailbox SET recent_uid = max(recent_uid, ?2) WHERE id = ?1";
        self.execute(sql, (id, signed(uid)))?;
        Ok(())
    }

    /// Takes the next `count` UIDs of a mailbox; gives the first.
    pub(super) fn take_uids(&self, id: MailboxId, count: u32) -> Result<Uid> {
        let sql = "UPDATE mailbox SET uid_next = uid_next + ?2
            WHERE id = ?1 AND selectable = 1 AND uid_next + ?2 <= 4294967296
            RETURNING uid_next - ?2";
        self.row(sql, (id, count), |row| row.get(0))?.ok_or(Error::NotFound("mailbox"))
    }
}

/// A name with the old beginning replaced; both are whole levels.
fn renamed(name: &str, from: &str, to: &str) -> String {
    format!("{to}{}", name.strip_prefix(from).unwrap_or_default())
}
