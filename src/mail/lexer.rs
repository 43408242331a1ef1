//! Reads structured header values: blanks, comments, quoted strings, tokens (RFC 5322 §3.2,
//! RFC 2045 §5.1).
//!
//! Lenient, since mail is what it is: an unclosed comment or string goes to the end. Each octet is
//! looked at once, so reading is linear whatever the value holds.

/// Comments deeper than this end the value.
const COMMENT_DEPTH: u32 = 50;

/// A place in an unfolded value.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn bump(&mut self) -> Option<u8> {
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
        let mut depth = 0;
        while let Some(octet) = self.bump() {
            match octet {
                b'(' => {
                    depth += 1;
                    if depth > COMMENT_DEPTH {
                        self.rest = b"";
                        break;
                    }
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
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

    #[test]
    fn comments_nest_and_may_stay_open() {
        let mut lexer = Lexer::new(b" (a (b\\) c) d) x (open");
        lexer.skip();
        assert_eq!(lexer.token(), b"x");
        lexer.skip();
        assert_eq!(lexer.peek(), None);
        assert_eq!(Lexer::new(b"(a (b\\) c) d)").comment(), b"a (b) c) d");
    }

    #[test]
    fn comments_too_deep_end_the_value() {
        let mut deep = vec![b'('; 51];
        deep.extend_from_slice(b"x");
        let mut lexer = Lexer::new(&deep);
        lexer.skip();
        assert_eq!(lexer.peek(), None);
    }

    #[test]
    fn quoting_is_taken_off() {
        assert_eq!(Lexer::new(br#""a \"b\" c" d"#).quoted(), br#"a "b" c"#);
    }
}
