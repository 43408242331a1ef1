//! GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208 §4.1). An account has one quota root: ""
//! for the user, for others named like the mailboxes that they see of it.

use super::{Command, Parsed, Running, only_mailbox};
use crate::{
    ids::AccountId,
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{self, Actor, Mail, Quota, Rights, name},
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
    let root = args.mailbox()?;
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
                Self::Get { root } => {
                    let account = mail.quota_root(&actor, &root).await?;
                    let account = account
                        .ok_or_else(|| Error::no(Code::NonExistent, "no such quota root"))?;
                    Root { account, name: root }.tell(&mail, out).await?;
                    Ok(Done::ok("this is the quota"))
                }
                Self::GetRoot { mailbox: name } => {
                    let (name, root) = match mail.open(&actor, &name, Rights::READ).await {
                        Ok(mailbox) => {
                            let root = name::root(&mailbox.name).to_owned();
                            (mailbox.name, Root { account: mailbox.account, name: root })
                        }
                        // There need not be such a mailbox (RFC 9208 §4.1.2).
                        Err(mail::Error::NoMailbox | mail::Error::NotSelectable)
                            if !name::is_foreign(&name) =>
                        {
                            (name::full(&name).into(), Root::own(&actor))
                        }
                        Err(error) => return Err(error.into()),
                    };
                    out.line(|out| {
                        out.put("QUOTAROOT ");
                        out.mailbox(&name);
                        out.put(" ");
                        out.mailbox(&root.name);
                    });
                    root.tell(&mail, out).await?;
                    Ok(Done::ok("this is its quota"))
                }
                Self::Set => {
                    Err(Error::no(Code::NoPerm, "only the owner of the server may do this"))
                }
            }
        })
    }
}

/// A quota root: an account, named by where its mailboxes begin for the user, without the separator.
struct Root {
    account: AccountId,
    name: String,
}

impl Root {
    fn own(actor: &Actor) -> Self {
        Self { account: actor.account, name: String::new() }
    }

    /// `* QUOTA "" (STORAGE usage limit …)`
    async fn tell(&self, mail: &Mail, out: &mut Replies) -> Result<(), Error> {
        let quota = mail.quota(self.account).await?;
        write(&self.name, quota, out);
        Ok(())
    }
}

fn write(root: &str, quota: Quota, out: &mut Replies) {
    out.line(|out| {
        out.put("QUOTA ");
        out.mailbox(root);
        out.put(" (STORAGE ");
        // Both are rounded alike, and up: usage is shown over the limit only when it is, and neither
        // is shown as 0, which means that there is none (RFC 9208 §3.1.2), unless it is.
        out.put(quota.octets.div_ceil(UNIT));
        out.put(" ");
        out.put(quota.octets_limit.div_ceil(UNIT));
        if let Some(limit) = quota.messages_limit {
            out.put(" MESSAGE ");
            out.put(quota.messages);
            out.put(" ");
            out.put(limit);
        }
        out.put(")");
    });
}
