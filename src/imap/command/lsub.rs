//! LSUB (RFC 3501 §6.3.9): the subscribed names, for clients that do not know LIST (SUBSCRIBED).

use super::{
    Command, Parsed, Running,
    list::{Place, patterns, places},
};
use crate::{
    imap::{
        pattern::Pattern,
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Lsub {
    reference: String,
    pattern: String,
}

/// `"LSUB" SP mailbox SP list-mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let reference = args.mailbox()?;
    args.space()?;
    let pattern = args.list_mailbox()?;
    args.end()?;
    Ok(Box::new(Lsub { reference, pattern }))
}

impl Command for Lsub {
    /// A name above a subscribed one is told with `\Noselect` when `%` hides the one below it.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let patterns = patterns(&[(self.reference, self.pattern)])?;
            let (mail, actor) = (session.mail(), session.actor()?);
            let mailboxes = mail.mailboxes(&actor).await?;
            let places = places(&mailboxes, &mail.subscriptions(&actor).await?);
            let matches = |place: &Place<'_>| {
                patterns.iter().any(|pattern: &Pattern| pattern.matches(&place.name))
            };
            for place in places.iter().filter(|place| matches(place)) {
                let below = format!("{}/", place.name);
                let hides = |other: &Place<'_>| {
                    other.subscribed && other.name.starts_with(&below) && !matches(other)
                };
                let selectable = place.info.is_some_and(|info| info.row.selectable);
                let flags = match place.subscribed {
                    true if selectable => "()",
                    true => "(\\Noselect)",
                    false if places.iter().any(hides) => "(\\Noselect)",
                    false => continue,
                };
                out.line(|out| {
                    out.put("LSUB ");
                    out.put(flags);
                    out.put(" \"/\" ");
                    out.mailbox(&place.name);
                });
                out.breathe().await?;
            }
            Ok(Done::ok("lsub done"))
        })
    }
}
