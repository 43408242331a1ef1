//! Clients that were away and come back: sessions do random deeds on a mailbox, phones lose their
//! connections at random moments and are in step again by QRESYNC, or by CONDSTORE alone, and in the
//! end each phone must know what a client knows that lists everything. So must clients that know only
//! what searches tell them that are kept up to date, and clients that only listen to NOTIFY.
//!
//! `RESYNC_ROUNDS=500` makes a long run of it, `RESYNC_SEED=7` repeats one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use crate::{connection::Connection, house::House};

mod placed;
mod viewer;
mod watcher;

const MAILBOX: &str = "model";
/// Sessions that do something.
const WRITERS: u64 = 4;
/// What each of them does in a round.
const DEEDS: usize = 40;
/// What each phone does in a round.
const STEPS: usize = 25;

type Flags = BTreeSet<String>;

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
        random.below(2);
        random
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Some UIDs up to this one, as a set.
    fn uids(&mut self, top: u32) -> String {
        let first = 1 + self.below(u64::from(top));
        match self.below(3) {
            0 => format!("{first}"),
            1 => format!("{first}:{}", first + self.below(6)),
            _ => format!("{first},{}:{}", first + 2, first + 4),
        }
    }
}

fn text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap()
}

// ---- Sessions that do something ----

struct Writer {
    imap: Connection,
    random: Random,
    count: u32,
}

impl Writer {
    fn new(house: &House, seed: u64) -> Self {
        let mut writer =
            Self { imap: house.log_in("alice@demo.example"), random: Random::new(seed), count: 0 };
        if writer.random.one_in(2) {
            writer.command("ENABLE QRESYNC");
        }
        writer.select();
        writer
    }

    /// Opens the mailbox, once nobody gives it another name.
    fn select(&mut self) {
        while !self.command(&format!("SELECT {MAILBOX}")).contains(" OK ") {}
    }

    /// Its tagged answer; NO and BAD are part of life when others renumber and rename.
    fn command(&mut self, command: &str) -> String {
        self.count += 1;
        let tag = format!("w{} ", self.count);
        self.imap.send(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        loop {
            let line = text(self.imap.read_line().unwrap());
            assert!(!line.starts_with("* BYE") && !line.contains("SERVERBUG"), "{command}: {line}");
            if line.starts_with(&tag) {
                return line;
            }
        }
    }

    fn deed(&mut self, top: &AtomicU32) {
        let uids = self.random.uids(top.load(Ordering::Relaxed));
        let sign = self.random.pick(&["+", "-"]);
        let flag = self.random.pick(&["\\Seen", "\\Flagged", "\\Answered", "red", "blue", "$Junk"]);
        let silent = self.random.pick(&["", ".SILENT"]);
        match self.random.below(100) {
            0..25 => {
                let answer = self.command(&format!("APPEND {MAILBOX} ({flag}) {{1+}}\r\nx"));
                note(&answer, top);
            }
            25..30 => {
                let answer =
                    self.command(&format!("APPEND {MAILBOX} {{1+}}\r\na {{1+}}\r\nb {{1+}}\r\nc"));
                note(&answer, top);
            }
            30..52 => drop(self.command(&format!("UID STORE {uids} {sign}FLAGS{silent} ({flag})"))),
            52..56 => {
                let since = self.random.below(400);
                let unchanged = format!("(UNCHANGEDSINCE {since})");
                drop(self.command(&format!(
                    "UID STORE {uids} {unchanged} {sign}FLAGS{silent} ({flag})"
                )));
            }
            56..60 => drop(self.command(&format!("UID STORE {uids} FLAGS{silent} ({flag} red)"))),
            60..72 => {
                self.command(&format!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)"));
                match self.random.below(4) {
                    0 => drop(self.command("EXPUNGE")),
                    1 => drop(self.command(&format!("UID EXPUNGE {uids}"))),
                    2 => {
                        self.command("CLOSE");
                        self.select();
                    }
                    _ => {}
                }
            }
            72..78 => drop(self.command(&format!("UID MOVE {uids} other"))),
            78..82 => {
                self.command("SELECT other");
                self.command(&format!("MOVE 1:* {MAILBOX}"));
                let answer = self.command(&format!("STATUS {MAILBOX} (UIDNEXT)"));
                assert!(answer.contains(" OK ") || answer.contains("NONEXISTENT"), "{answer}");
                self.select();
            }
            82..87 => {
                let answer = self.command(&format!("UID COPY {uids} {MAILBOX}"));
                note(&answer, top);
            }
            87..93 => drop(self.command(&format!("UID FETCH {uids} (BODY[])"))),
            93..95 => {
                self.command(&format!("RENAME {MAILBOX} elsewhere"));
                self.command(&format!("RENAME elsewhere {MAILBOX}"));
            }
            _ => drop(self.command("NOOP")),
        }
    }
}

/// Takes note of the highest UID that `[APPENDUID v uid]` and `[COPYUID v from to]` name.
fn note(answer: &str, top: &AtomicU32) {
    let code = answer.split(']').next().unwrap_or_default();
    let last = code.rsplit([' ', ',', ':']).next().and_then(|uid| uid.parse().ok());
    if code.contains("UID ") {
        top.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
    }
}

// ---- Phones ----

/// How a phone gets back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Qresync,
    Condstore,
}

/// A client that keeps what it knows when its connection is gone.
struct Phone {
    way: Way,
    random: Random,
    validity: String,
    /// HIGHESTMODSEQ as RFC 7162 §6 has a client keep it.
    highest: u64,
    messages: BTreeMap<u32, Flags>,
    /// Up to this UID all messages are known.
    fetched_to: u32,
    live: Option<Live>,
}

/// What a phone knows only as long as it is connected.
struct Live {
    imap: Connection,
    count: u32,
    /// The UID of each message number, as far as it is known.
    numbers: Vec<Option<u32>>,
    /// The highest mod-sequence since the last tagged answer.
    seen: u64,
    /// The last HIGHESTMODSEQ since the last tagged answer.
    code: Option<u64>,
    /// What a silent STORE does to the messages that are told with a mod-sequence alone.
    silent: Option<(bool, String)>,
    /// What SEARCH finds shall be the UIDs of all messages.
    all: bool,
    log: Vec<String>,
}

/// The numbers of a set.
fn numbers(set: &str) -> impl Iterator<Item = u32> {
    set.split(',').flat_map(|range| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        from.parse::<u32>().unwrap()..=to.parse().unwrap()
    })
}

/// What stands behind a word, up to a blank or a bracket.
fn behind<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let at = line.find(word)? + word.len();
    line[at..].split([' ', ')', ']']).next()
}

fn flags(line: &str) -> Option<Flags> {
    let rest = &line[line.find("FLAGS (")? + 7..];
    let names = rest.split(')').next()?.split(' ').filter(|name| !name.is_empty());
    Some(names.filter(|name| *name != "\\Recent").map(str::to_ascii_lowercase).collect())
}

impl Phone {
    fn new(way: Way, seed: u64) -> Self {
        Self {
            way,
            random: Random::new(seed),
            validity: String::new(),
            highest: 0,
            messages: BTreeMap::new(),
            fetched_to: 0,
            live: None,
        }
    }

    fn live(&mut self) -> &mut Live {
        self.live.as_mut().expect("the phone is connected")
    }

    /// Takes in one untagged line; `renumbers` says whether messages may go now.
    fn hear(&mut self, line: &str, renumbers: bool) {
        let way = self.way;
        let Self { messages, live, validity, .. } = self;
        let live = live.as_mut().unwrap();
        live.log.push(line.to_owned());
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(code) = behind(line, "[HIGHESTMODSEQ ") {
            live.code = Some(code.parse().unwrap());
        } else if let Some(now) = behind(line, "[UIDVALIDITY ") {
            assert!(validity.is_empty() || validity == now, "another UIDVALIDITY");
            now.clone_into(validity);
        } else if words[1] == "VANISHED" {
            assert_eq!(way, Way::Qresync);
            let earlier = words[2] == "(EARLIER)";
            for uid in numbers(words[if earlier { 3 } else { 2 }]) {
                assert!(uid > 0, "UID 0");
                messages.remove(&uid);
                let known = live.numbers.iter().position(|known| *known == Some(uid));
                if earlier {
                    assert_eq!(known, None, "UID {uid} is gone and counted");
                    continue;
                }
                assert!(renumbers, "VANISHED under a command that counts by number");
                let at = known.unwrap_or_else(|| {
                    // One that is counted and was not looked at yet: behind all lower ones.
                    let behind =
                        live.numbers.iter().rposition(|known| known.is_some_and(|k| k < uid));
                    let from = behind.map_or(0, |at| at + 1);
                    let unknown = live.numbers[from..].iter().position(Option::is_none);
                    from + unknown.expect("VANISHED of a message that is not counted")
                });
                live.numbers.remove(at);
            }
        } else if words.get(2) == Some(&"EXISTS") {
            let exists: usize = words[1].parse().unwrap();
            assert!(exists >= live.numbers.len(), "EXISTS shrinks");
            live.numbers.resize(exists, None);
        } else if words.get(2) == Some(&"EXPUNGE") {
            assert!(renumbers, "EXPUNGE under a command that counts by number");
            assert_eq!(way, Way::Condstore);
            let number: usize = words[1].parse().unwrap();
            if let Some(uid) = live.numbers.remove(number - 1) {
                messages.remove(&uid);
            }
        } else if words.get(2) == Some(&"FETCH") {
            let number: usize = words[1].parse().unwrap();
            let uid: u32 = behind(line, "UID ").expect("a UID").parse().unwrap();
            let mod_seq = behind(line, "MODSEQ (").expect("a mod-sequence").parse().unwrap();
            let known = &mut live.numbers[number - 1];
            assert!(known.is_none_or(|known| known == uid), "number {number} was UID {known:?}");
            *known = Some(uid);
            live.seen = live.seen.max(mod_seq);
            match (flags(line), &live.silent) {
                (Some(flags), _) => drop(messages.insert(uid, flags)),
                (None, Some((set, flag))) => {
                    if let Some(flags) = messages.get_mut(&uid) {
                        if *set {
                            flags.insert(flag.clone())
                        } else {
                            flags.remove(flag)
                        };
                    }
                }
                (None, None) => panic!("no flags"),
            }
        } else if words[1] == "SEARCH" {
            if live.all {
                let all: Vec<u32> = words[2..].iter().map(|uid| uid.parse().unwrap()).collect();
                // What is gone and was not told yet is counted and not found: then it asks again.
                if all.len() == live.numbers.len() {
                    messages.retain(|uid, _| all.binary_search(uid).is_ok());
                    live.numbers = all.into_iter().map(Some).collect();
                    live.all = false;
                }
            }
        } else {
            let known =
                ["FLAGS", "OK", "LIST", "ENABLED"].contains(&words[1]) || words[2] == "RECENT";
            assert!(known, "what is this?");
        }
    }

    fn send(&mut self, command: &str) -> io::Result<String> {
        let live = self.live();
        live.count += 1;
        let tag = format!("p{} ", live.count);
        live.log.push(format!("{tag}{command}"));
        live.imap.send_line(&format!("{tag}{command}"))?;
        Ok(tag)
    }

    /// A command and all of its answer; gives the tagged line.
    fn command(&mut self, command: &str) -> io::Result<String> {
        let tag = self.send(command)?;
        let still = ["FETCH", "STORE", "SEARCH"].iter().any(|name| command.starts_with(name));
        loop {
            let line = text(self.live().imap.read_line()?);
            let Some(tagged) = line.strip_prefix(&tag) else {
                self.hear(&line, !still);
                continue;
            };
            let live = self.live();
            live.log.push(line.clone());
            live.silent = None;
            if let Some(code) = behind(tagged, "[HIGHESTMODSEQ ") {
                live.code = Some(code.parse().unwrap());
            }
            assert!(!tagged.contains("SERVERBUG") && !tagged.starts_with("BAD"), "{line}");
            return Ok(tagged.to_owned());
        }
    }

    /// After a tagged answer the phone knows up to which change it is in step.
    fn advance(&mut self) {
        let live = self.live.as_mut().unwrap();
        self.highest = live.code.take().unwrap_or_else(|| self.highest.max(live.seen));
        live.seen = 0;
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        let tagged = self.command(command)?;
        self.advance();
        Ok(tagged)
    }

    /// Connects and gets back in step.
    fn connect(&mut self, house: &House) -> io::Result<()> {
        let imap = house.log_in("alice@demo.example");
        let (numbers, log, all) = (Vec::new(), Vec::new(), false);
        let live = Live { imap, count: 0, numbers, seen: 0, code: None, silent: None, all, log };
        self.live = Some(live);
        // What it has heard of by chance it will look at with all that is new.
        self.messages.split_off(&(self.fetched_to + 1));
        if self.way == Way::Qresync {
            self.command("ENABLE QRESYNC")?;
        }
        let select = match self.way {
            Way::Qresync if !self.validity.is_empty() => {
                format!("SELECT {MAILBOX} (QRESYNC ({}))", self.what_it_knows())
            }
            _ => format!("SELECT {MAILBOX} (CONDSTORE)"),
        };
        while self.command(&select)?.starts_with("NO") {
            // Somebody gives it another name just now.
        }
        if self.way == Way::Qresync {
            if self.highest == 0 {
                self.command("UID FETCH 1:* (FLAGS MODSEQ)")?;
            }
            self.advance();
        } else {
            let since = self.highest;
            self.command(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since})"))?;
            self.live().all = true;
            while self.live().all {
                self.command("UID SEARCH ALL")?;
            }
            self.advance();
        }
        // All that is known up to a UID must be all there is up to it.
        let to = self.fetched_to;
        let known: Vec<u32> = self.messages.range(..=to).map(|(uid, _)| *uid).collect();
        let places = &mut self.live().numbers;
        assert!(known.len() <= places.len(), "messages are gone and were not told: {known:?}");
        for (place, uid) in places.iter_mut().zip(known) {
            assert!(
                place.is_none_or(|other| other == uid),
                "UID {uid} stands where {place:?} does"
            );
            *place = Some(uid);
        }
        self.discover()
    }

    /// UIDVALIDITY and mod-sequence, and perhaps UIDs and a sample of numbers with their UIDs.
    fn what_it_knows(&mut self) -> String {
        let mut known = format!("{} {}", self.validity, self.highest);
        let to = self.fetched_to;
        let uids: Vec<u32> = self.messages.range(..=to).map(|(uid, _)| *uid).collect();
        let list = |of: &mut dyn Iterator<Item = String>| of.collect::<Vec<_>>().join(",");
        if to > 0 {
            match self.random.below(3) {
                0 => known += &format!(" 1:{to}"),
                1 if !uids.is_empty() => {
                    known += &format!(" {}", list(&mut uids.iter().map(u32::to_string)));
                }
                _ => {}
            }
        }
        if self.random.one_in(2) && !uids.is_empty() {
            let mut places: Vec<usize> =
                (0..4).map(|_| self.random.below(uids.len() as u64) as usize).collect();
            places.sort_unstable();
            places.dedup();
            let numbers = list(&mut places.iter().map(|at| (at + 1).to_string()));
            let of_them = list(&mut places.iter().map(|at| uids[*at].to_string()));
            known += &format!(" ({numbers} {of_them})");
        }
        known
    }

    /// Looks at the messages that are new to it.
    fn discover(&mut self) -> io::Result<()> {
        let from = self.fetched_to + 1;
        self.ask(&format!("UID FETCH {from}:* (FLAGS MODSEQ)"))?;
        let numbers = &self.live().numbers;
        // What came while this was answered is for the next time.
        let known = numbers.iter().take_while(|uid| uid.is_some()).flatten().max().copied();
        assert!(numbers.iter().is_sorted_by_key(|uid| uid.unwrap_or(u32::MAX)), "{numbers:?}");
        self.fetched_to = self.fetched_to.max(known.unwrap_or(0));
        Ok(())
    }

    fn step(&mut self, house: &House) -> io::Result<()> {
        if self.live.is_none() {
            return self.connect(house);
        }
        let count = self.live().numbers.len();
        let some = 1 + self.random.below(count as u64);
        match self.random.below(100) {
            0..15 => drop(self.ask("NOOP")?),
            15..30 => self.discover()?,
            30..40 => {
                let command = format!(
                    "UID STORE {} +FLAGS (\\Flagged)",
                    self.random.uids(self.fetched_to.max(1))
                );
                self.ask(&command)?;
            }
            40..48 if count > 0 => {
                let sign = self.random.pick(&["+", "-"]);
                self.live().silent = Some((sign == "+", "green".to_owned()));
                // Messages it has not looked at get their flags when it does.
                self.ask(&format!("STORE {some} {sign}FLAGS.SILENT (green)"))?;
            }
            48..58 if count > 0 => drop(self.ask(&format!("FETCH {some}:* (UID FLAGS MODSEQ)"))?),
            58..64 => {
                let since = self.random.below(self.highest + 3);
                let vanished = if self.way == Way::Qresync { " VANISHED" } else { "" };
                self.ask(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since}{vanished})"))?;
            }
            64..68 => drop(self.ask("EXPUNGE")?),
            68..72 => drop(self.ask("SEARCH FLAGGED")?),
            72..76 => drop(self.ask("UID SEARCH MODSEQ 1")?),
            76..80 => {
                self.live().imap.send_line("i IDLE")?;
                loop {
                    let line = text(self.live().imap.read_line()?);
                    if line.starts_with("i ") {
                        let live = self.live();
                        live.code = behind(&line, "[HIGHESTMODSEQ ")
                            .map(|code| code.parse().unwrap())
                            .or(live.code);
                        break;
                    } else if line.starts_with('+') {
                        self.live().imap.send_line("DONE")?;
                    } else {
                        self.hear(&line, true);
                    }
                }
                self.advance();
            }
            80..90 => {
                // The connection breaks off in the middle of an answer.
                let command =
                    self.random.pick(&["NOOP", "UID FETCH 1:* (FLAGS MODSEQ)", "EXPUNGE"]);
                let tag = self.send(command)?;
                for _ in 0..self.random.below(6) {
                    let line = text(self.live().imap.read_line()?);
                    if line.starts_with(&tag) {
                        break;
                    }
                    self.hear(&line, true);
                }
                self.live = None;
            }
            90..96 => self.live = None,
            _ => {}
        }
        Ok(())
    }

    /// When nothing happens any more the phone must know what is true, before and after a break.
    fn settle(&mut self, house: &House, truth: &BTreeMap<u32, Flags>) {
        if self.live.is_some() {
            self.ask("NOOP").unwrap();
            self.discover().unwrap();
            self.must_know(truth);
        }
        self.live = None;
        self.connect(house).unwrap();
        self.must_know(truth);
        if self.random.one_in(3) {
            self.live = None;
        }
    }

    fn must_know(&self, truth: &BTreeMap<u32, Flags>) {
        let live = self.live.as_ref().unwrap();
        let wrong = truth.iter().find(|(uid, flags)| self.messages.get(uid) != Some(flags));
        let more = self.messages.keys().find(|uid| !truth.contains_key(uid));
        let uids: Vec<u32> = live.numbers.iter().flatten().copied().collect();
        let in_step = wrong.is_none() && more.is_none() && uids.iter().eq(truth.keys());
        assert!(in_step, "not in step: {wrong:?} {more:?}\n{}", live.tail());
    }
}

impl Live {
    fn tail(&self) -> String {
        let from = self.log.len().saturating_sub(60);
        self.log[from..].join("\n")
    }
}

/// Shows what a phone heard last when it finds itself misled.
impl Drop for Phone {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(live) = &self.live
        {
            println!("a phone by {:?}, HIGHESTMODSEQ {}:\n{}", self.way, self.highest, live.tail());
        }
    }
}

/// What a client knows that lists everything.
fn listed(house: &House) -> BTreeMap<u32, Flags> {
    let mut imap = house.log_in("alice@demo.example");
    imap.send(format!("a EXAMINE {MAILBOX}\r\nb UID FETCH 1:* (FLAGS)\r\n").as_bytes()).unwrap();
    let mut all = BTreeMap::new();
    loop {
        let line = text(imap.read_line().unwrap());
        if line.starts_with("b ") {
            return all;
        }
        if line.contains(" FETCH (") {
            all.insert(behind(&line, "UID ").unwrap().parse().unwrap(), flags(&line).unwrap());
        }
    }
}

/// MESSAGES and UIDNEXT of a mailbox.
fn counters(house: &House, mailbox: &str) -> (u32, u32) {
    let lines = answer(house, &format!("STATUS {mailbox} (MESSAGES UIDNEXT)"));
    lines.iter().find_map(|line| watcher::counters(line)).unwrap()
}

/// The names of all mailboxes.
fn names(house: &House) -> BTreeSet<String> {
    let lines = answer(house, "LIST \"\" *");
    let name = |line: &String| Some(line.split_once("\"/\" ")?.1.to_owned());
    lines.iter().filter_map(name).collect()
}

fn answer(house: &House, command: &str) -> Vec<String> {
    let mut imap = house.log_in("alice@demo.example");
    imap.send_line(&format!("a {command}")).unwrap();
    let mut lines = Vec::new();
    loop {
        lines.push(text(imap.read_line().unwrap()));
        if lines.last().is_some_and(|line| line.starts_with("a ")) {
            return lines;
        }
    }
}

#[test]
fn a_phone_that_was_away_ends_equal_to_one_that_lists_everything() {
    let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse().ok());
    let rounds = number("RESYNC_ROUNDS").unwrap_or(6);
    let seed = number("RESYNC_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("RESYNC_SEED={seed}");
    let mut house = House::open();
    let mut first = house.log_in("alice@demo.example");
    first.send(format!("a CREATE {MAILBOX}\r\nb CREATE other\r\n").as_bytes()).unwrap();
    while !first.read_line().unwrap().starts_with(b"b OK") {}
    let top = AtomicU32::new(3);
    let mut phones: Vec<Phone> = [Way::Qresync, Way::Condstore, Way::Qresync]
        .into_iter()
        .zip(seed.wrapping_mul(1_000)..)
        .map(|(way, seed)| Phone::new(way, seed))
        .collect();
    for round in 0..rounds {
        let house_now = &house;
        let top = &top;
        let viewer_seeds = [seed.wrapping_add(round * 2), seed.wrapping_add(round * 2 + 1)];
        let mut viewers = viewer_seeds.map(|seed| viewer::Viewer::open(house_now, seed));
        let mut watchers = [false, true].map(|qresync| watcher::Watcher::open(house_now, qresync));
        thread::scope(|scope| {
            for viewer in &mut viewers {
                scope.spawn(|| {
                    for _ in 0..STEPS {
                        viewer.step();
                    }
                });
            }
            for writer in 0..WRITERS {
                let seed = seed.wrapping_add(round * WRITERS + writer + 1);
                scope.spawn(move || {
                    let mut writer = Writer::new(house_now, seed);
                    for _ in 0..DEEDS {
                        writer.deed(top);
                    }
                });
            }
            for phone in &mut phones {
                scope.spawn(move || {
                    for _ in 0..STEPS {
                        phone.step(house_now).unwrap();
                    }
                });
            }
        });
        let truth = listed(&house);
        let (other, names) = (counters(&house, "other"), names(&house));
        for watcher in &mut watchers {
            watcher.settle(&watcher::Truth { messages: &truth, other, names: &names });
        }
        for viewer in &mut viewers {
            viewer.settle(&truth);
        }
        for phone in &mut phones {
            phone.settle(&house, &truth);
        }
        if round % 4 == 3 {
            // As if the power failed: what phones know must still be true.
            for phone in &mut phones {
                phone.live = None;
            }
            house.kill();
            house.start();
        }
    }
}

/// A phone pays for each octet: what it is told when nothing has changed is mostly what RFCs ask for.
#[test]
fn little_is_said_to_a_phone_that_missed_nothing() {
    let house = House::open();
    let mut imap = house.log_in("alice@demo.example");
    let mut answer = |commands: &str| {
        imap.send(commands.as_bytes()).unwrap();
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.starts_with("z ")) {
            lines.push(text(imap.read_line().unwrap()));
        }
        lines
    };
    let first =
        answer("a ENABLE QRESYNC\r\nb APPEND INBOX {1+}\r\nx\r\nz SELECT INBOX\r\n").join("\n");
    let validity = behind(&first, "[UIDVALIDITY ").unwrap();
    let mod_seq = behind(&first, "[HIGHESTMODSEQ ").unwrap();
    answer("z UNSELECT\r\n");
    let lines = answer(&format!("z SELECT INBOX (QRESYNC ({validity} {mod_seq}))\r\n"));
    let octets: usize = lines.iter().map(|line| line.len() + 2).sum();
    println!("{octets} octets:\n{}", lines.join("\n"));
    assert_eq!(lines.len(), 11 + 1, "{lines:?}");
    assert!(octets <= 470, "{octets}: {lines:?}");
}

/// The test and the change are one: of many who claim a message at the same time one gets it.
#[test]
fn q25_of_many_conditional_stores_at_once_one_is_done() {
    let house = House::open();
    let mut first = house.log_in("alice@demo.example");
    first.send(b"a APPEND INBOX {1+}\r\nx\r\nb STATUS INBOX (HIGHESTMODSEQ)\r\n").unwrap();
    let since = loop {
        let line = text(first.read_line().unwrap());
        if let Some(mod_seq) = behind(&line, "(HIGHESTMODSEQ ") {
            break mod_seq.to_owned();
        }
    };
    for flag in ["\\Flagged", "claimed"] {
        let claim = || {
            let mut imap = house.log_in("alice@demo.example");
            let store = format!("STORE 1 (UNCHANGEDSINCE {since}) +FLAGS.SILENT ({flag})");
            imap.send(format!("a SELECT INBOX\r\nb {store}\r\n").as_bytes()).unwrap();
            loop {
                let line = text(imap.read_line().unwrap());
                if line.starts_with("b ") {
                    return line;
                }
            }
        };
        let answers: Vec<String> = thread::scope(|scope| {
            let claims: Vec<_> = (0..8).map(|_| scope.spawn(claim)).collect();
            claims.into_iter().map(|claim| claim.join().unwrap()).collect()
        });
        let done = answers.iter().filter(|answer| answer.starts_with("b OK stored")).count();
        let failed = answers.iter().filter(|a| a.starts_with("b OK [MODIFIED 1]")).count();
        assert_eq!((done, failed), (1, 7), "{answers:?}");
    }
}
