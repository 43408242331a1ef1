//! Mailade: an all-in-one mail appliance for phones.
//!
//! The map of the house is in `docs/ARCHITECTURE.md`. Each module may use what stands to its right,
//! nothing to its left, and no door uses another:
//!
//! cli, server → imap smtp proxy → queue → submission → delivery → mail auth → store → events → ids;
//! doors and queue also use `net`, all may use `wire` and count in `metrics`.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::format_collect,
        clippy::format_push_string,
        clippy::large_stack_arrays,
        clippy::string_slice,
        reason = "tests are small, and one that stops has failed"
    )
)]

pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod delivery;
#[cfg(test)]
mod doubling;
pub mod events;
pub mod flags;
pub mod ids;
pub mod imap;
pub mod logging;
pub mod mail;
pub mod metrics;
pub mod net;
pub mod proxy;
pub mod queue;
pub mod server;
pub mod sessions;
pub mod smtp;
pub mod store;
pub mod submission;
pub mod wire;
