//! Mailbox access keys: the secrets behind authorised URLs, one for each user and mailbox
//! (RFC 4467 §2.2).
//!
//! A key goes with its mailbox and its user; a new name of the mailbox and a new password of the user
//! take it away too, and with it every URL that it signed.

use super::{error::Result, reader::Reader, tx::Tx};
use crate::{
    events::Kind,
    ids::{AccountId, MailboxId, ModSeq},
};

/// A mailbox access key.
pub type UrlKey = [u8; 32];

impl Reader<'_> {
    /// The key of a user for a mailbox, if one was ever needed.
    pub fn url_key(&self, account: AccountId, mailbox: MailboxId) -> Result<Option<UrlKey>> {
        let sql = "SELECT key FROM url_key WHERE account = ?1 AND mailbox = ?2";
        self.row(sql, (account, mailbox), |row| row.get(0))
    }
}

impl Tx<'_> {
    /// The key of a user for a mailbox; `fresh` becomes it if there is none.
    pub fn url_key_or(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        fresh: &UrlKey,
    ) -> Result<UrlKey> {
        let sql = "INSERT INTO url_key (account, mailbox, key) VALUES (?1, ?2, ?3)
            ON CONFLICT (account, mailbox) DO NOTHING";
        self.execute(sql, (account, mailbox, fresh))?;
        Ok(self.url_key(account, mailbox)?.unwrap_or(*fresh))
    }

    /// Puts another key in the place of a user's key for a mailbox.
    pub fn set_url_key(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        key: &UrlKey,
    ) -> Result<()> {
        let sql = "INSERT INTO url_key (account, mailbox, key) VALUES (?1, ?2, ?3)
            ON CONFLICT (account, mailbox) DO UPDATE SET key = excluded.key";
        self.execute(sql, (account, mailbox, key))?;
        self.key_changed(account, mailbox);
        Ok(())
    }

    /// Removes all keys of a user.
    pub fn remove_url_keys(&mut self, account: AccountId) -> Result<()> {
        let sql = "DELETE FROM url_key WHERE account = ?1 RETURNING mailbox";
        let mailboxes: Vec<MailboxId> = self.rows(sql, [account], |row| row.get(0))?;
        for mailbox in mailboxes {
            self.key_changed(account, mailbox);
        }
        Ok(())
    }

    fn key_changed(&mut self, account: AccountId, mailbox: MailboxId) {
        self.happened(account, mailbox, ModSeq::default(), Kind::KeyChange);
    }
}
