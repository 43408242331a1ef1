//! How contexts are brought up to date and clients told of it: `REMOVEFROM` for what is gone or
//! matches no more, `ADDTO` for what is new or matches now.

use std::collections::{BTreeMap, HashMap};

use super::{
    Changed, Contexts,
    results::{Results, Run},
};
use crate::{
    ids::Uid,
    imap::{
        error::Error,
        fetch::item::Item,
        picture::{By, Picture},
        reply::InOrder,
        selected::Selected,
    },
    mail::{Mail, Mailbox, Messages, SortBy},
    wire::{Buffer, Encode},
};

/// Messages of a sorted result that a new one is compared with at a time.
const PROBES: usize = 64;
/// From so many new messages on the whole result is sorted again.
const MANY: usize = 16;

/// What is told of one context (RFC 5267 §4.3.2).
#[derive(Debug)]
pub struct Update {
    tag: Box<str>,
    by: By,
    removed: Vec<(usize, Vec<u32>)>,
    added: Vec<(usize, Vec<u32>)>,
}

impl Update {
    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

impl Encode for Update {
    /// `* ESEARCH (TAG "B01") UID REMOVEFROM (0 32768) ADDTO (0 32769:32770)`
    fn encode(&self, out: &mut Buffer) {
        out.put("* ESEARCH (TAG ");
        out.string(self.tag.as_bytes());
        out.put(")");
        if self.by == By::Uid {
            out.put(" UID");
        }
        for (word, runs) in [(" REMOVEFROM ", &self.removed), (" ADDTO ", &self.added)] {
            if runs.is_empty() {
                continue;
            }
            out.put(word);
            out.list(runs, |out, (place, numbers)| {
                out.put(*place as u64);
                out.put(" ");
                out.put(InOrder(numbers));
            });
        }
        out.put("\r\n");
    }
}

/// All that is told of contexts at one time.
#[derive(Debug, Default)]
pub struct Updates {
    /// One for each context that has changed.
    pub lines: Vec<Update>,
    /// New messages that are told with these items before the lines.
    pub fetch: BTreeMap<Uid, Vec<Item>>,
}

impl Contexts {
    /// Takes the messages that are gone out of all results, while the client still counts them.
    pub fn remove_gone(&mut self, picture: &Picture, messages: &Messages) -> Vec<Update> {
        let gone = picture.untold_expunges();
        if gone.is_empty() {
            return Vec::new();
        }
        let numbered = Numbered { picture, messages };
        let update = |context: &mut super::Context| {
            let lost = context.results.among(gone);
            let removed = numbered.runs(context.by, context.results.remove(&lost));
            Update { tag: context.tag.clone(), by: context.by, removed, added: Vec::new() }
        };
        let updates = self.all.iter_mut().map(update);
        updates.filter(|update| !update.is_empty()).collect()
    }
}

/// What messages are called.
struct Numbered<'p> {
    picture: &'p Picture,
    messages: &'p Messages,
}

impl Numbered<'_> {
    fn runs(&self, by: By, runs: Vec<Run>) -> Vec<(usize, Vec<u32>)> {
        let number = |uid: &Uid| match by {
            By::Uid => Some(uid.get()),
            By::Number => self.picture.number(*uid, self.messages.uids()),
        };
        let run = |(place, uids): Run| (place, uids.iter().filter_map(number).collect());
        runs.into_iter().map(run).collect()
    }
}

/// Messages that may have become others to a search.
struct Candidates {
    /// They have changed.
    changed: Vec<Uid>,
    /// Something else is said of some of them.
    said_changed: bool,
    /// They are new to some context.
    new: Vec<Uid>,
    /// The client counts messages up to this UID.
    last: u32,
}

/// Brings all contexts up to date with what the client was told: what changed, what is new.
pub async fn updates(mail: &Mail, selected: &mut Selected) -> Result<Updates, Error> {
    let mut updates = Updates::default();
    let candidates = selected.look_all(mail, |picture, contexts, messages| {
        contexts.map(|contexts| candidates(picture, contexts, messages))
    });
    let Some(candidates) = candidates.await? else { return Ok(updates) };
    let mut at = 0;
    while let Some(context) = selected.contexts().and_then(|contexts| contexts.all.get(at)) {
        let before = context.upto;
        let moves = context.results.move_by_changes();
        let hears = moves || context.query.hears_changes();
        let changed = candidates.changed.iter().filter(|uid| uid.get() <= before && hears);
        let new = candidates.new.iter().filter(|uid| uid.get() > before);
        let looked_at: Vec<Uid> = changed.chain(new).copied().collect();
        let (query, was) = (context.query.clone(), context.results.among(&looked_at));
        let is = query.among(mail, selected, &looked_at).await?;
        let removed = without(&was, &is);
        let added = without(&is, &was);
        let way = match moves {
            true if candidates.said_changed && was.len() > removed.len() => Way::Anew,
            true if !added.is_empty() => Way::Anew,
            _ => Way::Placed,
        };
        let order = order(mail, selected, at, &removed, &added, way).await?;
        let told = selected.look_all(mail, |picture, contexts, messages| {
            let context = contexts?.all.get_mut(at)?;
            let numbered = Numbered { picture, messages };
            let moved = if moves { context.results.moved(&removed, &order) } else { Vec::new() };
            let removed = context.results.remove(&both(&removed, &moved));
            let removed = numbered.runs(context.by, removed);
            let runs = context.results.insert(&both(&added, &moved), order);
            let added = numbered.runs(context.by, runs);
            context.upto = candidates.last;
            let update = Update { tag: context.tag.clone(), by: context.by, removed, added };
            Some((update, context.fetch.clone()))
        });
        let Some((update, items)) = told.await? else { break };
        if !update.is_empty() {
            updates.lines.push(update);
        }
        for uid in added.iter().filter(|uid| uid.get() > before && !items.is_empty()) {
            let wanted = updates.fetch.entry(*uid).or_default();
            wanted.extend(items.iter().cloned());
        }
        at += 1;
    }
    Ok(updates)
}

fn candidates(picture: &Picture, contexts: &mut Contexts, messages: &Messages) -> Candidates {
    let living = messages.uids();
    let said_changed = std::mem::take(&mut contexts.said_changed);
    let mut changed = match contexts.take_changed(messages.mod_seq()) {
        Changed::Uids(uids) => uids,
        Changed::Since(mod_seq) => {
            let all = living.iter().zip(messages.mod_seqs());
            all.filter(|(_, known)| **known > mod_seq).map(|(uid, _)| *uid).collect()
        }
    };
    changed.sort_unstable();
    let last = picture.last_told();
    let known = contexts.all.iter().map(|context| context.upto).min().unwrap_or(last);
    let from = living.partition_point(|uid| uid.get() <= known);
    let new = living.get(from..).unwrap_or_default();
    let new = new.iter().take_while(|uid| uid.get() <= last).copied().collect();
    Candidates { changed, said_changed, new, last }
}

/// Those of one rising list that are not in another.
fn without(these: &[Uid], those: &[Uid]) -> Vec<Uid> {
    these.iter().filter(|uid| those.binary_search(uid).is_err()).copied().collect()
}

/// Those of both rising lists, which have none in common.
fn both(these: &[Uid], those: &[Uid]) -> Vec<Uid> {
    let mut both = [these, those].concat();
    both.sort_unstable();
    both
}

/// How the new order of a sorted result is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Those that stay keep their order, and each new one finds its place among them.
    Placed,
    /// All are sorted. What is said of a message may have changed again since it was last heard of it,
    /// and then its old place misleads those that are compared with it.
    Anew,
}

/// The order of a sorted result when some messages have gone and others come; nothing for one in
/// mailbox order.
async fn order(
    mail: &Mail,
    selected: &Selected,
    at: usize,
    removed: &[Uid],
    added: &[Uid],
    way: Way,
) -> Result<Vec<Uid>, Error> {
    let context = selected.contexts().and_then(|contexts| contexts.all.get(at));
    let Some(Results::Sorted(uids, criteria)) = context.map(|context| &context.results) else {
        return Ok(Vec::new());
    };
    let mut uids: Vec<Uid> =
        uids.iter().filter(|uid| removed.binary_search(uid).is_err()).copied().collect();
    let (mailbox, criteria) = (&selected.mailbox, criteria.clone());
    if way == Way::Placed && added.is_empty() {
        return Ok(uids);
    }
    if way == Way::Anew || added.len() >= MANY || uids.len() <= PROBES {
        return sort_in(mail, mailbox, uids, added, &criteria).await;
    }
    for new in added {
        match place(mail, mailbox, &uids, *new, &criteria).await? {
            Some(place) => uids.insert(place, *new),
            None => uids = sort_in(mail, mailbox, uids, &[*new], &criteria).await?,
        }
    }
    Ok(uids)
}

/// Sorts all; messages that are gone meanwhile, and were not told as gone, keep their neighbours.
async fn sort_in(
    mail: &Mail,
    mailbox: &Mailbox,
    uids: Vec<Uid>,
    added: &[Uid],
    criteria: &[SortBy],
) -> Result<Vec<Uid>, Error> {
    let mut all: Vec<Uid> = uids.iter().chain(added).copied().collect();
    all.sort_unstable();
    let sorted = mail.sort_by(mailbox, all, criteria.to_vec()).await?;
    Ok(merge(&uids, &sorted, added))
}

/// The order in which those that live are sorted, wherever they stood before; each that is gone stays
/// behind the one it stood behind, and a new one that is gone stands at the end until that is told.
fn merge(known: &[Uid], sorted: &[Uid], added: &[Uid]) -> Vec<Uid> {
    let mut living: Vec<Uid> = sorted.to_vec();
    living.sort_unstable();
    let is_gone = |uid: &Uid| living.binary_search(uid).is_err();
    let mut gone: HashMap<Option<Uid>, Vec<Uid>> = HashMap::new();
    let mut before = None;
    for uid in known {
        if is_gone(uid) {
            gone.entry(before).or_default().push(*uid);
        } else {
            before = Some(*uid);
        }
    }
    let mut merged = Vec::with_capacity(known.len() + added.len());
    merged.extend(gone.remove(&None).unwrap_or_default());
    for uid in sorted {
        merged.push(*uid);
        merged.extend(gone.remove(&Some(*uid)).unwrap_or_default());
    }
    merged.extend(added.iter().filter(|uid| is_gone(uid)));
    merged
}

/// The place of a new message in a sorted list, found by comparing it with few of those there; None
/// when that does not tell.
async fn place(
    mail: &Mail,
    mailbox: &Mailbox,
    uids: &[Uid],
    new: Uid,
    criteria: &[SortBy],
) -> Result<Option<usize>, Error> {
    let (mut low, mut high) = (0, uids.len());
    while low < high {
        let step = (high - low).div_ceil(PROBES);
        let places: Vec<usize> = (low..high).step_by(step).collect();
        let mut probes: Vec<Uid> =
            places.iter().filter_map(|place| uids.get(*place)).copied().collect();
        let by_place = probes.clone();
        probes.push(new);
        probes.sort_unstable();
        let sorted = mail.sort_by(mailbox, probes, criteria.to_vec()).await?;
        let Some(before) = sorted.iter().position(|uid| *uid == new) else { return Ok(None) };
        let place_of = |uid: Option<&Uid>| {
            let probe = by_place.iter().position(|probe| Some(probe) == uid)?;
            places.get(probe).copied()
        };
        let last_before = before.checked_sub(1).and_then(|at| place_of(sorted.get(at)));
        let first_behind = place_of(sorted.get(before + 1));
        if step == 1 {
            return Ok(Some(last_before.map_or(low, |place| place + 1)));
        }
        let narrowed = (last_before.map_or(low, |place| place + 1), first_behind.unwrap_or(high));
        if narrowed == (low, high) {
            return Ok(None);
        }
        (low, high) = narrowed;
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    #[test]
    fn what_is_gone_and_not_told_keeps_its_neighbours() {
        let merged = |known: &[u32], sorted: &[u32], added: &[u32]| {
            merge(&uids(known), &uids(sorted), &uids(added))
        };
        assert_eq!(merged(&[5, 3, 9], &[5, 7, 9], &[7]), uids(&[5, 3, 7, 9]));
        assert_eq!(merged(&[5, 3, 9], &[1, 5, 3, 9, 2], &[1, 2]), uids(&[1, 5, 3, 9, 2]));
        assert_eq!(merged(&[], &[2, 1], &[1, 2]), uids(&[2, 1]));
        assert_eq!(merged(&[4], &[], &[6]), uids(&[4, 6]));
    }

    #[test]
    fn others_than_those_that_changed_may_stand_elsewhere() {
        // Message 2 was heard of; 1 has changed too, and stands where it stood.
        assert_eq!(merge(&uids(&[1, 2, 3, 4]), &uids(&[3, 4, 1, 2]), &[]), uids(&[3, 4, 1, 2]));
        assert_eq!(merge(&uids(&[1, 3, 4]), &uids(&[3, 4, 1, 2]), &uids(&[2])).len(), 4);
    }

    proptest! {
        /// Each message has one place, whatever has changed or gone meanwhile, and a client that
        /// follows knows it.
        #[test]
        fn a_client_follows_whatever_has_changed_meanwhile(
            (before, after) in (1_u32..20).prop_flat_map(|most| {
                let all: Vec<u32> = (1..=most).collect();
                (Just(all.clone()).prop_shuffle(), Just(all).prop_shuffle())
            }),
            new in proptest::collection::btree_set(1_u32..20, 0..4),
            removed in proptest::collection::btree_set(1_u32..20, 0..4),
            gone in proptest::collection::btree_set(1_u32..20, 0..4),
        ) {
            let only = |numbers: &[u32], is: &dyn Fn(&u32) -> bool| {
                uids(&numbers.iter().copied().filter(is).collect::<Vec<_>>())
            };
            let rising: Vec<u32> = (1..=before.len() as u32).collect();
            let was = |n: &u32| !new.contains(n);
            let leaves = |n: &u32| was(n) && removed.contains(n);
            let mut client = only(&before, &was);
            let mut results = Results::Sorted(client.clone(), Vec::new());
            let removed = only(&rising, &leaves);
            let added = only(&rising, &|n| !was(n));
            let known = only(&before, &|n| was(n) && !leaves(n));
            let sorted = only(&after, &|n| !leaves(n) && !gone.contains(n));
            let order = merge(&known, &sorted, &added);
            let living = order.iter().filter(|uid| sorted.contains(uid)).copied();
            prop_assert_eq!(living.collect::<Vec<_>>(), sorted);
            let moved = results.moved(&removed, &order);
            for (place, run) in results.remove(&both(&removed, &moved)) {
                let left: Vec<_> = client.drain(place - 1..place - 1 + run.len()).collect();
                prop_assert_eq!(left, run);
            }
            for (place, run) in results.insert(&both(&added, &moved), order.clone()) {
                client.splice(place - 1..place - 1, run);
            }
            prop_assert_eq!(&client, &order);
            client.sort_unstable();
            prop_assert_eq!(client, only(&rising, &|n| !leaves(n)));
        }
    }

    #[test]
    fn removals_and_additions_are_told_in_one_line() {
        let update = Update {
            tag: "B01".into(),
            by: By::Uid,
            removed: vec![(0, vec![32768])],
            added: vec![(1, vec![2733, 2732, 2734]), (9, vec![5])],
        };
        let mut out = Buffer::default();
        out.put(update);
        let line =
            "* ESEARCH (TAG \"B01\") UID REMOVEFROM (0 32768) ADDTO (1 2733,2732,2734 9 5)\r\n";
        assert_eq!(String::from_utf8(out.into_bytes()).unwrap(), line);
    }
}
