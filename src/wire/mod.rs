//! The grammar that line protocols share.

pub mod address;
pub mod envelope;
