//! A mailbox of 100,000 messages: how long a phone waits until it is open.

use crate::{
    Measure, Unit,
    client::Imap,
    loads::{LARGE, milliseconds, selected},
    servers::Server,
};

/// How often the mailbox of 10,000 is copied into the huge one.
const COPIES: usize = 10;

pub(crate) fn all() -> Vec<Measure> {
    vec![
        Measure::new("SELECT of 100,000, cold", Unit::Milliseconds, select_cold),
        Measure::new("SELECT of 100,000, warm", Unit::Milliseconds, select_warm),
        Measure::new("FETCH UID FLAGS of 100,000", Unit::Milliseconds, fetch_flags),
    ]
}

/// Makes the huge mailbox where it is not there yet.
fn fill(server: &Server) {
    let mut client = selected(server, &server.user(0));
    if client.command("LIST \"\" huge").lines > 0 {
        return;
    }
    client.command("CREATE huge");
    for _ in 0..COPIES {
        client.command("COPY 1:* huge");
    }
}

/// By a server that has just started; the login is not counted.
fn select_cold(server: &Server, _: usize) -> f64 {
    fill(server);
    server.restart();
    let mut client = Imap::login(server.imap, &server.user(0));
    milliseconds(|| select(&mut client))
}

fn select_warm(server: &Server, _: usize) -> f64 {
    fill(server);
    let mut client = Imap::login(server.imap, &server.user(0));
    let times = (0..20).map(|_| milliseconds(|| select(&mut client))).collect();
    crate::median(times)
}

fn select(client: &mut Imap) {
    let answer = client.command("SELECT huge");
    assert!(answer.text.contains(&format!("* {} EXISTS", LARGE * COPIES)), "{}", answer.text);
}

fn fetch_flags(server: &Server, _: usize) -> f64 {
    fill(server);
    let mut client = Imap::login(server.imap, &server.user(0));
    client.command("SELECT huge");
    let all = LARGE * COPIES;
    client.command("FETCH 1:* (UID FLAGS)");
    milliseconds(|| assert_eq!(client.command("FETCH 1:* (UID FLAGS)").lines, all))
}
