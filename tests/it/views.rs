//! Which mailboxes have their messages listed in memory, and which questions can do without.

use crate::{connection::Connection, house::House};

fn views(house: &House) -> usize {
    let output = house.command(&["metrics"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("mailade_mailbox_views "));
    line.unwrap_or_else(|| panic!("not in {text}")).parse().unwrap()
}

/// Says a command; all lines of its answer.
fn say(imap: &mut Connection, command: &str) -> Vec<String> {
    imap.send_line(&format!("t {command}")).unwrap();
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.starts_with("t ")) {
        lines.push(String::from_utf8(imap.read_line().unwrap()).unwrap());
    }
    assert!(lines.last().unwrap().starts_with("t OK"), "{command}: {lines:?}");
    lines
}

fn number(lines: &[String], code: &str) -> u64 {
    let found = lines.iter().find_map(|line| line.split_once(code));
    let digits = found.unwrap_or_else(|| panic!("no {code} in {lines:?}")).1;
    digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_phone_that_comes_back_to_an_unchanged_mailbox_has_no_view_loaded() {
    let mut house = House::open();
    let message = b"Subject: x\r\n\r\nhi\r\n";
    for _ in 0..3 {
        house.deliver(message, "carol@remote.example", &["alice@demo.example"]);
    }
    let mut imap = house.log_in("alice@demo.example");
    say(&mut imap, "ENABLE QRESYNC");
    let seen = say(&mut imap, "SELECT INBOX");
    let (validity, mod_seq) = (number(&seen, "[UIDVALIDITY "), number(&seen, "[HIGHESTMODSEQ "));
    house.stop();
    house.start();
    let mut imap = house.log_in("alice@demo.example");
    say(&mut imap, "ENABLE QRESYNC");
    let resync = format!("SELECT INBOX (QRESYNC ({validity} {mod_seq}))");
    let told = say(&mut imap, &resync);
    assert!(told.iter().any(|line| line == "* 3 EXISTS"), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("VANISHED") || line.contains("FETCH")));
    say(&mut imap, "NOOP");
    say(&mut imap, "STATUS INBOX (MESSAGES UNSEEN)");
    assert_eq!(views(&house), 0);
    // It is the change that needs the list.
    house.deliver(message, "carol@remote.example", &["alice@demo.example"]);
    let told = say(&mut imap, &resync);
    assert!(told.iter().any(|line| line.starts_with("* 4 FETCH ")), "{told:?}");
    assert_eq!(views(&house), 1);
}
