//! The client against a scripted server.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::*;
use crate::{
    net::ServerTls,
    queue::{
        client::{Login, Proof, Security, Ways},
        sink::{Heard, Script, Sink, ways},
        source::tests::given,
    },
    wire::envelope::{Notify, Orcpt},
};

const TEXT: &[u8] = b"Return-Path: <me@here.example>\r\nTo: you\r\n\r\n.dot\r\n";
const TEXT_ON_WIRE: &str = "To: you\r\n\r\n..dot\r\n.\r\n";

fn recipient(text: &str) -> Recipient {
    Address::parse(text).unwrap().into()
}

fn plain() -> Way {
    Way { parameters: String::new(), hop: None, chunks: false, utf8: false }
}

async fn connect(sink: &Sink, ways: &Ways) -> Result<Client, Answer> {
    Client::connect(ways, "sink.example", sink.address).await
}

/// Sends a small message to these recipients over a new connection.
async fn send(sink: &Sink, ways: &Ways, to: &[&str]) -> Result<Vec<Answer>, Answer> {
    let mut client = connect(sink, ways).await?;
    let answers = send_over(&mut client, to).await;
    client.quit().await;
    answers
}

async fn send_over(client: &mut Client, to: &[&str]) -> Result<Vec<Answer>, Answer> {
    let from = ReversePath::parse("me@here.example").unwrap();
    let to: Vec<_> = to.iter().map(|text| recipient(text)).collect();
    let to: Vec<_> = to.iter().collect();
    client.send_source(&from, &plain(), &to, given(&[TEXT])).await
}

fn script(offers: &[&'static str], replies: &[(&'static str, &'static str)]) -> Script {
    let (offers, replies) = (offers.to_vec(), replies.iter().copied().collect::<HashMap<_, _>>());
    Script { offers_in_tls: offers.clone(), offers, replies, ..Script::default() }
}

fn statuses(answers: &[Answer]) -> Vec<String> {
    answers.iter().map(|answer| answer.status.to_string()).collect()
}

fn self_signed() -> (tempfile::TempDir, Arc<ServerTls>) {
    crate::net::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let tls = ServerTls::own(folder.path(), "sink.example", SystemTime::now()).unwrap();
    (folder, Arc::new(tls))
}

#[tokio::test]
async fn a_message_goes_out_with_its_dots_doubled_and_without_return_path() {
    for offers in [&["PIPELINING"][..], &[]] {
        let sink = Sink::start(script(offers, &[])).await;
        let answers = send(&sink, &ways(Security::Plain), &["a@x", "b@x"]).await.unwrap();
        assert_eq!(statuses(&answers), ["2.1.5", "2.1.5"].map(|_| "2.0.0"));
        let heard = Heard {
            mail: "MAIL FROM:<me@here.example>".into(),
            rcpt: vec!["RCPT TO:<a@x>".into(), "RCPT TO:<b@x>".into()],
            data: TEXT_ON_WIRE.into(),
            in_tls: false,
        };
        assert_eq!(sink.notes().messages, [heard]);
    }
}

#[tokio::test]
async fn each_recipient_has_an_answer_of_its_own() {
    let replies = [
        ("RCPT TO:<gone@x>", "550 5.1.1 no such user"),
        ("RCPT TO:<full@x>", "452-4.2.2 mailbox\r\n452 4.2.2 full"),
    ];
    let sink = Sink::start(script(&["PIPELINING"], &replies)).await;
    let ways = ways(Security::Plain);
    let answers = send(&sink, &ways, &["gone@x", "ok@x", "full@x"]).await.unwrap();
    assert_eq!(statuses(&answers), ["5.1.1", "2.0.0", "4.2.2"]);
    assert_eq!(answers[2].text, "452 4.2.2 mailbox 4.2.2 full");
    assert_eq!(answers[0].remote.as_deref(), Some("sink.example"));
    assert_eq!(sink.notes().messages[0].rcpt, ["RCPT TO:<ok@x>"]);
}

#[tokio::test]
async fn no_data_is_sent_when_nobody_is_accepted_and_the_connection_serves_on() {
    let sink = Sink::start(script(&[], &[("RCPT TO:<gone@x>", "550 no")])).await;
    let mut client = connect(&sink, &ways(Security::Plain)).await.unwrap();
    assert_eq!(statuses(&send_over(&mut client, &["gone@x"]).await.unwrap()), ["5.0.0"]);
    assert!(client.is_usable());
    assert_eq!(statuses(&send_over(&mut client, &["ok@x"]).await.unwrap()), ["2.0.0"]);
    let notes = sink.notes();
    assert_eq!(notes.connections, 1);
    assert_eq!(notes.commands.iter().filter(|line| *line == "DATA").count(), 1);
    assert!(notes.commands.contains(&"RSET".to_owned()));
}

#[tokio::test]
async fn what_is_said_at_the_end_of_data_holds_for_all() {
    for (reply, status) in [("554 5.7.1 spam", "5.7.1"), ("451 4.3.0 later", "4.3.0")] {
        let sink = Sink::start(script(&[], &[("end", reply)])).await;
        let answers = send(&sink, &ways(Security::Plain), &["a@x", "b@x"]).await.unwrap();
        assert_eq!(statuses(&answers), [status, status]);
    }
}

#[tokio::test]
async fn a_server_that_leaves_before_the_data_leaves_room_for_another_one() {
    for at in ["MAIL", "RCPT", "DATA"] {
        let sink = Sink::start(Script { leaves_at: Some(at), ..Script::default() }).await;
        let fault = send(&sink, &ways(Security::Plain), &["a@x"]).await.unwrap_err();
        assert_eq!(fault.status, Status(4, 4, 2));
    }
}

#[tokio::test]
async fn a_server_that_leaves_after_the_data_may_have_it_so_no_other_one_is_tried() {
    let sink = Sink::start(Script { leaves_at: Some("end"), ..Script::default() }).await;
    let answers = send(&sink, &ways(Security::Plain), &["a@x"]).await.unwrap();
    assert_eq!(statuses(&answers), ["4.4.2"]);
}

#[tokio::test]
async fn greetings_that_say_no_are_no_verdict_on_the_recipient() {
    for greeting in ["554 5.7.1 go away", "421 4.3.2 busy", "nonsense"] {
        let sink = Sink::start(Script { greeting: Some(greeting), ..Script::default() }).await;
        let fault = send(&sink, &ways(Security::Plain), &["a@x"]).await.unwrap_err();
        assert_eq!(fault.class(), Class::Temporary);
    }
}

#[tokio::test]
async fn an_old_server_is_greeted_in_its_own_way() {
    let sink = Sink::start(script(&["DSN"], &[("EHLO", "500 what?")])).await;
    let client = connect(&sink, &ways(Security::Opportunistic)).await.unwrap();
    assert!(!client.reports());
    assert_eq!(sink.notes().commands, ["EHLO here.example", "HELO here.example"]);
}

#[tokio::test]
async fn opportunistic_tls_takes_a_certificate_that_nobody_signed() {
    let (_folder, tls) = self_signed();
    let script = Script { tls: Some(tls), ..script(&["STARTTLS"], &[]) };
    let sink = Sink::start(script).await;
    send(&sink, &ways(Security::Opportunistic), &["a@x"]).await.unwrap();
    assert!(sink.notes().messages[0].in_tls);
}

#[tokio::test]
async fn opportunistic_tls_that_fails_is_done_without() {
    let sink = Sink::start(script(&["STARTTLS"], &[("STARTTLS", "454 4.7.0 not now")])).await;
    send(&sink, &ways(Security::Opportunistic), &["a@x"]).await.unwrap();
    let without_tls = Sink::start(script(&["STARTTLS"], &[])).await;
    send(&without_tls, &ways(Security::Opportunistic), &["a@x"]).await.unwrap();
    assert_eq!(without_tls.notes().connections, 2);
}

#[tokio::test]
async fn required_tls_never_falls_back() {
    let (_folder, tls) = self_signed();
    let unsigned = Script { tls: Some(tls), ..script(&["STARTTLS"], &[]) };
    for script in
        [script(&[], &[]), script(&["STARTTLS"], &[("STARTTLS", "454 4.7.0 not now")]), unsigned]
    {
        let sink = Sink::start(script).await;
        let fault = send(&sink, &ways(Security::StartTls), &["a@x"]).await.unwrap_err();
        assert_eq!(fault.class(), Class::Temporary);
        let commands = sink.notes().commands;
        assert!(!commands.iter().any(|line| line.starts_with("MAIL")), "{commands:?}");
    }
}

#[tokio::test]
async fn what_was_injected_before_tls_is_forgotten() {
    let (_folder, tls) = self_signed();
    let script = Script {
        tls: Some(tls),
        offers: vec!["STARTTLS", "DSN", "PIPELINING"],
        injected: "250-evil.example\r\n250 DSN\r\n",
        ..Script::default()
    };
    let sink = Sink::start(script).await;
    let client = connect(&sink, &ways(Security::Opportunistic)).await.unwrap();
    assert!(!client.reports());
    assert_eq!(client.greeted_as(), "sink.example");
}

#[tokio::test]
async fn a_password_is_sent_where_it_is_safe_and_a_bad_one_makes_mail_wait() {
    let proof = Proof::Password { user: "me".into(), password: "secret".to_owned().into() };
    let login = Login { acts_as: None, proof };
    let ways = Ways { login: Some(login), ..ways(Security::Opportunistic) };
    let offers = ["AUTH LOGIN PLAIN"];
    let sink = Sink::start(script(&offers, &[("AUTH", "235 2.7.0 welcome")])).await;
    send(&sink, &ways, &["a@x"]).await.unwrap();
    assert!(sink.notes().commands.contains(&"AUTH PLAIN AG1lAHNlY3JldA==".to_owned()));
    let sink = Sink::start(script(&offers, &[("AUTH", "535 5.7.8 no")])).await;
    assert_eq!(send(&sink, &ways, &["a@x"]).await.unwrap_err().status, Status(4, 7, 8));
}

#[tokio::test]
async fn parameters_of_dsn_go_to_a_server_that_knows_them() {
    for (offers, expected) in
        [(&["DSN"][..], "RCPT TO:<a@x> NOTIFY=SUCCESS ORCPT=rfc822;o@x"), (&[], "RCPT TO:<a@x>")]
    {
        let sink = Sink::start(script(offers, &[])).await;
        let mut client = connect(&sink, &ways(Security::Plain)).await.unwrap();
        let mut to = recipient("a@x");
        to.notify = Notify::parse("SUCCESS").ok();
        to.orcpt = Orcpt::parse("rfc822;o@x").ok();
        let null = ReversePath::NULL;
        client.send_source(&null, &plain(), &[&to], given(&[TEXT])).await.unwrap();
        let heard = &sink.notes().messages[0];
        assert_eq!((heard.mail.as_str(), heard.rcpt[0].as_str()), ("MAIL FROM:<>", expected));
    }
}

#[tokio::test]
async fn names_beyond_ascii_need_a_server_that_knows_them() {
    let sink = Sink::start(script(&["SMTPUTF8", "8BITMIME"], &[])).await;
    let mut client = connect(&sink, &ways(Security::Plain)).await.unwrap();
    let (local, domain) = (recipient("дядя@x"), recipient("a@почта.рф"));
    let from = ReversePath::parse("me@here.example").unwrap();
    let way = Way { utf8: false, ..plain() };
    let to = [&local, &domain];
    let answers = client.send_source(&from, &way, &to, given(&[TEXT])).await.unwrap();
    assert_eq!(statuses(&answers), ["5.6.7", "2.0.0"]);
    assert_eq!(sink.notes().messages[0].rcpt, ["RCPT TO:<a@xn--80a1acny.xn--p1ai>"]);
    let way = Way { utf8: true, ..plain() };
    let answers = client.send_source(&from, &way, &to, given(&[TEXT])).await.unwrap();
    assert_eq!(statuses(&answers), ["2.0.0", "2.0.0"]);
}

#[tokio::test]
async fn binary_goes_in_chunks_octet_for_octet() {
    let sink = Sink::start(script(&["CHUNKING", "BINARYMIME"], &[])).await;
    let mut client = connect(&sink, &ways(Security::Plain)).await.unwrap();
    let way = Way { chunks: true, ..plain() };
    let from = ReversePath::parse("me@here.example").unwrap();
    let body = vec![b'\n'; CHUNK];
    let source = given(&[b"To: you\r\n\r\n\0\r.\n", &body, b".\r\n"]);
    let answers = client.send_source(&from, &way, &[&recipient("a@x")], source).await.unwrap();
    assert_eq!(statuses(&answers), ["2.0.0"]);
    let heard = &sink.notes().messages[0].data;
    assert_eq!(heard.len(), 15 + CHUNK + 3);
    assert!(heard.starts_with("To: you\r\n\r\n\0\r.\n\n"));
}

#[tokio::test]
async fn many_recipients_are_asked_in_batches() {
    let sink = Sink::start(script(&["PIPELINING"], &[])).await;
    let to: Vec<_> = (0..PIPELINED * 2).map(|number| format!("u{number}@x")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let answers = send(&sink, &ways(Security::Plain), &to).await.unwrap();
    assert_eq!(answers.len(), to.len());
    assert!(answers.iter().all(|answer| answer.class() == Class::Success));
}
