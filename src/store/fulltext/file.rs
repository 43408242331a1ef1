//! The file of the index: two tables of trigrams, one of header fields and one of bodies.
//!
//! Contents enter in the order of their ids, which are never used twice: up to the mark every content
//! is in both tables, or in `head` and `cut`, or in `unindexed`, or gone. Texts are prepared for
//! comparison by who gives them.

use std::{
    cell::Cell,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::sums::{self, Changed};
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
const GATHERED: i64 = 2 << 20;

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
    /// Octets of all of it.
    pub fn octets(&self) -> usize {
        self.head.len().saturating_add(self.body.as_ref().map_or(0, String::len))
    }
}

/// Instructions of SQLite between two looks at whether the house closes.
const LOOK_EVERY: i32 = 10_000;

/// The index, as its own thread sees it.
pub struct Index {
    pub(super) sql: Connection,
    changed: Changed,
    /// A statement failed in a way that lets nobody trust the file any more.
    damaged: Cell<bool>,
    resting: Cell<bool>,
    /// It is known to be of this store, and whole.
    trusted: Cell<bool>,
}

impl Index {
    /// Opens the file; None for one that is not this store's, is of another format or is damaged. Long
    /// statements end when `closing` is set.
    pub(super) fn open(
        path: &Path,
        stamp: &[u8],
        closing: &Arc<AtomicBool>,
    ) -> Result<Option<Self>> {
        match Self::open_known(path, stamp, closing) {
            Err(Error::Corrupt(cause)) => {
                tracing::warn!(cause, "the full-text index is damaged and begins anew");
                Ok(None)
            }
            other => other,
        }
    }

    fn open_known(path: &Path, stamp: &[u8], closing: &Arc<AtomicBool>) -> Result<Option<Self>> {
        let sql = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let number = |name| sql.query_row(name, [], |row| row.get::<_, i64>(0));
        if number("PRAGMA application_id")? != APPLICATION_ID
            || number("PRAGMA user_version")? != FORMAT
        {
            return Ok(None);
        }
        let known = "SELECT value FROM state WHERE name = 'stamp'";
        let known = sql.query_row(known, [], |row| row.get::<_, Vec<u8>>(0)).optional()?;
        if known.as_deref() == Some(stamp) { Self::new(sql, closing).map(Some) } else { Ok(None) }
    }

    /// A new file in place of any that is there.
    pub(super) fn make(path: &Path, stamp: &[u8], closing: &Arc<AtomicBool>) -> Result<Self> {
        remove(path)?;
        let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut sql = connect(path, create)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let changed = Changed::watch(&mut sql)?;
        let step = sql.transaction()?;
        step.execute_batch(SCHEMA)?;
        step.execute_batch(sums::SCHEMA)?;
        for table in ["head", "body"] {
            let set = format!("INSERT INTO {table} ({table}, rank) VALUES ('hashsize', ?1)");
            step.execute(&set, [GATHERED])?;
        }
        step.execute("INSERT INTO state (name, value) VALUES ('stamp', ?1)", [stamp])?;
        step.pragma_update(None, "user_version", FORMAT)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        changed.sum(&step)?;
        step.commit()?;
        let index = Self::new(sql, closing)?;
        index.trust();
        Ok(index)
    }

    fn new(mut sql: Connection, closing: &Arc<AtomicBool>) -> Result<Self> {
        let changed = Changed::watch(&mut sql)?;
        let closing = Arc::clone(closing);
        sql.progress_handler(LOOK_EVERY, Some(move || closing.load(Ordering::Relaxed)))?;
        let (damaged, resting, trusted) = Default::default();
        Ok(Self { sql, changed, damaged, resting, trusted })
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
        let mark = self.set("mark", &content.0.to_le_bytes());
        self.seen(mark.and_then(|()| self.set("mark_hash", hash)))
    }

    fn set(&self, name: &str, value: &[u8]) -> rusqlite::Result<()> {
        let set = "INSERT INTO state (name, value) VALUES (?1, ?2)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.sql.prepare_cached(set)?.execute((name, value)).map(|_| ())
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

    /// It holds what the store does: from now on it may be asked.
    pub fn trust(&self) {
        self.trusted.set(true);
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.trusted.get() && !self.is_damaged()
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> Result<u64> {
        self.seen(sums::count(&self.sql))
    }

    /// The next look at blocks begins with the first one.
    pub fn begin_with_first_block(&self) -> Result<()> {
        self.seen(self.set("compared", &[]))
    }

    /// Looks whether some blocks are still what was written, going on where it ended the last time.
    /// Says whether there are more, and what is wrong.
    pub fn check_blocks(&self, limit: u32) -> Result<(bool, Vec<String>)> {
        let known = "SELECT value FROM state WHERE name = 'compared'";
        let known = self.sql.query_row(known, [], |row| row.get::<_, Vec<u8>>(0)).optional();
        let after = sums::Place::from_octets(&self.seen(known)?.unwrap_or_default());
        let (last, findings) = self.seen(sums::compare(&self.sql, after, limit))?;
        self.seen(self.set("compared", &last.unwrap_or_default().to_octets()))?;
        self.believe(&findings);
        Ok((last.is_some(), findings))
    }

    /// What is wrong with the file, as far as it can be told from how it hangs together; slow.
    pub fn check(&self) -> Result<Vec<String>> {
        // The engine adds whether its inner nodes lead to its blocks.
        let pages = || {
            let mut found = self.sql.prepare("PRAGMA integrity_check")?;
            found.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        let mut findings = self.seen(pages())?;
        findings.retain(|finding| finding != "ok");
        self.believe(&findings);
        Ok(findings)
    }

    fn believe(&self, findings: &[String]) {
        for finding in findings {
            tracing::warn!(finding, "the full-text index is damaged and begins anew");
            self.distrust();
        }
    }

    /// Ends the transaction of a job, whose changes are kept or not.
    pub(super) fn end(&self, keep: bool) -> Result<()> {
        if !keep {
            self.changed.forget();
            return self.seen(self.sql.execute_batch("ROLLBACK"));
        }
        self.seen(self.changed.sum(&self.sql).and_then(|()| self.sql.execute_batch("COMMIT")))
    }

    /// There is nothing to do for a while: the file is closed when this job is over, until the next one.
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
         PRAGMA mmap_size = 0; PRAGMA cache_size = -1024;",
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
