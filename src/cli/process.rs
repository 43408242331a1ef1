//! What a process does to itself before anything else: whose it is, what its files may be, how many
//! it may open, how it takes memory.

use std::{io, os::unix::fs::MetadataExt, path::Path};

use anyhow::Context as _;
use rustix::{
    fs::Mode,
    process::{Gid, Resource, Rlimit, Uid},
    thread::{self, CapabilitySet, CapabilitySets},
};

/// Files we make are for their owner alone.
pub(super) fn keep_files_private() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Takes memory in small pages: the allocator asks for more than it needs at once, and in huge pages
/// a server that has just started would hold a fourth more.
pub(super) fn keep_memory_small() {
    // A mere hint to the kernel: without it all is the same, but larger.
    let _ = thread::disable_transparent_huge_pages(true);
}

/// Run as root, becomes the owner of the data directory, so that nothing in it ever belongs to root
/// that the server must write. Must be called before the first thread is started, for it changes
/// the calling thread alone.
pub(super) fn become_owner(data_dir: &Path) -> anyhow::Result<()> {
    change_owner(data_dir, CapabilitySet::empty())
}

/// The same, and keeps the right to listen on ports below 1024.
pub(super) fn become_owner_with_ports(data_dir: &Path) -> anyhow::Result<()> {
    change_owner(data_dir, CapabilitySet::NET_BIND_SERVICE)
}

fn change_owner(data_dir: &Path, kept: CapabilitySet) -> anyhow::Result<()> {
    let Some((uid, gid)) = owner_to_become(data_dir) else {
        return Ok(());
    };
    let change = || -> io::Result<()> {
        thread::set_keep_capabilities(!kept.is_empty())?;
        thread::set_thread_groups(&[gid])?;
        thread::set_thread_gid(gid)?;
        thread::set_thread_uid(uid)?;
        let inheritable = CapabilitySet::empty();
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
        thread::set_capabilities(None, sets)?;
        Ok(())
    };
    change().with_context(|| format!("cannot become the owner of {}", data_dir.display()))
}

/// The owner of the data directory, when we are root and it is somebody else's.
fn owner_to_become(data_dir: &Path) -> Option<(Uid, Gid)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let meta = std::fs::metadata(data_dir).ok()?;
    (meta.uid() != 0).then(|| (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid())))
}

/// Raises the number of open files to what is allowed at most, and gives that number.
pub(super) fn open_many_files() -> Option<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}
