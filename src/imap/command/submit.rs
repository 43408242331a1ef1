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
    submission::{
        self, Answers, Author, Cause, Outgoing, Posted, Posting, Step, Wishes, addressed,
    },
    wire::{Cursor, Names, address::Address, envelope::Envelope},
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
    let (spool, draft) = match brought(session, message, out).await {
        Ok(brought) => brought,
        Err(error) if error.says_no() => return Err(in_general(&error.to_string())),
        Err(error) => return Err(error),
    };
    match draft {
        Some(draft) => submit_stored(session, spool, draft).await?,
        None => submit(session, spool).await?,
    }
    Ok(Done::ok("SUBMIT completed"))
}

/// Puts in what the message names, reads its envelope, and hands it over.
async fn submit(session: &mut Session, spool: Spool) -> Result<(), Error> {
    let actor = session.actor()?;
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let expanded = session.door.urls.expand(&actor, open.as_ref(), spool).await;
    let message = expanded.map_err(|error| match error {
        SkeletonError::Part(_) | SkeletonError::Hidden => in_general(&error.to_string()),
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

/// The same for a message that lies in a mailbox: what its author has left with it holds, and what became
/// of it is said there.
async fn submit_stored(session: &mut Session, message: Spool, draft: Draft) -> Result<(), Error> {
    let actor = session.actor()?;
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let (wishes, draft, trace) = (Wishes::default(), Some(draft), trace_id(Timestamp::now()));
    let posting = Posting { actor, wishes, message, draft, open, word: "SUBMIT", trace };
    let posted = session.door.submission.post(&session.door.urls, posting);
    let Posted { answers, outcome, .. } = Box::pin(posted).await;
    outcome.map(|_copy| ()).map_err(|cause| match cause {
        Cause::Part(SkeletonError::Mail(error)) => unsent(&error),
        Cause::Part(error) => in_general(&error.to_string()),
        Cause::Refused(error) => refused(&error),
        Cause::Envelope => unwritable(&answers),
    })
}

/// The first fault of an envelope, and the recipients to whom nothing can be sent.
fn unwritable(answers: &Answers) -> Error {
    let Some((step, about, answer)) = answers.refusal() else { return in_general("not sent") };
    if step != Step::Rcpt || about.is_empty() {
        return in_general(&answer.text);
    }
    let bad = answers.recipients.iter().filter(|(_, answer)| answer.is_refusal());
    let plain = |to: &String| Address::parse(to).is_ok() && !to.contains(',');
    let (list, others): (Vec<_>, Vec<_>) = bad.map(|(to, _)| to).cloned().partition(plain);
    let text = match others.first() {
        Some(to) => format!("{to}: {}", answer.text),
        None => answer.text.to_string(),
    };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.replace(',', ";").chars().map(plain).collect();
    Error::plain(format!("{text},{}", list.join(",")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> bool {
        parse(&mut Cursor::new(text.as_bytes())).is_ok()
    }

    #[test]
    fn a_message_comes_or_is_named_with_wishes_or_without() {
        for good in [
            " {5}",
            " ~{5+}",
            " URL /INBOX/;UID=1",
            " CATENATE (URL \"/INBOX/;UID=1\" TEXT {5}",
            " (PARTIAL) {5}",
            " (FCC {4+}\r\nSent TO ({3}\r\na@x)) CATENATE (TEXT {5}",
            " (PARTIAL) URL {2}\r\n/x",
        ] {
            assert!(reads(good), "{good}");
        }
        for bad in [
            "",
            " ",
            " \"x\"",
            " (PARTIAL)",
            " (PARTIAL){5}",
            " () {5}",
            " URL",
            " URL /x y",
            " CATENATE ()",
            " CATENATE {5}",
            " (PARTIAL) (PARTIAL) {5}",
            " {5} x",
        ] {
            assert!(!reads(bad), "{bad}");
        }
    }

    #[test]
    fn a_literal_within_the_list_or_in_place_of_a_url_is_no_message() {
        for data in [
            " {5}",
            " (PARTIAL) ~{5+}",
            " (FCC {4}\r\nSent) {5}",
            " (FCC \"a&b\" ENVELOPE {1}\r\nx) {5}",
            " (PARTIAL) CATENATE (TEXT {5}",
            " CATENATE (URL {2}\r\n/x TEXT {5}",
            // What is no SUBMIT is read past as one.
            " (XYZZY) {5}",
            " (XYZZY {5}",
            " XYZZY {5}",
            " (PARTIAL){5}",
        ] {
            assert!(is_data(data.as_bytes()), "{data}");
        }
        for value in [
            " (FCC {4}",
            " (FCC Sent ENVELOPE {40}",
            " (FCC \"a&b\" ENVELOPE {40+}",
            " (TO ({5}",
            " (TO (a@x (NOTIFY {7}",
            " URL {5}",
            " (PARTIAL) URL {5}",
            " CATENATE (URL {5}",
            " (PARTIAL) CATENATE (URL /x URL {5+}",
        ] {
            assert!(!is_data(value.as_bytes()), "{value}");
        }
    }
}
