//! The agent behind `$Queued`, and what it finds after a start.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::submission;
use crate::{
    delivery::tests::{ALICE, BOB, House, ORIGIN},
    events::{Door, Interest, Origin},
    flags::Flags,
    ids::{AccountId, SendingId, SessionId, Uid},
    mail::{
        self, Actor, Mail, Mailbox, NewMail, Rights, RightsChange,
        annotations::{AnnotationName, AnnotationValue},
        metadata::Scope,
        urls::{Here, Urls},
    },
    metrics::{Count, Limit},
    store::{self, MarkDeed, MarkNames, SendingState},
    submission::{Queued, Settings},
};

const HOUR: i64 = 3_600;

/// Somebody in a session.
fn actor(account: AccountId) -> Actor {
    let origin = Origin { session: Some(SessionId(7)), ..Origin::new(Door::Imap, ORIGIN.at) };
    Actor { account, origin }
}

/// A house with an agent that can be stopped and started.
struct Office {
    house: House,
    clock: Arc<AtomicI64>,
    settings: fn(&mut Settings),
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Office {
    async fn new(settings: fn(&mut Settings)) -> Self {
        let house = House::new().await;
        for account in [ALICE, BOB] {
            house
                .change(move |tx| {
                    Mail::add_default_mailboxes(tx, account).map_err(|_| unreachable!())
                })
                .await;
        }
        let clock = Arc::new(AtomicI64::new(ORIGIN.at));
        Self { house, clock, settings, running: None }
    }

    fn start(&mut self) {
        let clock = Arc::clone(&self.clock);
        let now = move || jiff::Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap();
        let here = Here {
            hostname: "mail.here.example".into(),
            ports: Vec::new(),
            submitters: Vec::new(),
        };
        let urls = Urls::new(&self.house.mail, here);
        let agent = Queued::new(submission(&self.house, self.settings), urls, Arc::new(now));
        let stop = CancellationToken::new();
        let task = tokio::spawn(agent.run(stop.clone(), CancellationToken::new()));
        self.running = Some((stop, task));
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    async fn open(&self, account: AccountId, name: &str) -> Mailbox {
        self.house.mail.open(&actor(account), name, Rights::INSERT).await.unwrap()
    }

    /// A message from this user to bob, so marked; its UID.
    async fn append(&self, account: AccountId, name: &str, flags: Flags, text: &str) -> Uid {
        let mailbox = self.open(account, name).await;
        let message =
            self.house.mail.prepare(self.house.spool(text), |header| header).await.unwrap();
        let marks = MarkNames::flags(flags);
        let new = NewMail { message, marks, internal_date: None, annotations: Vec::new() };
        let appended = self.house.mail.append(&actor(account), &mailbox, vec![new]).await;
        appended.unwrap().uids[0]
    }

    async fn mark(&self, uid: Uid, deed: MarkDeed, flags: Flags) {
        let (mailbox, names) = (self.open(ALICE, "Drafts").await, MarkNames::flags(flags));
        let (mail, actor) = (&self.house.mail, actor(ALICE));
        let _ = mail.mark(&actor, &mailbox, vec![uid], deed, names, None).await.unwrap();
    }

    /// Waits until a message is marked with just these.
    async fn until(&self, account: AccountId, name: &str, uid: Uid, flags: Flags) {
        let id = self.open(account, name).await.id;
        let mut news = self.house.store.bus().subscribe(Interest::Mailbox(id));
        loop {
            let read = self.house.store.read(move |r| r.message(id, uid)).await;
            if read.unwrap().unwrap().marks.flags == flags {
                return;
            }
            news.next().await;
        }
    }

    async fn status(&self, name: &str, uid: Uid) -> String {
        let id = self.open(ALICE, name).await.id;
        let entry = "/vendor/mailade/status";
        let status = self.house.store.read(move |r| r.annotation(id, uid, entry, None)).await;
        String::from_utf8(status.unwrap().unwrap_or_default()).unwrap()
    }

    /// The state of the first rows, by their numbers.
    async fn rows(&self) -> Vec<(i64, SendingState)> {
        let job = |r: &store::Reader<'_>| {
            let rows = (1..9).map(|id| Ok(r.sending(SendingId(id))?.map(|row| (id, row.state))));
            let rows: Result<Vec<_>, store::Error> = rows.collect();
            Ok::<_, store::Error>(rows?.into_iter().flatten().collect())
        };
        self.house.store.read(job).await.unwrap()
    }

    /// What a house did that went away in the middle.
    async fn claim(&self, id: i64) {
        self.house
            .change(move |tx| {
                let row = tx.sending(SendingId(id))?.unwrap();
                tx.claim_sending(&row, ORIGIN.at + HOUR)
            })
            .await;
    }
}

fn text(from: &str, subject: &str) -> String {
    format!("From: {from}@here.example\r\nTo: bob@here.example\r\nSubject: {subject}\r\n\r\nhi\r\n")
}

fn subjects(inbox: &[String]) -> Vec<&str> {
    let subject = |text: &'_ str| -> usize { text.find("Subject: ").unwrap() + 9 };
    inbox.iter().map(|text| text[subject(text)..].lines().next().unwrap()).collect()
}

#[tokio::test]
async fn messages_of_a_user_are_sent_in_the_order_they_were_asked_for() {
    let mut office = Office::new(|settings| settings.messages_per_hour = 100).await;
    let mut last = None;
    for number in 0..5 {
        let message = text("alice", &number.to_string());
        last = Some(office.append(ALICE, "Drafts", Flags::QUEUED, &message).await);
    }
    let bobs = office.append(BOB, "Drafts", Flags::QUEUED, &text("bob", "bob")).await;
    office.start();
    office.until(ALICE, "Drafts", last.unwrap(), Flags::SUBMITTED).await;
    office.until(BOB, "Drafts", bobs, Flags::SUBMITTED).await;
    let inbox = office.house.inbox(BOB).await;
    let mut of_alice = subjects(&inbox);
    of_alice.retain(|subject| *subject != "bob");
    assert_eq!(of_alice, ["0", "1", "2", "3", "4"]);
    assert_eq!(inbox.len(), 6);
    assert_eq!(office.rows().await, []);
    office.stop().await;
}

#[tokio::test]
async fn only_a_session_asks() {
    let mut office = Office::new(|_| {}).await;
    let mailbox = office.open(ALICE, "Drafts").await;
    let spool = office.house.spool(&text("alice", "no"));
    let message = office.house.mail.prepare(spool, |header| header).await.unwrap();
    let marks = MarkNames::flags(Flags::QUEUED);
    let new = NewMail { message, marks, internal_date: None, annotations: Vec::new() };
    let by_house = Actor { account: ALICE, origin: ORIGIN };
    let _ = office.house.mail.append(&by_house, &mailbox, vec![new]).await.unwrap();
    assert_eq!(office.rows().await, []);
    let uid = office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", "yes")).await;
    office.start();
    office.until(ALICE, "Drafts", uid, Flags::SUBMITTED).await;
    assert_eq!(subjects(&office.house.inbox(BOB).await), ["yes"]);
    office.stop().await;
}

#[tokio::test]
async fn what_was_claimed_before_a_crash_is_sent_once_after_the_start() {
    let mut office = Office::new(|_| {}).await;
    let uid = office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", "once")).await;
    office.claim(1).await;
    office.until(ALICE, "Drafts", uid, Flags::QUEUED.with(Flags::CLAIM)).await;
    office.start();
    office.until(ALICE, "Drafts", uid, Flags::SUBMITTED).await;
    assert_eq!(subjects(&office.house.inbox(BOB).await), ["once"]);
    office.stop().await;
}

#[tokio::test]
async fn what_was_taken_back_in_time_is_not_sent_and_no_longer_claimed() {
    let mut office = Office::new(|_| {}).await;
    for number in ["a", "b", "c"] {
        office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", number)).await;
    }
    let [a, b, c] = [1, 2, 3].map(|number| Uid::new(number).unwrap());
    // One waits, one is claimed, and one is claimed, taken back and asked for again.
    office.claim(2).await;
    office.claim(3).await;
    for uid in [a, b, c] {
        office.mark(uid, MarkDeed::Remove, Flags::QUEUED).await;
    }
    let withdrawn = SendingState::Withdrawn;
    assert_eq!(office.rows().await, [(2, withdrawn), (3, withdrawn)]);
    office.mark(c, MarkDeed::Add, Flags::QUEUED).await;
    assert_eq!(office.rows().await, [(2, withdrawn), (4, SendingState::Waiting)]);
    office.start();
    office.until(ALICE, "Drafts", b, Flags::NONE).await;
    office.until(ALICE, "Drafts", c, Flags::SUBMITTED).await;
    office.until(ALICE, "Drafts", a, Flags::NONE).await;
    assert_eq!(subjects(&office.house.inbox(BOB).await), ["c"]);
    assert_eq!(office.rows().await, []);
    office.stop().await;
}

#[tokio::test]
async fn what_this_house_cannot_do_now_is_tried_again_for_a_while() {
    let mut office = Office::new(|settings| settings.queue_max = 0).await;
    let away = "From: alice@here.example\r\nTo: carol@there.example\r\n\r\nhi\r\n";
    let uid = office.append(ALICE, "Drafts", Flags::QUEUED.with(Flags::DRAFT), away).await;
    let claimed = Flags::DRAFT.with(Flags::QUEUED).with(Flags::CLAIM);
    office.start();
    office.until(ALICE, "Drafts", uid, claimed).await;
    office.stop().await;
    let status = "carol@there.example 452 4.3.1 too many messages in the queue";
    assert_eq!(office.status("Drafts", uid).await, status);
    assert_eq!(office.rows().await, [(1, SendingState::Claimed)]);
    let next = office.house.store.read(|r| r.sending_next(ORIGIN.at)).await.unwrap();
    assert_eq!(next, Some(ORIGIN.at + 60));
    office.clock.fetch_add(4 * HOUR, Ordering::Relaxed);
    office.start();
    office.until(ALICE, "Drafts", uid, Flags::DRAFT.with(Flags::SUBMIT_FAILED)).await;
    office.stop().await;
    assert_eq!(office.rows().await, []);
    let metrics = office.house.delivery.metrics();
    assert_eq!(metrics.times_exceeded(Limit::SubmissionRetryTime), 1);
    assert_eq!(metrics.counted(Count::SubmissionRefused), 2);
    office.settings = |_| {};
    office.mark(uid, MarkDeed::Add, Flags::QUEUED).await;
    office.start();
    office.until(ALICE, "Drafts", uid, Flags::SUBMITTED).await;
    office.stop().await;
}

#[tokio::test]
async fn who_has_sent_too_much_waits_with_all_that_follows() {
    let mut office = Office::new(|settings| settings.messages_per_hour = 1).await;
    for number in ["1", "2", "3"] {
        office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", number)).await;
    }
    let [one, two, three] = [1, 2, 3].map(|number| Uid::new(number).unwrap());
    office.start();
    office.until(ALICE, "Drafts", one, Flags::SUBMITTED).await;
    office.until(ALICE, "Drafts", two, Flags::QUEUED.with(Flags::CLAIM)).await;
    // Whoever else asks is served at once, and the agent has looked at all the others by then.
    let bobs = office.append(BOB, "Drafts", Flags::QUEUED, &text("bob", "bob")).await;
    office.until(BOB, "Drafts", bobs, Flags::SUBMITTED).await;
    office.stop().await;
    let (claimed, waiting) = (SendingState::Claimed, SendingState::Waiting);
    assert_eq!(office.rows().await, [(2, claimed), (3, waiting)]);
    office.clock.fetch_add(HOUR, Ordering::Relaxed);
    office.start();
    office.until(ALICE, "Drafts", two, Flags::SUBMITTED).await;
    office.until(ALICE, "Drafts", three, Flags::QUEUED.with(Flags::CLAIM)).await;
    office.stop().await;
    let inbox = office.house.inbox(BOB).await;
    assert_eq!(
        subjects(&inbox).into_iter().filter(|subject| *subject != "bob").collect::<Vec<_>>(),
        ["1", "2"]
    );
}

#[tokio::test]
async fn who_may_not_any_more_sends_nothing() {
    let mut office = Office::new(|_| {}).await;
    let mail = &office.house.mail;
    let _ = mail.create(&actor(ALICE), "team", store::SpecialUse::default()).await.unwrap();
    let rights = |rights: &str| RightsChange::Replace(rights.parse().unwrap());
    let bob = "bob@here.example";
    let _ = mail.set_acl(&actor(ALICE), "team", bob, rights("lrswi")).await.unwrap();
    let theirs = "Other Users/alice@here.example/team";
    let failed = Flags::SUBMIT_FAILED;
    let first = office.append(BOB, theirs, Flags::QUEUED, &text("bob", "one")).await;
    let second = office.append(BOB, theirs, Flags::QUEUED, &text("bob", "two")).await;
    // The one is claimed already.
    office.claim(1).await;
    let _ = mail.set_acl(&actor(ALICE), "team", bob, rights("lrs")).await.unwrap();
    office.start();
    office.until(ALICE, "team", first, failed).await;
    office.until(ALICE, "team", second, failed).await;
    office.stop().await;
    let status = "<> 550 5.7.1 its user may not send it any more";
    assert_eq!(office.status("team", second).await, status);
    let mine = office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", "three")).await;
    office.house.change(|tx| tx.set_enabled(ALICE, false)).await;
    office.start();
    office.until(ALICE, "Drafts", mine, failed).await;
    office.stop().await;
    assert!(office.house.inbox(BOB).await.is_empty());
    assert_eq!(office.rows().await, []);
}

#[tokio::test]
async fn with_its_user_goes_what_a_user_has_asked_for() {
    let office = Office::new(|_| {}).await;
    let mail = &office.house.mail;
    let _ = mail.create(&actor(ALICE), "team", store::SpecialUse::default()).await.unwrap();
    let rights = RightsChange::Replace("lrswi".parse().unwrap());
    let _ = mail.set_acl(&actor(ALICE), "team", "bob@here.example", rights).await.unwrap();
    let theirs = "Other Users/alice@here.example/team";
    let uid = office.append(BOB, theirs, Flags::QUEUED.with(Flags::SEEN), &text("bob", "x")).await;
    office.claim(1).await;
    office.append(BOB, "Drafts", Flags::QUEUED, &text("bob", "y")).await;
    office.house.change(|tx| tx.remove_account(BOB)).await;
    office.until(ALICE, "team", uid, Flags::SEEN).await;
    assert_eq!(office.rows().await, []);
}

#[tokio::test]
async fn an_envelope_that_comes_after_the_wish_is_not_its_envelope() {
    let mut office = Office::new(|_| {}).await;
    let uid = office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", "x")).await;
    let mailbox = office.open(ALICE, "Drafts").await;
    let value = AnnotationValue {
        name: AnnotationName::parse(b"/vendor/mailade/envelope").unwrap(),
        scope: Scope::Private,
        value: Some(b"MAIL FROM:<alice@here.example>\r\nRCPT TO:<team@here.example>".to_vec()),
    };
    let (mail, alice) = (&office.house.mail, actor(ALICE));
    let _ = mail.annotate(&alice, &mailbox, vec![uid], vec![value], None).await.unwrap();
    office.start();
    office.until(ALICE, "Drafts", uid, Flags::SUBMITTED).await;
    assert_eq!(office.status("Drafts", uid).await, "bob@here.example 250 2.1.5 delivered");
    office.mark(uid, MarkDeed::Replace, Flags::QUEUED).await;
    office.until(ALICE, "Drafts", uid, Flags::SUBMITTED).await;
    assert_eq!(office.status("Drafts", uid).await, "team@here.example 250 2.1.5 delivered");
    office.stop().await;
}

#[tokio::test]
async fn a_mailbox_with_another_name_sends_what_it_was_asked_to() {
    let mut office = Office::new(|settings| settings.messages_per_hour = 100).await;
    let (mail, alice) = (office.house.mail.clone(), actor(ALICE));
    let waits =
        office.append(ALICE, "Drafts", Flags::QUEUED.with(Flags::DRAFT), &text("alice", "x")).await;
    // It was tried before, and is to be tried again.
    let claimed = office.append(ALICE, "Drafts", Flags::QUEUED, &text("alice", "y")).await;
    office.claim(2).await;
    let _ = mail.rename(&alice, "Drafts", "Later").await.unwrap();
    office.until(ALICE, "Later", waits, Flags::QUEUED.with(Flags::DRAFT)).await;
    office.until(ALICE, "Later", claimed, Flags::QUEUED.with(Flags::CLAIM)).await;
    let rows = [(1, SendingState::Waiting), (2, SendingState::Claimed)];
    assert_eq!(office.rows().await, rows);
    office.start();
    for uid in [waits, claimed] {
        office.until(ALICE, "Later", uid, Flags::SUBMITTED).await;
    }
    office.stop().await;
    assert_eq!(office.rows().await, []);
    let uid = office.append(ALICE, "Later", Flags::QUEUED, &text("alice", "z")).await;
    assert_eq!(office.rows().await, [(3, SendingState::Waiting)]);
    let _ = mail.delete(&alice, "Later").await.unwrap();
    assert_eq!(office.rows().await, [], "{uid}");
    assert!(matches!(mail.open(&alice, "Later", Rights::READ).await, Err(mail::Error::NoMailbox)));
}

#[tokio::test]
async fn messages_of_inbox_are_sent_under_its_new_name() {
    let mut office = Office::new(|settings| settings.messages_per_hour = 100).await;
    let (mail, alice) = (office.house.mail.clone(), actor(ALICE));
    for (subject, flags) in
        [("a", Flags::NONE), ("b", Flags::QUEUED), ("c", Flags::QUEUED), ("d", Flags::QUEUED)]
    {
        office.append(ALICE, "INBOX", flags, &text("alice", subject)).await;
    }
    office.claim(2).await;
    office.claim(3).await;
    office
        .house
        .change(|tx| {
            let row = tx.sending(SendingId(3))?.unwrap();
            let inbox = tx.mailbox_by_id(row.mailbox)?.unwrap();
            tx.mark(&inbox, &[row.uid], MarkDeed::Remove, &MarkNames::flags(Flags::QUEUED), None)
                .map(|_| ())
        })
        .await;
    let _ = mail.rename(&alice, "INBOX", "Old").await.unwrap();
    let rows =
        [(4, SendingState::Waiting), (5, SendingState::Claimed), (6, SendingState::Withdrawn)];
    let mut now = office.rows().await;
    now.sort_by_key(|(id, _)| *id);
    let states: Vec<_> = now.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, rows.map(|(_, state)| state), "{now:?}");
    office.start();
    let uid = |number| Uid::new(number).unwrap();
    office.until(ALICE, "Old", uid(1), Flags::NONE).await;
    office.until(ALICE, "Old", uid(2), Flags::SUBMITTED).await;
    office.until(ALICE, "Old", uid(3), Flags::SUBMITTED).await;
    office.until(ALICE, "Old", uid(4), Flags::NONE).await;
    office.stop().await;
    assert_eq!(office.rows().await, []);
}
