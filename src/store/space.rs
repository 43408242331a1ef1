//! How much room the disk has left, looked at often and cheaply, and a reserve of it for the time
//! when there is none: what frees room or loses no mail (expunging, flags, logins) goes on then.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::files::Files;

/// Below this, nothing at all is written.
pub(super) const LEAST_FOR_WRITING: u64 = 32 << 20;
/// How long a look at the file system is good for.
const FRESH: Duration = Duration::from_millis(200);
/// How long room must have been there before a reserve is put aside again.
const CALM: Duration = Duration::from_mins(1);

/// How much room there must be for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Adding mail, in octets.
    pub(super) adding: u64,
    /// Writing anything, in octets.
    pub(super) writing: u64,
    /// The octets to be kept back; 0 for none.
    pub(super) reserve: u64,
}

/// What the room on the disk allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Octets free for us.
    pub free: u64,
    needs: Needs,
}

impl Space {
    /// May mail be added? Otherwise `452 4.3.1` and `NO [UNAVAILABLE]`; it comes back by itself.
    pub fn may_add(self) -> bool {
        self.free >= self.needs.adding
    }

    /// May anything be changed, flags for example?
    pub fn may_write(self) -> bool {
        self.free >= self.needs.writing
    }

    /// One line for the owner when something begins or ends, not one for each refusal.
    fn tell_what_changed(self, before: Self) {
        let free = self.free;
        if before.may_write() && !self.may_write() {
            tracing::error!(free, "the disk is full: nothing is written, mail can only be read");
        } else if before.may_add() && !self.may_add() {
            tracing::error!(free, "the disk is nearly full: no mail is taken until there is room");
        } else if !before.may_add() && self.may_add() {
            tracing::warn!(free, "there is room on the disk again: mail is taken");
        } else if !before.may_write() && self.may_write() {
            tracing::warn!(free, "there is a little room on the disk: changes go on, mail waits");
        }
    }
}

/// Looks at the file system that holds the store.
pub(super) struct Gauge {
    data_dir: PathBuf,
    files: Arc<Files>,
    looked: Option<Instant>,
    space: Space,
    reserve: Reserve,
}

/// A file whose room is given back when there is no other.
struct Reserve {
    path: PathBuf,
    held: bool,
    /// When it was released, or could not be made.
    missed: Option<Instant>,
}

impl Gauge {
    pub(super) fn new(data_dir: &Path, files: Arc<Files>, needs: Needs) -> Self {
        let path = data_dir.join("reserve");
        let found = std::fs::metadata(&path).map(|file| file.len()).ok();
        let held = found == Some(needs.reserve);
        if found.is_some() && !held {
            // Another size was asked for before. If it stays it does no harm.
            let _ = files.remove(&path);
        }
        let reserve = Reserve { held, path, missed: None };
        let space = Space { free: u64::MAX, needs };
        Self { data_dir: data_dir.into(), files, looked: None, space, reserve }
    }

    /// The room as it was at most [`FRESH`] ago.
    pub(super) fn read(&mut self) -> Space {
        if self.looked.is_none_or(|looked| looked.elapsed() > FRESH) {
            self.look();
        }
        self.space
    }

    fn look(&mut self) {
        self.looked = Some(Instant::now());
        let before = self.space;
        self.space.free = self.files.free(&self.data_dir);
        self.space.tell_what_changed(before);
    }

    /// The same for the writer, which puts the reserve aside while there is room, and releases it
    /// before it would have to stop.
    pub(super) fn read_with_reserve(&mut self) -> Space {
        let Needs { adding, reserve, .. } = self.space.needs;
        let space = self.read();
        if self.reserve.held && !space.may_write() {
            self.release();
        } else if !self.reserve.held && reserve > 0 && space.free >= adding.saturating_add(reserve)
        {
            self.put_aside(reserve);
        }
        self.space
    }

    /// Gives the reserve's room back; also when a write failed though room was announced (a quota).
    pub(super) fn release(&mut self) {
        if !self.reserve.held {
            return;
        }
        self.reserve.held = false;
        self.reserve.missed = Some(Instant::now());
        match self.files.remove(&self.reserve.path) {
            Ok(()) => tracing::warn!(
                "the reserve was released, so that messages can still be expunged on a full disk"
            ),
            Err(error) => tracing::error!(%error, "the reserve could not be released"),
        }
        self.look();
    }

    fn put_aside(&mut self, octets: u64) {
        if self.reserve.missed.is_some_and(|missed| missed.elapsed() < CALM) {
            return;
        }
        match self.files.reserve(&self.reserve.path, octets) {
            Ok(()) => self.reserve.held = true,
            Err(error) => {
                if self.reserve.missed.is_none() {
                    tracing::warn!(%error, "no room could be put aside for a full disk");
                }
                self.reserve.missed = Some(Instant::now());
            }
        }
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::{files::Watch, health::Health};

    const NEEDS: Needs = Needs { adding: 256, writing: 32, reserve: 64 };

    #[test]
    fn adding_stops_before_writing() {
        let space = |free| Space { free, needs: NEEDS };
        assert!(space(257).may_add() && space(256).may_add());
        assert!(!space(255).may_add());
        assert!(space(33).may_write() && space(32).may_write());
        assert!(!space(31).may_write());
    }

    #[test]
    fn the_reserve_is_put_aside_while_there_is_room_and_released_when_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let free = Arc::new(AtomicU64::new(256 + 63));
        let told = Arc::clone(&free);
        let watch = Watch::room(move || told.load(Ordering::Relaxed));
        let files = Arc::new(Files::new(watch, Arc::new(Health::new())));
        let mut gauge = Gauge::new(dir.path(), Arc::clone(&files), NEEDS);
        let reserve = dir.path().join("reserve");
        let mut with = |octets| {
            free.store(octets, Ordering::Relaxed);
            gauge.looked = None;
            gauge.read_with_reserve();
            reserve.metadata().map(|file| file.len()).ok()
        };
        assert_eq!(with(256 + 63), None, "it would end the adding of mail");
        assert_eq!(with(256 + 64), Some(64));
        assert_eq!(with(32), Some(64));
        assert_eq!(with(31), None);
        assert_eq!(with(1 << 20), None, "not at once again");
        gauge.reserve.missed = None;
        assert_eq!(gauge.read_with_reserve().free, 1 << 20);
        let again = |reserve| {
            let needs = Needs { reserve, ..NEEDS };
            Gauge::new(dir.path(), Arc::clone(&files), needs).reserve.held
        };
        assert!(again(64), "it outlives the process");
        assert!(!again(65) && !reserve.exists(), "another size is made anew");
    }
}
