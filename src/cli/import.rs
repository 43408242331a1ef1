//! `mailade import`: mail from files into a user's mailboxes, with flags and dates.
//!
//! What is there already, with the same octets and date, is not added again, so an import that broke
//! off is simply started once more.

mod eml;
mod letter;
mod maildir;
mod mbox;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use self::letter::{Found, Letter, Source, Unread};
pub(super) use self::maildir::{FURTHER_KEYWORDS, LETTERS};
use super::out;
use crate::control::{
    Access,
    messages::{Head, MailboxInfo, Outcome},
};

/// Messages of one batch.
const BATCH_MESSAGES: usize = 64;

/// Octets after which a batch is sent.
const BATCH_OCTETS: usize = 4 << 20;

/// Reads mail from files into a user's mailboxes.
#[derive(Args, Debug)]
pub(super) struct Import {
    /// The user.
    address: String,
    /// What the files are.
    kind: Kind,
    /// An mbox file or a folder of them, a maildir, an .eml file or a folder of them.
    path: PathBuf,
    /// The mailbox it goes into, in place of INBOX; subfolders go below it.
    #[arg(long, value_name = "MAILBOX")]
    into: Option<String>,
}

/// What the files are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Mbox,
    Maildir,
    Eml,
}

/// Letters for one mailbox, in order.
#[derive(Default)]
struct Batch {
    mailbox: String,
    letters: Vec<Letter>,
    octets: usize,
}

/// What the reading thread passes on.
enum Read {
    Batch(Batch),
    Unread(Unread),
}

/// How it went.
#[derive(Default)]
struct Tally {
    added: usize,
    known: usize,
    refused: usize,
    broken: usize,
}

impl Import {
    pub(super) async fn run(self, access: Access, max: u64) -> anyhow::Result<()> {
        let sources = match self.kind {
            Kind::Mbox => mbox::sources(&self.path),
            Kind::Maildir => maildir::sources(&self.path),
            Kind::Eml => eml::sources(&self.path),
        };
        let sources = sources.with_context(|| self.path.display().to_string())?;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        let bar = progress(sources.iter().map(|source| size(&source.path)).sum());
        let known: Vec<MailboxInfo> =
            access.get("mailboxes", &[("address", &self.address)]).await?;
        let names: Vec<String> = known.into_iter().map(|mailbox| mailbox.name).collect();
        let (sender, mut batches) = mpsc::channel(2);
        let (kind, run) = (self.kind, run_number());
        let reading = tokio::task::spawn_blocking(move || read_all(kind, &sources, max, &sender));
        let mut tally = Tally::default();
        while let Some(read) = batches.recv().await {
            match read {
                Read::Unread(unread) => {
                    tally.refused += 1;
                    bar.suspend(|| out::complain(&unread.to_string()));
                }
                Read::Batch(batch) => {
                    let octets = batch.octets;
                    self.send(&access, &names, run, batch, &mut tally, &bar).await?;
                    bar.inc(u64::try_from(octets).unwrap_or(0));
                }
            }
        }
        reading.await.context("the reading thread")?;
        bar.finish_and_clear();
        tally.tell()
    }

    /// Sends one batch and counts what became of it.
    async fn send(
        &self,
        access: &Access,
        names: &[String],
        run: u64,
        batch: Batch,
        tally: &mut Tally,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        let mailbox = spelled(names, &self.target(&batch.mailbox));
        let run = run.to_string();
        let query = [("address", &*self.address), ("mailbox", &*mailbox), ("run", &*run)];
        let outcomes: Vec<Outcome> = access.post_octets("messages", &query, body(&batch)?).await?;
        for (letter, outcome) in batch.letters.iter().zip(&outcomes) {
            match outcome {
                Outcome::Known => tally.known += 1,
                Outcome::Refused(why) => {
                    tally.refused += 1;
                    bar.suspend(|| out::complain(&format!("{}: {why}", letter.place)));
                }
                Outcome::Added(_) => {
                    tally.added += 1;
                    if let Some(doubt) = &letter.doubt {
                        bar.suspend(|| out::complain(&format!("{}: {doubt}", letter.place)));
                    }
                    if let Some((fault, kept)) = fault(&letter.octets) {
                        tally.broken += 1;
                        let told = format!("{}: {fault}; {kept}", letter.place);
                        bar.suspend(|| out::complain(&told));
                    }
                }
            }
        }
        Ok(())
    }

    /// Where a mailbox of the files goes.
    fn target(&self, below: &str) -> String {
        match (self.into.as_deref(), below) {
            (None, "") => "INBOX".to_owned(),
            (None, below) => below.to_owned(),
            (Some(into), "") => into.to_owned(),
            (Some(into), below) => format!("{into}/{below}"),
        }
    }
}

impl Tally {
    fn tell(&self) -> anyhow::Result<()> {
        let Self { added, known, refused, broken } = self;
        out::line(format_args!("{added} added ({broken} of them broken), {known} already there"));
        if *refused > 0 {
            bail!("{refused} could not be imported");
        }
        Ok(())
    }
}

/// Tells this run's messages from those of others.
fn run_number() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() << 30 ^ u64::from(since.subsec_nanos()) ^ u64::from(std::process::id()) << 40
}

fn progress(octets: u64) -> ProgressBar {
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(style);
    ProgressBar::new(octets).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The name with the spelling of mailboxes that exist: two of them never differ by case alone.
fn spelled(names: &[String], name: &str) -> String {
    let mut spelled = String::new();
    for level in name.split('/') {
        if !spelled.is_empty() {
            spelled.push('/');
        }
        spelled.push_str(level);
        let folded = spelled.to_lowercase();
        if let Some(known) = names.iter().find(|known| known.to_lowercase() == folded) {
            spelled.clone_from(known);
        }
    }
    spelled
}

/// Reads everything in batches; ends early when nobody listens any more.
fn read_all(kind: Kind, sources: &[Source], max: u64, sender: &mpsc::Sender<Read>) {
    let mut batch = Batch::default();
    let mut keywords = maildir::Keywords::default();
    for source in sources {
        let going = match kind {
            Kind::Maildir => pass(maildir::read(source, &mut keywords, max), &mut batch, sender),
            Kind::Eml => pass(eml::read(source, max), &mut batch, sender),
            Kind::Mbox => match mbox::read(source, max) {
                Err(unread) => pass(Err(unread), &mut batch, sender),
                Ok(mut letters) => letters.all(|found| pass(found, &mut batch, sender)),
            },
        };
        if !going {
            return;
        }
    }
    flush(&mut batch, sender);
}

/// Adds a letter to the batch, or sends the batch first; false when nobody listens any more.
fn pass(found: Found, batch: &mut Batch, sender: &mpsc::Sender<Read>) -> bool {
    let letter = match found {
        Ok(letter) => letter,
        Err(unread) => return sender.blocking_send(Read::Unread(unread)).is_ok(),
    };
    let full = batch.letters.len() >= BATCH_MESSAGES || batch.octets >= BATCH_OCTETS;
    if (full || batch.mailbox != letter.mailbox) && !flush(batch, sender) {
        return false;
    }
    batch.mailbox.clone_from(&letter.mailbox);
    batch.octets += letter.octets.len();
    batch.letters.push(letter);
    true
}

fn flush(batch: &mut Batch, sender: &mpsc::Sender<Read>) -> bool {
    let batch = std::mem::take(batch);
    batch.letters.is_empty() || sender.blocking_send(Read::Batch(batch)).is_ok()
}

/// The batch as it is sent: of each message a line of JSON, then its octets.
fn body(batch: &Batch) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::with_capacity(batch.octets + batch.letters.len() * 128);
    for letter in &batch.letters {
        let size = u64::try_from(letter.octets.len())?;
        let head = Head { size, flags: letter.flags.clone(), date: letter.date };
        serde_json::to_writer(&mut body, &head)?;
        body.push(b'\n');
        body.extend_from_slice(&letter.octets);
    }
    Ok(body)
}

/// What is wrong with a message that is kept all the same, and how it is kept.
fn fault(octets: &[u8]) -> Option<(&'static str, &'static str)> {
    const AS_IT_IS: &str = "kept as it is";
    // No literal of IMAP can carry them (RFC 9051 §9).
    const NUL: &str = "the part with them is kept in base64; in a header they become blanks";
    let bare = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    let first = bare.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let name = first.split(|octet| *octet == b':').next().unwrap_or_default();
    if octets.is_empty() {
        Some(("it is empty", AS_IT_IS))
    } else if octets.contains(&0) {
        Some(("it holds NUL octets", NUL))
    } else if bare.len() < octets.len() {
        Some(("it begins with a byte order mark", AS_IT_IS))
    } else if name.len() == first.len() || !name.iter().all(u8::is_ascii_graphic) {
        Some(("it does not begin with a header field", AS_IT_IS))
    } else {
        None
    }
}

/// What is read of a message: its octets, flags and date.
#[cfg(test)]
pub(super) type Told = (Vec<u8>, Vec<String>, Option<i64>);

#[cfg(test)]
fn told(found: Found) -> Told {
    let Letter { octets, flags, date, .. } = found.unwrap();
    (octets, flags, date)
}

/// The messages of an mbox file, for the tests of what writes one.
#[cfg(test)]
pub(super) fn told_by_mbox(path: &Path) -> Vec<Told> {
    let source = Source { mailbox: String::new(), path: path.to_owned(), named: true };
    mbox::read(&source, 1 << 20).unwrap().map(told).collect()
}

/// The mailboxes that a folder of mbox files stands for, for the tests of what writes one.
#[cfg(test)]
pub(super) fn mailboxes_of_mboxes(path: &Path) -> Vec<String> {
    mbox::sources(path).unwrap().into_iter().map(|source| source.mailbox).collect()
}

/// The messages of a maildir, for the tests of what writes one.
#[cfg(test)]
pub(super) fn told_by_maildir(path: &Path) -> Vec<Told> {
    let mut keywords = maildir::Keywords::default();
    let sources = maildir::sources(path).unwrap();
    let read = |source| told(maildir::read(source, &mut keywords, 1 << 20));
    sources.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_keeps_the_spelling_that_exists() {
        let names = ["INBOX", "Sent", "Work", "Work/Plans"].map(str::to_owned);
        assert_eq!(spelled(&names, "inbox/sub"), "INBOX/sub");
        assert_eq!(spelled(&names, "WORK/plans/New"), "Work/Plans/New");
        assert_eq!(spelled(&names, "Other"), "Other");
    }

    #[test]
    fn faults_are_told_of_messages_that_are_kept() {
        assert_eq!(fault(b"Subject: x\r\n\r\nbody"), None);
        for broken in [&b""[..], b"\r\nbody", b"no header\n", b"Subject: a\0b\n\n", b" : x\n"] {
            assert!(fault(broken).is_some(), "{broken:?}");
        }
    }
}
