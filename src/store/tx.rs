//! A job's view of the writing transaction: reads, changes, and the events that follow a commit.

use std::{collections::HashMap, ops::Deref};

use super::{
    error::{Error, Result},
    reader::Reader,
    space::Space,
};
use crate::{
    events::{Event, Kind, Origin},
    flags::Keywords,
    ids::{AccountId, MailboxId, ModSeq},
};

/// What a writing job works on. Its changes are seen by the jobs after it and by nobody else until
/// the commit; its events leave when, and only when, the commit has succeeded.
pub struct Tx<'c> {
    reader: Reader<'c>,
    origin: Origin,
    space: Space,
    /// Keywords of one mailbox.
    pub(super) keywords_max: usize,
    /// Numbers of keywords that this job was told of and may be about to give to messages.
    pub(super) keywords_told: HashMap<MailboxId, Keywords>,
    events: Vec<Event>,
}

impl<'c> Deref for Tx<'c> {
    type Target = Reader<'c>;

    fn deref(&self) -> &Reader<'c> {
        &self.reader
    }
}

impl<'c> Tx<'c> {
    pub(super) fn new(
        reader: Reader<'c>,
        origin: Origin,
        space: Space,
        keywords_max: usize,
    ) -> Self {
        let (keywords_told, events) = (HashMap::new(), Vec::new());
        Self { reader, origin, space, keywords_max, keywords_told, events }
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Who asked for this change, and when.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.origin.at
    }

    /// Refuses what would add mail to a nearly full disk.
    pub fn check_space(&self) -> Result<()> {
        if self.space.may_add() { Ok(()) } else { Err(Error::DiskFull) }
    }

    /// Uses up the account's next mod-sequence (RFC 7162 §3.1: it only grows).
    pub(super) fn next_mod_seq(&self, account: AccountId) -> Result<ModSeq> {
        let sql = "UPDATE account SET mod_seq = mod_seq + 1 WHERE id = ?1 RETURNING mod_seq";
        self.row(sql, [account], |row| row.get(0))?.ok_or(Error::NotFound("account"))
    }

    /// Records an event of a mailbox; it leaves after the commit.
    pub(super) fn happened(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        mod_seq: ModSeq,
        kind: Kind,
    ) {
        let (account, mailbox) = (Some(account), Some(mailbox));
        self.events.push(Event { account, mailbox, mod_seq, origin: self.origin, kind });
    }

    /// Records an event of an account, or of the server.
    pub(super) fn happened_to(&mut self, account: Option<AccountId>, kind: Kind) {
        let (mailbox, mod_seq) = (None, ModSeq::default());
        self.events.push(Event { account, mailbox, mod_seq, origin: self.origin, kind });
    }
}
