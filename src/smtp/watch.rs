//! What a message is watched for while it comes in: a line without end, and a loop.
//!
//! Sees the octets once, in whatever pieces they come, and keeps no more of them than the name of a
//! header field.

/// The field whose number tells of a loop (RFC 5321 §6.3).
const RECEIVED: &[u8] = b"received:";

/// What was seen of a message so far.
#[derive(Debug, Default)]
pub struct Watch {
    /// Octets of this line, without its end.
    line: usize,
    longest: usize,
    /// The line's first octets, folded, while the header lasts.
    start: Vec<u8>,
    after_cr: bool,
    body: bool,
    hops: usize,
}

impl Watch {
    /// Looks at the next octets. A lone LF ends a line too: what BDAT brings may have such.
    pub fn see(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.text(line);
            self.end_line();
            rest = behind.strip_prefix(b"\n").unwrap_or(behind);
        }
        self.text(rest);
    }

    fn text(&mut self, text: &[u8]) {
        let Some(last) = text.last() else { return };
        self.line = self.line.saturating_add(text.len());
        self.after_cr = *last == b'\r';
        if !self.body {
            let room = RECEIVED.len().saturating_sub(self.start.len());
            let start = text.get(..room).unwrap_or(text);
            self.start.extend(start.iter().map(u8::to_ascii_lowercase));
        }
    }

    fn end_line(&mut self) {
        let line = self.line.saturating_sub(usize::from(self.after_cr));
        self.longest = self.longest.max(line);
        if !self.body {
            self.hops = self.hops.saturating_add(usize::from(self.start == RECEIVED));
            self.body = line == 0;
            self.start.clear();
        }
        self.line = 0;
        self.after_cr = false;
    }

    /// Octets of the longest line, the one under way included.
    pub fn longest_line(&self) -> usize {
        self.longest.max(self.line)
    }

    /// Received fields in the header.
    pub fn hops(&self) -> usize {
        self.hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(octets: &[u8], step: usize) -> Watch {
        let mut watch = Watch::default();
        octets.chunks(step).for_each(|piece| watch.see(piece));
        watch
    }

    #[test]
    fn hops_are_counted_in_the_header_alone_however_it_is_cut() {
        let octets =
            b"Received: a\r\n\tb\r\nreceived: c\r\nReceived-SPF: x\r\nX: Received:\r\n\r\n\
            Received: body\r\n";
        for step in 1..=octets.len() {
            assert_eq!(watch(octets, step).hops(), 2, "{step}");
        }
        assert_eq!(watch(b"Received: a\n\nReceived: b\n", 3).hops(), 1);
        assert_eq!(watch(b"\r\nReceived: b\r\n", 3).hops(), 0);
    }

    #[test]
    fn the_longest_line_is_known_without_its_end() {
        for step in 1..=12 {
            assert_eq!(watch(b"ab\r\nabcd\r\nabc", step).longest_line(), 4, "{step}");
            assert_eq!(watch(b"ab\r\nabcdef", step).longest_line(), 6, "{step}");
        }
    }
}
