//! ENABLE (RFC 5161, RFC 9051 §6.3.1); QRESYNC enables CONDSTORE with it (RFC 7162 §3.2.3), METADATA
//! what others say of mailboxes and of the server (RFC 5464 §4.4).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        reply::{Done, Replies},
        session::Session,
    },
    wire::{Cursor, Syntax},
};

struct Enable {
    words: Vec<String>,
}

/// `"ENABLE" 1*(SP capability)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let mut words = Vec::new();
    while args.take(b' ') && !args.is_empty() {
        words.push(args.atom()?.to_ascii_uppercase());
    }
    args.end()?;
    if words.is_empty() {
        return Err(Syntax::Expected("a capability to enable"));
    }
    Ok(Box::new(Enable { words }))
}

impl Command for Enable {
    /// Only what this command newly enables is named in the answer; unknown words are passed over.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let mut newly = Vec::new();
            for word in &self.words {
                let (switch, name) = match word.as_str() {
                    "IMAP4REV2" => (&mut session.enabled.rev2, "IMAP4rev2"),
                    "UTF8=ACCEPT" => (&mut session.enabled.utf8, "UTF8=ACCEPT"),
                    "CONDSTORE" => (&mut session.enabled.condstore_by_name, "CONDSTORE"),
                    "QRESYNC" => (&mut session.enabled.qresync, "QRESYNC"),
                    "UIDONLY" => (&mut session.enabled.uid_only, "UIDONLY"),
                    "METADATA" => (&mut session.enabled.metadata, "METADATA"),
                    "METADATA-SERVER" => (&mut session.enabled.metadata_server, "METADATA-SERVER"),
                    _ => continue,
                };
                if !std::mem::replace(switch, true) {
                    newly.push(name);
                }
            }
            out.line(|out| {
                out.put("ENABLED");
                for word in newly {
                    out.put(" ");
                    out.put(word);
                }
            });
            if session.enabled.condstore_by_name || session.enabled.qresync {
                session.enable_condstore(out);
            }
            session.enable_metadata()?;
            out.set_names(session.names());
            out.set_uid_only(session.enabled.uid_only);
            Ok(Done::ok("enabled"))
        })
    }
}
