//! A large message costs no memory of its size, whatever is done with it, and many small ones none
//! of their sum.

use std::fs;

use super::{connection::Connection, house::House};

/// What the peak of the whole program may grow by, in KiB, while it works on 50 MB. Twenty MiB of it
/// are the page caches of the database's five connections, which fill as they are used.
const GROWTH: u64 = 32 * 1024;
/// Octets of the large message, within the 50 MiB that are allowed.
const LARGE: usize = 50_000_000;

/// The most memory that a program has held, in KiB; None where there is no /proc.
pub(super) fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A house, and how to ask how much its peak has grown.
struct Measured {
    house: House,
    before: u64,
}

impl Measured {
    /// After a login and some small work; None where memory can't be measured.
    fn open(settings: &[(&str, &str)]) -> Option<(Self, Connection)> {
        let house = House::with(settings);
        let mut connection = house.log_in("alice@demo.example");
        append(&mut connection, b"Subject: small\r\n\r\nsmall\r\n");
        done(&mut connection, "SELECT INBOX");
        done(&mut connection, "FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[])");
        let Some(before) = peak(house.pid()) else {
            println!("SKIPPED: /proc/PID/status does not tell VmHWM here");
            return None;
        };
        Some((Self { house, before }, connection))
    }

    fn check(&self, deed: &str) {
        let peak = peak(self.house.pid()).unwrap();
        println!("{deed}: the peak is {peak} KiB, {} KiB at first", self.before);
        let grown = peak.saturating_sub(self.before);
        assert!(grown <= GROWTH, "{deed}: the peak grew by {grown} KiB");
    }
}

/// Sends a command and reads up to its end.
fn done(connection: &mut Connection, command: &str) {
    connection.send_line(&format!("x {command}")).unwrap();
    end(connection, command);
}

fn end(connection: &mut Connection, what: &str) {
    loop {
        let line = connection.read_line().unwrap();
        if line.starts_with(b"x ") {
            assert!(line.starts_with(b"x OK"), "{what}: {}", String::from_utf8_lossy(&line));
            return;
        }
    }
}

fn append(connection: &mut Connection, message: &[u8]) {
    connection.send_line(&format!("x APPEND INBOX {{{}+}}", message.len())).unwrap();
    for piece in message.chunks(64 * 1024) {
        connection.send(piece).unwrap();
    }
    connection.send(b"\r\n").unwrap();
    end(connection, "APPEND");
}

/// The literal that answers a FETCH of one item.
fn fetch(connection: &mut Connection, item: &str) -> Vec<u8> {
    connection.send_line(&format!("x FETCH 2 {item}")).unwrap();
    let head = String::from_utf8(connection.read_line().unwrap()).unwrap();
    let size = head.rsplit_once('{').and_then(|(_, size)| size.strip_suffix('}'));
    let size = size.unwrap_or_else(|| panic!("{item}: {head}")).parse().unwrap();
    let octets = connection.read_octets(size).unwrap();
    end(connection, item);
    octets
}

/// Text, and an attachment whose octets are told from each other.
fn large_message() -> Vec<u8> {
    let mut message = b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    let end = b"--b--\r\n";
    let mut number = 0_u32;
    while message.len() + 100 < LARGE {
        // Seventy-two letters of base64 that change from line to line.
        message.extend(format!("{number:0>8}").repeat(9).into_bytes());
        message.extend(b"\r\n");
        number += 1;
    }
    message.extend(end);
    message
}

#[test]
fn a_large_message_costs_no_memory_of_its_size() {
    let Some((measured, mut connection)) = Measured::open(&[]) else { return };
    let message = large_message();
    append(&mut connection, &message);
    measured.check("APPEND");
    assert!(fetch(&mut connection, "BODY.PEEK[]") == message, "the message came back changed");
    measured.check("FETCH of the whole");
    let step = 7_000_001;
    for (number, piece) in message.chunks(step).enumerate() {
        let item = format!("BODY.PEEK[]<{}.{step}>", number * step);
        assert!(fetch(&mut connection, &item) == piece, "{item} is another");
    }
    measured.check("FETCH by partials");
    let attachment = fetch(&mut connection, "BODY.PEEK[2]");
    let decoded = fetch(&mut connection, "BINARY.PEEK[2]");
    assert_eq!(decoded.len(), (attachment.len() + 2) / 74 * 54);
    measured.check("FETCH of its parts");
    done(&mut connection, "SEARCH TEXT hello");
    done(&mut connection, "COPY 2 Archive");
    done(&mut connection, "MOVE 2 Trash");
    measured.check("SEARCH, COPY and MOVE");
}

#[test]
fn many_small_messages_cost_no_memory_of_their_sum() {
    let Some((measured, mut connection)) = Measured::open(&[]) else { return };
    // Below the size from which a body is a file of its own.
    let body = "0123456789abcdef0123456789abcdef\r\n".repeat(2_500);
    connection.send(b"x APPEND INBOX").unwrap();
    let number = 500;
    for k in 0..number {
        let message = format!("Subject: {k}\r\n\r\n{body}");
        connection.send(format!(" {{{}+}}\r\n{message}", message.len()).as_bytes()).unwrap();
    }
    connection.send(b"\r\n").unwrap();
    end(&mut connection, "APPEND");
    measured.check("APPEND of many");
    connection.send_line("x STATUS INBOX (MESSAGES)").unwrap();
    let expected = format!("* STATUS INBOX (MESSAGES {})", number + 1);
    let mut lines = std::iter::from_fn(|| connection.read_line().ok());
    assert!(lines.any(|line| line == expected.as_bytes()), "not all are there");
}

#[test]
fn a_reader_that_does_not_read_costs_a_megabyte_and_is_given_up() {
    let settings = [("limits.output_waiting_time", "1s"), ("log.level", "debug")];
    let Some((measured, mut connection)) = Measured::open(&settings) else { return };
    append(&mut connection, &large_message());
    connection.send_line("x FETCH 2 BODY.PEEK[]").unwrap();
    let head = String::from_utf8(connection.read_line().unwrap()).unwrap();
    assert!(head.contains("BODY[] {"), "{head}");
    // Another client is served meanwhile; when the first is given up, its session ends.
    let mut other = measured.house.log_in("alice@demo.example");
    measured.house.wait_for_log("connection closed by the other side");
    done(&mut other, "NOOP");
    measured.check("a reader that does not read");
    assert!(connection.read_octets(LARGE - 1_000).is_err(), "all of it came");
}
