//! Messages into and out of a user's mailboxes: `GET /api/v1/mailboxes`, `GET` and `POST
//! /api/v1/messages`, `GET /api/v1/message`.
//!
//! What comes in is a batch in one body: of each message a line of JSON and then its octets. A batch
//! is appended in one job, so that messages keep their order and share a sync.

mod batch;
mod known;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Query, State},
    routing::get,
};
use futures_util::stream;
use serde::{Deserialize, Serialize};

pub(crate) use self::known::Known;
use super::{
    now,
    refusal::{Answer, Refusal},
    users,
};
use crate::{
    events::{Door, Entry, Origin},
    flags::Flags,
    ids::Uid,
    mail::{Actor, Error, Mailbox, NewMail, Rights},
    server::House,
    store::{self, MarkNames, SpecialUse},
};

/// A mailbox of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxInfo {
    /// Its full name, `/` between levels.
    pub name: String,
    /// What its UIDs are valid under.
    pub uid_validity: u32,
    /// How many messages it holds.
    pub messages: u64,
}

/// A message of a mailbox, without its octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its UID.
    pub uid: u32,
    /// System flags and keywords by their IMAP names.
    pub flags: Vec<String>,
    /// When it arrived, in seconds since 1970.
    pub date: i64,
    /// Its octets, counted.
    pub size: u64,
}

/// What stands before a message's octets in a batch, on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its octets, counted.
    pub size: u64,
    /// System flags and keywords by their IMAP names.
    pub flags: Vec<String>,
    /// When it arrived, in seconds since 1970; None means now.
    pub date: Option<i64>,
}

/// What became of a message of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is in the mailbox under this UID.
    Added(u32),
    /// It was there already, with the same octets and date.
    Known,
    /// It cannot be stored.
    Refused(String),
}

#[derive(Debug, Deserialize)]
struct Of {
    address: String,
}

#[derive(Debug, Deserialize)]
struct From {
    address: String,
    mailbox: String,
    #[serde(default)]
    after: u32,
}

#[derive(Debug, Deserialize)]
struct Into {
    address: String,
    mailbox: String,
    run: u64,
}

#[derive(Debug, Deserialize)]
struct Which {
    address: String,
    mailbox: String,
    uid: u32,
}

/// How many messages one answer lists.
const LISTED: u32 = 1_000;

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new()
        .route("/mailboxes", get(mailboxes))
        .route("/messages", get(list).post(add))
        .route("/message", get(octets))
        .layer(DefaultBodyLimit::disable())
}

impl std::convert::From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Internal(cause) | Error::Damaged(cause) => cause.into(),
            Error::OverQuota => store::Error::OverQuota.into(),
            Error::DiskFull => store::Error::DiskFull.into(),
            Error::ReadOnly => store::Error::ReadOnly.into(),
            Error::NoMailbox => Self::missing(error),
            other => Self::bad(other),
        }
    }
}

/// The user, in whose name it is done.
async fn actor(house: &House, address: &str) -> Result<Actor, Refusal> {
    let key = users::key(address)?;
    let user = house.store.read(move |reader| reader.account(&key)).await?;
    let account = user.ok_or(store::Error::NotFound("user"))?.id;
    Ok(Actor { account, origin: Origin::new(Door::Control, now()) })
}

async fn mailboxes(
    State(house): State<Arc<House>>,
    Query(of): Query<Of>,
) -> Answer<Vec<MailboxInfo>> {
    let actor = actor(&house, &of.address).await?;
    let all = house.mail.own_mailboxes(&actor).await?;
    let info = |row: store::MailboxRow| MailboxInfo {
        name: row.name.to_string(),
        uid_validity: row.uid_validity.0,
        messages: row.status.messages,
    };
    Ok(Json(all.into_iter().filter(|row| row.selectable).map(info).collect()))
}

async fn list(State(house): State<Arc<House>>, Query(from): Query<From>) -> Answer<Vec<Message>> {
    let actor = actor(&house, &from.address).await?;
    let mailbox = house.mail.open(&actor, &from.mailbox, Rights::READ).await?;
    let Some(first) = from.after.checked_add(1).and_then(Uid::new) else {
        return Ok(Json(Vec::new()));
    };
    let listed = house.store.read(move |reader| {
        let keywords = reader.keywords(mailbox.id)?;
        let entries = reader.messages(mailbox.id, first, LISTED)?;
        Ok::<_, store::Error>(entries.iter().map(|entry| message(entry, &keywords)).collect())
    });
    Ok(Json(listed.await?))
}

fn message(entry: &Entry, keywords: &[(u8, Arc<str>)]) -> Message {
    let fixed = Flags::NAMES.iter().filter(|(flag, _)| entry.marks.flags.contains(*flag));
    let own = keywords.iter().filter(|(number, _)| entry.marks.keywords.contains(*number));
    let names = fixed.map(|(_, name)| *name).chain(own.map(|(_, name)| &**name));
    Message {
        uid: entry.uid.get(),
        flags: names.map(str::to_owned).collect(),
        date: entry.internal_date,
        size: entry.size,
    }
}

async fn octets(
    State(house): State<Arc<House>>,
    Query(which): Query<Which>,
) -> Result<Body, Refusal> {
    let actor = actor(&house, &which.address).await?;
    let mailbox = house.mail.open(&actor, &which.mailbox, Rights::READ).await?;
    let uid = Uid::new(which.uid).ok_or(store::Error::NotFound("message"))?;
    let entry = house.store.read(move |reader| reader.message(mailbox.id, uid)).await?;
    let entry = entry.ok_or(store::Error::NotFound("message"))?;
    let octets = house.mail.octets(entry.content, 0..entry.size);
    let steps = stream::unfold(octets, |mut octets| async move {
        octets.next().await.map(|step| (step, octets))
    });
    Ok(Body::from_stream(steps))
}

/// Appends a batch. Messages that the mailbox held when the run began are passed over, once each, so
/// that a run that broke off can be started again.
async fn add(
    State(house): State<Arc<House>>,
    Query(into): Query<Into>,
    body: Body,
) -> Answer<Vec<Outcome>> {
    // First all of it: who is refused while it still sends does not hear why.
    let arrived = batch::read(&house.mail, body).await?;
    let actor = actor(&house, &into.address).await?;
    let mailbox = open_or_make(&house, &actor, &into.mailbox).await?;
    let known = house.imports.known(&house.store, into.run, mailbox.id).await?;
    let mut outcomes = Vec::with_capacity(arrived.len());
    let mut new = Vec::new();
    for (head, prepared) in arrived {
        let outcome = match prepared {
            Err(error @ (Error::TooBig(_) | Error::Limit(_) | Error::Over(..))) => {
                Outcome::Refused(error.to_string())
            }
            Err(error) => return Err(error.into()),
            Ok(message) if known.take(message.content().hash, head.date) => Outcome::Known,
            Ok(message) => {
                new.push(NewMail {
                    message,
                    marks: marks(&head),
                    internal_date: head.date,
                    annotations: Vec::new(),
                });
                Outcome::Added(0)
            }
        };
        outcomes.push(outcome);
    }
    if !new.is_empty() {
        let appended = house.mail.append(&actor, &mailbox, new).await?;
        let added = outcomes.iter_mut().filter_map(|outcome| match outcome {
            Outcome::Added(uid) => Some(uid),
            _ => None,
        });
        for (number, uid) in added.zip(&appended.uids) {
            *number = uid.get();
        }
    }
    Ok(Json(outcomes))
}

async fn open_or_make(house: &House, actor: &Actor, name: &str) -> Result<Mailbox, Error> {
    match house.mail.open(actor, name, Rights::INSERT).await {
        Err(Error::NoMailbox | Error::NotSelectable) => {}
        opened => return opened,
    }
    let made = house.mail.create(actor, name, SpecialUse::default()).await?;
    tracing::debug!(mailbox = %made.into_inner(), "made for an import");
    house.mail.subscribe(actor, name, true).await?.into_inner();
    house.mail.open(actor, name, Rights::INSERT).await
}

/// Flags and keywords as far as IMAP can name them (RFC 9051 §9, `flag-keyword = atom`); `$Queued`
/// would send the message once more.
fn marks(head: &Head) -> MarkNames {
    let mut marks = MarkNames::default();
    let plain =
        |name: &&String| name.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b));
    let named = |name: &&String| Flags::named(name).is_some() || plain(name);
    for name in head.flags.iter().filter(|name| !name.is_empty()).filter(named) {
        marks.add(name);
    }
    marks.flags = marks.flags.without(Flags::QUEUED);
    marks
}
