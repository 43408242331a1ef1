//! `BODY[1.2.HEADER.FIELDS (From To)]`: how a section is read and written (RFC 9051 §9).

use super::{Section, SectionText};
use crate::wire::{Buffer, Cursor, Encode, Syntax};

/// `section = "[" [section-spec] "]"`
pub fn section(args: &mut Cursor<'_>) -> Result<Section, Syntax> {
    args.expect(b'[', "a section")?;
    if args.take(b']') {
        return Ok(Section::default());
    }
    let (path, rest) = path(args.word()?)?;
    let text = match rest {
        None => SectionText::All,
        Some(word) => text(word, args)?,
    };
    if text == SectionText::Mime && path.is_empty() {
        return Err(Syntax::Expected("a part number before MIME"));
    }
    args.expect(b']', "the end of the section")?;
    Ok(Section { path, text })
}

/// `section-binary = "[" [section-part] "]"` (RFC 3516 §7)
pub fn section_binary(args: &mut Cursor<'_>) -> Result<Section, Syntax> {
    let section = section(args)?;
    if section.text == SectionText::All {
        Ok(section)
    } else {
        Err(Syntax::Expected("only part numbers in a BINARY section"))
    }
}

/// `section-part = nz-number *("." nz-number)`, and what stands behind it
fn path(word: &str) -> Result<(Vec<u32>, Option<&str>), Syntax> {
    let mut path = Vec::new();
    let mut rest = Some(word);
    while let Some(text) = rest {
        let (first, behind) = match text.split_once('.') {
            Some((first, behind)) => (first, Some(behind)),
            None => (text, None),
        };
        if !first.starts_with(|first: char| first.is_ascii_digit()) {
            break;
        }
        let number = first.parse().ok().filter(|number| *number > 0);
        path.push(number.ok_or(Syntax::Expected("a part number above zero"))?);
        rest = behind;
    }
    Ok((path, rest))
}

/// `section-text = section-msgtext / "MIME"`
fn text(word: &str, args: &mut Cursor<'_>) -> Result<SectionText, Syntax> {
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    Ok(if is("HEADER") {
        SectionText::Header
    } else if is("TEXT") {
        SectionText::Text
    } else if is("MIME") {
        SectionText::Mime
    } else if is("HEADER.FIELDS") || is("HEADER.FIELDS.NOT") {
        args.space()?;
        let names = args.list(|args| Ok(args.astring()?.into_owned()))?;
        if names.is_empty() {
            return Err(Syntax::Expected("the name of a header field"));
        }
        SectionText::HeaderFields { names, not: is("HEADER.FIELDS.NOT") }
    } else {
        return Err(Syntax::Expected("HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT or MIME"));
    })
}

/// A section as an answer names it, brackets and all.
pub struct Written<'s>(pub &'s Section);

impl Encode for Written<'_> {
    fn encode(&self, out: &mut Buffer) {
        out.put("[");
        let mut dot = "";
        for number in &self.0.path {
            out.put(dot);
            out.put(*number);
            dot = ".";
        }
        if self.0.text != SectionText::All {
            out.put(dot);
        }
        match &self.0.text {
            SectionText::All => {}
            SectionText::Header => out.put("HEADER"),
            SectionText::Text => out.put("TEXT"),
            SectionText::Mime => out.put("MIME"),
            SectionText::HeaderFields { names, not } => {
                out.put(if *not { "HEADER.FIELDS.NOT " } else { "HEADER.FIELDS " });
                out.list(names, |out, name| out.astring(name));
            }
        }
        out.put("]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Section, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = section(&mut args)?;
        args.end()?;
        Ok(read)
    }

    #[test]
    fn every_form_reads_and_writes_back() {
        for text in [
            "[]",
            "[1]",
            "[4.2.2.1]",
            "[HEADER]",
            "[3.HEADER]",
            "[TEXT]",
            "[4.2.TEXT]",
            "[1.MIME]",
            "[HEADER.FIELDS (From To)]",
            "[3.HEADER.FIELDS.NOT (X-Foo \"a b\")]",
        ] {
            let mut out = Buffer::default();
            out.put(Written(&read(text).unwrap()));
            assert_eq!(String::from_utf8_lossy(out.bytes()), text);
        }
        assert_eq!(read("[header.fields (from)]").map(|s| s.path), Ok(vec![]));
    }

    #[test]
    fn what_names_no_section_is_refused() {
        for bad in [
            "",
            "[",
            "[0]",
            "[1",
            "[1.]",
            "[.1]",
            "[MIME]",
            "[FOO]",
            "[1.2.FOO]",
            "[1.HEADER.1]",
            "[HEADER.FIELDS]",
            "[HEADER.FIELDS ()]",
            "[4294967296]",
            "[1a]",
            "[TEXT.1]",
            "[ 1]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(section_binary(&mut Cursor::new(b"[1.2]")).is_ok());
        assert!(section_binary(&mut Cursor::new(b"[1.MIME]")).is_err());
    }
}
