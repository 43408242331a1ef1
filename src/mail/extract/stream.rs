//! Octets of large pieces, brought in steps.

use super::Large;
use crate::mail::{Mail, Octets, Result, binary::Decoder};

/// The octets of a large piece, in order.
pub struct Stream {
    octets: Octets,
    decoder: Option<Decoder>,
    /// Decoded octets that stand before the window.
    skip: u64,
    /// Octets still to be brought.
    left: u64,
}

impl Stream {
    pub(super) fn new(mail: &Mail, large: &Large) -> Self {
        Self {
            octets: mail.octets(large.content, large.range.clone()),
            decoder: large.encoding.and_then(|encoding| Decoder::new(encoding).ok()),
            // What is stored as it is wanted was cut already.
            skip: large.encoding.map_or(0, |_| large.window.start),
            left: large.len(),
        }
    }

    /// The next octets; None at the end. May be dropped half way.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        while self.left > 0 {
            let (mut octets, ended) = match self.octets.next().await {
                Some(Ok(octets)) => (octets, false),
                Some(Err(error)) => return Some(Err(error)),
                None => (Vec::new(), true),
            };
            self.decode(&mut octets, ended);
            self.cut(&mut octets);
            if !octets.is_empty() {
                return Some(Ok(octets));
            }
            if ended {
                return None;
            }
        }
        None
    }

    fn decode(&mut self, octets: &mut Vec<u8>, ended: bool) {
        let Some(decoder) = &mut self.decoder else { return };
        let mut decoded = Vec::with_capacity(octets.len());
        decoder.feed(octets, &mut decoded);
        if ended && let Some(decoder) = self.decoder.take() {
            // Measuring has shown that it ends well.
            let _ = decoder.finish(&mut decoded);
        }
        *octets = decoded;
    }

    fn cut(&mut self, octets: &mut Vec<u8>) {
        let before = self.skip.min(octets.len() as u64);
        self.skip -= before;
        octets.drain(..usize::try_from(before).unwrap_or(octets.len()));
        octets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= octets.len() as u64;
    }
}
