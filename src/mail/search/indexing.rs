//! Keeps the full-text index in step with the store, in the background.
//!
//! Contents are taken in the order in which they were stored; whatever the index has not taken yet is
//! looked at by each search, so nobody waits for it. It begins some time after mail has come, and as
//! long as changes are written it works in small steps with pauses.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::indexed::{self, Reach};
use crate::{
    events::{Door, Interest, News, Origin},
    ids::ContentId,
    mail::{
        Mail, casemap,
        error::{Error, Result},
    },
    metrics::{Limit, Metrics},
    store::{self, Fulltext, Index, Reader, Texts},
};

/// How long news are gathered before the index looks for new mail.
const GATHER: Duration = Duration::from_secs(1);
/// How long it waits after a step while others write,
const PAUSE: Duration = Duration::from_millis(100);
/// and after a failure, such as a full disk.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// A step ends when it has taken so many octets of text; while others write, a quarter of it.
const STEP_OCTETS: usize = 512 << 10;
/// And after so many messages in any case.
const STEP_MESSAGES: u32 = 400;
/// What the index takes of a message: another number when that changes.
const TEXTS: u8 = 2;

/// How far the index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Messages that it has not taken in, each content once.
    pub messages: u64,
    /// Their octets.
    pub backlog: u64,
    /// Octets of its files.
    pub octets: u64,
}

impl Mail {
    /// Keeps the index in step as long as it is polled.
    pub async fn keep_index(&self) {
        let mut news = self.store().bus().subscribe(Interest::Everything);
        let mut compared = false;
        loop {
            let done = async {
                if !compared {
                    self.compare_index().await?;
                    compared = true;
                }
                self.catch_up(true).await
            };
            if let Err(error) = done.await {
                if matches!(error, Error::Internal(store::Error::Closed)) {
                    return;
                }
                tracing::warn!(%error, "the full-text index has to wait; searches read the mail");
                sleep(AFTER_FAILURE).await;
                continue;
            }
            tokio::select! {
                news = news.next() => if news == News::Closed {
                    return;
                },
                () = self.index_begins_anew() => {}
            }
            sleep(GATHER).await;
            while news.try_next().is_some_and(|news| news != News::Closed) {}
        }
    }

    /// Takes in all that is not in the index yet, without pauses.
    pub async fn index_all(&self) -> Result<()> {
        self.compare_index().await?;
        self.catch_up(false).await
    }

    /// What the index has not taken in yet, and what it takes itself.
    pub async fn index_state(&self) -> Result<IndexState> {
        let index = self.store().fulltext();
        let (mark, octets) =
            (index.map_or(ContentId(0), Fulltext::mark), index.map(Fulltext::size));
        let (messages, backlog) = self.store().read(move |r| r.sum_behind(mark)).await?;
        Ok(IndexState { messages, backlog, octets: octets.unwrap_or(0) })
    }

    /// The index, if it was made with as many decoded words as a search by these limits sees.
    pub(super) fn fitting_index(&self) -> Option<&Fulltext> {
        let index = self.store().fulltext()?;
        (self.indexed_words.get() == Some(&self.limits().parsing.encoded_words)).then_some(index)
    }

    /// Ends when the index was found to be wrong, and is empty from now on.
    async fn index_begins_anew(&self) {
        match self.store().fulltext() {
            Some(index) => index.begins_anew().await,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn index(&self) -> Result<Fulltext> {
        if let Some(index) = self.store().fulltext() {
            return Ok(index.clone());
        }
        let words = *self.indexed_words.get_or_init(|| self.limits().parsing.encoded_words);
        let mut stamp = casemap::fingerprint().to_vec();
        stamp.extend((words as u64).to_le_bytes());
        stamp.push(TEXTS);
        // Nobody hears of it, so the time does not matter.
        let origin = Origin::new(Door::House, 0);
        Ok(self.store().open_fulltext(origin, &stamp, &self.metrics).await?)
    }

    async fn catch_up(&self, gently: bool) -> Result<()> {
        let index = self.index().await?;
        let parsed = self.limits().parsing.encoded_words;
        let encoded_words = self.indexed_words.get().copied().unwrap_or(parsed);
        let reach = Reach { text: self.limits().text_indexed, encoded_words };
        let mut commits = self.store().commits();
        loop {
            self.store().check_adding()?;
            let before = std::mem::replace(&mut commits, self.store().commits());
            let is_busy = gently && before != commits;
            if is_busy {
                sleep(PAUSE).await;
            }
            let octets = if is_busy { STEP_OCTETS / 4 } else { STEP_OCTETS };
            let metrics = Arc::clone(&self.metrics);
            let step =
                move |r: &Reader<'_>, index: &mut Index| step(r, index, reach, octets, &metrics);
            if !index.work(step).await? {
                return Ok(());
            }
        }
    }
}

/// Takes some contents in; says whether there are more.
fn step(
    r: &Reader<'_>,
    index: &mut Index,
    reach: Reach,
    octets: usize,
    metrics: &Metrics,
) -> Result<bool> {
    let mut taken = 0;
    let mut last = None;
    for (content, size) in r.contents_behind(index.mark()?, STEP_MESSAGES)? {
        r.check_cancelled()?;
        let texts = indexed::texts(r, content, size, reach)?;
        if texts.as_ref().is_some_and(|texts| texts.body.is_none()) {
            metrics.exceeded(Limit::TextIndexedMax);
        }
        taken += texts.as_ref().map_or(0, Texts::octets);
        index.add(content, texts.as_ref())?;
        last = Some(content);
        if taken >= octets {
            break;
        }
    }
    let Some(last) = last else {
        index.rest();
        return Ok(false);
    };
    index.set_mark(last, &r.content_hash(last)?.unwrap_or_default())?;
    Ok(true)
}
