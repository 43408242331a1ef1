//! CREATE (RFC 9051 §6.3.4), with a special use (RFC 6154 §3) and the new mailbox's id (RFC 8474
//! §4.2).

use super::{Command, Parsed, Running, tell_form};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    store::SpecialUse,
    wire::{Cursor, Syntax},
};

struct Create {
    name: String,
    /// None when an attribute is no special use that we know.
    special_use: Option<SpecialUse>,
}

/// `"CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    let mut special_use = Some(SpecialUse::default());
    if args.take(b' ') && !args.is_empty() {
        args.expect(b'(', "create parameters")?;
        args.keyword("USE")?;
        args.space()?;
        for attribute in args.flag_list()? {
            special_use = special_use.zip(SpecialUse::named(attribute)).map(|(a, b)| a.with(b));
        }
        args.expect(b')', "the end of the create parameters")?;
    }
    args.end()?;
    if name.is_empty() {
        return Err(Syntax::Expected("a mailbox name"));
    }
    Ok(Box::new(Create { name, special_use }))
}

impl Command for Create {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let unknown = || Error::no(Code::UseAttr, "unknown special use");
            let special_use = self.special_use.ok_or_else(unknown)?;
            let actor = session.actor()?;
            let made = session.mail().create(&actor, &self.name, special_use).await?;
            tell_form(session, &self.name, "", out);
            Ok(Done::with("mailbox made", Code::MailboxId(*made)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_use_may_follow_the_name() {
        for good in [" a", " a (USE (\\Sent \\Drafts))", " \"a b/\" (use ())", " a (USE (\\Foo))"] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " \"\"", " a (USE)", " a USE (\\Sent)", " a (USE (\\Sent)", " a b"] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
