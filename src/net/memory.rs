//! What all connections may hold in memory together.
//!
//! For input there is a common purse. It counts octets and allocates nothing. Each buffer that grows with what a peer sends has a
//! [`Share`], and asks before it grows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

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

/// A common purse of octets for input, and each connection's own limits for output.
#[derive(Debug)]
pub struct Memory {
    used: AtomicUsize,
    limit: usize,
    output: OutputLimits,
}

impl Memory {
    /// A purse of so many octets for all input buffers together.
    pub fn new(limit: usize) -> Arc<Self> {
        Self::with_output(limit, OutputLimits::default())
    }

    /// The same, with other limits for output.
    pub fn with_output(limit: usize, output: OutputLimits) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit, output })
    }

    /// What each connection's output may take.
    pub(super) fn output(&self) -> OutputLimits {
        self.output
    }

    /// Octets in use now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A share that holds nothing yet.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { memory: Arc::clone(self), held: 0 }
    }

    fn take(&self, octets: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(octets).filter(|sum| *sum <= self.limit)
            })
            .is_ok()
    }
}

/// One buffer's part of the purse; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    held: usize,
}

impl Share {
    /// Holds exactly so many octets from now on; false, and nothing changed, if they are not there.
    #[must_use]
    pub fn hold(&mut self, octets: usize) -> bool {
        if octets > self.held {
            if !self.memory.take(octets - self.held) {
                return false;
            }
        } else {
            self.memory.used.fetch_sub(self.held - octets, Ordering::Relaxed);
        }
        self.held = octets;
        true
    }

    /// Holds so many octets more; false, and nothing changed, if they are not there.
    #[must_use]
    pub fn grow(&mut self, octets: usize) -> bool {
        self.held.checked_add(octets).is_some_and(|sum| self.hold(sum))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_octet_is_given_and_none_beyond_it() {
        let memory = Memory::new(10);
        let (mut one, mut two) = (memory.share(), memory.share());
        assert!(one.hold(7));
        assert!(!two.hold(4));
        assert!(two.hold(3));
        assert_eq!(memory.used(), 10);
        assert!(!two.grow(1));
        assert!(one.hold(6));
        assert!(two.grow(1));
    }

    #[test]
    fn a_dropped_share_gives_all_back() {
        let memory = Memory::new(10);
        let mut share = memory.share();
        assert!(share.hold(10));
        drop(share);
        assert_eq!(memory.used(), 0);
    }
}
