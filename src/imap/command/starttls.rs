//! STARTTLS (RFC 9051 §6.2.1): the session puts TLS on behind the tagged OK.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Done, Next, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct StartTls;

/// `"STARTTLS"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(StartTls))
}

impl Command for StartTls {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let facts = session.facts();
            if facts.tls {
                return Err(Error::unfit("TLS is on already"));
            }
            if !facts.can_start_tls {
                return Err(Error::unfit("no TLS here"));
            }
            Ok(Done::ok("begin the handshake").then(Next::StartTls))
        })
    }
}
