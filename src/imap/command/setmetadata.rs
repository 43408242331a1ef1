//! SETMETADATA (RFC 5464 §4.3). A filter has to be one (RFC 5466 §3.2).

use super::{Command, Parsed, Running, getmetadata::entry};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        search::filter,
        session::Session,
    },
    mail::metadata::Entry,
    wire::{Cursor, Syntax},
};

/// Values of one command.
const MOST_VALUES: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
struct SetMetadata {
    /// Empty: the server.
    mailbox: String,
    /// None removes the entry.
    values: Vec<(Entry, Option<Vec<u8>>)>,
}

/// `"SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args)?))
}

fn read(args: &mut Cursor<'_>) -> Result<SetMetadata, Syntax> {
    args.space()?;
    let mailbox = args.mailbox()?;
    args.space()?;
    let mut count = 0;
    let values = args.list(|args| {
        count += 1;
        if count > MOST_VALUES {
            return Err(Syntax::Limit("entries"));
        }
        let entry = entry(args)?;
        if !entry.can_have_value() {
            return Err(Syntax::Expected("an entry that can have a value"));
        }
        args.space()?;
        Ok((entry, args.value()?.map(std::borrow::Cow::into_owned)))
    })?;
    args.end()?;
    if values.is_empty() {
        return Err(Syntax::Expected("an entry and its value"));
    }
    Ok(SetMetadata { mailbox, values })
}

impl Command for SetMetadata {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            if self.mailbox.is_empty() {
                let bounds = session.door.limits.bounds;
                let values = self.values.iter();
                let mut set = values.filter_map(|(entry, value)| Some((entry, value.as_ref()?)));
                set.try_for_each(|(entry, value)| filter::check(entry, value, bounds))
                    .map_err(|what| Error::no(Code::Cannot, what))?;
            }
            let _set = mail.set_metadata(&actor, &self.mailbox, self.values).await?;
            Ok(Done::ok("it is said"))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Buffer;

    #[test]
    fn every_entry_has_a_value() {
        let set = |text: &str| read(&mut Cursor::new(text.as_bytes()));
        let two = set(" INBOX (/private/comment NIL \"/shared/comment\" ~{3}\r\na\0b)").unwrap();
        let values: Vec<_> = two.values.iter().map(|(_, value)| value.as_deref()).collect();
        assert_eq!(values, [None, Some(&b"a\0b"[..])]);
        for bad in [
            "",
            " INBOX",
            " INBOX ()",
            " INBOX /shared/comment \"x\"",
            " INBOX (/shared/comment)",
            " INBOX (/shared/comment x)",
            " INBOX (/shared/comment NIL /shared/a)",
            " INBOX (/shared NIL)",
            " INBOX (/shared/vendor/cmu \"x\")",
            " INBOX (/comment \"x\")",
            " INBOX (/shared/* NIL)",
            " INBOX (/shared/comment {3}\r\na\0b)",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
        let many = |count| format!(" \"\" ({})", vec!["/shared/x NIL"; count].join(" "));
        assert!(set(&many(MOST_VALUES)).is_ok());
        assert_eq!(set(&many(MOST_VALUES + 1)), Err(Syntax::Limit("entries")));
    }

    proptest! {
        #[test]
        fn printed_commands_read_back(
            mailbox in "[ab \u{fc}/&]{0,6}",
            values in proptest::collection::vec(
                ("/(shared|private|Shared)/[a-z \"\\\\(]{1,6}",
                 proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))),
                1..5,
            ),
        ) {
            let mut out = Buffer::default();
            out.put(" ");
            out.mailbox(&mailbox);
            out.put(" ");
            out.list(&values, |out, (name, value)| {
                out.astring(name.as_bytes());
                out.put(" ");
                out.value(value.as_deref());
            });
            let parse = |name: &String| Entry::parse(name.as_bytes()).unwrap();
            let values: Vec<_> =
                values.iter().map(|(name, value)| (parse(name), value.clone())).collect();
            prop_assume!(values.iter().all(|(entry, _)| entry.can_have_value()));
            let read = read(&mut Cursor::new(out.bytes()));
            prop_assert_eq!(read, Ok(SetMetadata { mailbox, values }));
        }
    }
}
