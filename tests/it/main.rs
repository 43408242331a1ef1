//! The house as a whole, seen from outside.

mod cli;
mod store;
mod structure;
