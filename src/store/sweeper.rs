//! Removing what nothing refers to any more, in small jobs beside the daily work.
//!
//! There is no count of references. A sweep first notes what is in use, then removes what is neither
//! in use nor new; this is safe because octets that nothing refers to can't be referred to again
//! except by a new arrival of the same message, and an arrival notes its time.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, SystemTime},
};

use super::{
    Store,
    error::{Error, Result},
    reader::Reader,
    tx::Tx,
};
use crate::{events::Origin, ids::ContentId};

/// How long an expunged message can still be fetched by those not told yet, and how long a file
/// stays when nothing refers to it, in seconds.
const GRACE: i64 = 24 * 3600;
/// How long traces are kept, in seconds.
const TRACES: i64 = 30 * 24 * 3600;
/// How long it is known from where somebody logged in, in seconds.
const KNOWN: i64 = 30 * 24 * 3600;
/// How many rows one job removes.
const STEP: usize = 500;
/// How many free pages one job gives back to the file system.
const VACUUM_PAGES: u32 = 512;

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tombstones folded into ranges.
    pub tombstones: usize,
    /// Trace steps forgotten.
    pub traces: usize,
    /// Submissions that count no more.
    pub submissions: usize,
    /// Addresses from which nobody logged in any more.
    pub addresses: usize,
    /// Contents removed.
    pub contents: usize,
    /// Runs of inline octets removed.
    pub octets: usize,
    /// Blob files removed.
    pub files: usize,
}

impl Store {
    /// Removes what is no longer needed; takes its turn with everybody else's jobs.
    pub async fn sweep(&self, origin: Origin) -> Result<Swept> {
        let mut swept = Swept::default();
        let old = origin.at.saturating_sub(GRACE);
        let fold = move |tx: &mut Tx<'_>, step| tx.fold_tombstones(old, step);
        swept.tombstones = self.step_by_step(origin, fold).await?;
        let most = self.0.log_ranges;
        for mailbox in self.read(move |r| r.long_logs("vanished", most)).await? {
            let job = move |tx: &mut Tx<'_>| tx.shorten_log(mailbox, most, STEP);
            while *self.write(origin, job).await? {}
        }
        let most = self.0.unmarked_ranges;
        for mailbox in self.read(move |r| r.long_logs("unmarked", most)).await? {
            let job = move |tx: &mut Tx<'_>| tx.shorten_unmarked_log(mailbox, most, STEP);
            while *self.write(origin, job).await? {}
        }
        let before = origin.at.saturating_sub(TRACES);
        let forget = move |tx: &mut Tx<'_>, step| tx.forget_traces(before, step);
        swept.traces = self.step_by_step(origin, forget).await?;
        let now = origin.at;
        let forget = move |tx: &mut Tx<'_>, step| tx.forget_submissions(now, step);
        swept.submissions = self.step_by_step(origin, forget).await?;
        let before = origin.at.saturating_sub(KNOWN);
        let forget = move |tx: &mut Tx<'_>, step| tx.forget_known_addresses(before, step);
        swept.addresses = self.step_by_step(origin, forget).await?;
        swept.contents = self.sweep_contents(origin).await?;
        swept.octets = self.sweep_octets(origin).await?;
        swept.files = self.sweep_blobs(origin).await?;
        self.give_back(origin).await?;
        Ok(swept)
    }

    /// Removes at most so many rows with each job, until there are no more; says how many they were.
    async fn step_by_step(
        &self,
        origin: Origin,
        remove: impl Fn(&mut Tx<'_>, u64) -> Result<usize> + Copy + Send + 'static,
    ) -> Result<usize> {
        let mut all = 0;
        loop {
            let gone = *self.write(origin, move |tx| remove(tx, STEP as u64)).await?;
            all += gone;
            if gone < STEP {
                return Ok(all);
            }
        }
    }

    async fn sweep_contents(&self, origin: Origin) -> Result<usize> {
        // What was stored lately may be part of an APPEND that is not through.
        let before = origin.at.saturating_sub(GRACE);
        let unused: Vec<ContentId> = self
            .read(move |r| {
                let used = r.used_contents()?;
                let sql = "SELECT id FROM content WHERE last_used < ?1";
                let mut old: Vec<ContentId> = r.rows(sql, [before], |row| row.get(0))?;
                old.retain(|content| used.binary_search(content).is_err());
                Ok::<_, Error>(old)
            })
            .await?;
        for step in unused.chunks(STEP) {
            let step = step.to_vec();
            let _ = self
                .write(origin, move |tx| {
                    for content in step {
                        // The highest id stays, so that none is ever given twice: the full-text
                        // index knows contents by it.
                        let sql = "DELETE FROM content WHERE id = ?1 AND last_used < ?2
                            AND id < (SELECT max(id) FROM content)";
                        tx.execute(sql, (content, before))?;
                    }
                    Ok::<_, Error>(())
                })
                .await?;
        }
        Ok(unused.len())
    }

    async fn sweep_octets(&self, origin: Origin) -> Result<usize> {
        let unused: Vec<i64> = self
            .read(|r| {
                let (used, _) = r.used_sources()?;
                let mut all: Vec<i64> = r.rows("SELECT id FROM octets", [], |row| row.get(0))?;
                all.retain(|id| used.binary_search(id).is_err());
                Ok::<_, Error>(all)
            })
            .await?;
        for step in unused.chunks(STEP) {
            let step = step.to_vec();
            let _ = self
                .write(origin, move |tx| {
                    for id in step {
                        tx.execute("DELETE FROM octets WHERE id = ?1", [id])?;
                    }
                    Ok::<_, Error>(())
                })
                .await?;
        }
        Ok(unused.len())
    }

    /// Rows of blobs first; files that no row names follow when they are old.
    async fn sweep_blobs(&self, origin: Origin) -> Result<usize> {
        let before = origin.at.saturating_sub(GRACE);
        let unused: Vec<i64> = self
            .read(move |r| {
                let (_, used) = r.used_sources()?;
                let sql = "SELECT id FROM blob WHERE last_used < ?1";
                let mut old: Vec<i64> = r.rows(sql, [before], |row| row.get(0))?;
                old.retain(|id| used.binary_search(id).is_err());
                Ok::<_, Error>(old)
            })
            .await?;
        for step in unused.chunks(STEP) {
            let step = step.to_vec();
            let _ = self
                .write(origin, move |tx| {
                    for id in step {
                        let sql = "DELETE FROM blob WHERE id = ?1 AND last_used < ?2";
                        tx.execute(sql, (id, before))?;
                    }
                    Ok::<_, Error>(())
                })
                .await?;
        }
        self.sweep_files(origin).await
    }

    async fn sweep_files(&self, origin: Origin) -> Result<usize> {
        let grace = Duration::from_secs(GRACE.unsigned_abs());
        let blobs = self.0.blobs.clone();
        let walk = tokio::task::spawn_blocking(move || blobs.older_than(grace)).await;
        let old = walk.map_err(|_| Error::Closed)??;
        let mut files = 0;
        for step in old.chunks(STEP) {
            let step = step.to_vec();
            // In the writer, so that no job can begin to refer to a file while it is removed.
            let removed = self
                .write(origin, move |tx| {
                    let mut removed = 0;
                    for hash in step {
                        let sql = "SELECT 1 FROM blob WHERE hash = ?1";
                        if tx.row(sql, [hash], |_| Ok(()))?.is_none() {
                            removed += usize::from(tx.blobs.remove_older_than(&hash, grace)?);
                        }
                    }
                    Ok::<_, Error>(removed)
                })
                .await?;
            files += *removed;
        }
        Ok(files)
    }

    /// Gives free pages back to the file system, a few at a time.
    async fn give_back(&self, origin: Origin) -> Result<()> {
        loop {
            let left = self
                .write(origin, |tx| {
                    let sql = format!("PRAGMA incremental_vacuum({VACUUM_PAGES})");
                    tx.sql.execute_batch(&sql)?;
                    let free = tx.row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))?;
                    Ok::<_, Error>(free.unwrap_or(0))
                })
                .await?;
            // Some free pages are worth keeping: the next arrival fills them.
            if *left < i64::from(VACUUM_PAGES) * 8 {
                return Ok(());
            }
        }
    }
}

impl Reader<'_> {
    /// Every content that a message, a tombstone or the queue refers to, rising.
    fn used_contents(&self) -> Result<Vec<ContentId>> {
        let sql = "SELECT content FROM message UNION ALL SELECT content FROM tombstone
            UNION ALL SELECT content FROM queue";
        let mut used: Vec<ContentId> = self.rows(sql, [], |row| row.get(0))?;
        used.sort_unstable();
        used.dedup();
        Ok(used)
    }

    /// Every run of octets and every blob that a content refers to, rising.
    fn used_sources(&self) -> Result<(Vec<i64>, Vec<i64>)> {
        let (mut inline, mut files) = (HashSet::new(), HashSet::new());
        let mut statement = self.sql.prepare_cached("SELECT pieces FROM content")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.check_cancelled()?;
            let (octets, blobs) = Self::sources(&row.get::<_, Vec<u8>>(0)?)?;
            inline.extend(octets);
            files.extend(blobs);
        }
        let sorted = |set: HashSet<i64>| {
            let mut ids: Vec<i64> = set.into_iter().collect();
            ids.sort_unstable();
            ids
        };
        Ok((sorted(inline), sorted(files)))
    }
}

/// How long ago a file was written; zero when its time lies ahead or can't be told.
pub(super) fn age(file: &fs::Metadata) -> Duration {
    file.modified()
        .ok()
        .and_then(|written| SystemTime::now().duration_since(written).ok())
        .unwrap_or_default()
}
