//! What the shared view knows of the messages of a FETCH, gathered some at a time.

use std::{collections::HashMap, ops::Range};

use crate::{
    events::Entry,
    flags::Marks,
    ids::ModSeq,
    imap::{error::Error, flags, picture::Target, selected::Selected, session::Enabled},
    mail::{Actor, Mail, Mailbox, Messages, annotations::AllSaid},
    wire::Buffer,
};

/// One message: its number, and what the view or, when it is gone and the client was not told yet,
/// its tombstone says.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its number and UID.
    pub target: Target,
    /// All that is known of it.
    pub entry: Entry,
    recent: bool,
    /// Where in [`Gathered::flags`] its flags stand.
    flags: Range<usize>,
    /// What is said of it.
    pub said: AllSaid,
}

/// Some messages, numbers rising.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The messages that could be found.
    pub messages: Vec<Message>,
    /// How many could not: they are gone for longer than a tombstone lasts.
    pub missing: usize,
    flags: Buffer,
}

/// How flags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// With `\Recent`.
    Rev1,
    /// IMAP4rev2 has no `\Recent`.
    Rev2,
}

impl Flags {
    /// As this client reads them.
    pub fn of(enabled: Enabled) -> Self {
        if enabled.rev2 { Self::Rev2 } else { Self::Rev1 }
    }
}

impl Gathered {
    /// Gathers what the view knows, flags left aside.
    pub async fn gather(
        mail: &Mail,
        selected: &mut Selected,
        targets: &[Target],
    ) -> Result<Self, Error> {
        let found = selected.look(mail, |_, messages| look(messages, targets)).await?;
        let mut gathered = Self::default();
        for (target, mut entry) in targets.iter().copied().zip(found) {
            if entry.is_none() {
                entry = mail.expunged(selected.mailbox.id, target.uid).await?;
            }
            match entry {
                Some(entry) => {
                    let (recent, flags, said) = (false, 0..0, AllSaid::new());
                    gathered.messages.push(Message { target, entry, recent, flags, said });
                }
                None => gathered.missing += 1,
            }
        }
        Ok(gathered)
    }

    /// Writes out the flags as they are now, and takes the mod-sequences with them.
    pub async fn add_flags(
        &mut self,
        mail: &Mail,
        selected: &mut Selected,
        form: Flags,
    ) -> Result<(), Error> {
        if form == Flags::Rev1 {
            for message in &mut self.messages {
                message.recent = selected.is_recent(message.target.uid);
            }
        }
        selected.look(mail, |_, messages| self.write_flags(messages)).await
    }

    /// Brings what is said of the first messages, as many as there is room for; says of how many.
    pub async fn add_annotations(
        &mut self,
        mail: &Mail,
        actor: &Actor,
        mailbox: &Mailbox,
    ) -> Result<usize, Error> {
        let uids = self.messages.iter().map(|message| message.target.uid).collect();
        let all = mail.annotations(actor, mailbox, uids).await?;
        let count = all.len();
        self.messages.iter_mut().zip(all).for_each(|(message, said)| message.said = said);
        Ok(count)
    }

    /// The highest mod-sequence of these messages.
    pub fn mod_seq(&self) -> ModSeq {
        let all = self.messages.iter().map(|message| message.entry.mod_seq);
        all.max().unwrap_or_default()
    }

    /// The flags of a message, written out, brackets and all.
    pub fn flags(&self, message: &Message) -> &[u8] {
        self.flags.bytes().get(message.flags.clone()).unwrap_or(b"()")
    }

    /// Most messages bear one of few sets of flags: each set is written once.
    fn write_flags(&mut self, view: &Messages) {
        let mut written: HashMap<(Marks, bool), Range<usize>> = HashMap::new();
        let mut next = 0;
        for message in &mut self.messages {
            if let Some(place) = place(view, message.target, &mut next) {
                message.entry.marks = view.marks(place).unwrap_or_default();
                message.entry.mod_seq = view.mod_seqs().get(place).copied().unwrap_or_default();
            }
            let key = (message.entry.marks, message.recent);
            let range = written.entry(key).or_insert_with(|| {
                let start = self.flags.len();
                flags::write(&mut self.flags, message.entry.marks, message.recent, view);
                start..self.flags.len()
            });
            message.flags = range.clone();
        }
    }
}

fn look(messages: &Messages, targets: &[Target]) -> Vec<Option<Entry>> {
    let mut next = 0;
    let entry = |target: &Target| messages.entry(place(messages, *target, &mut next)?);
    targets.iter().map(entry).collect()
}

/// Where a message stands in the view. Neighbours in a set are mostly neighbours there too.
fn place(messages: &Messages, target: Target, next: &mut usize) -> Option<usize> {
    let place = match messages.uids().get(*next) {
        Some(uid) if *uid == target.uid => *next,
        _ => messages.place(target.uid).ok()?,
    };
    *next = place.saturating_add(1);
    Some(place)
}
