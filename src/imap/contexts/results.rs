//! What a context found, in the order that was asked for, and the places where it changes
//! (RFC 5267 §4.3.2 to §4.3.4).

use std::collections::{BTreeSet, HashMap};

use crate::{ids::Uid, mail::SortBy, wire::Ranges};

/// UIDs that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Results {
    /// Of a SEARCH: in mailbox order, where a client needs no places.
    Mailbox(Ranges),
    /// Of a SORT: in this order, by these criteria.
    Sorted(Vec<Uid>, Vec<SortBy>),
}

/// Messages, neighbours in the result, and where the first of them stands; zero when the client finds
/// the place itself.
pub type Run = (usize, Vec<Uid>);

impl Results {
    /// What a SEARCH found, UIDs rising.
    pub fn of_search(uids: &[u32]) -> Self {
        Self::Mailbox(uids.iter().copied().collect())
    }

    /// Those of these messages, UIDs rising, that match.
    pub fn among(&self, rising: &[Uid]) -> Vec<Uid> {
        match self {
            Self::Mailbox(uids) => {
                rising.iter().filter(|uid| uids.contains(uid.get())).copied().collect()
            }
            Self::Sorted(uids, _) => {
                let mut found: Vec<_> =
                    uids.iter().filter(|uid| rising.binary_search(uid).is_ok()).copied().collect();
                found.sort_unstable();
                found
            }
        }
    }

    /// Can a message get another place when something else is said of it?
    pub fn move_by_changes(&self) -> bool {
        let said = |by: &SortBy| matches!(by, SortBy::Said(_));
        matches!(self, Self::Sorted(_, criteria) if criteria.iter().any(said))
    }

    /// Those, UIDs rising, that have to be moved so that what is left when some are removed gets this
    /// order: as few as can be.
    pub fn moved(&self, removed: &[Uid], sorted: &[Uid]) -> Vec<Uid> {
        let Self::Sorted(uids, _) = self else { return Vec::new() };
        let left = uids.iter().filter(|uid| removed.binary_search(uid).is_err());
        let places: HashMap<Uid, usize> = sorted.iter().copied().zip(0..).collect();
        let left: Vec<(Uid, usize)> =
            left.filter_map(|uid| Some((*uid, *places.get(uid)?))).collect();
        let stays = longest_rising(left.iter().map(|(_, place)| *place));
        let moved = left.iter().zip(stays).filter(|(_, stays)| !stays);
        let mut moved: Vec<Uid> = moved.map(|((uid, _), _)| *uid).collect();
        moved.sort_unstable();
        moved
    }

    /// About how many octets this takes.
    pub fn cost(&self) -> usize {
        match self {
            Self::Mailbox(uids) => size_of_val(uids.ranges()),
            Self::Sorted(uids, _) => size_of_val(uids.as_slice()),
        }
    }

    /// Removes messages that are in it, UIDs rising. Each run stands where it does when those before
    /// it are removed.
    pub fn remove(&mut self, gone: &[Uid]) -> Vec<Run> {
        match self {
            Self::Mailbox(uids) => {
                *uids = uids.without(gone.iter().map(|uid| uid.get()));
                unplaced(gone)
            }
            Self::Sorted(uids, _) => {
                let mut runs: Vec<Run> = Vec::new();
                let (mut kept, mut broken) = (0, true);
                uids.retain(|uid| {
                    let stays = gone.binary_search(uid).is_err();
                    match runs.last_mut() {
                        _ if stays => kept += 1,
                        Some((_, run)) if !broken => run.push(*uid),
                        _ => runs.push((kept + 1, vec![*uid])),
                    }
                    broken = stays;
                    stays
                });
                runs
            }
        }
    }

    /// Adds messages that are not in it, UIDs rising; `sorted` is the order of all when they have one.
    /// Each run stands where it does when those before it are in their places.
    pub fn insert(&mut self, new: &[Uid], sorted: Vec<Uid>) -> Vec<Run> {
        match self {
            Self::Mailbox(uids) => {
                *uids = uids.either(&new.iter().map(|uid| uid.get()).collect());
                unplaced(new)
            }
            Self::Sorted(uids, _) => {
                let new: BTreeSet<Uid> = new.iter().copied().collect();
                let mut runs: Vec<Run> = Vec::new();
                let mut broken = true;
                for (place, uid) in (1..).zip(&sorted) {
                    let is_new = new.contains(uid);
                    match runs.last_mut() {
                        _ if !is_new => {}
                        Some((_, run)) if !broken => run.push(*uid),
                        _ => runs.push((place, vec![*uid])),
                    }
                    broken = !is_new;
                }
                *uids = sorted;
                runs
            }
        }
    }
}

/// Which of these, all different, make up one of the longest rising rows among them.
fn longest_rising(all: impl Iterator<Item = usize>) -> Vec<bool> {
    // The lowest end of a row of each length, and where it stands; before each its predecessor.
    let (mut ends, mut before): (Vec<(usize, usize)>, Vec<Option<usize>>) =
        (Vec::new(), Vec::new());
    for (at, value) in all.enumerate() {
        let length = ends.partition_point(|(end, _)| *end < value);
        let shorter = length.checked_sub(1).and_then(|length| ends.get(length));
        before.push(shorter.map(|(_, at)| *at));
        match ends.get_mut(length) {
            Some(end) => *end = (value, at),
            None => ends.push((value, at)),
        }
    }
    let mut rising = vec![false; before.len()];
    let mut next = ends.last().map(|(_, at)| *at);
    while let Some(at) = next {
        rising.get_mut(at).into_iter().for_each(|of_it| *of_it = true);
        next = before.get(at).copied().flatten();
    }
    rising
}

fn unplaced(uids: &[Uid]) -> Vec<Run> {
    if uids.is_empty() { Vec::new() } else { vec![(0, uids.to_vec())] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    fn sorted(numbers: &[u32]) -> Results {
        Results::Sorted(uids(numbers), Vec::new())
    }

    #[test]
    fn places_are_those_at_the_moment_of_each_run() {
        let mut results = sorted(&[2734, 2735]);
        let all = uids(&[2731, 2732, 2733, 2734, 2735]);
        let runs = results.insert(&uids(&[2731, 2732, 2733]), all);
        assert_eq!(runs, [(1, uids(&[2731, 2732, 2733]))]);
        let runs = results.remove(&uids(&[2731, 2734, 2735]));
        assert_eq!(runs, [(1, uids(&[2731])), (3, uids(&[2734, 2735]))]);
        assert_eq!(results, sorted(&[2732, 2733]));
    }

    #[test]
    fn in_mailbox_order_no_place_is_told() {
        let mut results = Results::of_search(&[1, 2, 3]);
        assert_eq!(results.remove(&uids(&[2])), [(0, uids(&[2]))]);
        assert_eq!(results.insert(&uids(&[4, 9]), Vec::new()), [(0, uids(&[4, 9]))]);
        assert_eq!(results, Results::of_search(&[1, 3, 4, 9]));
        assert_eq!(results.remove(&[]), []);
        assert_eq!(results.among(&uids(&[2, 3, 9])), uids(&[3, 9]));
    }

    #[test]
    fn as_few_as_can_be_are_moved() {
        let results = sorted(&[5, 1, 4, 2, 3]);
        let moved = |removed: &[u32], order: &[u32]| results.moved(&uids(removed), &uids(order));
        assert_eq!(moved(&[], &[5, 1, 4, 2, 3]), []);
        assert_eq!(moved(&[], &[1, 4, 2, 5, 3]), uids(&[5]));
        assert_eq!(moved(&[4], &[9, 1, 2, 3, 8, 5]), uids(&[5]));
        assert_eq!(moved(&[], &[3, 2, 4, 1, 5]).len(), 4);
    }

    proptest! {
        #[test]
        fn a_client_whose_messages_move_ends_with_the_same_list(
            (before, after) in (1_u32..20).prop_flat_map(|most| {
                let all: Vec<u32> = (1..=most).collect();
                (Just(all.clone()).prop_shuffle(), Just(all).prop_shuffle())
            }),
            gone in proptest::collection::btree_set(1_u32..20, 0..4),
        ) {
            let gone: Vec<u32> = gone.into_iter().filter(|n| before.contains(n)).collect();
            let after: Vec<u32> = after.into_iter().filter(|n| !gone.contains(n)).collect();
            let mut results = sorted(&before);
            let mut client = uids(&before);
            let moved = results.moved(&uids(&gone), &uids(&after));
            let mut leave = [moved.clone(), uids(&gone)].concat();
            leave.sort_unstable();
            for (place, run) in results.remove(&leave) {
                let removed: Vec<_> = client.drain(place - 1..place - 1 + run.len()).collect();
                prop_assert_eq!(removed, run);
            }
            for (place, run) in results.insert(&moved, uids(&after)) {
                client.splice(place - 1..place - 1, run);
            }
            prop_assert_eq!(client, uids(&after));
        }

        /// A client that follows the runs has the results.
        #[test]
        fn a_client_that_follows_ends_with_the_same_list(
            first in proptest::collection::btree_set(1_u32..60, 0..30),
            gone in proptest::collection::btree_set(1_u32..60, 0..20),
            new in proptest::collection::btree_set(60_u32..90, 0..20),
            seed in 0_u32..97,
        ) {
            let order = |numbers: &mut Vec<u32>| numbers.sort_by_key(|n| (n * 31 + seed) % 97);
            let mut list: Vec<u32> = first.iter().copied().collect();
            order(&mut list);
            let mut results = sorted(&list);
            let mut client = uids(&list);
            let gone: Vec<u32> = gone.into_iter().filter(|n| first.contains(n)).collect();
            for (place, run) in results.remove(&uids(&gone)) {
                let removed: Vec<_> = client.drain(place - 1..place - 1 + run.len()).collect();
                prop_assert_eq!(removed, run);
            }
            let new: Vec<u32> = new.into_iter().collect();
            let mut all: Vec<u32> =
                list.into_iter().filter(|n| !gone.contains(n)).chain(new.iter().copied()).collect();
            order(&mut all);
            for (place, run) in results.insert(&uids(&new), uids(&all)) {
                client.splice(place - 1..place - 1, run);
            }
            prop_assert_eq!(&client, &uids(&all));
            prop_assert_eq!(results, sorted(&all));
        }
    }
}
