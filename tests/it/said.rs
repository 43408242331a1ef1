//! What is said of mailboxes and messages: it takes room of a quota, goes with what it is said of and with who said
//! it, and is told to those alone who may read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailade::{
    events::{Bus, Door, Entries, Event, Interest, Kind, News, Origin, Subscription},
    flags::Flags,
    ids::{AccountId, MailboxId, Uid},
    mail::{
        Actor, Error, Limits, Mail, Mailbox, NewMail, Rights,
        annotations::{AnnotationName, AnnotationValue},
        metadata::{Entry, Scope},
    },
    store::{self, MarkDeed, MarkNames, NewAccount, Options, SpecialUse, Store, Tx},
};

const NOW: i64 = 1_800_000_000;

/// A house with two users, and its bus.
struct House {
    _dir: tempfile::TempDir,
    mail: Mail,
    alice: Actor,
    bob: Actor,
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let origin = Origin::new(Door::House, NOW);
        let job = |tx: &mut Tx<'_>| {
            tx.add_domain("d")?;
            Ok::<_, store::Error>((add_account(tx, "a@d")?, add_account(tx, "b@d")?))
        };
        let (alice, bob) = store.write(origin, job).await.unwrap().into_inner();
        let actor = |account| Actor { account, origin };
        let mail = Mail::new(store, Limits::default());
        Self { _dir: dir, mail, alice: actor(alice), bob: actor(bob) }
    }

    async fn say(&self, who: &Actor, mailbox: &str, entry: &str, value: Option<&str>) {
        let entry = Entry::parse(entry.as_bytes()).unwrap();
        let values = vec![(entry, value.map(|value| value.as_bytes().to_vec()))];
        let _said = self.mail.set_metadata(who, mailbox, values).await.unwrap();
    }

    async fn used(&self, who: &Actor) -> u64 {
        self.mail.quota(who.account).await.unwrap().octets
    }

    async fn is_sound(&self) {
        assert_eq!(self.mail.store().check().await.unwrap(), Vec::<String>::new());
    }
}

fn add_account(tx: &mut Tx<'_>, address: &str) -> Result<AccountId, store::Error> {
    let account = tx.add_account(&NewAccount {
        address: address.into(),
        address_key: address.into(),
        domain: "d".into(),
        full_name: String::new(),
        owner: false,
        password: None,
        scram_salt: vec![1],
        scram_iterations: 4096,
        scram: None,
    })?;
    Mail::add_default_mailboxes(tx, account).map_err(|_| store::Error::Closed)?;
    Ok(account)
}

fn heard(events: &mut Subscription) -> Vec<Arc<Event>> {
    let next = || match events.try_next() {
        Some(News::Event(event)) => Some(event),
        _ => None,
    };
    std::iter::from_fn(next).collect()
}

#[tokio::test]
async fn octets_that_are_said_count_until_they_go() {
    let house = House::open().await;
    house.say(&house.alice, "INBOX", "/shared/comment", Some("12345")).await;
    house.say(&house.alice, "Sent", "/private/comment", Some("1234567")).await;
    house.say(&house.alice, "", "/private/vendor/x/y", Some("123")).await;
    // Names of 15, 16 and 19 octets, and what they say.
    assert_eq!((house.used(&house.alice).await, house.used(&house.bob).await), (50 + 15, 0));
    house.is_sound().await;
    house.say(&house.alice, "INBOX", "/shared/comment", Some("1")).await;
    house.say(&house.alice, "", "/private/vendor/x/y", None).await;
    assert_eq!(house.used(&house.alice).await, 16 + 23);
    let _made = house.mail.rename(&house.alice, "INBOX", "Old").await.unwrap();
    assert_eq!(house.used(&house.alice).await, 16 + 23 + 16);
    for name in ["Sent", "Old"] {
        let _gone = house.mail.delete(&house.alice, name).await.unwrap();
    }
    assert_eq!(house.used(&house.alice).await, 16);
    house.is_sound().await;
}

#[tokio::test]
async fn a_level_that_becomes_a_mailbox_keeps_what_is_said_of_it() {
    let house = House::open().await;
    let made = house.mail.create(&house.alice, "a/b", SpecialUse::default()).await;
    let _gone = (made.unwrap(), house.mail.delete(&house.alice, "a").await.unwrap());
    house.say(&house.alice, "a", "/shared/comment", Some("123")).await;
    let _again = house.mail.create(&house.alice, "a", SpecialUse::default()).await.unwrap();
    assert_eq!(house.used(&house.alice).await, 15 + 3);
    house.is_sound().await;
}

#[tokio::test]
async fn with_an_account_goes_what_it_said_and_what_was_said_of_its_mailboxes() {
    let house = House::open().await;
    for who in [&house.alice, &house.bob] {
        house.say(who, "INBOX", "/shared/comment", Some("1234")).await;
        house.say(who, "INBOX", "/private/comment", Some("12")).await;
        house.say(who, "", "/private/comment", Some("1")).await;
    }
    let gone = house.bob.account;
    let remove = house.mail.store().write(house.bob.origin, move |tx| tx.remove_account(gone));
    let _removed = remove.await.unwrap();
    assert_eq!(house.used(&house.alice).await, 15 + 4 + 16 + 2 + 16 + 1);
    house.is_sound().await;
    let store = house.mail.store();
    let again = store.write(house.alice.origin, |tx| add_account(tx, "c@d")).await.unwrap();
    let actor = Actor { account: *again, origin: house.alice.origin };
    assert!(house.mail.all_metadata(&actor).await.unwrap().is_empty(), "nothing is inherited");
}

#[tokio::test]
async fn events_name_entries_and_whose_they_are_and_nothing_that_did_not_change() {
    let house = House::open().await;
    let bus = house.mail.store().bus();
    let mut metadata = bus.subscribe(Interest::Metadata);
    let mut of_bob = bus.subscribe(Interest::Account(house.bob.account));
    let values = ["/shared/comment", "/private/comment", "/private/vendor/x/y"];
    let values = values.map(|name| (Entry::parse(name.as_bytes()).unwrap(), Some(vec![1])));
    let _said = house.mail.set_metadata(&house.alice, "INBOX", values.into()).await.unwrap();
    house.say(&house.alice, "INBOX", "/shared/vendor/x/gone", None).await;
    house.say(&house.alice, "", "/private/comment", Some("x")).await;
    let told = heard(&mut metadata);
    let said: Vec<(bool, &Entries)> = told
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::MailboxMetadataChange(entries) | Kind::ServerMetadataChange(entries) => {
                Some((event.mailbox.is_some(), entries))
            }
            _ => None,
        })
        .collect();
    let alice = Some(house.alice.account);
    let expected: [(bool, &[&str], Option<AccountId>); 3] = [
        (true, &["/shared/comment"], None),
        (true, &["/private/comment", "/private/vendor/x/y"], alice),
        (false, &["/private/comment"], alice),
    ];
    assert_eq!(said.len(), expected.len());
    for ((of_mailbox, entries), (mailbox, names, of)) in said.into_iter().zip(expected) {
        let told: Vec<&str> = entries.names.iter().map(|name| &**name).collect();
        assert_eq!((of_mailbox, told.as_slice(), entries.of), (mailbox, names, of));
    }
    assert!(heard(&mut of_bob).is_empty());
}

#[tokio::test]
async fn all_that_is_said_can_be_named_at_once() {
    let house = House::open().await;
    house.say(&house.alice, "INBOX", "/shared/comment", Some("x")).await;
    house.say(&house.alice, "INBOX", "/private/comment", Some("x")).await;
    house.say(&house.alice, "", "/private/comment", Some("x")).await;
    house.say(&house.bob, "INBOX", "/shared/comment", Some("x")).await;
    let all = house.mail.all_metadata(&house.alice).await.unwrap();
    let names = |place: Option<MailboxId>| all.get(&place).map_or(0, BTreeSet::len);
    assert_eq!(all.len(), 2);
    assert_eq!(names(None), 1);
    assert_eq!(all.values().map(BTreeSet::len).sum::<usize>(), 3);
}

#[tokio::test]
async fn what_does_not_fit_changes_nothing() {
    let house = House::open().await;
    let limits = Limits { metadata_value: 4, metadata_entries: 2, ..Limits::default() };
    let mail = house.mail.with_limits(limits);
    let set = async |values: &[(&str, &str)]| {
        let value = |(name, value): &(&str, &str)| {
            (Entry::parse(name.as_bytes()).unwrap(), Some(value.as_bytes().to_vec()))
        };
        mail.set_metadata(&house.alice, "INBOX", values.iter().map(value).collect()).await
    };
    assert!(set(&[("/shared/a", "123"), ("/shared/b", "1234")]).await.is_ok());
    let long = set(&[("/shared/a", "x"), ("/shared/b", "12345")]).await;
    assert!(matches!(long, Err(Error::LongMetadata(4))));
    let many = set(&[("/shared/a", "x"), ("/private/c", "x")]).await;
    assert!(matches!(many, Err(Error::ManyMetadata)));
    assert_eq!(house.used(&house.alice).await, 9 + 3 + 9 + 4);
    assert!(set(&[("/shared/a", "x"), ("/shared/b", "x")]).await.is_ok());
}

/// A message's annotations as a client would remember them: shared and one's own, by name.
type Memory = BTreeMap<(String, u32), BTreeMap<(String, bool), String>>;

/// Random numbers that are the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Random deeds on messages of which something is said, held against a memory of it.
struct Model {
    house: House,
    random: Random,
    memory: Memory,
}

const MAILBOXES: [&str; 3] = ["INBOX", "Archive", "Trash"];

impl Model {
    async fn open_mailbox(&self, name: &str) -> Mailbox {
        self.house.mail.open(&self.house.alice, name, Rights::ALL).await.unwrap()
    }

    fn mailbox(&mut self) -> &'static str {
        MAILBOXES[self.random.below(MAILBOXES.len())]
    }

    fn values(&mut self) -> Vec<AnnotationValue> {
        let value = |random: &mut Random| AnnotationValue {
            name: AnnotationName::parse(
                ["/comment", "/altsubject", "/vendor/x/y"][random.below(3)].as_bytes(),
            )
            .unwrap(),
            scope: [Scope::Private, Scope::Shared][random.below(2)],
            value: [None, Some(b"one".to_vec()), Some(b"another".to_vec())][random.below(3)]
                .clone(),
        };
        (0..self.random.below(4)).map(|_| value(&mut self.random)).collect()
    }

    /// Some of the messages of a mailbox.
    fn some(&mut self, mailbox: &str) -> Vec<Uid> {
        let all: Vec<u32> =
            self.memory.keys().filter(|(name, _)| name == mailbox).map(|(_, uid)| *uid).collect();
        all.into_iter().filter(|_| self.random.below(3) > 0).filter_map(Uid::new).collect()
    }

    fn remember(&mut self, mailbox: &str, uid: Uid, values: &[AnnotationValue]) {
        let said = self.memory.entry((mailbox.into(), uid.get())).or_default();
        for AnnotationValue { name, scope, value } in values {
            let key = (name.as_str().to_string(), *scope == Scope::Shared);
            match value {
                Some(value) => said.insert(key, String::from_utf8(value.clone()).unwrap()),
                None => said.remove(&key),
            };
        }
    }

    fn remember_copies(&mut self, from: &str, copied: &[(Uid, Uid)], to: &str) {
        for (source, copy) in copied {
            let said = self.memory[&(from.to_owned(), source.get())].clone();
            self.memory.insert((to.into(), copy.get()), said);
        }
    }

    async fn step(&mut self) {
        let (from, to) = (self.mailbox(), self.mailbox());
        let (source, target) = (self.open_mailbox(from).await, self.open_mailbox(to).await);
        let (mail, alice) = (self.house.mail.clone(), self.house.alice);
        match self.random.below(12) {
            0..=2 => {
                let annotations = self.values();
                let mut spool = mail.spool();
                spool.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
                let message = mail.prepare(spool, |header| header).await.unwrap();
                let new = NewMail {
                    message,
                    marks: MarkNames::default(),
                    internal_date: None,
                    annotations: annotations.clone(),
                };
                let appended = mail.append(&alice, &target, vec![new]).await.unwrap();
                self.remember(to, appended.uids[0], &annotations);
            }
            3..=5 => {
                let (uids, values) = (self.some(from), self.values());
                if values.is_empty() {
                    return;
                }
                let said = mail.annotate(&alice, &source, uids.clone(), values.clone(), None).await;
                assert!(said.unwrap().missing.is_empty());
                for uid in uids {
                    self.remember(from, uid, &values);
                }
            }
            6..=7 => {
                let uids = self.some(from);
                let copied = mail.copy(&alice, &source, uids, &target).await.unwrap();
                self.remember_copies(from, &copied.copied, to);
            }
            8 => {
                let uids = self.some(from);
                let moved = mail.move_messages(&alice, &source, uids, &target).await.unwrap();
                self.remember_copies(from, &moved.copied, to);
                for (source, _) in &moved.copied {
                    self.memory.remove(&(from.to_owned(), source.get()));
                }
            }
            9 => {
                let uids = self.some(from);
                let names = MarkNames::flags(Flags::DELETED);
                let marked =
                    mail.mark(&alice, &source, uids.clone(), MarkDeed::Add, names, None).await;
                let _marked = marked.unwrap();
                let gone = mail.expunge(&alice, &source, Some(uids)).await.unwrap();
                for uid in gone.into_inner() {
                    self.memory.remove(&(from.to_owned(), uid.get()));
                }
            }
            10 if from != "INBOX" => {
                let _gone = mail.delete(&alice, from).await.unwrap();
                let _made = mail.create(&alice, from, SpecialUse::default()).await.unwrap();
                self.memory.retain(|(name, _), _| name != from);
            }
            _ if from != "INBOX" => {
                let _one = mail.rename(&alice, from, "elsewhere").await.unwrap();
                let _back = mail.rename(&alice, "elsewhere", from).await.unwrap();
            }
            _ => {}
        }
    }

    async fn is_true(&self) {
        for mailbox in MAILBOXES {
            let uids: Vec<Uid> = self
                .memory
                .keys()
                .filter(|(name, _)| name == mailbox)
                .filter_map(|(_, uid)| Uid::new(*uid))
                .collect();
            let open = self.open_mailbox(mailbox).await;
            let all = self.house.mail.annotations(&self.house.alice, &open, uids.clone()).await;
            for (uid, said) in uids.iter().zip(all.unwrap()) {
                let mut told = BTreeMap::new();
                for (name, said) in said {
                    for (shared, value) in [(false, said.private), (true, said.shared)] {
                        if let Some(value) = value {
                            told.insert(
                                (name.to_string(), shared),
                                String::from_utf8(value).unwrap(),
                            );
                        }
                    }
                }
                assert_eq!(told, self.memory[&(mailbox.to_owned(), uid.get())], "{mailbox} {uid}");
            }
        }
        self.house.is_sound().await;
    }
}

#[tokio::test]
async fn whatever_happens_to_messages_what_is_said_of_them_follows_and_nothing_is_left_behind() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let house = House::open().await;
        let mut model = Model { house, random: Random(seed), memory: Memory::new() };
        for step in 0..200 {
            model.step().await;
            if step % 50 == 49 {
                model.is_true().await;
            }
        }
    }
}

#[tokio::test]
async fn an_inbox_that_is_renamed_takes_along_what_everybody_said_of_its_messages() {
    let house = House::open().await;
    let mut model = Model { house, random: Random(7), memory: Memory::new() };
    while model.memory.values().filter(|said| !said.is_empty()).count() < 3 {
        model.step().await;
    }
    let mail = model.house.mail.clone();
    let _renamed = mail.rename(&model.house.alice, "INBOX", "Old").await.unwrap();
    model.house.is_sound().await;
    let inbox = model.open_mailbox("INBOX").await;
    let store = mail.store();
    let left = store.read(move |r| r.has_annotations(inbox.id)).await;
    assert!(!left.unwrap());
}

#[tokio::test]
async fn long_values_are_brought_little_by_little() {
    let house = House::open().await;
    let inbox = house.mail.open(&house.alice, "INBOX", Rights::ALL).await.unwrap();
    let value = |name: &str| AnnotationValue {
        name: AnnotationName::parse(name.as_bytes()).unwrap(),
        scope: Scope::Shared,
        value: Some(vec![b'x'; 64 << 10]),
    };
    let mut uids = Vec::new();
    for _ in 0..4 {
        let mut spool = house.mail.spool();
        spool.write(b"Subject: x\r\n\r\nx\r\n").unwrap();
        let message = house.mail.prepare(spool, |header| header).await.unwrap();
        let names = (0..9).map(|number| value(&format!("/vendor/x/{number}"))).collect();
        let new = NewMail {
            message,
            marks: MarkNames::default(),
            internal_date: None,
            annotations: names,
        };
        uids.extend(house.mail.append(&house.alice, &inbox, vec![new]).await.unwrap().uids.clone());
    }
    let some = house.mail.annotations(&house.alice, &inbox, uids).await.unwrap();
    assert_eq!(some.len(), 2, "a job brings about a megabyte");
}
