//! kill -9 while mail comes in and is moved about: what was acknowledged is there once, with its
//! octets; no UID is given twice. `CRASH_ROUNDS=50` makes a long run of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
};

/// Messages delivered in a round before the house is killed.
const EACH_ROUND: usize = 60;
/// Senders at once.
const SENDERS: usize = 4;

/// Message `number` of a sender: some are small, some large enough for a file of their own.
fn message(number: usize) -> String {
    let lines = if number.is_multiple_of(10) { 4_000 } else { 5 };
    let line = format!("{number:060}\r\n");
    format!("Subject: n{number}\r\n\r\n{}", line.repeat(lines))
}

/// Delivers until the house is gone; remembers what was acknowledged.
fn deliver(mut lmtp: Connection, numbers: impl Iterator<Item = usize>, taken: &Mutex<Vec<usize>>) {
    let ask = |lmtp: &mut Connection, line: &str| lmtp.command(line).ok();
    if lmtp.read_reply().is_err() || ask(&mut lmtp, "LHLO test.example").is_none() {
        return;
    }
    for number in numbers {
        for line in ["MAIL FROM:<a@remote.example>", "RCPT TO:<alice@demo.example>", "DATA"] {
            if ask(&mut lmtp, line).is_none() {
                return;
            }
        }
        if lmtp.send(&dotted(message(number).as_bytes())).is_err() {
            return;
        }
        match lmtp.read_reply() {
            Ok(reply) if reply.starts_with("250") => taken.lock().unwrap().push(number),
            _ => return,
        }
    }
}

/// Flags, copies, moves and expunges until the house is gone.
fn disturb(imap: &mut Connection, stop: &AtomicBool) {
    let commands = [
        "SELECT INBOX",
        "STORE 1:* +FLAGS.SILENT (\\Seen)",
        "COPY 1 Archive",
        "MOVE 2 Archive",
        "SELECT Archive",
        "STORE 1 +FLAGS.SILENT (\\Flagged)",
        "UID FETCH 1:* (FLAGS)",
    ];
    for (number, command) in commands.iter().cycle().enumerate() {
        let tag = format!("d{number} ");
        if stop.load(Ordering::Relaxed) || imap.send_line(&format!("{tag}{command}")).is_err() {
            return;
        }
        while let Ok(line) = imap.read_line() {
            if line.starts_with(tag.as_bytes()) {
                break;
            }
        }
    }
}

/// Number and UID of every message of a mailbox, and that its octets are whole.
fn contents(imap: &mut Connection, mailbox: &str) -> Vec<(usize, u32)> {
    imap.send_line(&format!("s SELECT {mailbox}")).unwrap();
    while !imap.read_line().unwrap().starts_with(b"s ") {}
    imap.send_line("f UID FETCH 1:* (BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (SUBJECT)])").unwrap();
    let (mut found, mut uid, mut lines) = (Vec::new(), 0, HashMap::<String, usize>::new());
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        if line.starts_with("f ") {
            return found;
        }
        if let Some(rest) = line.split_once("(UID ").map(|(_, rest)| rest) {
            uid = rest.split(' ').next().unwrap().parse().unwrap();
            lines.clear();
        }
        if let Some(number) = line.strip_prefix("Subject: n") {
            let number: usize = number.trim().parse().unwrap();
            let expected = message(number).lines().count() - 2;
            let body = format!("{number:060}");
            assert_eq!(lines.get(&body), Some(&expected), "the octets of {number}");
            found.push((number, uid));
        }
        *lines.entry(line.trim_end().to_owned()).or_default() += 1;
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_once_and_whole() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let mut house = House::open();
    let taken = Mutex::new(Vec::new());
    let mut uids: HashMap<u32, usize> = HashMap::new();
    for round in 0..rounds {
        let stop = AtomicBool::new(false);
        let mut imap = house.log_in("alice@demo.example");
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                let lmtp = house.connect(Service::Lmtp);
                let first = (round * SENDERS + sender) * 10_000;
                let taken = &taken;
                scope.spawn(move || deliver(lmtp, first..first + 10_000, taken));
            }
            scope.spawn(|| disturb(&mut imap, &stop));
            let goal = taken.lock().unwrap().len() + EACH_ROUND;
            while taken.lock().unwrap().len() < goal {
                thread::sleep(Duration::from_millis(1));
            }
            house.kill();
            stop.store(true, Ordering::Relaxed);
        });
        house.start();
        let mut imap = house.log_in("alice@demo.example");
        let inbox = contents(&mut imap, "INBOX");
        let archive = contents(&mut imap, "Archive");
        let inbox_numbers: Vec<usize> = inbox.iter().map(|(number, _)| *number).collect();
        let unique: HashSet<usize> = inbox_numbers.iter().copied().collect();
        assert_eq!(unique.len(), inbox_numbers.len(), "nothing is there twice");
        let somewhere: HashSet<usize> =
            unique.iter().copied().chain(archive.iter().map(|(number, _)| *number)).collect();
        for number in taken.lock().unwrap().iter() {
            assert!(somewhere.contains(number), "{number} was acknowledged in round {round}");
        }
        for (number, uid) in inbox {
            let known = uids.insert(uid, number);
            assert!(known.is_none_or(|known| known == number), "UID {uid} was given twice");
        }
        let checked = house.command(&["check"], "");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
