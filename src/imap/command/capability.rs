//! CAPABILITY (RFC 9051 §6.1.1).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Capability;

/// `"CAPABILITY"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Capability))
}

impl Command for Capability {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let capabilities = session.capabilities();
            out.line(|out| out.put(capabilities));
            Ok(Done::ok("that is all"))
        })
    }
}
