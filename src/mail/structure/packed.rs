//! The stored form of a structure, and how it is read without copying.
//!
//! [`StructureRef::parse`] checks the whole form once: lengths, nesting, places. What it hands out
//! afterwards cannot fail.

use std::ops::Range;

use super::{Damage, Disposition, Kind, Media, Octets, Param, Part, Structure};
use crate::mail::{
    pack::{Damaged, Unpack, put_maybe, put_size, put_text, put_uint},
    summary::SummaryRef,
};

const VERSION: u8 = 1;

impl Structure {
    /// The form that is stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_size(&mut out, self.parts.len());
        for part in &self.parts {
            part.encode(&mut out);
        }
        out
    }

    /// Reads what [`Structure::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        Ok(Self { parts: StructureRef::parse(bytes)?.parts().map(PartRef::to_part).collect() })
    }
}

impl Part {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            Kind::Leaf => 0,
            Kind::Multipart => 1,
            Kind::Message => 2,
        });
        put_size(out, self.size);
        put_uint(out, self.header);
        put_uint(out, self.body.saturating_sub(self.header));
        put_uint(out, self.end.saturating_sub(self.body));
        put_uint(out, self.lines);
        out.push(self.octets.0);
        out.push(self.header_octets.0);
        put_uint(out, self.damage.0.into());
        put_text(out, &self.media.name);
        put_text(out, &self.media.subtype);
        put_text(out, &self.encoding);
        put_params(out, &self.media.params);
        for text in [&self.id, &self.description, &self.md5, &self.location] {
            put_maybe(out, text.as_deref());
        }
        put_maybe(out, self.disposition.as_ref().map(|disposition| disposition.name.as_slice()));
        if let Some(disposition) = &self.disposition {
            put_params(out, &disposition.params);
        }
        let mut languages = Vec::new();
        for language in &self.languages {
            put_text(&mut languages, language);
        }
        put_text(out, &languages);
        put_maybe(out, self.summary.as_ref().map(|summary| summary.encode()).as_deref());
    }
}

fn put_params(out: &mut Vec<u8>, params: &[Param]) {
    let mut list = Vec::new();
    for param in params {
        put_text(&mut list, &param.name);
        put_text(&mut list, &param.value);
    }
    put_text(out, &list);
}

/// A stored structure, checked.
#[derive(Clone, Copy, Debug)]
pub struct StructureRef<'a> {
    count: usize,
    parts: &'a [u8],
}

/// A part of a stored structure; the fields are as in [`Part`].
#[derive(Clone, Copy, Debug)]
pub struct PartRef<'a> {
    pub kind: Kind,
    pub size: usize,
    pub header: u64,
    pub body: u64,
    pub end: u64,
    pub lines: u64,
    pub octets: Octets,
    pub header_octets: Octets,
    pub damage: Damage,
    /// `text` of `text/plain`
    pub name: &'a [u8],
    pub subtype: &'a [u8],
    pub encoding: &'a [u8],
    pub params: Params<'a>,
    pub id: Option<&'a [u8]>,
    pub description: Option<&'a [u8]>,
    pub md5: Option<&'a [u8]>,
    pub location: Option<&'a [u8]>,
    pub disposition: Option<DispositionRef<'a>>,
    languages: &'a [u8],
    summary: Option<&'a [u8]>,
}

/// Content-Disposition in a stored structure.
#[derive(Clone, Copy, Debug)]
pub struct DispositionRef<'a> {
    pub name: &'a [u8],
    pub params: Params<'a>,
}

impl<'a> StructureRef<'a> {
    /// Checks a stored structure.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut unpack = Unpack::new(bytes);
        if unpack.byte()? != VERSION {
            return Err(Damaged);
        }
        let count = unpack.size()?;
        let parts = unpack.rest();
        check(count, unpack)?;
        Ok(Self { count, parts })
    }

    /// All parts, the message first, children behind their parent.
    pub fn parts(&self) -> Parts<'a> {
        Parts { unpack: Unpack::new(self.parts), next: 0 }
    }

    /// How many parts there are; at least one.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The part with this index.
    pub fn part(&self, index: usize) -> Option<PartRef<'a>> {
        self.parts().nth(index)
    }

    /// The message itself.
    pub fn root(&self) -> PartRef<'a> {
        self.parts().next().unwrap_or(PartRef::NONE)
    }
}

/// Every part lies within its parent and behind its elder sibling; kinds have the children they
/// must have; the form ends with the last part.
fn check(count: usize, mut unpack: Unpack<'_>) -> Result<(), Damaged> {
    struct Around {
        until: usize,
        end: u64,
        place: u64,
    }
    let mut around = vec![Around { until: count, end: u64::MAX, place: 0 }];
    for index in 0..count {
        while around.last().is_some_and(|parent| parent.until <= index) {
            around.pop();
        }
        let part = PartRef::read(&mut unpack)?;
        let parent = around.last_mut().ok_or(Damaged)?;
        let until = index.checked_add(part.size).ok_or(Damaged)?;
        if until > parent.until || part.header < parent.place || part.end > parent.end {
            return Err(Damaged);
        }
        if part.size == 0 || (part.size == 1) != (part.kind == Kind::Leaf) {
            return Err(Damaged);
        }
        parent.place = part.end;
        if part.size > 1 {
            around.push(Around { until, end: part.end, place: part.body });
        }
    }
    if count == 0 || around.first().is_none_or(|root| root.until != count) {
        return Err(Damaged);
    }
    unpack.end()
}

impl<'a> PartRef<'a> {
    const NONE: Self = Self {
        kind: Kind::Leaf,
        size: 1,
        header: 0,
        body: 0,
        end: 0,
        lines: 0,
        octets: Octets(0),
        header_octets: Octets(0),
        damage: Damage(0),
        name: b"text",
        subtype: b"plain",
        encoding: b"7bit",
        params: Params(Unpack::NOTHING),
        id: None,
        description: None,
        md5: None,
        location: None,
        disposition: None,
        languages: b"",
        summary: None,
    };

    fn read(unpack: &mut Unpack<'a>) -> Result<Self, Damaged> {
        let kind = match unpack.byte()? {
            0 => Kind::Leaf,
            1 => Kind::Multipart,
            2 => Kind::Message,
            _ => return Err(Damaged),
        };
        let size = unpack.size()?;
        let header = unpack.uint()?;
        let body = header.checked_add(unpack.uint()?).ok_or(Damaged)?;
        let end = body.checked_add(unpack.uint()?).ok_or(Damaged)?;
        let part = Self {
            kind,
            size,
            header,
            body,
            end,
            lines: unpack.uint()?,
            octets: Octets(unpack.byte()?),
            header_octets: Octets(unpack.byte()?),
            damage: Damage(u16::try_from(unpack.uint()?).map_err(|_| Damaged)?),
            name: unpack.text()?,
            subtype: unpack.text()?,
            encoding: unpack.text()?,
            params: Params::read(unpack)?,
            id: unpack.maybe()?,
            description: unpack.maybe()?,
            md5: unpack.maybe()?,
            location: unpack.maybe()?,
            disposition: match unpack.maybe()? {
                Some(name) => Some(DispositionRef { name, params: Params::read(unpack)? }),
                None => None,
            },
            languages: unpack.text()?,
            summary: unpack.maybe()?,
        };
        let mut languages = Unpack::new(part.languages);
        while !languages.is_empty() {
            languages.text()?;
        }
        if part.summary.is_some() != (kind == Kind::Message) {
            return Err(Damaged);
        }
        part.summary.map(SummaryRef::parse).transpose()?;
        Ok(part)
    }

    /// Whether this is `name/subtype`, in whatever case.
    pub fn is(&self, name: &str, subtype: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
            && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// Whether this is `text/…` (BODYSTRUCTURE then tells its lines).
    pub fn is_text(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"text")
    }

    /// Octets of the body.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.body)
    }

    /// Whether the body has no octets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The place of the header, its empty line included.
    pub fn header_range(&self) -> Range<u64> {
        self.header..self.body
    }

    /// The place of the body.
    pub fn body_range(&self) -> Range<u64> {
        self.body..self.end
    }

    /// The Content-Type's parameter of that name.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        self.params.find(name)
    }

    /// Content-Language.
    pub fn languages(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut unpack = Unpack::new(self.languages);
        std::iter::from_fn(move || unpack.text().ok())
    }

    /// The ENVELOPE of the embedded message, for [`Kind::Message`].
    pub fn summary(&self) -> Option<SummaryRef<'a>> {
        SummaryRef::parse(self.summary?).ok()
    }

    fn to_part(self) -> Part {
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        Part {
            kind: self.kind,
            size: self.size,
            header: self.header,
            body: self.body,
            end: self.end,
            lines: self.lines,
            octets: self.octets,
            header_octets: self.header_octets,
            damage: self.damage,
            media: Media {
                name: self.name.to_vec(),
                subtype: self.subtype.to_vec(),
                params: self.params.to_params(),
            },
            encoding: self.encoding.to_vec(),
            id: own(self.id),
            description: own(self.description),
            md5: own(self.md5),
            disposition: self.disposition.map(|disposition| Disposition {
                name: disposition.name.to_vec(),
                params: disposition.params.to_params(),
            }),
            languages: self.languages().map(<[u8]>::to_vec).collect(),
            location: own(self.location),
            summary: self.summary().map(|summary| Box::new(summary.to_summary())),
        }
    }
}

/// The parts of a structure; see [`StructureRef::parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    unpack: Unpack<'a>,
    next: usize,
}

impl Parts<'_> {
    /// The index of the part that comes next.
    pub fn next_index(&self) -> usize {
        self.next
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = PartRef<'a>;

    fn next(&mut self) -> Option<PartRef<'a>> {
        self.next = self.next.saturating_add(1);
        PartRef::read(&mut self.unpack).ok()
    }
}

/// Parameters, name and value, in the message's order.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(Unpack<'a>);

impl<'a> Params<'a> {
    fn read(unpack: &mut Unpack<'a>) -> Result<Self, Damaged> {
        let list = Unpack::new(unpack.text()?);
        let mut rest = list;
        while !rest.is_empty() {
            rest.text()?;
            rest.text()?;
        }
        Ok(Self(list))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the parameter of that name, in whatever case.
    pub fn find(self, name: &str) -> Option<&'a [u8]> {
        self.into_iter()
            .find_map(|(other, value)| other.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
    }

    fn to_params(self) -> Vec<Param> {
        let own = |(name, value): (&[u8], &[u8])| Param { name: name.into(), value: value.into() };
        self.into_iter().map(own).collect()
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = ParamIter<'a>;

    fn into_iter(self) -> ParamIter<'a> {
        ParamIter(self.0)
    }
}

/// First to last parameter.
#[derive(Clone, Debug)]
pub struct ParamIter<'a>(Unpack<'a>);

impl<'a> Iterator for ParamIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.text().ok()?, self.0.text().ok()?))
    }
}
