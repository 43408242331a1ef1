//! The disk comes before the word: for every kind of change the kernel is watched, and what was
//! changed must be synced before the answer is handed to the socket. And when the disk fails to sync
//! or to write, the house says so, keeps what it promised, and takes nothing back.

use std::{
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    connection::Connection,
    house::{House, PASSWORD, Service, dotted},
    strace::{Call, Strace},
};

/// Longer than the pause after which a disk is tried again.
const RECOVERY: Duration = Duration::from_secs(40);

/// The calls that matter: octets from and to peers, and what is done to files.
const WATCHED: &str = "trace=recvfrom,read,readv,recvmsg,sendto,sendmsg,write,writev,pwrite64,\
                       pwritev,fsync,fdatasync,rename,renameat,renameat2";

fn small(name: &str) -> String {
    format!("Subject: {name}\r\nMessage-ID: <{name}@test.example>\r\n\r\n{name}\r\n")
}

fn large(name: &str) -> String {
    small(name) + &format!("{name} is a line of a large message\r\n").repeat(8_000)
}

/// Says a command of IMAP and gives the tagged answer.
fn say(imap: &mut Connection, tag: &str, command: &str) -> String {
    imap.send_line(&format!("{tag} {command}")).unwrap();
    tagged(imap, tag)
}

fn tagged(imap: &mut Connection, tag: &str) -> String {
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        if line.starts_with("* BYE") || line.starts_with(&format!("{tag} ")) {
            return line;
        }
    }
}

/// Appends a message to INBOX; the tagged answer.
fn append(imap: &mut Connection, tag: &str, message: &str) -> String {
    let announced = format!("{tag} APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len());
    imap.send(announced.as_bytes()).unwrap();
    tagged(imap, tag)
}

/// The same with a house that may end; None when it has said goodbye, or has gone.
fn try_append(imap: &mut Connection, tag: &str, message: &str) -> Option<String> {
    let announced = format!("{tag} APPEND INBOX {{{}+}}\r\n{message}\r\n", message.len());
    imap.send(announced.as_bytes()).ok()?;
    loop {
        let line = String::from_utf8(imap.read_line().ok()?).unwrap();
        if line.starts_with("* BYE") {
            return None;
        }
        if line.starts_with(&format!("{tag} ")) {
            return Some(line);
        }
    }
}

/// Submits a message to somebody elsewhere; the answer to its data.
fn submit(house: &House, message: &str) -> String {
    let mut door = house.connect(Service::Submission);
    door.read_reply().unwrap();
    door.command("EHLO test.example").unwrap();
    let plain = STANDARD.encode(format!("\0alice@demo.example\0{PASSWORD}"));
    assert!(door.command(&format!("AUTH PLAIN {plain}")).unwrap().starts_with("235"));
    assert!(door.command("MAIL FROM:<alice@demo.example>").unwrap().starts_with("250"));
    assert!(door.command("RCPT TO:<x@remote.example>").unwrap().starts_with("250"));
    assert!(door.command("DATA").unwrap().starts_with("354"));
    door.send(&dotted(message.as_bytes())).unwrap();
    door.read_reply().unwrap()
}

/// The call after which an answer is on its way.
fn sending<'a>(calls: &'a [Call], answer: &str) -> &'a Call {
    calls.iter().find(|call| call.is_sending(answer)).unwrap_or_else(|| panic!("no {answer}"))
}

/// The log was written and then synced between the asking and the answer. What is written behind that
/// sync may be the next job's: what is recent, and traces, are kept without anybody waiting.
fn assert_synced(calls: &[Call], wal: &Path, asked: &str, answer: &str) {
    let said = sending(calls, answer).began;
    let heard = calls.iter().rev().find(|call| call.ended < said && call.is_receiving(asked));
    let heard = heard.unwrap_or_else(|| panic!("{asked} was not heard")).ended;
    let within = |call: &&Call| call.began > heard && call.ended < said;
    let written = calls.iter().filter(within).find(|call| call.is_write_to(wal));
    let written =
        written.unwrap_or_else(|| panic!("nothing is written between {asked} and {answer}"));
    let synced =
        calls.iter().filter(within).any(|call| call.began > written.ended && call.is_sync_of(wal));
    assert!(synced, "the log is not synced between {asked} and {answer}");
}

#[test]
fn every_change_is_synced_before_its_answer_leaves() {
    let house = House::with(&[("outbound.relay", "127.0.0.1:9")]);
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "first", &small("first")).starts_with("first OK"));
    assert!(append(&mut imap, "second", &small("second")).starts_with("second OK"));
    assert!(say(&mut imap, "select", "SELECT INBOX").starts_with("select OK"));
    let Some(strace) = Strace::attach(&house, &["-e", WATCHED]) else { return };
    let mut changes: Vec<(String, String)> = Vec::new();
    let mut note = |tag: &str, answer: String| {
        assert!(answer.starts_with(&format!("{tag} OK")), "{answer}");
        changes.push((tag.into(), format!("{tag} OK")));
    };
    note("append-small", append(&mut imap, "append-small", &small("append-small")));
    note("append-large", append(&mut imap, "append-large", &large("append-large")));
    for (tag, command) in [
        ("store", "STORE 1 +FLAGS (\\Flagged)"),
        ("store-silent", "UID STORE 2 FLAGS.SILENT (\\Deleted custom)"),
        ("copy", "COPY 1 Archive"),
        ("move", "MOVE 1 Archive"),
        ("expunge", "EXPUNGE"),
        ("create", "CREATE made"),
        ("rename", "RENAME made renamed"),
        ("subscribe", "SUBSCRIBE renamed"),
        ("unsubscribe", "UNSUBSCRIBE renamed"),
        ("delete", "DELETE renamed"),
    ] {
        note(tag, say(&mut imap, tag, command));
    }
    for (name, message) in
        [("lmtp-small", small("lmtp-small")), ("lmtp-large", large("lmtp-large"))]
    {
        let [answer] =
            &house.deliver(message.as_bytes(), "a@remote.example", &["alice@demo.example"])[..]
        else {
            panic!("one recipient")
        };
        assert!(answer.starts_with("250"), "{answer}");
        changes.push((name.into(), answer.clone()));
    }
    let answer = submit(&house, &("From: alice@demo.example\r\n".to_owned() + &small("submitted")));
    assert!(answer.starts_with("250"), "{answer}");
    changes.push(("submitted".into(), answer));
    let calls = strace.detach();
    assert_at_home(&calls, &house);
    let wal = house.data_dir().join("mailade.db-wal");
    for (asked, answer) in &changes {
        assert_synced(&calls, &wal, asked, answer);
    }
    for large in ["append-large", "lmtp-large"] {
        let answer = &changes.iter().find(|(asked, _)| asked == large).unwrap().1;
        assert_body_synced(&calls, &house, large, answer);
    }
}

/// No page of the database, which holds mail, is written into a file elsewhere.
fn assert_at_home(calls: &[Call], house: &House) {
    let home = format!("<{}/", house.data_dir().display());
    let writes = calls.iter().filter(|call| call.name.starts_with("pwrite"));
    let elsewhere: Vec<_> = writes.filter(|call| !call.arguments.contains(&home)).collect();
    assert!(elsewhere.is_empty(), "written outside {home}: {elsewhere:?}");
}

/// A large body is synced, then renamed, then its folder is synced, then the commit is.
fn assert_body_synced(calls: &[Call], house: &House, what: &str, answer: &str) {
    let said = sending(calls, answer).began;
    let blobs = house.data_dir().join("blobs").display().to_string();
    let renamed = calls.iter().rev().find(|call| {
        call.name.starts_with("rename") && call.arguments.contains(&blobs) && call.ended < said
    });
    let renamed = renamed.unwrap_or_else(|| panic!("{what} has no file"));
    let mut names = renamed.arguments.split('"').skip(1).step_by(2);
    let (from, to) = (Path::new(names.next().unwrap()), Path::new(names.next().unwrap()));
    let synced = calls.iter().any(|call| call.is_sync_of(from) && call.ended < renamed.began);
    assert!(synced, "{what}: the file is synced before it gets its name");
    let folder = calls.iter().find(|call| {
        call.is_sync_of(to.parent().unwrap()) && call.began > renamed.ended && call.ended < said
    });
    let folder = folder.unwrap_or_else(|| panic!("{what}: the folder is not synced"));
    let wal = house.data_dir().join("mailade.db-wal");
    let committed = calls
        .iter()
        .any(|call| call.is_sync_of(&wal) && call.began > folder.ended && call.ended < said);
    assert!(committed, "{what}: the commit comes after the file");
}

/// Subjects in INBOX.
fn subjects(house: &House) -> Vec<String> {
    let mut imap = house.log_in("alice@demo.example");
    say(&mut imap, "s", "SELECT INBOX");
    imap.send_line("f FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").unwrap();
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        if line.starts_with("f ") {
            return found;
        }
        found.extend(line.strip_prefix("Subject: ").map(str::to_owned));
    }
}

#[test]
fn a_damaged_page_ends_changes_and_what_is_whole_can_be_read() {
    let mut house = House::open();
    let mut imap = house.log_in("alice@demo.example");
    for name in ["one", "two"] {
        assert!(append(&mut imap, "a", &small(name)).starts_with("a OK"));
    }
    house.stop();
    // The summaries' page becomes nonsense.
    let file = house.data_dir().join("mailade.db");
    let sql = rusqlite::Connection::open(&file).unwrap();
    let number =
        |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned();
    let page = number("SELECT rootpage FROM sqlite_schema WHERE name = 'summary'");
    let size = number("PRAGMA page_size");
    drop(sql);
    let database = std::fs::File::options().write(true).open(&file).unwrap();
    database.write_all_at(&[0xff; 4096], (page - 1) * size).unwrap();
    drop(database);
    house.start();
    let mut imap = house.log_in("alice@demo.example");
    assert!(say(&mut imap, "s", "SELECT INBOX").starts_with("s OK"));
    let answer = say(&mut imap, "f", "FETCH 1:2 (ENVELOPE)");
    assert!(answer.starts_with("f NO [CORRUPTION]"), "{answer}");
    assert!(say(&mut imap, "g", "FETCH 1:2 (FLAGS INTERNALDATE)").starts_with("g OK"));
    assert_eq!(subjects(&house), ["one", "two"]);
    let answer = say(&mut imap, "h", "STORE 1 +FLAGS (\\Flagged)");
    assert!(answer.starts_with("h NO [UNAVAILABLE]"), "{answer}");
    let answer = append(&mut imap, "i", &small("three"));
    assert!(answer.starts_with("i NO [UNAVAILABLE]"), "{answer}");
    assert_eq!(house.log().matches("database is damaged").count(), 1, "{}", house.log());
    let checked = house.command(&["check"], "");
    assert!(!checked.status.success());
    let found = String::from_utf8_lossy(&checked.stdout).into_owned();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(found.contains("summary"), "{found}{said}{}", house.log());
}

#[test]
fn a_body_whose_file_is_lost_is_damage_and_never_an_empty_message() {
    let house = House::open();
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "a", &large("large")).starts_with("a OK"));
    assert!(append(&mut imap, "b", &small("small")).starts_with("b OK"));
    assert!(say(&mut imap, "s", "SELECT INBOX").starts_with("s OK"));
    let folders = std::fs::read_dir(house.data_dir().join("blobs")).unwrap();
    let mut lost = 0;
    for folder in folders.map(|folder| folder.unwrap()) {
        for file in std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap()) {
            std::fs::remove_file(file.path()).unwrap();
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    imap.send_line("f UID FETCH 1 (BODY.PEEK[TEXT])").unwrap();
    let mut line = String::from_utf8(imap.read_line().unwrap()).unwrap();
    while line.starts_with("* ") {
        assert!(!line.contains("BODY[TEXT] \"\"") && !line.contains("{0}"), "{line}");
        line = String::from_utf8(imap.read_line().unwrap()).unwrap();
    }
    assert!(line.starts_with("f NO [CORRUPTION]"), "{line}");
    assert!(say(&mut imap, "g", "FETCH 2 BODY[]").starts_with("g OK"), "the others are whole");
    assert!(append(&mut imap, "h", &small("more")).starts_with("h OK"), "and mail comes in");
    let checked = house.command(&["check"], "");
    let found = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && found.contains("blob 1"), "{found}");
}

#[test]
fn a_database_of_a_newer_program_is_not_touched() {
    let mut house = House::open();
    house.stop();
    let file = house.data_dir().join("mailade.db");
    let sql = rusqlite::Connection::open(&file).unwrap();
    sql.pragma_update(None, "user_version", 1000).unwrap();
    drop(sql);
    let before = std::fs::read(&file).unwrap();
    let refused = house.command(&["serve"], "");
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("schema 1000") && said.contains("newer"), "{said}");
    assert!(before == std::fs::read(&file).unwrap(), "not an octet is changed");
}

fn assert_sound(house: &House) {
    let checked = house.command(&["check"], "");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_commit_that_fails_to_sync_is_refused_ends_the_process_and_never_appears() {
    let mut house = House::open();
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "a", &small("kept")).starts_with("a OK"));
    let wal = house.data_dir().join("mailade.db-wal").display().to_string();
    let inject =
        ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-P", &wal];
    let Some(_strace) = Strace::attach(&house, &inject) else { return };
    let answer = append(&mut imap, "b", &small("refused"));
    assert!(answer.starts_with("b NO [UNAVAILABLE]"), "{answer}");
    let status = house.wait();
    assert_eq!(status.code(), Some(1), "{}", house.log());
    assert_eq!(house.log().matches("failed to sync").count(), 1, "{}", house.log());
    house.start();
    assert_eq!(subjects(&house), ["kept"]);
    assert_sound(&house);
}

#[test]
fn a_checkpoint_that_fails_to_sync_ends_the_process_and_loses_nothing() {
    let mut house = House::open();
    let database = house.data_dir().join("mailade.db").display().to_string();
    let inject =
        ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-P", &database];
    let Some(_strace) = Strace::attach(&house, &inject) else { return };
    let mut imap = house.log_in("alice@demo.example");
    // Inline bodies of 96 KiB fill the log until it is to be moved to its place, which is synced when
    // nothing comes in meanwhile.
    let body = ("x".repeat(94) + "\r\n").repeat(1024);
    let mut kept = Vec::new();
    for number in 0.. {
        let name = format!("n{number}");
        let message = if number < 200 { small(&name) + &body } else { small(&name) };
        match try_append(&mut imap, &name, &message) {
            Some(answer) if answer.starts_with(&format!("{name} OK")) => kept.push(name),
            _ => break,
        }
        if number >= 200 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(number < 1000, "no checkpoint was synced");
    }
    assert!(!house.wait().success());
    house.start();
    assert_eq!(subjects(&house), kept);
    assert_sound(&house);
}

#[test]
fn a_disk_that_takes_no_writes_is_read_from_and_is_used_again_when_it_does() {
    let house = House::open();
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "a", &small("before")).starts_with("a OK"));
    assert!(say(&mut imap, "s", "SELECT INBOX").starts_with("s OK"));
    let wal = house.data_dir().join("mailade.db-wal").display().to_string();
    let inject = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO", "-P", &wal];
    let Some(strace) = Strace::attach(&house, &inject) else { return };
    let refused = |answer: String, tag: &str| {
        assert!(answer.starts_with(&format!("{tag} NO [UNAVAILABLE]")), "{answer}");
    };
    refused(append(&mut imap, "b", &small("refused")), "b");
    refused(append(&mut imap, "c", &small("refused")), "c");
    refused(say(&mut imap, "d", "STORE 1 +FLAGS (\\Flagged)"), "d");
    refused(say(&mut imap, "e", "CREATE box"), "e");
    for service in [Service::Smtp, Service::Lmtp] {
        let mut door = house.connect(service);
        door.read_reply().unwrap();
        door.command(if service == Service::Lmtp { "LHLO x.example" } else { "EHLO x.example" })
            .unwrap();
        let answer = door.command("MAIL FROM:<a@remote.example>").unwrap();
        assert!(answer.starts_with("451 4.3.2 "), "{answer}");
    }
    assert_eq!(subjects(&house), ["before"], "logins and reading go on");
    assert!(say(&mut imap, "f", "FETCH 1 BODY[]").starts_with("f OK"));
    strace.detach();
    let deadline = Instant::now() + RECOVERY;
    while !append(&mut imap, "g", &small("after")).starts_with("g OK") {
        assert!(Instant::now() < deadline, "{}", house.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(subjects(&house), ["before", "after"]);
    assert_eq!(house.log().matches("takes no writes").count(), 1, "one alarm: {}", house.log());
    assert_sound(&house);
}
