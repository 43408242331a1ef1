//! GETACL, SETACL and DELETEACL (RFC 4314 §3.1 to §3.3): who else may do what with a mailbox.

use super::{Command, Parsed, Running, only_mailbox};
use crate::{
    imap::{
        error::Error,
        reply::{Done, Replies},
        session::Session,
    },
    mail::{Rights, RightsChange, acl::Acl},
    wire::{Cursor, Syntax},
};

enum Command4314 {
    Get { mailbox: String },
    Set { mailbox: String, identifier: String, change: RightsChange },
}

/// `"GETACL" SP mailbox`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Command4314::Get { mailbox: only_mailbox(args)? }))
}

/// `"SETACL" SP mailbox SP identifier SP mod-rights`
pub fn parse_set(args: &mut Cursor<'_>) -> Parsed {
    let (mailbox, identifier) = mailbox_and_identifier(args)?;
    args.space()?;
    let rights = args.astring_text()?;
    args.end()?;
    // A right that is unknown is an error, never passed over (§3.1).
    let change =
        rights.parse().map_err(|_| Syntax::Expected("rights: letters of lrswipkxtencda"))?;
    Ok(Box::new(Command4314::Set { mailbox, identifier, change }))
}

/// `"DELETEACL" SP mailbox SP identifier`
pub fn parse_delete(args: &mut Cursor<'_>) -> Parsed {
    let (mailbox, identifier) = mailbox_and_identifier(args)?;
    args.end()?;
    let change = RightsChange::Replace(Rights::NONE);
    Ok(Box::new(Command4314::Set { mailbox, identifier, change }))
}

/// `SP mailbox SP identifier`
pub(super) fn mailbox_and_identifier(args: &mut Cursor<'_>) -> Result<(String, String), Syntax> {
    args.space()?;
    let mailbox = args.mailbox()?;
    args.space()?;
    let written = args.astring_text()?.into_owned();
    identifier(&written)?;
    Ok((mailbox, written))
}

/// An identifier in the form in which it is looked up (RFC 4314 §3).
pub(super) fn identifier(written: &str) -> Result<String, Syntax> {
    let prepared = stringprep::saslprep(written).map_err(|_| Syntax::Expected("an identifier"))?;
    if prepared.is_empty() { Err(Syntax::Expected("an identifier")) } else { Ok(prepared.into()) }
}

impl Command for Command4314 {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            match *self {
                Self::Get { mailbox } => {
                    tell(&mail.acl(&actor, &mailbox).await?, out);
                    Ok::<_, Error>(Done::ok("this is its list"))
                }
                Self::Set { mailbox, identifier: written, change } => {
                    let identifier = identifier(&written)?;
                    let _set = mail.set_acl(&actor, &mailbox, &identifier, change).await?;
                    tracing::info!(session = %session.id, account = %actor.account, mailbox, identifier, ?change, "rights changed");
                    Ok(Done::ok("rights changed"))
                }
            }
        })
    }
}

/// `* ACL INBOX fred lrswipkxtencda chris lrs`
fn tell(acl: &Acl, out: &mut Replies) {
    out.line(|out| {
        out.put("ACL ");
        out.mailbox(&acl.mailbox);
        for (identifier, rights) in &acl.entries {
            out.put(" ");
            out.astring(identifier.as_bytes());
            out.put(" ");
            out.astring(rights.to_string().as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_small_letters_that_are_known() {
        let set = |text: &str| parse_set(&mut Cursor::new(text.as_bytes()));
        for good in [" INBOX a@b lrs", " INBOX -a@b +cda", " INBOX anyone \"\"", " \"a b\" x -x"] {
            assert!(set(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " INBOX",
            " INBOX a@b",
            " INBOX a@b lrQswicda",
            " INBOX a@b lrqswicda",
            " INBOX a@b lr0",
            " INBOX a@b ++l",
            " INBOX \"\" lr",
            " INBOX \"\\\u{7f}\" lr",
            " INBOX a@b lr s",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
    }
}
