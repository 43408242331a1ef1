//! SUBMIT (draft-royer-lemonade-submit-01): a message is sent to whom its header names, over the very
//! connection on which mail is read. What it names of the store is put in first.
//!
//! All get it or nobody does. The words of a refusal are the draft's: what is wrong in general, a comma,
//! then the recipients that are refused, with commas between.

use jiff::Timestamp;

use super::{Command, Parsed, Running};
use crate::{
    delivery::Share,
    ids::trace_id,
    imap::{
        error::Error,
        incoming::{Tail, nothing_more},
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{self, Spool, skeleton::SkeletonError},
    net::Literal,
    submission::{self, Author, Outgoing, addressed},
    wire::{Cursor, Syntax, envelope::Envelope},
};

struct Submit {
    literal: Literal,
}

/// `"SUBMIT" SP (literal / literal8)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let begins = matches!(args.rest(), [b'{', ..] | [b'~', b'{', ..]);
    let literal = Literal::announced_by(args.rest()).filter(|_| begins);
    let literal = literal.ok_or(Syntax::Expected("a literal with the message"))?;
    Ok(Box::new(Submit { literal }))
}

/// Every literal of it is the message.
pub fn is_data(_: &[u8]) -> bool {
    true
}

impl Command for Submit {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let literal = self.literal;
            if literal.size > session.door.limits.message {
                session.swallow(literal).await?;
                return Err(Error::no(Code::TooBig, "the message is too large,"));
            }
            let spool = match session.message(literal, out).await {
                Ok(spool) => spool,
                Err(error @ (Error::Bye(..) | Error::Connection(_) | Error::Bad(_))) => {
                    if matches!(error, Error::Bad(_)) {
                        session.swallow_rest().await?;
                    }
                    return Err(error);
                }
                Err(error) => {
                    session.swallow_rest().await?;
                    return Err(in_general(&error.to_string()));
                }
            };
            nothing_more(session, Tail::Unread { utf8: false }, out).await?;
            submit(session, spool).await?;
            Ok(Done::ok("SUBMIT completed"))
        })
    }
}

/// Puts in what the message names, reads its envelope, and hands it over.
async fn submit(session: &mut Session, spool: Spool) -> Result<(), Error> {
    let actor = session.actor()?;
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let expanded = session.door.urls.expand(&actor, open.as_ref(), spool).await;
    let message = expanded.map_err(|error| match error {
        SkeletonError::Part(_) => in_general(&error.to_string()),
        SkeletonError::Mail(error) => unsent(&error),
    })?;
    let header = message.header().map_err(|error| unsent(&error))?;
    let found = addressed(&header).map_err(|error| in_general(&error.to_string()))?;
    let most = session.door.limits.recipients;
    if found.recipients.len() > most {
        return Err(in_general("too many recipients"));
    }
    let envelope = Envelope::from(found);
    let room = &session.door.submission;
    let trace = trace_id(Timestamp::now());
    let received = room.received("IMAP", &trace, actor.origin.at);
    let arrival = format!("by SUBMIT, <{}>, {} octets", envelope.reverse_path, message.len());
    tracing::info!(session = %session.id, trace, size = message.len(), "imap submit");
    let outgoing = Outgoing { trace, envelope, received, arrival, message };
    let author = Author::User(actor.account);
    let sent = room.submit(author, actor.origin, Share::All, outgoing).await;
    sent.map(|_committed| ()).map_err(|error| refused(&error))
}

/// What is wrong, without a recipient: a comma ends it, and none stands in it.
fn in_general(text: &str) -> Error {
    Error::plain(format!("{},", text.replace(',', ";")))
}

fn refused(error: &submission::Error) -> Error {
    use submission::Error as Submission;
    match error {
        Submission::Refused(refused) => {
            let (mut text, mut list) = (String::new(), Vec::new());
            for (recipient, refusal) in refused {
                let address = recipient.address.with_ascii_domain().to_string();
                if address.contains(',') {
                    text = format!("{}: {refusal}", address.replace(',', ";"));
                } else {
                    list.push(address);
                }
            }
            Error::plain(format!("{},{}", text.replace(',', ";"), list.join(",")))
        }
        Submission::Mail(error) => unsent(error),
        other => in_general(&other.to_string()),
    }
}

/// The message itself could not be taken; the cause of our own failures goes to the log.
fn unsent(error: &mail::Error) -> Error {
    if matches!(error, mail::Error::Internal(_) | mail::Error::Damaged(_)) {
        tracing::error!(%error, cause = ?error, "a message could not be submitted");
    }
    in_general(&error.to_string())
}
