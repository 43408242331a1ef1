//! Searches whose results are kept true for a client (RFC 5267): what they found, what has happened
//! since, and how the client is told of it.
//!
//! A context holds its keys and the UIDs that match them, and no view of its own. When messages come
//! or change, these alone are looked at again ([`update`]); [`results`] knows where in the order of
//! the result a message stands.

pub mod ask;
pub mod results;
pub mod update;

use std::sync::Arc;

use self::results::Results;
use super::{fetch::item::Item, picture::By, search::query::Query};
use crate::{
    events::{Event, Kind},
    ids::{ModSeq, Uid},
};

/// Changed messages that are kept one by one; more are looked up by mod-sequence.
const MOST_CHANGED: usize = 64;
/// Octets that the results of one session's contexts take together; a context that stands alone may
/// take more.
const MOST_MEMORY: usize = 4 << 20;

/// One search that is kept true.
#[derive(Debug)]
pub struct Context {
    /// The command that asked for it.
    pub tag: Box<str>,
    /// Its results are numbers or UIDs.
    pub by: By,
    /// What is searched for; its numbers mean what they meant when it was asked for.
    pub query: Arc<Query>,
    /// What was found.
    pub results: Results,
    /// Messages above this UID were not looked at yet.
    pub upto: u32,
    /// What is told of new messages that match (RFC 5465 §7).
    pub fetch: Box<[Item]>,
}

/// All contexts of an open mailbox.
#[derive(Debug)]
pub struct Contexts {
    all: Vec<Context>,
    changed: Changed,
    /// Something else is said of some of them.
    said_changed: bool,
    /// The last change that was heard of.
    heard: ModSeq,
    /// Up to which change all contexts are true, or their messages kept in `changed`.
    known: ModSeq,
}

/// Messages that may match no more, or match now.
#[derive(Debug, PartialEq, Eq)]
enum Changed {
    /// These, in no order.
    Uids(Vec<Uid>),
    /// All that changed since this mod-sequence.
    Since(ModSeq),
}

impl Contexts {
    /// No context yet, in a mailbox that is known up to this change.
    pub fn new(known: ModSeq) -> Self {
        let changed = Changed::Uids(Vec::new());
        Self { all: Vec::new(), changed, said_changed: false, heard: known, known }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Is this tag that of a context?
    pub fn has(&self, tag: &str) -> bool {
        self.all.iter().any(|context| *context.tag == *tag)
    }

    /// Is there room for one with these results beside so many others?
    pub fn has_room(&self, results: &Results, most: usize) -> bool {
        let held: usize = self.all.iter().map(|context| context.results.cost()).sum();
        self.all.len() < most
            && (self.all.is_empty() || held.saturating_add(results.cost()) <= MOST_MEMORY)
    }

    /// Keeps a search true from now on.
    pub fn add(&mut self, context: Context) {
        self.all.push(context);
    }

    /// Keeps these true no more; false, and nothing is done, when there is none of one of the tags.
    pub fn cancel(&mut self, tags: &[String]) -> bool {
        let all_known = tags.iter().all(|tag| self.has(tag));
        if all_known {
            self.all.retain(|context| !tags.iter().any(|tag| *context.tag == **tag));
        }
        all_known
    }

    /// Something happened in the mailbox, by whomever.
    pub fn hear(&mut self, event: &Event) {
        self.heard = self.heard.max(event.mod_seq);
        match &event.kind {
            Kind::FlagChange(changes) => self.hear_changed(changes.iter().map(|change| change.uid)),
            Kind::AnnotationChange(uids, _) => {
                self.said_changed = true;
                self.hear_changed(uids.iter().copied());
            }
            _ => {}
        }
    }

    fn hear_changed(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let Changed::Uids(changed) = &mut self.changed else { return };
        for uid in uids {
            if changed.contains(&uid) {
                continue;
            }
            if changed.len() == MOST_CHANGED {
                self.changed = Changed::Since(self.known);
                return;
            }
            changed.push(uid);
        }
    }

    /// Some events were lost.
    pub fn miss(&mut self) {
        self.said_changed = true;
        self.changed = Changed::Since(self.known);
    }

    /// Are they all true, when the client counts messages up to this UID?
    pub fn are_true(&self, last_told: u32) -> bool {
        let nothing = matches!(&self.changed, Changed::Uids(uids) if uids.is_empty());
        nothing && self.all.iter().all(|context| context.upto >= last_told)
    }

    /// Takes what has changed, in a view of this mod-sequence.
    fn take_changed(&mut self, mod_seq: ModSeq) -> Changed {
        let changed = std::mem::replace(&mut self.changed, Changed::Uids(Vec::new()));
        let known = match changed {
            Changed::Uids(_) => self.heard,
            Changed::Since(_) => mod_seq,
        };
        self.known = self.known.max(known);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Door, MarkChange, Origin},
        flags::Marks,
        ids::{AccountId, MailboxId},
    };

    fn changed(uids: std::ops::RangeInclusive<u32>, mod_seq: u64) -> Event {
        let change = |uid| MarkChange { uid, marks: Marks::default(), mod_seq: ModSeq(mod_seq) };
        Event {
            account: Some(AccountId(1)),
            mailbox: Some(MailboxId(1)),
            mod_seq: ModSeq(mod_seq),
            origin: Origin::new(Door::House, 0),
            kind: Kind::FlagChange(uids.filter_map(Uid::new).map(change).collect()),
        }
    }

    #[test]
    fn many_changes_are_looked_up_instead_of_kept() {
        let mut contexts = Contexts::new(ModSeq(7));
        contexts.hear(&changed(1..=2, 8));
        contexts.hear(&changed(2..=2, 9));
        let uids = [1, 2].into_iter().filter_map(Uid::new).collect();
        assert_eq!(contexts.take_changed(ModSeq(11)), Changed::Uids(uids));
        contexts.hear(&changed(1..=65, 10));
        assert_eq!(contexts.take_changed(ModSeq(11)), Changed::Since(ModSeq(9)));
        contexts.miss();
        assert_eq!(contexts.take_changed(ModSeq(20)), Changed::Since(ModSeq(11)));
    }
}
