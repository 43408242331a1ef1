//! The mailbox a session has open: its handle, the client's picture of it, the news.

use std::{convert::Infallible, time::Duration};

use super::{
    annotation_news::AnnotationNews,
    command::fetch,
    contexts::{Contexts, update},
    error::Error,
    fetch::item::Item,
    flags::Known,
    news::{Untold, Wanted},
    notify::Wants,
    picture::{By, Picture, Target},
    reply::{Code, Replies},
    session::Enabled,
};
use crate::{
    events::{Door, Event, Interest, Kind, News, Subscription},
    ids::{AccountId, ModSeq, SessionId, Uid},
    mail::{self, Actor, Mail, Mailbox, Messages, Outline, Rights},
    wire::{Ranges, Set},
};

/// How long the event of a change that the view shows already may be on its way.
const NEWS_WAIT: Duration = Duration::from_secs(10);

/// How a mailbox was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By SELECT.
    ReadWrite,
    /// By EXAMINE.
    ReadOnly,
}

/// An open mailbox.
#[allow(clippy::struct_excessive_bools, reason = "each is news of its own")]
pub struct Selected {
    /// The handle: what its bearer may do.
    pub mailbox: Mailbox,
    /// SELECT or EXAMINE.
    pub access: Access,
    /// What `$` stands for, in UIDs (RFC 5182).
    pub saved: Ranges,
    /// Who has it open.
    pub user: AccountId,
    picture: Picture,
    events: Subscription,
    session: SessionId,
    /// What others say of messages, when the client wants to hear of it.
    said: Option<Box<AnnotationNews>>,
    /// The client is told of mod-sequences.
    hears_mod_seqs: bool,
    /// UIDs that are `\Recent` to this session.
    recent: Ranges,
    /// Something was heard since the last time the client was told.
    heard: bool,
    keywords_changed: bool,
    /// The rights of the user on a mailbox of others may have changed.
    rights_changed: bool,
    /// What the client was told of them.
    told_rights: Rights,
    /// Another session of the user has renewed the key of authorised URLs.
    key_changed: bool,
    deleted: bool,
    /// Searches that are kept up to date.
    contexts: Option<Box<Contexts>>,
    /// Messages that this session itself added since the client was last told of new ones.
    own: Ranges,
    /// This session itself added or removed messages, and was not told.
    own_arrivals: bool,
    /// The messages above this UID were counted in an EXISTS, and nothing more was told of them.
    arrived_after: Option<u32>,
}

/// What a client is told when its mailbox is opened.
#[derive(Debug)]
pub struct Opened {
    /// All flags it knows.
    pub flags: Known,
    /// How many messages.
    pub exists: u32,
    /// How many of them are `\Recent`.
    pub recent: u64,
    /// The number of the first without `\Seen`.
    pub unseen: Option<u32>,
    /// The UID that comes next.
    pub uid_next: u32,
    /// HIGHESTMODSEQ
    pub mod_seq: ModSeq,
}

impl Selected {
    /// Opens a mailbox. When nothing has happened since the change up to which the client `knows` it,
    /// none of its messages has to be in memory.
    pub async fn open(
        mail: &Mail,
        actor: &Actor,
        session: SessionId,
        mut mailbox: Mailbox,
        access: Access,
        knows: Option<ModSeq>,
    ) -> Result<(Self, Opened), Error> {
        // Listening begins before the look, so that nothing falls between.
        let events = mail.store().bus().subscribe(Interest::Mailbox(mailbox.id));
        mailbox.rights = mail.rights(&mailbox).await?;
        mailbox.need(Rights::READ)?;
        let writes = access == Access::ReadWrite && mailbox.rights.meet(Rights::CHANGING);
        if let Some(since) = knows
            && mail.cached_view(&mailbox).is_none()
            && let Some(outline) = mail.unchanged(&mailbox, since).await?
        {
            let opened = Opened::outlined(&outline, mail.limits().keywords);
            let last = opened.uid_next.saturating_sub(1);
            let picture = Picture::unseen(opened.exists, last, opened.mod_seq);
            let user = actor.account;
            return Ok((Self::new(mailbox, access, picture, events, session, user), opened));
        }
        let view = mail.view(&mailbox).await?;
        let recent_from = if writes {
            mail.take_recent(actor, &mailbox, &view)
        } else {
            view.messages().recent_uid()
        };
        let messages = view.messages();
        let mut recent = Ranges::default();
        if let Some(last) = messages.uids().last() {
            recent.insert_range(u32::try_from(recent_from).unwrap_or(u32::MAX)..=last.get());
        }
        let opened = Opened {
            flags: Known::in_view(&messages, mail.limits().keywords),
            exists: count(messages.len() as u64),
            recent: among(&recent, messages.uids()),
            unseen: first_unseen(&messages),
            uid_next: count(messages.uid_next()),
            mod_seq: messages.mod_seq(),
        };
        let picture = Picture::new(messages.uids(), messages.mod_seq());
        let mut selected = Self::new(mailbox, access, picture, events, session, actor.account);
        selected.recent = recent;
        Ok((selected, opened))
    }

    fn new(
        mailbox: Mailbox,
        access: Access,
        picture: Picture,
        events: Subscription,
        session: SessionId,
        user: AccountId,
    ) -> Self {
        let told_rights = mailbox.rights;
        Self {
            mailbox,
            access,
            saved: Ranges::default(),
            user,
            picture,
            events,
            session,
            said: None,
            hears_mod_seqs: false,
            recent: Ranges::default(),
            heard: false,
            keywords_changed: false,
            rights_changed: false,
            told_rights,
            key_changed: false,
            deleted: false,
            contexts: None,
            own: Ranges::default(),
            own_arrivals: false,
            arrived_after: None,
        }
    }

    /// What the client wants to hear of when others say something of messages.
    pub fn hear_annotations(&mut self, wanted: bool, enabled: Enabled) {
        self.said = wanted.then(Box::default);
        self.hears_mod_seqs = enabled.condstore;
    }

    /// Whether the client wants to hear from now on when others say something of messages.
    pub fn watch_annotations(&mut self, wanted: bool) {
        if wanted {
            self.said.get_or_insert_default();
        } else {
            self.said = None;
        }
    }

    /// The client is told of mod-sequences from now on.
    pub fn hear_mod_seqs(&mut self) {
        self.hears_mod_seqs = true;
    }

    /// Is this message `\Recent` here?
    pub fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid.get())
    }

    /// The UIDs that are `\Recent` here.
    pub fn recent(&self) -> &Ranges {
        &self.recent
    }

    /// Can anything be changed here, by the way it was opened and by right (RFC 4314 §5.2)?
    pub fn writes(&self) -> bool {
        self.access == Access::ReadWrite && self.mailbox.rights.meet(Rights::CHANGING)
    }

    /// The flags that this user can keep here: what PERMANENTFLAGS lists.
    pub fn permanent(&self, flags: &Known) -> String {
        match self.access {
            Access::ReadWrite => flags.permanent(self.mailbox.rights.marks()),
            Access::ReadOnly => "()".to_owned(),
        }
    }

    /// Refuses a change to a mailbox that was opened by EXAMINE.
    pub fn must_be_writable(&self) -> Result<(), Error> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::no(Code::ReadOnly, "the mailbox is open read-only")),
        }
    }

    /// Waits for something to happen in the mailbox, and takes it in. May be dropped half way
    /// without loss.
    pub async fn listen(&mut self) {
        let news = self.events.next().await;
        self.hear(news);
    }

    /// Takes in what happens while the client is silent: not each event, but before there are too
    /// many. Never ends by itself; may be dropped half way without loss.
    pub async fn keep_up(&mut self) -> Infallible {
        while !self.deleted {
            self.events.crowded().await;
            self.hear_all();
        }
        std::future::pending().await
    }

    /// Takes in what has happened already.
    fn hear_all(&mut self) {
        while let Some(news) = self.events.try_next() {
            self.hear(news);
            if self.deleted {
                return;
            }
        }
    }

    fn hear(&mut self, news: News) {
        self.heard = true;
        match news {
            News::Event(event) => self.hear_event(&event),
            News::Lagged => {
                self.picture.miss();
                if let Some(contexts) = &mut self.contexts {
                    contexts.miss();
                }
                self.rights_changed = !self.mailbox.is_own();
                if let Some(said) = &mut self.said {
                    said.lose();
                }
            }
            // Nothing will be heard any more; the session ends by the server's stop.
            News::Closed => self.deleted = true,
        }
    }

    fn hear_event(&mut self, event: &Event) {
        self.picture.hear(event.mod_seq);
        if let Some(contexts) = &mut self.contexts {
            contexts.hear(event);
        }
        let own = event.origin.door == Door::Imap && event.origin.session == Some(self.session);
        match &event.kind {
            Kind::MessageNew(entries) if own => {
                let uids = entries.iter().map(|entry| entry.uid.get());
                self.own = self.own.either(&uids.collect());
                self.own_arrivals = true;
            }
            Kind::MessageExpunge(uids) => {
                self.picture.hear_expunged(uids, event.mod_seq);
                self.own_arrivals |= own;
            }
            // Its own changes are told by the command that makes them.
            Kind::FlagChange(changes) if !own => {
                self.picture.hear_changed(changes.iter().map(|change| change.uid));
            }
            Kind::AnnotationChange(uids, entries) if !own => {
                let said = self.said.as_deref_mut().filter(|_| entries.are_told_to(self.user));
                if said.is_some() || self.hears_mod_seqs {
                    self.picture.hear_changed(uids.iter().copied());
                }
                if let Some(said) = said {
                    said.hear(uids, entries);
                }
            }
            Kind::KeywordNew(..) | Kind::KeywordUse(_) => self.keywords_changed = true,
            Kind::RightsChange => self.rights_changed = !self.mailbox.is_own(),
            Kind::KeyChange if !own => self.key_changed |= event.account == Some(self.user),
            Kind::MailboxDelete(_) => self.deleted = true,
            _ => {}
        }
    }

    /// Looks at the messages when the picture agrees with them, so that numbers are true. The
    /// closure must be quick: commits wait for it.
    pub async fn look<R>(
        &mut self,
        mail: &Mail,
        look: impl FnOnce(&mut Picture, &Messages) -> R,
    ) -> Result<R, Error> {
        self.look_all(mail, |picture, _, messages| look(picture, messages)).await
    }

    /// The same, with the searches that are kept up to date.
    pub async fn look_all<R>(
        &mut self,
        mail: &Mail,
        look: impl FnOnce(&mut Picture, Option<&mut Contexts>, &Messages) -> R,
    ) -> Result<R, Error> {
        let mut look = Some(look);
        loop {
            self.hear_all();
            self.look_at_rights(mail).await?;
            if self.deleted {
                return Err(gone());
            }
            if let Some(since) = self.picture.missed() {
                let vanished = mail.vanished(&self.mailbox, since).await?;
                self.picture.catch_up(&vanished.ok_or_else(lost_track)?);
            }
            let view = mail.view(&self.mailbox).await?;
            {
                let messages = view.messages();
                if self.picture.agrees(messages.uids())
                    && let Some(look) = look.take()
                {
                    let contexts = self.contexts.as_deref_mut();
                    return Ok(look(&mut self.picture, contexts, &messages));
                }
            }
            // The view is ahead of the events: the one that explains it is on its way.
            if tokio::time::timeout(NEWS_WAIT, self.listen()).await.is_err() {
                tracing::error!(mailbox = %self.mailbox.id, "a picture disagrees with its mailbox");
                return Err(lost_track());
            }
        }
    }

    /// Asks what the user may do, if that may have changed. Without `r` the session ends
    /// (RFC 4314 §5.1.1): it says no more than when the mailbox itself is gone.
    async fn look_at_rights(&mut self, mail: &Mail) -> Result<(), Error> {
        while self.rights_changed {
            self.rights_changed = false;
            let rights = match mail.rights(&self.mailbox).await {
                Ok(rights) if rights.contain(Rights::READ) => rights,
                Ok(_) | Err(mail::Error::NoMailbox) => return Err(gone()),
                Err(error) => {
                    self.rights_changed = true;
                    return Err(error.into());
                }
            };
            self.mailbox.rights = rights;
            self.hear_all();
        }
        Ok(())
    }

    /// The messages that a set names, numbers rising.
    pub async fn targets(&mut self, mail: &Mail, set: &Set, by: By) -> Result<Vec<Target>, Error> {
        let saved = std::mem::take(&mut self.saved);
        let found = self
            .look(mail, |picture, messages| picture.targets(set, by, messages.uids(), &saved))
            .await;
        self.saved = saved;
        Ok(found??)
    }

    /// Tells the client what happened; `expunges` too, if its numbers may change now. Gives the messages
    /// whose flags it was told, UIDs rising.
    pub async fn tell(
        &mut self,
        mail: &Mail,
        actor: &Actor,
        expunges: bool,
        wants: Wants,
        enabled: Enabled,
        out: &mut Replies,
    ) -> Result<Vec<Uid>, Error> {
        self.hear_all();
        let mut told = Vec::new();
        if self.heard {
            self.look_at_rights(mail).await?;
            let rights_changed = self.mailbox.rights != self.told_rights;
            let flags = self.keywords_changed && wants.flags || rights_changed;
            let keywords = flags.then_some(mail.limits().keywords);
            // What the client itself adds and removes it is told in any case.
            let exists = wants.arrivals || self.own_arrivals;
            let said = wants.annotations && self.said.is_some();
            let (expunges, changed) = (expunges && exists, wants.flags || said);
            let wanted = Wanted { expunges, exists, changed, keywords };
            let take = |picture: &mut Picture, contexts: Option<&mut Contexts>, view: &Messages| {
                let before = picture.last_told();
                // As long as the messages that are gone have their numbers.
                let gone = contexts.map(|contexts| contexts.remove_gone(picture, view));
                (gone.unwrap_or_default(), Untold::take(picture, view, wanted), before)
            };
            let (gone, mut untold, before) = self.look_all(mail, take).await?;
            for update in gone {
                out.put(update);
                out.breathe().await?;
            }
            self.own_arrivals &= !expunges;
            if flags {
                self.keywords_changed = false;
                let told = std::mem::replace(&mut self.told_rights, self.mailbox.rights);
                untold.rights = told != self.told_rights;
                let could = self.access == Access::ReadWrite && told.meet(Rights::CHANGING);
                untold.writes = Some(self.writes()).filter(|writes| *writes != could);
            }
            self.heard =
                !expunges && self.picture.has_expunged() || self.mailbox.rights != self.told_rights;
            if untold.exists.is_some() {
                self.arrived_after.get_or_insert(before);
                untold.recent = self.add_recent(mail, actor, before).await?;
            }
            if let Some(said) = &mut self.said {
                let names = said.take(mail, actor, &self.mailbox, untold.changed_uids()).await?;
                if wants.annotations {
                    untold.said = names;
                }
            }
            if !wants.flags {
                untold.keep_said();
            }
            if enabled.condstore {
                self.tell_mod_seq(untold.mod_seq());
            }
            untold.write(self, mail, enabled, out).await?;
            told = untold.changed_uids();
            if std::mem::take(&mut self.key_changed) {
                out.ok(&Code::UrlMech, "the key was renewed");
            }
        }
        if enabled.condstore && self.picture.believes_too_much() {
            out.ok(&Code::HighestModSeq(self.tell_highest()), "earlier changes are yet to be told");
        }
        Ok(told)
    }

    /// Tells the client, once it was told of the messages themselves, how the results have changed
    /// that are kept up to date, and these items of new messages.
    pub async fn tell_updates(
        &mut self,
        mail: &Mail,
        actor: &Actor,
        enabled: Enabled,
        items: &[Item],
        out: &mut Replies,
    ) -> Result<(), Error> {
        let last_told = self.picture.last_told();
        self.contexts.take_if(|contexts| contexts.is_empty());
        let (own, after) = (std::mem::take(&mut self.own), self.arrived_after.take());
        let mut updates = update::Updates::default();
        if self.contexts.as_ref().is_some_and(|contexts| !contexts.are_true(last_told)) {
            updates = update::updates(mail, self).await?;
        }
        // What a search and NOTIFY want of a message is told together (RFC 5465 §5.2).
        let fetch = updates.fetch.into_iter().filter(|(uid, _)| !own.contains(uid.get()));
        let fetch = fetch.map(|(uid, of_it)| (uid, [of_it.as_slice(), items].concat()));
        let fetch: Vec<_> = fetch.collect();
        let told: Vec<Uid> = fetch.iter().map(|(uid, _)| *uid).collect();
        fetch::tell_new(mail, actor, self, enabled, fetch, out).await?;
        for update in updates.lines {
            out.put(update);
            out.breathe().await?;
        }
        let Some(after) = after.filter(|_| !items.is_empty()) else { return Ok(()) };
        let is_new = |uid: &Uid| !own.contains(uid.get()) && told.binary_search(uid).is_err();
        let new = self.look(mail, |picture, messages| {
            let (living, last) = (messages.uids(), picture.last_told());
            let from = living.partition_point(|uid| uid.get() <= after);
            let to = living.partition_point(|uid| uid.get() <= last);
            let new = living.get(from..to).unwrap_or_default().iter();
            new.filter(|uid| is_new(uid)).map(|uid| (*uid, items.to_vec())).collect()
        });
        let new = new.await?;
        fetch::tell_new(mail, actor, self, enabled, new, out).await
    }

    /// Nothing more is to be told of messages that have come.
    pub fn forget_arrivals(&mut self) {
        self.own = Ranges::default();
        self.arrived_after = None;
    }

    /// The client is to be told what it did not want to hear till now.
    pub fn hear_again(&mut self) {
        self.heard = true;
    }

    /// The searches that are kept up to date.
    pub fn contexts(&self) -> Option<&Contexts> {
        self.contexts.as_deref()
    }

    /// The same; from now on it is listened to what they need to know.
    pub fn watch_changes(&mut self) -> &mut Contexts {
        let known = self.picture.heard();
        self.contexts.get_or_insert_with(|| Box::new(Contexts::new(known)))
    }

    /// Keeps searches up to date no more; false, and all go on, when there is none of one of the tags.
    pub fn cancel_contexts(&mut self, tags: &[String]) -> bool {
        let known = self.contexts.as_mut().is_some_and(|contexts| contexts.cancel(tags));
        self.contexts.take_if(|contexts| contexts.is_empty());
        known
    }

    /// The highest UID that was counted in an EXISTS.
    pub fn last_told(&self) -> u32 {
        self.picture.last_told()
    }

    /// A message's mod-sequence is told.
    pub fn tell_mod_seq(&mut self, mod_seq: ModSeq) {
        self.picture.tell_mod_seq(mod_seq);
    }

    /// Up to which change the client knows everything; it is told so.
    pub fn tell_highest(&mut self) -> ModSeq {
        self.picture.tell_highest()
    }

    /// Were expunges told, and not yet up to which change all is known now?
    pub fn is_behind(&self) -> bool {
        self.picture.is_behind()
    }

    /// What came since `before` is recent to us, if nobody was faster; says how many there are.
    async fn add_recent(&mut self, mail: &Mail, actor: &Actor, before: u32) -> Result<u64, Error> {
        let view = mail.view(&self.mailbox).await?;
        let from = if self.writes() {
            mail.take_recent(actor, &self.mailbox, &view)
        } else {
            view.messages().recent_uid()
        };
        let from = u32::try_from(from).unwrap_or(u32::MAX).max(before.saturating_add(1));
        self.recent.insert_range(from..=self.picture.last_told());
        Ok(among(&self.recent, view.messages().uids()))
    }
}

impl Opened {
    /// Of a mailbox where nothing is `\Recent`.
    fn outlined(outline: &Outline, most_keywords: usize) -> Self {
        let status = &outline.row.status;
        Self {
            flags: Known::of(status.fixed_keywords, &outline.keywords, most_keywords),
            exists: count(status.messages),
            recent: 0,
            unseen: outline.first_unseen.map(count),
            uid_next: count(status.uid_next),
            mod_seq: status.mod_seq,
        }
    }
}

fn gone() -> Error {
    Error::Bye(None, "the selected mailbox is gone")
}

fn lost_track() -> Error {
    Error::Bye(None, "lost track of the mailbox, please reconnect")
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn among(recent: &Ranges, living: &[Uid]) -> u64 {
    let count = |range: &std::ops::RangeInclusive<u32>| {
        let from = living.partition_point(|uid| uid.get() < *range.start());
        living.partition_point(|uid| uid.get() <= *range.end()) - from
    };
    recent.ranges().iter().map(|range| count(range) as u64).sum()
}

fn first_unseen(messages: &Messages) -> Option<u32> {
    use crate::flags::Flags;
    if messages.unseen() == 0 {
        return None;
    }
    let place = messages.flags().iter().position(|flags| !flags.contains(Flags::SEEN))?;
    u32::try_from(place + 1).ok()
}
