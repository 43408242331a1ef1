//! One APPEND of several messages (RFC 3502): all are kept or none, and what waits in memory is
//! bounded whatever their sum.
//!
//! Messages wait in memory until they weigh something. Then their contents are stored, where nobody
//! sees them before the last job puts all messages into the mailbox at once. When the APPEND fails
//! they are forgotten again; after a crash the sweeper finds that nothing refers to them.

use std::sync::Arc;

use super::{
    Actor, Appended, Mail, Mailbox, NewMail, Rights,
    access::{find, still},
    annotations::{self, AnnotationValue},
    drafts,
    error::{Error, Result},
    name::Place,
};
use crate::{
    events::Origin,
    flags::Marks,
    ids::{AccountId, ContentId, ThreadId},
    store::{Committed, MarkNames, NewMessage, Tx},
};

/// What messages may weigh that wait in memory.
const WAITING_MAX: u64 = 1 << 20;
/// What an annotation weighs besides its value.
const SAID: usize = size_of::<AnnotationValue>() + 255;
/// What the names of all their keywords and what is said of them may weigh.
const NAMES_MAX: usize = 1 << 20;

/// The messages of one APPEND up to now.
pub struct Appending {
    mail: Mail,
    actor: Actor,
    mailbox: Mailbox,
    waiting: Vec<NewMail>,
    weight: u64,
    kept: Vec<Kept>,
    octets: u64,
    /// The marks of the last message that was kept: most are marked alike.
    marks: Arc<MarkNames>,
    names: usize,
}

/// A message whose content is stored already.
#[derive(Clone)]
struct Kept {
    content: ContentId,
    /// When it was stored, if it was not there before.
    new: Option<i64>,
    size: u64,
    thread: ThreadId,
    marks: Arc<MarkNames>,
    internal_date: Option<i64>,
    annotations: Vec<AnnotationValue>,
}

impl Mail {
    /// Begins to put messages into a mailbox.
    pub fn appending(&self, actor: &Actor, mailbox: &Mailbox) -> Result<Appending> {
        mailbox.need(Rights::INSERT)?;
        Ok(Appending {
            mail: self.clone(),
            actor: *actor,
            mailbox: mailbox.clone(),
            waiting: Vec::new(),
            weight: 0,
            kept: Vec::new(),
            octets: 0,
            marks: Arc::default(),
            names: 0,
        })
    }

    /// Puts one message into a mailbox of this name: all is looked up in the one job that writes.
    ///
    /// # Errors
    /// Those of [`Self::open`] and of [`Appending::finish`].
    pub async fn append_one(
        &self,
        actor: &Actor,
        name: &str,
        new: NewMail,
    ) -> Result<Committed<Appended>> {
        self.check_keywords([&new.marks])?;
        let (actor, name, limits) = (*actor, name.to_owned(), self.limits);
        self.store
            .write(actor.origin, move |tx| {
                let found = find(tx, actor.account, &Place::of(&name))?.selectable()?;
                found.check(Rights::INSERT)?;
                let (row, rights, told) = (&found.row, found.rights, found.tells_uids());
                annotations::check_new(&limits, rights, &new)?;
                tx.check_quota(row.account, new.message.size(), 1, limits.quota_octets)?;
                let message = new.keep_by(tx, &found)?;
                let entries = tx.append(row, &[message])?;
                let uids: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
                for uid in &uids {
                    annotations::say(tx, row, *uid, actor.account, &new.annotations, &limits)?;
                }
                drafts::ask_for_new(tx, actor.account, row, &entries)?;
                Ok(Appended { uid_validity: row.uid_validity, uids, told })
            })
            .await
    }
}

impl Appending {
    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.kept.len() + self.waiting.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose room they take.
    pub fn owner(&self) -> AccountId {
        self.mailbox.account
    }

    /// How many octets they have.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Octets that all of it takes in memory.
    pub fn weight(&self) -> usize {
        let waiting = usize::try_from(self.weight).unwrap_or(usize::MAX);
        let kept = self.kept.len().saturating_mul(size_of::<Kept>());
        waiting.saturating_add(kept).saturating_add(self.names)
    }

    /// Adds a message that was made ready at this time (seconds since 1970).
    pub async fn add(&mut self, mail: NewMail, now: i64) -> Result<()> {
        self.mail.check_keywords([&mail.marks])?;
        annotations::check_new(&self.mail.limits, self.mailbox.rights, &mail)?;
        let said = mail.annotations.iter().filter_map(|value| value.value.as_ref());
        self.names += said.map(Vec::len).sum::<usize>() + mail.annotations.len() * SAID;
        self.octets = self.octets.saturating_add(mail.message.size());
        self.weight = self.weight.saturating_add(mail.message.weight());
        self.waiting.push(mail);
        if self.weight > WAITING_MAX { self.keep(now).await } else { Ok(()) }
    }

    /// Stores the contents of those that wait.
    async fn keep(&mut self, now: i64) -> Result<()> {
        let mails: Vec<_> = std::mem::take(&mut self.waiting);
        self.weight = 0;
        let mailbox = self.mailbox.clone();
        let origin = Origin { at: now, ..self.actor.origin };
        let prepared: Vec<_> = mails.iter().map(|mail| mail.message.clone()).collect();
        let stored = self.mail.store.write(origin, move |tx: &mut Tx<'_>| {
            let found = still(tx, &mailbox, Rights::INSERT)?;
            let keep = |message: &super::Prepared| {
                let (content, new) = tx.add_content_or_find(message.content())?;
                let thread = found.thread(tx, &message.content().references)?;
                Ok::<_, Error>((content, new.then_some(now), thread))
            };
            prepared.iter().map(keep).collect::<Result<Vec<_>>>()
        });
        let stored = stored.await?.into_inner();
        for (mail, (content, new, thread)) in mails.into_iter().zip(stored) {
            if *self.marks != mail.marks {
                self.names += mail.marks.keywords.iter().map(String::len).sum::<usize>();
                self.marks = Arc::new(mail.marks);
            }
            let (size, marks) = (mail.message.size(), Arc::clone(&self.marks));
            let (internal_date, annotations) = (mail.internal_date, mail.annotations);
            self.kept.push(Kept { content, new, size, thread, marks, internal_date, annotations });
        }
        if self.names > NAMES_MAX {
            return Err(Error::Limit("too many keywords and annotations in one APPEND"));
        }
        Ok(())
    }

    /// Puts all of them into the mailbox, or none.
    pub async fn finish(&mut self) -> Result<Committed<Appended>> {
        let (mailbox, limits) = (self.mailbox.clone(), self.mail.limits);
        let by = self.actor.account;
        let (kept, mails) = (self.kept.clone(), std::mem::take(&mut self.waiting));
        let octets = self.octets;
        self.mail
            .store
            .write(self.actor.origin, move |tx| {
                let found = still(tx, &mailbox, Rights::INSERT)?;
                let (row, told) = (&found.row, found.tells_uids());
                let count = kept.len() as u64 + mails.len() as u64;
                tx.check_quota(row.account, octets, count, limits.quota_octets)?;
                let mut new = Vec::with_capacity(kept.len() + mails.len());
                let mut known: Option<(&Arc<MarkNames>, Marks)> = None;
                for message in &kept {
                    let marks = match known {
                        Some((names, marks)) if Arc::ptr_eq(names, &message.marks) => marks,
                        _ => tx.marks(row.id, &found.rights.marks().of(&message.marks))?,
                    };
                    known = Some((&message.marks, marks));
                    tx.use_content(message.content)?;
                    let &Kept { content, size, thread, .. } = message;
                    let internal_date = message.internal_date.unwrap_or_else(|| tx.now());
                    new.push(NewMessage { content, size, marks, internal_date, thread });
                }
                for mail in &mails {
                    new.push(mail.keep_by(tx, &found)?);
                }
                let entries = tx.append(row, &new)?;
                let uids: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
                let said = kept.iter().map(|kept| &kept.annotations);
                let said = said.chain(mails.iter().map(|mail| &mail.annotations));
                for (said, uid) in said.zip(&uids) {
                    annotations::say(tx, row, *uid, by, said, &limits)?;
                }
                drafts::ask_for_new(tx, by, row, &entries)?;
                Ok(Appended { uid_validity: row.uid_validity, uids, told })
            })
            .await
    }

    /// Forgets the contents that were stored for nothing.
    pub async fn forget(self) {
        let new: Vec<_> =
            self.kept.iter().filter_map(|kept| Some((kept.content, kept.new?))).collect();
        if new.is_empty() {
            return;
        }
        let job = move |tx: &mut Tx<'_>| {
            new.iter().try_for_each(|(content, since)| tx.forget_unused(*content, *since))
        };
        if let Err(error) = self.mail.store.write(self.actor.origin, job).await {
            tracing::warn!(%error, "contents of a failed APPEND are left to the sweeper");
        }
    }
}
