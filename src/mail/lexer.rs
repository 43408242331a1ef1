//! Reads structured header values: blanks, comments, quoted strings, tokens (RFC 5322 §3.2,
//! RFC 2045 §5.1).
//!
//! Lenient, since mail is what it is: an unclosed comment or string goes to the end. Each octet is
//! looked at once, so reading is linear whatever the value holds.

use crate::wire::work::looked_at;

/// How deep comments nest when nothing else is said; deeper ones end the value.
pub(super) const COMMENT_DEPTH: usize = 50;

/// A place in an unfolded value.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    comment_depth: usize,
    /// A comment was too deep.
    cut: bool,
}

impl<'a> Lexer<'a> {
    /// Before the first octet; comments that nest deeper than this end the value.
    pub(super) fn new(value: &'a [u8], comment_depth: usize) -> Self {
        Self { rest: value, comment_depth, cut: false }
    }

    /// Has a comment that was too deep ended the value?
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn bump(&mut self) -> Option<u8> {
        looked_at(1);
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(super) fn take(&mut self, octet: u8) -> bool {
        let there = self.peek() == Some(octet);
        if there {
            self.bump();
        }
        there
    }

    /// Octets up to the first one that fails the test.
    pub(super) fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let size = self.rest.iter().position(|octet| !belongs(*octet)).unwrap_or(self.rest.len());
        looked_at(size.saturating_add(1));
        let (run, rest) = self.rest.split_at_checked(size).unwrap_or((self.rest, b""));
        self.rest = rest;
        run
    }

    pub(super) fn skip_blanks(&mut self) -> bool {
        !self.run(is_blank).is_empty()
    }

    /// Blanks and comments (CFWS).
    pub(super) fn skip(&mut self) {
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'(') {
                return;
            }
            self.comment();
        }
    }

    /// The text of the comment that begins here, inner brackets kept.
    pub(super) fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0_usize;
        while let Some(octet) = self.bump() {
            match octet {
                b'(' => {
                    depth += 1;
                    if depth > self.comment_depth {
                        self.rest = b"";
                        self.cut = true;
                        break;
                    }
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    text.extend(self.bump());
                    continue;
                }
                _ => {}
            }
            text.push(octet);
        }
        text.trim_ascii().to_vec()
    }

    /// The content of the quoted string that begins here, without its quoting.
    pub(super) fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        self.take(b'"');
        while let Some(octet) = self.bump() {
            match octet {
                b'"' => break,
                b'\\' => text.extend(self.bump()),
                _ => text.push(octet),
            }
        }
        text
    }

    /// `token` (RFC 2045 §5.1); empty when none stands here.
    pub(super) fn token(&mut self) -> &'a [u8] {
        self.run(is_token)
    }
}

pub(super) fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

fn is_token(octet: u8) -> bool {
    octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexer(value: &[u8]) -> Lexer<'_> {
        Lexer::new(value, COMMENT_DEPTH)
    }

    #[test]
    fn comments_nest_and_may_stay_open() {
        let mut value = lexer(b" (a (b\\) c) d) x (open");
        value.skip();
        assert_eq!(value.token(), b"x");
        value.skip();
        assert_eq!(value.peek(), None);
        assert_eq!(lexer(b"(a (b\\) c) d)").comment(), b"a (b) c) d");
    }

    #[test]
    fn comments_nest_so_deep_and_deeper_ones_end_the_value() {
        let cases: [(usize, usize, &[u8]); 7] = [
            (50, 49, b"x"),
            (50, 50, b"x"),
            (50, 51, b""),
            (2, 2, b"x"),
            (2, 3, b""),
            (0, 0, b"x"),
            (0, 1, b""),
        ];
        for (limit, depth, word) in cases {
            let value = [vec![b'('; depth], vec![b')'; depth], b"x".to_vec()].concat();
            let mut lexer = Lexer::new(&value, limit);
            lexer.skip();
            assert_eq!(lexer.token(), word, "{depth} of {limit}");
            assert_eq!(lexer.is_cut(), depth > limit);
        }
    }

    #[test]
    fn quoting_is_taken_off() {
        assert_eq!(lexer(br#""a \"b\" c" d"#).quoted(), br#"a "b" c"#);
    }
}
