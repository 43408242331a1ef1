//! EXPUNGE (RFC 9051 §6.4.3) and UID EXPUNGE (RFC 4315 §2.1): messages with `\Deleted` go for good.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        picture::By,
        reply::{Done, Replies},
        session::Session,
    },
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
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let selected = session.selected()?;
            selected.must_be_writable()?;
            let among = match &self.among {
                Some(set) => {
                    let targets = selected.targets(&mail, set, By::Uid).await?;
                    Some(targets.iter().map(|target| target.uid).collect())
                }
                None => None,
            };
            let _gone = mail.expunge(&actor, &selected.mailbox, among).await?;
            Ok(Done::ok("expunged"))
        })
    }
}
