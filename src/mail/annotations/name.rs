//! Names of annotations and patterns for them (RFC 5257 §3.2): a path that may begin with the part of
//! the message that it is about.

use std::sync::Arc;

use crate::{mail::metadata::Scope, wire::work::looked_at};

/// Octets of a name or a pattern.
const LONGEST: usize = 255;

/// The well-formed name of an annotation, case and all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnotationName(Arc<str>);

/// A name, or a pattern for several: `*` is anything, `%` anything within one level, each at least one
/// character (RFC 5257 §4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnotationMatch {
    /// This one, whether or not it is there.
    One(AnnotationName),
    /// Those that are there and fit.
    Any(Arc<str>),
}

/// What is told of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Its value.
    Value,
    /// The octets of its value.
    Size,
}

/// What is told of an annotation, and which of its two values is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The value, or its size.
    pub kind: AttributeKind,
    /// One's own value, or everybody's.
    pub scope: Scope,
}

/// Why something is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoName {
    /// It is longer than any name.
    TooLong,
    /// It says something that no name can.
    Malformed(&'static str),
}

impl AnnotationName {
    /// The annotation of this name.
    pub fn parse(name: &[u8]) -> Result<Self, NoName> {
        let name = plain(name)?;
        if name.contains(['*', '%']) {
            return Err(NoName::Malformed("a name without * and %"));
        }
        let path = name.strip_prefix('/').ok_or(NoName::Malformed("a name that begins with /"))?;
        if path.split('/').any(str::is_empty) {
            return Err(NoName::Malformed("a name without an empty level"));
        }
        let first = path.split('/').next().unwrap_or_default();
        if first.starts_with(|c: char| c.is_ascii_digit()) && part_path(first).is_none() {
            return Err(NoName::Malformed("the number of a part"));
        }
        Ok(Self(name.into()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &Arc<str> {
        &self.0
    }

    /// The part that it is about; None for the whole message.
    pub fn part(&self) -> Option<Vec<u32>> {
        part_path(self.0.split('/').nth(1)?)
    }

    /// Can it have a value? Parts have none themselves, and flags of messages are none of the
    /// annotations (RFC 5257 §3.2.1).
    pub fn can_have_value(&self) -> bool {
        let mut levels = self.0.split('/').skip(1);
        match levels.next() {
            Some("flags") => false,
            Some(first) if part_path(first).is_some() => {
                levels.next().is_some_and(|second| second != "flags" || levels.next().is_some())
            }
            _ => true,
        }
    }

    /// Can this be its value? Flags of parts are set or not (RFC 5257 §3.2.1).
    pub fn takes(&self, value: &[u8]) -> bool {
        let is_flag = self.part().is_some() && self.0.split('/').nth(2) == Some("flags");
        !is_flag || matches!(value, b"0" | b"1")
    }
}

impl AnnotationMatch {
    /// The pattern, or the name if nothing in it is wild.
    pub fn parse(text: &[u8]) -> Result<Self, NoName> {
        let pattern = plain(text)?;
        if pattern.contains(['*', '%']) {
            Ok(Self::Any(pattern.into()))
        } else {
            AnnotationName::parse(text).map(Self::One)
        }
    }

    /// Does an annotation of this name fit?
    ///
    /// Walks the name once, with the set of all places in the pattern that it may have led to.
    pub fn fits(&self, name: &str) -> bool {
        let pattern = match self {
            Self::One(one) => return *one.0 == *name,
            Self::Any(pattern) => pattern.as_bytes(),
        };
        let is_wild_for = |wanted: u8, octet: u8| match wanted {
            b'*' => true,
            b'%' => octet != b'/',
            _ => false,
        };
        let mut places = vec![false; pattern.len().saturating_add(1)];
        if let Some(start) = places.first_mut() {
            *start = true;
        }
        for octet in name.bytes() {
            looked_at(pattern.len());
            let mut before = false;
            for (place, wanted) in
                places.iter_mut().zip(std::iter::once(None).chain(pattern.iter().map(Some)))
            {
                let was = *place;
                *place = wanted.is_some_and(|wanted| {
                    before && *wanted == octet && !matches!(wanted, b'*' | b'%')
                        || (before || was) && is_wild_for(*wanted, octet)
                });
                before = was;
            }
            if !places.contains(&true) {
                return false;
            }
        }
        places.last() == Some(&true)
    }
}

/// A text of plain characters that is not too long.
fn plain(text: &[u8]) -> Result<&str, NoName> {
    looked_at(text.len());
    if text.len() > LONGEST {
        return Err(NoName::TooLong);
    }
    let is_plain = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let text = str::from_utf8(text).ok().filter(|_| is_plain);
    text.ok_or(NoName::Malformed("a name of plain characters"))
}

/// `section-part = nz-number *("." nz-number)`
fn part_path(text: &str) -> Option<Vec<u32>> {
    let number = |text: &str| {
        let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    };
    text.split('.').map(number).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> AnnotationName {
        AnnotationName::parse(text.as_bytes()).unwrap()
    }

    fn fits(pattern: &str, name: &str) -> bool {
        AnnotationMatch::parse(pattern.as_bytes()).unwrap().fits(name)
    }

    #[test]
    fn names_are_paths_that_may_begin_with_a_part() {
        assert_eq!(name("/comment").part(), None);
        assert_eq!(name("/1/comment").part(), Some(vec![1]));
        assert_eq!(name("/1.2.3/flags/seen").part(), Some(vec![1, 2, 3]));
        for bad in [
            "",
            "/",
            "comment",
            "/comment/",
            "//comment",
            "/a//b",
            "/a*",
            "/%",
            "/\u{fc}",
            "/a\tb",
            "/0/comment",
            "/1./comment",
            "/1.0/comment",
            "/01/comment",
            "/1a/comment",
            "/4294967296/comment",
        ] {
            assert!(AnnotationName::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let long = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert!(AnnotationName::parse(long(LONGEST).as_bytes()).is_ok());
        assert_eq!(AnnotationName::parse(long(LONGEST + 1).as_bytes()), Err(NoName::TooLong));
        assert_ne!(name("/Comment"), name("/comment"));
    }

    #[test]
    fn parts_and_flags_are_told_from_what_has_values() {
        for (text, can) in [
            ("/comment", true),
            ("/altsubject", true),
            ("/vendor/foobar/label.priv", true),
            ("/flags", false),
            ("/flags/seen", false),
            ("/1", false),
            ("/1/comment", true),
            ("/1/flags", false),
            ("/1.2/flags/seen", true),
            ("/1/vendor/x", true),
        ] {
            assert_eq!(name(text).can_have_value(), can, "{text}");
        }
        let seen = name("/1/flags/seen");
        assert!(seen.takes(b"1") && seen.takes(b"0") && !seen.takes(b"yes") && !seen.takes(b""));
        assert!(name("/1/comment").takes(b"yes") && name("/comment").takes(b""));
    }

    #[test]
    fn percent_stays_in_its_level_and_star_does_not() {
        assert!(fits("/%", "/comment") && fits("/%", "/altsubject") && !fits("/%", "/1/comment"));
        assert!(fits("/*", "/comment") && fits("/*", "/1/comment") && fits("*", "/comment"));
        assert!(!fits("/comment*", "/comment") && fits("/comment*", "/comments"));
        assert!(fits("/comment", "/comment") && !fits("/comment", "/Comment"));
        assert!(fits("/vendor/%/x", "/vendor/a/x") && !fits("/vendor/%/x", "/vendor/a/b/x"));
    }

    /// What the matcher means, said as slowly and plainly as possible.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some(_), None) => false,
            (Some((wild @ (b'*' | b'%'), rest)), Some((octet, name))) => {
                (*wild == b'*' || *octet != b'/') && (slow(rest, name) || slow(pattern, name))
            }
            (Some((wanted, rest)), Some((octet, name))) => wanted == octet && slow(rest, name),
        }
    }

    proptest! {
        #[test]
        fn it_fits_what_the_plain_words_say(pattern in "[ab/%*]{0,6}", name in "[ab/]{0,7}") {
            prop_assume!(pattern.contains(['*', '%']));
            prop_assert_eq!(fits(&pattern, &name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
