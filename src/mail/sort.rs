//! Sorting messages: by one or more criteria (RFC 5256 §3, RFC 5957 §4), and among equals by their
//! order in the mailbox.

use super::{
    Collation, Mail, Mailbox,
    error::Result,
    keyed::{Known, arrange},
    summary::{Addresses, SummaryRef},
};
use crate::ids::Uid;

/// What messages are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// INTERNALDATE
    Arrival,
    /// The local part of the first Cc address.
    Cc,
    /// The Date field in UTC, or INTERNALDATE where it says nothing.
    Date,
    /// The local part of the first From address.
    From,
    /// What the first From address is shown as.
    DisplayFrom,
    /// Octets
    Size,
    /// The base subject.
    Subject,
    /// The local part of the first To address.
    To,
    /// What the first To address is shown as.
    DisplayTo,
}

/// One criterion: a key, rising or falling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// The highest first.
    pub reverse: bool,
    /// How texts are compared.
    pub collation: Collation,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(String),
}

struct Keyed {
    uid: Uid,
    values: Vec<Value>,
}

impl Mail {
    /// The same messages, which came with rising UIDs, in the order of the criteria. Those that have
    /// gone meanwhile are left out; one whose summary is damaged is sorted as if it had none.
    pub async fn sort(
        &self,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
        criteria: Vec<SortCriterion>,
    ) -> Result<Vec<Uid>> {
        let known = self.known(mailbox, &uids).await?;
        let keys = criteria.clone();
        let keyed = if criteria.iter().all(|criterion| criterion.key.is_in_view()) {
            known.iter().map(|known| Keyed::new(*known, &keys, None)).collect()
        } else {
            self.keyed(&known, move |known, summary| Keyed::new(known, &keys, summary)).await?
        };
        arrange(keyed.len(), move || sorted(keyed, &criteria)).await
    }
}

impl SortKey {
    fn is_in_view(self) -> bool {
        matches!(self, Self::Arrival | Self::Size)
    }

    fn value(self, known: Known, collation: Collation, summary: Option<&SummaryRef<'_>>) -> Value {
        let keys = summary.and_then(|summary| summary.keys);
        let text = |octets: Option<&[u8]>| {
            let text = String::from_utf8_lossy(octets.unwrap_or_default());
            Value::Text(collation.prepare(&text).into_owned())
        };
        match self {
            Self::Arrival => Value::Number(known.internal_date),
            Self::Size => Value::Number(i64::try_from(known.size).unwrap_or(i64::MAX)),
            Self::Date => {
                Value::Number(keys.and_then(|keys| keys.sent).unwrap_or(known.internal_date))
            }
            Self::Subject => text(keys.map(|keys| keys.base_subject)),
            Self::DisplayFrom => text(keys.map(|keys| keys.display_from)),
            Self::DisplayTo => text(keys.map(|keys| keys.display_to)),
            Self::From => text(summary.and_then(|summary| first(summary.from))),
            Self::To => text(summary.and_then(|summary| first(summary.to))),
            Self::Cc => text(summary.and_then(|summary| first(summary.cc))),
        }
    }
}

/// The addr-mailbox of the first address.
fn first(list: Addresses<'_>) -> Option<&[u8]> {
    list.into_iter().next()?.mailbox
}

impl Keyed {
    fn new(known: Known, criteria: &[SortCriterion], summary: Option<&SummaryRef<'_>>) -> Self {
        let value =
            |criterion: &SortCriterion| criterion.key.value(known, criterion.collation, summary);
        Self { uid: known.uid, values: criteria.iter().map(value).collect() }
    }
}

/// The sort is stable: among equals the lower UID stays first, whatever is reversed.
fn sorted(mut keyed: Vec<Keyed>, criteria: &[SortCriterion]) -> Vec<Uid> {
    keyed.sort_by(|one, other| {
        let values = one.values.iter().zip(&other.values).zip(criteria);
        let orders = values.map(
            |((one, other), criterion)| {
                if criterion.reverse { other.cmp(one) } else { one.cmp(other) }
            },
        );
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    keyed.into_iter().map(|keyed| keyed.uid).collect()
}
