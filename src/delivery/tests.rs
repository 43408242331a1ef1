//! Mail for a small house: alice, who runs it, and bob.

use std::{sync::Arc, time::Duration};

use tempfile::TempDir;

use super::{
    Addressee, Delivery, Error, Incoming, Outcome, Refusal, Settings, Share,
    arrived::refusal_for_all, is_own_address,
};
use crate::{
    events::{Bus, Door, Interest, Origin},
    ids::{AccountId, ContentId, DeviceId, QueueId, Uid},
    mail::{self, Actor, Mail, Rights, Spool},
    metrics::{Limit, Metrics},
    store::{
        self, AclEntry, Identifier, NewAccount, Options, RecipientState, SpecialUse, Store, Tx,
    },
    wire::{
        address::{Address, Domain, ReversePath},
        envelope::{Envelope, Notify, Recipient},
    },
};

pub(crate) const ALICE: AccountId = AccountId(1);
pub(crate) const BOB: AccountId = AccountId(2);
pub(crate) const ORIGIN: Origin = Origin::new(Door::House, 1_000);

/// A house with rooms up to delivery.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) mail: Mail,
    pub(crate) delivery: Delivery,
    _folder: TempDir,
}

fn add_user(tx: &mut Tx<'_>, name: &str, owner: bool) -> Result<(), store::Error> {
    let address = format!("{name}@here.example");
    tx.add_account(&NewAccount {
        address_key: address.clone(),
        address,
        domain: "here.example".into(),
        full_name: String::new(),
        owner,
        password: None,
        scram_salt: Vec::new(),
        scram_iterations: 1,
        scram: None,
    })?;
    Ok(())
}

impl House {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store.clone(), mail::Limits::default());
        let hostname = Domain::parse("mail.here.example").unwrap();
        let delivery = Delivery::new(
            mail.clone(),
            Settings {
                hostname,
                received_max: 3,
                quota_refused_after: Duration::from_hours(7 * 24),
                queue_max: 10,
                metrics: Metrics::new(),
            },
        );
        let house = Self { store, mail, delivery, _folder: folder };
        house
            .change(|tx| {
                tx.add_domain("here.example")?;
                add_user(tx, "alice", true)?;
                add_user(tx, "bob", false)?;
                tx.add_alias("team@here.example", "team@here.example", ALICE)?;
                tx.add_alias("team@here.example", "team@here.example", BOB)
            })
            .await;
        house
    }

    pub(crate) async fn change(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<(), store::Error> + Send + 'static,
    ) {
        self.store.write(ORIGIN, job).await.unwrap().into_inner();
    }

    pub(crate) fn spool(&self, octets: &str) -> Spool {
        let mut spool = self.mail.spool();
        spool.write(octets.as_bytes()).unwrap();
        spool
    }

    /// The messages of a user's INBOX, oldest first.
    pub(crate) async fn inbox(&self, account: AccountId) -> Vec<String> {
        self.messages(account, "INBOX").await
    }

    /// The same of any mailbox of a user.
    async fn messages(&self, account: AccountId, name: &'static str) -> Vec<String> {
        self.store
            .read(move |r| {
                let Some(inbox) = r.mailbox(account, &mail::name::key(name))? else {
                    return Ok(Vec::new());
                };
                let entries = r.messages(inbox.id, Uid::MIN, 100)?;
                let octets = entries.iter().map(|entry| r.octets(entry.content, 0..entry.size));
                let texts = octets.map(|octets| Ok(String::from_utf8_lossy(&octets?).into_owned()));
                texts.collect::<Result<_, store::Error>>()
            })
            .await
            .unwrap()
    }

    async fn whom(&self, address: &str) -> Result<Addressee, Refusal> {
        match self.delivery.recipient(ORIGIN, &recipient(address), 0).await {
            Ok(addressee) => Ok(addressee),
            Err(Error::Refused(refusal)) => Err(refusal),
            Err(Error::Mail(error)) => panic!("{error}"),
        }
    }

    async fn deliver(
        &self,
        share: Share,
        to: &[Recipient],
        text: &str,
    ) -> Result<Vec<Outcome>, Error> {
        self.deliver_by(None, share, to, text).await
    }

    async fn deliver_by(
        &self,
        author: Option<AccountId>,
        share: Share,
        to: &[Recipient],
        text: &str,
    ) -> Result<Vec<Outcome>, Error> {
        let mut addressees = Vec::new();
        for recipient in to {
            addressees.push(self.delivery.recipient(ORIGIN, recipient, 1).await.unwrap());
        }
        self.deliver_to(author, share, addressees, text).await
    }

    async fn deliver_to(
        &self,
        author: Option<AccountId>,
        share: Share,
        addressees: Vec<Addressee>,
        text: &str,
    ) -> Result<Vec<Outcome>, Error> {
        let reverse_path = ReversePath::parse("carol@there.example").unwrap();
        let incoming = Incoming {
            trace: "t".into(),
            author,
            envelope: Envelope { reverse_path, ..Envelope::default() },
            addressees,
            received: b"Received: by mail.here.example\r\n".into(),
            arrival: "from there".into(),
            message: self.spool(text),
        };
        Ok(self.delivery.deliver(ORIGIN, share, incoming).await?.into_inner())
    }

    /// The steps of the trace "t" of one kind: whose message, and more in words.
    async fn steps(&self, kind: &str) -> Vec<(Option<AccountId>, String)> {
        let steps = self.store.read(|r| r.traces("t")).await.unwrap();
        let steps = steps.into_iter().filter(|step| step.step == kind);
        steps.map(|step| (step.account, step.detail)).collect()
    }
}

pub(crate) fn recipient(text: &str) -> Recipient {
    Address::parse(text).unwrap().into()
}

#[tokio::test]
async fn an_address_means_an_account_in_any_case_with_a_detail_or_by_an_alias() {
    let house = House::new().await;
    let accounts = |found: Result<Addressee, Refusal>| found.map(|found| found.accounts);
    assert_eq!(accounts(house.whom("Alice@HERE.example").await), Ok(vec![ALICE]));
    assert_eq!(accounts(house.whom("\"bob\"@here.example").await), Ok(vec![BOB]));
    assert_eq!(accounts(house.whom("team@here.example").await), Ok(vec![ALICE, BOB]));
    let detailed = house.whom("bob+lists+rust@here.example").await.unwrap();
    assert_eq!((detailed.accounts, detailed.detail.as_deref()), (vec![BOB], Some("lists+rust")));
    assert_eq!(accounts(house.whom("nobody@here.example").await), Err(Refusal::UnknownUser));
    assert_eq!(accounts(house.whom("+x@here.example").await), Err(Refusal::UnknownUser));
    assert_eq!(accounts(house.whom("alice@there.example").await), Err(Refusal::UnknownDomain));
}

#[tokio::test]
async fn a_real_address_wins_over_a_detail() {
    let house = House::new().await;
    house.change(|tx| tx.add_alias("bob+x@here.example", "bob+x@here.example", ALICE)).await;
    let found = house.whom("bob+X@here.example").await.unwrap();
    assert_eq!((found.accounts, found.detail), (vec![ALICE], None));
}

#[tokio::test]
async fn the_postmaster_is_an_owner_and_a_catch_all_takes_the_rest() {
    let house = House::new().await;
    assert_eq!(house.whom("POSTmaster@here.example").await.unwrap().accounts, [ALICE]);
    let without_domain = house.delivery.postmaster().unwrap().to_string();
    assert_eq!(without_domain, "postmaster@mail.here.example");
    for own in [without_domain.as_str(), "Mailer-Daemon@MAIL.here.example"] {
        assert_eq!(house.whom(own).await.unwrap().accounts, [ALICE]);
    }
    assert_eq!(house.whom("alice@mail.here.example").await, Err(Refusal::UnknownDomain));
    house.change(|tx| tx.set_catch_all("here.example", Some(BOB))).await;
    assert_eq!(house.whom("anything@here.example").await.unwrap().accounts, [BOB]);
    assert_eq!(house.whom("postmaster@here.example").await.unwrap().accounts, [ALICE]);
}

#[tokio::test]
async fn the_postmaster_of_a_house_without_an_owner_is_written_to_later() {
    let house = House::new().await;
    house.change(|tx| tx.set_enabled(ALICE, false)).await;
    for postmaster in ["postmaster@here.example", "postmaster@mail.here.example"] {
        assert_eq!(house.whom(postmaster).await, Err(Refusal::NoPostmaster));
    }
    house.change(|tx| tx.set_catch_all("here.example", Some(BOB))).await;
    assert_eq!(house.whom("postmaster@here.example").await.unwrap().accounts, [BOB]);
}

#[tokio::test]
async fn an_address_beyond_ascii_is_one_however_it_is_written() {
    let house = House::new().await;
    let key = Address::parse("J\u{f6}rg@b\u{fc}cher.example").unwrap().key();
    house
        .change(move |tx| {
            tx.add_domain("xn--bcher-kva.example")?;
            tx.add_alias("J\u{f6}rg@b\u{fc}cher.example", &key, BOB)
        })
        .await;
    for same in [
        "j\u{f6}rg@xn--bcher-kva.example",
        "JO\u{308}RG@B\u{dc}CHER.example",
        "\"j\u{f6}rg\"@b\u{fc}cher.example",
    ] {
        assert_eq!(house.whom(same).await.unwrap().accounts, [BOB], "{same}");
    }
    let detailed = house.whom("j\u{f6}rg+\u{c4}pfel@b\u{fc}cher.example").await.unwrap();
    assert_eq!(detailed.detail.as_deref(), Some("\u{c4}pfel"));
    assert_eq!(detailed.home.as_deref(), Some("bob@here.example"));
    let quoted = house.whom("\"bob+a b\"@here.example").await.unwrap();
    assert_eq!((quoted.accounts, quoted.detail.as_deref()), (vec![BOB], Some("a b")));
}

#[tokio::test]
async fn who_is_disabled_or_full_gets_no_mail() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    assert!(house.whom("bob@here.example").await.is_ok());
    let asked = house.delivery.recipient(ORIGIN, &recipient("bob@here.example"), 11).await;
    assert!(matches!(asked, Err(Error::Refused(Refusal::OverQuota))));
    house.change(|tx| tx.set_enabled(BOB, false)).await;
    assert_eq!(house.whom("bob@here.example").await, Err(Refusal::Disabled));
    assert_eq!(house.whom("team@here.example").await.unwrap().accounts, [ALICE]);
}

#[tokio::test]
async fn after_seven_days_without_room_mail_is_refused_for_good() {
    const DAY: i64 = 24 * 3600;
    let house = House::new().await;
    let asks = async |day: i64, size: u64| {
        let origin = Origin::new(Door::House, ORIGIN.at + day * DAY);
        let asked = house.delivery.recipient(origin, &recipient("bob@here.example"), size).await;
        match asked {
            Ok(_) => None,
            Err(Error::Refused(refusal)) => Some(refusal),
            Err(Error::Mail(error)) => panic!("{error}"),
        }
    };
    house.change(|tx| tx.set_quota(BOB, Some(200), None)).await;
    assert_eq!(asks(0, 201).await, Some(Refusal::OverQuota));
    assert_eq!(asks(6, 201).await, Some(Refusal::OverQuota));
    assert_eq!(asks(7, 201).await, Some(Refusal::LongOverQuota));
    assert_eq!(asks(7, 200).await, None, "what fits is taken");
    house.deliver(Share::All, &[recipient("bob@here.example")], "\r\n").await.unwrap();
    assert_eq!(asks(8, 201).await, Some(Refusal::OverQuota), "there was a break");
    assert_eq!(asks(15, 201).await, Some(Refusal::LongOverQuota));
    house.change(|tx| tx.set_quota(BOB, Some(201), None)).await;
    assert_eq!(asks(15, 202).await, Some(Refusal::OverQuota), "the owner gave room");
    let metrics = house.delivery.metrics();
    assert_eq!(metrics.times_exceeded(Limit::Quota), 4);
    assert_eq!(metrics.times_exceeded(Limit::QuotaRefusedAfter), 2);
}

#[tokio::test]
async fn a_message_that_was_not_announced_begins_the_seven_days_too() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let to = ["bob@here.example"].map(recipient);
    for share in [Share::All, Share::Each] {
        house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
        let _refused = house.deliver(share, &to, "\r\nhi\r\n").await;
        let bob = house.store.read(|r| r.account_by_id(BOB)).await.unwrap().unwrap();
        assert_eq!(bob.full_since, Some(ORIGIN.at));
    }
}

#[tokio::test]
async fn a_message_is_kept_once_for_each_account_with_its_trace_fields_in_front() {
    let house = House::new().await;
    let to = ["alice@here.example", "team@here.example", "Alice@here.example"].map(recipient);
    let outcomes = house.deliver(Share::All, &to, "Subject: x\r\n\r\nhi\r\n").await.unwrap();
    assert_eq!(outcomes, [Ok(()), Ok(()), Ok(())]);
    let kept = "Return-Path: <carol@there.example>\r\nReceived: by mail.here.example\r\n\
        Subject: x\r\n\r\nhi\r\n";
    assert_eq!(house.inbox(ALICE).await, [kept]);
    assert_eq!(house.inbox(BOB).await, [kept]);
    assert_eq!(house.steps("received").await, [(None, "from there".to_owned())]);
    let delivered = [(ALICE, "alice"), (BOB, "team")];
    let delivered = delivered.map(|(id, to)| (Some(id), format!("{to}@here.example into INBOX")));
    assert_eq!(house.steps("delivered").await, delivered);
}

#[tokio::test]
async fn an_arrived_message_has_one_return_path_and_says_whose_it_is() {
    let house = House::new().await;
    let to = [recipient("BOB+x@here.example")];
    let text = "Subject: x\r\nreturn-path: <liar@there.example>\r\nX: 1\r\nReturn-Path :\r\n \
        <liar@there.example>\r\n\r\nReturn-Path: <text>\r\n";
    house.deliver(Share::All, &to, text).await.unwrap();
    let kept = "Return-Path: <carol@there.example>\r\nDelivered-To: bob@here.example\r\n\
        Received: by mail.here.example\r\nSubject: x\r\nX: 1\r\n\r\nReturn-Path: <text>\r\n";
    assert_eq!(house.inbox(BOB).await, [kept]);
}

#[tokio::test]
async fn a_message_that_was_in_the_mailbox_before_goes_round_in_a_circle() {
    let house = House::new().await;
    let deliver = async |to: &str, text: &str| {
        let outcome = house.deliver(Share::All, &[recipient(to)], text).await;
        !matches!(outcome, Err(Error::Refused(Refusal::Again)))
    };
    assert!(deliver("bob@here.example", "Subject: x\r\n\r\nhi\r\n").await);
    let came_out = house.inbox(BOB).await.remove(0);
    assert!(!deliver("Bob+again@here.example", &came_out).await);
    assert!(deliver("alice@here.example", &came_out).await);
    let other = "Delivered-To: bob@there.example\r\nDelivered-To: nobody\r\n\r\nhi\r\n";
    assert!(deliver("bob@here.example", other).await);
    // Copies of several do not say whose they are, so that it takes one turn more.
    assert!(deliver("team@here.example", &came_out).await);
    assert_eq!(house.inbox(BOB).await.len(), 3);
}

#[tokio::test]
async fn the_first_fetch_by_each_device_is_traced_once_even_after_a_restart() {
    let house = House::new().await;
    house.deliver(Share::All, &[recipient("alice@here.example")], "\r\nhi\r\n").await.unwrap();
    let inbox = house.store.read(|r| r.mailbox(ALICE, &mail::name::key("INBOX"))).await;
    let inbox = inbox.unwrap().unwrap().id;
    let entries = house.store.read(move |r| r.messages(inbox, Uid::MIN, 9)).await.unwrap();
    // What was never delivered has no trace that could be followed.
    let contents = [entries[0].content, ContentId(i64::MAX)];
    let actor = |account, device| Actor { account, origin: Origin { device, ..ORIGIN } };
    let (desk, phone) = (actor(ALICE, None), actor(ALICE, Some(DeviceId(7))));
    let mut news = house.store.bus().subscribe(Interest::Everything);
    let mut until = async |count| {
        while house.steps("fetched").await.len() < count {
            news.next().await;
        }
    };
    for actor in [phone, desk, phone] {
        house.mail.fetched(&actor, contents.into_iter());
    }
    until(2).await;
    let restarted = Mail::new(house.store.clone(), mail::Limits::default());
    for actor in [phone, desk, actor(BOB, None)] {
        restarted.fetched(&actor, contents.into_iter());
    }
    until(3).await;
    let by = |account, words: &str| (Some(account), format!("house, {words}"));
    let expected = [by(ALICE, "device 7"), by(ALICE, "main password"), by(BOB, "main password")];
    assert_eq!(house.steps("fetched").await, expected);
}

/// Makes mailboxes of bob's, and of nobody's with a name that begins with a slash.
async fn with_mailboxes(names: &'static [&'static str]) -> House {
    let house = House::new().await;
    house
        .change(move |tx| {
            for name in names {
                let (owner, name) = match name.strip_prefix('/') {
                    Some(name) => (AccountId::SHARED, name),
                    None => (BOB, *name),
                };
                tx.add_mailbox(owner, name, &mail::name::key(name), SpecialUse::default())?;
            }
            Ok(())
        })
        .await;
    house
}

#[tokio::test]
async fn a_message_goes_into_the_mailbox_that_is_addressed_and_into_each_once() {
    let house = with_mailboxes(&["INBOX", "INBOX/work"]).await;
    let to = ["work/bob", "bob", "bob+work", "team", "bob+nothing"];
    let to = to.map(|local| recipient(&format!("{local}@here.example")));
    let outcomes = house.deliver(Share::All, &to, "\r\nhi\r\n").await.unwrap();
    assert_eq!(outcomes, [Ok(()); 5]);
    assert_eq!(house.messages(BOB, "INBOX/work").await.len(), 1);
    assert_eq!((house.inbox(BOB).await.len(), house.inbox(ALICE).await.len()), (1, 1));
    let steps = house.steps("delivered").await.into_iter().map(|(_, detail)| detail);
    let steps = steps.collect::<Vec<_>>();
    assert_eq!(
        steps,
        [
            "work/bob@here.example into INBOX/work",
            "bob@here.example into INBOX",
            "team@here.example into INBOX",
        ]
    );
}

#[tokio::test]
async fn outside_of_inbox_only_who_may_post_gets_there_and_nobody_is_told() {
    let house = with_mailboxes(&["Sent", "/Team"]).await;
    let sent = [recipient("bob+=Sent@here.example")];
    let team = [recipient("bob+=Shared/Team@here.example")];
    let deliver = async |author, to: &[Recipient]| {
        let outcomes = house.deliver_by(author, Share::All, to, "\r\nhi\r\n").await.unwrap();
        assert_eq!(outcomes, [Ok(())]);
    };
    let found = async || {
        let messages = house.messages(AccountId::SHARED, "Team").await;
        (house.inbox(BOB).await.len(), house.messages(BOB, "Sent").await.len(), messages.len())
    };
    deliver(None, &sent).await;
    deliver(Some(ALICE), &sent).await;
    deliver(Some(BOB), &team).await;
    assert_eq!(found().await, (3, 0, 0));
    deliver(Some(BOB), &sent).await;
    assert_eq!(found().await, (3, 1, 0));
    house
        .change(|tx| {
            for (owner, name) in [(BOB, "Sent"), (AccountId::SHARED, "Team")] {
                let row = tx.mailbox(owner, &mail::name::key(name))?.unwrap();
                let rights = Rights::POST.bits();
                let identifier = Identifier::Anyone;
                tx.set_acl(&row, AclEntry { identifier, negative: false, rights })?;
            }
            Ok(())
        })
        .await;
    for to in [&sent, &team] {
        deliver(None, to).await;
    }
    assert_eq!(found().await, (3, 2, 1));
    // There is no room for it, and that is nobody's business but the owners'.
    house.change(|tx| tx.set_quota(AccountId::SHARED, Some(1), None)).await;
    deliver(None, &team).await;
    assert_eq!(found().await, (4, 2, 1));
}

#[tokio::test]
async fn a_mailbox_that_goes_or_moves_meanwhile_is_looked_at_again() {
    let house = with_mailboxes(&["INBOX", "INBOX/a", "INBOX/b"]).await;
    let mut addressees = Vec::new();
    for local in ["a/bob", "b/bob"] {
        addressees.push(house.whom(&format!("{local}@here.example")).await.unwrap());
    }
    house
        .change(|tx| {
            let row = |tx: &Tx<'_>, name| tx.mailbox(BOB, &mail::name::key(name)).unwrap();
            tx.remove_mailbox(&row(tx, "INBOX/a").unwrap(), false)?;
            tx.rename_mailbox(&row(tx, "INBOX/b").unwrap(), "b", &mail::name::key("b"))
        })
        .await;
    for addressee in addressees {
        house.deliver_to(None, Share::All, vec![addressee], "\r\nhi\r\n").await.unwrap();
    }
    assert_eq!((house.inbox(BOB).await.len(), house.messages(BOB, "b").await.len()), (2, 0));
}

#[tokio::test]
async fn a_full_mailbox_refuses_for_itself_or_for_all() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let to = ["bob@here.example", "alice@here.example"].map(recipient);
    let all = house.deliver(Share::All, &to, "\r\nhi\r\n").await;
    assert!(matches!(all, Err(Error::Refused(Refusal::OverQuota))));
    assert!(house.inbox(ALICE).await.is_empty());
    let each = house.deliver(Share::Each, &to, "\r\nhi\r\n").await.unwrap();
    assert_eq!(each, [Err(Refusal::OverQuota), Ok(())]);
    assert_eq!(house.inbox(ALICE).await.len(), 1);
}

#[tokio::test]
async fn who_has_no_room_waits_in_the_queue_while_others_have_it() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let to = ["bob@here.example", "alice@here.example"].map(recipient);
    let outcomes = house.deliver(Share::Later, &to, "\r\nhi\r\n").await.unwrap();
    assert_eq!(outcomes, [Err(Refusal::OverQuota), Ok(())]);
    assert_eq!(house.inbox(ALICE).await.len(), 1);
    let queued = house.store.read(|r| r.queue(None, QueueId(0), 9)).await.unwrap();
    assert_eq!((queued.len(), queued[0].account, queued[0].trace.as_str()), (1, None, "t"));
    assert_eq!(queued[0].envelope.reverse_path.to_string(), "carol@there.example");
    let waits: Vec<_> = queued[0].recipients.iter().collect();
    assert_eq!((waits.len(), waits[0].state), (1, RecipientState::Waiting));
    assert_eq!(waits[0].recipient.address.to_string(), "bob@here.example");
    assert_eq!(house.steps("queued").await, [(None, "1 recipients as 1".to_owned())]);
    let bob = house.store.read(|r| r.account_by_id(BOB)).await.unwrap().unwrap();
    assert_eq!(bob.full_since, Some(ORIGIN.at));
}

#[tokio::test]
async fn when_nobody_has_room_nobody_waits_and_later_is_said_before_never() {
    let house = House::new().await;
    let to = ["bob@here.example", "alice@here.example"].map(recipient);
    for id in [ALICE, BOB] {
        house.change(move |tx| tx.set_quota(id, Some(10), None)).await;
    }
    let all = house.deliver(Share::Later, &to, "\r\nhi\r\n").await;
    assert!(matches!(all, Err(Error::Refused(Refusal::OverQuota))));
    assert!(house.store.read(|r| r.queue(None, QueueId(0), 9)).await.unwrap().is_empty());
    for (outcomes, refusal) in [
        ([Err(Refusal::Disabled), Err(Refusal::OverQuota)], Refusal::OverQuota),
        ([Err(Refusal::LongOverQuota), Err(Refusal::Disabled)], Refusal::LongOverQuota),
    ] {
        assert_eq!(refusal_for_all(Share::Later, &outcomes), Some(refusal));
    }
}

#[tokio::test]
async fn nobody_waits_for_room_in_a_queue_that_is_full() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let to = ["bob@here.example", "alice@here.example"].map(recipient);
    for number in 0..10 {
        house.deliver(Share::Later, &to, "\r\nhi\r\n").await.unwrap();
        assert_eq!(house.inbox(ALICE).await.len(), number + 1);
        house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    }
    let refused = house.deliver(Share::Later, &to, "\r\nhi\r\n").await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::QueueFull))));
    assert_eq!(house.inbox(ALICE).await.len(), 10);
    assert_eq!(house.delivery.metrics().times_exceeded(Limit::QueueMessagesMax), 1);
}

#[tokio::test]
async fn an_alias_of_several_serves_all_of_them_or_none() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let outcomes =
        house.deliver(Share::Each, &[recipient("team@here.example")], "\r\nhi\r\n").await;
    assert_eq!(outcomes.unwrap(), [Err(Refusal::OverQuota)]);
    assert!(house.inbox(ALICE).await.is_empty());
}

#[tokio::test]
async fn a_message_with_too_many_hops_is_a_loop() {
    let house = House::new().await;
    let to = [recipient("alice@here.example")];
    for (hops, looping) in [(2, false), (3, false), (4, true)] {
        let text = format!("{}\r\n", "received: x\r\n".repeat(hops));
        let outcome = house.deliver(Share::All, &to, &text).await;
        assert_eq!(matches!(outcome, Err(Error::Refused(Refusal::Loop))), looping);
    }
}

#[tokio::test]
async fn who_asked_for_it_is_told_of_the_delivery() {
    let house = House::new().await;
    let mut alice = recipient("alice@here.example");
    alice.notify = Notify::parse("SUCCESS").ok();
    let to = [recipient("bob@here.example"), alice];
    house.deliver(Share::All, &to, "\r\nhi\r\n").await.unwrap();
    let queued = house.store.read(|r| r.queue(None, QueueId(0), 9)).await.unwrap();
    assert_eq!(queued.len(), 1);
    let told = &queued[0].recipients;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].recipient.address.to_string(), "alice@here.example");
    assert_eq!(told[0].state, RecipientState::Delivered);
}

#[tokio::test]
async fn own_addresses_are_the_account_its_aliases_and_their_details() {
    let house = House::new().await;
    house.change(|tx| tx.set_catch_all("here.example", Some(BOB))).await;
    for (text, own) in [
        ("bob@here.example", true),
        ("BOB+shop@here.example", true),
        ("team@here.example", true),
        ("team+x@here.example", true),
        ("work/bob@here.example", true),
        ("bob+=Sent@here.example", true),
        ("work/alice@here.example", false),
        ("alice@here.example", false),
        ("anything@here.example", false),
        ("postmaster@here.example", false),
        ("bob@there.example", false),
    ] {
        let address = Address::parse(text).unwrap();
        let found = house.store.read(move |r| is_own_address(r, BOB, &address)).await.unwrap();
        assert_eq!(found, own, "{text}");
    }
    house
        .change(|tx| {
            tx.add_domain("gone.example")?;
            tx.add_alias("bob@gone.example", "bob@gone.example", BOB)?;
            tx.remove_domain("gone.example")
        })
        .await;
    let gone = Address::parse("bob@gone.example").unwrap();
    assert!(!house.store.read(move |r| is_own_address(r, BOB, &gone)).await.unwrap());
}
