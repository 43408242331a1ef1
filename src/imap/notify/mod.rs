//! NOTIFY (RFC 5465): what a client wants to be told of without asking, and what has happened of it.
//!
//! It holds the groups of the command and a watch on the accounts whose mailboxes the client may see;
//! of a mailbox of the client's own that is watched nothing is kept. When something has happened, the
//! mailbox's row and what the user may do there are looked at anew: who has lost its rights hears
//! nothing more. [`groups`] says which events are wanted for which names, [`tell`] puts them on the
//! wire.

pub mod groups;
mod renames;
pub mod tell;

use std::{collections::BTreeMap, sync::Arc};

use self::{
    groups::{Filter, Group, Groups, OpenMailbox},
    renames::Renames,
};
use super::fetch::item::Item;
use crate::{
    events::{Interest, Kinds, Watch},
    ids::{AccountId, MailboxId, SessionId},
    mail::{Mail, MailboxInfo, name},
};

/// What a client wants to hear of the mailbox that it has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Messages that come and go.
    pub arrivals: bool,
    /// Flags of messages.
    pub flags: bool,
    /// What is said of messages.
    pub annotations: bool,
}

impl Wants {
    /// As long as there was no NOTIFY.
    pub const ALL: Self = Self { arrivals: true, flags: true, annotations: true };
}

/// When a client is told of what happens in its open mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its commands.
    Asked,
    /// At once, but for expunges.
    Delayed,
    /// At once.
    AtOnce,
}

/// What a client has asked for.
pub struct Notify {
    open: Option<OpenMailbox>,
    groups: Box<[Group]>,
    watch: Option<Watch>,
    /// Mailboxes of others that the client may know of, by the names that it was told.
    foreign: BTreeMap<MailboxId, Arc<str>>,
    /// Their owners, whose changes are watched too.
    owners: Vec<AccountId>,
    renames: Renames,
}

impl Notify {
    /// NOTIFY NONE: nothing at all.
    pub fn none() -> Box<Self> {
        let (groups, foreign) = (Box::default(), BTreeMap::new());
        let (owners, renames) = (Vec::new(), Renames::default());
        Box::new(Self { open: None, groups, watch: None, foreign, owners, renames })
    }

    /// NOTIFY SET: begins to watch. What is there is to be looked at afterwards, so that nothing falls
    /// between.
    pub fn set(mail: &Mail, account: AccountId, session: SessionId, groups: Groups) -> Box<Self> {
        let Groups { open, groups, .. } = groups;
        let kinds = groups.iter().fold(Kinds::NONE, |kinds, group| kinds.with(group.events));
        let mut interests = vec![Interest::Account(account)];
        if groups.iter().any(|group| group.filter != Filter::Personal) {
            interests.push(Interest::Rights);
        }
        if kinds.meet(Kinds::MAILBOX_METADATA_CHANGE.with(Kinds::SERVER_METADATA_CHANGE)) {
            interests.push(Interest::Metadata);
        }
        let bus = mail.store().bus();
        let watch = (!kinds.is_empty()).then(|| bus.watch(&interests, account, session, kinds));
        let (groups, foreign) = (groups.into_boxed_slice(), BTreeMap::new());
        let (owners, renames) = (vec![account], Renames::default());
        Box::new(Self { open, groups, watch, foreign, owners, renames })
    }

    /// Takes note that the client may know of a mailbox: if it is another's, its owner's changes are
    /// watched from now on. Gives the name that it had for the client before.
    fn know(&mut self, mail: &Mail, info: &MailboxInfo) -> Option<Arc<str>> {
        let owner = info.row.account;
        let watch = self.watch.as_ref().filter(|_| self.watches_others())?;
        if self.owners.first() == Some(&owner) {
            return None;
        }
        if !self.owners.contains(&owner) {
            self.owners.push(owner);
            mail.store().bus().watch_also(watch, Interest::Account(owner));
        }
        self.foreign.insert(info.row.id, Arc::clone(&info.name))
    }

    /// Can any group be about mailboxes of others?
    fn watches_others(&self) -> bool {
        self.groups.iter().any(|group| group.filter != Filter::Personal)
    }

    fn is_by_subscription(&self) -> bool {
        self.groups.iter().any(|group| group.filter == Filter::Subscribed)
    }

    /// What it wants to hear of the open mailbox.
    pub fn wants(&self) -> Wants {
        let events = self.open.as_ref().map_or(Kinds::NONE, |open| open.events);
        Wants {
            arrivals: events.contain(Kinds::MESSAGE_NEW),
            flags: events.contain(Kinds::FLAG_CHANGE),
            annotations: events.contain(Kinds::ANNOTATION_CHANGE),
        }
    }

    /// When it is told of that.
    pub fn moment(&self) -> Moment {
        match &self.open {
            None => Moment::Asked,
            Some(open) if open.delayed => Moment::Delayed,
            Some(_) => Moment::AtOnce,
        }
    }

    /// The items of new messages of the open mailbox that it wants to be told.
    pub fn attributes(&self) -> &[Item] {
        self.open.as_ref().map_or(&[], |open| &open.fetch)
    }

    /// Waits until something has happened elsewhere. May be dropped half way without loss.
    pub async fn changed(&self) {
        match &self.watch {
            Some(watch) => watch.changed().await,
            None => std::future::pending().await,
        }
    }

    /// What it wants to hear of a mailbox: of each event the first group decides that names it, or
    /// that wants nothing.
    fn events(&self, name: &str, is_subscribed: bool) -> Kinds {
        let is_own = !name::is_foreign(name);
        let mut events = Kinds::NONE;
        for group in self.groups.iter().filter(|g| g.filter.names(name, is_own, is_subscribed)) {
            if group.events.is_empty() {
                break;
            }
            events = events.with(group.events);
        }
        events
    }

    /// Does any group want this?
    fn wants_any(&self, event: Kinds) -> bool {
        self.groups.iter().any(|group| group.events.contain(event))
    }
}
