//! A client that knows of its mailbox what its contexts tell it, and nothing else (RFC 5267): three
//! searches, of which one is by number and one is sorted.

use std::collections::BTreeMap;

use super::{Connection, Flags, House, MAILBOX, Random, numbers, text};

/// Tags, searching commands and keys.
const SEARCHES: [(&str, &str, &str); 3] = [
    ("flagged", "UID SEARCH", "FLAGGED"),
    ("unseen", "SEARCH", "UNSEEN UNKEYWORD red"),
    ("sorted", "UID SORT", "(REVERSE SIZE REVERSE ARRIVAL) UTF-8 OR SEEN KEYWORD blue"),
];

pub(super) struct Viewer {
    imap: Connection,
    random: Random,
    count: u32,
    exists: u32,
    /// What each search finds now.
    results: [Vec<u32>; 3],
    log: Vec<String>,
}

impl Viewer {
    pub(super) fn open(house: &House, seed: u64) -> Self {
        let mut viewer = Self {
            imap: house.log_in("alice@demo.example"),
            random: Random::new(seed),
            count: 0,
            exists: 0,
            results: Default::default(),
            log: Vec::new(),
        };
        if viewer.random.one_in(2) {
            viewer.command("ENABLE CONDSTORE");
        }
        // Somebody may give the mailbox another name just now.
        while !viewer.command(&format!("SELECT {MAILBOX}")).contains(" OK ") {}
        for (tag, command, keys) in SEARCHES {
            let command = format!("{command} RETURN (UPDATE ALL) {keys}");
            let answer = viewer.tagged(tag, &command);
            assert!(answer.contains(" OK "), "{answer}");
        }
        viewer
    }

    fn command(&mut self, command: &str) -> String {
        self.count += 1;
        self.tagged(&format!("v{}", self.count), command)
    }

    fn tagged(&mut self, tag: &str, command: &str) -> String {
        self.log.push(format!("{tag} {command}"));
        self.imap.send_line(&format!("{tag} {command}")).unwrap();
        loop {
            let line = text(self.imap.read_line().unwrap());
            self.log.push(line.clone());
            if line.starts_with(&format!("{tag} ")) {
                return line;
            }
            if line.starts_with('+') {
                self.imap.send_line("DONE").unwrap();
            }
            self.hear(&line);
        }
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        if words.get(2) == Some(&"EXISTS") {
            self.exists = words[1].parse().unwrap();
        } else if words.get(2) == Some(&"EXPUNGE") {
            let gone: u32 = words[1].parse().unwrap();
            self.exists -= 1;
            let unseen = &mut self.results[1];
            assert!(!unseen.contains(&gone), "{gone} goes before it leaves the result");
            unseen.iter_mut().filter(|number| **number > gone).for_each(|number| *number -= 1);
        } else if let Some(update) = line.strip_prefix("* ESEARCH (TAG \"") {
            let (tag, rest) = update.split_once("\")").unwrap();
            let at = SEARCHES.iter().position(|(known, ..)| *known == tag);
            if let Some(at) = at {
                self.update(at, rest);
            }
        }
    }

    fn update(&mut self, at: usize, rest: &str) {
        let is_sorted = SEARCHES[at].1 == "UID SORT";
        let list = &mut self.results[at];
        follow(list, rest, is_sorted);
        if at == 1 {
            assert!(list.iter().all(|number| *number <= self.exists), "beyond {}", self.exists);
        }
    }

    pub(super) fn step(&mut self) {
        let uid = 1 + self.random.below(60);
        let some = 1 + self.random.below(u64::from(self.exists.max(1)));
        let flag = self.random.pick(&["\\Flagged", "\\Seen", "red", "blue", "\\Deleted"]);
        let sign = self.random.pick(&["+", "-"]);
        let command = match self.random.below(10) {
            0 => "NOOP".to_owned(),
            1 | 2 => "IDLE".to_owned(),
            3 => format!("FETCH {some} (FLAGS)"),
            4 | 5 => format!("UID STORE {uid}:* {sign}FLAGS ({flag})"),
            6 => format!("STORE {some} {sign}FLAGS.SILENT ({flag})"),
            7 => format!("APPEND {MAILBOX} ({flag}) {{1+}}\r\nx"),
            8 => "EXPUNGE".to_owned(),
            _ => format!("UID SEARCH UID {uid}"),
        };
        self.command(&command);
    }

    /// When nothing happens any more its results must be those of the same searches made anew, and of
    /// what a client knows that lists everything.
    pub(super) fn settle(&mut self, truth: &BTreeMap<u32, Flags>) {
        self.command("NOOP");
        let kept = self.results.clone();
        for (at, (tag, command, keys)) in SEARCHES.into_iter().enumerate() {
            assert!(self.command(&format!("CANCELUPDATE \"{tag}\"")).contains(" OK "));
            self.results[at].clear();
            self.tagged(tag, &format!("{command} RETURN (UPDATE ALL) {keys}"));
            assert_eq!(kept[at], self.results[at], "{keys}\n{}", self.tail());
        }
        let flagged = truth.iter().filter(|(_, flags)| flags.contains("\\flagged"));
        let flagged: Vec<u32> = flagged.map(|(uid, _)| *uid).collect();
        assert_eq!(self.results[0], flagged, "{}", self.tail());
        assert_eq!(self.exists as usize, truth.len());
    }

    fn tail(&self) -> String {
        self.log[self.log.len().saturating_sub(60)..].join("\n")
    }
}

/// What a result becomes by what is told of it.
pub(super) fn follow(list: &mut Vec<u32>, rest: &str, is_sorted: bool) {
    if let Some((_, all)) = rest.split_once(" ALL ") {
        *list = numbers(all.split(' ').next().unwrap()).collect();
    }
    for (word, adds) in [("REMOVEFROM (", false), ("ADDTO (", true)] {
        let Some((_, pairs)) = rest.split_once(word) else { continue };
        let words: Vec<&str> = pairs.split(')').next().unwrap().split(' ').collect();
        for pair in words.chunks(2) {
            let place: usize = pair[0].parse().unwrap();
            assert_eq!(place == 0, !is_sorted, "{rest}");
            for (number, offset) in numbers(pair[1]).zip(0..) {
                let known = list.iter().position(|other| *other == number);
                assert_eq!(known.is_none(), adds, "{word}: {number}");
                match known {
                    Some(known) => {
                        assert!(place == 0 || known == place - 1, "{number} is at {known}");
                        list.remove(known);
                    }
                    None if is_sorted => list.insert(place - 1 + offset, number),
                    None => list.insert(list.partition_point(|other| *other < number), number),
                }
            }
        }
    }
}

/// Shows what it heard last when it finds itself misled.
impl Drop for Viewer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("a viewer, {} messages:\n{}", self.exists, self.tail());
        }
    }
}
