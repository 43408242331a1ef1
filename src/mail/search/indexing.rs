//! Keeps the full-text index in step with the store, in the background.
//!
//! Contents are taken in the order in which they were stored; whatever the index has not taken yet is
//! looked at by each search, so nobody waits for it. It begins some time after mail has come, and as
//! long as changes are written it works in small steps with pauses.

use std::{collections::HashMap, time::Duration};

use tokio::time::sleep;

use super::indexed::{self, Reach};
use crate::{
    events::{Door, Interest, News, Origin},
    ids::ContentId,
    mail::{
        Mail, casemap,
        error::{Error, Result},
    },
    store::{self, Fulltext, Hash, Index, Reader, Texts},
};

/// How long news are gathered before the index looks for new mail.
const GATHER: Duration = Duration::from_secs(1);
/// How long it waits after a step while others write,
const PAUSE: Duration = Duration::from_millis(100);
/// and after a failure, such as a full disk.
const AFTER_FAILURE: Duration = Duration::from_mins(1);
/// A step ends when it has taken so many octets of text; while others write, an eighth of it.
const STEP_OCTETS: usize = 1 << 20;
/// And after so many messages in any case.
const STEP_MESSAGES: u32 = 400;
/// Rows that one step of a comparison with the store looks at.
const ROWS: u32 = 10_000;
/// Contents that one step forgets.
const FORGOTTEN: usize = 200;

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
            if news.next().await == News::Closed {
                return;
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

    /// Removes from the index what has left the store. An index that is not what it should be begins
    /// anew; says whether it was.
    pub async fn compare_index(&self) -> Result<bool> {
        let index = self.index().await?;
        let (mark, is_ours) = index.work(|r, index| marks(r, index)).await?;
        if !is_ours {
            tracing::warn!("the full-text index is not of this store and begins anew");
            return Ok(false);
        }
        let mut there = Ids::default();
        let mut after = Hash::default();
        loop {
            let some = move |r: &Reader<'_>, _: &mut Index| r.contents_by_hash(&after, ROWS);
            let some = index.work(some).await?;
            some.iter().filter(|(_, id)| *id <= mark).for_each(|(_, id)| there.insert(*id));
            match some.last() {
                Some((hash, _)) => after = *hash,
                None => break,
            }
        }
        let mut after = ContentId(0);
        loop {
            let some = move |_: &Reader<'_>, index: &mut Index| index.known_after(after, ROWS);
            let some = index.work(some).await?;
            let Some(last) = some.last() else { break };
            after = *last;
            let gone: Vec<ContentId> =
                some.into_iter().filter(|id| *id <= mark && !there.remove(*id)).collect();
            for gone in gone.chunks(FORGOTTEN) {
                let gone = gone.to_vec();
                index.work(move |_, index| index.remove(&gone)).await?;
            }
        }
        if there.is_empty() {
            return Ok(true);
        }
        tracing::warn!("the full-text index is not whole and begins anew");
        let distrust = |_: &Reader<'_>, index: &mut Index| {
            index.distrust();
            Ok::<_, store::Error>(())
        };
        index.work(distrust).await?;
        Ok(false)
    }

    /// What is wrong with the index, one finding a line; slow. It begins anew when anything is.
    pub async fn check_index(&self) -> Result<Vec<String>> {
        let Some(index) = self.store().fulltext() else { return Ok(Vec::new()) };
        let mut findings = index.work(|_, index| index.check()).await?;
        if findings.is_empty() && !self.compare_index().await? {
            findings.push("it does not hold what is stored".into());
        }
        let say = |finding| format!("full-text index (it is made anew by itself): {finding}");
        Ok(findings.into_iter().map(say).collect())
    }

    /// The index, if it was made with as many decoded words as a search by these limits sees.
    pub(super) fn fitting_index(&self) -> Option<&Fulltext> {
        let index = self.store().fulltext()?;
        (self.indexed_words.get() == Some(&self.limits().parsing.encoded_words)).then_some(index)
    }

    async fn index(&self) -> Result<Fulltext> {
        let words = *self.indexed_words.get_or_init(|| self.limits().parsing.encoded_words);
        let mut stamp = casemap::fingerprint().to_vec();
        stamp.extend((words as u64).to_le_bytes());
        // Nobody hears of it, so the time does not matter.
        let origin = Origin::new(Door::House, 0);
        Ok(self.store().open_fulltext(origin, &stamp).await?)
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
            let octets = if is_busy { STEP_OCTETS / 8 } else { STEP_OCTETS };
            if !index.work(move |r, index| step(r, index, reach, octets)).await? {
                return Ok(());
            }
        }
    }
}

/// The mark, and whether the index is of this store: it may be of one that was put back since.
fn marks(r: &Reader<'_>, index: &Index) -> store::Result<(ContentId, bool)> {
    let mark = index.mark()?;
    let hash = r.content_hash(mark)?;
    let same = hash.is_none() || hash == index.mark_hash()?;
    let is_ours = mark <= r.last_content()? && same;
    if !is_ours {
        index.distrust();
    }
    Ok((mark, is_ours))
}

/// Takes some contents in; says whether there are more.
fn step(r: &Reader<'_>, index: &mut Index, reach: Reach, octets: usize) -> Result<bool> {
    let mut taken = 0;
    let mut last = None;
    for (content, size) in r.contents_behind(index.mark()?, STEP_MESSAGES)? {
        r.check_cancelled()?;
        let texts = indexed::texts(r, content, size, reach)?;
        taken += texts.as_ref().map_or(0, Texts::len);
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

/// A set of ids that lie close together.
#[derive(Default)]
struct Ids(HashMap<i64, u64>);

impl Ids {
    fn insert(&mut self, id: ContentId) {
        *self.0.entry(id.0 >> 6).or_default() |= 1 << (id.0 & 63);
    }

    /// Takes an id out; says whether it was there.
    fn remove(&mut self, id: ContentId) -> bool {
        let Some(bits) = self.0.get_mut(&(id.0 >> 6)) else { return false };
        let bit = 1 << (id.0 & 63);
        let was_there = *bits & bit != 0;
        *bits &= !bit;
        if *bits == 0 {
            self.0.remove(&(id.0 >> 6));
        }
        was_there
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
