//! The file of the index: two tables of trigrams, one of header fields and one of bodies.
//!
//! Contents enter in the order of their ids, which are never used twice: up to the mark every content
//! is in both tables, or in `head` and `cut`, or in `unindexed`, or gone. Texts are prepared for
//! comparison by who gives them.

use std::{cell::Cell, fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use crate::{
    ids::ContentId,
    store::{
        contents::Hash,
        error::{Error, Result},
    },
};

/// Marks the file as ours: "Mtxt" in ASCII.
const APPLICATION_ID: i64 = 0x4d74_7874;
/// Goes up when the tables change.
const FORMAT: i64 = 2;
/// Octets of trigrams that are gathered in memory before they are written.
const GATHERED: i64 = 4 << 20;

const SCHEMA: &str = "
    CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE unindexed (content INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE cut (content INTEGER PRIMARY KEY) STRICT;
    CREATE VIRTUAL TABLE head USING fts5 (text, content = '', contentless_delete = 1,
        detail = none, tokenize = 'trigram case_sensitive 1');
    CREATE VIRTUAL TABLE body USING fts5 (text, content = '', contentless_delete = 1,
        detail = none, tokenize = 'trigram case_sensitive 1');
";

/// The texts of a content, prepared for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Header fields.
    pub head: String,
    /// Text of the body; None where there is too much of it, which is for others to look at.
    pub body: Option<String>,
}

impl Texts {
    /// In octets.
    pub fn len(&self) -> usize {
        self.head.len().saturating_add(self.body.as_ref().map_or(0, String::len))
    }
}

/// The index, as its own thread sees it.
pub struct Index {
    pub(super) sql: Connection,
    /// A statement failed in a way that lets nobody trust the file any more.
    damaged: Cell<bool>,
    resting: Cell<bool>,
}

impl Index {
    /// Opens the file; one that is not this store's, is of another format or is damaged begins anew.
    pub(super) fn open(path: &Path, stamp: &[u8]) -> Result<Self> {
        match Self::open_known(path, stamp) {
            Ok(Some(index)) => return Ok(index),
            Ok(None) => {}
            Err(Error::Corrupt(cause)) => {
                tracing::warn!(cause, "the full-text index is damaged and begins anew");
            }
            Err(error) => return Err(error),
        }
        Self::make(path, stamp)
    }

    fn open_known(path: &Path, stamp: &[u8]) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let sql = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let number = |name| sql.query_row(name, [], |row| row.get::<_, i64>(0));
        if number("PRAGMA application_id")? != APPLICATION_ID
            || number("PRAGMA user_version")? != FORMAT
        {
            return Ok(None);
        }
        let known = "SELECT value FROM state WHERE name = 'stamp'";
        let known = sql.query_row(known, [], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        Ok((known.as_deref() == Some(stamp)).then_some(Self::new(sql)))
    }

    /// A new file in place of any that is there.
    pub(super) fn make(path: &Path, stamp: &[u8]) -> Result<Self> {
        remove(path)?;
        let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut sql = connect(path, create)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let step = sql.transaction()?;
        step.execute_batch(SCHEMA)?;
        for table in ["head", "body"] {
            let set = format!("INSERT INTO {table} ({table}, rank) VALUES ('hashsize', ?1)");
            step.execute(&set, [GATHERED])?;
        }
        step.execute("INSERT INTO state (name, value) VALUES ('stamp', ?1)", [stamp])?;
        step.pragma_update(None, "user_version", FORMAT)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.commit()?;
        Ok(Self::new(sql))
    }

    fn new(sql: Connection) -> Self {
        Self { sql, damaged: Cell::new(false), resting: Cell::new(false) }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.get()
    }

    /// Up to this content everything is known.
    pub fn mark(&self) -> Result<ContentId> {
        self.seen(mark(&self.sql))
    }

    /// The hash that the content at the mark had.
    pub fn mark_hash(&self) -> Result<Option<Hash>> {
        let known = "SELECT value FROM state WHERE name = 'mark_hash'";
        let known = self.sql.query_row(known, [], |row| row.get(0)).optional();
        self.seen(known)
    }

    /// Takes a content in, which stands behind the mark; one without texts is for others to look at.
    pub fn add(&mut self, content: ContentId, texts: Option<&Texts>) -> Result<()> {
        let add = || {
            if let Some(Texts { head, body }) = texts {
                let row = "INSERT INTO head (rowid, text) VALUES (?1, ?2)";
                self.sql.prepare_cached(row)?.execute((content, head))?;
                if let Some(body) = body {
                    let row = "INSERT INTO body (rowid, text) VALUES (?1, ?2)";
                    self.sql.prepare_cached(row)?.execute((content, body))?;
                } else {
                    let row = "INSERT INTO cut (content) VALUES (?1)";
                    self.sql.prepare_cached(row)?.execute([content])?;
                }
            } else {
                let row = "INSERT INTO unindexed (content) VALUES (?1)";
                self.sql.prepare_cached(row)?.execute([content])?;
            }
            Ok(())
        };
        self.seen(add())
    }

    /// Up to this content, which has this hash, all that there are have been added.
    pub fn set_mark(&mut self, content: ContentId, hash: &Hash) -> Result<()> {
        let set = |name: &str, value: &[u8]| {
            let set = "INSERT INTO state (name, value) VALUES (?1, ?2)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            self.sql.prepare_cached(set)?.execute((name, value))
        };
        let both = || {
            set("mark", &content.0.to_le_bytes())?;
            set("mark_hash", hash)?;
            Ok(())
        };
        self.seen(both())
    }

    /// Forgets contents.
    pub fn remove(&mut self, contents: &[ContentId]) -> Result<()> {
        let remove = || {
            for content in contents {
                for sql in [
                    "DELETE FROM head WHERE rowid = ?1",
                    "DELETE FROM body WHERE rowid = ?1",
                    "DELETE FROM cut WHERE content = ?1",
                    "DELETE FROM unindexed WHERE content = ?1",
                ] {
                    self.sql.prepare_cached(sql)?.execute([content])?;
                }
            }
            Ok(())
        };
        self.seen(remove())
    }

    /// Some of the contents that are known, from the one behind `after` on, ids rising.
    pub fn known_after(&self, after: ContentId, limit: u32) -> Result<Vec<ContentId>> {
        let known = || {
            // What stands in one table only is no whole entry, and shall not look like one.
            let sql = "SELECT id FROM head_docsize JOIN body_docsize USING (id) WHERE id > ?1
                UNION ALL SELECT id FROM head_docsize JOIN cut ON content = id WHERE id > ?1
                UNION ALL SELECT content FROM unindexed WHERE content > ?1
                ORDER BY 1 LIMIT ?2";
            self.sql.prepare_cached(sql)?.query_map((after, limit), |row| row.get(0))?.collect()
        };
        self.seen(known())
    }

    /// Begins anew when this job is over: what is in the file cannot be trusted.
    pub fn distrust(&self) {
        self.damaged.set(true);
    }

    /// What is wrong with the file, as far as it can be told from itself; slow.
    pub fn check(&self) -> Result<Vec<String>> {
        let pages = || {
            let mut found = self.sql.prepare("PRAGMA integrity_check")?;
            found.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        let mut findings = self.seen(pages())?;
        findings.retain(|finding| finding != "ok");
        for table in ["head", "body"] {
            let check = format!("INSERT INTO {table} ({table}) VALUES ('integrity-check')");
            if let Err(error) = self.seen(self.sql.execute(&check, [])) {
                findings.push(format!("{table}: {error}"));
            }
        }
        if !findings.is_empty() {
            self.distrust();
        }
        Ok(findings)
    }

    /// Ends the transaction of a job.
    pub(super) fn end(&self, how: &str) -> Result<()> {
        self.seen(self.sql.execute_batch(how))
    }

    /// There is nothing to do for a while: memory that only work needs is given back when this job is
    /// over.
    pub fn rest(&self) {
        self.resting.set(true);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.take()
    }

    fn seen<T>(&self, outcome: rusqlite::Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let error = Error::from(error);
            // After a failed sync nobody knows what the file holds.
            if matches!(error, Error::Corrupt(_) | Error::SyncFailed) {
                self.damaged.set(true);
            }
            error
        })
    }
}

/// Up to this content everything is known.
pub(super) fn mark(sql: &Connection) -> rusqlite::Result<ContentId> {
    let known = "SELECT value FROM state WHERE name = 'mark'";
    let known = sql.prepare_cached(known)?.query_row([], |row| row.get(0)).optional()?;
    Ok(ContentId(known.map_or(0, i64::from_le_bytes)))
}

/// A connection with the settings of the index: its file may be lost, but is never half written.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let sql = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    sql.execute_batch("PRAGMA busy_timeout = 10000;")?;
    if flags.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
        sql.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        sql.query_row("PRAGMA journal_size_limit = 16777216", [], |_| Ok(()))?;
    }
    sql.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
         PRAGMA mmap_size = 0; PRAGMA cache_size = -2048;",
    )?;
    Ok(sql)
}

/// Removes the file and what belongs to it.
pub(super) fn remove(path: &Path) -> Result<()> {
    for end in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
