//! What happened in the house, told after the commit that made it true.
//!
//! The store publishes, everybody else listens: idle sessions, the queue, push. Observers hear at
//! once and in the writer's own thread, before any client is answered (the mailbox views are kept
//! true this way); subscribers hear through a bounded queue of their own. Who does not keep up loses
//! detail, not truth: it hears [`News::Lagged`] and asks the store what changed since its mod-seq.

mod watch;

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    task::{Poll, Waker},
};

pub use self::watch::{Kinds, Seen, Watch};
use crate::{
    flags::{Flags, Marks},
    ids::{AccountId, ContentId, DeviceId, MailboxId, ModSeq, SessionId, ThreadId, Uid},
};

/// How many events wait for a subscriber before it is told that it lags.
const QUEUE: usize = 64;
/// From what weight on events that wait are worth waking a patient subscriber for.
const CROWD: usize = QUEUE / 2;
/// So many messages in one event weigh as much as an event more.
const MESSAGES_OF_WEIGHT: usize = 64;

/// The way by which a change came into the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// An IMAP session.
    Imap,
    /// Another server on port 25.
    Smtp,
    /// A local program over LMTP.
    Lmtp,
    /// A user's client on 587 or 465.
    Submission,
    /// The command line or the web page.
    Control,
    /// The house itself: queue, sweeper, notices.
    House,
}

/// Who made a change, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The door it came by.
    pub door: Door,
    /// The live session, when one did it: it does not hear its own changes as news.
    pub session: Option<SessionId>,
    /// The device whose app password logged in.
    pub device: Option<DeviceId>,
    /// Wall clock, in seconds since 1970.
    pub at: i64,
}

impl Origin {
    /// A change without a session.
    pub const fn new(door: Door, at: i64) -> Self {
        Self { door, session: None, device: None, at }
    }
}

/// A message's place in a mailbox: all that is known without looking at its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the mailbox.
    pub uid: Uid,
    /// When it last changed.
    pub mod_seq: ModSeq,
    /// Flags and keywords.
    pub marks: Marks,
    /// Its octets.
    pub content: ContentId,
    /// Its conversation.
    pub thread: ThreadId,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date: i64,
    /// When it came into this mailbox (RFC 8514), in seconds since 1970.
    pub save_date: i64,
    /// RFC822.SIZE in octets.
    pub size: u64,
}

/// A message whose flags or keywords changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkChange {
    /// Which message.
    pub uid: Uid,
    /// What it bears now.
    pub marks: Marks,
    /// The change's mod-sequence.
    pub mod_seq: ModSeq,
}

/// Entries of metadata, or of annotations, that changed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries {
    /// Their names.
    pub names: Arc<[Arc<str>]>,
    /// Whose they are, when they are private: nobody else may hear of them.
    pub of: Option<AccountId>,
}

impl Entries {
    /// May this account hear of them, as far as they are private?
    pub fn are_told_to(&self, account: AccountId) -> bool {
        self.of.is_none_or(|owner| owner == account)
    }
}

/// What can happen, in the words of RFC 5423 and RFC 5465 and a few of our own.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Messages came in, UIDs rising.
    MessageNew(Arc<[Entry]>),
    /// Messages are gone for good, UIDs rising.
    MessageExpunge(Arc<[Uid]>),
    /// Flags or keywords changed, UIDs rising.
    FlagChange(Arc<[MarkChange]>),
    /// A mailbox learned a keyword of its own: its number and its name.
    KeywordNew(u8, Arc<str>),
    /// Messages of a mailbox bear fixed keywords that none of its messages bore before.
    KeywordUse(Flags),
    /// Annotations of messages changed (RFC 5257), UIDs rising.
    AnnotationChange(Arc<[Uid]>, Entries),
    /// A mailbox was made, under this name.
    MailboxCreate(Arc<str>),
    /// A mailbox is gone, or may no longer be selected; this was its name.
    MailboxDelete(Arc<str>),
    /// A mailbox has another name.
    MailboxRename {
        /// The name it had.
        from: Arc<str>,
        /// The name it has.
        to: Arc<str>,
    },
    /// A name was subscribed (true) or unsubscribed.
    SubscriptionChange(Arc<str>, bool),
    /// A mailbox's metadata changed (RFC 5464).
    MailboxMetadataChange(Entries),
    /// The server's metadata changed.
    ServerMetadataChange(Entries),
    /// Rights on a mailbox changed.
    RightsChange,
    /// The account itself changed: password, state, addresses.
    AccountChange,
    /// A device came, went or was revoked.
    DeviceChange(DeviceId),
    /// A URLAUTH key was renewed.
    KeyChange,
    /// Something was queued, tried, delivered or given up.
    QueueChange,
    /// A message in a mailbox is to be submitted by the server, or no longer.
    SendingChange,
    /// A line was added to the trace of a message.
    Trace,
    /// A setting of the server changed.
    SettingsChange,
}

/// One change, after its commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Whose mail changed; None for the server's own affairs.
    pub account: Option<AccountId>,
    /// Which mailbox, when it was one.
    pub mailbox: Option<MailboxId>,
    /// The account's mod-sequence of the change; zero when it has none.
    pub mod_seq: ModSeq,
    /// Who did it.
    pub origin: Origin,
    /// What it was.
    pub kind: Kind,
}

/// Hears every event in the writer's thread, before clients are answered; must be quick.
pub trait Observer: Send + Sync {
    /// These were just committed, in this order.
    fn committed(&self, events: &[Arc<Event>]);
}

/// What a subscriber wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// One mailbox.
    Mailbox(MailboxId),
    /// All of an account: its mailboxes, names, settings.
    Account(AccountId),
    /// The queue.
    Queue,
    /// Messages in mailboxes that the server shall submit.
    Sending,
    /// Metadata of the server and of all mailboxes, whoever's they are.
    Metadata,
    /// Changes of rights, on whoever's mailbox.
    Rights,
    /// Everything there is.
    Everything,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It happened.
    Event(Arc<Event>),
    /// More happened than was kept: ask the store what changed since the last known mod-sequence.
    Lagged,
    /// The house closes.
    Closed,
}

/// The one stream of events.
#[derive(Default)]
pub struct Bus {
    observers: OnceLock<Vec<Arc<dyn Observer>>>,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    by_interest: HashMap<Interest, Vec<Weak<dyn Hear>>>,
    closed: bool,
}

/// Where events wait for somebody.
trait Hear: Send + Sync {
    /// It happened.
    fn put(&self, event: &Arc<Event>);
    /// The house closes.
    fn close(&self);
}

/// One subscriber's waiting events.
#[derive(Default)]
struct Slot(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    events: VecDeque<Arc<Event>>,
    /// Of the events together.
    weight: usize,
    lagged: bool,
    closed: bool,
    waker: Option<Waker>,
    /// The waker is for a crowd, not for each event.
    patient: bool,
}

impl Bus {
    /// Names the observers, once, before the first publication; a second call is ignored.
    pub fn observe(&self, observers: Vec<Arc<dyn Observer>>) {
        let _ = self.observers.set(observers);
    }

    /// Starts to keep what happens for a new subscriber.
    pub fn subscribe(&self, interest: Interest) -> Subscription {
        let slot = Arc::new(Slot::default());
        self.listen(interest, &(Arc::clone(&slot) as Arc<dyn Hear>));
        Subscription { slot }
    }

    /// Starts to note what happens for a session that watches these for an account.
    pub fn watch(
        &self,
        interests: &[Interest],
        account: AccountId,
        session: SessionId,
        kinds: Kinds,
    ) -> Watch {
        let watch = Watch::new(account, session, kinds);
        for interest in interests {
            self.watch_also(&watch, *interest);
        }
        watch
    }

    /// From now on this too.
    pub fn watch_also(&self, watch: &Watch, interest: Interest) {
        self.listen(interest, &(Arc::clone(&watch.slot) as Arc<dyn Hear>));
    }

    fn listen(&self, interest: Interest, slot: &Arc<dyn Hear>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if listeners.closed {
            slot.close();
        } else {
            let slots = listeners.by_interest.entry(interest).or_default();
            if slots.len() == slots.capacity() {
                slots.retain(|slot| slot.strong_count() > 0);
            }
            slots.push(Arc::downgrade(slot));
        }
    }

    /// Tells observers, then subscribers, what a commit made true.
    pub fn publish(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let events: Vec<Arc<Event>> = events.into_iter().map(Arc::new).collect();
        for observer in self.observers.get().into_iter().flatten() {
            observer.committed(&events);
        }
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for event in &events {
            for interest in interests(event) {
                listeners.tell(interest, event);
            }
        }
    }

    /// Ends every subscription: the house closes.
    pub fn close(&self) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.closed = true;
        for (_, slots) in listeners.by_interest.drain() {
            slots.iter().filter_map(Weak::upgrade).for_each(|slot| slot.close());
        }
    }
}

/// Under which interests an event is heard.
fn interests(event: &Event) -> impl Iterator<Item = Interest> {
    let theirs = match event.kind {
        Kind::QueueChange => Some(Interest::Queue),
        Kind::SendingChange => Some(Interest::Sending),
        Kind::MailboxMetadataChange(_) | Kind::ServerMetadataChange(_) => Some(Interest::Metadata),
        Kind::RightsChange => Some(Interest::Rights),
        _ => None,
    };
    [
        event.mailbox.map(Interest::Mailbox),
        event.account.map(Interest::Account),
        theirs,
        Some(Interest::Everything),
    ]
    .into_iter()
    .flatten()
}

impl Listeners {
    fn tell(&mut self, interest: Interest, event: &Arc<Event>) {
        let Some(slots) = self.by_interest.get_mut(&interest) else { return };
        slots.retain(|slot| match slot.upgrade() {
            Some(slot) => {
                slot.put(event);
                true
            }
            None => false,
        });
        if slots.is_empty() {
            self.by_interest.remove(&interest);
        }
    }
}

impl Hear for Slot {
    fn put(&self, event: &Arc<Event>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.events.len() < QUEUE && !waiting.lagged {
            waiting.events.push_back(Arc::clone(event));
            waiting.weight += event.kind.weight();
        } else {
            waiting.forget();
            waiting.lagged = true;
        }
        if (!waiting.patient || waiting.is_crowded())
            && let Some(waker) = waiting.waker.take()
        {
            waker.wake();
        }
    }

    fn close(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

impl Waiting {
    fn take(&mut self) -> Option<News> {
        if self.lagged {
            self.lagged = false;
            return Some(News::Lagged);
        }
        match self.events.pop_front() {
            Some(event) => {
                self.weight = self.weight.saturating_sub(event.kind.weight());
                if self.events.is_empty() {
                    // An idle phone keeps no empty queue.
                    self.forget();
                }
                Some(News::Event(event))
            }
            None => self.closed.then_some(News::Closed),
        }
    }

    fn forget(&mut self) {
        self.events = VecDeque::new();
        self.weight = 0;
    }

    fn is_crowded(&self) -> bool {
        self.lagged || self.closed || self.weight >= CROWD
    }
}

impl Kind {
    /// How much memory it holds: an event of few messages weighs 1.
    fn weight(&self) -> usize {
        let messages = match self {
            Self::MessageNew(entries) => entries.len(),
            Self::MessageExpunge(uids) | Self::AnnotationChange(uids, _) => uids.len(),
            Self::FlagChange(changes) => changes.len(),
            _ => 0,
        };
        1 + messages / MESSAGES_OF_WEIGHT
    }
}

/// One subscriber's end; dropping it ends the subscription.
pub struct Subscription {
    slot: Arc<Slot>,
}

impl Subscription {
    /// Waits for the next news. May be dropped half way without loss.
    pub async fn next(&mut self) -> News {
        poll_fn(|context| {
            let mut waiting = self.slot.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(news) = waiting.take() {
                return Poll::Ready(news);
            }
            waiting.waker = Some(context.waker().clone());
            waiting.patient = false;
            Poll::Pending
        })
        .await
    }

    /// Waits until so much has happened that it should be taken in, though nobody asks for it yet:
    /// a session whose client is silent is not woken for every event. May be dropped half way without
    /// loss.
    pub async fn crowded(&mut self) {
        poll_fn(|context| {
            let mut waiting = self.slot.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.is_crowded() {
                return Poll::Ready(());
            }
            waiting.waker = Some(context.waker().clone());
            waiting.patient = true;
            Poll::Pending
        })
        .await;
    }

    /// The next news, if there is any already.
    pub fn try_next(&mut self) -> Option<News> {
        self.slot.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(mailbox: i64) -> Event {
        Event {
            account: Some(AccountId(1)),
            mailbox: Some(MailboxId(mailbox)),
            mod_seq: ModSeq(1),
            origin: Origin::new(Door::House, 0),
            kind: Kind::RightsChange,
        }
    }

    #[test]
    fn a_subscriber_hears_of_its_mailbox_only() {
        let bus = Bus::default();
        let mut seven = bus.subscribe(Interest::Mailbox(MailboxId(7)));
        bus.publish(vec![event(8), event(7)]);
        assert!(
            matches!(seven.try_next(), Some(News::Event(e)) if e.mailbox == Some(MailboxId(7)))
        );
        assert_eq!(seven.try_next(), None);
    }

    #[test]
    fn a_slow_subscriber_is_told_that_it_lags_and_hears_on() {
        let bus = Bus::default();
        let mut slow = bus.subscribe(Interest::Account(AccountId(1)));
        for _ in 0..=QUEUE {
            bus.publish(vec![event(1)]);
        }
        assert_eq!(slow.try_next(), Some(News::Lagged));
        assert_eq!(slow.try_next(), None);
        bus.publish(vec![event(2)]);
        assert!(matches!(slow.try_next(), Some(News::Event(_))));
    }

    #[tokio::test]
    async fn a_patient_subscriber_wakes_for_a_crowd_or_a_heavy_event() {
        let bus = Bus::default();
        let mut patient = bus.subscribe(Interest::Mailbox(MailboxId(1)));
        let mut is_crowded = async |events: Vec<Event>| {
            bus.publish(events);
            let crowded = tokio::select! {
                biased;
                () = patient.crowded() => true,
                () = std::future::ready(()) => false,
            };
            while crowded && !matches!(patient.try_next(), None | Some(News::Closed)) {}
            crowded
        };
        assert!(!is_crowded(vec![event(1); CROWD - 1]).await);
        assert!(is_crowded(vec![event(1)]).await);
        assert!(!is_crowded(vec![event(1)]).await);
        let gone: Vec<Uid> = (1..=10_000).filter_map(Uid::new).collect();
        let heavy = Event { kind: Kind::MessageExpunge(gone.into()), ..event(1) };
        assert!(is_crowded(vec![heavy]).await);
        bus.close();
        assert!(is_crowded(vec![]).await);
    }

    #[tokio::test]
    async fn a_crowd_wakes_who_waits_for_it() {
        let bus = Bus::default();
        let mut patient = bus.subscribe(Interest::Mailbox(MailboxId(1)));
        tokio::join!(patient.crowded(), async { bus.publish(vec![event(1); CROWD]) });
    }

    #[tokio::test]
    async fn waiting_ends_when_something_happens_or_the_house_closes() {
        let bus = Arc::new(Bus::default());
        let mut all = bus.subscribe(Interest::Everything);
        let teller = Arc::clone(&bus);
        let (heard, ()) = tokio::join!(all.next(), async move { teller.publish(vec![event(1)]) });
        assert!(matches!(heard, News::Event(_)));
        bus.close();
        assert_eq!(all.next().await, News::Closed);
        assert_eq!(bus.subscribe(Interest::Everything).next().await, News::Closed);
    }
}
