//! A mailbox as an mbox file (RFC 4155, mboxrd quoting), with its messages' state in Status,
//! X-Status and X-Keywords.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{Sink, with_bare_line_ends};
use crate::control::messages::{MailboxInfo, Message};

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
        let temporary = path.with_extension("mbox.part");
        let out = BufWriter::new(fs::File::create(&temporary)?);
        Ok(Self { out, temporary, path })
    }
}

/// `Work/Plans.mbox`; a level that begins with a point cannot lead out of the folder.
fn file_name(mailbox: &str) -> PathBuf {
    let safe = |level: &str| match level.strip_prefix('.') {
        Some(rest) => format!("&AC4-{rest}"),
        None => level.to_owned(),
    };
    let levels: Vec<_> = mailbox.split('/').map(safe).collect();
    PathBuf::from(levels.join("/") + ".mbox")
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
    let end = memchr::memmem::find(octets, b"\n\n").map_or(octets.len(), |at| at + 1);
    let (header, body) =
        if octets.starts_with(b"\n") { (&[][..], octets) } else { octets.split_at(end) };
    quoted(out, header)?;
    out.write_all(notes(message).as_bytes())?;
    quoted(out, body)?;
    if !octets.ends_with(b"\n") {
        out.write_all(b"\n")?;
    }
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

/// The state of a message in header fields.
fn notes(message: &Message) -> String {
    let has = |flag: &str| message.flags.iter().any(|known| known == flag);
    let status = if has("\\Seen") { "RO" } else { "O" };
    let table = [("\\Answered", 'A'), ("\\Flagged", 'F'), ("\\Deleted", 'D'), ("\\Draft", 'T')];
    let letters: String =
        table.iter().filter(|(flag, _)| has(flag)).map(|(_, letter)| *letter).collect();
    let keywords: Vec<_> =
        message.flags.iter().filter(|flag| !flag.starts_with('\\')).map(String::as_str).collect();
    let mut notes = format!("Status: {status}\n");
    if !letters.is_empty() {
        notes.extend(["X-Status: ", &letters, "\n"]);
    }
    if !keywords.is_empty() {
        notes.extend(["X-Keywords: ", &keywords.join(" "), "\n"]);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_quoted_and_noted() {
        let flags = ["\\Seen", "\\Answered", "Work"].map(str::to_owned).to_vec();
        let message = Message { uid: 1, flags, date: 60, size: 0 };
        let mut out = Vec::new();
        write(&mut out, &message, b"Subject: x\n\nFrom here\n>From there\nend").unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "From MAILER-DAEMON Thu Jan  1 00:01:00 1970\nSubject: x\nStatus: RO\nX-Status: A\n\
             X-Keywords: Work\n\n>From here\n>>From there\nend\n\n"
        );
    }

    #[test]
    fn a_mailboxs_name_cannot_lead_out_of_the_folder() {
        assert_eq!(file_name("Work/Plans"), Path::new("Work/Plans.mbox"));
        assert_eq!(file_name("../../etc"), Path::new("&AC4-./&AC4-./etc.mbox"));
    }
}
