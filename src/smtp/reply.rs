//! What we can say: a code, an enhanced code and a text (RFC 5321 §4.2, RFC 3463, RFC 2034).

use std::borrow::Cow;

/// Characters of one reply line's text; the line has 512 with codes and end (RFC 5321 §4.5.3.1.5).
const TEXT_MAX: usize = 480;

/// One reply, mostly of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: &'static str,
    text: Cow<'static, str>,
    more: Vec<String>,
}

impl Reply {
    /// A reply with an enhanced code.
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced, text: text.into(), more: Vec::new() }
    }

    /// A reply that has no enhanced code: greetings, and the go-aheads 334 and 354.
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(code, "", text)
    }

    /// The same with further lines: EHLO's keywords.
    pub fn with_lines(mut self, lines: Vec<String>) -> Self {
        self.more = lines;
        self
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, empty if there is none.
    pub fn enhanced(&self) -> &'static str {
        self.enhanced
    }

    /// What it says to people.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True for 4xx and 5xx.
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// Writes it: `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ]
    /// CRLF`. No text can end a line or start another.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let texts = std::iter::once(&*self.text).chain(self.more.iter().map(String::as_str));
        let last = self.more.len();
        for (number, text) in texts.enumerate() {
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if number == last { b' ' } else { b'-' });
            if !self.enhanced.is_empty() {
                out.extend_from_slice(self.enhanced.as_bytes());
                out.push(b' ');
            }
            let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            let mut octets = 0_usize;
            for c in printable {
                octets = octets.saturating_add(c.len_utf8());
                if octets > TEXT_MAX {
                    break;
                }
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_has_its_codes_on_each_line() {
        assert_eq!(written(&Reply::new(250, "2.1.0", "OK")), "250 2.1.0 OK\r\n");
        assert_eq!(written(&Reply::plain(354, "go ahead")), "354 go ahead\r\n");
        let help = Reply::new(214, "2.0.0", "one").with_lines(vec!["two".into(), "three".into()]);
        assert_eq!(written(&help), "214-2.0.0 one\r\n214-2.0.0 two\r\n214 2.0.0 three\r\n");
    }

    #[test]
    fn no_text_makes_a_second_line_or_one_too_long() {
        assert_eq!(written(&Reply::new(550, "5.1.1", "a\r\n250 b")), "550 5.1.1 a  250 b\r\n");
        let long = written(&Reply::new(550, "5.1.1", "ä".repeat(600)));
        assert!(long.len() <= 512 && long.ends_with("ä\r\n"));
    }
}
