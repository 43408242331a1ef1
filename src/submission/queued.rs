//! The server's own submission agent: whoever marks a message with `$Queued` has it sent
//! (draft-ietf-lemonade-submit-01 §4.1.2).
//!
//! It hears of such messages by an event and finds them by their rows; nothing is polled and no mailbox is
//! searched. One user's are sent one after the other in the order they were asked for, and those of some
//! users at once. What this house cannot do for a reason of its own (no room, too many messages within the
//! hour or in the queue) is tried again for a while, and that user's others wait for some time too; every
//! other refusal ends the wish.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    claim::{self, Ending, FIRST_PAUSE, LONGEST_PAUSE},
    submit::Submission,
};
use crate::{
    events::{Door, Interest, News, Origin},
    ids::{AccountId, SendingId, trace_id},
    mail::{self, urls::Urls},
    metrics::Count,
    store::{self, Store, Tx},
};

/// Messages of different users that are sent at once.
const AT_ONCE: usize = 4;
/// The longest sleep: a wall clock that was set is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_mins(10);
/// The pause after the store would not answer.
const AFTER_FAULT: Duration = Duration::from_mins(1);
/// How long the messages in hand may take when the house closes; they are taken up again after the start.
const LANDING: Duration = Duration::from_secs(5);

/// What time it is.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// The agent.
#[derive(Clone)]
pub struct Queued {
    submission: Submission,
    urls: Urls,
    clock: Clock,
}

/// What became of a message, if the store answered.
type Worked = Result<Ending, mail::Error>;

/// Who is served now, and in which task.
#[derive(Default)]
struct Work {
    tasks: JoinSet<Worked>,
    busy: HashMap<Id, AccountId>,
    /// Whose messages wait since one was put off, and until when.
    waiting: HashMap<AccountId, i64>,
    /// Whose turn was last.
    last: Option<AccountId>,
}

impl Work {
    /// Is it this user's turn?
    fn may_serve(&self, account: AccountId) -> bool {
        !self.waiting.contains_key(&account) && !self.busy.values().any(|busy| *busy == account)
    }

    /// Those who have waited long enough wait no more, nor those for whom the clock was set back.
    fn wake(&mut self, now: i64) {
        let latest = now.saturating_add(FIRST_PAUSE);
        self.waiting.retain(|_, until| *until > now && *until <= latest);
    }
}

impl Queued {
    /// The agent of a house.
    pub fn new(submission: Submission, urls: Urls, clock: Clock) -> Self {
        Self { submission, urls, clock }
    }

    /// Sends what users ask for until the house closes or this agent is `retired`; then lets what is in
    /// hand come to its end, in a house that closes not for long.
    pub async fn run(self, stop: CancellationToken, retired: CancellationToken) {
        let mut news = self.store().bus().subscribe(Interest::Sending);
        let mut work = Work::default();
        self.resume().await;
        let (mut wait, mut resting) = (Box::pin(sleep(LONGEST_SLEEP)), false);
        loop {
            if !resting {
                match self.look(&mut work).await {
                    Ok(next) => wait = Box::pin(sleep(next)),
                    Err(store::Error::Closed) => break,
                    Err(error) => {
                        tracing::error!(%error, "cannot see what is to be sent from mailboxes");
                        (wait, resting) = (Box::pin(sleep(AFTER_FAULT)), true);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = retired.cancelled() => break,
                heard = news.next() => if heard == News::Closed { break },
                Some(ended) = work.tasks.join_next_with_id() => {
                    if !self.ended(&mut work, ended) {
                        (wait, resting) = (Box::pin(sleep(AFTER_FAULT)), true);
                    }
                }
                () = &mut wait => resting = false,
            }
            while news.try_next().is_some_and(|more| more != News::Closed) {}
        }
        let out_of_time = async {
            stop.cancelled().await;
            sleep(LANDING).await;
        };
        tokio::select! {
            () = async { while work.tasks.join_next().await.is_some() {} } => {}
            () = out_of_time => tracing::info!("some queued messages will be sent after the start"),
        }
    }

    fn store(&self) -> &Store {
        self.submission.delivery().mail().store()
    }

    fn now(&self) -> i64 {
        (self.clock)().as_second()
    }

    /// Takes up what was in hand at the end of the house before; when that can't be, it waits for its time.
    async fn resume(&self) {
        let origin = Origin::new(Door::House, self.now());
        let job = |tx: &mut Tx<'_>| {
            let rows = tx.resume_sending()?;
            Ok::<_, store::Error>(rows)
        };
        let resumed = self.store().write(origin, job).await;
        if let Err(error) = resumed {
            tracing::error!(%error, "what was claimed before the start waits for its time");
        }
    }

    /// Puts tasks to work for those whose turn it is; gives how long it is until somebody's message becomes
    /// due.
    async fn look(&self, work: &mut Work) -> Result<Duration, store::Error> {
        let now = self.now();
        work.wake(now);
        if let Err(error) = self.store().check_writing() {
            tracing::warn!(%error, "nothing is sent from mailboxes now: it could not be recorded");
            return Ok(AFTER_FAULT);
        }
        while work.tasks.len() < AT_ONCE {
            let Some((id, account)) = self.next(work, now).await? else { break };
            let this = self.clone();
            let task = work.tasks.spawn(async move { this.work(id).await });
            work.busy.insert(task.id(), account);
            work.last = Some(account);
        }
        let next = self.store().read(move |r| r.sending_next(now)).await?;
        let next = next.into_iter().chain(work.waiting.values().copied()).min();
        let ahead = next.map(|next| u64::try_from(next.saturating_sub(now)).unwrap_or(0));
        Ok(ahead.map_or(LONGEST_SLEEP, Duration::from_secs).min(LONGEST_SLEEP))
    }

    /// The next message that is due, of the next user in turn who is not served now.
    async fn next(
        &self,
        work: &Work,
        now: i64,
    ) -> Result<Option<(SendingId, AccountId)>, store::Error> {
        let first = AccountId(i64::MIN);
        for from in [work.last.unwrap_or(first), first] {
            let mut after = from;
            loop {
                let due = move |r: &store::Reader<'_>| r.sending_due(now, LONGEST_PAUSE, after);
                let Some((id, account)) = self.store().read(due).await? else { break };
                if work.may_serve(account) {
                    return Ok(Some((id, account)));
                }
                after = account;
            }
        }
        Ok(None)
    }

    /// Claims a message and sends it.
    async fn work(&self, id: SendingId) -> Worked {
        let now = (self.clock)();
        let origin = Origin::new(Door::House, now.as_second());
        let most = self.submission.delivery().mail().limits().metadata_value;
        let claimed = self.store().write(origin, move |tx| claim::claim(tx, id, most)).await?;
        match claimed.into_inner() {
            Some(claimed) => {
                self.submission.send_claimed(&self.urls, claimed, origin, trace_id(now)).await
            }
            None => Ok(Ending::Settled),
        }
    }

    /// Takes in how a task has ended; false when the store would not do what it should.
    fn ended(&self, work: &mut Work, ended: Result<(Id, Worked), JoinError>) -> bool {
        match ended {
            Ok((id, Ok(ending))) => {
                let account = work.busy.remove(&id);
                if let Some(account) = account.filter(|_| ending == Ending::PutOff) {
                    work.waiting.insert(account, self.now().saturating_add(FIRST_PAUSE));
                }
                true
            }
            Ok((id, Err(error))) => {
                tracing::warn!(%error, "a queued message waits: its state could not be recorded");
                work.busy.remove(&id);
                false
            }
            Err(error) => {
                tracing::error!(%error, "sending a queued message has panicked; this is a bug");
                self.submission.delivery().metrics().count(Count::Panic);
                work.busy.remove(&error.id());
                true
            }
        }
    }
}
