//! What a client that was away, or did not listen, has to be told of a mailbox to be in step again
//! (RFC 7162 §3.2.5, §3.2.6): which messages are gone since a change, and which have changed.

use super::{
    error::Error,
    picture::{Picture, Target},
    selected::Selected,
};
use crate::{
    ids::{ModSeq, Uid},
    mail::{Mail, Messages},
    wire::{Ranges, Set},
};

/// Where a client looks for messages that are gone.
#[derive(Clone, Copy, Debug)]
pub enum Among<'a> {
    /// Everywhere but below this UID, up to which it knows what is there.
    Above(u32),
    /// Among these UIDs; `*` is the highest that was ever given, whether or not it still lives.
    Set(&'a Set),
    /// Among these, which are above that UID.
    Known(&'a Ranges, u32),
}

impl Among<'_> {
    fn resolve(self, last: u32, saved: &Ranges) -> Ranges {
        let above = |uid: u32| std::iter::once(uid.saturating_add(1)..=last).collect::<Ranges>();
        match self {
            Self::Above(uid) => above(uid),
            Self::Set(set) => {
                let named = set.resolve(last);
                let saved = saved.ranges().iter().filter(|_| set.saved);
                named.ranges().iter().chain(saved).cloned().collect()
            }
            Self::Known(known, uid) => known.within(&above(uid)),
        }
    }
}

/// UIDs that are gone since this change and that the client no longer counts; perhaps with some that
/// were gone before, when that is too long ago to be known, but never one that it counts.
pub async fn vanished(
    mail: &Mail,
    selected: &mut Selected,
    since: ModSeq,
    among: Among<'_>,
) -> Result<Ranges, Error> {
    let now = selected.look(mail, |_, messages| messages.mod_seq()).await?;
    if now <= since {
        return Ok(Ranges::default());
    }
    // First the log, then the look at what is counted: what goes meanwhile is told as news.
    let log = mail.vanished(&selected.mailbox, since).await?;
    let log: Option<Ranges> = log
        .map(|ranges| ranges.into_iter().map(|(first, last)| first.get()..=last.get()).collect());
    let saved = std::mem::take(&mut selected.saved);
    let gone = selected.look(mail, |picture, messages| {
        let last = u32::try_from(messages.uid_next().saturating_sub(1)).unwrap_or(u32::MAX);
        let asked = among.resolve(last, &saved);
        gone(log.as_ref(), &asked, last, messages.uids(), picture.untold_expunges())
    });
    let gone = gone.await;
    selected.saved = saved;
    gone
}

/// Those of the UIDs asked for that the log names, or, when it does not reach back, that were ever
/// given; but none that lives or is still counted.
fn gone(log: Option<&Ranges>, asked: &Ranges, last: u32, living: &[Uid], untold: &[Uid]) -> Ranges {
    let gone = match log {
        Some(log) => log.within(asked),
        None => asked.within(&std::iter::once(1..=last).collect()),
    };
    gone.without(numbers(living)).without(numbers(untold))
}

fn numbers(uids: &[Uid]) -> impl Iterator<Item = u32> {
    uids.iter().map(|uid| uid.get())
}

/// Those of these messages, numbers rising, that changed after this change. Those that are gone are
/// left out, told or not: their end is news of its own.
pub async fn changed(
    mail: &Mail,
    selected: &mut Selected,
    since: ModSeq,
    targets: Vec<Target>,
) -> Result<Vec<Target>, Error> {
    selected.look(mail, |_, messages| newer(&targets, messages, since)).await
}

/// The messages of known UIDs that changed after this change, numbers rising.
pub async fn changed_among(
    mail: &Mail,
    selected: &mut Selected,
    since: ModSeq,
    known: Option<&Ranges>,
) -> Result<Vec<Target>, Error> {
    let is_known = |uid: Uid| known.is_none_or(|known| known.contains(uid.get()));
    let look = |picture: &mut Picture, messages: &Messages| {
        let living = messages.uids();
        let all = living.iter().zip(messages.mod_seqs());
        let newer = all.filter(|(uid, mod_seq)| **mod_seq > since && is_known(**uid));
        let target = |uid: Uid| Some(Target { number: picture.number(uid, living)?, uid });
        newer.filter_map(|(uid, _)| target(*uid)).collect()
    };
    selected.look(mail, look).await
}

/// Both the targets and the messages have rising UIDs: one walk along both.
fn newer(targets: &[Target], messages: &Messages, since: ModSeq) -> Vec<Target> {
    let mut living = messages.uids().iter().zip(messages.mod_seqs()).peekable();
    let is_newer = |target: &&Target| {
        while living.next_if(|(uid, _)| **uid < target.uid).is_some() {}
        living.peek().is_some_and(|(uid, mod_seq)| **uid == target.uid && **mod_seq > since)
    };
    targets.iter().filter(is_newer).copied().collect()
}

/// The highest UID of a client's sample of messages that stands where the client says, by number and
/// by UID: up to there it knows what is gone (RFC 7162 §3.2.5.2). Zero when none does.
pub async fn matched(
    mail: &Mail,
    selected: &mut Selected,
    numbers: &Ranges,
    uids: &Ranges,
) -> Result<u32, Error> {
    let look = |picture: &mut Picture, messages: &Messages| {
        let living = messages.uids();
        let counted = picture.count();
        // Numbers beyond the mailbox match nothing, however many there are.
        let pairs = numbers.numbers().zip(uids.numbers()).take_while(|(n, _)| *n <= counted);
        let matching = pairs.filter(|(number, uid)| {
            picture.uid(*number, living).is_some_and(|found| found.get() == *uid)
        });
        matching.last().map_or(0, |(_, uid)| uid)
    };
    selected.look(mail, look).await
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use super::*;
    use crate::wire::Cursor;

    fn ranges(of: &[RangeInclusive<u32>]) -> Ranges {
        of.iter().cloned().collect()
    }

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|number| Uid::new(*number)).collect()
    }

    #[test]
    fn q5_when_the_log_is_too_short_all_that_is_not_there_is_gone_and_nothing_that_is() {
        let (living, untold) = (uids(&[2, 5, 9]), uids(&[7]));
        let gone = |log, asked: &[_]| gone(log, &ranges(asked), 12, &living, &untold);
        assert_eq!(gone(None, &[1..=u32::MAX]), ranges(&[1..=1, 3..=4, 6..=6, 8..=8, 10..=12]));
        assert_eq!(gone(None, &[2..=3, 9..=10]), ranges(&[3..=3, 10..=10]));
        let log = ranges(&[3..=4, 7..=8]);
        assert_eq!(gone(Some(&log), &[1..=u32::MAX]), ranges(&[3..=4, 8..=8]));
        assert_eq!(gone(Some(&Ranges::default()), &[1..=12]), Ranges::default());
    }

    #[test]
    fn q4_a_star_reaches_up_to_the_last_uid_that_was_ever_given() {
        let set = Cursor::new(b"5:*,2,$").set().unwrap();
        let saved = ranges(&[1..=1]);
        assert_eq!(Among::Set(&set).resolve(9, &saved), ranges(&[1..=2, 5..=9]));
        assert_eq!(Among::Above(3).resolve(9, &saved), ranges(&[4..=9]));
        assert_eq!(
            Among::Known(&ranges(&[1..=5, 8..=20]), 3).resolve(9, &saved),
            ranges(&[4..=5, 8..=9])
        );
    }
}
