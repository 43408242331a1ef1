//! What the log tells, and what it never does.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::{
    house::{House, PASSWORD, Service},
    outbound::{last_message, submit, two_houses_with},
};

const BODY: &str = "The-body-of-the-message-is-nobodys-business";
const SUBJECT: &str = "Neither-is-the-subject";

/// Everything that passwords and mail go through: logins that succeed and fail by each mechanism, mail
/// that comes, goes, is read, put in and refused, and an app password.
fn live(house: &House) {
    let message = format!("From: alice@demo.example\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n");
    house.deliver(message.as_bytes(), "carol@remote.example", &["alice@demo.example"]);
    submit(house, "carol@remote.example", "", message.as_bytes());
    submit(house, "nobody@remote.example", "", message.as_bytes());
    submit(house, "bob@demo.example", "", message.as_bytes());
    last_message(house, "alice@demo.example", 2);
    let mut imap = house.log_in("alice@demo.example");
    let mut imap_says = |line: &str| {
        imap.send_line(line).unwrap();
        let tag = line.split_inclusive(' ').next().unwrap().as_bytes().to_vec();
        while !imap.read_line().unwrap().starts_with(&tag) {}
    };
    imap_says(&format!("a APPEND INBOX {{{}+}}\r\n{message}", message.len()));
    imap_says("b SELECT INBOX");
    imap_says("c FETCH 1:* (BODY[] ENVELOPE)");
    imap_says(&format!("d SEARCH TEXT {BODY}"));
    imap_says(&format!("e SEARCH UNKNOWN-KEY {BODY}"));
    let mut imap = house.connect(Service::Imap);
    imap.read_line().unwrap();
    for line in [
        "a LOGIN alice@demo.example wrong-secret".to_owned(),
        format!(
            "b AUTHENTICATE PLAIN {}",
            BASE64_STANDARD.encode("\0alice@demo.example\0wrong-secret")
        ),
    ] {
        imap.send_line(&line).unwrap();
        assert!(imap.read_line().unwrap().get(2..4) == Some(b"NO"));
    }
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    smtp.command("EHLO phone.example").unwrap();
    smtp.command("AUTH LOGIN").unwrap();
    smtp.command(&BASE64_STANDARD.encode("alice@demo.example")).unwrap();
    let refused = smtp.command(&BASE64_STANDARD.encode("wrong-secret")).unwrap();
    assert!(refused.starts_with("535 "), "{refused}");
    let made =
        house.command(&["user", "add", "dora@demo.example", "--password-stdin"], "doras-secret\n");
    assert!(made.status.success());
    let mut mx = house.connect(Service::Smtp);
    mx.read_reply().unwrap();
    mx.command("EHLO relay.example").unwrap();
    mx.command("MAIL FROM:<carol@remote.example>").unwrap();
    let refused = mx.command("RCPT TO:<nobody@demo.example>").unwrap();
    assert!(refused.starts_with("550 5.1.1 "), "{refused}");
}

/// Words that no line may hold, and what they are in base64, wherever in a text they stand.
fn secrets() -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for word in [PASSWORD, "wrong-secret", "doras-secret", BODY, SUBJECT] {
        for shift in 0..3 {
            let encoded = BASE64_STANDARD.encode(format!("{}{word}", "\0".repeat(shift)));
            let whole = encoded.len() - encoded.len() % 4 - 4;
            secrets.insert(encoded[4.min(whole)..whole].to_owned());
        }
        secrets.insert(word.to_owned());
    }
    // Too short to mean anything.
    secrets.retain(|word| word.len() >= 5);
    secrets
}

#[test]
fn no_secret_and_no_word_of_a_message_is_logged_at_any_level() {
    for level in ["info", "debug", "trace"] {
        let (near, far) = two_houses_with(&[("log.level", level)]);
        live(&near);
        for house in [near, far] {
            // A name of TLS that holds the word.
            let log = house.log().replace("extended_master_secret", "");
            assert!(log.contains("delivered"), "{log}");
            for secret in secrets() {
                let line = log.lines().find(|line| line.contains(&secret));
                assert_eq!(line, None, "{level}: {secret}");
            }
        }
    }
}

#[test]
fn each_thing_is_one_line_and_a_messages_lines_have_one_id() {
    let (near, far) = two_houses_with(&[("log.format", "json")]);
    live(&near);
    near.until_logged("\"message\":\"reported\"", 1);
    let log = near.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let said = |what: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["message"] == what).collect()
    };
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();

    let refused = said("login refused");
    let how: BTreeSet<_> = refused.iter().map(|line| text(line, "mechanism")).collect();
    assert_eq!(how, ["LOGIN", "PLAIN"].map(str::to_owned).into());
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert!(refused.iter().all(|line| line["user"] == "alice@demo.example"));
    assert!(refused.iter().all(|line| line["peer"] == "127.0.0.1" && line["session"].is_number()));
    assert!(said("login").len() >= 5);

    let delivered = said("delivered");
    assert_eq!(delivered.len(), 1);
    assert_eq!(text(delivered[0], "to"), "alice@demo.example");
    let submitted = said("submitted");
    assert_eq!(submitted.len(), 3);
    for (to, last) in [("carol@remote.example", "sent"), ("nobody@remote.example", "failed")] {
        let first = submitted.iter().find(|line| line["to"] == to).unwrap();
        let trace = text(first, "trace");
        assert_eq!(trace.len(), 22);
        let followed: Vec<_> =
            lines.iter().filter(|line| line["trace"] == trace.as_str()).collect();
        assert!(followed.iter().any(|line| line["message"] == last), "{followed:#?}");
        let reported = followed.iter().any(|line| line["message"] == "reported");
        assert_eq!(reported, last == "failed");
    }
    let refused = said("refused");
    assert!(refused.iter().any(|line| line["address"] == "nobody@demo.example"), "{refused:#?}");
    assert!(far.log().contains("delivered"));
}
