//! STORE and UID STORE (RFC 9051 §6.4.6): changes flags and keywords.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        extensions::Numbers,
        fetch::message::{Flags as Form, Gathered},
        flags,
        picture::{By, Target},
        reply::{Code, Done, Replies},
        selected::Selected,
        session::Session,
    },
    mail::Mail,
    store::{MarkDeed, MarkNames},
    wire::{Cursor, Set, Syntax},
};

/// Messages whose flags are told at once.
const AT_ONCE: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
struct Store {
    set: Set,
    by: By,
    deed: MarkDeed,
    silent: bool,
    names: MarkNames,
}

/// `"STORE" SP sequence-set SP store-att-flags`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args, By::Number)?))
}

/// `"UID" SP store`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args, By::Uid)?))
}

/// `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))`
fn read(args: &mut Cursor<'_>, by: By) -> Result<Store, Syntax> {
    args.space()?;
    let set = args.set()?;
    args.space()?;
    let deed = if args.take(b'+') {
        MarkDeed::Add
    } else if args.take(b'-') {
        MarkDeed::Remove
    } else {
        MarkDeed::Replace
    };
    let silent = match args.word()?.to_ascii_uppercase().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(Syntax::Expected("FLAGS, +FLAGS or -FLAGS, perhaps with .SILENT")),
    };
    args.space()?;
    let names = flags::list_or_bare(args)?;
    args.end()?;
    Ok(Store { set, by, deed, silent, names })
}

impl Command for Store {
    /// One change for all messages, durable before anything is said of it.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            let form = if session.enabled.rev2 { Form::Rev2 } else { Form::Rev1 };
            let selected = session.selected()?;
            selected.must_be_writable()?;
            let targets = selected.targets(&mail, &self.set, self.by).await?;
            if targets.is_empty() {
                return Ok(Done::ok("no such message"));
            }
            let uids = targets.iter().map(|target| target.uid).collect();
            let mailbox = &selected.mailbox;
            let marked = mail.mark(&actor, mailbox, uids, self.deed, self.names, None).await?;
            let missing = &marked.missing;
            if !self.silent {
                // A keyword that is new is told before a message that bears it.
                session.tell(Numbers::Still, out).await?;
                let there = |target: &Target| missing.binary_search(&target.uid).is_err();
                let targets: Vec<_> = targets.into_iter().filter(there).collect();
                tell(&mail, session.selected()?, &targets, self.by, form, out).await?;
            }
            Ok(if missing.is_empty() {
                Done::ok("stored")
            } else {
                Done::with("stored; some messages are gone", Code::ExpungeIssued)
            })
        })
    }
}

/// `* 2 FETCH (FLAGS (\Deleted \Seen))` for each message
async fn tell(
    mail: &Mail,
    selected: &mut Selected,
    targets: &[Target],
    by: By,
    form: Form,
    out: &mut Replies,
) -> Result<(), Error> {
    for chunk in targets.chunks(AT_ONCE) {
        let mut gathered = Gathered::gather(mail, selected, chunk).await?;
        gathered.add_flags(mail, selected, form).await?;
        for message in &gathered.messages {
            out.line(|out| {
                out.put(message.target.number);
                out.put(" FETCH (");
                if by == By::Uid {
                    out.put("UID ");
                    out.put(message.target.uid.get());
                    out.put(" ");
                }
                out.put("FLAGS ");
                out.raw(gathered.flags(message));
                out.put(")");
            });
            out.breathe().await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flags::Flags;

    #[test]
    fn every_deed_is_read() {
        for good in [
            " 1 FLAGS (\\Seen)",
            " 1:* +flags.silent (\\Seen mine)",
            " $ -FLAGS \\Deleted \\Seen",
            " 2 FLAGS ()",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " 1", " 1 FLAGS", " 1 FLAGS.LOUD (a)", " 1 *FLAGS (a)", " 1 FLAGS (a) b"] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_stores_read_back(
            first in 1_u32..9,
            sign in proptest::sample::select(vec!["", "+", "-"]),
            silent: bool,
            flags in proptest::sample::subsequence(Flags::NAMES.to_vec(), 0..=Flags::NAMES.len()),
            keywords in proptest::collection::vec("x[a-z0-9$.]{0,5}", 0..4),
            bare: bool,
        ) {
            let names: Vec<_> = flags.iter().map(|(_, name)| *name)
                .chain(keywords.iter().map(String::as_str)).collect();
            let list = match names.join(" ") {
                list if bare && !list.is_empty() => list,
                list => format!("({list})"),
            };
            let suffix = if silent { ".SILENT" } else { "" };
            let text = format!(" {first}:* {sign}FLAGS{suffix} {list}");
            let store = read(&mut Cursor::new(text.as_bytes()), By::Uid);
            let mut expected = MarkNames { keywords, ..MarkNames::default() };
            for (flag, _) in &flags {
                expected.flags = expected.flags.with(*flag);
            }
            let deed = match sign {
                "+" => MarkDeed::Add,
                "-" => MarkDeed::Remove,
                _ => MarkDeed::Replace,
            };
            let set = Cursor::new(format!("{first}:*").as_bytes()).set().unwrap();
            prop_assert_eq!(store, Ok(Store { set, by: By::Uid, deed, silent, names: expected }));
        }
    }
}
