//! FETCH and UID FETCH (RFC 9051 §6.4.5, §6.4.9; RFC 3501 §6.4.5), also of what has changed or is
//! gone since a mod-sequence (RFC 7162 §3.1.4, §3.2.6), and of some of the messages of a set
//! (RFC 9394 §3.3).
//!
//! What the shared view knows is answered from it; the rest is read from the store in jobs that bring
//! several messages each, and the next job runs while the answers of the last one are written.

use std::{collections::VecDeque, sync::Arc};

use super::{Command, Parsed, Running};
use crate::{
    flags::Flags as Mark,
    ids::{ModSeq, Uid},
    imap::{
        error::Error,
        extensions::Numbers,
        fetch::{
            ahead::Ahead,
            item::{self, Item},
            message::{Flags, Gathered},
            write::{self, Trouble},
        },
        message_limit,
        partial::Partial,
        picture::{By, Picture, Target},
        reply::{Code, Done, Replies, Vanished},
        resync::{self, Among},
        selected::{Access, Selected},
        session::{Enabled, Session},
    },
    mail::{
        self, Actor, Mail, Messages, Rights,
        binary::UndecodableContent,
        extract::{Extract, Piece, Wanted},
    },
    store::{MarkDeed, MarkNames},
    wire::{Cursor, Set, Syntax},
};

/// Messages that are gathered from the view at once.
const FROM_VIEW: usize = 1_000;
/// Messages that one job of the store is asked for.
const FROM_STORE: usize = 256;

struct Fetch {
    set: Set,
    by: By,
    items: Vec<Item>,
    /// The UID is among them, though nobody named it.
    uid_implied: bool,
    only: Only,
}

/// What a FETCH is narrowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Only {
    /// These of the messages of the set.
    partial: Option<Partial>,
    /// What is new of them.
    since: Option<Since>,
}

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Since {
    /// Only messages that changed after this.
    mod_seq: ModSeq,
    /// And the UIDs of those that are gone since.
    vanished: bool,
}

/// `"FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att)
/// ")") [fetch-modifiers]`
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
    let only = if args.rest().starts_with(b" (") {
        args.space()?;
        only(args, by)?
    } else {
        Only::default()
    };
    args.end()?;
    let uid_implied = by == By::Uid && !items.contains(&Item::Uid);
    if uid_implied {
        items.insert(0, Item::Uid);
    }
    if only.since.is_some() && !items.contains(&Item::ModSeq) {
        items.push(Item::ModSeq);
    }
    Ok(Box::new(Fetch { set, by, items, uid_implied, only }))
}

/// `fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"` (RFC 4466 §2.4), where
/// `fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP partial-range`;
/// a mod-sequence of zero means everything
fn only(args: &mut Cursor<'_>, by: By) -> Result<Only, Syntax> {
    let (mut mod_seq, mut vanished, mut partial) = (None, false, None);
    args.list(|args| {
        match args.word()?.to_ascii_uppercase().as_str() {
            "CHANGEDSINCE" if mod_seq.is_none() => {
                args.space()?;
                mod_seq = Some(ModSeq(args.number64()?));
            }
            "VANISHED" if by == By::Uid && !vanished => vanished = true,
            "PARTIAL" if partial.is_none() => {
                args.space()?;
                partial = Some(Partial::parse(args)?);
            }
            _ => return Err(Syntax::Expected("CHANGEDSINCE, PARTIAL, or VANISHED with UID FETCH")),
        }
        Ok(())
    })?;
    if mod_seq.is_none() && (vanished || partial.is_none()) {
        return Err(Syntax::Expected("CHANGEDSINCE"));
    }
    Ok(Only { partial, since: mod_seq.map(|mod_seq| Since { mod_seq, vanished }) })
}

impl Command for Fetch {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, actor) = (session.mail(), session.actor()?);
            if let Some(since) = self.only.since.filter(|since| since.vanished) {
                self.tell_vanished(&mail, session, since.mod_seq, out).await?;
            }
            let mut items = self.items;
            if self.uid_implied && session.enabled.uid_only {
                items.retain(|item| *item != Item::Uid); // it begins the answer
            }
            // Whoever asks for what comes after a UID shall see what has just come.
            session.tell(Numbers::Still, out).await?;
            if items.contains(&Item::ModSeq) {
                session.enable_condstore(out);
            }
            let (form, unasked) = (Flags::of(session.enabled), unasked(session.enabled));
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let mut targets = selected.targets(&mail, &self.set, self.by).await?;
            if let Some(partial) = self.only.partial {
                partial.keep(&mut targets);
            }
            if let Some(Since { mod_seq, .. }) = self.only.since {
                targets = resync::changed(&mail, selected, mod_seq, targets).await?;
            }
            let limit = message_limit::highest(&mut targets, most);
            if limit.is_some() {
                targets.reverse();
            }
            let mut work = Work {
                sets_seen: item::sets_seen(&items)
                    && selected.access == Access::ReadWrite
                    && selected.mailbox.rights.contain(Rights::SEEN),
                mail: &mail,
                actor: &actor,
                selected,
                form,
                unasked,
                outcome: Outcome::default(),
            };
            work.answer(&targets, &items, out).await?;
            message_limit::end(limit, work.outcome.done(), out, &session.door.metrics)
        })
    }
}

impl Fetch {
    /// What is gone is told before any FETCH response: numbers could be taken amiss otherwise.
    async fn tell_vanished(
        &self,
        mail: &Mail,
        session: &mut Session,
        since: ModSeq,
        out: &mut Replies,
    ) -> Result<(), Error> {
        if !session.enabled.qresync {
            return Err(Error::unfit("enable QRESYNC first"));
        }
        let among = Among::Set(&self.set);
        let uids = resync::vanished(mail, session.selected()?, since, among).await?;
        Vanished { uids, earlier: true }.write(out).await
    }
}

/// Tells flags and mod-sequences of messages to a client that comes back.
pub(super) async fn flags(
    mail: &Mail,
    actor: &Actor,
    selected: &mut Selected,
    enabled: Enabled,
    targets: &[Target],
    out: &mut Replies,
) -> Result<(), Error> {
    let form = Flags::of(enabled);
    let items = [Item::Uid, Item::Flags, Item::ModSeq];
    let items = items.get(usize::from(enabled.uid_only)..).unwrap_or_default(); // it begins the answer
    let outcome = Outcome::default();
    let mut work = Work { mail, actor, selected, form, unasked: &[], sets_seen: false, outcome };
    work.answer_by_view(targets, items, out).await
}

/// Tells new messages that nobody has asked for by a FETCH, each with its items.
pub async fn tell_new(
    mail: &Mail,
    actor: &Actor,
    selected: &mut Selected,
    enabled: Enabled,
    wanted: Vec<(Uid, Vec<Item>)>,
    out: &mut Replies,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let find = |picture: &mut Picture, messages: &Messages| {
        let living = messages.uids();
        let target = |uid: Uid| Some(Target { number: picture.number(uid, living)?, uid });
        wanted.iter().map(|(uid, _)| target(*uid)).collect::<Vec<_>>()
    };
    let targets = selected.look(mail, find).await?;
    let (form, outcome) = (Flags::of(enabled), Outcome::default());
    let mut work = Work { mail, actor, selected, form, unasked: &[], sets_seen: false, outcome };
    let wanted: Vec<_> = targets.into_iter().zip(wanted).collect();
    for alike in wanted.chunk_by(|(_, (_, one)), (_, (_, other))| one == other) {
        let Some((_, (_, items))) = alike.first() else { continue };
        let unasked = &[Item::Uid, Item::ModSeq];
        let from = usize::from(enabled.uid_only); // the UID begins the answer then
        let unasked = unasked.get(from..=usize::from(enabled.condstore)).unwrap_or_default();
        let items = item::once_each(unasked.iter().chain(items));
        let targets: Vec<_> = alike.iter().filter_map(|(target, _)| *target).collect();
        work.answer(&targets, &items, out).await?;
    }
    Ok(())
}

/// What is told of a message whose flags have changed by its being read.
fn unasked(enabled: Enabled) -> &'static [Item] {
    match (enabled.condstore, enabled.uid_only) {
        (true, false) => &[Item::Uid, Item::ModSeq, Item::Flags],
        (true, true) => &[Item::ModSeq, Item::Flags],
        (false, _) => &[Item::Flags],
    }
}

/// A FETCH at work.
struct Work<'w> {
    mail: &'w Mail,
    actor: &'w Actor,
    selected: &'w mut Selected,
    form: Flags,
    /// Items of messages that become read.
    unasked: &'static [Item],
    sets_seen: bool,
    outcome: Outcome,
}

/// Messages on their way: what the view knows of them, and the job that brings the rest.
struct Load<'w> {
    gathered: Gathered,
    extracts: Ahead<'w, mail::Result<Vec<mail::Result<Extract>>>>,
}

impl<'w> Work<'w> {
    async fn answer(
        &mut self,
        targets: &[Target],
        items: &[Item],
        out: &mut Replies,
    ) -> Result<(), Error> {
        match item::wanted(items) {
            None => self.answer_by_view(targets, items, out).await,
            Some(wanted) => self.answer_by_store(targets, items, &Arc::new(wanted), out).await,
        }
    }

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
            if items.contains(&Item::ModSeq) {
                self.selected.tell_mod_seq(gathered.mod_seq());
            }
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
        let mut more: Vec<_> = self.unasked.to_vec();
        more.retain(|item| !items.contains(item));
        let with_more: Vec<_> = items.iter().cloned().chain(more).collect();
        let bring_text = item::bring_text(items);
        let mut targets: VecDeque<Target> = targets.iter().copied().collect();
        let mut load = self.load(&mut targets, has_flags, wanted).await?;
        while let Some(Load { mut gathered, extracts }) = load {
            let extracts = extracts.finish().await?;
            // What the job had no room for comes with the next one.
            let mut room = extracts.len();
            if item::bring_annotations(items) {
                let mailbox = &self.selected.mailbox;
                room = gathered.add_annotations(self.mail, self.actor, mailbox).await?.min(room);
            }
            let behind = gathered.messages.split_off(room.min(gathered.messages.len()));
            behind.iter().rev().for_each(|message| targets.push_front(message.target));
            load = self.load(&mut targets, has_flags, wanted).await?;
            let shown: Vec<_> = extracts.iter().map(is_shown).collect();
            let newly_seen = self.set_seen(&mut gathered, &shown).await?;
            if items.contains(&Item::ModSeq)
                || !newly_seen.is_empty() && with_more.contains(&Item::ModSeq)
            {
                self.selected.tell_mod_seq(gathered.mod_seq());
            }
            for (message, extract) in gathered.messages.iter().zip(extracts) {
                let is_new = newly_seen.binary_search(&message.target.uid).is_ok();
                let items = if is_new { &with_more } else { items };
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
            if bring_text {
                let contents = gathered.messages.iter().map(|message| message.entry.content);
                self.mail.fetched(self.actor, contents);
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

    /// Marks messages that are shown as read in one change and writes out their new flags. Gives the
    /// UIDs of those that were not read before, rising. That it can't be kept is no reason not to show
    /// the messages.
    async fn set_seen(
        &mut self,
        gathered: &mut Gathered,
        shown: &[bool],
    ) -> Result<Vec<Uid>, Error> {
        if !self.sets_seen {
            return Ok(Vec::new());
        }
        let shown = gathered.messages.iter().zip(shown).filter(|(_, shown)| **shown);
        let unseen = shown
            .map(|(message, _)| message)
            .filter(|message| !message.entry.marks.flags.contains(Mark::SEEN));
        let mut uids: Vec<_> = unseen.map(|message| message.target.uid).collect();
        uids.sort_unstable();
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

/// Can a message be shown as it was asked for?
fn is_shown(extract: &mail::Result<Extract>) -> bool {
    let undecodable = |piece: &Piece| matches!(piece, Piece::Undecodable(_));
    extract.as_ref().is_ok_and(|extract| !extract.pieces.iter().any(undecodable))
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
        if self.trouble.no_part {
            return Err(mail::Error::NoPart.into());
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
