//! The limits of IMAP and of what is read of a message, set low: one below, at it, and beyond.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    connection::Connection,
    house::{House, Service},
    limits::exceeded,
};

/// Limits tried at a time: they wait more than they work.
const ABREAST: usize = 4;

/// What is done up to a limit and beyond.
struct Limit {
    /// The key in `[limits]`, and its low value.
    key: &'static str,
    value: &'static str,
    /// As much as this is well.
    most: usize,
    /// What a client sends that asks for so much, the tag of its last command being `z`.
    ask: fn(usize) -> Vec<u8>,
    /// Is it logged in, with INBOX and one message in it selected?
    logged_in: bool,
    /// How the answer begins when it is well.
    well: &'static str,
    /// How the last lines begin when it is too much; a BYE among them ends the connection.
    beyond: &'static [&'static str],
}

/// A limit of the state after login, refused by one line.
const fn limit(
    key: &'static str,
    value: &'static str,
    most: usize,
    ask: fn(usize) -> Vec<u8>,
    well: &'static str,
    beyond: &'static [&'static str],
) -> Limit {
    Limit { key, value, most, ask, logged_in: true, well, beyond }
}

/// The same before login.
const fn before_login(
    key: &'static str,
    value: &'static str,
    most: usize,
    ask: fn(usize) -> Vec<u8>,
    well: &'static str,
    beyond: &'static [&'static str],
) -> Limit {
    Limit { key, value, most, ask, logged_in: false, well, beyond }
}

const TOO_LONG: &[&str] = &["* BAD [TOOBIG] ", "* BYE [TOOBIG] "];

#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    before_login("imap_line_before_login_max", "60", 60, padded_noop, "z OK ", TOO_LONG),
    before_login("imap_literal_before_login_max", "20", 20, login, "+ ", &["z NO [TOOBIG] "]),
    before_login("imap_literal_before_login_max", "20", 20, login_at_once, "z NO [AUTHENTICATIONFAILED] ", &["* BYE [TOOBIG] "]),
    before_login("imap_literals_before_login_max", "3", 3, id_of_literals, "z OK ", &["* BYE [TOOBIG] "]),
    before_login("bad_commands_before_login_max", "4", 3, bad_commands, "z BAD ", &["z BAD ", "* BYE "]),
    limit("bad_commands_max", "4", 3, bad_commands, "z BAD ", &["z BAD ", "* BYE "]),
    limit("imap_line_max", "60", 60, padded_noop, "z OK ", TOO_LONG),
    limit("imap_literal_max", "20", 20, status, "+ ", &["z NO [TOOBIG] "]),
    limit("imap_literal_max", "20", 20, status_at_once, "z NO [NONEXISTENT] ", &["* BYE [TOOBIG] "]),
    limit("imap_literal_sum_max", "20", 20, rename, "z NO [NONEXISTENT] ", &["* BYE [TOOBIG] "]),
    limit("imap_literals_max", "3", 3, id_of_literals, "z OK ", &["* BYE [TOOBIG] "]),
    limit("imap_depth_max", "3", 3, |n| line(&format!("SEARCH {}ALL{}", "(".repeat(n), ")".repeat(n))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_depth_max", "3", 3, |n| line(&format!("SEARCH {}ALL", "NOT ".repeat(n))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_depth_max", "3", 3, |n| line(&format!("SEARCH {}ALL", "OR ALL ".repeat(n))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_search_keys_max", "3", 3, |n| line(&format!("SEARCH{}", " ALL".repeat(n))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_fetch_items_max", "3", 3, |n| line(&format!("FETCH 1 (UID{})", " FLAGS".repeat(n - 1))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_set_ranges_max", "3", 3, |n| line(&format!("FETCH 1{} UID", ",1".repeat(n - 1))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_set_ranges_max", "3", 3, |n| line(&format!("SEARCH UID 1{}", ",1".repeat(n - 1))), "z OK ", &["z BAD [LIMIT] "]),
    limit("imap_messages_per_command_max", "3", 3, copy, "z OK [COPYUID ", &["z NO [MESSAGELIMIT 3] "]),
    limit("imap_messages_per_command_max", "3", 3, append_many, "z OK [APPENDUID ", &["z NO [MESSAGELIMIT 3] "]),
    limit("notify_groups_max", "3", 3, notify_groups, "z OK ", &["z NO [NOTIFICATIONOVERFLOW] "]),
    limit("mailboxes_per_user_max", "8", 8, notify_names, "z OK ", &["z NO [NOTIFICATIONOVERFLOW] "]),
    limit("contexts_max", "3", 3, contexts, "z OK ", &["z NO [CANNOT] "]),
    limit("mailbox_name_max", "10", 10, |n| line(&format!("CREATE {}", "x".repeat(n))), "z OK ", &["z NO [LIMIT] "]),
    limit("mailbox_name_max", "10", 10, |n| line(&format!("RENAME Sent {}", "x".repeat(n))), "z OK ", &["z NO [LIMIT] "]),
    limit("mailbox_name_max", "10", 10, |n| line(&format!("SUBSCRIBE {}", "x".repeat(n))), "z OK ", &["z NO [LIMIT] "]),
    limit("mailbox_name_max", "10", 10, rename_with_child, "z OK ", &["z NO [LIMIT] "]),
    limit("mailbox_depth_max", "3", 3, |n| line(&format!("CREATE x{}", "/x".repeat(n - 1))), "z OK ", &["z NO [LIMIT] "]),
    limit("mailboxes_per_user_max", "8", 8, create_many, "z OK ", &["z NO [LIMIT] "]),
    limit("mailboxes_per_user_max", "8", 8, |n| line(&format!("CREATE x{}", "/x".repeat(n - 7))), "z OK ", &["z NO [LIMIT] "]),
    limit("mailboxes_per_user_max", "8", 8, |n| line(&format!("RENAME Sent x{}", "/x".repeat(n - 6))), "z OK ", &["z NO [LIMIT] "]),
    limit("acl_entries_max", "2", 2, give_rights_to, "z OK ", &["z NO [LIMIT] "]),
    limit("mailboxes_per_user_max", "8", 8, subscribe_many, "z OK ", &["z NO [LIMIT] "]),
    limit("keyword_length_max", "5", 5, |n| line(&format!("STORE 1 +FLAGS ({})", "k".repeat(n))), "z OK ", &["z NO [LIMIT] "]),
    limit("keywords_per_mailbox_max", "3", 3, |n| line(&format!("STORE 1 +FLAGS ({})", keywords(n))), "z OK ", &["z NO [LIMIT] "]),
    limit("metadata_value_max", "20", 20, |n| line(&format!("SETMETADATA INBOX (/private/comment \"{}\")", "x".repeat(n))), "z OK ", &["z NO [METADATA MAXSIZE 20] "]),
    limit("metadata_value_max", "20", 20, |n| line(&format!("STORE 1 ANNOTATION (/comment (value.priv \"{}\"))", "x".repeat(n))), "z OK ", &["z NO [ANNOTATE TOOBIG] "]),
    limit("metadata_entries_max", "3", 3, |n| line(&format!("SETMETADATA INBOX ({})", entries(n))), "z OK ", &["z NO [METADATA TOOMANY] "]),
    limit("metadata_entries_max", "3", 3, entries_one_by_one, "z OK ", &["z NO [METADATA TOOMANY] "]),
    limit("metadata_entries_max", "3", 3, |n| line(&format!("SETMETADATA \"\" ({})", entries(n))), "z OK ", &["z NO [METADATA TOOMANY] "]),
    limit("metadata_entries_max", "3", 3, annotations, "z OK ", &["z NO [ANNOTATE TOOMANY] "]),
    limit("message_size_max", "1000", 1000, |n| append("z", n, "{", "}"), "+ ", &["z NO [TOOBIG] "]),
    limit("message_size_max", "1000", 1000, |n| append("z", n, "{", "+}"), "z OK ", &["* BYE [TOOBIG] "]),
    limit("quota", "1000", 1000, |n| append("z", n - FIRST.len(), "{", "+}"), "z OK ", &["z NO [OVERQUOTA] "]),
    limit("quota", "1000", 1000, append_and_copy, "z OK ", &["z NO [OVERQUOTA] "]),
];

/// The message that is in INBOX at the beginning.
const FIRST: &str = "Subject: 1\r\n\r\n1\r\n";

fn line(command: &str) -> Vec<u8> {
    format!("z {command}\r\n").into_bytes()
}

fn padded_noop(octets: usize) -> Vec<u8> {
    format!("{:<octets$}\r\n", "z NOOP").into_bytes()
}

fn login(octets: usize) -> Vec<u8> {
    line(&format!("LOGIN {{{octets}}}"))
}

fn login_at_once(octets: usize) -> Vec<u8> {
    line(&format!("LOGIN {{{octets}+}}\r\n{} x", "x".repeat(octets)))
}

fn status(octets: usize) -> Vec<u8> {
    line(&format!("STATUS {{{octets}}}"))
}

fn status_at_once(octets: usize) -> Vec<u8> {
    line(&format!("STATUS {{{octets}+}}\r\n{} (MESSAGES)", "x".repeat(octets)))
}

fn rename(octets: usize) -> Vec<u8> {
    let (one, other) = ("x".repeat(8), "y".repeat(octets - 8));
    line(&format!("RENAME {{8+}}\r\n{one} {{{}+}}\r\n{other}", other.len()))
}

fn id_of_literals(number: usize) -> Vec<u8> {
    let fields: Vec<_> = (0..number).map(|n| format!("{{1+}}\r\n{n} NIL")).collect();
    line(&format!("ID ({})", fields.join(" ")))
}

fn bad_commands(number: usize) -> Vec<u8> {
    let mut lines = "y XYZZY\r\n".repeat(number - 1).into_bytes();
    lines.extend(line("XYZZY"));
    lines
}

fn keywords(number: usize) -> String {
    (0..number).map(|n| format!("k{n}")).collect::<Vec<_>>().join(" ")
}

/// `number` messages in all are in INBOX and are copied.
fn copy(number: usize) -> Vec<u8> {
    let more = (1..number).flat_map(|_| append("y", 20, "{", "+}"));
    more.chain(line("COPY 1:* Archive")).collect()
}

fn notify_groups(number: usize) -> Vec<u8> {
    line(&format!("NOTIFY SET{}", " (personal (MailboxName))".repeat(number)))
}

fn notify_names(number: usize) -> Vec<u8> {
    line(&format!("NOTIFY SET (mailboxes (x{}) (MailboxName))", " x".repeat(number - 1)))
}

/// The last of so many searches is kept up to date.
fn contexts(number: usize) -> Vec<u8> {
    let searches = (1..=number).map(|n| format!("y{n} SEARCH RETURN (UPDATE) ALL\r\n"));
    searches.collect::<String>().into_bytes().into_iter().chain(last_context(number)).collect()
}

fn last_context(number: usize) -> Vec<u8> {
    line(&format!("CANCELUPDATE \"y{number}\""))
}

/// So many entries of metadata.
fn entries(number: usize) -> String {
    let entries: Vec<_> = (0..number).map(|n| format!("/private/vendor/x/{n} \"v\"")).collect();
    entries.join(" ")
}

fn entries_one_by_one(number: usize) -> Vec<u8> {
    let all: Vec<_> = (0..number)
        .map(|n| {
            let tag = if n + 1 == number { "z" } else { "y" };
            format!("{tag} SETMETADATA INBOX (/private/vendor/x/{n} \"v\")\r\n")
        })
        .collect();
    all.concat().into_bytes()
}

/// So many annotations of the one message.
fn annotations(number: usize) -> Vec<u8> {
    let values = |n| format!("/vendor/x/{n} (value.priv \"v\")");
    let values: Vec<_> = (0..number).map(values).collect();
    line(&format!("STORE 1 ANNOTATION ({})", values.join(" ")))
}

fn append_many(number: usize) -> Vec<u8> {
    let messages: Vec<_> = (0..number).map(|n| format!(" {{3+}}\r\na:{n}")).collect();
    line(&format!("APPEND INBOX{}", messages.concat()))
}

fn append(tag: &str, octets: usize, open: &str, close: &str) -> Vec<u8> {
    let head = format!("{tag} APPEND INBOX {open}{octets}{close}\r\n");
    if close == "}" {
        return head.into_bytes();
    }
    let (subject, end) = ("Subject: x\r\n\r\n", "\r\n");
    let body = "x".repeat(octets - subject.len() - end.len());
    format!("{head}{subject}{body}{end}\r\n").into_bytes()
}

/// Of three messages the second, of 300 octets, is there twice.
fn append_and_copy(octets: usize) -> Vec<u8> {
    let second = append("y", 300, "{", "+}");
    let third = append("y", octets - 600 - FIRST.len(), "{", "+}");
    [second, third, line("COPY 2 Archive")].concat()
}

/// A mailbox below it gets the longer name.
fn rename_with_child(octets: usize) -> Vec<u8> {
    let to = "x".repeat(octets - "/y".len());
    [b"y CREATE a/y\r\n".to_vec(), line(&format!("RENAME a {to}"))].concat()
}

/// There are so many in all: six are there from the start.
fn create_many(number: usize) -> Vec<u8> {
    let before = (6..number - 1).flat_map(|n| format!("y CREATE m{n}\r\n").into_bytes());
    before.chain(line("CREATE last")).collect()
}

fn give_rights_to(number: usize) -> Vec<u8> {
    let give = |(n, who): (usize, &str)| {
        let tag = if n + 1 == number { "z" } else { "y" };
        format!("{tag} SETACL INBOX {who} l\r\n").into_bytes()
    };
    let all = ["bob@demo.example", "-bob@demo.example", "anyone", "-anyone"];
    all.into_iter().take(number).enumerate().flat_map(give).collect()
}

fn subscribe_many(number: usize) -> Vec<u8> {
    let before = (6..number - 1).flat_map(|n| format!("y SUBSCRIBE m{n}\r\n").into_bytes());
    before.chain(line("SUBSCRIBE last")).collect()
}

/// The lines that answer, from the one that answers the last command or ends the connection on.
fn answers(connection: &mut Connection) -> Vec<String> {
    let mut last: Vec<String> = Vec::new();
    while let Ok(octets) = connection.read_line() {
        let text = String::from_utf8_lossy(&octets).into_owned();
        let ended = text.starts_with("z ") || text.starts_with("+ ");
        if ended || text.starts_with("* BYE") || text.starts_with("* BAD") {
            last.push(text);
        }
        if ended {
            break;
        }
    }
    last
}

/// Nothing follows but, where it is expected, a BYE and the end.
fn goodbye(connection: &mut Connection, last: &mut Vec<String>, expected: bool) {
    if expected && !last.iter().any(|line| line.starts_with("* BYE")) {
        let line = connection.read_line().unwrap();
        last.push(String::from_utf8_lossy(&line).into_owned());
    }
    if expected {
        assert!(connection.read_line().is_err(), "the connection goes on behind {last:?}");
    } else if !last.iter().any(|line| line.starts_with("+ ")) {
        connection.send_line("over NOOP").unwrap();
        let line = connection.read_line().unwrap();
        assert!(line.starts_with(b"over OK"), "{} behind {last:?}", String::from_utf8_lossy(&line));
    }
}

fn begin(house: &House, logged_in: bool) -> Connection {
    if !logged_in {
        let mut connection = house.connect(Service::Imap);
        connection.read_line().unwrap();
        return connection;
    }
    let mut connection = house.log_in("alice@demo.example");
    let size = FIRST.len();
    let ready = format!("y APPEND INBOX {{{size}+}}\r\n{FIRST}\r\nz SELECT INBOX\r\n");
    connection.send(ready.as_bytes()).unwrap();
    let last = answers(&mut connection);
    assert!(last.last().is_some_and(|line| line.starts_with("z OK")), "{last:?}");
    connection
}

#[test]
fn what_is_asked_is_well_up_to_the_limit_and_refused_beyond_it() {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                while let Some(limit) = LIMITS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    limit.try_out();
                }
            });
        }
    });
}

impl Limit {
    fn try_out(&self) {
        let key = format!("limits.{}", self.key);
        for asked in [self.most - 1, self.most, self.most + 1] {
            let house = House::with(&[(&key, self.value)]);
            let mut connection = begin(&house, self.logged_in);
            connection.send(&(self.ask)(asked)).unwrap();
            let mut last = answers(&mut connection);
            let well = [self.well];
            let expected = if asked > self.most { self.beyond } else { &well[..] };
            let ends = expected.iter().any(|line| line.starts_with("* BYE"));
            goodbye(&mut connection, &mut last, ends);
            let fits = last.len() >= expected.len()
                && last.iter().rev().zip(expected.iter().rev()).all(|(a, b)| a.starts_with(b));
            assert!(fits, "{asked} of {key}={}: {last:?}", self.value);
            let times = u64::from(asked > self.most);
            assert_eq!(exceeded(&house, self.key), times, "{asked} of {key}: counted beyond alone");
        }
    }
}

/// What is read of a message.
struct Reading {
    key: &'static str,
    value: &'static str,
    most: usize,
    message: fn(usize) -> String,
    /// What shows how much was read, and what stands in its answer when it was all.
    look: &'static str,
    shows: &'static str,
}

#[rustfmt::skip]
const READINGS: &[Reading] = &[
    Reading { key: "header_max", value: "200", most: 200, message: long_header, look: "FETCH 2 ENVELOPE", shows: "\"late\"" },
    Reading { key: "header_line_max", value: "100", most: 100, message: |n| format!("Subject: {}Z\r\n\r\n", "x".repeat(n - 10)), look: "FETCH 2 ENVELOPE", shows: "xZ\"" },
    Reading { key: "header_lines_max", value: "5", most: 5, message: |n| format!("{}Subject: late\r\n\r\n", "X: y\r\n".repeat(n - 1)), look: "FETCH 2 ENVELOPE", shows: "\"late\"" },
    Reading { key: "addresses_max", value: "5", most: 5, message: |n| format!("From: a@b\r\nTo: {}last@b\r\n\r\n", "x@b, ".repeat(n - 2)), look: "FETCH 2 ENVELOPE", shows: "\"last\"" },
    Reading { key: "parameters_max", value: "5", most: 5, message: parameters, look: "FETCH 2 BODYSTRUCTURE", shows: "\"last\" \"1\"" },
    Reading { key: "mime_depth_max", value: "5", most: 5, message: nested, look: "FETCH 2 BODYSTRUCTURE", shows: "\"html\"" },
    Reading { key: "mime_parts_max", value: "5", most: 5, message: many_parts, look: "FETCH 2 BODYSTRUCTURE", shows: "\"html\"" },
    Reading { key: "mime_boundary_max", value: "5", most: 5, message: |n| with_boundary(&"b".repeat(n)), look: "FETCH 2 BODYSTRUCTURE", shows: "\"html\"" },
    Reading { key: "comment_depth_max", value: "5", most: 5, message: |n| format!("Content-Type: text/plain; {}x{} last=1\r\n\r\n", "(".repeat(n), ")".repeat(n)), look: "FETCH 2 BODYSTRUCTURE", shows: "\"last\" \"1\"" },
    Reading { key: "comment_depth_max", value: "5", most: 5, message: |n| format!("To: {}x{} last@b\r\n\r\n", "(".repeat(n), ")".repeat(n)), look: "FETCH 2 ENVELOPE", shows: "\"last\"" },
    Reading { key: "encoded_words_max", value: "5", most: 5, message: |n| format!("Subject: {}=?utf-8?q?l=61st?=\r\n\r\n", "=?utf-8?q?x?= ".repeat(n - 1)), look: "SEARCH SUBJECT last", shows: "SEARCH 2" },
];

fn long_header(octets: usize) -> String {
    let subject = "Subject: late\r\n";
    let filler = "x".repeat(octets - subject.len() - "X: \r\n".len());
    format!("X: {filler}\r\n{subject}\r\n")
}

fn parameters(number: usize) -> String {
    let others: Vec<_> = (1..number).map(|n| format!("p{n}=1; ")).collect();
    format!("Content-Type: text/plain; {}last=1\r\n\r\n", others.concat())
}

/// So many parts, each within the other; the innermost is HTML.
fn nested(depth: usize) -> String {
    let multipart = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let outer: String = (1..depth).map(multipart).collect();
    format!("{outer}Content-Type: text/html\r\n\r\nx\r\n")
}

/// So many parts in all; the last is HTML.
fn many_parts(number: usize) -> String {
    let others = "--b\r\n\r\nx\r\n".repeat(number - 2);
    let last = "--b\r\nContent-Type: text/html\r\n\r\nx\r\n--b--\r\n";
    format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{others}{last}")
}

fn with_boundary(boundary: &str) -> String {
    let last = format!("--{boundary}\r\nContent-Type: text/html\r\n\r\nx\r\n--{boundary}--\r\n");
    format!("Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n{last}")
}

#[test]
fn a_message_is_read_up_to_the_limit_and_kept_whole_beyond_it() {
    for Reading { key, value, most, message, look, shows } in READINGS {
        let setting = format!("limits.{key}");
        let house = House::with(&[(&setting, value)]);
        for size in [most - 1, *most, most + 1] {
            let message = message(size);
            let mut connection = begin(&house, true);
            let length = message.len();
            let commands = format!(
                "y STORE 1:* +FLAGS (\\Deleted)\r\ny EXPUNGE\r\ny APPEND INBOX {{3+}}\r\na:b\r\n\
                 y APPEND INBOX {{{length}+}}\r\n{message}\r\ny NOOP\r\ny {look}\r\n\
                 z FETCH 2 RFC822.SIZE\r\n"
            );
            connection.send(commands.as_bytes()).unwrap();
            let mut all = Vec::new();
            while !all.iter().any(|line: &String| line.starts_with("z ")) {
                let line = connection.read_line().unwrap();
                all.push(String::from_utf8_lossy(&line).into_owned());
            }
            let shown = all.iter().any(|line| line.contains(shows));
            assert_eq!(shown, size <= *most, "{size} of {key}={value}: {all:#?}");
            let whole = format!("RFC822.SIZE {length})");
            assert!(all.iter().any(|line| line.contains(&whole)), "{key}: {all:#?}");
            let times = u64::from(size > *most);
            assert_eq!(exceeded(&house, key), times, "{size} of {key}: counted beyond alone");
        }
    }
}

/// The last lines of a connection that says nothing more, behind these commands.
fn silent(house: &House, commands: &str) -> String {
    let mut connection = house.log_in("alice@demo.example");
    connection.send(commands.as_bytes()).unwrap();
    let mut last = String::new();
    while let Ok(line) = connection.read_line() {
        last = String::from_utf8_lossy(&line).into_owned();
    }
    last
}

#[test]
fn silence_and_slowness_end_a_session_and_are_counted() {
    let literal = "z APPEND INBOX {1000+}\r\nSubject";
    for (key, value, commands, beyond) in [
        ("imap_idle_time", "1 s", "z NOOP\r\n", "* BYE Autologout"),
        ("imap_idle_time", "1 s", "z STATUS {10+}\r\nIN", "* BYE Autologout"),
        ("imap_idle_command_time", "1 s", "z IDLE\r\n", "* BYE Autologout"),
        ("smtp_data_time", "1 s", literal, "* BYE "),
        ("data_rate_min", "1000000", literal, "* BYE "),
    ] {
        let after = if key == "data_rate_min" { "1 s" } else { "30 s" };
        let key_and_value = (&*format!("limits.{key}"), value);
        let house = House::with(&[key_and_value, ("limits.data_rate_after", after)]);
        let last = silent(&house, commands);
        assert!(last.starts_with(beyond), "{key}: {last}");
        assert_eq!(exceeded(&house, key), 1, "{key}");
    }
    let house = House::with(&[("limits.login_time", "1 s")]);
    let mut connection = house.connect(Service::Imap);
    let greeting = connection.read_line().unwrap();
    assert!(greeting.starts_with(b"* OK"));
    let last = connection.read_line().unwrap();
    assert!(last.starts_with(b"* BYE "), "{}", String::from_utf8_lossy(&last));
    assert_eq!(exceeded(&house, "login_time"), 1);
}

#[test]
fn a_command_that_works_on_a_part_is_counted() {
    for command in ["FETCH 1:* UID", "SEARCH ALL", "STORE 1:* +FLAGS (x)", "MOVE 1:* Archive"] {
        let house = House::with(&[("limits.imap_messages_per_command_max", "3")]);
        let mut connection = begin(&house, true);
        let more: Vec<u8> = (1..4).flat_map(|_| append("y", 20, "{", "+}")).collect();
        connection.send(&more).unwrap();
        for (command, times) in [("NOOP", 0), (command, 1)] {
            connection.send(&line(command)).unwrap();
            let last = answers(&mut connection);
            assert!(last.last().is_some_and(|line| line.starts_with("z OK")), "{last:?}");
            assert_eq!(exceeded(&house, "imap_messages_per_command_max"), times, "{command}");
        }
    }
}

/// Waits until the house has counted this so often.
fn until_counted(house: &House, key: &str, times: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while exceeded(house, key) != times {
        assert!(Instant::now() < deadline, "{key} is not counted");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn so_many_commands_wait_behind_one_that_is_not_through_and_no_more_are_read() {
    let key = "imap_commands_waiting_max";
    for (waiting, stops) in [(2, 0), (3, 1), (20, 1)] {
        let house =
            House::with(&[("limits.imap_commands_waiting_max", "3"), ("limits.quota", "1 GiB")]);
        let mut connection = begin(&house, true);
        let more: Vec<u8> = (0..3).flat_map(|_| append("y", 8 << 20, "{", "+}")).collect();
        connection.send(&[more, line("NOOP")].concat()).unwrap();
        answers(&mut connection);
        // More than all buffers hold, of which nothing is read meanwhile.
        connection.send(b"y FETCH 2:4 BODY.PEEK[]\r\n").unwrap();
        let other = house.log_in("alice@demo.example");
        drop(other);
        connection.send("y NOOP\r\n".repeat(waiting).as_bytes()).unwrap();
        if stops > 0 {
            until_counted(&house, key, stops);
        }
        connection.send(&line("NOOP")).unwrap();
        let (mut told, mut last) = (0, Vec::new());
        while !last.starts_with(b"z ") {
            last = connection.read_line().unwrap();
            told += usize::from(last.starts_with(b"y OK"));
        }
        assert!(last.starts_with(b"z OK"), "{}", String::from_utf8_lossy(&last));
        assert_eq!(told, waiting + 1, "all are answered");
        assert!(exceeded(&house, key) >= stops);
    }
}

#[test]
fn room_that_is_missing_is_counted() {
    let house = House::with(&[("limits.disk_free_min", "1000000 GiB")]);
    let mut connection = house.log_in("alice@demo.example");
    connection.send(&append("z", 100, "{", "}")).unwrap();
    let answer = answers(&mut connection);
    assert!(answer.iter().any(|line| line.starts_with("z NO [UNAVAILABLE]")), "{answer:?}");
    assert_eq!(exceeded(&house, "disk_free_min"), 1);
}
