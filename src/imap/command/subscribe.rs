//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8): names, whether or not there is a mailbox.

use super::{Command, Parsed, Running, only_mailbox};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Subscribe {
    name: String,
    subscribed: bool,
}

/// `"SUBSCRIBE" SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Subscribe { name: only_mailbox(args)?, subscribed: true }))
}

/// `"UNSUBSCRIBE" SP mailbox`
pub fn parse_unsubscribe(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Subscribe { name: only_mailbox(args)?, subscribed: false }))
}

impl Command for Subscribe {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let _kept = session.mail().subscribe(&actor, &self.name, self.subscribed).await?;
            Ok(Done::ok(if self.subscribed { "subscribed" } else { "unsubscribed" }))
        })
    }
}
