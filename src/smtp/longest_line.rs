//! The longest line of what BDAT brings, whose octets no reader of lines has looked at.

/// Seen so far.
#[derive(Debug, Default)]
pub(super) struct LongestLine {
    /// Octets of the line under way.
    line: usize,
    longest: usize,
    after_cr: bool,
}

impl LongestLine {
    /// Looks at the next octets. A lone LF ends a line too.
    pub(super) fn see(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.text(line);
            self.longest = self.longest();
            self.line = 0;
            self.after_cr = false;
            rest = behind.strip_prefix(b"\n").unwrap_or(behind);
        }
        self.text(rest);
    }

    fn text(&mut self, text: &[u8]) {
        if let Some(last) = text.last() {
            self.line = self.line.saturating_add(text.len());
            self.after_cr = *last == b'\r';
        }
    }

    /// Octets of the longest line without its end; the one under way counts.
    pub(super) fn longest(&self) -> usize {
        self.longest.max(self.line.saturating_sub(usize::from(self.after_cr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_is_known_without_its_end_however_it_is_cut() {
        for step in 1..=12 {
            let longest = |octets: &[u8]| {
                let mut seen = LongestLine::default();
                octets.chunks(step).for_each(|piece| seen.see(piece));
                seen.longest()
            };
            assert_eq!(longest(b"ab\r\nabcd\r\nabc"), 4, "{step}");
            assert_eq!(longest(b"ab\r\nabcdef"), 6, "{step}");
            assert_eq!(longest(b"abc\nab"), 3, "{step}");
            assert_eq!(longest(b""), 0);
        }
    }
}
