//! Ten thousand sleeping phones: what each costs, and how fast they hear of new mail.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    Measure, NOT_TAKEN, Unit,
    client::{Imap, Lmtp},
    loads::milliseconds,
    mail::{Random, message},
    servers::{Server, USERS},
};

/// Connections in IDLE; Dovecot, with a process for each, is asked for fewer.
const PHONES: usize = 10_000;
const PHONES_OF_DOVECOT: usize = 300;
/// Messages in each phone's INBOX.
const MESSAGES: usize = 100;

pub(crate) const ALL: &[Measure] = &[
    Measure { name: "memory after start", unit: Unit::Kibibytes, take: after_start },
    Measure { name: "memory of an idle connection", unit: Unit::Kibibytes, take: plain },
    Measure { name: "delivery to EXISTS, p50", unit: Unit::Milliseconds, take: |s, _| push(s, 50) },
    Measure { name: "delivery to EXISTS, p99", unit: Unit::Milliseconds, take: |s, _| push(s, 99) },
    Measure { name: "memory of an idle TLS connection", unit: Unit::Kibibytes, take: tls },
];

/// The phones of the last measurement stay connected until the next takes them away.
static SLEEPING: Mutex<Vec<(u16, Vec<Imap>)>> = Mutex::new(Vec::new());

fn sleeping() -> MutexGuard<'static, Vec<(u16, Vec<Imap>)>> {
    SLEEPING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn after_start(server: &Server, _: usize) -> f64 {
    sleeping().clear();
    server.restart();
    server.resident() as f64 / 1024.0
}

fn plain(server: &Server, _: usize) -> f64 {
    sleeping().retain(|(of, _)| *of != server.imap);
    let (each, phones) = connect(server, |user| Imap::login(server.imap, user));
    sleeping().push((server.imap, phones));
    each
}

fn tls(server: &Server, _: usize) -> f64 {
    sleeping().clear();
    let Some(port) = server.imaps else { return NOT_TAKEN };
    let (each, phones) = connect(server, |user| Imap::login_tls(port, user));
    drop(phones);
    each
}

/// What each further connection costs: logged in, in IDLE on an INBOX of 100 messages.
fn connect(server: &Server, login: impl Fn(&str) -> Imap) -> (f64, Vec<Imap>) {
    fill(server);
    // What the phones of the last repeat have freed must not serve these.
    server.restart();
    let dovecot = server.imaps.is_none();
    let connections = if dovecot { PHONES_OF_DOVECOT } else { PHONES };
    // The views of all INBOXes are the users' cost, not the connections'.
    let users = USERS.min(connections);
    let first: Vec<Imap> = (0..users).map(|number| asleep(login(&server.user(number)))).collect();
    let before = server.resident();
    let phones: Vec<Imap> =
        (0..connections).map(|number| asleep(login(&server.user(number % users)))).collect();
    let more = server.resident().saturating_sub(before);
    drop(first);
    (more as f64 / connections as f64 / 1024.0, phones)
}

fn asleep(mut phone: Imap) -> Imap {
    let answer = phone.command("SELECT Phone");
    assert!(answer.text.contains(&format!("* {MESSAGES} EXISTS")), "{}", answer.text);
    phone.idle();
    phone.sleep();
    phone
}

/// Gives every user a mailbox of 100 messages, once for each server.
fn fill(server: &Server) {
    static FILLED: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut filled = FILLED.lock().unwrap_or_else(PoisonError::into_inner);
    if filled.contains(&server.imap) {
        return;
    }
    for number in 0..USERS {
        let mut client = Imap::login(server.imap, &server.user(number));
        client.command("CREATE Phone");
        client.append("Phone", format!("Subject: phone {number}\r\n\r\nhello\r\n").as_bytes());
        client.command("SELECT Phone");
        // 1, 2, 4, … 64, and the rest of the hundred
        for set in ["1", "1:2", "1:4", "1:8", "1:16", "1:32", "1:36"] {
            client.command(&format!("COPY {set} Phone"));
        }
    }
    filled.push(server.imap);
}

/// From LMTP's acknowledgement to `* n EXISTS` in IDLE, in milliseconds: one percentile of 200, with
/// all the sleeping phones connected.
fn push(server: &Server, percentile: usize) -> f64 {
    let user = server.user(400);
    let mut phone = Imap::login(server.imap, &user);
    phone.command("SELECT INBOX");
    phone.idle();
    let mut client = Lmtp::connect(server.lmtp);
    let mut random = Random::new(percentile as u64);
    let count = if server.imaps.is_none() { 10 } else { 200 };
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            client.deliver(&user, &message(&mut random));
            milliseconds(|| drop(phone.hear()))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[(times.len() * percentile / 100).min(times.len() - 1)]
}
