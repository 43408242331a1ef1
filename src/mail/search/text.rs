//! The texts of a message that a search looks at: its header, and its text parts without their
//! encodings. All of them, to their ends; what is long comes in pieces.

use std::{borrow::Cow, ops::ControlFlow, ops::Range};

use crate::{
    ids::ContentId,
    mail::{
        binary::{Decoder, decode::decode_all},
        casemap::last_seam,
        charset::{Charset, Check, TextDecoder},
        converted::{Converted, Converting, Form},
        encoding::Encoding,
        error::Result,
        field::{fields, unfold},
        structure::{Kind, PartRef, StructureRef},
        words,
    },
    store::Reader,
};

/// A message or a text of at most this size is read at once.
const AT_ONCE: u64 = 256 << 10;
/// Octets of a longer one that are read at a time.
const CHUNK: u64 = 128 << 10;
/// More text than this is not held back for a place where it may be parted: no letter has so many
/// marks.
const HELD_MAX: usize = 64 << 10;
/// So much of a header is decoded as one; what follows is text as it stands.
const HEADER_MAX: u64 = 1 << 20;
/// And so much of it is both, so that nothing is parted there that a client can ask for.
const BOTH: u64 = 64 << 10;

/// Sees the texts of a message one after the other, each in pieces that can be prepared for
/// comparison each by itself.
pub(super) trait See {
    /// The next piece of a text, which ends with the `last` one.
    fn see(&mut self, piece: &str, form: Form, last: bool) -> ControlFlow<()>;
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Text parts, and headers of parts.
    Body,
    /// That, and what of the message's header is beyond the part that is kept by itself.
    BodyAndHeaderBeyond,
}

/// Where the octets of a message are.
#[derive(Clone, Copy)]
pub(super) struct Source<'m> {
    pub(super) r: &'m Reader<'m>,
    pub(super) content: ContentId,
    /// In octets.
    pub(super) size: u64,
}

/// A header, decoded and without its folds: the fields that could be converted, and the others.
pub(super) fn header(header: &[u8], words_left: &mut usize) -> [Converted; 2] {
    let [mut text, mut octets] =
        [Form::Text, Form::Octets].map(|form| Converted { text: String::new(), form });
    for field in fields(header) {
        let mut converting = Converting::default();
        words::convert(field.name, words_left, &mut converting);
        converting.push_ours(": ");
        words::convert(&unfold(field.value), words_left, &mut converting);
        converting.push_ours("\n");
        let field = converting.end();
        let all = if field.form == Form::Text { &mut text } else { &mut octets };
        all.text.push_str(&field.text);
    }
    [text, octets]
}

/// Is the message's header too long to be kept by itself?
pub(super) fn header_is_beyond(structure: StructureRef<'_>) -> bool {
    structure.parts().next().is_some_and(|part| length(&part.header_range()) > HEADER_MAX)
}

/// Shows the texts of a body one by one until all are seen or enough is. Says how much was read.
pub(super) fn each_text(
    source: Source<'_>,
    structure: StructureRef<'_>,
    scope: Scope,
    words_left: &mut usize,
    see: &mut impl See,
) -> Result<u64> {
    let mut octets = Octets { source, whole: None, read: 0 };
    if source.size <= AT_ONCE {
        octets.whole = Some(octets.read(0..source.size)?);
    }
    for (index, part) in structure.parts().enumerate() {
        let header = match index {
            0 if scope == Scope::Body => ControlFlow::Continue(()),
            0 => beyond(part.header_range(), &mut octets, see)?,
            _ => part_header(part.header_range(), &mut octets, words_left, see)?,
        };
        if header.is_break() || part_text(&part, &mut octets, see)?.is_break() {
            break;
        }
    }
    Ok(octets.read)
}

/// The header of a part.
fn part_header(
    range: Range<u64>,
    octets: &mut Octets<'_>,
    words_left: &mut usize,
    see: &mut impl See,
) -> Result<ControlFlow<()>> {
    if range.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    let decoded = range.start..range.end.min(range.start.saturating_add(HEADER_MAX));
    for Converted { text, form } in header(&octets.get(decoded)?, words_left) {
        if !text.is_empty() && see.see(&text, form, true).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    beyond(range, octets, see)
}

/// What of a header is too much to be decoded.
fn beyond(
    range: Range<u64>,
    octets: &mut Octets<'_>,
    see: &mut impl See,
) -> Result<ControlFlow<()>> {
    if length(&range) <= HEADER_MAX {
        return Ok(ControlFlow::Continue(()));
    }
    let start = range.start.saturating_add(HEADER_MAX - BOTH);
    long_text(start..range.end, Encoding::Lines, &Charset::Unnamed, octets, see)
}

/// The text of a part, if it has one.
fn part_text(
    part: &PartRef<'_>,
    octets: &mut Octets<'_>,
    see: &mut impl See,
) -> Result<ControlFlow<()>> {
    if part.kind != Kind::Leaf || !part.is_text() {
        return Ok(ControlFlow::Continue(()));
    }
    let (encoding, range) = (Encoding::of(part.encoding), part.body_range());
    let charset = part.param("charset").unwrap_or_default();
    if length(&range) > AT_ONCE {
        return long_text(range, encoding, &Charset::of(charset), octets, see);
    }
    let encoded = octets.get(range)?;
    let plain =
        if encoding.is_identity() { encoded } else { Cow::Owned(decode_all(encoding, &encoded)) };
    let Converted { text, form } = Converted::of(charset, &plain);
    Ok(see.see(&text, form, true))
}

/// A text that is not held whole. One that may not be what its character set says is read twice, first to
/// know whether it is.
fn long_text(
    range: Range<u64>,
    encoding: Encoding,
    charset: &Charset,
    octets: &mut Octets<'_>,
    see: &mut impl See,
) -> Result<ControlFlow<()>> {
    let fits = octets.are_in(charset, range.clone(), encoding)?;
    let (mut decoder, form) = if fits || matches!(charset, Charset::Unnamed) {
        (TextDecoder::new(charset, fits), Form::Text)
    } else {
        (TextDecoder::octets(), Form::Octets)
    };
    let mut held = String::new();
    octets.each_decoded(range, encoding, |plain, last| {
        decoder.feed(plain, last, &mut held);
        let seam = match last_seam(&held) {
            _ if last || form == Form::Octets => held.len(),
            0 if held.len() > HELD_MAX => held.len(),
            seam => seam,
        };
        let (piece, _) = held.split_at_checked(seam).unwrap_or_default();
        let seen = see.see(piece, form, last);
        held.drain(..seam);
        seen
    })
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The octets of one message.
struct Octets<'m> {
    source: Source<'m>,
    whole: Option<Vec<u8>>,
    read: u64,
}

impl Octets<'_> {
    /// A bounded range.
    fn get(&mut self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        if self.whole.is_none() {
            return self.read(range).map(Cow::Owned);
        }
        let whole = self.whole.as_deref().unwrap_or_default();
        let at = |place| usize::try_from(place).unwrap_or(usize::MAX).min(whole.len());
        Ok(Cow::Borrowed(whole.get(at(range.start)..at(range.end)).unwrap_or_default()))
    }

    /// Are they of this character set, without their encoding? Of none: are they UTF-8?
    fn are_in(&mut self, charset: &Charset, range: Range<u64>, encoding: Encoding) -> Result<bool> {
        let mut check = Check::new(charset);
        if let Check::Any | Check::Never = check {
            return Ok(check.finish());
        }
        let _ = self.each_decoded(range, encoding, |plain, last| {
            if check.feed(plain, last) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(check.finish())
    }

    /// Shows octets without their encoding, in pieces, until the last one or one that is enough.
    fn each_decoded(
        &mut self,
        range: Range<u64>,
        encoding: Encoding,
        mut see: impl FnMut(&[u8], bool) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        // What is in an unknown encoding is text as it stands.
        let mut decoder = Decoder::new(encoding).ok();
        let (mut at, mut plain) = (range.start, Vec::new());
        while at < range.end {
            let encoded = self.read(at..range.end.min(at.saturating_add(CHUNK)))?;
            if encoded.is_empty() {
                break;
            }
            at = at.saturating_add(encoded.len() as u64);
            plain.clear();
            match &mut decoder {
                Some(decoder) => decoder.feed(&encoded, &mut plain),
                None => plain = encoded,
            }
            if see(&plain, false).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        plain.clear();
        if let Some(decoder) = decoder {
            // What a damaged end leaves is better than nothing.
            let _ = decoder.finish(&mut plain);
        }
        Ok(see(&plain, true))
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        let Source { r, content, .. } = self.source;
        r.check_cancelled()?;
        let octets = r.octets(content, range)?;
        self.read = self.read.saturating_add(octets.len() as u64);
        Ok(octets)
    }
}
