//! Who fetched what first: the last step of a message's trace.
//!
//! Only the first fetch of a message by a device is traced, some fetches in one job, and nobody waits
//! for it. What is known to be traced stands in a table of fixed size; of what fell out of it the store
//! knows better.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Actor, Mail};
use crate::{
    events::Origin,
    ids::{AccountId, ContentId},
    store,
};

/// Fetches that are known to be traced: 256 KiB of them.
const KNOWN: usize = 1 << 15;
/// Fetches that wait for the next job; more are not traced.
const WAITING: usize = 10_000;
/// Fetches that one job traces.
const STEP: usize = 500;
/// How long fetches are gathered for one job.
const GATHER: Duration = Duration::from_secs(1);

/// What was fetched lately.
pub(super) struct Fetched {
    hasher: RandomState,
    /// Hashes of account, device and message, each in the one place that it can have.
    known: Box<[AtomicU64]>,
    waiting: Mutex<Vec<Fetch>>,
}

/// A fetch to be traced.
struct Fetch {
    account: AccountId,
    content: ContentId,
    origin: Origin,
}

impl Default for Fetched {
    fn default() -> Self {
        let known = std::iter::repeat_with(AtomicU64::default).take(KNOWN).collect();
        Self { hasher: RandomState::new(), known, waiting: Mutex::default() }
    }
}

impl Fetched {
    /// Is it the first time, as far as that is remembered? It is no more afterwards.
    fn is_new(&self, actor: &Actor, content: ContentId) -> bool {
        let hash = self.hasher.hash_one((actor.account, actor.origin.device, content)) | 1;
        let place = usize::try_from(hash >> 1).unwrap_or(0) % KNOWN;
        let Some(known) = self.known.get(place) else { return false };
        let new = known.load(Ordering::Relaxed) != hash;
        if new {
            known.store(hash, Ordering::Relaxed);
        }
        new
    }

    /// Puts fetches with those that wait; true when nobody is about to take them.
    fn add(&self, new: Vec<Fetch>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let nobody_waits = waiting.is_empty();
        let room = WAITING.saturating_sub(waiting.len());
        waiting.extend(new.into_iter().take(room));
        nobody_waits
    }

    fn take(&self) -> Vec<Fetch> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Mail {
    /// The text of these messages was handed to the actor's device. Costs next to nothing when that is
    /// not new, and never waits.
    pub fn fetched(&self, actor: &Actor, contents: impl Iterator<Item = ContentId>) {
        let (account, origin) = (actor.account, actor.origin);
        let new = contents.filter(|content| self.fetched.is_new(actor, *content));
        let new: Vec<_> = new.map(|content| Fetch { account, content, origin }).collect();
        if !new.is_empty() && self.fetched.add(new) {
            let mail = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(GATHER).await;
                mail.trace_fetched().await;
            });
        }
    }

    async fn trace_fetched(&self) {
        let mut all = self.fetched.take();
        while !all.is_empty() {
            let step = all.split_off(all.len().saturating_sub(STEP));
            let Some(origin) = step.last().map(|fetch| fetch.origin) else { return };
            let job = move |tx: &mut store::Tx<'_>| {
                for Fetch { account, content, origin } in step {
                    tx.trace_fetched(account, content, &fetcher(origin))?;
                }
                Ok::<_, store::Error>(())
            };
            if let Err(error) = self.store.write(origin, job).await {
                tracing::debug!(%error, "fetches were not traced");
            }
        }
    }
}

/// Who it was, in a few words.
fn fetcher(origin: Origin) -> String {
    let door = format!("{:?}", origin.door).to_lowercase();
    match origin.device {
        Some(device) => format!("{door}, device {device}"),
        None => format!("{door}, main password"),
    }
}
