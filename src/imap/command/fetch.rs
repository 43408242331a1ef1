//! FETCH and UID FETCH (RFC 9051 §6.4.5, §6.4.9; RFC 3501 §6.4.5).
//!
//! What the shared view knows is answered from it; the rest is read from the store in jobs that bring
//! several messages each, and the next job runs while the answers of the last one are written.

use std::{collections::VecDeque, sync::Arc};

use super::{Command, Parsed, Running};
use crate::{
    flags::Flags as Mark,
    ids::Uid,
    imap::{
        error::Error,
        extensions::Numbers,
        fetch::{
            ahead::Ahead,
            item::{self, Item},
            message::{Flags, Gathered},
            write::{self, Trouble},
        },
        picture::{By, Target},
        reply::{Code, Done, Replies},
        selected::{Access, Selected},
        session::Session,
    },
    mail::{
        self, Actor, Mail, Rights,
        binary::UndecodableContent,
        extract::{Extract, Wanted},
    },
    store::{MarkDeed, MarkNames},
    wire::{Cursor, Set},
};

/// Messages that are gathered from the view at once.
const FROM_VIEW: usize = 1_000;
/// Messages that one job of the store is asked for.
const FROM_STORE: usize = 256;

struct Fetch {
    set: Set,
    by: By,
    items: Vec<Item>,
}

/// `"FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att)
/// ")")`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP fetch`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let set = args.set()?;
    args.space()?;
    let mut items = item::items(args)?;
    args.end()?;
    if by == By::Uid && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    Ok(Box::new(Fetch { set, by, items }))
}

impl Command for Fetch {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            // Whoever asks for what comes after a UID shall see what has just come.
            session.tell(Numbers::Still, out).await?;
            let (mail, actor) = (session.mail(), session.actor()?);
            let form = if session.enabled.rev2 { Flags::Rev2 } else { Flags::Rev1 };
            let selected = session.selected()?;
            let targets = selected.targets(&mail, &self.set, self.by).await?;
            let mut work = Work {
                sets_seen: item::sets_seen(&self.items)
                    && selected.access == Access::ReadWrite
                    && selected.mailbox.rights.contain(Rights::SEEN),
                mail: &mail,
                actor: &actor,
                selected,
                form,
                outcome: Outcome::default(),
            };
            match item::wanted(&self.items) {
                None => work.answer_by_view(&targets, &self.items, out).await?,
                Some(wanted) => {
                    work.answer_by_store(&targets, &self.items, &Arc::new(wanted), out).await?;
                }
            }
            work.outcome.done()
        })
    }
}

/// A FETCH at work.
struct Work<'w> {
    mail: &'w Mail,
    actor: &'w Actor,
    selected: &'w mut Selected,
    form: Flags,
    sets_seen: bool,
    outcome: Outcome,
}

/// Messages on their way: what the view knows of them, and the job that brings the rest.
struct Load<'w> {
    gathered: Gathered,
    extracts: Ahead<'w, mail::Result<Vec<mail::Result<Extract>>>>,
}

impl<'w> Work<'w> {
    /// Answers that need nothing but the view.
    async fn answer_by_view(
        &mut self,
        targets: &[Target],
        items: &[Item],
        out: &mut Replies,
    ) -> Result<(), Error> {
        let nothing = Extract::default();
        for chunk in targets.chunks(FROM_VIEW) {
            let gathered = self.gather(chunk, items.contains(&Item::Flags)).await?;
            for message in &gathered.messages {
                let trouble = &mut self.outcome.trouble;
                write::message(self.mail, &gathered, message, &nothing, items, trouble, out)
                    .await?;
            }
        }
        Ok(())
    }

    /// Answers that need the store: one job reads while the answers of the one before are written.
    async fn answer_by_store(
        &mut self,
        targets: &[Target],
        items: &[Item],
        wanted: &Arc<Wanted>,
        out: &mut Replies,
    ) -> Result<(), Error> {
        let has_flags = items.contains(&Item::Flags);
        let with_flags: Vec<_> =
            items.iter().cloned().chain((!has_flags).then_some(Item::Flags)).collect();
        let mut targets: VecDeque<Target> = targets.iter().copied().collect();
        let mut load = self.load(&mut targets, has_flags, wanted).await?;
        while let Some(Load { mut gathered, extracts }) = load {
            let extracts = extracts.finish().await?;
            // What the job had no room for comes with the next one.
            let behind = gathered.messages.split_off(extracts.len().min(gathered.messages.len()));
            behind.iter().rev().for_each(|message| targets.push_front(message.target));
            load = self.load(&mut targets, has_flags, wanted).await?;
            let newly_seen = self.set_seen(&mut gathered).await?;
            for (message, extract) in gathered.messages.iter().zip(extracts) {
                let is_new = newly_seen.binary_search(&message.target.uid).is_ok();
                let items = if is_new { &with_flags } else { items };
                let trouble = &mut self.outcome.trouble;
                match extract {
                    Ok(extract) => {
                        write::message(
                            self.mail, &gathered, message, &extract, items, trouble, out,
                        )
                        .await?;
                    }
                    Err(mail::Error::Damaged(cause)) => {
                        tracing::error!(%cause, uid = %message.target.uid, "a damaged message");
                        trouble.damaged = true;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// Gathers the next messages and sets the store to work for them; nothing when none is left.
    async fn load(
        &mut self,
        targets: &mut VecDeque<Target>,
        with_flags: bool,
        wanted: &Arc<Wanted>,
    ) -> Result<Option<Load<'w>>, Error> {
        while !targets.is_empty() {
            let chunk: Vec<_> = targets.drain(..targets.len().min(FROM_STORE)).collect();
            let gathered = self.gather(&chunk, with_flags).await?;
            if gathered.messages.is_empty() {
                continue;
            }
            let entries = gathered.messages.iter().map(|message| &message.entry);
            let contents = entries.map(|entry| (entry.content, entry.size)).collect();
            let extracts = Ahead::start(self.mail.extract(contents, Arc::clone(wanted))).await;
            return Ok(Some(Load { gathered, extracts }));
        }
        Ok(None)
    }

    async fn gather(&mut self, targets: &[Target], with_flags: bool) -> Result<Gathered, Error> {
        let mut gathered = Gathered::gather(self.mail, self.selected, targets).await?;
        if with_flags {
            gathered.add_flags(self.mail, self.selected, self.form).await?;
        }
        self.outcome.missing += gathered.missing;
        Ok(gathered)
    }

    /// Marks messages as read in one change and writes out their new flags. Gives the UIDs of
    /// those that were not read before, rising. That it can't be kept is no reason not to show
    /// the messages.
    async fn set_seen(&mut self, gathered: &mut Gathered) -> Result<Vec<Uid>, Error> {
        if !self.sets_seen {
            return Ok(Vec::new());
        }
        let unseen = gathered.messages.iter();
        let unseen = unseen.filter(|message| !message.entry.marks.flags.contains(Mark::SEEN));
        let uids: Vec<_> = unseen.map(|message| message.target.uid).collect();
        if uids.is_empty() {
            return Ok(uids);
        }
        let (mailbox, names) = (&self.selected.mailbox, MarkNames::flags(Mark::SEEN));
        match self.mail.mark(self.actor, mailbox, uids, MarkDeed::Add, names, None).await {
            Ok(outcome) => {
                gathered.add_flags(self.mail, self.selected, self.form).await?;
                Ok(outcome.changed.iter().map(|change| change.uid).collect())
            }
            Err(error) => {
                tracing::warn!(%error, "could not mark messages as read");
                Ok(Vec::new())
            }
        }
    }
}

/// What could not be told.
#[derive(Default)]
struct Outcome {
    missing: usize,
    trouble: Trouble,
}

impl Outcome {
    fn done(self) -> Result<Done, Error> {
        match self.trouble.undecodable {
            Some(UndecodableContent::UnknownEncoding) => {
                return Err(Error::no(Code::UnknownCte, "unknown transfer encoding"));
            }
            Some(UndecodableContent::Damaged) => {
                return Err(Error::no(Code::Parse, "a part can't be decoded"));
            }
            None => {}
        }
        if self.trouble.damaged {
            return Err(Error::no(Code::Corruption, "a message is damaged in the store"));
        }
        Ok(match self.missing {
            0 => Done::ok("fetched"),
            _ => Done::with("fetched; some messages are gone", Code::ExpungeIssued),
        })
    }
}
