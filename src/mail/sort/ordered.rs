//! Sorting by what a view knows: ranks and numbers by place, one stable pass for each criterion from
//! the last to the first.

use super::{SortCriterion, SortKey};
use crate::{
    ids::Uid,
    mail::{Messages, View},
};

/// Messages are counted by their ranks when there are no more ranks than so many for each message.
const RANKS_EACH: usize = 8;

/// Sorts messages by what the view knows; None when it no longer knows the ranks.
pub(super) fn by_ranks(view: &View, uids: &[Uid], criteria: &[SortCriterion]) -> Option<Vec<Uid>> {
    let mut living = Vec::with_capacity(uids.len());
    let mut columns: Vec<Vec<i64>> = Vec::with_capacity(criteria.len());
    {
        let messages = view.messages();
        let mut places = Vec::with_capacity(uids.len());
        for (place, uid) in messages.places(uids) {
            places.push(place);
            living.push(uid);
        }
        for criterion in criteria {
            columns.push(column(&messages, *criterion, &places)?);
        }
    }
    let mut order: Vec<usize> = (0..living.len()).collect();
    for (column, criterion) in columns.iter().zip(criteria).rev() {
        order = pass(order, column, criterion.reverse);
    }
    Some(order.into_iter().filter_map(|at| living.get(at).copied()).collect())
}

/// The numbers by which a criterion orders the messages at these places.
fn column(messages: &Messages, criterion: SortCriterion, places: &[usize]) -> Option<Vec<i64>> {
    match criterion.key {
        SortKey::Arrival => places.iter().map(|place| messages.internal_date(*place)).collect(),
        SortKey::Size => places.iter().map(|place| messages.size(*place)).collect(),
        _ => {
            let ranks = messages.ranks(criterion.ranked_by())?;
            places.iter().map(|place| ranks.get(*place).copied().map(i64::from)).collect()
        }
    }
}

/// The same in the order of a column; what is equal there stays as it stands.
fn pass(mut order: Vec<usize>, column: &[i64], reverse: bool) -> Vec<usize> {
    let lowest = column.iter().min().copied().unwrap_or(0);
    let apart = column.iter().max().map_or(0, |highest| highest.saturating_sub(lowest));
    let apart = usize::try_from(apart).unwrap_or(usize::MAX);
    if apart > order.len().saturating_mul(RANKS_EACH) {
        let key = |at: &usize| column.get(*at).map(|key| if reverse { !*key } else { *key });
        order.sort_by_key(key);
        return order;
    }
    let rank = |at: usize| {
        let rank = column.get(at).and_then(|key| usize::try_from(key - lowest).ok()).unwrap_or(0);
        if reverse { apart - rank } else { rank }
    };
    // How many have a lower rank: there the first of a rank stands.
    let mut next = vec![0_usize; apart + 2];
    for at in &order {
        if let Some(count) = next.get_mut(rank(*at) + 1) {
            *count += 1;
        }
    }
    let mut below = 0;
    for count in &mut next {
        below += *count;
        *count = below;
    }
    let mut sorted = vec![0; order.len()];
    for at in order {
        let Some(place) = next.get_mut(rank(at)) else { continue };
        if let Some(sorted) = sorted.get_mut(*place) {
            *sorted = at;
        }
        *place += 1;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pass_is_a_stable_sort(
            near in proptest::collection::vec(-3_i64..30, 0..60),
            far in proptest::collection::vec(any::<i64>(), 0..9),
            wide: bool,
            reverse: bool,
        ) {
            let column = if wide { [near, far].concat() } else { near };
            let order: Vec<usize> = (0..column.len()).rev().collect();
            let mut expected = order.clone();
            expected.sort_by(|one, other| {
                let (one, other) = (column[*one], column[*other]);
                if reverse { other.cmp(&one) } else { one.cmp(&other) }
            });
            prop_assert_eq!(pass(order, &column, reverse), expected);
        }
    }
}
