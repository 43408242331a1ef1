//! A search at work: first over the view, then in short jobs of the store for what is left.

use std::{collections::VecDeque, mem, ops::RangeInclusive, sync::Arc};

use super::{columns::AT_ONCE, facts::Stored, indexed::RuledOut, key::Program};
use crate::{
    events::Entry,
    ids::Uid,
    mail::{
        Mail, Mailbox, Messages, Rights,
        error::{Error, Result},
    },
    store::Reader,
};

/// Fewer messages than this are read without asking the index.
const FEW: usize = 32;
/// So many messages are looked at by so many keys, before others have their turn on the executor.
const PER_TURN: usize = 1 << 20;
/// A job of the store looks at so many messages at most,
const PER_JOB: usize = 512;
/// and ends when it has read so many octets.
const OCTETS_PER_JOB: u64 = 4 << 20;

impl Mail {
    /// The UIDs of the messages that match, rising; of those in this range.
    ///
    /// Reads in short jobs, each of which ends early when nobody waits for it. A damaged message
    /// matches nothing that only its content could tell.
    pub async fn search(
        &self,
        mailbox: &Mailbox,
        mut program: Program,
        range: RangeInclusive<u32>,
    ) -> Result<Vec<Uid>> {
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        program.bind(&view.messages());
        let (first, last) = range.into_inner();
        let mut sieve = Sieve { program, last, found: Vec::new(), open: Vec::new() };
        let (mut next, mut looked) = (Some(Uid::new(first).unwrap_or(Uid::MIN)), 0_usize);
        while let Some(first) = next {
            next = sieve.look(&view.messages(), first);
            looked = looked.saturating_add(sieve.program.count().saturating_mul(AT_ONCE));
            if looked > PER_TURN {
                looked = 0;
                tokio::task::yield_now().await;
            }
        }
        let Sieve { program, found, open, .. } = sieve;
        self.decide(program, found, open).await
    }

    /// The messages that were found and those of the open ones that match, UIDs rising.
    pub(super) async fn decide(
        &self,
        mut program: Program,
        mut found: Vec<Uid>,
        mut open: Vec<Entry>,
    ) -> Result<Vec<Uid>> {
        self.rule_out(&mut program, &mut found, &mut open).await?;
        let (program, words) = (Arc::new(program), self.limits().parsing.encoded_words);
        let mut open = VecDeque::from(open);
        while !open.is_empty() {
            let now: Vec<Entry> = open.drain(..open.len().min(PER_JOB)).collect();
            let program = Arc::clone(&program);
            let job = move |r: &Reader<'_>| read(r, &program, now, words);
            let (matching, left) = self.store.read(job).await?;
            found.extend(matching);
            left.into_iter().rev().for_each(|entry| open.push_front(entry));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Decides what the index decides of the messages that are open.
    async fn rule_out(
        &self,
        program: &mut Program,
        found: &mut Vec<Uid>,
        open: &mut Vec<Entry>,
    ) -> Result<()> {
        let Some(index) = self.fitting_index().filter(|_| open.len() >= FEW) else { return Ok(()) };
        let probes = program.probes();
        if probes.is_empty() {
            return Ok(());
        }
        let mut contents: Vec<_> = open.iter().map(|entry| entry.content).collect();
        contents.sort_unstable();
        contents.dedup();
        let Some(candidates) = index.candidates(probes, contents).await else { return Ok(()) };
        let all = mem::take(open);
        for entry in all {
            let mut facts = RuledOut { entry: &entry, candidates: &candidates };
            match program.matches(&mut facts)? {
                Some(true) => found.push(entry.uid),
                Some(false) => {}
                None => open.push(entry),
            }
        }
        Ok(())
    }
}

/// What the view decides, and what it leaves open.
struct Sieve {
    program: Program,
    last: u32,
    found: Vec<Uid>,
    open: Vec<Entry>,
}

impl Sieve {
    /// Looks at some messages from a UID on; gives the UID to go on with.
    fn look(&mut self, messages: &Messages, first: Uid) -> Option<Uid> {
        let uids = messages.uids();
        let place = |uid: Uid| uid.place_in(uids).unwrap_or_else(|place| place);
        let behind = self.last.checked_add(1).and_then(Uid::new).map_or(uids.len(), place);
        let from = place(first);
        let to = behind.min(from.saturating_add(AT_ONCE));
        let here = uids.get(from..to)?;
        let decided = self.program.decide(messages, from..to);
        self.found.extend(decided.hold.numbers().filter_map(|bit| here.get(bit)));
        self.open.extend(decided.open.numbers().filter_map(|bit| messages.entry(from + bit)));
        uids.get(to).filter(|_| to < behind).copied()
    }
}

/// Decides messages by what is stored; gives those that match, and those there was no time for.
fn read(
    r: &Reader<'_>,
    program: &Program,
    entries: Vec<Entry>,
    encoded_words: usize,
) -> Result<(Vec<Uid>, Vec<Entry>)> {
    let mut matching = Vec::new();
    let mut weight = 0_u64;
    let mut entries = entries.into_iter();
    while weight < OCTETS_PER_JOB
        && let Some(entry) = entries.next()
    {
        r.check_cancelled()?;
        let mut facts = Stored::new(r, &entry, encoded_words);
        match program.matches(&mut facts) {
            Ok(Some(true)) => matching.push(entry.uid),
            Ok(_) => {}
            Err(Error::Damaged(cause)) => {
                tracing::error!(%cause, uid = %entry.uid, "a damaged message");
            }
            Err(error) => return Err(error),
        }
        weight = weight.saturating_add(facts.weight);
    }
    Ok((matching, entries.collect()))
}
