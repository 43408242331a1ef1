//! The server: opens the store, builds the rooms, opens the doors, and closes all in order.

mod house;

pub use self::house::{House, HouseError};
