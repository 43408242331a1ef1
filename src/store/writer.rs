//! The one writer: takes all jobs that wait, runs each in a savepoint, commits once, then answers.
//!
//! So the number of durable changes per second grows with the number of those who wait, instead of
//! being bound by the disk's sync rate. Nobody is answered before the commit has returned.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    blobs::Blobs,
    error::{Error, Result},
    health::{Condition, Health},
    log::{Care, Log},
    reader::Reader,
    space::{Gauge, Space},
    tx::Tx,
};
use crate::{
    events::{Bus, Event, Origin},
    metrics::{Limit, Metrics},
};

/// How many jobs wait before their askers do.
const WAITING: usize = 1024;
/// How many jobs one transaction takes at most.
const BATCH: usize = 128;

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
    /// See whether a disk that took no writes takes them again.
    Probe,
    Close(oneshot::Sender<()>),
}

/// The handle on the writer's thread.
pub(super) struct Writer {
    jobs: mpsc::Sender<Message>,
    state: Arc<State>,
}

struct State {
    commits: AtomicU64,
    health: Arc<Health>,
    gauge: Mutex<Gauge>,
    metrics: Arc<Metrics>,
}

/// What the writer is started with.
pub(super) struct Means {
    /// The one connection that changes anything.
    pub(super) sql: Connection,
    /// Another one for checkpoints.
    pub(super) checkpoints: Connection,
    pub(super) blobs: Arc<Blobs>,
    pub(super) bus: Arc<Bus>,
    pub(super) health: Arc<Health>,
    pub(super) gauge: Gauge,
    pub(super) metrics: Arc<Metrics>,
    /// How often a disk that took no writes is tried again.
    pub(super) probe_every: Duration,
    /// How long the write-ahead log is, and may grow.
    pub(super) log: Log,
    /// Keywords of one mailbox.
    pub(super) keywords: usize,
}

impl Writer {
    /// Starts the writer and its checkpointer.
    pub(super) fn start(means: Means) -> Result<Self> {
        let Means { mut sql, checkpoints, blobs, bus, health, .. } = means;
        let Means { gauge, metrics, probe_every, log, keywords, .. } = means;
        let (jobs, inbox) = mpsc::channel(WAITING);
        let state = Arc::new(State {
            commits: AtomicU64::new(0),
            health: Arc::clone(&health),
            gauge: Mutex::new(gauge),
            metrics,
        });
        let (wake_checkpointer, woken) = sync_channel(1);
        log.follow(&mut sql)?;
        let checkpointer =
            Checkpointer { sql: checkpoints, health, writer: jobs.downgrade(), woken, probe_every };
        let name = |name: &str| thread::Builder::new().name(name.into());
        name("checkpointer").spawn(move || checkpointer.serve())?;
        let work =
            Thread { sql, blobs, bus, state: Arc::clone(&state), wake_checkpointer, log, keywords };
        name("writer").spawn(move || {
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
        self.state.gauge().read()
    }

    pub(super) fn health(&self) -> &Health {
        &self.state.health
    }

    pub(super) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.jobs.send(Message::Close(answer)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

impl State {
    fn gauge(&self) -> MutexGuard<'_, Gauge> {
        self.gauge.lock().unwrap_or_else(PoisonError::into_inner)
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
    wake_checkpointer: SyncSender<()>,
    log: Log,
    keywords: usize,
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
                    Message::Probe => self.probe(),
                    Message::Close(answer) => closing = Some(answer),
                }
                let full = batch.len() >= BATCH || closing.is_some();
                next = if full { None } else { inbox.try_recv().ok() };
            }
            if !batch.is_empty() {
                self.commit(&mut batch);
            }
            if self.state.health.condition() == Condition::Failed {
                return self.fail(inbox);
            }
            if let Some(answer) = closing {
                inbox.close();
                let _ = checkpoint(&self.sql, "TRUNCATE", &self.state.health);
                let _ = answer.send(());
                return;
            }
            self.checkpoint();
        }
    }

    /// One transaction for all of the batch, then everybody's answer.
    fn commit(&self, batch: &mut Vec<Box<dyn Job>>) {
        let mut events = Vec::new();
        let outcome = self.state.health.check().and_then(|()| {
            let space = self.state.gauge().read_with_reserve();
            if !space.may_write() {
                for _refused in batch.iter() {
                    self.state.metrics.exceeded(Limit::DiskFreeStop);
                }
                return Err(Error::DiskFull);
            }
            let outcome = self.transact(batch, space, &mut events);
            if matches!(outcome, Err(Error::DiskFull)) {
                tracing::warn!(free = space.free, "the disk is full, whatever room it announces");
                self.state.gauge().release();
            }
            outcome
        });
        if outcome.is_err() && !self.sql.is_autocommit() {
            let _ = self.word("ROLLBACK");
        }
        match &outcome {
            Ok(()) => {
                self.state.commits.fetch_add(1, Ordering::Relaxed);
                self.bus.publish(events);
            }
            Err(Error::SyncFailed) => self.bury(),
            // Told already, once, by the one who found it.
            Err(Error::ReadOnly | Error::DiskFull) => {
                tracing::debug!(jobs = batch.len(), "refused");
            }
            Err(error) => tracing::error!(%error, jobs = batch.len(), "a transaction failed"),
        }
        for job in batch.drain(..) {
            job.settle(outcome.as_ref().copied().map_err(Error::again));
        }
    }

    fn transact(
        &self,
        batch: &mut [Box<dyn Job>],
        space: Space,
        events: &mut Vec<Event>,
    ) -> Result<()> {
        self.word("BEGIN IMMEDIATE")?;
        // A savepoint copies each page before its first change: a job alone does without.
        let alone = batch.len() == 1;
        for job in batch {
            if !alone {
                self.word("SAVEPOINT job")?;
            }
            let never = AtomicBool::new(false);
            let reader = Reader::new(&self.sql, &self.blobs, &self.state.health, &never);
            let mut tx = Tx::new(reader, job.origin(), space, self.keywords);
            let kept = job.run(&mut tx);
            if self.sql.is_autocommit() {
                // SQLite rolled all of it back by itself (full disk, I/O error).
                let unknown = || Error::Io(io::Error::other("the transaction was given up"));
                return Err(tx.fault().unwrap_or_else(unknown));
            }
            match (kept, alone) {
                (true, _) => events.extend(tx.into_events()),
                (false, true) => return self.word("ROLLBACK"),
                (false, false) => self.word("ROLLBACK TO job")?,
            }
            if !alone {
                self.word("RELEASE job")?;
            }
        }
        self.word("COMMIT")
    }

    /// After a failed sync the transaction stands in the log, where the next start would find it,
    /// but its askers are told that it failed. So its place in the log is taken by another one;
    /// without a sync, which must not be tried again.
    fn bury(&self) {
        let buried = self
            .sql
            .execute_batch("PRAGMA synchronous = OFF")
            .map_err(Error::from)
            .and_then(|()| self.write_something());
        if let Err(error) = buried {
            tracing::error!(%error, "what failed to sync could not be taken back");
        }
    }

    /// Tries whether a disk that took no writes takes them again.
    fn probe(&self) {
        if self.state.health.condition() != Condition::ReadOnly {
            return;
        }
        let tried = self
            .blobs
            .probe()
            .and_then(|()| self.write_something())
            .and_then(|()| checkpoint(&self.sql, "PASSIVE", &self.state.health));
        match tried {
            Ok(()) => self.state.health.wrote(),
            Err(error) => tracing::debug!(%error, "the disk still takes no writes"),
        }
    }

    /// A transaction that changes nothing anybody asks for.
    fn write_something(&self) -> Result<()> {
        let sql = "INSERT INTO setting (name, value) VALUES ('last_probe', randomblob(8))
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let written = self.word("BEGIN IMMEDIATE").and_then(|()| self.word(sql));
        let written = written.and_then(|()| self.word("COMMIT"));
        if written.is_err() && !self.sql.is_autocommit() {
            let _ = self.word("ROLLBACK");
        }
        written
    }

    fn word(&self, word: &str) -> Result<()> {
        let run = || self.sql.prepare_cached(word)?.execute([]);
        run().map(drop).map_err(|error| self.state.health.saw_sql(error))
    }

    /// Keeps the write-ahead log short without making a job wait for it, unless it grows too long.
    fn checkpoint(&self) {
        match self.log.look_after() {
            Care::None => {}
            Care::Wake => drop(self.wake_checkpointer.try_send(())),
            Care::Help => {
                let _ = checkpoint(&self.sql, "PASSIVE", &self.state.health);
                self.log.forget(); // until the next commit tells
            }
        }
    }

    /// A sync that failed may have lost pages the kernel no longer knows of: never try again.
    fn fail(self, mut inbox: mpsc::Receiver<Message>) {
        self.state.health.tell_failed();
        inbox.close();
        while let Some(message) = inbox.blocking_recv() {
            if let Message::Job(job) = message {
                job.settle(Err(Error::SyncFailed));
            }
        }
    }
}

/// Moves the log's pages to their place on a connection of its own whenever it is woken, and has the
/// writer look after a disk that took no writes.
struct Checkpointer {
    sql: Connection,
    health: Arc<Health>,
    writer: mpsc::WeakSender<Message>,
    woken: Receiver<()>,
    probe_every: Duration,
}

impl Checkpointer {
    fn serve(self) {
        loop {
            match self.woken.recv_timeout(self.probe_every) {
                Ok(()) => {
                    let _ = checkpoint(&self.sql, "PASSIVE", &self.health);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // The writer probes, or ends by what has failed here.
            if self.health.condition() != Condition::Well
                && let Some(writer) = self.writer.upgrade()
            {
                let _ = writer.blocking_send(Message::Probe);
            }
        }
    }
}

/// A checkpoint that gets as far as it can. After a failed sync there is none any more: it might
/// succeed with pages that were lost, and the log that still has them would be used anew.
fn checkpoint(sql: &Connection, how: &str, health: &Health) -> Result<()> {
    if health.condition() == Condition::Failed {
        return Err(Error::SyncFailed);
    }
    let done = sql.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()));
    done.map_err(|error| health.saw_sql(error))
}
