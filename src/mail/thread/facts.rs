//! What a message is threaded by.

use std::hash::{BuildHasher as _, RandomState};

use crate::mail::{Collation, converted::Sorted, keyed::Known, summary::SummaryRef};

/// What a message is threaded by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The Date field in UTC, or INTERNALDATE where it says nothing.
    pub(super) sent: i64,
    /// INTERNALDATE
    pub(super) arrived: i64,
    /// The base subject, prepared for comparison.
    pub(super) subject: Sorted,
    /// The subject is that of a reply or a forwarded message.
    pub(super) is_reply: bool,
    /// Its Message-ID.
    pub(super) id: Option<Id>,
    /// The ids of its ancestors, the oldest first.
    pub(super) references: Vec<Id>,
}

/// A Message-ID, hashed under keys that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64, u64);

/// Hashes Message-IDs.
#[derive(Clone, Default)]
pub(super) struct Ids(RandomState, RandomState);

impl Ids {
    /// The id of these octets, quoted or not (RFC 5256 §3: `"a"@b` is `a@b`).
    pub(super) fn id(&self, octets: &[u8]) -> Id {
        let mut plain = Vec::with_capacity(octets.len());
        let mut rest = octets.iter();
        while let Some(octet) = rest.next() {
            match octet {
                b'"' => {}
                b'\\' => plain.extend(rest.next()),
                octet => plain.push(*octet),
            }
        }
        Id(self.0.hash_one(&plain), self.1.hash_one(&plain))
    }
}

impl Facts {
    pub(super) fn new(
        known: Known,
        collation: Collation,
        summary: Option<&SummaryRef<'_>>,
        ids: &Ids,
    ) -> Self {
        let arrived = known.internal_date;
        let Some(keys) = summary.and_then(|summary| summary.keys) else {
            return Self { sent: arrived, arrived, ..Self::default() };
        };
        let mut references: Vec<Id> = keys.references.into_iter().map(|id| ids.id(id)).collect();
        if references.is_empty() {
            references.extend(keys.in_reply_to.into_iter().next().map(|id| ids.id(id)));
        }
        Self {
            sent: keys.sent.unwrap_or(arrived),
            arrived,
            subject: Sorted::by(keys.base_subject, collation),
            is_reply: keys.is_reply,
            id: keys.message_id.map(|id| ids.id(id)),
            references,
        }
    }
}
