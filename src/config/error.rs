//! Why a configuration cannot be used: one line that names the key, where it stands, and what is
//! allowed there.

use std::path::PathBuf;

use figment::error::{Actual, Kind as Fault};

use super::section::{Key, Kind};

/// One fault of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be had.
    #[error("{}: cannot be read: {cause}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{}: {what}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where, and what the parser expected.
        what: String,
    },
    /// A key that does not exist, or a value that will not do.
    #[error("{place}: {key}: {what}; allowed: {allowed}")]
    Key {
        /// The file, variable or flag that says so.
        place: String,
        /// The key with its sections.
        key: String,
        /// What is wrong.
        what: String,
        /// What would be right.
        allowed: String,
    },
    /// A value that is right by itself, but names something that cannot be used.
    #[error("{place}: {key}: {what}; {remedy}")]
    Unusable {
        /// The file, variable or flag that says so.
        place: String,
        /// The key with its sections.
        key: String,
        /// The file, folder or address, and what is wrong with it.
        what: String,
        /// What to do.
        remedy: String,
    },
}

/// Says a fault that figment or serde found.
pub(super) fn explain(keys: &'static [Key], fault: figment::Error) -> Error {
    let fault = fault.into_iter().last().unwrap_or_else(|| figment::Error::from("unknown fault"));
    let place = fault.metadata.as_ref().map_or("the configuration", |from| from.name.as_ref());
    let (what, allowed) = match &fault.kind {
        Fault::UnknownField(name, _) => {
            let section = fault.path.iter().take(fault.path.len().saturating_sub(1));
            return unknown(keys, place, &section.cloned().collect::<Vec<_>>(), name);
        }
        Fault::InvalidType(actual, expected) | Fault::InvalidValue(actual, expected) => {
            (format!("{} will not do", named(actual)), plainly(expected))
        }
        Fault::UnknownVariant(word, words) => {
            let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
            (format!("{word:?} will not do"), words.join(", "))
        }
        other => (other.to_string(), "see `mailade config example`".to_owned()),
    };
    Error::Key { place: place.to_owned(), key: fault.path.join("."), what, allowed }
}

/// Says that a section has no such key, and which it has.
pub(super) fn unknown(keys: &'static [Key], place: &str, section: &[String], name: &str) -> Error {
    let known = section.iter().try_fold(keys, |keys, name| inside(keys, name)).unwrap_or_default();
    let names: Vec<_> = known.iter().map(|key| key.name).collect();
    let allowed = if names.len() <= 16 {
        names.join(", ")
    } else {
        let nearest = names.iter().min_by_key(|known| distance(known, name)).unwrap_or(&"none");
        format!("{nearest} and {} more, see `mailade config example`", names.len() - 1)
    };
    let key = section.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
    Error::Key { place: place.to_owned(), key, what: "there is no such key".to_owned(), allowed }
}

/// The keys of a section's section.
fn inside(keys: &'static [Key], name: &str) -> Option<&'static [Key]> {
    match keys.iter().find(|key| key.name == name) {
        Some(Key { kind: Kind::Table(keys) | Kind::Named(keys), .. }) => Some(keys),
        // A name that the owner chose stands for the section itself.
        Some(_) => None,
        None => Some(keys),
    }
}

/// What was found, as its writer sees it.
fn named(actual: &Actual) -> String {
    match actual {
        Actual::Str(text) => format!("{text:?}"),
        Actual::Bool(truth) => truth.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        other => other.to_string(),
    }
}

/// What serde expects, in an owner's words.
fn plainly(expected: &str) -> String {
    match expected {
        "usize" | "u64" | "u32" | "u16" => "a whole number, 0 or more".to_owned(),
        "a string" | "string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list in brackets".to_owned(),
        "a map" => "a section".to_owned(),
        other if other.starts_with("struct ") => "a section".to_owned(),
        other if other.starts_with("enum ") => "a word in quotes".to_owned(),
        other => other.to_owned(),
    }
}

/// How many letters two names differ in, counted in order (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.bytes().enumerate() {
        let mut left = at + 1;
        let mut corner = at;
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = corner + usize::from(a != b);
            corner = *cell;
            left = changed.min(left + 1).min(corner + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changed_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
