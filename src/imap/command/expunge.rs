//! EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1): messages with `\Deleted` go for good.

use super::{Command, Parsed, Running};
use crate::{
    flags::Flags,
    ids::Uid,
    imap::{
        message_limit,
        picture::{By, Picture},
        reply::{Done, Replies},
        session::Session,
    },
    mail::Messages,
    wire::{Cursor, Set},
};

struct Expunge {
    /// Only messages among these UIDs.
    among: Option<Set>,
}

/// `"EXPUNGE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Expunge { among: None }))
}

/// `"UID" SP "EXPUNGE" SP sequence-set`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let among = Some(args.set()?);
    args.end()?;
    Ok(Box::new(Expunge { among }))
}

impl Command for Expunge {
    /// The EXPUNGEs are told as the session's news.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            selected.must_be_writable()?;
            let mut limit = None;
            let among = match &self.among {
                Some(set) => {
                    let mut targets = selected.targets(&mail, set, By::Uid).await?;
                    if targets.len() > most {
                        // Only messages with `\Deleted` count (RFC 9738 §3.1).
                        let deleted = |_: &mut Picture, messages: &Messages| {
                            targets.retain(|target| is_deleted(messages, target.uid));
                        };
                        selected.look(&mail, deleted).await?;
                        limit = message_limit::highest(&mut targets, most);
                    }
                    Some(targets.iter().map(|target| target.uid).collect())
                }
                None => None,
            };
            let _gone = out.meanwhile(mail.expunge(&actor, &selected.mailbox, among)).await??;
            message_limit::end(limit, Ok(Done::ok("expunged")), out, &session.door.metrics)
        })
    }
}

fn is_deleted(messages: &Messages, uid: Uid) -> bool {
    let marks = messages.place(uid).ok().and_then(|place| messages.marks(place));
    marks.is_some_and(|marks| marks.flags.contains(Flags::DELETED))
}
