//! A subscriber that watches many mailboxes at once and looks when it can.
//!
//! What happened to messages is kept as marks on their mailbox, so that a thousand deliveries take no
//! more room than one; what happened to names, rights and metadata is kept one by one. Of too much it
//! hears only that it was too much: who has to be told of everything can't be told any more.

use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Poll, Waker},
};

use super::{Event, Hear, Kind};
use crate::ids::{AccountId, MailboxId, SessionId};

/// Mailboxes with changes that wait.
const MOST_MAILBOXES: usize = 5_000;
/// Events of names, rights and metadata that wait.
const MOST_EVENTS: usize = 256;

/// A set of things that can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u16);

impl Kinds {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// Messages came.
    pub const MESSAGE_NEW: Self = Self(1);
    /// Messages are gone.
    pub const MESSAGE_EXPUNGE: Self = Self(1 << 1);
    /// Flags or keywords changed.
    pub const FLAG_CHANGE: Self = Self(1 << 2);
    /// Annotations of messages changed.
    pub const ANNOTATION_CHANGE: Self = Self(1 << 3);
    /// A name means another mailbox than before.
    pub const IDENTITY: Self = Self(1 << 4);
    /// Mailboxes came, went or have other names.
    pub const MAILBOX_NAME: Self = Self(1 << 5);
    /// Names were subscribed or unsubscribed.
    pub const SUBSCRIPTION_CHANGE: Self = Self(1 << 6);
    /// Metadata of mailboxes changed.
    pub const MAILBOX_METADATA_CHANGE: Self = Self(1 << 7);
    /// Metadata of the server changed.
    pub const SERVER_METADATA_CHANGE: Self = Self(1 << 8);
    /// All that happens to messages.
    pub const OF_MESSAGES: Self = Self((1 << 4) - 1);

    /// Are all of `other` here?
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Is any of `other` here?
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Nothing at all?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What happened since the last look.
#[derive(Debug, Default, PartialEq)]
pub struct Seen {
    /// Mailboxes whose messages changed, and how.
    pub mailboxes: BTreeMap<MailboxId, Kinds>,
    /// What happened to names, rights and metadata, in its order.
    pub events: VecDeque<Arc<Event>>,
    /// More happened than was kept, and nothing is kept any more.
    pub too_much: bool,
}

impl Seen {
    /// Nothing at all?
    pub fn is_empty(&self) -> bool {
        self.mailboxes.is_empty() && self.events.is_empty() && !self.too_much
    }
}

/// Where events wait for one watcher.
pub(super) struct WatchSlot {
    account: AccountId,
    session: SessionId,
    kinds: Kinds,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    seen: Seen,
    /// The last event that was kept, looked at or not.
    last: Weak<Event>,
    closed: bool,
    waker: Option<Waker>,
}

/// A watcher's end; dropping it ends the watch.
pub struct Watch {
    pub(super) slot: Arc<WatchSlot>,
}

impl Watch {
    pub(super) fn new(account: AccountId, session: SessionId, kinds: Kinds) -> Self {
        let waiting = Mutex::new(Waiting::default());
        Self { slot: Arc::new(WatchSlot { account, session, kinds, waiting }) }
    }

    /// Waits until something has happened. May be dropped half way without loss.
    pub async fn changed(&self) {
        poll_fn(|context| {
            let mut waiting = self.slot.lock();
            if !waiting.seen.is_empty() {
                return Poll::Ready(());
            }
            waiting.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What has happened since the last look.
    pub fn look(&self) -> Seen {
        mem::take(&mut self.slot.lock().seen)
    }
}

impl WatchSlot {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The marks that an event leaves on its mailbox, and is it kept itself?
    fn look_at(&self, event: &Event) -> (Kinds, bool) {
        let is = |kind| self.kinds.contain(kind);
        match &event.kind {
            Kind::MessageNew(_) => (Kinds::MESSAGE_NEW.both(self.kinds), false),
            Kind::MessageExpunge(_) => (Kinds::MESSAGE_EXPUNGE.both(self.kinds), false),
            Kind::FlagChange(_) => (Kinds::FLAG_CHANGE.both(self.kinds), false),
            Kind::AnnotationChange(_, entries) if entries.are_told_to(self.account) => {
                (Kinds::ANNOTATION_CHANGE.both(self.kinds), false)
            }
            Kind::MailboxCreate(_) | Kind::MailboxRename { .. } => {
                let messages = self.kinds.meet(Kinds::OF_MESSAGES);
                (if messages { Kinds::IDENTITY } else { Kinds::NONE }, true)
            }
            Kind::MailboxDelete(_) | Kind::RightsChange => (Kinds::NONE, true),
            Kind::SubscriptionChange(..) => (Kinds::NONE, is(Kinds::SUBSCRIPTION_CHANGE)),
            Kind::MailboxMetadataChange(entries) => {
                let told = entries.are_told_to(self.account);
                (Kinds::NONE, told && is(Kinds::MAILBOX_METADATA_CHANGE))
            }
            Kind::ServerMetadataChange(entries) => {
                let told = entries.are_told_to(self.account);
                (Kinds::NONE, told && is(Kinds::SERVER_METADATA_CHANGE))
            }
            _ => (Kinds::NONE, false),
        }
    }
}

impl Hear for WatchSlot {
    fn put(&self, event: &Arc<Event>) {
        // What it does itself a client knows.
        if event.origin.session == Some(self.session) {
            return;
        }
        let (kinds, kept) = self.look_at(event);
        if kinds.is_empty() && !kept {
            return;
        }
        let mut waiting = self.lock();
        let Waiting { seen, last, .. } = &mut *waiting;
        if seen.too_much {
            return;
        }
        if let Some(mailbox) = event.mailbox.filter(|_| !kinds.is_empty()) {
            let marks = seen.mailboxes.entry(mailbox).or_default();
            *marks = marks.with(kinds);
        }
        // Who watches by several interests hears of it once, though it may have looked in between.
        if kept && !std::ptr::eq(last.as_ptr(), Arc::as_ptr(event)) {
            *last = Arc::downgrade(event);
            seen.events.push_back(Arc::clone(event));
        }
        if seen.mailboxes.len() > MOST_MAILBOXES || seen.events.len() > MOST_EVENTS {
            *seen = Seen { too_much: true, ..Seen::default() };
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    fn close(&self) {
        self.lock().closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Bus, Door, Interest, Origin},
        ids::{ModSeq, Uid},
    };

    const ALICE: AccountId = AccountId(1);

    fn event(mailbox: i64, kind: Kind) -> Event {
        Event {
            account: Some(ALICE),
            mailbox: Some(MailboxId(mailbox)),
            mod_seq: ModSeq(1),
            origin: Origin::new(Door::House, 0),
            kind,
        }
    }

    fn gone() -> Kind {
        Kind::MessageExpunge(Uid::new(1).into_iter().collect())
    }

    fn create(name: &str) -> Kind {
        Kind::MailboxCreate(name.into())
    }

    #[test]
    fn many_changes_of_messages_leave_one_mark() {
        let bus = Bus::default();
        let kinds = Kinds::MESSAGE_EXPUNGE.with(Kinds::MESSAGE_NEW);
        let watch = bus.watch(&[Interest::Account(ALICE)], ALICE, SessionId(7), kinds);
        bus.publish((0..10_000).map(|_| event(5, gone())).collect());
        bus.publish(vec![event(6, Kind::FlagChange([].into()))]);
        let seen = watch.look();
        assert_eq!(seen.mailboxes, BTreeMap::from([(MailboxId(5), Kinds::MESSAGE_EXPUNGE)]));
        assert!(seen.events.is_empty() && !seen.too_much && watch.look().is_empty());
    }

    #[test]
    fn its_own_changes_it_does_not_hear() {
        let bus = Bus::default();
        let watch =
            bus.watch(&[Interest::Account(ALICE)], ALICE, SessionId(7), Kinds::MAILBOX_NAME);
        let own = Origin { session: Some(SessionId(7)), ..Origin::new(Door::Imap, 0) };
        bus.publish(vec![Event { origin: own, ..event(5, create("a")) }]);
        assert!(watch.look().is_empty());
    }

    #[test]
    fn an_event_of_two_interests_is_heard_once() {
        let bus = Bus::default();
        let interests = [Interest::Account(ALICE), Interest::Rights];
        let watch = bus.watch(&interests, ALICE, SessionId(7), Kinds::MAILBOX_NAME);
        bus.publish(vec![event(5, Kind::RightsChange), event(5, create("a"))]);
        assert_eq!(watch.look().events.len(), 2);
    }

    #[test]
    fn an_event_that_was_looked_at_is_not_heard_by_the_other_interest_again() {
        let bus = Bus::default();
        let watch = bus.watch(&[], ALICE, SessionId(7), Kinds::MAILBOX_NAME);
        let event = Arc::new(event(5, Kind::RightsChange));
        watch.slot.put(&event);
        assert_eq!(watch.look().events.len(), 1);
        watch.slot.put(&event);
        assert!(watch.look().is_empty());
    }

    #[test]
    fn of_too_much_nothing_is_kept() {
        let bus = Bus::default();
        let watch =
            bus.watch(&[Interest::Account(ALICE)], ALICE, SessionId(7), Kinds::MAILBOX_NAME);
        bus.publish((0..MOST_EVENTS).map(|_| event(5, create("a"))).collect());
        assert!(!watch.slot.lock().seen.too_much);
        bus.publish(vec![event(5, create("b")), event(6, gone())]);
        let seen = watch.look();
        assert!(seen.too_much && seen.events.is_empty() && seen.mailboxes.is_empty());
    }

    #[tokio::test]
    async fn a_change_wakes_who_waits_for_it() {
        let bus = Bus::default();
        let watch = bus.watch(&[Interest::Account(ALICE)], ALICE, SessionId(7), Kinds::OF_MESSAGES);
        tokio::join!(watch.changed(), async { bus.publish(vec![event(1, gone())]) });
    }
}
