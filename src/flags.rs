//! What a message is marked with: the system flags, the keywords every mailbox knows, and a
//! mailbox's own keywords as bits.
//!
//! The names of a mailbox's own keywords live in the store; here they are only numbers.

/// System flags and the fixed keywords, one bit each.
///
/// The bits are stored in the database: never renumber them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u32);

impl Flags {
    /// No flag at all.
    pub const NONE: Self = Self(0);
    /// `\Seen` (RFC 9051 §2.3.2)
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`
    pub const DRAFT: Self = Self(1 << 4);
    /// `$Forwarded` (RFC 5550 §5.9)
    pub const FORWARDED: Self = Self(1 << 8);
    /// `$SubmitPending` (RFC 5550 §5.10)
    pub const SUBMIT_PENDING: Self = Self(1 << 9);
    /// `$Submitted` (RFC 5550 §5.10)
    pub const SUBMITTED: Self = Self(1 << 10);
    /// `$Queued`: the server shall submit this message.
    pub const QUEUED: Self = Self(1 << 11);
    /// `$SubmitFailed`: the server could not submit this message.
    pub const SUBMIT_FAILED: Self = Self(1 << 12);
    /// `$MDNSent` (RFC 3503)
    pub const MDN_SENT: Self = Self(1 << 13);
    /// `$Junk` (RFC 9051 §2.3.2)
    pub const JUNK: Self = Self(1 << 14);
    /// `$NotJunk` (RFC 9051 §2.3.2)
    pub const NOT_JUNK: Self = Self(1 << 15);
    /// `$Phishing` (RFC 9051 §2.3.2)
    pub const PHISHING: Self = Self(1 << 16);
    /// `$Important` (RFC 8457)
    pub const IMPORTANT: Self = Self(1 << 17);

    /// Both flags of a message that is being submitted (RFC 5550 §5.10).
    pub const CLAIM: Self = Self::SUBMIT_PENDING.with(Self::SUBMITTED);

    /// Every fixed flag and keyword with its spelling; system flags first.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
        (Self::FORWARDED, "$Forwarded"),
        (Self::SUBMIT_PENDING, "$SubmitPending"),
        (Self::SUBMITTED, "$Submitted"),
        (Self::QUEUED, "$Queued"),
        (Self::SUBMIT_FAILED, "$SubmitFailed"),
        (Self::MDN_SENT, "$MDNSent"),
        (Self::JUNK, "$Junk"),
        (Self::NOT_JUNK, "$NotJunk"),
        (Self::PHISHING, "$Phishing"),
        (Self::IMPORTANT, "$Important"),
    ];

    /// The flags that every message has, set or not (RFC 7162 §3.1.3); all others are keywords.
    pub const SYSTEM: Self = Self(0x1f);

    /// The flag of a name in any case; None for a keyword that is a mailbox's own.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(flag, _)| *flag)
    }

    /// Are all of `other`'s flags set here?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is any of `other`'s flags set here?
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that `other` has too.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// These without `other`'s.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A mailbox's own keywords that a message bears, by their number in that mailbox (0 to 255).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keywords([u64; 4]);

impl Keywords {
    /// How many different keywords of its own a mailbox can know.
    pub const LIMIT: usize = 256;

    /// Is the keyword of this number set?
    pub fn contains(&self, number: u8) -> bool {
        self.0.get(usize::from(number >> 6)).is_some_and(|word| word >> (number & 63) & 1 == 1)
    }

    /// Sets the keyword of this number.
    pub fn insert(&mut self, number: u8) {
        if let Some(word) = self.0.get_mut(usize::from(number >> 6)) {
            *word |= 1 << (number & 63);
        }
    }

    /// Nothing set?
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Is any keyword set both here and there?
    pub fn meet(&self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(word, other)| word & other != 0)
    }

    /// All that are set here or there.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let mut both = self;
        both.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
        both
    }

    /// Those that are set here and not there.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        let mut rest = self;
        rest.0.iter_mut().zip(other.0).for_each(|(word, less)| *word &= !less);
        rest
    }

    /// The numbers that are set, rising.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |number| self.contains(*number))
    }

    /// Little-endian octets without trailing zeros; nothing for the empty set.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        bytes
    }

    /// What [`Self::to_bytes`] wrote; octets beyond the thirty-second are ignored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut set = Self::default();
        for (word, chunk) in set.0.iter_mut().zip(bytes.chunks(8)) {
            let mut octets = [0; 8];
            for (to, from) in octets.iter_mut().zip(chunk) {
                *to = *from;
            }
            *word = u64::from_le_bytes(octets);
        }
        set
    }
}

/// All that one message is marked with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks {
    /// System flags and fixed keywords.
    pub flags: Flags,
    /// Keywords that the mailbox named itself.
    pub keywords: Keywords,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_survive_their_octets() {
        for numbers in [vec![], vec![0], vec![63, 64], vec![7, 130, 255]] {
            let mut set = Keywords::default();
            for number in &numbers {
                set.insert(*number);
            }
            assert_eq!(Keywords::from_bytes(&set.to_bytes()), set);
            assert_eq!(set.numbers().collect::<Vec<_>>(), numbers);
        }
    }

    #[test]
    fn a_flag_is_found_in_any_case() {
        assert_eq!(Flags::named("\\seen"), Some(Flags::SEEN));
        assert_eq!(Flags::named("$FORWARDED"), Some(Flags::FORWARDED));
        assert_eq!(Flags::named("mine"), None);
    }
}
