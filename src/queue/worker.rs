//! One connection's worth of work: the jobs of a destination, one after another, each recorded
//! before the next one is begun.

use std::sync::{Arc, PoisonError};

use tokio::time::sleep;

use super::{
    Inner,
    answer::{Answer, Status},
    client::{Client, Mailing, Submitter},
    here,
    plan::{Destination, Job},
    record::{RECORD_AGAIN, Told, jitter},
    route::{self, Hop},
    source::Letter,
};
use crate::{
    ids::QueueId,
    store::{self, Queued, QueuedRecipient, RecipientState},
    wire::{address::Address, envelope::Recipient},
};

/// Recipients of one transaction (RFC 5321 §4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// Servers of a destination that are asked for a recipient in one attempt, when the first puts it off
/// (RFC 5321 §5.1).
const SERVERS_ASKED: usize = 2;

/// Works until there is nothing left to do for the destination, or it may not go on.
pub(super) async fn work(
    inner: Arc<Inner>,
    to: Destination,
    first: Job,
    may_go_on: impl Fn() -> bool,
) {
    let seat = Seat { inner: &inner, to: &to };
    let mut worker =
        Worker { inner: &inner, to: &to, client: None, sent: 0, hops: None, down: None };
    let mut next = Some(first);
    while let Some(job) = next {
        let held = Held { inner: &inner, job };
        // What could not be recorded would be sent again.
        if inner.store().check_writing().is_err() {
            break;
        }
        worker.serve(&held.job).await;
        drop(held);
        if !may_go_on() {
            break;
        }
        next = inner.plan.lock().unwrap_or_else(PoisonError::into_inner).next_job(&to);
    }
    worker.leave().await;
    drop(seat);
}

/// A worker's place among the connections; given back even by a panic.
struct Seat<'a> {
    inner: &'a Inner,
    to: &'a Destination,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.inner.plan.lock().unwrap_or_else(PoisonError::into_inner).worker_ended(self.to);
    }
}

/// A job in somebody's hands; let go even by a panic.
struct Held<'a> {
    inner: &'a Inner,
    job: Job,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.inner.plan.lock().unwrap_or_else(PoisonError::into_inner).settled(&self.job);
    }
}

struct Worker<'a> {
    inner: &'a Inner,
    to: &'a Destination,
    /// A connection that can serve again, and to whom.
    client: Option<(Client, Hop)>,
    /// Messages sent over this connection.
    sent: usize,
    hops: Option<Vec<Hop>>,
    /// Why the destination cannot be reached; holds for all jobs of this worker.
    down: Option<Answer>,
}

impl Worker<'_> {
    /// Sends a message to its recipients in this job, and records what became of it.
    async fn serve(&mut self, job: &Job) {
        let id = job.queue;
        let (message, submitter) = match self.inner.store().read(move |r| look_up(r, id)).await {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, queue = %id, "cannot read a queued message");
                sleep(RECORD_AGAIN).await;
                return;
            }
        };
        let due: Vec<_> = message
            .recipients
            .iter()
            .filter(|to| job.numbers.contains(&to.number) && to.state == RecipientState::Waiting)
            .collect();
        if due.is_empty() {
            return;
        }
        if *self.to == Destination::Here {
            return here::serve(self.inner, &message, &due).await;
        }
        let mail = self.inner.submission.delivery().mail();
        let line_max = self.inner.settings.text_line_max;
        let letter = Letter::open(mail, message.content, message.size, line_max).await;
        for due in due.chunks(RECIPIENTS) {
            let told = match &letter {
                Ok(letter) => {
                    let envelope = &message.envelope;
                    let submitter = submitter.as_ref().map_or(Submitter::Unknown, Submitter::Known);
                    self.deliver(&Mailing { envelope, letter, submitter }, due).await
                }
                Err(error) => {
                    let text = format!("cannot read the message: {error}");
                    let unread = || Told::own(Answer::own(Status(4, 3, 0), text.as_str()));
                    due.iter().map(|_| unread()).collect()
                }
            };
            self.inner.record(&message, due, &told).await;
        }
    }

    /// What became of each recipient, in order.
    async fn deliver(&mut self, mailing: &Mailing<'_>, due: &[&QueuedRecipient]) -> Vec<Told> {
        let to: Vec<&Recipient> = due.iter().map(|to| &to.recipient).collect();
        match self.ask_first(mailing, &to).await {
            Ok((mut told, hop)) => {
                self.ask_others(mailing, &to, &mut told, &hop).await;
                told
            }
            Err(answer) => to.iter().map(|_| Told::own(answer.clone())).collect(),
        }
    }

    /// Asks the server that is connected already, or the first that can be used.
    async fn ask_first(
        &mut self,
        mailing: &Mailing<'_>,
        to: &[&Recipient],
    ) -> Result<(Vec<Told>, Hop), Answer> {
        if let Some((client, hop)) = self.client.take()
            && let Ok(told) = self.send_over(client, &hop, mailing, to).await
        {
            return Ok((told, hop));
        }
        if let Some(answer) = self.down.clone() {
            return Err(answer);
        }
        let asked = self.send_anew(mailing, to).await;
        asked.map_err(|answer| self.down.insert(answer).clone())
    }

    /// Asks other servers for those recipients that the first one put off before any data. What they
    /// say counts; when none can be used, what the first one said.
    async fn ask_others(
        &mut self,
        mailing: &Mailing<'_>,
        to: &[&Recipient],
        told: &mut [Told],
        first: &Hop,
    ) {
        let mut asked = 1;
        let hops = self.hops.clone().unwrap_or_default();
        for hop in hops.into_iter().filter(|hop| hop.address != first.address) {
            let open: Vec<_> = (0..told.len())
                .filter(|at| told.get(*at).is_some_and(|told| told.answer.ask_another))
                .collect();
            if open.is_empty() || asked >= SERVERS_ASKED {
                return;
            }
            // There are no more connections to a destination than it has workers.
            self.leave().await;
            let Ok(mut client) = Client::connect(&self.inner.ways, &hop.name, hop.address).await
            else {
                continue;
            };
            if self.comes_back(&client).is_none() {
                let some: Vec<_> = open.iter().filter_map(|at| to.get(*at).copied()).collect();
                if let Ok(answers) = client.send(mailing, &some).await {
                    asked += 1;
                    let hop_reports = client.reports();
                    for (at, answer) in open.into_iter().zip(answers) {
                        if let Some(slot) = told.get_mut(at) {
                            *slot = Told::by_hop(answer, hop_reports);
                        }
                    }
                }
            }
            client.quit().await;
        }
    }

    /// Tries the servers of the destination in their order, until one can be used.
    async fn send_anew(
        &mut self,
        mailing: &Mailing<'_>,
        to: &[&Recipient],
    ) -> Result<(Vec<Told>, Hop), Answer> {
        let hops = match &self.hops {
            Some(hops) => hops.clone(),
            None => self.hops.insert(self.inner.hops(self.to).await?).clone(),
        };
        let mut fault = Answer::own(Status(4, 4, 1), "no server to try");
        for hop in hops {
            let client = match Client::connect(&self.inner.ways, &hop.name, hop.address).await {
                Ok(client) => client,
                Err(answer) => {
                    fault = answer;
                    continue;
                }
            };
            if let Some(answer) = self.comes_back(&client) {
                client.quit().await;
                return Err(answer);
            }
            match self.send_over(client, &hop, mailing, to).await {
                Ok(told) => return Ok((told, hop)),
                Err(answer) => fault = answer,
            }
        }
        Err(fault)
    }

    /// A server that calls itself by our name is ourselves.
    fn comes_back(&self, client: &Client) -> Option<Answer> {
        let Destination::Domain(domain) = self.to else { return None };
        let ours = client.greeted_as().eq_ignore_ascii_case(&self.inner.settings.hostname);
        ours.then(|| route::looping(domain))
    }

    /// Sends over a connection, which is kept when it can serve again.
    async fn send_over(
        &mut self,
        mut client: Client,
        hop: &Hop,
        mailing: &Mailing<'_>,
        to: &[&Recipient],
    ) -> Result<Vec<Told>, Answer> {
        let outcome = client.send(mailing, to).await;
        let hop_reports = client.reports();
        self.sent = self.sent.saturating_add(1);
        if client.is_usable() && self.sent < self.inner.settings.messages_per_connection {
            self.client = Some((client, hop.clone()));
        } else {
            self.sent = 0;
            client.quit().await;
        }
        let told = |answer| Told::by_hop(answer, hop_reports);
        outcome.map(|answers| answers.into_iter().map(told).collect())
    }

    async fn leave(&mut self) {
        if let Some((client, _)) = self.client.take() {
            self.sent = 0;
            client.quit().await;
        }
    }
}

/// A message in the queue, and the address of the user who submitted it.
fn look_up(
    r: &store::Reader<'_>,
    id: QueueId,
) -> Result<Option<(Queued, Option<Address>)>, store::Error> {
    let Some(message) = r.queued(id)? else { return Ok(None) };
    let account = message.account.map(|id| r.account_by_id(id)).transpose()?.flatten();
    let submitter = account.and_then(|account| Address::parse(&account.address).ok());
    Ok(Some((message, submitter)))
}

impl Inner {
    /// The servers of a destination, best first.
    async fn hops(&self, to: &Destination) -> Result<Vec<Hop>, Answer> {
        match (&self.settings.relay, to) {
            (Some(relay), Destination::Relay | Destination::Domain(_)) => {
                let hops = route::by_names(&self.names, vec![relay.host.clone()], relay.port);
                // A smarthost without an address is the owner's to mend, so mail waits.
                hops.await.map_err(Answer::temporary)
            }
            (None, Destination::Domain(domain)) => {
                let own = (self.settings.hostname.as_str(), self.settings.port);
                let shuffle = || u32::from(jitter());
                route::by_mx(&self.names, domain, own, shuffle).await
            }
            (None, Destination::Relay) => {
                Err(Answer::own(Status(4, 3, 5), "the smarthost is configured no more"))
            }
            (_, Destination::Here) => {
                Err(Answer::own(Status(4, 3, 5), "mail for this house needs no server"))
            }
        }
    }
}
