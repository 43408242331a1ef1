//! Pieces of stored messages: sections as they are stored, parts as the octets they stand for.
//!
//! [`Mail::extract`] brings what is wanted of several messages in one job of the store, as many as
//! weigh little together. A piece that is large is only described; [`Mail::stream`] brings its octets
//! in steps, so that a message of 50 MB costs no 50 MB. Nothing here parses a message: its stored
//! structure says where everything stands.

use std::{ops::Range, sync::Arc};

use super::{
    Mail,
    binary::{Decoder, UndecodableContent},
    content::Octets,
    encoding::Encoding,
    error::{Error, Result},
    section::{Section, SectionText, part_at, select_fields},
    structure::{Kind, Octets as Has, StructureRef},
};
use crate::{
    ids::ContentId,
    store::{ContentParts, Reader, Want},
};

/// A piece of more octets than this is streamed.
const LARGE: u64 = 256 << 10;
/// What the pieces of one message may weigh together; further ones are streamed.
const PER_MESSAGE: u64 = 1 << 20;
/// Once so much was gathered, the job ends.
const PER_JOB: u64 = 2 << 20;
/// From this size on a stored header may have been cut, and its rest counts as body.
const CUT_HEADER: usize = 1 << 20;
/// Header fields are picked from at most so many octets.
const MOST_HEADER: u64 = 4 << 20;
/// How many octets are read at once for measuring.
const STEP: u64 = 256 << 10;

/// What is wanted of each of some messages.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The encoded summary and structure.
    pub listing: bool,
    /// The hash of all octets.
    pub hash: bool,
    /// Pieces of it.
    pub cuts: Vec<Cut>,
}

/// One wanted piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which section.
    pub section: Section,
    /// In what form.
    pub form: Form,
    /// Only these octets of it: where they begin, and how many.
    pub window: Option<(u64, u64)>,
}

/// In what form a section is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is stored.
    Stored,
    /// Without its transfer encoding (RFC 3516 §4.3).
    Decoded,
    /// Only how many octets it has without its transfer encoding.
    DecodedSize,
}

/// What was wanted of one message.
#[derive(Debug, Default)]
pub struct Extract {
    /// The encoded summary.
    pub summary: Vec<u8>,
    /// The encoded structure.
    pub structure: Vec<u8>,
    /// The hash of all octets.
    pub hash: [u8; 32],
    /// The pieces, in the order they were wanted.
    pub pieces: Vec<Piece>,
}

/// One piece of one message.
#[derive(Debug)]
pub enum Piece {
    /// There is no such section.
    Absent,
    /// Here it is.
    Octets(Vec<u8>),
    /// It is large: stream it.
    Large(Large),
    /// Its decoded size.
    Size(u64),
    /// Its transfer encoding can't be taken off.
    Undecodable(UndecodableContent),
}

/// A piece to be streamed.
#[derive(Clone, Debug)]
pub struct Large {
    content: ContentId,
    /// Where it is stored.
    range: Range<u64>,
    /// What has to be taken off.
    encoding: Option<Encoding>,
    /// Of the decoded octets these.
    window: Range<u64>,
    has_nul: bool,
}

impl Large {
    /// How many octets the stream will bring.
    pub fn len(&self) -> u64 {
        self.window.end.saturating_sub(self.window.start)
    }

    /// Nothing at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is there a NUL among them, or may there be?
    pub fn has_nul(&self) -> bool {
        self.has_nul
    }
}

impl Mail {
    /// What is wanted of some messages, given with their sizes, in their order: of as many as weigh
    /// little together, at least one. A damaged one is an error of its own.
    pub async fn extract(
        &self,
        messages: Vec<(ContentId, u64)>,
        wanted: Arc<Wanted>,
    ) -> Result<Vec<Result<Extract>>> {
        let job = move |r: &Reader<'_>| {
            let mut extracts = Vec::with_capacity(messages.len());
            let mut weight = 0;
            for (content, size) in messages {
                r.check_cancelled()?;
                let extract = wanted.of(r, content, size);
                weight += extract.as_ref().map_or(0, Extract::weight);
                extracts.push(extract);
                if weight >= PER_JOB {
                    break;
                }
            }
            Ok(extracts)
        };
        self.store.read(job).await
    }

    /// The octets of a large piece, in steps.
    pub fn stream(&self, large: &Large) -> Stream {
        let (skip, left) = match large.encoding {
            Some(_) => (large.window.start, large.len()),
            None => (0, large.len()),
        };
        Stream {
            octets: self.octets(large.content, large.range.clone()),
            decoder: large.encoding.and_then(|encoding| Decoder::new(encoding).ok()),
            skip,
            left,
        }
    }
}

impl Extract {
    fn weight(&self) -> u64 {
        let pieces = self.pieces.iter().map(Piece::weight).sum::<u64>();
        pieces.saturating_add((self.summary.len() + self.structure.len()) as u64)
    }
}

impl Piece {
    fn weight(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            _ => 0,
        }
    }
}

impl Wanted {
    fn of(&self, r: &Reader<'_>, content: ContentId, size: u64) -> Result<Extract> {
        let want = Want {
            summary: self.listing || self.cuts.iter().any(Cut::needs_structure),
            header: self.cuts.iter().any(Cut::is_of_header),
            preview: self.hash,
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
        let ContentParts { summary, structure, hash, .. } = parts;
        Ok(Extract { summary, structure, hash, pieces })
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
            return Ok(match self.header(&cut.section)? {
                Some(header) => {
                    let fields = select_fields(&header, names, *not);
                    Piece::Octets(windowed(fields, cut.window))
                }
                None => Piece::Absent,
            });
        }
        if cut.is_of_header() && self.parts.header.len() < CUT_HEADER {
            return Ok(Piece::Octets(windowed(self.parts.header.clone(), cut.window)));
        }
        match self.range(&cut.section)? {
            Some(range) => self.stored(within(range, cut.window), false),
            None => Ok(Piece::Absent),
        }
    }

    /// The octets of a header from which fields are picked.
    fn header(&self, section: &Section) -> Result<Option<Vec<u8>>> {
        if section.path.is_empty() && self.parts.header.len() < CUT_HEADER {
            return Ok(Some(self.parts.header.clone()));
        }
        let Some(range) = self.range(section)? else { return Ok(None) };
        let end = range.end.min(range.start.saturating_add(MOST_HEADER));
        Ok(Some(self.r.octets(self.content, range.start..end)?))
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
        let (content, window) = (self.content, range.clone());
        Ok(Piece::Large(Large { content, range, encoding: None, window, has_nul: may_have_nul }))
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
                encoding: Some(encoding),
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
        let (mut size, mut has_nul, mut scratch) = (0, false, Vec::new());
        let mut start = range.start;
        while start < range.end {
            self.r.check_cancelled()?;
            let end = range.end.min(start.saturating_add(STEP));
            decoder.feed(&self.r.octets(self.content, start..end)?, &mut scratch);
            size += scratch.len() as u64;
            has_nul |= scratch.contains(&0);
            scratch.clear();
            start = end;
        }
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
    Error::Damaged(crate::store::Error::Corrupt(text))
}

/// The octets of a large piece, in order.
pub struct Stream {
    octets: Octets,
    decoder: Option<Decoder>,
    /// Decoded octets that stand before the window.
    skip: u64,
    /// Octets still to be brought.
    left: u64,
}

impl Stream {
    /// The next octets; None at the end. May be dropped half way.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        while self.left > 0 {
            let (mut octets, ended) = match self.octets.next().await {
                Some(Ok(octets)) => (octets, false),
                Some(Err(error)) => return Some(Err(error)),
                None => (Vec::new(), true),
            };
            self.decode(&mut octets, ended);
            self.cut(&mut octets);
            if !octets.is_empty() {
                return Some(Ok(octets));
            }
            if ended {
                return None;
            }
        }
        None
    }

    fn decode(&mut self, octets: &mut Vec<u8>, ended: bool) {
        let Some(decoder) = &mut self.decoder else { return };
        let mut decoded = Vec::with_capacity(octets.len());
        decoder.feed(octets, &mut decoded);
        if ended && let Some(decoder) = self.decoder.take() {
            // Measuring has shown that it ends well.
            let _ = decoder.finish(&mut decoded);
        }
        *octets = decoded;
    }

    fn cut(&mut self, octets: &mut Vec<u8>) {
        let before = self.skip.min(octets.len() as u64);
        self.skip -= before;
        octets.drain(..usize::try_from(before).unwrap_or(octets.len()));
        octets.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= octets.len() as u64;
    }
}
