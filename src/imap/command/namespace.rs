//! NAMESPACE (RFC 2342, RFC 9051 §6.3.10).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    mail::name,
    wire::Cursor,
};

struct Namespace;

/// `"NAMESPACE"`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.end()?;
    Ok(Box::new(Namespace))
}

impl Command for Namespace {
    fn run<'a>(self: Box<Self>, _: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            out.line(|out| {
                out.put("NAMESPACE");
                for prefix in ["", name::OTHER_USERS, name::SHARED] {
                    out.put(" ((\"");
                    out.put(prefix);
                    out.put("\" \"/\"))");
                }
            });
            Ok(Done::ok("these are the namespaces"))
        })
    }
}
