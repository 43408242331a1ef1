//! What is kept beside what is sent.

use super::{TEXT, envelope, submission};
use crate::{
    delivery::{
        Share,
        tests::{ALICE, BOB, House, ORIGIN},
    },
    flags::Flags,
    ids::{AccountId, Uid},
    mail::{self, Actor, Draft, Mail, NewMail, Rights},
    store::MarkNames,
    submission::{Along, Answers, Author, CopyTo, Error, Outgoing, Sent, Source},
};

const ACTOR: Actor = Actor { account: ALICE, origin: ORIGIN };

/// A message of alice's in her drafts, so marked.
async fn draft(house: &House, flags: Flags) -> Draft {
    house.change(|tx| Mail::add_default_mailboxes(tx, ALICE).map_err(|_| unreachable!())).await;
    let mailbox = house.mail.open(&ACTOR, "Drafts", Rights::INSERT).await.unwrap();
    let message = house.mail.prepare(house.spool(TEXT), |header| header).await.unwrap();
    let marks = MarkNames::flags(flags);
    let new = NewMail { message, marks, internal_date: None, annotations: Vec::new() };
    let appended = house.mail.append(&ACTOR, &mailbox, vec![new]).await.unwrap();
    house.mail.draft(&ACTOR, &mailbox, appended.uids[0]).await.unwrap().unwrap()
}

async fn send(house: &House, to: &[&str], along: Along) -> Result<Sent, Error> {
    let outgoing = Outgoing {
        trace: "t".into(),
        envelope: envelope("alice@here.example", to),
        received: b"Received: by mail.here.example\r\n".into(),
        arrival: "from a phone".into(),
        message: house.spool(TEXT),
    };
    let (room, author) = (submission(house, |_| {}), Author::User(ALICE));
    Ok(room.send(author, ORIGIN, Share::All, outgoing, along).await?.into_inner())
}

fn copy_to(name: &str) -> Along {
    let copy_to = Some(CopyTo { by: ALICE, name: name.to_owned() });
    Along { copy_to, source: None }
}

fn sent(draft: &Draft, writes: bool) -> Along {
    let source = Some(Source::Sent { draft: draft.clone(), writes });
    Along { copy_to: None, source }
}

/// What a message is marked with, and what is said of it.
async fn told(house: &House, draft: &Draft) -> (Flags, String) {
    let (mailbox, uid) = (draft.mailbox.id, draft.uid);
    let entry = "/vendor/mailade/status";
    let job = move |r: &crate::store::Reader<'_>| {
        let flags = r.message(mailbox, uid)?.unwrap().marks.flags;
        Ok::<_, crate::store::Error>((flags, r.annotation(mailbox, uid, entry, None)?))
    };
    let (flags, status) = house.store.read(job).await.unwrap();
    (flags, String::from_utf8(status.unwrap_or_default()).unwrap())
}

async fn texts(house: &House, account: AccountId, name: &'static str) -> Vec<(Flags, String)> {
    let job = move |r: &crate::store::Reader<'_>| {
        let mailbox = r.mailbox(account, &mail::name::key(name))?.unwrap();
        let entries = r.messages(mailbox.id, Uid::MIN, 100)?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        let read = |entry: &crate::events::Entry| {
            Ok((entry.marks.flags, text(r.octets(entry.content, 0..entry.size)?)))
        };
        entries.iter().map(read).collect::<Result<Vec<_>, crate::store::Error>>()
    };
    house.store.read(job).await.unwrap()
}

#[tokio::test]
async fn the_author_keeps_a_copy_with_its_bcc_and_the_same_ids() {
    let house = House::new().await;
    let draft = draft(&house, Flags::DRAFT).await;
    let copy = send(&house, &["bob@here.example"], copy_to("Sent")).await.unwrap().copy.unwrap();
    assert!(copy.told && copy.uids == [Uid::MIN]);
    let kept = texts(&house, ALICE, "Sent").await;
    let [(flags, kept)] = kept.as_slice() else { panic!() };
    assert_eq!(*flags, Flags::SEEN);
    assert!(kept.contains("\r\nBcc: x@there.example\r\n") && !kept.contains("Received"));
    let inbox = house.inbox(BOB).await;
    assert!(!inbox[0].contains("Bcc"));
    let id = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("Message-ID: "));
        line.unwrap().to_owned()
    };
    assert_eq!(id(kept), id(&inbox[0]));
    assert_eq!(told(&house, &draft).await, (Flags::DRAFT, String::new()));
}

#[tokio::test]
async fn without_a_place_for_the_copy_nobody_gets_the_message() {
    let house = House::new().await;
    let _ = draft(&house, Flags::NONE).await;
    let nowhere = send(&house, &["bob@here.example"], copy_to("Nowhere")).await;
    assert!(matches!(nowhere, Err(Error::Copy(mail::Error::NoMailbox))));
    house.change(|tx| tx.set_quota(ALICE, Some(100), None)).await;
    let full = send(&house, &["bob@here.example"], copy_to("Sent")).await;
    assert!(matches!(full, Err(Error::Copy(mail::Error::OverQuota))));
    assert!(house.inbox(BOB).await.is_empty());
}

#[tokio::test]
async fn a_message_that_was_sent_is_marked_and_not_sent_again() {
    let house = House::new().await;
    let pending = Flags::DRAFT.with(Flags::SUBMIT_PENDING).with(Flags::SUBMITTED);
    let draft = draft(&house, pending.with(Flags::FLAGGED)).await;
    let to = ["bob@here.example", "carol@there.example"];
    send(&house, &to, sent(&draft, true)).await.unwrap();
    let status =
        "bob@here.example 250 2.1.5 delivered\r\ncarol@there.example 250 2.1.5 queued as 1";
    let expected = (Flags::SUBMITTED.with(Flags::FLAGGED), status.to_owned());
    assert_eq!(told(&house, &draft).await, expected);
    let again = send(&house, &to, sent(&draft, true)).await;
    assert!(matches!(again, Err(Error::AlreadySubmitted)));
    assert_eq!(told(&house, &draft).await, expected);
    assert_eq!(house.inbox(BOB).await.len(), 1);
}

#[tokio::test]
async fn where_nothing_may_be_changed_nothing_is() {
    let house = House::new().await;
    let draft = draft(&house, Flags::DRAFT).await;
    send(&house, &["bob@here.example"], sent(&draft, false)).await.unwrap();
    assert_eq!(told(&house, &draft).await, (Flags::DRAFT, String::new()));
    let named = Along { copy_to: None, source: Some(Source::Named(draft.clone())) };
    send(&house, &["bob@here.example"], named).await.unwrap();
    let status = "bob@here.example 250 2.1.5 delivered".to_owned();
    assert_eq!(told(&house, &draft).await, (Flags::DRAFT, status));
}

#[tokio::test]
async fn what_is_refused_changes_nothing_but_what_is_said_of_it() {
    let house = House::new().await;
    let draft = draft(&house, Flags::DRAFT).await;
    let to = ["bob@here.example", "nobody@here.example"];
    let along = Along { copy_to: copy_to("Sent").copy_to, ..sent(&draft, true) };
    let refused = send(&house, &to, along).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)));
    assert_eq!(told(&house, &draft).await, (Flags::DRAFT, String::new()));
    assert!(texts(&house, ALICE, "Sent").await.is_empty());
    let answers = Answers::of(&envelope("alice@here.example", &to), Err(&refused));
    let source = Source::Sent { draft: draft.clone(), writes: true };
    submission(&house, |_| {}).tell_unsent(ALICE, ORIGIN, source, &answers).await;
    let status = "bob@here.example 554 5.5.1 not sent, since a recipient was refused\r\n\
        nobody@here.example 550 5.1.1 no such user here";
    assert_eq!(told(&house, &draft).await, (Flags::DRAFT, status.to_owned()));
}

#[tokio::test]
async fn a_message_that_is_gone_is_not_sent() {
    let house = House::new().await;
    let draft = draft(&house, Flags::DRAFT).await;
    let (id, uid) = (draft.mailbox.id, draft.uid);
    house
        .change(move |tx| {
            let row = tx.mailbox_by_id(id)?.unwrap();
            tx.expunge(&row, &[uid]).map(|_| ())
        })
        .await;
    let gone = send(&house, &["bob@here.example"], sent(&draft, true)).await;
    assert!(matches!(gone, Err(Error::Gone)));
    assert!(house.inbox(BOB).await.is_empty());
}
