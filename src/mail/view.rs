//! An open mailbox in memory, shared by all its sessions: UIDs, flags, mod-sequences and dates in
//! packed vectors, loaded by one range scan and kept true by the events of each commit.
//!
//! FETCH FLAGS, STORE, SEARCH on flags, sequence numbers and resync are answered from it.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::{
    Threads,
    made::{self, Made, ThreadedBy},
    narrow::{Narrow, retain},
    sort::RankedBy,
};
use crate::{
    events::{Entry, Event, Kind, MarkChange},
    flags::{Flags, Keywords, Marks},
    ids::{ContentId, MailboxId, ModSeq, ThreadId, Uid, UidValidity},
    store::{MailboxRow, Status},
};

/// A mailbox's messages as of the last commit.
pub struct View {
    mailbox: MailboxId,
    uid_validity: UidValidity,
    messages: RwLock<Messages>,
}

impl View {
    pub(super) fn new(mailbox: &MailboxRow) -> Self {
        let messages = RwLock::new(Messages::new(mailbox.status));
        Self { mailbox: mailbox.id, uid_validity: mailbox.uid_validity, messages }
    }

    /// Which mailbox.
    pub fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// What the UIDs are valid under.
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// Looks at the messages; hold it shortly and never across an await, commits wait for it.
    pub fn messages(&self) -> RwLockReadGuard<'_, Messages> {
        self.messages.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self, f: impl FnOnce(&mut Messages)) {
        f(&mut self.messages.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The messages of a [`View`], UIDs rising; a message's place counts from zero.
#[derive(Debug, Default)]
pub struct Messages {
    uids: Vec<Uid>,
    mod_seqs: Vec<ModSeq>,
    flags: Vec<Flags>,
    keywords: Vec<u16>,
    contents: Narrow,
    threads: Narrow,
    internal_dates: Narrow,
    save_dates: Vec<u32>,
    sizes: Vec<u32>,
    /// The different sets of keywords that messages bear; the first is the empty one.
    keyword_sets: Vec<Keywords>,
    keyword_names: Vec<(u8, Arc<str>)>,
    uid_next: u64,
    mod_seq: ModSeq,
    recent_uid: u64,
    unseen: usize,
    /// Fixed keywords that messages bear or bore.
    fixed_keywords: Flags,
    /// What sorting and threading have made of the messages.
    made: Made,
}

impl Messages {
    pub(super) fn new(status: Status) -> Self {
        let count = usize::try_from(status.messages).unwrap_or(0);
        Self {
            uids: Vec::with_capacity(count),
            mod_seqs: Vec::with_capacity(count),
            flags: Vec::with_capacity(count),
            keywords: Vec::with_capacity(count),
            contents: Narrow::with_capacity(count),
            threads: Narrow::with_capacity(count),
            internal_dates: Narrow::with_capacity(count),
            save_dates: Vec::with_capacity(count),
            sizes: Vec::with_capacity(count),
            keyword_sets: vec![Keywords::default()],
            uid_next: status.uid_next,
            mod_seq: status.mod_seq,
            recent_uid: status.recent_uid,
            fixed_keywords: status.fixed_keywords,
            ..Self::default()
        }
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.uids.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    /// All UIDs, rising.
    pub fn uids(&self) -> &[Uid] {
        &self.uids
    }

    /// The place of a UID, or where it would stand.
    pub fn place(&self, uid: Uid) -> Result<usize, usize> {
        uid.place_in(&self.uids)
    }

    /// All that is known of the message at a place.
    pub fn entry(&self, place: usize) -> Option<Entry> {
        Some(Entry {
            uid: *self.uids.get(place)?,
            mod_seq: *self.mod_seqs.get(place)?,
            marks: self.marks(place)?,
            content: ContentId(self.contents.get(place)?),
            thread: ThreadId(self.threads.get(place)?),
            internal_date: self.internal_dates.get(place)?,
            save_date: i64::from(*self.save_dates.get(place)?),
            size: u64::from(*self.sizes.get(place)?),
        })
    }

    /// The message of a UID.
    pub fn find(&self, uid: Uid) -> Option<Entry> {
        self.place(uid).ok().and_then(|place| self.entry(place))
    }

    /// All messages from a place on.
    pub fn entries(&self, from: usize) -> impl Iterator<Item = Entry> + '_ {
        (from..self.len()).map_while(|place| self.entry(place))
    }

    /// By place: a number for the set of keywords of each message; and the sets by these numbers.
    pub(super) fn keywords(&self) -> (&[u16], &[Keywords]) {
        (&self.keywords, &self.keyword_sets)
    }

    /// The conversations of all messages by place.
    pub(super) fn thread_ids(&self) -> &Narrow {
        &self.threads
    }

    /// INTERNALDATE of all messages by place, in seconds since 1970.
    pub(super) fn internal_dates(&self) -> &Narrow {
        &self.internal_dates
    }

    /// When messages came into this mailbox, by place, in seconds since 1970.
    pub(super) fn save_dates(&self) -> &[u32] {
        &self.save_dates
    }

    /// Octets of all messages by place.
    pub(super) fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// INTERNALDATE of the message at a place, in seconds since 1970.
    pub(super) fn internal_date(&self, place: usize) -> Option<i64> {
        self.internal_dates.get(place)
    }

    /// Octets of the message at a place.
    pub(super) fn size(&self, place: usize) -> Option<i64> {
        self.sizes.get(place).copied().map(i64::from)
    }

    /// The places of those of these UIDs, rising, that are there.
    pub(super) fn places(&self, uids: &[Uid]) -> impl Iterator<Item = (usize, Uid)> {
        let mut next = 0;
        uids.iter().filter_map(move |uid| {
            // Mostly the one behind the last.
            if self.uids.get(next) != Some(uid) {
                next = self.place(*uid).ok()?;
            }
            next += 1;
            Some((next - 1, *uid))
        })
    }

    /// Sort keys of which ranks are kept.
    pub(super) const MOST_RANKS: usize = made::MOST_RANKS;

    /// The ranks of the first messages by a sort key, if they are known.
    pub(super) fn ranks(&self, by: RankedBy) -> Option<&[u32]> {
        self.made.ranks(by)
    }

    /// Keeps the ranks of these messages.
    pub(super) fn set_ranks(&mut self, by: RankedBy, uids: &[Uid], ranks: &[u32]) {
        // What has gone meanwhile has no place any more, what has come stands behind.
        let mut known = uids.iter().zip(ranks);
        let of = |uid: &Uid| known.find(|(known, _)| *known == uid).map(|(_, rank)| *rank);
        let mut living = Vec::with_capacity(self.uids.len());
        living.extend(self.uids.iter().map_while(of));
        self.made.set_ranks(by, living);
    }

    /// The threads of all messages, if they are known.
    pub(super) fn threads(&self, by: ThreadedBy) -> Option<Arc<Threads>> {
        self.made.threads(by)
    }

    /// Keeps the threads of all messages, if these are still all.
    pub(super) fn set_threads(&mut self, by: ThreadedBy, of: &[Uid], threads: Arc<Threads>) {
        if of == self.uids.as_slice() {
            self.made.set_threads(by, threads);
        }
    }

    /// Flags and keywords of the message at a place.
    pub fn marks(&self, place: usize) -> Option<Marks> {
        let set = usize::from(*self.keywords.get(place)?);
        let keywords = self.keyword_sets.get(set).copied().unwrap_or_default();
        Some(Marks { flags: *self.flags.get(place)?, keywords })
    }

    /// The flags of all messages by place: system flags and fixed keywords.
    pub fn flags(&self) -> &[Flags] {
        &self.flags
    }

    /// The mod-sequences of all messages by place.
    pub fn mod_seqs(&self) -> &[ModSeq] {
        &self.mod_seqs
    }

    /// Fixed keywords that messages bear or bore.
    pub fn fixed_keywords(&self) -> Flags {
        self.fixed_keywords
    }

    /// The mailbox's own keywords by number.
    pub fn keyword_names(&self) -> &[(u8, Arc<str>)] {
        &self.keyword_names
    }

    /// The name of a keyword.
    pub fn keyword_name(&self, number: u8) -> Option<&str> {
        self.keyword_names.iter().find(|(known, _)| *known == number).map(|(_, name)| &**name)
    }

    /// The number of a keyword, in any case.
    pub fn keyword_number(&self, name: &str) -> Option<u8> {
        let mut names = self.keyword_names.iter();
        names.find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(number, _)| *number)
    }

    /// The UID the next message gets; 2^32 when all are used up.
    pub fn uid_next(&self) -> u64 {
        self.uid_next
    }

    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1).
    pub fn mod_seq(&self) -> ModSeq {
        self.mod_seq
    }

    /// From this UID on messages are `\Recent` to the next session that selects.
    pub fn recent_uid(&self) -> u64 {
        self.recent_uid
    }

    /// How many messages without `\Seen`.
    pub fn unseen(&self) -> usize {
        self.unseen
    }

    /// About how many octets of memory this takes.
    pub(super) fn cost(&self) -> usize {
        const EACH: usize = 4 + 8 + 4 + 2 + 4 + 4;
        let narrow = self.contents.cost() + self.threads.cost() + self.internal_dates.cost();
        let sets = self.keyword_sets.capacity() * size_of::<Keywords>();
        self.uids.capacity() * EACH + narrow + sets + self.made.cost() + 1024
    }

    /// Takes one event of this mailbox; one that is known already changes nothing.
    pub(super) fn apply(&mut self, event: &Event) {
        match &event.kind {
            Kind::MessageNew(entries) => entries.iter().for_each(|entry| self.push(entry)),
            Kind::MessageExpunge(uids) => self.remove(uids),
            Kind::FlagChange(changes) => changes.iter().for_each(|change| self.mark(change)),
            Kind::AnnotationChange(uids, _) => uids.iter().for_each(|uid| self.raise(*uid, event)),
            Kind::KeywordNew(number, name) => self.name_keyword(*number, Arc::clone(name)),
            Kind::KeywordUse(new) => self.fixed_keywords = self.fixed_keywords.with(*new),
            _ => {}
        }
        self.mod_seq = self.mod_seq.max(event.mod_seq);
    }

    pub(super) fn name_keyword(&mut self, number: u8, name: Arc<str>) {
        self.keyword_names.retain(|(known, _)| *known != number);
        self.keyword_names.push((number, name));
    }

    pub(super) fn raise_recent(&mut self, uid: u64) {
        self.recent_uid = self.recent_uid.max(uid);
    }

    /// Adds a message behind all others.
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.uids.last().is_some_and(|last| *last >= entry.uid) {
            return;
        }
        self.made.add();
        let keywords = self.keyword_set(entry.marks.keywords);
        self.uids.push(entry.uid);
        self.mod_seqs.push(entry.mod_seq);
        self.flags.push(entry.marks.flags);
        self.keywords.push(keywords);
        self.contents.push(entry.content.0);
        self.threads.push(entry.thread.0);
        self.internal_dates.push(entry.internal_date);
        self.save_dates.push(u32::try_from(entry.save_date).unwrap_or(u32::MAX));
        self.sizes.push(u32::try_from(entry.size).unwrap_or(u32::MAX));
        self.unseen += usize::from(!entry.marks.flags.contains(Flags::SEEN));
        self.uid_next = self.uid_next.max(u64::from(entry.uid.get()) + 1);
    }

    fn mark(&mut self, change: &MarkChange) {
        let Ok(place) = self.place(change.uid) else { return };
        let keywords = self.keyword_set(change.marks.keywords);
        let Some(mod_seq) = self.mod_seqs.get_mut(place) else { return };
        if *mod_seq >= change.mod_seq {
            return;
        }
        *mod_seq = change.mod_seq;
        if let Some(flags) = self.flags.get_mut(place) {
            self.unseen += usize::from(flags.contains(Flags::SEEN));
            *flags = change.marks.flags;
            self.unseen -= usize::from(flags.contains(Flags::SEEN));
        }
        if let Some(set) = self.keywords.get_mut(place) {
            *set = keywords;
        }
    }

    /// A message has changed, though not its marks.
    fn raise(&mut self, uid: Uid, event: &Event) {
        let Ok(place) = self.place(uid) else { return };
        if let Some(mod_seq) = self.mod_seqs.get_mut(place) {
            *mod_seq = event.mod_seq.max(*mod_seq);
        }
    }

    /// Removes UIDs, rising, in one pass over what stands behind the first of them.
    fn remove(&mut self, gone: &[Uid]) {
        let Some(first) = gone.first() else { return };
        let start = self.place(*first).unwrap_or_else(|place| place);
        let stays: Vec<bool> =
            self.uids.iter().skip(start).map(|uid| gone.binary_search(uid).is_err()).collect();
        for (flags, stays) in self.flags.iter().skip(start).zip(&stays) {
            self.unseen -= usize::from(!stays && !flags.contains(Flags::SEEN));
        }
        retain(&mut self.uids, start, &stays);
        retain(&mut self.mod_seqs, start, &stays);
        retain(&mut self.flags, start, &stays);
        retain(&mut self.keywords, start, &stays);
        self.contents.retain(start, &stays);
        self.threads.retain(start, &stays);
        self.internal_dates.retain(start, &stays);
        retain(&mut self.save_dates, start, &stays);
        retain(&mut self.sizes, start, &stays);
        self.made.remove(start, &stays);
    }

    /// The number of a set of keywords, kept once for all messages that bear it.
    fn keyword_set(&mut self, keywords: Keywords) -> u16 {
        if keywords.is_empty() {
            return 0;
        }
        if let Some(known) = self.keyword_sets.iter().position(|set| *set == keywords) {
            return u16::try_from(known).unwrap_or(0);
        }
        if self.keyword_sets.len() > usize::from(u16::MAX) {
            self.compact_keyword_sets();
        }
        self.keyword_sets.push(keywords);
        u16::try_from(self.keyword_sets.len() - 1).unwrap_or(0)
    }

    /// Forgets sets that no message bears any more.
    fn compact_keyword_sets(&mut self) {
        let old = std::mem::replace(&mut self.keyword_sets, vec![Keywords::default()]);
        let mut moved = vec![0; old.len()];
        for number in &mut self.keywords {
            let from = usize::from(*number);
            let (Some(set), Some(to)) = (old.get(from), moved.get_mut(from)) else { continue };
            if *to == 0 && !set.is_empty() {
                self.keyword_sets.push(*set);
                *to = u16::try_from(self.keyword_sets.len() - 1).unwrap_or(0);
            }
            *number = *to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Door, Origin},
        ids::AccountId,
    };

    fn entry(uid: u32) -> Entry {
        Entry {
            uid: Uid::new(uid).unwrap(),
            mod_seq: ModSeq(u64::from(uid)),
            marks: Marks::default(),
            content: ContentId(i64::from(uid)),
            thread: ThreadId(1),
            internal_date: 0,
            save_date: 0,
            size: 10,
        }
    }

    fn event(mod_seq: u64, kind: Kind) -> Event {
        Event {
            account: Some(AccountId(1)),
            mailbox: Some(MailboxId(1)),
            mod_seq: ModSeq(mod_seq),
            origin: Origin::new(Door::House, 0),
            kind,
        }
    }

    fn uids(of: &Messages) -> Vec<u32> {
        of.uids().iter().map(|uid| uid.get()).collect()
    }

    #[test]
    fn events_known_already_change_nothing() {
        let mut messages = Messages::new(Status::default());
        let new = event(3, Kind::MessageNew(vec![entry(1), entry(2), entry(3)].into()));
        let gone = event(4, Kind::MessageExpunge(vec![entry(2).uid].into()));
        for event in [&new, &new, &gone, &gone] {
            messages.apply(event);
        }
        assert_eq!(uids(&messages), [1, 3]);
        assert_eq!((messages.unseen(), messages.uid_next()), (2, 4));
        assert_eq!(messages.mod_seq(), ModSeq(4));
    }

    #[test]
    fn marks_follow_the_newest_change_only() {
        let mut messages = Messages::new(Status::default());
        messages.push(&entry(1));
        let mut keywords = Keywords::default();
        keywords.insert(200);
        let change = |mod_seq, flags, keywords| {
            let marks = Marks { flags, keywords };
            let changes = vec![MarkChange { uid: entry(1).uid, marks, mod_seq: ModSeq(mod_seq) }];
            event(mod_seq, Kind::FlagChange(changes.into()))
        };
        messages.apply(&change(9, Flags::SEEN, keywords));
        messages.apply(&change(8, Flags::NONE, Keywords::default()));
        let marks = messages.marks(0).unwrap();
        assert_eq!(marks, Marks { flags: Flags::SEEN, keywords });
        assert_eq!(messages.unseen(), 0);
    }
}
