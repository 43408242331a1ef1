//! Flags as clients read and write them.

use std::sync::Arc;

use crate::{
    flags::{Flags, Marks},
    mail::Messages,
    store::{MarkMask, MarkNames},
    wire::{Buffer, Cursor, Syntax},
};

/// `"(" … ")"`: the flags of one message; `recent` adds `\Recent`.
pub fn write(out: &mut Buffer, marks: Marks, recent: bool, messages: &Messages) {
    let fixed = Flags::NAMES.iter().filter(|(flag, _)| marks.flags.contains(*flag));
    let own = marks.keywords.numbers().filter_map(|number| messages.keyword_name(number));
    let names = fixed.map(|(_, name)| *name).chain(own).chain(recent.then_some("\\Recent"));
    out.list(names, Buffer::put);
}

/// The flags that a mailbox knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Fixed keywords that its messages bear or bore.
    used: Flags,
    /// The names of its own keywords, with blanks between them.
    own: String,
    /// There may be further keywords.
    pub takes_more: bool,
}

impl Known {
    /// The flags of a mailbox with these keywords, of which there may be `most` of its own.
    pub fn of(used: Flags, keywords: &[(u8, Arc<str>)], most: usize) -> Self {
        let own = keywords.iter().map(|(_, name)| &**name).collect::<Vec<_>>().join(" ");
        Self { used, own, takes_more: keywords.len() < most }
    }

    /// The same of an open mailbox.
    pub fn in_view(messages: &Messages, most: usize) -> Self {
        Self::of(messages.fixed_keywords(), messages.keyword_names(), most)
    }

    /// What FLAGS lists: system flags, and the keywords that are in use (RFC 9051 §7.3.5).
    pub fn names(&self) -> String {
        let listed = self.used.with(Flags::SYSTEM);
        let fixed = Flags::NAMES.iter().filter(|(flag, _)| listed.contains(*flag));
        join(fixed.map(|(_, name)| *name).chain(self.own()))
    }

    /// What PERMANENTFLAGS lists for who may touch these: all that can be set, whether or not it is in
    /// use, and `\*` as long as new keywords can be made (RFC 9051 §7.1, RFC 4314 §5.1.1).
    pub fn permanent(&self, mask: MarkMask) -> String {
        let fixed = Flags::NAMES.iter().filter(|(flag, _)| mask.flags.contains(*flag));
        let own = self.own().filter(|_| mask.keywords);
        let more = (self.takes_more && mask.keywords).then_some("\\*");
        format!("({})", join(fixed.map(|(_, name)| *name).chain(own).chain(more)))
    }

    fn own(&self) -> impl Iterator<Item = &str> {
        self.own.split(' ').filter(|name| !name.is_empty())
    }
}

fn join<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

/// `flag-list`, for APPEND.
pub fn list(args: &mut Cursor<'_>) -> Result<MarkNames, Syntax> {
    named(&args.flag_list()?)
}

/// `flag-list / (flag *(SP flag))`, for STORE.
pub fn list_or_bare(args: &mut Cursor<'_>) -> Result<MarkNames, Syntax> {
    if args.at_list() {
        return list(args);
    }
    let mut names = vec![args.flag()?];
    while args.take(b' ') {
        names.push(args.flag()?);
    }
    named(&names)
}

/// The marks of these names. `\Recent` is the server's own and is passed over; another flag with a
/// backslash does not exist.
fn named(names: &[&str]) -> Result<MarkNames, Syntax> {
    let mut marks = MarkNames::default();
    for name in names {
        if name.eq_ignore_ascii_case("\\Recent") {
            continue;
        }
        if name.starts_with('\\') && Flags::named(name).is_none() {
            return Err(Syntax::Expected("a system flag or a keyword"));
        }
        marks.add(name);
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_that_nobody_bears_can_be_kept_and_are_not_listed() {
        let own = [(0, "mine".into())];
        let known = Known::of(Flags::JUNK, &own, 1);
        assert_eq!(known.names(), "\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk mine");
        let all: Vec<&str> = Flags::NAMES.iter().map(|(_, name)| *name).collect();
        assert_eq!(known.permanent(MarkMask::ALL), format!("({} mine)", all.join(" ")));
        let seen = MarkMask { flags: Flags::SEEN, keywords: false };
        assert_eq!(known.permanent(seen), "(\\Seen)");
        assert!(Known::of(Flags::NONE, &own, 2).permanent(MarkMask::ALL).ends_with(" mine \\*)"));
    }

    #[test]
    fn flags_and_keywords_are_told_apart() {
        let marks = list(&mut Cursor::new(b"(\\seen $JUNK mine \\Recent)")).unwrap();
        assert_eq!(marks.flags, Flags::SEEN.with(Flags::JUNK));
        assert_eq!(marks.keywords, ["mine"]);
        assert!(list(&mut Cursor::new(b"(\\Sen)")).is_err());
        assert!(list_or_bare(&mut Cursor::new(b"\\Seen mine")).is_ok());
    }
}
