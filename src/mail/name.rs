//! Mailbox names: UTF-8, `/` between levels, INBOX in any case, unique without regard to case.

use std::fmt;

use super::{
    casemap::{casemap, nfc},
    error::{Error, Result},
};

/// The separator of levels.
pub const SEPARATOR: char = '/';

use crate::metrics::Limit;

/// Where names of other users' mailboxes begin (RFC 2342).
pub const OTHER_USERS: &str = "Other Users/";
/// Where names of mailboxes begin that belong to nobody alone.
pub const SHARED: &str = "Shared/";

/// How long and deep a name may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameLimits {
    /// Octets of UTF-8.
    pub octets: usize,
    /// Levels.
    pub depth: usize,
}

/// Where a name leads, seen by one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A mailbox of the user's own.
    Own(String),
    /// A mailbox of another user.
    Other {
        /// The level that stands for the user; see [`user_level`].
        user: String,
        /// The name that it has for its owner.
        name: String,
    },
    /// A mailbox that belongs to nobody alone, by its name below [`SHARED`].
    Shared(String),
    /// A level of the namespaces themselves, or below one in another spelling: no mailbox is there.
    Nowhere(String),
}

impl Place {
    /// Where this name leads.
    pub fn of(name: &str) -> Self {
        let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
        if let Some(shared) = name.strip_prefix(SHARED) {
            return Self::Shared(canonical(shared));
        }
        if let Some((user, of_them)) =
            name.strip_prefix(OTHER_USERS).and_then(|rest| rest.split_once(SEPARATOR))
        {
            return Self::Other { user: user.to_owned(), name: canonical(of_them) };
        }
        if is_foreign(name) { Self::Nowhere(nfc(name)) } else { Self::Own(canonical(name)) }
    }

    /// What stands before the name that it has for its owner.
    pub fn prefix(&self) -> String {
        match self {
            Self::Own(_) | Self::Nowhere(_) => String::new(),
            Self::Other { user, .. } => format!("{OTHER_USERS}{user}{SEPARATOR}"),
            Self::Shared(_) => SHARED.to_owned(),
        }
    }

    /// The name within the tree of whoever owns the mailbox.
    pub fn name(&self) -> &str {
        match self {
            Self::Own(name)
            | Self::Other { name, .. }
            | Self::Shared(name)
            | Self::Nowhere(name) => name,
        }
    }
}

/// The whole name, as the user sees it.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix(), self.name())
    }
}

/// Where names of the mailboxes of this user begin for others.
pub fn of_user(address: &str) -> String {
    format!("{OTHER_USERS}{}{SEPARATOR}", user_level(address))
}

/// What stands before a name in its owner's tree, without the separator; empty for one's own.
pub fn root(name: &str) -> &str {
    let levels = match Place::of(name) {
        Place::Own(_) | Place::Nowhere(_) => 0,
        Place::Shared(_) => 1,
        Place::Other { .. } => 2,
    };
    let ends = name.match_indices(SEPARATOR).map(|(at, _)| at);
    let end = if levels == 0 { Some(0) } else { ends.take(levels).last() };
    end.and_then(|end| name.get(..end)).unwrap_or_default()
}

/// The level below [`OTHER_USERS`] that stands for the user of this address. What would be a
/// separator or a wildcard there is written `=2F`, as octets in hexadecimal.
pub fn user_level(address: &str) -> String {
    let mut level = String::with_capacity(address.len());
    for c in address.chars() {
        match c {
            '/' => level.push_str("=2F"),
            '*' => level.push_str("=2A"),
            '%' => level.push_str("=25"),
            '=' => level.push_str("=3D"),
            _ => level.push(c),
        }
    }
    level
}

/// The address of the user that a level stands for; None when it stands for nobody.
pub fn user_address(level: &str) -> Option<String> {
    let decoded =
        level.replace("=2F", "/").replace("=2A", "*").replace("=25", "%").replace("=3D", "=");
    (user_level(&decoded) == level).then_some(decoded)
}

/// The name in the form in which it is kept and told, also of mailboxes that are not the user's own:
/// INBOX in capitals, also as first level, one final separator cut.
pub fn full(name: &str) -> String {
    Place::of(name).to_string()
}

/// The name as the store keeps it within the tree of its owner; see [`full`].
pub fn canonical(name: &str) -> String {
    let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
    let (first, rest) = name.split_once(SEPARATOR).map_or((name, None), |(f, r)| (f, Some(r)));
    if !first.eq_ignore_ascii_case("INBOX") {
        return nfc(name);
    }
    rest.map_or_else(|| "INBOX".to_owned(), |rest| format!("INBOX/{}", nfc(rest)))
}

/// The name folded for comparison.
pub fn key(name: &str) -> String {
    casemap(&canonical(name))
}

/// Is this a name that a new mailbox may have (RFC 9051 §5.1, RFC 5198)?
pub fn check(name: &str, limits: NameLimits) -> Result<()> {
    if name.is_empty() || name.split(SEPARATOR).any(str::is_empty) {
        return Err(Error::BadName("a level of the name is empty"));
    }
    if name.len() > limits.octets {
        return Err(Error::Over(Limit::MailboxNameMax, "the mailbox name is too long"));
    }
    if name.split(SEPARATOR).count() > limits.depth {
        return Err(Error::Over(Limit::MailboxDepthMax, "the mailbox name has too many levels"));
    }
    let forbidden = |c: char| c.is_control() || matches!(c, '*' | '%' | '\u{2028}' | '\u{2029}');
    if name.contains(forbidden) {
        return Err(Error::BadName("the name holds a control character, * or %"));
    }
    if name.starts_with('#') {
        return Err(Error::BadName("a name may not start with #"));
    }
    Ok(())
}

/// Is this a name outside the user's own namespace?
pub fn is_foreign(name: &str) -> bool {
    let key = key(name);
    [OTHER_USERS, SHARED].iter().any(|prefix| key.starts_with(&casemap(prefix)))
}

/// Is this the level that a namespace begins with?
pub fn is_namespace(name: &str) -> bool {
    let begun = format!("{}{SEPARATOR}", key(name));
    [OTHER_USERS, SHARED].iter().any(|prefix| begun == casemap(prefix))
}

/// The names of all levels above, the highest first: `a`, `a/b` for `a/b/c`.
pub fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).filter_map(|(at, _)| name.get(..at))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: NameLimits = NameLimits { octets: 20, depth: 3 };

    #[test]
    fn inbox_is_one_mailbox_in_any_case() {
        assert_eq!(canonical("inBox"), "INBOX");
        assert_eq!(canonical("inbox/Work/"), "INBOX/Work");
        assert_eq!(key("INBOX/work"), key("Inbox/Work"));
        assert_eq!(canonical("Inboxes"), "Inboxes");
    }

    #[test]
    fn names_that_would_confuse_are_refused() {
        for bad in
            ["", "/a", "a//b", "a\u{7}", "a*", "50%", "#news", "a/b/c/d", "aaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(check(bad, LIMITS).is_err(), "{bad}");
        }
        for good in ["a", "Entwürfe/2", "&-", "a b"] {
            assert!(check(good, LIMITS).is_ok(), "{good}");
        }
    }

    #[test]
    fn others_mailboxes_have_names_of_their_own() {
        assert!(is_foreign("Shared/x") && is_foreign("other users/bob/x"));
        assert!(
            !is_foreign("Shared") && !is_foreign("Shared stuff/x") && !is_foreign("a/Shared/x")
        );
    }

    #[test]
    fn a_name_leads_to_its_own_tree_to_anothers_or_nowhere() {
        assert_eq!(Place::of("inbox/a/"), Place::Own("INBOX/a".into()));
        assert_eq!(Place::of("Shared/Team"), Place::Shared("Team".into()));
        let bobs = Place::Other { user: "bob@demo.example".into(), name: "INBOX".into() };
        assert_eq!(Place::of("Other Users/bob@demo.example/inbox"), bobs);
        assert_eq!(bobs.to_string(), "Other Users/bob@demo.example/INBOX");
        for nowhere in ["shared/Team", "OTHER USERS/bob/INBOX", "Other Users/bob"] {
            assert_eq!(Place::of(nowhere), Place::Nowhere(nowhere.into()));
        }
        assert_eq!(Place::of("Shared"), Place::Own("Shared".into()));
        assert!(is_namespace("shared") && is_namespace("Other Users") && !is_namespace("Other"));
    }

    #[test]
    fn a_root_is_what_stands_before_a_name_in_its_owners_tree() {
        assert_eq!(root("INBOX/a"), "");
        assert_eq!(root("Shared/Team/b"), "Shared");
        assert_eq!(root("Other Users/bob@demo.example/INBOX"), "Other Users/bob@demo.example");
    }

    #[test]
    fn an_address_is_one_level_without_wildcards() {
        assert_eq!(user_level("a/b*c%d=e@x.example"), "a=2Fb=2Ac=25d=3De@x.example");
        assert_eq!(user_address("bob@demo.example").as_deref(), Some("bob@demo.example"));
        for no in ["a=b", "a=2f", "a=41", "a%"] {
            assert_eq!(user_address(no), None, "{no}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_address_has_a_level_of_its_own(address in "[ab/*%=23DAF5@\u{fc}]{0,12}") {
            let level = user_level(&address);
            proptest::prop_assert!(!level.contains(['/', '*', '%']));
            proptest::prop_assert_eq!(user_address(&level), Some(address));
        }
    }

    #[test]
    fn ancestors_come_from_the_top() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(ancestors("a").count(), 0);
    }
}
