//! Parts as the octets they stand for: BINARY's decoding (RFC 3516).

pub(super) mod decode;

pub use self::decode::{Decoder, UndecodableContent};
