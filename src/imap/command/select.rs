//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3, RFC 3501 §6.3.1), with the parameters CONDSTORE and
//! QRESYNC (RFC 7162 §3.1.8, §3.2.5): a client that comes back is in step again by this one command.

use super::{Command, Parsed, Running, fetch, in_other_form};
use crate::{
    ids::{ModSeq, UidValidity},
    imap::{
        error::Error,
        reply::{Code, Done, OldName, Replies, Vanished},
        resync::{self, Among},
        selected::{Access, Opened, Selected},
        session::{Enabled, Session, uid_required},
    },
    mail::{Actor, Mail, Rights},
    wire::{Cursor, Ranges, Syntax},
};

struct Select {
    name: String,
    access: Access,
    condstore: bool,
    /// The client wants to hear of what others say of messages (RFC 5257 §4.2).
    annotate: bool,
    resync: Option<Resync>,
}

/// What a client knows of a mailbox from the last time.
#[derive(Debug, PartialEq, Eq)]
struct Resync {
    uid_validity: UidValidity,
    mod_seq: ModSeq,
    /// The UIDs it wants to hear of; None means all.
    uids: Option<Ranges>,
    /// A sample: message numbers and their UIDs.
    sample: Option<(Ranges, Ranges)>,
}

/// `"SELECT" SP mailbox [select-params]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, Access::ReadWrite)
}

/// `"EXAMINE" SP mailbox [select-params]`
pub fn parse_examine(args: &mut Cursor<'_>) -> Parsed {
    read(args, Access::ReadOnly)
}

/// `select-params = SP "(" select-param *(SP select-param) ")"` (RFC 4466 §2.1), where
/// `select-param = "CONDSTORE" / "QRESYNC" SP resync / "ANNOTATE"`
fn read(args: &mut Cursor<'_>, access: Access) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    let mut select = Select { name, access, condstore: false, annotate: false, resync: None };
    if args.rest().starts_with(b" (") {
        args.space()?;
        args.list(|args| {
            match args.word()?.to_ascii_uppercase().as_str() {
                "CONDSTORE" => select.condstore = true,
                "ANNOTATE" => select.annotate = true,
                "QRESYNC" if select.resync.is_none() => {
                    args.space()?;
                    select.resync = Some(resync(args)?);
                }
                _ => return Err(Syntax::Expected("CONDSTORE, QRESYNC or ANNOTATE")),
            }
            Ok(())
        })?;
    }
    args.end()?;
    Ok(Box::new(select))
}

/// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`
fn resync(args: &mut Cursor<'_>) -> Result<Resync, Syntax> {
    args.expect(b'(', "\"(\" behind QRESYNC")?;
    let uid_validity = UidValidity(args.nonzero()?);
    args.space()?;
    let mod_seq = ModSeq(args.number64()?);
    let (mut uids, mut sample) = (None, None);
    if args.take(b' ') && !args.at_list() {
        uids = Some(known(args)?);
        if args.take(b' ') && !args.at_list() {
            return Err(Syntax::Expected("message numbers and UIDs in brackets"));
        }
    }
    if args.take(b'(') {
        let numbers = known(args)?;
        args.space()?;
        let of_them = known(args)?;
        args.expect(b')', "the end of the sample")?;
        sample = Some((numbers, of_them));
    }
    args.expect(b')', "the end of QRESYNC")?;
    Ok(Resync { uid_validity, mod_seq, uids, sample })
}

/// A set of numbers that the client knows: neither `*` nor `$` can be among them.
fn known(args: &mut Cursor<'_>) -> Result<Ranges, Syntax> {
    let set = args.set()?;
    if set.names_last() || set.saved {
        return Err(Syntax::Expected("a set of known numbers"));
    }
    Ok(set.resolve(0))
}

impl Command for Select {
    /// The mailbox that was open is closed first, whatever becomes of this one.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            if self.resync.is_some() && !session.enabled.qresync {
                return Err(Error::unfit("enable QRESYNC first"));
            }
            let sampled = self.resync.as_ref().is_some_and(|known| known.sample.is_some());
            if sampled && session.enabled.uid_only {
                return Err(uid_required());
            }
            if session.select(None) {
                out.ok(&Code::Closed, "closed");
            }
            if self.condstore {
                session.enable_condstore(out);
            }
            let mailbox = mail.open(&actor, &self.name, Rights::READ).await?;
            let known = self.resync.as_ref();
            let known = known.filter(|known| known.uid_validity == mailbox.uid_validity);
            let opening = Selected::open(
                &mail,
                &actor,
                session.id,
                mailbox,
                self.access,
                known.map(|known| known.mod_seq),
            );
            let (mut selected, opened) = out.meanwhile(opening).await??;
            let old = in_other_form(session, &self.name).then_some(self.name.as_str());
            let notified = session.notify.as_ref().is_some_and(|n| n.wants().annotations);
            selected.hear_annotations(self.annotate || notified, session.enabled);
            describe(&selected, &opened, session.enabled, old, out);
            let said = match self.access {
                Access::ReadWrite => Some(session.door.limits.value).filter(|most| *most > 0),
                Access::ReadOnly => None,
            };
            out.ok(&Code::Annotations(said), OK);
            out.ok(&Code::UrlMech, OK);
            if let Some(known) = known.filter(|known| known.mod_seq < opened.mod_seq) {
                let enabled = session.enabled;
                known.catch_up(&mail, &actor, &mut selected, enabled, out).await?;
            }
            let code = if selected.writes() { Code::ReadWrite } else { Code::ReadOnly };
            session.select(Some(selected));
            Ok(Done::with("selected", code))
        })
    }
}

impl Resync {
    /// Tells what is gone, then what has changed, since the client was here.
    async fn catch_up(
        &self,
        mail: &Mail,
        actor: &Actor,
        selected: &mut Selected,
        enabled: Enabled,
        out: &mut Replies,
    ) -> Result<(), Error> {
        let above = match &self.sample {
            // Who knows more of the one than of the other knows nothing for sure.
            Some((numbers, uids)) if numbers.count() != uids.count() => 0,
            Some((numbers, uids)) => resync::matched(mail, selected, numbers, uids).await?,
            None => 0,
        };
        let among =
            self.uids.as_ref().map_or(Among::Above(above), |uids| Among::Known(uids, above));
        let uids = resync::vanished(mail, selected, self.mod_seq, among).await?;
        Vanished { uids, earlier: true }.write(out).await?;
        let uids = self.uids.as_ref();
        let changed = resync::changed_among(mail, selected, self.mod_seq, uids).await?;
        fetch::flags(mail, actor, selected, enabled, &changed, out).await
    }
}

/// The text behind a code that says it all: there must be one, and a phone that comes back pays for each
/// octet.
const OK: &str = "ok";

fn describe(
    selected: &Selected,
    opened: &Opened,
    enabled: Enabled,
    old: Option<&str>,
    out: &mut Replies,
) {
    let mailbox = &selected.mailbox;
    out.line(|out| {
        out.put("FLAGS (");
        out.put(opened.flags.names().as_str());
        out.put(")");
    });
    out.line(|out| {
        out.put(opened.exists);
        out.put(" EXISTS");
    });
    if enabled.rev2 {
        out.put(OldName { attributes: "", name: &mailbox.name, old });
    } else {
        out.line(|out| {
            out.put(opened.recent);
            out.put(" RECENT");
        });
        if let Some(number) = opened.unseen.filter(|_| !enabled.uid_only) {
            out.ok(&Code::Unseen(number), OK);
        }
    }
    let kept = selected.permanent(&opened.flags);
    out.ok(&Code::PermanentFlags(kept), OK);
    out.ok(&Code::UidValidity(mailbox.uid_validity), OK);
    out.ok(&Code::UidNext(opened.uid_next), OK);
    out.ok(&Code::HighestModSeq(opened.mod_seq), OK);
    out.ok(&Code::MailboxId(mailbox.id), OK);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_resync(text: &str) -> Result<Resync, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = resync(&mut args)?;
        args.end()?;
        Ok(read)
    }

    #[test]
    fn parameters_stand_in_brackets() {
        for good in [
            " INBOX",
            " INBOX (CONDSTORE)",
            " \"a b\" (condstore qresync (1 2))",
            " INBOX (QRESYNC (67890007 90060115194045000 41:211,214:541) CONDSTORE)",
            " INBOX ",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in [
            "",
            " INBOX(CONDSTORE)",
            " INBOX (CONDSTORE",
            " INBOX (FOO)",
            " INBOX CONDSTORE",
            " INBOX (QRESYNC)",
            " INBOX (QRESYNC 1 2)",
            " INBOX (QRESYNC (1 2) QRESYNC (1 2))",
        ] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_known_is_read_with_and_without_its_parts() {
        let read = read_resync("(7 90060115194045000)").unwrap();
        assert_eq!(
            (read.uid_validity, read.mod_seq),
            (UidValidity(7), ModSeq(90_060_115_194_045_000))
        );
        assert_eq!((read.uids, read.sample), (None, None));
        let read = read_resync("(7 8 (1,2 10,20))").unwrap();
        assert!(read.uids.is_none());
        assert_eq!(
            read.sample,
            Some(([1, 2].into_iter().collect(), [10, 20].into_iter().collect()))
        );
        let read = read_resync("(7 8 1:9 (1:2 10:11))").unwrap();
        assert!(read.uids.is_some_and(|uids| uids.count() == 9) && read.sample.is_some());
    }

    #[test]
    fn nobody_knows_a_star_nor_a_number_beyond_63_bits() {
        for bad in [
            "()",
            "(0 8)",
            "(7)",
            "(7 9223372036854775808)",
            "(7 -1)",
            "(7 8 *)",
            "(7 8 1:*)",
            "(7 8 $)",
            "(7 8 1:9 (* 10))",
            "(7 8 1:9 (1 *))",
            "(7 8 1:9 (1))",
            "(7 8 1:9 2)",
            "(7 8 )",
            "(4294967296 8)",
        ] {
            assert!(read_resync(bad).is_err(), "{bad}");
        }
        assert!(read_resync("(7 9223372036854775807)").is_ok());
    }
}
