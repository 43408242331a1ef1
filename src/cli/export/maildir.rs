//! A mailbox as a folder of Maildir++: `.Work.Pl&AOQ-ne` below the maildir of INBOX.

use std::{
    collections::HashSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{Sink, with_bare_line_ends};
use crate::{
    cli::import::{FURTHER_KEYWORDS, LETTERS},
    control::messages::{MailboxInfo, Message},
    wire::utf7,
};

/// One folder.
pub(super) struct Folder {
    path: PathBuf,
    uid_validity: u32,
    there: HashSet<String>,
    keywords: Vec<String>,
    /// Keywords for which there is no letter, a line for each message that has some.
    further: String,
}

impl Folder {
    pub(super) fn open(root: &Path, mailbox: &MailboxInfo) -> anyhow::Result<Self> {
        let path = root.join(folder_name(&mailbox.name));
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(path.join(part))?;
        }
        if path != root {
            fs::write(path.join("maildirfolder"), "")?;
        }
        let mut there = HashSet::new();
        for part in ["cur", "new"] {
            for entry in fs::read_dir(path.join(part))? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                there.insert(name.split(":2,").next().unwrap_or_default().to_owned());
            }
        }
        let known = fs::read_to_string(path.join("dovecot-keywords")).unwrap_or_default();
        let names = known.lines().filter_map(|line| line.split_once(' '));
        let keywords = names.map(|(_, name)| name.to_owned()).collect();
        let further = String::new();
        Ok(Self { path, uid_validity: mailbox.uid_validity, there, keywords, further })
    }

    /// The file's name without flags: the same at every export.
    fn base(&self, message: &Message) -> String {
        format!(
            "{}.V{}U{}.mailade,S={}",
            message.date, self.uid_validity, message.uid, message.size
        )
    }

    /// The letters of a message's flags; those of keywords are given out as they come, up to `z`.
    /// Further keywords are written down.
    fn letters(&mut self, message: &Message) -> String {
        let mut letters: Vec<char> = Vec::new();
        let mut further = Vec::new();
        for flag in &message.flags {
            if let Some((letter, _)) = LETTERS.iter().find(|(_, known)| known == flag) {
                letters.push(*letter);
            } else if !flag.starts_with('\\') {
                match self.letter(flag) {
                    Some(letter) => letters.push(letter),
                    None => further.push(flag.as_str()),
                }
            }
        }
        if !further.is_empty() {
            self.further.extend([&self.base(message), " ", &further.join(" "), "\n"]);
        }
        letters.sort_unstable();
        letters.into_iter().collect()
    }

    /// The letter of a keyword, as long as there are some.
    fn letter(&mut self, keyword: &str) -> Option<char> {
        let known = self.keywords.iter().position(|known| known == keyword);
        let at = known.unwrap_or(self.keywords.len());
        let letter = ('a'..='z').nth(at)?;
        if known.is_none() {
            self.keywords.push(keyword.to_owned());
        }
        Some(letter)
    }
}

/// A mailbox's folder below that of INBOX. Points within a level are encoded too.
fn folder_name(mailbox: &str) -> String {
    if mailbox.eq_ignore_ascii_case("inbox") {
        return String::new();
    }
    let levels = mailbox.split('/').map(|level| utf7::encode(level).replace('.', "&AC4-"));
    levels.fold(String::new(), |name, level| name + "." + &level)
}

impl Sink for Folder {
    fn has(&self, message: &Message) -> bool {
        self.there.contains(&self.base(message))
    }

    fn write(&mut self, message: &Message, octets: &[u8]) -> anyhow::Result<()> {
        let base = self.base(message);
        let letters = self.letters(message);
        let temporary = self.path.join("tmp").join(&base);
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&with_bare_line_ends(octets))?;
        if let Ok(seconds) = u64::try_from(message.date) {
            file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))?;
        }
        fs::rename(temporary, self.path.join("cur").join(format!("{base}:2,{letters}")))?;
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if !self.keywords.is_empty() {
            let mut file = fs::File::create(self.path.join("dovecot-keywords"))?;
            for (at, name) in self.keywords.iter().enumerate() {
                writeln!(file, "{at} {name}")?;
            }
        }
        if !self.further.is_empty() {
            let path = self.path.join(FURTHER_KEYWORDS);
            let mut file = fs::File::options().create(true).append(true).open(path)?;
            file.write_all(self.further.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_becomes_a_folder_below_that_of_inbox() {
        assert_eq!(folder_name("INBOX"), "");
        assert_eq!(folder_name("Work/Pläne"), ".Work.Pl&AOQ-ne");
        assert_eq!(folder_name("v1.0"), ".v1&AC4-0");
        assert_eq!(folder_name(".."), ".&AC4-&AC4-");
    }

    #[test]
    fn a_message_is_written_once_with_its_flags_and_date() {
        let root = tempfile::tempdir().unwrap();
        let mailbox = MailboxInfo { name: "INBOX".into(), uid_validity: 9, messages: 1 };
        let flags = ["\\Seen", "\\Flagged", "$Forwarded", "Work"].map(str::to_owned).to_vec();
        let message = Message { uid: 3, flags, date: 86_400, size: 14 };
        let mut folder = Folder::open(root.path(), &mailbox).unwrap();
        folder.write(&message, b"Subject: x\r\n\r\n").unwrap();
        folder.finish().unwrap();
        let file = root.path().join("cur/86400.V9U3.mailade,S=14:2,FPSa");
        assert_eq!(fs::read(&file).unwrap(), b"Subject: x\n\n");
        let changed = fs::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(changed, UNIX_EPOCH + Duration::from_hours(24));
        assert_eq!(fs::read_to_string(root.path().join("dovecot-keywords")).unwrap(), "0 Work\n");
        assert!(Folder::open(root.path(), &mailbox).unwrap().has(&message));
    }

    #[test]
    fn keywords_beyond_the_letters_come_back_too() {
        let root = tempfile::tempdir().unwrap();
        let mailbox = MailboxInfo { name: "INBOX".into(), uid_validity: 9, messages: 1 };
        let flags: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
        // Two exports: the second adds to what the first has written.
        for uid in [1, 2] {
            let message = Message { uid, flags: flags.clone(), date: 0, size: 2 };
            let mut folder = Folder::open(root.path(), &mailbox).unwrap();
            folder.write(&message, b"\r\n").unwrap();
            folder.finish().unwrap();
        }
        let mut wanted = flags;
        wanted.sort();
        let letters = crate::cli::import::told_by_maildir(root.path());
        assert_eq!(letters.len(), 2);
        for (_, mut flags, _) in letters {
            flags.sort();
            assert_eq!(flags, wanted);
        }
    }
}
