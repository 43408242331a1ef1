//! GETMETADATA (RFC 5464 §4.2).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{
        Mail,
        metadata::{Depth, Entry, FoundMetadata, NoEntry, WantedMetadata},
    },
    wire::{Cursor, Syntax},
};

/// Entries of one command.
const MOST_ENTRIES: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
struct GetMetadata {
    /// Empty: the server.
    mailbox: String,
    wanted: WantedMetadata,
}

/// `"GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`; the RFC's examples have the options
/// behind the mailbox, and entries without brackets
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args)?))
}

fn read(args: &mut Cursor<'_>) -> Result<GetMetadata, Syntax> {
    let mut wanted = WantedMetadata::default();
    args.space()?;
    if args.at_list() {
        options(args, &mut wanted)?;
        args.space()?;
    }
    let mailbox = args.mailbox()?;
    args.space()?;
    if matches!(args.rest(), [b'(', letter, ..] if letter.is_ascii_alphabetic()) {
        options(args, &mut wanted)?;
        args.space()?;
    }
    wanted.entries = if args.at_list() { entries(args)? } else { bare_entries(args)? };
    args.end()?;
    let has_value = |entry: &Entry| wanted.depth != Depth::Zero || entry.can_have_value();
    if wanted.entries.is_empty() || !wanted.entries.iter().all(has_value) {
        return Err(Syntax::Expected("an entry that can have a value"));
    }
    Ok(GetMetadata { mailbox, wanted })
}

/// `"(" ("MAXSIZE" SP number / "DEPTH" SP ("0" / "1" / "infinity")) … ")"`
fn options(args: &mut Cursor<'_>, wanted: &mut WantedMetadata) -> Result<(), Syntax> {
    args.list(|args| {
        let word = args.word()?.to_ascii_uppercase();
        args.space()?;
        match word.as_str() {
            "MAXSIZE" => wanted.most = Some(args.number()?.into()),
            "DEPTH" => {
                wanted.depth = match args.word()?.to_ascii_lowercase().as_str() {
                    "0" => Depth::Zero,
                    "1" => Depth::One,
                    "infinity" => Depth::Infinity,
                    _ => return Err(Syntax::Expected("0, 1 or infinity")),
                }
            }
            _ => return Err(Syntax::Expected("MAXSIZE or DEPTH")),
        }
        Ok(())
    })?;
    Ok(())
}

/// `"(" entry *(SP entry) ")"`
pub fn entries(args: &mut Cursor<'_>) -> Result<Vec<Entry>, Syntax> {
    let mut count = 0;
    args.list(|args| {
        count += 1;
        if count > MOST_ENTRIES { Err(Syntax::Limit("entries")) } else { entry(args) }
    })
}

fn bare_entries(args: &mut Cursor<'_>) -> Result<Vec<Entry>, Syntax> {
    let mut entries = vec![entry(args)?];
    while args.take(b' ') && !args.is_empty() {
        if entries.len() == MOST_ENTRIES {
            return Err(Syntax::Limit("entries"));
        }
        entries.push(entry(args)?);
    }
    Ok(entries)
}

/// `entry = astring`, slash-separated, without `*` and `%`
pub fn entry(args: &mut Cursor<'_>) -> Result<Entry, Syntax> {
    Entry::parse(&args.astring()?).map_err(|error| match error {
        NoEntry::TooLong => Syntax::Limit("octets in an entry's name"),
        NoEntry::Malformed(what) => Syntax::Expected(what),
    })
}

impl Command for GetMetadata {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let mut found = mail.metadata(&actor, &self.mailbox, self.wanted).await?;
            tell(&mail, &mut found, out).await?;
            Ok(match found.longest {
                None => Done::ok("this is what is said of it"),
                Some(size) => Done::with("some values are longer", Code::MetadataLongEntries(size)),
            })
        })
    }
}

/// `* METADATA mailbox (entry value …)`, in several lines when the values are long.
pub async fn tell(mail: &Mail, found: &mut FoundMetadata, out: &mut Replies) -> Result<(), Error> {
    while let Some(values) = mail.next_metadata(found).await? {
        out.buffer().put("* METADATA ");
        out.buffer().mailbox(&found.mailbox);
        let mut before = " (";
        for (name, value) in values {
            let buffer = out.buffer();
            buffer.put(before);
            buffer.astring(name.as_bytes());
            buffer.put(" ");
            buffer.value(value.as_deref());
            before = " ";
            out.breathe().await?;
        }
        out.buffer().put(")\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Buffer;

    fn get(text: &str) -> Result<GetMetadata, Syntax> {
        read(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn options_stand_where_the_grammar_or_where_the_examples_have_them() {
        let both = [
            " (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment)",
            " \"INBOX\" (depth Infinity maxsize 1024) /shared/comment",
        ];
        let [one, other] = both.map(|text| get(text).unwrap());
        assert_eq!(one, other);
        assert_eq!((one.wanted.depth, one.wanted.most), (Depth::Infinity, Some(1024)));
        assert_eq!(get(" \"\" /shared/admin").unwrap().mailbox, "");
        assert_eq!(get(" a /private/comment /shared/comment").unwrap().wanted.entries.len(), 2);
        assert!(get(" (DEPTH 1) INBOX /private").is_ok());
    }

    #[test]
    fn what_names_no_entry_is_refused() {
        for bad in [
            "",
            " INBOX",
            " INBOX ()",
            " INBOX comment",
            " INBOX /comment",
            " INBOX \"/shared/%\"",
            " INBOX /shared/",
            " INBOX /private",
            " INBOX /shared/vendor/cmu",
            " (DEPTH 2) INBOX /shared/comment",
            " (MAXSIZE) INBOX /shared/comment",
            " (MAXSIZE -1) INBOX /shared/comment",
            " (SIZE 3) INBOX /shared/comment",
            " INBOX (/shared/comment",
            " INBOX (/shared/comment) x",
        ] {
            assert!(get(bad).is_err(), "{bad}");
        }
        let many = |count| format!(" INBOX ({})", vec!["/shared/x"; count].join(" "));
        assert!(get(&many(MOST_ENTRIES)).is_ok());
        assert_eq!(get(&many(MOST_ENTRIES + 1)), Err(Syntax::Limit("entries")));
        let long = format!(" INBOX \"/shared/{}\"", "x".repeat(993));
        assert_eq!(get(&long), Err(Syntax::Limit("octets in an entry's name")));
    }

    proptest! {
        #[test]
        fn printed_commands_read_back(
            mailbox in "[ab \u{fc}/&]{0,6}",
            names in proptest::collection::vec("/(shared|private|Shared)/[a-z \"\\\\(]{1,6}(/[a-z]{1,3})?", 1..5),
            most in proptest::option::of(any::<u32>()),
            depth in proptest::sample::select(vec![Depth::Zero, Depth::One, Depth::Infinity]),
            behind: bool,
        ) {
            let mut options = Buffer::default();
            options.put(match depth {
                Depth::Zero => "(DEPTH 0",
                Depth::One => "(DEPTH 1",
                Depth::Infinity => "(DEPTH infinity",
            });
            if let Some(most) = most {
                options.put(" MAXSIZE ");
                options.put(most);
            }
            options.put(")");
            let mut out = Buffer::default();
            out.put(" ");
            if !behind {
                out.raw(options.bytes());
                out.put(" ");
            }
            out.mailbox(&mailbox);
            out.put(" ");
            if behind {
                out.raw(options.bytes());
                out.put(" ");
            }
            out.list(&names, |out, name| out.astring(name.as_bytes()));
            let entries = names.iter().map(|name| Entry::parse(name.as_bytes()).unwrap()).collect();
            let wanted = WantedMetadata { entries, depth, most: most.map(u64::from) };
            let read = read(&mut Cursor::new(out.bytes()));
            prop_assume!(depth != Depth::Zero || wanted.entries.iter().all(Entry::can_have_value));
            prop_assert_eq!(read, Ok(GetMetadata { mailbox, wanted }), "{}", String::from_utf8_lossy(out.bytes()));
        }
    }
}
