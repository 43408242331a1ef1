//! How many messages a user may submit within an hour.
//!
//! Kept in memory: a restart forgives, which costs at most one more hour's worth.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::ids::AccountId;

/// The window, in seconds.
const HOUR: i64 = 60 * 60;

/// When each account submitted within the last hour.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    times: Mutex<HashMap<AccountId, VecDeque<i64>>>,
}

impl Pace {
    /// So many messages in any hour.
    pub(super) fn new(most: usize) -> Self {
        Self { most, times: Mutex::default() }
    }

    /// Counts a message in, unless the hour is full.
    pub(super) fn admit(&self, account: AccountId, now: i64) -> bool {
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let times = all.entry(account).or_default();
        // A time in the future is of a clock that was set back since.
        times.retain(|at| *at <= now && now.saturating_sub(*at) < HOUR);
        let admitted = times.len() < self.most;
        if admitted {
            times.push_back(now);
        } else if times.is_empty() {
            all.remove(&account);
        }
        admitted
    }

    /// Counts a message out again that came to nothing.
    pub(super) fn give_back(&self, account: AccountId) {
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = all.get_mut(&account) {
            times.pop_back();
            if times.is_empty() {
                all.remove(&account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId(1);

    #[test]
    fn the_limit_holds_for_any_hour_and_for_each_account() {
        let pace = Pace::new(2);
        assert!(pace.admit(ALICE, 0));
        assert!(pace.admit(ALICE, 10));
        assert!(!pace.admit(ALICE, HOUR - 1));
        assert!(pace.admit(AccountId(2), HOUR - 1));
        assert!(pace.admit(ALICE, HOUR));
        assert!(!pace.admit(ALICE, HOUR + 9));
        assert!(pace.admit(ALICE, HOUR + 10));
    }

    #[test]
    fn what_came_to_nothing_does_not_count() {
        let pace = Pace::new(1);
        assert!(pace.admit(ALICE, 0));
        pace.give_back(ALICE);
        assert!(pace.admit(ALICE, 0));
        assert!(!Pace::new(0).admit(ALICE, 0));
    }
}
