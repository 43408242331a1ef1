//! Mailbox names: UTF-8, `/` between levels, INBOX in any case, unique without regard to case.

use super::{
    casemap::{casemap, nfc},
    error::{Error, Result},
};

/// The separator of levels.
pub const SEPARATOR: char = '/';

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

/// The name as the store keeps it: INBOX in capitals, also as first level, one final separator cut.
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
        return Err(Error::Limit("the mailbox name is too long"));
    }
    if name.split(SEPARATOR).count() > limits.depth {
        return Err(Error::Limit("the mailbox name has too many levels"));
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
    fn ancestors_come_from_the_top() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(ancestors("a").count(), 0);
    }
}
