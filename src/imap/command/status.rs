//! STATUS (RFC 9051 §6.3.11), with the items of RFC 7162, RFC 7889, RFC 8438, RFC 8474 and RFC 9208.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Done, MailboxObject, Replies},
        session::Session,
    },
    mail::{Actor, Mail, MailboxInfo, Rights},
    wire::{Cursor, Syntax},
};

/// What can be asked of a mailbox without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// How many messages.
    Messages,
    /// How many of them are `\Recent` (RFC 3501).
    Recent,
    /// The UID that comes next.
    UidNext,
    /// What the UIDs are valid under.
    UidValidity,
    /// How many without `\Seen`.
    Unseen,
    /// How many with `\Deleted`.
    Deleted,
    /// Octets that an expunge would free (RFC 9208 §4.1.4).
    DeletedStorage,
    /// Octets of all messages.
    Size,
    /// The most octets of a message (RFC 7889 §4).
    AppendLimit,
    /// Its id (RFC 8474 §4.3).
    MailboxId,
    /// Its last change (RFC 7162 §3.1.7).
    HighestModSeq,
}

const ITEMS: [(&str, Item); 11] = [
    ("MESSAGES", Item::Messages),
    ("RECENT", Item::Recent),
    ("UIDNEXT", Item::UidNext),
    ("UIDVALIDITY", Item::UidValidity),
    ("UNSEEN", Item::Unseen),
    ("DELETED", Item::Deleted),
    ("DELETED-STORAGE", Item::DeletedStorage),
    ("SIZE", Item::Size),
    ("APPENDLIMIT", Item::AppendLimit),
    ("MAILBOXID", Item::MailboxId),
    ("HIGHESTMODSEQ", Item::HighestModSeq),
];

/// `"(" [status-att *(SP status-att)] ")"`
pub fn items(args: &mut Cursor<'_>) -> Result<Vec<Item>, Syntax> {
    let mut items = args.list(|args| {
        let word = args.word()?;
        let known = ITEMS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        known.map(|(_, item)| *item).ok_or(Syntax::Expected("a status item"))
    })?;
    let mut seen = Vec::new();
    items.retain(|item| {
        !seen.contains(item) && {
            seen.push(*item);
            true
        }
    });
    Ok(items)
}

struct Status {
    name: String,
    items: Vec<Item>,
}

/// `"STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    args.space()?;
    let items = items(args)?;
    args.end()?;
    Ok(Box::new(Status { name, items }))
}

impl Command for Status {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if self.items.contains(&Item::HighestModSeq) {
                session.enable_condstore(out);
            }
            let (mail, actor) = (session.mail(), session.actor()?);
            let info = mail.status(&actor, &self.name).await?;
            tell(&mail, &actor, &info, &self.items, session.door.limits.message, out).await?;
            Ok(Done::ok("status done"))
        })
    }
}

/// Writes one STATUS response; LIST does so too (RFC 5819).
pub async fn tell(
    mail: &Mail,
    actor: &Actor,
    info: &MailboxInfo,
    items: &[Item],
    message_max: u64,
    out: &mut Replies,
) -> Result<(), Error> {
    let recent = if items.contains(&Item::Recent) { recent(mail, actor, info).await? } else { 0 };
    let row = &info.row;
    let status = &row.status;
    out.line(|out| {
        out.put("STATUS ");
        out.mailbox(&info.name);
        out.put(" ");
        out.list(items, |out, item| {
            let name = ITEMS.iter().find(|(_, known)| known == item).map_or("", |(name, _)| name);
            out.put(name);
            out.put(" ");
            match item {
                Item::Messages => out.put(status.messages),
                Item::Recent => out.put(recent),
                Item::UidNext => out.put(status.uid_next.min(u64::from(u32::MAX))),
                Item::UidValidity => out.put(row.uid_validity.0),
                Item::Unseen => out.put(status.unseen),
                Item::Deleted => out.put(status.deleted),
                Item::DeletedStorage => out.put(status.deleted_octets),
                Item::Size => out.put(status.octets),
                Item::AppendLimit => out.put(message_max),
                Item::HighestModSeq => out.put(status.mod_seq.0),
                Item::MailboxId => {
                    out.put("(");
                    out.put(MailboxObject(row.id));
                    out.put(")");
                }
            }
        });
    });
    Ok(())
}

/// How many messages the next session that selects will find recent.
async fn recent(mail: &Mail, actor: &Actor, info: &MailboxInfo) -> Result<u64, Error> {
    let row = &info.row;
    if row.status.recent_uid >= row.status.uid_next {
        return Ok(0);
    }
    let mailbox = mail.open(actor, &info.name, Rights::READ).await?;
    let view = mail.view(&mailbox).await?;
    let messages = view.messages();
    let from = messages.recent_uid();
    let before = messages.uids().partition_point(|uid| u64::from(uid.get()) < from);
    Ok((messages.len() - before) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_once_each_and_unknown_ones_are_refused() {
        let read = |text: &str| items(&mut Cursor::new(text.as_bytes()));
        assert_eq!(read("(messages MESSAGES size)"), Ok(vec![Item::Messages, Item::Size]));
        assert_eq!(read("()"), Ok(vec![]));
        assert!(read("(XYZZY)").is_err() && read("MESSAGES").is_err());
    }
}
