//! Changes the MIME fields of one header, its other fields stay as they are.

use super::{LineEnds, ascii};
use crate::mail::{
    downgrade::LINE_MAX,
    field::{Field, fields, find},
};

/// A longer header is only copied.
const HEADER_MAX: usize = 1 << 20;
/// What to change.
#[allow(clippy::struct_excessive_bools, reason = "each is a change of its own, in any mixture")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::mail) struct Edit {
    /// The new Content-Transfer-Encoding.
    pub encoding: Option<&'static str>,
    /// The part becomes text/plain: a multipart without parts that has to be encoded.
    pub as_text: bool,
    /// The header of a message, which must say MIME-Version when it says anything of MIME.
    pub of_message: bool,
    /// The header lacks its empty line and gets one.
    pub empty_line: bool,
    /// Lines of more octets than this are folded.
    pub fold: Option<usize>,
    /// Line ends become CRLF.
    pub line_ends: bool,
    /// Fields of eight bits are written in seven.
    pub ascii: bool,
}

impl Edit {
    pub(super) fn is_nothing(&self) -> bool {
        !self.adds() && self.fold.is_none() && !self.line_ends && !self.ascii
    }

    /// Whether there will be another field.
    pub(super) fn adds(&self) -> bool {
        self.encoding.is_some() || self.as_text
    }
}

/// Holds a header until it is complete.
#[derive(Debug)]
pub(super) struct Editor {
    edit: Edit,
    held: Vec<u8>,
    passed: bool,
}

impl Editor {
    pub(super) fn new(edit: Edit) -> Self {
        Self { edit, held: Vec::new(), passed: false }
    }

    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(octets);
        if self.held.len() > HEADER_MAX {
            self.passed = true;
            self.pass(out);
        }
    }

    /// Lets a header go that is too long to be understood.
    fn pass(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if self.edit.ascii { out.extend(ascii::masked(&held)) } else { out.extend(held) }
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.passed {
            return self.pass(out);
        }
        let held = std::mem::take(&mut self.held);
        if self.edit.line_ends {
            let (mut ends, mut header) = (LineEnds::default(), Vec::with_capacity(held.len()));
            ends.feed(&held, &mut header);
            ends.finish(&mut header);
            self.edit.write(&header, out);
        } else {
            self.edit.write(&held, out);
        }
    }
}

impl Edit {
    fn write(&self, header: &[u8], out: &mut Vec<u8>) {
        let mut size = 0usize;
        let mut encoding = self.encoding;
        for field in fields(header) {
            size = size.saturating_add(field.raw.len());
            if self.encoding.is_some() && field.is(b"content-transfer-encoding") {
                // The first field that names it is the one that counts.
                put_encoding(out, encoding.take());
            } else if !(self.as_text && field.is(b"content-type")) {
                self.put_field(&field, out);
            }
        }
        let open_end =
            header.get(..size).is_some_and(|all| !all.is_empty() && !all.ends_with(b"\n"));
        if encoding.is_some() && open_end {
            out.extend_from_slice(b"\r\n");
        }
        put_encoding(out, encoding);
        if self.as_text {
            out.extend_from_slice(b"Content-Type: text/plain\r\n");
        }
        if self.adds() && self.of_message && find(header, b"mime-version").is_none() {
            out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        out.extend_from_slice(header.get(size..).unwrap_or_default());
        if self.empty_line {
            out.extend_from_slice(b"\r\n");
        }
    }

    fn put_field(&self, field: &Field<'_>, out: &mut Vec<u8>) {
        let mut written = Vec::new();
        let mut most = self.fold;
        if self.ascii && !field.raw.is_ascii() {
            ascii::put(field, &mut written);
            most.get_or_insert(LINE_MAX);
        }
        let raw = if written.is_empty() { field.raw } else { &written };
        let Some(most) = most else { return out.extend_from_slice(raw) };
        for line in raw.split_inclusive(|octet| *octet == b'\n') {
            fold(line, most, out);
        }
    }
}

fn put_encoding(out: &mut Vec<u8>, encoding: Option<&str>) {
    if let Some(encoding) = encoding {
        out.extend_from_slice(b"Content-Transfer-Encoding: ");
        out.extend_from_slice(encoding.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Breaks a line that is too long before its blanks, or where nothing else helps anywhere.
fn fold(line: &[u8], most: usize, out: &mut Vec<u8>) {
    let mut rest = line;
    let mut room = most;
    while rest.trim_ascii_end().len() > room {
        let Some((head, tail)) = rest.split_at_checked(room) else { break };
        let blank = head.iter().rposition(|octet| matches!(octet, b' ' | b'\t'));
        // A line of nothing but blanks would end the header for some readers.
        let good = blank.filter(|at| head.get(..*at).is_some_and(|h| !h.trim_ascii().is_empty()));
        let (head, tail, line_end) = match good.and_then(|at| rest.split_at_checked(at)) {
            Some((head, tail)) => (head, tail, &b"\r\n"[..]),
            None => (head, tail, &b"\r\n "[..]),
        };
        room = if line_end.ends_with(b" ") { most.saturating_sub(1) } else { most };
        out.extend_from_slice(head);
        out.extend_from_slice(line_end);
        rest = tail;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edit: Edit, header: &str) -> String {
        let mut out = Vec::new();
        let mut editor = Editor::new(edit);
        editor.feed(header.as_bytes(), &mut out);
        editor.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_encoding_is_replaced_in_its_place() {
        let edit = Edit { encoding: Some("base64"), ..Edit::default() };
        let header = "A: 1\r\ncontent-transfer-encoding:\r\n binary\r\nB: 2\r\n\r\n";
        let want = "A: 1\r\nContent-Transfer-Encoding: base64\r\nB: 2\r\n\r\n";
        assert_eq!(edited(edit, header), want);
    }

    #[test]
    fn what_is_missing_is_added_before_the_empty_line() {
        let edit = Edit { encoding: Some("base64"), of_message: true, ..Edit::default() };
        let want = "A: 1\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\n";
        assert_eq!(edited(edit.clone(), "A: 1\r\n\r\n"), want);
        let there = "Mime-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        assert_eq!(edited(edit, "Mime-Version: 1.0\r\n\r\n"), there);
    }

    #[test]
    fn long_lines_are_folded() {
        let header =
            format!("To: {}\r\nX: {}\r\n\r\n", "a@b.example, ".repeat(200), "x".repeat(2500));
        for most in [78, 998] {
            let folded = edited(Edit { fold: Some(most), ..Edit::default() }, &header);
            assert_eq!(folded.lines().map(str::len).max(), Some(most));
            let plain = |text: &str| text.replace("\r\n", "").replace(' ', "");
            assert_eq!(plain(&folded), plain(&header));
        }
    }
}
