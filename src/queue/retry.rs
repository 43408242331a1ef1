//! When to try again, when to tell the sender, when to give up: values in, a value out.

use std::time::Duration;

/// How long it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after each attempt; the last one repeats.
    pub pauses: Vec<Duration>,
    /// How long a message is tried.
    pub life: Duration,
    /// How long a message from `<>` is tried.
    pub bounce_life: Duration,
    /// The age at which the sender is told of a delay.
    pub delay_after: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        let minutes = [1, 5, 15, 30, 60, 120, 240];
        Self {
            pauses: minutes.map(Duration::from_mins).into(),
            life: Duration::from_hours(5 * 24),
            bounce_life: Duration::from_hours(24),
            delay_after: Duration::from_hours(4),
        }
    }
}

/// What follows a temporary failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another attempt, in seconds since 1970; the sender should be told if it wants to know.
    At { at: i64, late: bool },
    /// It has been tried long enough.
    GiveUp,
}

impl Schedule {
    /// After the given number of attempts, the last one at `now`. `jitter` spreads attempts: the
    /// pause grows by up to a tenth.
    pub(super) fn next(
        &self,
        attempts: u32,
        created: i64,
        now: i64,
        bounce: bool,
        jitter: u8,
    ) -> Next {
        let end = self.end(created, bounce);
        if now >= end {
            return Next::GiveUp;
        }
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause =
            self.pauses.get(index).or_else(|| self.pauses.last()).copied().unwrap_or_default();
        let pause = pause.max(Duration::from_secs(1));
        let extra = pause.mul_f32(f32::from(jitter) / f32::from(u8::MAX) / 10.0);
        let at = now.saturating_add(seconds(pause.saturating_add(extra))).min(end);
        let late = at.saturating_sub(created) >= seconds(self.delay_after);
        Next::At { at, late }
    }

    /// When a message is given up, in seconds since 1970.
    pub(super) fn end(&self, created: i64, bounce: bool) -> i64 {
        created.saturating_add(seconds(if bounce { self.bounce_life } else { self.life }))
    }

    /// How far ahead an attempt can be set at most.
    pub(super) fn longest_pause(&self) -> Duration {
        let longest = self.pauses.iter().max().copied().unwrap_or_default();
        longest.saturating_add(longest / 8).saturating_add(Duration::from_mins(1))
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    fn next(attempts: u32, now: i64) -> Next {
        Schedule::default().next(attempts, 0, now, false, 0)
    }

    #[test]
    fn pauses_grow_and_the_last_one_repeats() {
        let pauses: Vec<_> = (1..=9)
            .map(|attempts| match next(attempts, 0) {
                Next::At { at, .. } => at / 60,
                Next::GiveUp => 0,
            })
            .collect();
        assert_eq!(pauses, [1, 5, 15, 30, 60, 120, 240, 240, 240]);
    }

    #[test]
    fn jitter_adds_a_tenth_at_most() {
        let at = Schedule::default().next(7, 0, 0, false, u8::MAX);
        assert_eq!(at, Next::At { at: 4 * HOUR + 24 * 60, late: true });
    }

    #[test]
    fn the_last_attempt_stands_at_the_end_of_life() {
        assert_eq!(next(30, 119 * HOUR), Next::At { at: 120 * HOUR, late: true });
        assert_eq!(next(31, 120 * HOUR), Next::GiveUp);
        let schedule = Schedule::default();
        assert_eq!(schedule.next(9, 0, 24 * HOUR, true, 0), Next::GiveUp);
    }

    #[test]
    fn a_delay_is_told_when_four_hours_will_have_passed() {
        assert_eq!(next(5, HOUR), Next::At { at: 2 * HOUR, late: false });
        assert_eq!(next(6, 2 * HOUR), Next::At { at: 4 * HOUR, late: true });
    }

    #[test]
    fn a_clock_set_back_makes_no_message_old() {
        let now = -10 * HOUR;
        assert_eq!(next(1, now), Next::At { at: now + 60, late: false });
    }
}
