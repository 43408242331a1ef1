//! How far a search has come, for who waits for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Messages that are decided, and those that are to be. Clones tell of the same search.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicUsize,
    of: AtomicUsize,
}

impl Progress {
    /// Messages that are decided, of how many; None when there is nothing to tell.
    pub fn now(&self) -> Option<(usize, usize)> {
        let of = self.0.of.load(Ordering::Relaxed);
        let done = self.0.done.load(Ordering::Relaxed);
        (done < of).then_some((done, of))
    }

    /// Nothing is known any more.
    pub fn forget(&self) {
        self.begin(0);
    }

    /// So many are to be decided.
    pub(super) fn begin(&self, of: usize) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.of.store(of, Ordering::Relaxed);
    }

    /// So many more are decided.
    pub(super) fn add(&self, some: usize) {
        self.0.done.fetch_add(some, Ordering::Relaxed);
    }

    /// So many of them are not, after all.
    pub(super) fn take_back(&self, some: usize) {
        let less = |done: usize| Some(done.saturating_sub(some));
        let _ = self.0.done.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_told_as_long_as_there_is_more() {
        let progress = Progress::default();
        assert_eq!(progress.now(), None);
        progress.clone().begin(3);
        assert_eq!(progress.now(), Some((0, 3)));
        progress.add(2);
        assert_eq!(progress.now(), Some((2, 3)));
        progress.add(1);
        assert_eq!(progress.now(), None);
        progress.begin(1);
        progress.forget();
        assert_eq!(progress.now(), None);
    }
}
