//! Cutting pieces from one stored message.

use std::ops::Range;

use super::{Change, Cut, Extract, Form, Large, Piece, Wanted, pick::Picker};
use crate::{
    ids::ContentId,
    mail::{
        binary::{Decoder, UndecodableContent},
        encoding::Encoding,
        error::{Error, Result},
        section::{Section, SectionText, part_at, select_fields},
        structure::{Kind, Octets as Has, StructureRef},
    },
    store::{self, ContentParts, Reader, Want},
};

/// A piece of more octets than this is streamed.
const LARGE: u64 = 256 << 10;
/// What the pieces of one message may weigh together; further ones are streamed.
const PER_MESSAGE: u64 = 1 << 20;
/// From this size on a stored header may have been cut, and its rest counts as body.
const CUT_HEADER: usize = 1 << 20;
/// Fields are picked from a header of more octets in steps.
const LONG_HEADER: u64 = 1 << 20;
/// How many octets are read at once for measuring.
const STEP: u64 = 256 << 10;

impl Wanted {
    pub(super) fn of(&self, r: &Reader<'_>, content: ContentId, size: u64) -> Result<Extract> {
        let want = Want {
            summary: self.listing || self.cuts.iter().any(Cut::needs_structure),
            header: self.cuts.iter().any(Cut::is_of_header),
            // Both stand in one row.
            preview: self.preview || self.hash,
            octets_up_to: 0,
        };
        let mut parts = if want == Want::default() {
            ContentParts::default()
        } else {
            r.content(content, want)?
        };
        if parts.header.len() >= CUT_HEADER && parts.structure.is_empty() {
            let listing = Want { summary: true, ..Want::default() };
            parts.structure = r.content(content, listing)?.structure;
        }
        let mut pieces = Vec::with_capacity(self.cuts.len());
        let mut message = Message { r, content, size, parts: &parts, room: PER_MESSAGE };
        for cut in &self.cuts {
            let piece = message.piece(cut)?;
            message.room = message.room.saturating_sub(piece.weight());
            pieces.push(piece);
        }
        let ContentParts { summary, structure, hash, preview, .. } = parts;
        Ok(Extract { summary, structure, hash, preview, pieces })
    }
}

impl Cut {
    /// The header of the message itself, which has a column of its own.
    fn is_of_header(&self) -> bool {
        let header =
            matches!(self.section.text, SectionText::Header | SectionText::HeaderFields { .. });
        self.section.path.is_empty() && header
    }

    fn needs_structure(&self) -> bool {
        let whole = self.section.path.is_empty() && self.section.text == SectionText::All;
        !whole && !self.is_of_header()
    }
}

/// One message while pieces are cut from it.
struct Message<'m> {
    r: &'m Reader<'m>,
    content: ContentId,
    size: u64,
    parts: &'m ContentParts,
    /// What further pieces may weigh.
    room: u64,
}

impl Message<'_> {
    fn piece(&self, cut: &Cut) -> Result<Piece> {
        if cut.form != Form::Stored {
            return self.decoded(cut);
        }
        if let SectionText::HeaderFields { names, not } = &cut.section.text {
            return self.fields(cut, names, *not);
        }
        if cut.is_of_header() && self.parts.header.len() < CUT_HEADER {
            return Ok(Piece::Octets(windowed(self.parts.header.clone(), cut.window)));
        }
        match self.range(&cut.section)? {
            Some(range) => self.stored(within(range, cut.window), false),
            None => Ok(Piece::Absent),
        }
    }

    /// Fields of a header.
    fn fields(&self, cut: &Cut, names: &[Vec<u8>], not: bool) -> Result<Piece> {
        let pick = |header: &[u8]| {
            let fields = select_fields(header, names, not);
            Ok(Piece::Octets(windowed(fields, cut.window)))
        };
        if cut.section.path.is_empty() && self.parts.header.len() < CUT_HEADER {
            return pick(&self.parts.header);
        }
        let Some(range) = self.range(&cut.section)? else { return Ok(Piece::Absent) };
        if range.end.saturating_sub(range.start) <= LONG_HEADER {
            return pick(&self.r.octets(self.content, range)?);
        }
        let (mut picker, mut size) = (Picker::new(names, not), 0);
        self.in_steps(range.clone(), |octets, scratch| {
            picker.feed(&octets, scratch);
            size += scratch.len() as u64;
        })?;
        let mut end = Vec::new();
        picker.finish(&mut end);
        Ok(Piece::Large(Large {
            content: self.content,
            range,
            change: Change::Pick(names.into(), not),
            window: within(0..size + end.len() as u64, cut.window),
            has_nul: false,
        }))
    }

    /// Gives the octets of a range to somebody, some at a time, with an empty buffer.
    fn in_steps(
        &self,
        range: Range<u64>,
        mut take: impl FnMut(Vec<u8>, &mut Vec<u8>),
    ) -> Result<()> {
        let (mut start, mut scratch) = (range.start, Vec::new());
        while start < range.end {
            self.r.check_cancelled()?;
            let end = range.end.min(start.saturating_add(STEP));
            take(self.r.octets(self.content, start..end)?, &mut scratch);
            scratch.clear();
            start = end;
        }
        Ok(())
    }

    fn range(&self, section: &Section) -> Result<Option<Range<u64>>> {
        if section.path.is_empty() && section.text == SectionText::All {
            return Ok(Some(0..self.size));
        }
        Ok(section.locate(self.structure()?))
    }

    fn structure(&self) -> Result<StructureRef<'_>> {
        StructureRef::parse(&self.parts.structure).map_err(|_| damaged(self.content))
    }

    fn stored(&self, range: Range<u64>, may_have_nul: bool) -> Result<Piece> {
        let length = range.end.saturating_sub(range.start);
        if length <= LARGE.min(self.room) {
            return Ok(Piece::Octets(self.r.octets(self.content, range)?));
        }
        self.r.check_octets(self.content, range.clone())?;
        let (content, window) = (self.content, range.clone());
        Ok(Piece::Large(Large {
            content,
            range,
            change: Change::None,
            window,
            has_nul: may_have_nul,
        }))
    }

    /// A part without its transfer encoding. What has none, and the message itself, is as stored.
    fn decoded(&self, cut: &Cut) -> Result<Piece> {
        let mut encoding = Encoding::Binary;
        let mut range = 0..self.size;
        let mut has_nul = false;
        if !cut.section.path.is_empty() {
            let structure = self.structure()?;
            let Some(part) = part_at(structure, &cut.section.path) else {
                return Ok(Piece::Absent);
            };
            if part.kind == Kind::Leaf {
                encoding = Encoding::of(part.encoding);
            }
            range = part.body_range();
            has_nul = structure.parts().any(|part| part.octets.has(Has::NUL));
        }
        let size_only = cut.form == Form::DecodedSize;
        if encoding.is_identity() {
            if size_only {
                return Ok(Piece::Size(range.end.saturating_sub(range.start)));
            }
            return self.stored(within(range, cut.window), has_nul);
        }
        let length = range.end.saturating_sub(range.start);
        if !size_only && length <= LARGE.min(self.room) {
            let encoded = self.r.octets(self.content, range)?;
            return Ok(match decode(encoding, &encoded) {
                Ok(octets) => Piece::Octets(windowed(octets, cut.window)),
                Err(error) => Piece::Undecodable(error),
            });
        }
        Ok(match self.measure(encoding, range.clone())? {
            Err(error) => Piece::Undecodable(error),
            Ok((size, _)) if size_only => Piece::Size(size),
            Ok((size, has_nul)) => Piece::Large(Large {
                content: self.content,
                range,
                change: Change::Decode(encoding),
                window: within(0..size, cut.window),
                has_nul,
            }),
        })
    }

    /// How many octets an encoded range stands for, and whether there is a NUL among them.
    fn measure(
        &self,
        encoding: Encoding,
        range: Range<u64>,
    ) -> Result<Result<(u64, bool), UndecodableContent>> {
        let mut decoder = match Decoder::new(encoding) {
            Ok(decoder) => decoder,
            Err(error) => return Ok(Err(error)),
        };
        let (mut size, mut has_nul) = (0, false);
        self.in_steps(range, |octets, scratch| {
            decoder.feed(&octets, scratch);
            size += scratch.len() as u64;
            has_nul |= scratch.contains(&0);
        })?;
        let mut scratch = Vec::new();
        if let Err(error) = decoder.finish(&mut scratch) {
            return Ok(Err(error));
        }
        Ok(Ok((size + scratch.len() as u64, has_nul)))
    }
}

/// All of an encoded part.
pub fn decode(encoding: Encoding, encoded: &[u8]) -> Result<Vec<u8>, UndecodableContent> {
    let mut decoder = Decoder::new(encoding)?;
    let mut octets = Vec::with_capacity(encoded.len());
    decoder.feed(encoded, &mut octets);
    decoder.finish(&mut octets)?;
    Ok(octets)
}

/// The part of a range that a window shows.
fn within(range: Range<u64>, window: Option<(u64, u64)>) -> Range<u64> {
    let Some((from, length)) = window else { return range };
    let start = range.start.saturating_add(from).min(range.end);
    start..start.saturating_add(length).min(range.end)
}

fn windowed(octets: Vec<u8>, window: Option<(u64, u64)>) -> Vec<u8> {
    if window.is_none() {
        return octets;
    }
    let Range { start, end } = within(0..octets.len() as u64, window);
    let shown = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    shown.and_then(|(start, end)| octets.get(start..end)).unwrap_or_default().to_vec()
}

fn damaged(content: ContentId) -> Error {
    let text = format!("the structure of content {content} can't be read");
    Error::Damaged(store::Error::Corrupt(text))
}
