//! The steps of a message's trace, as the real doors write them.

use std::{
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection as Database, OpenFlags};

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
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
fn a_message_that_is_refused_leaves_a_trace_at_every_door() {
    let house =
        House::with(&[("limits.received_fields_max", "3"), ("limits.message_size_max", "500")]);
    let loops = format!("{}From: alice@demo.example\r\n\r\nhi\r\n", "Received: x\r\n".repeat(4));
    let large = format!("From: alice@demo.example\r\n\r\n{}", "x\r\n".repeat(300));
    let mut expected = Vec::new();
    for (door, hello) in
        [(Service::Smtp, "EHLO"), (Service::Lmtp, "LHLO"), (Service::Submission, "EHLO")]
    {
        for (message, why) in [(&loops, "554 5.4.6 "), (&large, "552 5.3.4 ")] {
            let mut smtp = house.connect(door);
            smtp.read_reply().unwrap();
            smtp.command(&format!("{hello} test.example")).unwrap();
            if door == Service::Submission {
                // alice@demo.example, secret
                let login = "AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=";
                assert!(smtp.command(login).unwrap().starts_with("235"));
            }
            smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
            smtp.command("RCPT TO:<bob@demo.example>").unwrap();
            smtp.command("DATA").unwrap();
            smtp.send(&dotted(message.as_bytes())).unwrap();
            let answer = smtp.read_reply().unwrap();
            assert!(answer.starts_with(why), "{door:?}: {answer}");
            expected.push(why);
        }
    }
    let steps = steps(&house);
    assert_eq!(steps.len(), expected.len(), "{steps:?}");
    for ((step, detail), why) in steps.iter().zip(expected) {
        let told = format!("<alice@demo.example> to bob@demo.example: {why}");
        assert!(step == "refused" && detail.contains(&told), "{step}: {detail}");
        assert!(detail.starts_with("from [127.0.0.1] at "), "{detail}");
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
