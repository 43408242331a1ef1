//! How often somebody sends: messages per address and minute.
//!
//! Plain counting in fixed windows; the time is passed in. What is over is forgotten, so that memory
//! is bounded whoever comes.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keys remembered at most; beyond that nobody new is counted.
const MOST: usize = 100_000;

/// So many in so much time for each key.
#[derive(Debug)]
pub struct Rates<K> {
    most: usize,
    window: Duration,
    counts: Mutex<HashMap<K, (Instant, usize)>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nobody has sent anything yet.
    pub fn new(most: usize, window: Duration) -> Self {
        Self { most, window, counts: Mutex::default() }
    }

    /// Counts one more; false when it is one too many.
    pub fn count(&self, key: K, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since: &Instant| now.saturating_duration_since(*since) >= self.window;
        if counts.len() >= MOST && !counts.contains_key(&key) {
            counts.retain(|_, (since, _)| !is_over(since));
            if counts.len() >= MOST {
                return self.most > 0;
            }
        }
        let (since, count) = counts.entry(key).or_insert((now, 0));
        if is_over(since) {
            (*since, *count) = (now, 0);
        }
        if *count >= self.most {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_so_many_in_each_window() {
        let (rates, now) = (Rates::new(2, Duration::from_mins(1)), Instant::now());
        assert!(rates.count("a", now) && rates.count("a", now));
        assert!(!rates.count("a", now));
        assert!(rates.count("b", now));
        assert!(!rates.count("a", now + Duration::from_secs(59)));
        assert!(rates.count("a", now + Duration::from_mins(1)));
    }

    #[test]
    fn a_limit_of_zero_is_zero() {
        let rates = Rates::new(0, Duration::from_mins(1));
        assert!(!rates.count("a", Instant::now()));
    }
}
