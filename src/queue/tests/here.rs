//! Recipients here who had no room at first.

use super::*;
use crate::delivery::Incoming;

/// Takes a message from elsewhere as port 25 does; bob has no room for it.
async fn take(office: &Office, to: &[&str], notify: Option<&str>) {
    office.house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let delivery = &office.house.delivery;
    let (mut addressees, mut recipients) = (Vec::new(), Vec::new());
    for to in to {
        let mut to = recipient(to);
        to.notify = notify.map(|notify| Notify::parse(notify).unwrap());
        addressees.push(delivery.recipient(ORIGIN, &to, 0).await.unwrap());
        recipients.push(to);
    }
    let reverse_path = ReversePath::parse("carol@there.example").unwrap();
    let incoming = Incoming {
        trace: "t".into(),
        author: None,
        envelope: Envelope { reverse_path, recipients, ..Envelope::default() },
        addressees,
        received: b"Received: by mail.here.example\r\n".into(),
        arrival: "from there".into(),
        message: office.house.spool(TEXT),
    };
    let _ = delivery.deliver(ORIGIN, Share::Later, incoming).await.unwrap();
}

/// Gives bob room, and lets all that waits be tried at once.
async fn make_room(office: &Office) {
    let room = |tx: &mut crate::store::Tx<'_>| {
        tx.set_quota(BOB, Some(10_000), None)?;
        tx.retry_queued(None).map(|_| ())
    };
    office.house.change(room).await;
}

#[tokio::test]
async fn who_had_no_room_gets_it_once_there_is_some_and_the_others_have_it_before() {
    let office = Office::new(Script::default()).await;
    take(&office, &["bob@here.example", "alice@here.example"], None).await;
    assert_eq!(office.house.inbox(ALICE).await.len(), 1);
    let running = office.start(|_| {});
    let queue = office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    assert_eq!(queue[0].recipients[0].reply, "4.2.2 mailbox full");
    let pause = queue[0].recipients[0].next_attempt - ORIGIN.at;
    assert!((60..=66).contains(&pause), "{pause}");
    running.end().await;
    make_room(&office).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    let (alice, bob) = (office.house.inbox(ALICE).await, office.house.inbox(BOB).await);
    assert_eq!((alice.len(), &alice), (1, &bob));
    assert!(bob[0].starts_with("Return-Path: <carol@there.example>\r\nReceived: by"));
    let steps = office.house.store.read(|r| r.traces("t")).await.unwrap();
    let steps: Vec<_> = steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["received", "delivered", "queued", "deferred", "delivered"]);
    assert_eq!(office.sink.notes().connections, 0);
}

#[tokio::test]
async fn nobody_gets_it_twice_by_an_alias_and_by_name() {
    let office = Office::new(Script::default()).await;
    take(&office, &["team@here.example", "alice@here.example"], None).await;
    make_room(&office).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    assert_eq!(office.house.inbox(ALICE).await.len(), 1);
    assert_eq!(office.house.inbox(BOB).await.len(), 1);
}

#[tokio::test]
async fn what_finds_no_room_for_days_comes_back_to_its_sender() {
    let office = Office::new(Script::default()).await;
    take(&office, &["bob@here.example", "alice@here.example"], None).await;
    let running = office.start(|_| {});
    office.until(|queue| !queue.is_empty() && deferred(queue)).await;
    office.clock.store(ORIGIN.at + 120 * HOUR, Ordering::Relaxed);
    office.house.change(|tx| tx.retry_queued(None).map(|_| ())).await;
    office.until_empty().await;
    running.end().await;
    let report = office.sink.notes().messages.remove(0);
    assert_eq!(report.rcpt, ["RCPT TO:<carol@there.example>"]);
    for line in ["Final-Recipient: rfc822;bob@here.example", "Action: failed", "Status: 4.2.2"] {
        assert!(report.data.contains(line), "{line} in {}", report.data);
    }
    assert!(!report.data.contains("alice@here.example>"));
    assert!(office.house.inbox(BOB).await.is_empty());
}

#[tokio::test]
async fn who_is_there_no_more_is_reported_at_once() {
    let office = Office::new(Script::default()).await;
    take(&office, &["bob@here.example", "alice@here.example"], None).await;
    office.house.change(|tx| tx.set_enabled(BOB, false)).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    assert!(office.sink.notes().messages[0].data.contains("Status: 5.2.1"));
}

#[tokio::test]
async fn a_late_delivery_is_told_to_whom_asked_for_it() {
    let office = Office::new(Script::default()).await;
    take(&office, &["bob@here.example", "alice@here.example"], Some("SUCCESS")).await;
    make_room(&office).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    let told: String = office.sink.notes().messages.into_iter().map(|heard| heard.data).collect();
    for name in ["alice", "bob"] {
        let line = format!("Final-Recipient: rfc822;{name}@here.example\r\nAction: delivered");
        assert_eq!(told.matches(&line).count(), 1, "{told}");
    }
}

#[tokio::test]
async fn a_removed_message_is_not_delivered_afterwards() {
    let office = Office::new(Script::default()).await;
    take(&office, &["bob@here.example", "alice@here.example"], None).await;
    office.house.change(|tx| tx.remove_queued(QueueId(1))).await;
    make_room(&office).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    assert!(office.house.inbox(BOB).await.is_empty());
}

#[tokio::test]
async fn mail_of_a_domain_that_came_to_us_meanwhile_is_delivered_here() {
    let office = Office::new(Script::default()).await;
    office.submit(&["bob@there.example"], |_| {}, TEXT).await;
    let ours = |tx: &mut crate::store::Tx<'_>| {
        tx.add_domain("there.example")?;
        tx.add_alias("bob@there.example", "bob@there.example", BOB)
    };
    office.house.change(ours).await;
    let running = office.start(|_| {});
    office.until_empty().await;
    running.end().await;
    assert!(office.house.inbox(BOB).await[0].starts_with("Return-Path: <alice@here.example>"));
    assert_eq!(office.sink.notes().connections, 0);
}
