//! Deeds on messages: append, copy, move, mark, expunge. Each is one job of the store, so it happens
//! whole or not at all, and its answer is a [`Committed`].

use super::{
    Actor, Mail, Mailbox, Prepared,
    access::{Found, still},
    annotations::{self, AnnotationValue},
    drafts,
    error::{Error, Result},
    rights::Rights,
};
use crate::{
    flags::Flags,
    ids::{ModSeq, ThreadId, Uid, UidValidity},
    metrics::Limit,
    store::{
        Committed, Copied, MailboxRow, MarkDeed, MarkMask, MarkNames, MarkOutcome, NewMessage, Tx,
    },
};

/// A message on its way into a mailbox.
#[derive(Clone)]
pub struct NewMail {
    /// The octets and what was computed of them.
    pub message: Prepared,
    /// What it shall be marked with.
    pub marks: MarkNames,
    /// INTERNALDATE in seconds since 1970; None means now.
    pub internal_date: Option<i64>,
    /// What is said of it.
    pub annotations: Vec<AnnotationValue>,
}

/// What APPEND says (RFC 4315 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The mailbox's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UIDs the messages got, in order.
    pub uids: Vec<Uid>,
    /// May the actor know them?
    pub told: bool,
}

/// What COPY and MOVE say (RFC 4315 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedTo {
    /// The target's UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Source and new UIDs, in order; empty when none of the messages was there.
    pub copied: Copied,
    /// May the actor know the new ones?
    pub told: bool,
}

impl Mail {
    /// Puts messages into a mailbox, all or none (RFC 3502).
    pub async fn append(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        mails: Vec<NewMail>,
    ) -> Result<Committed<Appended>> {
        self.check_keywords(mails.iter().map(|mail| &mail.marks))?;
        let (mailbox, by, limits) = (mailbox.clone(), actor.account, self.limits);
        self.store
            .write(actor.origin, move |tx| {
                let found = still(tx, &mailbox, Rights::INSERT)?;
                let (row, rights, told) = (&found.row, found.rights, found.tells_uids());
                for mail in &mails {
                    annotations::check_new(&limits, rights, mail)?;
                }
                let octets = mails.iter().map(|mail| mail.message.size()).sum();
                tx.check_quota(row.account, octets, mails.len() as u64, limits.quota_octets)?;
                let mut new = Vec::with_capacity(mails.len());
                for mail in &mails {
                    new.push(mail.keep_by(tx, &found)?);
                }
                let entries = tx.append(row, &new)?;
                let uids: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
                for (mail, uid) in mails.iter().zip(&uids) {
                    annotations::say(tx, row, *uid, by, &mail.annotations, &limits)?;
                }
                drafts::ask_for_new(tx, by, row, &entries)?;
                Ok(Appended { uid_validity: row.uid_validity, uids, told })
            })
            .await
    }

    /// Copies messages; UIDs that are no longer there are passed over.
    pub async fn copy(
        &self,
        actor: &Actor,
        from: &Mailbox,
        uids: Vec<Uid>,
        to: &Mailbox,
    ) -> Result<Committed<CopiedTo>> {
        let by = actor.account;
        let (from, to, quota) = (from.clone(), to.clone(), self.limits.quota_octets);
        self.store
            .write(actor.origin, move |tx| {
                let from = still(tx, &from, Rights::READ)?.row;
                let to = still(tx, &to, Rights::INSERT)?;
                let told = to.tells_uids();
                let Found { row: to, rights, .. } = to;
                let (mut octets, mut count) = (0u64, 0);
                for uid in &uids {
                    if let Some(entry) = tx.message(from.id, *uid)? {
                        octets = octets.saturating_add(entry.size);
                        count += 1;
                    }
                }
                if count > 0 {
                    tx.check_quota(to.account, octets, count, quota)?;
                }
                let copied = tx.copy(&from, &uids, &to, rights.marks())?;
                if annotations::copy(tx, by, &from, &copied, (&to, rights))? {
                    for payer in [by, to.account] {
                        tx.check_quota(payer, 0, 0, quota)?;
                    }
                }
                Ok(CopiedTo { uid_validity: to.uid_validity, copied, told })
            })
            .await
    }

    /// Moves messages (RFC 6851): at every moment each is in exactly one of the two mailboxes.
    pub async fn move_messages(
        &self,
        actor: &Actor,
        from: &Mailbox,
        uids: Vec<Uid>,
        to: &Mailbox,
    ) -> Result<Committed<CopiedTo>> {
        let taking = Rights::READ.with(Rights::DELETE).with(Rights::EXPUNGE);
        let by = actor.account;
        let (from, to, quota) = (from.clone(), to.clone(), self.limits.quota_octets);
        self.store
            .write(actor.origin, move |tx| {
                let from = still(tx, &from, taking)?.row;
                let to = still(tx, &to, Rights::INSERT)?;
                let told = to.tells_uids();
                let Found { row: to, rights, .. } = to;
                let along = annotations::along(by, rights);
                let copied = tx.move_messages(&from, &uids, &to, rights.marks(), along)?;
                if from.account != to.account {
                    tx.check_quota(to.account, 0, 0, quota)?;
                }
                Ok(CopiedTo { uid_validity: to.uid_validity, copied, told })
            })
            .await
    }

    /// Puts a message into a mailbox and takes another one out of a mailbox, both or neither
    /// (RFC 8508 §3.4); None when the old one is gone already. Only the difference takes room.
    pub async fn replace(
        &self,
        actor: &Actor,
        from: &Mailbox,
        old: Uid,
        to: &Mailbox,
        new: NewMail,
    ) -> Result<Committed<Option<Appended>>> {
        self.check_keywords([&new.marks])?;
        let taking = Rights::DELETE.with(Rights::EXPUNGE);
        let (by, limits) = (actor.account, self.limits);
        let (from, to, quota) = (from.clone(), to.clone(), self.limits.quota_octets);
        self.store
            .write(actor.origin, move |tx| {
                let from = still(tx, &from, taking)?.row;
                let mut to_found = still(tx, &to, Rights::INSERT)?;
                if tx.message(from.id, old)?.is_none() {
                    return Ok(None);
                }
                annotations::check_new(&limits, to_found.rights, &new)?;
                tx.expunge(&from, &[old])?;
                to_found.row = tx.mailbox_by_id(to.id)?.ok_or(Error::NoMailbox)?;
                let (to, told) = (&to_found.row, to_found.tells_uids());
                tx.check_quota(to.account, new.message.size(), 1, quota)?;
                let message = new.keep_by(tx, &to_found)?;
                let entries = tx.append(to, &[message])?;
                let uids: Vec<_> = entries.iter().map(|entry| entry.uid).collect();
                for uid in &uids {
                    annotations::say(tx, to, *uid, by, &new.annotations, &limits)?;
                }
                drafts::ask_for_new(tx, by, to, &entries)?;
                Ok(Some(Appended { uid_validity: to.uid_validity, uids, told }))
            })
            .await
    }

    /// Changes flags and keywords, UIDs rising; `unchanged_since` as in RFC 7162 §3.1.3. Those for
    /// which the right is missing stay as they are; it is refused when that is all of them
    /// (RFC 4314 §4).
    pub async fn mark(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        uids: Vec<Uid>,
        deed: MarkDeed,
        names: MarkNames,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Committed<MarkOutcome>> {
        self.check_keywords([&names])?;
        let (mailbox, by) = (mailbox.clone(), actor.account);
        self.store
            .write(actor.origin, move |tx| {
                let Found { row, rights, .. } = still(tx, &mailbox, Rights::NONE)?;
                let needed = Rights::for_marks(deed, &names);
                if needed != Rights::NONE && !rights.meet(needed) {
                    return Err(Error::Forbidden);
                }
                let mask = rights.marks();
                let outcome = tx.mark_within(mask, &row, &uids, deed, &names, unchanged_since)?;
                if deed != MarkDeed::Remove && names.flags.contains(Flags::QUEUED) {
                    drafts::ask_for_marked(tx, by, &row, &outcome.changed)?;
                }
                Ok(outcome)
            })
            .await
    }

    /// Expunges the messages with `\Deleted`: all of them, or only those among `among` (UIDs rising,
    /// RFC 4315 §2.1). Gives the UIDs that are gone.
    pub async fn expunge(
        &self,
        actor: &Actor,
        mailbox: &Mailbox,
        among: Option<Vec<Uid>>,
    ) -> Result<Committed<Vec<Uid>>> {
        let mailbox = mailbox.clone();
        self.store
            .write(actor.origin, move |tx| {
                let row = still(tx, &mailbox, Rights::EXPUNGE)?.row;
                let mut gone =
                    if row.status.deleted > 0 { tx.deleted(row.id)? } else { Vec::new() };
                if let Some(among) = among {
                    gone.retain(|uid| among.binary_search(uid).is_ok());
                }
                Ok(tx.expunge(&row, &gone)?)
            })
            .await
    }

    pub(super) fn check_keywords<'m>(
        &self,
        names: impl IntoIterator<Item = &'m MarkNames>,
    ) -> Result<()> {
        let most = self.limits.keyword_octets;
        let too_long = names.into_iter().flat_map(|names| &names.keywords).any(|k| k.len() > most);
        if too_long {
            return Err(Error::Over(Limit::KeywordLengthMax, "the keyword is too long"));
        }
        Ok(())
    }
}

impl NewMail {
    /// Stores the octets and makes the message that is to be appended for the mailbox's owner.
    pub fn keep(&self, tx: &mut Tx<'_>, row: &MailboxRow) -> Result<NewMessage> {
        let thread = tx.thread(row.account, &self.message.content().references)?;
        self.keep_as(tx, row, MarkMask::ALL, thread)
    }

    /// The same for who found the mailbox, with the marks that they may set.
    pub(super) fn keep_by(&self, tx: &mut Tx<'_>, found: &Found) -> Result<NewMessage> {
        let thread = found.thread(tx, &self.message.content().references)?;
        self.keep_as(tx, &found.row, found.rights.marks(), thread)
    }

    fn keep_as(
        &self,
        tx: &mut Tx<'_>,
        row: &MailboxRow,
        mask: MarkMask,
        thread: ThreadId,
    ) -> Result<NewMessage> {
        let content = tx.add_content(self.message.content())?;
        let marks = tx.marks(row.id, &mask.of(&self.marks))?;
        let size = self.message.size();
        let internal_date = self.internal_date.unwrap_or_else(|| tx.now());
        Ok(NewMessage { content, size, marks, internal_date, thread })
    }
}
