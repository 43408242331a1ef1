//! The example configuration: every key with its description and its default, commented out, so
//! that a file made from it changes only what its owner uncomments.

use super::{
    Config,
    section::{Key, Kind, Section},
};

/// Columns of a comment's text.
const WIDTH: usize = 96;

/// The whole example.
pub fn example() -> String {
    let config = Config::default();
    let mut out = String::new();
    comment(
        &mut out,
        "The configuration of Mailade. Every key is shown with its default, commented out. An \
         environment variable overrides a key: MAILADE_LIMITS__LOGIN_TIME=\"30 s\" is login_time in \
         [limits]. Relative paths start at this file's folder. Sizes are written \"50 MiB\", durations \
         \"30 min\"; a plain number means octets or seconds.",
    );
    out.push('\n');
    let sections = Config::KEYS.iter().zip(config.values());
    for (key, value) in sections {
        match key.kind {
            Kind::Table(keys) => {
                heading(&mut out, key, key.name);
                let values = config.section(key.name);
                for (key, value) in keys.iter().zip(values) {
                    entry(&mut out, key, value.as_deref());
                }
            }
            _ => entry(&mut out, key, value.as_deref()),
        }
        out.push('\n');
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// The line that opens a section, with what it is about.
fn heading(out: &mut String, key: &Key, name: &str) {
    comment(out, &prose(key));
    out.extend(["[", name, "]\n"]);
}

/// A key with its description; sections with chosen names are shown by one sample, commented out.
fn entry(out: &mut String, key: &Key, value: Option<&str>) {
    if let Kind::Named(keys) = key.kind {
        comment(out, &prose(key));
        out.extend(["#[burl.", key.name, ".", key.sample.unwrap_or("name"), "]\n"]);
        for key in keys {
            entry(out, key, None);
        }
        return;
    }
    comment(out, &prose(key));
    let value = key.sample.or(value).unwrap_or("\"\"");
    out.extend(["#", key.name, " = ", value, "\n"]);
}

/// A key's description in one line, without the marks of Rust's documentation.
fn prose(key: &Key) -> String {
    let lines: Vec<_> = key.doc.iter().map(|line| line.trim()).collect();
    lines.join(" ").replace('`', "")
}

/// Text as comment lines of bounded width.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() >= WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources, load};

    fn parse(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mailade.toml");
        std::fs::write(&file, text).unwrap();
        load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
    }

    /// The example with each value in force: only descriptions stay comments.
    fn uncommented(text: &str) -> String {
        let strip = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                rest.to_owned()
            }
            _ => line.to_owned(),
        };
        text.lines().map(strip).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_example_parses_to_the_defaults() {
        let loaded = parse(&example());
        assert_eq!(loaded.config, Config::default());
        assert!(loaded.explicit.keys().all(|path| !path.contains('.')), "{:?}", loaded.explicit);
    }

    #[test]
    fn uncommented_it_changes_only_keys_whose_default_is_to_be_absent() {
        let loaded = parse(&uncommented(&example()));
        assert_eq!(loaded.config.limits, Config::default().limits);
        assert_eq!(loaded.config.listen, Config::default().listen);
        assert_eq!(loaded.config.log, Config::default().log);
    }

    #[test]
    fn it_lists_every_key() {
        fn each(section: &str, keys: &[Key], text: &str) {
            for key in keys {
                match key.kind {
                    Kind::Table(keys) => {
                        let head = format!("\n[{}]\n", key.name);
                        let from = text.find(&head).expect(key.name) + head.len();
                        let rest = text.get(from..).unwrap();
                        each(
                            key.name,
                            keys,
                            rest.get(..rest.find("\n[").unwrap_or(rest.len())).unwrap(),
                        );
                    }
                    Kind::Named(keys) => each(key.name, keys, text),
                    _ => assert!(
                        text.contains(&format!("\n#{} = ", key.name)),
                        "{section}.{}",
                        key.name
                    ),
                }
            }
        }
        each("", Config::KEYS, &example());
    }
}
