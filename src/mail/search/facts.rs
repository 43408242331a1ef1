//! What is known of a message: at first what the view says, then what the store has, read when a key
//! asks for it and kept until the message is decided.

use super::{
    date::sent_day,
    decide::Facts,
    key::{Days, Field, Key},
    needle::{Needle, Seeker},
    text::{self, Scope, Source},
};
use crate::{
    events::Entry,
    mail::{
        EmailId,
        converted::{Converted, Converting},
        error::{Error, Result},
        field::{fields, unfold},
        structure::StructureRef,
        summary::{Addresses, SummaryRef},
        words,
    },
    store::{self, ContentParts, Reader, Want},
};

/// What the view knows.
pub(super) struct Known<'e>(pub(super) &'e Entry);

impl Facts for Known<'_> {
    fn holds(&mut self, key: &Key) -> Result<Option<bool>> {
        let entry = self.0;
        Ok(Some(match key {
            Key::All => true,
            Key::Uids(uids) => uids.contains(entry.uid.get()),
            Key::Flags(flags) => entry.marks.flags.contains(*flags),
            Key::Keyword(keyword) => {
                keyword.number.is_some_and(|number| entry.marks.keywords.contains(number))
            }
            Key::Larger(size) => entry.size > *size,
            Key::Smaller(size) => entry.size < *size,
            Key::Internal(days) => days.contain(entry.internal_date),
            Key::InternalFrom(second) => entry.internal_date >= *second,
            Key::InternalUntil(second) => entry.internal_date <= *second,
            Key::Saved(days) => days.contain(entry.save_date),
            Key::ModSeq(since) => entry.mod_seq >= *since,
            Key::Thread(thread) => entry.thread == *thread,
            _ => return Ok(None),
        }))
    }
}

/// What the store has too.
pub(super) struct Stored<'m> {
    r: &'m Reader<'m>,
    entry: &'m Entry,
    listing: Option<ContentParts>,
    header: Option<ContentParts>,
    /// Encoded words that are decoded for one key.
    encoded_words: usize,
    /// How many octets were read for this message.
    pub(super) weight: u64,
}

impl<'m> Stored<'m> {
    pub(super) fn new(r: &'m Reader<'m>, entry: &'m Entry, encoded_words: usize) -> Self {
        Self { r, entry, listing: None, header: None, encoded_words, weight: 0 }
    }

    /// Summary and structure.
    fn listing(&mut self) -> Result<&ContentParts> {
        let want = Want { summary: true, ..Want::default() };
        load(&mut self.listing, self.r, self.entry, want, &mut self.weight)
    }

    /// The header and the hash.
    fn header(&mut self) -> Result<&ContentParts> {
        let want = Want { header: true, ..Want::default() };
        load(&mut self.header, self.r, self.entry, want, &mut self.weight)
    }

    fn summary(&mut self) -> Result<SummaryRef<'_>> {
        SummaryRef::parse(&self.listing()?.summary).map_err(|_| damaged())
    }

    fn sent(&mut self, days: &Days) -> Result<bool> {
        let day = self.summary()?.date.and_then(sent_day);
        Ok(day.is_some_and(|day| days.contain_date(day)))
    }

    fn field(&mut self, field: Field, needle: &Needle) -> Result<bool> {
        let mut left = self.encoded_words;
        let text = field_text(&self.summary()?, field, &mut left);
        Ok(text.is_some_and(|text| needle.is_in(&text)))
    }

    fn header_field(&mut self, name: &[u8], needle: &Needle) -> Result<bool> {
        let mut left = self.encoded_words;
        let mut of_name = fields(&self.header()?.header).filter(|field| field.is(name));
        Ok(of_name.any(|field| {
            let mut converting = Converting::default();
            words::convert(&unfold(field.value), &mut left, &mut converting);
            needle.is_in(&converting.end())
        }))
    }

    fn text(&mut self, needle: &Needle, with_header: bool) -> Result<bool> {
        if needle.is_empty() {
            return Ok(true);
        }
        let mut left = self.encoded_words;
        if with_header {
            let header = text::header(&self.header()?.header, &mut left);
            if header.iter().any(|text| needle.is_in(text)) {
                return Ok(true);
            }
        }
        let source = Source { r: self.r, content: self.entry.content, size: self.entry.size };
        let structure = &self.listing()?.structure;
        let structure = StructureRef::parse(structure).map_err(|_| damaged())?;
        let scope = if with_header { Scope::BodyAndHeaderBeyond } else { Scope::Body };
        let mut seeker = Seeker::new(needle);
        let read = text::each_text(source, structure, scope, &mut left, &mut seeker)?;
        self.weight = self.weight.saturating_add(read);
        Ok(seeker.found)
    }
}

impl Facts for Stored<'_> {
    fn holds(&mut self, key: &Key) -> Result<Option<bool>> {
        Ok(Some(match key {
            Key::Sent(days) => self.sent(days)?,
            Key::Field(field, needle) => self.field(*field, needle)?,
            Key::Header(name, needle) => self.header_field(name, needle)?,
            Key::Email(id) => EmailId::of(&self.header()?.hash).as_str() == id,
            Key::Body(needle) => self.text(needle, false)?,
            Key::Text(needle) => self.text(needle, true)?,
            key => return Known(self.entry).holds(key),
        }))
    }
}

fn load<'p>(
    parts: &'p mut Option<ContentParts>,
    r: &Reader<'_>,
    entry: &Entry,
    want: Want,
    weight: &mut u64,
) -> Result<&'p ContentParts> {
    if parts.is_none() {
        let read = r.content(entry.content, want)?;
        let octets = read.header.len() + read.summary.len() + read.structure.len();
        *weight = weight.saturating_add(octets as u64);
        *parts = Some(read);
    }
    Ok(parts.get_or_insert_default())
}

/// What stands in a field, decoded; None when it is not there.
pub(super) fn field_text(
    summary: &SummaryRef<'_>,
    field: Field,
    words_left: &mut usize,
) -> Option<Converted> {
    let list = match field {
        Field::From => summary.from,
        Field::To => summary.to,
        Field::Cc => summary.cc,
        Field::Bcc => summary.bcc,
        Field::Subject => {
            return summary.subject.map(|text| {
                let mut converting = Converting::default();
                words::convert(text, words_left, &mut converting);
                converting.end()
            });
        }
    };
    (!list.is_empty()).then(|| written(list, words_left))
}

/// A list of addresses as people write it.
fn written(list: Addresses<'_>, words_left: &mut usize) -> Converted {
    let mut text = Converting::default();
    for (place, address) in list.into_iter().enumerate() {
        if place > 0 {
            text.push_ours(", ");
        }
        if let Some(name) = address.name {
            words::convert(name, words_left, &mut text);
            text.push_ours(" ");
        }
        let mailbox = address.mailbox.unwrap_or_default();
        match address.host {
            Some(host) => {
                text.push_ours("<");
                words::convert(mailbox, words_left, &mut text);
                text.push_ours("@");
                words::convert(host, words_left, &mut text);
                text.push_ours(">");
            }
            None => words::convert(mailbox, words_left, &mut text),
        }
    }
    text.end()
}

pub(super) fn damaged() -> Error {
    Error::Damaged(store::Error::Corrupt("a summary or structure can't be read".into()))
}
