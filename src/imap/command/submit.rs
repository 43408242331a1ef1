//! SUBMIT: a message is sent over the very connection on which mail is read. What it names of the store
//! is put in first.
//!
//! In its plain form (draft-royer-lemonade-submit-01) it goes to whom its header names, and all get it or
//! nobody does. The words of a refusal are the draft's: what is wrong in general, a comma, then the
//! recipients that are refused, with commas between. With a list (draft-ietf-lemonade-submit-01 §4.1.4)
//! the client wishes for more, and is told what SMTP would have answered; see [`wished`].

mod wished;
mod wishes;

use jiff::Timestamp;

use self::wishes::wishes;
use super::{Command, Parsed, Running};
use crate::{
    delivery::Share,
    ids::trace_id,
    imap::{
        error::Error,
        incoming::{self, Data, bad_url, behind, catenate, nothing_more, waiting},
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{self, Draft, Spool, skeleton::SkeletonError, urls::LinkError},
    submission::{self, Author, Outgoing, Wishes, addressed},
    wire::{Cursor, Names, envelope::Envelope},
};

struct Submit {
    /// None: the plain form.
    wishes: Option<Wishes>,
    message: Message,
}

/// Where the message is.
enum Message {
    /// It comes now.
    Sent(Data),
    /// It lies where this URL says.
    Named(String),
}

/// `"SUBMIT" SP ["(" item *(SP item) ")" SP] (literal / literal8 / "URL" SP astring / "CATENATE" SP "("
/// cat-part *(SP cat-part) ")")`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mut read = None;
    if args.at_list() {
        read = Some(wishes(args)?);
        args.space()?;
    }
    let message = if args.take_word("URL") {
        args.space()?;
        let url = args.astring_text()?.into_owned();
        args.end()?;
        Message::Named(url)
    } else if args.take_word("CATENATE") {
        Message::Sent(Data::Parts(catenate(args)?))
    } else {
        let literal = waiting(args, "a literal with the message")?;
        Message::Sent(Data::Literal { literal, utf8: false })
    };
    Ok(Box::new(Submit { wishes: read, message }))
}

/// Is the literal at the end of these arguments message data, and no value of the list, nor a URL?
pub fn is_data(args: &[u8]) -> bool {
    let mut args = Cursor::new(args).with_names(Names::Utf8);
    if args.space().is_err() {
        return true;
    }
    if args.at_list() {
        if wishes(&mut args).is_err() {
            return !breaks_off(&args);
        }
        if args.space().is_err() {
            return true;
        }
    }
    if args.take_word("URL") {
        return args.space().is_err() || !breaks_off(&args);
    }
    if args.take_word("CATENATE") {
        return catenate(&mut args).map_or(true, |parts| behind(parts).err() != Some(true));
    }
    true
}

/// Is nothing left but a literal that has not come?
fn breaks_off(args: &Cursor<'_>) -> bool {
    waiting(args, "").is_ok()
}

impl Command for Submit {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let Self { wishes, message } = *self;
            match wishes {
                None => plain(session, message, out).await,
                Some(wishes) => wished::run(session, wishes, message, out).await,
            }
        })
    }
}

/// The message on its way out, and where it lies if it lies anywhere as a whole. When it can't be had
/// the command is read to its end.
async fn brought(
    session: &mut Session,
    message: Message,
    out: &mut Replies,
) -> Result<(Spool, Option<Draft>), Error> {
    let url = match message {
        Message::Sent(data) => {
            let (spool, tail) = incoming::octets(session, data, out).await?;
            nothing_more(session, tail, out).await?;
            return Ok((spool, None));
        }
        Message::Named(url) => url,
    };
    let actor = session.actor()?;
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let (linked, draft) = match session.door.urls.own_draft(&actor, open.as_ref(), &url).await {
        Ok(found) => found,
        Err(LinkError::Mail(error)) => return Err(error.into()),
        Err(_) => return Err(bad_url(&url)),
    };
    let mail = session.mail();
    let mut spool = mail.spool();
    if mail.add_linked(&mut spool, linked).await? { Ok((spool, draft)) } else { Err(bad_url(&url)) }
}

async fn plain(session: &mut Session, message: Message, out: &mut Replies) -> Result<Done, Error> {
    if let Message::Sent(Data::Literal { literal, .. }) = message
        && literal.size > session.door.limits.message
    {
        session.swallow(literal).await?;
        return Err(Error::no(Code::TooBig, "the message is too large,"));
    }
    let spool = match brought(session, message, out).await {
        Ok((spool, _)) => spool,
        Err(error) if error.says_no() => return Err(in_general(&error.to_string())),
        Err(error) => return Err(error),
    };
    submit(session, spool).await?;
    Ok(Done::ok("SUBMIT completed"))
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
