//! STORE and UID STORE (RFC 9051 §6.4.6): changes flags and keywords, or what is said of messages
//! (RFC 5257 §4.5), also only of messages that have not changed since a mod-sequence (RFC 7162
//! §3.1.3).

use super::{Command, Parsed, Running};
use crate::{
    ids::ModSeq,
    imap::{
        annotations,
        error::Error,
        extensions::Numbers,
        fetch::message::{Flags as Form, Gathered},
        flags, message_limit,
        picture::{By, Target},
        reply::{Code, Done, Heading, Replies},
        selected::Selected,
        session::Session,
    },
    mail::{Mail, Rights, annotations::AnnotationValue},
    store::{MarkDeed, MarkNames, MarkOutcome},
    wire::{Buffer, Cursor, Ranges, Set, Syntax},
};

/// Messages whose flags are told at once.
const AT_ONCE: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
struct Store {
    set: Set,
    by: By,
    unchanged_since: Option<ModSeq>,
    change: Change,
}

/// What is changed.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Marks {
        deed: MarkDeed,
        silent: bool,
        names: MarkNames,
    },
    /// What is said of the messages; the client knows what it says (RFC 5257 §4.5).
    Annotations(Vec<AnnotationValue>),
}

impl Change {
    /// Is the client told only what it can't know?
    fn is_silent(&self) -> bool {
        matches!(self, Self::Marks { silent: true, .. } | Self::Annotations(_))
    }
}

/// `"STORE" SP sequence-set [store-modifiers] SP store-att-flags`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args, By::Number)?))
}

/// What is said when a value is longer than it may be.
pub fn too_long(_: u64) -> Code {
    Code::AnnotateTooBig
}

/// `"UID" SP store`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args, By::Uid)?))
}

/// `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag))) /
/// "ANNOTATION" SP "(" entry-att *(SP entry-att) ")"`
fn read(args: &mut Cursor<'_>, by: By) -> Result<Store, Syntax> {
    args.space()?;
    let set = args.set()?;
    args.space()?;
    let mut unchanged_since = None;
    if args.at_list() {
        unchanged_since = Some(modifier(args)?);
        args.space()?;
    }
    if args.take_word("ANNOTATION") {
        args.space()?;
        let change = Change::Annotations(annotations::values(args)?);
        args.end()?;
        return Ok(Store { set, by, unchanged_since, change });
    }
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
    Ok(Store { set, by, unchanged_since, change: Change::Marks { deed, silent, names } })
}

/// `"(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"`
fn modifier(args: &mut Cursor<'_>) -> Result<ModSeq, Syntax> {
    let mut mod_seqs = args.list(|args| {
        args.keyword("UNCHANGEDSINCE")?;
        args.space()?;
        args.number64().map(ModSeq)
    })?;
    let only = mod_seqs.pop().filter(|_| mod_seqs.is_empty());
    only.ok_or(Syntax::Expected("UNCHANGEDSINCE, once"))
}

impl Command for Store {
    /// One change for all messages, durable before anything is said of it.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            session.selected()?.must_be_writable()?;
            if self.unchanged_since.is_some() {
                session.enable_condstore(out);
            }
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let mut targets = selected.targets(&mail, &self.set, self.by).await?;
            let limit = message_limit::highest(&mut targets, most);
            if targets.is_empty() {
                return Ok(Done::ok("no such message"));
            }
            let needed = match &self.change {
                Change::Marks { deed, names, .. } => Rights::for_marks(*deed, names),
                Change::Annotations(_) => Rights::NONE,
            };
            let uids = targets.iter().map(|target| target.uid).collect();
            let (mailbox, since) = (&selected.mailbox, self.unchanged_since);
            // What is not done for want of a right is told: the client believes otherwise.
            let silent = self.change.is_silent() && mailbox.rights.contain(needed);
            let marked = match self.change {
                Change::Marks { deed, names, .. } => {
                    let marking = mail.mark(&actor, mailbox, uids, deed, names, since);
                    out.meanwhile(marking).await??
                }
                Change::Annotations(values) => {
                    let saying = mail.annotate(&actor, mailbox, uids, values, since);
                    out.meanwhile(saying).await??
                }
            };
            let told = Told {
                flags: Form::of(session.enabled),
                mod_seq: session.enabled.condstore,
                uid: !session.enabled.uid_only && (self.by == By::Uid || session.enabled.condstore),
            };
            // A keyword that is new is told before a message that bears it; and who hears from the
            // news how a message is now need not hear it again.
            let news = session.tell(Numbers::Still, out).await?;
            let is_news = |target: &Target| news.binary_search(&target.uid).is_ok();
            let selected = session.selected()?;
            if silent {
                let untold: Vec<_> = targets.iter().copied().filter(|t| !is_news(t)).collect();
                told.tell_mod_seqs(&marked, &untold, since.is_some(), selected, out).await?;
            }
            let shown = |target: &Target| {
                !is_news(target)
                    && if silent {
                        // Of those that had changed the client learns how, so that it can try again.
                        marked.modified.binary_search(&target.uid).is_ok()
                    } else {
                        marked.missing.binary_search(&target.uid).is_err()
                    }
            };
            let mut shown: Vec<_> = targets.iter().copied().filter(shown).collect();
            if limit.is_some() {
                shown.reverse();
            }
            told.tell_flags(&mail, selected, &shown, out).await?;
            let done = outcome(&marked, &targets, self.by, since.is_some());
            message_limit::end(limit, done, out, &session.door.metrics)
        })
    }
}

/// The tagged end. A message that was gone did not fail the test, and did not pass it either
/// (RFC 7162 §3.1.3, Example 11).
fn outcome(
    marked: &MarkOutcome,
    targets: &[Target],
    by: By,
    conditional: bool,
) -> Result<Done, Error> {
    let modified = targets.iter().filter(|t| marked.modified.binary_search(&t.uid).is_ok());
    let modified: Ranges = match by {
        By::Number => modified.map(|target| target.number).collect(),
        By::Uid => modified.map(|target| target.uid.get()).collect(),
    };
    let code = if modified.is_empty() { Code::ExpungeIssued } else { Code::Modified(modified) };
    match (&code, marked.missing.is_empty()) {
        (Code::Modified(_), true) => Ok(Done::with("some messages had changed", code)),
        (_, true) => Ok(Done::ok("stored")),
        (_, false) if conditional => Err(Error::no(code, "some messages are gone")),
        (_, false) => Ok(Done::with("stored; some messages are gone", code)),
    }
}

/// Tells what messages are marked with, whose numbers keep still.
pub(super) async fn tell_flags(
    session: &mut Session,
    targets: &[Target],
    by: By,
    out: &mut Replies,
) -> Result<(), Error> {
    let (mail, enabled) = (session.mail(), session.enabled);
    let told = Told {
        flags: Form::of(enabled),
        mod_seq: enabled.condstore,
        uid: !enabled.uid_only && (by == By::Uid || enabled.condstore),
    };
    // A keyword that is new is told before a message that bears it.
    session.tell(Numbers::Still, out).await?;
    told.tell_flags(&mail, session.selected()?, targets, out).await
}

/// How the messages of a STORE are told.
#[derive(Clone, Copy)]
struct Told {
    flags: Form,
    mod_seq: bool,
    uid: bool,
}

impl Told {
    /// `* 2 FETCH (UID 9 MODSEQ (120) FLAGS (\Deleted \Seen))` for each message
    async fn tell_flags(
        self,
        mail: &Mail,
        selected: &mut Selected,
        targets: &[Target],
        out: &mut Replies,
    ) -> Result<(), Error> {
        for chunk in targets.chunks(AT_ONCE) {
            let mut gathered = Gathered::gather(mail, selected, chunk).await?;
            gathered.add_flags(mail, selected, self.flags).await?;
            if self.mod_seq {
                selected.tell_mod_seq(gathered.mod_seq());
            }
            for message in &gathered.messages {
                let heading = out.heading(message.target);
                out.line(|out| {
                    self.begin(heading, message.target, message.entry.mod_seq, out);
                    out.put(if self.uid || self.mod_seq { " FLAGS " } else { "FLAGS " });
                    out.raw(gathered.flags(message));
                    out.put(")");
                });
                out.breathe().await?;
            }
        }
        Ok(())
    }

    /// `* 2 FETCH (UID 9 MODSEQ (120))` for each message that was changed, though silently; after a
    /// conditional STORE also for those that were so already.
    async fn tell_mod_seqs(
        self,
        marked: &MarkOutcome,
        targets: &[Target],
        conditional: bool,
        selected: &mut Selected,
        out: &mut Replies,
    ) -> Result<(), Error> {
        if !self.mod_seq {
            return Ok(());
        }
        let changed = marked.changed.iter().map(|change| (change.uid, change.mod_seq));
        let as_before = marked.as_before.iter().copied().filter(|_| conditional);
        let mut told: Vec<_> = changed.chain(as_before).collect();
        told.sort_unstable();
        let mut told = told.into_iter().peekable();
        for target in targets {
            while told.next_if(|(uid, _)| *uid < target.uid).is_some() {}
            let Some((_, mod_seq)) = told.next_if(|(uid, _)| *uid == target.uid) else { continue };
            selected.tell_mod_seq(mod_seq);
            let heading = out.heading(*target);
            out.line(|out| {
                self.begin(heading, *target, mod_seq, out);
                out.put(")");
            });
            out.breathe().await?;
        }
        Ok(())
    }

    /// `2 FETCH (UID 9 MODSEQ (120)`; a mod-sequence has its UID before it.
    fn begin(self, heading: Heading, target: Target, mod_seq: ModSeq, out: &mut Buffer) {
        out.put(heading);
        out.put(" (");
        if self.uid {
            out.put("UID ");
            out.put(target.uid.get());
        }
        if self.mod_seq {
            out.put(if self.uid { " MODSEQ (" } else { "MODSEQ (" });
            out.put(mod_seq.0);
            out.put(")");
        }
    }
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
            " 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
            " * (unchangedsince 0) FLAGS ()",
            " 1 ANNOTATION (/comment (value.priv \"My new comment\"))",
            " 1:* (UNCHANGEDSINCE 7) annotation (/comment (value.shared NIL))",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in [
            "",
            " 1",
            " 1 FLAGS",
            " 1 FLAGS.LOUD (a)",
            " 1 *FLAGS (a)",
            " 1 FLAGS (a) b",
            " 1 +ANNOTATION (/comment (value.priv \"x\"))",
            " 1 ANNOTATION (/comment (value \"x\"))",
            " 1 ANNOTATION (/comment (value.priv \"x\")) b",
            " 1 ANNOTATION /comment",
            " 1 () FLAGS (a)",
            " 1 (UNCHANGEDSINCE) FLAGS (a)",
            " 1 (UNCHANGEDSINCE 1) (a)",
            " 1 (UNCHANGEDSINCE 9223372036854775808) FLAGS (a)",
            " 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS (a)",
            " 1 (CHANGEDSINCE 1) FLAGS (a)",
        ] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_stores_read_back(
            first in 1_u32..9,
            sign in proptest::sample::select(vec!["", "+", "-"]),
            silent: bool,
            since in proptest::option::of(0..=u64::MAX / 2),
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
            let modifier = since.map_or(String::new(), |since| format!(" (UNCHANGEDSINCE {since})"));
            let text = format!(" {first}:*{modifier} {sign}FLAGS{suffix} {list}");
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
            let unchanged_since = since.map(ModSeq);
            let (by, names) = (By::Uid, expected);
            let change = Change::Marks { deed, silent, names };
            prop_assert_eq!(store, Ok(Store { set, by, unchanged_since, change }));
        }
    }
}
