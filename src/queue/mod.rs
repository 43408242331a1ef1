//! Mail on its way out.

mod answer;
mod client;
mod dsn;
mod fate;
mod retry;
#[cfg(test)]
mod sink;
mod source;

pub use self::{
    client::{Login, Security, Times},
    retry::Schedule,
};
