//! Mail on its way out: `GET`, `POST` (try again) and `DELETE /api/v1/queue`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{now, refusal::Answer};
use crate::{
    events::{Door, Origin},
    ids::QueueId,
    server::House,
    store::{self, RecipientState},
};

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Its number.
    pub id: i64,
    /// The id that follows it through the log.
    pub trace: String,
    /// Its envelope sender; empty for `<>`.
    pub sender: String,
    /// Its octets, counted.
    pub size: u64,
    /// When it was queued, in seconds since 1970.
    pub created: i64,
    /// Who has not got it yet.
    pub recipients: Vec<Recipient>,
}

/// A recipient of a message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// Where it stands.
    pub state: Standing,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in seconds since 1970.
    pub next_attempt: i64,
    /// What was answered last.
    pub reply: String,
    /// Who answered; empty when nobody was reached.
    pub remote: String,
}

/// Where a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// To be tried.
    Waiting,
    /// Its fate is known, and the sender is about to be told.
    Reporting,
}

/// Which message; all of them when none is named.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Which {
    /// Its number.
    pub id: Option<i64>,
}

/// How many recipients are tried now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Retried {
    /// Their number.
    pub recipients: usize,
}

#[derive(Debug, Deserialize)]
struct Page {
    id: Option<i64>,
    #[serde(default)]
    after: i64,
}

#[derive(Debug, Deserialize)]
struct One {
    id: i64,
}

/// How many messages one answer lists.
const LISTED: u32 = 500;

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/queue", get(list).post(retry).delete(remove))
}

impl From<store::Queued> for Queued {
    fn from(queued: store::Queued) -> Self {
        let recipient = |one: store::QueuedRecipient| Recipient {
            address: one.recipient.address.to_string(),
            state: match one.state {
                RecipientState::Waiting => Standing::Waiting,
                _ => Standing::Reporting,
            },
            attempts: one.attempts,
            next_attempt: one.next_attempt,
            reply: one.reply,
            remote: one.remote,
        };
        let sender = queued.envelope.reverse_path.address().map(ToString::to_string);
        Self {
            id: queued.id.0,
            trace: queued.trace,
            sender: sender.unwrap_or_default(),
            size: queued.size,
            created: queued.created,
            recipients: queued.recipients.into_iter().map(recipient).collect(),
        }
    }
}

async fn list(State(house): State<Arc<House>>, Query(page): Query<Page>) -> Answer<Vec<Queued>> {
    let found = house.store.read(move |reader| match page.id {
        Some(id) => match reader.queued(QueueId(id))? {
            Some(queued) => Ok(vec![queued]),
            None => Err(store::Error::NotFound("message in the queue")),
        },
        None => reader.queue(None, QueueId(page.after), LISTED),
    });
    Ok(Json(found.await?.into_iter().map(Queued::from).collect()))
}

async fn retry(State(house): State<Arc<House>>, Json(which): Json<Which>) -> Answer<Retried> {
    let origin = Origin::new(Door::Control, now());
    let retried = house.store.write(origin, move |tx| {
        let id = which.id.map(QueueId);
        if let Some(id) = id
            && tx.queued(id)?.is_none()
        {
            return Err(store::Error::NotFound("message in the queue"));
        }
        tx.retry_queued(id)
    });
    Ok(Json(Retried { recipients: retried.await?.into_inner() }))
}

async fn remove(State(house): State<Arc<House>>, Query(one): Query<One>) -> Answer<()> {
    let origin = Origin::new(Door::Control, now());
    house.store.write(origin, move |tx| tx.remove_queued(QueueId(one.id))).await?.into_inner();
    Ok(Json(()))
}
