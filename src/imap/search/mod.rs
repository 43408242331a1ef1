//! SEARCH: how its keys are read, what they become for the house, how the result is told.
//!
//! [`key`] reads the grammar; [`compile`] turns numbers, charsets and what only this session knows
//! into a program that `mail::search` evaluates; [`query`] is what SEARCH, SORT and THREAD share of
//! this; [`filter`] puts in keys that were kept under a name; [`source`] finds the mailboxes of an
//! ESEARCH; [`result`] tells what was found, and [`run`] does all of it for SEARCH and ESEARCH.

pub mod compile;
pub mod filter;
pub mod key;
pub mod query;
pub mod result;
pub mod run;
pub mod source;
