//! REPLACE and UID REPLACE (RFC 8508): one message is put into a mailbox and another goes, both or
//! neither.

use super::{
    Command, Parsed, Running,
    append::{self, check_data, check_room},
    copy::no_place,
    tell_form,
};
use crate::{
    ids::Uid,
    imap::{
        error::Error,
        incoming::{self, Data, Head, head, message, nothing_more},
        picture::By,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{Actor, Mailbox, Rights},
    wire::{Cursor, Set, Syntax},
};

struct Replace {
    old: Set,
    by: By,
    name: String,
    head: Head,
}

/// `"REPLACE" SP seq-number SP mailbox append-message`, up to the message's literal
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP replace`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let old = one(args)?;
    args.space()?;
    let name = args.mailbox()?;
    let head = head(args)?;
    Ok(Box::new(Replace { old, by, name, head }))
}

/// `seq-number = nz-number / "*"`
fn one(args: &mut Cursor<'_>) -> Result<Set, Syntax> {
    let text = args.rest();
    let set = args.set()?;
    let text = text.get(..text.len().saturating_sub(args.rest().len())).unwrap_or_default();
    let single = text == b"*" || text.iter().all(u8::is_ascii_digit);
    single.then_some(set).ok_or(Syntax::Expected("one message"))
}

/// Is the literal at the end of these arguments the message, and not the mailbox's name?
pub fn is_data(args: &[u8]) -> bool {
    let mut args = Cursor::new(args);
    args.space().and_then(|()| one(&mut args)).is_ok() && incoming::is_data(args.rest())
}

impl Command for Replace {
    /// APPENDUID is told first and untagged; EXISTS and EXPUNGE follow as the session's news
    /// (RFC 8508 §4.3).
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let actor = session.actor()?;
            let Self { old, by, name, head: Head { about, data } } = *self;
            let (old, to) = match look(session, &actor, (&old, by), &name, &data).await {
                Ok(found) => found,
                Err(error) => {
                    data.swallow(session).await?;
                    return Err(error);
                }
            };
            let (message, tail) = message(session, data, out).await?;
            nothing_more(session, tail, out).await?;
            let new = about.mail(message);
            let mail = session.mail();
            let from = &session.selected()?.mailbox;
            let replaced = mail.replace(&actor, from, old, &to, new).await;
            let replaced = replaced.map_err(|error| no_place(&mail, &name, error))?.into_inner();
            let Some(appended) = replaced else {
                return Err(Error::no(Code::ExpungeIssued, "the message to replace is gone"));
            };
            if let Some(code) = append::append_uid(appended) {
                out.ok(&code, "the replacement is kept");
            }
            tell_form(session, &name, "", out);
            Ok(Done::ok("replaced"))
        })
    }
}

/// Finds the old message and the mailbox for the new one, and refuses what can't be kept before it is
/// sent. Only the difference takes room (RFC 8508 §3.4).
async fn look(
    session: &mut Session,
    actor: &Actor,
    (old, by): (&Set, By),
    name: &str,
    data: &Data,
) -> Result<(Uid, Mailbox), Error> {
    check_data(session, data)?;
    let mail = session.mail();
    let selected = session.selected()?;
    selected.must_be_writable()?;
    let uid = selected.targets(&mail, old, by).await?.first().map(|target| target.uid);
    let uid = uid.ok_or_else(|| Error::plain("no such message"))?;
    selected.mailbox.need(Rights::DELETE.with(Rights::EXPUNGE))?;
    let size = selected
        .look(&mail, |_, messages| messages.find(uid).map_or(0, |entry| entry.size))
        .await?;
    let freed = session.selected()?.mailbox.account;
    let opened = mail.open_to_add(actor, name).await;
    let (to, mut quota) = opened.map_err(|error| no_place(&mail, name, error))?;
    if freed == to.account {
        quota.octets = quota.octets.saturating_sub(size);
    }
    check_room(quota, data, 0)?;
    Ok((uid, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_named() {
        let read = |text: &str| one(&mut Cursor::new(text.as_bytes())).is_ok();
        assert!(read("4") && read("*"));
        assert!(!read("4:4") && !read("4,5") && !read("$") && !read("0") && !read(""));
    }

    #[test]
    fn the_literal_behind_the_name_is_the_message() {
        assert!(is_data(b" 4 Drafts (\\Seen) {312}") && is_data(b" * {6}\r\nDrafts ~{312+}"));
        assert!(!is_data(b" 4 {6}") && !is_data(b" Drafts {312}") && !is_data(b""));
    }
}
