//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1). An account has one quota root, named "".

use super::{Command, Parsed, Running, only_mailbox};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{self, Quota, Rights, name},
    wire::{Cursor, Syntax},
};

/// The unit of the resource STORAGE, in octets (RFC 9208 §5.1).
const UNIT: u64 = 1024;

enum Command9208 {
    Get { root: String },
    GetRoot { mailbox: String },
    Set,
}

/// `"GETQUOTA" SP quota-root-name`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let root = args.astring_text()?.into_owned();
    args.end()?;
    Ok(Box::new(Command9208::Get { root }))
}

/// `"GETQUOTAROOT" SP mailbox`
pub fn parse_root(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(Command9208::GetRoot { mailbox: only_mailbox(args)? }))
}

/// `"SETQUOTA" SP quota-root-name SP "(" [resource-name SP resource-limit …] ")"`
pub fn parse_set(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    args.astring_text()?;
    args.space()?;
    args.list(|args| {
        args.word()?;
        args.space()?;
        args.number64().map_err(|_| Syntax::Expected("a limit"))
    })?;
    args.end()?;
    Ok(Box::new(Command9208::Set))
}

impl Command for Command9208 {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            match *self {
                Self::Get { root } if root.is_empty() => {
                    write(mail.quota(actor.account).await?, out);
                    Ok(Done::ok("this is your quota"))
                }
                Self::Get { .. } => Err(Error::no(Code::NonExistent, "no such quota root")),
                Self::GetRoot { mailbox: name } => {
                    let (name, account) = match mail.open(&actor, &name, Rights::READ).await {
                        Ok(mailbox) => (mailbox.name, mailbox.account),
                        // There need not be such a mailbox (RFC 9208 §4.1.2).
                        Err(mail::Error::NoMailbox | mail::Error::NotSelectable) => {
                            (name::canonical(&name).into(), actor.account)
                        }
                        Err(error) => return Err(error.into()),
                    };
                    out.line(|out| {
                        out.put("QUOTAROOT ");
                        out.mailbox(&name);
                        out.put(" \"\"");
                    });
                    write(mail.quota(account).await?, out);
                    Ok(Done::ok("this is its quota"))
                }
                Self::Set => {
                    Err(Error::no(Code::NoPerm, "only the owner of the server may do this"))
                }
            }
        })
    }
}

/// `* QUOTA "" (STORAGE usage limit …)`
fn write(quota: Quota, out: &mut Replies) {
    out.line(|out| {
        out.put("QUOTA \"\" (STORAGE ");
        out.put(quota.octets.div_ceil(UNIT));
        out.put(" ");
        out.put(quota.octets_limit / UNIT);
        if let Some(limit) = quota.messages_limit {
            out.put(" MESSAGE ");
            out.put(quota.messages);
            out.put(" ");
            out.put(limit);
        }
        out.put(")");
    });
}
