//! What the part of an address before the `@` may mean, best first.

use super::INBOX;
use crate::mail::name::SEPARATOR;

/// What parts a user from what stands behind.
const DETAIL: char = '+';
/// What stands behind it before a whole name.
const WHOLE: char = '=';
/// What may part levels behind it.
const DOT: char = '.';

/// One way to read a local part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading<'l> {
    /// What would be the user.
    pub(super) user: &'l str,
    /// What stands beside it.
    pub(super) detail: &'l str,
    /// Which mailbox that means; see [`Meant::names`](super::Meant::names).
    pub(super) names: Vec<String>,
}

/// All ways to read it. The first sign parts, for names may hold others; the last slash, for it
/// stands before the user.
pub(super) fn readings(local: &str) -> Vec<Reading<'_>> {
    let mut readings = Vec::new();
    let mut read = |user, detail, names| readings.push(Reading { user, detail, names });
    if let Some((user, name)) = local.split_once("+=") {
        read(user, behind(local, user), vec![name.to_owned()]);
    }
    if let Some((user, detail)) = local.split_once(DETAIL) {
        read(user, detail, behind_plus(detail));
    }
    if let Some((path, user)) = local.rsplit_once(SEPARATOR) {
        read(user, path, vec![leaf_first(path)]);
    }
    // With both, the slash says where to and the sign is the sender's own.
    if let Some((before, _)) = local.split_once(DETAIL)
        && let Some((path, user)) = before.rsplit_once(SEPARATOR)
    {
        read(user, path, vec![leaf_first(path)]);
    }
    readings
}

/// What stands behind the user and one sign.
fn behind<'l>(local: &'l str, user: &str) -> &'l str {
    local.get(user.len().saturating_add(1)..).unwrap_or_default()
}

/// `=Sent` is a name, `work/office` levels below INBOX, and so may be `work.office`; nothing is INBOX.
fn behind_plus(detail: &str) -> Vec<String> {
    if let Some(name) = detail.strip_prefix(WHOLE) {
        return vec![name.to_owned()];
    }
    if detail.is_empty() {
        return Vec::new();
    }
    let mut names = vec![format!("{INBOX}{SEPARATOR}{detail}")];
    if detail.contains(DOT) {
        let levels = detail.replace(DOT, "/");
        names.push(format!("{INBOX}{SEPARATOR}{levels}"));
    }
    names
}

/// `office/work` is `INBOX/work/office`.
fn leaf_first(path: &str) -> String {
    let mut levels: Vec<_> = path.split(SEPARATOR).chain([INBOX]).collect();
    levels.reverse();
    levels.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(local: &str) -> Vec<(&str, &str, Vec<String>)> {
        let all = readings(local).into_iter();
        all.map(|reading| (reading.user, reading.detail, reading.names)).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn levels_stand_before_the_user_from_the_last_to_the_first_and_behind_it_from_the_first() {
        assert_eq!(read("office/work/u"), [("u", "office/work", names(&["INBOX/work/office"]))]);
        assert_eq!(read("u+work"), [("u", "work", names(&["INBOX/work"]))]);
        let dotted = names(&["INBOX/work.office", "INBOX/work/office"]);
        assert_eq!(read("u+work.office"), [("u", "work.office", dotted)]);
        assert_eq!(read("u+"), [("u", "", Vec::new())]);
        assert!(read("u").is_empty());
    }

    #[test]
    fn a_whole_name_stands_behind_plus_and_equals() {
        let sent = ("u", "=Sent", names(&["Sent"]));
        assert_eq!(read("u+=Sent").first(), Some(&sent));
        let detailed = ("u+x", "=C++", names(&["C++"]));
        assert_eq!(read("u+x+=C++").first(), Some(&detailed));
    }

    #[test]
    fn where_a_sign_could_part_in_several_places_all_are_tried() {
        let users = |local| read(local).into_iter().map(|(user, ..)| user).collect::<Vec<_>>();
        assert_eq!(users("c++/u"), ["c", "u"]);
        assert_eq!(users("work/u+shop"), ["work/u", "u+shop", "u"]);
        assert_eq!(users("u+a/b"), ["u", "b"]);
    }
}
