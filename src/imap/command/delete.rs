//! DELETE (RFC 9051 §6.3.5).

use super::{Command, Parsed, Running, only_mailbox, tell_form};
use crate::{
    imap::{
        reply::{Code, Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Delete {
    name: String,
}

/// `"DELETE" SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Delete { name: only_mailbox(args)? }))
}

impl Command for Delete {
    /// Who deletes the mailbox it has open goes back to the state without one.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let deleted = session.mail().delete(&actor, &self.name).await?;
            tell_form(session, &self.name, "\\NonExistent", out);
            if session.selected().is_ok_and(|selected| selected.mailbox.id == *deleted) {
                session.select(None);
                out.ok(&Code::Closed, "the mailbox is gone");
            }
            Ok(Done::ok("mailbox deleted"))
        })
    }
}
