//! Single message files: one, or all `.eml` files below a folder.

use std::{io, path::Path};

use super::letter::{
    Found, Letter, Source, Unread, changed, files, folders, own_date, read_source,
};

/// How deep folders are looked into.
const DEPTH: usize = 20;

/// The message files at a path.
pub(super) fn sources(path: &Path) -> io::Result<Vec<Source>> {
    if !path.is_dir() {
        return Ok(vec![Source { mailbox: String::new(), path: path.to_owned(), named: true }]);
    }
    let mut sources = Vec::new();
    for folder in folders(path, DEPTH)? {
        for file in files(&folder)? {
            if file.extension().is_some_and(|end| end.eq_ignore_ascii_case("eml")) {
                sources.push(Source { mailbox: String::new(), path: file, named: false });
            }
        }
    }
    Ok(sources)
}

/// Reads one message file of at most `max` octets. It says itself when it arrived: by its newest
/// Received field, else its Date; else the file's own date is taken.
pub(super) fn read(source: &Source, max: u64) -> Found {
    let octets = read_source(source, max).map_err(|cause| Unread::at(&source.path, cause))?;
    let date = own_date(&octets).or_else(|| changed(&source.path));
    let place = source.path.display().to_string();
    Ok(Letter {
        place,
        mailbox: source.mailbox.clone(),
        octets,
        flags: Vec::new(),
        date,
        doubt: None,
    })
}
