//! STOREs that are made only if nothing changed, held against a list that knows a mod-sequence of
//! each mark of each message (RFC 7162 §3.1.3).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailade::{
    events::{Bus, Door, Origin},
    flags::{Flags, Marks},
    ids::{MailboxId, ModSeq, Uid},
    mail::name,
    store::{
        Error, MailboxRow, MarkDeed, MarkNames, MarkOutcome, NewContent, NewMessage, NewPiece,
        Options, Store, Tx,
    },
};

use crate::stored::{NOW, add_account, origin};

const MESSAGES: u32 = 5;
/// System flags first.
const NAMES: [&str; 8] =
    ["\\Seen", "\\Flagged", "$Junk", "$Important", "red", "green", "blue", "grey"];
const SYSTEM: usize = 2;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Messages, each with the mod-sequence of every mark that it ever had, and whether it bears it.
#[derive(Default)]
struct Listed(BTreeMap<Uid, BTreeMap<usize, (bool, ModSeq)>>);

impl Listed {
    fn bears(&self, uid: Uid) -> BTreeSet<usize> {
        let marks = self.0.get(&uid).into_iter().flatten();
        marks.filter(|(_, (here, _))| *here).map(|(mark, _)| *mark).collect()
    }

    fn newest(&self, uid: Uid) -> ModSeq {
        let marks = self.0.get(&uid).into_iter().flatten();
        marks.map(|(_, (_, mod_seq))| *mod_seq).max().unwrap_or_default()
    }

    /// Has one of these changed? Zero asks whether there is one.
    fn has_changed(&self, uid: Uid, named: &BTreeSet<usize>, since: ModSeq) -> bool {
        named.iter().any(|mark| match self.0.get(&uid).and_then(|marks| marks.get(mark)) {
            Some((here, mod_seq)) => *mod_seq > since && (*here || since != ModSeq(0)),
            None => false,
        })
    }

    fn set(&mut self, uid: Uid, marks: &BTreeSet<usize>, mod_seq: ModSeq) {
        let before = self.bears(uid);
        let known = self.0.entry(uid).or_default();
        for mark in before.symmetric_difference(marks) {
            known.insert(*mark, (marks.contains(mark), mod_seq));
        }
    }
}

fn names(of: &BTreeSet<usize>) -> MarkNames {
    let mut names = MarkNames::default();
    for mark in of {
        names.add(NAMES[*mark]);
    }
    names
}

async fn inbox(options: &Options) -> (Store, MailboxRow) {
    let store = Store::open(options, Arc::new(Bus::default())).unwrap();
    let account = store.write(origin(), add_account).await.unwrap().into_inner();
    let key = name::key("INBOX");
    let row = store.read(move |r| r.mailbox(account, &key)).await.unwrap().unwrap();
    let to = row.clone();
    let _uids = store
        .write(origin(), move |tx| {
            let content = tx.add_content(&NewContent {
                hash: *blake3::hash(b"x").as_bytes(),
                size: 1,
                header: Vec::new(),
                pieces: vec![NewPiece::Octets(b"x".into())],
                summary: vec![1],
                structure: vec![2],
                preview: String::new(),
                references: Vec::new(),
            })?;
            for _ in 0..MESSAGES {
                let thread = tx.thread(to.account, &[])?;
                let marks = Marks { flags: Flags::SEEN, ..Marks::default() };
                let message = NewMessage { content, size: 1, marks, internal_date: NOW, thread };
                tx.append(&to, &[message])?;
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    (store, row)
}

async fn mark(
    store: &Store,
    mailbox: &MailboxRow,
    uids: Vec<Uid>,
    deed: MarkDeed,
    of: &BTreeSet<usize>,
    since: Option<ModSeq>,
) -> Option<MarkOutcome> {
    let (mailbox, names) = (mailbox.clone(), names(of));
    let job = move |tx: &mut Tx<'_>| tx.mark(&mailbox, &uids, deed, &names, since);
    match store.write(origin(), job).await {
        Ok(outcome) => Some(outcome.into_inner()),
        Err(Error::Over(..)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Does one of many random STOREs, and says what the reference has to say of each message.
async fn run(options: &Options, seed: u64, rounds: usize, forgets: bool) -> (usize, usize) {
    let (store, mailbox) = inbox(options).await;
    let id: MailboxId = mailbox.id;
    let mut random = Random(seed);
    let mut listed = Listed::default();
    for uid in (1..=MESSAGES).filter_map(Uid::new) {
        let entry = store.read(move |r| r.message(id, uid)).await.unwrap().unwrap();
        listed.set(uid, &BTreeSet::from([0]), entry.mod_seq);
        // The other system flags are there too, though not set.
        listed.0.entry(uid).or_default().insert(1, (false, entry.mod_seq));
    }
    let (mut failed, mut passed) = (0, 0);
    for round in 0..rounds {
        let deed = [MarkDeed::Add, MarkDeed::Remove, MarkDeed::Remove, MarkDeed::Replace]
            [random.below(4) as usize];
        let of: BTreeSet<usize> =
            (0..=random.below(2)).map(|_| random.below(NAMES.len() as u64) as usize).collect();
        let uids: Vec<Uid> =
            (1..=MESSAGES).filter(|_| random.below(2) == 0).filter_map(Uid::new).collect();
        let now = uids.iter().map(|uid| listed.newest(*uid)).max().unwrap_or_default();
        let since = match random.below(4) {
            0 => None,
            1 => Some(ModSeq(0)),
            _ => Some(ModSeq(now.0.saturating_sub(random.below(12)))),
        };
        let marking = mark(&store, &mailbox, uids.clone(), deed, &of, since).await;
        // No room for another keyword: nothing is done then.
        let Some(outcome) = marking else { continue };
        for uid in uids {
            let modified = outcome.modified.contains(&uid);
            if let Some(since) = since {
                let bears = listed.bears(uid);
                let system = of.iter().any(|mark| *mark < SYSTEM);
                let has = system || deed == MarkDeed::Replace || !of.is_disjoint(&bears);
                let must_fail = listed.has_changed(uid, &of, since) || since == ModSeq(0) && has;
                // A message has one mod-sequence for all that it has.
                let may_fail = listed.newest(uid) > since && (has || forgets);
                let seen = (round, uid, since, deed, &of);
                assert!(modified || !must_fail, "passes though it has changed: {seen:?}");
                assert!(!modified || must_fail || may_fail, "fails for nothing: {seen:?}");
                (failed, passed) =
                    (failed + usize::from(modified), passed + usize::from(!modified));
            }
            if let Some(change) = outcome.changed.iter().find(|change| change.uid == uid) {
                let marks = match deed {
                    MarkDeed::Replace => of.clone(),
                    MarkDeed::Add => &listed.bears(uid) | &of,
                    MarkDeed::Remove => &listed.bears(uid) - &of,
                };
                listed.set(uid, &marks, change.mod_seq);
            }
        }
        if forgets && random.below(9) == 0 {
            let (keep, step) = (random.below(20) as usize, random.below(5) as usize);
            let shorten = move |tx: &mut Tx<'_>| tx.shorten_unmarked_log(id, keep, step);
            while *store.write(origin(), shorten).await.unwrap() {}
        }
    }
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    (failed, passed)
}

#[tokio::test]
async fn a_conditional_store_passes_when_what_it_names_is_unchanged_and_never_else() {
    for seed in 1..4 {
        let dir = tempfile::tempdir().unwrap();
        let (failed, passed) = run(&Options::new(dir.path()), seed, 400, false).await;
        assert!(failed > 100 && passed > 100, "{failed} failed, {passed} passed");
    }
}

/// There is room for fewer keywords than there are names: a number means one now and another then.
#[tokio::test]
async fn what_a_conditional_store_does_not_know_any_more_it_takes_for_changed() {
    for seed in 1..4 {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { keywords: 3, ..Options::new(dir.path()) };
        let (failed, passed) = run(&options, seed, 400, true).await;
        assert!(failed > 100 && passed > 100, "{failed} failed, {passed} passed");
    }
}

#[tokio::test]
async fn the_log_of_keywords_holds_so_many_ranges() {
    for (most, enough) in [(2, false), (3, true), (4, true)] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { unmarked_ranges: most, ..Options::new(dir.path()) };
        let (store, mailbox) = inbox(&options).await;
        let uid = |number| vec![Uid::new(number).unwrap()];
        let (junk, red) = (BTreeSet::from([2]), BTreeSet::from([4]));
        let all = uid(1).into_iter().chain(uid(3)).chain(uid(5)).collect();
        let marked = mark(&store, &mailbox, all, MarkDeed::Add, &junk, None).await.unwrap();
        let since = marked.changed[0].mod_seq;
        for number in [1, 3, 5] {
            mark(&store, &mailbox, uid(number), MarkDeed::Remove, &junk, None).await.unwrap();
        }
        store.sweep(Origin::new(Door::House, NOW)).await.unwrap();
        let marking = mark(&store, &mailbox, uid(3), MarkDeed::Add, &red, Some(since));
        let marked = marking.await.unwrap();
        assert_eq!(marked.changed.len(), usize::from(enough), "{most}");
        let marking = mark(&store, &mailbox, uid(1), MarkDeed::Add, &junk, Some(since));
        let marked = marking.await.unwrap();
        assert_eq!(marked.modified, uid(1), "{most}");
    }
}
