//! Who may use whom: reads the sources and holds them against the map in docs/ARCHITECTURE.md.
//!
//! Only what the program is made of is read: comments, tests and what stands under `cfg(test)` may
//! do as they like.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each module, and all that it may use: what stands to its right, `wire`, and the few that the map
/// names beside.
const ARROWS: &[(&str, &str)] = &[
    ("main", "cli"),
    ("lib", ""),
    ("cli", "config control logging server wire"),
    (
        "server",
        "auth config control delivery events flags ids imap logging mail metrics net proxy queue \
         sessions smtp store submission wire",
    ),
    (
        "control",
        "auth config delivery events flags ids mail metrics queue server store submission wire",
    ),
    (
        "imap",
        "auth delivery events flags ids mail metrics net queue sessions store submission wire",
    ),
    (
        "smtp",
        "auth delivery events flags ids mail metrics net queue sessions store submission wire",
    ),
    ("proxy", "ids mail metrics net queue submission wire"),
    ("queue", "delivery events flags ids mail metrics net store submission wire"),
    ("submission", "auth delivery events flags ids mail metrics store wire"),
    ("delivery", "auth events flags ids mail metrics store wire"),
    ("mail", "events flags ids metrics store wire"),
    ("auth", "events flags ids metrics store wire"),
    ("store", "events flags ids metrics wire"),
    ("sessions", "events ids"),
    ("events", "flags ids"),
    ("net", "ids metrics wire"),
    ("config", "flags"),
    ("logging", "config ids metrics"),
    ("metrics", ""),
    ("wire", "flags ids metrics"),
    ("flags", ""),
    ("ids", ""),
];

/// Words that only one place may say, and those that say them for a reason of their own.
struct Reserved {
    words: &'static [&'static str],
    /// Folders that may not; empty: none may.
    among: &'static [&'static str],
    /// Files and folders that may.
    except: &'static [&'static str],
}

const SQL: Reserved = Reserved {
    words: &["rusqlite", "INSERT INTO", "DELETE FROM", "BEGIN IMMEDIATE"],
    among: &[],
    except: &["store/"],
};

/// The control socket is a file that only the owner reaches; the demonstration tries a port.
const SOCKETS: Reserved = Reserved {
    words: &["TcpStream", "TcpListener", "TcpSocket", "UdpSocket", "UnixStream", "UnixListener"],
    among: &[],
    except: &["net/", "control/socket.rs", "cli/demo.rs"],
};

/// The sweeper compares the age of files, and free space is looked up now and then: both look at
/// the world, not at mail.
const CLOCKS: Reserved = Reserved {
    words: &["Instant::now", "SystemTime::now", "Timestamp::now", "Zoned::now"],
    among: &["auth/", "mail/", "delivery/", "submission/", "store/", "events", "wire/", "ids"],
    except: &["store/sweeper.rs", "store/space.rs", "store/snapshots.rs"],
};

const TRANSACTIONS: Reserved =
    Reserved { words: &["Tx<", "store.write("], among: &["imap/", "smtp/", "proxy/"], except: &[] };

#[test]
fn every_module_uses_only_what_stands_to_its_right() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let name = module(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(module, _)| *module == name) else {
            faults.push(format!("{name} has no place on the map"));
            continue;
        };
        let allowed: Vec<_> = allowed.split_whitespace().collect();
        for used in used(&text).into_iter().filter(|used| *used != name) {
            if !allowed.contains(&used.as_str()) {
                faults.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn sql_stands_only_in_the_store() {
    hold(&SQL);
}

#[test]
fn sockets_stand_only_in_net() {
    hold(&SOCKETS);
}

#[test]
fn below_the_doors_nobody_looks_at_a_clock() {
    hold(&CLOCKS);
}

#[test]
fn a_door_opens_no_transaction() {
    hold(&TRANSACTIONS);
}

fn hold(reserved: &Reserved) {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let name = path.to_string_lossy();
        let is_in = |folders: &[&str]| folders.iter().any(|folder| name.starts_with(folder));
        if is_in(reserved.except) || !(reserved.among.is_empty() || is_in(reserved.among)) {
            continue;
        }
        let said = reserved.words.iter().filter(|word| text.contains(**word));
        faults.extend(said.map(|word| format!("{name} says {word}")));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// All files of the program below src/, without comments and tests.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let tests = files.iter().flat_map(|file| test_modules(file)).collect::<Vec<_>>();
    let is_test = |file: &Path| tests.iter().any(|test| file.starts_with(test) || file == test);
    files.retain(|file| !is_test(file) && !is_test(&file.with_extension("")));
    assert!(files.len() > 100, "only {} files were found", files.len());
    let each = files.into_iter().map(|file| {
        let text = code(&fs::read_to_string(&file).unwrap());
        (file.strip_prefix(&root).unwrap().to_owned(), text)
    });
    each.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files, without extension, of the modules that a file declares for tests only.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let folder = match file.file_name().unwrap().to_str() {
        Some("mod.rs" | "lib.rs" | "main.rs") => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    let after = text.split("#[cfg(test)]").skip(1);
    let declared = after.filter_map(|rest| {
        let line = rest.trim_start().lines().next()?.trim_start_matches("pub(crate) ");
        Some(folder.join(line.strip_prefix("mod ")?.strip_suffix(';')?))
    });
    declared.collect()
}

/// A file up to its tests, without the lines that are comments.
fn code(text: &str) -> String {
    let end = text.match_indices("#[cfg(test)]\nmod ").find(|(at, found)| {
        let line = text[at + found.len()..].lines().next().unwrap_or_default();
        line.ends_with('{')
    });
    let code = &text[..end.map_or(text.len(), |(at, _)| at)];
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// The first part of a path below src/.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy();
    first.strip_suffix(".rs").map_or_else(|| first.to_string(), str::to_owned)
}

/// The modules of the crate that a file names, in `use` lines or where it needs them.
fn used(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for start in ["crate::", "mailade::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
                named(&text[at + start.len()..], &mut names);
            }
        }
    }
    names
}

/// What stands behind `crate::`: a name, or several in braces.
fn named(rest: &str, names: &mut BTreeSet<String>) {
    let Some(inner) = rest.strip_prefix('{') else {
        names.insert(first_word(rest));
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.insert(first_word(inner[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.remove("");
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn names_are_read_from_lists_and_single_paths() {
    let text = "use crate::{\n    mail::{Mail, view},\n    net,\n    store::{self},\n};\nlet a = crate::ids::Uid;";
    let names: Vec<_> = used(text).into_iter().collect();
    assert_eq!(names, ["ids", "mail", "net", "store"]);
}

#[test]
fn comments_and_tests_are_passed_over() {
    let text = "// rusqlite\nfn a() {}\n#[cfg(test)]\nmod tests {\n    use rusqlite;\n}\n";
    assert_eq!(code(text), "fn a() {}\n");
}
