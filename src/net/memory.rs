//! What connections may hold in memory: each one, and all together.
//!
//! It counts octets and allocates nothing. Each buffer that grows with what a peer sends has a
//! [`Share`] of its connection's [`Purse`], and asks before it grows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::metrics::{Limit, Metrics};

/// What one connection may hold for a peer that reads slowly, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct OutputLimits {
    /// When so much waits, making more has to wait too.
    pub waiting: usize,
    /// How long a reader may take nothing at all.
    pub stalled: Duration,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self { waiting: 1024 * 1024, stalled: Duration::from_mins(5) }
    }
}

/// What of a peer's deflated octets is inflated.
#[derive(Clone, Copy, Debug)]
pub struct InflationLimits {
    /// At once, in octets.
    pub step: usize,
    /// Octets of lines from one octet,
    pub ratio: u64,
    /// once there were so many of them.
    pub after: u64,
}

impl Default for InflationLimits {
    fn default() -> Self {
        Self { step: 64 << 10, ratio: 200, after: 1 << 20 }
    }
}

/// How many octets may be held.
#[derive(Clone, Copy, Debug)]
pub struct MemoryLimits {
    /// By all connections together, of what their peers sent.
    pub all: usize,
    /// By one connection.
    pub connection: usize,
    /// By one connection's output.
    pub output: OutputLimits,
    /// From the deflated input of one connection.
    pub inflation: InflationLimits,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            all: 512 << 20,
            connection: 4 << 20,
            output: OutputLimits::default(),
            inflation: InflationLimits::default(),
        }
    }
}

/// What all connections hold together.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    limits: MemoryLimits,
    metrics: Arc<Metrics>,
}

impl Memory {
    /// Nothing is held yet.
    pub fn new(limits: MemoryLimits, metrics: &Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limits, metrics: Arc::clone(metrics) })
    }

    /// What each connection's output may take.
    pub(super) fn output(&self) -> OutputLimits {
        self.limits.output
    }

    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Octets in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// One connection's part, which holds nothing yet.
    pub fn purse(self: &Arc<Self>) -> Arc<Purse> {
        Arc::new(Purse { memory: Arc::clone(self), used: AtomicUsize::new(0) })
    }
}

/// What one connection holds.
#[derive(Debug)]
pub struct Purse {
    memory: Arc<Memory>,
    used: AtomicUsize,
}

impl Purse {
    /// A share that holds nothing yet.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { purse: Arc::clone(self), held: 0 }
    }

    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.memory.metrics
    }

    fn take(&self, octets: usize) -> Result<(), Limit> {
        let limits = &self.memory.limits;
        if !take(&self.used, octets, limits.connection) {
            return Err(Limit::ConnectionMemoryMax);
        }
        if !take(&self.memory.used, octets, limits.all) {
            self.used.fetch_sub(octets, Ordering::Relaxed);
            return Err(Limit::InputMemoryMax);
        }
        Ok(())
    }

    fn give_back(&self, octets: usize) {
        self.used.fetch_sub(octets, Ordering::Relaxed);
        self.memory.used.fetch_sub(octets, Ordering::Relaxed);
    }
}

fn take(used: &AtomicUsize, octets: usize, most: usize) -> bool {
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
        used.checked_add(octets).filter(|sum| *sum <= most)
    })
    .is_ok()
}

/// One buffer's part of its connection's purse; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    purse: Arc<Purse>,
    held: usize,
}

impl Share {
    /// Holds exactly so many octets from now on; false, and nothing changed, if they are not there.
    #[must_use]
    pub fn hold(&mut self, octets: usize) -> bool {
        if octets > self.held {
            if let Err(limit) = self.purse.take(octets - self.held) {
                self.purse.metrics().exceeded(limit);
                return false;
            }
        } else {
            self.purse.give_back(self.held - octets);
        }
        self.held = octets;
        true
    }

    /// Holds so many octets more; false, and nothing changed, if they are not there.
    #[must_use]
    pub fn grow(&mut self, octets: usize) -> bool {
        self.held.checked_add(octets).is_some_and(|sum| self.hold(sum))
    }

    /// What of deflated input is inflated.
    pub(super) fn inflation(&self) -> InflationLimits {
        self.purse.memory.limits.inflation
    }

    /// Another share of the same connection.
    pub fn another(&self) -> Self {
        self.purse.share()
    }

    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        self.purse.metrics()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.purse.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(all: usize, connection: usize) -> (Arc<Memory>, Arc<Metrics>) {
        let metrics = Metrics::new();
        let limits = MemoryLimits { all, connection, ..MemoryLimits::default() };
        (Memory::new(limits, &metrics), metrics)
    }

    #[test]
    fn the_last_octet_is_given_and_none_beyond_it() {
        let (memory, metrics) = memory(10, 10);
        let (mut one, mut two) = (memory.purse().share(), memory.purse().share());
        assert!(one.hold(7));
        assert!(!two.hold(4));
        assert!(two.hold(3));
        assert_eq!(memory.used(), 10);
        assert!(!two.grow(1));
        assert!(one.hold(6));
        assert!(two.grow(1));
        assert_eq!(metrics.times_exceeded(Limit::InputMemoryMax), 2);
    }

    #[test]
    fn the_shares_of_one_connection_have_a_limit_together() {
        let (memory, metrics) = memory(100, 10);
        let mut one = memory.purse().share();
        let mut two = one.another();
        assert!(one.hold(7) && two.hold(3));
        assert!(!two.grow(1));
        assert!(memory.purse().share().hold(10));
        drop(one);
        assert!(two.hold(10) && !two.grow(1));
        assert_eq!(memory.used(), 10);
        assert_eq!(metrics.times_exceeded(Limit::ConnectionMemoryMax), 2);
        assert_eq!(metrics.times_exceeded(Limit::InputMemoryMax), 0);
    }

    #[test]
    fn what_all_have_not_got_is_not_held_by_one() {
        let (memory, _) = memory(5, 10);
        let mut share = memory.purse().share();
        assert!(!share.hold(6));
        assert!(share.hold(5));
    }

    #[test]
    fn a_dropped_share_gives_all_back() {
        let (memory, _) = memory(10, 10);
        let mut share = memory.purse().share();
        assert!(share.hold(10));
        drop(share);
        assert_eq!(memory.used(), 0);
    }
}
