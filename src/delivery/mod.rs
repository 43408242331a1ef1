//! Mail into our mailboxes: whom an address means, and one store job for all of a message's
//! recipients here.
//!
//! Doors ask at each recipient ([`Delivery::recipient`]) and with the whole message
//! ([`Delivery::deliver`]); submission puts [`keep`] into a job of its own. Nothing here knows how
//! the mail came or what is answered. Mail to other servers is the queue's.

mod deliver;
mod recipient;
#[cfg(test)]
pub(crate) mod tests;

pub use self::{
    deliver::{
        Delivery, Error, Incoming, Letter, Outcome, Settings, Share, hops, keep, received_by,
        return_path,
    },
    recipient::{Addressee, Quota, Refusal, is_own_address, resolve},
};
