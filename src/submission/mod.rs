//! Mail from our users, and from the house itself, whatever the door: is the sender the author's
//! own, is the header whole, who gets it here and who elsewhere.
//!
//! [`Submission::submit`] takes an envelope and a message and gives one result for each recipient:
//! local ones have it if they have room, the others stand in the queue, all by one store job. [`Submission::parcel`]
//! is the same cut in two, for who has more to do in that job. The queue does the sending.

mod addressed;
mod headers;
mod list;
mod parcel;
mod submit;
#[cfg(test)]
mod tests;

pub use self::{
    addressed::{Addressed, Unaddressed, addressed},
    parcel::Parcel,
    submit::{Author, Error, Outcome, Outgoing, Settings, Submission, Taken},
};
