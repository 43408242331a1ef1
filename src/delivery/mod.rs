//! Mail into our mailboxes: whom an address means, and one store job for all of a message's
//! recipients here.
//!
//! Doors ask at each recipient ([`Delivery::recipient`]) and with the whole message
//! ([`Delivery::deliver`]); submission puts [`keep`] into a job of its own, the queue [`Arrived`], for
//! those who had no room at first. Nothing here knows how the mail came or what is answered. Mail to
//! other servers is the queue's.

mod arrived;
mod deliver;
mod recipient;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    arrived::{Arrived, Letter, hops, keep, received_by, return_path},
    deliver::{Delivery, Error, Incoming, Outcome, Settings, Share},
    recipient::{Addressee, Quota, Refusal, is_here, is_own_address, resolve},
};
