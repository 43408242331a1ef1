//! Messages in mailboxes that their users have asked the server to submit: one row for each, written in
//! the transaction that marks it with `$Queued` and gone in the one that sends it, so that a restart
//! finds what was asked for without looking at any mailbox.

use std::collections::HashMap;

use rusqlite::Row;

use super::{
    error::{Error, Result},
    keywords::MarkMask,
    mailboxes::MailboxRow,
    reader::Reader,
    tx::Tx,
};
use crate::{
    events::Kind,
    flags::Flags,
    ids::{AccountId, MailboxId, SendingId, Uid},
};

/// How many rows are in memory at once.
const STEP: u32 = 1_000;

/// Where a message stands that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendingState {
    /// It waits.
    Waiting,
    /// It was claimed: its flags say that it is being sent.
    Claimed,
    /// It was claimed and then taken back: its flags still say so.
    Withdrawn,
}

/// A message that somebody has asked the server to submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Its row, which no other message ever gets.
    pub id: SendingId,
    /// Who has asked.
    pub account: AccountId,
    /// Where the message is.
    pub mailbox: MailboxId,
    /// Its number there.
    pub uid: Uid,
    /// Where it stands.
    pub state: SendingState,
    /// There was no envelope with it when it was asked for: its header is the envelope.
    pub by_header: bool,
    /// How often it was claimed.
    pub attempts: u32,
    /// When it was asked for, in seconds since 1970.
    pub asked: i64,
}

const COLUMNS: &str = "id, account, mailbox, uid, state, by_header, attempts, asked";

fn sending(row: &Row<'_>) -> rusqlite::Result<Sending> {
    Ok(Sending {
        id: row.get(0)?,
        account: row.get(1)?,
        mailbox: row.get(2)?,
        uid: row.get(3)?,
        state: match row.get(4)? {
            0 => SendingState::Waiting,
            1 => SendingState::Claimed,
            _ => SendingState::Withdrawn,
        },
        by_header: row.get(5)?,
        attempts: row.get(6)?,
        asked: row.get(7)?,
    })
}

impl Reader<'_> {
    /// A message that is to be sent.
    pub fn sending(&self, id: SendingId) -> Result<Option<Sending>> {
        let sql = format!("SELECT {COLUMNS} FROM sending WHERE id = ?1");
        self.row(&sql, [id], sending)
    }

    /// The first message that is due of the first account behind this one that has any. One that would
    /// not be due for longer than `longest` is due too: the clock was set back.
    pub fn sending_due(
        &self,
        now: i64,
        longest: i64,
        after: AccountId,
    ) -> Result<Option<(SendingId, AccountId)>> {
        let sql = "SELECT id, account FROM sending WHERE account > ?3 AND (due <= ?1 OR due > ?2)
            ORDER BY account, id LIMIT 1";
        let row = (now, now.saturating_add(longest), after);
        self.row(sql, row, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The first time after `now` when one becomes due.
    pub fn sending_next(&self, now: i64) -> Result<Option<i64>> {
        let sql = "SELECT min(due) FROM sending WHERE due > ?1";
        Ok(self.row(sql, [now], |row| row.get(0))?.flatten())
    }
}

impl Tx<'_> {
    /// An account asks for these messages to be sent, which bear `$Queued`; whoever has asked for one
    /// before has asked first.
    pub fn ask_to_send(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        asked: &[(Uid, bool)],
    ) -> Result<()> {
        for (uid, by_header) in asked {
            // Its claim is made anew, and need not be undone.
            let sql = "DELETE FROM sending WHERE mailbox = ?1 AND uid = ?2 AND state = 2";
            self.execute(sql, (mailbox, *uid))?;
            let sql = "INSERT INTO sending (account, mailbox, uid, state, by_header, asked, due)
                VALUES (?1, ?2, ?3, 0, ?4, ?5, ?5) ON CONFLICT (mailbox, uid) DO NOTHING";
            self.execute(sql, (account, mailbox, *uid, by_header, self.now()))?;
        }
        if !asked.is_empty() {
            self.happened_to(Some(account), Kind::SendingChange);
        }
        Ok(())
    }

    /// A message has lost its `$Queued`: it is not to be sent any more.
    pub(super) fn withdraw_sending(&mut self, mailbox: MailboxId, uid: Uid) -> Result<()> {
        let sql = "DELETE FROM sending WHERE mailbox = ?1 AND uid = ?2 AND state = 0";
        if self.execute(sql, (mailbox, uid))? > 0 {
            return Ok(());
        }
        let sql = "UPDATE sending SET state = 2, due = ?3 WHERE mailbox = ?1 AND uid = ?2
            AND state = 1 RETURNING account";
        let claimed = self.row(sql, (mailbox, uid, self.now()), |row| row.get(0))?;
        if let Some(account) = claimed {
            self.happened_to(Some(account), Kind::SendingChange);
        }
        Ok(())
    }

    /// Messages are gone, and not sent.
    pub(super) fn forget_sending(&self, mailbox: MailboxId, uids: &[Uid]) -> Result<()> {
        let sql = "SELECT 1 FROM sending WHERE mailbox = ?1 LIMIT 1";
        if self.row(sql, [mailbox], |_| Ok(()))?.is_none() {
            return Ok(());
        }
        let sql = "DELETE FROM sending WHERE mailbox = ?1 AND uid = ?2";
        uids.iter().try_for_each(|uid| self.execute(sql, (mailbox, *uid)).map(|_| ()))
    }

    /// Messages lie elsewhere, since their mailbox has another name: what is to be sent is sent from there,
    /// in the same order. Whoever has one in hand finds its row gone, and it is claimed anew.
    pub fn take_sending_along(
        &mut self,
        from: MailboxId,
        moved: &[(Uid, Uid)],
        to: &MailboxRow,
    ) -> Result<()> {
        let moved: HashMap<_, _> = moved.iter().copied().collect();
        let sql = format!("SELECT {COLUMNS} FROM sending WHERE mailbox = ?1 ORDER BY id");
        let rows = self.rows(&sql, [from], sending)?;
        for row in rows {
            let Some(uid) = moved.get(&row.uid) else { continue };
            let sql =
                "INSERT INTO sending (account, mailbox, uid, state, by_header, attempts, asked,
                due) SELECT account, ?2, ?3, state, by_header, attempts, asked, due FROM sending
                WHERE id = ?1";
            self.execute(sql, (row.id, to.id, *uid))?;
            self.end_sending(row.id)?;
            let on = match row.state {
                SendingState::Waiting => Flags::QUEUED,
                SendingState::Claimed => Flags::QUEUED.with(Flags::CLAIM),
                SendingState::Withdrawn => Flags::NONE,
            };
            self.turn_flags(MarkMask::ALL, to, *uid, on, Flags::NONE)?;
            self.happened_to(Some(row.account), Kind::SendingChange);
        }
        Ok(())
    }

    /// Nothing that an account has asked for is to be sent any more, wherever it lies.
    pub(super) fn withdraw_all_of(&mut self, account: AccountId) -> Result<()> {
        let sql = format!("SELECT {COLUMNS} FROM sending WHERE account = ?1 LIMIT {STEP}");
        loop {
            let rows = self.rows(&sql, [account], sending)?;
            if rows.is_empty() {
                return Ok(());
            }
            rows.iter().try_for_each(|row| self.drop_sending(row))?;
        }
    }

    /// A message is not to be sent any more, and does not say so either.
    pub fn drop_sending(&mut self, row: &Sending) -> Result<()> {
        let Some(mailbox) = self.mailbox_by_id(row.mailbox)? else {
            return self.end_sending(row.id);
        };
        if row.state == SendingState::Withdrawn {
            return self.undo_claim(row);
        }
        self.end_sending(row.id)?;
        let claim = if row.state == SendingState::Waiting { Flags::NONE } else { Flags::CLAIM };
        let off = Flags::QUEUED.with(claim);
        self.turn_flags(MarkMask::ALL, &mailbox, row.uid, Flags::NONE, off).map(|_| ())
    }

    /// Undoes the claim of a message that was taken back.
    pub fn undo_claim(&mut self, row: &Sending) -> Result<()> {
        self.end_sending(row.id)?;
        let Some(mailbox) = self.mailbox_by_id(row.mailbox)? else { return Ok(()) };
        // Whoever took it back may have done that already, and more.
        let claimed = self
            .message(mailbox.id, row.uid)?
            .is_some_and(|message| message.marks.flags.contains(Flags::CLAIM));
        if claimed {
            self.turn_flags(MarkMask::ALL, &mailbox, row.uid, Flags::NONE, Flags::CLAIM)?;
        }
        Ok(())
    }

    /// Claims a message: its flags say that it is being sent, before it is. When that comes to nothing
    /// it is due again at this time.
    pub fn claim_sending(&mut self, row: &Sending, due: i64) -> Result<()> {
        let sql = "UPDATE sending SET state = 1, attempts = attempts + 1, due = ?2 WHERE id = ?1";
        self.execute(sql, (row.id, due))?;
        let mailbox = self.mailbox_by_id(row.mailbox)?.ok_or(Error::NotFound("mailbox"))?;
        let off = Flags::SUBMIT_FAILED;
        self.turn_flags(MarkMask::ALL, &mailbox, row.uid, Flags::CLAIM, off).map(|_| ())
    }

    /// Is it still claimed?
    pub fn is_claimed(&self, id: SendingId) -> Result<bool> {
        Ok(self.sending(id)?.is_some_and(|row| row.state == SendingState::Claimed))
    }

    /// A message was sent, or will not be: whoever calls sees to its flags.
    pub fn end_sending(&mut self, id: SendingId) -> Result<()> {
        self.execute("DELETE FROM sending WHERE id = ?1", [id])?;
        Ok(())
    }

    /// What was claimed before the start is due at once.
    pub fn resume_sending(&mut self) -> Result<usize> {
        let sql = "UPDATE sending SET due = ?1 WHERE state <> 0";
        self.execute(sql, [self.now()])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{
        prelude::*,
        test_runner::{TestCaseError, TestRunner},
    };
    use tempfile::TempDir;

    use super::*;
    use crate::{
        events::{Bus, Door, Origin},
        ids::ThreadId,
        store::{
            Along, MarkDeed, MarkNames, NewAccount, NewContent, NewMessage, Options, SpecialUse,
            Store,
        },
    };

    const ORIGIN: Origin = Origin::new(Door::House, 1_000);

    /// Something that happens to messages.
    #[derive(Clone, Debug)]
    enum Deed {
        Append(bool),
        Mark(usize, MarkDeed, Flags),
        Claim,
        Send,
        Expunge(usize),
        Move(usize),
        Rename,
        RenameInbox,
        Undo,
        Leave,
    }

    fn deed() -> impl Strategy<Value = Deed> {
        let flags = proptest::sample::select(vec![
            Flags::QUEUED,
            Flags::QUEUED.with(Flags::SEEN),
            Flags::SEEN,
            Flags::CLAIM,
        ]);
        let how =
            proptest::sample::select(vec![MarkDeed::Add, MarkDeed::Remove, MarkDeed::Replace]);
        prop_oneof![
            any::<bool>().prop_map(Deed::Append),
            (0..4_usize, how, flags).prop_map(|(at, how, flags)| Deed::Mark(at, how, flags)),
            Just(Deed::Claim),
            Just(Deed::Send),
            (0..4_usize).prop_map(Deed::Expunge),
            (0..4_usize).prop_map(Deed::Move),
            Just(Deed::Rename),
            Just(Deed::RenameInbox),
            Just(Deed::Undo),
            Just(Deed::Leave),
        ]
    }

    fn account(tx: &mut Tx<'_>, name: &str) -> Result<AccountId> {
        tx.add_account(&NewAccount {
            address: name.into(),
            address_key: name.into(),
            domain: "here.example".into(),
            full_name: String::new(),
            owner: false,
            password: None,
            scram_salt: Vec::new(),
            scram_iterations: 1,
            scram: None,
        })
    }

    async fn store() -> (TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let made = store
            .write(ORIGIN, |tx| {
                tx.add_domain("here.example")?;
                for name in ["a@here.example", "b@here.example"] {
                    account(tx, name)?;
                }
                for name in ["from", "to"] {
                    tx.add_mailbox(AccountId(1), name, name, SpecialUse::default())?;
                }
                Ok::<_, Error>(())
            })
            .await;
        made.unwrap().into_inner();
        (folder, store)
    }

    fn row(r: &Reader<'_>, id: i64) -> Result<MailboxRow> {
        r.mailbox_by_id(MailboxId(id))?.ok_or(Error::NotFound("mailbox"))
    }

    fn append(tx: &mut Tx<'_>, flags: Flags) -> Result<()> {
        let content = NewContent {
            hash: [1; 32],
            size: 2,
            header: b"\r\n".to_vec(),
            pieces: Vec::new(),
            summary: Vec::new(),
            structure: Vec::new(),
            preview: String::new(),
            references: Vec::new(),
        };
        let content = tx.add_content(&content)?;
        let marks = crate::flags::Marks { flags, ..Default::default() };
        let new = NewMessage { content, size: 2, marks, internal_date: 0, thread: ThreadId(0) };
        let mailbox = row(tx, 1)?;
        let entries = tx.append(&mailbox, &[new])?;
        if flags.contains(Flags::QUEUED) {
            tx.ask_to_send(AccountId(2), mailbox.id, &[(entries[0].uid, true)])?;
        }
        Ok(())
    }

    /// The first message that is claimed, or to be.
    fn first(r: &Reader<'_>, state: SendingState) -> Result<Option<Sending>> {
        let sql = format!("SELECT {COLUMNS} FROM sending ORDER BY id");
        Ok(r.rows(&sql, [], sending)?.into_iter().find(|row| row.state == state))
    }

    fn run(tx: &mut Tx<'_>, deed: &Deed) -> Result<()> {
        let mailbox = row(tx, 1)?;
        let uids = tx.uids(mailbox.id)?;
        let nth = |at: &usize| uids.get(*at).copied().into_iter().collect::<Vec<_>>();
        match deed {
            Deed::Append(queued) => append(tx, if *queued { Flags::QUEUED } else { Flags::NONE }),
            Deed::Mark(at, how, flags) => {
                let names = MarkNames::flags(*flags);
                let outcome = tx.mark(&mailbox, &nth(at), *how, &names, None)?;
                let asks = *how != MarkDeed::Remove && flags.contains(Flags::QUEUED);
                let asked = outcome.changed.iter().map(|change| (change.uid, true));
                let asked: Vec<_> = asked.filter(|_| asks).collect();
                tx.ask_to_send(AccountId(2), mailbox.id, &asked)
            }
            Deed::Claim => match first(tx, SendingState::Waiting)? {
                Some(row) => tx.claim_sending(&row, 2_000),
                None => Ok(()),
            },
            Deed::Send => match first(tx, SendingState::Claimed)? {
                Some(row) => {
                    assert!(tx.is_claimed(row.id)?);
                    tx.end_sending(row.id)?;
                    let off = Flags::QUEUED.with(Flags::SUBMIT_PENDING);
                    let on = Flags::SUBMITTED;
                    let mailbox = self::row(tx, row.mailbox.0)?;
                    tx.turn_flags(MarkMask::ALL, &mailbox, row.uid, on, off).map(|_| ())
                }
                None => Ok(()),
            },
            Deed::Expunge(at) => tx.expunge(&mailbox, &nth(at)).map(|_| ()),
            Deed::Move(at) => {
                let (to, along) = (row(tx, 2)?, Along::All);
                tx.move_messages(&mailbox, &nth(at), &to, MarkMask::ALL, along).map(|_| ())
            }
            Deed::Rename => {
                let name = format!("n{}", mailbox.status.mod_seq);
                tx.rename_mailbox(&mailbox, &name, &name)
            }
            Deed::RenameInbox => {
                let to = row(tx, 2)?;
                let wished = |r: &Reader<'_>| {
                    r.row("SELECT count(*) FROM sending", [], |row| row.get::<_, i64>(0))
                };
                let before = wished(tx)?;
                let copied = tx.copy(&mailbox, &uids, &to, MarkMask::ALL)?;
                tx.take_sending_along(mailbox.id, &copied, &to)?;
                tx.expunge(&mailbox, &uids)?;
                assert_eq!(wished(tx)?, before);
                Ok(())
            }
            Deed::Undo => match first(tx, SendingState::Withdrawn)? {
                Some(row) => tx.undo_claim(&row),
                None => Ok(()),
            },
            Deed::Leave => tx.withdraw_all_of(AccountId(2)),
        }
    }

    /// Each message with `$Queued` has its row, and nothing else has one that would send it.
    fn check(r: &Reader<'_>) -> Result<()> {
        for id in [1, 2] {
            for entry in r.messages(MailboxId(id), Uid::MIN, 1_000)? {
                let sql = format!("SELECT {COLUMNS} FROM sending WHERE mailbox = ?1 AND uid = ?2");
                let row = r.row(&sql, (MailboxId(id), entry.uid), sending)?;
                let flags = entry.marks.flags;
                let asked = row.is_some_and(|row| row.state != SendingState::Withdrawn);
                assert_eq!(asked, flags.contains(Flags::QUEUED), "{entry:?} {row:?}");
            }
        }
        let sql = "SELECT count(*) FROM sending WHERE NOT EXISTS (SELECT 1 FROM message
            WHERE message.mailbox = sending.mailbox AND message.uid = sending.uid)";
        assert_eq!(r.row(sql, [], |row| row.get::<_, i64>(0))?, Some(0));
        Ok(())
    }

    /// Each case is a job of one store that is rolled back.
    #[test]
    fn a_row_stands_for_each_queued_message_whatever_happens() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (_folder, store) = runtime.block_on(store());
        let deeds = proptest::collection::vec(deed(), 1..40);
        let case = |deeds: Vec<Deed>| {
            let job = move |tx: &mut Tx<'_>| {
                for deed in &deeds {
                    run(tx, deed)?;
                    check(tx)?;
                }
                Err::<(), _>(Error::NotFound("reason to keep this"))
            };
            let undone = runtime.block_on(store.write(ORIGIN, job));
            let fine = matches!(undone, Err(Error::NotFound("reason to keep this")));
            if fine { Ok(()) } else { Err(TestCaseError::fail(format!("{undone:?}"))) }
        };
        TestRunner::default().run(&deeds, case).unwrap();
    }

    #[tokio::test]
    async fn accounts_take_turns_and_a_clock_that_was_set_back_keeps_nobody_waiting() {
        let (_folder, store) = store().await;
        let job = |tx: &mut Tx<'_>| {
            for _ in 0..3 {
                append(tx, Flags::NONE)?;
            }
            let uid = |number| Uid::new(number).unwrap();
            tx.ask_to_send(AccountId(2), MailboxId(1), &[(uid(1), true), (uid(2), true)])?;
            tx.ask_to_send(AccountId(1), MailboxId(1), &[(uid(3), false)])?;
            let due = |tx: &Tx<'_>, now, after| tx.sending_due(now, 100, AccountId(after));
            let first = due(tx, 1_000, 0)?.unwrap();
            assert_eq!((first.1, due(tx, 1_000, 1)?.unwrap().1), (AccountId(1), AccountId(2)));
            assert_eq!(due(tx, 1_000, 2)?, None);
            assert_eq!(due(tx, 950, 0)?, None);
            assert_eq!(due(tx, 800, 0)?, Some(first));
            assert_eq!((tx.sending_next(900)?, tx.sending_next(1_000)?), (Some(1_000), None));
            let row = tx.sending(first.0)?.unwrap();
            assert!(!row.by_header);
            tx.claim_sending(&row, 1_060)?;
            assert_eq!(due(tx, 1_000, 0)?.unwrap().1, AccountId(2));
            assert_eq!(tx.resume_sending()?, 1);
            assert_eq!(due(tx, 1_000, 0)?, Some(first));
            Ok::<_, Error>(())
        };
        store.write(ORIGIN, job).await.unwrap().into_inner();
    }
}
