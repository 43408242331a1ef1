//! LOGOUT (RFC 9051 §6.1.3).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Next, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Logout;

/// `"LOGOUT"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Logout))
}

impl Command for Logout {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            session.select(None);
            out.bye(None, "until next time");
            Ok(Done::ok("logged out").then(Next::Leave))
        })
    }
}
