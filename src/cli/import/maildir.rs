//! Maildir, with the subfolders of Maildir++ (`.Work.Plans`) and of nested folders.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
};

use super::letter::{Found, Letter, Source, Unread, changed, files, folders, read_bounded};
use crate::wire::utf7;

/// How deep maildirs may lie in each other.
const DEPTH: usize = 20;

/// Flags by their letters in a file's name; `P`assed is what IMAP calls forwarded.
pub(in crate::cli) const LETTERS: [(char, &str); 6] = [
    ('D', "\\Draft"),
    ('F', "\\Flagged"),
    ('P', "$Forwarded"),
    ('R', "\\Answered"),
    ('S', "\\Seen"),
    ('T', "\\Deleted"),
];

/// The file with keywords for which our own export has no letter: of each message a line, the name of
/// its file up to the flags and the keywords.
pub(in crate::cli) const FURTHER_KEYWORDS: &str = "mailade-keywords";

/// Octets of that file that are read.
const FURTHER_MAX: u64 = 64 << 20;

/// Every message file of the maildir at a path and of its subfolders.
pub(super) fn sources(root: &Path) -> io::Result<Vec<Source>> {
    if !root.join("cur").is_dir() && !root.join("new").is_dir() {
        return Err(io::Error::other("is no maildir: it has neither cur nor new"));
    }
    let mut sources = Vec::new();
    for folder in folders(root, DEPTH)? {
        let ours = matches!(name_of(&folder).as_str(), "cur" | "new" | "tmp");
        if ours || !folder.join("cur").is_dir() {
            continue;
        }
        let mailbox = mailbox(folder.strip_prefix(root).unwrap_or_else(|_| Path::new("")));
        for part in ["cur", "new"].map(|part| folder.join(part)) {
            if part.is_dir() {
                let file = |path| Source { mailbox: mailbox.clone(), path, named: false };
                sources.extend(files(&part)?.into_iter().map(file));
            }
        }
    }
    Ok(sources)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `.Work.Pl&AOQ-ne` is the mailbox Work/Pläne; `Work/Plans` stays what it is.
fn mailbox(below: &Path) -> String {
    let mut parts = Vec::new();
    for part in below.iter().map(|part| part.to_string_lossy()) {
        match part.strip_prefix('.') {
            Some(levels) => parts.extend(levels.split('.').map(decoded)),
            None => parts.push(decoded(&part)),
        }
    }
    parts.join("/")
}

fn decoded(name: &str) -> String {
    // Our own export writes a point within a level so.
    let name = name.replace("&AC4-", ".");
    utf7::decode(name.as_bytes()).unwrap_or(name)
}

/// The keywords of the folders seen so far.
#[derive(Default)]
pub(super) struct Keywords(BTreeMap<PathBuf, Known>);

/// The keywords of one folder.
struct Known {
    /// By the letters `a` to `z`.
    letters: Vec<(char, String)>,
    /// By the name of a message's file up to its flags.
    further: HashMap<String, Vec<String>>,
}

impl Keywords {
    fn of(&mut self, folder: &Path) -> &Known {
        self.0.entry(folder.to_owned()).or_insert_with(|| Known::read(folder))
    }
}

impl Known {
    /// `0 Work` in `dovecot-keywords` means that `a` stands for Work.
    fn read(folder: &Path) -> Self {
        let text = |name: &str, most| {
            let text = read_bounded(&folder.join(name), most).unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        };
        let entry = |line: &str| {
            let (number, name) = line.split_once(' ')?;
            let letter = ('a'..='z').nth(number.parse().ok()?)?;
            Some((letter, name.trim().to_owned()))
        };
        let further = |line: &str| {
            let (base, keywords) = line.split_once(' ')?;
            Some((base.to_owned(), keywords.split(' ').map(str::to_owned).collect()))
        };
        Self {
            letters: text("dovecot-keywords", 65_536).lines().filter_map(entry).collect(),
            further: text(FURTHER_KEYWORDS, FURTHER_MAX).lines().filter_map(further).collect(),
        }
    }
}

/// Reads one message file of at most `max` octets.
pub(super) fn read(source: &Source, keywords: &mut Keywords, max: u64) -> Found {
    let octets =
        read_bounded(&source.path, max).map_err(|cause| Unread::at(&source.path, cause))?;
    let part = source.path.parent().unwrap_or_else(|| Path::new(""));
    let in_new = name_of(part) == "new";
    let known = keywords.of(part.parent().unwrap_or_else(|| Path::new("")));
    let flags = if in_new { Vec::new() } else { flags(&name_of(&source.path), known) };
    Ok(Letter {
        doubt: None,
        place: source.path.display().to_string(),
        mailbox: source.mailbox.clone(),
        octets,
        flags,
        date: changed(&source.path),
    })
}

/// The flags behind `:2,` in a file's name; file systems without colons write `;` or `!`.
fn flags(name: &str, known: &Known) -> Vec<String> {
    let info = [":2,", ";2,", "!2,"].iter().find_map(|mark| name.rsplit_once(mark));
    let (base, letters) = info.unwrap_or((name, ""));
    let system = letters.chars().filter_map(|c| {
        LETTERS.iter().find(|(letter, _)| *letter == c).map(|(_, flag)| (*flag).to_owned())
    });
    let own = letters.chars().filter_map(|c| {
        known.letters.iter().find(|(letter, _)| *letter == c).map(|(_, keyword)| keyword.clone())
    });
    let further = known.further.get(base).into_iter().flatten().cloned();
    system.chain(own).chain(further).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_mailboxes_and_flags() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["cur", "new", "tmp", ".Work.Pl&AOQ-ne/cur", "Old/cur"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let put = |name: &str| std::fs::write(root.path().join(name), "Subject: x\n\n").unwrap();
        put("cur/1.a.host:2,RSb");
        put("new/2.b.host");
        put("tmp/3.c.host");
        put(".Work.Pl&AOQ-ne/cur/4.d.host:2,FP");
        put("Old/cur/5.e.host");
        std::fs::write(root.path().join("dovecot-keywords"), "0 Zero\n1 Work\n").unwrap();
        let mut keywords = Keywords::default();
        let found = sources(root.path()).unwrap();
        let found: Vec<_> =
            found.iter().map(|source| read(source, &mut keywords, 100).unwrap()).collect();
        let told: Vec<_> =
            found.iter().map(|letter| (letter.mailbox.as_str(), letter.flags.join(" "))).collect();
        assert_eq!(
            told,
            [
                ("", "\\Answered \\Seen Work".to_owned()),
                ("", String::new()),
                ("Work/Pläne", "\\Flagged $Forwarded".to_owned()),
                ("Old", String::new()),
            ]
        );
        assert!(found.iter().all(|letter| letter.date.is_some()));
    }

    #[test]
    fn links_and_pipes_in_a_folder_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("secret");
        std::fs::write(&elsewhere, "Subject: not yours\n\n").unwrap();
        let cur = root.path().join("md/cur");
        std::fs::create_dir_all(&cur).unwrap();
        std::os::unix::fs::symlink(&elsewhere, cur.join("1:2,S")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, cur.join("2:2,S"), 0o600.into()).unwrap();
        std::fs::hard_link(&elsewhere, cur.join("3:2,S")).unwrap();
        let found = sources(&root.path().join("md")).unwrap();
        let mut keywords = Keywords::default();
        let read: Vec<_> = found.iter().map(|source| read(source, &mut keywords, 100)).collect();
        let refused = |at: usize| read[at].as_ref().unwrap_err().to_string();
        assert!(refused(0).ends_with("a link or a special file is not read"), "{}", refused(0));
        assert!(refused(1).ends_with("a link or a special file is not read"), "{}", refused(1));
        assert!(read[2].is_ok());
    }

    #[test]
    fn another_folder_is_said_to_be_no_maildir() {
        let root = tempfile::tempdir().unwrap();
        assert!(sources(root.path()).unwrap_err().to_string().contains("is no maildir"));
    }
}
