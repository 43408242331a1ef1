//! A search at work: first over the view, then in short jobs of the store for what is left.

use std::{
    collections::VecDeque,
    mem,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use super::{columns::AT_ONCE, facts::Stored, indexed::RuledOut, key::Program, progress::Progress};
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
/// So many messages are looked at by so many keys, before others have their turn on the executor: less
/// than a millisecond's work. A message that is left open takes as long as so many keys.
const PER_TURN: usize = 1 << 17;
const PER_OPEN: usize = 16;
/// However many keys there are, so many messages are looked at together.
const AT_LEAST: usize = 512;
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
        progress: &Progress,
    ) -> Result<Vec<Uid>> {
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        let (first, last) = (Uid::new(*range.start()).unwrap_or(Uid::MIN), *range.end());
        {
            let messages = view.messages();
            program.bind(&messages);
            progress.begin(places(messages.uids(), first, last).len());
        }
        let at_once = (PER_TURN / program.count().max(1)).clamp(AT_LEAST, AT_ONCE);
        let mut sieve = Sieve { program, last, at_once, found: Vec::new(), open: Vec::new() };
        let (mut next, mut turn) = (Some(first), Turn::default());
        while let Some(first) = next {
            let open = sieve.open.len();
            next = sieve.look(&view.messages(), first, progress);
            turn.take(at_once.saturating_mul(sieve.program.count())).await;
            turn.take(sieve.open.len().saturating_sub(open).saturating_mul(PER_OPEN)).await;
        }
        let Sieve { program, found, open, .. } = sieve;
        self.decide(program, found, open, progress).await
    }

    /// The messages that were found and those of the open ones that match, UIDs rising.
    pub(super) async fn decide(
        &self,
        mut program: Program,
        mut found: Vec<Uid>,
        mut open: Vec<Entry>,
        progress: &Progress,
    ) -> Result<Vec<Uid>> {
        self.rule_out(&mut program, &mut found, &mut open, progress).await?;
        let (program, words) = (Arc::new(program), self.limits().parsing.encoded_words);
        let mut open = VecDeque::from(open);
        while !open.is_empty() {
            let now: Vec<Entry> = open.drain(..open.len().min(PER_JOB)).collect();
            let asked = now.len();
            let program = Arc::clone(&program);
            let job = move |r: &Reader<'_>| read(r, &program, now, words);
            let (matching, left) = self.store.read(job).await?;
            found.extend(matching);
            progress.add(asked.saturating_sub(left.len()));
            left.into_iter().rev().for_each(|entry| open.push_front(entry));
        }
        // Rising rows one behind the other, which this sort joins without comparing each with many.
        found.sort();
        Ok(found)
    }

    /// Decides what the index decides of the messages that are open.
    async fn rule_out(
        &self,
        program: &mut Program,
        found: &mut Vec<Uid>,
        open: &mut Vec<Entry>,
        progress: &Progress,
    ) -> Result<()> {
        let Some(index) = self.fitting_index().filter(|_| open.len() >= FEW) else { return Ok(()) };
        let probes = program.probes();
        if probes.is_empty() {
            return Ok(());
        }
        let contents = open.iter().map(|entry| entry.content).collect();
        let Some(candidates) = index.candidates(probes, contents).await else { return Ok(()) };
        let (all, mut turn) = (mem::take(open), Turn::default());
        progress.add(all.len());
        for entry in all {
            turn.take(program.count().saturating_add(PER_OPEN)).await;
            let mut facts = RuledOut { entry: &entry, candidates: &candidates };
            match program.matches(&mut facts)? {
                Some(true) => found.push(entry.uid),
                Some(false) => {}
                None => open.push(entry),
            }
        }
        progress.take_back(open.len());
        Ok(())
    }
}

/// How much was done since others had their turn.
#[derive(Default)]
struct Turn(usize);

impl Turn {
    /// So much more; when it is too much the others come first.
    async fn take(&mut self, work: usize) {
        self.0 = self.0.saturating_add(work);
        if self.0 > PER_TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// What the view decides, and what it leaves open.
struct Sieve {
    program: Program,
    last: u32,
    /// So many messages are looked at while commits wait.
    at_once: usize,
    found: Vec<Uid>,
    open: Vec<Entry>,
}

impl Sieve {
    /// Looks at some messages from a UID on; gives the UID to go on with.
    fn look(&mut self, messages: &Messages, first: Uid, progress: &Progress) -> Option<Uid> {
        let uids = messages.uids();
        let Range { start: from, end: behind } = places(uids, first, self.last);
        let to = behind.min(from.saturating_add(self.at_once));
        let here = uids.get(from..to)?;
        let decided = self.program.decide(messages, from..to);
        self.found.extend(decided.hold.numbers().filter_map(|bit| here.get(bit)));
        let open = self.open.len();
        self.open.extend(decided.open.numbers().filter_map(|bit| messages.entry(from + bit)));
        progress.add(here.len().saturating_sub(self.open.len().saturating_sub(open)));
        uids.get(to).filter(|_| to < behind).copied()
    }
}

/// The places of the messages from one UID to another.
fn places(uids: &[Uid], first: Uid, last: u32) -> Range<usize> {
    let place = |uid: Uid| uid.place_in(uids).unwrap_or_else(|place| place);
    place(first)..last.checked_add(1).and_then(Uid::new).map_or(uids.len(), place)
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
