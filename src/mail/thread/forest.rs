//! The tree of messages, and how it comes about (RFC 5256 §3).
//!
//! It is kept in an arena and walked in loops, never by recursion: a thread is as deep as its senders
//! make it.

use std::collections::{BTreeMap, HashMap};

use super::{
    Node,
    facts::{Facts, Id},
};
use crate::{ids::Uid, mail::converted::Sorted};

/// Steps up a thread, for each message, that the search for loops may take in sum.
const STEPS_EACH: usize = 256;

/// The nodes below `facts.len()` are the messages, the others are gaps.
pub(super) struct Forest<'f> {
    facts: &'f [Facts],
    parents: Vec<Option<usize>>,
    /// How many nodes name each as their parent.
    counts: Vec<usize>,
    children: Vec<Vec<usize>>,
    roots: Vec<usize>,
}

impl<'f> Forest<'f> {
    pub(super) fn new(facts: &'f [Facts]) -> Self {
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
    pub(super) fn link(&mut self) {
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
    pub(super) fn prune(&mut self) {
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
    pub(super) fn sort(&mut self) {
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
    pub(super) fn gather(&mut self) {
        let roots = std::mem::take(&mut self.roots);
        let facts = self.facts;
        let is_gap = |node: usize| node >= facts.len();
        let is_reply = |node: usize| facts.get(node).is_some_and(|facts| facts.is_reply);
        let subject = |forest: &Self, root: usize| {
            let face = forest.face(root)?;
            facts.get(face).map(|facts| &facts.subject).filter(|text| !text.is_empty())
        };
        let mut table: HashMap<&Sorted, usize> = HashMap::new();
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
    pub(super) fn newest_last(&mut self) {
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
    pub(super) fn by_subject(&mut self) {
        let facts = self.facts;
        let mut order: Vec<usize> = (0..facts.len()).collect();
        order.sort_by_key(|node| facts.get(*node).map(|facts| (&facts.subject, facts.sent, *node)));
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

    /// The nodes in the order in which they are told, each with the message it stands for: None for a
    /// gap.
    pub(super) fn told(&self, messages: &[Uid]) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(self.facts.len());
        let mut open: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(node) = open.pop() {
            let below = self.below(node);
            let count = u32::try_from(below.len()).unwrap_or(u32::MAX);
            nodes.push(Node { message: messages.get(node).copied(), below: count });
            open.extend(below.iter().rev());
        }
        nodes
    }
}
