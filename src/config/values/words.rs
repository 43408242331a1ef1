//! Choices between words, and the word that nobody may read.

use std::fmt;

use super::quoted;
use crate::config::section::{Kind, Setting};

/// A password: never shown, not even in debug output.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Text;

    fn toml(&self) -> Option<String> {
        None
    }
}

/// A choice between words.
macro_rules! choice {
    ($(#[$head:meta])+ $name:ident { $( $(#[$doc:meta])+ $variant:ident = $word:literal, )+ }) => {
        $(#[$head])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
        pub enum $name {
            $( $(#[$doc])+ #[serde(rename = $word)] $variant, )+
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Text;

            fn toml(&self) -> Option<String> {
                Some(quoted(match self { $( Self::$variant => $word, )+ }))
            }
        }
    };
}

choice! {
    /// How a connection that we make is secured.
    Security {
        /// By STARTTLS where it is offered, else plain.
        Opportunistic = "opportunistic",
        /// By STARTTLS, with a certificate that proves the name, or not at all.
        StartTls = "starttls",
        /// TLS from the first octet on, with a certificate that proves the name.
        Tls = "tls",
        /// Never.
        Plain = "none",
    }
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// The least important lines that are still logged.
    LogLevel {
        /// Only what went wrong in our own house.
        Error = "error",
        /// And what the owner should know of.
        Warn = "warn",
        /// And each login, delivery and submission.
        Info = "info",
        /// And each command's fate.
        Debug = "debug",
        /// And everything.
        Trace = "trace",
    }
}

choice! {
    /// Whose From address the proxy lets through.
    ProxyFrom {
        /// Only the login name itself.
        Login = "login",
        /// Any address in the login's domain.
        Domain = "domain",
        /// Any.
        Any = "any",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(..)");
    }
}
