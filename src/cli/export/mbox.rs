//! A mailbox as an mbox file (RFC 4155, mboxrd quoting), with its messages' state in their headers
//! ([`notes`]).

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{Sink, with_bare_line_ends};
use crate::{
    cli::notes,
    control::messages::{MailboxInfo, Message},
};

/// What a mailbox's file ends with.
const ENDING: &str = ".mbox";
/// A point as modified UTF-7 never writes it: so an import tells it from one of ours.
const POINT: &str = "&AC4-";
/// What a file is called while it is written. No mailbox is called so: a level that begins with a point
/// is written otherwise.
const UNFINISHED: &str = ".mailade-export";

/// One file; it has its name only when it is complete.
pub(super) struct File {
    out: BufWriter<fs::File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl File {
    pub(super) fn create(root: &Path, mailbox: &MailboxInfo) -> anyhow::Result<Self> {
        let path = root.join(file_name(&mailbox.name));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        let temporary = path.with_file_name(UNFINISHED);
        let out = BufWriter::new(fs::File::create(&temporary)?);
        Ok(Self { out, temporary, path })
    }
}

/// `Work/Plans.mbox`. A level that begins with a point cannot lead out of the folder, and a folder is
/// not called as a mailbox's file is.
fn file_name(mailbox: &str) -> PathBuf {
    let safe = |level: &str| match level.strip_prefix('.') {
        Some(rest) => format!("{POINT}{rest}"),
        None => level.to_owned(),
    };
    let mut levels: Vec<_> = mailbox.split('/').map(safe).collect();
    let last = levels.pop().unwrap_or_default() + ENDING;
    for level in &mut levels {
        if let Some(stem) = level.strip_suffix(ENDING) {
            *level = format!("{stem}{POINT}mbox");
        }
    }
    levels.push(last);
    levels.iter().collect()
}

impl Sink for File {
    fn has(&self, _: &Message) -> bool {
        false
    }

    fn write(&mut self, message: &Message, octets: &[u8]) -> anyhow::Result<()> {
        write(&mut self.out, message, &with_bare_line_ends(octets))?;
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        fs::rename(&self.temporary, &self.path)?;
        Ok(())
    }
}

fn write(out: &mut impl Write, message: &Message, octets: &[u8]) -> std::io::Result<()> {
    let date = jiff::Timestamp::from_second(message.date).unwrap_or_default();
    writeln!(out, "From MAILER-DAEMON {}", date.strftime("%a %b %e %H:%M:%S %Y"))?;
    quoted(out, &notes::written(octets, &message.flags))?;
    out.write_all(b"\n")
}

/// Lines that a reader could take for a separator get a `>` in front.
fn quoted(out: &mut impl Write, text: &[u8]) -> std::io::Result<()> {
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        let quotes = line.iter().take_while(|octet| **octet == b'>').count();
        if line.get(quotes..).is_some_and(|rest| rest.starts_with(b"From ")) {
            out.write_all(b">")?;
        }
        out.write_all(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::import;

    #[test]
    fn a_message_is_quoted_and_noted() {
        let flags = ["\\Seen", "\\Answered", "Work"].map(str::to_owned).to_vec();
        let message = Message { uid: 1, flags, date: 60, size: 0 };
        let mut out = Vec::new();
        write(&mut out, &message, b"Subject: x\n\nFrom here\n>From there\nend").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "From MAILER-DAEMON Thu Jan  1 00:01:00 1970\nSubject: x\nStatus: RO\nX-Status: A\n\
             X-Keywords: Work\nX-Mailade-End: open\n\n>From here\n>>From there\nend\n\n"
        );
    }

    #[test]
    fn a_mailboxs_name_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("Work/Plans"), Path::new("Work/Plans.mbox"));
        assert_eq!(file_name("../../etc"), Path::new("&AC4-./&AC4-./etc.mbox"));
    }

    #[test]
    fn no_mailbox_stands_in_anothers_way() {
        assert_eq!(file_name("X.mbox/Y.mbox"), Path::new("X&AC4-mbox/Y.mbox.mbox"));
        let root = tempfile::tempdir().unwrap();
        let names = ["X", "X.mbox", "X.mbox/Y", ".mailade-export", "X/.mailade-export/.Z"];
        for name in names {
            let mailbox = MailboxInfo { name: name.to_owned(), uid_validity: 1, messages: 0 };
            File::create(root.path(), &mailbox).unwrap().finish().unwrap();
        }
        let mut found = import::mailboxes_of_mboxes(root.path());
        found.sort();
        let mut wanted = names.map(str::to_owned);
        wanted.sort();
        assert_eq!(found, wanted);
    }

    /// What an import reads of a file with these messages.
    fn read_back(messages: &[(Vec<u8>, Vec<String>)]) -> Vec<import::Told> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (octets, flags) in messages {
            let size = octets.len() as u64;
            let message = Message { uid: 1, flags: flags.clone(), date: 86_461, size };
            write(&mut file, &message, octets).unwrap();
        }
        file.flush().unwrap();
        import::told_by_mbox(file.path())
    }

    fn message() -> impl Strategy<Value = (Vec<u8>, Vec<String>)> {
        let line = prop::sample::select(vec![
            "From a@b Thu Jan  1 00:01:00 1970",
            ">From x",
            "From ",
            "Subject: x",
            " folded",
            "Status: RO",
            "status: delivered",
            "X-Keywords: a, b",
            "X-Mailade-End: open",
            "X-Mailade-Own-Status: R",
            "no header",
            "nul \0 octets",
            "lone \r return",
            "\r",
            "",
            "",
        ]);
        let octets =
            (prop::collection::vec(line, 0..8), any::<bool>()).prop_map(|(lines, open)| {
                let text = lines.join("\n");
                let end = if open || text.is_empty() { "" } else { "\n" };
                (text + end).into_bytes()
            });
        let flag = prop::sample::select(vec![
            "\\Answered",
            "\\Deleted",
            "\\Draft",
            "\\Flagged",
            "\\Seen",
            "$Forwarded",
            "a,b",
            "Work",
        ]);
        (octets, prop::collection::btree_set(flag.prop_map(str::to_owned), 0..4))
            .prop_map(|(octets, flags)| (octets, flags.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(messages in prop::collection::vec(message(), 0..4)) {
            let wanted: Vec<_> = messages.iter().cloned().map(|(octets, mut flags)| {
                flags.sort();
                (octets, flags, Some(86_461))
            }).collect();
            prop_assert_eq!(read_back(&messages), wanted);
        }
    }
}
