//! COMPOSE (draft-ietf-lemonade-submit-01 §4.1.5): a new message, put together of what is sent now and
//! of what is in the store already.

use super::{
    Command, Parsed, Running,
    append::{append_uid, asked_for},
    tell_form,
};
use crate::{
    imap::{
        flags,
        incoming::{About, Data, Head, Parts},
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Compose {
    name: String,
    head: Head,
}

/// `"COMPOSE" SP mailbox [SP flag-list] [SP date-time] 1*(SP (literal / literal8 / quoted))`: literals
/// are data, quoted strings are URLs
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.mailbox()?;
    let mut about = About::default();
    let mut ahead = args.clone();
    ahead.space()?;
    if ahead.at_list() {
        about.marks = flags::list(&mut ahead)?;
        *args = ahead;
    }
    let mut ahead = args.clone();
    ahead.space()?;
    // A first quoted string that is a date is the date.
    if ahead.peek() == Some(b'"')
        && let Ok(date) = ahead.date_time()
    {
        about.date = Some(date.as_second());
        *args = ahead;
    }
    let data = Data::Parts(Parts::compose(args.rest().to_vec())?);
    Ok(Box::new(Compose { name, head: Head { about, data } }))
}

/// Is the literal at the end of these arguments a part of the message, and not the mailbox's name?
pub fn is_data(args: &[u8]) -> bool {
    let mut args = Cursor::new(args);
    args.space().and_then(|()| args.astring()).is_ok() && !args.is_empty()
}

impl Command for Compose {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let Self { name, head } = *self;
            let actor = session.actor()?;
            let code = append_uid(asked_for(session, &actor, &name, head, out).await?);
            tell_form(session, &name, "", out);
            Ok(match code {
                Some(code) => Done::with("composed", code),
                None => Done::ok("composed"),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> bool {
        parse(&mut Cursor::new(text.as_bytes())).is_ok()
    }

    #[test]
    fn flags_and_a_date_may_stand_before_the_parts() {
        assert!(reads(" Drafts {5}") && reads(" Drafts \"/INBOX/;UID=1\""));
        assert!(reads(" Drafts (\\Draft) \" 7-Feb-1994 21:52:25 -0800\" ~{5+}"));
        for bad in ["", " Drafts", " Drafts ", " Drafts (\\Draft)", " Drafts (\\Draft {5}"] {
            assert!(!reads(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_a_literal_is_no_part() {
        assert!(!is_data(b" {6}") && !is_data(b""));
        assert!(is_data(b" Drafts {5}") && is_data(b" {6}\r\nDrafts (\\Draft) \"/x\" {5}"));
    }
}
