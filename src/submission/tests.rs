//! Submissions in a small house.

mod along;
mod queued;
mod stored;

use super::{Author, Error, Outcome, Outgoing, Settings, Submission, Taken};
use crate::{
    delivery::{
        Refusal, Share,
        tests::{ALICE, BOB, House, ORIGIN, recipient},
    },
    events::{Door, Origin},
    ids::{AccountId, QueueId},
    metrics::{Count, Limit},
    store::RecipientState,
    wire::{
        address::{Domain, ReversePath},
        envelope::{Envelope, Notify},
    },
};

const TEXT: &str = "From: alice@here.example\r\nBcc: x@there.example\r\n\r\nhi\r\n";

fn submission(house: &House, change: impl FnOnce(&mut Settings)) -> Submission {
    let mut settings = Settings {
        hostname: Domain::parse("mail.here.example").unwrap(),
        messages_per_hour: 10,
        queue_per_user_max: 10,
        queue_max: 10,
        recipients_max: 100,
        retry_time: std::time::Duration::from_hours(4),
    };
    change(&mut settings);
    Submission::new(house.delivery.clone(), settings)
}

fn envelope(from: &str, to: &[&str]) -> Envelope {
    Envelope {
        reverse_path: ReversePath::parse(from).unwrap(),
        recipients: to.iter().map(|text| recipient(text)).collect(),
        ..Envelope::default()
    }
}

async fn submit(
    house: &House,
    submission: &Submission,
    (author, share): (Author, Share),
    envelope: Envelope,
    text: &str,
) -> Result<Vec<Outcome>, Error> {
    let outgoing = Outgoing {
        trace: "t".into(),
        envelope,
        received: b"Received: by mail.here.example\r\n".into(),
        arrival: "from a phone".into(),
        message: house.spool(text),
    };
    Ok(submission.submit(author, ORIGIN, share, outgoing).await?.into_inner())
}

async fn as_alice(house: &House, envelope: Envelope, text: &str) -> Result<Vec<Outcome>, Error> {
    let author = (Author::User(ALICE), Share::All);
    submit(house, &submission(house, |_| {}), author, envelope, text).await
}

#[tokio::test]
async fn those_here_have_it_and_the_others_stand_in_the_queue() {
    let house = House::new().await;
    let to = ["bob@here.example", "carol@there.example", "dan@yonder.example"];
    let outcomes = as_alice(&house, envelope("alice@here.example", &to), TEXT).await.unwrap();
    let queued = Ok(Taken::Queued(QueueId(1)));
    assert_eq!(outcomes, [Ok(Taken::Delivered), queued, queued]);
    let inbox = house.inbox(BOB).await;
    assert!(inbox[0].starts_with("Return-Path: <alice@here.example>\r\nReceived: by"));
    assert!(inbox[0].contains("\r\nMessage-ID: <t."));
    assert!(!inbox[0].contains("Bcc"));
    let message = house.store.read(|r| r.queued(QueueId(1))).await.unwrap().unwrap();
    assert_eq!(message.account, Some(ALICE));
    let states: Vec<_> = message.recipients.iter().map(|to| to.state).collect();
    assert_eq!(states, [RecipientState::Waiting; 2]);
}

#[tokio::test]
async fn a_user_writes_as_nobody_else() {
    let house = House::new().await;
    let bad_from = TEXT.replace("alice", "bob");
    for (from, text) in [
        ("bob@here.example", TEXT),
        ("alice@there.example", TEXT),
        ("alice@here.example", &bad_from),
        ("alice@here.example", "From: alice@here.example\r\nSender: bob@here.example\r\n\r\n"),
    ] {
        let outcome = as_alice(&house, envelope(from, &["bob@here.example"]), text).await;
        assert!(matches!(outcome, Err(Error::NotYours(_))), "{from}");
    }
    let two = "From: alice@here.example\r\nFrom: alice@here.example\r\n\r\n";
    let two = as_alice(&house, envelope("alice@here.example", &["bob@here.example"]), two).await;
    assert!(matches!(two, Err(Error::NoAuthor)));
    assert!(house.inbox(BOB).await.is_empty());
    let team = envelope("team+x@here.example", &["bob@here.example"]);
    as_alice(&house, team, TEXT).await.unwrap();
}

#[tokio::test]
async fn an_automatic_answer_has_no_sender_but_an_author() {
    let house = House::new().await;
    let to = ["bob@here.example", "carol@there.example"];
    let as_alice = async |text: &str| as_alice(&house, envelope("", &to), text).await;
    let bad_from = TEXT.replace("alice", "bob");
    assert!(matches!(as_alice(&bad_from).await, Err(Error::NotYours(_))));
    assert!(matches!(as_alice("Subject: x\r\n\r\n").await, Err(Error::NoAuthor)));
    let mdn = "From: alice@here.example\r\nSubject: read\r\nMIME-Version: 1.0\r\nContent-Type: \
        multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b--\r\n";
    as_alice(mdn).await.unwrap();
    assert!(house.inbox(BOB).await[0].starts_with("Return-Path: <>\r\n"));
    let message = house.store.read(|r| r.queued(QueueId(1))).await.unwrap().unwrap();
    assert!(message.envelope.reverse_path.is_null());
    assert_eq!(message.account, Some(ALICE));
}

#[tokio::test]
async fn a_submission_leaves_a_trace_from_its_door_on() {
    let house = House::new().await;
    let to = ["bob@here.example", "carol@there.example"];
    as_alice(&house, envelope("alice@here.example", &to), TEXT).await.unwrap();
    let steps = house.store.read(|r| r.traces("t")).await.unwrap();
    let steps: Vec<_> =
        steps.iter().map(|step| (step.step.as_str(), step.account, step.detail.as_str())).collect();
    assert_eq!(
        steps,
        [
            ("received", Some(ALICE), "from a phone"),
            ("delivered", Some(BOB), "bob@here.example into INBOX"),
            ("queued", Some(ALICE), "1 recipients as 1"),
        ]
    );
}

#[tokio::test]
async fn one_bad_recipient_spoils_it_for_all_unless_each_is_for_itself() {
    let house = House::new().await;
    let to = ["bob@here.example", "nobody@here.example", "carol@[192.0.2.1]"];
    let envelope = envelope("alice@here.example", &to);
    let Err(Error::Refused(refused)) = as_alice(&house, envelope.clone(), TEXT).await else {
        panic!("nobody may have it");
    };
    let refusals: Vec<_> = refused.iter().map(|(_, refusal)| *refusal).collect();
    assert_eq!(refusals, [Refusal::UnknownUser, Refusal::UnknownDomain]);
    assert!(house.inbox(BOB).await.is_empty());
    let author = (Author::User(ALICE), Share::Each);
    let each = submit(&house, &submission(&house, |_| {}), author, envelope, TEXT).await.unwrap();
    let refused = [Err(Refusal::UnknownUser), Err(Refusal::UnknownDomain)];
    assert_eq!(each, [Ok(Taken::Delivered), refused[0], refused[1]]);
}

#[tokio::test]
async fn who_has_no_room_waits_in_the_queue_unless_nobody_has() {
    let house = House::new().await;
    house.change(|tx| tx.set_quota(BOB, Some(10), None)).await;
    let author = (Author::User(ALICE), Share::Later);
    let submission = submission(&house, |_| {});
    let sends = async |to: &[&str]| {
        submit(&house, &submission, author, envelope("alice@here.example", to), TEXT).await
    };
    let queued = |id| Ok(Taken::Queued(QueueId(id)));
    let taken = sends(&["bob@here.example", "alice@here.example"]).await.unwrap();
    assert_eq!(taken, [queued(1), Ok(Taken::Delivered)]);
    let taken = sends(&["bob@here.example", "carol@there.example"]).await.unwrap();
    assert_eq!(taken, [queued(2), queued(2)]);
    let Err(Error::Refused(refused)) = sends(&["bob@here.example"]).await else {
        panic!("nobody may have it");
    };
    assert_eq!(refused[0].1, Refusal::OverQuota);
    let Err(Error::Refused(refused)) = sends(&["nobody@here.example", "alice@here.example"]).await
    else {
        panic!("who is not there can't wait");
    };
    assert_eq!(refused[0].1, Refusal::UnknownUser);
    assert_eq!(house.inbox(ALICE).await.len(), 1);
}

#[tokio::test]
async fn the_hour_and_the_queue_have_an_end() {
    let house = House::new().await;
    let author = (Author::User(ALICE), Share::All);
    let away = envelope("alice@here.example", &["carol@there.example"]);
    let few = submission(&house, |settings| settings.messages_per_hour = 1);
    submit(&house, &few, author, away.clone(), TEXT).await.unwrap();
    let second = submit(&house, &few, author, away.clone(), TEXT).await;
    assert!(matches!(second, Err(Error::TooMany)));
    let anew = submission(&house, |settings| settings.messages_per_hour = 1);
    let third = submit(&house, &anew, author, away.clone(), TEXT).await;
    assert!(matches!(third, Err(Error::TooMany)), "a restart forgets nothing");
    for own in [true, false] {
        let full = submission(&house, |settings| {
            *(if own { &mut settings.queue_per_user_max } else { &mut settings.queue_max }) = 1;
        });
        let refused = submit(&house, &full, author, away.clone(), TEXT).await;
        assert!(matches!(refused, Err(Error::QueueFull(_))));
        let here = envelope("alice@here.example", &["bob@here.example"]);
        submit(&house, &full, author, here, TEXT).await.unwrap();
        let house_itself = (Author::House, Share::All);
        submit(&house, &full, house_itself, envelope("", &["x@there.example"]), TEXT)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn the_limit_holds_for_any_hour_for_each_account_and_counts_what_was_taken() {
    const HOUR: i64 = 3600;
    let house = House::new().await;
    let submission = submission(&house, |settings| settings.messages_per_hour = 2);
    let sends = async |author: AccountId, from: &str, to: &str, at: i64| {
        let message = house.spool(&TEXT.replace("alice@here.example", from));
        let received = b"Received: by mail.here.example\r\n".into();
        let envelope = envelope(from, &[to]);
        let outgoing =
            Outgoing { trace: "t".into(), envelope, received, arrival: String::new(), message };
        let origin = Origin::new(Door::Submission, at);
        let taken = submission.submit(Author::User(author), origin, Share::All, outgoing).await;
        match taken {
            Ok(_) | Err(Error::Refused(_)) => true,
            Err(Error::TooMany) => false,
            Err(error) => panic!("{error}"),
        }
    };
    let alice = async |at| sends(ALICE, "alice@here.example", "bob@here.example", at).await;
    assert!(alice(0).await);
    assert!(
        sends(ALICE, "alice@here.example", "nobody@here.example", 5).await,
        "it does not count"
    );
    assert!(alice(10).await);
    assert!(!alice(HOUR - 1).await);
    assert!(sends(BOB, "bob@here.example", "alice@here.example", HOUR - 1).await);
    assert!(alice(HOUR).await);
    assert!(!alice(HOUR + 9).await);
    assert!(alice(HOUR + 10).await);
    assert!(alice(-HOUR).await, "the clock was set back");
    let metrics = house.delivery.metrics();
    assert_eq!(metrics.times_exceeded(Limit::SubmissionMessagesPerHour), 2);
    assert_eq!(metrics.counted(Count::Submission), 6);
    let swept = house.store.sweep(Origin::new(Door::House, 3 * HOUR)).await.unwrap();
    assert!(swept.submissions > 0);
}

#[tokio::test]
async fn delivery_here_is_told_to_whom_asked_for_it() {
    let house = House::new().await;
    let mut envelope = envelope("alice@here.example", &["bob@here.example"]);
    envelope.recipients[0].notify = Notify::parse("SUCCESS").ok();
    let outcomes = as_alice(&house, envelope, TEXT).await.unwrap();
    assert_eq!(outcomes, [Ok(Taken::Delivered)]);
    let message = house.store.read(|r| r.queued(QueueId(1))).await.unwrap().unwrap();
    assert_eq!(message.recipients[0].state, RecipientState::Delivered);
}

#[tokio::test]
async fn a_message_needs_a_recipient_and_may_be_empty() {
    let house = House::new().await;
    let nobody = as_alice(&house, envelope("alice@here.example", &[]), TEXT).await;
    assert!(matches!(nobody, Err(Error::NoRecipients)));
    let to_bob = envelope("alice@here.example", &["bob@here.example"]);
    as_alice(&house, to_bob, "").await.unwrap();
    assert!(house.inbox(BOB).await[0].contains("\r\nDate: Thu, 1 Jan 1970 00:16:40 +0000\r\n"));
}

#[tokio::test]
async fn a_header_too_long_to_be_repaired_is_refused() {
    let house = House::new().await;
    let long =
        format!("From: alice@here.example\r\nX: {}\r\nBcc: x@y\r\n\r\n", "y".repeat(1 << 20));
    let to_bob = envelope("alice@here.example", &["bob@here.example"]);
    let refused = as_alice(&house, to_bob, &long).await;
    assert!(matches!(refused, Err(Error::HeaderTooLong)));
}
