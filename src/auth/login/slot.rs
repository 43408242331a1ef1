//! A place among the attempts that are judged.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use crate::auth::throttle::{Claim, Throttle};

/// Counts as a failure unless it is given back: who hangs up before the answer has tried all the
/// same.
#[must_use]
pub(super) struct Slot<'a> {
    throttle: &'a Mutex<Throttle>,
    claim: Option<Claim>,
    /// When the attempt is judged.
    at: Instant,
}

impl<'a> Slot<'a> {
    /// Of an attempt that has begun.
    pub(super) fn new(throttle: &'a Mutex<Throttle>, claim: Claim, at: Instant) -> Self {
        Self { throttle, claim: Some(claim), at }
    }

    /// The attempt was right, or could not be judged.
    pub(super) fn give_back(mut self) {
        if let Some(claim) = self.claim.take() {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.give_back(claim);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.failed(claim, self.at);
        }
    }
}
