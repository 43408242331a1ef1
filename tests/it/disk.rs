//! A disk that really fills up: a small file system of memory. At every door mail is put off in the
//! door's own words, everything else goes on out of the reserve, and when there is room again so does
//! the mail, without a hand being moved.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    connection::Connection,
    house::{House, PASSWORD, Service},
};

/// How long the house may take to notice what the disk has left.
const PATIENCE: Duration = Duration::from_secs(20);
const MIB: u64 = 1 << 20;

/// A file system of so many octets; it goes with the value.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None, with a word on why, where nothing may be mounted.
    fn mount(octets: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={octets},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(dir.path())
            .output()
            .unwrap();
        if mounted.status.success() {
            return Some(Self(dir));
        }
        println!("SKIPPED: no disk can be filled: {}", String::from_utf8_lossy(&mounted.stderr));
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn free(&self) -> u64 {
        let all = rustix::fs::statvfs(self.path()).unwrap();
        all.f_bavail * all.f_frsize
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Somebody else takes room until so many octets are left, while the house works on.
    fn fill_up_to(&self, left: u64) {
        let file = File::options().create(true).append(true).open(self.filler()).unwrap();
        let flags = rustix::fs::FallocateFlags::empty();
        while self.free() > left {
            let from = file.metadata().unwrap().len();
            match rustix::fs::fallocate(&file, flags, from, self.free() - left) {
                Ok(()) | Err(rustix::io::Errno::NOSPC) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn clear(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Says a command; the tagged answer.
fn say(imap: &mut Connection, command: &str) -> String {
    imap.send_line(&format!("t {command}")).unwrap();
    tagged(imap)
}

fn tagged(imap: &mut Connection) -> String {
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        assert!(!line.starts_with("* BYE"), "{line}");
        if line.starts_with("t ") {
            return line;
        }
    }
}

fn message(name: &str) -> String {
    format!("Subject: {name}\r\n\r\n{name}\r\n")
}

/// Appends with a literal that waits for the go-ahead; false when it is put off.
fn append(imap: &mut Connection, name: &str) -> bool {
    let message = message(name);
    imap.send_line(&format!("t APPEND INBOX {{{}}}", message.len())).unwrap();
    let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
    let answer = if line.starts_with('+') {
        imap.send(format!("{message}\r\n").as_bytes()).unwrap();
        tagged(imap)
    } else {
        line
    };
    taken(&answer)
}

/// Is it OK? The only other answer is that there is no room now.
fn taken(answer: &str) -> bool {
    let put_off = answer.starts_with("t NO [UNAVAILABLE]");
    assert!(put_off || answer.starts_with("t OK"), "{answer}");
    !put_off
}

/// Tries until it goes, or goes no more, as `wanted`.
fn until(wanted: bool, mut tried: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while tried() != wanted {
        assert!(Instant::now() < deadline, "never {wanted}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Begins a mail at a door of SMTP; the answer to MAIL.
fn begin_mail(house: &House, service: Service) -> String {
    let mut door = house.connect(service);
    door.read_reply().unwrap();
    let hello = if service == Service::Lmtp { "LHLO" } else { "EHLO" };
    door.command(&format!("{hello} test.example")).unwrap();
    if service == Service::Submission {
        // alice@demo.example, secret
        let login = door.command("AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
        assert!(login.starts_with("235"), "{PASSWORD}: {login}");
    }
    door.command("MAIL FROM:<alice@demo.example>").unwrap()
}

/// The subjects in INBOX, sorted.
fn subjects(house: &House) -> Vec<String> {
    let mut imap = house.log_in("alice@demo.example");
    assert!(taken(&say(&mut imap, "SELECT INBOX")));
    imap.send_line("t FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").unwrap();
    let mut found = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        if line.starts_with("t ") {
            assert!(line.starts_with("t OK"), "{line}");
            found.sort();
            return found;
        }
        found.extend(line.strip_prefix("Subject: ").map(str::to_owned));
    }
}

fn assert_sound(house: &House) {
    let checked = house.command(&["check"], "");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_full_disk_puts_mail_off_at_every_door_and_everything_else_goes_on() {
    let Some(disk) = Disk::mount(96 * MIB) else { return };
    let mut house = House::below(
        disk.path(),
        &[
            ("limits.message_size_max", "1 MiB"),
            ("limits.disk_free_min", "16 MiB"),
            ("limits.disk_free_stop", "4 MiB"),
            ("limits.disk_reserve", "8 MiB"),
        ],
    );
    let reserve = house.data_dir().join("reserve");
    let mut imap = house.log_in("alice@demo.example");
    let mut kept = Vec::new();
    for name in ["one", "two", "three", "four"] {
        assert!(append(&mut imap, name));
        kept.push(name.to_owned());
    }
    assert!(taken(&say(&mut imap, "SELECT INBOX")));
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 8 * MIB);

    // Room is short: no mail is taken, at no door.
    disk.fill_up_to(12 * MIB);
    let mut more = 0;
    until(false, || {
        more += 1;
        let name = format!("more{more}");
        let added = append(&mut imap, &name);
        kept.extend(added.then_some(name));
        added
    });
    assert!(!taken(&say(&mut imap, "COPY 1 Archive")));
    // What only goes from place to place takes no room.
    for command in ["MOVE * Archive", "SELECT Archive", "MOVE 1 INBOX", "SELECT INBOX"] {
        assert!(taken(&say(&mut imap, command)), "{command}");
    }
    for service in [Service::Smtp, Service::Lmtp, Service::Submission] {
        let answer = begin_mail(&house, service);
        assert!(answer.starts_with("452 4.3.1 "), "{service:?}: {answer}");
    }
    assert!(taken(&say(&mut imap, "STORE 1 +FLAGS (\\Flagged)")));
    assert!(taken(&say(&mut imap, "STORE 4 +FLAGS (\\Deleted)")));
    assert!(taken(&say(&mut imap, "EXPUNGE")));
    kept.retain(|name| name != "four");
    assert!(reserve.exists(), "there is still room for that");

    // There is none at all: what is not mail lives on the reserve.
    disk.fill_up_to(0);
    until(false, || reserve.exists() && taken(&say(&mut imap, "STORE 1 +FLAGS (\\Answered)")));
    until(true, || taken(&say(&mut imap, "STORE 2 +FLAGS (\\Flagged)")));
    assert!(house.log().contains("the reserve was released") || house.log().is_empty());
    assert!(taken(&say(&mut imap, "STORE 3 +FLAGS (\\Deleted)")));
    assert!(taken(&say(&mut imap, "EXPUNGE")));
    kept.retain(|name| name != "three");
    assert!(!append(&mut imap, "never"));

    // That is used up too: only reading goes on.
    disk.fill_up_to(0);
    until(false, || taken(&say(&mut imap, "STORE 1 -FLAGS (\\Flagged)")));
    assert!(!taken(&say(&mut imap, "CREATE box")));
    assert!(!append(&mut imap, "never"));
    kept.sort();
    assert_eq!(subjects(&house), kept, "logins and reading go on");

    // Somebody clears up: nothing else has to be done.
    disk.clear();
    until(true, || append(&mut imap, "last"));
    kept.push("last".into());
    kept.sort();
    assert!(taken(&say(&mut imap, "COPY 1 Archive")));
    assert!(begin_mail(&house, Service::Smtp).starts_with("250"));
    assert_eq!(subjects(&house), kept);
    assert_sound(&house);
    house.kill();
    house.start();
    assert_eq!(subjects(&house), kept, "nothing half written");
    assert_sound(&house);
}

#[test]
fn a_write_that_finds_no_room_changes_nothing_and_the_next_one_may() {
    let Some(disk) = Disk::mount(24 * MIB) else { return };
    let mut house = House::below(
        disk.path(),
        &[
            ("limits.message_size_max", "1 KiB"),
            ("limits.disk_free_min", "0"),
            ("limits.disk_free_stop", "0"),
            ("limits.disk_reserve", "0"),
        ],
    );
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "one"));
    assert!(taken(&say(&mut imap, "SELECT INBOX")));
    disk.fill_up_to(0);
    // Within the log that is there already some changes still fit.
    let mut last = String::new();
    let mut number = 0;
    until(false, || {
        number += 1;
        let keyword = format!("k{number}");
        let stored = taken(&say(&mut imap, &format!("STORE 1 FLAGS ({keyword})")));
        if stored {
            last = keyword;
        }
        stored || number > 200
    });
    let flags = |house: &House| {
        let mut imap = house.log_in("alice@demo.example");
        assert!(taken(&say(&mut imap, "EXAMINE INBOX")));
        imap.send_line("t FETCH 1 FLAGS").unwrap();
        let line = String::from_utf8(imap.read_line().unwrap()).unwrap();
        tagged(&mut imap);
        line
    };
    let told = flags(&house);
    assert!(
        told.contains(&format!("({last}")) || told.contains(&format!(" {last})")),
        "{told}: {last}"
    );
    disk.clear();
    until(true, || taken(&say(&mut imap, "STORE 1 FLAGS (after)")));
    house.kill();
    house.start();
    assert!(flags(&house).contains("after"));
    assert_sound(&house);
}

#[test]
fn a_quota_that_is_used_up_is_no_full_disk() {
    let house = House::open();
    let quota = house.command(&["user", "quota", "alice@demo.example", "--octets", "60"], "");
    assert!(quota.status.success(), "{}", String::from_utf8_lossy(&quota.stderr));
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "one"));
    let answer = |imap: &mut Connection, line: &str| {
        imap.send_line(line).unwrap();
        tagged(imap)
    };
    let refused = answer(&mut house.log_in("alice@demo.example"), "t APPEND INBOX {100}");
    assert!(refused.starts_with("t NO [OVERQUOTA]"), "{refused}");
    assert!(taken(&say(&mut imap, "SELECT INBOX")));
    assert!(taken(&say(&mut imap, "COPY 1 Archive")));
    let refused = answer(&mut imap, "t COPY 1 Archive");
    assert!(refused.starts_with("t NO [OVERQUOTA]"), "{refused}");
    let mut lmtp = house.connect(Service::Lmtp);
    lmtp.read_reply().unwrap();
    lmtp.command("LHLO test.example").unwrap();
    lmtp.command("MAIL FROM:<a@remote.example> SIZE=100").unwrap();
    let refused = lmtp.command("RCPT TO:<alice@demo.example>").unwrap();
    assert!(refused.starts_with("452 4.2.2"), "{refused}");
    assert!(taken(&say(&mut imap, "STORE 1 +FLAGS (\\Seen)")));
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let house = House::with_log("/dev/full");
    let mut imap = house.log_in("alice@demo.example");
    assert!(append(&mut imap, "one"));
    let answers =
        house.deliver(message("two").as_bytes(), "a@remote.example", &["alice@demo.example"]);
    assert!(answers.iter().all(|answer| answer.starts_with("250")), "{answers:?}");
    assert_eq!(subjects(&house), ["one", "two"]);
}
