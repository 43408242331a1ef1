//! `mailade export`: a user's mailboxes into files that other programs read, with flags and dates.

mod maildir;
mod mbox;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};

use super::out;
use crate::control::{
    Access,
    messages::{MailboxInfo, Message},
};

/// Messages that are fetched while one is written.
const AHEAD: usize = 8;

/// Writes a user's mailboxes to files.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// The user.
    address: String,
    /// What the files shall be.
    kind: Kind,
    /// The folder for them; made when it is not there.
    dir: PathBuf,
}

/// What the files shall be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Maildir,
    Mbox,
}

/// Where messages of one mailbox go.
trait Sink {
    /// Is this message there already, from an export before?
    fn has(&self, message: &Message) -> bool;

    /// Writes one message.
    fn write(&mut self, message: &Message, octets: &[u8]) -> anyhow::Result<()>;

    /// The mailbox is complete.
    fn finish(&mut self) -> anyhow::Result<()>;
}

impl Export {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        let mailboxes: Vec<MailboxInfo> =
            access.get("mailboxes", &[("address", &self.address)]).await?;
        let bar = ProgressBar::new(mailboxes.iter().map(|mailbox| mailbox.messages).sum());
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let mut written = 0;
        for mailbox in &mailboxes {
            let place = || format!("{}: {}", self.dir.display(), mailbox.name);
            let mut sink: Box<dyn Sink> = match self.kind {
                Kind::Maildir => {
                    Box::new(maildir::Folder::open(&self.dir, mailbox).with_context(place)?)
                }
                Kind::Mbox => Box::new(mbox::File::create(&self.dir, mailbox).with_context(place)?),
            };
            written += self.mailbox(&access, mailbox, sink.as_mut(), &bar).await?;
            sink.finish().with_context(place)?;
        }
        bar.finish_and_clear();
        out::line(format_args!("{written} messages of {} mailboxes written", mailboxes.len()));
        Ok(())
    }

    /// Writes all messages of one mailbox; gives how many were not there yet.
    async fn mailbox(
        &self,
        access: &Access,
        mailbox: &MailboxInfo,
        sink: &mut dyn Sink,
        bar: &ProgressBar,
    ) -> anyhow::Result<usize> {
        let (mut written, mut after) = (0, 0);
        loop {
            let page = self.page(access, &mailbox.name, after).await?;
            let Some(last) = page.last() else {
                return Ok(written);
            };
            after = last.uid;
            let all = page.len();
            let wanted: Vec<_> = page.into_iter().filter(|message| !sink.has(message)).collect();
            bar.inc(u64::try_from(all - wanted.len())?);
            let octets = |message: Message| async {
                let octets = self.octets(access, &mailbox.name, message.uid).await;
                octets.map(|octets| (message, octets))
            };
            let mut fetched = stream::iter(wanted).map(octets).buffered(AHEAD);
            while let Some(fetched) = fetched.next().await {
                let (message, octets) = fetched?;
                sink.write(&message, &octets)?;
                written += 1;
                bar.inc(1);
            }
        }
    }

    async fn page(
        &self,
        access: &Access,
        mailbox: &str,
        after: u32,
    ) -> anyhow::Result<Vec<Message>> {
        let after = after.to_string();
        let query = [("address", &*self.address), ("mailbox", mailbox), ("after", &*after)];
        Ok(access.get("messages", &query).await?)
    }

    async fn octets(
        &self,
        access: &Access,
        mailbox: &str,
        uid: u32,
    ) -> anyhow::Result<axum::body::Bytes> {
        let uid = uid.to_string();
        let query = [("address", &*self.address), ("mailbox", mailbox), ("uid", &*uid)];
        Ok(access.get_octets("message", &query).await?)
    }
}

/// Octets with the line ends of files: LF alone.
fn with_bare_line_ends(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        let (line, end) = rest.split_at(at);
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = end.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
