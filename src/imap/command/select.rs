//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3, RFC 3501 §6.3.1).

use super::{Command, Parsed, Running, in_other_form, only_mailbox};
use crate::{
    imap::{
        reply::{Code, Done, OldName, Replies},
        selected::{Access, Opened, Selected},
        session::Session,
    },
    mail::Rights,
    wire::Cursor,
};

struct Select {
    name: String,
    access: Access,
}

/// `"SELECT" SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Select { name: only_mailbox(args)?, access: Access::ReadWrite }))
}

/// `"EXAMINE" SP mailbox`
pub fn parse_examine(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Select { name: only_mailbox(args)?, access: Access::ReadOnly }))
}

impl Command for Select {
    /// The mailbox that was open is closed first, whatever becomes of this one.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            if session.select(None) {
                out.ok(&Code::Closed, "the mailbox before is closed");
            }
            let mailbox = mail.open(&actor, &self.name, Rights::READ).await?;
            let (selected, opened) =
                Selected::open(&mail, &actor, session.id, mailbox, self.access).await?;
            let old = in_other_form(session, &self.name).then_some(self.name.as_str());
            describe(&selected, &opened, session.enabled.rev2, old, out);
            session.select(Some(selected));
            Ok(match self.access {
                Access::ReadWrite => Done::with("mailbox selected", Code::ReadWrite),
                Access::ReadOnly => Done::with("mailbox selected", Code::ReadOnly),
            })
        })
    }
}

fn describe(
    selected: &Selected,
    opened: &Opened,
    rev2: bool,
    old: Option<&str>,
    out: &mut Replies,
) {
    let mailbox = &selected.mailbox;
    out.line(|out| {
        out.put("FLAGS (");
        out.put(opened.flags.as_str());
        out.put(")");
    });
    out.line(|out| {
        out.put(opened.exists);
        out.put(" EXISTS");
    });
    if rev2 {
        out.put(OldName { attributes: "", name: &mailbox.name, old });
    } else {
        out.line(|out| {
            out.put(opened.recent);
            out.put(" RECENT");
        });
        if let Some(number) = opened.unseen {
            out.ok(&Code::Unseen(number), "the first unseen message");
        }
    }
    let kept = match selected.access {
        Access::ReadWrite => format!("({} \\*)", opened.flags),
        Access::ReadOnly => "()".to_owned(),
    };
    out.ok(&Code::PermanentFlags(kept), "flags that are kept");
    out.ok(&Code::UidValidity(mailbox.uid_validity), "UIDs are valid");
    out.ok(&Code::UidNext(opened.uid_next), "the next UID");
    out.ok(&Code::MailboxId(mailbox.id), "this mailbox for ever");
}
