//! MESSAGELIMIT (RFC 9738): one command works on so many messages at most, those with the highest
//! UIDs, from the highest to the lowest, and tells where it has stopped.

use super::{
    error::Error,
    picture::Target,
    reply::{Code, Done, Replies},
};
use crate::{
    ids::Uid,
    metrics::{Limit, Metrics},
    wire::Ranges,
};

/// What is said beside the code.
const TEXT: &str = "only the last messages; go on below this UID";

/// Keeps the highest of these targets, which rise, when there are more than `most`; the code then
/// tells which is the lowest.
pub fn highest(targets: &mut Vec<Target>, most: usize) -> Option<Code> {
    let beyond = targets.len().checked_sub(most).filter(|beyond| *beyond > 0)?;
    targets.drain(..beyond);
    Some(Code::MessageLimit(most, targets.first().map(|target| target.uid)))
}

/// The lowest of the `most` highest of these living UIDs that lie in `among`; None when there are no
/// more than so many.
pub fn lowest(living: &[Uid], among: Option<&Ranges>, most: usize) -> Option<Uid> {
    let mut left = most;
    let all = [1..=u32::MAX];
    let mut lowest = None;
    for range in among.map_or(&all[..], Ranges::ranges).iter().rev() {
        let from = living.partition_point(|uid| uid.get() < *range.start());
        let to = living.partition_point(|uid| uid.get() <= *range.end());
        let within = living.get(from..to).unwrap_or_default();
        if within.len() > left {
            return if left > 0 { within.get(within.len() - left).copied() } else { lowest };
        }
        left -= within.len();
        lowest = within.first().copied().or(lowest);
    }
    None
}

/// How a command ends that worked only on a part. When its tagged answer has a code already, the
/// limit is told before it, untagged (§3.1).
pub fn end(
    limit: Option<Code>,
    outcome: Result<Done, Error>,
    out: &mut Replies,
    metrics: &Metrics,
) -> Result<Done, Error> {
    let Some(limit) = limit else { return outcome };
    metrics.exceeded(Limit::ImapMessagesPerCommandMax);
    let (outcome, untold) = match outcome {
        Ok(done) => {
            let (done, untold) = done.or_code(limit);
            (Ok(done), untold)
        }
        Err(error) => (Err(error), Some(limit)),
    };
    if untold.is_some() {
        out.status("NO", untold.as_ref(), TEXT);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    #[test]
    fn the_highest_are_kept_and_the_lowest_of_them_is_told() {
        let targets = |count| {
            (1..=count)
                .filter_map(|number| Some(Target { number, uid: Uid::new(number * 10)? }))
                .collect::<Vec<_>>()
        };
        for few in [0, 2, 3] {
            assert_eq!(highest(&mut targets(few), 3), None, "{few}");
        }
        let mut many = targets(4);
        assert_eq!(highest(&mut many, 3), Some(Code::MessageLimit(3, Uid::new(20))));
        assert_eq!(many, targets(4)[1..]);
    }

    #[test]
    fn only_messages_that_the_keys_name_count() {
        let living = uids(&[1, 3, 5, 7, 9]);
        let told = |among: Option<&[u32]>, most| {
            let among = among.map(|uids| uids.iter().copied().collect::<Ranges>());
            lowest(&living, among.as_ref(), most).map(Uid::get)
        };
        assert_eq!([4, 5, 6].map(|most| told(None, most)), [Some(3), None, None]);
        assert_eq!(told(Some(&[1, 2, 3, 9]), 2), Some(3));
        assert_eq!(told(Some(&[1, 2, 3, 9]), 3), None);
        assert_eq!(told(Some(&[1, 3, 4, 9]), 1), Some(9));
        assert_eq!(told(Some(&[2, 4]), 1), None);
    }
}
