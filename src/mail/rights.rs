//! Rights on a mailbox (RFC 4314 §2.1), as a set of letters.

use std::{fmt, str::FromStr};

use crate::{
    flags::Flags,
    store::{AclEntry, MarkDeed, MarkMask, MarkNames},
};

/// A set of rights.
///
/// The bits are stored in the database: never renumber them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u16);

/// Each right with its letter, in the order they are written.
const LETTERS: [(Rights, char); 12] = [
    (Rights::LOOKUP, 'l'),
    (Rights::READ, 'r'),
    (Rights::SEEN, 's'),
    (Rights::WRITE, 'w'),
    (Rights::INSERT, 'i'),
    (Rights::POST, 'p'),
    (Rights::CREATE, 'k'),
    (Rights::DELETE_MAILBOX, 'x'),
    (Rights::DELETE, 't'),
    (Rights::EXPUNGE, 'e'),
    (Rights::ANNOTATE, 'n'),
    (Rights::ADMINISTER, 'a'),
];

/// The letters of RFC 2086 that stand for several rights, and that are told with any of them
/// (RFC 4314 §2.1.1).
const OBSOLETE: [(Rights, char); 2] = [
    (Rights::CREATE.with(Rights::DELETE_MAILBOX), 'c'),
    (Rights::DELETE.with(Rights::EXPUNGE), 'd'),
];

impl Rights {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// `l`: the mailbox is visible.
    pub const LOOKUP: Self = Self(1);
    /// `r`: select it, read its messages.
    pub const READ: Self = Self(1 << 1);
    /// `s`: keep `\Seen`.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: set flags other than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: append and copy into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to its posting address.
    pub const POST: Self = Self(1 << 5);
    /// `k`: make mailboxes below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: delete it.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: set and clear `\Deleted`.
    pub const DELETE: Self = Self(1 << 8);
    /// `e`: expunge.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: give rights to others.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// `n`: say of messages what everybody reads (RFC 5257 §3.4).
    pub const ANNOTATE: Self = Self(1 << 11);
    /// What the owner of a mailbox has, whatever its list says.
    pub const ALL: Self = Self((1 << 12) - 1);
    /// What those who run the server have on shared mailboxes, whatever their lists say: reading is
    /// not among it.
    pub const STEWARD: Self =
        Self::LOOKUP.with(Self::CREATE).with(Self::DELETE_MAILBOX).with(Self::ADMINISTER);
    /// Who has any of these may ask which rights it has (RFC 4314 §4, MYRIGHTS).
    pub const TELLING: Self = Self::STEWARD.with(Self::READ).with(Self::INSERT);
    /// Who has any of these may change something in a mailbox it selects (RFC 4314 §5.2; `n` is a
    /// shared flag right, RFC 5257 §3.4).
    pub const CHANGING: Self = Self::SEEN
        .with(Self::WRITE)
        .with(Self::INSERT)
        .with(Self::DELETE)
        .with(Self::EXPUNGE)
        .with(Self::ANNOTATE);

    /// Are all of `other`'s rights here?
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is any of `other`'s rights here?
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without `other`'s.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What a list gives to somebody, of whom all these entries speak: what any of them gives, less
    /// what any of them takes away (RFC 4314 §2).
    pub fn of<'e>(entries: impl IntoIterator<Item = &'e AclEntry>) -> Self {
        let (mut given, mut taken) = (Self::NONE, Self::NONE);
        for entry in entries {
            let sum = if entry.negative { &mut taken } else { &mut given };
            *sum = sum.with(Self::from_bits(entry.rights));
        }
        given.without(taken)
    }

    /// The rights of these bits, as the store keeps them.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// The bits that the store keeps.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Which marks they let set and clear (RFC 4314 §4).
    pub fn marks(self) -> MarkMask {
        let all = Flags(u32::MAX);
        let kinds = [
            (Self::SEEN, Flags::SEEN),
            (Self::DELETE, Flags::DELETED),
            (Self::WRITE, all.without(Flags::SEEN).without(Flags::DELETED)),
        ];
        let flags = kinds
            .into_iter()
            .filter(|(right, _)| self.contain(*right))
            .fold(Flags::NONE, |sum, (_, flags)| sum.with(flags));
        MarkMask { flags, keywords: self.contain(Self::WRITE) }
    }

    /// Which rights it takes to do all of this to marks (RFC 4314 §4).
    pub fn for_marks(deed: MarkDeed, names: &MarkNames) -> Self {
        if deed == MarkDeed::Replace {
            return Self::SEEN.with(Self::DELETE).with(Self::WRITE);
        }
        let special = Flags::SEEN.with(Flags::DELETED);
        let others = names.flags.without(special) != Flags::NONE || !names.keywords.is_empty();
        let rights = [
            (names.flags.contains(Flags::SEEN), Self::SEEN),
            (names.flags.contains(Flags::DELETED), Self::DELETE),
            (others, Self::WRITE),
        ];
        rights
            .into_iter()
            .filter(|(needed, _)| *needed)
            .fold(Self::NONE, |all, (_, right)| all.with(right))
    }

    /// Each right by itself, in the order they are written.
    pub fn each(self) -> impl Iterator<Item = Self> {
        LETTERS.into_iter().map(|(right, _)| right).filter(move |right| self.contain(*right))
    }

    /// The obsolete letters that are told beside these rights, each with what it stands for.
    pub fn obsolete(self) -> impl Iterator<Item = (Self, char)> {
        OBSOLETE.into_iter().filter(move |(rights, _)| self.meet(*rights))
    }
}

/// `lrswipkxtecda`: the obsolete letters stand beside their members.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let administer = Self::ADMINISTER;
        let before = LETTERS.iter().filter(|(right, _)| *right != administer);
        for (_, letter) in before.filter(|(right, _)| self.contain(*right)) {
            write!(f, "{letter}")?;
        }
        for (_, letter) in self.obsolete() {
            write!(f, "{letter}")?;
        }
        if self.contain(administer) { f.write_str("a") } else { Ok(()) }
    }
}

/// The text names a right that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rights are letters among lrswipkxtenacd")]
pub struct UnknownRight;

impl FromStr for Rights {
    type Err = UnknownRight;

    /// Reads letters in any order; capitals are none (RFC 4314 §2).
    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        let known = |c: char| LETTERS.iter().chain(&OBSOLETE).find(|(_, letter)| *letter == c);
        text.chars().try_fold(Self::NONE, |sum, c| {
            known(c).map(|(rights, _)| sum.with(*rights)).ok_or(UnknownRight)
        })
    }
}

/// What SETACL does to an entry (RFC 4314 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// It has these rights and no others.
    Replace(Rights),
    /// It has these too.
    Add(Rights),
    /// It has these no more.
    Remove(Rights),
}

impl RightsChange {
    /// The rights after the change.
    #[must_use]
    pub fn apply(self, old: Rights) -> Rights {
        match self {
            Self::Replace(rights) => rights,
            Self::Add(rights) => old.with(rights),
            Self::Remove(rights) => old.without(rights),
        }
    }
}

impl FromStr for RightsChange {
    type Err = UnknownRight;

    /// `mod-rights`: letters, perhaps behind `+` or `-`.
    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(letters), _) => letters.parse().map(Self::Add),
            (_, Some(letters)) => letters.parse().map(Self::Remove),
            _ => text.parse().map(Self::Replace),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::store::Identifier;

    fn rights(letters: &str) -> Rights {
        letters.parse().unwrap()
    }

    /// The rights as a plain set of letters, the obsolete ones resolved.
    fn plain(letters: &str) -> BTreeSet<char> {
        let resolved = letters.replace('c', "kx").replace('d', "te");
        resolved.chars().collect()
    }

    /// As they are told, the obsolete ones passed over.
    fn set(rights: Rights) -> BTreeSet<char> {
        rights.to_string().chars().filter(|letter| !matches!(letter, 'c' | 'd')).collect()
    }

    #[test]
    fn obsolete_letters_stand_for_what_they_meant_and_are_told_with_it() {
        assert_eq!(rights("lrswida").to_string(), "lrswiteda");
        assert_eq!(rights("lrswikda").to_string(), "lrswiktecda");
        assert_eq!(rights("c"), rights("kx"));
        assert_eq!(Rights::ALL.to_string(), "lrswipkxtencda");
        assert_eq!(Rights::NONE.to_string(), "");
        assert_eq!(rights("x").to_string(), "xc");
    }

    #[test]
    fn no_letter_is_passed_over() {
        for bad in ["L", "lQ", "q", "0", " ", "l r", "+l", "\u{17f}"] {
            assert_eq!(bad.parse::<Rights>(), Err(UnknownRight), "{bad:?}");
        }
        for bad in ["++l", "+-l", "+L", "-q", "l+r"] {
            assert_eq!(bad.parse::<RightsChange>(), Err(UnknownRight), "{bad:?}");
        }
        assert_eq!("".parse(), Ok(RightsChange::Replace(Rights::NONE)));
        assert_eq!("+cda".parse(), Ok(RightsChange::Add(rights("kxtea"))));
        assert_eq!("-".parse(), Ok(RightsChange::Remove(Rights::NONE)));
    }

    #[test]
    fn who_runs_the_server_may_not_read_what_is_shared() {
        assert!(!Rights::STEWARD.meet(rights("rswipten")));
    }

    fn letters() -> impl Strategy<Value = String> {
        "[lrswipkxtenacd]{0,14}"
    }

    proptest! {
        #[test]
        fn rights_are_sets_of_letters(one in letters(), other in letters()) {
            let (a, b) = (rights(&one), rights(&other));
            let (x, y) = (plain(&one), plain(&other));
            prop_assert_eq!(set(a), x.clone());
            let real: String = set(a).into_iter().collect();
            prop_assert_eq!(real.parse(), Ok(a));
            prop_assert_eq!(Rights::from_bits(a.bits()), a);
            prop_assert_eq!(set(a.with(b)), x.union(&y).copied().collect());
            prop_assert_eq!(set(a.without(b)), x.difference(&y).copied().collect());
            prop_assert_eq!(a.contain(b), y.is_subset(&x));
            prop_assert_eq!(a.meet(b), !x.is_disjoint(&y));
            let each: Rights = a.each().fold(Rights::NONE, Rights::with);
            prop_assert_eq!(each, a);
            prop_assert_eq!(a.each().count(), x.len());
        }

        #[test]
        fn a_change_is_what_its_sign_says(old in letters(), sign in "[+-]?", change in letters()) {
            let (x, y) = (plain(&old), plain(&change));
            let expected: BTreeSet<char> = match sign.as_str() {
                "+" => x.union(&y).copied().collect(),
                "-" => x.difference(&y).copied().collect(),
                _ => y,
            };
            let change: RightsChange = format!("{sign}{change}").parse().unwrap();
            prop_assert_eq!(set(change.apply(rights(&old))), expected);
        }

        #[test]
        fn what_is_taken_away_is_not_given_by_another_entry(
            entries in proptest::collection::vec((letters(), any::<bool>()), 0..6),
        ) {
            let list: Vec<_> = entries.iter().map(|(letters, negative)| AclEntry {
                identifier: Identifier::Anyone,
                negative: *negative,
                rights: rights(letters).bits(),
            }).collect();
            let of = |wanted: bool| -> BTreeSet<char> {
                let some = entries.iter().filter(|(_, negative)| *negative == wanted);
                some.flat_map(|(letters, _)| plain(letters)).collect()
            };
            let expected: BTreeSet<char> = of(false).difference(&of(true)).copied().collect();
            prop_assert_eq!(set(Rights::of(&list)), expected);
        }

        #[test]
        fn marks_may_be_touched_by_the_right_of_their_kind(letters in letters(), bits: u32) {
            let held = rights(&letters);
            let mask = held.marks();
            let names = MarkNames::flags(Flags(bits));
            let kept = mask.of(&names).flags;
            for flag in (0..32).map(|bit| Flags(1 << bit)) {
                let needed = Rights::for_marks(MarkDeed::Add, &MarkNames::flags(flag));
                prop_assert_eq!(mask.flags.contains(flag), held.contain(needed));
                prop_assert_eq!(
                    kept.contains(flag),
                    names.flags.contains(flag) && held.contain(needed)
                );
            }
        }
    }
}
