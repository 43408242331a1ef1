//! Mail on its way out: [`Queue::run`] sends what the store holds for other servers.
//!
//! Each recipient's fate is its own and is recorded before anything else is done; what is given up,
//! delayed or passed on is reported to the sender as it asked (RFC 3461, RFC 3464).

mod answer;
mod client;
mod dsn;
mod fate;
mod plan;
mod report;
mod retry;
mod route;
mod runner;
#[cfg(test)]
mod sink;
mod source;

pub use self::{
    client::{Login, Security, Times, Ways},
    retry::Schedule,
    runner::{Queue, Settings},
};
