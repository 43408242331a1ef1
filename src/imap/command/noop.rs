//! NOOP and CHECK (RFC 9051 §6.1.2, RFC 3501 §6.4.1): the news that every command brings, alone.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Noop;

/// `"NOOP" / "CHECK"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Noop))
}

impl Command for Noop {
    fn run<'a>(self: Box<Self>, _: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move { Ok(Done::ok("nothing done")) })
    }
}
