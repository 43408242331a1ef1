//! UNAUTHENTICATE (RFC 8437 §3): the connection is as before login; only TLS stays.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Code, Done, Replies},
        session::Session,
    },
    wire::Cursor,
};

struct Unauthenticate;

/// `"UNAUTHENTICATE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Unauthenticate))
}

impl Command for Unauthenticate {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            session.log_out();
            out.set_names(session.names());
            out.set_uid_only(false);
            tracing::info!(session = %session.id, "imap unauthenticate");
            Ok(Done::with("log in anew", Code::Capability(session.capabilities())))
        })
    }
}
