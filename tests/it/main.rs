//! The house as a whole, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "a test may stop, and says so"
)]

mod cli;
mod connection;
mod house;
mod outbound;
mod protocols;
mod store;
mod structure;
mod transcripts;
