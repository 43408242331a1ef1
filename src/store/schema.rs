//! The tables, and how an older database becomes a newer one.
//!
//! Each migration runs in one transaction with its `user_version`: killed at any point, the file is
//! either old or new. A file from a newer program is refused.

use rusqlite::Connection;

use super::error::{Error, Result};

/// Marks the file as ours: "Mail" in ASCII.
const APPLICATION_ID: i64 = 0x4d61_696c;

/// All migrations; the number of one is its place here, from 1.
const MIGRATIONS: [&str; 8] = [
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
    include_str!("schema/004.sql"),
    include_str!("schema/005.sql"),
    include_str!("schema/006.sql"),
    include_str!("schema/007.sql"),
    include_str!("schema/008.sql"),
];

/// Settings that only take effect before the first table.
pub(super) const BEFORE_FIRST_TABLE: &str = "
    PRAGMA page_size = 8192;
    PRAGMA auto_vacuum = INCREMENTAL;
";

/// Brings the database to the newest schema.
pub(super) fn migrate(sql: &mut Connection) -> Result<()> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = sql.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(Error::TooNew { found, known });
    }
    for (number, migration) in (1..).zip(MIGRATIONS).filter(|(number, _)| *number > found) {
        let step = sql.transaction()?;
        step.execute_batch(migration)?;
        step.pragma_update(None, "user_version", number)?;
        step.pragma_update(None, "application_id", APPLICATION_ID)?;
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_gets_every_migration_and_a_newer_one_is_refused() {
        let mut sql = Connection::open_in_memory().unwrap();
        migrate(&mut sql).unwrap();
        migrate(&mut sql).unwrap();
        sql.pragma_update(None, "user_version", 1000).unwrap();
        assert!(matches!(migrate(&mut sql), Err(Error::TooNew { found: 1000, .. })));
    }
}
