//! Who is it: passwords, the SASL mechanisms, and patience with those who guess.
//!
//! Nothing here knows a door. [`login`] is what doors ask; it looks the account up and has the
//! other modules judge what was said against its [`Keyring`]. Whoever is unknown costs the same
//! work and hears the same words as whoever errs.

pub mod fresh;
mod keyring;
pub mod login;
pub mod password;
pub mod sasl;
pub mod scram;
pub mod throttle;

pub use keyring::{DeviceKeys, Identity, Keyring, Secret};
pub use password::Passwords;
pub use throttle::{Claim, Throttle, ThrottleLimits, Verdict};
