//! A few words of a message for a list on a phone (RFC 8970 §3).
//!
//! Made from the first text of the message itself, plain text before HTML, attachments and embedded
//! messages only if there is nothing else. Quoted text, signatures and rows of signs are left out.

use std::ops::Range;

use mail_parser::decoders::html::html_to_text;

use super::{
    binary::decode::decode_all,
    encoding::Encoding,
    structure::{Kind, PartRef, StructureRef},
    words::text_in,
};

/// Characters of a preview (RFC 8970 §3.3).
const PREVIEW_MAX: usize = 200;
/// Octets of a part that are looked at, still encoded.
const INPUT_MAX: u64 = 64 << 10;

/// A part that a preview can be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The octets to read.
    pub range: Range<u64>,
    encoding: Encoding,
    charset: Vec<u8>,
    html: bool,
}

/// The parts to make a preview of, best first: take the first that is not empty.
pub fn sources(structure: StructureRef<'_>) -> Vec<Source> {
    let mut found: Vec<(u8, Source)> = Vec::new();
    let mut embedded_until = 0;
    for (index, part) in structure.parts().enumerate() {
        if index >= embedded_until && index > 0 && part.kind == Kind::Message {
            embedded_until = index.saturating_add(part.size);
        }
        let plain = part.is("text", "plain");
        let html = part.is("text", "html");
        if !part.is_text() || part.kind != Kind::Leaf || part.is_empty() {
            continue;
        }
        let attached = part
            .disposition
            .is_some_and(|disposition| disposition.name.eq_ignore_ascii_case(b"attachment"));
        let remote = attached || index < embedded_until;
        let rank = u8::from(remote) * 4 + if plain { 0 } else { 1 + u8::from(!html) };
        found.push((rank, source(&part, html)));
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, source)| source).take(3).collect()
}

fn source(part: &PartRef<'_>, html: bool) -> Source {
    Source {
        range: part.body..part.end.min(part.body.saturating_add(INPUT_MAX)),
        encoding: Encoding::of(part.encoding),
        charset: part.param("charset").unwrap_or(b"utf-8").to_vec(),
        html,
    }
}

impl Source {
    /// The preview of the part whose octets these are; empty if they hold no words.
    pub fn preview(&self, octets: &[u8]) -> String {
        let text = text_in(&self.charset, &decode_all(self.encoding, octets));
        shorten(&if self.html { html_to_text(&text) } else { text })
    }
}

/// The preview of a message that is in memory.
pub fn preview(structure: StructureRef<'_>, message: &[u8]) -> String {
    sources(structure)
        .iter()
        .filter_map(|source| {
            let start = usize::try_from(source.range.start).ok()?;
            let end = usize::try_from(source.range.end).ok()?;
            Some(source.preview(message.get(start..end)?))
        })
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// The words of the first lines that say something; when none does, of those that are more than a rule.
fn shorten(text: &str) -> String {
    let words = words_of(text, says_something);
    if words.is_empty() { words_of(text, |line| !is_rule(line)) } else { words }
}

/// Does a line have a letter, a digit or a picture?
fn says_something(line: &str) -> bool {
    let is_picture = |c| matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}');
    line.chars().any(|c| c.is_alphanumeric() || is_picture(c))
}

/// Is a line a row of signs, as they are put between parts of a text?
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    let is_drawn = |c| {
        "-_=*~#+.".contains(c) || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2500}'..='\u{259f}')
    };
    line.chars().count() > 2 && line.chars().all(|c| is_drawn(c) || c.is_whitespace())
}

fn words_of(text: &str, takes: impl Fn(&str) -> bool) -> String {
    let mut preview = String::new();
    let mut left = PREVIEW_MAX;
    for line in text.lines() {
        if line == "-- " || line == "--" {
            break;
        }
        if line.starts_with('>') || !takes(line) {
            continue;
        }
        for word in line.split(|c: char| c.is_whitespace() || c.is_control() || invisible(c)) {
            if word.chars().all(joins) {
                continue;
            }
            if !preview.is_empty() && left > 0 {
                preview.push(' ');
                left -= 1;
            }
            for character in word.chars().take(left) {
                preview.push(character);
                left -= 1;
            }
            if left == 0 {
                return preview.trim_end().to_owned();
            }
        }
    }
    preview
}

/// Signs with which newsletters fill up their previews.
fn invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2060}'
            | '\u{feff}'
            | '\u{fffd}'
    )
}

/// Signs that make one of two others, and are nothing alone.
fn joins(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::scan;

    fn of(message: &[u8]) -> String {
        let stored = scan(message).structure.encode();
        preview(StructureRef::parse(&stored).unwrap(), message)
    }

    #[test]
    fn quotes_signatures_and_rows_of_signs_are_left_out() {
        let message =
            b"Subject: x\r\n\r\n> old\r\n-----\r\nHello  \t you,\r\n\r\nthere.\r\n-- \r\nme\r\n";
        assert_eq!(of(message), "Hello you, there.");
    }

    #[test]
    fn plain_text_comes_before_html_and_before_attachments() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Disposition: attachment\r\n\r\nattached\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n\
            --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n--b--\r\n";
        assert_eq!(of(message), "Gr\u{fc}\u{df}e");
    }

    #[test]
    fn html_is_stripped_when_the_plain_text_is_empty() {
        let message = b"Content-Type: multipart/alternative; boundary=b\r\n\r\n\
            --b\r\n\r\n  \r\n--b\r\nContent-Type: text/html\r\n\r\n\
            <head><style>p {}</style></head><p>Hello <b>you</b> &amp; me</p>\r\n--b--\r\n";
        assert_eq!(of(message), "Hello you & me");
    }

    #[test]
    fn no_more_than_200_characters() {
        let text = format!("\r\n{}", "\u{e4}b ".repeat(500));
        let preview = of(text.as_bytes());
        assert!(preview.chars().count() <= PREVIEW_MAX);
        assert!(preview.chars().count() > PREVIEW_MAX - 6);
    }

    #[test]
    fn signs_alone_are_shown_and_rules_are_not() {
        for (body, preview) in [
            ("👍", "👍"),
            ("❤\r\n\r\nthanks", "❤ thanks"),
            (":-)", ":-)"),
            ("?", "?"),
            ("!!!\r\n-----", "!!!"),
            ("👨\u{200d}👩\u{200d}👧", "👨\u{200d}👩\u{200d}👧"),
            ("\u{200c} \u{200c} \u{200c}\u{ad}", ""),
            ("-----\r\n=====\r\n\u{2500}\u{2500}\u{2500}", ""),
            ("> quoted\r\n:-(", ":-("),
        ] {
            let message = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n");
            assert_eq!(of(message.as_bytes()), preview, "{body:?}");
        }
    }

    #[test]
    fn an_image_has_no_words() {
        assert_eq!(
            of(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"),
            ""
        );
    }
}
