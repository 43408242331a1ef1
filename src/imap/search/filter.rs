//! Named filters (RFC 5466): keys kept as metadata of the server, put in wherever a key names them.
//!
//! A filter may name others. However they do, no more keys come of it, and no deeper ones, than a
//! client could write by itself, and a filter within itself is one that does not exist.

use std::collections::HashMap;

use super::key::{self, Key};
use crate::{
    imap::{error::Error, reply::Code},
    mail::{
        Actor, Mail,
        metadata::{Entry, FILTERS},
    },
    metrics::Limit,
    wire::{Bounds, Cursor, Syntax},
};

/// How often filters may be put in for filters within filters; RFC 5466 §3.1 asks for 3 times at least.
const MOST_PASSES: usize = 10;
/// Filters by name, as they are written; None: there is none of that name.
type Written = HashMap<String, Option<Vec<u8>>>;

/// `filter-name = 1*<any ATOM-CHAR except "/">`, folded: it is part of an entry's name
pub fn name(args: &mut Cursor<'_>) -> Result<String, Syntax> {
    let name = args.atom()?;
    if name.contains('/') {
        Err(Syntax::Expected("a filter's name"))
    } else {
        Ok(name.to_ascii_lowercase())
    }
}

/// Is a value that somebody wants to keep under this name of the server's metadata what it should be?
/// Only filters have a form.
pub fn check(entry: &Entry, value: &[u8], bounds: Bounds) -> Result<(), &'static str> {
    let Some(filter) = FILTERS.iter().find_map(|place| entry.folded().strip_prefix(place)) else {
        return Ok(());
    };
    let mut args = Cursor::new(filter.as_bytes());
    if name(&mut args).and_then(|_| args.end()).is_err() {
        return Err("this can't be a filter's name");
    }
    if str::from_utf8(value).is_err() {
        return Err("a filter is written in UTF-8");
    }
    match read(value, bounds) {
        Ok(_) => Ok(()),
        Err(_) => Err("a filter is one or more search keys"),
    }
}

fn read(value: &[u8], bounds: Bounds) -> Result<Key, Syntax> {
    key::keys(&mut Cursor::new(value).with_bounds(bounds))
}

/// The same keys with all filters put in, as they are now.
pub async fn put_in(key: Key, mail: &Mail, actor: &Actor, bounds: Bounds) -> Result<Key, Error> {
    let mut written = Written::new();
    let mut unknown = names(&key, &written);
    for _ in 0..MOST_PASSES {
        if unknown.is_empty() {
            break;
        }
        let mut next = Vec::new();
        for (name, value) in mail.filters(actor, unknown).await? {
            // What can't be read was kept by nobody; it names no others.
            let key = value.as_deref().and_then(|value| read(value, bounds).ok());
            written.insert(name, value);
            next.extend(key.iter().flat_map(|key| names(key, &written)));
        }
        next.retain(|name| !written.contains_key(name));
        next.sort_unstable();
        next.dedup();
        unknown = next;
    }
    let mut put = PutIn { written: &written, left: bounds.search_keys, within: Vec::new() };
    put.key(key, bounds)
}

/// The filters a key names that are not known yet.
fn names(key: &Key, known: &Written) -> Vec<String> {
    let mut names = Vec::new();
    key.each(&mut |key| {
        if let Key::Filter(name) = key
            && !known.contains_key(name)
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    });
    names
}

struct PutIn<'w> {
    written: &'w Written,
    /// How many keys there may be besides those there are.
    left: usize,
    /// The filters that are being put in.
    within: Vec<String>,
}

impl PutIn<'_> {
    /// As deep as `bounds` let it nest.
    fn key(&mut self, key: Key, bounds: Bounds) -> Result<Key, Error> {
        let deeper = Bounds { depth: bounds.depth.saturating_sub(1), ..bounds };
        if !matches!(key, Key::And(_) | Key::Or(..) | Key::Not(_)) {
            self.left = self
                .left
                .checked_sub(1)
                .ok_or(Syntax::Over(Limit::ImapSearchKeysMax, "search keys"))?;
        }
        Ok(match key {
            Key::And(keys) => {
                let keys = keys.into_iter().map(|key| self.key(key, deeper));
                Key::And(keys.collect::<Result<_, _>>()?)
            }
            Key::Or(one, other) => {
                let one = Box::new(self.key(*one, deeper)?);
                Key::Or(one, Box::new(self.key(*other, deeper)?))
            }
            Key::Not(key) => Key::Not(Box::new(self.key(*key, deeper)?)),
            Key::Filter(name) => self.filter(name, deeper)?,
            key => key,
        })
    }

    fn filter(&mut self, name: String, bounds: Bounds) -> Result<Key, Error> {
        let value = self.written.get(&name).and_then(Option::as_deref);
        let key = match value.map(|value| read(value, bounds)) {
            Some(Ok(key)) if !self.within.contains(&name) => key,
            Some(Err(limit @ (Syntax::Limit(_) | Syntax::Over(..)))) => return Err(limit.into()),
            _ => {
                let text = "there is no such filter";
                return Err(Error::no(Code::UndefinedFilter(name), text));
            }
        };
        self.within.push(name);
        let key = self.key(key, bounds)?;
        self.within.pop();
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(text: &str) -> Key {
        read(text.as_bytes(), Bounds::default()).unwrap()
    }

    fn put(text: &str, filters: &[(&str, &str)]) -> Result<Key, Error> {
        let written =
            filters.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect();
        let bounds = Bounds::default();
        let mut put = PutIn { written: &written, left: bounds.search_keys, within: Vec::new() };
        put.key(read_back(text), bounds)
    }

    #[test]
    fn a_filter_stands_for_its_keys() {
        let road = ("on-the-road", "OR SMALLER 5000 FROM \"boss@example.com\"");
        let put_in = put("UID 300:900 FILTER On-The-Road SINCE \"3-Dec-2002\"", &[road]).unwrap();
        let written = "UID 300:900 OR SMALLER 5000 FROM \"boss@example.com\" SINCE \"3-Dec-2002\"";
        assert_eq!(put_in, read_back(written));
        let both = put("NOT FILTER a", &[("a", "SEEN FILTER b"), ("b", "FLAGGED")]).unwrap();
        assert_eq!(both, read_back("NOT (SEEN FLAGGED)"));
    }

    #[test]
    fn a_filter_within_itself_does_not_exist() {
        let undefined = |result: Result<Key, Error>| match result {
            Err(Error::No(Some(Code::UndefinedFilter(name)), _)) => name,
            other => panic!("{other:?}"),
        };
        assert_eq!(undefined(put("FILTER a", &[])), "a");
        assert_eq!(undefined(put("FILTER a", &[("a", "NOT FILTER a")])), "a");
        let circle = [("a", "FILTER b"), ("b", "OR SEEN FILTER c"), ("c", "FILTER a")];
        assert_eq!(undefined(put("FILTER b", &circle)), "b");
        assert!(put("FILTER a FILTER a", &[("a", "SEEN")]).is_ok(), "twice is no circle");
    }

    #[test]
    fn no_more_keys_come_of_filters_than_can_be_written_and_no_deeper_ones() {
        let names: Vec<String> = (0..12).map(|number| format!("f{number}")).collect();
        let twice = |name: &String| format!("FILTER {name} FILTER {name}");
        let values: Vec<String> = names.iter().skip(1).map(twice).chain(["SEEN".into()]).collect();
        let filters: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
        let limit = |result: Result<Key, Error>| match result {
            Err(Error::Bad(Syntax::Over(_, what))) => what,
            other => panic!("{other:?}"),
        };
        assert!(put("FILTER f4", &filters).is_ok());
        assert_eq!(limit(put("FILTER f0", &filters)), "search keys");
        let deep = format!("{}SEEN", "NOT ".repeat(30));
        assert!(put("FILTER a", &[("a", &deep)]).is_ok());
        let deeper = put("NOT NOT NOT FILTER a", &[("a", &deep)]);
        assert_eq!(limit(deeper), "levels of brackets");
    }

    #[test]
    fn only_filters_have_a_form() {
        let check = |name: &str, value: &[u8]| {
            check(&Entry::parse(name.as_bytes()).unwrap(), value, Bounds::default())
        };
        assert!(check("/private/filters/values/a", b"OR SMALLER 5000 FROM x").is_ok());
        assert!(check("/Shared/Filters/Values/A", b"SEEN (FLAGGED) FILTER b").is_ok());
        for value in [&b"OR SMALLER"[..], b"", b"SUBJECT \xfc", b"SEEN)"] {
            assert!(check("/private/filters/values/a", value).is_err());
            assert!(check("/private/filters/descriptions/a", value).is_ok());
            assert!(check("/private/comment", value).is_ok());
        }
        for name in ["a/b", "a b", "a(", "a]"] {
            assert!(check(&format!("/private/filters/values/{name}"), b"SEEN").is_err(), "{name}");
        }
    }
}
