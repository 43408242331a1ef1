//! How much room the disk has left, looked at often and cheaply.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// Below this, nothing at all is written.
pub(super) const LEAST_FOR_WRITING: u64 = 32 << 20;
/// How long a look at the file system is good for.
const FRESH: Duration = Duration::from_millis(200);

/// What the room on the disk allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Octets free for us.
    pub free: u64,
    adding_needs: u64,
    writing_needs: u64,
}

impl Space {
    /// May mail be added? Otherwise `452 4.3.1` and `NO [UNAVAILABLE]`; it comes back by itself.
    pub fn may_add(self) -> bool {
        self.free >= self.adding_needs
    }

    /// May anything be changed, flags for example?
    pub fn may_write(self) -> bool {
        self.free >= self.writing_needs
    }
}

/// Looks at the file system that holds the store.
pub(super) struct Gauge {
    data_dir: PathBuf,
    looked: Option<Instant>,
    space: Space,
}

impl Gauge {
    pub(super) fn new(data_dir: PathBuf, adding_needs: u64, writing_needs: u64) -> Self {
        let space = Space { free: u64::MAX, adding_needs, writing_needs };
        Self { data_dir, looked: None, space }
    }

    /// The room as it was at most [`FRESH`] ago; a file system that won't say counts as roomy, since
    /// the write itself will then tell.
    pub(super) fn read(&mut self) -> Space {
        if self.looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            self.looked = Some(Instant::now());
            self.space.free = rustix::fs::statvfs(&self.data_dir)
                .map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        }
        self.space
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_stops_before_writing() {
        let space = |free| Space { free, adding_needs: 256, writing_needs: 32 };
        assert!(space(256).may_add());
        assert!(!space(255).may_add());
        assert!(space(32).may_write());
        assert!(!space(31).may_write());
    }
}
