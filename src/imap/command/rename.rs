//! RENAME (RFC 9051 §6.3.6).

use super::{Command, Parsed, Running, in_other_form};
use crate::{
    imap::{
        reply::{Done, OldName, Replies},
        session::Session,
    },
    mail::name,
    wire::Cursor,
};

struct Rename {
    from: String,
    to: String,
}

/// `"RENAME" SP mailbox SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let from = args.mailbox()?;
    args.space()?;
    let to = args.mailbox()?;
    args.end()?;
    Ok(Box::new(Rename { from, to }))
}

impl Command for Rename {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let _renamed = session.mail().rename(&actor, &self.from, &self.to).await?;
            if in_other_form(session, &self.from) || in_other_form(session, &self.to) {
                let name = &name::full(&self.to);
                out.put(OldName { attributes: "", name, old: Some(&self.from) });
            }
            Ok(Done::ok("mailbox renamed"))
        })
    }
}
