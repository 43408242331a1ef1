//! One store job for all of a message's recipients here: octets stored once, a place in each INBOX,
//! and a report for those senders who asked for one.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::recipient::{Addressee, Quota, Refusal, resolve};
use crate::{
    events::Origin,
    ids::{AccountId, ContentId},
    mail::{self, Mail, NewMail, Prepared, Spool, field},
    metrics::{Count, Limit, Metrics},
    store::{self, Committed, MailboxRow, MarkNames, NewQueued, NewTrace, RecipientState, Tx},
    wire::{
        address::{Address, Domain, LocalPart, ReversePath},
        envelope::{Envelope, Recipient},
    },
};

/// The mailbox that mail goes to.
const INBOX: &str = "INBOX";

/// What delivery needs to know of the house.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name, for the postmaster who is addressed without a domain.
    pub hostname: Domain,
    /// Received fields of a message; more mean a loop (RFC 5321 §6.3).
    pub received_max: usize,
    /// How long mail for a full account is put off before it is refused for good.
    pub quota_refused_after: Duration,
    /// Where it is counted what is delivered and refused.
    pub metrics: Arc<Metrics>,
}

/// The room that takes mail for our users; cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    mail: Mail,
    settings: Settings,
}

/// A message for users of ours.
pub struct Incoming {
    /// The id that follows it through the house.
    pub trace: String,
    /// Its sender and parameters; its recipients are not looked at.
    pub envelope: Envelope,
    /// Who gets it.
    pub addressees: Vec<Addressee>,
    /// Header fields to stand in front of its own, each with its CRLF: how it came here.
    pub received: Vec<u8>,
    /// The same in words, for the trace: from whom, by which protocol.
    pub arrival: String,
    /// Its octets.
    pub message: Spool,
}

/// Whether the recipients of a message share one fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// It is kept for all of them, or for nobody.
    All,
    /// Each has a result of its own.
    Each,
}

/// What became of one recipient.
pub type Outcome = Result<(), Refusal>;

/// Why a message was not delivered to anybody.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipient, or the message, gets no mail here.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The message itself: too big, or our own failure; the cause goes to the log.
    #[error(transparent)]
    Mail(mail::Error),
}

impl From<mail::Error> for Error {
    fn from(error: mail::Error) -> Self {
        match error {
            mail::Error::DiskFull => Self::Refused(Refusal::DiskFull),
            other => Self::Mail(other),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        mail::Error::from(error).into()
    }
}

impl Delivery {
    /// Makes the room.
    pub fn new(mail: Mail, settings: Settings) -> Self {
        Self { mail, settings }
    }

    /// The room of mailboxes below.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Where it is counted what is delivered and refused.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.settings.metrics
    }

    /// Counts a recipient who gets no mail, and the bound that it is for.
    pub fn count_refusal(&self, refusal: Refusal) {
        let metrics = &self.settings.metrics;
        metrics.count(Count::DeliveryRefused);
        match refusal {
            Refusal::OverQuota => metrics.exceeded(Limit::Quota),
            Refusal::LongOverQuota => metrics.exceeded(Limit::QuotaRefusedAfter),
            Refusal::DiskFull => metrics.exceeded(Limit::DiskFreeMin),
            Refusal::Loop => metrics.exceeded(Limit::ReceivedFieldsMax),
            Refusal::UnknownUser
            | Refusal::UnknownDomain
            | Refusal::NoPostmaster
            | Refusal::Disabled
            | Refusal::Again => {}
        }
    }

    fn count_outcomes(&self, delivered: &Result<Committed<Vec<Outcome>>, Error>) {
        match delivered {
            Ok(outcomes) => {
                for outcome in outcomes.iter() {
                    match outcome {
                        Ok(()) => self.settings.metrics.count(Count::Delivery),
                        Err(refusal) => self.count_refusal(*refusal),
                    }
                }
            }
            Err(Error::Refused(refusal)) => self.count_refusal(*refusal),
            Err(Error::Mail(_)) => self.settings.metrics.count(Count::DeliveryRefused),
        }
    }

    /// Whom an address means, and whether a message of `size` octets (0 when it was not announced)
    /// could be taken for it now. [`Refusal::UnknownDomain`] leaves it to the asker whether to relay.
    pub async fn recipient(
        &self,
        origin: Origin,
        recipient: &Recipient,
        size: u64,
    ) -> Result<Addressee, Error> {
        let found = self.look_up(origin, recipient, size).await;
        match &found {
            // Submission asks too, and may send it elsewhere.
            Ok(_) | Err(Error::Refused(Refusal::UnknownDomain) | Error::Mail(_)) => {}
            Err(Error::Refused(refusal)) => self.count_refusal(*refusal),
        }
        found
    }

    async fn look_up(
        &self,
        origin: Origin,
        recipient: &Recipient,
        size: u64,
    ) -> Result<Addressee, Error> {
        let (recipient, quota) = (recipient.clone(), self.quota());
        let hostname = self.settings.hostname.clone();
        let job = move |r: &store::Reader<'_>| {
            let addressee = resolve(r, hostname.ascii(), &recipient)??;
            for id in &addressee.accounts {
                let account = r.account_by_id(*id)?.ok_or(Refusal::UnknownUser)?;
                if let Err(refusal) = quota.check(&account, size, origin.at) {
                    let newly = account.full_since.is_none().then_some(*id);
                    return Ok::<_, Error>((addressee, Some((refusal, newly))));
                }
            }
            Ok((addressee, None))
        };
        let (addressee, refused) = self.mail.store().read(job).await?;
        if let Some((refusal, newly)) = refused {
            self.note_full(origin, newly.into_iter().collect(), size).await;
            return Err(refusal.into());
        }
        self.mail.store().check_adding()?;
        Ok(addressee)
    }

    /// How much room accounts have.
    pub fn quota(&self) -> Quota {
        let patience = self.settings.quota_refused_after.as_secs();
        Quota {
            octets: self.mail.limits().quota_octets,
            refused_after: i64::try_from(patience).unwrap_or(i64::MAX),
        }
    }

    /// Remembers since when those of these accounts are full that have no room for so many octets.
    async fn note_full(&self, origin: Origin, accounts: Vec<AccountId>, octets: u64) {
        if accounts.is_empty() {
            return;
        }
        let quota = self.quota();
        let job = move |tx: &mut Tx<'_>| {
            for id in accounts {
                let account = tx.account_by_id(id)?;
                if account.is_some_and(|account| quota.check(&account, octets, origin.at).is_err())
                {
                    tx.mark_full(id)?;
                }
            }
            Ok::<_, store::Error>(())
        };
        if let Err(error) = self.mail.store().write(origin, job).await {
            tracing::debug!(%error, "it is not remembered that an account is full");
        }
    }

    /// The house's own name.
    pub fn hostname(&self) -> &Domain {
        &self.settings.hostname
    }

    /// The postmaster who is addressed without a domain (RFC 5321 §4.5.1).
    pub fn postmaster(&self) -> Result<Address, Refusal> {
        LocalPart::parse("postmaster")
            .and_then(|local| Address::new(local, self.settings.hostname.clone()))
            .map_err(|_| Refusal::UnknownUser)
    }

    /// Delivers a message; one outcome for each addressee, in order, once it is on the disk.
    ///
    /// # Errors
    /// With [`Share::All`] the first refusal of an addressee; nobody has the message then.
    pub async fn deliver(
        &self,
        origin: Origin,
        share: Share,
        incoming: Incoming,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let delivered = self.file(origin, share, incoming).await;
        self.count_outcomes(&delivered);
        delivered
    }

    async fn file(
        &self,
        origin: Origin,
        share: Share,
        incoming: Incoming,
    ) -> Result<Committed<Vec<Outcome>>, Error> {
        let Incoming { trace, envelope, addressees, received, arrival, message } = incoming;
        let home = sole_home(&addressees);
        let mut head = return_path(&envelope.reverse_path);
        let said = home.as_ref().filter(|home| envelope.utf8 || home.is_ascii());
        let ours = said.iter().count();
        head.extend(
            said.map(|home| format!("Delivered-To: {home}\r\n")).unwrap_or_default().bytes(),
        );
        let own_hops = hops(&received);
        head.extend(received);
        let prepared = self
            .mail
            .prepare(message, move |header| {
                without(&header, b"Return-Path", &mut head);
                head
            })
            .await?;
        self.check_hops(hops(prepared.header()).saturating_sub(own_hops))?;
        if home.as_ref().is_some_and(|home| deliveries(&prepared, home) > ours) {
            return Err(Refusal::Again.into());
        }
        let (quota, size) = (self.quota(), prepared.size());
        let accounts: Vec<_> = addressees.iter().flat_map(|to| to.accounts.clone()).collect();
        let filed = self
            .mail
            .store()
            .write(origin, move |tx| {
                let letter = Letter { trace: &trace, message: &prepared, quota };
                received_by(tx, &trace, None, &arrival)?;
                let all: Vec<_> = addressees.iter().collect();
                let (outcomes, content) = keep(tx, &letter, &all)?;
                if share == Share::All
                    && let Some(refusal) = outcomes.iter().find_map(|outcome| outcome.err())
                {
                    return Err(Error::Refused(refusal));
                }
                if let Some(content) = content {
                    report_success(tx, &envelope, &all, &outcomes, content, &trace)?;
                }
                Ok(outcomes)
            })
            .await;
        let full = match &filed {
            Ok(outcomes) => outcomes.contains(&Err(Refusal::OverQuota)),
            Err(error) => matches!(error, Error::Refused(Refusal::OverQuota)),
        };
        if full {
            self.note_full(origin, accounts, size).await;
        }
        filed
    }

    /// Traces that a message was refused, and why. It is no promise: when it cannot be written, the log
    /// has it.
    pub async fn trace_refusal(
        &self,
        origin: Origin,
        trace: String,
        account: Option<AccountId>,
        detail: String,
    ) {
        let job = move |tx: &mut Tx<'_>| {
            let (trace, step, detail) = (&*trace, "refused", &*detail);
            tx.trace(&NewTrace { trace, account, step, detail, ..NewTrace::default() })
        };
        if let Err(error) = self.mail.store().write::<_, store::Error, _>(origin, job).await {
            tracing::debug!(%error, "a refusal was not traced");
        }
    }

    /// Refuses a message that has been through too many servers before us (RFC 5321 §6.3).
    pub fn check_hops(&self, hops: usize) -> Result<(), Refusal> {
        if hops > self.settings.received_max { Err(Refusal::Loop) } else { Ok(()) }
    }
}

/// A message in the hands of [`keep`].
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// The id that follows it through the house.
    pub trace: &'a str,
    /// Its octets and what was computed of them.
    pub message: &'a Prepared,
    /// How much room accounts have.
    pub quota: Quota,
}

/// Puts a message into the INBOX of each addressee, as a part of a store job. An account that is
/// meant twice gets it once; an addressee of several accounts has all of them served, or none. Gives
/// the stored content if anybody has it.
pub fn keep(
    tx: &mut Tx<'_>,
    letter: &Letter<'_>,
    addressees: &[&Addressee],
) -> Result<(Vec<Outcome>, Option<ContentId>), mail::Error> {
    let mut served = HashSet::new();
    let mut content = None;
    let mut outcomes = Vec::with_capacity(addressees.len());
    for addressee in addressees {
        let missing: Vec<_> =
            addressee.accounts.iter().copied().filter(|id| !served.contains(id)).collect();
        let outcome = check_room(tx, letter, &missing)?;
        if outcome.is_ok() {
            for account in missing {
                content = Some(keep_for(tx, letter, account, addressee)?);
                served.insert(account);
            }
        }
        outcomes.push(outcome);
    }
    Ok((outcomes, content))
}

fn check_room(
    tx: &Tx<'_>,
    letter: &Letter<'_>,
    accounts: &[AccountId],
) -> Result<Outcome, mail::Error> {
    for id in accounts {
        match tx.account_by_id(*id)? {
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
    addressee: &Addressee,
) -> Result<ContentId, mail::Error> {
    let mailbox = inbox(tx, account)?;
    let message = letter.message.clone();
    let new = NewMail {
        message,
        marks: MarkNames::default(),
        internal_date: None,
        annotations: Vec::new(),
    };
    let new = new.keep(tx, &mailbox)?;
    let place = tx.append(&mailbox, &[new])?.first().map(|entry| (mailbox.id, entry.uid));
    let detail = format!("{} into {INBOX}", addressee.recipient.address);
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

/// Queues the word that a message was delivered, for those recipients whose sender asked for it
/// (RFC 3461 §5.2.6).
fn report_success(
    tx: &mut Tx<'_>,
    envelope: &Envelope,
    addressees: &[&Addressee],
    outcomes: &[Outcome],
    content: ContentId,
    trace: &str,
) -> Result<(), store::Error> {
    if envelope.reverse_path.is_null() {
        return Ok(());
    }
    let recipients: Vec<_> = addressees
        .iter()
        .zip(outcomes)
        .filter(|(to, outcome)| {
            outcome.is_ok() && to.recipient.notify.is_some_and(|notify| notify.success)
        })
        .map(|(to, _)| (&to.recipient, RecipientState::Delivered))
        .collect();
    if !recipients.is_empty() {
        let recipients = recipients.as_slice();
        tx.enqueue(&NewQueued { account: None, envelope, recipients, content, trace })?;
    }
    Ok(())
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
