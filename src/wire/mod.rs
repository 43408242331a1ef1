//! The grammar that line protocols share: reading a command, writing an answer.
//!
//! Everything here is a plain function over octets: no sockets, no session, no store. [`Cursor`]
//! reads one whole command from left to right and says what it expected; [`Buffer`] writes text,
//! strings and literals; [`set`] holds number sets, [`utf7`] the old coding of mailbox names,
//! [`address`] mail addresses, [`parameters`] what follows MAIL and RCPT, [`url`] IMAP URLs.
//! How octets become one whole command is the business of `net::frame`.

pub mod address;
mod buffer;
mod cursor;
mod date;
pub mod envelope;
pub mod parameters;
pub mod set;
pub mod url;
pub mod utf7;
pub(crate) mod work;

pub use buffer::{Buffer, Encode};
pub use cursor::{Bounds, Cursor, Names};
pub use date::{date_time, internal_date};
pub use set::{Ranges, Set};

use crate::metrics::Limit;

/// Why a command could not be read: the peer's text is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Syntax {
    /// Something else stood where this should be.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More of it than this server reads in one command.
    #[error("too many {0}")]
    Limit(&'static str),
    /// The same for a bound that is a key of the configuration.
    #[error("too many {1}")]
    Over(Limit, &'static str),
}
