//! What is fuzzed: each takes any octets and must neither panic nor contradict itself.
//!
//! Shared by the libFuzzer targets (`fuzz/run`) and by the short form in the tests.

#![allow(dead_code, clippy::indexing_slicing, reason = "each target uses one; a fuzzer may stop")]

#[path = "workshop.rs"]
mod workshop;

use mailade::{
    config::{self, Sources},
    delivery::Refusal,
    imap::extensions,
    mail::{
        binary, downgrade, preview, section,
        structure::{Scanner, StructureRef, scan},
        summary::SummaryRef,
    },
    net::frame::Data,
    proxy::{
        answers::Answers,
        capability::Situation,
        commands::{Commands, Said},
    },
    smtp::command::Command,
    submission::Lines,
    wire::{Cursor, url::ImapUrl},
};

/// A command's name, and behind the first line end its arguments.
pub(crate) fn imap_command(octets: &[u8]) {
    let line = octets.strip_suffix(b"\r\n").unwrap_or(octets);
    let name = line.split(|octet| *octet == b' ').next().unwrap_or_default();
    let uid = name.eq_ignore_ascii_case(b"UID");
    let length = if uid {
        let second = line.get(4..).unwrap_or_default();
        4 + second.split(|octet| *octet == b' ').next().unwrap_or_default().len()
    } else {
        name.len()
    };
    let name = String::from_utf8_lossy(line.get(..length).unwrap_or(line)).into_owned();
    if let Some(row) = extensions::row(&name) {
        let arguments = line.get(length..).unwrap_or_default();
        let _ = (row.parse)(&mut Cursor::new(arguments));
        let _ = row.data.map(|is_data| is_data(arguments));
    }
}

/// A line of SMTP, or some lines of an envelope.
pub(crate) fn smtp_line(octets: &[u8]) {
    let _ = Command::parse(octets);
    let _ = Lines::parse(octets, 10);
    let any = Lines::parse_any(octets, 10);
    let _ = any.map(|lines| lines.envelope_of_good(|| Err(Refusal::NoPostmaster)));
}

/// Mail data in packets: however it is split, the same comes out, and it ends at the same place.
pub(crate) fn smtp_data(octets: &[u8]) {
    let Some((cut, rest)) = octets.split_first() else { return };
    let cut = usize::from(*cut).min(rest.len());
    let (mut whole, mut parts) = (Data::default(), Data::default());
    let (mut out, mut out_parts) = (Vec::new(), Vec::new());
    let taken = whole.feed(rest, &mut out);
    let first = parts.feed(&rest[..cut], &mut out_parts);
    let second = if parts.is_ended() { 0 } else { parts.feed(&rest[first..], &mut out_parts) };
    assert_eq!(taken, first + second);
    assert_eq!(out, out_parts);
    assert_eq!(whole.is_ended(), parts.is_ended());
}

/// What a client and a server of the proxy say: cut or whole, the same passes and the same is told.
pub(crate) fn proxy(octets: &[u8]) {
    let Some((cut, rest)) = octets.split_first() else { return };
    let cut = usize::from(*cut).min(rest.len());
    let clients = |pieces: &[&[u8]]| {
        let (mut commands, mut out, mut told) = (Commands::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = *piece;
            loop {
                let (taken, said) = commands.feed(piece, &mut out);
                piece = &piece[taken..];
                match said {
                    None => break,
                    Some(Said::Waits) => commands.go_ahead(),
                    Some(said) => told.push(said),
                }
            }
            assert!(piece.is_empty());
        }
        (out, told)
    };
    let (out, told) = clients(&[rest]);
    assert!(out.len() <= rest.len());
    assert_eq!(clients(&[&rest[..cut], &rest[cut..]]), (out, told));
    let servers = |pieces: &[&[u8]]| {
        let now = Situation { secured: true, may_start_tls: true };
        let (mut answers, mut out, mut told) = (Answers::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut piece = *piece;
            loop {
                let (taken, heard) = answers.feed(piece, now, &mut out);
                piece = &piece[taken..];
                match heard {
                    None => break,
                    Some(heard) => told.push(heard),
                }
            }
            assert!(piece.is_empty());
        }
        (out, told, answers.is_between())
    };
    assert_eq!(servers(&[&rest[..cut], &rest[cut..]]), servers(&[rest]));
}

/// A message: scanned whole and in two parts alike; stored forms read back; ranges lie inside.
pub(crate) fn mime_structure(octets: &[u8]) {
    let scanned = scan(octets);
    let mut scanner = Scanner::new();
    let (first, second) = octets.split_at(octets.len() / 3);
    scanner.feed(first);
    scanner.feed(second);
    assert_eq!(scanner.finish(), scanned);
    let stored = scanned.structure.encode();
    let structure = StructureRef::parse(&stored).expect("what was written can be read");
    for part in structure.parts() {
        assert!(part.header <= part.body && part.body <= part.end);
        assert!(part.end <= octets.len() as u64);
    }
    SummaryRef::parse(&scanned.summary.encode()).expect("what was written can be read");
    let _ = section::select_fields(octets, &[b"Subject".to_vec()], true);
    let _ = preview::preview(structure, octets);
    if let Some(rewrite) = binary::one_view(structure) {
        scan(&rewrite.apply(octets));
    }
    if let Some(rewrite) = downgrade::downgrade(structure, downgrade::Hop::SevenBit) {
        rewrite.apply(octets);
    }
    // Foreign octets in place of a stored form are refused, not believed.
    let _ = StructureRef::parse(octets);
    let _ = SummaryRef::parse(octets);
}

/// A URL: what is written of it means the same.
pub(crate) fn imap_url(octets: &[u8]) {
    let Ok(text) = str::from_utf8(octets) else { return };
    let Ok(url) = ImapUrl::parse(text) else { return };
    let proof = url.message().and_then(|message| message.authorisation.as_ref()?.proof.as_ref());
    if let Some(proof) = proof {
        assert!(text.get(..proof.signed).is_some(), "what was signed is a part of the text");
        // How much of it is signed is a matter of how it was written.
        return;
    }
    let written = url.to_string();
    assert_eq!(ImapUrl::parse(&written).as_ref(), Ok(&url), "{written}");
}

/// A message made of others: a plan of the assembler, or a skeleton.
pub(crate) fn assemble(octets: &[u8]) {
    match octets.split_first() {
        Some((b'P', plan)) => workshop::work(|workshop| workshop.assemble(plan)),
        _ => workshop::work(|workshop| workshop.expand(octets)),
    }
}

/// A value for each of some keys of the configuration.
pub(crate) fn config(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let (key, value) = text.split_once('=').unwrap_or((&text, ""));
    let pair = |key: &str| (key.to_owned(), value.to_owned());
    let _ = config::load(&Sources { file: None, environment: Vec::new(), flags: vec![pair(key)] });
    let _ = config::load(&Sources { file: None, environment: vec![pair(key)], flags: Vec::new() });
}
