//! Why the store could not do it, sorted by who can mend it.

use std::io;

use super::health;
use crate::metrics::Limit;

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
    /// The same for a bound that is a key of the configuration.
    #[error("limit reached: {1}")]
    Over(Limit, &'static str),
    /// More would be said of a message than may be.
    #[error("too many annotations")]
    ManyAnnotations,
    /// The disk is nearly full: mail is not added, or nothing is written at all.
    #[error("the disk is full")]
    DiskFull,
    /// The disk takes no writes, or a page of the database is damaged: reading goes on.
    #[error("the server's disk takes no changes now")]
    ReadOnly,
    /// A sync failed: nobody knows what is on the disk, and the process ends.
    #[error("the disk failed")]
    SyncFailed,
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
    /// The store is closing.
    #[error("the store is closed")]
    Closed,
    /// SQLite's own complaint.
    #[error("database: {0}")]
    Sql(#[source] rusqlite::Error),
    /// The file system's complaint.
    #[error("file system: {0}")]
    Io(#[source] io::Error),
}

impl Error {
    /// The same for each of those who share its cause.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::ReadOnly => Self::ReadOnly,
            Self::SyncFailed => Self::SyncFailed,
            Self::Closed => Self::Closed,
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            other => Self::Io(io::Error::other(other.to_string())),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::DiskFull,
            Kind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io(error),
        }
    }
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
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::SystemIoFailure) => health::io_error(error),
            _ => Self::Sql(error),
        }
    }
}

/// What the store's functions give back.
pub type Result<T, E = Error> = std::result::Result<T, E>;
