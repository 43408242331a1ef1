//! Messages that are sent from mailboxes, by SEND and by the keyword `$Queued`, when something comes
//! between.
//!
//! kill -9: after the start each was handed over exactly once, or is as it was and is sent when it is asked
//! for: none is lost, and nobody has one twice. A full disk: it is put off, and told so.
//!
//! `CRASH_ROUNDS=200` makes a long run of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{connection::Connection, house::House};

const USER: &str = "alice@demo.example";
/// Commands that are acknowledged in a round before the house is killed, at least.
const EACH_ROUND: usize = 60;
/// Clients that say SEND, and clients that say `$Queued`; each has a mailbox of its own.
const SENDERS: usize = 2;
const QUEUERS: usize = 2;

/// A message by its number, to bob and to somebody elsewhere: some are large enough for a file.
fn message(number: usize) -> String {
    let lines = if number.is_multiple_of(8) { 4_000 } else { 5 };
    let body = format!("{number:060}\r\n").repeat(lines);
    let to = "bob@demo.example, x@remote.example";
    format!("From: {USER}\r\nTo: {to}\r\nSubject: n{number}\r\n\r\n{body}")
}

/// The lines of an answer up to the tagged one, which must be OK; an error when the house has gone.
fn say(imap: &mut Connection, command: &str) -> io::Result<Vec<String>> {
    imap.send(format!("t {command}\r\n").as_bytes())?;
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line()?).unwrap();
        let end = line.starts_with("t ");
        assert!(!end || line.starts_with("t OK"), "{command}: {line}");
        lines.push(line);
        if end {
            return Ok(lines);
        }
    }
}

/// What a client knows of its messages: was it told that they were appended, and that they were sent?
type Ledger = BTreeMap<usize, (bool, bool)>;

/// Appends and sends until the house is gone.
fn send(house: &House, mailbox: &str, first: usize, acks: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::new();
    let mut imap = house.log_in(USER);
    let mut run = || -> io::Result<()> {
        say(&mut imap, &format!("SELECT {mailbox}"))?;
        for number in first.. {
            let text = message(number);
            let told = ledger.entry(number).or_default();
            let append = format!("APPEND {mailbox} (\\Draft) {{{}+}}\r\n{text}", text.len());
            let answer = say(&mut imap, &append)?.pop().unwrap();
            told.0 = true;
            let uid = answer.split(']').next().unwrap().rsplit(' ').next().unwrap().to_owned();
            let lines = say(&mut imap, &format!("UID SEND {uid}"))?;
            assert!(lines.iter().any(|line| line.ends_with(" OK NIL)")), "{lines:?}");
            told.1 = true;
            acks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    assert!(run().is_err(), "the house goes first");
    ledger
}

/// Appends messages that the house shall send, until it is gone.
fn queue(house: &House, mailbox: &str, first: usize, acks: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::new();
    let mut imap = house.log_in(USER);
    let mut run = || -> io::Result<()> {
        for number in first.. {
            let text = message(number);
            let told = ledger.entry(number).or_default();
            let append =
                format!("APPEND {mailbox} (\\Draft $Queued) {{{}+}}\r\n{text}", text.len());
            say(&mut imap, &append)?;
            told.0 = true;
            acks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    assert!(run().is_err(), "the house goes first");
    ledger
}

/// The messages of a mailbox by their number: UID and flags. None is there twice.
fn contents(imap: &mut Connection, mailbox: &str) -> BTreeMap<usize, (u32, String)> {
    say(imap, &format!("EXAMINE {mailbox}")).unwrap();
    let lines = say(imap, "UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
    let mut found = BTreeMap::new();
    let mut head = None;
    for line in lines {
        if let Some((_, rest)) = line.split_once(" FETCH (UID ") {
            let uid: u32 = rest.split(' ').next().unwrap().parse().unwrap();
            let flags = rest.split("FLAGS (").nth(1).unwrap().split(')').next().unwrap();
            head = Some((uid, flags.to_owned()));
        } else if let Some(number) = line.strip_prefix("Subject: n") {
            let number: usize = number.parse().unwrap();
            assert!(found.insert(number, head.take().unwrap()).is_none(), "{number} is twice");
        }
    }
    found
}

/// Waits until the house has sent all that it was asked to.
fn until_sent(imap: &mut Connection, mailbox: &str) {
    say(imap, &format!("SELECT {mailbox}")).unwrap();
    while say(imap, "SEARCH KEYWORD $Queued")
        .unwrap()
        .iter()
        .any(|line| line.strip_prefix("* SEARCH").is_some_and(|uids| !uids.is_empty()))
    {
        imap.send_line("i IDLE").unwrap();
        assert!(imap.read_line().unwrap().starts_with(b"+"));
        // Whatever it is, it may have been the last.
        imap.read_line().unwrap();
        imap.send_line("DONE").unwrap();
        while !imap.read_line().unwrap().starts_with(b"i OK") {}
    }
}

/// What is in a mailbox after the start is what its client was told, and what was sent bob has.
fn compare(house: &House, mailbox: &str, queues: bool, ledger: &mut Ledger) -> BTreeSet<usize> {
    let mut imap = house.log_in(USER);
    if queues {
        until_sent(&mut imap, mailbox);
    }
    let found = contents(&mut imap, mailbox);
    let mut sent = BTreeSet::new();
    say(&mut imap, &format!("SELECT {mailbox}")).unwrap();
    for (number, (appended, told)) in ledger.iter_mut() {
        let Some((uid, flags)) = found.get(number) else {
            assert!(!*appended, "{number} is lost");
            continue;
        };
        *appended = true;
        assert!(!flags.contains("$Queued") && !flags.contains("$SubmitFailed"), "{flags}");
        let submitted = flags.contains("$Submitted");
        assert_eq!(submitted, !flags.contains("\\Draft"), "all flags change at once: {flags}");
        assert!(!flags.contains("$SubmitPending"), "{flags}");
        assert!(submitted || !queues && !*told, "{number} was sent, and its flags are {flags}");
        if !submitted {
            // It was not sent, and can be now.
            let lines = say(&mut imap, &format!("UID SEND {uid}")).unwrap();
            assert!(lines.iter().any(|line| line.ends_with(" OK NIL)")), "{lines:?}");
        }
        *told = true;
        sent.insert(*number);
    }
    assert!(found.keys().all(|number| ledger.contains_key(number)));
    sent
}

#[test]
fn a_message_that_is_sent_from_its_mailbox_survives_kill_9_once() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut house = House::with(&[
        ("outbound.relay", "127.0.0.1:9"),
        ("limits.submission_messages_per_hour", "1000000"),
        ("limits.queue_messages_per_user_max", "1000000"),
    ]);
    let clients = SENDERS + QUEUERS;
    let boxes: Vec<String> = (0..clients).map(|client| format!("box{client}")).collect();
    let mut imap = house.log_in(USER);
    for name in &boxes {
        say(&mut imap, &format!("CREATE {name}")).unwrap();
    }
    let mut ledgers = vec![Ledger::new(); clients];
    for round in 0..rounds {
        let acks = AtomicUsize::new(0);
        thread::scope(|scope| {
            let (house, acks, boxes) = (&house, &acks, &boxes);
            let work = |client: usize| {
                let first = (round * clients + client) * 100_000;
                let run = if client < SENDERS { send } else { queue };
                scope.spawn(move || run(house, &boxes[client], first, acks))
            };
            let running: Vec<_> = (0..clients).map(work).collect();
            let goal = EACH_ROUND + round * 7 % 50;
            while acks.load(Ordering::Relaxed) < goal
                && !running.iter().any(|client| client.is_finished())
            {
                thread::sleep(Duration::from_millis(1));
            }
            house.kill_now();
            for (client, ledger) in running.into_iter().zip(&mut ledgers) {
                ledger.extend(client.join().unwrap());
            }
        });
        house.kill();
        house.start();
        let mut sent = BTreeSet::new();
        for (client, ledger) in ledgers.iter_mut().enumerate() {
            sent.extend(compare(&house, &boxes[client], client >= SENDERS, ledger));
        }
        let inbox = contents(&mut house.log_in("bob@demo.example"), "INBOX");
        let has: BTreeSet<usize> = inbox.into_keys().collect();
        assert_eq!(has, sent, "bob has each once");
        let listed = house.command(&["queue", "list"], "");
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.matches("x@remote.example").count(), sent.len());
        let checked = house.command(&["check"], "");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn what_there_is_no_room_for_is_put_off_and_sent_when_there_is() {
    let mut house = House::open();
    let mut imap = house.log_in(USER);
    for number in [1, 2] {
        let text = message(number);
        say(&mut imap, &format!("APPEND Drafts (\\Draft) {{{}+}}\r\n{text}", text.len())).unwrap();
    }
    house.stop();
    house.set("limits.disk_free_min", "1000000 GiB");
    house.start();
    let (mut imap, mut other) = (house.log_in(USER), house.log_in(USER));
    say(&mut imap, "SELECT Drafts").unwrap();
    say(&mut other, "SELECT Drafts").unwrap();
    let lines = say(&mut imap, "SEND 1").unwrap();
    let told = "* 1 SEND (1 NO (\"DATA\" \"\" \"452 4.3.1 insufficient storage\"))";
    assert_eq!(lines.first().map(String::as_str), Some(told));
    say(&mut imap, "STORE 2 +FLAGS.SILENT ($Queued)").unwrap();
    house.wait_for_log("a queued message is put off");
    let lines = say(&mut other, "FETCH 2 FLAGS").unwrap();
    let claimed = "FLAGS (\\Draft $SubmitPending $Submitted $Queued";
    assert!(lines.iter().any(|line| line.contains(claimed)), "{lines:?}");
    house.stop();
    house.set("limits.disk_free_min", "256 MiB");
    house.start();
    let mut imap = house.log_in(USER);
    until_sent(&mut imap, "Drafts");
    let lines = say(&mut imap, "SEND 1:2").unwrap();
    assert_eq!(lines.first().map(String::as_str), Some("* 1 SEND (1 OK NIL)"));
    assert!(lines.get(1).is_some_and(|line| line.contains("already submitted")), "{lines:?}");
    let inbox = contents(&mut house.log_in("bob@demo.example"), "INBOX");
    assert_eq!(inbox.into_keys().collect::<Vec<_>>(), [1, 2]);
}
