//! What a mailbox held when an import began.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use crate::{
    ids::MailboxId,
    store::{Result, Store},
};

/// Mailboxes of running imports that are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The octets and date of a message.
type Same = ([u8; 32], i64);

/// The imports of this process.
pub(crate) struct Known(Mutex<LruCache<(u64, MailboxId), Arc<Before>>>);

/// What one mailbox held before one run, as far as the run has not met it again.
pub(crate) struct Before(Mutex<HashMap<Same, u32>>);

impl Default for Known {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Known {
    /// What a mailbox held before this run; looked up at the run's first message for it.
    pub(super) async fn known(
        &self,
        store: &Store,
        run: u64,
        mailbox: MailboxId,
    ) -> Result<Arc<Before>> {
        let key = (run, mailbox);
        if let Some(before) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(before));
        }
        let held = store.read(move |reader| reader.octets_and_dates(mailbox)).await?;
        let mut counts = HashMap::new();
        for same in held {
            *counts.entry(same).or_default() += 1;
        }
        let before = Arc::new(Before(Mutex::new(counts)));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(all.get_or_insert(key, || before)))
    }
}

impl Before {
    /// Was this message there? Each one that was there answers once, so that true doubles stay what
    /// they are.
    pub(super) fn take(&self, hash: [u8; 32], date: Option<i64>) -> bool {
        let Some(date) = date else {
            return false;
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&(hash, date)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_twice_is_known_twice() {
        let before = Before(Mutex::new(HashMap::from([(([7; 32], 5), 2)])));
        assert!(before.take([7; 32], Some(5)) && before.take([7; 32], Some(5)));
        assert!(!before.take([7; 32], Some(5)) && !before.take([7; 32], Some(6)));
        assert!(!before.take([7; 32], None));
    }
}
