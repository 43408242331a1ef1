//! What FETCH can tell of a message, one file an item or a family of them: read from the command,
//! loaded from the house, written into the answer.
//!
//! [`item`] reads what is asked for and says what that needs; [`message`] gathers what the shared
//! view knows; `mail::extract` brings the rest; [`write`] puts it on the wire. How the messages of a
//! command flow through these is the business of the command itself.

pub mod ahead;
pub mod envelope;
pub mod item;
pub mod message;
pub mod octets;
pub mod structure;
pub mod write;
