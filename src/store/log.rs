//! The write-ahead log: what is in it is moved to its place beside the daily work, and when it grows
//! all the same, an alarm is given and in the end old readers are cut off.

use std::{
    ffi::c_int,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::{Connection, hooks::Wal};

use super::{error::Result, open::LogLimits, snapshots::Snapshots};
use crate::metrics::{Limit, Metrics};

/// The log as the writer keeps it.
pub(super) struct Log {
    limits: LogLimits,
    page: u64,
    /// Its length after the last commit, in pages.
    pages: Arc<AtomicU64>,
    snapshots: Arc<Snapshots>,
    /// The alarm was given and the log has not become short since.
    alarmed: AtomicBool,
    /// It was long enough to be moved when it was looked at last.
    due: AtomicBool,
    metrics: Arc<Metrics>,
}

/// What the writer has to do about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing.
    None,
    /// Wake the checkpointer, and wait for nothing.
    Wake,
    /// Checkpoint by itself.
    Help,
}

impl Log {
    /// The log of this database.
    pub(super) fn new(
        sql: &Connection,
        limits: LogLimits,
        snapshots: Arc<Snapshots>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        let page = sql.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))?;
        Ok(Self {
            limits,
            page: page.into(),
            pages: Arc::default(),
            snapshots,
            alarmed: AtomicBool::new(false),
            due: AtomicBool::new(false),
            metrics: Arc::clone(metrics),
        })
    }

    /// Listens to the writer's commits, which checkpoint nothing by themselves from now on.
    pub(super) fn follow(&self, writer: &mut Connection) -> Result<()> {
        // First this: it takes away whatever hook there is.
        writer.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
        let pages_now = Arc::clone(&self.pages);
        writer.wal_hook(Some(move |_: &mut Wal, pages: c_int| {
            pages_now.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(())
    }

    /// Looks how long it is after a commit; gives the alarm and cuts old readers off when it must.
    pub(super) fn look_after(&self) -> Care {
        let pages = self.pages.load(Ordering::Relaxed);
        let size = pages.saturating_mul(self.page);
        let length = self.limits.length(pages, size);
        let is_due = length >= Length::Due;
        if is_due && !self.due.swap(is_due, Ordering::Relaxed) {
            self.metrics.exceeded(Limit::WalCheckpointPages);
        }
        self.due.store(is_due, Ordering::Relaxed);
        if length < Length::Long {
            self.alarmed.store(false, Ordering::Relaxed);
        }
        if length >= Length::Alarming && !self.alarmed.swap(true, Ordering::Relaxed) {
            self.metrics.exceeded(Limit::WalAlarm);
            tracing::error!(size, "the database's log has grown too long");
        }
        if length == Length::Unbearable {
            let readers = self.snapshots.cut(self.limits.old);
            if readers > 0 {
                self.metrics.exceeded(Limit::WalCutReaders);
                tracing::error!(size, readers, "cut off readers that kept the log long");
            }
        }
        match length {
            Length::Short => Care::None,
            Length::Due => Care::Wake,
            Length::Long | Length::Alarming | Length::Unbearable => Care::Help,
        }
    }

    /// Its length is not known until the next commit.
    pub(super) fn forget(&self) {
        self.pages.store(0, Ordering::Relaxed);
    }
}

/// How long the log is, by what has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Length {
    /// Nothing.
    Short,
    /// The checkpointer moves it, and nobody waits.
    Due,
    /// The writer itself moves it.
    Long,
    /// The alarm is given too.
    Alarming,
    /// Old readers are cut off too.
    Unbearable,
}

impl LogLimits {
    fn length(&self, pages: u64, octets: u64) -> Length {
        if octets >= self.cut {
            Length::Unbearable
        } else if octets >= self.alarm {
            Length::Alarming
        } else if octets >= self.alarm / 2 {
            Length::Long
        } else if pages >= self.checkpoint_pages {
            Length::Due
        } else {
            Length::Short
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, thread, time::Duration};

    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        events::{Bus, Door, Origin},
        store::{Error, Options, Reader, Store},
    };

    #[test]
    fn what_is_done_depends_on_the_length() {
        let limits =
            LogLimits { checkpoint_pages: 10, alarm: 2_000, cut: 4_000, ..LogLimits::default() };
        for (pages, octets, length) in [
            (9, 9, Length::Short),
            (10, 10, Length::Due),
            (11, 999, Length::Due),
            (11, 1_000, Length::Long),
            (11, 1_999, Length::Long),
            (11, 2_000, Length::Alarming),
            (11, 3_999, Length::Alarming),
            (11, 4_000, Length::Unbearable),
            (11, 4_001, Length::Unbearable),
        ] {
            assert_eq!(limits.length(pages, octets), length, "{pages} pages, {octets} octets");
        }
    }

    fn open(dir: &Path, metrics: &Arc<Metrics>) -> Store {
        let log =
            LogLimits { checkpoint_pages: 8, alarm: 512 << 10, cut: 1 << 20, old: Duration::ZERO };
        let metrics = Arc::clone(metrics);
        let options = Options { least_for_adding: 0, log, metrics, ..Options::new(dir) };
        Store::open(&options, Arc::new(Bus::default())).unwrap()
    }

    async fn write_a_megabyte(store: &Store) {
        for _ in 0..16 {
            let job = |tx: &mut crate::store::Tx<'_>| {
                tx.execute("INSERT INTO octets (data) VALUES (?1)", [vec![b'x'; 64 << 10]])
            };
            let _kept = store.write(Origin::new(Door::House, 0), job).await.unwrap();
        }
    }

    fn length(dir: &Path) -> u64 {
        fs::metadata(dir.join("mailade.db-wal")).unwrap().len()
    }

    /// A reader that holds its snapshot until it is told to end.
    async fn hold(
        store: &Store,
        job: impl FnOnce(&Reader<'_>) -> Result<()> + Send + 'static,
    ) -> tokio::task::JoinHandle<Result<()>> {
        let (begun, has_begun) = oneshot::channel();
        let store = store.clone();
        let held = tokio::spawn(async move {
            store
                .read(move |r| {
                    r.row("SELECT count(*) FROM setting", [], |_| Ok(()))?;
                    let _asker_waits = begun.send(());
                    job(r)
                })
                .await
        });
        has_begun.await.unwrap();
        held
    }

    #[tokio::test]
    async fn an_old_reader_is_cut_off_and_the_log_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let store = open(dir.path(), &metrics);
        let looks = hold(&store, |r| {
            loop {
                r.check_cancelled()?;
                thread::yield_now();
            }
        });
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT count(*) FROM n";
        let computes = hold(&store, |r| r.row(endless, [], |_| Ok(())).map(|_| ()));
        let (looks, computes) = (looks.await, computes.await);
        write_a_megabyte(&store).await;
        write_a_megabyte(&store).await;
        for reader in [looks, computes] {
            let ended = tokio::time::timeout(Duration::from_secs(20), reader).await;
            assert!(matches!(ended.expect("it was not cut off").unwrap(), Err(Error::Cancelled)));
        }
        // All readers are fit for work again, and nothing holds the log back any more.
        for _ in 0..6 {
            let count = store.read(|r| r.row("SELECT 1", [], |row| row.get::<_, i64>(0)));
            assert_eq!(count.await.unwrap(), Some(1));
        }
        let before = length(dir.path());
        for _ in 0..4 {
            write_a_megabyte(&store).await;
        }
        assert!(length(dir.path()) <= before + (1 << 20), "{before}, {}", length(dir.path()));
        for limit in [Limit::WalCheckpointPages, Limit::WalAlarm, Limit::WalCutReaders] {
            assert!(metrics.times_exceeded(limit) > 0, "{limit:?}");
        }
    }

    #[tokio::test]
    async fn a_young_reader_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            least_for_adding: 0,
            log: LogLimits { cut: 1 << 20, alarm: 1 << 20, ..LogLimits::default() },
            ..Options::new(dir.path())
        };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let (end, ended) = std::sync::mpsc::channel();
        let reads = hold(&store, move |r| {
            let _told = ended.recv();
            r.check_cancelled()
        });
        let reads = reads.await;
        write_a_megabyte(&store).await;
        write_a_megabyte(&store).await;
        end.send(()).unwrap();
        assert!(reads.await.unwrap().is_ok());
        let metrics = &options.metrics;
        assert_eq!(metrics.times_exceeded(Limit::WalCutReaders), 0);
        assert_eq!(metrics.times_exceeded(Limit::WalAlarm), 1, "once as long as it is too long");
    }
}
