//! MOVE and UID MOVE (RFC 6851): at every moment a message is in exactly one of the two mailboxes.

use super::{
    Command, Parsed, Running,
    copy::{copy_uid, set_and_mailbox, target},
};
use crate::{
    imap::{
        message_limit,
        picture::By,
        reply::{Code, Done, Replies},
        session::Session,
    },
    wire::{Cursor, Set},
};

struct Move {
    set: Set,
    by: By,
    mailbox: String,
}

/// `"MOVE" SP sequence-set SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let (set, mailbox) = set_and_mailbox(args)?;
    Ok(Box::new(Move { set, by: By::Number, mailbox }))
}

/// `"UID" SP move`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    let (set, mailbox) = set_and_mailbox(args)?;
    Ok(Box::new(Move { set, by: By::Uid, mailbox }))
}

impl Command for Move {
    /// COPYUID is told first and untagged; the EXPUNGEs follow as the session's news (RFC 6851 §4.3).
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            selected.must_be_writable()?;
            let mut targets = selected.targets(&mail, &self.set, self.by).await?;
            let limit = message_limit::highest(&mut targets, most);
            let to = target(&mail, &actor, &self.mailbox).await?;
            let uids: Vec<_> = targets.iter().map(|target| target.uid).collect();
            let asked = uids.len();
            let moved =
                out.meanwhile(mail.move_messages(&actor, &selected.mailbox, uids, &to)).await??;
            if let Some(code) = copy_uid(&moved) {
                out.ok(&code, "moved");
            }
            let done = if moved.copied.len() == asked {
                Done::ok("move done")
            } else {
                Done::with("some messages were gone", Code::ExpungeIssued)
            };
            message_limit::end(limit, Ok(done), out, &session.door.metrics)
        })
    }
}
