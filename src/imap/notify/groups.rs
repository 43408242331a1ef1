//! The groups of a NOTIFY SET: which mailboxes, and which events of them (RFC 5465 §5, §6, §8).

use crate::{
    events::Kinds,
    imap::fetch::item::{self, Item},
    mail::name,
    wire::{Cursor, Syntax},
};

/// All events there are, by their names.
pub const EVENTS: [(&str, Kinds); 8] = [
    ("MessageNew", Kinds::MESSAGE_NEW),
    ("MessageExpunge", Kinds::MESSAGE_EXPUNGE),
    ("FlagChange", Kinds::FLAG_CHANGE),
    ("AnnotationChange", Kinds::ANNOTATION_CHANGE),
    ("MailboxName", Kinds::MAILBOX_NAME),
    ("SubscriptionChange", Kinds::SUBSCRIPTION_CHANGE),
    ("MailboxMetadataChange", Kinds::MAILBOX_METADATA_CHANGE),
    ("ServerMetadataChange", Kinds::SERVER_METADATA_CHANGE),
];

/// What a client wants of the mailbox that it has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMailbox {
    /// Which events.
    pub events: Kinds,
    /// Expunges wait until numbers may change.
    pub delayed: bool,
    /// Items of new messages.
    pub fetch: Box<[Item]>,
}

/// Some mailboxes, and what is wanted of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which mailboxes.
    pub filter: Filter,
    /// Which events; none of them means that nothing is wanted.
    pub events: Kinds,
}

/// Which mailboxes a group is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The user's own. Mail can be delivered into each of them, so that these are the inboxes too
    /// (§6.3).
    Personal,
    /// Those whose names are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Box<[Box<str>]>),
    /// These.
    Mailboxes(Box<[Box<str>]>),
}

impl Filter {
    /// Is this mailbox one of them?
    pub fn names(&self, name: &str, is_own: bool, is_subscribed: bool) -> bool {
        match self {
            Self::Personal => is_own,
            Self::Subscribed => is_subscribed,
            Self::Mailboxes(names) => names.iter().any(|known| **known == *name),
            Self::Subtree(tops) => tops.iter().any(|top| {
                let below = name.strip_prefix(&**top);
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with(name::SEPARATOR))
            }),
        }
    }
}

/// What stands behind NOTIFY SET.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// SELECTED or SELECTED-DELAYED.
    pub open: Option<OpenMailbox>,
    /// All others, in their order.
    pub groups: Vec<Group>,
    /// How many groups there are in all.
    pub count: usize,
    /// How many names of mailboxes.
    pub names: usize,
    /// An event was named that there is not.
    pub unknown: bool,
}

impl Groups {
    /// `event-groups = event-group *(SP event-group)`
    pub fn parse(args: &mut Cursor<'_>) -> Result<Self, Syntax> {
        let mut groups = Self::default();
        loop {
            groups.group(args)?;
            if args.is_empty() {
                return Ok(groups);
            }
            args.space()?;
        }
    }

    /// `event-group = "(" filter-mailboxes SP events ")"`
    fn group(&mut self, args: &mut Cursor<'_>) -> Result<(), Syntax> {
        self.count += 1;
        args.expect(b'(', "a group of events in brackets")?;
        let word = args.word()?.to_ascii_uppercase();
        let filter = match word.as_str() {
            "SELECTED" | "SELECTED-DELAYED" => None,
            "INBOXES" | "PERSONAL" => Some(Filter::Personal),
            "SUBSCRIBED" => Some(Filter::Subscribed),
            "SUBTREE" => Some(Filter::Subtree(self.mailboxes(args)?)),
            "MAILBOXES" => Some(Filter::Mailboxes(self.mailboxes(args)?)),
            _ => return Err(Syntax::Expected("which mailboxes")),
        };
        args.space()?;
        let (events, fetch) = self.events(args, filter.is_none())?;
        args.expect(b')', "the closing bracket of a group of events")?;
        match filter {
            Some(filter) => self.groups.push(Group { filter, events }),
            None if self.open.is_some() => {
                return Err(Syntax::Expected("SELECTED or SELECTED-DELAYED once"));
            }
            None => {
                let (delayed, fetch) = (word == "SELECTED-DELAYED", fetch.into());
                self.open = Some(OpenMailbox { events, delayed, fetch });
            }
        }
        Ok(())
    }

    /// `SP (mailbox / "(" mailbox *(SP mailbox) ")")`
    fn mailboxes(&mut self, args: &mut Cursor<'_>) -> Result<Box<[Box<str>]>, Syntax> {
        args.space()?;
        let mut names = Vec::new();
        let in_brackets = args.take(b'(');
        loop {
            names.push(name::full(&args.mailbox()?).into());
            self.names += 1;
            if !in_brackets || args.take(b')') {
                return Ok(names.into());
            }
            args.space()?;
        }
    }

    /// `events = ( "(" event *(SP event) ")" ) / "NONE"`
    fn events(&mut self, args: &mut Cursor<'_>, open: bool) -> Result<(Kinds, Vec<Item>), Syntax> {
        let (mut events, mut fetch) = (Kinds::NONE, Vec::new());
        if args.take_word("NONE") {
            return Ok((events, fetch));
        }
        let mut any = false;
        args.list(|args| {
            any = true;
            let word = args.atom()?;
            let known = EVENTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            let Some((_, event)) = known else {
                self.unknown = true;
                return Ok(());
            };
            if open && !Kinds::OF_MESSAGES.contain(*event) {
                return Err(Syntax::Expected("events of messages for the selected mailbox"));
            }
            events = events.with(*event);
            if *event == Kinds::MESSAGE_NEW && args.rest().starts_with(b" (") {
                if !open {
                    return Err(Syntax::Expected("items only for the selected mailbox"));
                }
                args.space()?;
                fetch = item::items(args)?;
            }
            Ok(())
        })?;
        if !any {
            return Err(Syntax::Expected("an event"));
        }
        let comes_and_goes = Kinds::MESSAGE_NEW.with(Kinds::MESSAGE_EXPUNGE);
        if events.meet(Kinds::OF_MESSAGES) && !events.contain(comes_and_goes) {
            return Err(Syntax::Expected("MessageNew and MessageExpunge together"));
        }
        Ok((events, fetch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Groups, Syntax> {
        Groups::parse(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn groups_of_every_kind_are_read() {
        let groups = read(
            "(selected (MessageNew (uid body.peek[header.fields (from to)]) MessageExpunge)) \
             (subtree Lists (MessageNew MessageExpunge FlagChange)) (mailboxes (misc \"a b\") NONE) \
             (inboxes (messagenew MESSAGEEXPUNGE AnnotationChange)) (subscribed (MailboxName)) \
             (personal (SubscriptionChange MailboxMetadataChange ServerMetadataChange))",
        );
        let groups = groups.unwrap();
        assert_eq!((groups.count, groups.names, groups.unknown), (6, 3, false));
        let open = groups.open.unwrap();
        assert!(!open.delayed && open.fetch.len() == 2);
        assert!(groups.groups[1].events.is_empty());
        let two = Filter::Mailboxes(["misc".into(), "a b".into()].into());
        assert_eq!(groups.groups[1].filter, two);
        assert!(read("(selected-delayed (FlagChange MessageNew MessageExpunge))").is_ok());
        assert!(read("(selected NONE) (personal (FooChange))").is_ok_and(|g| g.unknown));
    }

    #[test]
    fn what_goes_together_is_asked_for_together() {
        for bad in [
            "",
            "personal (MailboxName)",
            "(personal)",
            "(personal ())",
            "(personal MailboxName)",
            "(personal (MessageNew))",
            "(personal (MessageExpunge))",
            "(personal (FlagChange))",
            "(personal (AnnotationChange MessageNew))",
            "(personal (MessageNew (UID) MessageExpunge))",
            "(selected (MailboxName))",
            "(selected NONE) (selected-delayed NONE)",
            "(selected (MessageNew () MessageExpunge))",
            "(everywhere (MailboxName))",
            "(mailboxes (MailboxName))",
            "(mailboxes () (MailboxName))",
            "(personal (MailboxName)) ",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_names_whole_levels() {
        let names = |filter: &Filter, name| filter.names(name, true, false);
        let subtree = Filter::Subtree(["Lists".into()].into());
        assert!(names(&subtree, "Lists") && names(&subtree, "Lists/a/b"));
        assert!(!names(&subtree, "Lists2") && !names(&subtree, "List"));
        let one = Filter::Mailboxes(["a*".into()].into());
        assert!(names(&one, "a*") && !names(&one, "ab"));
        assert!(names(&Filter::Personal, "x") && !names(&Filter::Subscribed, "x"));
    }
}
