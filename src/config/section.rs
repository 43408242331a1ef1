//! How a section of the configuration is declared: once, as a struct with documented fields.
//!
//! [`section!`] makes of it the struct, its defaults and the list of its keys, from which the
//! example, the environment and the error messages are served.

/// One key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// As it is written in the file.
    pub(super) name: &'static str,
    /// Its description, line by line.
    pub(super) doc: &'static [&'static str],
    /// What kind of value it takes.
    pub(super) kind: Kind,
    /// What the example shows in place of the default, as TOML.
    pub(super) sample: Option<&'static str>,
}

/// What a key takes; decides how the text of an environment variable or a flag is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Text, taken as it is even when it looks like a number.
    Text,
    /// A file or folder.
    Path,
    /// A number, perhaps with a unit.
    Number,
    /// A list of texts, or of numbers with units.
    List,
    /// A section of its own.
    Table(&'static [Key]),
    /// Sections with names that the owner chooses.
    Named(&'static [Key]),
}

/// A type that a key can have.
pub(super) trait Setting {
    /// How its text is read.
    const KIND: Kind;

    /// The value as TOML; None when there is nothing to write.
    fn toml(&self) -> Option<String>;
}

/// A struct made by [`section!`].
pub(super) trait Section {
    /// Its keys, in the order of the declaration.
    const KEYS: &'static [Key];

    /// The values of the same keys in the same order, as TOML.
    fn values(&self) -> Vec<Option<String>>;
}

/// Declares a section: `key: Type = default` or `key: Type = default => "sample as TOML"`.
macro_rules! section {
    (@sample) => { None };
    (@sample $sample:literal) => { Some($sample) };
    (
        $(#[doc = $head:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(=> $sample:literal)?, )+
        }
    ) => {
        $(#[doc = $head])+
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $name {
            const KEYS: &'static [$crate::config::section::Key] = &[
                $( $crate::config::section::Key {
                    name: stringify!($key),
                    doc: &[$($doc),+],
                    kind: <$type as $crate::config::section::Setting>::KIND,
                    sample: section!(@sample $($sample)?),
                }, )+
            ];

            fn values(&self) -> Vec<Option<String>> {
                vec![$( $crate::config::section::Setting::toml(&self.$key), )+]
            }
        }

        impl $crate::config::section::Setting for $name {
            const KIND: $crate::config::section::Kind = $crate::config::section::Kind::Table(
                <Self as $crate::config::section::Section>::KEYS,
            );

            fn toml(&self) -> Option<String> {
                None
            }
        }
    };
}
pub(super) use section;
