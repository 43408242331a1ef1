//! The store over a disk that fails, fills and forgets: what was committed is there whole, what was
//! refused is not there, and numbers only grow.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use mailade::{
    events::{Bus, Door, Origin},
    flags::{Flags, Marks},
    ids::{AccountId, ContentId, MailboxId, Uid},
    mail::name,
    metrics::Limit,
    store::{
        Blob, Condition, Deed, Error, MailboxRow, MarkDeed, MarkNames, NewContent, NewMessage,
        NewPiece, Options, SpecialUse, Store, Tx, Watch,
    },
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::stored::{NOW, add_account, origin};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const HEADER: &[u8] = b"Subject: x\r\n\r\n";

fn open(options: &Options) -> Store {
    Store::open(options, Arc::new(Bus::default())).unwrap()
}

/// The options of a test: a disk of any size will do.
fn options(dir: &Path, watch: Watch) -> Options {
    Options {
        least_for_adding: 0,
        least_for_writing: 0,
        reserve: 0,
        probe_every: Duration::from_millis(10),
        watch,
        ..Options::new(dir)
    }
}

/// A store with alice in it.
async fn house(options: &Options) -> (Store, AccountId, MailboxRow) {
    let store = open(options);
    let account = store.write(origin(), add_account).await.unwrap().into_inner();
    let inbox = inbox(&store, account).await;
    (store, account, inbox)
}

async fn inbox(store: &Store, account: AccountId) -> MailboxRow {
    store.read(move |r| r.mailbox(account, &name::key("INBOX"))).await.unwrap().unwrap()
}

fn body(number: u8) -> Vec<u8> {
    vec![number; 200_000]
}

/// A content whose body is a file.
fn in_a_file(blob: Blob, body: &[u8]) -> NewContent {
    let octets = [HEADER, body].concat();
    NewContent {
        hash: *blake3::hash(&octets).as_bytes(),
        size: octets.len() as u64,
        header: HEADER.into(),
        pieces: vec![NewPiece::Blob(blob, 0..blob.size)],
        summary: vec![1],
        structure: vec![2],
        preview: String::new(),
        references: Vec::new(),
    }
}

fn inline(body: &[u8]) -> NewContent {
    let nothing = Blob { hash: [0; 32], size: 0 };
    NewContent { pieces: vec![NewPiece::Octets(body.into())], ..in_a_file(nothing, body) }
}

fn write_file(store: &Store, body: &[u8]) -> Result<Blob, Error> {
    let mut file = store.temporary()?;
    for part in body.chunks(64 << 10) {
        file.write(part)?;
    }
    file.finish()
}

async fn append(store: &Store, mailbox: &MailboxRow, new: NewContent) -> Result<(), Error> {
    let mailbox = mailbox.clone();
    let job = move |tx: &mut Tx<'_>| {
        let (content, size) = (tx.add_content(&new)?, new.size);
        let thread = tx.thread(mailbox.account, &[])?;
        let marks = Marks::default();
        tx.append(&mailbox, &[NewMessage { content, size, marks, internal_date: NOW, thread }])
    };
    store.write(origin(), job).await.map(|_| ())
}

async fn flag(store: &Store, mailbox: &MailboxRow, deed: MarkDeed) -> Result<(), Error> {
    let mailbox = mailbox.clone();
    let names = MarkNames { flags: Flags::FLAGGED, keywords: Vec::new() };
    let job = move |tx: &mut Tx<'_>| tx.mark(&mailbox, &[Uid::MIN], deed, &names, None);
    store.write(origin(), job).await.map(|_| ())
}

/// A disk that forgets at a power cut what was not synced.
#[derive(Default)]
struct Forgetful {
    /// How many deeds are done before the power fails.
    power_for: usize,
    deeds: Vec<&'static str>,
    synced: HashSet<PathBuf>,
    made: HashSet<PathBuf>,
    /// Names that are not on the disk yet: new and old.
    renamed: HashMap<PathBuf, PathBuf>,
}

impl Forgetful {
    fn see(&mut self, deed: Deed<'_>) -> io::Result<()> {
        if self.deeds.len() >= self.power_for {
            return Err(io::Error::other("no power"));
        }
        self.deeds.push(match deed {
            Deed::Create(path) => {
                self.made.insert(path.into());
                "create"
            }
            Deed::Write(path, _) => {
                self.synced.remove(path);
                "write"
            }
            Deed::Sync(path) => {
                self.synced.insert(path.into());
                "sync"
            }
            Deed::Rename(from, to) => {
                self.renamed.insert(to.into(), from.into());
                if self.synced.contains(from) {
                    self.synced.insert(to.into());
                }
                self.made.remove(from);
                self.made.insert(to.into());
                "rename"
            }
            Deed::SyncFolder(folder) => {
                self.renamed.retain(|to, _| to.parent() != Some(folder));
                "sync folder"
            }
            Deed::Remove(_) => "remove",
            Deed::Reserve(..) => "reserve",
        });
        Ok(())
    }

    /// What the disk looks like when the power comes back.
    fn forget(&self) {
        for made in self.made.iter().filter(|made| !self.synced.contains(*made) && made.exists()) {
            File::options().write(true).open(made).unwrap().set_len(0).unwrap();
        }
        for (to, from) in self.renamed.iter().filter(|(to, _)| to.exists()) {
            fs::rename(to, from).unwrap();
        }
    }
}

#[tokio::test]
async fn whenever_the_power_fails_a_committed_message_has_its_body() {
    let mut committed = 0;
    for power_for in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk =
            Arc::new(Mutex::new(Forgetful { power_for: usize::MAX, ..Forgetful::default() }));
        let seen = Arc::clone(&disk);
        let watch = Watch::deeds(move |deed| seen.lock().unwrap().see(deed));
        let (store, account, inbox_row) = house(&options(dir.path(), watch)).await;
        let before = disk.lock().unwrap().deeds.len();
        disk.lock().unwrap().power_for = before + power_for;
        let kept = match write_file(&store, &body(7)) {
            Ok(blob) => append(&store, &inbox_row, in_a_file(blob, &body(7))).await.is_ok(),
            Err(_) => false,
        };
        let all = disk.lock().unwrap().deeds.len() < before + power_for;
        store.close().await;
        drop(store);
        disk.lock().unwrap().forget();
        let store = open(&options(dir.path(), Watch::default()));
        let messages = inbox(&store, account).await.status.messages;
        assert_eq!(messages, u64::from(kept), "power for {power_for} deeds");
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        committed += messages;
        if all {
            let deeds = disk.lock().unwrap().deeds[before..].to_vec();
            assert_eq!(deeds[0], "create");
            assert_eq!(deeds[deeds.len() - 3..], ["sync", "rename", "sync folder"]);
            break;
        }
    }
    assert!(committed >= 1);
}

/// A watch that fails some deeds while it is told to.
fn failing(which: fn(Deed<'_>) -> bool) -> (Watch, Arc<Mutex<Option<i32>>>) {
    let error = Arc::new(Mutex::new(None::<i32>));
    let told = Arc::clone(&error);
    let watch = Watch::deeds(move |deed| match *told.lock().unwrap() {
        Some(error) if which(deed) => Err(io::Error::from_raw_os_error(error)),
        _ => Ok(()),
    });
    (watch, error)
}

#[tokio::test]
async fn a_body_that_fails_to_sync_is_refused_and_is_the_end() {
    for which in [(|deed| matches!(deed, Deed::Sync(_))) as fn(Deed<'_>) -> bool, |deed| {
        matches!(deed, Deed::SyncFolder(_))
    }] {
        let dir = tempfile::tempdir().unwrap();
        let (watch, error) = failing(which);
        let (store, account, inbox_row) = house(&options(dir.path(), watch)).await;
        append(&store, &inbox_row, inline(b"before")).await.unwrap();
        *error.lock().unwrap() = Some(EIO);
        assert!(matches!(write_file(&store, &body(1)), Err(Error::SyncFailed)));
        *error.lock().unwrap() = None;
        store.failed().await;
        assert_eq!(store.condition(), Condition::Failed);
        let later = append(&store, &inbox_row, inline(b"later")).await;
        assert!(matches!(later, Err(Error::SyncFailed | Error::Closed)), "{later:?}");
        store.close().await;
        drop(store);
        let store = open(&options(dir.path(), Watch::default()));
        assert_eq!(inbox(&store, account).await.status.messages, 1);
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_body_that_finds_no_room_is_refused_and_the_next_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (watch, error) = failing(|deed| matches!(deed, Deed::Write(..) | Deed::Sync(_)));
    let (store, _, inbox_row) = house(&options(dir.path(), watch)).await;
    *error.lock().unwrap() = Some(ENOSPC);
    assert!(matches!(write_file(&store, &body(1)), Err(Error::DiskFull)));
    assert_eq!(store.condition(), Condition::Well);
    *error.lock().unwrap() = None;
    let blob = write_file(&store, &body(1)).unwrap();
    append(&store, &inbox_row, in_a_file(blob, &body(1))).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0, "nothing is left over");
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn after_a_write_that_failed_nothing_is_changed_until_one_goes_well() {
    let dir = tempfile::tempdir().unwrap();
    let (watch, error) = failing(|deed| matches!(deed, Deed::Create(_) | Deed::Write(..)));
    let (store, account, inbox_row) = house(&options(dir.path(), watch)).await;
    append(&store, &inbox_row, inline(b"before")).await.unwrap();
    *error.lock().unwrap() = Some(EIO);
    assert!(matches!(write_file(&store, &body(1)), Err(Error::ReadOnly)));
    assert!(matches!(store.check_adding(), Err(Error::ReadOnly)));
    assert!(matches!(append(&store, &inbox_row, inline(b"no")).await, Err(Error::ReadOnly)));
    assert!(matches!(flag(&store, &inbox_row, MarkDeed::Add).await, Err(Error::ReadOnly)));
    assert_eq!(inbox(&store, account).await.status.messages, 1, "reading goes on");
    *error.lock().unwrap() = None;
    while store.condition() != Condition::Well {
        tokio::task::yield_now().await;
    }
    append(&store, &inbox_row, inline(b"after")).await.unwrap();
    assert_eq!(inbox(&store, account).await.status.messages, 2);
}

#[tokio::test]
async fn adding_stops_first_then_writing_and_both_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(1000));
    let told = Arc::clone(&free);
    let watch = Watch::room(move || told.load(Ordering::Relaxed));
    let options =
        Options { least_for_adding: 100, least_for_writing: 10, ..options(dir.path(), watch) };
    let (store, _, inbox_row) = house(&options).await;
    append(&store, &inbox_row, inline(b"before")).await.unwrap();
    let room = async |octets| {
        free.store(octets, Ordering::Relaxed);
        while store.space().free != octets {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let adding = store.check_adding().is_ok();
        let added = append(&store, &inbox_row, inline(b"more")).await;
        assert_eq!(adding, added.is_ok(), "the doors are told what the writer does");
        assert!(matches!(added, Ok(()) | Err(Error::DiskFull)));
        let flagged = flag(&store, &inbox_row, MarkDeed::Add).await;
        assert!(matches!(flagged, Ok(()) | Err(Error::DiskFull)));
        (added.is_ok(), flagged.is_ok())
    };
    assert_eq!(room(101).await, (true, true));
    assert_eq!(room(100).await, (true, true));
    assert_eq!(room(99).await, (false, true));
    assert_eq!(room(10).await, (false, true));
    assert_eq!(options.metrics.times_exceeded(Limit::DiskFreeStop), 0);
    assert_eq!(room(9).await, (false, false));
    assert_eq!(options.metrics.times_exceeded(Limit::DiskFreeStop), 2, "adding and flagging");
    assert_eq!(room(1000).await, (true, true));
}

#[tokio::test]
async fn the_scrub_reads_everything_in_its_parts_and_finds_what_rots() {
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), Watch::default());
    let (store, _, inbox_row) = house(&options).await;
    for number in 0..4u8 {
        append(&store, &inbox_row, inline(&[number])).await.unwrap();
    }
    let blob = write_file(&store, &body(9)).unwrap();
    append(&store, &inbox_row, in_a_file(blob, &body(9))).await.unwrap();
    let mut read = Vec::new();
    for _ in 0..3 {
        let part = store.scrub(origin(), 3).await.unwrap();
        assert_eq!(part.damaged, Vec::<String>::new());
        read.push(part.contents);
    }
    assert_eq!(read, [2, 2, 2], "five contents in three parts, then the first again");
    // One octet of the file turns over.
    let hex = blake3::Hash::from_bytes(blob.hash).to_hex();
    let (folder, rest) = hex.split_at(2);
    let path = dir.path().join("blobs").join(folder).join(rest);
    let mut octets = fs::read(&path).unwrap();
    octets[150_000] ^= 1;
    fs::write(&path, octets).unwrap();
    let damaged = store.scrub(origin(), 1).await.unwrap().damaged;
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    let found = store.check().await.unwrap();
    assert_eq!(found.len(), 2, "the file and the message: {found:?}");
}

#[tokio::test]
async fn check_finds_every_number_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let (store, account, inbox_row) = house(&options(dir.path(), Watch::default())).await;
    append(&store, &inbox_row, inline(b"one")).await.unwrap();
    append(&store, &inbox_row, inline(b"two")).await.unwrap();
    let row = inbox_row.clone();
    let expunge = move |tx: &mut Tx<'_>| tx.expunge(&row, &[Uid::MIN]);
    let _ = store.write(origin(), expunge).await.unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    store.close().await;
    drop(store);
    let harms = [
        "UPDATE mailbox SET unseen = unseen + 1 WHERE id = ?1",
        "UPDATE mailbox SET octets = octets + 1 WHERE id = ?1",
        "UPDATE mailbox SET deleted = 1 WHERE id = ?1",
        "UPDATE mailbox SET uid_next = 2, recent_uid = 1 WHERE id = ?1",
        "UPDATE mailbox SET recent_uid = 99 WHERE id = ?1",
        "UPDATE message SET mod_seq = 99 WHERE mailbox = ?1",
        "UPDATE tombstone SET mod_seq = 99 WHERE mailbox = ?1",
        "UPDATE tombstone SET uid = 2 WHERE mailbox = ?1",
        "INSERT INTO vanished VALUES (?1, 1, 1, 7)",
        "UPDATE message SET flags = flags | 256 WHERE mailbox = ?1",
        "INSERT INTO unmarked VALUES (?1, 99, 1, 1, 256, x'')",
        "UPDATE mailbox SET mod_seq = 99 WHERE id = ?1",
        "UPDATE mailbox SET uid_validity = 4000000000 WHERE id = ?1",
        "UPDATE mailbox SET uid_validity = (SELECT max(uid_validity) FROM mailbox) WHERE id = ?1",
        "UPDATE account SET used_octets = used_octets + 1 + 0 * ?1",
        "INSERT INTO metadata VALUES (?1 + 999, '/shared/comment', 0, x'')",
        "INSERT INTO metadata VALUES (?1, '/private/comment', 999, x'')",
        "INSERT INTO annotation VALUES (?1, 999, '/comment', 0, x'')",
        "INSERT INTO annotation SELECT mailbox, uid, '/comment', 999, x'' FROM message WHERE mailbox = ?1",
        "UPDATE account SET used_messages = 0 * ?1",
        "UPDATE message SET size = size + 1 WHERE mailbox = ?1",
        "UPDATE message SET thread = 99 WHERE mailbox = ?1",
        "UPDATE octets SET data = x'78' WHERE id > 0 * ?1",
        "DELETE FROM octets WHERE id > 0 * ?1",
        "DELETE FROM content WHERE id > 0 * ?1",
        "DELETE FROM summary WHERE content > 0 * ?1",
        "INSERT INTO sending SELECT 1, 1, mailbox, uid, 0, 1, 0, 0, 0 FROM message WHERE mailbox = ?1",
        "INSERT INTO queue SELECT 1, NULL, '', max(id) + 0 * ?1, NULL, NULL, 0, 0, '', 0 FROM content",
    ];
    for harm in harms {
        let copy = tempfile::tempdir().unwrap();
        let file = copy.path().join("mailade.db");
        fs::copy(dir.path().join("mailade.db"), &file).unwrap();
        let sql = rusqlite::Connection::open(&file).unwrap();
        assert!(sql.execute(harm, [inbox_row.id.0]).unwrap() > 0, "{harm}");
        drop(sql);
        let store = open(&options(copy.path(), Watch::default()));
        assert_ne!(store.check().await.unwrap(), Vec::<String>::new(), "{harm}");
        assert!(inbox(&store, account).await.selectable);
    }
}

/// The part of the next test that ends its process.
#[tokio::test]
#[ignore = "run by the next test in a process of its own"]
async fn a_job_that_panics() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&options(dir.path(), Watch::default()));
    let _ = store.write::<(), Error, _>(origin(), |_| panic!("on purpose")).await;
    // Its asker hears that nothing came of it, perhaps before the process is gone.
    tokio::time::sleep(Duration::from_secs(20)).await;
    println!("still alive");
}

#[test]
fn a_panic_of_the_writer_ends_the_process() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::a_job_that_panics", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(said.contains("on purpose") && !said.contains("still alive"), "{said}");
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(rustix::process::Signal::ABORT.as_raw()), "{said}");
}

/// What is done to a mailbox.
#[derive(Clone, Debug)]
enum Change {
    Append(u8),
    Expunge(u8),
    Flag(u8),
    Fold,
    MakeAgain,
    Reopen,
}

fn change() -> impl Strategy<Value = (Change, bool)> {
    let change = prop_oneof![
        4 => any::<u8>().prop_map(Change::Append),
        3 => any::<u8>().prop_map(Change::Expunge),
        2 => any::<u8>().prop_map(Change::Flag),
        1 => Just(Change::Fold),
        1 => Just(Change::MakeAgain),
        1 => Just(Change::Reopen),
    ];
    // One in three is rolled back.
    (change, prop::bool::weighted(0.67))
}

/// All counters of an account and its mailboxes.
#[derive(Debug, Default)]
struct Counters {
    mod_seq: u64,
    uid_validity: HashMap<String, u32>,
    uid_next: HashMap<(MailboxId, u32), u64>,
    given: HashMap<(MailboxId, u32, Uid), ContentId>,
}

async fn look(store: &Store, account: AccountId, seen: &mut Counters) {
    let boxes = store.read(move |r| r.mailboxes(account)).await.unwrap();
    let highest = boxes.iter().map(|row| row.status.mod_seq.0).max().unwrap_or(0);
    assert!(highest >= seen.mod_seq, "mod-sequences only grow");
    seen.mod_seq = highest;
    for row in boxes {
        let validity = row.uid_validity.0;
        let before = seen.uid_validity.insert(row.name.to_string(), validity);
        assert!(before.is_none_or(|before| before <= validity), "UIDVALIDITY only grows");
        let before = seen.uid_next.insert((row.id, validity), row.status.uid_next);
        assert!(before.is_none_or(|before| before <= row.status.uid_next), "UIDNEXT only grows");
        let id = row.id;
        for entry in store.read(move |r| r.messages(id, Uid::MIN, 1000)).await.unwrap() {
            assert!(u64::from(entry.uid.get()) < row.status.uid_next);
            let known = seen.given.insert((id, validity, entry.uid), entry.content);
            assert!(known.is_none_or(|known| known == entry.content), "a UID is given once");
        }
    }
}

async fn make(
    store: &Store,
    account: AccountId,
    change: Change,
    kept: bool,
    now: i64,
) -> Result<(), Error> {
    let job = move |tx: &mut Tx<'_>| {
        let key = name::key("box");
        let row = tx.mailbox(account, &key)?.ok_or(Error::NotFound("mailbox"))?;
        let uid = |number: u8| Uid::new(u32::from(number % 16) + 1).into_iter().collect::<Vec<_>>();
        match change {
            Change::Append(number) => {
                let new = inline(&[number]);
                let (content, size) = (tx.add_content(&new)?, new.size);
                let thread = tx.thread(account, &[i64::from(number)])?;
                let marks = Marks::default();
                let new = NewMessage { content, size, marks, internal_date: now, thread };
                tx.append(&row, &[new, new])?;
            }
            Change::Expunge(number) => drop(tx.expunge(&row, &uid(number))?),
            Change::Flag(number) => {
                let names = MarkNames { flags: Flags::SEEN, keywords: Vec::new() };
                tx.mark(&row, &uid(number), MarkDeed::Add, &names, None)?;
            }
            Change::Fold => drop(tx.fold_tombstones(now + 1, 1000)?),
            Change::MakeAgain => {
                tx.remove_mailbox(&row, false)?;
                tx.add_mailbox(account, "box", &key, SpecialUse::default())?;
            }
            Change::Reopen => {}
        }
        if kept { Ok(()) } else { Err(Error::Refused("on purpose")) }
    };
    store.write(Origin::new(Door::House, now), job).await.map(|_| ())
}

#[test]
fn counters_only_grow_whatever_is_done_or_rolled_back_whatever_the_clock_says() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let steps = prop::collection::vec((change(), -100_000..100_000i64), 1..40);
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let options = options(dir.path(), Watch::default());
            let (mut store, account, _) = house(&options).await;
            let made = store.write(origin(), move |tx| {
                tx.add_mailbox(account, "box", &name::key("box"), SpecialUse::default())
            });
            let _ = made.await.unwrap();
            let mut seen = Counters::default();
            look(&store, account, &mut seen).await;
            for ((change, kept), clock) in steps {
                if matches!(change, Change::Reopen) {
                    store.close().await;
                    drop(store);
                    store = open(&options);
                }
                let made = make(&store, account, change, kept, NOW + clock).await;
                assert_eq!(made.is_ok(), kept, "{made:?}");
                look(&store, account, &mut seen).await;
            }
            assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        });
        Ok(())
    });
    outcome.unwrap();
}
