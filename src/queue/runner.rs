//! Sends what is due: woken by events and by the next due time, it gives each destination its
//! workers, and records what became of every recipient before anything else is done.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Schedule,
    answer::{Answer, Status},
    client::{Client, Mailing, Ways},
    fate::{self, Circumstances},
    plan::{Connections, Destination, HELD_MAX, Job, Plan},
    report,
    route::{self, Hop},
    source::Letter,
};
use crate::{
    events::{Door, Interest, News, Origin},
    ids::QueueId,
    mail::Mail,
    net::dns::Resolver,
    store::{Attempt, Due, Error, Fate, NewTrace, Queued, QueuedRecipient, RecipientState},
    submission::Submission,
    wire::envelope::Recipient,
};

/// Recipients read from the store at once.
const PAGE: u32 = 1_000;
/// The longest sleep: the wall clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_mins(5);
/// The pause before the store is asked again that could not answer.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// What the queue needs to know of the house.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The smarthost's name and port; None: mail goes by MX records.
    pub relay: Option<(String, u16)>,
    /// When to try again and when to give up.
    pub schedule: Schedule,
    /// Connections to one destination.
    pub per_destination: usize,
    /// Connections in all.
    pub connections: usize,
    /// Messages sent over one connection.
    pub messages_per_connection: usize,
}

/// The room of mail on its way out.
pub struct Queue {
    pub(super) mail: Mail,
    pub(super) submission: Submission,
    pub(super) ways: Ways,
    names: Resolver,
    pub(super) settings: Settings,
    plan: Mutex<Plan>,
}

impl Queue {
    /// Makes the room; nothing is sent before [`Self::run`].
    pub fn new(submission: Submission, ways: Ways, names: Resolver, settings: Settings) -> Self {
        let mail = submission.delivery().mail().clone();
        Self { mail, submission, ways, names, settings, plan: Mutex::default() }
    }

    /// Sends until `stop`. Conversations under way are then cut short; what a server has taken is
    /// recorded all the same.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut news = self.mail.store().bus().subscribe(Interest::Queue);
        let mut workers = JoinSet::new();
        loop {
            let pause = match self.look(&mut workers, &stop).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    AFTER_FAULT
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                heard = news.next() => if heard == News::Closed { break },
                Some(_) = workers.join_next() => {}
                () = sleep(pause) => {}
            }
        }
        while workers.join_next().await.is_some() {}
    }

    /// Reports what is to be reported, takes over what is due, starts workers; says how long there
    /// is nothing to do.
    async fn look(
        self: &Arc<Self>,
        workers: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Duration, Error> {
        self.pull_in().await?;
        report::all(self).await?;
        self.take_due().await?;
        let connections = Connections {
            per_destination: self.settings.per_destination,
            in_all: self.settings.connections,
        };
        while let Some((to, job)) = self.plan().next_worker(connections) {
            workers.spawn(Arc::clone(self).work(to, job, stop.clone()));
        }
        let now = now();
        let next = self.mail.store().read(move |r| r.queue_next_due(now)).await?;
        let wait = next.map_or(LONGEST_SLEEP, |at| seconds(at.saturating_sub(now)));
        Ok(wait.clamp(Duration::from_millis(50), LONGEST_SLEEP))
    }

    /// A clock that was set back must not make mail wait longer than the longest pause.
    async fn pull_in(&self) -> Result<(), Error> {
        let now = now();
        let longest = i64::try_from(self.settings.schedule.longest_pause().as_secs());
        let latest = now.saturating_add(longest.unwrap_or(i64::MAX));
        let beyond = self.mail.store().read(move |r| r.queue_next_due(latest)).await?;
        if beyond.is_some() {
            let job = move |tx: &mut crate::store::Tx<'_>| tx.pull_in_queued(latest);
            self.mail.store().write(origin(), job).await?.into_inner();
        }
        Ok(())
    }

    async fn take_due(&self) -> Result<(), Error> {
        let now = now();
        let mut after = (0, QueueId(0), 0);
        loop {
            let page = self.mail.store().read(move |r| r.queue_due(now, after, PAGE)).await?;
            let mut plan = self.plan();
            plan.take(&page, self.settings.relay.is_some());
            let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
            match page.last() {
                Some(Due { at, queue, number, .. }) if full && plan.held() < HELD_MAX => {
                    after = (*at, *queue, *number);
                }
                _ => return Ok(()),
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one destination's jobs, over one connection as long as it serves.
    async fn work(self: Arc<Self>, to: Destination, first: Job, stop: CancellationToken) {
        let mut line = Line::default();
        let mut next = Some(first);
        while let Some(job) = next {
            let done = tokio::select! {
                done = self.attempt(&to, &job, &mut line) => done,
                // What a server has not confirmed is tried again after the next start.
                () = stop.cancelled() => break,
            };
            if let Err(error) = done {
                tracing::error!(%error, queue = %job.queue, "a queued message cannot be sent now");
                sleep(AFTER_FAULT).await;
            }
            let mut plan = self.plan();
            plan.settled(&job);
            next = plan.next_job(&to);
        }
        self.plan().worker_ended(&to);
        if let Some(client) = line.client {
            client.quit().await;
        }
    }

    /// Tries to send a message to some of its recipients, and records what came of it.
    async fn attempt(&self, to: &Destination, job: &Job, line: &mut Line) -> Result<(), Error> {
        let id = job.queue;
        let Some(message) = self.mail.store().read(move |r| r.queued(id)).await? else {
            return Ok(());
        };
        let due = |to: &&QueuedRecipient| {
            job.numbers.contains(&to.number) && to.state == RecipientState::Waiting
        };
        let recipients: Vec<&QueuedRecipient> = message.recipients.iter().filter(due).collect();
        if recipients.is_empty() {
            return Ok(());
        }
        let answers = self.send(to, &message, &recipients, line).await;
        let hop_reports = line.client.as_ref().is_some_and(Client::reports);
        let around = Circumstances {
            schedule: &self.settings.schedule,
            hop_reports,
            now: now(),
            jitter: jitter(),
        };
        let attempts: Vec<Attempt> = recipients
            .iter()
            .zip(&answers)
            .map(|(to, answer)| fate::attempt(&message, to, answer, around))
            .collect();
        let told: Vec<String> = recipients
            .iter()
            .zip(&answers)
            .map(|(to, answer)| format!("{}: {}", to.recipient.address, answer.line()))
            .collect();
        for told in &told {
            tracing::info!(queue = %id, trace = message.trace, "{told}");
        }
        self.settle(&message, attempts, told).await;
        Ok(())
    }

    /// Records an attempt; what a server has taken must be on the disk before anything else, so this
    /// goes on until the store takes it.
    async fn settle(&self, message: &Queued, attempts: Vec<Attempt>, told: Vec<String>) {
        let (id, account, trace) = (message.id, message.account, message.trace.clone());
        let (attempts, told) = (Arc::new(attempts), Arc::new(told));
        loop {
            let (attempts, told, trace) = (Arc::clone(&attempts), Arc::clone(&told), trace.clone());
            let job = move |tx: &mut crate::store::Tx<'_>| {
                tx.settle_queued(id, &attempts)?;
                for (attempt, detail) in attempts.iter().zip(told.iter()) {
                    let step = step(&attempt.fate);
                    tx.trace(&NewTrace { trace: &trace, account, place: None, step, detail })?;
                }
                Ok::<_, Error>(())
            };
            match self.mail.store().write(origin(), job).await {
                Ok(_) | Err(Error::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, queue = %id, "an attempt cannot be recorded");
                    sleep(AFTER_FAULT).await;
                }
            }
        }
    }

    /// One answer for each recipient, whatever happens.
    async fn send(
        &self,
        to: &Destination,
        message: &Queued,
        recipients: &[&QueuedRecipient],
        line: &mut Line,
    ) -> Vec<Answer> {
        let all = |answer: Answer| vec![answer; recipients.len()];
        let letter = match Letter::open(&self.mail, message.content, message.size).await {
            Ok(letter) => letter,
            Err(error) => return all(Answer::own(Status(4, 3, 0), error.to_string())),
        };
        let mailing = Mailing { mail: &self.mail, envelope: &message.envelope, letter: &letter };
        let asked: Vec<&Recipient> = recipients.iter().map(|to| &to.recipient).collect();
        if let Some(client) = line.reusable(self.settings.messages_per_connection) {
            match client.send(&mailing, &asked).await {
                Ok(answers) => return line.sent(answers),
                // It may have hung up since the last message; a new connection tells.
                Err(_) => line.client = None,
            }
        } else if let Some(client) = line.client.take() {
            client.quit().await;
        }
        let hops = match self.hops(to).await {
            Ok(hops) => hops,
            Err(answer) => return all(answer),
        };
        let mut last = Answer::own(Status(4, 4, 1), "no mail server could be reached");
        for Hop { name, address } in hops {
            line.count = 0;
            match Client::connect(&self.ways, &name, address).await {
                Ok(mut client) => match client.send(&mailing, &asked).await {
                    Ok(answers) => {
                        line.client = Some(client);
                        return line.sent(answers);
                    }
                    Err(answer) => last = answer,
                },
                Err(answer) => last = answer,
            }
        }
        all(last)
    }

    async fn hops(&self, to: &Destination) -> Result<Vec<Hop>, Answer> {
        match (to, &self.settings.relay) {
            (Destination::Relay, Some((host, port))) => {
                route::by_names(&self.names, vec![host.clone()], *port).await
            }
            (Destination::Domain(domain), _) => {
                route::by_mx(&self.names, domain, &self.ways.hostname, random).await
            }
            (Destination::Relay, None) => Err(Answer::own(Status(4, 3, 5), "no smarthost is set")),
        }
    }
}

/// A worker's connection and how many messages went over it.
#[derive(Default)]
struct Line {
    client: Option<Client>,
    count: usize,
}

impl Line {
    /// The connection, if it may be used once more.
    fn reusable(&mut self, most: usize) -> Option<&mut Client> {
        let count = self.count;
        self.client.as_mut().filter(|client| count < most && client.is_usable())
    }

    fn sent(&mut self, answers: Vec<Answer>) -> Vec<Answer> {
        self.count = self.count.saturating_add(1);
        answers
    }
}

/// The word for a trace.
fn step(fate: &Fate) -> &'static str {
    match fate {
        Fate::StruckOff | Fate::Report(RecipientState::Relayed | RecipientState::Delivered) => {
            "sent"
        }
        Fate::Report(_) => "failed",
        Fate::Deferred { .. } => "deferred",
    }
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

pub(super) fn origin() -> Origin {
    Origin::new(Door::House, now())
}

fn seconds(number: i64) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

fn random() -> u32 {
    let mut octets = [0; 4];
    // Without random numbers equals are tried in their order.
    let _ = aws_lc_rs::rand::fill(&mut octets);
    u32::from_le_bytes(octets)
}

fn jitter() -> u8 {
    let [first, ..] = random().to_le_bytes();
    first
}
