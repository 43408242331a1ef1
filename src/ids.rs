//! Numbers that must not be mixed, each a type of its own.
//!
//! Row ids ([`AccountId`], [`MailboxId`], …) come from the store and mean nothing outside it; [`Uid`],
//! [`UidValidity`] and [`ModSeq`] are what clients see.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// Makes a row id: a positive 64-bit number given by the database.
macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// A user in the store.
    AccountId
}
row_id! {
    /// A mailbox, for its whole life: it survives RENAME and is never given again.
    MailboxId
}
row_id! {
    /// The octets of one message, stored once however many mailboxes hold it.
    ContentId
}
row_id! {
    /// The conversation that a message belongs to (RFC 8474 §5.2).
    ThreadId
}
row_id! {
    /// A device of an account: an app password and what it may do.
    DeviceId
}
row_id! {
    /// One message waiting in the outbound queue, with all its recipients.
    QueueId
}
row_id! {
    /// One message in a mailbox that its user has asked the server to submit.
    SendingId
}
row_id! {
    /// One live connection; given by the process, never stored as a key.
    SessionId
}

impl AccountId {
    /// Whose the mailboxes are that belong to nobody alone. Nobody logs in as it.
    pub const SHARED: Self = Self(0);
}

/// A message's number in one mailbox: never zero, never used twice (RFC 3501 §2.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(NonZeroU32);

impl Uid {
    /// The lowest UID there is.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The highest UID there is.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// None for zero, which is no UID.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number as clients write it.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The place of this UID among rising ones, or where it would stand. The fewer are missing between
    /// them, the fewer are looked at.
    pub fn place_in(self, rising: &[Self]) -> Result<usize, usize> {
        let (Some(first), Some(last)) = (rising.first(), rising.last()) else { return Err(0) };
        if self > *last {
            return Err(rising.len());
        }
        // No more can stand before or behind it than there are numbers.
        let apart = |from: Self, to: Self| {
            usize::try_from(to.get().saturating_sub(from.get())).unwrap_or(usize::MAX)
        };
        let from = rising.len().saturating_sub(apart(self, *last).saturating_add(1));
        let to = rising.len().min(apart(*first, self).saturating_add(1));
        let near = rising.get(from..to).unwrap_or_default();
        near.binary_search(&self).map(|place| from + place).map_err(|place| from + place)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a mailbox's UIDs are valid under (RFC 3501 §2.3.1.1); only grows within an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(pub u32);

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence (RFC 7162 §3.1): one counter per account, at most 2^63 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModSeq(pub u64);

impl ModSeq {
    /// The highest value a client may name (RFC 7162 §7).
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom we count as one peer: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Neighbour(IpAddr);

impl From<IpAddr> for Neighbour {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        })
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id that follows a message through the house, never given before: the time in milliseconds, so
/// that the rows of one hour stand together in the store, then 40 bits of chance, or of the finer clock
/// where there is none.
pub fn trace_id(now: jiff::Timestamp) -> String {
    let mut random = [0; 5];
    if aws_lc_rs::rand::fill(&mut random).is_err() {
        let nanoseconds = now.as_nanosecond().to_be_bytes();
        random.iter_mut().zip(nanoseconds.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    let id = format!("{:012x}", now.as_millisecond());
    random.iter().fold(id, |id, octet| format!("{id}{octet:02x}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_uid_finds_its_place_however_many_are_missing(
            numbers in proptest::collection::btree_set(1_u32..60, 0..50),
            high: bool,
        ) {
            // The same at the upper end of all numbers.
            let base = if high { u32::MAX - 62 } else { 0 };
            let uid = |number: u32| Uid::new(base + number).unwrap();
            let rising: Vec<Uid> = numbers.into_iter().map(uid).collect();
            for sought in (1..62).map(uid) {
                prop_assert_eq!(sought.place_in(&rising), rising.binary_search(&sought));
            }
        }
    }

    #[test]
    fn a_network_of_64_bits_is_one_neighbour() {
        let of = |text: &str| Neighbour::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
    }
}
