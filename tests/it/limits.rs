//! Every limit of the doors that take mail, one below it, at it and one beyond it: what is answered,
//! and that it is counted. The limits are low, so that they are soon reached.

use std::{io, sync::mpsc, thread};

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
};

/// alice@demo.example and her password, for AUTH PLAIN.
const ALICE: &str = "AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=";
/// The same with a password that is not hers.
const WRONG: &str = "AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQB3cm9uZw==";
/// Servers and users alike: the three doors.
const DOORS: &[Service] = &[Service::Smtp, Service::Lmtp, Service::Submission];
const SERVERS: &[Service] = &[Service::Smtp, Service::Lmtp];

/// One limit at the doors that have it.
struct Limit {
    key: &'static str,
    at: usize,
    /// What else is set.
    with: &'static [(&'static str, &'static str)],
    doors: &'static [Service],
    /// Goes so far, and gives the last answer.
    go: fn(&House, Service, usize) -> String,
    /// What is answered up to the limit, and beyond it.
    within: &'static str,
    beyond: &'static str,
}

impl Limit {
    /// One below, at, and one beyond the limit at each door, in one house.
    fn hold(&self) {
        let house = self.house();
        for door in self.doors {
            self.try_each(&house, *door, self.around());
        }
        let times = u64::try_from(self.doors.len()).unwrap();
        assert_eq!(exceeded(&house, self.key), times, "{}: counted beyond alone", self.key);
    }

    /// The same with a house for each, where what was done before counts.
    fn hold_anew(&self) {
        for door in self.doors {
            for number in self.around() {
                let house = self.house();
                self.try_each(&house, *door, [number]);
                let times = u64::from(number > self.at);
                assert_eq!(exceeded(&house, self.key), times, "{}, {number}", self.key);
            }
        }
    }

    fn around(&self) -> [usize; 3] {
        [self.at - 1, self.at, self.at + 1]
    }

    fn house(&self) -> House {
        let (key, at) = (format!("limits.{}", self.key), self.at.to_string());
        let mut settings = vec![(key.as_str(), at.as_str())];
        settings.extend(self.with);
        House::with(&settings)
    }

    fn try_each(&self, house: &House, door: Service, numbers: impl IntoIterator<Item = usize>) {
        for number in numbers {
            let answer = (self.go)(house, door, number);
            let wanted = if number > self.at { self.beyond } else { self.within };
            let what = format!("{} at {door:?}: {number}", self.key);
            assert!(answer.starts_with(wanted), "{what}: wanted {wanted}, got {answer}");
        }
    }
}

/// How often the house says that somebody came up against this key.
pub(crate) fn exceeded(house: &House, key: &str) -> u64 {
    let output = house.command(&["metrics"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let start = format!("mailade_limit_exceeded_total{{limit=\"{key}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).parse().unwrap()
}

/// A conversation past its greeting, logged in where that is needed.
fn greeted(house: &House, door: Service) -> Connection {
    let mut smtp = house.connect(door);
    let greeting = smtp.read_reply().unwrap();
    assert!(greeting.starts_with("220"), "{greeting}");
    let hello = if door == Service::Lmtp { "LHLO test.example" } else { "EHLO test.example" };
    let hello = smtp.command(hello).unwrap();
    assert!(hello.starts_with("250"), "{hello}");
    if door == Service::Submission {
        let login = smtp.command(ALICE).unwrap();
        assert!(login.starts_with("235"), "{login}");
    }
    smtp
}

/// The same up to and with one recipient; gives the parameters to MAIL.
fn begun(house: &House, door: Service) -> Connection {
    let mut smtp = greeted(house, door);
    begin(&mut smtp);
    smtp
}

fn begin(smtp: &mut Connection) {
    let mail = smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
    assert!(mail.starts_with("250"), "{mail}");
    let rcpt = smtp.command("RCPT TO:<bob@demo.example>").unwrap();
    assert!(rcpt.starts_with("250"), "{rcpt}");
}

/// Sends a message by DATA; the answer.
fn data(smtp: &mut Connection, message: &str) -> String {
    let go_ahead = smtp.command("DATA").unwrap();
    assert!(go_ahead.starts_with("354"), "{go_ahead}");
    smtp.send(&dotted(message.as_bytes())).unwrap();
    smtp.read_reply().unwrap()
}

/// Sends a message by one BDAT; the answer.
fn chunk(smtp: &mut Connection, message: &str) -> String {
    smtp.send(format!("BDAT {} LAST\r\n{message}", message.len()).as_bytes()).unwrap();
    smtp.read_reply().unwrap()
}

const SMALL: &str = "From: alice@demo.example\r\n\r\nhi\r\n";

/// A message of so many octets.
fn sized(octets: usize) -> String {
    let head = "From: alice@demo.example\r\n\r\n";
    let mut message = head.to_owned();
    while message.len() + 80 < octets {
        message += &format!("{}\r\n", "x".repeat(70));
    }
    let left = octets - message.len() - 2;
    message += &format!("{}\r\n", "y".repeat(left));
    assert_eq!(message.len(), octets);
    message
}

#[test]
fn a_command_line_has_an_end() {
    let go = |house: &House, door, octets: usize| {
        let mut smtp = greeted(house, door);
        let answer = smtp.command(&format!("NOOP {}", "x".repeat(octets - 7))).unwrap();
        let next = smtp.command("NOOP").unwrap();
        assert!(next.starts_with("250"), "the conversation goes on: {next}");
        answer
    };
    let (within, beyond) = ("250", "500 5.5.2");
    let key = "smtp_command_line_max";
    Limit { key, at: 100, with: &[], doors: DOORS, go, within, beyond }.hold();
}

/// As it is configured from the start, the CRLF counted (RFC 5321 §4.5.3.1.4).
#[test]
fn a_command_line_ends_where_the_page_of_limits_says() {
    let go = |house: &House, door, octets: usize| {
        let mut smtp = greeted(house, door);
        smtp.command(&format!("NOOP {}", "x".repeat(octets - 7))).unwrap()
    };
    let key = "smtp_command_line_max";
    let (within, beyond) = ("250", "500 5.5.2");
    Limit { key, at: 2_048, with: &[], doors: DOORS, go, within, beyond }.hold();
}

/// RFC 5321 §4.5.3: octets without an end are answered as soon as they can be no command.
#[test]
fn a_line_that_does_not_end_is_not_waited_for() {
    let house = House::with(&[]);
    for door in DOORS {
        let mut smtp = house.connect(*door);
        smtp.read_reply().unwrap();
        smtp.send(&[b'x'; 9_000]).unwrap();
        let refused = smtp.read_reply().unwrap();
        assert!(refused.starts_with("500 5.5.2"), "{refused}");
        // It is one fault, however long it goes on.
        smtp.send(&vec![b'x'; 100_000]).unwrap();
        let next = smtp.command("\r\nNOOP").unwrap();
        assert!(next.starts_with("250"), "{next}");
    }
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    smtp.command("EHLO phone.example").unwrap();
    smtp.send(&[b"AUTH PLAIN ", [b'A'; 12_300].as_slice()].concat()).unwrap();
    let refused = smtp.read_reply().unwrap();
    assert!(refused.starts_with("500 5.5.2"), "{refused}");
}

#[test]
fn a_line_of_auth_may_be_longer_and_has_an_end() {
    let go = |house: &House, door, octets: usize| {
        let mut smtp = house.connect(door);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        smtp.command(&format!("AUTH PLAIN {}", "!".repeat(octets - 13))).unwrap()
    };
    let with = &[("limits.smtp_command_line_max", "50")];
    let (doors, key): (&[_], _) = (&[Service::Submission], "smtp_auth_line_max");
    Limit { key, at: 100, with, doors, go, within: "501 5.5.2", beyond: "500 5.5.2" }.hold();
    let go = |house: &House, door, octets: usize| {
        let mut smtp = house.connect(door);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        let challenge = smtp.command("AUTH PLAIN").unwrap();
        assert!(challenge.starts_with("334"), "{challenge}");
        let answer = smtp.command(&"!".repeat(octets - 2)).unwrap();
        let next = smtp.command("NOOP").unwrap();
        assert!(next.starts_with("250"), "the exchange is over: {next}");
        answer
    };
    Limit { key, at: 100, with, doors, go, within: "501 5.5.2", beyond: "500 5.5.6" }.hold();
}

#[test]
fn an_exchange_has_an_end_in_octets_and_in_steps() {
    /// The base64 of so many `a`.
    fn base64(octets: usize) -> String {
        let tail = ["", "YQ==", "YWE="].get(octets % 3).copied().unwrap();
        "YWFh".repeat(octets / 3) + tail
    }
    let go = |house: &House, door, octets: usize| {
        let mut smtp = house.connect(door);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        smtp.command("AUTH LOGIN").unwrap();
        let challenge = smtp.command(&base64(20)).unwrap();
        assert!(challenge.starts_with("334"), "{challenge}");
        smtp.command(&base64(octets - 20)).unwrap()
    };
    let (doors, with): (&[_], _) = (&[Service::Submission], &[]);
    let (key, beyond) = ("sasl_exchange_max", "500 5.5.6");
    Limit { key, at: 40, with, doors, go, within: "535", beyond }.hold();
    let go = |house: &House, door, octets: usize| {
        let mut smtp = house.connect(door);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        smtp.command(&format!("AUTH LOGIN {}", base64(octets))).unwrap()
    };
    Limit { key, at: 40, with, doors, go, within: "334", beyond }.hold();
    for (steps, wanted) in [("3", "235"), ("2", "235"), ("1", "500 5.5.6"), ("0", "500 5.5.6")] {
        let house = House::with(&[("limits.sasl_steps_max", steps)]);
        let mut smtp = house.connect(Service::Submission);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        let mut answer = smtp.command("AUTH LOGIN").unwrap();
        for response in ["YWxpY2VAZGVtby5leGFtcGxl", "c2VjcmV0"] {
            if answer.starts_with("334") {
                answer = smtp.command(response).unwrap();
            }
        }
        assert!(answer.starts_with(wanted), "{steps} steps: {answer}");
        let over = u64::from(wanted.starts_with('5'));
        assert_eq!(exceeded(&house, "sasl_steps_max"), over);
        let mut imap = house.connect(Service::Imap);
        imap.read_line().unwrap();
        imap.send_line("a AUTHENTICATE PLAIN").unwrap();
        let mut answer = imap.read_line().unwrap();
        if answer.starts_with(b"+") {
            imap.send_line("AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
            answer = imap.read_line().unwrap();
        }
        // PLAIN has one step.
        let wanted: &[u8] = if steps == "0" { b"a BAD" } else { b"a OK" };
        assert!(answer.starts_with(wanted), "{steps} steps: {}", answer.escape_ascii());
    }
}

#[test]
fn commands_in_error_end_a_conversation() {
    // The last that is borne is answered, then the conversation ends.
    let fail = |smtp: &mut Connection, times: usize| {
        for _ in 0..times {
            smtp.send_line("XYZZY").unwrap();
        }
        for _ in 0..times {
            let answer = smtp.read_reply().unwrap();
            assert!(answer.starts_with("500 5.5.1"), "{answer}");
        }
        smtp.send_line("NOOP").unwrap();
        smtp.read_reply().unwrap()
    };
    let limits = [("limits.bad_commands_before_login_max", "3"), ("limits.bad_commands_max", "5")];
    let house = House::with(&limits);
    for door in DOORS {
        for (times, wanted) in [(2, "250"), (3, "421 4.7.0")] {
            let mut smtp = house.connect(*door);
            smtp.read_reply().unwrap();
            let answer = fail(&mut smtp, times);
            assert!(answer.starts_with(wanted), "{door:?}, {times}: {answer}");
        }
        for (times, wanted) in [(4, "250"), (5, "421 4.7.0")] {
            let mut smtp = begun(&house, *door);
            let answer = fail(&mut smtp, times);
            assert!(answer.starts_with(wanted), "{door:?}, {times}: {answer}");
        }
    }
    assert_eq!(exceeded(&house, "bad_commands_before_login_max"), 3);
    assert_eq!(exceeded(&house, "bad_commands_max"), 3);
}

#[test]
fn a_line_of_a_message_has_an_end() {
    let by_data = |house: &House, door, octets: usize| {
        let line = "x".repeat(octets);
        data(&mut begun(house, door), &format!("From: alice@demo.example\r\n\r\n{line}\r\n"))
    };
    let by_chunk = |house: &House, door, octets: usize| {
        let line = "x".repeat(octets);
        chunk(&mut begun(house, door), &format!("From: alice@demo.example\r\n\r\n{line}\r\n"))
    };
    for go in [by_data as fn(&House, Service, usize) -> String, by_chunk] {
        let key = "text_line_received_max";
        let (within, beyond) = ("250", "552 5.3.4");
        Limit { key, at: 2_000, with: &[], doors: DOORS, go, within, beyond }.hold();
    }
}

#[test]
fn a_message_has_a_size_by_data_by_chunk_and_by_announcement() {
    let by_data =
        |house: &House, door, octets: usize| data(&mut begun(house, door), &sized(octets));
    let by_chunk =
        |house: &House, door, octets: usize| chunk(&mut begun(house, door), &sized(octets));
    let announced = |house: &House, door, octets: usize| {
        let mail = format!("MAIL FROM:<alice@demo.example> SIZE={octets}");
        greeted(house, door).command(&mail).unwrap()
    };
    for go in [by_data as fn(&House, Service, usize) -> String, by_chunk, announced] {
        let key = "message_size_max";
        let (within, beyond) = ("250", "552 5.3.4");
        Limit { key, at: 1_000, with: &[], doors: DOORS, go, within, beyond }.hold();
    }
}

#[test]
fn a_message_has_so_many_recipients() {
    let keys = ["smtp_recipients_max", "lmtp_recipients_max", "submission_recipients_max"];
    for (doors, key) in DOORS.chunks(1).zip(keys) {
        let go = |house: &House, door, number: usize| {
            let mut smtp = greeted(house, door);
            smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
            let ask = |at| smtp.command(&format!("RCPT TO:<bob+{at}@demo.example>")).unwrap();
            let answers: Vec<_> = (0..number).map(ask).collect();
            let taken = data(&mut smtp, SMALL);
            assert!(taken.starts_with("250"), "those before have it: {taken}");
            answers.last().unwrap().clone()
        };
        Limit { key, at: 3, with: &[], doors, go, within: "250", beyond: "452 4.5.3" }.hold();
    }
}

#[test]
fn who_asks_for_unknown_recipients_is_slowed_down_and_sent_away() {
    let ask = |house: &House, number: usize| {
        let mut smtp = greeted(house, Service::Smtp);
        smtp.command("MAIL FROM:<carol@remote.example>").unwrap();
        let ask = |at| smtp.command(&format!("RCPT TO:<nobody{at}@demo.example>")).unwrap();
        (0..number).map(ask).last().unwrap()
    };
    let free = ("limits.smtp_unknown_recipients_free", "3");
    let delay = ("limits.smtp_unknown_recipient_delay", "10 ms");
    let house = House::with(&[free, delay]);
    let mut before = 0;
    for (number, delayed) in [(2, 0), (3, 0), (4, 1), (5, 2)] {
        let answer = ask(&house, number);
        assert!(answer.starts_with("550 5.1.1"), "{answer}");
        let now = exceeded(&house, "smtp_unknown_recipients_free");
        assert_eq!(now - before, delayed, "{number}");
        before = now;
    }
    let house = House::with(&[delay, ("limits.smtp_unknown_recipients_max", "4")]);
    for (number, wanted) in [(3, "550 5.1.1"), (4, "421 4.7.0")] {
        let answer = ask(&house, number);
        assert!(answer.starts_with(wanted), "{number}: {answer}");
        let ended = exceeded(&house, "smtp_unknown_recipients_max");
        assert_eq!(ended, u64::from(number == 4), "{number}");
    }
}

#[test]
fn a_server_sends_so_many_messages_in_a_session() {
    let go = |house: &House, door, number: usize| {
        let mut smtp = greeted(house, door);
        for _ in 1..number {
            begin(&mut smtp);
            assert!(data(&mut smtp, SMALL).starts_with("250"));
        }
        smtp.command("MAIL FROM:<alice@demo.example>").unwrap()
    };
    let (key, beyond) = ("smtp_messages_per_session", "421 4.7.0");
    Limit { key, at: 2, with: &[], doors: &[Service::Smtp], go, within: "250", beyond }.hold();
    for door in [Service::Lmtp, Service::Submission] {
        let house = House::with(&[("limits.smtp_messages_per_session", "0")]);
        assert!(go(&house, door, 2).starts_with("250"), "there is none at {door:?}");
    }
}

#[test]
fn an_address_sends_so_many_messages_in_a_minute_unless_it_is_listed() {
    let go = |house: &House, door, number: usize| {
        let mail = |_| greeted(house, door).command("MAIL FROM:<carol@remote.example>").unwrap();
        let answers: Vec<_> = (0..number).map(mail).collect();
        answers.last().unwrap().clone()
    };
    let (key, beyond) = ("smtp_messages_per_address_per_minute", "450 4.7.1");
    let with = &[("limits.unlimited_networks", "[]")];
    Limit { key, at: 2, with, doors: &[Service::Smtp], go, within: "250", beyond }.hold_anew();
    let house = House::with(&[("limits.smtp_messages_per_address_per_minute", "1")]);
    assert!(go(&house, Service::Smtp, 2).starts_with("250"), "loopback is listed");
}

#[test]
fn a_user_submits_so_many_messages_in_an_hour_and_a_restart_forgets_none() {
    let go = |house: &House, door, number: usize| {
        let mut smtp = greeted(house, door);
        let mut last = String::new();
        for _ in 0..number {
            begin(&mut smtp);
            last = data(&mut smtp, SMALL);
        }
        last
    };
    let (key, beyond) = ("submission_messages_per_hour", "450 4.7.1");
    let doors = &[Service::Submission];
    Limit { key, at: 2, with: &[], doors, go, within: "250", beyond }.hold_anew();
    let mut house = House::with(&[("limits.submission_messages_per_hour", "2")]);
    assert!(go(&house, Service::Submission, 2).starts_with("250"));
    house.kill();
    house.start();
    assert!(go(&house, Service::Submission, 1).starts_with("450 4.7.1"));
}

#[test]
fn a_message_has_been_through_so_many_servers() {
    let go = |house: &House, door, number: usize| {
        let received = "Received: from there by here\r\n".repeat(number);
        data(&mut begun(house, door), &format!("{received}{SMALL}"))
    };
    let (within, beyond) = ("250", "554 5.4.6");
    let key = "received_fields_max";
    Limit { key, at: 3, with: &[], doors: DOORS, go, within, beyond }.hold();
}

#[test]
fn a_message_has_so_many_chunks() {
    let go = |house: &House, door, number: usize| {
        let mut smtp = begun(house, door);
        for _ in 1..number {
            smtp.send(b"BDAT 2\r\n\r\n").unwrap();
            let taken = smtp.read_reply().unwrap();
            assert!(taken.starts_with("250"), "{taken}");
        }
        chunk(&mut smtp, if number == 1 { SMALL } else { "hi\r\n" })
    };
    let (within, beyond) = ("250", "552 5.3.4");
    Limit { key: "bdat_chunks_max", at: 3, with: &[], doors: DOORS, go, within, beyond }.hold();
}

#[test]
fn the_queue_has_an_end_for_a_user_and_for_all() {
    let go = |house: &House, door, number: usize| {
        let mut smtp = greeted(house, door);
        let mut last = String::new();
        for _ in 0..number {
            smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
            smtp.command("RCPT TO:<carol@remote.example>").unwrap();
            last = data(&mut smtp, SMALL);
        }
        last
    };
    // Nobody listens there, so that what is queued stays.
    let with = &[("outbound.relay", "127.0.0.1:1")];
    for key in ["queue_messages_per_user_max", "queue_messages_max"] {
        let (doors, within) = (&[Service::Submission], "250");
        Limit { key, at: 2, with, doors, go, within, beyond: "452 4.3.1" }.hold_anew();
    }
}

#[test]
fn a_connection_and_all_together_hold_so_much() {
    let go = |house: &House, door, octets: usize| {
        let mut smtp = greeted(house, door);
        smtp.command(&format!("NOOP {}", "x".repeat(octets - 7))).unwrap()
    };
    for key in ["connection_memory_max", "input_memory_max"] {
        let (within, beyond) = ("250", "451 4.3.1");
        Limit { key, at: 200, with: &[], doors: DOORS, go, within, beyond }.hold();
    }
}

/// What a connection of this service reads first; no more than that.
fn first_line(house: &House, door: Service) -> (Connection, String) {
    let mut connection = house.connect(door);
    let line = String::from_utf8_lossy(&connection.read_line().unwrap()).into_owned();
    (connection, line)
}

#[test]
fn connections_have_limits_in_all_for_strangers_for_an_address_and_for_a_minute() {
    let few = [
        ("connections_max", "421 4.3.2", "* BYE [UNAVAILABLE]"),
        ("connections_per_address_before_login", "421 4.7.0", "* BYE [LIMIT]"),
        ("connections_per_address_per_minute", "421 4.7.0", "* BYE [LIMIT]"),
    ];
    for (key, smtp, imap) in few {
        for door in [Service::Smtp, Service::Imap] {
            let name = format!("limits.{key}");
            let settings = [
                (name.as_str(), "3"),
                ("limits.connections_reserved", "0"),
                ("limits.unlimited_networks", "[]"),
            ];
            let house = House::with(&settings);
            let three: Vec<_> = (0..3).map(|_| first_line(&house, door)).collect();
            let (good, bad) = if door == Service::Imap { ("* OK", imap) } else { ("220", smtp) };
            assert!(three.iter().all(|(_, line)| line.starts_with(good)), "{key} at {door:?}");
            let (mut fourth, line) = first_line(&house, door);
            assert!(line.starts_with(bad), "{key} at {door:?}: {line}");
            assert_eq!(closed(&mut fourth), "", "{key} at {door:?}");
            assert_eq!(exceeded(&house, key), 1, "{key} at {door:?}");
        }
    }
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

#[test]
fn places_are_kept_for_addresses_that_logged_in() {
    let settings = [
        ("limits.connections_max", "4"),
        ("limits.connections_reserved", "2"),
        ("limits.unlimited_networks", "[]"),
    ];
    let house = House::with(&settings);
    drop(house.log_in("alice@demo.example"));
    let address = house.address(Service::Smtp);
    let from = |source: &str| {
        let mut connection = Connection::from(source.parse().unwrap(), address);
        let line = String::from_utf8_lossy(&connection.read_line().unwrap()).into_owned();
        (connection, line)
    };
    // The login's own connection may still be on its way out.
    let mut strangers: Vec<_> = Vec::new();
    while strangers.len() < 2 {
        let (connection, line) = from("127.0.0.2");
        if line.starts_with("220") {
            strangers.push(connection);
        }
    }
    let (_third, line) = from("127.0.0.2");
    assert!(line.starts_with("421 4.3.2"), "{line}");
    let known: Vec<_> = (0..2).map(|_| from("127.0.0.1")).collect();
    assert!(known.iter().all(|(_, line)| line.starts_with("220")), "{:?}", known[0].1);
    let (_fifth, line) = from("127.0.0.1");
    assert!(line.starts_with("421 4.3.2"), "{line}");
    assert!(exceeded(&house, "connections_reserved") >= 1);
    assert_eq!(exceeded(&house, "connections_max"), 1);
}

#[test]
fn an_address_has_so_many_connections_that_have_logged_in() {
    let key = "limits.connections_per_address_after_login";
    let house = House::with(&[(key, "2"), ("limits.unlimited_networks", "[]")]);
    let _one = house.log_in("alice@demo.example");
    let _two = greeted(&house, Service::Submission);
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    smtp.command("EHLO test.example").unwrap();
    let answer = smtp.command(ALICE).unwrap();
    assert!(answer.starts_with("421 4.7.0"), "{answer}");
    let mut imap = house.connect(Service::Imap);
    imap.read_line().unwrap();
    imap.send_line("a LOGIN alice@demo.example secret").unwrap();
    let text = closed(&mut imap);
    assert!(text.contains("* BYE [LIMIT]"), "{text}");
    assert_eq!(exceeded(&house, "connections_per_address_after_login"), 2);
}

#[test]
fn who_fails_to_log_in_too_often_waits_and_is_sent_away() {
    for key in ["auth_failures_per_address_per_minute", "auth_failures_per_address_per_day"] {
        let name = format!("limits.{key}");
        let settings = [
            (name.as_str(), "2"),
            ("limits.auth_delay_first", "1 ms"),
            ("limits.auth_delay_max", "2 ms"),
        ];
        let house = House::with(&settings);
        // One below the limit, at it, and beyond: a delay, a longer one, and the end.
        for (wanted, times) in [("535", 0), ("535", 0), ("535", 1), ("535", 2), ("421 4.7.0", 3)] {
            let mut smtp = house.connect(Service::Submission);
            smtp.read_reply().unwrap();
            smtp.command("EHLO test.example").unwrap();
            let answer = smtp.command(WRONG).unwrap();
            assert!(answer.starts_with(wanted), "{key}, {times}: {answer}");
            assert_eq!(exceeded(&house, key), times, "{key}, {wanted}");
        }
        let mut imap = house.connect(Service::Imap);
        imap.read_line().unwrap();
        imap.send_line("a LOGIN alice@demo.example wrong").unwrap();
        let text = String::from_utf8_lossy(&imap.read_line().unwrap()).into_owned();
        assert!(text.starts_with("* BYE"), "{text}");
    }
}

#[test]
fn tries_at_once_are_no_way_around() {
    let settings = [
        ("limits.auth_failures_per_address_per_minute", "3"),
        ("limits.auth_delay_first", "1 h"),
        ("limits.auth_delay_max", "1 h"),
    ];
    let house = House::with(&settings);
    let (tell, hear) = mpsc::channel();
    let submission = house.address(Service::Submission);
    let imap = house.address(Service::Imap);
    let all: Vec<_> = (0..12)
        .map(|number| {
            let tell = tell.clone();
            thread::spawn(move || {
                let (address, login) = match number % 2 {
                    0 => (imap, "a LOGIN alice@demo.example wrong"),
                    _ => (submission, WRONG),
                };
                let mut connection = Connection::open(address);
                connection.read_line().unwrap();
                if number % 2 == 1 {
                    connection.command("EHLO test.example").unwrap();
                }
                connection.send_line(login).unwrap();
                let Ok(answer) = connection.read_line() else { return };
                let _heard = tell.send(String::from_utf8(answer).unwrap());
            })
        })
        .collect();
    // One waits for an hour; all others are answered.
    let answers: Vec<String> = hear.iter().take(11).collect();
    let judged =
        |answer: &&String| answer.starts_with("535") || answer.starts_with("a NO [AUTHENTICATION");
    let sent_away = |answer: &&String| answer.starts_with("421") || answer.starts_with("* BYE");
    assert_eq!(answers.iter().filter(judged).count(), 3, "{answers:?}");
    assert_eq!(answers.iter().filter(sent_away).count(), 8, "{answers:?}");
    assert_eq!(exceeded(&house, "auth_failures_per_address_per_minute"), 9);
    drop(house);
    for one in all {
        one.join().unwrap();
    }
}

#[test]
fn a_connection_bears_so_many_failed_logins_at_every_door() {
    let key = "auth_failures_per_connection";
    let house = House::with(&[("limits.auth_failures_per_connection", "3")]);
    for login in [WRONG, "AUTH PLAIN AG5vYm9keUBkZW1vLmV4YW1wbGUAd3Jvbmc="] {
        for (times, ends) in [(2, false), (3, true)] {
            let before = exceeded(&house, key);
            let mut smtp = house.connect(Service::Submission);
            smtp.read_reply().unwrap();
            smtp.command("EHLO test.example").unwrap();
            for _ in 0..times {
                let answer = smtp.command(login).unwrap();
                assert!(answer.starts_with("535 5.7.8"), "{answer}");
            }
            smtp.send_line("NOOP").unwrap();
            let next = smtp.read_reply().unwrap();
            assert_eq!(next.starts_with("421 4.7.0"), ends, "{next}");
            assert_eq!(exceeded(&house, key) - before, u64::from(ends));
        }
    }
    // More than the mishaps of a minute: a house of its own.
    let house = House::with(&[("limits.auth_failures_per_connection", "3")]);
    for user in ["alice", "nobody"] {
        for (times, ends) in [(2, false), (3, true)] {
            let mut imap = house.connect(Service::Imap);
            imap.read_line().unwrap();
            for _ in 0..times {
                imap.send_line(&format!("a LOGIN {user}@demo.example wrong")).unwrap();
                let answer = imap.read_line().unwrap();
                assert!(answer.starts_with(b"a NO [AUTHENTICATIONFAILED]"), "{answer:?}");
            }
            imap.send_line("b NOOP").unwrap();
            let next = imap.read_line().unwrap();
            assert_eq!(next.starts_with(b"* BYE"), ends, "{}", next.escape_ascii());
        }
    }
    assert_eq!(exceeded(&house, key), 2);
}

#[test]
fn an_account_under_attack_delays_strangers_and_never_who_is_known() {
    let settings = [
        ("limits.auth_failures_per_account_per_hour", "2"),
        ("limits.auth_delay_first", "1 ms"),
        ("limits.auth_delay_max", "2 ms"),
    ];
    let house = House::with(&settings);
    let address = house.address(Service::Submission);
    let say = |source: &str, login: &str| {
        let mut smtp = Connection::from(source.parse().unwrap(), address);
        smtp.read_reply().unwrap();
        smtp.command("EHLO test.example").unwrap();
        smtp.command(login).unwrap()
    };
    assert!(say("127.0.0.9", ALICE).starts_with("235"));
    for source in ["127.0.0.2", "127.0.0.3"] {
        assert!(say(source, WRONG).starts_with("535"));
    }
    let key = "auth_failures_per_account_per_hour";
    assert_eq!(exceeded(&house, key), 0);
    for source in ["127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8"] {
        assert!(say(source, WRONG).starts_with("535"), "it is never a lock");
    }
    assert_eq!(exceeded(&house, key), 5);
    assert!(say("127.0.0.9", ALICE).starts_with("235"));
    assert_eq!(exceeded(&house, key), 5, "who is known does not wait");
}

#[test]
fn mail_for_a_full_account_is_put_off_and_refused_in_the_end() {
    for (after, wanted, key) in
        [("604800", "452 4.2.2", "quota"), ("0", "552 5.2.2", "quota_refused_after")]
    {
        let house = House::with(&[("limits.quota_refused_after", after)]);
        let quota = ["user", "quota", "bob@demo.example", "--octets", "1000"];
        assert!(house.command(&quota, "").status.success());
        for &door in DOORS {
            let mut smtp = greeted(&house, door);
            smtp.command("MAIL FROM:<alice@demo.example> SIZE=1001").unwrap();
            let answer = smtp.command("RCPT TO:<bob@demo.example>").unwrap();
            assert!(answer.starts_with(wanted), "{door:?}: {answer}");
            smtp.command("RSET").unwrap();
            smtp.command("MAIL FROM:<alice@demo.example> SIZE=1000").unwrap();
            let answer = smtp.command("RCPT TO:<bob@demo.example>").unwrap();
            assert!(answer.starts_with("250"), "{door:?}: {answer}");
            let answer = data(&mut smtp, &sized(1001));
            assert!(answer.starts_with(wanted), "{door:?}: {answer}");
        }
        assert_eq!(exceeded(&house, key), 6);
    }
}

#[test]
fn what_comes_too_slowly_ends_the_conversation() {
    let fast = [("limits.data_rate_min", "1000000"), ("limits.data_rate_after", "1 s")];
    let begin = |house: &House, door, command: &[u8]| {
        let mut smtp = begun(house, door);
        smtp.send(command).unwrap();
        smtp
    };
    let (house, patient) = (House::with(&fast), House::with(&[("limits.smtp_data_time", "1 s")]));
    for &door in DOORS {
        let mut smtp = begin(&house, door, b"DATA\r\n");
        assert!(smtp.read_reply().unwrap().starts_with("354"));
        smtp.send(b"Subject: x\r\n").unwrap();
        let text = closed(&mut smtp);
        assert!(text.starts_with("421 4.4.2"), "{door:?}: {text}");
        let text = closed(&mut begin(&house, door, b"BDAT 1000 LAST\r\nSubject"));
        assert!(text.starts_with("421 4.4.2"), "{door:?}: {text}");
        let text = closed(&mut begin(&patient, door, b"BDAT 1000 LAST\r\nSubject"));
        assert!(text.starts_with("421 4.4.2"), "{door:?}: {text}");
    }
    assert_eq!(exceeded(&house, "data_rate_min"), 6);
    assert_eq!(exceeded(&patient, "smtp_data_time"), 3);
}

/// Sends an octet now and then until the conversation has ended; what was said at last.
fn drip(mut smtp: Connection, octets: &[u8]) -> String {
    smtp.set_patience(std::time::Duration::from_millis(100));
    let mut octets = octets.iter().cycle();
    loop {
        match smtp.read_line() {
            Ok(line) => return String::from_utf8_lossy(&line).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _it_may_be_over = smtp.send(&[*octets.next().unwrap()]);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn dripping_octets_win_no_time() {
    let short = House::with(&[("limits.smtp_session_time", "1 s")]);
    let hasty = House::with(&[("limits.smtp_command_time", "1 s")]);
    for &door in SERVERS {
        let house = &short;
        let answer = drip(greeted(house, door), b"x");
        assert!(answer.starts_with("421 4.4.2"), "{door:?}: {answer}");
        let mut smtp = begun(house, door);
        assert!(smtp.command("DATA").unwrap().starts_with("354"));
        let answer = drip(smtp, b"x");
        assert!(answer.starts_with("421 4.4.2"), "{door:?}: {answer}");
        let answer = drip(greeted(&hasty, door), b"x");
        assert!(answer.starts_with("421 4.4.2"), "{door:?}: {answer}");
    }
    assert_eq!(exceeded(&short, "smtp_session_time"), 4);
    assert_eq!(exceeded(&hasty, "smtp_command_time"), 2);
    let house = House::with(&[("limits.login_time", "1 s")]);
    for door in [Service::Submission, Service::Submissions] {
        let mut smtp = house.connect(door);
        smtp.read_reply().unwrap();
        let answer = drip(smtp, b"NOOP");
        assert!(answer.starts_with("421 4.4.2"), "{door:?}: {answer}");
    }
    assert_eq!(exceeded(&house, "login_time"), 2);
}

#[test]
fn when_places_run_short_there_is_less_time() {
    let loaded = [
        ("smtp_command_time_loaded", b"".as_slice()),
        ("smtp_session_time_loaded", b"x"),
        ("smtp_data_time_loaded", b""),
    ];
    for (key, octets) in loaded {
        for places in ["1", "100"] {
            if places == "100" && key != "smtp_command_time_loaded" {
                continue;
            }
            let name = format!("limits.{key}");
            let settings = [
                (name.as_str(), "1 s"),
                ("limits.connections_max", places),
                ("limits.connections_reserved", "0"),
            ];
            let house = House::with(&settings);
            let mut smtp = begun(&house, Service::Smtp);
            if key == "smtp_data_time_loaded" {
                assert!(smtp.command("DATA").unwrap().starts_with("354"));
            }
            if places == "1" {
                let answer = if octets.is_empty() { closed(&mut smtp) } else { drip(smtp, octets) };
                assert!(answer.starts_with("421 4.4.2"), "{key}: {answer}");
            } else {
                // There are places enough: the usual times, which are minutes, hold.
                smtp.set_patience(std::time::Duration::from_millis(1_500));
                let error = smtp.read_line().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{key}");
            }
        }
    }
}

#[test]
fn a_handshake_has_an_end() {
    let house = House::with(&[("limits.tls_handshake_time", "1 s")]);
    for door in [Service::Imaps, Service::Submissions] {
        let mut plain = Connection::open(house.address(door));
        assert_eq!(closed(&mut plain), "");
    }
    let mut smtp = greeted(&house, Service::Smtp);
    assert!(smtp.command("STARTTLS").unwrap().starts_with("220"));
    // The beginning of a record of TLS, and no more.
    smtp.send(&[22, 3, 1]).unwrap();
    assert_eq!(closed(&mut smtp), "");
    assert_eq!(exceeded(&house, "tls_handshake_time"), 3);
}

#[test]
fn who_does_not_read_is_given_up() {
    let settings = [("limits.output_waiting_time", "1 s"), ("limits.output_waiting_max", "64 KiB")];
    let house = House::with(&settings);
    for &door in DOORS {
        let mut smtp = greeted(&house, door);
        let commands = b"NOOP\r\n".repeat(10_000);
        // What is never read fills the buffers of the connection, then we can write no more.
        while smtp.send(&commands).is_ok() {}
    }
    assert_eq!(exceeded(&house, "output_waiting_time"), 3);
}

#[test]
fn numbers_are_told_only_by_a_server_that_runs() {
    let mut house = House::open();
    let _alice = house.log_in("alice@demo.example");
    let output = house.command(&["metrics"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "mailade_logins_total{outcome=\"ok\"} 1",
        "mailade_connections 1",
        "mailade_panics_total 0",
        "mailade_queue_messages 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    house.kill();
    let output = house.command(&["metrics"], "");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no server runs"));
}
