//! UNAUTHENTICATE (RFC 8437 §3): the connection is as before login; only TLS stays.
//!
//! It is not there while the connection is deflated: the layer would have to end between two octets,
//! and nothing in it says where that is for what the client has pipelined.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
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
            if session.facts().compressed {
                return Err(Error::unfit("not while the connection is compressed"));
            }
            session.log_out();
            out.set_names(session.names());
            out.set_uid_only(false);
            tracing::info!(session = %session.id, "imap unauthenticate");
            Ok(Done::with("log in anew", Code::Capability(session.capabilities())))
        })
    }
}
