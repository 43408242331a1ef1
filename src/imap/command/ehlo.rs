//! EHLO (draft-ietf-lemonade-submit-01 §4.1.4): what the submission server speaks, for who sends mail
//! without ever connecting to it.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Ehlo;

/// `"EHLO"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Ehlo))
}

impl Command for Ehlo {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let keywords = (session.door.submission_keywords)();
            out.line(|out| {
                out.put("EHLO");
                for keyword in &keywords {
                    out.put(" ");
                    out.string(keyword.as_bytes());
                }
            });
            Ok(Done::ok("that is all"))
        })
    }
}
