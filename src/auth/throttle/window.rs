//! Failures within a time.

use std::time::{Duration, Instant};

pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);

/// Failures since the window was opened.
#[derive(Clone, Copy)]
pub(super) struct Window {
    opened: Instant,
    last: Instant,
    failures: u32,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { opened: now, last: now, failures: 0 }
    }

    /// Those of a window that is open for so long.
    pub(super) fn failures(&self, length: Duration, now: Instant) -> u32 {
        if now.duration_since(self.opened) < length { self.failures } else { 0 }
    }

    /// The same, but once there are so many that it is full, it stays open until there has been none
    /// for so long.
    pub(super) fn failures_until_quiet(&self, length: Duration, full: u32, now: Instant) -> u32 {
        let begin = if self.failures < full { self.opened } else { self.last };
        if now.duration_since(begin) < length { self.failures } else { 0 }
    }

    /// One more, by the count of [`Self::failures`].
    pub(super) fn failed(&mut self, length: Duration, now: Instant) {
        self.add(self.failures(length, now), now);
    }

    /// One more, by the count of [`Self::failures_until_quiet`].
    pub(super) fn failed_until_quiet(&mut self, length: Duration, full: u32, now: Instant) {
        self.add(self.failures_until_quiet(length, full, now), now);
    }

    fn add(&mut self, before: u32, now: Instant) {
        if before == 0 {
            self.opened = now;
        }
        self.last = now;
        self.failures = before.saturating_add(1);
    }
}
