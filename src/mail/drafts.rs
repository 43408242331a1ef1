//! Messages that their users send from a mailbox: what is known of them before, and within the job that
//! sends, what is said and turned of them and where a copy goes (draft-ietf-lemonade-submit-01 §4.1.2,
//! RFC 5550 §5.10).
//!
//! With the keyword `$Queued` a user asks the server to send one. Only a session asks so, when it marks or
//! adds a message; nothing else that puts messages into mailboxes does.

use std::sync::Arc;

use super::{
    Actor, Appended, Limits, Mail, Mailbox, NewMail, Prepared, Rights, Spool,
    access::{Found, by_id, find, still},
    error::{Error, Result},
    extract::{Cut, Form},
    name::Place,
    section::Section,
    urls::Linked,
};
use crate::{
    events::{Entry, MarkChange},
    flags::{Flags, Marks},
    ids::{AccountId, ContentId, MailboxId, Uid},
    store::{MailboxRow, MarkMask, MarkNames, NewAnnotation, Reader, Tx},
};

/// The envelope that a user leaves with a message for the time when it is sent.
const ENVELOPE: &str = "/vendor/mailade/envelope";
/// The mailbox that gets a copy of what is sent.
const COPY_TO: &str = "/vendor/mailade/fcc";
/// What became of it.
const STATUS: &str = "/vendor/mailade/status";

/// A message in a mailbox that its user sends.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it is.
    pub mailbox: Mailbox,
    /// Its number there.
    pub uid: Uid,
    /// Its octets.
    pub content: ContentId,
    /// Their number.
    pub size: u64,
    /// What it was marked with when it was looked up.
    pub flags: Flags,
    /// The lines of the envelope that its user left with it.
    pub envelope: Option<Vec<u8>>,
    /// The mailbox that its user wants a copy in.
    pub copy_to: Option<String>,
}

/// Flags that change when a message was sent, or was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// These are turned on.
    pub on: Flags,
    /// These are turned off.
    pub off: Flags,
}

impl Turn {
    /// It was asked for, and was not sent.
    pub const FAILED: Self = Self {
        on: Flags::SUBMIT_FAILED,
        off: Flags::QUEUED.with(Flags::SUBMIT_PENDING).with(Flags::SUBMITTED),
    };
    /// It was sent.
    pub const SENT: Self = Self {
        on: Flags::SUBMITTED,
        off: Flags::SUBMIT_PENDING
            .with(Flags::DRAFT)
            .with(Flags::QUEUED)
            .with(Flags::SUBMIT_FAILED),
    };
}

/// Where a copy of what is sent goes.
#[derive(Clone)]
pub struct Kept {
    /// Whose copy it is.
    pub by: AccountId,
    /// The mailbox, as this user names it.
    pub name: String,
    /// What is kept.
    pub message: Prepared,
}

impl Mail {
    /// A message of an open mailbox that its user wants to send; None when it is gone.
    pub async fn draft(&self, actor: &Actor, mailbox: &Mailbox, uid: Uid) -> Result<Option<Draft>> {
        mailbox.need(Rights::READ)?;
        let (mailbox, account) = (mailbox.clone(), actor.account);
        self.store.read(move |r| Draft::find(r, account, &mailbox, uid)).await
    }

    /// The octets of a stored message as one on its way: what is large of it is not copied.
    pub async fn spool_of(&self, content: ContentId, size: u64) -> Result<Spool> {
        let mut spool = self.spool();
        let cut = Cut { section: Section::default(), form: Form::Stored, window: None };
        self.add_linked(&mut spool, Linked { content, size, cut }).await?;
        Ok(spool)
    }
}

impl Draft {
    /// Looks it up for this user, within a job.
    pub fn find(
        r: &Reader<'_>,
        account: AccountId,
        mailbox: &Mailbox,
        uid: Uid,
    ) -> Result<Option<Self>> {
        still(r, mailbox, Rights::READ)?;
        let Some(entry) = r.message(mailbox.id, uid)? else { return Ok(None) };
        let said = |entry| r.annotation(mailbox.id, uid, entry, Some(account));
        // A name that is none is of no mailbox.
        let copy_to = said(COPY_TO)?.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(Some(Self {
            mailbox: mailbox.clone(),
            uid,
            content: entry.content,
            size: entry.size,
            flags: entry.marks.flags,
            envelope: said(ENVELOPE)?,
            copy_to,
        }))
    }

    /// Looks up one that this user has asked for, within a job; None when it is gone, or is not the user's
    /// to send any more.
    pub fn asked_for(
        r: &Reader<'_>,
        account: AccountId,
        mailbox: MailboxId,
        uid: Uid,
    ) -> Result<Option<Self>> {
        if !r.account_by_id(account)?.is_some_and(|account| account.enabled) {
            return Ok(None);
        }
        let found = by_id(r, account, mailbox)?.filter(|found| found.row.selectable);
        let may = |found: &Found| found.rights.contain(Rights::READ.with(Rights::WRITE));
        match found.filter(may) {
            Some(found) => Self::find(r, account, &found.permit(Rights::READ)?, uid),
            None => Ok(None),
        }
    }

    /// What it is marked with at the moment of a job, and whether its user may change that; None when it
    /// is gone.
    pub fn now(&self, tx: &Tx<'_>) -> Result<Option<(Flags, bool)>> {
        let found = match still(tx, &self.mailbox, Rights::READ) {
            Err(Error::NoMailbox) => return Ok(None),
            found => found?,
        };
        let entry = tx.message(self.mailbox.id, self.uid)?;
        Ok(entry.map(|entry| (entry.marks.flags, found.rights.contain(Rights::WRITE))))
    }

    /// Says what became of it and turns its flags, within a job and as far as its user may; nothing is
    /// said where that takes room that is not there.
    pub fn tell(&self, tx: &mut Tx<'_>, by: AccountId, turn: Turn, status: &str) -> Result<()> {
        let Found { row, rights, .. } = still(tx, &self.mailbox, Rights::NONE)?;
        if !rights.contain(Rights::WRITE) {
            return Ok(());
        }
        say_and_turn(tx, rights.marks(), (&row, self.uid), by, turn, status)
    }
}

/// The same by the house itself, which has been asked to send: whatever the user may do by now.
pub fn tell_by_house(
    tx: &mut Tx<'_>,
    (mailbox, uid): (MailboxId, Uid),
    by: AccountId,
    turn: Turn,
    status: &str,
) -> Result<()> {
    match tx.mailbox_by_id(mailbox)? {
        Some(row) => say_and_turn(tx, MarkMask::ALL, (&row, uid), by, turn, status),
        None => Ok(()),
    }
}

fn say_and_turn(
    tx: &mut Tx<'_>,
    mask: MarkMask,
    (row, uid): (&MailboxRow, Uid),
    by: AccountId,
    turn: Turn,
    status: &str,
) -> Result<()> {
    if tx.check_space().is_ok() {
        let value = Some(status.as_bytes().to_vec());
        let status = NewAnnotation { entry: Arc::from(STATUS), owner: None, value };
        // It is the house that says it: no number of other annotations keeps it out.
        tx.annotate(row, &[uid], by, &[status], u64::MAX, None)?;
    }
    tx.turn_flags(mask, row, uid, turn.on, turn.off)?;
    Ok(())
}

/// A session that has marked messages with `$Queued` asks for them to be sent.
pub(super) fn ask_for_marked(
    tx: &mut Tx<'_>,
    by: AccountId,
    row: &MailboxRow,
    changes: &[MarkChange],
) -> Result<()> {
    ask(tx, by, row, changes.iter().map(|change| (change.uid, change.marks)))
}

/// The same for one that has added messages.
pub(super) fn ask_for_new(
    tx: &mut Tx<'_>,
    by: AccountId,
    row: &MailboxRow,
    entries: &[Entry],
) -> Result<()> {
    ask(tx, by, row, entries.iter().map(|entry| (entry.uid, entry.marks)))
}

fn ask(
    tx: &mut Tx<'_>,
    by: AccountId,
    row: &MailboxRow,
    marked: impl Iterator<Item = (Uid, Marks)>,
) -> Result<()> {
    if tx.origin().session.is_none() {
        return Ok(());
    }
    let mut asked = Vec::new();
    for (uid, marks) in marked {
        if marks.flags.contains(Flags::QUEUED) {
            // An envelope that comes later is none of this time's.
            let by_header = tx.annotation(row.id, uid, ENVELOPE, Some(by))?.is_none();
            asked.push((uid, by_header));
        }
    }
    Ok(tx.ask_to_send(by, row.id, &asked)?)
}

impl Kept {
    /// Keeps it, within a job.
    pub fn keep(&self, tx: &mut Tx<'_>, limits: &Limits) -> Result<Appended> {
        let found = find(tx, self.by, &Place::of(&self.name))?.selectable()?;
        found.check(Rights::INSERT)?;
        let (row, told) = (&found.row, found.tells_uids());
        let new = NewMail {
            message: self.message.clone(),
            marks: MarkNames::flags(Flags::SEEN),
            internal_date: None,
            annotations: Vec::new(),
        };
        tx.check_quota(row.account, new.message.size(), 1, limits.quota_octets)?;
        let message = new.keep_by(tx, &found)?;
        let uids = tx.append(row, &[message])?.into_iter().map(|entry| entry.uid).collect();
        Ok(Appended { uid_validity: row.uid_validity, uids, told })
    }
}
