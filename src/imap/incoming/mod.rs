//! A message on its way in, and what stands before it: what APPEND and REPLACE are given (RFC 9051
//! §6.3.12), as one literal or as parts, some of which are in the store already (RFC 4469).
//!
//! SUBMIT takes its message by the same means.
//!
//! [`head`] reads what stands before a message, [`parts`] takes a list of parts to pieces, [`read`]
//! brings the octets. Whoever fails on the way has read the command to its end.

mod head;
mod parts;
mod read;

pub use self::{
    head::{About, Data, Head, head, is_data},
    parts::Parts,
    read::{Tail, following, message, nothing_more, octets},
};
pub(in crate::imap) use self::{
    head::{behind, catenate, waiting},
    read::bad_url,
};
