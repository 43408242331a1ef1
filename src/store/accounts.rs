//! Domains, accounts and aliases: who has mail here.
//!
//! Addresses are looked up by key: the whole address folded for comparison, which the caller makes
//! (`wire::address`). The spelling that was given is kept for showing.

use rusqlite::Row;

use super::{
    error::{Error, Result},
    reader::Reader,
    sql::{signed, unsigned},
    tx::Tx,
};
use crate::{events::Kind, ids::AccountId};

/// A mail domain of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name in lower case, A-labels.
    pub name: String,
    /// Who gets what is addressed to nobody.
    pub catch_all: Option<AccountId>,
}

/// A password's SCRAM keys under the account's salt and iterations (RFC 5802 §3): StoredKey and
/// ServerKey, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScramKeys {
    /// 64 octets for SCRAM-SHA-256; empty when the password may not be used with SCRAM.
    pub sha256: Vec<u8>,
    /// 40 octets for SCRAM-SHA-1; empty likewise.
    pub sha1: Vec<u8>,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The address as it is shown.
    pub address: String,
    /// The address folded for comparison.
    pub address_key: String,
    /// The domain's name, which must exist.
    pub domain: String,
    /// The person's name.
    pub full_name: String,
    /// May run the server?
    pub owner: bool,
    /// Argon2id, as a PHC string.
    pub password: Option<String>,
    /// The account's one salt.
    pub scram_salt: Vec<u8>,
    /// The account's one iteration count.
    pub scram_iterations: u32,
    /// The main password's keys, if it may be used for mail with SCRAM.
    pub scram: Option<ScramKeys>,
}

/// A user of this server.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// The address as it is shown; also the login name.
    pub address: String,
    /// The address folded for comparison.
    pub address_key: String,
    /// The person's name.
    pub full_name: String,
    /// May run the server?
    pub owner: bool,
    /// May log in and get mail?
    pub enabled: bool,
    /// Argon2id, as a PHC string.
    pub password: Option<String>,
    /// The account's one SCRAM salt.
    pub scram_salt: Vec<u8>,
    /// The account's one iteration count.
    pub scram_iterations: u32,
    /// The main password's SCRAM keys.
    pub scram: Option<ScramKeys>,
    /// Its own quota in octets; None means the server's default.
    pub quota_octets: Option<u64>,
    /// Its own quota in messages; None means unlimited.
    pub quota_messages: Option<u64>,
    /// Octets in all its mailboxes.
    pub used_octets: u64,
    /// Messages in all its mailboxes.
    pub used_messages: u64,
    /// Since when mail for it has been put off for lack of room, without a break; seconds since 1970.
    pub full_since: Option<i64>,
}

const COLUMNS: &str = "id, address, address_key, full_name, owner, enabled, password, scram_salt,
    scram_iterations, scram_sha256, scram_sha1, quota_octets, quota_messages, used_octets,
    used_messages, full_since";

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    let sha256: Option<Vec<u8>> = row.get(9)?;
    let sha1: Option<Vec<u8>> = row.get(10)?;
    Ok(Account {
        id: row.get(0)?,
        address: row.get(1)?,
        address_key: row.get(2)?,
        full_name: row.get(3)?,
        owner: row.get(4)?,
        enabled: row.get(5)?,
        password: row.get(6)?,
        scram_salt: row.get(7)?,
        scram_iterations: row.get(8)?,
        scram: sha256.zip(sha1).map(|(sha256, sha1)| ScramKeys { sha256, sha1 }),
        quota_octets: row.get::<_, Option<i64>>(11)?.map(unsigned),
        quota_messages: row.get::<_, Option<i64>>(12)?.map(unsigned),
        used_octets: unsigned(row.get(13)?),
        used_messages: unsigned(row.get(14)?),
        full_since: row.get(15)?,
    })
}

impl Reader<'_> {
    /// All domains by name.
    pub fn domains(&self) -> Result<Vec<Domain>> {
        let sql = "SELECT name, catch_all FROM domain WHERE id <> 0 ORDER BY name";
        self.rows(sql, [], |row| Ok(Domain { name: row.get(0)?, catch_all: row.get(1)? }))
    }

    /// A domain of ours, by its name in lower case.
    pub fn domain(&self, name: &str) -> Result<Option<Domain>> {
        self.row("SELECT name, catch_all FROM domain WHERE name = ?1", [name], |row| {
            Ok(Domain { name: row.get(0)?, catch_all: row.get(1)? })
        })
    }

    /// All accounts by address, of one domain or of all.
    pub fn accounts(&self, domain: Option<&str>) -> Result<Vec<Account>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM account WHERE id <> 0 AND (?1 IS NULL
             OR domain = (SELECT id FROM domain WHERE name = ?1)) ORDER BY address_key"
        );
        self.rows(&sql, [domain], account)
    }

    /// The account with this address, by key; aliases are not asked.
    pub fn account(&self, address_key: &str) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE address_key = ?1");
        self.row(&sql, [address_key], account)
    }

    /// The account of this number.
    pub fn account_by_id(&self, id: AccountId) -> Result<Option<Account>> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE id = ?1");
        self.row(&sql, [id], account)
    }

    /// At most two accounts whose address key has this in front of its `@`.
    pub fn accounts_called(&self, local: &str) -> Result<Vec<AccountId>> {
        let sql = "SELECT id FROM account WHERE id <> 0 AND address_key >= ?1 || '@'
            AND address_key < ?1 || 'A' LIMIT 2";
        self.rows(sql, [local], |row| row.get(0))
    }

    /// May this account run the server?
    pub fn is_owner(&self, id: AccountId) -> Result<bool> {
        let sql = "SELECT owner FROM account WHERE id = ?1";
        Ok(self.row(sql, [id], |row| row.get(0))?.unwrap_or(false))
    }

    /// Who gets mail for this address key: the account itself, else those an alias names.
    pub fn addressees(&self, address_key: &str) -> Result<Vec<AccountId>> {
        let own = "SELECT id FROM account WHERE address_key = ?1";
        if let Some(id) = self.row(own, [address_key], |row| row.get(0))? {
            return Ok(vec![id]);
        }
        let sql = "SELECT account FROM alias WHERE address_key = ?1 ORDER BY account";
        self.rows(sql, [address_key], |row| row.get(0))
    }

    /// The aliases of an account as they are shown, or all of them with their accounts' addresses.
    pub fn aliases(&self, of: Option<AccountId>) -> Result<Vec<(String, String)>> {
        let sql = "SELECT alias.address, account.address FROM alias
            JOIN account ON account.id = alias.account
            WHERE ?1 IS NULL OR alias.account = ?1 ORDER BY alias.address_key";
        self.rows(sql, [of], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}

impl Tx<'_> {
    /// Makes a domain.
    pub fn add_domain(&mut self, name: &str) -> Result<()> {
        let sql = "INSERT INTO domain (name, created) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        if self.execute(sql, (name, self.now()))? == 0 {
            return Err(Error::Exists("domain"));
        }
        self.happened_to(None, Kind::SettingsChange);
        Ok(())
    }

    /// Removes a domain that has no accounts left, and the aliases in it.
    pub fn remove_domain(&mut self, name: &str) -> Result<()> {
        let sql = "SELECT count(*) FROM account
            WHERE domain = (SELECT id FROM domain WHERE name = ?1)";
        let accounts: i64 = self.row(sql, [name], |row| row.get(0))?.unwrap_or(0);
        if accounts > 0 {
            return Err(Error::Refused("the domain still has users"));
        }
        if self.execute("DELETE FROM domain WHERE name = ?1", [name])? == 0 {
            return Err(Error::NotFound("domain"));
        }
        // Nobody writes as an address of it any more.
        let sql = "DELETE FROM alias WHERE substr(address_key, -length(?1) - 1) = '@' || ?1";
        self.execute(sql, [name])?;
        self.happened_to(None, Kind::SettingsChange);
        Ok(())
    }

    /// Says who gets what a domain's unknown addresses get; None: they are refused.
    pub fn set_catch_all(&mut self, domain: &str, account: Option<AccountId>) -> Result<()> {
        let sql = "UPDATE domain SET catch_all = ?2 WHERE name = ?1";
        if self.execute(sql, (domain, account))? == 0 {
            return Err(Error::NotFound("domain"));
        }
        self.happened_to(None, Kind::SettingsChange);
        Ok(())
    }

    /// Makes an account; its mailboxes are made by [`Tx::add_mailbox`].
    pub fn add_account(&mut self, new: &NewAccount) -> Result<AccountId> {
        let sql = "SELECT id FROM domain WHERE name = ?1";
        let domain: i64 =
            self.row(sql, [&new.domain], |row| row.get(0))?.ok_or(Error::NotFound("domain"))?;
        if !self.addressees(&new.address_key)?.is_empty() {
            return Err(Error::Exists("address"));
        }
        let sql = "INSERT INTO account (domain, address, address_key, full_name, owner, password,
            scram_salt, scram_iterations, scram_sha256, scram_sha1, created)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let (sha256, sha1) = new.scram.as_ref().map(|keys| (&keys.sha256, &keys.sha1)).unzip();
        let row = rusqlite::params![
            domain,
            new.address,
            new.address_key,
            new.full_name,
            new.owner,
            new.password,
            new.scram_salt,
            new.scram_iterations,
            sha256,
            sha1,
            self.now(),
        ];
        self.execute(sql, row)?;
        let id = AccountId(self.sql.last_insert_rowid());
        self.happened_to(Some(id), Kind::AccountChange);
        Ok(id)
    }

    /// Removes an account with all its mail and all rights it had. What only it referred to is swept
    /// later.
    pub fn remove_account(&mut self, id: AccountId) -> Result<()> {
        self.withdraw_all_of(id)?;
        // Others may have some of them open.
        for mailbox in self.mailboxes(id)? {
            let kind = Kind::MailboxDelete(mailbox.name);
            self.happened(id, mailbox.id, mailbox.status.mod_seq, kind);
        }
        for table in ["metadata", "annotation"] {
            let sql = format!(
                "DELETE FROM {table} WHERE owner = ?1 OR mailbox IN
                 (SELECT id FROM mailbox WHERE account = ?1)"
            );
            self.execute(&sql, [id])?;
        }
        let sql = "DELETE FROM message WHERE mailbox IN
            (SELECT id FROM mailbox WHERE account = ?1)";
        self.execute(sql, [id])?;
        if self.execute("DELETE FROM account WHERE id = ?1", [id])? == 0 {
            return Err(Error::NotFound("account"));
        }
        self.happened_to(Some(id), Kind::AccountChange);
        Ok(())
    }

    /// Replaces the password and its SCRAM keys. Devices keep theirs, under the same salt.
    pub fn set_password(
        &mut self,
        id: AccountId,
        password: &str,
        scram: Option<&ScramKeys>,
    ) -> Result<()> {
        let sql = "UPDATE account SET password = ?2, scram_sha256 = ?3, scram_sha1 = ?4
            WHERE id = ?1";
        let (sha256, sha1) = scram.map(|keys| (&keys.sha256, &keys.sha1)).unzip();
        if self.execute(sql, (id, password, sha256, sha1))? == 0 {
            return Err(Error::NotFound("account"));
        }
        // Tokens that the old password's owner gave away end with it.
        self.execute("DELETE FROM url_key WHERE account = ?1", [id])?;
        self.happened_to(Some(id), Kind::AccountChange);
        Ok(())
    }

    /// Sets an account's own quota: octets and messages; None means the server's default.
    pub fn set_quota(
        &mut self,
        id: AccountId,
        octets: Option<u64>,
        messages: Option<u64>,
    ) -> Result<()> {
        let sql = "UPDATE account SET quota_octets = ?2, quota_messages = ?3, full_since = NULL
            WHERE id = ?1";
        if self.execute(sql, (id, octets.map(signed), messages.map(signed)))? == 0 {
            return Err(Error::NotFound("account"));
        }
        self.happened_to(Some(id), Kind::AccountChange);
        Ok(())
    }

    /// Lets an account log in and get mail, or not.
    pub fn set_enabled(&mut self, id: AccountId, enabled: bool) -> Result<()> {
        let sql = "UPDATE account SET enabled = ?2 WHERE id = ?1";
        if self.execute(sql, (id, enabled))? == 0 {
            return Err(Error::NotFound("account"));
        }
        self.happened_to(Some(id), Kind::AccountChange);
        Ok(())
    }

    /// Remembers that mail for an account is put off for lack of room, unless it was already.
    pub fn mark_full(&mut self, id: AccountId) -> Result<()> {
        let sql = "UPDATE account SET full_since = ?2 WHERE id = ?1 AND full_since IS NULL";
        self.execute(sql, (id, self.now()))?;
        Ok(())
    }

    /// Remembers that an account logged in.
    pub fn logged_in(&mut self, id: AccountId) -> Result<()> {
        self.execute("UPDATE account SET last_login = ?2 WHERE id = ?1", (id, self.now()))?;
        Ok(())
    }

    /// Makes an alias: mail for the address goes to the account too.
    pub fn add_alias(&mut self, address: &str, address_key: &str, to: AccountId) -> Result<()> {
        let own = "SELECT 1 FROM account WHERE address_key = ?1";
        if self.row(own, [address_key], |_| Ok(()))?.is_some() {
            return Err(Error::Exists("address"));
        }
        let sql = "INSERT INTO alias (address_key, address, account, created)
            VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
        if self.execute(sql, (address_key, address, to, self.now()))? == 0 {
            return Err(Error::Exists("alias"));
        }
        self.happened_to(Some(to), Kind::AccountChange);
        Ok(())
    }

    /// Removes an alias, whomever it names.
    pub fn remove_alias(&mut self, address_key: &str) -> Result<()> {
        let accounts = self.addressees(address_key)?;
        if self.execute("DELETE FROM alias WHERE address_key = ?1", [address_key])? == 0 {
            return Err(Error::NotFound("alias"));
        }
        for account in accounts {
            self.happened_to(Some(account), Kind::AccountChange);
        }
        Ok(())
    }
}
