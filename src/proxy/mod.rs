//! The door before another server: an IMAP proxy that adds SUBMIT (draft-royer-lemonade-submit-01) to
//! whatever IMAP server and submission server stand behind it.
//!
//! A session passes everything both ways, octet for octet and as it comes, and understands of it no
//! more than it must: where a command begins ([`commands`]), where an answer ends ([`answers`]), and
//! where capabilities are told ([`capability`]). SUBMIT is its own ([`submit`]): the message is sent under
//! the login that was seen to pass ([`login`]), or under a trusted relay's. Nothing is kept on the disk.

pub mod answers;
pub mod capability;
pub mod commands;
mod door;
mod login;
mod session;
mod submit;
mod turn;

pub use self::door::{Door, FromRule, Limits, Means, Server};
