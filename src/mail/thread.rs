//! Threads of messages (RFC 5256 §3): by subject, by what refers to what, or by that alone.
//!
//! The tree is kept in an arena and walked in loops, never by recursion: a thread is as deep as its
//! senders make it.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use super::{
    Collation, Mail, Mailbox,
    error::Result,
    keyed::{Known, arrange},
    summary::SummaryRef,
};
use crate::ids::Uid;

/// Steps up a thread, for each message, that the search for loops may take in sum.
const STEPS_EACH: usize = 256;

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

/// What a message is threaded by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    /// The Date field in UTC, or INTERNALDATE where it says nothing.
    sent: i64,
    /// INTERNALDATE
    arrived: i64,
    /// The base subject, prepared for comparison.
    subject: String,
    /// The subject is that of a reply or a forwarded message.
    is_reply: bool,
    /// Its Message-ID.
    id: Option<Id>,
    /// The ids of its ancestors, the oldest first.
    references: Vec<Id>,
}

/// A Message-ID, hashed under keys that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Id(u64, u64);

/// Hashes Message-IDs.
#[derive(Clone, Default)]
struct Ids(RandomState, RandomState);

impl Ids {
    /// The id of these octets, quoted or not (RFC 5256 §3: `"a"@b` is `a@b`).
    fn id(&self, octets: &[u8]) -> Id {
        let mut plain = Vec::with_capacity(octets.len());
        let mut rest = octets.iter();
        while let Some(octet) = rest.next() {
            match octet {
                b'"' => {}
                b'\\' => plain.extend(rest.next()),
                octet => plain.push(*octet),
            }
        }
        Id(self.0.hash_one(&plain), self.1.hash_one(&plain))
    }
}

/// The threads of some messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// The first message of each thread, or a gap where it is not there.
    pub roots: Vec<usize>,
    /// By node: the message, or None for a gap.
    pub messages: Vec<Option<Uid>>,
    /// By node: the nodes below it, in their order.
    pub children: Vec<Vec<usize>>,
}

impl Mail {
    /// The threads of messages, which came with rising UIDs. Those that have gone meanwhile are left
    /// out; one whose summary is damaged stands alone.
    pub async fn thread(
        &self,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
        algorithm: ThreadAlgorithm,
        collation: Collation,
    ) -> Result<Threads> {
        let known = self.known(mailbox, &uids).await?;
        let ids = Ids::default();
        let facts = self
            .keyed(&known, move |known, summary| Facts::new(known, collation, summary, &ids))
            .await?;
        let messages = known.into_iter().map(|known| known.uid).collect();
        arrange(facts.len(), move || threads(algorithm, &facts, messages)).await
    }
}

impl Facts {
    fn new(
        known: Known,
        collation: Collation,
        summary: Option<&SummaryRef<'_>>,
        ids: &Ids,
    ) -> Self {
        let arrived = known.internal_date;
        let Some(keys) = summary.and_then(|summary| summary.keys) else {
            return Self { sent: arrived, arrived, ..Self::default() };
        };
        let mut references: Vec<Id> = keys.references.into_iter().map(|id| ids.id(id)).collect();
        if references.is_empty() {
            references.extend(keys.in_reply_to.into_iter().next().map(|id| ids.id(id)));
        }
        Self {
            sent: keys.sent.unwrap_or(arrived),
            arrived,
            subject: collation.prepare(&String::from_utf8_lossy(keys.base_subject)).into_owned(),
            is_reply: keys.is_reply,
            id: keys.message_id.map(|id| ids.id(id)),
            references,
        }
    }
}

/// Threads messages, which are given in the order of their mailbox.
fn threads(algorithm: ThreadAlgorithm, facts: &[Facts], messages: Vec<Uid>) -> Threads {
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
    let Forest { roots, children, .. } = forest;
    let mut messages: Vec<Option<Uid>> = messages.into_iter().map(Some).collect();
    messages.resize(children.len(), None);
    Threads { roots, messages, children }
}

/// The nodes below `facts.len()` are the messages, the others are gaps.
struct Forest<'f> {
    facts: &'f [Facts],
    parents: Vec<Option<usize>>,
    /// How many nodes name each as their parent.
    counts: Vec<usize>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl<'f> Forest<'f> {
    fn new(facts: &'f [Facts]) -> Self {
        let count = facts.len();
        let (parents, counts) = (vec![None; count], vec![0; count]);
        Self { facts, parents, counts, children: vec![Vec::new(); count], roots: Vec::new() }
    }

    fn gap(&mut self) -> usize {
        self.parents.push(None);
        self.counts.push(0);
        self.children.push(Vec::new());
        self.parents.len() - 1
    }

    /// Step 1: links by reference. Children are only gathered when the tree is pruned.
    fn link(&mut self) {
        let mut nodes: HashMap<Id, usize> = HashMap::new();
        for (node, facts) in self.facts.iter().enumerate() {
            if let Some(id) = facts.id {
                nodes.entry(id).or_insert(node);
            }
        }
        let mut steps = self.facts.len().saturating_mul(STEPS_EACH);
        let facts = self.facts;
        for (node, facts) in facts.iter().enumerate() {
            let mut before = None;
            for id in &facts.references {
                let this = match nodes.get(id) {
                    Some(node) => *node,
                    None => *nodes.entry(*id).or_insert_with(|| self.gap()),
                };
                if let Some(parent) = before
                    && self.parent(this).is_none()
                    && self.may_stand_above(parent, this, &mut steps)
                {
                    self.set_parent(this, Some(parent));
                }
                before = Some(this);
            }
            if self.parent(node) != before {
                self.set_parent(node, None);
                if let Some(parent) = before
                    && self.may_stand_above(parent, node, &mut steps)
                {
                    self.set_parent(node, Some(parent));
                }
            }
        }
    }

    fn parent(&self, node: usize) -> Option<usize> {
        self.parents.get(node).copied().flatten()
    }

    fn set_parent(&mut self, node: usize, parent: Option<usize>) {
        let Some(slot) = self.parents.get_mut(node) else { return };
        let before = std::mem::replace(slot, parent);
        if let Some(count) = before.and_then(|before| self.counts.get_mut(before)) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = parent.and_then(|parent| self.counts.get_mut(parent)) {
            *count += 1;
        }
    }

    /// Would the parent be no descendant of the child? When all steps are used up, which only made-up
    /// references bring about, no more is linked.
    fn may_stand_above(&self, parent: usize, child: usize, steps: &mut usize) -> bool {
        if self.counts.get(child) == Some(&0) {
            // Nothing stands below it.
            return parent != child;
        }
        let mut above = Some(parent);
        while let Some(node) = above {
            if node == child || *steps == 0 {
                return false;
            }
            *steps -= 1;
            above = self.parent(node);
        }
        true
    }

    /// Steps 2 and 3: gaps vanish, their children move up; only at the top a gap with several
    /// children stays.
    fn prune(&mut self) {
        let messages = self.facts.len();
        // By gap: the message it stands below, or the gap at the top.
        let mut anchors: Vec<Option<usize>> = vec![None; self.parents.len()];
        for node in 0..messages {
            let Some(parent) = self.parent(node) else {
                self.roots.push(node);
                continue;
            };
            let mut way = Vec::new();
            let mut at = parent;
            let anchor = loop {
                if at < messages {
                    break at;
                }
                if let Some(known) = anchors.get(at).copied().flatten() {
                    break known;
                }
                way.push(at);
                match self.parent(at) {
                    Some(above) => at = above,
                    None => break at,
                }
            };
            for gap in way {
                if let Some(slot) = anchors.get_mut(gap) {
                    *slot = Some(anchor);
                }
            }
            if let Some(children) = self.children.get_mut(anchor) {
                children.push(node);
            }
        }
        for gap in messages..self.children.len() {
            match self.below(gap) {
                [] => {}
                [only] => {
                    let only = *only;
                    self.take_children(gap);
                    self.roots.push(only);
                }
                _ => self.roots.push(gap),
            }
        }
    }

    fn below(&self, node: usize) -> &[usize] {
        self.children.get(node).map_or(&[], Vec::as_slice)
    }

    fn take_children(&mut self, node: usize) -> Vec<usize> {
        self.children.get_mut(node).map(std::mem::take).unwrap_or_default()
    }

    fn add_child(&mut self, node: usize, child: usize) {
        if let Some(children) = self.children.get_mut(node) {
            children.push(child);
        }
    }

    /// The message that a node is sorted and named by: itself, or a gap's first child.
    fn face(&self, node: usize) -> Option<usize> {
        if node < self.facts.len() { Some(node) } else { self.below(node).first().copied() }
    }

    fn sent(&self, node: usize) -> (i64, usize) {
        let face = self.face(node).unwrap_or(node);
        (self.facts.get(face).map_or(i64::MAX, |facts| facts.sent), face)
    }

    /// Steps 4 and 6: siblings by their sent date, then by their order in the mailbox. Only a gap's
    /// own order hangs on that of its children, and a gap is always at the top.
    fn sort(&mut self) {
        let mut all = std::mem::take(&mut self.children);
        for children in &mut all {
            children.sort_by_cached_key(|child| self.sent(*child));
        }
        self.children = all;
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|root| self.sent(*root));
        self.roots = roots;
    }

    /// Step 5: threads of the same base subject become one.
    fn gather(&mut self) {
        let roots = std::mem::take(&mut self.roots);
        let facts = self.facts;
        let is_gap = |node: usize| node >= facts.len();
        let is_reply = |node: usize| facts.get(node).is_some_and(|facts| facts.is_reply);
        let subject = |forest: &Self, root: usize| {
            let face = forest.face(root)?;
            facts.get(face).map(|facts| facts.subject.as_str()).filter(|text| !text.is_empty())
        };
        let mut table: HashMap<&str, usize> = HashMap::new();
        for root in &roots {
            let Some(subject) = subject(self, *root) else { continue };
            let known = table.entry(subject).or_insert(*root);
            let better = is_gap(*root) || is_reply(*known) && !is_reply(*root);
            if !is_gap(*known) && better {
                *known = *root;
            }
        }
        // What became of each root: it stays, it went below another, or a gap took its place.
        let mut gone = vec![false; self.parents.len()];
        let mut instead: BTreeMap<usize, usize> = BTreeMap::new();
        for root in &roots {
            if gone.get(*root).copied().unwrap_or(false) || instead.contains_key(root) {
                continue;
            }
            let Some(subject) = subject(self, *root) else { continue };
            let Some(known) = table.get(subject).copied().filter(|known| known != root) else {
                continue;
            };
            if is_gap(known) && is_gap(*root) {
                for child in self.take_children(*root) {
                    self.add_child(known, child);
                }
            } else if is_gap(known) || is_reply(*root) && !is_reply(known) {
                self.add_child(known, *root);
            } else {
                let gap = self.gap();
                self.add_child(gap, known);
                self.add_child(gap, *root);
                instead.insert(known, gap);
                table.insert(subject, gap);
            }
            if let Some(slot) = gone.get_mut(*root) {
                *slot = true;
            }
        }
        let stays = roots.into_iter().filter(|root| !gone.get(*root).copied().unwrap_or(false));
        self.roots = stays.map(|root| instead.get(&root).copied().unwrap_or(root)).collect();
    }

    /// Threads by the arrival of their newest message.
    fn newest_last(&mut self) {
        let mut newest: Vec<(i64, usize)> = Vec::with_capacity(self.roots.len());
        for root in &self.roots {
            let (mut latest, mut open) = (i64::MIN, vec![*root]);
            while let Some(node) = open.pop() {
                if let Some(facts) = self.facts.get(node) {
                    latest = latest.max(facts.arrived);
                }
                open.extend(self.below(node));
            }
            newest.push((latest, *root));
        }
        // Among equals the order by sent date stays.
        newest.sort_by_key(|(latest, _)| *latest);
        self.roots = newest.into_iter().map(|(_, root)| root).collect();
    }

    /// ORDEREDSUBJECT: the first of each subject, the others right below it.
    fn by_subject(&mut self) {
        let facts = self.facts;
        let mut order: Vec<usize> = (0..facts.len()).collect();
        order.sort_by_key(|node| {
            facts.get(*node).map(|facts| (facts.subject.as_str(), facts.sent, *node))
        });
        let same = |one: &usize, other: &usize| {
            facts.get(*one).map(|f| &f.subject) == facts.get(*other).map(|f| &f.subject)
        };
        for run in order.chunk_by(same) {
            let Some((first, others)) = run.split_first() else { continue };
            self.roots.push(*first);
            if let Some(children) = self.children.get_mut(*first) {
                children.extend(others);
            }
        }
        let mut roots = std::mem::take(&mut self.roots);
        roots.sort_by_cached_key(|root| self.sent(*root));
        self.roots = roots;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message with its id, its references and its subject, sent at its number.
    fn mail(number: i64, id: &str, references: &str, subject: &str) -> Facts {
        thread_local!(static IDS: Ids = Ids::default());
        let of = |id: &str| IDS.with(|ids| ids.id(id.as_bytes()));
        let base = subject.trim_start_matches("Re: ");
        Facts {
            sent: number,
            arrived: number,
            subject: base.to_uppercase(),
            is_reply: base != subject,
            id: (!id.is_empty()).then(|| of(id)),
            references: references.split_whitespace().map(of).collect(),
        }
    }

    fn written(threads: &Threads) -> String {
        fn node(threads: &Threads, at: usize, out: &mut String) {
            if let Some(uid) = threads.messages[at] {
                out.push_str(&uid.to_string());
            }
            let below = &threads.children[at];
            for child in below {
                match (below.len(), threads.messages[at]) {
                    (1, Some(_)) => out.push(' '),
                    (1, None) => panic!("a gap with one child"),
                    _ => out.push('('),
                }
                node(threads, *child, out);
                if below.len() > 1 {
                    out.push(')');
                }
            }
        }
        let mut out = String::new();
        for root in &threads.roots {
            out.push('(');
            node(threads, *root, &mut out);
            out.push(')');
        }
        out
    }

    fn by(algorithm: ThreadAlgorithm, facts: &[Facts]) -> String {
        let uids = (1..).filter_map(Uid::new).take(facts.len()).collect();
        written(&threads(algorithm, facts, uids))
    }

    #[test]
    fn replies_stand_below_what_they_answer() {
        let all = [
            mail(1, "a", "", "x"),
            mail(2, "b", "a", "Re: x"),
            mail(3, "c", "a b", "Re: x"),
            mail(4, "d", "a", "Re: x"),
            mail(5, "e", "", "y"),
        ];
        assert_eq!(by(ThreadAlgorithm::References, &all), "(1(2 3)(4))(5)");
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1(2 3)(4))(5)");
        assert_eq!(by(ThreadAlgorithm::OrderedSubject, &all), "(1(2)(3)(4))(5)");
    }

    #[test]
    fn children_of_a_missing_message_are_siblings_and_an_only_one_moves_up() {
        let all = [mail(1, "b", "a", "Re: x"), mail(2, "c", "a", "Re: x"), mail(3, "e", "d", "z")];
        assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2))(3)");
        // What is missing in between is left out.
        let all = [mail(1, "a", "", "x"), mail(2, "c", "a b", "y"), mail(3, "d", "a b", "z")];
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1(2)(3))");
    }

    #[test]
    fn references_that_go_in_circles_make_no_loop() {
        let all = [mail(1, "a", "b", "x"), mail(2, "b", "a", "x"), mail(3, "c", "c", "z")];
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(2 1)(3)");
    }

    #[test]
    fn an_id_given_twice_is_that_of_the_first_message_and_quotes_do_not_matter() {
        let all = [mail(1, "a", "", "x"), mail(2, "a", "", "y"), mail(3, "b", "\"a\"", "z")];
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(2)(1 3)");
    }

    #[test]
    fn truncated_references_are_mended_by_the_message_itself() {
        // The third says that c follows a; c itself knows that b does.
        let all = [
            mail(1, "a", "", "x"),
            mail(2, "b", "a", "x"),
            mail(3, "d", "a c", "x"),
            mail(4, "c", "a b", "x"),
        ];
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1 2 4 3)");
    }

    #[test]
    fn threads_of_one_subject_are_one() {
        // A reply goes below the message of that subject, wherever it stands.
        let all = [mail(1, "b", "", "Re: x"), mail(2, "a", "", "x")];
        assert_eq!(by(ThreadAlgorithm::References, &all), "(2 1)");
        assert_eq!(by(ThreadAlgorithm::Refs, &all), "(1)(2)");
        // Two that are no replies get a gap above them.
        let all = [mail(1, "a", "", "x"), mail(2, "b", "", "x"), mail(3, "c", "", "Re: x")];
        assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2)(3))");
        // Two gaps become one.
        let all = [
            mail(1, "a", "z", "x"),
            mail(2, "b", "z", "x"),
            mail(3, "c", "y", "x"),
            mail(4, "d", "y", "x"),
        ];
        assert_eq!(by(ThreadAlgorithm::References, &all), "((1)(2)(3)(4))");
        // Nothing has no subject in common.
        let all = [mail(1, "a", "", ""), mail(2, "b", "", "")];
        assert_eq!(by(ThreadAlgorithm::References, &all), "(1)(2)");
    }

    #[test]
    fn siblings_stand_by_their_dates() {
        let all = [
            mail(9, "a", "", "x"),
            mail(8, "b", "a", "x"),
            mail(7, "c", "a", "x"),
            mail(1, "d", "", "y"),
        ];
        assert_eq!(by(ThreadAlgorithm::References, &all), "(4)(1(3)(2))");
        assert_eq!(by(ThreadAlgorithm::OrderedSubject, &all), "(4)(3(2)(1))");
        let newest = [mail(1, "a", "", "x"), mail(2, "b", "", "y"), mail(3, "c", "a", "x")];
        assert_eq!(by(ThreadAlgorithm::Refs, &newest), "(2)(1 3)");
        assert_eq!(by(ThreadAlgorithm::References, &newest), "(1 3)(2)");
    }

    #[test]
    fn a_thread_may_be_as_deep_as_there_are_messages() {
        let deep: Vec<Facts> =
            (1..20_000).map(|n| mail(n, &n.to_string(), &(n - 1).to_string(), "x")).collect();
        let uids: Vec<Uid> = (1..).filter_map(Uid::new).take(deep.len()).collect();
        for algorithm in [ThreadAlgorithm::References, ThreadAlgorithm::Refs] {
            let threads = threads(algorithm, &deep, uids.clone());
            assert_eq!(threads.roots.len(), 1);
            assert!(threads.children.iter().all(|below| below.len() <= 1));
        }
        let upwards: Vec<Facts> = deep.into_iter().rev().collect();
        let threads = threads(ThreadAlgorithm::Refs, &upwards, uids);
        assert_eq!((threads.roots.len(), threads.roots[0]), (1, upwards.len() - 1));
        assert!(threads.children.iter().all(|below| below.len() <= 1));
    }

    proptest! {
        #[test]
        fn every_message_stands_in_one_place(
            all in proptest::collection::vec(
                (0_i64..20, 0_u8..14, proptest::collection::vec(0_u8..14, 0..4), 0_u8..4),
                0..30,
            ),
        ) {
            let facts: Vec<Facts> = all
                .iter()
                .map(|(sent, id, references, subject)| {
                    let references: Vec<_> = references.iter().map(u8::to_string).collect();
                    let subject = ["", "x", "Re: x", "y"][usize::from(*subject)];
                    mail(*sent, &id.to_string(), &references.join(" "), subject)
                })
                .collect();
            let uids: Vec<Uid> = (1..).filter_map(Uid::new).take(facts.len()).collect();
            for algorithm in [
                ThreadAlgorithm::OrderedSubject,
                ThreadAlgorithm::References,
                ThreadAlgorithm::Refs,
            ] {
                let threads = threads(algorithm, &facts, uids.clone());
                let (mut seen, mut open) = (Vec::new(), threads.roots.clone());
                while let Some(node) = open.pop() {
                    seen.extend(threads.messages[node]);
                    prop_assert!(threads.messages[node].is_some() || threads.children[node].len() > 1);
                    prop_assert!(seen.len() <= facts.len());
                    open.extend(&threads.children[node]);
                }
                seen.sort_unstable();
                prop_assert_eq!(seen, uids.clone());
            }
        }
    }
}
