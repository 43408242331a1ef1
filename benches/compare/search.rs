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

const UNSEEN: &str = "SEARCH UNSEEN";
const SUBJECT: &str = "SEARCH SUBJECT quetzalcoatl";
const TEXT: &str = "SEARCH TEXT xylophonist";
const BODY: &str = "SEARCH BODY xylophonist";
const COUNT: &str = "SEARCH RETURN (COUNT MIN MAX) UNSEEN";
const DATE: &str = "SORT (DATE) UTF-8 ALL";
const BY_SUBJECT: &str = "SORT (SUBJECT) UTF-8 ALL";
const THREAD: &str = "THREAD REFERENCES UTF-8 ALL";

/// A command by a server that has just started, on a mailbox on which nobody ran it before; and warm.
macro_rules! first_and_warm {
    ($($name:literal, $mailbox:ident, $command:ident;)+) => {
        &[$(
            Measure {
                name: concat!($name, ", first"),
                unit: Unit::Milliseconds,
                take: |server, _| first(server, $mailbox, $command),
            },
            Measure {
                name: concat!($name, ", warm"),
                unit: Unit::Milliseconds,
                take: |server, _| warm(server, $mailbox, $command),
            },
        )+]
    };
}

pub(crate) const SEARCHES: &[Measure] = first_and_warm! {
    "search: UNSEEN of 10,000", TEN, UNSEEN;
    "search: COUNT MIN MAX of 10,000", TEN, COUNT;
    "search: SUBJECT of 10,000", TEN, SUBJECT;
    "search: TEXT of 10,000", TEN, TEXT;
    "search: BODY of 10,000", TEN, BODY;
    "search: SORT DATE of 10,000", TEN, DATE;
    "search: SORT SUBJECT of 10,000", TEN, BY_SUBJECT;
    "search: THREAD of 10,000", TEN, THREAD;
    "search: UNSEEN of 100,000", HUNDRED, UNSEEN;
    "search: COUNT MIN MAX of 100,000", HUNDRED, COUNT;
    "search: SUBJECT of 100,000", HUNDRED, SUBJECT;
    "search: TEXT of 100,000", HUNDRED, TEXT;
    "search: BODY of 100,000", HUNDRED, BODY;
    "search: SORT DATE of 100,000", HUNDRED, DATE;
    "search: SORT SUBJECT of 100,000", HUNDRED, BY_SUBJECT;
    "search: THREAD of 100,000", HUNDRED, THREAD;
};

pub(crate) const RESYNC: &[Measure] = &[
    Measure {
        name: "STORE FLAGS.SILENT 1:* of 10,000",
        unit: Unit::Milliseconds,
        take: |server, repeat| store_all(server, repeat),
    },
    Measure {
        name: "resync of 10,000, unchanged",
        unit: Unit::Milliseconds,
        take: |server, _| resync(server, TEN, false).0,
    },
    Measure {
        name: "resync of 10,000, changed",
        unit: Unit::Milliseconds,
        take: |server, _| resync(server, TEN, true).0,
    },
    Measure {
        name: "resync of 10,000, changed",
        unit: Unit::Octets,
        take: |server, _| resync(server, TEN, true).1,
    },
    Measure {
        name: "resync of 100,000, unchanged",
        unit: Unit::Milliseconds,
        take: |server, _| resync(server, HUNDRED, false).0,
    },
    Measure {
        name: "resync of 100,000, changed",
        unit: Unit::Milliseconds,
        take: |server, _| resync(server, HUNDRED, true).0,
    },
    Measure {
        name: "resync of 100,000, changed",
        unit: Unit::Octets,
        take: |server, _| resync(server, HUNDRED, true).1,
    },
];

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

fn first(server: &Server, mailbox: &str, command: &str) -> f64 {
    let what = format!("{} {mailbox} {command}", server.name);
    let kept = KEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .get(&what)
        .copied();
    if let Some(figure) = kept {
        return figure;
    }
    drop(client(server));
    server.restart();
    let mut client = client(server);
    client.command(&format!("SELECT {mailbox}"));
    let mut answer = Answer::default();
    let figure = milliseconds(|| answer = client.command(command));
    same(server, &format!("{mailbox} {}", command.replace(" RETURN (COUNT MIN MAX)", "")), &answer);
    KEPT.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default()
        .insert(what, figure);
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

/// Coming back to a mailbox: how long it took, and how many octets came.
fn resync(server: &Server, mailbox: &str, changed: bool) -> (f64, f64) {
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
    phone.command("UNSELECT");
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
    let mut answer = Answer::default();
    let time = milliseconds(|| {
        answer = phone.command(&format!("SELECT again (QRESYNC ({validity} {mod_seq}))"));
    });
    let changes = if changed { messages / 100 } else { 0 };
    assert!(answer.lines >= changes, "{} of {changes}: {}", answer.lines, answer.text);
    phone.command("UNSELECT");
    writer.command("UNSELECT");
    writer.command("DELETE again");
    (time, answer.octets as f64)
}
