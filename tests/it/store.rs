//! The store's promises: what is answered is committed, one bad job fails alone, numbers only grow.

use std::sync::Arc;

use mailade::{
    events::{Bus, Door, Interest, Kind, News, Origin},
    flags::{Flags, Marks},
    ids::{AccountId, MailboxId, ModSeq, Uid},
    mail::{Actor, Limits, Mail, Rights, name},
    store::{
        Error, MailboxRow, MarkDeed, MarkNames, NewContent, NewMessage, NewPiece, Options,
        SpecialUse, Store, Tx, Want,
    },
};

use crate::stored::{NOW, add_account, origin};

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap()
}

/// A store with one account and its default mailboxes.
async fn house() -> (tempfile::TempDir, Store, AccountId) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let account = store.write(origin(), add_account).await.unwrap().into_inner();
    (dir, store, account)
}

fn content(body: &str) -> NewContent {
    let header = b"Subject: x\r\n\r\n".to_vec();
    let octets = [&header[..], body.as_bytes()].concat();
    NewContent {
        hash: *blake3::hash(&octets).as_bytes(),
        size: octets.len() as u64,
        header,
        pieces: vec![NewPiece::Octets(body.into())],
        summary: vec![1],
        structure: vec![2],
        preview: body.into(),
        references: Vec::new(),
    }
}

fn append(tx: &mut Tx<'_>, mailbox: &MailboxRow, new: &NewContent) -> Result<Uid, Error> {
    let (content, size) = (tx.add_content(new)?, new.size);
    let thread = tx.thread(mailbox.account, &new.references)?;
    let marks = Marks::default();
    let message = NewMessage { content, size, marks, internal_date: NOW, thread };
    Ok(tx.append(mailbox, &[message])?[0].uid)
}

async fn mailbox(store: &Store, account: AccountId, named: &str) -> MailboxRow {
    let key = name::key(named);
    store.read(move |r| r.mailbox(account, &key)).await.unwrap().expect("the mailbox is there")
}

async fn add(store: &Store, mailbox: &MailboxRow, body: &'static str) -> Uid {
    let mailbox = mailbox.clone();
    let job = move |tx: &mut Tx<'_>| append(tx, &mailbox, &content(body));
    store.write(origin(), job).await.unwrap().into_inner()
}

fn uids(numbers: &[u32]) -> Vec<Uid> {
    numbers.iter().copied().filter_map(Uid::new).collect()
}

async fn findings(store: &Store) -> Vec<String> {
    store.check().await.unwrap()
}

#[tokio::test]
async fn many_waiting_jobs_share_few_commits() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let before = store.commits();
    let added = futures_util::future::join_all((0..200).map(|_| add(&store, &inbox, "x"))).await;
    assert_eq!(added.len(), 200);
    let commits = store.commits() - before;
    assert!(commits < 50, "{commits} commits for 200 jobs that waited together");
}

#[tokio::test]
async fn a_job_that_fails_is_rolled_back_alone() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let row = inbox.clone();
    let failing = store.write(origin(), move |tx| {
        append(tx, &row, &content("never seen"))?;
        Err::<(), _>(Error::Refused("on purpose"))
    });
    let (first, failed, last) =
        tokio::join!(add(&store, &inbox, "one"), failing, add(&store, &inbox, "two"));
    assert!(matches!(failed, Err(Error::Refused("on purpose"))));
    assert_ne!(first, last);
    let status = mailbox(&store, account, "INBOX").await.status;
    assert_eq!((status.messages, status.uid_next), (2, 3));
}

#[tokio::test]
async fn events_follow_the_commit_and_a_failed_job_has_none() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let mut news = store.bus().subscribe(Interest::Mailbox(inbox.id));
    let uid = add(&store, &inbox, "x").await;
    let Some(News::Event(event)) = news.try_next() else { panic!("no event") };
    let Kind::MessageNew(entries) = &event.kind else { panic!("{event:?}") };
    assert_eq!(entries.iter().map(|entry| entry.uid).collect::<Vec<_>>(), [uid]);
    let failed = store
        .write(origin(), move |tx| {
            append(tx, &inbox, &content("y"))?;
            Err::<(), _>(Error::OverQuota)
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(news.try_next(), None);
}

#[tokio::test]
async fn octets_are_stored_once_and_come_back_in_any_split() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let sent = mailbox(&store, account, "Sent").await;
    add(&store, &inbox, "the same octets").await;
    add(&store, &sent, "the same octets").await;
    let content = async |id: MailboxId| {
        store.read(move |r| r.message(id, Uid::MIN)).await.unwrap().unwrap().content
    };
    let one = content(inbox.id).await;
    assert_eq!(one, content(sent.id).await);
    let whole = b"Subject: x\r\n\r\nthe same octets";
    let end = whole.len() as u64;
    for cut in 0..=end {
        let read = move |r: &mailade::store::Reader<'_>| {
            Ok::<_, Error>([r.octets(one, 0..cut)?, r.octets(one, cut..end)?])
        };
        assert_eq!(store.read(read).await.unwrap().concat(), whole);
    }
}

#[tokio::test]
async fn a_large_body_is_a_file_and_a_missing_file_is_said() {
    let (dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let mut file = store.temporary().unwrap();
    file.write(&vec![b'x'; 300_000]).unwrap();
    let blob = file.finish().unwrap();
    let mut new = content(&"x".repeat(300_000));
    new.pieces = vec![NewPiece::Blob(blob, 0..blob.size)];
    let job = move |tx: &mut Tx<'_>| {
        append(tx, &inbox, &new)?;
        tx.add_content(&new)
    };
    let id = store.write(origin(), job).await.unwrap().into_inner();
    let tail = store.read(move |r| r.octets(id, 299_999..400_000)).await.unwrap();
    assert_eq!(tail.len(), 300_000 + 14 - 299_999);
    assert_eq!(findings(&store).await, Vec::<String>::new());
    let hex = blake3::Hash::from_bytes(blob.hash).to_hex();
    let (folder, rest) = hex.split_at(2);
    std::fs::remove_file(dir.path().join("blobs").join(folder).join(rest)).unwrap();
    let lost = store.read(move |r| r.octets(id, 0..400_000)).await;
    assert!(matches!(lost, Err(Error::Corrupt(_))));
    assert_eq!(findings(&store).await.len(), 2, "the file and the message");
}

#[tokio::test]
async fn marks_change_atomically_and_what_is_so_already_changes_nothing() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let uid = add(&store, &inbox, "x").await;
    let names = MarkNames { flags: Flags::SEEN, keywords: vec!["Blue".into()] };
    let (outcome, again, stale) = store
        .write(origin(), move |tx| {
            let both = [uid, uids(&[99])[0]];
            let outcome = tx.mark(&inbox, &both, MarkDeed::Add, &names, None)?;
            let again = tx.mark(&inbox, &[uid], MarkDeed::Add, &names, None)?;
            let before = Some(ModSeq(outcome.changed[0].mod_seq.0 - 1));
            let stale = tx.mark(&inbox, &[uid], MarkDeed::Remove, &names, before)?;
            Ok::<_, Error>((outcome, again, stale))
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((outcome.changed.len(), outcome.missing), (1, uids(&[99])));
    assert!(again.changed.is_empty());
    assert_eq!(stale.modified, [uid]);
    let status = mailbox(&store, account, "INBOX").await.status;
    assert_eq!((status.unseen, status.mod_seq), (0, outcome.changed[0].mod_seq));
}

#[tokio::test]
async fn a_mailbox_takes_256_keywords_and_gives_unused_numbers_again() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let uid = add(&store, &inbox, "x").await;
    let names = |range: std::ops::Range<u32>| MarkNames {
        flags: Flags::NONE,
        keywords: range.map(|number| format!("k{number}")).collect(),
    };
    let (full, more, one) = (names(0..256), names(256..257), names(0..1));
    let done = store.write(origin(), move |tx| {
        tx.mark(&inbox, &[uid], MarkDeed::Add, &full, None)?;
        let refused = tx.mark(&inbox, &[uid], MarkDeed::Add, &more, None);
        assert!(matches!(refused, Err(Error::Over(..))), "{refused:?}");
        tx.mark(&inbox, &[uid], MarkDeed::Replace, &one, None)?;
        tx.mark(&inbox, &[uid], MarkDeed::Add, &more, None)
    });
    assert_eq!(done.await.unwrap().changed.len(), 1);
}

#[tokio::test]
async fn what_was_expunged_is_logged_before_and_after_folding() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    for body in ["a", "b", "c", "d"] {
        add(&store, &inbox, body).await;
    }
    let (id, since) = (inbox.id, mailbox(&store, account, "INBOX").await.status.mod_seq);
    let expunge = move |tx: &mut Tx<'_>| tx.expunge(&inbox, &uids(&[2, 3, 7]));
    assert_eq!(*store.write(origin(), expunge).await.unwrap(), uids(&[2, 3]));
    let still = store.read(move |r| r.tombstone(id, uids(&[2])[0])).await.unwrap();
    assert!(still.is_some(), "sessions not yet told can still fetch");
    let vanished = async || {
        let ranges = store.read(move |r| r.vanished(id, since)).await.unwrap().unwrap();
        let mut all: Vec<u32> = ranges.iter().flat_map(|(a, b)| a.get()..=b.get()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(vanished().await, [2, 3]);
    let swept = store.sweep(Origin::new(Door::House, NOW + 25 * 3600)).await.unwrap();
    assert_eq!((swept.tombstones, swept.contents, swept.octets), (2, 2, 2));
    assert_eq!(vanished().await, [2, 3]);
    assert_eq!(mailbox(&store, account, "INBOX").await.status.messages, 2);
    assert_eq!(findings(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_expunge_log_holds_so_many_ranges_and_says_when_that_is_not_enough() {
    for (most, enough) in [(2, false), (3, true), (4, true)] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { log_ranges: most, ..Options::new(dir.path()) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let account = store.write(origin(), add_account).await.unwrap().into_inner();
        let inbox = mailbox(&store, account, "INBOX").await;
        for _ in 0..6 {
            add(&store, &inbox, "x").await;
        }
        let (id, since) = (inbox.id, mailbox(&store, account, "INBOX").await.status.mod_seq);
        for uid in [1, 3, 5] {
            let row = inbox.clone();
            let expunge = move |tx: &mut Tx<'_>| tx.expunge(&row, &uids(&[uid]));
            let _gone = store.write(origin(), expunge).await.unwrap();
        }
        store.sweep(Origin::new(Door::House, NOW + 25 * 3600)).await.unwrap();
        let known = store.read(move |r| r.vanished(id, since)).await.unwrap();
        assert_eq!(known.map(|ranges| ranges.len()), enough.then_some(3), "{most}");
    }
}

/// Random expunges, folding and forgetting: the log names all that went since a change and nothing
/// else, or it says that it does not know.
#[tokio::test]
async fn q5_the_expunge_log_is_exact_or_says_that_it_is_not() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let id = inbox.id;
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut gone: Vec<(ModSeq, u32)> = Vec::new();
    let (mut known, mut unknown) = (0, 0);
    for round in 0..40_i64 {
        let at = Origin::new(Door::House, NOW + round * 3600);
        let row = inbox.clone();
        let many = random(6);
        let _uids = store
            .write(at, move |tx| {
                let mut last = Uid::MIN;
                for _ in 0..=many {
                    last = append(tx, &row, &content("x"))?;
                }
                Ok::<_, Error>(last)
            })
            .await
            .unwrap();
        let living = store.read(move |r| r.uids(id)).await.unwrap();
        let chosen: Vec<Uid> = living.into_iter().filter(|_| random(3) == 0).collect();
        let row = inbox.clone();
        let went = store.write(at, move |tx| tx.expunge(&row, &chosen)).await.unwrap().into_inner();
        let now = mailbox(&store, account, "INBOX").await.status.mod_seq;
        gone.extend(went.iter().map(|uid| (now, uid.get())));
        if random(4) == 0 {
            let before = NOW + round * 3600 - i64::try_from(random(10)).unwrap() * 3600;
            let fold = move |tx: &mut Tx<'_>| tx.fold_tombstones(before, 1_000);
            let _some = store.write(at, fold).await.unwrap();
        }
        if random(6) == 0 {
            let (keep, step) = (random(12) as usize, random(5) as usize);
            let shorten = move |tx: &mut Tx<'_>| tx.shorten_log(id, keep, step);
            while *store.write(at, shorten).await.unwrap() {}
        }
        for since in [0, now.0 / 2, random(now.0), now.0.saturating_sub(3), now.0, now.0 + 9] {
            let since = ModSeq(since);
            match store.read(move |r| r.vanished(id, since)).await.unwrap() {
                Some(ranges) => {
                    let mut said: Vec<u32> =
                        ranges.iter().flat_map(|(a, b)| a.get()..=b.get()).collect();
                    said.sort_unstable();
                    let after = gone.iter().filter(|(mod_seq, _)| *mod_seq > since);
                    let mut truth: Vec<u32> = after.map(|(_, uid)| *uid).collect();
                    truth.sort_unstable();
                    assert_eq!(said, truth, "round {round}, since {since}");
                    known += 1;
                }
                None => unknown += 1,
            }
        }
    }
    assert!(known > 50 && unknown > 20, "{known} answers, {unknown} times too long ago");
}

#[tokio::test]
async fn q28_names_and_uses_of_a_mailbox_are_changes_too() {
    let (_dir, store, account) = house().await;
    let before = mailbox(&store, account, "Archive").await;
    let row = before.clone();
    let use_it = move |tx: &mut Tx<'_>| tx.set_special_use(&row, SpecialUse(2));
    let _done = store.write(origin(), use_it).await.unwrap();
    let used = mailbox(&store, account, "Archive").await;
    assert!(used.status.mod_seq > before.status.mod_seq);
    let mod_seq = used.status.mod_seq;
    let rename = move |tx: &mut Tx<'_>| tx.rename_mailbox(&used, "Attic", "attic");
    let _done = store.write(origin(), rename).await.unwrap();
    let renamed = store.read(move |r| r.mailbox(account, "attic")).await.unwrap().unwrap();
    assert!(renamed.status.mod_seq > mod_seq);
}

#[tokio::test]
async fn a_mailbox_made_again_has_a_higher_uidvalidity() {
    let (_dir, store, account) = house().await;
    let (first, second) = store
        .write(origin(), move |tx| {
            let make = |tx: &mut Tx<'_>| {
                let id = tx.add_mailbox(account, "x", "X", SpecialUse::default())?;
                tx.mailbox_by_id(id)?.ok_or(Error::NotFound("mailbox"))
            };
            let first = make(tx)?;
            tx.remove_mailbox(&first, false)?;
            Ok::<_, Error>((first, make(tx)?))
        })
        .await
        .unwrap()
        .into_inner();
    assert!(second.uid_validity > first.uid_validity);
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn renaming_takes_what_is_below_along_and_frees_the_old_names() {
    let (_dir, store, account) = house().await;
    let mail = Mail::new(store.clone(), Limits::default());
    let actor = Actor { account, origin: origin() };
    for name in ["a/b/c", "ab"] {
        let _ = mail.create(&actor, name, SpecialUse::default()).await.unwrap();
    }
    let _ = mail.rename(&actor, "a", "Z").await.unwrap();
    let _ = mail.rename(&actor, "Z/b", "a/b").await.unwrap();
    assert!(mail.rename(&actor, "a", "a/b/d").await.is_err(), "not below itself");
    let all = mail.mailboxes(&actor).await.unwrap();
    let names: Vec<&str> = all.iter().map(|info| &*info.row.name).collect();
    for name in ["a", "a/b", "a/b/c", "ab", "Z"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert_eq!(names.len(), 6 + 5);
}

#[tokio::test]
async fn a_message_that_joins_two_threads_takes_the_older_id() {
    let (_dir, store, account) = house().await;
    let threads = store
        .write(origin(), move |tx| {
            let (one, two) = (tx.thread(account, &[1])?, tx.thread(account, &[2])?);
            let joined = tx.thread(account, &[3, 2, 1])?;
            Ok::<_, Error>((one, two, joined, tx.thread(account, &[2])?))
        })
        .await
        .unwrap()
        .into_inner();
    assert!(threads.0 < threads.1);
    assert_eq!((threads.2, threads.3), (threads.0, threads.1), "no id ever changes");
}

#[tokio::test]
async fn the_quota_holds_and_is_given_back() {
    let (_dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    let uid = add(&store, &inbox, "x").await;
    let done = store.write(origin(), move |tx| {
        assert!(tx.check_quota(account, 10, 1, 25).is_ok());
        assert!(matches!(tx.check_quota(account, 11, 1, 25), Err(Error::OverQuota)));
        tx.set_quota(account, Some(1000), Some(1))?;
        assert!(matches!(tx.check_quota(account, 1, 1, 25), Err(Error::OverQuota)));
        tx.expunge(&inbox, &[uid])?;
        tx.check_quota(account, 1000, 1, 0)
    });
    assert!(done.await.is_ok());
}

#[tokio::test]
async fn a_second_process_is_kept_away_and_all_survives_reopening() {
    let (dir, store, account) = house().await;
    let inbox = mailbox(&store, account, "INBOX").await;
    add(&store, &inbox, "x").await;
    assert!(Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).is_err());
    store.close().await;
    assert!(matches!(store.read(|_| Ok::<_, Error>(())).await, Err(Error::Closed)));
    drop(store);
    let store = open(&dir);
    assert_eq!(mailbox(&store, account, "INBOX").await.status.messages, 1);
    let want = Want { summary: true, header: true, preview: true, octets_up_to: 100 };
    let parts = store.read(move |r| {
        let entry = r.message(inbox.id, Uid::MIN)?.ok_or(Error::NotFound("message"))?;
        r.content(entry.content, want)
    });
    assert_eq!(parts.await.unwrap().octets.as_deref(), Some(&b"Subject: x\r\n\r\nx"[..]));
}

#[tokio::test]
async fn a_view_equals_the_store_after_any_deeds() {
    let (_dir, store, account) = house().await;
    let mail = Mail::new(store.clone(), Limits::default());
    let actor = Actor { account, origin: origin() };
    let open = mail.open(&actor, "inbox", Rights::READ).await.unwrap();
    let row = mailbox(&store, account, "INBOX").await;
    add(&store, &row, "before the view was loaded").await;
    let view = mail.view(&open).await.unwrap();
    for body in ["a", "b", "c"] {
        add(&store, &row, body).await;
    }
    let names = MarkNames { flags: Flags::DELETED, keywords: vec!["k".into()] };
    let marked = mail.mark(&actor, &open, uids(&[1, 3]), MarkDeed::Add, names, None).await;
    assert_eq!(marked.unwrap().changed.len(), 2);
    assert_eq!(mail.expunge(&actor, &open, None).await.unwrap().len(), 2);
    let stored = store.read(move |r| r.messages(row.id, Uid::MIN, 100)).await.unwrap();
    assert_eq!(view.messages().entries(0).collect::<Vec<_>>(), stored);
    assert_eq!(view.messages().mod_seq(), mailbox(&store, account, "INBOX").await.status.mod_seq);
}
