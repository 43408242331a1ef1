//! A client that gives NOTIFY once and then only listens (RFC 5465): of its open mailbox it knows the
//! messages and their flags, of another one how it stands, and of all their names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Connection, Flags, House, MAILBOX, behind, flags, numbers, text};

/// What is told without being asked for.
const NOTIFY: &str = "NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange)) \
    (mailboxes other (MessageNew MessageExpunge FlagChange)) (personal (MailboxName))";

pub(super) struct Watcher {
    imap: Connection,
    /// The UID of each message number.
    uids: Vec<Option<u32>>,
    messages: BTreeMap<u32, Flags>,
    /// MESSAGES and UIDNEXT of the other mailbox.
    other: (u32, u32),
    names: BTreeSet<String>,
    log: Vec<String>,
}

/// What is to be known in the end.
pub(super) struct Truth<'t> {
    pub(super) messages: &'t BTreeMap<u32, Flags>,
    pub(super) other: (u32, u32),
    pub(super) names: &'t BTreeSet<String>,
}

/// MESSAGES and UIDNEXT of a STATUS.
pub(super) fn counters(line: &str) -> Option<(u32, u32)> {
    let number = |word| behind(line, word)?.parse().ok();
    Some((number("MESSAGES ")?, number("UIDNEXT ")?))
}

impl Watcher {
    pub(super) fn open(house: &House, qresync: bool) -> Self {
        let mut watcher = Self {
            imap: house.log_in("alice@demo.example"),
            uids: Vec::new(),
            messages: BTreeMap::new(),
            other: (0, 0),
            names: BTreeSet::new(),
            log: Vec::new(),
        };
        if qresync {
            watcher.command("ENABLE QRESYNC");
        }
        while !watcher.command(&format!("SELECT {MAILBOX}")).contains(" OK ") {}
        watcher.command(NOTIFY);
        watcher.command("LIST \"\" *");
        watcher.command("UID FETCH 1:* (UID FLAGS)");
        watcher
    }

    fn command(&mut self, command: &str) -> String {
        self.imap.send_line(&format!("n {command}")).unwrap();
        self.log.push(command.to_owned());
        loop {
            let line = text(self.imap.read_line().unwrap());
            self.log.push(line.clone());
            if line.starts_with("n ") {
                return line;
            }
            self.hear(&line);
        }
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match (words[1], words.get(2).copied()) {
            ("VANISHED", Some(set)) => {
                for uid in numbers(set) {
                    self.messages.remove(&uid);
                    let known = self.uids.iter().position(|known| *known == Some(uid));
                    let at = known.unwrap_or_else(|| self.unknown(uid));
                    self.uids.remove(at);
                }
            }
            ("STATUS", Some("other")) => self.other = counters(line).unwrap_or(self.other),
            ("LIST", _) => {
                let (_, name) = line.split_once("\"/\" ").unwrap();
                let (name, old) = name.split_once(" (\"OLDNAME\" (").unwrap_or((name, ""));
                if let Some(old) = old.strip_suffix("))") {
                    self.names.remove(old);
                }
                if line.contains("\\NonExistent") {
                    self.names.remove(name);
                } else {
                    self.names.insert(name.to_owned());
                }
            }
            (_, Some("EXISTS")) => self.uids.resize(words[1].parse().unwrap(), None),
            (number, Some("EXPUNGE")) => {
                let number: usize = number.parse().unwrap();
                if let Some(uid) = self.uids.remove(number - 1) {
                    self.messages.remove(&uid);
                }
            }
            (number, Some("FETCH")) => {
                let number: usize = number.parse().unwrap();
                let uid: u32 = behind(line, "UID ").expect("a UID").parse().unwrap();
                let known = &mut self.uids[number - 1];
                assert!(known.is_none_or(|known| known == uid), "{number} was UID {known:?}");
                *known = Some(uid);
                self.messages.insert(uid, flags(line).expect("flags"));
            }
            _ => {}
        }
    }

    /// The place of a message that was counted and went before more was told of it.
    fn unknown(&self, uid: u32) -> usize {
        let lower = self.uids.iter().rposition(|known| known.is_some_and(|known| known < uid));
        let from = lower.map_or(0, |at| at + 1);
        let at = self.uids[from..].iter().position(Option::is_none);
        from + at.expect("VANISHED of a message that is not counted")
    }

    /// Listens, without a word, until it knows what is true. What is never told it waits for in vain.
    pub(super) fn settle(&mut self, truth: &Truth<'_>) {
        while !self.knows(truth) {
            let line = self.imap.read_line().unwrap_or_else(|error| {
                let (messages, other) = (truth.messages, truth.other);
                panic!("{error}: {other:?} {messages:?}\n{}", self.tail())
            });
            let line = text(line);
            self.log.push(line.clone());
            self.hear(&line);
        }
    }

    fn knows(&self, truth: &Truth<'_>) -> bool {
        let uids: Option<Vec<u32>> = self.uids.iter().copied().collect();
        self.messages == *truth.messages
            && uids.is_some_and(|uids| uids.iter().eq(truth.messages.keys()))
            && self.other == truth.other
            && self.names == *truth.names
    }

    fn tail(&self) -> String {
        format!(
            "{:?} {:?} {:?} {:?}\n{}",
            self.uids,
            self.messages,
            self.other,
            self.names,
            self.log[self.log.len().saturating_sub(60)..].join("\n")
        )
    }
}

/// Shows what it heard last when it finds itself misled.
impl Drop for Watcher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("a watcher: {}", self.tail());
        }
    }
}
