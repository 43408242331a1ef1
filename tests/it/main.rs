//! The house as a whole, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::format_push_string,
    clippy::unnecessary_debug_formatting,
    clippy::unnecessary_wraps,
    clippy::await_holding_lock,
    clippy::redundant_closure_for_method_calls,
    reason = "a test may stop, and says so"
)]

mod arrows;
mod cli;
mod connection;
mod crash;
mod disk;
mod elsewhere;
mod faults;
mod fetched;
mod foreign;
mod house;
mod imap_limits;
mod imap_server;
mod index;
mod injection;
mod limits;
mod log;
mod memory;
mod model;
mod moving;
mod mutations;
mod namespace;
mod notify;
mod outbound;
mod protocols;
mod proxy;
mod reload;
mod resync;
mod rights;
mod said;
mod scram;
mod sending;
mod sharing;
mod store;
mod stored;
mod strace;
mod structure;
mod sync;
mod traces;
mod transcripts;
mod unchanged;
mod unusable;
mod views;
