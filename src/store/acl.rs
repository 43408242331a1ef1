//! Access control lists (RFC 4314): who else may do what with a mailbox.
//!
//! What the bits of the rights mean is the business of `mail`. An entry names an account by its
//! number, never by its address: it goes with the account, and who gets the address later gets none
//! of its rights.

use rusqlite::Row;

use super::{error::Result, mailboxes::MailboxRow, reader::Reader, sql::signed, tx::Tx};
use crate::{
    events::Kind,
    ids::{AccountId, MailboxId, ModSeq},
};

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// One user.
    Account(AccountId),
    /// Everybody who has an account.
    Anyone,
}

impl Identifier {
    fn account(self) -> Option<AccountId> {
        match self {
            Self::Account(account) => Some(account),
            Self::Anyone => None,
        }
    }
}

/// An entry of a mailbox's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Whom it is about.
    pub identifier: Identifier,
    /// Does it take the rights away instead of giving them?
    pub negative: bool,
    /// Which rights, as bits.
    pub rights: u16,
}

const COLUMNS: &str = "mailbox, account, negative, rights";

fn entry(row: &Row<'_>) -> rusqlite::Result<(MailboxId, AclEntry)> {
    let identifier = row.get::<_, Option<AccountId>>(1)?;
    let identifier = identifier.map_or(Identifier::Anyone, Identifier::Account);
    Ok((row.get(0)?, AclEntry { identifier, negative: row.get(2)?, rights: row.get(3)? }))
}

impl Reader<'_> {
    /// The whole list of a mailbox, in a fixed order.
    pub fn acl(&self, mailbox: MailboxId) -> Result<Vec<AclEntry>> {
        let sql =
            format!("SELECT {COLUMNS} FROM acl WHERE mailbox = ?1 ORDER BY account, negative");
        self.rows(&sql, [mailbox], |row| entry(row).map(|(_, entry)| entry))
    }

    /// What a mailbox's list says of an account: entries about it, and about everybody.
    pub fn acl_about(&self, mailbox: MailboxId, account: AccountId) -> Result<Vec<AclEntry>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM acl WHERE mailbox = ?1 AND ifnull(account, 0) IN (0, ?2)"
        );
        self.rows(&sql, (mailbox, account), |row| entry(row).map(|(_, entry)| entry))
    }

    /// What all lists say of an account, mailbox by mailbox.
    pub fn acls_about(&self, account: AccountId) -> Result<Vec<(MailboxId, AclEntry)>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM acl WHERE account = ?1
             UNION ALL SELECT {COLUMNS} FROM acl WHERE account IS NULL ORDER BY mailbox"
        );
        self.rows(&sql, [account], entry)
    }
}

impl Tx<'_> {
    /// Makes this what the list says of somebody; an entry without rights is none.
    pub fn set_acl(&mut self, mailbox: &MailboxRow, entry: AclEntry) -> Result<()> {
        let AclEntry { identifier, negative, rights } = entry;
        let sql = "DELETE FROM acl
            WHERE mailbox = ?1 AND ifnull(account, 0) = ifnull(?2, 0) AND negative = ?3";
        self.execute(sql, (mailbox.id, identifier.account(), negative))?;
        if rights != 0 {
            self.add_acl(mailbox.id, entry)?;
        }
        self.happened(mailbox.account, mailbox.id, ModSeq::default(), Kind::RightsChange);
        Ok(())
    }

    /// Gives a new mailbox the list of the one above it (RFC 4314 §4, CREATE).
    pub fn inherit_acl(&mut self, from: MailboxId, to: MailboxId) -> Result<()> {
        for entry in self.acl(from)? {
            self.add_acl(to, entry)?;
        }
        Ok(())
    }

    fn add_acl(&self, mailbox: MailboxId, entry: AclEntry) -> Result<()> {
        let AclEntry { identifier, negative, rights } = entry;
        let sql = "INSERT INTO acl (mailbox, account, negative, rights) VALUES (?1, ?2, ?3, ?4)";
        self.execute(sql, (mailbox, identifier.account(), negative, signed(rights.into())))?;
        Ok(())
    }
}
