//! mbox files (RFC 4155 and the mboxrd quoting): one after another, messages in one file.
//!
//! What was noted of a message in its header becomes its flags and is no part of it
//! ([`notes`](crate::cli::notes)).

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
};

use jiff::{civil, tz::TimeZone};

use super::letter::{
    Found, Letter, Source, Unread, files, folders, open_source, own_date, too_large,
};
use crate::cli::notes::{self, trimmed};

/// How deep folders of mbox files may lie in each other.
const DEPTH: usize = 20;

/// A line that is longer is no separator, whatever it begins with.
const SEPARATOR_MAX: usize = 1_000;

/// Zones that programs write by name, in hours east of Greenwich: those of RFC 5322 §4.3 and Europe's.
const ZONES: [(&str, i32); 16] = [
    ("GMT", 0),
    ("UT", 0),
    ("UTC", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("WET", 0),
    ("CET", 1),
    ("CEST", 2),
    ("MET", 1),
    ("EET", 2),
];

/// The mbox files at a path: itself, or all below it with their folders as mailboxes.
pub(super) fn sources(path: &Path) -> io::Result<Vec<Source>> {
    if !path.is_dir() {
        return Ok(vec![Source { mailbox: String::new(), path: path.to_owned(), named: true }]);
    }
    let mut sources = Vec::new();
    for folder in folders(path, DEPTH)? {
        for file in files(&folder)? {
            let below = file.strip_prefix(path).unwrap_or(&file).with_extension("");
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            // Our own export writes a point at a level's beginning so.
            let name = parts.join("/").replace("&AC4-", ".");
            let inbox = name.eq_ignore_ascii_case("inbox");
            let mailbox = if inbox { String::new() } else { name };
            sources.push(Source { mailbox, path: file, named: false });
        }
    }
    Ok(sources)
}

/// Reads the messages of one file, each at most `max` octets long.
pub(super) fn read(source: &Source, max: u64) -> Result<impl Iterator<Item = Found>, Unread> {
    let file = open_source(source).map_err(|cause| Unread::at(&source.path, cause))?;
    let name = source.path.display().to_string();
    Ok(Reader::new(BufReader::new(file), name, source.mailbox.clone(), max))
}

/// The messages of one mbox.
struct Reader<R> {
    lines: R,
    name: String,
    mailbox: String,
    max: u64,
    /// The separator that opened the next message.
    separator: Option<Vec<u8>>,
    /// Do this file's separators go without a date, as some programs write them?
    dateless: bool,
    /// A line that was looked at before its turn.
    ahead: Option<Vec<u8>>,
    number: usize,
    /// A line of the message that could have opened another one.
    doubtful: Option<String>,
    done: bool,
}

impl<R: BufRead> Reader<R> {
    fn new(lines: R, name: String, mailbox: String, max: u64) -> Self {
        let (separator, ahead) = (None, None);
        let (number, doubtful, dateless, done) = (0, None, false, false);
        Self { lines, name, mailbox, max, separator, dateless, ahead, number, doubtful, done }
    }

    /// Passes over what stands before the first separator: nothing, in a true mbox.
    fn begin(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        while self.line(&mut line)? {
            self.dateless = separator_date(&line).is_none();
            if self.separates(&line)? {
                self.separator = Some(line);
                return Ok(true);
            }
            if !trimmed(&line).is_empty() {
                return Err(io::Error::other(
                    "is no mbox: it does not begin with a \"From \" line",
                ));
            }
            line.clear();
        }
        Ok(false)
    }

    /// Adds one line with its end; false at the end of the file. Reads no more of a line than a
    /// message may hold.
    fn line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        if let Some(ahead) = self.ahead.take() {
            line.extend_from_slice(&ahead);
            return Ok(!ahead.is_empty());
        }
        let limit = self.max.saturating_add(2);
        let read = io::Read::take(&mut self.lines, limit).read_until(b'\n', line)?;
        Ok(read > 0)
    }

    /// Does this line, at the beginning or behind a blank line, open a message? `From sender date`
    /// does, where the date has a time of day and a year. `From sender` does in a file whose first
    /// line is so too, and before a line of a header. What else stands before such a line is text, and
    /// is told.
    fn separates(&mut self, line: &[u8]) -> io::Result<bool> {
        if line.len() >= SEPARATOR_MAX || !line.starts_with(b"From ") {
            return Ok(false);
        }
        if separator_date(line).is_some() {
            return Ok(true);
        }
        let mut next = Vec::new();
        self.line(&mut next)?;
        let begins_header = is_field(&next);
        self.ahead = Some(next);
        let words = trimmed(line).split(|octet| *octet == b' ').filter(|word| !word.is_empty());
        let separates = begins_header && self.dateless && words.count() <= 2;
        if begins_header && !separates {
            let line = || String::from_utf8_lossy(trimmed(line)).into_owned();
            self.doubtful.get_or_insert_with(line);
        }
        Ok(separates)
    }

    /// The lines of one message up to the next separator.
    fn message(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut octets = Vec::new();
        let mut fits = true;
        let mut after_blank = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            if !self.line(&mut line)? {
                self.done = true;
                break;
            }
            if after_blank && self.separates(&line)? {
                self.separator = Some(std::mem::take(&mut line));
                break;
            }
            after_blank = trimmed(&line).is_empty();
            let most = self.max.saturating_add(notes::LONGEST);
            fits = fits && u64::try_from(octets.len() + line.len()).is_ok_and(|len| len <= most);
            if fits {
                octets.extend_from_slice(unquoted(&line));
            }
        }
        // The blank line before a separator belongs to the separator.
        for end in [&b"\r\n"[..], b"\n"] {
            let blank = octets.strip_suffix(end).filter(|rest| rest.ends_with(b"\n"));
            if let Some(len) = blank.map(<[u8]>::len) {
                octets.truncate(len);
                break;
            }
        }
        Ok(fits.then_some(octets))
    }

    fn advance(&mut self) -> io::Result<Option<Letter>> {
        if self.number == 0 && !self.begin()? {
            self.done = true;
            return Ok(None);
        }
        self.number += 1;
        let separator = self.separator.take().unwrap_or_default();
        self.doubtful = None;
        let octets = self.message()?.ok_or_else(|| too_large(self.max))?;
        let (octets, flags) = notes::taken_out(&octets);
        if u64::try_from(octets.len()).is_ok_and(|len| len > self.max) {
            return Err(too_large(self.max));
        }
        let place = format!("{}, message {}", self.name, self.number);
        let date = separator_date(&separator).or_else(|| own_date(&octets));
        let doubt = self
            .doubtful
            .take()
            .map(|line| format!("the line {line:?} was taken for text; a message may begin there"));
        Ok(Some(Letter { place, mailbox: self.mailbox.clone(), octets, flags, date, doubt }))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.done {
            return None;
        }
        self.advance().transpose().map(|found| {
            found.map_err(|cause| {
                // What the message's own size did ends only that message.
                self.done |= self.number == 0 || cause.kind() != io::ErrorKind::Other;
                let place = format!("{}, message {}", self.name, self.number.max(1));
                Unread { place, cause }
            })
        })
    }
}

/// mboxrd: a `>` before `From ` was put there by the writer.
fn unquoted(line: &[u8]) -> &[u8] {
    match line.split_first() {
        Some((b'>', rest)) => {
            let quotes = rest.iter().take_while(|octet| **octet == b'>').count();
            let quoted = rest.get(quotes..).is_some_and(|text| text.starts_with(b"From "));
            if quoted { rest } else { line }
        }
        _ => line,
    }
}

/// `field-name ":"` (RFC 5322 §2.2)
fn is_field(line: &[u8]) -> bool {
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    !name.is_empty() && name.len() < line.len() && name.iter().all(u8::is_ascii_graphic)
}

/// The date of a separator: `Thu Jan  1 00:00:00 1970`, perhaps with a zone before or behind the
/// year; without one it is UTC (RFC 4155).
fn separator_date(line: &[u8]) -> Option<i64> {
    let line = str::from_utf8(trimmed(line)).ok()?;
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let at = words.iter().rposition(|word| word.contains(':'))?;
    let time = words.get(at)?;
    let mut parts = time.split(':').map(str::parse::<i8>);
    let (hour, minute) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let second = parts.next().unwrap_or(Ok(0)).ok()?;
    let day = words.get(at.checked_sub(1)?)?.parse::<i8>().ok()?;
    let month = month(words.get(at.checked_sub(2)?)?)?;
    let behind = words.get(at + 1..)?;
    let year = behind.iter().find(|word| word.len() == 4 && !word.starts_with(['+', '-']));
    let year = year?.parse::<i16>().ok()?;
    let zone = behind.iter().find_map(|word| zone_seconds(word)).unwrap_or(0);
    let date = civil::DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
    let utc = date.to_zoned(TimeZone::UTC).ok()?;
    Some(utc.timestamp().as_second() - i64::from(zone))
}

/// `+0130`, or a zone by its name (RFC 5322 §4.3), in seconds east of Greenwich.
fn zone_seconds(word: &str) -> Option<i32> {
    let named = ZONES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name));
    if let Some((_, hours)) = named {
        return Some(hours * 3_600);
    }
    let sign = match word.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let digits = word.get(1..).filter(|digits| digits.len() == 4)?;
    let number: i32 = digits.parse().ok()?;
    Some(sign * (number / 100 * 3_600 + number % 100 * 60))
}

fn month(name: &str) -> Option<i8> {
    const NAMES: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    i8::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(text: &str, max: u64) -> Vec<Found> {
        Reader::new(text.as_bytes(), "box".to_owned(), String::new(), max).collect()
    }

    #[test]
    fn messages_flags_and_dates_are_told_apart() {
        let text = "From a@b Thu Jan  1 00:01:00 1970\nSubject: one\nStatus: RO\nX-Status: AF\n\
                    X-Keywords: Work $Forwarded\n\n>From here\n>>From there\n\n\
                    From c@d Fri Jan  2 00:00:00 +0100 1970\nSubject: two\n\nbody\nFrom nowhere\n";
        let found: Vec<_> = letters(text, 1_000).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].octets, b"Subject: one\n\nFrom here\n>From there\n");
        assert_eq!(found[0].flags, ["$Forwarded", "Work", "\\Answered", "\\Flagged", "\\Seen"]);
        assert_eq!(found[0].date, Some(60));
        assert_eq!(found[1].octets, b"Subject: two\n\nbody\nFrom nowhere\n");
        assert_eq!(found[1].date, Some(86_400 - 3_600));
    }

    #[test]
    fn a_from_line_in_a_body_without_a_date_is_text() {
        let text = "From a@b Thu Jan  1 00:01:00 1970\n\nbody\n\nFrom time to time it rains\n";
        let found = letters(text, 1_000);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].as_ref().unwrap().doubt, None);
    }

    #[test]
    fn a_line_that_could_have_opened_a_message_is_told() {
        let text = "From a@b Thu Jan  1 00:01:00 1970\n\nbody\n\nFrom c@d yesterday\nSubject: two\n\n\
                    x\n\nFrom a@b Thu Jan  1 00:01:00 1970\n\nbody\n";
        let found: Vec<_> = letters(text, 1_000).into_iter().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].octets.ends_with(b"\nFrom c@d yesterday\nSubject: two\n\nx\n"));
        assert!(found[0].doubt.as_ref().is_some_and(|doubt| doubt.contains("From c@d yesterday")));
        assert_eq!(found[1].doubt, None);
    }

    #[test]
    fn a_zone_may_have_a_name() {
        let date =
            |zone: &str| separator_date(format!("From a@b Fri Jan  2 00:00:00 {zone}").as_bytes());
        assert_eq!(date("PST 1970"), Some(86_400 + 8 * 3_600));
        assert_eq!(date("1970 cest"), Some(86_400 - 2 * 3_600));
        assert_eq!(date("GMT 1970"), Some(86_400));
        assert_eq!(date("1970"), Some(86_400));
    }

    #[test]
    fn separators_without_a_date_count_where_the_first_one_has_none() {
        let text = "From - \nDate: Thu, 1 Jan 1970 00:01:00 +0000\n\nbody\n\nFrom today\nwe rest\n\n\
                    From 12@xxx\nSubject: two\n\nbody\n\nFrom a@b Thu Jan  1 00:02:00 1970\n\nx\n";
        let found: Vec<_> = letters(text, 1_000).into_iter().map(Result::unwrap).collect();
        let dates: Vec<_> = found.iter().map(|letter| letter.date).collect();
        assert_eq!(dates, [Some(60), None, Some(120)]);
        assert!(found[0].octets.ends_with(b"From today\nwe rest\n"));
    }

    #[test]
    fn a_message_above_the_limit_is_reported_and_the_next_is_read() {
        let long = "x".repeat(200);
        let text = format!(
            "From a@b Thu Jan  1 00:01:00 1970\n\n{long}\n\nFrom a@b Thu Jan  1 00:01:00 1970\n\nshort\n"
        );
        let found = letters(&text, 100);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_err());
        assert_eq!(found[1].as_ref().unwrap().octets, b"\nshort\n");
    }

    #[test]
    fn what_is_no_mbox_is_said_to_be_none() {
        let found = letters("Subject: an eml\n\nbody\n", 1_000);
        assert_eq!(found.len(), 1);
        assert!(found[0].as_ref().unwrap_err().to_string().contains("is no mbox"));
    }

    #[test]
    fn an_empty_file_holds_nothing() {
        assert!(letters("", 1_000).is_empty());
    }
}
