//! Contents: the octets of messages, stored once, and what was computed of them at arrival.
//!
//! A content is its header, a column of its own, and a list of pieces: octets kept inline or parts of
//! a blob file. A message assembled from others shares their pieces instead of copying octets. What
//! is listed often (summary and structure) never shares a row with body octets.

use std::ops::Range;

use rusqlite::OptionalExtension as _;

use super::{
    Store,
    blobs::Blob,
    error::{Error, Result},
    reader::Reader,
    sql::{signed, unsigned},
    tx::Tx,
};
use crate::ids::ContentId;

/// BLAKE3 of a content's octets.
pub type Hash = [u8; 32];

/// A run of stored octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    source: Source,
    offset: u64,
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Octets(i64),
    Blob(i64),
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The part of it from `range.start` to `range.end`, counted from its own start.
    #[must_use]
    fn part(&self, range: Range<u64>) -> Self {
        let end = range.end.min(self.length);
        let start = range.start.min(end);
        let offset = self.offset.saturating_add(start);
        Self { source: self.source, offset, length: end.saturating_sub(start) }
    }
}

/// A part of a stored file, which a new content may share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    piece: Piece,
    hash: Hash,
}

impl Shared {
    /// Its length in octets.
    pub fn len(&self) -> u64 {
        self.piece.length
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.piece.is_empty()
    }

    /// The part of it from `range.start` to `range.end`, counted from its own start.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        Self { piece: self.piece.part(range), ..*self }
    }

    /// Its octets, all in memory; for the time of a read from the page cache or the disk.
    pub fn read(&self, store: &Store) -> Result<Vec<u8>> {
        let Piece { offset, length, .. } = self.piece;
        store.0.blobs.read(&self.hash, offset..offset.saturating_add(length))
    }
}

/// Octets of a stored message from one place on, as far as they are kept in one way.
#[derive(Debug)]
pub enum Run {
    /// Kept inline.
    Octets(Vec<u8>),
    /// Kept in a file.
    Shared(Shared),
}

impl Run {
    /// Its length in octets.
    pub fn len(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Shared(shared) => shared.len(),
        }
    }

    /// Nothing in it?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a new content's body is made of.
#[derive(Clone, Debug)]
pub enum NewPiece {
    /// Octets to be kept inline.
    Octets(Vec<u8>),
    /// Some of the octets of a finished file.
    Blob(Blob, Range<u64>),
    /// A part of a file that is stored already.
    Shared(Shared),
}

/// A message that is about to be stored.
#[derive(Clone, Debug)]
pub struct NewContent {
    /// BLAKE3 of all its octets.
    pub hash: Hash,
    /// All its octets, header and body, counted.
    pub size: u64,
    /// The header with the empty line behind it.
    pub header: Vec<u8>,
    /// The body.
    pub pieces: Vec<NewPiece>,
    /// The encoded summary (IMAP's ENVELOPE and the sort keys).
    pub summary: Vec<u8>,
    /// The encoded MIME structure.
    pub structure: Vec<u8>,
    /// The first words, for lists.
    pub preview: String,
    /// Hashes of its Message-ID and of those it refers to, its own first.
    pub references: Vec<i64>,
}

/// What [`Reader::content`] shall bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The encoded summary and structure.
    pub summary: bool,
    /// The header's octets.
    pub header: bool,
    /// The preview.
    pub preview: bool,
    /// All octets, when there are at most this many.
    pub octets_up_to: u64,
}

/// What was asked for; the rest is empty.
#[derive(Clone, Debug, Default)]
pub struct ContentParts {
    /// All octets, counted.
    pub size: u64,
    /// The hash of all octets.
    pub hash: Hash,
    /// The encoded summary.
    pub summary: Vec<u8>,
    /// The encoded structure.
    pub structure: Vec<u8>,
    /// The header with the empty line behind it.
    pub header: Vec<u8>,
    /// The first words.
    pub preview: String,
    /// All octets, when they were asked for and are not too many.
    pub octets: Option<Vec<u8>>,
}

impl Reader<'_> {
    /// The encoded summary of a content.
    pub fn summary(&self, id: ContentId) -> Result<Option<Vec<u8>>> {
        self.row("SELECT summary FROM summary WHERE content = ?1", [id], |row| row.get(0))
    }

    /// What is known of a content.
    pub fn content(&self, content: ContentId, want: Want) -> Result<ContentParts> {
        let mut parts = ContentParts::default();
        if want.summary {
            let sql = "SELECT summary, structure FROM summary WHERE content = ?1";
            let found = self.row(sql, [content], |row| Ok((row.get(0)?, row.get(1)?)))?;
            (parts.summary, parts.structure) = found.ok_or_else(|| missing(content))?;
        }
        if want.header || want.preview || want.octets_up_to > 0 {
            let sql = "SELECT size, hash, preview, header FROM content WHERE id = ?1";
            let found = self.row(sql, [content], |row| {
                parts.size = unsigned(row.get(0)?);
                parts.hash = row.get(1)?;
                if want.preview {
                    parts.preview = row.get(2)?;
                }
                if want.header {
                    parts.header = row.get(3)?;
                }
                Ok(())
            })?;
            found.ok_or_else(|| missing(content))?;
        }
        if parts.size > 0 && parts.size <= want.octets_up_to {
            parts.octets = Some(self.octets(content, 0..parts.size)?);
        }
        Ok(parts)
    }

    /// Some contents from the one behind `after` on, ids rising, each with its size in octets.
    pub fn contents_behind(&self, after: ContentId, limit: u32) -> Result<Vec<(ContentId, u64)>> {
        let sql = "SELECT id, size FROM content WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.rows(sql, (after, limit), |row| Ok((row.get(0)?, unsigned(row.get(1)?))))
    }

    /// How many contents there are behind one, and their octets.
    pub fn sum_behind(&self, mark: ContentId) -> Result<(u64, u64)> {
        let sql = "SELECT count(*), coalesce(sum(size), 0) FROM content WHERE id > ?1";
        let sum =
            self.row(sql, [mark], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))?;
        Ok(sum.unwrap_or_default())
    }

    /// The hash of a content's octets, if it is there.
    pub fn content_hash(&self, content: ContentId) -> Result<Option<Hash>> {
        self.row("SELECT hash FROM content WHERE id = ?1", [content], |row| row.get(0))
    }

    /// Some contents in the order of their hashes, from the one behind `after` on; much cheaper than
    /// in the order of their ids, since an index has it all.
    pub fn contents_by_hash(&self, after: &Hash, limit: u32) -> Result<Vec<(Hash, ContentId)>> {
        let sql = "SELECT hash, id FROM content WHERE hash > ?1 ORDER BY hash LIMIT ?2";
        self.rows(sql, (after, limit), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The last content that was stored.
    pub fn last_content(&self) -> Result<ContentId> {
        let sql = "SELECT coalesce(max(id), 0) FROM content";
        Ok(self.row(sql, [], |row| row.get(0))?.unwrap_or(ContentId(0)))
    }

    /// Some of a message's octets; a range beyond its end is cut. The caller bounds the range.
    pub fn octets(&self, content: ContentId, range: Range<u64>) -> Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        let mut octets = Vec::with_capacity(length.min(1 << 20));
        let (header, pieces) = self.header_and_pieces(content)?;
        let header_length = header.len() as u64;
        if let Some(part) = slice(&header, range.start..range.end.min(header_length)) {
            octets.extend_from_slice(part);
        }
        let mut start = header_length;
        for piece in pieces {
            let end = start.saturating_add(piece.length);
            if range.start < end && start < range.end {
                let within = range.start.saturating_sub(start)..range.end.saturating_sub(start);
                self.read_piece(&piece.part(within), &mut octets)?;
            }
            start = end;
        }
        Ok(octets)
    }

    /// Refuses a range whose octets are not all there, before they are announced to anybody.
    pub fn check_octets(&self, content: ContentId, range: Range<u64>) -> Result<()> {
        let (_, pieces) = self.pieces(content, range)?;
        pieces.iter().try_for_each(|piece| self.check_piece(piece))
    }

    fn check_piece(&self, piece: &Piece) -> Result<()> {
        let length = match piece.source {
            Source::Octets(id) => {
                let sql = "SELECT length(data) FROM octets WHERE id = ?1";
                unsigned(self.row(sql, [id], |row| row.get(0))?.ok_or_else(|| short(id))?)
            }
            Source::Blob(id) => self.blobs.length(&self.blob_hash(id)?)?,
        };
        let whole = piece.offset.saturating_add(piece.length) <= length;
        let (Source::Octets(id) | Source::Blob(id)) = piece.source;
        if whole { Ok(()) } else { Err(short(id)) }
    }

    /// The first octets of a range of a message that are kept in one way; a range beyond its end is
    /// cut, and then empty at last. Those kept inline are brought, a bounded number of them.
    pub fn run(&self, content: ContentId, range: Range<u64>) -> Result<Run> {
        let (header, pieces) = self.pieces(content, range)?;
        if !header.is_empty() {
            return Ok(Run::Octets(header));
        }
        let Some(piece) = pieces.into_iter().next() else { return Ok(Run::Octets(Vec::new())) };
        if let Source::Blob(id) = piece.source {
            return Ok(Run::Shared(Shared { piece, hash: self.blob_hash(id)? }));
        }
        let mut octets = Vec::new();
        self.read_piece(&piece, &mut octets)?;
        Ok(Run::Octets(octets))
    }

    fn blob_hash(&self, id: i64) -> Result<Hash> {
        let sql = "SELECT hash FROM blob WHERE id = ?1";
        self.row(sql, [id], |row| row.get(0))?.ok_or_else(|| short(id))
    }

    /// The pieces that make up a range of a message, and the octets of the header that fall into the
    /// range.
    fn pieces(&self, content: ContentId, range: Range<u64>) -> Result<(Vec<u8>, Vec<Piece>)> {
        let (header, pieces) = self.header_and_pieces(content)?;
        let header_length = header.len() as u64;
        let own = slice(&header, range.start..range.end.min(header_length)).unwrap_or_default();
        let mut start = header_length;
        let mut shared = Vec::new();
        for piece in pieces {
            let end = start.saturating_add(piece.length);
            let within = range.start.saturating_sub(start)..range.end.saturating_sub(start);
            let part = piece.part(within);
            if !part.is_empty() {
                shared.push(part);
            }
            start = end;
        }
        Ok((own.to_vec(), shared))
    }

    fn header_and_pieces(&self, content: ContentId) -> Result<(Vec<u8>, Vec<Piece>)> {
        let sql = "SELECT header, pieces FROM content WHERE id = ?1";
        let found = self.row(sql, [content], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let (header, pieces) = found.ok_or_else(|| missing(content))?;
        Ok((header, decode(&pieces)?))
    }

    fn read_piece(&self, piece: &Piece, octets: &mut Vec<u8>) -> Result<()> {
        match piece.source {
            Source::Octets(id) => {
                // All of a row that is bounded by the inline threshold: a statement that is kept costs
                // less than a blob handle, which is compiled each time.
                let sql = "SELECT data FROM octets WHERE id = ?1";
                let end = piece.offset.saturating_add(piece.length);
                let found = self.row(sql, [id], |row| {
                    let part = slice(row.get_ref(0)?.as_blob()?, piece.offset..end);
                    octets.extend_from_slice(part.unwrap_or_default());
                    Ok(part.is_some())
                })?;
                if found == Some(true) { Ok(()) } else { Err(short(id)) }
            }
            Source::Blob(id) => {
                let hash = self.blob_hash(id)?;
                let range = piece.offset..piece.offset.saturating_add(piece.length);
                octets.extend(self.blobs.read(&hash, range)?);
                Ok(())
            }
        }
    }

    /// How a content is stored: what the sweeper counts as used.
    pub(super) fn sources(pieces: &[u8]) -> Result<(Vec<i64>, Vec<i64>)> {
        let (mut inline, mut files) = (Vec::new(), Vec::new());
        for piece in decode(pieces)? {
            match piece.source {
                Source::Octets(id) => inline.push(id),
                Source::Blob(id) => files.push(id),
            }
        }
        Ok((inline, files))
    }
}

impl Tx<'_> {
    /// Stores a content, or finds the same octets stored already.
    pub fn add_content(&mut self, new: &NewContent) -> Result<ContentId> {
        Ok(self.add_content_or_find(new)?.0)
    }

    /// Stores a content, or finds the same octets stored already; says whether it is new.
    pub fn add_content_or_find(&mut self, new: &NewContent) -> Result<(ContentId, bool)> {
        self.check_space()?;
        // Each use moves the time on, so that one who stored it can see whether others use it.
        let sql = "UPDATE content SET last_used = max(?2, last_used + 1) WHERE hash = ?1
            RETURNING id";
        if let Some(id) = self.row(sql, (&new.hash, self.now()), |row| row.get(0))? {
            return Ok((id, false));
        }
        let mut pieces = Vec::new();
        for piece in &new.pieces {
            encode(&self.keep_piece(piece)?, &mut pieces);
        }
        let sql = "INSERT INTO content (hash, size, created, last_used, pieces, preview, header)
            VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)";
        let size = signed(new.size);
        self.execute(sql, (&new.hash, size, self.now(), pieces, &new.preview, &new.header))?;
        let id = ContentId(self.sql.last_insert_rowid());
        let sql = "INSERT INTO summary (content, summary, structure) VALUES (?1, ?2, ?3)";
        self.execute(sql, (id, &new.summary, &new.structure))?;
        Ok((id, true))
    }

    /// A content that was stored before is about to be referred to.
    pub fn use_content(&mut self, content: ContentId) -> Result<()> {
        let sql = "UPDATE content SET last_used = max(?2, last_used + 1) WHERE id = ?1";
        let found = self.execute(sql, (content, self.now()))?;
        if found == 1 { Ok(()) } else { Err(Error::NotFound("content")) }
    }

    /// Forgets a content that was stored anew at `since` and that nobody has used after that.
    pub fn forget_unused(&mut self, content: ContentId, since: i64) -> Result<()> {
        // The highest id stays for the sweeper, so that none is ever given twice.
        let sql = "DELETE FROM content WHERE id = ?1 AND created = ?2 AND last_used = ?2
            AND id < (SELECT max(id) FROM content)";
        self.execute(sql, (content, since))?;
        Ok(())
    }

    fn keep_piece(&self, piece: &NewPiece) -> Result<Piece> {
        Ok(match piece {
            NewPiece::Octets(octets) => {
                self.execute("INSERT INTO octets (data) VALUES (?1)", [octets])?;
                let source = Source::Octets(self.sql.last_insert_rowid());
                Piece { source, offset: 0, length: octets.len() as u64 }
            }
            NewPiece::Blob(blob, range) => {
                let sql = "INSERT INTO blob (hash, size, created, last_used)
                    VALUES (?1, ?2, ?3, ?3)
                    ON CONFLICT (hash) DO UPDATE SET last_used = excluded.last_used RETURNING id";
                let row = (&blob.hash, signed(blob.size), self.now());
                let id =
                    self.sql.prepare_cached(sql)?.query_row(row, |row| row.get(0)).optional()?;
                let source = Source::Blob(id.ok_or(Error::NotFound("blob"))?);
                Piece { source, offset: 0, length: blob.size }.part(range.clone())
            }
            NewPiece::Shared(shared) => {
                // From here on it is used, also if nothing else uses it any more.
                let sql = "UPDATE blob SET last_used = max(last_used, ?2) WHERE hash = ?1
                    RETURNING id";
                let id = self.row(sql, (&shared.hash, self.now()), |row| row.get(0))?;
                let source = Source::Blob(id.ok_or(Error::NotFound("blob"))?);
                Piece { source, ..shared.piece }
            }
        })
    }
}

fn missing(content: ContentId) -> Error {
    Error::Corrupt(format!("content {content} is missing"))
}

fn short(id: i64) -> Error {
    Error::Corrupt(format!("the octets of piece {id} are missing"))
}

fn slice(octets: &[u8], range: Range<u64>) -> Option<&[u8]> {
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end).ok()?;
    octets.get(start..end)
}

/// A piece as stored: kind (0 inline, 1 blob), id, offset, length; LEB128 numbers.
fn encode(piece: &Piece, out: &mut Vec<u8>) {
    let (kind, id) = match piece.source {
        Source::Octets(id) => (0, id),
        Source::Blob(id) => (1, id),
    };
    for mut number in [kind, unsigned(id), piece.offset, piece.length] {
        while let low @ 0x80.. = number {
            out.push(u8::try_from(low & 0x7f).unwrap_or(0) | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap_or(0));
    }
}

fn decode(octets: &[u8]) -> Result<Vec<Piece>> {
    let damaged = || Error::Corrupt("a list of pieces".into());
    let mut octets = octets.iter();
    let mut pieces = Vec::new();
    while !octets.as_slice().is_empty() {
        let mut numbers = [0u64; 4];
        for number in &mut numbers {
            let mut shift = 0;
            loop {
                let octet = octets.next().ok_or_else(damaged)?;
                let low = u64::from(octet & 0x7f);
                *number |= low.checked_shl(shift).ok_or_else(damaged)?;
                if octet & 0x80 == 0 {
                    break;
                }
                shift += 7;
            }
        }
        let [kind, id, offset, length] = numbers;
        let id = signed(id);
        let source = match kind {
            0 => Source::Octets(id),
            1 => Source::Blob(id),
            _ => return Err(damaged()),
        };
        pieces.push(Piece { source, offset, length });
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_pieces_survives_its_octets() {
        let pieces = [
            Piece { source: Source::Octets(1), offset: 0, length: 127 },
            Piece { source: Source::Blob(i64::MAX), offset: 128, length: 1 << 40 },
        ];
        let mut octets = Vec::new();
        for piece in &pieces {
            encode(piece, &mut octets);
        }
        assert_eq!(decode(&octets).unwrap(), pieces);
        for cut in 1..octets.len() {
            if let Ok(shorter) = decode(octets.get(..cut).unwrap()) {
                assert_eq!(shorter.len(), 1);
            }
        }
    }

    #[test]
    fn a_part_of_a_piece_stays_inside_it() {
        let piece = Piece { source: Source::Octets(1), offset: 10, length: 5 };
        assert_eq!(piece.part(1..3), Piece { offset: 11, length: 2, ..piece });
        assert_eq!(piece.part(3..99), Piece { offset: 13, length: 2, ..piece });
        assert!(piece.part(9..12).is_empty());
    }
}
