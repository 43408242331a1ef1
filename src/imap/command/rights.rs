//! MYRIGHTS and LISTRIGHTS (RFC 4314 §3.4, §3.5): what one may do with a mailbox, and what others can
//! be allowed to do.

use super::{
    Command, Parsed, Running,
    acl::{identifier, mailbox_and_identifier},
    only_mailbox,
};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    mail::{Rights, acl::Grantable},
    wire::Cursor,
};

enum Asked {
    Mine { mailbox: String },
    Grantable { mailbox: String, identifier: String },
}

/// `"MYRIGHTS" SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Asked::Mine { mailbox: only_mailbox(args)? }))
}

/// `"LISTRIGHTS" SP mailbox SP identifier`
pub fn parse_list(args: &mut Cursor<'_>) -> Parsed {
    let (mailbox, identifier) = mailbox_and_identifier(args)?;
    args.end()?;
    Ok(Box::new(Asked::Grantable { mailbox, identifier }))
}

impl Command for Asked {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            match *self {
                Self::Mine { mailbox } => {
                    let mailbox = mail.open_any(&actor, &mailbox, Rights::TELLING).await?;
                    tell(&mailbox.name, mailbox.rights, out);
                    Ok(Done::ok("these are your rights"))
                }
                Self::Grantable { mailbox, identifier: written } => {
                    let prepared = identifier(&written)?;
                    let grantable = mail.grantable(&actor, &mailbox, &prepared).await?;
                    tell_grantable(&written, &grantable, out);
                    Ok(Done::ok("these rights there are"))
                }
            }
        })
    }
}

/// `* MYRIGHTS INBOX lrswipkxtencda`; LIST tells it too (RFC 8440).
pub(super) fn tell(mailbox: &str, rights: Rights, out: &mut Replies) {
    out.line(|out| {
        out.put("MYRIGHTS ");
        out.mailbox(mailbox);
        out.put(" ");
        out.astring(rights.to_string().as_bytes());
    });
}

/// `* LISTRIGHTS INBOX fred "" l r s w i p k x t e c d a`: no rights are tied together, and an
/// obsolete letter stands where all that it means is (RFC 4314 §2.1.1). The identifier is told as it
/// was written.
fn tell_grantable(identifier: &str, grantable: &Grantable, out: &mut Replies) {
    let Grantable { mailbox, required, optional } = grantable;
    let told = required.to_string();
    let obsolete = Rights::ALL.obsolete().filter(|(_, letter)| !told.contains(*letter));
    let obsolete = obsolete.filter(|(members, _)| optional.meet(*members));
    let each = |letters: Rights| letters.to_string().chars().next();
    let administer = Rights::ADMINISTER;
    let letters = optional
        .without(administer)
        .each()
        .filter_map(each)
        .chain(obsolete.map(|(_, letter)| letter))
        .chain(optional.contain(administer).then_some('a'));
    out.line(|out| {
        out.put("LISTRIGHTS ");
        out.mailbox(mailbox);
        out.put(" ");
        out.astring(identifier.as_bytes());
        out.put(" ");
        out.astring(told.as_bytes());
        for letter in letters {
            out.put(" ");
            out.text(letter.encode_utf8(&mut [0; 4]));
        }
    });
}
