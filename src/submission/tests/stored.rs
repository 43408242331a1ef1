//! Messages that are sent from where they lie: what they cost, and whom they name.

use std::{fs, path::Path};

use super::submission;
use crate::{
    delivery::tests::{ALICE, BOB, House, ORIGIN},
    ids::Uid,
    mail::{
        Actor, Mail, NewMail, Rights,
        annotations::{AnnotationName, AnnotationValue},
        metadata::Scope,
        urls::{Here, Urls},
    },
    store::{Committed, MarkNames},
    submission::{Said, Sent, Source, Stored, Unsent},
    wire::{
        address::{Address, ReversePath},
        envelope::Notify,
    },
};

const ACTOR: Actor = Actor { account: ALICE, origin: ORIGIN };

async fn append(house: &House, text: &str, said: &[(&str, &str)]) -> Uid {
    house.change(|tx| Mail::add_default_mailboxes(tx, ALICE).map_err(|_| unreachable!())).await;
    let mailbox = house.mail.open(&ACTOR, "Drafts", Rights::INSERT).await.unwrap();
    let message = house.mail.prepare(house.spool(text), |header| header).await.unwrap();
    let annotation = |(name, value): &(&str, &str)| AnnotationValue {
        name: AnnotationName::parse(name.as_bytes()).unwrap(),
        scope: Scope::Private,
        value: Some(value.as_bytes().to_vec()),
    };
    let annotations = said.iter().map(annotation).collect();
    let new = NewMail { message, marks: MarkNames::default(), internal_date: None, annotations };
    house.mail.append(&ACTOR, &mailbox, vec![new]).await.unwrap().uids[0]
}

async fn send(house: &House, uid: Uid, said: Said) -> Result<Committed<Sent>, Unsent> {
    let mailbox = house.mail.open(&ACTOR, "Drafts", Rights::READ).await.unwrap();
    let draft = house.mail.draft(&ACTOR, &mailbox, uid).await.unwrap().unwrap();
    let (ports, submitters) = (Vec::new(), Vec::new());
    let here = Here { hostname: "mail.here.example".into(), ports, submitters };
    let urls = Urls::new(&house.mail, here);
    let source = Source::Sent { draft, writes: true };
    let (word, trace) = ("SEND", "t".to_owned());
    let stored = Stored { actor: ACTOR, source, said, by_header: false, word, trace };
    submission(house, |_| {}).send_stored(&urls, stored).await
}

/// Octets of all files in a folder and below it.
fn octets(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: fs::DirEntry| {
        let known = entry.metadata().unwrap();
        if known.is_dir() { octets(&entry.path()) } else { known.len() }
    };
    entries.map(size).sum()
}

#[tokio::test]
async fn a_large_message_is_sent_and_kept_without_a_copy_of_its_octets() {
    let house = House::new().await;
    let body = "one line of text\r\n".repeat(20_000);
    let large = format!("From: alice@here.example\r\nTo: bob@here.example\r\n\r\n{body}");
    let lies = append(&house, &large, &[("/vendor/mailade/fcc", "Sent")]).await;
    let blobs = house.store.data_dir().join("blobs");
    let before = octets(&blobs);
    assert!(before > 300_000);
    let sent = send(&house, lies, Said::default()).await.unwrap();
    assert!(sent.copy.is_some());
    let part = "From: alice@here.example\r\nTo: bob@here.example\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/external-body; \
        access-type=URL; URL=\"/Drafts/;UID=1/;SECTION=TEXT\"\r\n\r\nContent-Type: text/plain\r\n\r\n\
        --b--\r\n";
    let named = append(&house, part, &[]).await;
    let _ = send(&house, named, Said::default()).await.unwrap();
    assert_eq!(octets(&blobs), before, "what was stored once is stored once");
    let inbox = house.inbox(BOB).await;
    assert!(inbox[0].ends_with(&body) && inbox[1].contains(&format!("plain\r\n\r\n{body}")));
}

#[tokio::test]
async fn what_is_said_along_comes_before_what_lies_there_and_that_before_the_header() {
    let house = House::new().await;
    let text = "From: alice@here.example\r\nTo: nobody@here.example\r\n\r\nhi\r\n";
    let lines = "MAIL FROM:<alice@here.example>\r\nRCPT TO:<bob@here.example>";
    let uid = append(&house, text, &[("/vendor/mailade/envelope", lines)]).await;
    let to = |text: &str| vec![Address::parse(text).unwrap()];
    let said = Said { recipients: to("gone@here.example"), ..Said::default() };
    let refused = send(&house, uid, said).await.unwrap_err();
    let (_, about, _) = refused.answers.refusal().unwrap();
    assert_eq!(about, "gone@here.example");
    let sender = Some(ReversePath::parse("team@here.example").unwrap());
    let notify = Some(Notify::NEVER);
    let said = Said { sender, recipients: to("team@here.example"), notify };
    let _ = send(&house, uid, said).await.unwrap();
    assert!(house.inbox(BOB).await[0].starts_with("Return-Path: <team@here.example>\r\n"));
    let second = append(&house, text, &[("/vendor/mailade/envelope", lines)]).await;
    let _ = send(&house, second, Said::default()).await.unwrap();
    assert_eq!(house.inbox(BOB).await.len(), 2);
    let header = append(&house, text, &[]).await;
    let refused = send(&house, header, Said::default()).await.unwrap_err();
    assert_eq!(refused.answers.refusal().unwrap().1, "nobody@here.example");
    let steps = house.store.read(|r| r.traces("t")).await.unwrap();
    let last = steps.last().map(|step| (step.step.as_str(), step.account, step.detail.as_str()));
    let told = "by SEND, RCPT TO nobody@here.example: 550 5.1.1 no such user here";
    assert_eq!(last, Some(("refused", Some(ALICE), told)));
}
