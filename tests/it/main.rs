//! The house as a whole, seen from outside.

mod store;
mod structure;
