//! Wakes when something is queued or becomes due, and puts workers to work.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Queue,
    plan::{Destination, HELD_MAX},
    report, worker,
};
use crate::{
    delivery::is_here,
    events::{Door, Interest, News, Origin},
    ids::QueueId,
    metrics::Count,
    store::{self, Due},
    wire::address::Address,
};

/// How many due recipients one look brings.
const PAGE: u32 = 1_000;
/// With fewer in hand than this a look starts from the beginning.
const FEW: usize = 1_000;
/// How much older a new row may look than the last look, for jobs that waited for the writer.
const MARGIN: i64 = 300;
/// The longest sleep: a wall clock that was set is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_mins(10);
/// The pause after the store would not answer, or a report could not be made.
const AFTER_FAULT: Duration = Duration::from_mins(1);
/// How long the messages in flight may take to land when the house closes.
const LANDING: Duration = Duration::from_secs(5);

type Place = (i64, QueueId, u32);
const BEGINNING: Place = (i64::MIN, QueueId(0), 0);

/// What has ended.
enum Ended {
    Worker,
    Reports { all: bool },
}

impl Queue {
    /// Sends what is due until the house closes or this room is `retired`; then lets what is in flight
    /// land, in a house that closes not for long.
    pub async fn run(self, stop: CancellationToken, retired: CancellationToken) {
        let mut news = self.0.store().bus().subscribe(Interest::Queue);
        let mut tasks = JoinSet::new();
        let mut looked: Place = BEGINNING;
        let mut reporting = false;
        let mut report_from = Instant::now();
        loop {
            let mut wake = Instant::now() + LONGEST_SLEEP;
            match self.0.look(&mut looked).await {
                Ok(next) => wake = wake.min(next),
                Err(store::Error::Closed) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue");
                    wake = Instant::now() + AFTER_FAULT;
                }
            }
            match self.0.store().check_writing() {
                Ok(()) => self.0.put_to_work(&mut tasks, &stop, &retired),
                Err(error) => {
                    tracing::warn!(%error, "nothing is sent now: it could not be recorded");
                    wake = Instant::now() + AFTER_FAULT;
                }
            }
            if !reporting && self.0.has_reports().await {
                if report_from <= Instant::now() {
                    reporting = true;
                    let inner = Arc::clone(&self.0);
                    tasks.spawn(async move { Ended::Reports { all: report::all(&inner).await } });
                } else {
                    wake = wake.min(report_from);
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = retired.cancelled() => break,
                heard = news.next() => if heard == News::Closed { break },
                Some(ended) = tasks.join_next() => match ended {
                    Ok(Ended::Reports { all }) => {
                        reporting = false;
                        if !all {
                            report_from = Instant::now() + AFTER_FAULT;
                        }
                    }
                    Ok(Ended::Worker) => {}
                    Err(error) => {
                        tracing::error!(%error, "a worker of the queue has panicked; this is a bug");
                        self.0.submission.delivery().metrics().count(Count::Panic);
                        reporting = false;
                    }
                },
                () = sleep_until(wake) => {}
            }
            while let Some(more) = news.try_next() {
                if more == News::Closed {
                    break;
                }
            }
        }
        let out_of_time = async {
            stop.cancelled().await;
            sleep(LANDING).await;
        };
        tokio::select! {
            () = async { while tasks.join_next().await.is_some() {} } => {}
            () = out_of_time => tracing::info!("some messages in flight will be sent again"),
        }
        self.0.plan.lock().unwrap_or_else(PoisonError::into_inner).put_back();
    }
}

impl Inner {
    /// Takes over who is due; gives the time when the next one will be.
    async fn look(&self, looked: &mut Place) -> Result<Instant, store::Error> {
        let now = self.now();
        let mut after = if self.held() < FEW { BEGINNING } else { *looked };
        loop {
            let hostname = self.submission.delivery().hostname().clone();
            let away = self.settings.relay.is_some().then_some(Destination::Relay);
            let job = move |r: &store::Reader<'_>| {
                let due = r.queue_due(now, after, PAGE)?;
                destinations(r, hostname.ascii(), away.as_ref(), due)
            };
            let due = self.store().read(job).await?;
            self.plan.lock().unwrap_or_else(PoisonError::into_inner).take(&due);
            let full = self.held() >= HELD_MAX;
            match due.last() {
                Some((last, _)) if !full && due.len() >= usize::try_from(PAGE).unwrap_or(0) => {
                    after = (last.at, last.queue, last.number);
                }
                _ => break,
            }
        }
        *looked = (now.saturating_sub(MARGIN), QueueId(0), 0);
        self.next_due(now).await
    }

    async fn next_due(&self, now: i64) -> Result<Instant, store::Error> {
        let longest = self.settings.schedule.longest_pause();
        let Some(next) = self.store().read(move |r| r.queue_next_due(now)).await? else {
            return Ok(Instant::now() + LONGEST_SLEEP);
        };
        let ahead = u64::try_from(next.saturating_sub(now)).unwrap_or(0);
        if ahead > longest.as_secs() {
            // The wall clock was set back: nobody waits longer than the longest pause.
            let latest = now.saturating_add(i64::try_from(longest.as_secs()).unwrap_or(i64::MAX));
            let origin = Origin::new(Door::House, now);
            let pulled = self.store().write(origin, move |tx| tx.pull_in_queued(latest)).await?;
            tracing::info!(recipients = *pulled, "the clock was set back");
            return Ok(Instant::now());
        }
        Ok(Instant::now() + Duration::from_secs(ahead).min(LONGEST_SLEEP))
    }

    fn held(&self) -> usize {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).held()
    }

    fn put_to_work(
        self: &Arc<Self>,
        tasks: &mut JoinSet<Ended>,
        stop: &CancellationToken,
        retired: &CancellationToken,
    ) {
        loop {
            let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
            let Some((to, job)) = plan.next_worker(self.connections()) else { return };
            drop(plan);
            let (stop, retired) = (stop.clone(), retired.clone());
            let may_go_on = move || !stop.is_cancelled() && !retired.is_cancelled();
            let work = worker::work(Arc::clone(self), to, job, may_go_on);
            tasks.spawn(async move {
                work.await;
                Ended::Worker
            });
        }
    }

    async fn has_reports(&self) -> bool {
        let reports = self.store().read(|r| r.queue_reports(QueueId(0), 1)).await;
        reports.is_ok_and(|reports| !reports.is_empty())
    }
}

/// Where each one goes: into this house, or `away`, where all else goes, or to its domain.
fn destinations(
    reader: &store::Reader<'_>,
    hostname: &str,
    away: Option<&Destination>,
    due: Vec<Due>,
) -> Result<Vec<(Due, Destination)>, store::Error> {
    let placed = |due: Due| {
        let to = destination(reader, hostname, away, &due.address)?;
        Ok((due, to))
    };
    due.into_iter().map(placed).collect()
}

fn destination(
    reader: &store::Reader<'_>,
    hostname: &str,
    away: Option<&Destination>,
    address: &str,
) -> Result<Destination, store::Error> {
    let address = Address::parse(address).ok();
    if let Some(address) = &address
        && is_here(reader, hostname, address)?
    {
        return Ok(Destination::Here);
    }
    let domain = || address.as_ref().map_or_else(String::new, |to| to.domain().ascii().to_owned());
    Ok(away.cloned().unwrap_or_else(|| Destination::Domain(domain())))
}
