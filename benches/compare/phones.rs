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
/// Sessions in NOTIFY, each of another user, and the mailboxes each hears of beside the open one.
const NOTIFIED: usize = 1_000;
const NOTIFIED_BY_DOVECOT: usize = 100;
const HEARD_OF: usize = 20;
/// Messages in each phone's INBOX.
const MESSAGES: usize = 100;

pub(crate) fn all() -> Vec<Measure> {
    vec![
        Measure::new("memory after start", Unit::Kibibytes, after_start),
        Measure::new("memory of an idle connection", Unit::Kibibytes, plain),
        Measure::new("delivery to EXISTS, p50", Unit::Milliseconds, |s, _| push(s, 50)),
        Measure::new("delivery to EXISTS, p99", Unit::Milliseconds, |s, _| push(s, 99)),
        Measure::new("memory of a phone in NOTIFY", Unit::Kibibytes, notified),
        Measure::new("delivery to NOTIFY, p50", Unit::Milliseconds, push_notified),
        Measure::new("memory of an idle TLS connection", Unit::Kibibytes, tls),
    ]
}

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

/// What each session costs that listens to many mailboxes; its user has another session open there.
fn notified(server: &Server, _: usize) -> f64 {
    sleeping().clear();
    fill(server);
    let phones = if server.imaps.is_none() { NOTIFIED_BY_DOVECOT } else { NOTIFIED };
    for number in 0..phones {
        let mut client = Imap::login(server.imap, &server.user(number));
        if client.command("LIST \"\" heard1").lines == 0 {
            for mailbox in 1..HEARD_OF {
                client.command(&format!("CREATE heard{mailbox}"));
            }
        }
    }
    server.restart();
    let login = |number| listening(server, number);
    let first: Vec<Imap> = (0..phones).map(login).collect();
    // Checking passwords took more than all sessions together take.
    server.wait_until_idle();
    let before = server.resident();
    let more: Vec<Imap> = (0..phones).map(login).collect();
    server.wait_until_idle();
    let each = server.resident().saturating_sub(before) as f64 / phones as f64 / 1024.0;
    sleeping().push((server.imap, first.into_iter().chain(more).collect()));
    each
}

fn listening(server: &Server, number: usize) -> Imap {
    let mut phone = Imap::login(server.imap, &server.user(number));
    phone.command("SELECT Phone");
    let heard: Vec<_> = (1..HEARD_OF).map(|mailbox| format!("heard{mailbox}")).collect();
    phone.command(&format!(
        "NOTIFY SET (selected (MessageNew MessageExpunge FlagChange)) \
         (mailboxes (INBOX {}) (MessageNew MessageExpunge FlagChange))",
        heard.join(" ")
    ));
    phone.sleep();
    phone
}

/// From LMTP's acknowledgement to `* STATUS INBOX` at a session that has another mailbox open.
fn push_notified(server: &Server, repeat: usize) -> f64 {
    let user = server.user(repeat);
    let mut phone = listening(server, repeat);
    let mut client = Lmtp::connect(server.lmtp);
    let mut random = Random::new(repeat as u64);
    // Dovecot looks at what is not open only now and then.
    let count = if server.imaps.is_none() { 1 } else { 100 };
    let times = (0..count).map(|_| {
        client.deliver(&user, &message(&mut random));
        milliseconds(|| drop(phone.hear("STATUS")))
    });
    crate::median(times.collect())
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
    let users = if server.imaps.is_none() { PHONES_OF_DOVECOT } else { USERS };
    for number in 0..users {
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
            milliseconds(|| drop(phone.hear("EXISTS")))
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[(times.len() * percentile / 100).min(times.len() - 1)]
}
