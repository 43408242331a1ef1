//! What the rows of the queue say.

use rusqlite::Row;

use crate::{
    ids::{AccountId, ContentId, QueueId},
    store::{
        error::{Error, Result},
        sql::unsigned,
    },
    wire::{
        address::{Address, ReversePath},
        envelope::{Body, EnvId, Envelope, Notify, Orcpt, Recipient, Ret},
    },
};

/// Where a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be tried.
    Waiting,
    /// It has its mail here, and the sender is to be told so.
    Delivered,
    /// A server that does not report took its mail, and the sender is to be told so.
    Relayed,
    /// Given up, and the sender is to be told so.
    Failed,
}

impl RecipientState {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Waiting => 0,
            Self::Delivered => 1,
            Self::Relayed => 2,
            Self::Failed => 3,
        }
    }

    fn from_number(number: i64) -> Result<Self> {
        [Self::Waiting, Self::Delivered, Self::Relayed, Self::Failed]
            .into_iter()
            .find(|state| state.number() == number)
            .ok_or_else(|| Error::Corrupt(format!("state {number} of a queued recipient")))
    }
}

/// How far the word on a delay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayReport {
    /// There is none to give yet.
    None,
    /// The sender is to be told.
    Due,
    /// The sender was told.
    Told,
}

impl DelayReport {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::Due => 1,
            Self::Told => 2,
        }
    }

    const fn from_number(number: i64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Due,
            _ => Self::Told,
        }
    }
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Its number.
    pub id: QueueId,
    /// Who wrote it, when a user did.
    pub account: Option<AccountId>,
    /// Sender and parameters; its recipients stand in [`Queued::recipients`].
    pub envelope: Envelope,
    /// Its stored octets.
    pub content: ContentId,
    /// Their number.
    pub size: u64,
    /// The id that follows the message through the house.
    pub trace: String,
    /// When it was queued, in seconds since 1970.
    pub created: i64,
    /// Who has not got it yet, or whose fate is not reported yet.
    pub recipients: Vec<QueuedRecipient>,
}

/// A recipient of a message in the queue.
#[derive(Clone, Debug)]
pub struct QueuedRecipient {
    /// Its place among the message's recipients, from 0.
    pub number: u32,
    /// Its address and what its sender asked for.
    pub recipient: Recipient,
    /// Where it stands.
    pub state: RecipientState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, in seconds since 1970.
    pub next_attempt: i64,
    /// When it was tried last.
    pub last_attempt: Option<i64>,
    /// How far the word on its delay is.
    pub delay: DelayReport,
    /// What was answered last: an enhanced status code and text, one line.
    pub reply: String,
    /// Who answered; empty when nobody was reached.
    pub remote: String,
}

pub(super) const QUEUED: &str = "queue.id, account, sender, content, ret, envid, body, utf8, trace,
    queue.created, content.size FROM queue JOIN content ON content.id = queue.content";

pub(super) fn queued(row: &Row<'_>) -> rusqlite::Result<Result<Queued>> {
    let sender: String = row.get(2)?;
    let ret: Option<String> = row.get(4)?;
    let envid: Option<String> = row.get(5)?;
    let body: i64 = row.get(6)?;
    let utf8 = row.get(7)?;
    let envelope = || {
        Some(Envelope {
            reverse_path: ReversePath::parse(&sender).ok()?,
            recipients: Vec::new(),
            ret: ret.as_deref().map(Ret::parse).transpose().ok()?,
            envid: envid.as_deref().map(EnvId::from_value).transpose().ok()?,
            body: body_from_number(body),
            utf8,
        })
    };
    let Some(envelope) = envelope() else {
        return Ok(Err(Error::Corrupt("an envelope in the queue".into())));
    };
    Ok(Ok(Queued {
        id: row.get(0)?,
        account: row.get(1)?,
        envelope,
        content: row.get(3)?,
        size: unsigned(row.get(10)?),
        trace: row.get(8)?,
        created: row.get(9)?,
        recipients: Vec::new(),
    }))
}

pub(super) const fn body_number(body: Body) -> i64 {
    match body {
        Body::SevenBit => 0,
        Body::EightBit => 1,
        Body::Binary => 2,
    }
}

const fn body_from_number(number: i64) -> Body {
    match number {
        0 => Body::SevenBit,
        1 => Body::EightBit,
        _ => Body::Binary,
    }
}

pub(super) fn recipient(row: &Row<'_>) -> rusqlite::Result<Result<QueuedRecipient>> {
    let address: String = row.get(1)?;
    let notify: Option<String> = row.get(2)?;
    let orcpt: Option<String> = row.get(3)?;
    let state: i64 = row.get(4)?;
    let read = || {
        Some(Recipient {
            address: Address::parse(&address).ok()?,
            notify: notify.as_deref().map(Notify::parse).transpose().ok()?,
            orcpt: orcpt.as_deref().map(Orcpt::parse).transpose().ok()?,
        })
    };
    let Some(recipient) = read() else {
        return Ok(Err(Error::Corrupt("a recipient in the queue".into())));
    };
    let state = match RecipientState::from_number(state) {
        Ok(state) => state,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(QueuedRecipient {
        number: row.get(0)?,
        recipient,
        state,
        attempts: row.get(5)?,
        next_attempt: row.get(6)?,
        last_attempt: row.get(10)?,
        delay: DelayReport::from_number(row.get(7)?),
        reply: row.get(8)?,
        remote: row.get(9)?,
    }))
}
