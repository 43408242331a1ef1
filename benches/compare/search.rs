//! Finding, sorting, threading and coming back: two mailboxes with the same mail on both servers, of
//! 10,000 and of 100,000 messages. What the servers answer is held against each other.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use crate::{
    Measure, Unit,
    client::{Answer, Imap},
    loads::milliseconds,
    mail::{Random, attachment, size},
    servers::Server,
};

/// Messages of the smaller mailbox; the huge one has ten times as many.
const SMALL: usize = 10_000;
const COPIES: usize = 10;
/// The account that both mailboxes are of.
const USER: usize = 900;
/// How often a warm command is run; the first two runs are not counted.
const RUNS: usize = 7;
/// In this message the rare words stand.
const RARE: usize = 6_789;

const TEN: &str = "ten";
const HUNDRED: &str = "hundred";
const MAILBOXES: [(&str, &str); 2] = [("10,000", TEN), ("100,000", HUNDRED)];

const COMMANDS: [(&str, &str); 8] = [
    ("UNSEEN", "SEARCH UNSEEN"),
    ("COUNT MIN MAX", "SEARCH RETURN (COUNT MIN MAX) UNSEEN"),
    ("SUBJECT", "SEARCH SUBJECT quetzalcoatl"),
    ("TEXT", "SEARCH TEXT xylophonist"),
    ("BODY", "SEARCH BODY xylophonist"),
    ("SORT DATE", "SORT (DATE) UTF-8 ALL"),
    ("SORT SUBJECT", "SORT (SUBJECT) UTF-8 ALL"),
    ("THREAD", "THREAD REFERENCES UTF-8 ALL"),
];

/// Each command by a server that has just started, on a mailbox on which nobody ran it before, and
/// warm; then how flags are set and how a client comes back.
pub(crate) fn all() -> Vec<Measure> {
    let mut all = Vec::new();
    for (size, mailbox) in MAILBOXES {
        for (name, command) in COMMANDS {
            let name = format!("search: {name} of {size}");
            let take = move |server: &Server, _| first(server, mailbox, command);
            all.push(Measure::new(format!("{name}, first"), Unit::Milliseconds, take));
            let take = move |server: &Server, _| warm(server, mailbox, command);
            all.push(Measure::new(format!("{name}, warm"), Unit::Milliseconds, take));
        }
    }
    all.push(Measure::new("STORE FLAGS.SILENT 1:* of 10,000", Unit::Milliseconds, store_all));
    for (size, mailbox) in MAILBOXES {
        for (name, changed) in [("unchanged", false), ("changed", true)] {
            let name = format!("resync of {size}, {name}");
            let take = move |server: &Server, _| resync(server, mailbox, changed);
            all.push(Measure::new(name.clone(), Unit::Milliseconds, take));
            let take = move |server: &Server, _| resync_octets(server, mailbox, changed);
            all.push(Measure::new(name, Unit::Octets, take));
        }
    }
    all
}

/// Figures and answers that are kept: those of first runs, and what the other server said.
static KEPT: Mutex<Option<HashMap<String, f64>>> = Mutex::new(None);
static SAID: Mutex<Option<HashMap<String, (u64, String)>>> = Mutex::new(None);

/// A message that belongs to a conversation, in words of which few are rare.
fn letter(random: &mut Random, number: usize) -> Vec<u8> {
    const WORDS: [&str; 24] = [
        "meeting", "about", "the", "project", "we", "should", "talk", "tomorrow", "morning",
        "with", "figures", "budget", "from", "last", "quarter", "please", "answer", "as", "soon",
        "you", "can", "thanks", "regards", "Grüße",
    ];
    let word = |random: &mut Random| {
        let place = usize::try_from(random.next() % WORDS.len() as u64).unwrap();
        WORDS[place]
    };
    // Conversations of five: each message answers the one before it.
    let (thread, place) = (number / 5, number % 5);
    let rare = number == RARE;
    let topic = if rare { "quetzalcoatl".to_owned() } else { format!("topic {thread}") };
    let subject = if place == 0 || rare { topic } else { format!("Re: {topic}") };
    let day = 1 + (number * 7) % 28;
    let mut text = format!(
        "From: Sender {number} <sender{}@example.org>\r\nTo: user@demo.example\r\n\
         Subject: {subject}\r\nDate: {day} Jan 2026 12:{:02}:{:02} +0000\r\n\
         Message-ID: <{number}@example.org>\r\n",
        number % 100,
        number / 60 % 60,
        number % 60,
    );
    if place > 0 {
        let ids: Vec<_> = (thread * 5..number).map(|n| format!("<{n}@example.org>")).collect();
        let _ = write!(text, "References: {}\r\n", ids.join(" "));
    }
    let _ = write!(
        text,
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    let size = size(random);
    while text.len() < size.min(4_000) {
        let line: Vec<_> = (0..10).map(|_| word(random)).collect();
        let _ = write!(text, "{} {}\r\n", line.join(" "), random.next() % 100_000);
    }
    if rare {
        text.push_str("the xylophonist\r\n");
    }
    attachment(&mut text, size, random);
    text.into_bytes()
}

/// Makes both mailboxes, once for each server, and logs in.
fn client(server: &Server) -> Imap {
    static FILLED: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let user = server.user(USER);
    let mut client = Imap::login(server.imap, &user);
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    if !filled.contains(&server.imap) {
        client.command(&format!("CREATE {TEN}"));
        let mut random = Random::new(99);
        for number in 0..SMALL {
            client.append(TEN, &letter(&mut random, number));
        }
        client.command(&format!("SELECT {TEN}"));
        // Three of four are read.
        let read: Vec<_> = (1..=SMALL).filter(|n| n % 4 != 0).map(|n| n.to_string()).collect();
        for some in read.chunks(500) {
            client.command(&format!("STORE {} +FLAGS.SILENT (\\Seen)", some.join(",")));
        }
        client.command(&format!("CREATE {HUNDRED}"));
        for _ in 0..COPIES {
            client.command(&format!("COPY 1:* {HUNDRED}"));
        }
        server.wait_until_idle();
        filled.push(server.imap);
    }
    client
}

/// Both servers must say the same.
fn same(server: &Server, what: &str, answer: &Answer) {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let known = said.get_or_insert_default();
    let text = answer.text.chars().take(400).collect::<String>();
    let (hash, before) =
        known.entry(what.to_owned()).or_insert_with(|| (answer.hash, text.clone()));
    if *hash != answer.hash {
        println!("{}: {what} differs:\n  {before}\n  {text}", server.name);
    }
}

fn kept(what: &str) -> Option<f64> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().get(what).copied()
}

fn keep(what: String, figure: f64) {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    kept.get_or_insert_default().insert(what, figure);
}

fn first(server: &Server, mailbox: &str, command: &str) -> f64 {
    let what = format!("{} {mailbox} {command}", server.name);
    if let Some(figure) = kept(&what) {
        return figure;
    }
    drop(client(server));
    server.restart();
    let mut client = client(server);
    client.command(&format!("SELECT {mailbox}"));
    let mut answer = Answer::default();
    let figure = milliseconds(|| answer = client.command(command));
    same(server, &format!("{mailbox} {command}"), &answer);
    keep(what, figure);
    figure
}

fn warm(server: &Server, mailbox: &str, command: &str) -> f64 {
    let mut client = client(server);
    client.command(&format!("SELECT {mailbox}"));
    let mut figures: Vec<f64> = (0..RUNS)
        .map(|_| {
            milliseconds(|| {
                client.command(command);
            })
        })
        .collect();
    figures.drain(..2);
    crate::median(figures)
}

fn store_all(server: &Server, repeat: usize) -> f64 {
    let mut client = client(server);
    client.command(&format!("SELECT {TEN}"));
    let sign = if repeat.is_multiple_of(2) { '+' } else { '-' };
    milliseconds(|| {
        client.command(&format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)"));
    })
}

/// How many octets came when a client came back the last time.
fn resync_octets(server: &Server, mailbox: &str, changed: bool) -> f64 {
    let what = resynchronised(server, mailbox, changed);
    kept(&what).unwrap_or_else(|| {
        resync(server, mailbox, changed);
        kept(&what).unwrap_or(f64::NAN)
    })
}

fn resynchronised(server: &Server, mailbox: &str, changed: bool) -> String {
    format!("{} {mailbox} octets, changed: {changed}", server.name)
}

/// Coming back to a mailbox: how long it took. How many octets came is kept.
fn resync(server: &Server, mailbox: &str, changed: bool) -> f64 {
    let mut writer = client(server);
    // A copy, so that the messages stay.
    writer.command(&format!("SELECT {mailbox}"));
    writer.command("CREATE again");
    writer.command("COPY 1:* again");
    let mut phone = client(server);
    phone.command("ENABLE QRESYNC");
    let answer = phone.command("SELECT again");
    let number = |name: &str| {
        let (_, behind) = answer.text.split_once(name).unwrap();
        behind.split([']', ' ']).next().unwrap().to_owned()
    };
    let (validity, mod_seq) = (number("UIDVALIDITY "), number("HIGHESTMODSEQ "));
    let messages: usize = {
        let text = answer.text.split_once(" EXISTS").unwrap().0;
        text.rsplit(' ').next().unwrap().parse().unwrap()
    };
    if changed {
        writer.command("SELECT again");
        let every = |step: usize, from: usize| {
            let all: Vec<_> = (from..=messages).step_by(step).map(|n| n.to_string()).collect();
            all.join(",")
        };
        writer.command(&format!("STORE {} +FLAGS.SILENT (\\Answered)", every(100, 50)));
        writer.command(&format!("STORE {} +FLAGS.SILENT (\\Deleted)", every(messages / 100, 7)));
        writer.command("EXPUNGE");
    }
    server.wait_until_idle();
    let mut answer = Answer::default();
    let mut come_back = || {
        phone.command("UNSELECT");
        milliseconds(|| {
            answer = phone.command(&format!("SELECT again (QRESYNC ({validity} {mod_seq}))"));
        })
    };
    let time =
        if changed { come_back() } else { crate::median((0..RUNS).map(|_| come_back()).collect()) };
    let changes = if changed { messages / 100 } else { 0 };
    assert!(answer.lines >= changes, "{} of {changes}: {}", answer.lines, answer.text);
    phone.command("UNSELECT");
    writer.command("UNSELECT");
    writer.command("DELETE again");
    keep(resynchronised(server, mailbox, changed), answer.octets as f64);
    time
}
