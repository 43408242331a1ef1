//! The IMAP door: IMAP4rev1 and IMAP4rev2 together (RFC 3501, RFC 9051) with their extensions.
//!
//! It parses and prints; what a deed means is decided below. [`extensions`] is the table of all
//! that is spoken, [`command`] has a file for each command, [`session`] the rhythm of a connection,
//! [`picture`] what a client believes of its mailbox, [`contexts`] the searches that are kept true
//! for it.

pub mod annotation_news;
pub mod annotations;
pub mod command;
pub mod contexts;
pub mod error;
pub mod extensions;
pub mod fetch;
pub mod flags;
pub mod incoming;
pub mod limits;
mod literal;
pub mod message_limit;
pub mod metadata_news;
pub mod news;
pub mod notify;
pub mod partial;
pub mod pattern;
pub mod picture;
pub mod reply;
pub mod request;
pub mod resync;
pub mod search;
pub mod selected;
pub mod session;

pub use limits::Limits;
pub use session::{Door, Session};

use crate::net::Refusal;

/// What a connection reads that is not let in.
pub fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Full => "* BYE [UNAVAILABLE] too many connections, try again later\r\n",
        Refusal::Address => "* BYE [LIMIT] too many connections from you\r\n",
    }
}
