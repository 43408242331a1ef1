//! The full-text index: which contents may hold a text, so that a search need not read them all.
//!
//! `fulltext.db` lies beside the store and can be made from it at any time: it is not backed up, is
//! synced with less care, and begins anew when it is damaged or is another store's. It never says that
//! a text is there, only where it cannot be; what it does not know yet is for others to look at. It
//! takes neither the store's writer nor its readers: a thread of its own fills it, with a reading
//! connection of its own, and looking up happens on a few connections of its own too.

mod file;
mod lookup;
#[cfg(test)]
pub(crate) mod rot;
mod sums;
mod work;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use rusqlite::Connection;

pub use self::{
    file::{Index, Texts},
    lookup::{Candidates, Probe},
};
use self::{
    lookup::Lookups,
    work::{Means, Worker},
};
use super::{
    Store,
    blobs::Blobs,
    error::{Error, Result},
    health::Health,
    reader::Reader,
};
use crate::{events::Origin, ids::ContentId, metrics::Metrics};

/// The setting that an index must know to be this store's.
const TAG: &str = "fulltext";
/// The file's name in the data directory.
const FILE: &str = "fulltext.db";

/// What the index's thread reads the store with, until it is started.
pub(super) struct Unopened {
    pub(super) sql: Connection,
    /// Its place among the readers' snapshots.
    pub(super) number: usize,
    pub(super) blobs: Arc<Blobs>,
    pub(super) health: Arc<Health>,
}

/// A handle on the index; cheap to clone.
#[derive(Clone)]
pub struct Fulltext(Arc<Inner>);

struct Inner {
    worker: Worker,
    lookups: Arc<Lookups>,
}

impl Store {
    /// Opens the index, once; it begins anew unless it was made from this store and with this stamp,
    /// which tells how texts were prepared. How often that was is counted.
    pub async fn open_fulltext(
        &self,
        origin: Origin,
        stamp: &[u8],
        metrics: &Arc<Metrics>,
    ) -> Result<Fulltext> {
        if let Some(open) = self.fulltext() {
            return Ok(open.clone());
        }
        let known = self.read(|r| r.setting(TAG)).await?;
        let tag = if let Some(tag) = known {
            tag
        } else {
            let mut tag = vec![0; 16];
            let filled = aws_lc_rs::rand::fill(&mut tag);
            filled.map_err(|_| io::Error::other("no random numbers"))?;
            let new = tag.clone();
            let _ = self.write(origin, move |tx| tx.remember(TAG, &new)).await?;
            tag
        };
        let mut unopened = self.0.unopened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Unopened { sql, number, blobs, health }) = unopened.take() {
            let path = self.0.data_dir.join(FILE);
            let stamp = [tag.as_slice(), stamp].concat();
            let lookups = Arc::new(Lookups::new(path.clone()));
            let means = Means {
                path,
                stamp,
                sql,
                number,
                blobs,
                health,
                snapshots: Arc::clone(&self.0.snapshots),
                lookups: Arc::clone(&lookups),
                metrics: Arc::clone(metrics),
            };
            let worker = Worker::start(means)?;
            let _ = self.0.fulltext.set(Fulltext(Arc::new(Inner { worker, lookups })));
        }
        self.fulltext().cloned().ok_or(Error::Closed)
    }

    /// The index, if it was opened.
    pub fn fulltext(&self) -> Option<&Fulltext> {
        self.0.fulltext.get()
    }

    /// Where the index lies, whether it is there or not.
    pub fn fulltext_path(&self) -> PathBuf {
        self.0.data_dir.join(FILE)
    }
}

impl Fulltext {
    /// Runs a job on the index's thread, with one snapshot of the store. What the job changes is there
    /// for all when it ends well; else nothing of it is.
    pub async fn work<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Reader<'_>, &mut Index) -> Result<T, E> + Send + 'static,
    {
        self.0.worker.run(job).await
    }

    /// Which of these contents may hold each of the texts. Nothing when the index cannot
    /// tell; dropping the future ends the search for them.
    pub async fn candidates(
        &self,
        probes: Vec<Probe>,
        contents: Vec<ContentId>,
    ) -> Option<Candidates> {
        let found = self.0.lookups.candidates(probes, contents).await;
        if let Err(Error::Corrupt(cause)) = &found {
            tracing::warn!(cause, "the full-text index is damaged and begins anew");
            self.0.worker.begin_anew();
        }
        found.ok().flatten()
    }

    /// Up to this content everything is known.
    pub fn mark(&self) -> ContentId {
        self.0.worker.mark()
    }

    /// Octets of its files.
    pub fn size(&self) -> u64 {
        self.0.lookups.size()
    }

    /// Waits until the index was found to be wrong, and is empty from then on.
    pub async fn begins_anew(&self) {
        self.0.worker.begins_anew().await;
    }

    /// Ends the thread.
    pub(super) async fn close(&self) {
        self.0.lookups.close();
        self.0.worker.close().await;
    }
}
