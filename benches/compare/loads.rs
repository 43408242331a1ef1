//! The measurements, in an order in which each finds what it needs: first mail comes in.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use crate::{
    Measure, Unit,
    client::{Imap, Lmtp},
    mail::{Random, message},
    servers::Server,
};

/// Messages of the large mailbox, `u0`'s INBOX.
pub(crate) const LARGE: usize = 10_000;

pub(crate) fn all() -> Vec<Measure> {
    vec![
        Measure::new("LMTP, 8 connections", Unit::PerSecond, |s, r| lmtp(s, r, 8)),
        Measure::new("LMTP, 1 connection", Unit::PerSecond, |s, r| lmtp(s, r, 1)),
        Measure::new("APPEND, 4 connections", Unit::PerSecond, append),
        Measure::new("FETCH list of 10,000, first", Unit::Milliseconds, fetch_first),
        Measure::new("FETCH list of 10,000, warm", Unit::Milliseconds, fetch_list),
        Measure::new("FETCH UID FLAGS of 10,000", Unit::Milliseconds, fetch_flags),
        Measure::new("FETCH header fields of 10,000", Unit::Milliseconds, fetch_fields),
        Measure::new("FETCH random bodies, 4 sessions", Unit::PerSecond, bodies),
        Measure::new("SELECT of 10,000", Unit::Milliseconds, select),
        Measure::new("COPY of 10,000", Unit::Milliseconds, copy),
        Measure::new("STORE, 8 sessions", Unit::PerSecond, store),
        Measure::new("logins, 8 clients", Unit::PerSecond, logins),
    ]
}

const LIST: &str = "FETCH 1:* (UID INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)";

/// Does the same work over several connections, which are made before the clock runs; gives how many
/// deeds a second all of them did together.
fn together<C: Send>(
    connections: usize,
    each: usize,
    connect: impl Fn(usize) -> C,
    work: impl Fn(usize, C) + Sync,
) -> f64 {
    let clients: Vec<C> = (0..connections).map(connect).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for (number, client) in clients.into_iter().enumerate() {
            let work = &work;
            scope.spawn(move || work(number, client));
        }
    });
    (connections * each) as f64 / start.elapsed().as_secs_f64()
}

pub(crate) fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1000.0
}

fn lmtp(server: &Server, repeat: usize, connections: usize) -> f64 {
    let each = 2_000 / connections;
    let mail: Vec<Vec<Vec<u8>>> = (0..connections)
        .map(|number| {
            let mut random = Random::new((repeat * 100 + number) as u64);
            (0..each).map(|_| message(&mut random)).collect()
        })
        .collect();
    let connect = |number| (server.user(100 + number), Lmtp::connect(server.lmtp));
    together(connections, each, connect, |number, (user, mut client)| {
        for message in &mail[number] {
            client.deliver(&user, message);
        }
    })
}

fn append(server: &Server, repeat: usize) -> f64 {
    const EACH: usize = 500;
    let mail: Vec<Vec<Vec<u8>>> = (0..4)
        .map(|number| {
            let mut random = Random::new(7_000 + (repeat * 100 + number) as u64);
            (0..EACH).map(|_| message(&mut random)).collect()
        })
        .collect();
    let connect = |number| Imap::login(server.imap, &server.user(200 + number));
    together(4, EACH, connect, |number, mut client| {
        for message in &mail[number] {
            client.append("INBOX", message);
        }
    })
}

/// Fills the large mailbox, once for each server, by LMTP.
fn fill(server: &Server, user: &str) {
    static FILLED: Mutex<Vec<(u16, String)>> = Mutex::new(Vec::new());
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    let this = (server.imap, user.to_owned());
    if filled.contains(&this) {
        return;
    }
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let mut client = Lmtp::connect(server.lmtp);
                let mut random = Random::new(number);
                for _ in 0..LARGE / 4 {
                    client.deliver(user, &message(&mut random));
                }
            });
        }
    });
    filled.push(this);
}

pub(crate) fn selected(server: &Server, user: &str) -> Imap {
    fill(server, user);
    let mut client = Imap::login(server.imap, user);
    client.command("SELECT INBOX");
    client
}

/// On a mailbox that nobody has listed before, with a server that has just started.
fn fetch_first(server: &Server, repeat: usize) -> f64 {
    fill(server, &server.user(repeat));
    server.restart();
    let mut client = selected(server, &server.user(repeat));
    milliseconds(|| assert_eq!(client.command(LIST).lines, LARGE))
}

fn fetch_list(server: &Server, _: usize) -> f64 {
    let mut client = selected(server, &server.user(0));
    client.command(LIST);
    milliseconds(|| assert_eq!(client.command(LIST).lines, LARGE))
}

fn fetch_flags(server: &Server, _: usize) -> f64 {
    let mut client = selected(server, &server.user(0));
    client.command("FETCH 1:* (UID FLAGS)");
    milliseconds(|| assert_eq!(client.command("FETCH 1:* (UID FLAGS)").lines, LARGE))
}

fn fetch_fields(server: &Server, _: usize) -> f64 {
    let fields = "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE MESSAGE-ID)])";
    let mut client = selected(server, &server.user(0));
    client.command(fields);
    milliseconds(|| assert_eq!(client.command(fields).lines, LARGE))
}

fn bodies(server: &Server, repeat: usize) -> f64 {
    const EACH: usize = 2_500;
    let connect = |_| selected(server, &server.user(0));
    together(4, EACH, connect, |number, mut client| {
        let mut random = Random::new(9_000 + (repeat * 10 + number) as u64);
        for _ in 0..EACH {
            let message = random.next() % LARGE as u64 + 1;
            let answer = client.command(&format!("FETCH {message} BODY.PEEK[]"));
            assert!(answer.literal.ends_with(b"--\r\n"), "not the whole message");
        }
    })
}

fn select(server: &Server, _: usize) -> f64 {
    let mut client = selected(server, &server.user(0));
    let times: Vec<f64> = (0..50)
        .map(|_| milliseconds(|| assert!(client.command("SELECT INBOX").lines > 4)))
        .collect();
    crate::median(times)
}

fn copy(server: &Server, repeat: usize) -> f64 {
    let mut client = selected(server, &server.user(0));
    client.command(&format!("CREATE copy{repeat}"));
    let time = milliseconds(|| {
        client.command(&format!("COPY 1:* copy{repeat}"));
    });
    let status = client.command(&format!("STATUS copy{repeat} (MESSAGES)")).text;
    assert!(status.contains(&format!("MESSAGES {LARGE}")), "{status}");
    time
}

fn store(server: &Server, repeat: usize) -> f64 {
    const EACH: usize = 1_240;
    let sign = if repeat.is_multiple_of(2) { '+' } else { '-' };
    let connect = |_| selected(server, &server.user(0));
    together(8, EACH, connect, |number, mut client| {
        for at in 0..EACH {
            let message = number * EACH + at + 1;
            client.command(&format!("STORE {message} {sign}FLAGS.SILENT (\\Flagged)"));
        }
    })
}

fn logins(server: &Server, _: usize) -> f64 {
    const EACH: usize = 250;
    let connect = |number| {
        let user = server.user(300 + number);
        // The first login of a user costs what a password hash costs.
        Imap::login(server.imap, &user).command("LOGOUT");
        user
    };
    together(8, EACH, connect, |_, user| {
        for _ in 0..EACH {
            Imap::login(server.imap, &user).command("LOGOUT");
        }
    })
}
