//! kill -9 while mail comes in by every door and is moved about. What was acknowledged is there once
//! and whole, what was expunged stays away, a move leaves exactly one copy, no UID is given twice.
//! The same when the house is told to stop; and then what was answered by a goodbye never happened.
//!
//! `CRASH_ROUNDS=200` makes a long run of it.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
};

/// Changes that are acknowledged in a round before the house is killed, at least.
const EACH_ROUND: usize = 150;
/// Clients at once: those of LMTP, of submission and of IMAP.
const SENDERS: usize = 2;
const SUBMITTERS: usize = 1;
const KEEPERS: usize = 3;

/// A message by its number: some are small, some large enough for a file of their own.
fn message(number: usize) -> String {
    format!("Subject: n{number}\r\n\r\n{}", body(number))
}

fn body(number: usize) -> String {
    let lines = if number.is_multiple_of(10) { 4_000 } else { 5 };
    format!("{number:060}\r\n").repeat(lines)
}

/// How sure it is that something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    No,
    /// The house was killed before it answered.
    Perhaps,
    Yes,
}

impl Sure {
    fn fits(self, happened: bool) -> bool {
        match self {
            Self::No => !happened,
            Self::Perhaps => true,
            Self::Yes => happened,
        }
    }
}

/// What a client did to one message, as far as it knows.
#[derive(Clone, Debug)]
struct Told {
    added: Sure,
    flagged: Sure,
    copied: Sure,
    moved: Sure,
    expunged: Sure,
}

impl Default for Told {
    fn default() -> Self {
        let no = Sure::No;
        Self { added: no, flagged: no, copied: no, moved: no, expunged: no }
    }
}

/// All that was told, by number; kept over all rounds.
type Ledger = BTreeMap<usize, Told>;

/// The answer that was to come, or the house has gone.
type Heard<T> = Result<T, io::Error>;

/// The house said goodbye instead of an answer: the change has not happened (RFC 9051 §7.1.5, RFC 5321
/// §3.8).
fn goodbye() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionAborted)
}

/// How sure a change is that ended like this.
fn after(answer: &Heard<String>) -> Sure {
    match answer {
        Ok(_) => Sure::Yes,
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Sure::No,
        Err(_) => Sure::Perhaps,
    }
}

/// Sends a message behind DATA; the 250.
fn send_data(door: &mut Connection, message: &str) -> Heard<String> {
    door.send(&dotted(message.as_bytes()))?;
    let reply = door.read_reply()?;
    if reply.starts_with("421") {
        return Err(goodbye());
    }
    assert!(reply.starts_with("250"), "{reply}");
    Ok(reply)
}

/// Says commands of SMTP before the data; each must be taken.
fn prepare(door: &mut Connection, lines: &[&str]) -> Heard<()> {
    for line in lines {
        let reply = door.command(line)?;
        if reply.starts_with("421") {
            return Err(goodbye());
        }
        assert!(reply.starts_with(['2', '3']), "{line}: {reply}");
    }
    Ok(())
}

/// Where a client of IMAP puts what; each has mailboxes of its own.
#[derive(Clone, Debug)]
struct Boxes {
    work: String,
    copies: String,
    moved: String,
}

impl Boxes {
    fn of(keeper: usize) -> Self {
        let name = |what| format!("{what}{keeper}");
        Self { work: name("work"), copies: name("copies"), moved: name("moved") }
    }

    fn all(&self) -> [&String; 3] {
        [&self.work, &self.copies, &self.moved]
    }
}

/// Delivers by LMTP until the house is gone.
fn deliver(house: &House, first: usize, acks: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::new();
    let mut lmtp = house.connect(Service::Lmtp);
    let mut run = || -> Heard<()> {
        lmtp.read_reply()?;
        lmtp.command("LHLO test.example")?;
        for number in first.. {
            let lines = ["MAIL FROM:<a@remote.example>", "RCPT TO:<alice@demo.example>", "DATA"];
            prepare(&mut lmtp, &lines)?;
            let answer = send_data(&mut lmtp, &message(number));
            ledger.entry(number).or_default().added = after(&answer);
            answer?;
            acks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    assert!(run().is_err(), "the house goes first");
    ledger
}

/// Submits mail for bob and for somebody elsewhere until the house is gone.
fn submit(house: &House, first: usize, acks: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::new();
    let mut door = house.connect(Service::Submission);
    let mut run = || -> Heard<()> {
        door.read_reply()?;
        door.command("EHLO test.example")?;
        // alice@demo.example, secret
        door.command("AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=")?;
        for number in first.. {
            let lines = [
                "MAIL FROM:<alice@demo.example>",
                "RCPT TO:<bob@demo.example>",
                "RCPT TO:<x@remote.example>",
                "DATA",
            ];
            prepare(&mut door, &lines)?;
            let message = format!("From: alice@demo.example\r\n{}", message(number));
            let answer = send_data(&mut door, &message);
            ledger.entry(number).or_default().added = after(&answer);
            answer?;
            acks.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    assert!(run().is_err(), "the house goes first");
    ledger
}

/// Says a command of IMAP; the tagged OK.
fn say(imap: &mut Connection, command: &str) -> Heard<String> {
    imap.send(format!("t {command}\r\n").as_bytes())?;
    loop {
        let line = String::from_utf8(imap.read_line()?).unwrap();
        if line.starts_with("* BYE") {
            return Err(goodbye());
        }
        if line.starts_with("t ") {
            assert!(line.starts_with("t OK"), "{command}: {line}");
            return Ok(line);
        }
    }
}

/// Appends, flags, copies, then leaves, moves or expunges, until the house is gone.
fn keep(house: &House, boxes: &Boxes, first: usize, acks: &AtomicUsize) -> Ledger {
    let mut ledger = Ledger::new();
    let mut imap = house.log_in("alice@demo.example");
    let Boxes { work, copies, moved } = boxes;
    let change = |imap: &mut Connection, sure: &mut Sure, command: String| -> Heard<String> {
        let answer = say(imap, &command);
        *sure = after(&answer);
        acks.fetch_add(usize::from(answer.is_ok()), Ordering::Relaxed);
        answer
    };
    let mut run = || -> Heard<()> {
        say(&mut imap, &format!("SELECT {work}"))?;
        for number in first.. {
            let told = ledger.entry(number).or_default();
            let text = message(number);
            let append = format!("APPEND {work} {{{}+}}\r\n{text}", text.len());
            let answer = change(&mut imap, &mut told.added, append)?;
            let uid = answer.split(']').next().unwrap().rsplit(' ').next().unwrap().to_owned();
            let flag = format!("UID STORE {uid} +FLAGS.SILENT (\\Flagged k{})", number % 7);
            change(&mut imap, &mut told.flagged, flag)?;
            change(&mut imap, &mut told.copied, format!("UID COPY {uid} {copies}"))?;
            match number % 3 {
                0 => {}
                1 => {
                    change(&mut imap, &mut told.moved, format!("UID MOVE {uid} {moved}"))?;
                }
                _ => {
                    say(&mut imap, &format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"))?;
                    change(&mut imap, &mut told.expunged, format!("UID EXPUNGE {uid}"))?;
                }
            }
        }
        Ok(())
    };
    assert!(run().is_err(), "the house goes first");
    ledger
}

/// A message as it is found after a start.
#[derive(Debug)]
struct Found {
    number: usize,
    flagged: bool,
}

/// What a mailbox holds; every octet is looked at, and what each UID was given to.
fn contents(house: &House, user: &str, mailbox: &str, given: &mut Given) -> Vec<Found> {
    let mut imap = house.log_in(user);
    say(&mut imap, &format!("EXAMINE {mailbox}")).unwrap();
    imap.send_line("t UID FETCH 1:* (FLAGS BODY.PEEK[])").unwrap();
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        if line.starts_with("t ") {
            assert!(line.starts_with("t OK"), "{line}");
            return found;
        }
        let Some((head, length)) = line.rsplit_once('{') else { continue };
        let length = length.trim_end_matches('}').parse().unwrap();
        let octets = String::from_utf8(imap.read_octets(length).unwrap()).unwrap();
        let rest = String::from_utf8(imap.read_line().unwrap()).unwrap();
        let after = |word: &str| {
            let items = format!("{head} {rest}");
            items.split_once(word).map(|(_, after)| after.to_owned()).unwrap()
        };
        let uid: u32 = after("UID ").split([' ', ')']).next().unwrap().parse().unwrap();
        let flags = after("FLAGS (").split(')').next().unwrap().to_owned();
        let (header, text) = octets.split_once("\r\n\r\n").unwrap();
        let subject = header.lines().find_map(|line| line.strip_prefix("Subject: n")).unwrap();
        let number: usize = subject.parse().unwrap();
        assert!(text == body(number), "the octets of {number} in {mailbox}");
        let flagged = flags.contains("\\Flagged") && flags.contains(&format!("k{}", number % 7));
        assert_eq!(flags.contains("\\Flagged"), flagged, "both flags of one STORE, or none");
        let key = (format!("{user} {mailbox}"), uid);
        let before = given.insert(key, number);
        assert!(before.is_none_or(|before| before == number), "UID {uid} was given twice");
        found.push(Found { number, flagged });
    }
}

/// What each UID of each mailbox was given to, ever.
type Given = HashMap<(String, u32), usize>;

/// How often each number is there; never twice.
fn once(found: &[Found], mailbox: &str) -> HashMap<usize, bool> {
    let all: HashMap<usize, bool> = found.iter().map(|one| (one.number, one.flagged)).collect();
    assert_eq!(all.len(), found.len(), "something is twice in {mailbox}");
    all
}

/// Mail that was only added.
fn compare_added(house: &House, user: &str, ledger: &mut Ledger, given: &mut Given) {
    let inbox = once(&contents(house, user, "INBOX", given), "INBOX");
    for (number, told) in ledger.iter_mut() {
        let there = inbox.contains_key(number);
        assert!(told.added.fits(there), "{user} {number}: there {there}, {told:?}");
        told.added = if there { Sure::Yes } else { Sure::No };
    }
    assert!(inbox.keys().all(|number| ledger.contains_key(number)));
}

/// Mail that a client of IMAP worked on. What was not sure is so from now on.
fn compare_kept(house: &House, boxes: &Boxes, ledger: &mut Ledger, given: &mut Given) {
    let user = "alice@demo.example";
    let [work, copies, moved] =
        boxes.all().map(|name| once(&contents(house, user, name, given), name));
    let sure = |happened| if happened { Sure::Yes } else { Sure::No };
    for (number, told) in ledger.iter_mut() {
        let at = |place: &HashMap<usize, bool>| place.contains_key(number);
        let (here, there) = (at(&work), at(&moved));
        assert!(!(here && there), "{number} is in both mailboxes: {told:?}");
        assert!(told.moved.fits(there), "{number} moved {there}: {told:?}");
        assert!(told.copied.fits(at(&copies)), "{number} copied: {told:?}");
        let gone = !here && !there;
        match (told.added, told.expunged) {
            (Sure::No, _) | (Sure::Yes, Sure::Yes) => assert!(gone, "{number} came back: {told:?}"),
            (Sure::Yes, Sure::No) => assert!(!gone, "{number} is lost: {told:?}"),
            (Sure::Perhaps, _) | (Sure::Yes, Sure::Perhaps) => {}
        }
        if let Some(flagged) = work.get(number).or_else(|| moved.get(number)) {
            assert!(told.flagged.fits(*flagged), "{number} flagged {flagged}: {told:?}");
            told.flagged = sure(*flagged);
        }
        if told.added == Sure::Perhaps {
            told.added = sure(!gone);
        } else if told.added == Sure::Yes {
            told.expunged = sure(gone);
        }
        (told.moved, told.copied) = (sure(there), sure(at(&copies)));
    }
    let known = |place: &HashMap<usize, bool>| place.keys().all(|n| ledger.contains_key(n));
    assert!(known(&work) && known(&copies) && known(&moved), "nobody put that there");
}

#[test]
fn what_was_acknowledged_survives_kill_9_once_and_whole() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let kill = House::kill_now;
    work_until(kill, rounds, |house| house.kill());
}

#[test]
fn a_house_that_stops_finishes_what_it_began_and_does_nothing_after_its_goodbye() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let stop = House::stop_now;
    work_until(stop, rounds, |house| assert!(house.wait().success(), "{}", house.log()));
}

/// Rounds of work of all clients until the house is ended, each followed by a start and a look.
fn work_until(end: fn(&House), rounds: usize, ended: fn(&mut House)) {
    let mut house = House::with(&[
        ("outbound.relay", "127.0.0.1:9"),
        ("limits.submission_messages_per_hour", "1000000"),
        ("limits.queue_messages_per_user_max", "1000000"),
    ]);
    let boxes: Vec<Boxes> = (0..KEEPERS).map(Boxes::of).collect();
    let mut imap = house.log_in("alice@demo.example");
    for name in boxes.iter().flat_map(Boxes::all) {
        say(&mut imap, &format!("CREATE {name}")).unwrap();
    }
    let (mut delivered, mut submitted) = (Ledger::new(), Ledger::new());
    let mut kept = vec![Ledger::new(); KEEPERS];
    let mut given = Given::new();
    for round in 0..rounds {
        let acks = AtomicUsize::new(0);
        // Numbers of a round are its own, and so are those of each client.
        let clients = SENDERS + SUBMITTERS + KEEPERS;
        let first = |client: usize| (round * clients + client) * 100_000;
        thread::scope(|scope| {
            let (house_now, acks, boxes) = (&house, &acks, &boxes);
            let senders: Vec<_> = (0..SENDERS)
                .map(|n| scope.spawn(move || deliver(house_now, first(n), acks)))
                .collect();
            let submitters: Vec<_> = (0..SUBMITTERS)
                .map(|n| scope.spawn(move || submit(house_now, first(SENDERS + n), acks)))
                .collect();
            let keepers: Vec<_> = (0..KEEPERS)
                .map(|n| {
                    let first = first(SENDERS + SUBMITTERS + n);
                    scope.spawn(move || keep(house_now, &boxes[n], first, acks))
                })
                .collect();
            let all = || senders.iter().chain(&submitters).chain(&keepers);
            // Now and then a little later in the work of each.
            let goal = EACH_ROUND + round * 7 % 50;
            // One that has ended by then has found a fault, and says so below.
            while acks.load(Ordering::Relaxed) < goal && !all().any(|client| client.is_finished()) {
                thread::sleep(Duration::from_millis(1));
            }
            end(&house);
            for sender in senders {
                delivered.extend(sender.join().unwrap());
            }
            for submitter in submitters {
                submitted.extend(submitter.join().unwrap());
            }
            for (keeper, ledger) in keepers.into_iter().zip(&mut kept) {
                ledger.extend(keeper.join().unwrap());
            }
        });
        ended(&mut house);
        house.start();
        compare_added(&house, "alice@demo.example", &mut delivered, &mut given);
        compare_added(&house, "bob@demo.example", &mut submitted, &mut given);
        for (boxes, ledger) in boxes.iter().zip(&mut kept) {
            compare_kept(&house, boxes, ledger, &mut given);
        }
        // Bob's mail and its twin in the queue were one change.
        let listed = house.command(&["queue", "list"], "");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let queued = listed.matches("x@remote.example").count();
        let taken = submitted.values().filter(|told| told.added == Sure::Yes).count();
        assert_eq!(queued, taken, "{listed}");
        let checked = house.command(&["check"], "");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
