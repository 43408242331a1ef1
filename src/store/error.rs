//! Why the store could not do it, sorted by who can mend it.

use std::io;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such domain, account, mailbox, message, queue entry …
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The name is taken.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// It may not be done to this one (INBOX, a mailbox with messages under way, …).
    #[error("{0}")]
    Refused(&'static str),
    /// Another process has the data directory open.
    #[error("the data directory is in use")]
    InUse,
    /// The owner's quota is used up.
    #[error("quota exceeded")]
    OverQuota,
    /// A limit of the server; the text names it.
    #[error("limit reached: {0}")]
    Limit(&'static str),
    /// The disk is nearly full: mail is not added, or nothing is written at all.
    #[error("the disk is full")]
    DiskFull,
    /// What is stored can't be read: a damaged page, a missing or damaged blob.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The database was made by a newer version of this program.
    #[error(
        "the database has schema {found}, this program knows up to {known}: use a newer program"
    )]
    TooNew {
        /// The schema in the file.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The asker went away.
    #[error("cancelled")]
    Cancelled,
    /// The store is closing, or its writer has failed.
    #[error("the store is closed")]
    Closed,
    /// SQLite's own complaint.
    #[error("database: {0}")]
    Sql(#[source] rusqlite::Error),
    /// The file system's complaint.
    #[error("file system: {0}")]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt(error.to_string())
            }
            Some(ErrorCode::OperationInterrupted) => Self::Cancelled,
            _ => Self::Sql(error),
        }
    }
}

/// What the store's functions give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;
