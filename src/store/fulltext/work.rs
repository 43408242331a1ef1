//! The index's own thread: one job after the other, each in a transaction, at low priority.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
};

use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{file::Index, lookup::Lookups};
use crate::{
    ids::ContentId,
    metrics::{Count, Metrics},
    store::{
        blobs::Blobs,
        error::{Error, Result},
        health::Health,
        reader::{self, Reader},
        snapshots::Snapshots,
    },
};

/// Jobs that wait before their askers do.
const WAITING: usize = 4;
/// How far the thread steps back behind all that somebody waits for.
const NICE: i32 = 10;

type Job = Box<dyn FnOnce(&mut Thread) + Send>;

enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

/// What the thread is started with.
pub(super) struct Means {
    pub(super) path: PathBuf,
    pub(super) stamp: Vec<u8>,
    /// Reads the store.
    pub(super) sql: Connection,
    /// Its place among the readers' snapshots.
    pub(super) number: usize,
    pub(super) blobs: Arc<Blobs>,
    pub(super) health: Arc<Health>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) lookups: Arc<Lookups>,
    pub(super) metrics: Arc<Metrics>,
}

/// The handle on the thread.
pub(super) struct Worker {
    jobs: mpsc::Sender<Message>,
    /// The file cannot be trusted.
    distrusted: Arc<AtomicBool>,
    current: Arc<Mutex<Current>>,
    /// Ends what the index's own statements do.
    closing: Arc<AtomicBool>,
    anew: Arc<Notify>,
    /// Up to this content everything is known.
    mark: Arc<AtomicI64>,
}

/// What the thread does now.
#[derive(Default)]
struct Current {
    /// Ends a long job.
    cancelled: Arc<AtomicBool>,
    /// No more jobs are begun.
    closing: bool,
}

impl Worker {
    pub(super) fn start(means: Means) -> Result<Self> {
        let (jobs, mut inbox) = mpsc::channel(WAITING);
        let distrusted = Arc::new(AtomicBool::new(false));
        let current = Arc::new(Mutex::new(Current::default()));
        let closing = Arc::new(AtomicBool::new(false));
        let (anew, mark) = (Arc::new(Notify::new()), Arc::default());
        let mut thread = Thread {
            means,
            index: None,
            rests_trusted: false,
            closing: Arc::clone(&closing),
            anew: Arc::clone(&anew),
            mark: Arc::clone(&mark),
            distrusted: Arc::clone(&distrusted),
            current: Arc::clone(&current),
        };
        thread::Builder::new().name("fulltext".into()).spawn(move || {
            step_back();
            while let Some(message) = inbox.blocking_recv() {
                match message {
                    Message::Job(job) => {
                        let job = std::panic::AssertUnwindSafe(|| job(&mut thread));
                        if std::panic::catch_unwind(job).is_err() {
                            tracing::error!("a job of the full-text index panicked");
                            thread.abandon();
                        }
                    }
                    Message::Close(done) => {
                        drop(thread);
                        let _ = done.send(());
                        return;
                    }
                }
            }
        })?;
        Ok(Self { jobs, distrusted, current, closing, anew, mark })
    }

    pub(super) async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Reader<'_>, &mut Index) -> Result<T, E> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job = Box::new(move |thread: &mut Thread| {
            let _ = answer.send(thread.run(job));
        });
        self.jobs.send(Message::Job(job)).await.map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?
    }

    /// The next job finds an empty index.
    pub(super) fn begin_anew(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
        self.anew.notify_one();
    }

    pub(super) fn mark(&self) -> ContentId {
        ContentId(self.mark.load(Ordering::Relaxed))
    }

    /// Waits for the moment from which on the index is empty.
    pub(super) async fn begins_anew(&self) {
        self.anew.notified().await;
    }

    /// Ends the job at hand, which is rolled back, and the thread.
    pub(super) async fn close(&self) {
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            current.closing = true;
            current.cancelled.store(true, Ordering::Relaxed);
            self.closing.store(true, Ordering::Relaxed);
        }
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Thread {
    means: Means,
    index: Option<Index>,
    closing: Arc<AtomicBool>,
    anew: Arc<Notify>,
    mark: Arc<AtomicI64>,
    /// The file was closed for a rest, and what is in it may be believed.
    rests_trusted: bool,
    distrusted: Arc<AtomicBool>,
    current: Arc<Mutex<Current>>,
}

impl Thread {
    fn run<T, E: From<Error>>(
        &mut self,
        job: impl FnOnce(&Reader<'_>, &mut Index) -> Result<T, E>,
    ) -> Result<T, E> {
        let cancelled = Arc::new(AtomicBool::new(false));
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.closing {
                return Err(Error::Closed.into());
            }
            current.cancelled = Arc::clone(&cancelled);
        }
        let index = self.ready()?;
        let outcome = self.transaction(index, &cancelled, job);
        if self.index.as_ref().is_some_and(Index::is_damaged) {
            self.distrusted.store(true, Ordering::Relaxed);
            self.abandon();
            self.anew.notify_one();
        }
        outcome
    }

    /// Opens the index where it is not, anew where it must be.
    fn ready(&mut self) -> Result<Index> {
        if self.distrusted.load(Ordering::Relaxed) {
            self.abandon();
        } else if let Some(index) = self.index.take() {
            return Ok(index);
        }
        let Means { path, stamp, metrics, lookups, .. } = &self.means;
        let was_there = path.exists();
        if was_there
            && !self.distrusted.load(Ordering::Relaxed)
            && let Some(index) = Index::open(path, stamp, &self.closing)?
        {
            if self.rests_trusted {
                index.trust();
            }
            return Ok(index);
        }
        // They may have a file open that is no longer there.
        lookups.close();
        let index = Index::make(path, stamp, &self.closing)?;
        if was_there {
            metrics.count(Count::FulltextRebuild);
        }
        self.distrusted.store(false, Ordering::Relaxed);
        Ok(index)
    }

    fn transaction<T, E: From<Error>>(
        &mut self,
        mut index: Index,
        cancelled: &Arc<AtomicBool>,
        job: impl FnOnce(&Reader<'_>, &mut Index) -> Result<T, E>,
    ) -> Result<T, E> {
        let Means { sql, number, blobs, health, snapshots, .. } = &self.means;
        index.sql.execute_batch("BEGIN IMMEDIATE").map_err(Error::from)?;
        let outcome = {
            let _open = snapshots.open(*number, cancelled);
            let reader = Reader::new(sql, blobs, health, cancelled);
            reader::snapshot(&reader, |r| job(r, &mut index))
        };
        let ended = index.end(outcome.is_ok() && !index.is_damaged());
        self.mark.store(index.mark().map_or(0, |mark| mark.0), Ordering::Relaxed);
        if index.is_trusted() {
            self.means.lookups.open();
        }
        if index.is_resting() && !index.is_damaged() {
            // Memory goes back to the system when all of a connection's does.
            self.rests_trusted = index.is_trusted();
            let _ = sql.execute_batch("PRAGMA shrink_memory");
        } else {
            self.index = Some(index);
        }
        let value = outcome?;
        ended?;
        Ok(value)
    }

    /// Lets go of a file that cannot be trusted.
    fn abandon(&mut self) {
        self.mark.store(0, Ordering::Relaxed);
        self.rests_trusted = false;
        self.means.lookups.close();
        self.index = None;
        let _ = self.means.sql.execute_batch("ROLLBACK");
    }
}

/// Whoever delivers or reads mail comes first.
fn step_back() {
    let this = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(this), NICE) {
        tracing::debug!(%error, "the full-text index works at full priority");
    }
}
