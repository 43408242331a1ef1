//! The one writer: takes all jobs that wait, runs each in a savepoint, commits once, then answers.
//!
//! So the number of durable changes per second grows with the number of those who wait, instead of
//! being bound by the disk's sync rate. Nobody is answered before the commit has returned.

use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    thread,
};

use rusqlite::{Connection, ErrorCode, hooks::Wal};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    blobs::Blobs,
    error::{Error, Result},
    reader::Reader,
    space::{Gauge, Space},
    tx::Tx,
};
use crate::events::{Bus, Event, Origin};

/// How many jobs wait before their askers do.
const WAITING: usize = 1024;
/// How many jobs one transaction takes at most.
const BATCH: usize = 128;
/// After how many pages in the write-ahead log the checkpointer is woken.
const CHECKPOINT_PAGES: i64 = 2_000;
/// From how many pages on the writer waits for a checkpoint of its own (about 128 MiB).
const WAIT_PAGES: i64 = 16_384;

/// A job with its answer's way back.
trait Job: Send {
    fn origin(&self) -> Origin;
    /// Does the work; false when it must be rolled back.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Answers: with the job's own result, or with why the transaction failed.
    fn settle(self: Box<Self>, outcome: Result<()>);
}

struct Waiting<T, E, F> {
    origin: Origin,
    job: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Waiting<T, E, F>
where
    T: Send,
    E: From<Error> + Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
{
    fn origin(&self) -> Origin {
        self.origin
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let result = self.job.take().map_or_else(|| Err(Error::Closed.into()), |job| job(tx));
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn settle(self: Box<Self>, outcome: Result<()>) {
        let result = match (self.result, outcome) {
            // A job that failed by itself keeps its own words.
            (Some(Err(error)), _) => Err(error),
            (Some(result), Ok(())) => result,
            (_, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(Error::Closed.into()),
        };
        let _ = self.answer.send(result);
    }
}

enum Message {
    Job(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// The handle on the writer's thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
    state: Arc<State>,
}

struct State {
    commits: AtomicU64,
    failed: watch::Sender<bool>,
    gauge: Mutex<Gauge>,
}

impl Writer {
    /// Starts the writer and its checkpointer.
    pub(super) fn start(
        mut sql: Connection,
        checkpoints: Connection,
        blobs: Arc<Blobs>,
        bus: Arc<Bus>,
        gauge: Gauge,
    ) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel(WAITING);
        let state = Arc::new(State {
            commits: AtomicU64::new(0),
            failed: watch::Sender::new(false),
            gauge: Mutex::new(gauge),
        });
        let wake_checkpointer = start_checkpointer(checkpoints)?;
        let log_pages = Arc::new(AtomicI64::new(0));
        let pages_now = Arc::clone(&log_pages);
        sql.wal_hook(Some(move |_: &mut Wal, pages: c_int| {
            pages_now.store(pages.into(), Ordering::Relaxed);
            Ok(())
        }))?;
        sql.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        let work =
            Thread { sql, blobs, bus, state: Arc::clone(&state), wake_checkpointer, log_pages };
        thread::Builder::new().name("writer".into()).spawn(move || {
            let guard = EndOfProcess;
            work.serve(inbox);
            std::mem::forget(guard);
        })?;
        Ok(Self { jobs, state })
    }

    pub(super) async fn run<T, E, F>(
        &self,
        origin: Origin,
        job: F,
    ) -> Result<super::Committed<T>, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job = Box::new(Waiting { origin, job: Some(job), result: None, answer });
        self.jobs.send(Message::Job(job)).await.map_err(|_| Error::Closed)?;
        result.await.map_err(|_| Error::Closed)?.map(super::Committed)
    }

    pub(super) fn commits(&self) -> u64 {
        self.state.commits.load(Ordering::Relaxed)
    }

    pub(super) fn space(&self) -> Space {
        self.state.space()
    }

    pub(super) async fn failed(&self) {
        let mut failed = self.state.failed.subscribe();
        let _ = failed.wait_for(|failed| *failed).await;
    }

    pub(super) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl State {
    fn space(&self) -> Space {
        self.gauge.lock().unwrap_or_else(PoisonError::into_inner).read()
    }
}

/// A panic of the writer leaves nobody who could say what is on the disk: the process ends.
struct EndOfProcess;

impl Drop for EndOfProcess {
    fn drop(&mut self) {
        tracing::error!("the store's writer panicked; the process ends");
        std::process::abort();
    }
}

/// What the writer's thread owns.
struct Thread {
    sql: Connection,
    blobs: Arc<Blobs>,
    bus: Arc<Bus>,
    state: Arc<State>,
    wake_checkpointer: std::sync::mpsc::SyncSender<()>,
    /// The length of the write-ahead log after the last commit, in pages.
    log_pages: Arc<AtomicI64>,
}

impl Thread {
    fn serve(self, mut inbox: mpsc::Receiver<Message>) {
        let mut batch: Vec<Box<dyn Job>> = Vec::with_capacity(BATCH);
        while let Some(first) = inbox.blocking_recv() {
            let mut next = Some(first);
            let mut closing = None;
            while let Some(message) = next {
                match message {
                    Message::Job(job) => batch.push(job),
                    Message::Close(answer) => closing = Some(answer),
                }
                let full = batch.len() >= BATCH || closing.is_some();
                next = if full { None } else { inbox.try_recv().ok() };
            }
            if !batch.is_empty() && !self.commit(&mut batch) {
                return self.fail(inbox);
            }
            if let Some(answer) = closing {
                inbox.close();
                let _ = self.sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                let _ = answer.send(());
                return;
            }
            self.checkpoint();
        }
    }

    /// One transaction for all of the batch; false when nothing may be written any more.
    fn commit(&self, batch: &mut Vec<Box<dyn Job>>) -> bool {
        let space = self.state.space();
        let mut events = Vec::new();
        let outcome = if space.may_write() {
            self.transact(batch, space, &mut events)
        } else {
            Err(Error::DiskFull)
        };
        if outcome.is_err() && !self.sql.is_autocommit() {
            let _ = self.word("ROLLBACK");
        }
        if outcome.is_ok() {
            self.state.commits.fetch_add(1, Ordering::Relaxed);
            self.bus.publish(events);
        }
        let fatal = outcome.as_ref().is_err_and(is_fatal);
        if let Err(error) = &outcome {
            tracing::error!(%error, jobs = batch.len(), "a transaction failed");
        }
        for job in batch.drain(..) {
            job.settle(outcome.as_ref().copied().map_err(again));
        }
        !fatal
    }

    fn transact(
        &self,
        batch: &mut [Box<dyn Job>],
        space: Space,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        self.word("BEGIN IMMEDIATE")?;
        for job in batch {
            self.word("SAVEPOINT job")?;
            let never = AtomicBool::new(false);
            let reader = Reader::new(&self.sql, &self.blobs, &never);
            let mut tx = Tx::new(reader, job.origin(), space);
            let kept = job.run(&mut tx);
            if self.sql.is_autocommit() {
                // SQLite rolled all of it back by itself (full disk, I/O error).
                return Err(Error::DiskFull);
            }
            if kept {
                events.extend(tx.into_events());
            } else {
                self.word("ROLLBACK TO job")?;
            }
            self.word("RELEASE job")?;
        }
        self.word("COMMIT")
    }

    fn word(&self, word: &str) -> Result<()> {
        self.sql.prepare_cached(word)?.execute([])?;
        Ok(())
    }

    /// Keeps the write-ahead log short without making a job wait for it, unless it grows too long.
    fn checkpoint(&self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages >= WAIT_PAGES {
            let _ = self.sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            self.log_pages.store(0, Ordering::Relaxed);
        } else if pages >= CHECKPOINT_PAGES {
            let _ = self.wake_checkpointer.try_send(());
        }
    }

    /// A sync that failed may have lost pages the kernel no longer knows of: never try again.
    fn fail(self, mut inbox: mpsc::Receiver<Message>) {
        tracing::error!(
            "the disk failed to sync; nothing more is written and the process must end"
        );
        self.state.failed.send_replace(true);
        inbox.close();
        while let Some(message) = inbox.blocking_recv() {
            if let Message::Job(job) = message {
                job.settle(Err(Error::Closed));
            }
        }
    }
}

/// Runs PASSIVE checkpoints on a connection of its own whenever it is woken.
fn start_checkpointer(sql: Connection) -> Result<std::sync::mpsc::SyncSender<()>> {
    let (wake, woken) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name("checkpointer".into()).spawn(move || {
        while woken.recv().is_ok() {
            let _ = sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    })?;
    Ok(wake)
}

/// Must the process end? An I/O error while committing says nothing about what is on the disk.
fn is_fatal(error: &Error) -> bool {
    let Error::Sql(error) = error else { return false };
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// The same refusal for each job of a batch.
fn again(error: &Error) -> Error {
    match error {
        Error::DiskFull => Error::DiskFull,
        Error::Corrupt(what) => Error::Corrupt(what.clone()),
        _ => Error::Closed,
    }
}
