//! The texts of a message that a search looks at: its header, and its text parts without their
//! encodings.

use std::{borrow::Cow, ops::ControlFlow, ops::Range};

use super::needle::Needle;
use crate::{
    ids::ContentId,
    mail::{
        binary::decode::decode_all,
        encoding::Encoding,
        error::Result,
        field::{fields, unfold},
        structure::{Kind, PartRef, StructureRef},
        words,
    },
    store::Reader,
};

/// A message of at most this size is read at once.
const AT_ONCE: u64 = 256 << 10;
/// So much of a part's header is looked at.
const MOST_HEADER: u64 = 64 << 10;

/// How much of a message is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mail) struct Reach {
    /// Octets of decoded text.
    pub(in crate::mail) text: u64,
    /// Encoded words that are decoded.
    pub(in crate::mail) encoded_words: usize,
}

/// Where the octets of a message are.
#[derive(Clone, Copy)]
pub(super) struct Source<'m> {
    pub(super) r: &'m Reader<'m>,
    pub(super) content: ContentId,
    /// In octets.
    pub(super) size: u64,
}

/// A header, decoded and without its folds.
pub(super) fn header(header: &[u8], words_left: &mut usize) -> String {
    let mut text = String::new();
    for field in fields(header) {
        text.push_str(&words::decode(field.name, words_left));
        text.push_str(": ");
        text.push_str(&words::decode(&unfold(field.value), words_left));
        text.push('\n');
    }
    text
}

/// Is it in a body: in a text part, or in the header of a part? Says too how much was read.
pub(super) fn in_body(
    needle: &Needle,
    source: Source<'_>,
    structure: StructureRef<'_>,
    most: u64,
    words_left: &mut usize,
) -> Result<(bool, u64)> {
    let mut found = false;
    let read = each_of_body(source, structure, most, words_left, |text| {
        found = needle.is_in(text);
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok((found, read?))
}

/// Shows the texts of a body one by one: text parts, and headers of parts. Says how much was read.
pub(super) fn each_of_body(
    source: Source<'_>,
    structure: StructureRef<'_>,
    most: u64,
    words_left: &mut usize,
    mut see: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<u64> {
    let mut octets = Octets { source, whole: None, read: 0 };
    if source.size <= AT_ONCE {
        octets.whole = Some(octets.read(0..source.size)?);
    }
    let mut left = most;
    for (index, part) in structure.parts().enumerate() {
        if left == 0 {
            break;
        }
        if index > 0 && !part.header_range().is_empty() {
            let range = at_most(part.header_range(), MOST_HEADER);
            left = left.saturating_sub(range.end - range.start);
            if see(&header(&octets.get(range)?, words_left)).is_break() {
                break;
            }
        }
        if part.kind == Kind::Leaf && part.is_text() {
            let text = decoded(&part, &mut octets, left)?;
            left = left.saturating_sub(text.len() as u64);
            if see(&text).is_break() {
                break;
            }
        }
    }
    Ok(octets.read)
}

/// The first octets of a text part, decoded.
fn decoded(part: &PartRef<'_>, octets: &mut Octets<'_>, left: u64) -> Result<String> {
    let encoding = Encoding::of(part.encoding);
    // Three octets of quoted-printable may stand for one.
    let encoded = octets.get(at_most(part.body_range(), left.saturating_mul(3)))?;
    let mut plain =
        if encoding.is_identity() { encoded.into_owned() } else { decode_all(encoding, &encoded) };
    plain.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    Ok(words::text_in(part.param("charset").unwrap_or_default(), &plain))
}

fn at_most(range: Range<u64>, length: u64) -> Range<u64> {
    range.start..range.end.min(range.start.saturating_add(length))
}

/// The octets of one message.
struct Octets<'m> {
    source: Source<'m>,
    whole: Option<Vec<u8>>,
    read: u64,
}

impl Octets<'_> {
    fn get(&mut self, range: Range<u64>) -> Result<Cow<'_, [u8]>> {
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let here = self.whole.as_deref().zip(place);
        if let Some(octets) = here.and_then(|(whole, (start, end))| whole.get(start..end)) {
            return Ok(Cow::Owned(octets.to_vec()));
        }
        self.read(range).map(Cow::Owned)
    }

    fn read(&mut self, range: Range<u64>) -> Result<Vec<u8>> {
        let Source { r, content, .. } = self.source;
        r.check_cancelled()?;
        let octets = r.octets(content, range)?;
        self.read = self.read.saturating_add(octets.len() as u64);
        Ok(octets)
    }
}
