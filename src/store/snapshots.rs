//! Which snapshots the readers hold, and the means to end one that is old.
//!
//! As long as a reader holds a snapshot, the write-ahead log cannot begin anew behind it. A reading
//! job is short; one that is not shall not make the log fill the disk.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, InterruptHandle};

/// The readers, each with the snapshot it holds.
pub(super) struct Snapshots(Vec<Slot>);

struct Slot {
    statements: InterruptHandle,
    held: Mutex<Option<Held>>,
}

struct Held {
    since: Instant,
    cancelled: Arc<AtomicBool>,
}

/// A snapshot is held as long as this lives.
pub(super) struct Open<'s>(Option<&'s Slot>);

impl Snapshots {
    /// Of these readers, which are known by their place.
    pub(super) fn new(readers: &[Connection]) -> Self {
        let slot = |reader: &Connection| Slot {
            statements: reader.get_interrupt_handle(),
            held: Mutex::default(),
        };
        Self(readers.iter().map(slot).collect())
    }

    /// A reader begins a job, which looks at this flag when it is long.
    pub(super) fn open(&self, reader: usize, cancelled: &Arc<AtomicBool>) -> Open<'_> {
        let slot = self.0.get(reader);
        let held = Held { since: Instant::now(), cancelled: Arc::clone(cancelled) };
        if let Some(slot) = slot {
            slot.put(Some(held));
        }
        Open(slot)
    }

    /// Ends the jobs whose snapshots are at least so old; says how many.
    pub(super) fn cut(&self, age: Duration) -> usize {
        self.0.iter().filter(|slot| slot.cut(age)).count()
    }
}

impl Slot {
    fn put(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    fn cut(&self, age: Duration) -> bool {
        // Held meanwhile, so that the job that is interrupted is the one that was looked at.
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(old) = held.as_ref().filter(|held| held.since.elapsed() >= age) else {
            return false;
        };
        let first = !old.cancelled.swap(true, Ordering::Relaxed);
        self.statements.interrupt();
        first
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.put(None);
        }
    }
}
