//! A message's state in the header of an mbox file: Status, X-Status and X-Keywords, which mail
//! programs write and read, and what Mailade adds so that a message comes back octet for octet.
//!
//! Lines are as in files, with LF alone. What is written here is taken out again here: a field of the
//! message's own that looks like a note is marked as the message's, and a last line without an end is
//! noted.

/// Stands before a line of the message's own header that would be taken for a note.
const OWN: &[u8] = b"X-Mailade-Own-";
/// Notes that the last line has no end.
const OPEN: &str = "X-Mailade-End: open";
/// A comma within a keyword: others take it for a separator. No keyword holds a percent sign
/// (RFC 9051 §9, `flag-keyword = atom`).
const COMMA: &str = "%2C";

/// Octets that notes add to a message, at most.
pub(super) const LONGEST: u64 = 256 << 10;

/// A message with its state noted behind its header, every line with its end.
pub(super) fn written(octets: &[u8], flags: &[String]) -> Vec<u8> {
    let open = !octets.ends_with(b"\n");
    let mut out = Vec::with_capacity(octets.len() + 256);
    let mut rest = octets;
    while let Some((line, behind)) = header_line(rest) {
        if is_like_a_note(line) {
            out.extend_from_slice(OWN);
        }
        out.extend_from_slice(line);
        rest = behind;
    }
    if rest.is_empty() && open && !octets.is_empty() {
        out.push(b'\n');
    }
    out.extend_from_slice(of(flags).as_bytes());
    if open {
        out.extend_from_slice(OPEN.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(rest);
    if !rest.is_empty() && open {
        out.push(b'\n');
    }
    out
}

/// The message without the notes in its header, and the flags that they say.
pub(super) fn taken_out(octets: &[u8]) -> (Vec<u8>, Vec<String>) {
    let mut kept = Vec::with_capacity(octets.len());
    let mut flags = Vec::new();
    let mut open = false;
    let mut rest = octets;
    while let Some((line, behind)) = header_line(rest) {
        let folded = behind.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
        if let Some(own) = line.strip_prefix(OWN) {
            kept.extend_from_slice(own);
        } else if trimmed(line) == OPEN.as_bytes() {
            open = true;
        } else {
            match note(trimmed(line)).filter(|_| !folded) {
                Some(noted) => flags.extend(noted),
                None => kept.extend_from_slice(line),
            }
        }
        rest = behind;
    }
    kept.extend_from_slice(rest);
    if open && kept.ends_with(b"\n") {
        kept.pop();
    }
    flags.sort();
    flags.dedup();
    (kept, flags)
}

/// A line without its end.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The next line of a header with its end, and what is behind it; None at the blank line, or at the
/// end.
fn header_line(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at + 1);
    let (line, behind) = octets.split_at(end);
    (!trimmed(line).is_empty()).then_some((line, behind))
}

fn is_like_a_note(line: &[u8]) -> bool {
    let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
    let names = ["status", "x-status", "x-keywords", "x-mailade-end"];
    line.starts_with(OWN) || names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The flags as header fields.
fn of(flags: &[String]) -> String {
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    let status = if has("\\Seen") { "RO" } else { "O" };
    let table = [("\\Answered", 'A'), ("\\Flagged", 'F'), ("\\Deleted", 'D'), ("\\Draft", 'T')];
    let letters: String =
        table.iter().filter(|(flag, _)| has(flag)).map(|(_, letter)| *letter).collect();
    let keywords = flags.iter().filter(|flag| !flag.starts_with('\\'));
    let keywords: Vec<_> = keywords.map(|keyword| keyword.replace(',', COMMA)).collect();
    let mut notes = format!("Status: {status}\n");
    if !letters.is_empty() {
        notes.extend(["X-Status: ", &letters, "\n"]);
    }
    if !keywords.is_empty() {
        notes.extend(["X-Keywords: ", &keywords.join(" "), "\n"]);
    }
    notes
}

/// The flags that a header line notes; None for any other line.
fn note(line: &[u8]) -> Option<Vec<String>> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    let value = value.trim();
    match name.to_ascii_lowercase().as_str() {
        "status" => letters(value, &[('R', "\\Seen"), ('O', ""), ('N', ""), ('U', "")]),
        "x-status" => letters(
            value,
            &[
                ('A', "\\Answered"),
                ('F', "\\Flagged"),
                ('D', "\\Deleted"),
                ('T', "\\Draft"),
                ('R', "\\Seen"),
            ],
        ),
        "x-keywords" => {
            let words = value.split([' ', ',']).filter(|word| !word.is_empty());
            Some(words.map(|word| word.replace(COMMA, ",")).collect())
        }
        _ => None,
    }
}

/// The flags of letters; None when one of them is unknown, so that the field means something else.
fn letters(value: &str, table: &[(char, &str)]) -> Option<Vec<String>> {
    let flag = |c: char| table.iter().find(|(letter, _)| *letter == c).map(|(_, flag)| *flag);
    let flags: Vec<_> = value.chars().map(flag).collect::<Option<_>>()?;
    Some(flags.into_iter().filter(|flag| !flag.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_field_of_another_kind_stays_in_the_message() {
        let (kept, flags) = taken_out(b"Status: delivered\nX-Status: ?\n\nStatus: R\n");
        assert_eq!(kept, b"Status: delivered\nX-Status: ?\n\nStatus: R\n");
        assert!(flags.is_empty());
    }

    #[test]
    fn notes_never_join_a_line_of_the_message() {
        for (message, noted) in [
            (&b""[..], "Status: O\nX-Mailade-End: open\n"),
            (b"Subject: x", "Subject: x\nStatus: O\nX-Mailade-End: open\n"),
            (b"Subject: x\n", "Subject: x\nStatus: O\n"),
            (b"\nbody", "Status: O\nX-Mailade-End: open\n\nbody\n"),
            (b"STATUS: R\n\n", "X-Mailade-Own-STATUS: R\nStatus: O\n\n"),
        ] {
            assert_eq!(String::from_utf8(written(message, &[])).unwrap(), noted);
            assert_eq!(taken_out(noted.as_bytes()), (message.to_vec(), Vec::new()));
        }
    }
}
