//! The control socket: what the command line asks of the house.
//!
//! It speaks HTTP with JSON below `/api/v1/` on `data_dir/control.sock`, which only the owner of the
//! data directory may open. [`Access`] is the asking side: it reaches the running server, or, when
//! none runs, opens the house and asks the same functions without a socket. The functions stand by
//! noun, a file each, with the JSON they take and give.

mod access;
pub mod aliases;
mod check;
pub mod devices;
pub mod domains;
pub mod messages;
mod metrics;
pub mod queue;
mod refusal;
pub mod shared;
mod socket;
pub mod users;

use std::sync::Arc;

use axum::Router;

pub use self::{
    access::{Access, Error},
    refusal::Refusal,
    socket::Socket,
};
use crate::server::House;

/// Every function of the API.
pub fn router(house: Arc<House>) -> Router {
    let nouns = Router::new()
        .merge(aliases::routes())
        .merge(check::routes())
        .merge(devices::routes())
        .merge(domains::routes())
        .merge(messages::routes())
        .merge(metrics::routes())
        .merge(queue::routes())
        .merge(shared::routes())
        .merge(users::routes());
    Router::new().nest("/api/v1", nouns).with_state(house)
}

/// Wall clock, in seconds since 1970.
pub(crate) fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
