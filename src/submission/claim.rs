//! One message that its user has asked the server to send: claimed, sent, and told of
//! (draft-ietf-lemonade-submit-01 §4.1.2, RFC 5550 §5.10).
//!
//! The claim is on the disk before anything is done with the message, and the job that hands it over ends
//! its row. So a crash leaves it claimed and it is sent after the next start, or it was sent and the row is
//! gone: never both, never neither.

use std::time::Duration;

use super::{
    along::{Source, was_sent},
    answer::Answer,
    answers::Answers,
    stored::{Cause, Said, Stored, Unsent},
    submit::{Error, Submission},
};
use crate::{
    events::Origin,
    ids::SendingId,
    mail::{self, Actor, Draft, Turn, tell_by_house, urls::Urls},
    metrics::Limit,
    store::{Sending, SendingState, Tx},
    wire::envelope::Envelope,
};

/// The first pause before it is tried again; each further one is twice as long. Its user's other messages
/// wait so long too: most likely they could not be sent either.
pub(super) const FIRST_PAUSE: i64 = 60;
/// What asked for it, in the words of the trace.
const WORD: &str = "$Queued";
/// The longest.
pub(super) const LONGEST_PAUSE: i64 = 15 * 60;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was sent, or will not be.
    Settled,
    /// It is tried again.
    PutOff,
}

/// A message that was claimed.
pub(super) struct Claimed {
    row: Sending,
    draft: Draft,
}

/// How long after this many attempts the next one follows, in seconds.
fn pause(attempts: u32) -> i64 {
    // After a few it is the longest, and stays so.
    FIRST_PAUSE.saturating_mul(1 << attempts.min(10)).min(LONGEST_PAUSE)
}

/// Claims a message, within a job; None when there is nothing to be sent.
pub(super) fn claim(
    tx: &mut Tx<'_>,
    id: SendingId,
    status_max: usize,
) -> Result<Option<Claimed>, mail::Error> {
    let Some(row) = tx.sending(id)? else { return Ok(None) };
    if row.state == SendingState::Withdrawn {
        tx.undo_claim(&row)?;
        return Ok(None);
    }
    let Some(draft) = Draft::asked_for(tx, row.account, row.mailbox, row.uid)? else {
        let answer = Answer::new(550, "5.7.1", "its user may not send it any more");
        give_up(tx, &row, Turn::FAILED, &of_nobody(answer).status(status_max))?;
        return Ok(None);
    };
    if row.state == SendingState::Waiting && was_sent(draft.flags) {
        // That it was sent stands, and so does what is said of it.
        tracing::info!(account = %row.account, uid = %row.uid, "a queued message was sent before");
        tx.drop_sending(&row)?;
        return Ok(None);
    }
    tx.claim_sending(&row, tx.now().saturating_add(pause(row.attempts)))?;
    Ok(Some(Claimed { row, draft }))
}

fn of_nobody(answer: Answer) -> Answers {
    Answers::to_data(&Envelope::default(), answer)
}

fn give_up(tx: &mut Tx<'_>, row: &Sending, turn: Turn, status: &str) -> Result<(), mail::Error> {
    tx.end_sending(row.id)?;
    tell_by_house(tx, (row.mailbox, row.uid), row.account, turn, status)
}

impl Submission {
    /// Sends a message that was claimed, and tells its mailbox what became of it.
    ///
    /// # Errors
    /// When that can't be written: the message stays claimed.
    pub(super) async fn send_claimed(
        &self,
        urls: &Urls,
        claimed: Claimed,
        origin: Origin,
        trace: String,
    ) -> Result<Ending, mail::Error> {
        let Claimed { row, draft } = claimed;
        let stored = Stored {
            actor: Actor { account: row.account, origin },
            source: Source::Claimed { draft, id: row.id },
            said: Said::default(),
            by_header: row.by_header,
            word: WORD,
            trace: trace.clone(),
        };
        let Err(unsent) = self.send_stored(urls, stored).await else { return Ok(Ending::Settled) };
        if unsent.may_pass() && self.may_try_again(&row, origin.at) {
            self.put_off(row, &unsent, origin).await?;
            return Ok(Ending::PutOff);
        }
        let actor = Actor { account: row.account, origin };
        self.trace_unsent(&actor, WORD, trace, &unsent).await;
        self.not_sent(row, &unsent, origin).await?;
        Ok(Ending::Settled)
    }

    /// It stays claimed, and its mailbox says why.
    async fn put_off(
        &self,
        row: Sending,
        unsent: &Unsent,
        origin: Origin,
    ) -> Result<(), mail::Error> {
        let told = unsent.told();
        tracing::info!(account = %row.account, told, "a queued message is put off");
        let status = unsent.answers.status(self.delivery().mail().limits().metadata_value);
        let job = move |tx: &mut Tx<'_>| {
            if tx.is_claimed(row.id)? {
                let place = (row.mailbox, row.uid);
                tell_by_house(tx, place, row.account, Turn::default(), &status)?;
            }
            Ok::<_, mail::Error>(())
        };
        let written = self.delivery().mail().store().write(origin, job).await;
        written.map(|_committed| ())
    }

    async fn not_sent(
        &self,
        row: Sending,
        unsent: &Unsent,
        origin: Origin,
    ) -> Result<(), mail::Error> {
        let status_max = self.delivery().mail().limits().metadata_value;
        let status = unsent.answers.status(status_max);
        let withdrawn = matches!(unsent.cause, Cause::Refused(Error::Withdrawn));
        let job = move |tx: &mut Tx<'_>| {
            if !tx.is_claimed(row.id)? {
                // It was taken back, and is gone or waits to be let go.
                return claim(tx, row.id, status_max).map(|_| ());
            }
            if withdrawn {
                let answer = Answer::new(550, "5.7.1", "its user may not send it any more");
                return give_up(tx, &row, Turn::FAILED, &of_nobody(answer).status(status_max));
            }
            give_up(tx, &row, Turn::FAILED, &status)
        };
        let written = self.delivery().mail().store().write(origin, job).await;
        written.map(|_committed| ())
    }

    /// It is tried again for so long; then it has failed.
    fn may_try_again(&self, row: &Sending, now: i64) -> bool {
        let patience = Duration::as_secs(&self.settings().retry_time);
        let over = now.saturating_sub(row.asked) >= i64::try_from(patience).unwrap_or(i64::MAX);
        if over {
            self.delivery().metrics().exceeded(Limit::SubmissionRetryTime);
        }
        !over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = [0, 1, 2, 3, 4, 63, 64, u32::MAX].map(pause);
        assert_eq!(pauses, [60, 120, 240, 480, 900, 900, 900, 900]);
    }
}
