//! A message on its way into the house, whatever kind of file it comes from.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use mail_parser::MessageParser;
use rustix::{fs::OFlags, io::Errno};

/// How much of a message is looked at for its date.
const HEADER: usize = 65_536;

/// One message as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Letter {
    /// Where it was found, for reports.
    pub(super) place: String,
    /// The mailbox it goes into, below the one that was asked for; empty for that one itself.
    pub(super) mailbox: String,
    /// Its octets.
    pub(super) octets: Vec<u8>,
    /// System flags and keywords by their IMAP names.
    pub(super) flags: Vec<String>,
    /// When it arrived, in seconds since 1970.
    pub(super) date: Option<i64>,
    /// Why it may not be what its writer meant, for reports.
    pub(super) doubt: Option<String>,
}

/// What reading finds next: a message, or one that could not be read, with the reason.
pub(super) type Found = Result<Letter, Unread>;

/// A message that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub(super) struct Unread {
    pub(super) place: String,
    pub(super) cause: io::Error,
}

impl Unread {
    pub(super) fn at(path: &Path, cause: io::Error) -> Self {
        Self { place: path.display().to_string(), cause }
    }
}

/// A file that holds messages, and the mailbox they go into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) mailbox: String,
    pub(super) path: PathBuf,
    /// It was named itself, and not found in a folder.
    pub(super) named: bool,
}

/// Octets as they are read from a file of a folder that must not be larger than `max`.
pub(super) fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_all(open(path)?, max)
}

/// The same of a source.
pub(super) fn read_source(source: &Source, max: u64) -> io::Result<Vec<u8>> {
    read_all(open_source(source)?, max)
}

fn read_all(file: File, max: u64) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).is_ok_and(|len| len > max) {
        return Err(too_large(max));
    }
    Ok(octets)
}

/// Opens a file of a folder that somebody else has filled: a link could lead to what is not his, and a
/// pipe never ends.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let no_file = || io::Error::other("a link or a special file is not read");
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::NXIO) => no_file(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

/// Opens a file that was named by whoever imports, or lies in a folder.
pub(super) fn open_source(source: &Source) -> io::Result<File> {
    if source.named { File::open(&source.path) } else { open(&source.path) }
}

/// The refusal of a message above the limit.
pub(super) fn too_large(max: u64) -> io::Error {
    io::Error::other(format!("larger than message_size_max, {max} octets"))
}

/// Seconds since 1970 of a file's last change.
pub(super) fn changed(path: &Path) -> Option<i64> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// When a message says itself that it arrived: by its newest Received field, else its Date.
pub(super) fn own_date(octets: &[u8]) -> Option<i64> {
    let header = octets.get(..HEADER).unwrap_or(octets);
    let message = MessageParser::new().parse_headers(header)?;
    let received = message.received().and_then(mail_parser::Received::date);
    let date = received.or_else(|| message.date().copied())?;
    date.is_valid().then(|| date.to_timestamp())
}

/// All folders below one, it included, level by level; bounded in depth, links not followed.
pub(super) fn folders(root: &Path, depth: usize) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![root.to_owned()];
    let mut level = all.clone();
    for _ in 0..depth {
        let mut below = Vec::new();
        for folder in level {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    below.push(entry.path());
                }
            }
        }
        below.sort();
        all.extend(below.iter().cloned());
        level = below;
    }
    Ok(all)
}

/// The files of a folder, in the order of their names.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_itself_when_it_arrived() {
        let received = b"Received: from a by b; Thu, 1 Jan 1970 00:02:00 +0000\r\n\
                         Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n\r\n";
        assert_eq!(own_date(received), Some(120));
        assert_eq!(own_date(b"Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n\r\n"), Some(60));
        assert_eq!(own_date(b"Subject: none\r\n\r\n"), None);
    }
}
