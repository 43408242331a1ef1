//! Where values come from: the file, then `MAILADE_…` variables, then flags; each a layer of its
//! own, so that an error can name the place.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use figment::{
    Metadata, Profile, Provider,
    providers::{Format, Toml},
    value::{Dict, Map, Value},
};

use super::{
    error::{Error, unknown},
    section::{Key, Kind},
};

/// Where a configuration is taken from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; None for the defaults alone.
    pub file: Option<PathBuf>,
    /// Environment variables, of which those that begin with `MAILADE_` count.
    pub environment: Vec<(String, String)>,
    /// Keys with their sections (`listen.imap`), and values in the form of the environment.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Of this process: its environment, and what its command line said.
    pub fn of_this_process(file: Option<PathBuf>, flags: Vec<(String, String)>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self { file, environment: environment.collect(), flags }
    }
}

/// Values from one place.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    place: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

impl Layer {
    /// Adds the keys that are set here, with their sections and the name of this place.
    pub(super) fn paths(&self, paths: &mut BTreeMap<String, String>) {
        fn each(prefix: &str, values: &Dict, depth: usize, add: &mut impl FnMut(String)) {
            for (name, value) in values {
                let path =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                match value.as_dict() {
                    Some(inner) if depth > 0 => each(&path, inner, depth - 1, add),
                    _ => add(path),
                }
            }
        }
        let mut add = |path| drop(paths.insert(path, self.place.clone()));
        each("", &self.values, 4, &mut add);
    }
}

/// Refuses a list in the place of a section: it would be taken key by key.
pub(super) fn check_sections(keys: &'static [Key], layer: &Layer) -> Result<(), Error> {
    lists(keys, "", &layer.values).map_or(Ok(()), |key| {
        let (what, allowed) = ("a list will not do".to_owned(), "a section".to_owned());
        Err(Error::Key { place: layer.place.clone(), key, what, allowed })
    })
}

/// The first section that is a list.
fn lists(keys: &'static [Key], prefix: &str, values: &Dict) -> Option<String> {
    keys.iter().find_map(|key| {
        let (value, path) = (values.get(key.name)?, format!("{prefix}{}", key.name));
        let below = format!("{path}.");
        match (key.kind, value) {
            (Kind::Table(_) | Kind::Named(_), Value::Array(..)) => Some(path),
            (Kind::Table(inner), Value::Dict(_, values)) => lists(inner, &below, values),
            (Kind::Named(_), Value::Dict(_, named)) => {
                let list = named.iter().find(|(_, value)| matches!(value, Value::Array(..)));
                list.map(|(name, _)| format!("{below}{name}"))
            }
            _ => None,
        }
    })
}

/// The layer of a file.
pub(super) fn file(path: &Path) -> Result<Layer, Error> {
    let unreadable = |cause| Error::Unreadable { file: path.to_owned(), cause };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let values = Toml::from_str(&text).map_err(|fault| {
        let said = fault.to_string();
        let mut lines = said.lines().filter(|line| !line.contains('|')).map(str::trim);
        let place = lines.next().unwrap_or_default();
        let what = lines.collect::<Vec<_>>().join(" ");
        Error::Syntax { file: path.to_owned(), what: format!("{place}: {what}") }
    })?;
    Ok(Layer { place: path.display().to_string(), values })
}

/// The layer of an environment variable; None when it is no setting of ours.
pub(super) fn variable(
    keys: &'static [Key],
    name: &str,
    value: &str,
) -> Option<Result<Layer, Error>> {
    let path = name.strip_prefix("MAILADE_")?.to_ascii_lowercase();
    let path: Vec<_> = path.split("__").map(str::to_owned).collect();
    let ours = keys.iter().any(|key| path.first().is_some_and(|first| first == key.name));
    ours.then(|| text(keys, format!("the environment variable {name}"), &path, value))
}

/// The layer of a flag. A path on the command line starts where the shell is.
pub(super) fn flag(keys: &'static [Key], key: &str, value: &str) -> Result<Layer, Error> {
    let path = split(key);
    let here = matches!(kind_of(keys, &path), Some(Kind::Path)).then(|| std::path::absolute(value));
    let value = match here {
        Some(Ok(path)) => path.display().to_string(),
        _ => value.to_owned(),
    };
    text(keys, "the command line".to_owned(), &path, &value)
}

/// `burl.host."imap.example.org".tls` in its parts.
fn split(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in key.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
    }
    parts
}

/// What the key of this path takes.
fn kind_of(keys: &'static [Key], path: &[String]) -> Option<Kind> {
    let (first, rest) = path.split_first()?;
    let kind = keys.iter().find(|key| key.name == first)?.kind;
    match (kind, rest) {
        (kind, []) => Some(kind),
        (Kind::Table(keys), rest) | (Kind::Named(keys), [_, rest @ ..]) => kind_of(keys, rest),
        _ => None,
    }
}

/// A value given as text, read by what its key takes.
fn text(keys: &'static [Key], place: String, path: &[String], value: &str) -> Result<Layer, Error> {
    let Some((name, section)) = path.split_last() else {
        return Err(unknown(keys, &place, &[], ""));
    };
    let value = match kind_of(keys, path) {
        Some(Kind::Text | Kind::Path) => Value::from(value),
        Some(Kind::Number) => match value.trim().parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(value),
        },
        Some(Kind::List) => Value::from(items(value)),
        Some(Kind::Table(keys) | Kind::Named(keys)) => {
            let names: Vec<_> = keys.iter().map(|key| key.name).collect();
            return Err(Error::Key {
                place,
                key: path.join("."),
                what: "this is a section, not a key".to_owned(),
                allowed: names.join(", "),
            });
        }
        None => return Err(unknown(keys, &place, section, name)),
    };
    let whole = section.iter().rev().fold((name.clone(), value), |(name, value), above| {
        (above.clone(), Value::from(Dict::from([(name, value)])))
    });
    Ok(Layer { place, values: Dict::from([whole]) })
}

/// The items of a list: `["a", "b"]` or `a, b`. An IPv6 address begins with a bracket, but does not
/// end with one.
fn items(value: &str) -> Vec<String> {
    let value = value.trim();
    let bare = value.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(value);
    let items = bare.split(',').map(|item| item.trim().trim_matches(['"', '\'']));
    items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_in_either_form() {
        assert_eq!(items("[::]:143"), ["[::]:143"]);
        assert_eq!(items("[::]:143, 127.0.0.1:144"), ["[::]:143", "127.0.0.1:144"]);
        assert_eq!(items(r#"["[::]:143", "127.0.0.1:144"]"#), ["[::]:143", "127.0.0.1:144"]);
        assert!(items("[]").is_empty() && items("").is_empty());
    }

    #[test]
    fn a_quoted_part_keeps_its_dots() {
        assert_eq!(split(r#"burl.host."imap.example.org".tls"#).len(), 4);
    }
}
