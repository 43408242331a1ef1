//! Named filters (RFC 5466): keys kept as metadata of the server, put in wherever a key names them, as
//! they are written: of several keys NOT takes the first alone, and OR the first two (§3.1).
//!
//! A filter may name others. However they do, no more keys come of it, and no deeper ones, than a
//! client could write by itself, and a filter within itself is one that does not exist.

use std::collections::{HashMap, VecDeque};

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

fn read(value: &[u8], bounds: Bounds) -> Result<Vec<Key>, Syntax> {
    key::sequence(&mut Cursor::new(value).with_bounds(bounds))
}

/// The same keys with all filters put in, as they are now.
pub async fn put_in(key: Key, mail: &Mail, actor: &Actor, bounds: Bounds) -> Result<Key, Error> {
    let mut written = Written::new();
    let mut unknown = names(std::slice::from_ref(&key), &written);
    for _ in 0..MOST_PASSES {
        if unknown.is_empty() {
            break;
        }
        let mut next = Vec::new();
        for (name, value) in mail.filters(actor, unknown).await? {
            // What can't be read was kept by nobody; it names no others.
            let keys = value.as_deref().and_then(|value| read(value, bounds).ok());
            written.insert(name, value);
            next.extend(names(&keys.unwrap_or_default(), &written));
        }
        next.retain(|name| !written.contains_key(name));
        next.sort_unstable();
        next.dedup();
        unknown = next;
    }
    let mut put = PutIn { written: &written, left: bounds.search_keys, within: Vec::new() };
    put.all(vec![key], bounds)
}

/// The filters that keys name and that are not known yet.
fn names(keys: &[Key], known: &Written) -> Vec<String> {
    let mut names = Vec::new();
    for key in keys {
        key.each(&mut |key| {
            if let Key::Filter(name) = key
                && !known.contains_key(name)
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        });
    }
    names
}

struct PutIn<'w> {
    written: &'w Written,
    /// How many keys there may be besides those there are.
    left: usize,
    /// The filters that are being put in.
    within: Vec<String>,
}

/// What is still to be put where it belongs.
#[allow(clippy::large_enum_variant, reason = "most steps are keys")]
enum Step {
    Key(Key),
    /// The filter that was entered last ends here.
    End,
}

type Steps = VecDeque<Step>;

impl PutIn<'_> {
    /// Keys that stand one behind the other, all of which must hold.
    fn all(&mut self, keys: Vec<Key>, bounds: Bounds) -> Result<Key, Error> {
        let mut steps: Steps = keys.into_iter().map(Step::Key).collect();
        let mut keys = Vec::new();
        while let Some(key) = self.next(&mut steps, bounds)? {
            keys.push(key);
        }
        Ok(key::all_of(keys))
    }

    /// The next key, as deep as `bounds` let it nest. What of a filter it does not take stays behind it.
    fn next(&mut self, steps: &mut Steps, bounds: Bounds) -> Result<Option<Key>, Error> {
        let deeper = Bounds { depth: bounds.depth.saturating_sub(1), ..bounds };
        let key = loop {
            match steps.pop_front() {
                None => return Ok(None),
                Some(Step::End) => drop(self.within.pop()),
                Some(Step::Key(key)) => break key,
            }
        };
        Ok(Some(match key {
            Key::And(keys) => self.all(keys, deeper)?,
            Key::Or(one, other) => {
                steps.push_front(Step::Key(*other));
                steps.push_front(Step::Key(*one));
                let one = Box::new(self.operand(steps, deeper)?);
                Key::Or(one, Box::new(self.operand(steps, deeper)?))
            }
            Key::Not(key) => {
                steps.push_front(Step::Key(*key));
                Key::Not(Box::new(self.operand(steps, deeper)?))
            }
            Key::Filter(name) => {
                self.count()?;
                let keys = self.filter(&name, deeper)?;
                steps.push_front(Step::End);
                keys.into_iter().rev().for_each(|key| steps.push_front(Step::Key(key)));
                self.within.push(name);
                return self.next(steps, deeper);
            }
            key => {
                self.count()?;
                key
            }
        }))
    }

    /// The key that an operator is written before; every filter has at least one.
    fn operand(&mut self, steps: &mut Steps, bounds: Bounds) -> Result<Key, Error> {
        let key = self.next(steps, bounds)?;
        Ok(key.ok_or(Syntax::Expected("a search key"))?)
    }

    fn count(&mut self) -> Result<(), Syntax> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(Syntax::Over(Limit::ImapSearchKeysMax, "search keys"))?;
        Ok(())
    }

    fn filter(&self, name: &String, bounds: Bounds) -> Result<Vec<Key>, Error> {
        let value = self.written.get(name).and_then(Option::as_deref);
        match value.map(|value| read(value, bounds)) {
            Some(Ok(keys)) if !self.within.contains(name) => Ok(keys),
            Some(Err(limit @ (Syntax::Limit(_) | Syntax::Over(..)))) => Err(limit.into()),
            _ => {
                let text = "there is no such filter";
                Err(Error::no(Code::UndefinedFilter(name.clone()), text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::select};

    use super::*;

    fn read_back(text: &str) -> Key {
        key::all_of(read(text.as_bytes(), Bounds::default()).unwrap())
    }

    fn put(text: &str, filters: &[(&str, &str)]) -> Result<Key, Error> {
        let written =
            filters.iter().map(|(name, value)| ((*name).into(), Some((*value).into()))).collect();
        let bounds = Bounds::default();
        let mut put = PutIn { written: &written, left: bounds.search_keys, within: Vec::new() };
        put.all(vec![read_back(text)], bounds)
    }

    #[test]
    fn a_filter_stands_for_its_keys() {
        let road = ("on-the-road", "OR SMALLER 5000 FROM \"boss@example.com\"");
        let put_in = put("UID 300:900 FILTER On-The-Road SINCE \"3-Dec-2002\"", &[road]).unwrap();
        let written = "UID 300:900 OR SMALLER 5000 FROM \"boss@example.com\" SINCE \"3-Dec-2002\"";
        assert_eq!(put_in, read_back(written));
    }

    #[test]
    fn a_filter_stands_there_word_by_word() {
        let filters = [
            ("a", "SEEN FILTER b"),
            ("b", "FLAGGED"),
            ("c", "(SEEN FLAGGED)"),
            ("d", "NOT FILTER a DRAFT"),
        ];
        for (with, without) in [
            ("NOT FILTER a", "NOT SEEN FLAGGED"),
            ("NOT (FILTER a)", "NOT (SEEN FLAGGED)"),
            ("NOT ((FILTER a))", "NOT ((SEEN FLAGGED))"),
            ("NOT FILTER c", "NOT (SEEN FLAGGED)"),
            ("OR FILTER a DELETED", "OR SEEN FLAGGED DELETED"),
            ("OR DELETED FILTER a", "OR DELETED SEEN FLAGGED"),
            ("OR (FILTER a) DELETED", "OR (SEEN FLAGGED) DELETED"),
            ("ANSWERED (NOT FILTER d)", "ANSWERED (NOT NOT SEEN FLAGGED DRAFT)"),
            ("OR NOT FILTER a FILTER d 1", "OR NOT SEEN FLAGGED NOT SEEN FLAGGED DRAFT 1"),
        ] {
            assert_eq!(put(with, &filters).unwrap(), read_back(without), "{with}");
        }
    }

    /// Keys as they are written, with filters among them.
    fn written(depth: u32) -> BoxedStrategy<String> {
        let leaf = select(vec!["SEEN", "FLAGGED", "UNSEEN", "NEW", "1:3", "FILTER a", "FILTER b"]);
        let leaf = leaf.prop_map(str::to_owned);
        leaf.prop_recursive(depth, 12, 3, |key| {
            prop_oneof![
                key.clone().prop_map(|key| format!("NOT {key}")),
                (key.clone(), key.clone()).prop_map(|(one, other)| format!("OR {one} {other}")),
                proptest::collection::vec(key, 1..4).prop_map(|all| format!("({})", all.join(" "))),
            ]
        })
        .boxed()
    }

    fn several() -> impl Strategy<Value = String> {
        proptest::collection::vec(written(3), 1..4).prop_map(|keys| keys.join(" "))
    }

    proptest! {
        #[test]
        fn filters_mean_what_their_text_means_in_their_place(
            query in several(),
            a in several(),
            b in several(),
        ) {
            let b = b.replace("FILTER a", "DRAFT").replace("FILTER b", "DELETED");
            let a = a.replace("FILTER a", "ANSWERED");
            let text = query.replace("FILTER a", &a).replace("FILTER b", &b);
            let read = key::sequence(&mut Cursor::new(text.as_bytes())).map(key::all_of);
            match put(&query, &[("a", &a), ("b", &b)]) {
                Ok(key) => prop_assert_eq!(Ok(key), read, "{}", text),
                // Filters count too, and nest.
                Err(error) => prop_assert!(matches!(error, Error::Bad(Syntax::Over(..)))),
            }
        }
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
