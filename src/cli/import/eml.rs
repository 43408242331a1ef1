//! Single message files: one, or all `.eml` files below a folder.

use std::{io, path::Path};

use mail_parser::MessageParser;

use super::letter::{Found, Letter, Source, Unread, changed, files, folders, read_bounded};

/// How deep folders are looked into.
const DEPTH: usize = 20;

/// How much of a message is looked at for its date.
const HEADER: usize = 65_536;

/// The message files at a path.
pub(super) fn sources(path: &Path) -> io::Result<Vec<Source>> {
    if !path.is_dir() {
        return Ok(vec![Source { mailbox: String::new(), path: path.to_owned() }]);
    }
    let mut sources = Vec::new();
    for folder in folders(path, DEPTH)? {
        for file in files(&folder)? {
            if file.extension().is_some_and(|end| end.eq_ignore_ascii_case("eml")) {
                sources.push(Source { mailbox: String::new(), path: file });
            }
        }
    }
    Ok(sources)
}

/// Reads one message file of at most `max` octets. It says itself when it arrived: by its newest
/// Received field, else its Date; else the file's own date is taken.
pub(super) fn read(source: &Source, max: u64) -> Found {
    let octets =
        read_bounded(&source.path, max).map_err(|cause| Unread::at(&source.path, cause))?;
    let date = own_date(&octets).or_else(|| changed(&source.path));
    let place = source.path.display().to_string();
    Ok(Letter { place, mailbox: source.mailbox.clone(), octets, flags: Vec::new(), date })
}

fn own_date(octets: &[u8]) -> Option<i64> {
    let header = octets.get(..HEADER).unwrap_or(octets);
    let message = MessageParser::new().parse_headers(header)?;
    let received = message.received().and_then(mail_parser::Received::date);
    let date = received.or_else(|| message.date().copied())?;
    date.is_valid().then(|| date.to_timestamp())
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
