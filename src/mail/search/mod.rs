//! Searching a mailbox: a program of keys, and which messages it matches.
//!
//! A [`Program`] is a tree that any door can make. Its keys are evaluated cheapest first: what the
//! shared view knows needs no store, then come summary, header and, last of all, decoded text, each
//! read only when nothing cheaper decides. How results are presented, sorted or threaded is for
//! others.

mod among;
mod date;
mod decide;
mod facts;
mod key;
mod needle;
mod run;
mod text;

pub use self::{
    key::{Days, Field, Key, Keyword, Program},
    needle::Needle,
};
