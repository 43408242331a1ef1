//! Who is it: passwords, SASL exchanges, and how often one may fail.

pub mod login;
