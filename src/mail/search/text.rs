//! Looking for a text within a message: its header, and its text parts without their encodings.

use std::{borrow::Cow, ops::Range};

use super::needle::Needle;
use crate::{
    events::Entry,
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

/// So much text of a message is looked at.
const MOST_TEXT: u64 = 1 << 20;
/// A message of at most this size is read at once.
const AT_ONCE: u64 = 256 << 10;
/// So much of a part's header is looked at.
const MOST_HEADER: u64 = 64 << 10;

/// Is it in a header, decoded and without its folds?
pub(super) fn in_header(needle: &Needle, header: &[u8], words_left: &mut usize) -> bool {
    let mut text = String::new();
    for field in fields(header) {
        text.push_str(&words::decode(field.name, words_left));
        text.push_str(": ");
        text.push_str(&words::decode(&unfold(field.value), words_left));
        text.push('\n');
    }
    needle.is_in(&text)
}

/// Is it in a body: in a text part, or in the header of a part? Says too how much was read.
pub(super) fn in_body(
    needle: &Needle,
    r: &Reader<'_>,
    entry: &Entry,
    structure: StructureRef<'_>,
    words_left: &mut usize,
) -> Result<(bool, u64)> {
    let mut octets = Octets { r, entry, whole: None, read: 0 };
    if entry.size <= AT_ONCE {
        octets.whole = Some(octets.read(0..entry.size)?);
    }
    let mut left = MOST_TEXT;
    for (index, part) in structure.parts().enumerate() {
        if left == 0 {
            break;
        }
        if index > 0 && !part.header_range().is_empty() {
            let range = at_most(part.header_range(), MOST_HEADER);
            left = left.saturating_sub(range.end - range.start);
            if in_header(needle, &octets.get(range)?, words_left) {
                return Ok((true, octets.read));
            }
        }
        if part.kind == Kind::Leaf && part.is_text() {
            let text = text(&part, &mut octets, left)?;
            left = left.saturating_sub(text.len() as u64);
            if needle.is_in(&text) {
                return Ok((true, octets.read));
            }
        }
    }
    Ok((false, octets.read))
}

/// The first octets of a text part, decoded.
fn text(part: &PartRef<'_>, octets: &mut Octets<'_>, left: u64) -> Result<String> {
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
    r: &'m Reader<'m>,
    entry: &'m Entry,
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
        self.r.check_cancelled()?;
        let octets = self.r.octets(self.entry.content, range)?;
        self.read = self.read.saturating_add(octets.len() as u64);
        Ok(octets)
    }
}
