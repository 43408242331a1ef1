//! Searching a mailbox: a program of keys, and which messages it matches.
//!
//! A [`Program`] is a tree that any door can make. Its keys are evaluated cheapest first: what the
//! shared view knows is decided for many messages at once and needs no store ([`columns`]), then come
//! summary, header and, last of all, decoded text, each read only when nothing cheaper decides; where the full-text index knows that a text is not there,
//! it is not read at all. How results are presented, sorted or threaded is for
//! others.

mod among;
mod checking;
mod columns;
mod date;
mod decide;
mod facts;
mod indexed;
mod indexing;
mod key;
mod needle;
mod progress;
mod run;
mod text;

#[cfg(test)]
pub(super) mod tests;

pub use self::{
    indexing::IndexState,
    key::{Days, Field, Key, Keyword, Program},
    needle::Needle,
    progress::Progress,
};
