//! APPEND (RFC 9051 §6.3.12): one message or several (RFC 3502), also with NUL (RFC 3516), marked as
//! UTF-8 (RFC 6855 §4), with what is said of it (RFC 5257 §4.7), or made of parts (RFC 4469). Messages
//! go to a spool as they come; all are kept, or none.
//!
//! Headers in eight bits are taken from everybody. RFC 6855 §4 would refuse them before ENABLE; but
//! such mail is older than that rule, and mail is never refused for being broken.

use super::{Command, Parsed, Running, copy::no_place, tell_form};
use crate::{
    imap::{
        error::Error,
        incoming::{Data, Head, following, head, message},
        reply::{Code, Done, Replies},
        session::{Session, now},
    },
    mail::{self, Actor, Appended, Appending, Mailbox, Quota},
    net::Literal,
    wire::Cursor,
};

struct Append {
    name: String,
    first: Head,
}

/// `"APPEND" SP mailbox 1*append-message`, up to the first message's literal
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    let first = head(args)?;
    Ok(Box::new(Append { name, first }))
}

/// A message of so few octets waits in memory. It is read before anything is looked up when it comes
/// without a go-ahead, or when the last one found its place there just now: one job does all then.
const AT_ONCE_MAX: u64 = 128 << 10;

impl Command for Append {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let Self { name, first } = *self;
            let again = session.appended_to.take().is_some_and(|last| *last == *name);
            let is_small = match first.data {
                Data::Literal { literal: Literal { size, sent_at_once, .. }, .. } => {
                    (sent_at_once || again) && size <= AT_ONCE_MAX
                }
                Data::Parts(_) => false,
            };
            let appended = if is_small {
                at_once(session, &actor, &name, first, out).await?
            } else {
                asked_for(session, &actor, &name, first, out).await?
            };
            session.appended_to = Some(name.as_str().into());
            tell_form(session, &name, "", out);
            tracing::info!(session = %session.id, messages = appended.uids.len(), "imap append");
            Ok(match append_uid(appended) {
                Some(code) => Done::with("appended", code),
                None => Done::ok("appended"),
            })
        })
    }
}

/// `[APPENDUID 38505 3955]`, if the client may know it (RFC 4315 §3).
pub(super) fn append_uid(appended: Appended) -> Option<Code> {
    appended.told.then_some(Code::AppendUid(appended.uid_validity, appended.uids))
}

/// Looks whether there is a place for a message before its client is asked to send it.
pub(super) async fn asked_for(
    session: &mut Session,
    actor: &Actor,
    name: &str,
    first: Head,
    out: &mut Replies,
) -> Result<Appended, Error> {
    let mailbox = match open(session, actor, name, &first.data, 0).await {
        Ok(mailbox) => mailbox,
        Err(error) => {
            first.data.swallow(session).await?;
            return Err(error);
        }
    };
    let mut all = session.mail().appending(actor, &mailbox)?;
    let read = messages(session, first, &mut all, out).await;
    finish(session, name, all, read).await
}

/// Reads a small message, then keeps it if there is a place for it.
async fn at_once(
    session: &mut Session,
    actor: &Actor,
    name: &str,
    first: Head,
    out: &mut Replies,
) -> Result<Appended, Error> {
    let Head { about, data } = first;
    if let Err(error) = check_data(session, &data) {
        data.swallow(session).await?;
        return Err(error);
    }
    let mut held = session.input()?.share();
    let (message, tail) = message(session, data, out).await?;
    if !held.hold(usize::try_from(message.weight()).unwrap_or(usize::MAX)) {
        tail.swallow(session).await?;
        return Err(busy());
    }
    let new = about.mail(message);
    let mail = session.mail();
    let Some(next) = following(session, tail, out).await? else {
        let appended = mail.append_one(actor, name, new).await;
        return Ok(appended.map_err(|error| no_place(&mail, name, error))?.into_inner());
    };
    let mailbox = match open(session, actor, name, &next.data, new.message.size()).await {
        Ok(mailbox) => mailbox,
        Err(error) => {
            next.data.swallow(session).await?;
            return Err(error);
        }
    };
    let mut all = mail.appending(actor, &mailbox)?;
    let read = match all.add(new, now()).await {
        Ok(()) => messages(session, next, &mut all, out).await,
        Err(error) => {
            next.data.swallow(session).await?;
            Err(error.into())
        }
    };
    finish(session, name, all, read).await
}

/// Keeps all messages when all were read, and forgets them otherwise.
async fn finish(
    session: &Session,
    name: &str,
    mut all: Appending,
    read: Result<(), Error>,
) -> Result<Appended, Error> {
    let mail = session.mail();
    let done = match read {
        // The mailbox may have gone while the messages came.
        Ok(()) => all.finish().await.map_err(|error| no_place(&mail, name, error)),
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => Ok(done.into_inner()),
        Err(error) => {
            all.forget().await;
            Err(error)
        }
    }
}

fn busy() -> Error {
    Error::no(Code::Unavailable, "the server is too busy")
}

/// Finds the mailbox, and refuses what can't be kept there, behind so many octets of others.
async fn open(
    session: &Session,
    actor: &Actor,
    name: &str,
    data: &Data,
    before: u64,
) -> Result<Mailbox, Error> {
    check_data(session, data)?;
    let mail = session.mail();
    let opened = mail.open_to_add(actor, name).await;
    let (mailbox, quota) = opened.map_err(|error| no_place(&mail, name, error))?;
    check_room(quota, data, before)?;
    Ok(mailbox)
}

/// Refuses a message by what stands before it.
pub(super) fn check_data(session: &Session, data: &Data) -> Result<(), Error> {
    if let Data::Literal { literal, utf8 } = *data {
        session.check_size(literal)?;
        if literal.size == 0 {
            return Err(Error::plain("an empty message is not kept"));
        }
        if utf8 && !session.enabled.utf8 {
            return Err(Error::unfit("enable UTF8=ACCEPT first"));
        }
    }
    Ok(session.mail().store().check_adding().map_err(mail::Error::from)?)
}

/// Refuses a message for which there is no room behind so many octets of others. How large one of
/// parts becomes is seen when it is kept.
pub(super) fn check_room(quota: Quota, data: &Data, before: u64) -> Result<(), Error> {
    let sum = quota.octets.saturating_add(before).saturating_add(data.announced());
    if sum > quota.octets_limit {
        return Err(mail::Error::OverQuota.into());
    }
    Ok(())
}

/// Reads all messages, from this one on, whose octets wait. What fails is read to its end.
async fn messages(
    session: &mut Session,
    first: Head,
    all: &mut Appending,
    out: &mut Replies,
) -> Result<(), Error> {
    let mut held = session.input()?.share();
    let mut next = Some(first);
    let mut looked_at = true; // before it was asked for
    while let Some(Head { about, data }) = next {
        if !std::mem::take(&mut looked_at)
            && let Err(error) = check_next(session, &data, all).await
        {
            data.swallow(session).await?;
            return Err(error);
        }
        let (message, tail) = message(session, data, out).await?;
        let added = all.add(about.mail(message), now()).await.map_err(Error::from);
        let room = held.hold(all.weight());
        if let Err(error) = added.and_then(|()| room.then_some(()).ok_or_else(busy)) {
            tail.swallow(session).await?;
            return Err(error);
        }
        next = following(session, tail, out).await?;
    }
    Ok(())
}

/// Refuses one more message before it is sent.
async fn check_next(session: &Session, data: &Data, all: &Appending) -> Result<(), Error> {
    let most = session.door.limits.messages_per_command;
    if all.len() >= most {
        return Err(Error::too_many(most, "too many messages in one APPEND"));
    }
    check_data(session, data)?;
    check_room(session.mail().quota(all.owner()).await?, data, all.octets())
}
