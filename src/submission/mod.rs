//! Mail from our users, and from the house itself, whatever the door: is the sender the author's
//! own, is the header whole, who gets it here and who elsewhere.
//!
//! [`Submission::submit`] takes an envelope and a message and gives one result for each recipient:
//! local ones have it if they have room, the others stand in the queue, all by one store job. [`Submission::parcel`]
//! is the same cut in two, for who has more to do in that job; [`Submission::send`] keeps a copy and tells
//! the mailbox that the message lies in, by that job too. The queue does the sending.
//!
//! [`Submission::send_stored`] sends a message from the mailbox it lies in, and the agent of `queued.rs` does
//! so for users who mark theirs with `$Queued`.
//!
//! [`Submission::post`] sends one that its author hands in with an envelope of its own, or other wishes.
//!
//! What SMTP answers to all that has its codes in `answer.rs`, whatever the door.

mod addressed;
mod along;
mod answer;
mod answers;
mod claim;
mod headers;
mod lines;
mod list;
mod parcel;
mod passing;
mod posted;
mod queued;
mod stored;
mod submit;
#[cfg(test)]
mod tests;

pub use self::{
    addressed::{Addressed, Unaddressed, addressed},
    along::{Along, CopyTo, Sent, Source},
    answer::Answer,
    answers::{Answers, Step},
    lines::{BadLine, LineFault, Lines},
    parcel::Parcel,
    passing::{Passage, mended, writers},
    posted::{Posted, Posting, Wanted, Wishes},
    queued::{Clock, Queued},
    stored::{Cause, Said, Stored, Unsent},
    submit::{Author, Error, Outcome, Outgoing, Settings, Submission, Taken},
};
