//! What an answer makes of a recipient: struck off, to be reported, or to be tried again.

use super::{
    answer::Class,
    record::Told,
    retry::{Next, Schedule},
};
use crate::{
    store::{Attempt, DelayReport, Fate, Queued, QueuedRecipient, RecipientState},
    wire::envelope::Notify,
};

/// The circumstances of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) schedule: &'a Schedule,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// See [`Schedule::next`].
    pub(super) jitter: u8,
}

/// What is to be recorded of a recipient.
pub(super) fn attempt(
    message: &Queued,
    to: &QueuedRecipient,
    told: &Told,
    around: Circumstances<'_>,
) -> Attempt {
    let Told { answer, success } = told;
    // A report on a report is never made (RFC 3461 §6.2).
    let bounce = message.envelope.reverse_path.is_null();
    let notify = to.recipient.notify.unwrap_or(Notify::UNSAID);
    let report = |wanted: bool, state| {
        if wanted && !bounce { Fate::Report(state) } else { Fate::StruckOff }
    };
    let fate = match answer.class() {
        Class::Success => match success {
            Some(state) => report(notify.success, *state),
            None => Fate::StruckOff,
        },
        Class::Permanent => report(notify.failure, RecipientState::Failed),
        Class::Temporary => {
            let attempts = to.attempts.saturating_add(1);
            let Circumstances { schedule, now, jitter } = around;
            match schedule.next(attempts, message.created, now, bounce, jitter) {
                Next::GiveUp => report(notify.failure, RecipientState::Failed),
                Next::At { at, late } => {
                    let wanted = notify.delay && !bounce && to.delay == DelayReport::None;
                    Fate::Deferred { next_attempt: at, tell: late && wanted }
                }
            }
        }
    };
    let remote = answer.remote.clone().unwrap_or_default();
    Attempt { number: to.number, fate, reply: answer.line(), remote }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        ids::{ContentId, QueueId},
        queue::answer::{Answer, Status},
        wire::{
            address::{Address, ReversePath},
            envelope::Envelope,
        },
    };

    /// A message from `alice@here.example`, or from nobody, with one recipient.
    pub(in crate::queue) fn message(from: &str, to: &str, notify: Option<&str>) -> Queued {
        let mut recipient: crate::wire::envelope::Recipient = Address::parse(to).unwrap().into();
        recipient.notify = notify.map(|notify| Notify::parse(notify).unwrap());
        let reverse_path = ReversePath::parse(from).unwrap();
        Queued {
            id: QueueId(1),
            account: None,
            envelope: Envelope { reverse_path, ..Envelope::default() },
            content: ContentId(1),
            size: 100,
            trace: "t".into(),
            created: 0,
            recipients: vec![QueuedRecipient {
                number: 0,
                recipient,
                state: RecipientState::Waiting,
                attempts: 0,
                next_attempt: 0,
                last_attempt: None,
                delay: DelayReport::None,
                reply: String::new(),
                remote: String::new(),
            }],
        }
    }

    fn fate(from: &str, notify: Option<&str>, class: u8, now: i64, hop_reports: bool) -> Fate {
        let message = message(from, "bob@there.example", notify);
        let schedule = Schedule::default();
        let around = Circumstances { schedule: &schedule, now, jitter: 0 };
        let told = Told::by_hop(Answer::own(Status(class, 0, 0), "so it is"), hop_reports);
        attempt(&message, &message.recipients[0], &told, around).fate
    }

    #[test]
    fn who_is_told_what_follows_notify() {
        use RecipientState::{Failed, Relayed};
        let alice = "a@here.example";
        let old = 999 * 3_600;
        for (from, notify, class, now, hop, expected) in [
            (alice, None, 2, 0, false, Fate::StruckOff),
            (alice, Some("SUCCESS"), 2, 0, false, Fate::Report(Relayed)),
            (alice, Some("SUCCESS"), 2, 0, true, Fate::StruckOff),
            (alice, None, 5, 0, false, Fate::Report(Failed)),
            (alice, Some("NEVER"), 5, 0, false, Fate::StruckOff),
            (alice, Some("SUCCESS"), 5, 0, false, Fate::StruckOff),
            ("", None, 5, 0, false, Fate::StruckOff),
            ("", Some("SUCCESS"), 2, 0, false, Fate::StruckOff),
            (alice, None, 4, old, false, Fate::Report(Failed)),
            (alice, Some("DELAY"), 4, old, false, Fate::StruckOff),
            (alice, None, 4, 0, false, Fate::Deferred { next_attempt: 60, tell: false }),
        ] {
            assert_eq!(fate(from, notify, class, now, hop), expected);
        }
    }

    #[test]
    fn a_delay_is_told_to_whom_it_interests() {
        let late = 4 * 3_600;
        for (notify, told) in [(None, true), (Some("DELAY"), true), (Some("FAILURE"), false)] {
            let fate = fate("a@here.example", notify, 4, late, false);
            assert_eq!(fate, Fate::Deferred { next_attempt: late + 60, tell: told });
        }
    }
}
