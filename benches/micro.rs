//! Small measurements of what is done often: `cargo bench --bench micro`.

#![allow(clippy::unwrap_used, reason = "a bench may stop")]

use std::sync::Arc;

use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use mailade::{
    events::{Bus, Door, Origin},
    ids::Uid,
    imap::fetch::{self, structure::Detail},
    mail::{
        Actor, Limits, Mail, Mailbox, NewMail, Rights,
        structure::{self, StructureRef},
    },
    store::{Error, MarkDeed, MarkNames, NewAccount, Options, Store},
    wire::{Buffer, Cursor},
};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

/// A multipart message of about `size` octets.
fn message(size: usize, number: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Alice <alice@demo.example>\r\nTo: Bob <bob@demo.example>\r\nSubject: number {number}\r\n\
         Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@demo.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello.\r\n\
         --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    while text.len() < size {
        text.push_str(
            "JVBERi0xLjQKJcOkw7zDtsOfCjIgMCBvYmoKPDwvTGVuZ3RoIDMgMCBSL0ZpbHRlci9GbGF0\r\n",
        );
    }
    text.push_str("--b--\r\n");
    text.into_bytes()
}

/// A store in a directory of its own, with one mailbox open.
struct House {
    runtime: Runtime,
    mail: Mail,
    actor: Actor,
    inbox: Mailbox,
    _dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = Runtime::new().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store, Limits::default());
        let origin = Origin::new(Door::House, 1_800_000_000);
        let (actor, inbox) = runtime.block_on(async {
            let added = mail.store().write(origin, |tx| {
                tx.add_domain("d")?;
                let account = tx.add_account(&NewAccount {
                    address: "a@d".into(),
                    address_key: "a@d".into(),
                    domain: "d".into(),
                    full_name: String::new(),
                    owner: false,
                    password: None,
                    scram_salt: Vec::new(),
                    scram_iterations: 1,
                    scram: None,
                })?;
                Mail::add_default_mailboxes(tx, account).map_err(|_| Error::Closed)?;
                Ok::<_, Error>(account)
            });
            let actor = Actor { account: added.await.unwrap().into_inner(), origin };
            (actor, mail.open(&actor, "INBOX", Rights::ALL).await.unwrap())
        });
        Self { runtime, mail, actor, inbox, _dir: dir }
    }

    async fn append(&self, octets: Vec<u8>) {
        let mut spool = self.mail.spool();
        spool.write(&octets).unwrap();
        let message = self.mail.prepare(spool, |header| header).await.unwrap();
        let mail = NewMail {
            message,
            marks: MarkNames::default(),
            internal_date: None,
            annotations: Vec::new(),
        };
        let _ = self.mail.append(&self.actor, &self.inbox, vec![mail]).await.unwrap();
    }
}

/// One pass over a message's octets, as done once at arrival.
#[divan::bench(args = [4 << 10, 46 << 10, 1 << 20])]
fn scan_structure(bencher: Bencher, size: usize) {
    let octets = message(size, 1);
    bencher.counter(BytesCount::new(octets.len())).bench(|| structure::scan(&octets));
}

/// A command as phones send it, to its items.
#[divan::bench]
fn parse_fetch(bencher: Bencher) {
    let text = b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE \
        BODY.PEEK[HEADER.FIELDS (References Message-ID Importance)])";
    bencher.bench(|| fetch::item::items(&mut Cursor::new(text)).unwrap());
}

/// From the stored form to BODYSTRUCTURE.
#[divan::bench]
fn write_bodystructure(bencher: Bencher) {
    let stored = structure::scan(&message(4 << 10, 1)).structure.encode();
    bencher.bench(|| {
        let structure = StructureRef::parse(&stored).unwrap();
        let mut out = Buffer::default();
        out.put(fetch::structure::Body { structure, detail: Detail::Extended });
        out
    });
}

/// Messages of 46 KiB made durable, by so many senders at once.
#[divan::bench(args = [1, 8, 16], sample_count = 5, sample_size = 1)]
fn group_commit(bencher: Bencher, senders: usize) {
    const EACH: usize = 100;
    let house = House::new();
    let number = std::sync::atomic::AtomicUsize::new(0);
    bencher.counter(ItemsCount::new(senders * EACH)).bench(|| {
        house.runtime.block_on(async {
            let senders = (0..senders).map(|_| async {
                for _ in 0..EACH {
                    let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    house.append(message(46 << 10, number)).await;
                }
            });
            futures_util::future::join_all(senders).await;
        });
    });
    eprintln!("{senders} senders: {} commits in all", house.mail.store().commits());
}

/// One flag set on and taken from each of 10,000 messages, durable.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn store_flags_on_10_000(bencher: Bencher) {
    let house = House::new();
    house.runtime.block_on(async {
        let all = (0..10_000).map(|number| house.append(message(1 << 10, number)));
        futures_util::future::join_all(all).await;
    });
    let uids: Vec<Uid> = (1..=10_000).filter_map(Uid::new).collect();
    let mut deed = MarkDeed::Add;
    bencher.counter(ItemsCount::new(10_000usize)).bench_local(|| {
        let names = MarkNames::flags(mailade::flags::Flags::FLAGGED);
        let work = house.mail.mark(&house.actor, &house.inbox, uids.clone(), deed, names, None);
        assert_eq!(house.runtime.block_on(work).unwrap().changed.len(), 10_000);
        deed = if deed == MarkDeed::Add { MarkDeed::Remove } else { MarkDeed::Add };
    });
}

/// A mailbox of 10,000 messages read into memory.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_view_of_10_000(bencher: Bencher) {
    let house = House::new();
    house.runtime.block_on(async {
        let all = (0..10_000).map(|number| house.append(message(1 << 10, number)));
        futures_util::future::join_all(all).await;
    });
    bencher.bench_local(|| {
        let cold = Mail::new(house.mail.store().clone(), Limits::default());
        let view = house.runtime.block_on(cold.view(&house.inbox)).unwrap();
        assert_eq!(view.messages().len(), 10_000);
    });
}
