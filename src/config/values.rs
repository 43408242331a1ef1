//! What a key can hold: sizes and durations, addresses, words.
//!
//! Each type says in its error what is allowed, in words an owner understands.

mod address;
mod measure;
mod words;

use std::{collections::BTreeMap, fmt, path::PathBuf};

pub use self::{
    address::{Address, HostName, HostPort, LmtpTarget, NameServer, Network, WebAddress, loopback},
    measure::{Size, Span},
    words::{LogFormat, LogLevel, ProxyFrom, Secret, Security},
};
use super::section::{Kind, Section, Setting};

impl Setting for usize {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;

    fn toml(&self) -> Option<String> {
        Some(quoted(self.display()))
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn toml(&self) -> Option<String> {
        self.as_ref().and_then(Setting::toml)
    }
}

impl<T: Setting> Setting for Vec<T> {
    const KIND: Kind = Kind::List;

    fn toml(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(Setting::toml).collect::<Vec<_>>().join(", ")))
    }
}

impl<T: Section> Setting for BTreeMap<String, T> {
    const KIND: Kind = Kind::Named(T::KEYS);

    fn toml(&self) -> Option<String> {
        None
    }
}

/// A TOML basic string.
fn quoted(text: impl fmt::Display) -> String {
    let mut out = String::from("\"");
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
