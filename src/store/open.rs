//! Opening a data directory: settings verified by reading them back, schema brought up to date.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::{
    Inner, Store,
    blobs::Blobs,
    error::{Error, Result},
    files::{Files, Watch},
    fulltext::Unopened,
    health::Health,
    log::Log,
    reader::Readers,
    schema,
    snapshots::Snapshots,
    space::{Gauge, LEAST_FOR_WRITING, Needs},
    writer::{Means, Writer},
};
use crate::{events::Bus, flags::Keywords, metrics::Metrics};

/// The oldest SQLite whose write-ahead log is free of known faults.
const LEAST_SQLITE: i32 = 3_051_003;

/// How long the write-ahead log may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// From how many pages on what is in it is moved to its place in the database.
    pub checkpoint_pages: u64,
    /// From how many octets on it is worth an alarm; from half of that on the writer helps to move.
    pub alarm: u64,
    /// From how many octets on readers whose snapshots are old are cut off: they keep the log from
    /// beginning anew.
    pub cut: u64,
    /// From when on a snapshot is old.
    pub old: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            checkpoint_pages: 2_000,
            alarm: 256 << 20,
            cut: 1 << 30,
            old: Duration::from_secs(5),
        }
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds everything; made when absent, mode 0700.
    pub data_dir: PathBuf,
    /// From how many octets on a body is a file of its own.
    pub inline_threshold: usize,
    /// How many reading threads.
    pub readers: usize,
    /// Mail is not added when the disk has less room than this, in octets.
    pub least_for_adding: u64,
    /// Nothing is written when the disk has less room than this, in octets.
    pub least_for_writing: u64,
    /// Octets kept back for the time when the disk is full: then expunging and flags go on for as
    /// long as they last; 0 for none.
    pub reserve: u64,
    /// Keywords of one mailbox, the fixed ones not counted; more than 256 count as 256.
    pub keywords: usize,
    /// Ranges of UIDs that the log of what was expunged holds for one mailbox; the oldest are
    /// forgotten.
    pub log_ranges: usize,
    /// Ranges of UIDs that the log of keywords taken away holds for one mailbox; the oldest are
    /// forgotten.
    pub unmarked_ranges: usize,
    /// How long the write-ahead log may grow.
    pub log: LogLimits,
    /// How often a disk that took no writes is tried again.
    pub probe_every: Duration,
    /// Who watches the file operations; nobody but a test.
    pub watch: Watch,
    /// Where it is counted that a bound was come up against.
    pub metrics: Arc<Metrics>,
}

impl Options {
    /// The defaults for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            inline_threshold: 128 << 10,
            readers: 3,
            least_for_adding: 256 << 20,
            least_for_writing: LEAST_FOR_WRITING,
            reserve: 0,
            keywords: Keywords::LIMIT,
            log_ranges: 10_000,
            unmarked_ranges: 10_000,
            log: LogLimits::default(),
            probe_every: Duration::from_secs(10),
            watch: Watch::default(),
            metrics: Arc::default(),
        }
    }
}

impl Store {
    /// Opens the store, which must not be open elsewhere (one server per data directory: the lock
    /// file tells), and brings its schema up to date.
    pub fn open(options: &Options, bus: Arc<Bus>) -> Result<Self> {
        if rusqlite::version_number() < LEAST_SQLITE {
            return Err(Error::Refused("this SQLite is too old: 3.51.3 is the least"));
        }
        let data_dir = options.data_dir.clone();
        make_private_dir(&data_dir)?;
        let lock = lock(&data_dir)?;
        let health = Arc::new(Health::new());
        let files = Arc::new(Files::new(options.watch.clone(), Arc::clone(&health)));
        let blobs = Arc::new(Blobs::open(&data_dir, Arc::clone(&files))?);
        let path = data_dir.join("mailade.db");
        let mut sql = connect(&path, Access::Write)?;
        schema::migrate(&mut sql)?;
        let checkpoints = connect(&path, Access::Write)?;
        let mut readers = (0..=options.readers.max(1))
            .map(|_| connect(&path, Access::Read))
            .collect::<Result<Vec<_>>>()?;
        let snapshots = Arc::new(Snapshots::new(&readers));
        // The last one is the full-text index's.
        let unopened = readers.pop();
        if let Some(sql) = &unopened {
            // It reads everything once: what it has read is not worth keeping.
            sql.execute_batch("PRAGMA cache_size = -512;")?;
        }
        let unopened = unopened.map(|sql| Unopened {
            sql,
            number: readers.len(),
            blobs: Arc::clone(&blobs),
            health: Arc::clone(&health),
        });
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let needs = Needs {
            adding: options.least_for_adding,
            writing: options.least_for_writing,
            reserve: options.reserve,
        };
        let gauge = Gauge::new(&data_dir, files, needs);
        let (connections, probe_every) = (readers, options.probe_every);
        let readers = Readers::start(
            connections,
            Arc::clone(&blobs),
            Arc::clone(&health),
            Arc::clone(&snapshots),
        )?;
        let means = Means {
            log: Log::new(&sql, options.log, Arc::clone(&snapshots), &options.metrics)?,
            keywords: options.keywords,
            sql,
            checkpoints,
            blobs: Arc::clone(&blobs),
            bus: Arc::clone(&bus),
            health,
            gauge,
            metrics: Arc::clone(&options.metrics),
            probe_every,
        };
        Ok(Self(Arc::new(Inner {
            data_dir,
            inline_threshold: options.inline_threshold,
            log_ranges: options.log_ranges,
            unmarked_ranges: options.unmarked_ranges,
            readers,
            writer: Writer::start(means)?,
            blobs,
            bus,
            snapshots,
            unopened: Mutex::new(unopened),
            fulltext: OnceLock::new(),
            _lock: lock,
        })))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

fn connect(path: &Path, access: Access) -> Result<Connection> {
    let flags = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let sql = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sql.set_prepared_statement_cache_capacity(256);
    sql.execute_batch("PRAGMA busy_timeout = 10000;")?;
    // Closing must not do what the writer has given up after a failed sync.
    sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if access == Access::Write {
        let tables: i64 = sql.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        if tables == 0 {
            sql.execute_batch(schema::BEFORE_FIRST_TABLE)?;
        }
        sql.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        sql.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
        // What a savepoint could take back is kept in memory: each commit would make a file in
        // /var/tmp otherwise, with pages of mail in it.
        sql.execute_batch("PRAGMA temp_store = MEMORY")?;
    }
    sql.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA cache_size = -4096;",
    )?;
    verify(&sql)?;
    Ok(sql)
}

/// A setting that did not take would break a promise in silence.
fn verify(sql: &Connection) -> Result<()> {
    let mode: String = sql.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    let number = |name| sql.query_row(name, [], |row| row.get::<_, i64>(0));
    // Without a row memory maps were left out when SQLite was built.
    let mapped = number("PRAGMA mmap_size").optional()?.unwrap_or(0);
    let kept = mode.eq_ignore_ascii_case("wal")
        && number("PRAGMA synchronous")? == 2
        && number("PRAGMA foreign_keys")? == 1
        && number("PRAGMA trusted_schema")? == 0
        && number("PRAGMA cell_size_check")? == 1
        && number("PRAGMA busy_timeout")? == 10_000
        && mapped == 0;
    if kept { Ok(()) } else { Err(Error::Refused("the database did not take its safety settings")) }
}

/// Keeps a second process away; held as long as the store is open.
fn lock(data_dir: &Path) -> Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(data_dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

pub(super) fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could look into this folder; now they can't");
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}
