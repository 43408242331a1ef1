//! A message that was checked, and the store job that delivers it: octets stored once, a place in each
//! mailbox, a row of the queue for who has no room yet, and a report for those senders who asked for one.

use std::collections::HashSet;

use super::{
    deliver::{Delivery, Error, Incoming, Outcome, Share},
    recipient::{Addressee, Quota, Refusal},
};
use crate::{
    ids::{AccountId, ContentId, MailboxId},
    mail::{
        self, Mail, NewMail, Prepared, field,
        posting::{self, INBOX},
    },
    store::{self, MailboxRow, MarkNames, NewQueued, NewTrace, RecipientState, Tx},
    wire::{
        address::{Address, ReversePath},
        envelope::Envelope,
    },
};

/// A message that was checked and waits for its store job.
pub struct Arrived {
    trace: String,
    author: Option<AccountId>,
    envelope: Envelope,
    addressees: Vec<Addressee>,
    arrival: String,
    message: Prepared,
    quota: Quota,
    queue_max: u64,
}

impl Delivery {
    /// Checks and prepares a message that comes in; [`Arrived::hand_over`] does the rest within a store
    /// job.
    pub async fn arrived(&self, incoming: Incoming) -> Result<Arrived, Error> {
        let home = sole_home(&incoming.addressees);
        let said = home.filter(|home| incoming.envelope.utf8 || home.is_ascii());
        self.prepare(incoming, said).await
    }

    /// The same for a message that was taken before and waits in the queue. Its octets stay as they are
    /// there, so that it can be told who has it already.
    pub async fn arrived_before(&self, incoming: Incoming) -> Result<Arrived, Error> {
        self.prepare(incoming, None).await
    }

    /// `said`: whose mailbox its header shall name.
    async fn prepare(&self, incoming: Incoming, said: Option<String>) -> Result<Arrived, Error> {
        let Incoming { trace, author, envelope, addressees, received, arrival, message } = incoming;
        let home = sole_home(&addressees);
        let ours = said.iter().count();
        let mut head = return_path(&envelope.reverse_path);
        head.extend(
            said.map(|home| format!("Delivered-To: {home}\r\n")).unwrap_or_default().bytes(),
        );
        let own_hops = hops(&received);
        head.extend(received);
        let edit = move |header: Vec<u8>| {
            without(&header, b"Return-Path", &mut head);
            head
        };
        let message = self.mail.prepare(message, edit).await?;
        self.check_hops(hops(message.header()).saturating_sub(own_hops))?;
        if home.as_ref().is_some_and(|home| deliveries(&message, home) > ours) {
            return Err(Refusal::Again.into());
        }
        let (quota, queue_max) = (self.quota(), self.settings.queue_max);
        Ok(Arrived { trace, author, envelope, addressees, arrival, message, quota, queue_max })
    }
}

impl Arrived {
    /// Its octets, counted.
    pub fn size(&self) -> u64 {
        self.message.size()
    }

    /// Delivers it, as a part of a store job, to those it can be delivered to; one outcome for each
    /// addressee, in order. See [`Delivery::deliver`].
    pub fn hand_over(&self, tx: &mut Tx<'_>, share: Share) -> Result<Vec<Outcome>, Error> {
        received_by(tx, &self.trace, None, &self.arrival)?;
        let all: Vec<_> = self.addressees.iter().collect();
        let (outcomes, content) = keep(tx, &self.letter(), &all)?;
        if let Some(refusal) = refusal_for_all(share, &outcomes) {
            return Err(Error::Refused(refusal));
        }
        if let Some(content) = content {
            self.enqueue(tx, share, &outcomes, content)?;
        }
        Ok(outcomes)
    }

    /// The same for who waited in the queue, save what becomes of the rows there. A mailbox that has
    /// this message by another recipient of it does not get it again.
    pub fn hand_over_late(&self, tx: &mut Tx<'_>) -> Result<Vec<Outcome>, Error> {
        let all: Vec<_> = self.addressees.iter().collect();
        let content = tx.add_content(self.message.content())?;
        let served = tx.delivered(&self.trace, content)?.into_iter().collect();
        Ok(keep_for_others(tx, &self.letter(), &all, served)?.0)
    }

    fn letter(&self) -> Letter<'_> {
        let Self { trace, author, message, quota, .. } = self;
        Letter { trace, author: *author, message, quota: *quota }
    }

    /// Queues those who have no room yet, and the word that a message was delivered for those whose
    /// sender asked for it (RFC 3461 §5.2.6).
    fn enqueue(
        &self,
        tx: &mut Tx<'_>,
        share: Share,
        outcomes: &[Outcome],
        content: ContentId,
    ) -> Result<(), Error> {
        let reports = !self.envelope.reverse_path.is_null();
        let mut waiting = 0_usize;
        let mut recipients = Vec::new();
        for (Addressee { recipient, .. }, outcome) in self.addressees.iter().zip(outcomes) {
            let success = recipient.notify.is_some_and(|notify| notify.success);
            match outcome {
                Ok(()) if reports && success => {
                    recipients.push((recipient, RecipientState::Delivered));
                }
                Err(_) if share == Share::Later => {
                    waiting = waiting.saturating_add(1);
                    recipients.push((recipient, RecipientState::Waiting));
                }
                _ => {}
            }
        }
        if recipients.is_empty() {
            return Ok(());
        }
        if waiting > 0 && tx.queue_length(None)?.1 >= self.queue_max {
            return Err(Refusal::QueueFull.into());
        }
        let Self { envelope, trace, .. } = self;
        let (account, recipients) = (None, recipients.as_slice());
        let id = tx.enqueue(&NewQueued { account, envelope, recipients, content, trace })?;
        if waiting > 0 {
            let (step, detail) = ("queued", format!("{waiting} recipients as {id}"));
            tx.trace(&NewTrace { trace, step, detail: &detail, ..NewTrace::default() })?;
        }
        Ok(())
    }
}

/// Why nobody gets the message, when that is so. What may be tried again is said before what may not:
/// else the others' mail would be lost with that of one.
pub(super) fn refusal_for_all(share: Share, outcomes: &[Outcome]) -> Option<Refusal> {
    let mut refusals = outcomes.iter().filter_map(|outcome| outcome.err());
    match share {
        Share::Each => None,
        Share::All => refusals.next(),
        Share::Later if outcomes.iter().any(Result::is_ok) => None,
        Share::Later => {
            let first = refusals.clone().next();
            refusals.find(|refusal| refusal.is_temporary()).or(first)
        }
    }
}

/// A message in the hands of [`keep`].
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// The id that follows it through the house.
    pub trace: &'a str,
    /// The user who wrote it; None for who did not log in.
    pub author: Option<AccountId>,
    /// Its octets and what was computed of them.
    pub message: &'a Prepared,
    /// How much room accounts have.
    pub quota: Quota,
}

/// Puts a message into the mailbox of each addressee, as a part of a store job. A mailbox that is
/// meant twice gets it once; an addressee of several accounts has all of them served, or none. Gives
/// the stored content if anybody has it.
pub fn keep(
    tx: &mut Tx<'_>,
    letter: &Letter<'_>,
    addressees: &[&Addressee],
) -> Result<(Vec<Outcome>, Option<ContentId>), mail::Error> {
    keep_for_others(tx, letter, addressees, HashSet::new())
}

/// The same, but those served have it already.
fn keep_for_others(
    tx: &mut Tx<'_>,
    letter: &Letter<'_>,
    addressees: &[&Addressee],
    mut served: HashSet<MailboxId>,
) -> Result<(Vec<Outcome>, Option<ContentId>), mail::Error> {
    let mut content = None;
    let mut outcomes = Vec::with_capacity(addressees.len());
    for addressee in addressees {
        let mut missing: Vec<(AccountId, MailboxRow)> = Vec::new();
        for account in &addressee.accounts {
            let mailbox = mailbox(tx, letter, *account, addressee)?;
            let twice = missing.iter().any(|(_, known)| known.id == mailbox.id);
            if !twice && !served.contains(&mailbox.id) {
                missing.push((*account, mailbox));
            }
        }
        let outcome = check_room(tx, letter, missing.iter().map(|(account, _)| *account))?;
        if outcome.is_ok() {
            for (account, mailbox) in missing {
                content = Some(keep_for(tx, letter, account, &mailbox, addressee)?);
                served.insert(mailbox.id);
            }
        }
        outcomes.push(outcome);
    }
    Ok((outcomes, content))
}

/// Where an account gets a message: in the mailbox that is addressed, as long as it is there and the
/// sender may post there, else in INBOX.
fn mailbox(
    tx: &mut Tx<'_>,
    letter: &Letter<'_>,
    account: AccountId,
    addressee: &Addressee,
) -> Result<MailboxRow, mail::Error> {
    let named = addressee.mailbox(account).map(|id| tx.mailbox_by_id(id)).transpose()?.flatten();
    if let Some(mailbox) = named.filter(|mailbox| mailbox.selectable)
        && posting::admits(tx, letter.author, &mailbox)?
        && (mailbox.account == account || has_room(tx, letter, mailbox.account)?)
    {
        return Ok(mailbox);
    }
    inbox(tx, account)
}

/// Is there room among what belongs to nobody alone? When there is none, nobody shall hear of it.
fn has_room(tx: &Tx<'_>, letter: &Letter<'_>, owner: AccountId) -> Result<bool, mail::Error> {
    let owner = tx.account_by_id(owner)?;
    let size = letter.message.size();
    Ok(owner.is_some_and(|owner| letter.quota.check(&owner, size, tx.now()).is_ok()))
}

fn check_room(
    tx: &Tx<'_>,
    letter: &Letter<'_>,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<Outcome, mail::Error> {
    for id in accounts {
        match tx.account_by_id(id)? {
            None => return Ok(Err(Refusal::UnknownUser)),
            Some(account) if !account.enabled => return Ok(Err(Refusal::Disabled)),
            Some(account) => {
                let checked = letter.quota.check(&account, letter.message.size(), tx.now());
                if checked.is_err() {
                    return Ok(checked);
                }
            }
        }
    }
    Ok(Ok(()))
}

fn keep_for(
    tx: &mut Tx<'_>,
    letter: &Letter<'_>,
    account: AccountId,
    mailbox: &MailboxRow,
    addressee: &Addressee,
) -> Result<ContentId, mail::Error> {
    let message = letter.message.clone();
    let new = NewMail {
        message,
        marks: MarkNames::default(),
        internal_date: None,
        annotations: Vec::new(),
    };
    let new = new.keep(tx, mailbox)?;
    let place = tx.append(mailbox, &[new])?.first().map(|entry| (mailbox.id, entry.uid));
    let detail = format!("{} into {}", addressee.recipient.address, mailbox.name);
    tx.trace(&NewTrace {
        trace: letter.trace,
        account: Some(account),
        place,
        content: Some(new.content),
        step: "delivered",
        detail: &detail,
    })?;
    Ok(new.content)
}

/// Records how a message came into the house; mail of the house's own did not come.
pub fn received_by(
    tx: &mut Tx<'_>,
    trace: &str,
    account: Option<AccountId>,
    arrival: &str,
) -> Result<(), store::Error> {
    if arrival.is_empty() {
        return Ok(());
    }
    let (step, detail) = ("received", arrival);
    tx.trace(&NewTrace { trace, account, step, detail, ..NewTrace::default() })
}

/// An account's INBOX, made when it is missing: it always exists (RFC 9051 §5.1).
fn inbox(tx: &mut Tx<'_>, account: AccountId) -> Result<MailboxRow, mail::Error> {
    let key = mail::name::key(INBOX);
    if let Some(mailbox) = tx.mailbox(account, &key)? {
        return Ok(mailbox);
    }
    Mail::add_default_mailboxes(tx, account)?;
    tx.mailbox(account, &key)?.ok_or(mail::Error::NoMailbox)
}

/// The own address of the account that alone gets the message. Copies of several are stored as one,
/// and cannot say whose they are.
fn sole_home(addressees: &[Addressee]) -> Option<String> {
    match addressees {
        [only] => only.home.clone(),
        _ => None,
    }
}

/// Appends a header without the fields of one name.
fn without(header: &[u8], name: &[u8], out: &mut Vec<u8>) {
    let mut from = 0_usize;
    let mut at = 0_usize;
    for field in field::fields(header) {
        let next = at.saturating_add(field.raw.len());
        if field.is(name) {
            out.extend_from_slice(header.get(from..at).unwrap_or_default());
            from = next;
        }
        at = next;
    }
    out.extend_from_slice(header.get(from..).unwrap_or_default());
}

/// `Return-Path: <…>` (RFC 5321 §4.4): the first field of a message that has arrived.
pub fn return_path(reverse_path: &ReversePath) -> Vec<u8> {
    format!("Return-Path: <{reverse_path}>\r\n").into_bytes()
}

/// Through how many servers a message has been, by its header.
pub fn hops(header: &[u8]) -> usize {
    field::fields(header).filter(|field| field.is(b"Received")).count()
}

/// How often a message says that it was delivered to this mailbox. Once more than we say it ourselves
/// now means that whoever took it out of there sends it round in a circle.
fn deliveries(message: &Prepared, home: &str) -> usize {
    let key = |text: &str| Address::parse(text).ok().map(|address| address.key());
    let home = key(home);
    let said = field::fields(message.header()).filter(|field| field.is(b"Delivered-To"));
    said.filter(|field| {
        let value = field::unfold(field.value);
        let address = std::str::from_utf8(&value).ok().and_then(key);
        address.is_some() && address == home
    })
    .count()
}
