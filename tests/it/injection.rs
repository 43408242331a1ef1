//! What others tried to slip in: commands before TLS, messages inside of messages, other protocols,
//! and secrets into the log.

use std::io;

use crate::{
    connection::Connection,
    house::{House, PASSWORD, Service},
};

const ALICE: &str = "AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=";
const DOORS: [Service; 3] = [Service::Smtp, Service::Lmtp, Service::Submission];

/// A conversation past its greeting and the first command.
fn greeted(house: &House, door: Service) -> Connection {
    let mut connection = house.connect(door);
    match door {
        Service::Imap => {
            connection.read_line().unwrap();
        }
        Service::Lmtp => {
            connection.read_reply().unwrap();
            connection.command("LHLO test.example").unwrap();
        }
        _ => {
            connection.read_reply().unwrap();
            connection.command("EHLO test.example").unwrap();
        }
    }
    connection
}

/// Reads to the end of the connection; what came.
fn closed(connection: &mut Connection) -> String {
    let mut text = String::new();
    loop {
        match connection.read_line() {
            Ok(line) => text += &format!("{}\n", String::from_utf8_lossy(&line)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("open: {text}"),
            Err(_) => return text,
        }
    }
}

/// How many messages bob has.
fn messages_of_bob(house: &House) -> usize {
    let mut imap = house.log_in("bob@demo.example");
    imap.send_line("a STATUS INBOX (MESSAGES)").unwrap();
    let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
    let number = line.rsplit_once("(MESSAGES ").unwrap().1.trim_end_matches(')');
    number.parse().unwrap()
}

/// What stands behind the go-ahead to TLS, at each door.
fn go_ahead(door: Service) -> (&'static str, &'static str) {
    if door == Service::Imap { ("a STARTTLS", "a OK") } else { ("STARTTLS", "220 ") }
}

/// Commands that would be noticed: each would change what the next question is answered with.
fn injected(door: Service) -> &'static str {
    match door {
        Service::Imap => "x LOGIN alice@demo.example secret\r\n",
        Service::Lmtp => "LHLO injected.example\r\nMAIL FROM:<x@injected.example>\r\n",
        _ => "EHLO injected.example\r\nMAIL FROM:<x@injected.example>\r\n",
    }
}

/// Within TLS: nothing of what came before counts.
fn is_new(mut connection: Connection, door: Service, what: &str) {
    if door == Service::Imap {
        connection.send_line("n NOOP").unwrap();
        let line = connection.read_line().unwrap();
        assert!(line.starts_with(b"n OK"), "{what}: {}", line.escape_ascii());
        connection.send_line("s SELECT INBOX").unwrap();
        let line = connection.read_line().unwrap();
        assert!(line.starts_with(b"s BAD"), "{what}: {}", line.escape_ascii());
    } else {
        let answer = connection.command("NOOP").unwrap();
        assert!(answer.starts_with("250 2.0.0 here"), "{what}: {answer}");
        let answer = connection.command("RCPT TO:<alice@demo.example>").unwrap();
        assert!(answer.starts_with("503"), "{what}: {answer}");
        let answer = connection.command("MAIL FROM:<alice@demo.example>").unwrap();
        // Nobody has greeted, or logged in, on this side of the handshake.
        assert!(answer.starts_with("503") || answer.starts_with("530"), "{what}: {answer}");
    }
}

#[test]
fn what_stands_behind_starttls_in_its_segment_is_thrown_away() {
    let house = House::open();
    for door in DOORS.into_iter().chain([Service::Imap]) {
        let (starttls, yes) = go_ahead(door);
        let behind = injected(door);
        let halves = behind.split_at(behind.len() - 5);
        for (what, sent) in [
            ("a whole command behind", format!("{starttls}\r\n{behind}")),
            ("half a command behind", format!("{starttls}\r\n{}", halves.0)),
            ("a lone octet behind", format!("{starttls}\r\nx")),
            ("line ends behind", format!("{starttls}\r\n\r\n\r\n")),
            ("STARTTLS again behind", format!("{starttls}\r\n{starttls}\r\n")),
            ("a ClientHello's beginning behind", format!("{starttls}\r\n\x16\x03\x01")),
        ] {
            let mut connection = greeted(&house, door);
            connection.send(sent.as_bytes()).unwrap();
            let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
            assert!(line.starts_with(yes), "{door:?}, {what}: {line}");
            is_new(connection.with_tls(), door, &format!("{door:?}, {what}"));
        }
    }
}

#[test]
fn commands_before_starttls_in_its_segment_are_answered_before_the_handshake() {
    let house = House::open();
    for door in DOORS.into_iter().chain([Service::Imap]) {
        let (starttls, yes) = go_ahead(door);
        let before = if door == Service::Imap { "b NOOP" } else { "NOOP" };
        let mut connection = greeted(&house, door);
        let sent = format!("{before}\r\n{before}\r\n{starttls}\r\n{}", injected(door));
        connection.send(sent.as_bytes()).unwrap();
        for wanted in [if door == Service::Imap { "b OK" } else { "250" }; 2] {
            let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
            assert!(line.starts_with(wanted), "{door:?}: {line}");
        }
        let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
        assert!(line.starts_with(yes), "{door:?}: {line}");
        is_new(connection.with_tls(), door, &format!("{door:?}, pipelined"));
        // The beginning of the command in one segment, its end and an injected one in the next.
        let mut connection = greeted(&house, door);
        let (one, two) = starttls.split_at(4);
        connection.send(one.as_bytes()).unwrap();
        connection.send(format!("{two}\r\n{}", injected(door)).as_bytes()).unwrap();
        let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
        assert!(line.starts_with(yes), "{door:?}: {line}");
        is_new(connection.with_tls(), door, &format!("{door:?}, in two segments"));
    }
}

#[test]
fn plain_words_after_the_go_ahead_are_no_handshake_and_get_no_answer() {
    let house = House::open();
    for door in DOORS.into_iter().chain([Service::Imap]) {
        let (starttls, yes) = go_ahead(door);
        for sent in
            [injected(door).as_bytes(), b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"\0\0\0\0\0"]
        {
            let mut connection = greeted(&house, door);
            connection.send_line(starttls).unwrap();
            let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
            assert!(line.starts_with(yes), "{door:?}: {line}");
            connection.send(&sent.repeat(200)).unwrap();
            let text = closed(&mut connection);
            let answered = ["250", "503", "x OK", "x BAD"].iter().any(|words| text.contains(words));
            assert!(!answered, "{door:?}: {text:?}");
        }
        let mut other = greeted(&house, door);
        other.send_line(if door == Service::Imap { "a NOOP" } else { "NOOP" }).unwrap();
        other.read_line().unwrap();
    }
}

/// Between the line and its go-ahead: whether the server has read it by then or not, it is thrown away
/// or it breaks the handshake.
#[test]
fn what_comes_in_a_segment_of_its_own_before_the_go_ahead_is_never_run() {
    let house = House::open();
    for door in DOORS.into_iter().chain([Service::Imap]) {
        let (starttls, yes) = go_ahead(door);
        for _ in 0..10 {
            let mut connection = greeted(&house, door);
            connection.send_line(starttls).unwrap();
            connection.send(injected(door).as_bytes()).unwrap();
            let line = String::from_utf8(connection.read_line().unwrap()).unwrap();
            assert!(line.starts_with(yes), "{door:?}: {line}");
            match connection.try_tls() {
                Ok(connection) => is_new(connection, door, &format!("{door:?}, between")),
                // Plain words in answer would be no TLS.
                Err(error) => assert!(!error.to_string().contains("corrupt"), "{door:?}: {error}"),
            }
        }
    }
    assert_eq!(messages_of_bob(&house), 0);
}

#[test]
fn starttls_is_refused_with_an_argument_inside_tls_and_after_a_login() {
    let house = House::open();
    for door in DOORS {
        let mut smtp = greeted(&house, door);
        assert!(smtp.command("STARTTLS now").unwrap().starts_with("501"), "{door:?}");
        // White space alone is let through (RFC 5321 §4.1.1).
        assert!(smtp.command("STARTTLS ").unwrap().starts_with("220"), "{door:?}");
        let mut smtp = smtp.with_tls();
        let hello = if door == Service::Lmtp { "LHLO x.example" } else { "EHLO x.example" };
        let offers = smtp.command(hello).unwrap();
        assert!(offers.starts_with("250") && !offers.contains("STARTTLS"), "{door:?}: {offers}");
        assert!(smtp.command("STARTTLS").unwrap().starts_with("503"), "{door:?}");
        assert!(smtp.command("NOOP").unwrap().starts_with("250"), "{door:?}");
        let mut smtp = greeted(&house, door);
        smtp.send(b"STARTTLS\nNOOP\r\n").unwrap();
        let text = closed(&mut smtp);
        assert!(text.starts_with("550 5.5.2") && text.lines().count() == 1, "{door:?}: {text}");
    }
    let mut smtp = greeted(&house, Service::Submission);
    assert!(smtp.command(ALICE).unwrap().starts_with("235"));
    assert!(smtp.command("STARTTLS").unwrap().starts_with("503"));

    let ask = |imap: &mut Connection, line: &str, wanted: &str| {
        imap.send_line(line).unwrap();
        let answer = String::from_utf8(imap.read_line().unwrap()).unwrap();
        assert!(answer.starts_with(wanted), "{line}: {answer}");
    };
    let mut imap = greeted(&house, Service::Imap);
    ask(&mut imap, "a STARTTLS now", "a BAD");
    ask(&mut imap, "b STARTTLS {3}", "");
    let mut imap = greeted(&house, Service::Imap);
    ask(&mut imap, "a STARTTLS {3+}\r\nnow", "a BAD");
    ask(&mut imap, "b NOOP", "b OK");
    ask(&mut imap, "c STARTTLS", "c OK");
    let mut imap = imap.with_tls();
    ask(&mut imap, "a STARTTLS", "a BAD");
    let mut imap = house.log_in("alice@demo.example");
    ask(&mut imap, "a STARTTLS", "a BAD");
}

/// What other servers took for the end of a message (RFC 5321 §4.1.1.4).
const ENDS: [&str; 12] = [
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\n.\r",
    "\r.\n",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\n.\r\0\n",
    "\r\0\n.\r\n",
];

/// A message with another one behind what is not its end.
fn smuggling(end: &str) -> String {
    format!(
        "From: alice@demo.example\r\nSubject: one\r\n\r\ntext{end}\
         MAIL FROM:<admin@demo.example>\r\nRCPT TO:<bob@demo.example>\r\nDATA\r\n\
         Subject: smuggled\r\n\r\nsmuggled\r\n"
    )
}

fn begun(house: &House, door: Service) -> Connection {
    let mut smtp = greeted(house, door);
    if door == Service::Submission {
        assert!(smtp.command(ALICE).unwrap().starts_with("235"));
    }
    for command in ["MAIL FROM:<alice@demo.example>", "RCPT TO:<bob@demo.example>"] {
        assert!(smtp.command(command).unwrap().starts_with("250"));
    }
    smtp
}

#[test]
fn nothing_but_its_end_ends_a_message_sent_by_data() {
    for door in DOORS {
        let house = House::open();
        for end in ENDS {
            let mut smtp = begun(&house, door);
            assert!(smtp.command("DATA").unwrap().starts_with("354"));
            smtp.send(format!("{}.\r\nNOOP\r\n", smuggling(end)).as_bytes()).unwrap();
            let text = closed(&mut smtp);
            let (refused, lines) = (text.starts_with("550 5.5.2"), text.lines().count());
            assert!(refused && lines == 1, "{door:?}, {end:?}: {text}");
        }
        assert_eq!(messages_of_bob(&house), 0, "{door:?}");
    }
}

#[test]
fn a_message_sent_by_bdat_is_one_whatever_octets_it_has() {
    for door in DOORS {
        let house = House::open();
        for (number, end) in (1..).zip(ENDS) {
            let message = smuggling(end);
            let mut smtp = begun(&house, door);
            let sent = format!("BDAT {} LAST\r\n{message}NOOP\r\n", message.len());
            smtp.send(sent.as_bytes()).unwrap();
            let taken = smtp.read_reply().unwrap();
            assert!(taken.starts_with("250 2.0.0 taken"), "{door:?}, {end:?}: {taken}");
            let next = smtp.read_reply().unwrap();
            assert!(next.starts_with("250 2.0.0 here"), "{door:?}, {end:?}: {next}");
            let mut imap = house.log_in("bob@demo.example");
            imap.send_line("a SELECT INBOX").unwrap();
            while !imap.read_line().unwrap().starts_with(b"a OK") {}
            imap.send_line(&format!("b FETCH {number} BODY.PEEK[]")).unwrap();
            let mut text = Vec::new();
            loop {
                let line = imap.read_line_with_end().unwrap();
                if line.starts_with(b"b OK") {
                    break;
                }
                text.extend(line);
            }
            let lone = |at: usize| match text[at] {
                b'\n' => at == 0 || text[at - 1] != b'\r',
                b'\r' => text.get(at + 1) != Some(&b'\n'),
                octet => octet == 0,
            };
            assert!(!(0..text.len()).any(lone), "{door:?}, {end:?}: {}", text.escape_ascii());
            let text = String::from_utf8_lossy(&text);
            let encoded = text.contains("Content-Transfer-Encoding: base64");
            assert_eq!(encoded, end.contains('\0'), "{door:?}, {end:?}: {text}");
            let whole = text.contains("text") && text.contains("smuggled");
            assert!(whole || encoded, "{door:?}, {end:?}: {text}");
        }
        assert_eq!(messages_of_bob(&house), ENDS.len(), "{door:?}");
    }
}

#[test]
fn a_lone_cr_or_lf_or_nul_in_a_command_ends_the_conversation() {
    let house = House::open();
    for door in DOORS {
        for line in ["NOOP\n", "NOOP\rRSET\r\n", "NO\0OP\r\n", "NOOP\r\r\n", "\nNOOP\r\n"] {
            let mut smtp = greeted(&house, door);
            smtp.send(format!("{line}RSET\r\n").as_bytes()).unwrap();
            let text = closed(&mut smtp);
            let (refused, lines) = (text.starts_with("550 5.5.2"), text.lines().count());
            assert!(refused && lines == 1, "{door:?}, {line:?}: {text}");
        }
    }
}

#[test]
fn who_speaks_http_is_not_heard() {
    let house = House::open();
    let all = [
        Service::Smtp,
        Service::Lmtp,
        Service::Submission,
        Service::Submissions,
        Service::Imap,
        Service::Imaps,
    ];
    for door in all {
        for method in ["GET", "POST", "CONNECT", "PUT", "HEAD", "OPTIONS"] {
            let mut connection = house.connect(door);
            connection.read_line().unwrap();
            let body = "MAIL FROM:<x@x.example>\r\na LOGIN alice@demo.example secret\r\n";
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: mail.demo.example:25\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.send(request.as_bytes()).unwrap();
            let text = closed(&mut connection);
            assert!(text.lines().count() <= 1, "{door:?}, {method}: {text}");
            for answered in ["250", "503", "500", "a OK", "a BAD"] {
                assert!(!text.contains(answered), "{door:?}, {method}: {text}");
            }
        }
    }
}

#[test]
fn an_exchange_that_is_left_at_any_step_hurts_nobody() {
    // LOGIN asks twice, PLAIN once, SCRAM once before its proof.
    let exchanges: [(&str, &[&str]); 3] = [
        ("LOGIN", &["YWxpY2VAZGVtby5leGFtcGxl"]),
        ("PLAIN", &[]),
        ("SCRAM-SHA-256", &["biwsbj1hbGljZUBkZW1vLmV4YW1wbGUscj1hYmM="]),
    ];
    let house = House::open();
    for (mechanism, responses) in exchanges {
        for steps in 0..=responses.len() {
            for (end, wanted) in [("*", "501 5.7.0"), ("!", "501 5.5.2"), ("", "")] {
                let mut smtp = greeted(&house, Service::Submission);
                let mut answer = smtp.command(&format!("AUTH {mechanism}")).unwrap();
                for response in responses.iter().take(steps) {
                    assert!(answer.starts_with("334"), "{mechanism}: {answer}");
                    answer = smtp.command(response).unwrap();
                }
                assert!(answer.starts_with("334"), "{mechanism}: {answer}");
                if end.is_empty() {
                    continue; // it hangs up
                }
                let answer = smtp.command(end).unwrap();
                assert!(answer.starts_with(wanted), "{mechanism}, {steps}, {end}: {answer}");
                let answer = smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
                assert!(answer.starts_with("530"), "{mechanism}: {answer}");
                assert!(smtp.command(ALICE).unwrap().starts_with("235"), "{mechanism}");
            }
        }
    }
    let mut imap = greeted(&house, Service::Imap);
    for (tag, mechanism) in [("a", "PLAIN"), ("b", "SCRAM-SHA-256")] {
        imap.send_line(&format!("{tag} AUTHENTICATE {mechanism}")).unwrap();
        assert!(imap.read_line().unwrap().starts_with(b"+"), "{mechanism}");
        imap.send_line("*").unwrap();
        assert!(imap.read_line().unwrap().starts_with(format!("{tag} BAD").as_bytes()));
    }
    imap.send_line("c LOGIN alice@demo.example secret").unwrap();
    assert!(imap.read_line().unwrap().starts_with(b"c OK"));
}

#[test]
fn no_secret_and_no_text_of_a_message_reaches_the_log() {
    let house = House::with(&[("log.level", "trace")]);
    let mut smtp = greeted(&house, Service::Submission);
    assert!(smtp.command("AUTH LOGIN").unwrap().starts_with("334"));
    assert!(smtp.command("YWxpY2VAZGVtby5leGFtcGxl").unwrap().starts_with("334"));
    assert!(smtp.command("aHVudGVyMg==").unwrap().starts_with("535"), "hunter2 is wrong");
    assert!(smtp.command(ALICE).unwrap().starts_with("235"));
    smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
    smtp.command("RCPT TO:<bob@demo.example>").unwrap();
    smtp.command("DATA").unwrap();
    smtp.send(b"From: alice@demo.example\r\nSubject: quincunx\r\n\r\nxylophone\r\n.\r\n").unwrap();
    assert!(smtp.read_reply().unwrap().starts_with("250"));
    let mut imap = greeted(&house, Service::Imap);
    for line in [
        "a LOGIN alice@demo.example hunter2",
        "b LOGIN \"alice@demo.example\" {7+}\r\nhunter2",
        "c AUTHENTICATE PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=",
    ] {
        imap.send_line(line).unwrap();
        imap.read_line().unwrap();
    }
    let mut bob = house.log_in("bob@demo.example");
    bob.send_line("a SELECT INBOX\r\nb FETCH 1 (ENVELOPE BODY[])").unwrap();
    while !bob.read_line().unwrap().starts_with(b"b OK") {}
    let log = house.log();
    assert!(log.contains("login"), "{log}");
    let secrets = [PASSWORD, "hunter2", "aHVudGVyMg", "AGFsaWNlQGRlbW8", "quincunx", "xylophone"];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn addresses_that_broke_others_are_only_answered() {
    let house = House::open();
    let long = "x".repeat(1_900);
    for door in DOORS {
        let mut smtp = greeted(&house, door);
        if door == Service::Submission {
            assert!(smtp.command(ALICE).unwrap().starts_with("235"));
        }
        smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
        for address in [
            "<\"\"@demo.example>",
            "<\"@demo.example>",
            "<\"\\\"@demo.example>",
            "<@>",
            "<@:>",
            "<a@b:c@demo.example>",
            "<${run{/bin/sh}}@demo.example>",
            "<|/bin/sh@demo.example>",
            "<%u%d@demo.example>",
            "<'; DROP TABLE account; --@demo.example>",
            "<../../etc/passwd@demo.example>",
            "<bob@demo.example",
            "bob@demo.example>",
            "<bob@[IPv6:::::]>",
            "<bob@[]>",
            "<bob@-.example>",
            "<bob@..>",
            "<>",
        ] {
            let answer = smtp.command(&format!("RCPT TO:{address}")).unwrap();
            assert!(answer.starts_with('5'), "{door:?}, {address}: {answer}");
        }
        for address in
            [&b"<\xc3@demo.example>"[..], b"<\xff\xfe@demo.example>", b"<b\xc3\xb6b@demo.example>"]
        {
            smtp.send(b"RCPT TO:").unwrap();
            smtp.send(address).unwrap();
            smtp.send(b"\r\n").unwrap();
            let answer = smtp.read_reply().unwrap();
            assert!(answer.starts_with('5'), "{door:?}, {}: {answer}", address.escape_ascii());
        }
        let hello = if door == Service::Lmtp { "LHLO" } else { "EHLO" };
        assert!(smtp.command(&format!("{hello} {long}")).unwrap().starts_with("250"), "{door:?}");
        assert!(smtp.command("NOOP").unwrap().starts_with("250"), "{door:?}");
    }
    let metrics = house.command(&["metrics"], "");
    assert!(String::from_utf8_lossy(&metrics.stdout).contains("mailade_panics_total 0\n"));
}
