//! The keys of a search.

use std::ops::Range;

use jiff::{
    civil::{Date, Time},
    tz::Offset,
};

use super::needle::Needle;
use crate::{
    flags::Flags,
    ids::{ModSeq, ThreadId},
    mail::Messages,
    wire::Ranges,
};

/// One condition, or several joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Every message.
    All,
    /// All of these hold.
    And(Vec<Self>),
    /// Any of these holds.
    Or(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// The UID is among these.
    Uids(Ranges),
    /// All these flags are set.
    Flags(Flags),
    /// The mailbox's own keyword is set.
    Keyword(Keyword),
    /// More octets than this.
    Larger(u64),
    /// Fewer octets than this.
    Smaller(u64),
    /// INTERNALDATE falls on one of these days, in UTC as it is shown.
    Internal(Days),
    /// INTERNALDATE in seconds since 1970 is at least this.
    InternalFrom(i64),
    /// INTERNALDATE in seconds since 1970 is at most this.
    InternalUntil(i64),
    /// The message came into this mailbox on one of these days (RFC 8514).
    Saved(Days),
    /// The Date field names one of these days, whatever its time zone.
    Sent(Days),
    /// The message came or changed with this mod-sequence or after it (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// The conversation (RFC 8474 §6).
    Thread(ThreadId),
    /// The id of the octets, as [`EmailId`](crate::mail::EmailId) has it.
    Email(String),
    /// A field of the summary contains the text.
    Field(Field, Needle),
    /// A header field of this name contains the text.
    Header(Vec<u8>, Needle),
    /// The decoded text of the body contains the text.
    Body(Needle),
    /// Header or body contain the text.
    Text(Needle),
}

/// Fields that the summary holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    From,
    To,
    Cc,
    Bcc,
    Subject,
}

/// A keyword of the mailbox's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyword {
    /// Its name.
    pub name: String,
    /// Its number in the mailbox that is searched, if it is known there.
    pub(super) number: Option<u8>,
}

impl Keyword {
    /// The keyword of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), number: None }
    }
}

/// A run of days, counted from 1970-01-01.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days(Range<i64>);

impl Days {
    /// All days before this one.
    pub fn before(date: Date) -> Self {
        Self(i64::MIN..number(date))
    }

    /// This day alone.
    pub fn on(date: Date) -> Self {
        let day = number(date);
        Self(day..day.saturating_add(1))
    }

    /// This day and all after it.
    pub fn since(date: Date) -> Self {
        Self(number(date)..i64::MAX)
    }

    /// Is this moment, in seconds since 1970, on one of these days of UTC?
    pub(super) fn contain(&self, second: i64) -> bool {
        self.0.contains(&second.div_euclid(24 * 3600))
    }

    pub(super) fn contain_date(&self, date: Date) -> bool {
        self.0.contains(&number(date))
    }
}

fn number(date: Date) -> i64 {
    let midnight = Offset::UTC.to_timestamp(date.to_datetime(Time::midnight()));
    midnight.map_or(i64::MAX, |midnight| midnight.as_second().div_euclid(24 * 3600))
}

/// A search: all its keys must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) key: Key,
}

impl Program {
    /// Puts the keys in order, the cheapest first. The maker bounds how deep they nest.
    pub fn new(mut key: Key) -> Self {
        key.arrange();
        Self { key }
    }

    /// UIDs among which every message is that matches; None when the keys name none. Only keys that
    /// stand for themselves are looked at, and not those within others.
    pub fn uids(&self) -> Option<Ranges> {
        let of = |key: &Key| match key {
            Key::Uids(uids) => Some(uids.clone()),
            _ => None,
        };
        match &self.key {
            Key::And(keys) => keys.iter().filter_map(of).reduce(|all, uids| all.within(&uids)),
            key => of(key),
        }
    }

    /// How many keys there are, those that join others too.
    pub(super) fn count(&self) -> usize {
        self.key.count()
    }

    /// Looks up the numbers of keywords in the mailbox that is to be searched.
    pub(super) fn bind(&mut self, messages: &Messages) {
        self.key.bind(messages);
    }
}

impl Field {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::From, Self::To, Self::Cc, Self::Bcc, Self::Subject];
}

impl Key {
    /// How dear it is to decide this key.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::And(keys) | Self::Or(keys) => keys.iter().map(Self::cost).max().unwrap_or(0),
            Self::Not(key) => key.cost(),
            Self::All
            | Self::Uids(_)
            | Self::Flags(_)
            | Self::Keyword(_)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::Internal(_)
            | Self::InternalFrom(_)
            | Self::InternalUntil(_)
            | Self::Saved(_)
            | Self::ModSeq(_)
            | Self::Thread(_) => 0,
            Self::Sent(_) | Self::Field(..) => 1,
            Self::Header(..) | Self::Email(_) => 2,
            Self::Body(_) | Self::Text(_) => 3,
        }
    }

    /// How many keys there are.
    fn count(&self) -> usize {
        match self {
            Self::And(keys) | Self::Or(keys) => 1 + keys.iter().map(Self::count).sum::<usize>(),
            Self::Not(key) => 1 + key.count(),
            _ => 1,
        }
    }

    fn arrange(&mut self) {
        match self {
            Self::And(keys) | Self::Or(keys) => {
                keys.iter_mut().for_each(Self::arrange);
                keys.sort_by_key(Self::cost);
            }
            Self::Not(key) => key.arrange(),
            _ => {}
        }
    }

    fn bind(&mut self, messages: &Messages) {
        match self {
            Self::And(keys) | Self::Or(keys) => keys.iter_mut().for_each(|key| key.bind(messages)),
            Self::Not(key) => key.bind(messages),
            Self::Keyword(keyword) => keyword.number = messages.keyword_number(&keyword.name),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Collation;

    #[test]
    fn cheap_keys_come_first() {
        let text = Key::Text(Needle::new("a", Collation::default()));
        let nested = Key::Not(Box::new(Key::Or(vec![text.clone(), Key::All])));
        let program = Program::new(Key::And(vec![text.clone(), nested, Key::Larger(1)]));
        let ordered = Key::Not(Box::new(Key::Or(vec![Key::All, text.clone()])));
        assert_eq!(program.key, Key::And(vec![Key::Larger(1), text, ordered]));
    }

    #[test]
    fn keys_that_must_hold_bound_the_uids() {
        let uids = |from, to| Key::Uids(Ranges::from(from..=to));
        let bounds = |key| Program::new(key).uids();
        assert_eq!(bounds(uids(1, 5)), Some(Ranges::from(1..=5)));
        let both = Key::And(vec![uids(1, 5), Key::All, uids(4, 9)]);
        assert_eq!(bounds(both), Some(Ranges::from(4..=5)));
        assert_eq!(bounds(Key::Not(Box::new(uids(1, 5)))), None);
        assert_eq!(bounds(Key::Or(vec![uids(1, 5), Key::All])), None);
    }

    #[test]
    fn a_day_is_its_seconds() {
        let date = Date::new(1994, 2, 1).unwrap();
        let first = 760_060_800;
        assert!(Days::on(date).contain(first) && Days::on(date).contain(first + 86_399));
        assert!(!Days::on(date).contain(first + 86_400) && !Days::on(date).contain(first - 1));
        assert!(Days::before(date).contain(first - 1) && !Days::before(date).contain(first));
        assert!(Days::since(date).contain(first) && !Days::since(date).contain(first - 1));
    }
}
