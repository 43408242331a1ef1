//! Octets of large pieces, brought in steps.

use super::{Change, Large, pick::Picker};
use crate::mail::{Mail, Octets, Result, binary::Decoder};

/// The octets of a large piece, in order.
pub struct Stream {
    octets: Octets,
    change: Option<Changer>,
    /// Changed octets that stand before the window.
    skip: u64,
    /// Octets still to be brought.
    left: u64,
}

/// A [`Change`] at work.
enum Changer {
    Decode(Decoder),
    Pick(Picker),
}

impl Stream {
    pub(super) fn new(mail: &Mail, large: &Large) -> Self {
        let change = match &large.change {
            Change::None => None,
            Change::Decode(encoding) => Decoder::new(*encoding).ok().map(Changer::Decode),
            Change::Pick(names, not) => Some(Changer::Pick(Picker::new(names, *not))),
        };
        Self {
            octets: mail.octets(large.content, large.range.clone()),
            // What is stored as it is wanted was cut already.
            skip: if change.is_some() { large.window.start } else { 0 },
            change,
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
            self.change(&mut octets, ended);
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

    fn change(&mut self, octets: &mut Vec<u8>, ended: bool) {
        let Some(change) = &mut self.change else { return };
        let mut changed = Vec::with_capacity(octets.len());
        match change {
            Changer::Decode(decoder) => decoder.feed(octets, &mut changed),
            Changer::Pick(picker) => picker.feed(octets, &mut changed),
        }
        if ended {
            match self.change.take() {
                // Measuring has shown that it ends well.
                Some(Changer::Decode(decoder)) => drop(decoder.finish(&mut changed)),
                Some(Changer::Pick(picker)) => picker.finish(&mut changed),
                None => {}
            }
        }
        *octets = changed;
    }

    fn cut(&mut self, octets: &mut Vec<u8>) {
        let before = self.skip.min(octets.len() as u64);
        self.skip -= before;
        octets.drain(..usize::try_from(before).unwrap_or(octets.len()));
        octets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= octets.len() as u64;
    }
}
