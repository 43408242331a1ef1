//! What was made of a mailbox's messages and is worth keeping with its view: ranks by sort keys, and
//! threads. Bounded to some octets for each message; it follows the messages or is thrown away.

use std::sync::Arc;

use super::{Collation, ThreadAlgorithm, Threads, narrow::retain, sort::RankedBy};

/// Sort keys of which ranks are kept: four octets of each message.
pub(super) const MOST_RANKS: usize = 3;

/// By what threads are, and how subjects are compared.
pub(super) type ThreadedBy = (ThreadAlgorithm, Collation);

#[derive(Debug, Default)]
pub(super) struct Made {
    /// By place; of messages that came since they are missing. The oldest first.
    ranks: Vec<(RankedBy, Vec<u32>)>,
    threads: Option<(ThreadedBy, Arc<Threads>)>,
}

impl Made {
    pub(super) fn ranks(&self, by: RankedBy) -> Option<&[u32]> {
        self.ranks.iter().find(|(known, _)| *known == by).map(|(_, ranks)| ranks.as_slice())
    }

    pub(super) fn set_ranks(&mut self, by: RankedBy, ranks: Vec<u32>) {
        self.ranks.retain(|(known, _)| *known != by);
        if self.ranks.len() == MOST_RANKS {
            self.ranks.remove(0);
        }
        self.ranks.push((by, ranks));
    }

    pub(super) fn threads(&self, by: ThreadedBy) -> Option<Arc<Threads>> {
        let (_, threads) = self.threads.as_ref().filter(|(known, _)| *known == by)?;
        Some(Arc::clone(threads))
    }

    pub(super) fn set_threads(&mut self, by: ThreadedBy, threads: Arc<Threads>) {
        self.threads = Some((by, threads));
    }

    /// A message has come.
    pub(super) fn add(&mut self) {
        self.threads = None;
    }

    /// Of the messages from `start` on only those are left whose `stays` is true.
    pub(super) fn remove(&mut self, start: usize, stays: &[bool]) {
        self.threads = None;
        for (_, ranks) in &mut self.ranks {
            retain(ranks, start, stays);
        }
    }

    /// Octets of memory.
    pub(super) fn cost(&self) -> usize {
        let ranks: usize = self.ranks.iter().map(|(_, ranks)| ranks.capacity() * 4).sum();
        ranks + self.threads.as_ref().map_or(0, |(_, threads)| threads.cost())
    }
}
