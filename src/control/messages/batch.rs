//! Reads a batch: of each message a line of JSON and then its octets, which go to a spool as they
//! come.

use axum::body::Body;
use http_body_util::BodyExt as _;

use super::Head;
use crate::{
    control::Refusal,
    mail::{Error, Mail, Prepared, Spool},
};

/// The longest line of JSON.
const LINE_MAX: usize = 65_536;

/// Messages of one batch.
const MESSAGES_MAX: usize = 1_000;

/// A message that has come, or why it cannot be stored.
pub(super) type Arrived = (Head, Result<Prepared, Error>);

/// What is read next.
enum Next {
    Line(Vec<u8>),
    Octets { head: Head, left: u64, spool: Result<Spool, Error> },
}

/// Reads a whole batch.
pub(super) async fn read(mail: &Mail, mut body: Body) -> Result<Vec<Arrived>, Refusal> {
    let mut arrived = Vec::new();
    let mut next = Next::Line(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::bad(format!("the batch broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let mut rest: &[u8] = &data;
        while !rest.is_empty() {
            if arrived.len() >= MESSAGES_MAX {
                return Err(Refusal::bad("too many messages in one batch"));
            }
            (next, rest) = take(mail, next, rest)?;
            next = finish(mail, next, &mut arrived).await;
        }
    }
    match next {
        Next::Line(line) if line.is_empty() => Ok(arrived),
        _ => Err(Refusal::bad("the batch ends in the middle of a message")),
    }
}

/// Takes as many octets as belong to what is read now.
fn take<'d>(mail: &Mail, next: Next, data: &'d [u8]) -> Result<(Next, &'d [u8]), Refusal> {
    match next {
        Next::Line(mut line) => {
            let end = data.iter().position(|octet| *octet == b'\n');
            let (more, rest) = data.split_at(end.map_or(data.len(), |end| end + 1));
            line.extend_from_slice(more);
            if line.len() > LINE_MAX {
                return Err(Refusal::bad("a message's line is too long"));
            }
            if end.is_none() {
                return Ok((Next::Line(line), rest));
            }
            let head: Head = serde_json::from_slice(&line).map_err(Refusal::bad)?;
            let (left, spool) = (head.size, Ok(mail.spool()));
            Ok((Next::Octets { head, left, spool }, rest))
        }
        Next::Octets { head, left, spool } => {
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            let (more, rest) = data.split_at(len);
            let spool = spool.and_then(|mut spool| spool.write(more).map(|()| spool));
            let left = left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
            Ok((Next::Octets { head, left, spool }, rest))
        }
    }
}

/// Makes a message ready when it is whole.
async fn finish(mail: &Mail, next: Next, arrived: &mut Vec<Arrived>) -> Next {
    match next {
        Next::Octets { head, left: 0, spool } => {
            let prepared = match spool {
                Ok(spool) => mail.prepare(spool, |header| header).await,
                Err(error) => Err(error),
            };
            arrived.push((head, prepared));
            Next::Line(Vec::new())
        }
        next => next,
    }
}
