//! NOTIFY (RFC 5465 §3.1): what the client wants to be told of from now on.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        notify::{
            Notify,
            groups::{EVENTS, Groups},
            tell,
        },
        reply::{Code, Done, Replies},
        session::Session,
    },
    metrics::Limit,
    wire::{Cursor, Syntax},
};

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Set {
        /// Tell at once how the mailboxes stand.
        status: bool,
        groups: Groups,
    },
}

/// `"NOTIFY" SP ("SET" [SP "STATUS"] SP event-groups / "NONE")`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args)?))
}

fn read(args: &mut Cursor<'_>) -> Result<Asked, Syntax> {
    args.space()?;
    if args.take_word("NONE") {
        args.end()?;
        return Ok(Asked::Nothing);
    }
    args.keyword("SET")?;
    args.space()?;
    let status = args.take_word("STATUS");
    if status {
        args.space()?;
    }
    Ok(Asked::Set { status, groups: Groups::parse(args)? })
}

impl Command for Asked {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let Self::Set { status, groups } = *self else {
                session.notify = Some(Notify::none());
                return Ok(Done::ok("nothing will be told"));
            };
            if groups.unknown {
                let events = EVENTS.iter().map(|(name, _)| *name).collect();
                return Err(Error::no(Code::BadEvent(events), "no such event"));
            }
            let door = &session.door;
            let over = [
                (groups.count > door.limits.notify_groups, Limit::NotifyGroupsMax),
                (groups.names > mail.limits().mailboxes, Limit::MailboxesPerUserMax),
            ];
            if let Some((_, limit)) = over.into_iter().find(|(over, _)| *over) {
                door.metrics.exceeded(limit);
                return Err(Error::no(Code::NotificationOverflow, "too much to be watched"));
            }
            // It is a NOOP too (§3.1): whatever was held back is told now.
            session.notify = None;
            session.tell_held_back(out).await?;
            let mut notify = Notify::set(&mail, actor.account, session.id, groups);
            let situation = session.situation();
            tell::first(&mut notify, &mail, &actor, situation, status, out).await?;
            let annotations = notify.wants().annotations;
            session.notify = Some(notify);
            if let Ok(selected) = session.selected() {
                selected.watch_annotations(annotations);
            }
            Ok(Done::ok("you will be told"))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        events::Kinds,
        imap::{
            fetch::item::Item,
            notify::groups::{Filter, Group, OpenMailbox},
        },
        wire::Buffer,
    };

    #[test]
    fn both_forms_are_read() {
        let read = |text: &str| read(&mut Cursor::new(text.as_bytes()));
        assert_eq!(read(" none"), Ok(Asked::Nothing));
        assert!(matches!(read(" set (selected NONE)"), Ok(Asked::Set { status: false, .. })));
        let with = " SET STATUS (personal (MailboxName))";
        assert!(matches!(read(with), Ok(Asked::Set { status: true, .. })));
        for bad in
            ["", " ", " SET", " SET STATUS", " NONE (personal NONE)", " SET (personal NONE)x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    fn any_events(of_messages: bool) -> impl Strategy<Value = Kinds> {
        let names = Kinds::MAILBOX_NAME.with(Kinds::SUBSCRIPTION_CHANGE);
        let messages = Kinds::MESSAGE_NEW.with(Kinds::MESSAGE_EXPUNGE);
        let mut all = vec![
            Kinds::NONE,
            messages,
            messages.with(Kinds::FLAG_CHANGE),
            messages.with(Kinds::ANNOTATION_CHANGE).with(Kinds::FLAG_CHANGE),
        ];
        if !of_messages {
            all.extend([names, messages.with(names).with(Kinds::SERVER_METADATA_CHANGE)]);
        }
        proptest::sample::select(all)
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let names = proptest::collection::vec("[a-z][a-z /]{0,5}[a-z]", 1..3);
        let names = names.prop_map(|names| names.into_iter().map(Into::into).collect());
        (names, 0..4).prop_map(|(names, kind)| match kind {
            0 => Filter::Personal,
            1 => Filter::Subscribed,
            2 => Filter::Subtree(names),
            _ => Filter::Mailboxes(names),
        })
    }

    fn any_set() -> impl Strategy<Value = (bool, Groups)> {
        let group =
            (any_filter(), any_events(false)).prop_map(|(filter, events)| Group { filter, events });
        let open = (any_events(true), any::<bool>(), any::<bool>()).prop_map(
            |(events, delayed, fetches)| {
                let fetch = if fetches && !events.is_empty() {
                    vec![Item::Uid, Item::Envelope]
                } else {
                    Vec::new()
                };
                OpenMailbox { events, delayed, fetch: fetch.into() }
            },
        );
        let groups = proptest::collection::vec(group, 1..4);
        (any::<bool>(), proptest::option::of(open), groups).prop_map(|(status, open, groups)| {
            let count = groups.len() + usize::from(open.is_some());
            let names = groups.iter().map(|group| match &group.filter {
                Filter::Subtree(names) | Filter::Mailboxes(names) => names.len(),
                _ => 0,
            });
            let names = names.sum();
            (status, Groups { open, groups, count, names, unknown: false })
        })
    }

    fn print_events(events: Kinds, fetch: &[Item], out: &mut Buffer) {
        if events.is_empty() {
            return out.put("NONE");
        }
        let named = EVENTS.iter().filter(|(_, event)| events.contain(*event));
        out.list(named, |out, (name, event)| {
            out.put(*name);
            if *event == Kinds::MESSAGE_NEW && !fetch.is_empty() {
                out.put(" (UID ENVELOPE)");
            }
        });
    }

    fn print(status: bool, groups: &Groups, out: &mut Buffer) {
        out.put(if status { " SET STATUS" } else { " SET" });
        if let Some(open) = &groups.open {
            out.put(if open.delayed { " (SELECTED-DELAYED " } else { " (SELECTED " });
            print_events(open.events, &open.fetch, out);
            out.put(")");
        }
        for group in &groups.groups {
            out.put(" (");
            match &group.filter {
                Filter::Personal => out.put("PERSONAL"),
                Filter::Subscribed => out.put("SUBSCRIBED"),
                Filter::Subtree(names) => {
                    out.put("SUBTREE ");
                    out.list(names, |out, name| out.mailbox(name));
                }
                Filter::Mailboxes(names) => {
                    out.put("MAILBOXES ");
                    out.list(names, |out, name| out.mailbox(name));
                }
            }
            out.put(" ");
            print_events(group.events, &[], out);
            out.put(")");
        }
    }

    proptest! {
        #[test]
        fn printed_notifys_read_back((status, groups) in any_set()) {
            let mut out = Buffer::default();
            print(status, &groups, &mut out);
            let read = read(&mut Cursor::new(out.bytes()));
            let text = String::from_utf8_lossy(out.bytes()).into_owned();
            prop_assert_eq!(read, Ok(Asked::Set { status, groups }), "{}", text);
        }
    }
}
