//! The commands, one file each: grammar above, deed and answer below.
//!
//! `parse` sees only text; `run` asks the rooms and writes typed replies. A command that is not
//! marked as reading only in the table may use the session's input.

pub mod acl;
pub mod append;
pub mod authenticate;
pub mod cancelupdate;
pub mod capability;
pub mod close;
pub mod comparator;
pub mod compose;
pub mod compress;
pub mod copy;
pub mod create;
pub mod delete;
pub mod ehlo;
pub mod enable;
pub mod esearch;
pub mod expunge;
pub mod fetch;
pub mod genurlauth;
pub mod getmetadata;
pub mod id;
pub mod idle;
pub mod list;
pub mod login;
pub mod logout;
pub mod lsub;
pub mod move_;
pub mod namespace;
pub mod noop;
pub mod notify;
pub mod quota;
pub mod rename;
pub mod replace;
pub mod resetkey;
pub mod rights;
pub mod search;
pub mod select;
pub mod send;
pub mod sendmail;
pub mod setmetadata;
pub mod sort;
pub mod starttls;
pub mod status;
pub mod store;
pub mod submit;
pub mod subscribe;
pub mod thread;
pub mod unauthenticate;
pub mod urlfetch;

use std::pin::Pin;

use super::{
    error::Error,
    reply::{Done, OldName, Replies},
    session::Session,
};
use crate::{
    mail::name::{self, SEPARATOR},
    wire::{Cursor, Syntax},
};

/// What a parse function gives: the command, ready to be run.
pub type Parsed = Result<Box<dyn Command>, Syntax>;

/// A command at work.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Done, Error>> + Send + 'a>>;

/// A typed command.
pub trait Command: Send {
    /// Does it, writes the untagged answers, and says how it went.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a>;
}

/// `SP mailbox`, and nothing behind it: all the arguments of many commands.
fn only_mailbox(args: &mut Cursor<'_>) -> Result<String, Syntax> {
    args.space()?;
    let name = args.mailbox()?;
    args.end()?;
    Ok(name)
}

/// Did the client write a name in another form than it is kept in, and may it be told so
/// (RFC 9051 §6.3.9.7)? A separator at the end belongs to no name.
fn in_other_form(session: &Session, written: &str) -> bool {
    let bare = written.strip_suffix(SEPARATOR).unwrap_or(written);
    session.enabled.rev2 && name::full(written) != bare
}

/// Tells the form in which a name is kept, if it was written in another one.
fn tell_form(session: &Session, written: &str, attributes: &'static str, out: &mut Replies) {
    if in_other_form(session, written) {
        let name = &name::full(written);
        out.put(OldName { attributes, name, old: Some(written) });
    }
}
