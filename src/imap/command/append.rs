//! APPEND (RFC 9051 §6.3.12): one message or several (RFC 3502), also with NUL (RFC 3516), marked as
//! UTF-8 (RFC 6855 §4) or with what is said of it (RFC 5257 §4.7). Messages go to a spool as they come; all are kept, or none.
//!
//! Headers in eight bits are taken from everybody. RFC 6855 §4 would refuse them before ENABLE; but
//! such mail is older than that rule, and mail is never refused for being broken.

use super::{Command, Parsed, Running, copy::no_place, tell_form};
use crate::{
    imap::{
        annotations,
        error::Error,
        flags,
        reply::{Code, Done, Replies},
        session::{Session, now},
    },
    mail::{
        self, Actor, Appended, Appending, Mailbox, NewMail, Prepared, Quota,
        annotations::AnnotationValue,
    },
    net::Literal,
    store::MarkNames,
    wire::{Cursor, Syntax},
};

struct Append {
    name: String,
    first: Head,
}

/// What stands before a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) marks: MarkNames,
    /// In seconds since 1970; None means now.
    pub(super) date: Option<i64>,
    /// What is said of the message (RFC 5257 §4.7).
    pub(super) annotations: Vec<AnnotationValue>,
    pub(super) literal: Literal,
    /// `UTF8 (` stands before the literal, and a bracket must follow it.
    pub(super) utf8: bool,
}

/// `"APPEND" SP mailbox 1*append-message`, up to the first message's literal
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    let first = head(args)?;
    Ok(Box::new(Append { name, first }))
}

/// Is the literal at the end of these arguments a message, and not the mailbox's name?
pub fn is_data(args: &[u8]) -> bool {
    let mut args = Cursor::new(args);
    args.space().and_then(|()| args.astring()).is_ok() && !args.is_empty() && !is_value(&args)
}

/// Is the literal at the end of a message's head, or of what shall become one, a value that is said of
/// the message?
fn is_value(head: &Cursor<'_>) -> bool {
    const WORD: &[u8] = b"ANNOTATION";
    let mut words = head.rest().windows(WORD.len());
    if !words.any(|word| word.eq_ignore_ascii_case(WORD)) {
        return false;
    }
    let mut args = head.clone();
    let begins = marks_and_date(&mut args).is_ok() && args.take_word("ANNOTATION");
    begins && args.space().and_then(|()| annotations::values(&mut args)).is_err()
}

/// `append-message = [SP flag-list] [SP date-time] [SP "ANNOTATION" SP "(" entry-att … ")"] SP
/// (literal / literal8 / "UTF8" SP "(" literal8)`
pub(super) fn head(args: &mut Cursor<'_>) -> Result<Head, Syntax> {
    let (marks, date) = marks_and_date(args)?;
    let mut said = Vec::new();
    if args.take_word("ANNOTATION") {
        args.space()?;
        said = annotations::values(args)?;
        args.space()?;
    }
    let utf8 = args.take_word("UTF8");
    if utf8 {
        args.space()?;
        args.expect(b'(', "\"(\" behind UTF8")?;
    }
    let begins = matches!(args.rest(), [b'{', ..] | [b'~', b'{', ..]);
    let literal = Literal::announced_by(args.rest()).filter(|_| begins);
    let literal = literal.ok_or(Syntax::Expected("a literal with the message"))?;
    if utf8 && !literal.binary {
        return Err(Syntax::Expected("a literal8 behind UTF8"));
    }
    Ok(Head { marks, date, annotations: said, literal, utf8 })
}

/// `SP [flag-list SP] [date-time SP]`; the word FLAGS before the flags is let pass
fn marks_and_date(args: &mut Cursor<'_>) -> Result<(MarkNames, Option<i64>), Syntax> {
    args.space()?;
    if args.take_word("FLAGS") {
        args.space()?;
    }
    let mut marks = MarkNames::default();
    if args.at_list() {
        marks = flags::list(args)?;
        args.space()?;
    }
    let mut date = None;
    if args.peek() == Some(b'"') {
        date = Some(args.date_time()?.as_second());
        args.space()?;
    }
    Ok((marks, date))
}

/// A message of so few octets waits in memory. It is read before anything is looked up when it comes
/// without a go-ahead, or when the last one found its place there just now: one job does all then.
const AT_ONCE_MAX: u64 = 128 << 10;

impl Command for Append {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let Self { name, first } = *self;
            let Literal { size, sent_at_once, .. } = first.literal;
            let again = session.appended_to.take().is_some_and(|last| *last == *name);
            let appended = if (sent_at_once || again) && size <= AT_ONCE_MAX {
                at_once(session, &actor, &name, first, out).await?
            } else {
                asked_for(session, &actor, &name, first, out).await?
            };
            session.appended_to = Some(name.as_str().into());
            tell_form(session, &name, "", out);
            tracing::info!(session = %session.id, messages = appended.uids.len(), "imap append");
            Ok(match append_uid(appended) {
                Some(code) => Done::with("appended", code),
                None => Done::ok("appended"),
            })
        })
    }
}

/// `[APPENDUID 38505 3955]`, if the client may know it (RFC 4315 §3).
pub(super) fn append_uid(appended: Appended) -> Option<Code> {
    appended.told.then_some(Code::AppendUid(appended.uid_validity, appended.uids))
}

/// Looks whether there is a place for a message before its client is asked to send it.
async fn asked_for(
    session: &mut Session,
    actor: &Actor,
    name: &str,
    first: Head,
    out: &mut Replies,
) -> Result<Appended, Error> {
    let mailbox = match open(session, actor, name, &first, 0).await {
        Ok(mailbox) => mailbox,
        Err(error) => {
            session.swallow(first.literal).await?;
            return Err(error);
        }
    };
    let mut all = session.mail().appending(actor, &mailbox)?;
    let read = messages(session, first, &mut all, out).await;
    finish(session, name, all, read).await
}

/// Reads a small message, then keeps it if there is a place for it.
async fn at_once(
    session: &mut Session,
    actor: &Actor,
    name: &str,
    first: Head,
    out: &mut Replies,
) -> Result<Appended, Error> {
    if let Err(error) = check_head(session, &first) {
        session.swallow(first.literal).await?;
        return Err(error);
    }
    let mut held = session.input()?.share();
    let message = match message(session, &first, out).await {
        Ok(message) if held.hold(usize::try_from(message.weight()).unwrap_or(usize::MAX)) => {
            message
        }
        Err(error @ (Error::Bye(..) | Error::Connection(_))) => return Err(error),
        read => {
            session.swallow_rest().await?;
            return Err(read.err().unwrap_or_else(busy));
        }
    };
    let new = NewMail {
        message,
        marks: first.marks,
        internal_date: first.date,
        annotations: first.annotations,
    };
    let mail = session.mail();
    let Some(next) = following(session, first.utf8, out).await? else {
        let appended = mail.append_one(actor, name, new).await;
        return Ok(appended.map_err(|error| no_place(&mail, name, error))?.into_inner());
    };
    let mailbox = match open(session, actor, name, &next, new.message.size()).await {
        Ok(mailbox) => mailbox,
        Err(error) => {
            session.swallow(next.literal).await?;
            return Err(error);
        }
    };
    let mut all = mail.appending(actor, &mailbox)?;
    let read = match all.add(new, now()).await {
        Ok(()) => messages(session, next, &mut all, out).await,
        Err(error) => {
            session.swallow(next.literal).await?;
            Err(error.into())
        }
    };
    finish(session, name, all, read).await
}

/// Keeps all messages when all were read, and forgets them otherwise.
async fn finish(
    session: &Session,
    name: &str,
    mut all: Appending,
    read: Result<(), Error>,
) -> Result<Appended, Error> {
    let mail = session.mail();
    let done = match read {
        // The mailbox may have gone while the messages came.
        Ok(()) => all.finish().await.map_err(|error| no_place(&mail, name, error)),
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => Ok(done.into_inner()),
        Err(error) => {
            all.forget().await;
            Err(error)
        }
    }
}

fn busy() -> Error {
    Error::no(Code::Unavailable, "the server is too busy")
}

/// Finds the mailbox, and refuses what can't be kept there, behind so many octets of others.
async fn open(
    session: &Session,
    actor: &Actor,
    name: &str,
    head: &Head,
    before: u64,
) -> Result<Mailbox, Error> {
    check_head(session, head)?;
    let mail = session.mail();
    let opened = mail.open_to_add(actor, name).await;
    let (mailbox, quota) = opened.map_err(|error| no_place(&mail, name, error))?;
    check_room(quota, head, before)?;
    Ok(mailbox)
}

/// Refuses a message by what stands before it.
pub(super) fn check_head(session: &Session, head: &Head) -> Result<(), Error> {
    session.check_size(head.literal)?;
    if head.literal.size == 0 {
        return Err(Error::plain("an empty message is not kept"));
    }
    if head.utf8 && !session.enabled.utf8 {
        return Err(Error::unfit("enable UTF8=ACCEPT first"));
    }
    Ok(session.mail().store().check_adding().map_err(mail::Error::from)?)
}

/// Refuses a message for which there is no room behind so many octets of others.
pub(super) fn check_room(quota: Quota, head: &Head, before: u64) -> Result<(), Error> {
    let sum = quota.octets.saturating_add(before).saturating_add(head.literal.size);
    if sum > quota.octets_limit {
        return Err(mail::Error::OverQuota.into());
    }
    Ok(())
}

/// Reads all messages, from this one on, whose literal waits. What fails is read to its end.
async fn messages(
    session: &mut Session,
    first: Head,
    all: &mut Appending,
    out: &mut Replies,
) -> Result<(), Error> {
    let mut held = session.input()?.share();
    let mut next = Some(first);
    let mut looked_at = true; // before it was asked for
    while let Some(head) = next {
        if !std::mem::take(&mut looked_at)
            && let Err(error) = check_next(session, &head, all).await
        {
            session.swallow(head.literal).await?;
            return Err(error);
        }
        let added = match message(session, &head, out).await {
            Ok(message) => {
                let mail = NewMail {
                    message,
                    marks: head.marks,
                    internal_date: head.date,
                    annotations: head.annotations,
                };
                let added = all.add(mail, now()).await.map_err(Error::from);
                let room = held.hold(all.weight());
                added.and_then(|()| room.then_some(()).ok_or_else(busy))
            }
            Err(error @ (Error::Bye(..) | Error::Connection(_))) => return Err(error),
            Err(error) => Err(error),
        };
        if let Err(error) = added {
            session.swallow_rest().await?;
            return Err(error);
        }
        next = following(session, head.utf8, out).await?;
    }
    Ok(())
}

/// Refuses one more message before it is sent.
async fn check_next(session: &Session, head: &Head, all: &Appending) -> Result<(), Error> {
    let most = session.door.limits.messages_per_command;
    if all.len() >= most {
        return Err(Error::too_many(most, "too many messages in one APPEND"));
    }
    check_head(session, head)?;
    check_room(session.mail().quota(all.owner()).await?, head, all.octets())
}

/// Reads one message whole, then makes it ready; its octets are read in any case.
pub(super) async fn message(
    session: &mut Session,
    head: &Head,
    out: &mut Replies,
) -> Result<Prepared, Error> {
    let spool = session.message(head.literal, out).await?;
    Ok(session.mail().prepare(spool, |header| header).await?)
}

/// What stands behind a message: the end, or the head of another.
pub(super) async fn following(
    session: &mut Session,
    utf8: bool,
    out: &mut Replies,
) -> Result<Option<Head>, Error> {
    let mut line = session.after_literal().await?;
    while let Some(literal) = Literal::announced_by(&line)
        && is_value(&Cursor::new(&line))
    {
        let value = session.value(literal, line.len(), out).await?;
        line.extend_from_slice(b"\r\n");
        line.extend_from_slice(&value);
        line.extend_from_slice(&session.after_literal().await?);
    }
    match next_head(&line, utf8) {
        Ok(next) => Ok(next),
        Err(syntax) => {
            if let Some(literal) = Literal::announced_by(&line) {
                session.swallow(literal).await?;
            }
            Err(syntax.into())
        }
    }
}

fn next_head(line: &[u8], utf8: bool) -> Result<Option<Head>, Syntax> {
    let mut args = Cursor::new(line);
    if utf8 {
        args.expect(b')', "\")\" behind the message")?;
    }
    if args.clone().end().is_ok() { Ok(None) } else { head(&mut args).map(Some) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        flags::Flags,
        mail::{annotations::AnnotationName, metadata::Scope},
        wire::internal_date,
    };

    fn read(text: &str) -> Result<Head, Syntax> {
        head(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn flags_date_and_all_kinds_of_literals_are_read() {
        let whole = read(" (\\Seen $Work) \" 7-Feb-1994 21:52:25 -0800\" {310}").unwrap();
        assert_eq!(whole.date, Some(760_686_745));
        assert_eq!(whole.marks.keywords, ["$Work"]);
        assert_eq!(whole.literal, Literal { size: 310, sent_at_once: false, binary: false });
        assert!(read(" ~{310+}").is_ok_and(|head| head.literal.binary && !head.utf8));
        assert!(read(" UTF8 (~{310}").is_ok_and(|head| head.utf8));
        assert!(read(" FLAGS (\\Seen) {3}").is_ok());
        let said = read(" (\\Seen) ANNOTATION (/comment (value.priv {2}\r\nab)) {310}").unwrap();
        assert_eq!(said.annotations.len(), 1);
        assert!(read(" ANNOTATION {310}").is_err() && read(" ANNOTATION () {310}").is_err());
        for bad in ["", " ", " INBOX", " \"text\"", " UTF8 ({3}", " (\\Seen){3}", " x{3}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_a_literal_is_no_message() {
        assert!(!is_data(b" {5}"));
        assert!(is_data(b" {5}\r\nINBOX {310}"));
        assert!(is_data(b" INBOX {310}") && is_data(b" \"a b\" (\\Seen) {310+}"));
        assert!(!is_data(b"{310}"));
        assert!(!is_data(b" INBOX ANNOTATION (/comment (value.priv {5}"));
        assert!(!is_data(b" INBOX (\\Seen) annotation (/c (value.priv {1}\r\na value.shared ~{5}"));
        assert!(is_data(b" INBOX ANNOTATION (/comment (value.priv {1}\r\na)) {310}"));
        assert!(is_data(b" INBOX (ANNOTATION) {310}"));
    }

    #[test]
    fn behind_a_message_stands_the_end_or_another() {
        assert_eq!(next_head(b"", false), Ok(None));
        assert_eq!(next_head(b")", true), Ok(None));
        assert!(next_head(b" (\\Seen) {3}", false).is_ok_and(|head| head.is_some()));
        assert!(next_head(b"", true).is_err() && next_head(b"x", false).is_err());
    }

    proptest! {
        #[test]
        fn printed_heads_read_back(
            flags in proptest::sample::subsequence(Flags::NAMES.to_vec(), 0..=Flags::NAMES.len()),
            keywords in proptest::collection::vec("x[a-z0-9$.]{0,5}", 0..4),
            date in proptest::option::of(0_i64..4_000_000_000),
            annotations in proptest::option::of("[a-z ]{0,9}"),
            size: u64,
            sent_at_once: bool,
            binary: bool,
            utf8: bool,
        ) {
            let literal = Literal { size, sent_at_once, binary: binary || utf8 };
            let mut marks = MarkNames { keywords, ..MarkNames::default() };
            for (flag, _) in &flags {
                marks.flags = marks.flags.with(*flag);
            }
            let names: Vec<_> = flags.iter().map(|(_, name)| *name)
                .chain(marks.keywords.iter().map(String::as_str)).collect();
            let mut text = format!(" ({})", names.join(" "));
            if let Some(date) = date {
                text += " ";
                text += &internal_date(jiff::Timestamp::from_second(date).unwrap());
            }
            if let Some(value) = &annotations {
                text += &format!(" ANNOTATION (/comment (value.priv \"{value}\"))");
            }
            text += if utf8 { " UTF8 (" } else { " " };
            text += if literal.binary { "~{" } else { "{" };
            text += &size.to_string();
            text += if sent_at_once { "+}" } else { "}" };
            let annotations = annotations.iter().map(|value| AnnotationValue {
                name: AnnotationName::parse(b"/comment").unwrap(),
                scope: Scope::Private,
                value: Some(value.as_bytes().to_vec()),
            });
            let annotations = annotations.collect();
            prop_assert_eq!(read(&text), Ok(Head { marks, date, annotations, literal, utf8 }));
        }
    }
}
