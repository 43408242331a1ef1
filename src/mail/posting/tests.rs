//! Mailboxes of alice, bob and nobody, and who gets mail at which address.

use std::sync::Arc;

use proptest::{prelude::*, test_runner::TestRunner};
use tempfile::TempDir;

use super::*;
use crate::{
    events::{Bus, Door, Origin},
    mail::name::NameLimits,
    store::{AclEntry, Identifier, NewAccount, Options, SpecialUse, Store, Tx},
};

const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const LIMITS: NameLimits = NameLimits { octets: 200, depth: 20 };

struct House {
    store: Store,
    _folder: TempDir,
}

/// What a job gives so that nothing of it is kept.
struct Undone<T>(T);

impl<T> From<store::Error> for Undone<Option<T>> {
    fn from(error: store::Error) -> Self {
        panic!("{error}")
    }
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        Self { store, _folder: folder }
    }

    /// What is so with these mailboxes of alice, or of nobody; afterwards all is as it was.
    async fn with<T: Send + 'static>(
        &self,
        mailboxes: Vec<String>,
        ask: impl FnOnce(&mut Tx<'_>) -> T + Send + 'static,
    ) -> T {
        let job = move |tx: &mut Tx<'_>| {
            people(tx)?;
            for name in mailboxes {
                let (owner, name) = tree(ALICE, &name).unwrap();
                let (name, key) = (name::canonical(name), name::key(name));
                if name::check(&name, LIMITS).is_ok() && tx.mailbox(owner, &key)?.is_none() {
                    tx.add_mailbox(owner, &name, &key, SpecialUse::default())?;
                }
            }
            Err::<(), _>(Undone(Some(ask(tx))))
        };
        match self.store.write(Origin::new(Door::House, 1_000), job).await {
            Ok(_) => unreachable!(),
            Err(Undone(told)) => told.unwrap(),
        }
    }
}

fn people(tx: &mut Tx<'_>) -> Result<(), store::Error> {
    tx.add_domain("x.example")?;
    for name in ["alice", "bob"] {
        let address = format!("{name}@x.example");
        tx.add_account(&NewAccount {
            address_key: address.clone(),
            address,
            domain: "x.example".into(),
            full_name: String::new(),
            owner: false,
            password: None,
            scram_salt: Vec::new(),
            scram_iterations: 1,
            scram: None,
        })?;
    }
    for (alias, account) in [("alice+shop", ALICE), ("work/alice", BOB), ("c", BOB)] {
        let alias = format!("{alias}@x.example");
        tx.add_alias(&alias, &alias, account)?;
    }
    Ok(())
}

/// Whose mailbox an address leads to, and its name; INBOX has none.
fn leads(r: &Reader<'_>, local: &str) -> Option<(AccountId, String)> {
    let local = LocalPart::from_value(local).unwrap();
    let address = Address::new(local, "x.example".parse().unwrap()).unwrap();
    let meant = meant(r, &address).unwrap()?;
    let [account] = meant.accounts[..] else { panic!("{:?}", meant.accounts) };
    let found = find(r, account, &meant.names).unwrap();
    let row = found.map(|id| r.mailbox_by_id(id).unwrap().unwrap());
    Some((account, row.map_or_else(String::new, |row| row.name.to_string())))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn an_address_leads_to_the_mailbox_it_names_in_any_case_or_to_inbox() {
    let mailboxes = names(&[
        "INBOX",
        "INBOX/Work",
        "INBOX/Work/Office",
        "INBOX/a.b",
        "INBOX/a/b",
        "INBOX/M\u{fc}ller & Co",
        "INBOX/c++",
        "Sent",
        "C++",
        "My Box",
        "Shared/Team",
    ]);
    let house = House::new();
    let wrong = house.with(mailboxes, |tx| {
        let mut wrong = Vec::new();
        for (local, expected) in [
            ("alice", ""),
            ("work/Alice", ""), // bob's alias
            ("office/work/alice", "INBOX/Work/Office"),
            ("OFFICE/WORK/ALICE", "INBOX/Work/Office"),
            ("work/office/alice", ""),
            ("alice+work", "INBOX/Work"),
            ("alice+work/office", "INBOX/Work/Office"),
            ("alice+work.office", "INBOX/Work/Office"),
            ("alice+a.b", "INBOX/a.b"),
            ("alice+a/b", "INBOX/a/b"),
            ("office/work/alice+tag", "INBOX/Work/Office"),
            ("office/work/alice+shop", "INBOX/Work/Office"),
            ("alice+shop", ""),
            ("alice+mueller-co", "INBOX/M\u{fc}ller & Co"),
            ("mu\u{308}ller & co/alice", "INBOX/M\u{fc}ller & Co"),
            ("alice+c++", "INBOX/c++"),
            ("c++/alice", ""), // bob's alias with a detail
            ("alice+=sent", "Sent"),
            ("alice+=C++", "C++"),
            ("alice+=my-box", "My Box"),
            ("alice+=inbox", "INBOX"),
            ("alice+=INBOX/work", "INBOX/Work"),
            ("alice+=shared/team", "Team"),
            ("bob+=Shared/Team", "Team"),
            ("bob+=Sent", ""),
            ("alice+=Other Users/bob@x.example/INBOX", ""),
            ("alice+=", ""),
            ("alice+sent", ""),
            ("sent/alice", ""),
            ("/alice", "INBOX"),
            ("alice+//", ""),
        ] {
            let found = leads(tx, local).map(|(_, name)| name);
            if found.as_deref() != Some(expected) {
                wrong.push(format!("{local}: {found:?}"));
            }
        }
        assert_eq!(leads(tx, "work/alice"), Some((BOB, String::new())));
        assert_eq!(leads(tx, "c++/alice"), Some((BOB, String::new())));
        for nobody in ["carol", "work/carol", "carol+work", "+=Sent", "=Sent/"] {
            assert_eq!(leads(tx, nobody), None, "{nobody}");
        }
        wrong
    });
    assert_eq!(wrong.await, Vec::<String>::new());
}

#[tokio::test]
async fn a_mere_level_is_no_mailbox_and_the_older_of_two_slugs_keeps_its_mail() {
    let mailboxes = names(&["INBOX/gone", "INBOX/a b", "INBOX/a-b?", "INBOX/a_b"]);
    House::new()
        .with(mailboxes, |tx| {
            let gone = tx.mailbox(ALICE, &name::key("INBOX/gone")).unwrap().unwrap();
            tx.remove_mailbox(&gone, true).unwrap();
            assert_eq!(leads(tx, "alice+gone"), Some((ALICE, String::new())));
            assert_eq!(leads(tx, "alice+a-b"), Some((ALICE, "INBOX/a b".into())));
            assert_eq!(leads(tx, "alice+a-b?"), Some((ALICE, "INBOX/a-b?".into())));
        })
        .await;
}

#[tokio::test]
async fn all_may_post_below_inbox_and_elsewhere_who_has_the_right() {
    let mailboxes = names(&["INBOX", "INBOX/Work", "INBOXES", "Sent", "Shared/INBOX"]);
    House::new()
        .with(mailboxes, |tx| {
            let row = |tx: &Tx<'_>, owner, name: &str| {
                tx.mailbox(owner, &name::key(name)).unwrap().unwrap()
            };
            let give = |tx: &mut Tx<'_>, row: &MailboxRow, identifier| {
                let rights = Rights::POST.bits();
                tx.set_acl(row, AclEntry { identifier, negative: false, rights }).unwrap();
            };
            let may = |tx: &Tx<'_>, row: &MailboxRow| {
                [Some(ALICE), Some(BOB), None].map(|sender| admits(tx, sender, row).unwrap())
            };
            for open in ["INBOX", "INBOX/Work"] {
                assert_eq!(may(tx, &row(tx, ALICE, open)), [true; 3], "{open}");
            }
            assert_eq!(may(tx, &row(tx, ALICE, "INBOXES")), [true, false, false]);
            let shared = row(tx, AccountId::SHARED, "INBOX");
            assert_eq!(may(tx, &shared), [false; 3]);
            let sent = row(tx, ALICE, "Sent");
            give(tx, &sent, Identifier::Account(BOB));
            assert_eq!(may(tx, &sent), [true, true, false]);
            give(tx, &shared, Identifier::Anyone);
            assert_eq!(may(tx, &shared), [true; 3]);
        })
        .await;
}

#[tokio::test]
async fn the_address_that_is_told_is_the_one_that_most_can_write() {
    let cases = [
        ("INBOX", "alice@x.example"),
        ("INBOX/work", "alice+work@x.example"), // the usual one is bob's alias
        ("INBOX/work/office", "office/work/alice@x.example"),
        ("INBOX/a.b", "a.b/alice@x.example"),
        ("INBOX/M\u{fc}ller & Co", "mueller-co/alice@x.example"),
        ("INBOX/\u{444}", "\u{444}/alice@x.example"),
        ("INBOX/c++", "alice+c++@x.example"),
        ("INBOX/++", "++/alice@x.example"),
        ("INBOX/& &", "\"& &/alice\"@x.example"),
        ("Sent", "alice+=Sent@x.example"),
        ("Archive/2026", "alice+=Archive/2026@x.example"),
        ("INBOXES", "alice+=INBOXES@x.example"),
        ("My Box", "alice+=my-box@x.example"),
        ("Shared/My Team", "alice+=Shared/my-team@x.example"),
    ];
    let mailboxes = cases.iter().map(|(name, _)| (*name).to_owned()).collect();
    House::new()
        .with(mailboxes, move |tx| {
            for (name, expected) in cases {
                let (owner, name) = tree(ALICE, name).unwrap();
                let row = tx.mailbox(owner, &name::key(name)).unwrap().unwrap();
                assert_eq!(address_of(tx, ALICE, &row).unwrap().as_deref(), Some(expected));
            }
            let long = "x".repeat(70);
            tx.add_mailbox(ALICE, &long, &name::key(&long), SpecialUse::default()).unwrap();
            let row = tx.mailbox(ALICE, &name::key(&long)).unwrap().unwrap();
            assert_eq!(address_of(tx, ALICE, &row).unwrap(), None);
        })
        .await;
}

#[test]
fn every_mailbox_has_an_address_that_leads_there_and_to_no_other() {
    let level = "[aAbü/+=. \"\\\\&ÄéПя中\u{308}-]{1,5}|work|c";
    let root = "|INBOX/|INBOX/|INBOX/work/|Shared/|shared/";
    let mailboxes = prop::collection::vec((root, level), 1..12);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let house = House::new();
    let held = TestRunner::default().run(&mailboxes, |mailboxes| {
        let mailboxes = mailboxes.into_iter().map(|(root, level)| root + &level).collect();
        let wrong = runtime.block_on(house.with(mailboxes, |tx| {
            let mut rows = tx.mailboxes(ALICE).unwrap();
            rows.extend(tx.mailboxes(AccountId::SHARED).unwrap());
            rows.into_iter().find_map(|row| {
                let told = address_of(tx, ALICE, &row).unwrap();
                let read = told.as_deref().map(|told| Address::parse(told).unwrap());
                let found = read.and_then(|address| {
                    let meant = meant(tx, &address).unwrap().unwrap();
                    find(tx, meant.accounts[0], &meant.names).unwrap()
                });
                let is_right = found == Some(row.id) || *row.name == *INBOX;
                (!is_right).then(|| format!("{}: {told:?}", row.name))
            })
        }));
        prop_assert_eq!(wrong, None);
        Ok(())
    });
    held.unwrap();
}
