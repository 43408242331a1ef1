//! The reading threads: a few read-only connections, never on the async executor.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::{
    blobs::Blobs,
    error::{Error, Result},
    health::Health,
    snapshots::Snapshots,
};

/// How many jobs may wait for a thread before their askers wait instead.
const WAITING: usize = 1024;

/// One snapshot of the database, for the time of a job.
pub struct Reader<'c> {
    pub(super) sql: &'c Connection,
    pub(super) blobs: &'c Blobs,
    health: &'c Health,
    cancelled: &'c AtomicBool,
    /// Why a statement of this job failed last.
    fault: RefCell<Option<Error>>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(
        sql: &'c Connection,
        blobs: &'c Blobs,
        health: &'c Health,
        cancelled: &'c AtomicBool,
    ) -> Self {
        Self { sql, blobs, health, cancelled, fault: RefCell::new(None) }
    }

    /// Takes note of what SQLite says before a job makes its own words of it.
    pub(super) fn seen<T>(&self, outcome: rusqlite::Result<T>) -> Result<T> {
        outcome.map_err(|error| {
            let error = self.health.saw_sql(error);
            self.fault.replace(Some(error.again()));
            error
        })
    }

    pub(super) fn fault(&self) -> Option<Error> {
        self.fault.take()
    }

    /// Ends a long job whose asker has gone.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

type Job = Box<dyn FnOnce(usize, &Connection) + Send>;

/// The threads and what waits for them.
pub(super) struct Readers {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    blobs: Arc<Blobs>,
    health: Arc<Health>,
    snapshots: Arc<Snapshots>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Readers {
    pub(super) fn start(
        connections: Vec<Connection>,
        blobs: Arc<Blobs>,
        health: Arc<Health>,
        snapshots: Arc<Snapshots>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        for (number, sql) in connections.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || {
                while let Some(job) = shared.next() {
                    // A panic in a job ends that job: its asker sees the answer's sender dropped.
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        job(number, &sql);
                    }));
                    if outcome.is_err() {
                        tracing::error!("a reading job panicked");
                        let _ = sql.execute_batch("ROLLBACK");
                    }
                }
            })?;
        }
        Ok(Self { shared, room: Arc::new(Semaphore::new(WAITING)), blobs, health, snapshots })
    }

    pub(super) async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
    {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Error::Closed)?;
        let cancelled = CancelOnDrop::default();
        let flag = Arc::clone(&cancelled.0);
        let (blobs, health) = (Arc::clone(&self.blobs), Arc::clone(&self.health));
        let (answer, result) = oneshot::channel();
        let snapshots = Arc::clone(&self.snapshots);
        self.shared.put(Box::new(move |reader, sql| {
            let outcome = {
                let _open = snapshots.open(reader, &flag);
                snapshot(&Reader::new(sql, &blobs, &health, &flag), job)
            };
            drop(permit);
            let _ = answer.send(outcome);
        }))?;
        result.await.map_err(|_| Error::Closed)?
    }

    pub(super) fn close(&self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.more.notify_all();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs a job between BEGIN and COMMIT, so that all it reads is of one moment.
pub(super) fn snapshot<T, E, F>(reader: &Reader<'_>, job: F) -> Result<T, E>
where
    E: From<Error>,
    F: FnOnce(&Reader<'_>) -> Result<T, E>,
{
    reader.check_cancelled()?;
    reader.execute("BEGIN", [])?;
    let outcome = job(reader);
    // An I/O error may have ended it already; damage that was met is told again, at its end.
    if !reader.sql.is_autocommit() {
        let ended = reader.execute("COMMIT", []);
        if !reader.sql.is_autocommit() {
            ended?;
        }
    }
    outcome
}

impl Shared {
    fn put(&self, job: Job) -> Result<()> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return Err(Error::Closed);
        }
        queue.jobs.push_back(job);
        self.more.notify_one();
        Ok(())
    }

    /// The next job; None when the store closes.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self.more.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Raises a job's flag when its asker no longer waits.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
