//! The file operations that the store's promises rest on, in one place, so that a test can make them
//! fail and can know what a power cut would forget.
//!
//! A sync that fails is the end of the process ([`Error::SyncFailed`]): it is never tried again. Only
//! a disk that is full is no failure of the disk.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use super::{
    error::{Error, Result},
    health::Health,
};

/// What is about to be done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed<'a> {
    /// It is made, empty; there is none of that name yet.
    Create(&'a Path),
    /// So many octets are written behind its end.
    Write(&'a Path, usize),
    /// Its octets and its length are put on the disk.
    Sync(&'a Path),
    /// It gets another name; a file that has it is replaced.
    Rename(&'a Path, &'a Path),
    /// The names in a folder are put on the disk.
    SyncFolder(&'a Path),
    /// It is removed.
    Remove(&'a Path),
    /// It gets so many octets of room, which no other file can take.
    Reserve(&'a Path, u64),
}

type See = dyn Fn(Deed<'_>) -> io::Result<()> + Send + Sync;
type Free = dyn Fn() -> u64 + Send + Sync;

/// Who is asked before each deed, and who says how much room there is, in place of the file system;
/// nobody unless a test watches.
#[derive(Clone, Default)]
pub struct Watch {
    see: Option<Arc<See>>,
    free: Option<Arc<Free>>,
}

impl Watch {
    /// `see` is told of each deed before it is done; its error takes the deed's place.
    pub fn deeds(see: impl Fn(Deed<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { see: Some(Arc::new(see)), free: None }
    }

    /// `free` says how many octets the disk has left.
    pub fn room(free: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { see: None, free: Some(Arc::new(free)) }
    }

    fn see(&self, deed: Deed<'_>) -> io::Result<()> {
        self.see.as_ref().map_or(Ok(()), |see| see(deed))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("watched", &self.see.is_some()).finish_non_exhaustive()
    }
}

/// The file system as the store uses it.
pub(super) struct Files {
    watch: Watch,
    health: Arc<Health>,
}

impl Files {
    pub(super) fn new(watch: Watch, health: Arc<Health>) -> Self {
        Self { watch, health }
    }

    fn done<T>(&self, outcome: io::Result<T>) -> Result<T> {
        let failed = rustix::io::Errno::IO.raw_os_error();
        outcome.map_err(|error| {
            let failed = error.raw_os_error() == Some(failed);
            self.health.saw(if failed { Error::ReadOnly } else { error.into() })
        })
    }

    fn synced(&self, outcome: io::Result<()>) -> Result<()> {
        outcome.map_err(|error| {
            let error = Error::from(error);
            if matches!(error, Error::DiskFull) {
                return error;
            }
            tracing::error!(%error, "sync");
            let failed = self.health.saw(Error::SyncFailed);
            self.health.tell_failed();
            failed
        })
    }

    /// A new file for reading and writing, for the owner alone.
    pub(super) fn create(&self, path: &Path) -> Result<File> {
        let open =
            || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
        self.done(self.watch.see(Deed::Create(path)).and_then(|()| open()))
    }

    /// Appends octets; they are in the page cache then, not on the disk.
    pub(super) fn write(&self, mut file: &File, path: &Path, octets: &[u8]) -> Result<()> {
        let seen = self.watch.see(Deed::Write(path, octets.len()));
        self.done(seen.and_then(|()| file.write_all(octets)))
    }

    /// Waits until a file's octets are on the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<()> {
        self.synced(self.watch.see(Deed::Sync(path)).and_then(|()| file.sync_all()))
    }

    /// Gives a file its final name.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let seen = self.watch.see(Deed::Rename(from, to));
        self.done(seen.and_then(|()| fs::rename(from, to)))
    }

    /// Waits until the names in a folder are on the disk.
    pub(super) fn sync_folder(&self, path: &Path) -> Result<()> {
        let sync = || File::open(path)?.sync_all();
        self.synced(self.watch.see(Deed::SyncFolder(path)).and_then(|()| sync()))
    }

    /// Removes a file.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        self.done(self.watch.see(Deed::Remove(path)).and_then(|()| fs::remove_file(path)))
    }

    /// Makes a file of so many octets that really take their room; none when that can't be had.
    pub(super) fn reserve(&self, path: &Path, octets: u64) -> io::Result<()> {
        self.watch.see(Deed::Reserve(path, octets))?;
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let taken =
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, octets.max(1));
        taken.map_err(|error| {
            // A part of it is worth nothing.
            let _ = fs::remove_file(path);
            error.into()
        })
    }

    /// How many octets the file system of a folder has left for us. One that won't say counts as
    /// roomy, since the write itself will then tell.
    pub(super) fn free(&self, folder: &Path) -> u64 {
        match &self.watch.free {
            Some(free) => free(),
            None => rustix::fs::statvfs(folder)
                .map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize)),
        }
    }
}
