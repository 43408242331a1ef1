//! Runs the dialogues of tests/transcripts; its README.md says how they are written.
//!
//! Every case has a house of its own and starts with an empty one, so cases can run in any order
//! and at the same time. TRANSCRIPT=imap/idle runs only files whose path holds these words.

mod pattern;
mod script;
mod stage;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::{script::Case, stage::Stage};

/// Cases at a time: they wait more than they work.
const ABREAST: usize = 4;

#[test]
fn imap_goes_as_written() {
    run_folder("imap");
}

#[test]
fn smtp_goes_as_written() {
    run_folder("smtp");
}

#[test]
fn submission_goes_as_written() {
    run_folder("submission");
}

#[test]
fn lmtp_goes_as_written() {
    run_folder("lmtp");
}

#[test]
fn journeys_go_as_written() {
    run_folder("journeys");
}

#[test]
fn every_folder_of_transcripts_is_run() {
    let known = ["imap", "smtp", "submission", "lmtp", "journeys"];
    for entry in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!entry.path().is_dir() || known.contains(&name.as_str()), "{name} is not run");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn run_folder(name: &str) {
    let wanted = std::env::var("TRANSCRIPT").unwrap_or_default();
    let mut files = Vec::new();
    collect(&root().join(name), &mut files);
    files.retain(|file| file.to_string_lossy().contains(&wanted));
    files.sort();
    let mut cases = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let parsed = script::parse(file, &text).unwrap_or_else(|error| panic!("{error}"));
        cases.extend(parsed);
    }
    let failures = run_all(&cases);
    println!("{name}: {} cases, {} failed", cases.len(), failures.len());
    let text = failures.join("\n");
    assert!(failures.is_empty(), "{} of {} cases failed\n{text}", failures.len(), cases.len());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
}

/// Runs the cases a few at a time; what is said of those that failed, in order.
fn run_all(cases: &[Case]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    if let Err(failure) = Stage::play(case) {
                        failures.lock().unwrap().push((index, failure));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    failures.into_iter().map(|(_, text)| text).collect()
}
