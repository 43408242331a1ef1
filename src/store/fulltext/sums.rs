//! Sums of the index's blocks, so that one that rots on the disk is known for it.
//!
//! SQLite believes what it reads, and so does the full-text engine: a wrong octet within a block would
//! hide messages in silence. So each job that writes blocks writes their sums with them, and all
//! blocks are held against their sums little by little.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _};

pub(super) const SCHEMA: &str = "
    CREATE TABLE sum (part INTEGER NOT NULL, id INTEGER NOT NULL, sum INTEGER NOT NULL,
        PRIMARY KEY (part, id)) STRICT, WITHOUT ROWID;
";

/// The tables in which the engine keeps its blocks, by part.
const TABLES: [(i64, &str); 2] = [(0, "head_data"), (1, "body_data")];

/// Which block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    part: i64,
    id: i64,
}

/// Before all of them.
impl Default for Place {
    fn default() -> Self {
        Self { part: 0, id: i64::MIN }
    }
}

impl Place {
    pub(super) fn from_octets(octets: &[u8]) -> Self {
        match octets.as_chunks() {
            ([part, id], []) => {
                Self { part: i64::from_le_bytes(*part), id: i64::from_le_bytes(*id) }
            }
            _ => Self::default(),
        }
    }

    pub(super) fn to_octets(self) -> Vec<u8> {
        [self.part.to_le_bytes(), self.id.to_le_bytes()].concat()
    }
}

/// The blocks that were written or removed since they were summed.
#[derive(Clone, Default)]
pub(super) struct Changed(Arc<Mutex<BTreeSet<Place>>>);

impl Changed {
    /// Of all that this connection changes from now on.
    pub(super) fn watch(sql: &mut Connection) -> rusqlite::Result<Self> {
        let changed = Self::default();
        let heard = changed.clone();
        sql.update_hook(Some(move |_, _: &str, table: &str, id| {
            if let Some((part, _)) = TABLES.iter().find(|(_, name)| *name == table) {
                heard.lock().insert(Place { part: *part, id });
            }
        }))?;
        Ok(changed)
    }

    /// They have become what they were before.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    /// Sums what has changed; within the transaction that changed it.
    pub(super) fn sum(&self, sql: &Connection) -> rusqlite::Result<()> {
        // What is gathered in memory is written now, and not behind our back by the commit.
        for table in ["head", "body"] {
            let flush = format!("INSERT INTO {table} ({table}) VALUES ('flush')");
            sql.prepare_cached(&flush)?.execute([])?;
        }
        let changed = std::mem::take(&mut *self.lock());
        for Place { part, id } in changed {
            let Some((_, table)) = TABLES.get(usize::try_from(part).unwrap_or_default()) else {
                continue;
            };
            let block = format!("SELECT block FROM {table} WHERE id = ?1");
            let sum = sql.prepare_cached(&block)?.query_row([id], |row| {
                Ok(sum(part, id, row.get_ref(0)?.as_blob().unwrap_or_default()))
            });
            if let Some(sum) = sum.optional()? {
                let put = "INSERT OR REPLACE INTO sum (part, id, sum) VALUES (?1, ?2, ?3)";
                sql.prepare_cached(put)?.execute((part, id, sum))?;
            } else {
                let remove = "DELETE FROM sum WHERE part = ?1 AND id = ?2";
                sql.prepare_cached(remove)?.execute((part, id))?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many blocks there are.
pub(super) fn count(sql: &Connection) -> rusqlite::Result<u64> {
    let count = sql.query_row("SELECT count(*) FROM sum", [], |row| row.get::<_, i64>(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Holds some blocks behind one against their sums. Gives the last one of them, None behind the last
/// of all, and what is wrong.
pub(super) fn compare(
    sql: &Connection,
    after: Place,
    limit: u32,
) -> rusqlite::Result<(Option<Place>, Vec<String>)> {
    let mut findings = Vec::new();
    for (part, table) in TABLES {
        if part < after.part {
            continue;
        }
        let from = if part == after.part { after.id } else { i64::MIN };
        let some = format!(
            "SELECT sum.id, sum, block FROM sum LEFT JOIN {table} AS data ON data.id = sum.id
             WHERE part = ?1 AND sum.id > ?2 ORDER BY sum.id LIMIT ?3"
        );
        let mut statement = sql.prepare_cached(&some)?;
        let mut rows = statement.query((part, from, limit))?;
        let (mut last, mut count) = (None, 0);
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let found = row.get_ref(2)?.as_blob_or_null().ok().flatten();
            let found = found.map(|block| sum(part, id, block));
            if found != Some(row.get(1)?) {
                findings.push(format!("block {id} of {table} is not what was written"));
            }
            (last, count) = (Some(id), count + 1);
        }
        // Behind the last sum there is no block either.
        let end = if count < i64::from(limit) { i64::MAX } else { last.unwrap_or(i64::MAX) };
        let there = format!("SELECT count(*) FROM {table} WHERE id > ?1 AND id <= ?2");
        let there: i64 = sql.prepare_cached(&there)?.query_row((from, end), |row| row.get(0))?;
        if there != count {
            findings.push(format!("{table} has {there} blocks where {count} were written"));
        }
        if end < i64::MAX {
            return Ok((Some(Place { part, id: end }), findings));
        }
    }
    Ok((None, findings))
}

fn sum(part: i64, id: i64, block: &[u8]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&part.to_le_bytes()).update(&id.to_le_bytes()).update(block);
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    i64::from_le_bytes(first)
}
