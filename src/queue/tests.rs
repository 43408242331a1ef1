//! The whole way out: submission, queue, a scripted server, and reports that come back.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicI64, Ordering},
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

mod by_mx;
mod here;

use super::sink::{Script, Sink};
use super::*;
use crate::{
    delivery::{
        Share,
        tests::{ALICE, BOB, House, ORIGIN, recipient},
    },
    events::Interest,
    ids::QueueId,
    net::dns::Table,
    store::{Queued, RecipientState},
    submission::{self, Author, Outgoing},
    wire::{
        address::{Domain, ReversePath},
        envelope::{Envelope, Notify},
    },
};

const TEXT: &str = "From: alice@here.example\r\nSubject: plans\r\n\r\nhi\r\n";
const HOUR: i64 = 3_600;

/// A house with a queue that sends to a sink, whatever the domain.
struct Office {
    house: House,
    sink: Sink,
    clock: Arc<AtomicI64>,
    submission: Submission,
}

/// A queue at work.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn script(offers: &[&'static str], replies: &[(&'static str, &'static str)]) -> Script {
    let (offers, replies) = (offers.to_vec(), replies.iter().copied().collect());
    Script { offers, replies, ..Script::default() }
}

impl Office {
    async fn new(script: Script) -> Self {
        let house = House::new().await;
        let settings = submission::Settings {
            hostname: Domain::parse("mail.here.example").unwrap(),
            messages_per_hour: 1_000,
            queue_per_user_max: 1_000,
            queue_max: 1_000,
            recipients_max: 100,
            retry_time: std::time::Duration::from_hours(4),
        };
        let submission = Submission::new(house.delivery.clone(), settings);
        let clock = Arc::new(AtomicI64::new(ORIGIN.at));
        Self { house, sink: Sink::start(script).await, clock, submission }
    }

    fn start(&self, change: impl FnOnce(&mut Settings)) -> Running {
        let here = [Ipv4Addr::LOCALHOST.into()];
        let names = Table::default()
            .mx("there.example", &[(10, "mx.there.example")])
            .host("mx.there.example", &here)
            .mx("ours.example", &[(10, "mail.here.example")])
            .mx("null.example", &[]);
        self.start_by(Resolver::fixed(names), change)
    }

    fn start_by(&self, names: Resolver, change: impl FnOnce(&mut Settings)) -> Running {
        let ways = sink::ways(Security::Plain);
        let outside = Outside {
            names: Arc::new(names),
            anybody: ways.anybody,
            verified: ways.verified,
            memory: ways.memory,
        };
        let clock = Arc::clone(&self.clock);
        let mut settings = Settings {
            hostname: "mail.here.example".into(),
            relay: None,
            port: self.sink.address.port(),
            schedule: Schedule::default(),
            times: Times::default(),
            connections_per_destination: 1,
            connections_max: 5,
            messages_per_connection: 50,
            text_line_max: 998,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        };
        change(&mut settings);
        let queue = Queue::new(self.submission.clone(), outside, settings);
        let stop = CancellationToken::new();
        let token = stop.clone();
        Running { stop, task: tokio::spawn(queue.run(token, CancellationToken::new())) }
    }

    async fn submit(&self, to: &[&str], change: impl FnOnce(&mut Envelope), text: &str) {
        let mut envelope = Envelope {
            reverse_path: ReversePath::parse("alice@here.example").unwrap(),
            recipients: to.iter().map(|text| recipient(text)).collect(),
            ..Envelope::default()
        };
        change(&mut envelope);
        let message = self.house.spool(text);
        let outgoing = Outgoing {
            trace: "t".into(),
            envelope,
            received: Vec::new(),
            arrival: String::new(),
            message,
        };
        let author = Author::User(ALICE);
        let taken = self.submission.submit(author, ORIGIN, Share::All, outgoing).await;
        let _ = taken.unwrap();
    }

    /// Waits until the queue looks so.
    async fn until(&self, looks: impl Fn(&[Queued]) -> bool) -> Vec<Queued> {
        let mut news = self.house.store.bus().subscribe(Interest::Queue);
        loop {
            let queue = self.house.store.read(|r| r.queue(None, QueueId(0), 100)).await.unwrap();
            if looks(&queue) {
                return queue;
            }
            news.next().await;
        }
    }

    async fn until_empty(&self) {
        self.until(<[Queued]>::is_empty).await;
    }
}

fn deferred(queue: &[Queued]) -> bool {
    let waits = |to: &crate::store::QueuedRecipient| to.attempts > 0 && to.next_attempt > 1_000;
    queue.iter().all(|message| message.recipients.iter().all(waits))
}

#[tokio::test]
async fn a_message_goes_out_and_is_struck_off() {
    let office = Office::new(script(&["PIPELINING", "SIZE 0"], &[])).await;
    let running = office.start(|_| {});
    office
        .submit(&["carol@there.example", "bob@here.example", "dan@there.example"], |_| {}, TEXT)
        .await;
    office.until_empty().await;
    let notes = office.sink.notes();
    let heard = &notes.messages[0];
    assert_eq!(heard.rcpt, ["RCPT TO:<carol@there.example>", "RCPT TO:<dan@there.example>"]);
    assert!(heard.data.contains("Subject: plans\r\n\r\nhi\r\n.\r\n"));
    assert!(!heard.data.contains("Return-Path"));
    assert!(office.house.inbox(BOB).await[0].starts_with("Return-Path: <alice@here.example>"));
    let traces = office.house.store.read(|r| r.traces("t")).await.unwrap();
    assert_eq!(traces.iter().filter(|step| step.step == "sent").count(), 2);
    running.end().await;
}

#[tokio::test]
async fn who_was_struck_off_gets_nothing_after_a_restart() {
    let office = Office::new(script(&[], &[("RCPT TO:<dan", "450 4.2.0 later")])).await;
    let running = office.start(|_| {});
    office.submit(&["carol@there.example", "dan@there.example"], |_| {}, TEXT).await;
    let queue = office.until(|queue| queue.len() == 1 && deferred(queue)).await;
    running.end().await;
    assert_eq!(queue[0].recipients.len(), 1);
    let dan = &queue[0].recipients[0];
    assert_eq!((dan.attempts, dan.reply.as_str()), (1, "4.2.0 450 4.2.0 later"));
    assert_eq!(dan.remote, "mx.there.example");
    office.sink.change(|script| script.replies.clear());
    office.clock.fetch_add(HOUR, Ordering::Relaxed);
    let running = office.start(|_| {});
    office.until_empty().await;
    let rcpt: Vec<_> = office.sink.notes().messages.into_iter().map(|heard| heard.rcpt).collect();
    assert_eq!(rcpt, [["RCPT TO:<carol@there.example>"], ["RCPT TO:<dan@there.example>"]]);
    running.end().await;
}

#[tokio::test]
async fn an_owner_can_have_it_tried_again_at_once() {
    let office = Office::new(script(&[], &[("end", "451 4.3.0 later")])).await;
    let running = office.start(|_| {});
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.until(deferred).await;
    office.sink.change(|script| script.replies.clear());
    office.house.change(|tx| tx.retry_queued(None).map(|_| ())).await;
    office.until_empty().await;
    assert_eq!(office.sink.notes().messages.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_failure_comes_back_to_the_sender_as_a_report() {
    let office = Office::new(script(&[], &[("RCPT", "550 5.1.1 no such user")])).await;
    let running = office.start(|_| {});
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.until_empty().await;
    let inbox = office.house.inbox(ALICE).await;
    assert_eq!(inbox.len(), 1);
    assert!(inbox[0].starts_with("Return-Path: <>\r\n"));
    for line in [
        "Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.there.example\r\n",
        "Final-Recipient: rfc822;carol@there.example\r\n",
        "Subject: plans\r\n",
        "Content-Type: text/rfc822-headers",
    ] {
        assert!(inbox[0].contains(line), "{line} in {}", inbox[0]);
    }
    running.end().await;
}

#[tokio::test]
async fn domains_that_take_no_mail_fail_at_once() {
    let office = Office::new(Script::default()).await;
    let running = office.start(|_| {});
    let to = ["a@null.example", "a@ours.example", "a@nowhere.example"];
    office.submit(&to, |_| {}, TEXT).await;
    office.until_empty().await;
    let reports = office.house.inbox(ALICE).await.concat();
    for status in ["Status: 5.1.10", "Status: 5.4.6", "Status: 5.1.2"] {
        assert!(reports.contains(status), "{status}");
    }
    assert_eq!(office.sink.notes().connections, 0);
    running.end().await;
}

#[tokio::test]
async fn a_server_that_is_ourselves_is_not_sent_to() {
    let office = Office::new(script(&[], &[("EHLO", "250 mail.here.example")])).await;
    let running = office.start(|_| {});
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.until_empty().await;
    assert!(office.house.inbox(ALICE).await[0].contains("Status: 5.4.6"));
    assert!(office.sink.notes().messages.is_empty());
    running.end().await;
}

#[tokio::test]
async fn success_is_reported_by_the_last_server_that_can() {
    for (offers, told) in [(&[][..], true), (&["DSN"], false)] {
        let office = Office::new(script(offers, &[])).await;
        let running = office.start(|_| {});
        let success = |envelope: &mut Envelope| {
            envelope.recipients[0].notify = Notify::parse("SUCCESS").ok();
        };
        office.submit(&["carol@there.example"], success, TEXT).await;
        office.until_empty().await;
        let inbox = office.house.inbox(ALICE).await;
        assert_eq!(inbox.len(), usize::from(told));
        assert!(inbox.iter().all(|report| report.contains("Action: relayed\r\n")));
        running.end().await;
    }
}

#[tokio::test]
async fn a_delivery_here_is_reported_to_whom_asked() {
    let office = Office::new(Script::default()).await;
    let running = office.start(|_| {});
    let success = |envelope: &mut Envelope| {
        envelope.recipients[0].notify = Notify::parse("SUCCESS").ok();
    };
    office.submit(&["bob@here.example"], success, TEXT).await;
    office.until_empty().await;
    let report = office.house.inbox(ALICE).await.concat();
    assert!(report.contains("Action: delivered\r\nStatus: 2.0.0\r\n"));
    assert!(!report.contains("Return-Path: <alice"));
    running.end().await;
}

#[tokio::test]
async fn a_long_delay_is_told_once_and_age_ends_it() {
    let office = Office::new(script(&[], &[("MAIL", "451 4.3.0 later")])).await;
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.clock.store(ORIGIN.at + 4 * HOUR, Ordering::Relaxed);
    let running = office.start(|_| {});
    let told = |queue: &[Queued]| {
        queue.iter().flat_map(|message| &message.recipients).all(|to| {
            to.delay == crate::store::DelayReport::Told && to.state == RecipientState::Waiting
        })
    };
    office.until(|queue| !queue.is_empty() && told(queue)).await;
    assert!(office.house.inbox(ALICE).await[0].contains("Action: delayed\r\nStatus: 4.3.0\r\n"));
    office.clock.store(ORIGIN.at + 120 * HOUR, Ordering::Relaxed);
    office.house.change(|tx| tx.retry_queued(None).map(|_| ())).await;
    office.until_empty().await;
    let inbox = office.house.inbox(ALICE).await;
    assert_eq!(inbox.len(), 2);
    assert!(inbox[1].contains("Action: failed\r\nStatus: 4.3.0\r\n"));
    running.end().await;
}

#[tokio::test]
async fn a_smarthost_learns_which_user_wrote_and_that_nobody_did() {
    for (login, from, told) in [
        (true, "alice@here.example", " AUTH=alice@here.example"),
        (true, "", " AUTH=<>"),
        (false, "alice@here.example", ""),
    ] {
        let office = Office::new(script(&["AUTH PLAIN"], &[("AUTH", "235 2.7.0 welcome")])).await;
        let login = login.then(|| Login {
            acts_as: None,
            proof: Proof::Password { user: "us".into(), password: "secret".to_owned().into() },
        });
        let (host, port) = ("mx.there.example".into(), office.sink.address.port());
        let relay = Relay { host, port, security: Security::Plain, login };
        let running = office.start(|settings| settings.relay = Some(relay));
        let reverse_path = ReversePath::parse(from).unwrap();
        let recipients = vec![recipient("carol@there.example")];
        let envelope = Envelope { reverse_path, recipients, ..Envelope::default() };
        let author = if from.is_empty() { Author::House } else { Author::User(ALICE) };
        let message = office.house.spool(TEXT);
        let (trace, received, arrival) = ("t".into(), Vec::new(), String::new());
        let outgoing = Outgoing { trace, envelope, received, arrival, message };
        let taken = office.submission.submit(author, ORIGIN, Share::All, outgoing).await;
        let _ = taken.unwrap();
        office.until_empty().await;
        assert_eq!(office.sink.notes().messages[0].mail, format!("MAIL FROM:<{from}>{told}"));
        running.end().await;
    }
}

#[tokio::test]
async fn no_report_is_made_on_a_report() {
    let office = Office::new(script(&[], &[("RCPT", "550 5.1.1 no")])).await;
    let running = office.start(|_| {});
    let null = ReversePath::NULL;
    let mut envelope = Envelope { reverse_path: null, ..Envelope::default() };
    envelope.recipients.push(recipient("carol@there.example"));
    let message = office.house.spool(TEXT);
    let (trace, received, arrival) = ("t".into(), Vec::new(), String::new());
    let outgoing = Outgoing { trace, envelope, received, arrival, message };
    let taken = office.submission.submit(Author::House, ORIGIN, Share::All, outgoing).await;
    let _ = taken.unwrap();
    office.until_empty().await;
    assert!(office.house.inbox(ALICE).await.is_empty());
    running.end().await;
}

#[tokio::test]
async fn a_server_of_seven_bits_gets_seven_bits() {
    let text = "From: alice@here.example\r\nMIME-Version: 1.0\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nä\r\n";
    for (offers, body) in [(&[][..], "=C3=A4"), (&["8BITMIME"], "\r\nä\r\n")] {
        let office = Office::new(script(offers, &[])).await;
        let running = office.start(|_| {});
        office.submit(&["carol@there.example"], |_| {}, text).await;
        office.until_empty().await;
        let heard = office.sink.notes().messages[0].clone();
        assert!(heard.data.contains(body), "{}", heard.data);
        assert_eq!(heard.mail.contains("BODY=8BITMIME"), !offers.is_empty());
        running.end().await;
    }
}

#[tokio::test]
async fn no_line_that_is_sent_is_longer_than_allowed() {
    for (most, offers) in [(998, &["8BITMIME"][..]), (998, &[]), (100, &["8BITMIME"]), (78, &[])] {
        for length in [most - 1, most, most + 1, 5_000] {
            let office = Office::new(script(offers, &[])).await;
            let running = office.start(|settings| settings.text_line_max = most);
            let (word, line) = ("w".repeat(length - 3), "x".repeat(length));
            let text = format!("From: alice@here.example\r\nX: {word}\r\n\r\n{line}\r\n");
            office.submit(&["bob@there.example"], |_| {}, &text).await;
            office.until_empty().await;
            running.end().await;
            let heard = office.sink.notes().messages.remove(0).data;
            let longest = heard.lines().map(str::len).max().unwrap();
            assert!(longest <= most, "{most}, {length}: {longest}");
            let touched = heard.contains("Content-Transfer-Encoding: quoted-printable");
            assert_eq!(touched, most < 998 || length > most, "{most}, {length}");
            let whole = heard.replace("=\r\n", "");
            assert!(whole.contains(&line), "{most}, {length}: nothing is lost");
        }
    }
}

#[tokio::test]
async fn a_large_message_is_streamed_whole() {
    let office = Office::new(script(&["SIZE 10000000"], &[])).await;
    let running = office.start(|_| {});
    let text = format!("{TEXT}{}", "A line of the plans.\r\n".repeat(100_000));
    office.submit(&["carol@there.example"], |_| {}, &text).await;
    office.until_empty().await;
    let heard = office.sink.notes().messages[0].clone();
    assert!(heard.data.ends_with("plans.\r\n.\r\n"));
    assert_eq!(heard.data.matches("A line of the plans.").count(), 100_000);
    running.end().await;
}

#[tokio::test]
async fn a_message_too_large_for_the_server_fails_without_being_sent() {
    let office = Office::new(script(&["SIZE 50"], &[])).await;
    let running = office.start(|_| {});
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.until_empty().await;
    assert!(office.house.inbox(ALICE).await[0].contains("Status: 5.3.4"));
    running.end().await;
}

#[tokio::test]
async fn a_smarthost_gets_all_mail_over_few_connections() {
    let office = Office::new(script(&["PIPELINING"], &[])).await;
    for number in 0..5 {
        let to = format!("carol@domain{number}.example");
        office.submit(&[to.as_str()], |_| {}, TEXT).await;
    }
    let port = office.sink.address.port();
    let running = office.start(|settings| {
        let (security, login) = (Security::Opportunistic, None);
        settings.relay = Some(Relay { host: "127.0.0.1".into(), port, security, login });
        settings.messages_per_connection = 3;
    });
    office.until_empty().await;
    let notes = office.sink.notes();
    assert_eq!((notes.messages.len(), notes.connections), (5, 2));
    running.end().await;
}

#[tokio::test]
async fn a_smarthost_that_is_down_makes_mail_wait() {
    let office = Office::new(Script::default()).await;
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    office.submit(&["dan@yonder.example"], |_| {}, TEXT).await;
    let running = office.start(|settings| {
        let (security, login) = (Security::StartTls, None);
        let port = settings.port;
        settings.relay = Some(Relay { host: "127.0.0.1".into(), port, security, login });
    });
    let queue = office.until(deferred).await;
    assert_eq!(queue.len(), 2);
    assert!(queue[0].recipients[0].reply.starts_with("4.7.10 "));
    assert_eq!(office.sink.notes().connections, 1);
    running.end().await;
}

#[tokio::test]
async fn a_header_of_eight_bits_goes_as_it_is_only_to_who_agreed_to_it() {
    let text = "From: alice@here.example\r\nSubject: \u{e4}\r\n\r\nhi\r\n";
    for (offers, declared) in [
        (&["8BITMIME"][..], false),
        (&[], false),
        (&["8BITMIME"], true),
        (&[], true),
        (&["8BITMIME", "SMTPUTF8"], false),
        (&["8BITMIME", "SMTPUTF8"], true),
    ] {
        let office = Office::new(script(offers, &[])).await;
        let running = office.start(|_| {});
        office.submit(&["carol@there.example"], |envelope| envelope.utf8 = declared, text).await;
        office.until_empty().await;
        running.end().await;
        let heard = office.sink.notes().messages.remove(0);
        let raw = declared && offers.contains(&"SMTPUTF8");
        assert_eq!(heard.mail.contains(" SMTPUTF8"), raw);
        assert_eq!(heard.mail.contains(" BODY=8BITMIME"), raw);
        let subject = if raw { "Subject: \u{e4}\r\n" } else { "Subject: =?utf-8?q?=C3=A4?=\r\n" };
        assert!(heard.data.contains(subject), "{}", heard.data);
    }
}

#[tokio::test]
async fn an_envelope_beyond_ascii_needs_a_server_that_knows_such_unless_a_domain_is_all_of_it() {
    let text = "From: alice@here.example\r\nSubject: \u{e4}\r\n\r\nhi\r\n";
    let here = [Ipv4Addr::LOCALHOST.into()];
    for (to, known) in [("\u{e4}@there.example", false), ("carol@b\u{fc}cher.example", true)] {
        let office = Office::new(script(&["8BITMIME"], &[])).await;
        let names = Table::default()
            .mx("there.example", &[(10, "mx.there.example")])
            .mx("xn--bcher-kva.example", &[(10, "mx.there.example")])
            .host("mx.there.example", &here);
        let running = office.start_by(Resolver::fixed(names), |_| {});
        office.submit(&[to], |envelope| envelope.utf8 = true, text).await;
        office.until_empty().await;
        running.end().await;
        let messages = office.sink.notes().messages;
        assert_eq!(messages.len(), usize::from(known));
        for heard in messages {
            assert_eq!(heard.rcpt, ["RCPT TO:<carol@xn--bcher-kva.example>"]);
            assert!(heard.data.contains("Subject: =?utf-8?q?=C3=A4?=\r\n"));
        }
        let told = office.house.inbox(ALICE).await;
        assert_eq!(told.concat().contains("Status: 5.6.7"), !known);
    }
}

#[tokio::test]
async fn other_settings_hold_for_what_waits_and_what_is_in_flight_lands() {
    let office = Office::new(Script::default()).await;
    let ways = sink::ways(Security::Plain);
    let outside = || Outside {
        names: Arc::new(Resolver::fixed(Table::default())),
        anybody: ways.anybody.clone(),
        verified: ways.verified.clone(),
        memory: Arc::clone(&ways.memory),
    };
    let settings = |port| Settings {
        hostname: "mail.here.example".into(),
        relay: Some(Relay {
            host: "127.0.0.1".into(),
            port,
            security: Security::Plain,
            login: None,
        }),
        port: 25,
        schedule: Schedule::default(),
        times: Times::default(),
        connections_per_destination: 1,
        connections_max: 5,
        text_line_max: 998,
        messages_per_connection: 50,
        clock: Arc::new(|| ORIGIN.at),
    };
    let slow = Sink::start(Script { holds_at: Some("end"), ..Script::default() }).await;
    let old = Queue::new(office.submission.clone(), outside(), settings(slow.address.port()));
    let (stop, retired) = (CancellationToken::new(), CancellationToken::new());
    let before = tokio::spawn(old.clone().run(stop.clone(), retired.clone()));
    office.submit(&["carol@there.example"], |_| {}, TEXT).await;
    slow.held().await;
    office.submit(&["dan@there.example"], |_| {}, TEXT).await;
    retired.cancel();
    let port = office.sink.address.port();
    let new = old.renewed(office.submission.clone(), outside(), settings(port));
    let after = tokio::spawn(new.run(stop.clone(), CancellationToken::new()));
    office.until(|queue| queue.len() == 1).await;
    assert_eq!(office.sink.notes().messages[0].rcpt, ["RCPT TO:<dan@there.example>"]);
    slow.release();
    office.until_empty().await;
    assert_eq!(slow.notes().messages[0].rcpt, ["RCPT TO:<carol@there.example>"]);
    before.await.unwrap();
    stop.cancel();
    after.await.unwrap();
    assert_eq!((slow.notes().messages.len(), office.sink.notes().messages.len()), (1, 1));
}
