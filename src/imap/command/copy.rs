//! COPY and UID COPY (RFC 9051 §6.4.7): no octets are copied, the messages share them.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        picture::By,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{self, Actor, CopiedTo, Mail, Mailbox, Rights},
    wire::{Cursor, Ranges, Set},
};

struct Copy {
    set: Set,
    by: By,
    mailbox: String,
}

/// `"COPY" SP sequence-set SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let (set, mailbox) = set_and_mailbox(args)?;
    Ok(Box::new(Copy { set, by: By::Number, mailbox }))
}

/// `"UID" SP copy`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    let (set, mailbox) = set_and_mailbox(args)?;
    Ok(Box::new(Copy { set, by: By::Uid, mailbox }))
}

/// `SP sequence-set SP mailbox`: the arguments of COPY and MOVE
pub(super) fn set_and_mailbox(args: &mut Cursor<'_>) -> Result<(Set, String), crate::wire::Syntax> {
    args.space()?;
    let set = args.set()?;
    args.space()?;
    let mailbox = args.mailbox()?;
    args.end()?;
    Ok((set, mailbox))
}

impl Command for Copy {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let targets = selected.targets(&mail, &self.set, self.by).await?;
            if targets.len() > most {
                return Err(Error::too_many(most, "too many messages to copy, try fewer"));
            }
            let to = target(&mail, &actor, &self.mailbox).await?;
            let uids: Vec<_> = targets.iter().map(|target| target.uid).collect();
            let asked = uids.len();
            let copied = out.meanwhile(mail.copy(&actor, &selected.mailbox, uids, &to)).await??;
            let all = copied.copied.len() == asked;
            Ok(match copy_uid(&copied) {
                Some(code) => Done::with("copied", code),
                None if !copied.copied.is_empty() => Done::ok("copied"),
                // Messages that went meanwhile are no fault of the client's.
                None if all => Done::ok("no such message"),
                None => Done::with("the messages are gone", Code::ExpungeIssued),
            })
        })
    }
}

/// The mailbox that shall get messages.
pub(super) async fn target(mail: &Mail, actor: &Actor, name: &str) -> Result<Mailbox, Error> {
    let opened = mail.open(actor, name, Rights::INSERT).await;
    opened.map_err(|error| no_place(mail, name, error))
}

/// Why nothing can be put under this name; `[TRYCREATE]` when there is no mailbox and one could be
/// made (RFC 9051 §6.4.7). That is said of all names of others, so that nobody learns which of them
/// are taken.
pub(super) fn no_place(mail: &Mail, name: &str, error: mail::Error) -> Error {
    match error {
        mail::Error::NoMailbox => match mail.new_name(name) {
            Ok(_) => Error::no(Code::TryCreate, "no such mailbox"),
            Err(error) => error.into(),
        },
        other => other.into(),
    }
}

/// `[COPYUID 38505 304,319:320 3956:3958]`, if anything was copied and the client may know it
/// (RFC 4315 §3).
pub(super) fn copy_uid(to: &CopiedTo) -> Option<Code> {
    let from: Ranges = to.copied.iter().map(|(from, _)| from.get()).collect();
    let made: Ranges = to.copied.iter().map(|(_, made)| made.get()).collect();
    (to.told && !made.is_empty()).then_some(Code::CopyUid(to.uid_validity, from, made))
}
