//! The store: one SQLite database and a folder of large bodies, and the only SQL in the house.
//!
//! [`Store::write`] hands a job to the one writer, which commits many jobs together; what it gives
//! back, a [`Committed`], exists only when the change is on the disk. [`Store::read`] runs a job on
//! one of a few reading threads. The methods on [`Reader`] and [`Tx`] are named for the deed and
//! stand beside their SQL, by noun: accounts, mailboxes, messages, contents, queue, …

mod accounts;
mod acl;
mod annotations;
mod blobs;
mod check;
mod contents;
mod devices;
mod error;
mod expunged;
mod files;
mod fulltext;
mod health;
mod keywords;
mod known;
mod log;
mod mailboxes;
mod messages;
mod metadata;
mod open;
mod queue;
mod reader;
mod schema;
mod scratch;
mod sending;
mod settings;
mod snapshots;
mod space;
mod sql;
mod submissions;
mod sweeper;
mod threads;
mod traces;
mod tx;
mod unchanged;
mod url_keys;
mod writer;

use std::{
    fs::File,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

#[cfg(test)]
pub(crate) use self::fulltext::rot;
pub use self::{
    accounts::{Account, Domain, NewAccount, ScramKeys},
    acl::{AclEntry, Identifier},
    annotations::{Along, Annotation, NewAnnotation},
    blobs::{Blob, BlobWriter},
    check::Scrubbed,
    contents::{ContentParts, Hash, NewContent, NewPiece, Run, Shared, Want},
    devices::{Device, NewDevice},
    error::{Error, Result},
    files::{Deed, Watch},
    fulltext::{Candidates, Fulltext, Index, Probe, Texts},
    health::Condition,
    keywords::{MarkMask, MarkNames},
    known::KnownAddress,
    mailboxes::{MailboxRow, SpecialUse, Status},
    messages::{Copied, MarkDeed, MarkOutcome, NewMessage},
    metadata::NewMetadata,
    open::{LogLimits, Options},
    queue::{Attempt, DelayReport, Due, Fate, NewQueued, Queued, QueuedRecipient, RecipientState},
    reader::Reader,
    scratch::Scratch,
    sending::{Sending, SendingState},
    space::Space,
    sweeper::Swept,
    traces::{NewTrace, Trace},
    tx::Tx,
    url_keys::UrlKey,
};
use crate::events::{Bus, Origin};

/// A handle on the store; cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    data_dir: PathBuf,
    bus: Arc<Bus>,
    inline_threshold: usize,
    blobs: Arc<blobs::Blobs>,
    log_ranges: usize,
    unmarked_ranges: usize,
    readers: reader::Readers,
    writer: writer::Writer,
    snapshots: Arc<snapshots::Snapshots>,
    /// What the full-text index will read the store with.
    unopened: Mutex<Option<fulltext::Unopened>>,
    fulltext: OnceLock<Fulltext>,
    _lock: File,
}

/// What a job gave back, and the proof that its change is on the disk: only the writer makes one,
/// after the commit. A positive answer to a change is made from it.
#[derive(Debug)]
#[must_use = "the client waits for the answer that this proves"]
pub struct Committed<T>(T);

impl<T> Committed<T> {
    /// The job's result.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// The same proof for what follows from the result.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Committed<U> {
        Committed(f(self.0))
    }
}

impl<T> Deref for Committed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Store {
    /// Runs a job on a reading thread, in one snapshot of the database.
    ///
    /// The job should be short (thousands of rows, not millions) and look at
    /// [`Reader::check_cancelled`] when it is not: dropping the future cancels it.
    pub async fn read<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    {
        self.0.readers.run(job).await
    }

    /// Runs a job in the next transaction of the writer; gives its result after the commit.
    ///
    /// A job that fails is rolled back alone. A job that was handed over runs even when the future
    /// is dropped.
    pub async fn write<T, E, F>(&self, origin: Origin, job: F) -> Result<Committed<T>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.0.writer.run(origin, job).await
    }

    /// Where everything lies.
    pub fn data_dir(&self) -> &Path {
        &self.0.data_dir
    }

    /// The stream of events that the writer feeds.
    pub fn bus(&self) -> &Arc<Bus> {
        &self.0.bus
    }

    /// From how many octets on a body is a file of its own.
    pub fn inline_threshold(&self) -> usize {
        self.0.inline_threshold
    }

    /// How many transactions the writer has committed, for measurements of group commit.
    pub fn commits(&self) -> u64 {
        self.0.writer.commits()
    }

    /// How much room the disk has.
    pub fn space(&self) -> Space {
        self.0.writer.space()
    }

    /// What the disk lets the store do.
    pub fn condition(&self) -> Condition {
        self.0.writer.health().condition()
    }

    /// Refuses what would add mail that could not be kept; the doors ask before they take it.
    pub fn check_adding(&self) -> Result<()> {
        self.0.writer.health().check()?;
        if self.space().may_add() { Ok(()) } else { Err(Error::DiskFull) }
    }

    /// Refuses a change that could not be kept, however small.
    pub fn check_writing(&self) -> Result<()> {
        self.0.writer.health().check()?;
        if self.space().may_write() { Ok(()) } else { Err(Error::DiskFull) }
    }

    /// Waits until a sync has failed: the process must end then, since a sync is never tried again.
    pub async fn failed(&self) {
        self.0.writer.health().failed().await;
    }

    /// Finishes the jobs that wait, checkpoints, and ends the threads. Later jobs get
    /// [`Error::Closed`].
    pub async fn close(&self) {
        self.0.writer.close().await;
        if let Some(fulltext) = self.fulltext() {
            fulltext.close().await;
        }
        self.0.readers.close();
        self.0.bus.close();
    }
}
