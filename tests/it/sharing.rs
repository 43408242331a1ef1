//! Random changes of access control lists, mailboxes and users, held against a plain model of who may
//! do what: what is listed, what is opened, and why it is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mailade::{
    events::{Bus, Door, Origin},
    ids::AccountId,
    mail::{Actor, Error, Limits, Mail, Rights, RightsChange},
    store::{self, NewAccount, Options, SpecialUse, Store, Tx},
};
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000;
const ALL: &str = "lrswipkxtea";
/// Who owns the mailboxes, and who may get rights on them; the last one runs the server.
const USERS: [&str; 4] = ["alice@d", "bob@d", "carol@d", "admin@d"];
const IDENTIFIERS: [&str; 8] =
    ["bob@d", "carol@d", "admin@d", "anyone", "-bob@d", "-carol@d", "-admin@d", "-anyone"];
const NAMES: [&str; 5] = ["a", "a/b", "a/b/c", "x", "x/y"];

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// The list of a mailbox changes.
    Set {
        mailbox: usize,
        identifier: usize,
        sign: char,
        letters: String,
    },
    Create(usize),
    Delete(usize),
    Rename(usize, usize),
    /// A user goes, and another gets the address.
    Replace(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let mailbox = || 0..NAMES.len();
    let sign = proptest::sample::select(vec!['+', '-', ' ']);
    let set = (mailbox(), 0..IDENTIFIERS.len(), sign, "[lrswipkxteacd]{0,6}").prop_map(
        |(mailbox, identifier, sign, letters)| Deed::Set { mailbox, identifier, sign, letters },
    );
    prop_oneof![
        6 => set,
        3 => mailbox().prop_map(Deed::Create),
        1 => mailbox().prop_map(Deed::Delete),
        1 => (mailbox(), mailbox()).prop_map(|(from, to)| Deed::Rename(from, to)),
        1 => (1..3_usize).prop_map(Deed::Replace),
    ]
}

/// Letters by identifier.
type List = BTreeMap<&'static str, BTreeSet<char>>;

/// The mailboxes of one tree with their lists; None is a mere level.
#[derive(Default)]
struct Model {
    lists: BTreeMap<String, Option<List>>,
}

fn above(name: &str) -> Vec<&str> {
    name.match_indices('/').map(|(at, _)| &name[..at]).collect()
}

fn plain(letters: &str) -> BTreeSet<char> {
    letters.replace('c', "kx").replace('d', "te").chars().collect()
}

impl Model {
    fn is_mailbox(&self, name: &str) -> bool {
        matches!(self.lists.get(name), Some(Some(_)))
    }

    fn create(&mut self, name: &str) {
        if self.is_mailbox(name) {
            return;
        }
        let nearest = above(name).into_iter().rev().find_map(|level| self.lists.get(level));
        let list = nearest.cloned().flatten().unwrap_or_default();
        for level in above(name) {
            self.lists.entry(level.to_owned()).or_insert_with(|| Some(list.clone()));
        }
        self.lists.insert(name.to_owned(), Some(list));
    }

    fn has_children(&self, name: &str) -> bool {
        self.lists.keys().any(|other| other.starts_with(&format!("{name}/")))
    }

    fn delete(&mut self, name: &str) {
        if !self.has_children(name) {
            self.lists.remove(name);
        } else if let Some(list) = self.lists.get_mut(name) {
            *list = None;
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let blocked = self.lists.contains_key(to) || to.starts_with(&below);
        if !self.lists.contains_key(from) || blocked {
            return;
        }
        let nearest = above(to).into_iter().rev().find_map(|level| self.lists.get(level));
        let list = nearest.cloned().flatten().unwrap_or_default();
        for level in above(to) {
            self.lists.entry(level.to_owned()).or_insert_with(|| Some(list.clone()));
        }
        let moved = |name: &String| *name == from || name.starts_with(&below);
        for name in self.lists.keys().filter(|name| moved(name)).cloned().collect::<Vec<_>>() {
            let list = self.lists.remove(&name).unwrap();
            self.lists.insert(format!("{to}{}", &name[from.len()..]), list);
        }
    }

    fn set(&mut self, name: &str, identifier: &'static str, sign: char, letters: &str) {
        let Some(Some(list)) = self.lists.get_mut(name) else { return };
        let (old, named) = (list.remove(identifier).unwrap_or_default(), plain(letters));
        let new: BTreeSet<char> = match sign {
            '+' => old.union(&named).copied().collect(),
            '-' => old.difference(&named).copied().collect(),
            _ => named,
        };
        if !new.is_empty() {
            list.insert(identifier, new);
        }
    }

    fn forget(&mut self, user: &str) {
        for list in self.lists.values_mut().flatten() {
            list.retain(|identifier, _| identifier.trim_start_matches('-') != user);
        }
    }

    fn rights(&self, name: &str, user: &str, steward: bool) -> BTreeSet<char> {
        let list = self.lists.get(name).cloned().flatten().unwrap_or_default();
        let of = |who: &str| list.get(who).cloned().unwrap_or_default();
        let given = &of(user) | &of("anyone");
        let taken = &of(&format!("-{user}")) | &of("-anyone");
        let own = if steward { plain("lkxa") } else { BTreeSet::new() };
        &(&given - &taken) | &own
    }
}

struct House {
    _dir: tempfile::TempDir,
    mail: Mail,
    origin: Origin,
    users: BTreeMap<&'static str, Actor>,
}

fn account(address: &str) -> NewAccount {
    NewAccount {
        address: address.to_owned(),
        address_key: address.to_owned(),
        domain: "d".to_owned(),
        full_name: String::new(),
        owner: address.starts_with("admin"),
        password: None,
        scram_salt: vec![1; 16],
        scram_iterations: 4096,
        scram: None,
    }
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let origin = Origin::new(Door::House, NOW);
        let job = |tx: &mut Tx<'_>| tx.add_domain("d");
        store.write::<_, store::Error, _>(origin, job).await.unwrap().into_inner();
        let mail = Mail::new(store, Limits::default());
        let mut house = Self { _dir: dir, mail, origin, users: BTreeMap::new() };
        for user in USERS {
            house.add(user).await;
        }
        house
    }

    async fn add(&mut self, user: &'static str) {
        let job = move |tx: &mut Tx<'_>| tx.add_account(&account(user));
        let made = self.mail.store().write::<_, store::Error, _>(self.origin, job).await;
        let actor = Actor { account: made.unwrap().into_inner(), origin: self.origin };
        self.users.insert(user, actor);
    }

    async fn replace(&mut self, user: &'static str) {
        let gone = self.users[user].account;
        let job = move |tx: &mut Tx<'_>| tx.remove_account(gone);
        self.mail.store().write::<_, store::Error, _>(self.origin, job).await.unwrap().into_inner();
        self.add(user).await;
    }

    /// Does it; a refusal changes nothing, and the model says whether it was one.
    async fn act(&mut self, owner: &Actor, deed: &Deed, model: &mut Model) {
        let mail = self.mail.clone();
        match deed {
            Deed::Set { mailbox, identifier, sign, letters } => {
                let (name, identifier) = (NAMES[*mailbox], IDENTIFIERS[*identifier]);
                let text = format!("{}{letters}", String::from(*sign).trim());
                let change: RightsChange = text.parse().unwrap();
                let set = mail.set_acl(owner, name, identifier, change).await;
                assert_eq!(set.is_ok(), model.is_mailbox(name), "{deed:?}");
                model.set(name, identifier, *sign, letters);
            }
            Deed::Create(name) => {
                let name = NAMES[*name];
                let made = mail.create(owner, name, SpecialUse::default()).await;
                assert_eq!(made.is_ok(), !model.is_mailbox(name), "{deed:?}");
                model.create(name);
            }
            Deed::Delete(name) => {
                let name = NAMES[*name];
                let may = model.is_mailbox(name)
                    || model.lists.contains_key(name) && !model.has_children(name);
                assert_eq!(mail.delete(owner, name).await.is_ok(), may, "{deed:?}");
                if may {
                    model.delete(name);
                }
            }
            Deed::Rename(from, to) => {
                let _either_way = mail.rename(owner, NAMES[*from], NAMES[*to]).await;
                model.rename(NAMES[*from], NAMES[*to]);
            }
            Deed::Replace(user) => {
                self.replace(USERS[*user]).await;
                model.forget(USERS[*user]);
            }
        }
    }

    /// Holds what a user may see and do against the model.
    async fn compare(&self, user: &str, tree: &str, model: &Model, steward: bool) {
        let actor = &self.users[user];
        let listed: BTreeMap<String, String> = self
            .mail
            .mailboxes(actor)
            .await
            .unwrap()
            .iter()
            .filter_map(|info| Some((info.name.strip_prefix(tree)?.to_owned(), info.rights)))
            .map(|(name, rights)| (name, rights.to_string()))
            .collect();
        let mut expected = BTreeMap::new();
        for name in model.lists.keys() {
            let rights = model.rights(name, user, steward);
            let letters: String = rights.iter().collect();
            let parsed: Rights = letters.parse().unwrap();
            if rights.contains(&'l') {
                expected.insert(name.clone(), parsed.to_string());
            }
            if !model.is_mailbox(name) {
                continue;
            }
            for letter in ALL.chars() {
                let need: Rights = letter.to_string().parse().unwrap();
                let opened = self.mail.open(actor, &format!("{tree}{name}"), need).await;
                let is_right = match opened {
                    Ok(mailbox) => rights.contains(&letter) && mailbox.rights == parsed,
                    Err(Error::Forbidden) => rights.contains(&'l') && !rights.contains(&letter),
                    Err(Error::NoMailbox) => rights.is_disjoint(&['l', letter].into()),
                    Err(_) => false,
                };
                assert!(is_right, "{user}: {letter} on {tree}{name}, having {letters}");
            }
        }
        assert_eq!(listed, expected, "{user} below {tree}");
    }
}

async fn play(deeds: &[Deed]) {
    let mut house = House::open().await;
    let alice = house.users["alice@d"];
    let nobody = Actor { account: AccountId::SHARED, origin: house.origin };
    let (mut own, mut shared) = (Model::default(), Model::default());
    for deed in deeds {
        house.act(&alice, deed, &mut own).await;
        // A user is replaced once for both trees.
        if let Deed::Replace(user) = deed {
            shared.forget(USERS[*user]);
        } else {
            house.act(&nobody, deed, &mut shared).await;
        }
    }
    for user in &USERS[1..] {
        house.compare(user, "Other Users/alice@d/", &own, false).await;
        house.compare(user, "Shared/", &shared, user.starts_with("admin")).await;
    }
    house.mail.store().close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn who_may_do_what_is_what_the_lists_say(
        deeds in proptest::collection::vec(deed(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&deeds));
    }
}
