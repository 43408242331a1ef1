//! METADATA (RFC 5464): named values of a mailbox, or of the server, shared by its users or one
//! user's own. Values are never changed in place: one goes and another comes, and the database
//! counts their octets against quotas as it counts mail.
//!
//! Names are folded by the caller.

use std::sync::Arc;

use rusqlite::Row;

use super::{error::Result, mailboxes::MailboxRow, reader::Reader, sql::unsigned, tx::Tx};
use crate::{
    events::{Entries, Kind},
    ids::{AccountId, MailboxId, ModSeq},
};

/// In place of a mailbox: the server itself.
const SERVER: MailboxId = MailboxId(0);
/// In place of an owner: all users.
const SHARED: AccountId = AccountId(0);

/// A value to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMetadata {
    /// The entry's full name.
    pub entry: Arc<str>,
    /// Whose it is; None when it is shared.
    pub owner: Option<AccountId>,
    /// None removes it.
    pub value: Option<Vec<u8>>,
}

impl Reader<'_> {
    /// How many octets the value of an entry of a mailbox, or of the server, has; None without one.
    pub fn metadata_size(
        &self,
        mailbox: Option<MailboxId>,
        owner: Option<AccountId>,
        entry: &str,
    ) -> Result<Option<u64>> {
        let sql = "SELECT length(value) FROM metadata
            WHERE mailbox = ?1 AND entry = ?2 AND owner = ?3";
        let (mailbox, owner) = (mailbox.unwrap_or(SERVER), owner.unwrap_or(SHARED));
        self.row(sql, (mailbox, entry, owner), |row| row.get(0).map(unsigned))
    }

    /// The value of an entry.
    pub fn metadata(
        &self,
        mailbox: Option<MailboxId>,
        owner: Option<AccountId>,
        entry: &str,
    ) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM metadata WHERE mailbox = ?1 AND entry = ?2 AND owner = ?3";
        let (mailbox, owner) = (mailbox.unwrap_or(SERVER), owner.unwrap_or(SHARED));
        self.row(sql, (mailbox, entry, owner), |row| row.get(0))
    }

    /// The entries below this one, however deep, by name, each with the octets of its value.
    pub fn metadata_below(
        &self,
        mailbox: Option<MailboxId>,
        owner: Option<AccountId>,
        entry: &str,
    ) -> Result<Vec<(Arc<str>, u64)>> {
        // `0` comes right behind `/`.
        let sql = "SELECT entry, length(value) FROM metadata WHERE mailbox = ?1
            AND entry > ?2 || '/' AND entry < ?2 || '0' AND owner = ?3 ORDER BY entry";
        let (mailbox, owner) = (mailbox.unwrap_or(SERVER), owner.unwrap_or(SHARED));
        let size = |row: &Row<'_>| Ok((row.get(0)?, row.get(1).map(unsigned)?));
        self.rows(sql, (mailbox, entry, owner), size)
    }

    /// The names of all entries that an account sees on its own mailboxes and on the server (None).
    pub fn all_metadata(&self, account: AccountId) -> Result<Vec<(Option<MailboxId>, Arc<str>)>> {
        let sql = "SELECT nullif(mailbox, ?1), entry FROM metadata WHERE owner IN (?2, ?3)
            AND mailbox IN (SELECT ?1 UNION ALL SELECT id FROM mailbox WHERE account = ?3)";
        self.rows(sql, (SERVER, SHARED, account), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// How many entries an account sees on a mailbox, or on the server.
    pub fn count_metadata(&self, mailbox: Option<MailboxId>, account: AccountId) -> Result<u64> {
        let sql = "SELECT count(*) FROM metadata WHERE mailbox = ?1 AND owner IN (?2, ?3)";
        let mailbox = mailbox.unwrap_or(SERVER);
        let count = self.row(sql, (mailbox, SHARED, account), |row| row.get(0).map(unsigned))?;
        Ok(count.unwrap_or(0))
    }
}

impl Tx<'_> {
    /// Sets values of a mailbox, or of the server; to clients all that changes a mailbox changes its
    /// mod-sequence.
    pub fn set_metadata(
        &mut self,
        mailbox: Option<&MailboxRow>,
        values: &[NewMetadata],
    ) -> Result<()> {
        let id = mailbox.map_or(SERVER, |mailbox| mailbox.id);
        let (mut shared, mut private) = (Vec::new(), Vec::new());
        for NewMetadata { entry, owner, value } in values {
            let key = (id, entry, owner.unwrap_or(SHARED));
            let sql = "DELETE FROM metadata WHERE mailbox = ?1 AND entry = ?2 AND owner = ?3";
            let was_there = self.execute(sql, key)? > 0;
            if let Some(value) = value {
                self.check_space()?;
                let sql = "INSERT INTO metadata (mailbox, entry, owner, value)
                    VALUES (?1, ?2, ?3, ?4)";
                self.execute(sql, (key.0, key.1, key.2, value))?;
            }
            if was_there || value.is_some() {
                match owner {
                    Some(owner) => private.push((*owner, Arc::clone(entry))),
                    None => shared.push(Arc::clone(entry)),
                }
            }
        }
        let of = private.first().map(|(owner, _)| *owner);
        self.metadata_changed(mailbox, None, shared)?;
        let private = private.into_iter().map(|(_, entry)| entry).collect();
        self.metadata_changed(mailbox, of, private)
    }

    fn metadata_changed(
        &mut self,
        mailbox: Option<&MailboxRow>,
        of: Option<AccountId>,
        names: Vec<Arc<str>>,
    ) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let entries = Entries { names: names.into(), of };
        match mailbox {
            None => self.happened_to(of, Kind::ServerMetadataChange(entries)),
            Some(mailbox) => {
                let mod_seq = self.mailbox_changed(mailbox)?;
                let kind = Kind::MailboxMetadataChange(entries);
                self.happened(mailbox.account, mailbox.id, mod_seq, kind);
            }
        }
        Ok(())
    }

    /// The mailbox itself has changed, and none of its messages.
    pub(super) fn mailbox_changed(&self, mailbox: &MailboxRow) -> Result<ModSeq> {
        let mod_seq = self.next_mod_seq(mailbox.account)?;
        let sql = "UPDATE mailbox SET mod_seq = max(mod_seq, ?2) WHERE id = ?1";
        self.execute(sql, (mailbox.id, mod_seq))?;
        Ok(mod_seq)
    }

    /// What is said of one mailbox is said of another too (RFC 5464 §4.1, for INBOX).
    pub fn copy_metadata(&mut self, from: MailboxId, to: MailboxId) -> Result<()> {
        let sql = "INSERT INTO metadata SELECT ?2, entry, owner, value FROM metadata
            WHERE mailbox = ?1";
        self.execute(sql, (from, to))?;
        Ok(())
    }

    /// What is said of one mailbox is said of another instead.
    pub(super) fn move_metadata(&mut self, from: MailboxId, to: MailboxId) -> Result<()> {
        self.copy_metadata(from, to)?;
        self.forget_metadata(from)
    }

    /// Nothing is said of a mailbox any more.
    pub(super) fn forget_metadata(&self, mailbox: MailboxId) -> Result<()> {
        self.execute("DELETE FROM metadata WHERE mailbox = ?1", [mailbox])?;
        Ok(())
    }
}
