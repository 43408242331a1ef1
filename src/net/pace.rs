//! How slow a peer may be while it sends something large.

use std::time::Duration;

use tokio::time::Instant;

/// The least rate of data, and how long a pause may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Octets per second over the whole transfer; 0 asks for nothing.
    pub least: u64,
    /// From when on the rate counts.
    pub grace: Duration,
    /// The longest pause between two octets.
    pub pause: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self { least: 500, grace: Duration::from_secs(30), pause: Duration::from_mins(3) }
    }
}

/// Why a transfer was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slow {
    Paused,
    Dripping,
}

/// One transfer against its [`Rate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: Rate,
    start: Instant,
    octets: u64,
}

impl Pace {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, start: now, octets: 0 }
    }

    pub(super) fn came(&mut self, octets: usize) {
        self.octets = self.octets.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
    }

    /// When the transfer has to end if nothing more comes, and for which fault.
    pub(super) fn limit(&self, now: Instant) -> (Instant, Slow) {
        let paused = now + self.rate.pause;
        let Some(seconds) = self.octets.checked_div(self.rate.least) else {
            return (paused, Slow::Paused);
        };
        // A year is as good as for ever, and far from the end of the clock.
        let earned = Duration::from_secs(seconds.min(365 * 86_400)).max(self.rate.grace);
        let dripping = self.start + earned;
        if dripping < paused { (dripping, Slow::Dripping) } else { (paused, Slow::Paused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thirty_seconds_ask_for_no_rate() {
        let start = Instant::now();
        let pace = Pace::new(Rate::default(), start);
        assert_eq!(pace.limit(start), (start + Duration::from_secs(30), Slow::Dripping));
    }

    #[test]
    fn five_hundred_octets_earn_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(Rate::default(), start);
        pace.came(500 * 60);
        let now = start + Duration::from_secs(10);
        assert_eq!(pace.limit(now), (start + Duration::from_mins(1), Slow::Dripping));
    }

    #[test]
    fn a_fast_peer_may_pause_only_so_long() {
        let start = Instant::now();
        let mut pace = Pace::new(Rate::default(), start);
        pace.came(50_000_000);
        assert_eq!(pace.limit(start), (start + Duration::from_mins(3), Slow::Paused));
    }

    #[test]
    fn no_least_rate_leaves_the_pause_alone() {
        let start = Instant::now();
        let pace = Pace::new(Rate { least: 0, ..Rate::default() }, start);
        assert_eq!(pace.limit(start).1, Slow::Paused);
    }
}
