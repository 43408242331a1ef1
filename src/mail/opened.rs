//! Handles that owners got on their own mailboxes, by name: who opens one again need not wait for the
//! store. They hold until a mailbox of that account is renamed or goes.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::Mailbox;
use crate::{
    events::{Event, Kind},
    ids::AccountId,
};

/// Handles that are kept; the least recently used make room.
const MOST: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// The handles, fed by the store's events.
pub(super) struct Opened(Mutex<Kept>);

struct Kept {
    handles: LruCache<(AccountId, Arc<str>), Mailbox>,
    /// How often something happened that may have ended a handle.
    changes: u64,
}

/// What had happened before the store was asked.
#[derive(Clone, Copy)]
pub(super) struct Moment(u64);

impl Default for Opened {
    fn default() -> Self {
        Self(Mutex::new(Kept { handles: LruCache::new(MOST), changes: 0 }))
    }
}

impl Opened {
    /// The owner's handle on the mailbox of that very spelling, if it is kept.
    pub(super) fn get(&self, owner: AccountId, name: &str) -> Option<Mailbox> {
        self.kept().handles.get(&(owner, name.into())).cloned()
    }

    /// To be asked before the store is, for [`Self::keep`].
    pub(super) fn now(&self) -> Moment {
        Moment(self.kept().changes)
    }

    /// Keeps a handle under the name by which it was opened, if it is its owner's and nothing can have
    /// ended it meanwhile.
    pub(super) fn keep(&self, name: &str, mailbox: &Mailbox, since: Moment) {
        let mut kept = self.kept();
        if mailbox.is_own() && kept.changes == since.0 {
            kept.handles.put((mailbox.account, name.into()), mailbox.clone());
        }
    }

    /// These were just committed; to be called before anybody is answered.
    pub(super) fn hear(&self, events: &[Arc<Event>]) {
        let ends =
            |kind: &Kind| matches!(kind, Kind::MailboxDelete(_) | Kind::MailboxRename { .. });
        let ending = events.iter().filter(|event| ends(&event.kind));
        let accounts: HashSet<AccountId> = ending.filter_map(|event| event.account).collect();
        if accounts.is_empty() {
            return;
        }
        let mut kept = self.kept();
        kept.changes += 1;
        let ended = kept.handles.iter().filter(|((owner, _), _)| accounts.contains(owner));
        let ended: Vec<_> = ended.map(|(key, _)| key.clone()).collect();
        for key in ended {
            kept.handles.pop(&key);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        mail::{Error, Rights, RightsChange, search::tests::house::House},
        store::SpecialUse,
    };

    #[tokio::test]
    async fn a_handle_ends_when_its_mailbox_gets_another_name_or_goes() {
        let house = House::open().await;
        let (mail, actor) = (&house.mail, &house.actor);
        let open = async |name: &str| mail.open(actor, name, Rights::ALL).await;
        let _ = mail.create(actor, "a/b", SpecialUse::default()).await.unwrap();
        let first = open("a/b").await.unwrap();
        assert_eq!(mail.views.opened.get(actor.account, "a/b").map(|kept| kept.id), Some(first.id));
        // It lies below the one that is renamed.
        let _ = mail.rename(actor, "a", "c").await.unwrap();
        assert!(matches!(open("a/b").await, Err(Error::NoMailbox)));
        assert_eq!(open("c/b").await.unwrap().id, first.id);
        let _ = mail.delete(actor, "c/b").await.unwrap();
        assert!(matches!(open("c/b").await, Err(Error::NoMailbox)));
        let _ = mail.create(actor, "c/b", SpecialUse::default()).await.unwrap();
        let second = open("c/b").await.unwrap();
        assert!(second.id != first.id && second.uid_validity > first.uid_validity);
    }

    #[tokio::test]
    async fn a_handle_that_may_have_ended_while_the_store_was_read_is_not_kept() {
        let house = House::open().await;
        let (mail, actor) = (&house.mail, &house.actor);
        let before = mail.views.opened.now();
        let _ = mail.create(actor, "a", SpecialUse::default()).await.unwrap();
        let _ = mail.delete(actor, "a").await.unwrap();
        mail.views.opened.keep("a", &house.inbox, before);
        assert!(mail.views.opened.get(actor.account, "a").is_none());
    }

    #[tokio::test]
    async fn rights_on_what_others_share_are_asked_for_each_time() {
        let house = House::open().await;
        let other = house.neighbour("b@d").await;
        let set = async |change| {
            let changed = house.mail.set_acl(&house.actor, "INBOX", "b@d", change).await;
            let _ = changed.unwrap();
        };
        let name = "Other Users/a@d/INBOX";
        set(RightsChange::Add(Rights::READ.with(Rights::LOOKUP))).await;
        assert!(other.mail.open(&other.actor, name, Rights::READ).await.is_ok());
        set(RightsChange::Remove(Rights::READ)).await;
        let refused = other.mail.open(&other.actor, name, Rights::READ).await;
        assert!(matches!(refused, Err(Error::Forbidden)));
    }
}
