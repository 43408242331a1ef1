//! A client's picture of its mailbox.
//!
//! A client counts messages 1, 2, 3; the house knows UIDs. The picture holds what the client was
//! told and the news it was not told yet, so that no command has to. A number changes its meaning
//! only in [`Picture::tell`], and never under a command that counts by number (RFC 3501 §7.4.1).
//!
//! It keeps no list of messages. What the client counts is what lives in the shared view up to the
//! highest UID it was told, and the few messages that are gone and not yet told as gone. The two
//! agree when their sum is the number that was told; until then an expunge has reached the view
//! and not the picture, and [`Picture::agrees`] says so.

use crate::{
    ids::{ModSeq, Uid},
    wire::{Ranges, Set, Syntax},
};

/// Untold flag changes that are kept one by one; more are looked up by mod-sequence.
const MOST_CHANGED: usize = 64;

/// One message that a command is about: its number at this client, and its UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its number; stays true for the whole command.
    pub number: u32,
    /// Its UID.
    pub uid: Uid,
}

/// What a set's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Message numbers.
    Number,
    /// UIDs.
    Uid,
}

/// An expunge at the moment it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expunged {
    /// The message's number when all expunges before this one are told.
    pub number: u32,
    /// Its UID.
    pub uid: Uid,
}

/// Messages whose flags changed elsewhere and were not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These, in no order.
    Uids(Vec<Uid>),
    /// All that changed since this mod-sequence: too many to keep, or some news were missed.
    Since(ModSeq),
}

/// What one client believes.
#[derive(Debug)]
pub struct Picture {
    /// The highest UID that was counted in an EXISTS; zero before the first message.
    told_uid: u32,
    /// The last EXISTS, less the EXPUNGEs since.
    told_count: u32,
    /// Up to which change the expunges are told or kept below.
    agreed: ModSeq,
    /// The last change that was heard of.
    heard: ModSeq,
    /// Up to which change the flags are told or kept below.
    told_mod_seq: ModSeq,
    /// Events were lost.
    missed: bool,
    /// Gone and not told, rising.
    expunged: Vec<Uid>,
    /// No expunge that is not told happened before this change.
    expunged_from: Option<ModSeq>,
    changed: Changed,
    /// What the client takes for HIGHESTMODSEQ: the last one it was given, or a higher mod-sequence
    /// that it has seen since (RFC 7162 §6).
    believed: ModSeq,
    /// Expunges were told, and not yet up to which change all is known now.
    behind: bool,
}

impl Picture {
    /// The picture of a client that was just told of all these living messages.
    pub fn new(living: &[Uid], mod_seq: ModSeq) -> Self {
        Self {
            told_uid: living.last().map_or(0, |uid| uid.get()),
            told_count: count(living.len()),
            ..Self::unseen(0, 0, mod_seq)
        }
    }

    /// The picture of a client that knows a mailbox up to this change: how many messages it counts,
    /// and a UID that none of them exceeds.
    pub fn unseen(told_count: u32, told_uid: u32, mod_seq: ModSeq) -> Self {
        Self {
            told_uid,
            told_count,
            agreed: mod_seq,
            heard: mod_seq,
            told_mod_seq: mod_seq,
            missed: false,
            expunged: Vec::new(),
            expunged_from: None,
            changed: Changed::Uids(Vec::new()),
            believed: mod_seq,
            behind: false,
        }
    }

    /// How many messages the client counts.
    pub fn count(&self) -> u32 {
        self.told_count
    }

    /// Up to which mod-sequence the client was told everything: from there it can resynchronise
    /// without loss, whatever was told beyond it (RFC 7162 §3.2).
    pub fn known(&self) -> ModSeq {
        let before = self.expunged_from.map(|first| ModSeq(first.0.saturating_sub(1)));
        before.map_or(self.told_mod_seq, |before| before.min(self.told_mod_seq))
    }

    /// A message's mod-sequence is told: the client takes it for HIGHESTMODSEQ when it is higher than
    /// what it has.
    pub fn tell_mod_seq(&mut self, mod_seq: ModSeq) {
        self.believed = self.believed.max(mod_seq);
    }

    /// Tells HIGHESTMODSEQ: up to where the client knows everything.
    pub fn tell_highest(&mut self) -> ModSeq {
        self.behind = false;
        self.believed = self.known();
        self.believed
    }

    /// Does the client believe to know more than it was told?
    pub fn believes_too_much(&self) -> bool {
        self.believed > self.known()
    }

    /// Were expunges told, and not yet up to which change all is known now?
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Those of the living that the client counts.
    fn counted<'v>(&self, living: &'v [Uid]) -> &'v [Uid] {
        let end = living.partition_point(|uid| uid.get() <= self.told_uid);
        living.get(..end).unwrap_or(living)
    }

    /// Has the picture heard of every expunge that this view of the mailbox went through? If not,
    /// the event is on its way.
    pub fn agrees(&self, living: &[Uid]) -> bool {
        count(self.counted(living).len() + self.expunged.len()) == self.told_count
    }

    /// Something happened in the mailbox; its events come in their order.
    pub fn hear(&mut self, mod_seq: ModSeq) {
        self.heard = self.heard.max(mod_seq);
    }

    /// Messages were expunged, by whomever, in this change.
    ///
    /// What happened up to the change with which the last EXISTS agreed is known: those messages
    /// were gone before they were counted.
    pub fn hear_expunged(&mut self, uids: &[Uid], mod_seq: ModSeq) {
        if mod_seq > self.agreed {
            self.add_expunged(uids, mod_seq);
        }
    }

    fn add_expunged(&mut self, uids: &[Uid], mod_seq: ModSeq) {
        self.expunged.extend(uids.iter().filter(|uid| uid.get() <= self.told_uid));
        self.expunged.sort_unstable();
        self.expunged.dedup();
        if !self.expunged.is_empty() {
            self.expunged_from = Some(self.expunged_from.map_or(mod_seq, |from| from.min(mod_seq)));
        }
    }

    /// Flags of messages changed, not by this session.
    pub fn hear_changed(&mut self, uids: impl IntoIterator<Item = Uid>) {
        let Changed::Uids(changed) = &mut self.changed else { return };
        for uid in uids {
            if uid.get() > self.told_uid || changed.contains(&uid) {
                continue; // its flags will be asked for with its number, or are to be told already
            }
            if changed.len() == MOST_CHANGED {
                self.changed = Changed::Since(self.told_mod_seq);
                return;
            }
            changed.push(uid);
        }
    }

    /// Some events were lost: flag changes are looked up by mod-sequence, and the expunges are to be
    /// had from the log; see [`Picture::missed`].
    pub fn miss(&mut self) {
        self.changed = Changed::Since(self.told_mod_seq);
        self.missed = true;
    }

    /// Since which change the log of expunges has to be asked, when events were lost.
    pub fn missed(&self) -> Option<ModSeq> {
        self.missed.then_some(self.agreed)
    }

    /// Takes in what the log says: ranges of UIDs, each of which is gone.
    pub fn catch_up(&mut self, vanished: &[(Uid, Uid)]) {
        let last = self.told_uid;
        let after = ModSeq(self.agreed.0.saturating_add(1));
        for (first, to) in vanished {
            let uids: Vec<_> = (first.get()..=to.get().min(last)).filter_map(Uid::new).collect();
            self.add_expunged(&uids, after);
        }
        self.missed = false;
    }

    /// The UIDs that are gone and not told, rising.
    pub fn untold_expunges(&self) -> &[Uid] {
        &self.expunged
    }

    /// Are there expunges to tell?
    pub fn has_expunged(&self) -> bool {
        !self.expunged.is_empty()
    }

    /// The highest UID that was counted in an EXISTS.
    pub fn last_told(&self) -> u32 {
        self.told_uid
    }

    /// The last change that was heard of.
    pub fn heard(&self) -> ModSeq {
        self.heard
    }

    /// Is there anything to tell?
    pub fn has_news(&self, living: &[Uid]) -> bool {
        !self.expunged.is_empty()
            || self.changed != Changed::Uids(Vec::new())
            || living.last().is_some_and(|uid| uid.get() > self.told_uid)
    }

    /// The UID behind a number.
    pub fn uid(&self, number: u32, living: &[Uid]) -> Option<Uid> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        let living = self.counted(living);
        // How many of the gone stand before this place: each stands behind the living below it.
        let (mut low, mut high) = (0, self.expunged.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            let uid = self.expunged.get(middle)?;
            if below(living, *uid) + middle < place {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if let Some(uid) = self.expunged.get(low)
            && below(living, *uid) + low == place
        {
            return Some(*uid);
        }
        living.get(place.checked_sub(low)?).copied()
    }

    /// The number of a message that the client counts.
    pub fn number(&self, uid: Uid, living: &[Uid]) -> Option<u32> {
        let (here, gone) = (uid.place_in(living), self.expunged.binary_search(&uid));
        let known = uid.get() <= self.told_uid && (here.is_ok() || gone.is_ok());
        let before = |place: Result<usize, usize>| place.unwrap_or_else(|place| place);
        known.then(|| count(before(here) + before(gone) + 1))
    }

    /// The messages that a set names, numbers rising; `saved` is what `$` stands for, in UIDs.
    ///
    /// UIDs that the client does not count are passed over (RFC 3501 §6.4.8), a number beyond its
    /// last message is its mistake. `*` in an empty mailbox names nothing.
    pub fn targets(
        &self,
        set: &Set,
        by: By,
        living: &[Uid],
        saved: &Ranges,
    ) -> Result<Vec<Target>, Syntax> {
        let mut targets = match by {
            By::Uid => self.by_uid(&set.resolve(self.last_uid(living)), living),
            By::Number if self.told_count == 0 && set.names_last() => Vec::new(),
            By::Number if set.highest() > self.told_count => {
                return Err(Syntax::Expected("message numbers within the mailbox"));
            }
            By::Number => self.by_number(&set.resolve(self.told_count), living),
        };
        if set.saved {
            targets.extend(self.by_uid(saved, living));
            targets.sort_unstable_by_key(|target| target.number);
            targets.dedup();
        }
        Ok(targets)
    }

    /// The UIDs that a set means, whether or not a message has them: for keys of SEARCH, where numbers
    /// beyond the end are no mistake (RFC 7377 §2). Costs no more for many messages than for few.
    pub fn uids(&self, set: &Set, by: By, living: &[Uid], saved: &Ranges) -> Ranges {
        let uids = match by {
            By::Uid => set.resolve(self.last_uid(living)),
            By::Number => {
                let mut uids = Ranges::default();
                for range in set.resolve(self.told_count).ranges() {
                    let end = self.told_count.min(*range.end());
                    let ends = [*range.start(), end].map(|end| self.uid(end, living));
                    if let [Some(from), Some(to)] = ends
                        && from <= to
                    {
                        uids.insert_range(from.get()..=to.get());
                    }
                }
                uids
            }
        };
        if set.saved { uids.either(saved) } else { uids }
    }

    /// What `*` means among UIDs: the highest the client counts.
    fn last_uid(&self, living: &[Uid]) -> u32 {
        let living = self.counted(living).last();
        living.max(self.expunged.last()).map_or(0, |uid| uid.get())
    }

    fn by_number(&self, numbers: &Ranges, living: &[Uid]) -> Vec<Target> {
        let mut targets = Vec::new();
        for range in numbers.ranges() {
            let (from, to) = (*range.start(), *range.end());
            if self.expunged.is_empty() {
                let slice = usize::try_from(from - 1).ok().zip(usize::try_from(to).ok());
                let uids = slice.and_then(|(from, to)| living.get(from..to)).unwrap_or_default();
                targets.extend(
                    uids.iter().zip(from..).map(|(uid, number)| Target { number, uid: *uid }),
                );
            } else {
                let of = |number| Some(Target { number, uid: self.uid(number, living)? });
                targets.extend(range.clone().filter_map(of));
            }
        }
        targets
    }

    fn by_uid(&self, uids: &Ranges, living: &[Uid]) -> Vec<Target> {
        let living = self.counted(living);
        let mut targets = Vec::new();
        for range in uids.ranges() {
            let within = |uids: &[Uid]| {
                let from = uids.partition_point(|uid| uid.get() < *range.start());
                (from, uids.partition_point(|uid| uid.get() <= *range.end()))
            };
            let ((from, to), (gone_from, gone_to)) = (within(living), within(&self.expunged));
            let mut living = living.get(from..to).unwrap_or_default().iter().peekable();
            let mut gone =
                self.expunged.get(gone_from..gone_to).unwrap_or_default().iter().peekable();
            for number in count(from + gone_from + 1).. {
                let next = match (living.peek(), gone.peek()) {
                    (Some(uid), Some(other)) if other < uid => gone.next(),
                    (Some(_), _) => living.next(),
                    (None, _) => gone.next(),
                };
                let Some(uid) = next else { break };
                targets.push(Target { number, uid: *uid });
            }
        }
        targets
    }

    /// Tells the expunges. The picture must agree with the view.
    pub fn tell_expunged(&mut self, living: &[Uid]) -> Vec<Expunged> {
        let living = self.counted(living);
        // Told rising, each is the only gone one left below itself.
        let number = |uid| Expunged { number: count(below(living, uid) + 1), uid };
        let told: Vec<_> = self.expunged.iter().map(|uid| number(*uid)).collect();
        self.told_count = self.told_count.saturating_sub(count(told.len()));
        self.expunged = Vec::new();
        self.expunged_from = None;
        self.behind |= !told.is_empty();
        told
    }

    /// Tells the new messages: the new count, when it changed. The picture must agree with the view,
    /// which is that of `mod_seq`.
    pub fn tell_exists(&mut self, living: &[Uid], mod_seq: ModSeq) -> Option<u32> {
        self.agreed = mod_seq;
        let last = living.last()?.get();
        if last <= self.told_uid {
            return None;
        }
        let new = living.len() - self.counted(living).len();
        self.told_uid = last;
        self.told_count += count(new);
        Some(self.told_count)
    }

    /// Tells the flag changes; `mod_seq` is the view's, from which the caller takes the flags. The
    /// view may be ahead of what was heard: that is news yet to come.
    pub fn tell_changed(&mut self, mod_seq: ModSeq) -> Changed {
        let changed = std::mem::replace(&mut self.changed, Changed::Uids(Vec::new()));
        let told = match changed {
            Changed::Uids(_) => self.heard,
            Changed::Since(_) => mod_seq,
        };
        self.told_mod_seq = self.told_mod_seq.max(told);
        changed
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn below(uids: &[Uid], uid: Uid) -> usize {
    uids.partition_point(|other| *other < uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Cursor;
    use proptest::prelude::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    fn named(
        picture: &Picture,
        text: &str,
        by: By,
        living: &[Uid],
    ) -> Result<Vec<(u32, u32)>, Syntax> {
        let set = Cursor::new(text.as_bytes()).set().unwrap();
        let targets = picture.targets(&set, by, living, &Ranges::default())?;
        Ok(targets.iter().map(|target| (target.number, target.uid.get())).collect())
    }

    #[test]
    fn an_expunge_elsewhere_changes_no_number_until_it_is_told() {
        let mut picture = Picture::new(&uids(&[2, 4, 6, 8]), ModSeq(1));
        let living = uids(&[2, 6, 9]);
        assert!(!picture.agrees(&living));
        picture.hear_expunged(&uids(&[4, 8]), ModSeq(2));
        assert!(picture.agrees(&living));
        let all = [(1, 2), (2, 4), (3, 6), (4, 8)];
        assert_eq!(named(&picture, "1:*", By::Number, &living).unwrap(), all);
        assert_eq!(named(&picture, "1:*", By::Uid, &living).unwrap(), all);
        let numbers: Vec<_> = picture.tell_expunged(&living).iter().map(|e| e.number).collect();
        assert_eq!(numbers, [2, 3]);
        assert_eq!(picture.tell_exists(&living, ModSeq(2)), Some(3));
        let all = [(1, 2), (2, 6), (3, 9)];
        assert_eq!(named(&picture, "1:*", By::Number, &living).unwrap(), all);
        assert_eq!(picture.tell_exists(&living, ModSeq(2)), None);
    }

    #[test]
    fn a_new_message_has_no_number_before_it_is_told() {
        let picture = Picture::new(&uids(&[5]), ModSeq(1));
        let living = uids(&[5, 7]);
        assert_eq!(named(&picture, "*", By::Uid, &living).unwrap(), [(1, 5)]);
        assert_eq!(named(&picture, "6:*", By::Uid, &living).unwrap(), [(1, 5)]);
        assert_eq!(picture.number(Uid::new(7).unwrap(), &living), None);
        assert!(named(&picture, "2", By::Number, &living).is_err());
        assert!(picture.has_news(&living));
    }

    #[test]
    fn a_message_that_was_gone_before_it_was_counted_is_not_told_as_gone() {
        let mut picture = Picture::new(&uids(&[1]), ModSeq(1));
        let living = uids(&[1, 3]); // 2 came and went
        assert_eq!(picture.tell_exists(&living, ModSeq(9)), Some(2));
        picture.hear_expunged(&uids(&[2]), ModSeq(8));
        assert!(picture.agrees(&living));
        assert!(picture.tell_expunged(&living).is_empty());
    }

    #[test]
    fn in_an_empty_mailbox_everything_names_nothing() {
        let picture = Picture::new(&[], ModSeq(1));
        assert_eq!(named(&picture, "1:*", By::Number, &[]).unwrap(), []);
        assert_eq!(named(&picture, "1:*", By::Uid, &[]).unwrap(), []);
        assert!(named(&picture, "1", By::Number, &[]).is_err());
    }

    #[test]
    fn many_flag_changes_are_looked_up_instead_of_kept() {
        let living = uids(&(1..=100).collect::<Vec<_>>());
        let mut picture = Picture::new(&living, ModSeq(7));
        picture.hear_changed(living.iter().copied().take(2));
        picture.hear(ModSeq(8));
        picture.hear_changed(living.iter().copied().take(2));
        assert_eq!(picture.tell_changed(ModSeq(8)), Changed::Uids(uids(&[1, 2])));
        picture.hear_changed(living.iter().copied());
        assert_eq!(picture.tell_changed(ModSeq(9)), Changed::Since(ModSeq(8)));
    }

    #[test]
    fn the_view_may_be_ahead_of_what_was_heard() {
        let living = uids(&(1..=100).collect::<Vec<_>>());
        let mut picture = Picture::new(&living, ModSeq(7));
        // Changes 8 and 9 are in the view, their events on the way.
        assert_eq!(picture.tell_changed(ModSeq(9)), Changed::Uids(Vec::new()));
        assert_eq!(picture.known(), ModSeq(7));
        picture.hear(ModSeq(8));
        picture.hear_changed(living.iter().copied());
        assert_eq!(picture.tell_changed(ModSeq(9)), Changed::Since(ModSeq(7)));
        assert_eq!(picture.known(), ModSeq(9));
    }

    #[test]
    fn with_an_expunge_held_back_highestmodseq_stays_below_it() {
        let mut picture = Picture::new(&uids(&[1, 2, 3]), ModSeq(90));
        picture.hear(ModSeq(100));
        picture.hear_expunged(&uids(&[2]), ModSeq(100));
        picture.hear(ModSeq(103));
        picture.tell_changed(ModSeq(103));
        picture.tell_mod_seq(ModSeq(103));
        assert!(picture.believes_too_much() && !picture.is_behind());
        assert_eq!(picture.tell_highest(), ModSeq(99));
        assert!(!picture.believes_too_much());
        picture.tell_expunged(&uids(&[1, 3]));
        assert!(picture.is_behind() && !picture.believes_too_much());
        assert_eq!(picture.tell_highest(), ModSeq(103));
        assert!(!picture.is_behind());
    }

    #[test]
    fn what_the_log_had_to_say_counts_from_the_last_agreement() {
        let mut picture = Picture::new(&uids(&[1, 2, 3]), ModSeq(90));
        picture.miss();
        let uid = |number| Uid::new(number).unwrap();
        picture.catch_up(&[(uid(2), uid(3)), (uid(7), uid(9))]);
        picture.tell_changed(ModSeq(120));
        assert_eq!(picture.known(), ModSeq(90));
        picture.tell_expunged(&uids(&[1]));
        assert_eq!(picture.known(), ModSeq(120));
    }

    proptest! {
        /// The picture against a client that keeps a plain list.
        #[test]
        fn numbers_are_those_of_a_client_that_keeps_a_list(
            deeds in proptest::collection::vec((0_u8..4, 0_usize..20), 0..60),
        ) {
            let (mut living, mut next, mut now) = (uids(&[1, 2, 3]), 4_u32, 1);
            let mut client = living.clone();
            let mut picture = Picture::new(&living, ModSeq(1));
            for (deed, at) in deeds {
                match deed {
                    0 => {
                        living.push(Uid::new(next).unwrap());
                        next += 1 + u32::try_from(at % 2).unwrap();
                    }
                    1 if at < living.len() => {
                        let gone = living.remove(at);
                        now += 1;
                        picture.hear_expunged(&[gone], ModSeq(now));
                    }
                    2 => {
                        for Expunged { number, uid } in picture.tell_expunged(&living) {
                            prop_assert_eq!(client.remove(number as usize - 1), uid);
                        }
                    }
                    _ => {
                        if let Some(exists) = picture.tell_exists(&living, ModSeq(now)) {
                            let new = exists as usize - client.len();
                            client.extend_from_slice(&living[living.len() - new..]);
                        }
                    }
                }
                prop_assert!(picture.agrees(&living));
                prop_assert_eq!(picture.count() as usize, client.len());
                for (uid, number) in client.iter().zip(1_u32..) {
                    prop_assert_eq!(picture.uid(number, &living), Some(*uid));
                    prop_assert_eq!(picture.number(*uid, &living), Some(number));
                }
                let all: Vec<_> = client.iter().zip(1..).map(|(uid, n)| (n, uid.get())).collect();
                prop_assert_eq!(named(&picture, "1:*", By::Uid, &living).unwrap(), all);
                prop_assert_eq!(picture.uid(picture.count() + 1, &living), None);
            }
        }
    }
}
