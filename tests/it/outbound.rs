//! Mail that leaves the house: by a smarthost that is another house, and back as a report when it
//! can't be delivered.

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
};

/// Submits a message as alice; the answer to its end.
fn submit(house: &House, recipient: &str, parameters: &str, message: &[u8]) -> String {
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    smtp.command("EHLO phone.example").unwrap();
    // alice@demo.example, secret
    let login = smtp.command("AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
    assert!(login.starts_with("235"), "{login}");
    smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
    let taken = smtp.command(&format!("RCPT TO:<{recipient}>{parameters}")).unwrap();
    assert!(taken.starts_with("250"), "{taken}");
    smtp.command("DATA").unwrap();
    smtp.send(&dotted(message)).unwrap();
    smtp.read_reply().unwrap()
}

/// Waits in IDLE until the mailbox holds so many messages, then fetches the last one.
fn last_message(house: &House, user: &str, count: usize) -> String {
    let mut imap = house.log_in(user);
    imap.send_line("a SELECT INBOX").unwrap();
    let exists = format!("* {count} EXISTS");
    if !read_to(&mut imap, "a ").contains(&exists) {
        imap.send_line("b IDLE").unwrap();
        read_to(&mut imap, &exists);
        imap.send_line("DONE").unwrap();
        read_to(&mut imap, "b ");
    }
    imap.send_line(&format!("c FETCH {count} BODY.PEEK[]")).unwrap();
    read_to(&mut imap, "c ")
}

fn read_to(connection: &mut Connection, start: &str) -> String {
    let mut text = String::new();
    loop {
        let line = connection.read_line().unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        text += &line;
        text += "\r\n";
        if line.starts_with(start) {
            return text;
        }
    }
}

/// A house for remote.example, and one for demo.example that sends through it.
fn two_houses() -> (House, House) {
    let far = House::with(&[("hostname", "mail.remote.example")]);
    let run = |arguments: &[&str], input: &str| {
        let output = far.command(arguments, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["domain", "add", "remote.example"], "");
    run(&["user", "add", "carol@remote.example", "--password-stdin"], "secret\n");
    let relay = far.address(Service::Smtp).to_string();
    let near = House::with(&[("outbound.relay", &relay)]);
    (near, far)
}

const MESSAGE: &[u8] = b"From: alice@demo.example\r\nTo: carol@remote.example\r\n\
    Subject: gr\xc3\xbc\xc3\x9fe\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\n.dot\r\n\xc3\xa4\xc3\xb6\r\n";

#[test]
fn mail_for_elsewhere_goes_through_the_smarthost_octet_for_octet() {
    let (near, far) = two_houses();
    let taken = submit(&near, "carol@remote.example", "", MESSAGE);
    assert!(taken.starts_with("250"), "{taken}");
    let arrived = last_message(&far, "carol@remote.example", 1);
    let body = String::from_utf8_lossy(MESSAGE);
    let body = body.split_once("\r\n\r\n").unwrap().1;
    assert!(arrived.contains(body), "{arrived}");
    assert!(arrived.contains("Return-Path: <alice@demo.example>\r\n"), "{arrived}");
    assert_eq!(arrived.matches("Return-Path:").count(), 1, "{arrived}");
}

#[test]
fn what_the_other_server_refuses_comes_back_as_a_report() {
    let (near, _far) = two_houses();
    let taken =
        submit(&near, "nobody@remote.example", " ORCPT=rfc822;nobody@remote.example", MESSAGE);
    assert!(taken.starts_with("250"), "{taken}");
    let report = last_message(&near, "alice@demo.example", 1);
    for expected in [
        "Return-Path: <>",
        "multipart/report",
        "Action: failed",
        "Status: 5.1.1",
        "Final-Recipient: rfc822;nobody@remote.example",
        "Original-Recipient: rfc822;nobody@remote.example",
        "Diagnostic-Code: smtp; 550",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
    let left = near.command(&["queue", "list"], "");
    assert!(!String::from_utf8_lossy(&left.stdout).contains("nobody@"), "the queue is empty");
}

#[test]
fn success_is_reported_when_asked_for_and_only_then() {
    let (near, far) = two_houses();
    submit(&near, "carol@remote.example", " NOTIFY=NEVER", MESSAGE);
    last_message(&far, "carol@remote.example", 1);
    submit(&near, "bob@demo.example", " NOTIFY=SUCCESS", MESSAGE);
    let report = last_message(&near, "alice@demo.example", 1);
    assert!(report.contains("Action: delivered"), "{report}");
}

#[test]
fn what_waits_survives_a_kill_and_is_sent_when_the_smarthost_is_there() {
    let (mut near, far) = two_houses();
    drop(far);
    let taken = submit(&near, "carol@remote.example", "", MESSAGE);
    assert!(taken.starts_with("250"), "{taken}");
    near.kill();
    near.start();
    let waiting = near.command(&["queue", "list"], "");
    assert!(String::from_utf8_lossy(&waiting.stdout).contains("carol@remote.example"));
}
