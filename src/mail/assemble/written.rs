//! Parts in another transfer encoding than the stored one (draft-ietf-lemonade-submit-01 §4.2.2).

use std::sync::Arc;

use crate::mail::{
    Mail, Spool,
    error::Result,
    extract::{Form, Piece, Wanted},
    rewrite::encode::{Base64, Quoted},
    section::{SectionText, part_at},
    structure::{Kind, StructureRef},
    urls::Linked,
};

/// Octets of a line of text without its end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// How octets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenAs {
    /// As they are stored.
    Stored,
    /// Lines of ASCII.
    SevenBit,
    /// Lines of any octets but NUL.
    EightBit,
    /// Anything.
    Binary,
    /// Base64 of what the part holds.
    Base64,
    /// Quoted-printable of what the part holds.
    QuotedPrintable,
}

/// Why octets were not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no such part.
    Absent,
    /// They can't be written so: they are no part that can be encoded, or do not fit.
    Encoding,
}

impl Mail {
    /// Adds what a URL names to a message on its way in. A part that holds no others is taken without
    /// its transfer encoding and written in this one; everything else stays as it is, and must fit.
    ///
    /// What is unfit may have been added in part: the message is lost then.
    pub async fn add_linked_as(
        &self,
        spool: &mut Spool,
        linked: Linked,
        form: WrittenAs,
    ) -> Result<Result<(), Unfit>> {
        if form == WrittenAs::Stored {
            let added = self.add_linked(spool, linked).await?;
            return Ok(added.then_some(()).ok_or(Unfit::Absent));
        }
        let Linked { content, size, mut cut } = linked;
        let is_leaf = self.is_leaf(&Linked { content, size, cut: cut.clone() }).await?;
        if is_leaf {
            cut.form = Form::Decoded;
        }
        let wanted = Wanted { cuts: vec![cut], ..Wanted::default() };
        let mut extracts = self.extract(vec![(content, size)], Arc::new(wanted)).await?;
        let Some(extract) = extracts.pop() else { return Ok(Err(Unfit::Absent)) };
        let mut writer = Writer::new(form);
        if writer.encodes() && !is_leaf {
            return Ok(Err(Unfit::Encoding));
        }
        let mut out = Vec::new();
        match extract?.pieces.pop() {
            Some(Piece::Octets(octets)) => writer.feed(&octets, &mut out),
            Some(Piece::Large(large)) => {
                let mut stream = self.stream(&large);
                while let Some(octets) = stream.next().await {
                    writer.feed(&octets?, &mut out);
                    spool.write(&out)?;
                    out.clear();
                }
            }
            Some(Piece::Undecodable(_)) => return Ok(Err(Unfit::Encoding)),
            Some(Piece::Absent | Piece::Size(_)) | None => return Ok(Err(Unfit::Absent)),
        }
        let fits = writer.finish(&mut out);
        spool.write(&out)?;
        Ok(fits.then_some(()).ok_or(Unfit::Encoding))
    }

    /// Is it the content of a part that holds no others?
    async fn is_leaf(&self, linked: &Linked) -> Result<bool> {
        let section = &linked.cut.section;
        if section.path.is_empty() || section.text != SectionText::All {
            return Ok(false);
        }
        let wanted = Wanted { listing: true, ..Wanted::default() };
        let message = vec![(linked.content, linked.size)];
        let mut extracts = self.extract(message, Arc::new(wanted)).await?;
        let Some(extract) = extracts.pop() else { return Ok(false) };
        let extract = extract?;
        let Ok(structure) = StructureRef::parse(&extract.structure) else { return Ok(false) };
        let part = part_at(structure, &section.path);
        Ok(part.is_some_and(|part| part.kind == Kind::Leaf))
    }
}

/// Writes octets in a form, some at a time.
pub struct Writer(Way);

enum Way {
    Plain(Fit),
    Base64(Base64),
    Quoted(Quoted),
}

impl Writer {
    /// Writes in this form.
    pub fn new(form: WrittenAs) -> Self {
        Self(match form {
            WrittenAs::Base64 => Way::Base64(Base64::default()),
            WrittenAs::QuotedPrintable => Way::Quoted(Quoted::default()),
            plain => Way::Plain(Fit { form: plain, line: 0, after_cr: false, fits: true }),
        })
    }

    fn encodes(&self) -> bool {
        !matches!(self.0, Way::Plain(_))
    }

    /// Writes these octets to `out`.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            Way::Plain(fit) => {
                fit.look_at(octets);
                out.extend_from_slice(octets);
            }
            Way::Base64(base64) => base64.feed(octets, out),
            Way::Quoted(quoted) => quoted.feed(octets, out),
        }
    }

    /// Writes the end; says whether all did fit.
    pub fn finish(self, out: &mut Vec<u8>) -> bool {
        match self.0 {
            Way::Plain(fit) => return fit.fits,
            Way::Base64(mut base64) => base64.finish(out),
            Way::Quoted(mut quoted) => quoted.finish(out),
        }
        true
    }
}

/// Whether octets are what they are said to be (RFC 2045 §2.7 to §2.9).
struct Fit {
    form: WrittenAs,
    /// Octets of the line so far.
    line: usize,
    after_cr: bool,
    fits: bool,
}

impl Fit {
    fn look_at(&mut self, octets: &[u8]) {
        if matches!(self.form, WrittenAs::Binary | WrittenAs::Stored) {
            return;
        }
        for octet in octets {
            let ends_line = self.after_cr && *octet == b'\n';
            let lone = (*octet == b'\n') != self.after_cr;
            self.after_cr = *octet == b'\r';
            self.line = if ends_line { 0 } else { self.line.saturating_add(1) };
            let high = self.form == WrittenAs::SevenBit && !octet.is_ascii();
            // The CR of the line's end is counted before its LF shows what it is.
            let long = self.line > LINE_MAX.saturating_add(usize::from(self.after_cr));
            self.fits &= !(*octet == 0 || high || lone || long);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(form: WrittenAs, octets: &[u8]) -> bool {
        // In two pieces, wherever they are cut.
        let whole: Vec<bool> = (0..=octets.len())
            .map(|at| {
                let (mut writer, mut out) = (Writer::new(form), Vec::new());
                writer.feed(&octets[..at], &mut out);
                writer.feed(&octets[at..], &mut out);
                let fits = writer.finish(&mut out);
                assert_eq!(out, octets);
                fits
            })
            .collect();
        assert!(whole.iter().all(|fits| *fits == whole[0]));
        whole[0]
    }

    #[test]
    fn seven_and_eight_bits_are_lines_without_nul() {
        let (seven, eight) = (WrittenAs::SevenBit, WrittenAs::EightBit);
        let long = [vec![b'x'; 998], b"\r\n".to_vec()].concat();
        let longer = [vec![b'x'; 999], b"\r\n".to_vec()].concat();
        for (octets, fits_seven, fits_eight) in [
            (&b"text\r\n\r\nmore"[..], true, true),
            ("ü\r\n".as_bytes(), false, true),
            (b"a\0b", false, false),
            (b"a\nb", false, false),
            (b"a\rb", false, false),
            (&long, true, true),
            (&longer, false, false),
            (b"", true, true),
        ] {
            assert_eq!((fits(seven, octets), fits(eight, octets)), (fits_seven, fits_eight));
            assert!(fits(WrittenAs::Binary, octets));
        }
    }
}
