//! Large bodies as files: written to a temporary name, synced, renamed, the folder synced, and only
//! then named by a commit. A crash leaves at most a file that nothing refers to, never a hole.
//!
//! A file is named by the BLAKE3 hash of its octets, `blobs/ab/cd…`, and never changes.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Store,
    error::{Error, Result},
    files::Files,
    open::make_private_dir,
    sweeper::age,
};

/// A blob's name: the hash of its octets.
pub(super) type Hash = [u8; 32];

/// A finished blob file, not yet referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The hash of its octets, which is its name.
    pub hash: Hash,
    /// Its length in octets.
    pub size: u64,
}

/// The folders of blobs and of files under way.
pub(super) struct Blobs {
    finished: PathBuf,
    temporary: PathBuf,
    files: Arc<Files>,
    /// Held while a file gets its final name or is removed, so that no new file is taken for an old
    /// one.
    renaming: Mutex<()>,
}

impl Blobs {
    /// Makes the folders at the first start, and clears what a crash left under way.
    pub(super) fn open(data_dir: &Path, files: Arc<Files>) -> Result<Self> {
        let (finished, temporary) = (data_dir.join("blobs"), data_dir.join("tmp"));
        let new = !finished.join("ff").exists();
        if new {
            for folder in 0..=u8::MAX {
                make_private_dir(&finished.join(format!("{folder:02x}")))?;
            }
            files.sync_folder(&finished)?;
            files.sync_folder(data_dir)?;
        }
        make_private_dir(&temporary)?;
        for leftover in fs::read_dir(&temporary)? {
            files.remove(&leftover?.path())?;
        }
        Ok(Self { finished, temporary, files, renaming: Mutex::new(()) })
    }

    /// Tries whether files can be written.
    pub(super) fn probe(&self) -> Result<()> {
        let path = self.temporary.join("probe");
        if path.exists() {
            self.files.remove(&path)?;
        }
        let file = self.files.create(&path)?;
        let written = self.files.write(&file, &path, &[0; 4096]);
        self.files.remove(&path)?;
        written
    }

    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        let (folder, rest) = name.as_str().split_at_checked(2).unwrap_or_default();
        self.finished.join(folder).join(rest)
    }

    /// How long a blob's file is.
    pub(super) fn length(&self, hash: &Hash) -> Result<u64> {
        fs::metadata(self.path(hash)).map(|file| file.len()).map_err(damaged)
    }

    /// Octets of a blob; a missing or short file is damage, never an empty answer.
    pub(super) fn read(&self, hash: &Hash, range: Range<u64>) -> Result<Vec<u8>> {
        let file = File::open(self.path(hash)).map_err(damaged)?;
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut octets = vec![0; length];
        file.read_exact_at(&mut octets, range.start).map_err(damaged)?;
        Ok(octets)
    }

    /// Length and hash of a blob's octets as they are now.
    pub(super) fn measure(&self, hash: &Hash) -> Result<(u64, Hash)> {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(self.path(hash))?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let length = file.read(&mut chunk)?;
            match chunk.get(..length) {
                Some([]) | None => return Ok((hasher.count(), *hasher.finalize().as_bytes())),
                Some(octets) => hasher.update(octets),
            };
        }
    }

    /// The names of files that were written longer ago than `grace`.
    pub(super) fn older_than(&self, grace: Duration) -> io::Result<Vec<Hash>> {
        let mut old = Vec::new();
        for folder in fs::read_dir(&self.finished)? {
            let folder = folder?;
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let name = [folder.file_name(), file.file_name()].map(OsString::into_string);
                let [Ok(first), Ok(rest)] = name else { continue };
                let Ok(hash) = blake3::Hash::from_hex(first + &rest) else { continue };
                if age(&file.metadata()?) > grace {
                    old.push(*hash.as_bytes());
                }
            }
        }
        Ok(old)
    }

    /// Removes a file unless it was written, perhaps anew, within `grace`; says whether it did.
    pub(super) fn remove_older_than(&self, hash: &Hash, grace: Duration) -> Result<bool> {
        let _held = self.renaming.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(hash);
        match fs::metadata(&path) {
            Ok(file) if age(&file) > grace => self.files.remove(&path).map(|()| true),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a failure to read a body means. Some, such as too many open files, say nothing about it.
fn damaged(error: io::Error) -> Error {
    let damage = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    if damage { Error::Corrupt(format!("a large body: {error}")) } else { error.into() }
}

impl Store {
    /// A new file to write octets into; it disappears unless it is finished.
    pub fn temporary(&self) -> Result<BlobWriter> {
        BlobWriter::new(Arc::clone(&self.0.blobs))
    }
}

/// Octets under way into a file. Its functions block for the time of a write to the page cache;
/// [`Self::finish`] waits for the disk and belongs on a blocking thread.
pub struct BlobWriter {
    blobs: Arc<Blobs>,
    path: PathBuf,
    file: File,
    size: u64,
    kept: bool,
}

impl BlobWriter {
    fn new(blobs: Arc<Blobs>) -> Result<Self> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no random numbers"))?;
        let name = format!("{:032x}", u128::from_le_bytes(random));
        let path = blobs.temporary.join(name);
        let file = blobs.files.create(&path)?;
        Ok(Self { blobs, path, file, size: 0, kept: false })
    }

    /// Appends octets.
    pub fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.blobs.files.write(&self.file, &self.path, octets)?;
        self.size = self.size.saturating_add(octets.len() as u64);
        Ok(())
    }

    /// How many octets were written.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads what was written, from its start, in steps of at most 64 KiB.
    pub fn each_chunk<E: From<Error>>(
        &mut self,
        mut f: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file.seek(SeekFrom::Start(0)).map_err(Error::from)?;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let length = self.file.read(&mut chunk).map_err(Error::from)?;
            match chunk.get(..length) {
                Some([]) | None => break,
                Some(octets) => f(octets)?,
            }
        }
        self.file.seek(SeekFrom::End(0)).map_err(Error::from)?;
        Ok(())
    }

    /// Octets that were written before.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut octets = vec![0; length];
        self.file.read_exact_at(&mut octets, range.start)?;
        Ok(octets)
    }

    /// Puts the file on the disk under its final name and waits until it is there.
    pub fn finish(mut self) -> Result<Blob> {
        let mut hasher = blake3::Hasher::new();
        self.each_chunk(|octets| {
            hasher.update(octets);
            Ok::<_, Error>(())
        })?;
        let blob = Blob { hash: *hasher.finalize().as_bytes(), size: self.size };
        self.blobs.files.sync(&self.file, &self.path)?;
        let target = self.blobs.path(&blob.hash);
        {
            let _held = self.blobs.renaming.lock().unwrap_or_else(PoisonError::into_inner);
            self.blobs.files.rename(&self.path, &target)?;
        }
        self.kept = true;
        if let Some(folder) = target.parent() {
            self.blobs.files.sync_folder(folder)?;
        }
        Ok(blob)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.kept {
            let _ = self.blobs.files.remove(&self.path);
        }
    }
}
