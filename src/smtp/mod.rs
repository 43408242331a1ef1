//! SMTP, a door with three roles: mail from other servers, mail from our users, and LMTP for local
//! programs (RFC 5321, RFC 6409, RFC 2033).
//!
//! Bytes become lines in `net`, lines become a [`command`], and the session runs it by asking the
//! rooms: whom an address means is decided by delivery, what a user may send by submission, who
//! somebody is by auth. This door only knows the conversation, and says yes only when they have.

mod auth;
mod burl;
pub mod command;
mod data;
mod door;
mod error;
pub mod extensions;
pub mod foreign;
pub mod limits;
mod longest_line;
pub mod rates;
pub mod reply;
mod session;
#[cfg(test)]
mod tests;
pub mod trace_field;
mod transaction;

pub use door::{Door, Means};
pub use limits::{Limits, Times};
pub use reply::Reply;

/// Whom the door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Other servers, on port 25.
    Mx,
    /// Our users, on ports 587 and 465.
    Submission,
    /// Local programs that hand over mail for our users.
    Lmtp,
}
