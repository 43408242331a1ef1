//! What is inside messages: summaries, headers, and octets as a stream.

use std::ops::Range;

use super::{
    Mail, Mailbox,
    error::{Error, Result},
};
use crate::{
    events::Entry,
    ids::{ContentId, MailboxId, ModSeq, Uid},
    store::{ContentParts, Want},
};

/// How many octets of a message are read in one step.
const STEP: u64 = 256 << 10;

impl Mail {
    /// What is known of some contents, in the order asked; bound the number by what the answers may
    /// weigh. One that is damaged is an error of its own and does not hide the others.
    pub async fn contents(
        &self,
        contents: Vec<ContentId>,
        want: Want,
    ) -> Result<Vec<Result<ContentParts>>> {
        self.store
            .read(move |r| {
                let mut parts = Vec::with_capacity(contents.len());
                for content in contents {
                    r.check_cancelled()?;
                    parts.push(r.content(content, want).map_err(Error::from));
                }
                Ok(parts)
            })
            .await
    }

    /// A stream of a message's octets, read in steps: a large message costs no memory of its size.
    pub fn octets(&self, content: ContentId, range: Range<u64>) -> Octets {
        Octets { mail: self.clone(), content, range }
    }

    /// A message that was expunged less than a day ago, for sessions that were not told yet.
    pub async fn expunged(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Entry>> {
        self.store.read(move |r| Ok(r.tombstone(mailbox, uid)?)).await
    }
}

impl Mail {
    /// Ranges of UIDs (first, last) that were expunged after `since`, in no order; None when that is
    /// too long ago to be known.
    pub async fn vanished(
        &self,
        mailbox: &Mailbox,
        since: ModSeq,
    ) -> Result<Option<Vec<(Uid, Uid)>>> {
        let id = mailbox.id;
        self.store.read(move |r| Ok(r.vanished(id, since)?)).await
    }
}

/// Octets of a stored message, in order.
pub struct Octets {
    mail: Mail,
    content: ContentId,
    range: Range<u64>,
}

impl Octets {
    /// The next octets, at most a few hundred thousand; None at the end. May be dropped half way.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        let Range { start, end } = self.range;
        if start >= end {
            return None;
        }
        let step = start..end.min(start.saturating_add(STEP));
        let (content, wanted) = (self.content, step.clone());
        let read = self.mail.store.read(move |r| Ok(r.octets(content, wanted)?)).await;
        match &read {
            // Beyond the end of the message.
            Ok(octets) if octets.is_empty() => {
                self.range.start = end;
                return None;
            }
            Ok(_) => self.range.start = step.end,
            Err(_) => self.range.start = end,
        }
        Some(read)
    }
}
