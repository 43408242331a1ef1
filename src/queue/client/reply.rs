//! What servers reply (RFC 5321 §4.2), read with bounds, and what EHLO offers.

use super::super::answer::{Answer, Status};

/// Octets of a reply line (RFC 5321 §4.5.3.1.5 says 512; real ones are longer).
pub(super) const LINE_MAX: usize = 4_096;
/// Lines of one reply.
pub(super) const LINES_MAX: usize = 200;
/// Octets of a reply's text that are kept.
const TEXT_MAX: usize = 1_000;

/// One whole reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// The lines' texts, free of control characters.
    pub(super) lines: Vec<String>,
}

/// One line of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) code: u16,
    pub(super) more: bool,
    pub(super) text: String,
}

/// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`
pub(super) fn line(octets: &[u8]) -> Option<Line> {
    let (code, rest) = octets.split_first_chunk::<3>()?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    let (more, text) = match rest.split_first() {
        None => (false, rest),
        Some((b' ', text)) => (false, text),
        Some((b'-', text)) => (true, text),
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(text);
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(Line { code, more, text }).filter(|line| (200..600).contains(&line.code))
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The reply as the fate of a recipient. What is neither yes nor a clear no may be tried again.
    pub(super) fn answer(&self, host: &str) -> Answer {
        let class = match self.code / 100 {
            2 => 2,
            5 => 5,
            _ => 4,
        };
        let status = self
            .lines
            .first()
            .and_then(|text| Status::parse(text.split(' ').next()?))
            .filter(|status| status.0 == class);
        let mut text = format!("{} {}", self.code, self.lines.join(" "));
        if text.len() > TEXT_MAX {
            let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        Answer {
            status: status.unwrap_or(Status(class, 0, 0)),
            text: text.trim_end().to_owned(),
            remote: Some(host.to_owned()),
            ask_another: false,
        }
    }
}

/// What a server offers in answer to EHLO (RFC 5321 §4.1.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each keyword is offered or not, by itself")]
pub(super) struct Offers {
    /// By what name it greets.
    pub(super) name: String,
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) binary: bool,
    pub(super) chunking: bool,
    pub(super) utf8: bool,
    pub(super) dsn: bool,
    pub(super) start_tls: bool,
    /// The extension of RFC 4954, by whatever mechanism.
    pub(super) auth: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_external: bool,
    /// It knows SIZE; above this it takes nothing, zero says nothing (RFC 1870 §3).
    pub(super) size: Option<u64>,
}

impl Offers {
    pub(super) fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        let mut lines = reply.lines.iter();
        let greeting = lines.next().map(String::as_str).unwrap_or_default();
        greeting.split(' ').next().unwrap_or_default().clone_into(&mut offers.name);
        for line in lines {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "BINARYMIME" => offers.binary = true,
                "CHUNKING" => offers.chunking = true,
                "SMTPUTF8" => offers.utf8 = true,
                "DSN" => offers.dsn = true,
                "STARTTLS" => offers.start_tls = true,
                "AUTH" => {
                    offers.auth = true;
                    for word in words {
                        offers.auth_plain |= word.eq_ignore_ascii_case("PLAIN");
                        offers.auth_external |= word.eq_ignore_ascii_case("EXTERNAL");
                    }
                }
                "SIZE" => {
                    offers.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0));
                }
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(lines: &[&str]) -> Reply {
        let lines: Vec<_> = lines.iter().map(|text| line(text.as_bytes()).unwrap()).collect();
        let code = lines.last().unwrap().code;
        Reply { code, lines: lines.into_iter().map(|line| line.text).collect() }
    }

    #[test]
    fn a_line_is_a_code_a_mark_and_a_text() {
        let read = line(b"250-mx.example greets\x1b you").unwrap();
        assert_eq!(
            (read.code, read.more, read.text.as_str()),
            (250, true, "mx.example greets  you")
        );
        assert_eq!(line(b"354"), Some(Line { code: 354, more: false, text: String::new() }));
        for bad in [&b""[..], b"25", b"25O ok", b"250_ok", b"\xff\xff\xff x", b"199 x", b"600 x"] {
            assert_eq!(line(bad), None);
        }
    }

    #[test]
    fn an_enhanced_code_counts_when_its_class_fits() {
        let status = |text| reply(&[text]).answer("mx").status;
        assert_eq!(status("550 5.1.1 no such user"), Status(5, 1, 1));
        assert_eq!(status("550 4.1.1 no such user"), Status(5, 0, 0));
        assert_eq!(status("450 later"), Status(4, 0, 0));
        assert_eq!(status("354 go on"), Status(4, 0, 0));
    }

    #[test]
    fn the_text_of_a_reply_is_bounded() {
        let long = format!("550 {}", "ü".repeat(2_000));
        assert!(reply(&[&long]).answer("mx").text.len() <= TEXT_MAX);
    }

    #[test]
    fn offers_are_read_in_any_case_and_the_old_form_of_auth_is_known() {
        let offers = Offers::read(&reply(&[
            "250-mx.example at your service",
            "250-size 1000",
            "250-8BitMime",
            "250-AUTH=LOGIN PLAIN",
            "250 X-UNKNOWN",
        ]));
        assert_eq!(offers.name, "mx.example");
        assert_eq!(offers.size, Some(1000));
        assert!(offers.eight_bit && offers.auth_plain && !offers.pipelining);
    }
}
