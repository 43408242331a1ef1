//! LIST with all its options (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590).

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Command, Parsed, Running, getmetadata, rights,
    status::{self, Item},
};
use crate::{
    imap::{
        error::Error,
        pattern::Pattern,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{
        self, MailboxInfo, Rights,
        metadata::{Entry, WantedMetadata},
        name,
    },
    wire::{Buffer, Cursor, Syntax},
};

/// Patterns of one LIST.
const MOST_PATTERNS: usize = 50;
/// Octets of reference and pattern together: no name is longer.
const LONGEST_PATTERN: usize = 2_000;
/// After so many names others get their turn.
const TURN: usize = 50;

/// What is asked, and what is answered beside it.
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own in the grammar")]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct List {
    patterns: Vec<(String, String)>,
    /// Only subscribed names, also those of no mailbox.
    select_subscribed: bool,
    /// Only mailboxes with a special use.
    select_special: bool,
    /// Names above such ones too.
    recursive: bool,
    /// Mark the subscribed ones.
    return_subscribed: bool,
    status: Option<Vec<Item>>,
    /// What is said of each mailbox.
    metadata: Option<Arc<WantedMetadata>>,
    /// Tell what the user may do with each (RFC 8440).
    rights: bool,
    /// Options or several patterns were written: then an empty pattern asks for nothing.
    extended: bool,
}

/// `"LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    Ok(Box::new(read(args)?))
}

fn read(args: &mut Cursor<'_>) -> Result<List, Syntax> {
    let mut list = List::default();
    args.space()?;
    if args.at_list() {
        list.extended = true;
        args.list(|args| list.select_option(args))?;
        if list.recursive && !list.select_subscribed && !list.select_special {
            return Err(Syntax::Expected("another selection option beside RECURSIVEMATCH"));
        }
        args.space()?;
    }
    let reference = args.mailbox()?;
    args.space()?;
    list.extended |= args.at_list();
    let patterns =
        if args.at_list() { args.list(Cursor::list_mailbox)? } else { vec![args.list_mailbox()?] };
    if patterns.len() > MOST_PATTERNS {
        return Err(Syntax::Limit("patterns"));
    }
    list.patterns = patterns.into_iter().map(|pattern| (reference.clone(), pattern)).collect();
    if args.take(b' ') && !args.is_empty() {
        list.extended = true;
        args.keyword("RETURN")?;
        args.space()?;
        args.list(|args| list.return_option(args))?;
    }
    args.end()?;
    Ok(list)
}

impl List {
    /// `"SUBSCRIBED" / "REMOTE" / "RECURSIVEMATCH" / "SPECIAL-USE"`
    fn select_option(&mut self, args: &mut Cursor<'_>) -> Result<(), Syntax> {
        match args.word()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => (self.select_subscribed, self.return_subscribed) = (true, true),
            "SPECIAL-USE" => self.select_special = true,
            "RECURSIVEMATCH" => self.recursive = true,
            "REMOTE" => {} // there are no others here
            _ => return Err(Syntax::Expected("a selection option")),
        }
        Ok(())
    }

    /// `"SUBSCRIBED" / "CHILDREN" / "SPECIAL-USE" / "MYRIGHTS" / "STATUS" SP "(" … ")" / "METADATA" SP
    /// "(" entry *(SP entry) ")"`
    fn return_option(&mut self, args: &mut Cursor<'_>) -> Result<(), Syntax> {
        match args.word()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => self.return_subscribed = true,
            "CHILDREN" | "SPECIAL-USE" => {} // always told
            "MYRIGHTS" => self.rights = true,
            "STATUS" => {
                args.space()?;
                self.status = Some(status::items(args)?);
            }
            "METADATA" => {
                args.space()?;
                let entries = getmetadata::entries(args)?;
                if entries.is_empty() || !entries.iter().all(Entry::can_have_value) {
                    return Err(Syntax::Expected("an entry that can have a value"));
                }
                self.metadata = Some(Arc::new(WantedMetadata { entries, ..Default::default() }));
            }
            _ => return Err(Syntax::Expected("a return option")),
        }
        Ok(())
    }

    /// Is this a level without a mailbox, above mailboxes, that a final `%` asks for
    /// (RFC 9051 §6.3.9)?
    fn may_be_level(&self, place: &Place<'_>) -> bool {
        place.info.is_none()
            && place.has_children
            && !self.select_subscribed
            && !self.select_special
    }

    /// Does this name meet the selection options?
    fn selects(&self, place: &Place<'_>) -> bool {
        let special = place.info.is_some_and(|info| !info.row.special_use.is_empty());
        let exists = place.info.is_some() || self.select_subscribed;
        exists && (!self.select_subscribed || place.subscribed) && (!self.select_special || special)
    }
}

/// A name that may be listed: of a mailbox, of a subscription, or above one of these.
pub struct Place<'m> {
    /// The name.
    pub name: Arc<str>,
    /// Its mailbox, if there is one.
    pub info: Option<&'m MailboxInfo>,
    /// Is the name subscribed?
    pub subscribed: bool,
    /// Is there a mailbox below it?
    pub has_children: bool,
}

/// A name that is listed.
struct Listed<'p, 'm> {
    place: &'p Place<'m>,
    /// It meets the criteria itself.
    selected: bool,
    /// A name below it meets them, listed or not.
    child_matches: bool,
}

/// All names there are, sorted: mailboxes, subscriptions, and what is above them.
pub fn places<'m>(mailboxes: &'m [MailboxInfo], subscribed: &[Arc<str>]) -> Vec<Place<'m>> {
    let subscribed: BTreeSet<&str> = subscribed.iter().map(|name| &**name).collect();
    let mut names: BTreeSet<&str> = mailboxes.iter().map(|info| &*info.name).collect();
    let parents: BTreeSet<&str> = names.iter().flat_map(|name| name::ancestors(name)).collect();
    names.extend(&parents);
    names.extend(&subscribed);
    names.extend(subscribed.iter().flat_map(|name| name::ancestors(name)));
    let infos: std::collections::BTreeMap<&str, &MailboxInfo> =
        mailboxes.iter().map(|info| (&*info.name, info)).collect();
    let place = |name: &str| Place {
        name: name.into(),
        info: infos.get(name).copied(),
        subscribed: subscribed.contains(name),
        has_children: parents.contains(name),
    };
    names.into_iter().map(place).collect()
}

impl Command for List {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if self.asks_for_separator() {
                out.line(|out| out.put("LIST (\\Noselect) \"/\" \"\""));
                return Ok(Done::ok("list done"));
            }
            let patterns = patterns(&self.patterns)?;
            if self.status.as_ref().is_some_and(|items| items.contains(&Item::HighestModSeq)) {
                session.enable_condstore(out);
            }
            let (mail, actor) = (session.mail(), session.actor()?);
            let mailboxes = mail.mailboxes(&actor).await?;
            let places = places(&mailboxes, &mail.subscriptions(&actor).await?);
            let chosen = self.chosen(&places, &patterns).await;
            for Listed { place, selected, child_matches } in chosen {
                self.write(place, child_matches, out);
                let info = place.info.filter(|info| selected && info.row.selectable);
                if let Some(info) = info.filter(|_| self.rights) {
                    rights::tell(&info.name, info.rights, out);
                }
                let readable = info.filter(|info| info.rights.contain(Rights::READ));
                if let (Some(items), Some(info)) = (&self.status, readable) {
                    let most = session.door.limits.message;
                    match status::tell(&mail, &actor, info, items, most, out).await {
                        // It went meanwhile; the others are listed all the same (RFC 5819 §2).
                        Err(Error::No(..)) => {}
                        told => told?,
                    }
                }
                let row = place.info.map(|info| &info.row).filter(|_| selected);
                if let (Some(wanted), Some(row)) = (&self.metadata, row) {
                    let wanted = Arc::clone(wanted);
                    match mail.metadata_of(&actor, row.id, wanted).await {
                        Ok(mut found) => getmetadata::tell(&mail, &mut found, out).await?,
                        // Nothing can be said of it (RFC 9590 §3).
                        Err(mail::Error::NoMailbox | mail::Error::Forbidden) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                out.breathe().await?;
            }
            Ok(Done::ok("list done"))
        })
    }
}

impl List {
    /// `LIST "" ""` asks for the separator, but only in its basic form (RFC 9051 §6.3.9).
    fn asks_for_separator(&self) -> bool {
        !self.extended && matches!(self.patterns.as_slice(), [(_, pattern)] if pattern.is_empty())
    }

    /// The names to be listed. One that does not meet the criteria is among them only if a name below
    /// it does and is not listed itself (RFC 5258 §3.3).
    async fn chosen<'p, 'm>(
        &self,
        places: &'p [Place<'m>],
        patterns: &[Pattern],
    ) -> Vec<Listed<'p, 'm>> {
        let (mut above, mut above_hidden) = (BTreeSet::new(), BTreeSet::new());
        let mut matching = Vec::new();
        for (count, place) in places.iter().enumerate() {
            if count % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            let matches = patterns.iter().any(|pattern| pattern.matches(&place.name));
            let is_level = self.may_be_level(place) && {
                let mut asking = patterns.iter().filter(|pattern| pattern.asks_for_levels());
                asking.any(|pattern| pattern.matches(&place.name))
            };
            let selected = self.selects(place) || is_level;
            if self.recursive && selected {
                above.extend(name::ancestors(&place.name));
                if !matches {
                    above_hidden.extend(name::ancestors(&place.name));
                }
            }
            if matches {
                matching.push((place, selected));
            }
        }
        let listed = |(place, selected): (&'p Place<'m>, bool)| {
            let child_matches = above.contains(&*place.name);
            let wanted = selected || above_hidden.contains(&*place.name);
            wanted.then_some(Listed { place, selected, child_matches })
        };
        matching.into_iter().filter_map(listed).collect()
    }

    /// `* LIST (attributes) "/" name [("CHILDINFO" (…))]`
    fn write(&self, place: &Place<'_>, child_matches: bool, out: &mut Replies) {
        let mut attributes = Vec::new();
        match place.info {
            None if self.extended => attributes.push("\\NonExistent"),
            None => attributes.push("\\Noselect"),
            Some(info) if !info.row.selectable => attributes.push("\\Noselect"),
            // What has no STATUS can't be selected either (RFC 9051 §6.3.9.2).
            Some(info) if self.status.is_some() && !info.rights.contain(Rights::READ) => {
                attributes.push("\\Noselect");
            }
            Some(_) => {}
        }
        attributes.push(if place.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
        if self.return_subscribed && place.subscribed {
            attributes.push("\\Subscribed");
        }
        attributes.extend(place.info.iter().flat_map(|info| info.row.special_use.names()));
        out.line(|out| {
            out.put("LIST ");
            out.list(attributes, Buffer::put);
            out.put(" \"/\" ");
            out.mailbox(&place.name);
            if child_matches {
                let subscribed = self.select_subscribed.then_some("\"SUBSCRIBED\"");
                let special = self.select_special.then_some("\"SPECIAL-USE\"");
                out.put(" (\"CHILDINFO\" ");
                out.list(subscribed.into_iter().chain(special), Buffer::put);
                out.put(")");
            }
        });
    }
}

/// The patterns, ready to be matched; hopelessly long ones are refused.
pub fn patterns(pairs: &[(String, String)]) -> Result<Vec<Pattern>, Error> {
    let long =
        |(reference, pattern): &(String, String)| reference.len() + pattern.len() > LONGEST_PATTERN;
    if pairs.iter().any(long) {
        return Err(Error::no(Code::Limit, "pattern too long"));
    }
    Ok(pairs.iter().map(|(reference, pattern)| Pattern::new(reference, pattern)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Names;

    fn list(text: &str) -> Result<List, Syntax> {
        read(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn plain_and_extended_forms_are_read() {
        assert_eq!(list(" \"\" *").unwrap().patterns, [(String::new(), "*".to_owned())]);
        let extended = list(
            " (SUBSCRIBED RECURSIVEMATCH) \"\" (\"%\" a*) RETURN (CHILDREN STATUS (MESSAGES))",
        );
        let extended = extended.unwrap();
        assert!(extended.select_subscribed && extended.recursive && extended.return_subscribed);
        assert_eq!(extended.patterns.len(), 2);
        assert_eq!(extended.status, Some(vec![Item::Messages]));
        assert!(list(" () \"\" % RETURN ()").is_ok());
        let metadata =
            list(" \"\" % RETURN (METADATA (\"/shared/vendor/cmu/color\" /private/comment))");
        assert_eq!(metadata.unwrap().metadata.unwrap().entries.len(), 2);
    }

    #[test]
    fn recursive_matching_needs_something_to_match() {
        for bad in [" (RECURSIVEMATCH) \"\" *", " (RECURSIVEMATCH REMOTE) \"\" *", " (FOO) \"\" *"]
        {
            assert!(list(bad).is_err(), "{bad}");
        }
        for bad in ["", " \"\"", " \"\" * RETURN", " \"\" * RETURN (FOO)", " \"\" * x"] {
            assert!(list(bad).is_err(), "{bad}");
        }
        for bad in [
            "METADATA",
            "METADATA ()",
            "METADATA (/comment)",
            "METADATA /shared/comment",
            "METADATA (/shared)",
        ] {
            assert!(list(&format!(" \"\" % RETURN ({bad})")).is_err(), "{bad}");
        }
    }

    fn any_list() -> impl Strategy<Value = List> {
        let names = || "[ab/%*&\u{fc} \"]{0,6}";
        let patterns = proptest::collection::vec(names(), 1..4);
        let items = proptest::option::of(proptest::sample::subsequence(
            vec![Item::Messages, Item::UidNext, Item::DeletedStorage, Item::MailboxId],
            0..=4,
        ));
        let options = proptest::array::uniform6(any::<bool>());
        let entry = "/(shared|private)/[a-u \"]{1,5}";
        let metadata = proptest::option::of(proptest::collection::vec(entry, 1..3));
        let all = (names(), patterns, items, metadata, options);
        all.prop_map(|(reference, patterns, status, metadata, options)| {
            let [select_subscribed, select_special, recursive, returned, extended, rights] =
                options;
            let select = select_subscribed || select_special;
            let return_subscribed = returned || select_subscribed;
            let many = patterns.len() > 1;
            List {
                patterns: patterns.into_iter().map(|name| (reference.clone(), name)).collect(),
                select_subscribed,
                select_special,
                recursive: recursive && select,
                return_subscribed,
                extended: extended
                    || select
                    || return_subscribed
                    || many
                    || rights
                    || status.is_some()
                    || metadata.is_some(),
                status,
                rights,
                metadata: metadata.map(|names| {
                    let entry = |name: &String| Entry::parse(name.as_bytes()).unwrap();
                    let entries = names.iter().map(entry).collect();
                    Arc::new(WantedMetadata { entries, ..WantedMetadata::default() })
                }),
            }
        })
    }

    fn print(list: &List, out: &mut Buffer) {
        let select = [
            (list.select_special, "SPECIAL-USE"),
            (list.recursive, "RECURSIVEMATCH"),
            (list.select_subscribed, "SUBSCRIBED"),
        ];
        out.put(" ");
        if list.extended {
            out.list(select.iter().filter(|(on, _)| *on), |out, (_, word)| out.put(*word));
            out.put(" ");
        }
        out.mailbox(&list.patterns[0].0);
        out.put(" ");
        match list.patterns.as_slice() {
            [(_, only)] => out.mailbox(only),
            many => out.list(many, |out, (_, pattern)| out.mailbox(pattern)),
        }
        let plain = list.status.is_none() && list.metadata.is_none() && !list.rights;
        if !list.return_subscribed && plain {
            return;
        }
        out.put(" RETURN (CHILDREN");
        if list.rights {
            out.put(" MYRIGHTS");
        }
        if list.return_subscribed {
            out.put(" SUBSCRIBED");
        }
        if let Some(metadata) = &list.metadata {
            out.put(" METADATA ");
            out.list(&metadata.entries, |out, entry| out.astring(entry.spelled().as_bytes()));
        }
        if let Some(items) = &list.status {
            out.put(" STATUS ");
            out.list(items, |out, item| {
                out.put(match item {
                    Item::Messages => "MESSAGES",
                    Item::UidNext => "UIDNEXT",
                    Item::DeletedStorage => "DELETED-STORAGE",
                    _ => "MAILBOXID",
                });
            });
        }
        out.put(")");
    }

    proptest! {
        #[test]
        fn printed_lists_read_back(list in any_list(), utf8: bool) {
            let names = if utf8 { Names::Utf8 } else { Names::Modified7 };
            let mut out = Buffer::default();
            out.set_names(names);
            print(&list, &mut out);
            let read = read(&mut Cursor::new(out.bytes()).with_names(names));
            prop_assert_eq!(read, Ok(list), "{}", String::from_utf8_lossy(out.bytes()));
        }
    }
}
