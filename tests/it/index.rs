//! kill -9 while the full-text index is made, again and again, and what the disk forgets of it when the
//! power goes: whatever is left, every search finds what is there, at once and when the index has
//! caught up.
//!
//! `CRASH_ROUNDS=100` makes a long run of it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::{self, File},
    io, thread,
    time::{Duration, Instant},
};

use crate::{connection::Connection, house::House};

/// Longer than the index takes for what a round adds.
const PATIENCE: Duration = Duration::from_mins(1);
/// How many messages the index has not taken in.
const BACKLOG: &str = "mailade_fulltext_backlog_messages";
/// Messages of one APPEND.
const TOGETHER: usize = 10;
/// And of a round.
const EACH_ROUND: usize = 120;
/// Letters of a body that the index has work with.
const LETTERS: usize = 6_000;

/// A message by its number. Some have more text than the index takes in.
fn message(number: usize) -> String {
    let mut state = number as u64 + 1;
    let mut letter = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    };
    let line = |letter: &mut dyn FnMut() -> char| (0..70).map(|_| letter()).collect::<String>();
    let lines = if number % 20 == 7 { 3 * LETTERS } else { LETTERS } / 70;
    let body: Vec<String> = (0..lines).map(|_| line(&mut letter)).collect();
    format!(
        "Subject: number {number:06} of group{}\r\n\r\n{}\r\nlast{number:06} kin{}\r\n",
        number % 7,
        body.join("\r\n"),
        number % 5
    )
}

/// Appends what a round adds, unless the house goes first.
fn append(mut imap: Connection, first: usize) -> io::Result<()> {
    for number in (first..first + EACH_ROUND).step_by(TOGETHER) {
        let mut command = "t APPEND INBOX".to_owned();
        for message in (number..number + TOGETHER).map(message) {
            command += &format!(" {{{}+}}\r\n{message}", message.len());
        }
        imap.send(format!("{command}\r\n").as_bytes())?;
        answered(&mut imap)?;
    }
    Ok(())
}

/// The lines before the tagged OK.
fn answered(imap: &mut Connection) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = String::from_utf8(imap.read_line()?).unwrap();
        if line.starts_with("t ") {
            assert!(line.starts_with("t OK"), "{line}");
            return Ok(lines);
        }
        lines.push(line);
    }
}

fn ask(imap: &mut Connection, command: &str) -> Vec<String> {
    imap.send_line(&format!("t {command}")).unwrap();
    answered(imap).unwrap()
}

/// What is there: number by UID.
fn there(imap: &mut Connection) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    let lines = ask(imap, "UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
    let mut uid = None;
    for line in lines {
        if let Some((_, behind)) = line.split_once("(UID ") {
            uid = behind.split(' ').next().unwrap().parse().ok();
        } else if let Some(behind) = line.strip_prefix("Subject: number ") {
            let number = behind.split(' ').next().unwrap().parse().unwrap();
            found.insert(uid.unwrap(), number);
        }
    }
    found
}

fn search(imap: &mut Connection, keys: &str) -> Vec<u32> {
    let lines = ask(imap, &format!("UID SEARCH {keys}"));
    let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).unwrap();
    found.split_whitespace().map(|uid| uid.parse().unwrap()).collect()
}

/// Every search finds what it should of what is there.
fn finds_all(house: &House, when: &str) {
    let mut imap = house.log_in("alice@demo.example");
    ask(&mut imap, "SELECT INBOX");
    let there = there(&mut imap);
    assert!(there.len() >= 40, "{when}: {}, too few for the index to be asked", there.len());
    let uids = |fits: &dyn Fn(usize) -> bool| -> Vec<u32> {
        there.iter().filter(|(_, number)| fits(**number)).map(|(uid, _)| *uid).collect()
    };
    for some in there.values().step_by(there.len().div_ceil(12)) {
        let (one, group, kin) = (*some, *some % 7, *some % 5);
        let text = message(one);
        let middle = &text[text.len() / 2..text.len() / 2 + 12];
        for (keys, expected) in [
            (format!("TEXT last{one:06}"), uids(&|number| number == one)),
            (format!("NOT BODY last{one:06}"), uids(&|number| number != one)),
            (format!("SUBJECT {one:06}"), uids(&|number| number == one)),
            (format!("HEADER SUBJECT group{group}"), uids(&|number| number % 7 == group)),
            (format!("BODY kin{kin}"), uids(&|number| number % 5 == kin)),
            (format!("NOT TEXT group{group}"), uids(&|number| number % 7 != group)),
            (
                format!("OR TEXT kin{kin} SUBJECT group{group}"),
                uids(&|number| number % 5 == kin || number % 7 == group),
            ),
        ] {
            assert_eq!(search(&mut imap, &keys), expected, "{when}: {keys}\n{}", house.log());
        }
        if !middle.contains("\r\n") {
            assert!(!search(&mut imap, &format!("BODY {middle}")).is_empty(), "{when}: {middle}");
        }
    }
}

/// A number that the house tells.
fn counted(house: &House, name: &str) -> u64 {
    let output = house.command(&["metrics"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let number = text.lines().find_map(|line| {
        let (found, number) = line.split_once(' ')?;
        (found == name).then(|| number.parse().unwrap())
    });
    number.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn until(house: &House, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "the index does not get on:\n{}", house.log());
    }
}

/// What a disk may have lost of the index when the power went: its log is not synced with each commit.
fn forget_some(house: &House, round: usize) {
    let log = house.data_dir().join("fulltext.db-wal");
    let Ok(length) = log.metadata().map(|log| log.len()) else { return };
    match round % 4 {
        0 => {}
        1 => fs::remove_file(log).unwrap(),
        part => {
            let file = File::options().write(true).open(log).unwrap();
            file.set_len(length / 4 * part as u64).unwrap();
        }
    }
}

#[test]
fn a_kill_while_the_index_is_made_hides_no_message() {
    let rounds = std::env::var("CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut house = House::with(&[("limits.text_indexed_max", "16000")]);
    for round in 0..rounds {
        let imap = house.log_in("alice@demo.example");
        let (now, most) = (&house, Cell::new(0));
        thread::scope(|scope| {
            let appender = scope.spawn(move || append(imap, round * EACH_ROUND));
            // In the midst of it: some are taken in, others wait or come only now.
            until(now, || {
                let waiting = counted(now, BACKLOG);
                waiting < most.replace(most.get().max(waiting))
            });
            now.kill_now();
            let _whether_all_came_or_not = appender.join().unwrap();
        });
        house.kill();
        forget_some(&house, round);
        house.start();
        finds_all(&house, &format!("round {round}, at once"));
        until(&house, || counted(&house, BACKLOG) == 0);
        finds_all(&house, &format!("round {round}, with the index"));
    }
    assert!(counted(&house, "mailade_limit_exceeded_total{limit=\"text_indexed_max\"}") > 0);
    let checked = house.command(&["check"], "");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}
