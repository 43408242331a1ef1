//! How much of something a message may hold, as far as it is read.

/// So many are read, and one knows in the end whether there were more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    left: usize,
    short: bool,
}

impl Budget {
    /// For so many.
    pub fn new(left: usize) -> Self {
        Self { left, short: false }
    }

    /// Another one has come: is there room for it?
    pub fn take(&mut self) -> bool {
        self.short |= self.left == 0;
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }

    /// How many more may come.
    pub fn left(self) -> usize {
        self.left
    }

    /// Has one come for which there was no room?
    pub fn is_short(self) -> bool {
        self.short
    }
}
