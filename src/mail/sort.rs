//! Sorting messages: by one or more criteria (RFC 5256 §3, RFC 5957 §4), and among equals by their
//! order in the mailbox.

mod ordered;
mod said;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::ordered::by_ranks;
pub use self::said::{SaidCriterion, SortBy};
use super::{
    Collation, Mail, Mailbox, Messages, Rights, View,
    converted::Sorted,
    error::{Error, Result},
    keyed::{Known, arrange},
    ranks,
    summary::{Addresses, SummaryRef},
};
use crate::{ids::Uid, store::Reader};

/// A mailbox is ranked when at most so many messages must be read for each one that is to be sorted.
const WORTH_EACH: usize = 8;
/// New messages find their ranks one by one as long as there are so many known ones for each.
const KNOWN_EACH: usize = 32;

/// So many messages are put in order by ranks while one is by what it says.
const RANKED_EACH: usize = 10;

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

/// By what ranks are: a key, and how its texts are compared.
pub(super) type RankedBy = (SortKey, Collation);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(Sorted),
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
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        if self.is_ranked(&view, &criteria, uids.len()).await? {
            let (view, uids, criteria) = (Arc::clone(&view), uids.clone(), criteria.clone());
            let work = uids.len() / RANKED_EACH;
            let sorted = arrange(work, move || by_ranks(&view, &uids, &criteria));
            if let Some(sorted) = sorted.await? {
                return Ok(sorted);
            }
        }
        let (known, keys) = (self.known(mailbox, &uids).await?, criteria.clone());
        let keyed =
            self.keyed(&known, move |known, summary| Keyed::new(known, &keys, summary)).await?;
        arrange(keyed.len(), move || sorted(keyed, &criteria)).await
    }

    /// Makes sure that the view knows the ranks of all its messages, if that is worth it for so many.
    async fn is_ranked(
        &self,
        view: &Arc<View>,
        criteria: &[SortCriterion],
        count: usize,
    ) -> Result<bool> {
        let ranked = criteria.iter().filter(|criterion| !criterion.key.is_in_view());
        let ranked: Vec<RankedBy> = ranked.copied().map(SortCriterion::ranked_by).collect();
        if ranked.len() > Messages::MOST_RANKS {
            return Ok(false);
        }
        for by in ranked {
            let missing = {
                let messages = view.messages();
                messages.len() - messages.ranks(by).map_or(0, <[u32]>::len)
            };
            if missing > count.saturating_mul(WORTH_EACH) {
                return Ok(false);
            }
            if missing > 0 {
                self.rank(view, by).await?;
            }
        }
        Ok(true)
    }

    /// Gives the view the ranks of its messages.
    async fn rank(&self, view: &Arc<View>, by: RankedBy) -> Result<()> {
        let (key, collation) = by;
        let (known, all) = {
            let messages = view.messages();
            let known = messages.ranks(by).unwrap_or_default().to_vec();
            let all: Vec<Known> = messages.entries(0).map(|entry| Known::of(&entry)).collect();
            (known, all)
        };
        let (old, new) = all.split_at_checked(known.len()).unwrap_or((&all, &[]));
        let value = move |known: Known, summary: Option<&SummaryRef<'_>>| {
            key.value(known, collation, summary)
        };
        let ranks = if new.len().saturating_mul(KNOWN_EACH) > old.len() {
            let values = self.keyed(&all, value).await?;
            arrange(values.len(), move || ranks::of(&values)).await?
        } else {
            let values = self.keyed(new, value).await?;
            let old = old.to_vec();
            let job = move |r: &Reader<'_>| {
                ranks::extended(&known, &values, |place| {
                    let Some(known) = old.get(place) else { return Ok(Value::Number(0)) };
                    let summary = r.summary(known.content)?.unwrap_or_default();
                    Ok::<_, Error>(value(*known, SummaryRef::parse(&summary).ok().as_ref()))
                })
            };
            self.store().read(job).await?
        };
        let uids: Vec<Uid> = all.iter().map(|known| known.uid).collect();
        view.change(|messages| messages.set_ranks(by, &uids, &ranks));
        self.views.grown(view);
        Ok(())
    }
}

impl SortCriterion {
    /// Dates are compared in one way only.
    fn ranked_by(self) -> RankedBy {
        match self.key {
            SortKey::Date => (self.key, Collation::default()),
            key => (key, self.collation),
        }
    }
}

impl SortKey {
    fn is_in_view(self) -> bool {
        matches!(self, Self::Arrival | Self::Size)
    }

    fn value(self, known: Known, collation: Collation, summary: Option<&SummaryRef<'_>>) -> Value {
        let keys = summary.and_then(|summary| summary.keys);
        let text =
            |octets: Option<&[u8]>| Value::Text(Sorted::by(octets.unwrap_or_default(), collation));
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
