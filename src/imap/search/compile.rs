//! Keys as they were written to a program that means the same for everybody: numbers become UIDs,
//! octets become text, `\Recent` becomes a set.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::key::Key;
use crate::{
    ids::ThreadId,
    imap::{
        error::Error,
        picture::{By, Picture},
        reply::Code,
    },
    mail::{
        Collation, Messages,
        search::{Key as Plain, Keyword, Needle, Program},
    },
    wire::{Ranges, Set},
};

/// What a key can mean only here and now.
pub struct Context<'c> {
    /// What the client counts.
    pub picture: &'c Picture,
    /// What there is.
    pub messages: &'c Messages,
    /// What `$` stands for.
    pub saved: &'c Ranges,
    /// UIDs that are `\Recent` in this session.
    pub recent: &'c Ranges,
    /// How texts are written.
    pub charset: Charset,
    /// How they are compared.
    pub collation: Collation,
    /// Keys that ask what is said of messages, each with the UIDs for which it holds.
    pub annotated: &'c [(Key, Ranges)],
    /// Seconds since 1970.
    pub now: i64,
}

/// How the texts of a SEARCH are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, and US-ASCII in it.
    Utf8,
    /// Another one.
    Other(&'static Encoding),
}

impl Charset {
    /// The charset of that name; nobody says none means US-ASCII, and UTF-8 has it all.
    pub fn named(name: Option<&str>) -> Result<Self, Error> {
        let Some(name) = name else { return Ok(Self::Utf8) };
        if name.eq_ignore_ascii_case("UTF-8") || name.eq_ignore_ascii_case("US-ASCII") {
            return Ok(Self::Utf8);
        }
        let known = Encoding::for_label_no_replacement(name.as_bytes());
        known.map(Self::Other).ok_or_else(unknown)
    }

    /// A text that is written so.
    pub fn decode(self, octets: &[u8]) -> Result<Cow<'_, str>, Error> {
        match self {
            Self::Utf8 => str::from_utf8(octets).map(Cow::Borrowed).map_err(|_| unknown()),
            Self::Other(encoding) => {
                let text = encoding.decode_without_bom_handling_and_without_replacement(octets);
                text.ok_or_else(unknown)
            }
        }
    }
}

fn unknown() -> Error {
    Error::no(Code::BadCharset, "this charset is not known here, or the text is not written in it")
}

impl Context<'_> {
    /// The program of these keys.
    pub fn program(&self, key: &Key) -> Result<Program, Error> {
        Ok(Program::new(self.key(key)?))
    }

    /// The same key for later: what numbers, `$` and the time mean now they mean for ever. A range of
    /// UIDs that ends with `*` has no end.
    pub fn frozen(&self, key: &Key) -> Result<Key, Error> {
        Ok(match key {
            Key::And(keys) => {
                Key::And(keys.iter().map(|key| self.frozen(key)).collect::<Result<_, _>>()?)
            }
            Key::Or(one, other) => {
                Key::Or(Box::new(self.frozen(one)?), Box::new(self.frozen(other)?))
            }
            Key::Not(key) => Key::Not(Box::new(self.frozen(key)?)),
            Key::Uids(set) => {
                let open = set.open_from().map(|from| Ranges::from(from..=u32::MAX));
                let uids = self.uids(set, By::Uid);
                let last = self.messages.uids().last().map_or(0, |uid| uid.get());
                let open = open.filter(|open| open.first().is_some_and(|from| from <= last));
                Key::Plain(Plain::Uids(uids.either(&open.unwrap_or_default())))
            }
            Key::Numbers(_) | Key::Older(_) | Key::Younger(_) => Key::Plain(self.key(key)?),
            key => key.clone(),
        })
    }

    /// As deep as the key nests, which its parser bounds.
    fn key(&self, key: &Key) -> Result<Plain, Error> {
        let needle = |octets: &[u8]| {
            Ok::<_, Error>(Needle::new(&self.charset.decode(octets)?, self.collation))
        };
        Ok(match key {
            Key::Plain(key) => key.clone(),
            Key::And(keys) => {
                Plain::And(keys.iter().map(|key| self.key(key)).collect::<Result<_, _>>()?)
            }
            Key::Or(one, other) => Plain::Or(vec![self.key(one)?, self.key(other)?]),
            Key::Not(key) => Plain::Not(Box::new(self.key(key)?)),
            Key::Numbers(set) => Plain::Uids(self.uids(set, By::Number)),
            Key::Uids(set) => Plain::Uids(self.uids(set, By::Uid)),
            Key::UidAfter(uid) => {
                let above = uid.checked_add(1).map(|next| Ranges::from(next..=u32::MAX));
                Plain::Uids(above.unwrap_or_default())
            }
            Key::UidBefore(uid) => Plain::Uids(Ranges::from(1..=uid.saturating_sub(1))),
            Key::Keyword(name) => Plain::Keyword(Keyword::new(name)),
            Key::Recent => Plain::Uids(self.recent.clone()),
            Key::Older(seconds) => {
                Plain::InternalUntil(self.now.saturating_sub(i64::from(*seconds)))
            }
            Key::Younger(seconds) => {
                Plain::InternalFrom(self.now.saturating_sub(i64::from(*seconds)))
            }
            Key::Field(field, text) => Plain::Field(*field, needle(text)?),
            Key::Header(name, text) => Plain::Header(name.clone(), needle(text)?),
            Key::Body(text) => Plain::Body(needle(text)?),
            Key::Text(text) => Plain::Text(needle(text)?),
            Key::EmailId(id) => Plain::Email(id.clone()),
            Key::ThreadId(id) => thread(id),
            Key::ModSeq(since) => Plain::ModSeq(*since),
            Key::Annotation(..) => {
                let found = self.annotated.iter().find(|(known, _)| known == key);
                Plain::Uids(found.map(|(_, uids)| uids.clone()).unwrap_or_default())
            }
            // Filters are put in before.
            Key::Filter(name) => {
                let code = Code::UndefinedFilter(name.clone());
                return Err(Error::no(code, "there is no such filter"));
            }
        })
    }

    fn uids(&self, set: &Set, by: By) -> Ranges {
        self.picture.uids(set, by, self.messages.uids(), self.saved)
    }
}

/// An id that was never given belongs to no message.
fn thread(id: &str) -> Plain {
    let number = id.strip_prefix('T').and_then(|number| number.parse().ok());
    match number {
        Some(number) => Plain::Thread(ThreadId(number)),
        None => Plain::Not(Box::new(Plain::All)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_the_charset_that_was_named() {
        let latin = Charset::named(Some("iso-8859-1")).unwrap();
        assert_eq!(latin.decode(b"Gr\xfc\xdfe").unwrap(), "Grüße");
        assert_eq!(Charset::named(None).unwrap().decode("Grüße".as_bytes()).unwrap(), "Grüße");
        assert!(Charset::named(Some("x-unknown")).is_err());
        assert!(Charset::Utf8.decode(b"Gr\xfc").is_err());
    }
}
