//! Where messages stand by a sort key: numbers that order as the keys do, four octets for each message.
//!
//! They are kept with a mailbox's view, so that it is sorted again without reading it again. A message
//! that comes later finds its rank by comparing its key with few of those that are known.

/// The rank of each value, equal for equal ones.
pub(super) fn of<T: Ord>(values: &[T]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by_key(|place| values.get(*place));
    let mut ranks = vec![0; values.len()];
    let (mut rank, mut before) = (0, None);
    for place in order {
        let value = values.get(place);
        if before.is_some() && before != value {
            rank += 1;
        }
        before = value;
        set(&mut ranks, place, rank);
    }
    ranks
}

/// The ranks of known messages and of new ones behind them; `key_of` tells the key of the known message
/// at a place.
pub(super) fn extended<T: Ord, E>(
    known: &[u32],
    new: &[T],
    mut key_of: impl FnMut(usize) -> Result<T, E>,
) -> Result<Vec<u32>, E> {
    // One message for each rank, ranks rising; messages that have gone leave gaps.
    let mut faces: Vec<Option<usize>> =
        vec![None; known.iter().max().map_or(0, |max| at(*max) + 1)];
    for (place, rank) in known.iter().enumerate() {
        set(&mut faces, at(*rank), Some(place));
    }
    let mut dense = vec![0_usize; faces.len()];
    let mut count = 0;
    for (dense, face) in dense.iter_mut().zip(&faces) {
        *dense = count;
        count += usize::from(face.is_some());
    }
    let faces: Vec<usize> = faces.into_iter().flatten().collect();

    let mut order: Vec<usize> = (0..new.len()).collect();
    order.sort_unstable_by_key(|place| new.get(*place));
    // Before which known ranks new ones stand, rising; and the rank of each new message.
    let mut inserted: Vec<usize> = Vec::new();
    let mut ranks = vec![0_u32; new.len()];
    let mut before: Option<(&T, usize)> = None;
    for place in order {
        let Some(value) = new.get(place) else { continue };
        let rank = match before {
            Some((same, rank)) if same == value => rank,
            _ => match find(&faces, value, &mut key_of)? {
                Ok(face) => face + inserted.len(),
                Err(face) => {
                    inserted.push(face);
                    face + inserted.len() - 1
                }
            },
        };
        before = Some((value, rank));
        set(&mut ranks, place, small(rank));
    }
    let moved = |rank: &u32| {
        let dense = dense.get(at(*rank)).copied().unwrap_or_default();
        small(dense + inserted.partition_point(|face| *face <= dense))
    };
    Ok(known.iter().map(moved).chain(ranks).collect())
}

/// Which known key is this one, or before which one would it stand?
fn find<T: Ord, E>(
    faces: &[usize],
    value: &T,
    key_of: &mut impl FnMut(usize) -> Result<T, E>,
) -> Result<Result<usize, usize>, E> {
    let (mut low, mut high) = (0, faces.len());
    while low < high {
        let middle = usize::midpoint(low, high);
        let Some(place) = faces.get(middle) else { break };
        match key_of(*place)?.cmp(value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(Ok(middle)),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Ok(Err(low))
}

fn set<T>(items: &mut [T], place: usize, value: T) {
    if let Some(item) = items.get_mut(place) {
        *item = value;
    }
}

fn at(rank: u32) -> usize {
    usize::try_from(rank).unwrap_or(usize::MAX)
}

fn small(rank: usize) -> u32 {
    u32::try_from(rank).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn later_messages_get_the_ranks_they_would_have_had(
            keys in proptest::collection::vec(0_u8..12, 0..40),
            stays in proptest::collection::vec(any::<bool>(), 40),
            known in 0_usize..40,
        ) {
            let (known, new) = keys.split_at(known.min(keys.len()));
            // Some of the known ones have gone since.
            let mut stay = stays.iter();
            let kept: Vec<(u8, u32)> = known
                .iter()
                .copied()
                .zip(of(known))
                .filter(|_| *stay.next().unwrap())
                .collect();
            let ranks: Vec<u32> = kept.iter().map(|(_, rank)| *rank).collect();
            let extended =
                extended(&ranks, new, |place| Ok::<_, Infallible>(kept[place].0)).unwrap();
            let all: Vec<u8> = kept.iter().map(|(key, _)| *key).chain(new.iter().copied()).collect();
            prop_assert_eq!(extended.len(), all.len());
            for (one, rank) in all.iter().zip(&extended) {
                for (other, its) in all.iter().zip(&extended) {
                    prop_assert_eq!(one.cmp(other), rank.cmp(its));
                }
            }
        }
    }
}
