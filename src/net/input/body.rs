//! What comes not in lines: counted octets, and mail data up to its dot, each no slower than it may.

use tokio::time::Instant;

use super::{Input, InputError, STEP};
use crate::net::{Data, Rate, pace::Pace};

/// A number of octets that come as they are: a literal, or a BDAT chunk.
#[derive(Debug)]
pub struct Octets {
    left: u64,
    pace: Pace,
}

impl Octets {
    /// So many octets are to come, no slower than this.
    pub fn new(size: u64, rate: Rate) -> Self {
        Self { left: size, pace: Pace::new(rate, Instant::now()) }
    }

    /// How many did not come yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

/// Mail data behind a 354, and how fast it comes.
#[derive(Debug)]
pub struct DataBody {
    data: Data,
    pace: Pace,
}

impl DataBody {
    /// Data that starts now, no slower than this.
    pub fn new(rate: Rate) -> Self {
        Self { data: Data::default(), pace: Pace::new(rate, Instant::now()) }
    }

    /// What is known of the data up to here: damage, longest line.
    pub fn data(&self) -> &Data {
        &self.data
    }
}

impl Input {
    /// The next piece of a counted run of octets, at most 64 KiB; none when all have come.
    pub async fn piece(&mut self, octets: &mut Octets) -> Result<Option<Vec<u8>>, InputError> {
        if octets.left == 0 {
            return Ok(None);
        }
        while !self.has_buffered() {
            self.fill_at(&octets.pace).await?;
        }
        let most = usize::try_from(octets.left).unwrap_or(STEP).min(STEP);
        let piece = self.take_up_to(most);
        octets.pace.came(piece.len());
        octets.left = octets.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        Ok(Some(piece))
    }

    /// Reads a whole run of octets behind `into`, for one that is known to be small.
    pub async fn whole(
        &mut self,
        octets: &mut Octets,
        into: &mut Vec<u8>,
    ) -> Result<(), InputError> {
        while let Some(piece) = self.piece(octets).await? {
            into.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Reads a run of octets to its end and keeps nothing.
    pub async fn discard(&mut self, octets: &mut Octets) -> Result<(), InputError> {
        while self.piece(octets).await?.is_some() {}
        Ok(())
    }

    /// The next piece of mail data, dots taken off; none when its end has come.
    pub async fn data(&mut self, body: &mut DataBody) -> Result<Option<Vec<u8>>, InputError> {
        while !body.data.is_ended() {
            while !self.has_buffered() {
                self.fill_at(&body.pace).await?;
            }
            let step = self.rest().get(..STEP).unwrap_or_else(|| self.rest());
            let mut piece = Vec::with_capacity(step.len() + 1);
            let taken = body.data.feed(step, &mut piece);
            body.pace.came(taken);
            self.take(taken);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}
