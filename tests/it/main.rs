//! The house as a whole, seen from outside.

mod cli;
mod connection;
mod house;
mod store;
mod structure;
mod transcripts;
