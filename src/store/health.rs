//! What the disk still lets the store do: everything, only reading, or nothing.
//!
//! A sync that failed is never forgiven: the kernel may have dropped the pages and would report
//! success the next time. A write that failed is tried again after a while. A damaged page ends all
//! changes until a person has looked, since more of them could make more damage.

use std::sync::{Mutex, PoisonError};

use rusqlite::{ErrorCode, ffi};
use tokio::sync::watch;

use super::error::{Error, Result};

/// What the store can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Everything.
    Well,
    /// The disk takes no writes. It is tried again by itself, and reading goes on meanwhile.
    ReadOnly,
    /// A page of the database is damaged: nothing is changed until the process starts again.
    Damaged,
    /// A sync failed: the process must end.
    Failed,
}

/// One for a store; every thread that meets the disk reports to it.
pub(super) struct Health {
    condition: Mutex<Condition>,
    failed: watch::Sender<bool>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { condition: Mutex::new(Condition::Well), failed: watch::Sender::new(false) }
    }

    pub(super) fn condition(&self) -> Condition {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses changes that would not come to a good end.
    pub(super) fn check(&self) -> Result<()> {
        match self.condition() {
            Condition::Well => Ok(()),
            Condition::ReadOnly | Condition::Damaged => Err(Error::ReadOnly),
            Condition::Failed => Err(Error::SyncFailed),
        }
    }

    /// Takes an error in, whoever met it, and gives it back.
    pub(super) fn saw(&self, error: Error) -> Error {
        match &error {
            Error::ReadOnly => self.worse(Condition::ReadOnly),
            Error::SyncFailed => self.worse(Condition::Failed),
            _ => {}
        }
        error
    }

    /// The same for an error of SQLite, which alone can tell of a damaged page.
    pub(super) fn saw_sql(&self, error: rusqlite::Error) -> Error {
        let code = error.sqlite_error_code();
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            tracing::debug!(%error, "damage");
            self.worse(Condition::Damaged);
        }
        self.saw(error.into())
    }

    /// A write went well again: an end to [`Condition::ReadOnly`], and to nothing else.
    pub(super) fn wrote(&self) {
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        if *condition == Condition::ReadOnly {
            *condition = Condition::Well;
            tracing::warn!("the disk takes changes again");
        }
    }

    /// Raises the alarm once, when the condition changes for the worse.
    fn worse(&self, new: Condition) {
        let mut condition = self.condition.lock().unwrap_or_else(PoisonError::into_inner);
        let rank = |condition| match condition {
            Condition::Well => 0,
            Condition::ReadOnly => 1,
            Condition::Damaged => 2,
            Condition::Failed => 3,
        };
        if rank(new) <= rank(*condition) {
            return;
        }
        *condition = new;
        drop(condition);
        match new {
            Condition::Well => {}
            Condition::ReadOnly => tracing::error!(
                "the disk takes no writes: mail can be read, nothing can be changed; it is tried \
                 again every few seconds"
            ),
            Condition::Damaged => tracing::error!(
                "the database is damaged: what is whole can be read, nothing is changed any more. \
                 Stop the server, keep a copy of data_dir, run `mailade check`, and restore the \
                 last backup"
            ),
            Condition::Failed => tracing::error!(
                "the disk failed to sync: nothing more is written and the process must end"
            ),
        }
    }

    /// The process is about to end by this; once those whose change failed have been answered.
    pub(super) fn tell_failed(&self) {
        self.failed.send_replace(true);
    }

    pub(super) async fn failed(&self) {
        let mut failed = self.failed.subscribe();
        let _ = failed.wait_for(|failed| *failed).await;
    }
}

/// What SQLite's I/O errors mean for us.
pub(super) fn io_error(error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    match code {
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => Error::SyncFailed,
        ffi::SQLITE_IOERR_READ
        | ffi::SQLITE_IOERR_SHORT_READ
        | ffi::SQLITE_IOERR_CORRUPTFS
        | ffi::SQLITE_IOERR_DATA => Error::Corrupt(error.to_string()),
        ffi::SQLITE_IOERR_NOMEM => Error::Sql(error),
        _ => Error::ReadOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_failed_sync_is_for_good_and_a_failed_write_is_not() {
        let health = Health::new();
        assert!(matches!(health.saw_sql(sqlite(ffi::SQLITE_IOERR_WRITE)), Error::ReadOnly));
        assert_eq!(health.condition(), Condition::ReadOnly);
        assert!(matches!(health.check(), Err(Error::ReadOnly)));
        health.wrote();
        assert!(health.check().is_ok());
        assert!(matches!(health.saw_sql(sqlite(ffi::SQLITE_IOERR_FSYNC)), Error::SyncFailed));
        health.wrote();
        assert!(matches!(health.check(), Err(Error::SyncFailed)));
    }

    #[test]
    fn a_damaged_page_ends_changes_and_a_damaged_message_does_not() {
        let health = Health::new();
        let _ = health.saw(Error::Corrupt("a large body".into()));
        let _ = health.saw_sql(sqlite(ffi::SQLITE_FULL));
        assert_eq!(health.condition(), Condition::Well);
        let seen = health.saw_sql(sqlite(ffi::SQLITE_CORRUPT));
        assert!(matches!(seen, Error::Corrupt(_)));
        health.wrote();
        assert_eq!(health.condition(), Condition::Damaged);
        assert!(matches!(health.check(), Err(Error::ReadOnly)));
    }

    #[test]
    fn what_cannot_be_read_is_damage() {
        for code in [ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_SHORT_READ] {
            assert!(matches!(Health::new().saw_sql(sqlite(code)), Error::Corrupt(_)));
        }
        for code in [ffi::SQLITE_READONLY, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_TRUNCATE] {
            assert!(matches!(Health::new().saw_sql(sqlite(code)), Error::ReadOnly));
        }
    }
}
