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

/// All flags that a mailbox knows: what FLAGS lists (RFC 9051 §7.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Their names, without brackets.
    pub names: String,
    /// There may be further keywords.
    pub takes_more: bool,
}

impl Known {
    /// The flags of a mailbox with these keywords, of which there may be `most`.
    pub fn of(keywords: &[(u8, Arc<str>)], most: usize) -> Self {
        let fixed = Flags::NAMES.iter().map(|(_, name)| *name);
        let own = keywords.iter().map(|(_, name)| &**name);
        let names = fixed.chain(own).collect::<Vec<_>>().join(" ");
        Self { names, takes_more: keywords.len() < most }
    }

    /// What PERMANENTFLAGS lists for who may touch these: with `\*` as long as new keywords can be made
    /// (RFC 9051 §7.1, RFC 4314 §5.1.1).
    pub fn permanent(&self, mask: MarkMask) -> String {
        let permitted = |name: &&str| {
            Flags::named(name).map_or(mask.keywords, |flag| mask.flags.contains(flag))
        };
        let more = (self.takes_more && mask.keywords).then_some("\\*");
        let names: Vec<_> = self.names.split(' ').filter(permitted).chain(more).collect();
        format!("({})", names.join(" "))
    }
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
    fn flags_and_keywords_are_told_apart() {
        let marks = list(&mut Cursor::new(b"(\\seen $JUNK mine \\Recent)")).unwrap();
        assert_eq!(marks.flags, Flags::SEEN.with(Flags::JUNK));
        assert_eq!(marks.keywords, ["mine"]);
        assert!(list(&mut Cursor::new(b"(\\Sen)")).is_err());
        assert!(list_or_bare(&mut Cursor::new(b"\\Seen mine")).is_ok());
    }
}
