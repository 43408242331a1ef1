//! Threads of messages (RFC 5256 §3): by subject, by what refers to what, or by that alone.

mod facts;
mod forest;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{
    facts::{Facts, Ids},
    forest::Forest,
};
use super::{Collation, Mail, Mailbox, Rights, error::Result, keyed::arrange};
use crate::ids::Uid;

/// How messages are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// By base subject alone.
    OrderedSubject,
    /// By references, then by base subject.
    References,
    /// By references alone; the threads in the order of their newest messages.
    Refs,
}

/// The threads of some messages: the first message of each, or a gap where it is not there, and right
/// behind each node those below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads(Vec<Node>);

/// A place in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The message; None where it is not there.
    pub message: Option<Uid>,
    /// How many nodes stand right below it.
    pub below: u32,
}

impl Threads {
    /// All nodes, thread by thread, each before those below it.
    pub fn nodes(&self) -> &[Node] {
        &self.0
    }

    /// Octets of memory.
    pub(super) fn cost(&self) -> usize {
        self.0.capacity() * size_of::<Node>()
    }
}

impl Mail {
    /// The threads of messages, which came with rising UIDs. Those that have gone meanwhile are left
    /// out; one whose summary is damaged stands alone.
    pub async fn thread(
        &self,
        mailbox: &Mailbox,
        uids: &[Uid],
        algorithm: ThreadAlgorithm,
        collation: Collation,
    ) -> Result<Arc<Threads>> {
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        let are_all = {
            let messages = view.messages();
            let are_all = messages.uids() == uids;
            if let Some(threads) = messages.threads((algorithm, collation)).filter(|_| are_all) {
                return Ok(threads);
            }
            are_all
        };
        let known = self.known(mailbox, uids).await?;
        let ids = Ids::default();
        let facts = self
            .keyed(&known, move |known, summary| Facts::new(known, collation, summary, &ids))
            .await?;
        let messages: Vec<Uid> = known.into_iter().map(|known| known.uid).collect();
        let work = move || Arc::new(threads(algorithm, &facts, &messages));
        let threads = arrange(uids.len(), work).await?;
        if are_all {
            let kept = Arc::clone(&threads);
            view.change(|messages| messages.set_threads((algorithm, collation), uids, kept));
            self.views.grown(&view);
        }
        Ok(threads)
    }
}

/// Threads messages, which are given in the order of their mailbox.
fn threads(algorithm: ThreadAlgorithm, facts: &[Facts], messages: &[Uid]) -> Threads {
    let mut forest = Forest::new(facts);
    match algorithm {
        ThreadAlgorithm::OrderedSubject => forest.by_subject(),
        ThreadAlgorithm::References => {
            forest.link();
            forest.prune();
            forest.sort();
            forest.gather();
            forest.sort();
        }
        ThreadAlgorithm::Refs => {
            forest.link();
            forest.prune();
            forest.sort();
            forest.newest_last();
        }
    }
    let mut nodes = forest.told(messages);
    nodes.shrink_to_fit();
    Threads(nodes)
}
