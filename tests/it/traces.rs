//! The steps of a message's trace, as the real doors write them.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection as Database, OpenFlags};

use crate::{
    connection::Connection,
    house::{House, Service},
};

/// All steps in order: what happened, and more of it.
fn steps(house: &House) -> Vec<(String, String)> {
    let file = house.data_dir().join("mailade.db");
    let database = Database::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = database.prepare("SELECT step, detail FROM trace ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn until(house: &House, count: usize) -> Vec<(String, String)> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let steps = steps(house);
        if steps.len() >= count {
            return steps;
        }
        assert!(Instant::now() < deadline, "{steps:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn fetch(imap: &mut Connection, items: &str) {
    for line in ["a SELECT INBOX".to_owned(), format!("b FETCH 1 {items}")] {
        imap.send_line(&line).unwrap();
        let tag = line.split_inclusive(' ').next().unwrap().as_bytes();
        while !imap.read_line().unwrap().starts_with(tag) {}
    }
}

#[test]
fn a_message_is_followed_from_its_door_to_each_device_that_has_it() {
    let house = House::open();
    let message = b"Subject: x\r\n\r\nhi\r\n";
    let answers = house.deliver(message, "carol@remote.example", &["alice+x@demo.example"]);
    assert!(answers[0].starts_with("250 "), "{answers:?}");
    let made = house.command(&["app-password", "add", "alice@demo.example", "--name", "phone"], "");
    let password = String::from_utf8(made.stdout).unwrap();
    let mut phone = house.connect(Service::Imap);
    phone.read_line().unwrap();
    phone.send_line(&format!("a LOGIN alice@demo.example {}", password.trim())).unwrap();
    assert!(phone.read_line().unwrap().starts_with(b"a OK"));
    let mut desk = house.log_in("alice@demo.example");
    // Lists are no reading.
    fetch(&mut desk, "(FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (TO)])");
    fetch(&mut phone, "BODY.PEEK[]");
    until(&house, 3);
    fetch(&mut phone, "BODY.PEEK[TEXT]");
    fetch(&mut desk, "BODY.PEEK[1]");
    let steps = until(&house, 4);
    let told: Vec<_> = steps.iter().map(|(step, detail)| format!("{step}: {detail}")).collect();
    assert_eq!(
        told,
        [
            "received: from test.example ([127.0.0.1]) with LMTP, <carol@remote.example>, 18 octets",
            "delivered: alice+x@demo.example into INBOX",
            "fetched: imap, device 1",
            "fetched: imap, main password",
        ]
    );
}
