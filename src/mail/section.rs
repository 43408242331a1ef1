//! Which octets of a message a section names: `BODY[1.2.TEXT]` (RFC 9051 §6.4.5.1).
//!
//! Plain arithmetic on the stored structure; [`section`] and [`Written`] are how a section is read and
//! written, by IMAP and in URLs.

mod grammar;

use std::{collections::HashSet, ops::Range};

pub use self::grammar::{Written, section, section_binary};

use super::{
    field::fields,
    structure::{Kind, PartRef, StructureRef},
};
use crate::wire::work::looked_at;

/// A section of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// `[1, 2]` of `1.2.TEXT`; empty for the message itself.
    pub path: Vec<u32>,
    pub text: SectionText,
}

/// What of the part is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionText {
    /// `BODY[]` the whole message, `BODY[1]` the part's body.
    #[default]
    All,
    /// `HEADER`, of the message or of an embedded one, with its empty line.
    Header,
    /// `HEADER.FIELDS` and `HEADER.FIELDS.NOT`: of the header that [`Section::locate`] gives,
    /// what [`select_fields`] picks.
    HeaderFields { names: Vec<Vec<u8>>, not: bool },
    /// `TEXT`, the body of the message or of an embedded one.
    Text,
    /// `MIME`, the part's own header.
    Mime,
}

impl Section {
    /// The octets that the section names; nothing if there is no such part.
    pub fn locate(&self, structure: StructureRef<'_>) -> Option<Range<u64>> {
        let parts: Vec<PartRef<'_>> = structure.parts().collect();
        let root = parts.first()?;
        if self.path.is_empty() {
            return match self.text {
                SectionText::All => Some(root.header..root.end),
                SectionText::Header | SectionText::HeaderFields { .. } => Some(root.header_range()),
                SectionText::Text => Some(root.body_range()),
                SectionText::Mime => None,
            };
        }
        let index = find(&parts, &self.path)?;
        let part = parts.get(index)?;
        let message = || {
            let embedded = parts.get(index.checked_add(1)?)?;
            (part.kind == Kind::Message).then_some(embedded)
        };
        match self.text {
            SectionText::All => Some(part.body_range()),
            SectionText::Mime => Some(part.header_range()),
            SectionText::Header | SectionText::HeaderFields { .. } => {
                Some(message()?.header_range())
            }
            SectionText::Text => Some(message()?.body_range()),
        }
    }
}

/// The part with this path, for BODYSTRUCTURE's numbers, BINARY and the like.
pub fn part_at<'a>(structure: StructureRef<'a>, path: &[u32]) -> Option<PartRef<'a>> {
    let parts: Vec<PartRef<'a>> = structure.parts().collect();
    parts.get(find(&parts, path)?).copied()
}

/// What a section is a part of, with all inside it: for `TEXT` what the message holds, for the rest
/// the part itself, or nothing for a header.
pub fn parts_at<'a>(structure: StructureRef<'a>, section: &Section) -> Option<Vec<PartRef<'a>>> {
    let mut parts: Vec<PartRef<'a>> = structure.parts().collect();
    let mut index = find(&parts, &section.path)?;
    match section.text {
        SectionText::All => {}
        SectionText::Text if section.path.is_empty() => {}
        SectionText::Text => index = index.checked_add(1)?,
        SectionText::Header | SectionText::HeaderFields { .. } | SectionText::Mime => return None,
    }
    let until = index.checked_add(parts.get(index)?.size)?;
    parts.truncate(until);
    Some(parts.split_off(index))
}

/// The index of the part with this path; of the message itself when it is empty.
///
/// Each number goes into a message: to its root, then to the root's n-th part, or for `1` to the
/// root itself when it has no parts.
fn find(parts: &[PartRef<'_>], path: &[u32]) -> Option<usize> {
    let mut index = 0;
    let mut in_message = true;
    for number in path {
        let part = parts.get(index)?;
        if !in_message && part.kind == Kind::Message {
            index = index.checked_add(1)?;
            in_message = true;
        }
        let part = parts.get(index)?;
        index = match part.kind {
            Kind::Multipart => child(parts, index, *number)?,
            Kind::Leaf | Kind::Message if in_message && *number == 1 => index,
            Kind::Leaf | Kind::Message => return None,
        };
        in_message = false;
    }
    Some(index)
}

/// The index of a part's n-th child.
fn child(parts: &[PartRef<'_>], parent: usize, number: u32) -> Option<usize> {
    let until = parent.checked_add(parts.get(parent)?.size)?;
    let mut index = parent.checked_add(1)?;
    for _ in 1..number {
        index = index.checked_add(parts.get(index)?.size)?;
        if index >= until {
            return None;
        }
    }
    (number > 0 && index < until).then_some(index)
}

/// More names than so many are looked up instead of compared one by one.
const FEW_NAMES: usize = 16;

/// The fields of a header with these names, or without them, octet for octet, and an empty line
/// (RFC 9051 §6.4.5.1).
pub fn select_fields(header: &[u8], names: &[Vec<u8>], not: bool) -> Vec<u8> {
    let mut selected = Vec::new();
    // Thousands of names may be asked for, and a header may have thousands of fields.
    let many = (names.len() > FEW_NAMES)
        .then(|| names.iter().map(|name| name.to_ascii_lowercase()).collect::<HashSet<_>>());
    for field in fields(header) {
        let named = !field.name.is_empty()
            && match &many {
                Some(names) => names.contains(&field.name.to_ascii_lowercase()),
                None => names.iter().inspect(|_| looked_at(1)).any(|name| field.is(name)),
            };
        if named != not {
            selected.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                selected.extend_from_slice(b"\r\n");
            }
        }
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::scan;

    fn section(path: &[u32], text: SectionText) -> Section {
        Section { path: path.to_vec(), text }
    }

    fn cut(message: &str, path: &[u32], text: SectionText) -> Option<String> {
        let stored = scan(message.as_bytes()).structure.encode();
        let range = section(path, text).locate(StructureRef::parse(&stored).unwrap())?;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Some(message[range].to_owned())
    }

    /// The shape of the example in RFC 9051 §6.4.5.1.
    fn example() -> String {
        let leaf = |name: &str| format!("Content-Type: {name}\r\n\r\n[{name}]");
        let message = |subject: &str, body: &str| {
            format!("Content-Type: message/rfc822\r\n\r\nSubject: {subject}\r\n{body}")
        };
        let mixed = |boundary: &str, kind: &str, parts: &[String]| {
            let mut text = format!("Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n");
            for part in parts {
                text += &format!("--{boundary}\r\n{part}\r\n");
            }
            text + &format!("--{boundary}--\r\n")
        };
        let three =
            message("three", &mixed("c", "mixed", &[leaf("text/a"), leaf("application/b")]));
        let alternative = mixed("e", "alternative", &[leaf("text/c"), leaf("text/d")]);
        let four_two = message("inner", &mixed("d", "mixed", &[leaf("text/e"), alternative]));
        let four = mixed("f", "mixed", &[leaf("image/f"), four_two]);
        "Subject: outer\r\n".to_owned()
            + &mixed("a", "mixed", &[leaf("text/1"), leaf("application/2"), three, four])
    }

    #[test]
    fn the_numbers_of_rfc_9051_section_6_4_5_1() {
        let message = example();
        let body = |path: &[u32]| cut(&message, path, SectionText::All);
        for (path, body_is) in [
            (&[1][..], "[text/1]"),
            (&[2], "[application/2]"),
            (&[3, 1], "[text/a]"),
            (&[3, 2], "[application/b]"),
            (&[4, 1], "[image/f]"),
            (&[4, 2, 1], "[text/e]"),
            (&[4, 2, 2, 1], "[text/c]"),
            (&[4, 2, 2, 2], "[text/d]"),
        ] {
            assert_eq!(body(path).as_deref(), Some(body_is), "{path:?}");
        }
        for path in [&[0][..], &[5], &[1, 1], &[3, 3], &[4, 2, 3], &[u32::MAX]] {
            assert_eq!(body(path), None, "{path:?}");
        }
    }

    #[test]
    fn headers_and_texts_belong_to_messages() {
        let message = example();
        let header = |path: &[u32]| cut(&message, path, SectionText::Header);
        assert!(header(&[]).unwrap().starts_with("Subject: outer\r\n"));
        assert!(header(&[3]).unwrap().starts_with("Subject: three\r\n"));
        assert!(header(&[4, 2]).unwrap().starts_with("Subject: inner\r\n"));
        assert_eq!(header(&[1]), None);
        assert_eq!(header(&[4]), None);
        let text = cut(&message, &[3], SectionText::Text).unwrap();
        assert!(text.starts_with("--c\r\n") && text.ends_with("--c--\r\n"));
        let mime = cut(&message, &[3], SectionText::Mime).unwrap();
        assert_eq!(mime, "Content-Type: message/rfc822\r\n\r\n");
        assert_eq!(cut(&message, &[], SectionText::Mime), None);
    }

    #[test]
    fn a_message_without_parts_is_its_part_1() {
        let message = "Subject: x\r\n\r\nbody\r\n";
        let all = |path: &[u32]| cut(message, path, SectionText::All);
        assert_eq!(all(&[]).as_deref(), Some(message));
        assert_eq!(all(&[1]).as_deref(), Some("body\r\n"));
        assert_eq!(cut(message, &[1], SectionText::Mime).as_deref(), Some("Subject: x\r\n\r\n"));
        assert_eq!(cut(message, &[1], SectionText::Text), None);
        assert_eq!(all(&[1, 1]), None);
        assert_eq!(all(&[2]), None);
    }

    #[test]
    fn a_message_that_is_a_message_has_its_parts_below_1() {
        let message = "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody";
        let all = |path: &[u32]| cut(message, path, SectionText::All);
        assert_eq!(all(&[1]).as_deref(), Some("Subject: in\r\n\r\nbody"));
        assert_eq!(all(&[1, 1]).as_deref(), Some("body"));
        assert_eq!(cut(message, &[1], SectionText::Text).as_deref(), Some("body"));
        assert_eq!(all(&[1, 1, 1]), None);
    }

    #[test]
    fn fields_are_selected_octet_for_octet() {
        let header = b"A: 1\r\n  fold\r\nb: 2\r\na: 3\r\nodd\r\n\r\n";
        let names = [b"a".to_vec(), b"X".to_vec()];
        assert_eq!(select_fields(header, &names, false), b"A: 1\r\n  fold\r\na: 3\r\n\r\n");
        assert_eq!(select_fields(header, &names, true), b"b: 2\r\nodd\r\n\r\n");
        assert_eq!(select_fields(b"", &names, false), b"\r\n");
    }
}
