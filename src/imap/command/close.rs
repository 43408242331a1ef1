//! CLOSE and UNSELECT (RFC 9051 §6.4.1, §6.4.2): back to the state without a mailbox.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        selected::Access,
        session::Session,
    },
    mail,
    wire::Cursor,
};

enum Close {
    /// Messages with `\Deleted` go, and nobody is told which.
    Expunging,
    Quietly,
}

/// `"CLOSE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Close::Expunging))
}

/// `"UNSELECT"`
pub fn parse_unselect(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Close::Quietly))
}

impl Command for Close {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let selected = session.selected()?;
            if matches!(*self, Self::Expunging) && selected.access == Access::ReadWrite {
                match mail.expunge(&actor, &selected.mailbox, None).await {
                    // Who may not expunge only closes (RFC 4314 §4).
                    Ok(_) | Err(mail::Error::Forbidden) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            session.select(None);
            Ok(Done::ok("mailbox closed"))
        })
    }
}
