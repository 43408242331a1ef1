//! Names of entries (RFC 5464 §3.2): a path that begins with its scope, in any case.

use std::sync::Arc;

use crate::{ids::AccountId, wire::work::looked_at};

/// Octets of a name.
const LONGEST: usize = 1_000;

/// Who sees an entry's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Its owner alone.
    Private,
    /// All users.
    Shared,
}

/// The well-formed name of an entry, or of a level above entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was spelled.
    spelled: Arc<str>,
    /// In small letters.
    folded: Arc<str>,
    scope: Scope,
}

/// Why something is no name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEntry {
    /// It is longer than any name.
    TooLong,
    /// It says something that no name can.
    Malformed(&'static str),
}

impl Entry {
    /// The entry of this name.
    ///
    /// # Errors
    /// [`NoEntry`] when it can't be a name, or one of too few levels to have entries below it.
    pub fn parse(name: &[u8]) -> Result<Self, NoEntry> {
        looked_at(name.len());
        if name.len() > LONGEST {
            return Err(NoEntry::TooLong);
        }
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'*' | b'%');
        let name = str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| plain(&b)));
        let name = name.ok_or(NoEntry::Malformed("an entry of plain characters"))?;
        let path =
            name.strip_prefix('/').ok_or(NoEntry::Malformed("an entry that begins with /"))?;
        if path.split('/').any(str::is_empty) {
            return Err(NoEntry::Malformed("an entry without an empty level"));
        }
        let folded = name.to_ascii_lowercase();
        let scope = match folded.split('/').nth(1) {
            Some("private") => Scope::Private,
            Some("shared") => Scope::Shared,
            _ => return Err(NoEntry::Malformed("an entry below /private or /shared")),
        };
        Ok(Self { spelled: name.into(), folded: folded.into(), scope })
    }

    /// Can it have a value? Scopes can't, nor vendors and what is above them (RFC 5464 §3.2).
    pub fn can_have_value(&self) -> bool {
        let mut levels = self.folded.split('/').skip(2);
        match levels.next() {
            None => false,
            Some("vendor") => levels.count() >= 2,
            Some(_) => true,
        }
    }

    /// As it was spelled.
    pub fn spelled(&self) -> &str {
        &self.spelled
    }

    /// In small letters, as it is kept.
    pub fn folded(&self) -> &Arc<str> {
        &self.folded
    }

    /// Who sees its value.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whose its value is, when this account asks for it; None when it is shared.
    pub fn owner(&self, account: AccountId) -> Option<AccountId> {
        (self.scope == Scope::Private).then_some(account)
    }

    /// Is the entry of this name, in small letters, one below it?
    pub fn is_above(&self, folded: &str, depth: Depth) -> bool {
        let below = folded.strip_prefix(&*self.folded).and_then(|rest| rest.strip_prefix('/'));
        match depth {
            Depth::Zero => false,
            Depth::One => below.is_some_and(|rest| !rest.contains('/')),
            Depth::Infinity => below.is_some(),
        }
    }
}

/// How far below a named entry others are meant too (RFC 5464 §4.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// None is.
    #[default]
    Zero,
    /// Those right below.
    One,
    /// All.
    Infinity,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_paths_below_a_scope_in_any_case() {
        assert_eq!(entry("/Shared/Comment"), entry("/Shared/Comment"));
        assert_eq!(entry("/Shared/Comment").folded(), entry("/shared/comment").folded());
        assert_eq!(entry("/PRIVATE/x").scope(), Scope::Private);
        for bad in [
            "",
            "/",
            "shared/comment",
            "/shared/",
            "/shared//comment",
            "//shared/comment",
            "/public/comment",
            "/comment",
            "/shared/a*",
            "/shared/%",
            "/shared/\u{fc}",
            "/shared/a\tb",
            "/sharedcomment",
        ] {
            assert!(Entry::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Entry::parse(b"/shared/\xff").is_err());
    }

    #[test]
    fn a_name_is_so_long_and_not_longer() {
        let name = |length: usize| format!("/shared/{}", "x".repeat(length - 8));
        assert!(Entry::parse(name(LONGEST).as_bytes()).is_ok());
        assert_eq!(Entry::parse(name(LONGEST + 1).as_bytes()), Err(NoEntry::TooLong));
    }

    #[test]
    fn vendors_have_values_from_the_fourth_level_on() {
        for (name, can) in [
            ("/shared", false),
            ("/private/comment", true),
            ("/private/a/b/c", true),
            ("/shared/vendor", false),
            ("/shared/vendor/cmu", false),
            ("/shared/Vendor/cmu/color", true),
            ("/shared/vendors", true),
        ] {
            assert_eq!(entry(name).can_have_value(), can, "{name}");
        }
    }

    #[test]
    fn depth_counts_levels() {
        let a = entry("/shared/a");
        let names = ["/shared/a/b", "/shared/a/b/c", "/shared/ab", "/shared/a", "/private/a/b"];
        let below = |depth| names.map(|name| a.is_above(name, depth));
        assert_eq!(below(Depth::Zero), [false; 5]);
        assert_eq!(below(Depth::One), [true, false, false, false, false]);
        assert_eq!(below(Depth::Infinity), [true, true, false, false, false]);
    }
}
