//! Keys decided for many messages at once, by the vectors of the view: a bit for each message.
//!
//! [`Known`](super::facts::Known) says the same of one message; a test holds the two together.

use std::ops::Range;

use super::key::{Key, Program};
use crate::{
    ids::Uid,
    mail::{Messages, narrow::Narrow},
    wire::Ranges,
};

/// So many messages are looked at together, while commits wait.
pub(super) const AT_ONCE: usize = WORDS * WORD;
const WORDS: usize = 64;
const WORD: usize = 64;

/// A bit for each of some messages that stand one behind the other.
#[derive(Clone, Copy)]
pub(super) struct Bits([u64; WORDS]);

/// What the view says of some messages; those with neither bit do not match.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    /// These match.
    pub(super) hold: Bits,
    /// Of these the view does not tell.
    pub(super) open: Bits,
}

impl Program {
    /// What the view says of the messages at these places, no more than [`AT_ONCE`].
    pub(super) fn decide(&self, messages: &Messages, places: Range<usize>) -> Decided {
        Columns { messages, all: Bits::first(places.len()), places }.decide(&self.key)
    }
}

struct Columns<'m> {
    messages: &'m Messages,
    places: Range<usize>,
    /// A bit for each place.
    all: Bits,
}

impl Columns<'_> {
    /// As deep as the key nests, which its maker bounds.
    fn decide(&self, key: &Key) -> Decided {
        match key {
            Key::And(keys) => {
                let mut all = Decided { hold: self.all, open: Bits::NONE };
                for key in keys {
                    let one = self.decide(key);
                    let may = all.may_hold().and(one.may_hold());
                    all.hold = all.hold.and(one.hold);
                    all.open = may.without(all.hold);
                    if may.are_none() {
                        break;
                    }
                }
                all
            }
            Key::Or(keys) => {
                let mut any = Decided { hold: Bits::NONE, open: Bits::NONE };
                for key in keys {
                    let one = self.decide(key);
                    any.hold = any.hold.or(one.hold);
                    any.open = any.open.or(one.open).without(any.hold);
                    if self.all.without(any.hold).are_none() {
                        break;
                    }
                }
                any
            }
            Key::Not(key) => {
                let key = self.decide(key);
                Decided { hold: self.all.without(key.may_hold()), open: key.open }
            }
            key => match self.holds(key) {
                Some(hold) => Decided { hold, open: Bits::NONE },
                None => Decided { hold: Bits::NONE, open: self.all },
            },
        }
    }

    /// The messages for which a key holds that joins no others; None when the view does not tell.
    fn holds(&self, key: &Key) -> Option<Bits> {
        let messages = self.messages;
        Some(match key {
            Key::All => self.all,
            Key::Uids(uids) => self.among(uids),
            Key::Flags(wanted) => self.mark(messages.flags(), |flags| flags.contains(*wanted)),
            Key::Keyword(keyword) => match keyword.number {
                Some(number) => {
                    let (of_messages, sets) = messages.keywords();
                    let bear: Vec<bool> = sets.iter().map(|set| set.contains(number)).collect();
                    self.mark(of_messages, |set| bear.get(usize::from(set)) == Some(&true))
                }
                None => Bits::NONE,
            },
            Key::Larger(size) => self.mark(messages.sizes(), |octets| u64::from(octets) > *size),
            Key::Smaller(size) => self.mark(messages.sizes(), |octets| u64::from(octets) < *size),
            Key::Internal(days) => self.narrow(messages.internal_dates(), |at| days.contain(at)),
            Key::InternalFrom(second) => self.narrow(messages.internal_dates(), |at| at >= *second),
            Key::InternalUntil(second) => {
                self.narrow(messages.internal_dates(), |at| at <= *second)
            }
            Key::Saved(days) => self.mark(messages.save_dates(), |at| days.contain(at.into())),
            Key::ModSeq(since) => self.mark(messages.mod_seqs(), |mod_seq| mod_seq >= *since),
            Key::Thread(thread) => self.narrow(messages.thread_ids(), |id| id == thread.0),
            _ => return None,
        })
    }

    fn mark<T: Copy>(&self, column: &[T], holds: impl Fn(T) -> bool) -> Bits {
        let mut bits = Bits::NONE;
        let column = column.get(self.places.clone()).unwrap_or_default();
        for (word, values) in bits.0.iter_mut().zip(column.chunks(WORD)) {
            for (bit, value) in values.iter().enumerate() {
                *word |= u64::from(holds(*value)) << bit;
            }
        }
        bits
    }

    fn narrow(&self, column: &Narrow, holds: impl Fn(i64) -> bool) -> Bits {
        match column {
            Narrow::Small(numbers) => self.mark(numbers, |number| holds(number.into())),
            Narrow::Large(numbers) => self.mark(numbers, holds),
        }
    }

    fn among(&self, uids: &Ranges) -> Bits {
        let mut bits = Bits::NONE;
        let here = self.messages.uids().get(self.places.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (here.first(), here.last()) else { return bits };
        for range in
            uids.not_below(first.get()).iter().take_while(|range| *range.start() <= last.get())
        {
            let place = |number: u32| {
                Uid::new(number).map_or(0, |uid| uid.place_in(here).unwrap_or_else(|place| place))
            };
            let behind = range.end().checked_add(1).map_or(here.len(), place);
            bits.set(place(*range.start())..behind);
        }
        bits
    }
}

impl Decided {
    fn may_hold(self) -> Bits {
        self.hold.or(self.open)
    }
}

impl Bits {
    const NONE: Self = Self([0; WORDS]);

    fn first(count: usize) -> Self {
        let mut bits = Self::NONE;
        bits.set(0..count);
        bits
    }

    fn set(&mut self, range: Range<usize>) {
        for (word, first) in self.0.iter_mut().zip((0..).step_by(WORD)) {
            let (from, to) = (range.start.max(first), range.end.min(first + WORD));
            if from < to {
                *word |= u64::MAX >> (WORD - (to - from)) << (from - first);
            }
        }
    }

    fn joined(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut bits = self;
        bits.0.iter_mut().zip(other.0).for_each(|(word, other)| *word = join(*word, other));
        bits
    }

    fn and(self, other: Self) -> Self {
        self.joined(other, |one, other| one & other)
    }

    fn or(self, other: Self) -> Self {
        self.joined(other, |one, other| one | other)
    }

    fn without(self, other: Self) -> Self {
        self.joined(other, |one, other| one & !other)
    }

    fn are_none(self) -> bool {
        self.0 == [0; WORDS]
    }

    /// The numbers of the bits that are set, rising.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.0.iter().zip((0..).step_by(WORD)).flat_map(|(word, first)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(first + usize::try_from(bit).unwrap_or(0))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        events::Entry,
        flags::{Flags, Keywords, Marks},
        ids::{ContentId, ModSeq, ThreadId},
        mail::{
            Collation,
            search::{Days, Keyword, Needle, facts::Known},
        },
        store::Status,
    };

    /// What messages differ by; UIDs leave gaps.
    fn message() -> impl Strategy<Value = Entry> {
        let date = prop_oneof![0_i64..400_000, Just(-1), Just(1 << 33)];
        (1_u32..40, 0_u32..4, any::<bool>(), date, 0_u64..6).prop_map(
            |(gap, flags, bears, date, small)| {
                let mut keywords = Keywords::default();
                if bears {
                    keywords.insert(7);
                }
                Entry {
                    uid: Uid::new(gap).unwrap(),
                    mod_seq: ModSeq(small),
                    marks: Marks { flags: Flags(flags), keywords },
                    content: ContentId(1),
                    thread: ThreadId(date % 3),
                    internal_date: date,
                    save_date: date.clamp(0, 300_000),
                    size: small,
                }
            },
        )
    }

    fn key() -> impl Strategy<Value = Key> {
        let day = || (1_i8..6).prop_map(|day| Date::constant(1970, 1, day));
        let keyword = |number| Keyword { name: "k".into(), number };
        let leaf = prop_oneof![
            Just(Key::All),
            proptest::collection::vec((1_u32..9_000, 0_u32..3_000), 0..4).prop_map(|ranges| {
                Key::Uids(ranges.into_iter().map(|(from, more)| from..=from + more).collect())
            }),
            (0_u32..4).prop_map(|flags| Key::Flags(Flags(flags))),
            proptest::option::of(6_u8..8).prop_map(move |number| Key::Keyword(keyword(number))),
            (0_u64..6).prop_map(Key::Larger),
            (0_u64..6).prop_map(Key::Smaller),
            day().prop_map(|day| Key::Internal(Days::before(day))),
            day().prop_map(|day| Key::Saved(Days::on(day))),
            (0_i64..400_000).prop_map(Key::InternalFrom),
            (0_i64..400_000).prop_map(Key::InternalUntil),
            (0_u64..6).prop_map(|mod_seq| Key::ModSeq(ModSeq(mod_seq))),
            (-1_i64..3).prop_map(|thread| Key::Thread(ThreadId(thread))),
            Just(Key::Text(Needle::new("x", Collation::default()))),
        ];
        leaf.prop_recursive(3, 12, 3, |key| {
            prop_oneof![
                proptest::collection::vec(key.clone(), 0..3).prop_map(Key::And),
                proptest::collection::vec(key.clone(), 0..3).prop_map(Key::Or),
                key.prop_map(|key| Key::Not(Box::new(key))),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_vectors_say_of_all_what_each_message_says(
            all in proptest::collection::vec(message(), 0..300),
            key in key(),
            from in 0_usize..300,
        ) {
            let mut messages = Messages::new(Status::default());
            let mut last = 0;
            for mut entry in all {
                last += entry.uid.get();
                entry.uid = Uid::new(last).unwrap();
                messages.push(&entry);
            }
            let program = Program::new(key);
            let from = from.min(messages.len());
            let decided = program.decide(&messages, from..messages.len());
            let of = |bits: Bits| bits.numbers().map(|bit| from + bit).collect::<Vec<_>>();
            let (mut hold, mut open) = (Vec::new(), Vec::new());
            for (place, entry) in (from..).zip(messages.entries(from)) {
                match program.matches(&mut Known(&entry)).unwrap() {
                    Some(true) => hold.push(place),
                    Some(false) => {}
                    None => open.push(place),
                }
            }
            prop_assert_eq!((of(decided.hold), of(decided.open)), (hold, open));
        }
    }

    #[test]
    fn bits_know_their_numbers() {
        let mut bits = Bits::first(2);
        bits.set(62..65);
        bits.set(AT_ONCE - 1..AT_ONCE);
        bits.set(70..70);
        let numbers: Vec<_> = bits.numbers().collect();
        assert_eq!(numbers, [0, 1, 62, 63, 64, AT_ONCE - 1]);
        assert_eq!(Bits::first(AT_ONCE).numbers().count(), AT_ONCE);
    }
}
