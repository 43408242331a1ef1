//! All views that are in memory: bounded, least recently used dropped.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::{
    error::{Error, Result},
    opened::Opened,
    view::View,
};
use crate::{
    events::{Event, Kind, Observer},
    ids::{MailboxId, Uid},
    store::Store,
};

/// How many messages one reading job loads.
const STEP: u32 = 20_000;
/// How much memory all views take at most, in octets; one that is in use may exceed it.
const BUDGET: usize = 256 << 20;

/// The views in memory, fed by the store's events.
#[derive(Default)]
pub(super) struct Views {
    shelf: Mutex<Shelf>,
    /// The handles by which owners opened their mailboxes.
    pub(super) opened: Opened,
}

struct Shelf {
    views: LruCache<MailboxId, Arc<View>>,
    loading: HashMap<MailboxId, Loading>,
    cost: usize,
}

/// A mailbox whose view is being loaded, perhaps by several sessions at once.
#[derive(Default)]
struct Loading {
    loaders: usize,
    /// What happened since the first of them began.
    missed: Vec<Arc<Event>>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { views: LruCache::unbounded(), loading: HashMap::new(), cost: 0 }
    }
}

impl Views {
    /// A view that is in memory already.
    pub(super) fn cached(&self, mailbox: MailboxId) -> Option<Arc<View>> {
        self.shelf().views.get(&mailbox).map(Arc::clone)
    }

    /// The view of a mailbox, loaded when it is not in memory.
    pub(super) async fn view(&self, store: &Store, mailbox: MailboxId) -> Result<Arc<View>> {
        if let Some(view) = self.cached(mailbox) {
            return Ok(view);
        }
        let _loader = Loader::start(self, mailbox);
        let view = load(store, mailbox).await?;
        Ok(self.shelf().put(mailbox, view))
    }

    /// How many are in memory.
    pub(super) fn held(&self) -> usize {
        self.shelf().views.len()
    }

    /// A view that is in memory takes more of it than before.
    pub(super) fn grown(&self, view: &View) {
        let mut shelf = self.shelf();
        shelf.cost = shelf.views.iter().map(|(_, view)| view.messages().cost()).sum();
        shelf.shrink(view.mailbox());
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it lives, the events of a mailbox are kept for the view that is being loaded.
struct Loader<'v> {
    views: &'v Views,
    mailbox: MailboxId,
}

impl<'v> Loader<'v> {
    fn start(views: &'v Views, mailbox: MailboxId) -> Self {
        views.shelf().loading.entry(mailbox).or_default().loaders += 1;
        Self { views, mailbox }
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut loading) = self.views.shelf().loading.entry(self.mailbox) {
            loading.get_mut().loaders -= 1;
            if loading.get().loaders == 0 {
                loading.remove();
            }
        }
    }
}

impl Shelf {
    /// Takes a loaded view in, with all that happened meanwhile; another load may have been faster.
    fn put(&mut self, mailbox: MailboxId, view: View) -> Arc<View> {
        if let Some(view) = self.views.get(&mailbox) {
            return Arc::clone(view);
        }
        let missed = self.loading.get(&mailbox).map_or(&[][..], |loading| &loading.missed);
        view.change(|messages| missed.iter().for_each(|event| messages.apply(event)));
        let view = Arc::new(view);
        self.cost = self.cost.saturating_add(view.messages().cost());
        self.views.put(mailbox, Arc::clone(&view));
        self.shrink(mailbox);
        view
    }

    /// Drops the least recently used views until the rest fits.
    fn shrink(&mut self, keep: MailboxId) {
        while self.cost > BUDGET {
            self.cost = self.views.iter().map(|(_, view)| view.messages().cost()).sum();
            if self.cost <= BUDGET || self.views.peek_lru().is_none_or(|(id, _)| *id == keep) {
                return;
            }
            if let Some((_, view)) = self.views.pop_lru() {
                self.cost = self.cost.saturating_sub(view.messages().cost());
            }
        }
    }
}

impl Observer for Views {
    fn committed(&self, events: &[Arc<Event>]) {
        self.opened.hear(events);
        let mut shelf = self.shelf();
        for event in events {
            let Some(mailbox) = event.mailbox else { continue };
            if let Some(loading) = shelf.loading.get_mut(&mailbox) {
                loading.missed.push(Arc::clone(event));
            }
            if let Kind::MailboxDelete(_) | Kind::MailboxCreate(_) = event.kind {
                shelf.views.pop(&mailbox);
            } else if let Some(view) = shelf.views.peek(&mailbox) {
                view.change(|messages| messages.apply(event));
            }
        }
    }
}

/// Reads a mailbox into a view of its own, in steps.
async fn load(store: &Store, mailbox: MailboxId) -> Result<View> {
    let (view, mut next) = store
        .read(move |r| {
            let row = r.mailbox_by_id(mailbox)?.ok_or(Error::NoMailbox)?;
            let view = View::new(&row);
            for (number, name) in r.keywords(mailbox)? {
                view.change(|messages| messages.name_keyword(number, name));
            }
            Ok::<_, Error>((view, Some(Uid::MIN)))
        })
        .await?;
    while let Some(first) = next {
        let entries =
            store.read::<_, Error, _>(move |r| Ok(r.messages(mailbox, first, STEP)?)).await?;
        view.change(|messages| entries.iter().for_each(|entry| messages.push(entry)));
        let full = entries.len() >= usize::try_from(STEP).unwrap_or(usize::MAX);
        let last = entries.last().filter(|_| full).map(|entry| entry.uid.get());
        next = last.and_then(|last| last.checked_add(1)).and_then(Uid::new);
    }
    Ok(view)
}
