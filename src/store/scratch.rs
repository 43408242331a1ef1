//! Octets of a message that only passes through: in a file without a name, which is gone with whoever
//! holds it, and belongs to no store.

use std::{
    env,
    fs::File,
    io::Write as _,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::error::Result;

/// Octets in a file without a name.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    size: u64,
}

impl Scratch {
    /// An empty one, in the folder that `TMPDIR` names, or the system's for large files of short life:
    /// what is in /tmp is often kept in memory.
    pub fn new() -> Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder())?, size: 0 })
    }

    /// Appends octets.
    pub fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.file.write_all(octets)?;
        self.size = self.size.saturating_add(octets.len() as u64);
        Ok(())
    }

    /// How many octets were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Octets that were written before.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut octets = vec![0; length];
        self.file.read_exact_at(&mut octets, range.start)?;
        Ok(octets)
    }
}

fn folder() -> PathBuf {
    let large = Path::new("/var/tmp");
    if env::var_os("TMPDIR").is_none() && large.is_dir() {
        large.to_owned()
    } else {
        env::temp_dir()
    }
}
