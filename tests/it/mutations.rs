//! The short form of fuzzing: every target over its seeds and ten thousand mutations of them.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::{fs, path::Path};

const MUTATIONS: usize = 10_000;

/// A small generator of random numbers (splitmix64): the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit.max(1) as u64).unwrap()
    }
}

/// Octets that grammars turn on.
const TELLING: &[u8] = b"\r\n\0 \"\\(){}[]<>*%;:=-+~,.@/?_$#&!0129aZ\x7f\x80\xc3\xff";

fn mutate(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(octets.len() + 1);
        let telling = TELLING[random.below(TELLING.len())];
        match random.below(6) {
            0 => octets.insert(at, telling),
            1 if at < octets.len() => octets[at] = telling,
            2 => octets.truncate(at),
            3 if at < octets.len() => drop(octets.remove(at)),
            4 => {
                let end = (at + random.below(40)).min(octets.len());
                let run = octets[at..end].to_vec();
                octets.splice(at..at, run);
            }
            _ => {
                let from = random.below(other.len() + 1);
                let end = (from + random.below(60)).min(other.len());
                octets.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    octets
}

fn run(seeds: &[Vec<u8>], target: fn(&[u8])) {
    let mut random = Random(1);
    for seed in seeds {
        target(seed);
    }
    for _ in 0..MUTATIONS {
        let seed = &seeds[random.below(seeds.len())];
        let other = &seeds[random.below(seeds.len())];
        target(&mutate(seed, other, &mut random));
    }
}

/// What clients say in the dialogues of a door, without tags where `skip` says so.
fn said(folder: &str, skip: bool) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(folder);
    let mut lines = Vec::new();
    for file in fs::read_dir(root).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.split_once(" C: ")).map(|(_, line)| line) {
            let line = if skip { line.split_once(' ').map_or("", |(_, rest)| rest) } else { line };
            lines.push(line.as_bytes().to_vec());
        }
    }
    assert!(lines.len() > 20, "{folder}");
    lines
}

fn mails() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail");
    fs::read_dir(root).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn no_imap_command_breaks_its_parser() {
    run(&said("imap", true), targets::imap_command);
}

#[test]
fn no_line_breaks_smtp() {
    run(&said("smtp", false), targets::smtp_line);
}

#[test]
fn mail_data_is_the_same_in_any_packets() {
    let seeds: Vec<Vec<u8>> = ["a\r\n.\r\n", "..\r\n.\n\r\n.\r\nQUIT\r\n", ".\r\n", "\0\r\r\n.\r"]
        .map(|text| [&[3], text.as_bytes()].concat())
        .into();
    run(&seeds, targets::smtp_data);
}

#[test]
fn the_proxy_passes_the_same_in_any_packets() {
    let mut seeds: Vec<Vec<u8>> = [
        "a NOOP\r\nb APPEND x {3}\r\nabc\r\nc SUBMIT {2+}\r\nd LOGIN x {1}\r\ny {2+}\r\nzz\r\n",
        "* OK [CAPABILITY X] y\r\n* 1 FETCH (X {3}\r\nabc)\r\n+ z\r\na OK x\r\n* BYE\r\n",
    ]
    .map(|text| [&[9], text.as_bytes()].concat())
    .into();
    seeds.extend(said("imap", false).into_iter().map(|line| [&[5], &*line, b"\r\n"].concat()));
    run(&seeds, targets::proxy);
}

#[test]
fn no_message_breaks_the_scanner() {
    run(&mails(), targets::mime_structure);
}

/// The URLs that clients write in the dialogues.
fn urls() -> Vec<Vec<u8>> {
    let lines = [said("imap", true), said("submission", false)].concat();
    let text = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
    let words = lines.iter().flat_map(|line| {
        let words = text(line).split(['"', ' ']).map(str::to_owned).collect::<Vec<_>>();
        words.into_iter().filter(|word| word.contains(';') || word.starts_with("imap:"))
    });
    let urls: Vec<_> = words.map(String::into_bytes).collect();
    assert!(urls.len() > 20);
    urls
}

#[test]
fn no_url_breaks_its_parser() {
    run(&urls(), targets::imap_url);
}

#[test]
fn what_is_assembled_is_what_would_have_been_sent() {
    let plans: [&[u8]; 6] = [
        b"P\0\0\x10\x01\0\0\x40\0\x03\0\x05\x04\0\x09",
        b"P\x01\0\x05\x01\xff\x02\x02\0\x01\0\x03\0\x20\x01\0\0\xff\xff",
        b"P\x03\0\x10\x03\0\x10\x01\x10\0\x10\0",
        b"Content-Type: message/external-body; access-type=URL; URL=\"/INBOX/;UID=1\"\r\n\r\n\
          Content-Type: text/plain\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/external-body;\
          \r\n access-type=URL; URL=\"/INBOX/;UID=1/;SECTION=2/;PARTIAL=3.400\"\r\n\r\nA: b\r\n\r\n--b\r\n\
          \r\ntext\r\n--b--\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/external-body;\
          access-type=URL; URL=\"imap://a@here.example/INBOX/;UID=1/;SECTION=HEADER\"\r\n\r\n--b--\r\n",
    ];
    run(&plans.map(<[u8]>::to_vec), targets::assemble);
}

#[test]
fn no_setting_breaks_the_configuration() {
    let seeds = [
        "listen.imap=127.0.0.1:143",
        "limits.quota=5 GiB",
        "hostname=a.example",
        "MAILADE_LIMITS__IMAP_IDLE_TIME=30 min",
        "outbound.relay=[::1]:25",
        "log.format=json",
    ];
    run(&seeds.map(|text| text.as_bytes().to_vec()), targets::config);
}
