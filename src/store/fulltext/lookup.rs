//! Looking texts up: which contents may hold them.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::file::{connect, mark};
use crate::{
    ids::ContentId,
    store::error::{Error, Result},
};

/// Look-ups at the same time.
const AT_ONCE: usize = 2;
/// Of a text so many trigrams are looked up, spread over all of it.
const TRIGRAMS: usize = 24;
/// More contents that hold a text, for each one that is asked about, are not gone through,
const PASSED_EACH: usize = 8;
/// and these in any case.
const PASSED: usize = 50_000;

/// A text to be looked up, prepared for comparison as the texts in the index are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The text.
    pub text: String,
    /// It may stand in the header fields.
    pub head: bool,
    /// It may stand in the body.
    pub body: bool,
}

/// What is known of some contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// Of contents behind this one nothing is known.
    mark: ContentId,
    /// By probe: which may hold it. None where that cannot be told.
    found: Vec<Option<Vec<ContentId>>>,
}

impl Candidates {
    /// Is it certain that a content does not hold the text of this probe?
    pub fn rule_out(&self, probe: usize, content: ContentId) -> bool {
        let found = self.found.get(probe).and_then(Option::as_ref);
        content <= self.mark && found.is_some_and(|found| found.binary_search(&content).is_err())
    }
}

impl Probe {
    /// Is the text long enough to be looked up?
    pub fn is_long_enough(text: &str) -> bool {
        letters(text).nth(2).is_some()
    }

    /// The text's trigrams in the words of the full-text engine; each must be there.
    fn expression(&self) -> String {
        let letters: Vec<char> = letters(&self.text).collect();
        let count = letters.len().saturating_sub(2);
        let step = count.div_ceil(TRIGRAMS).max(1);
        let mut places: Vec<usize> = (0..count).step_by(step).collect();
        // Also the last one, so that the end of a long text counts too.
        places.extend(count.checked_sub(1).filter(|last| places.last() != Some(last)));
        let mut out = String::new();
        for place in places {
            let trigram = letters.get(place..place.saturating_add(3)).unwrap_or_default();
            out.push_str(if out.is_empty() { "\"" } else { " AND \"" });
            for letter in trigram {
                out.push(*letter);
                if *letter == '"' {
                    out.push('"');
                }
            }
            out.push('"');
        }
        out
    }
}

/// The engine passes over NUL.
fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|letter| *letter != '\0')
}

/// The connections for looking up.
pub(super) struct Lookups {
    path: PathBuf,
    room: Semaphore,
    gate: RwLock<Gate>,
}

#[derive(Default)]
struct Gate {
    /// There is a file that can be trusted.
    open: bool,
    idle: Mutex<Vec<Connection>>,
}

impl Lookups {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, room: Semaphore::new(AT_ONCE), gate: RwLock::default() }
    }

    /// From now on the file may be used.
    pub(super) fn open(&self) {
        if self.gate.read().unwrap_or_else(PoisonError::into_inner).open {
            return;
        }
        self.gate.write().unwrap_or_else(PoisonError::into_inner).open = true;
    }

    /// Nobody uses the file any more when this comes back.
    pub(super) fn close(&self) {
        *self.gate.write().unwrap_or_else(PoisonError::into_inner) = Gate::default();
    }

    /// Octets of the file and of its log.
    pub(super) fn size(&self) -> u64 {
        let paths = [self.path.clone(), self.path.with_extension("db-wal")];
        paths.iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
    }

    pub(super) async fn candidates(
        self: &Arc<Self>,
        probes: Vec<Probe>,
        mut contents: Vec<ContentId>,
    ) -> Result<Option<Candidates>> {
        let _permit = self.room.acquire().await.map_err(|_| Error::Closed)?;
        let asker = CancelOnDrop::default();
        let (lookups, cancelled) = (Arc::clone(self), Arc::clone(&asker.0));
        let work = move || {
            contents.sort_unstable();
            contents.dedup();
            lookups.look_up(&probes, &contents, &cancelled)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Closed)?
    }

    fn look_up(
        &self,
        probes: &[Probe],
        contents: &[ContentId],
        cancelled: &AtomicBool,
    ) -> Result<Option<Candidates>> {
        let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if !gate.open {
            return Ok(None);
        }
        let idle = gate.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let sql = match idle {
            Some(sql) => sql,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let found = match snapshot(&sql, probes, contents, cancelled) {
            Err(Error::Corrupt(cause)) => {
                drop(gate);
                self.close();
                return Err(Error::Corrupt(cause));
            }
            found => found?,
        };
        gate.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sql);
        Ok(Some(found))
    }
}

/// All of it as of one moment.
fn snapshot(
    sql: &Connection,
    probes: &[Probe],
    contents: &[ContentId],
    cancelled: &AtomicBool,
) -> Result<Candidates> {
    let step = sql.unchecked_transaction()?;
    let mark = mark(sql)?;
    let mut found = Vec::with_capacity(probes.len());
    for probe in probes {
        found.push(look_for(sql, probe, contents, cancelled)?);
    }
    step.commit()?;
    Ok(Candidates { mark, found })
}

/// The contents among these that may hold a text; None when so many others do that looking at these
/// is less work.
fn look_for(
    sql: &Connection,
    probe: &Probe,
    contents: &[ContentId],
    cancelled: &AtomicBool,
) -> Result<Option<Vec<ContentId>>> {
    let (Some(first), Some(last)) = (contents.first(), contents.last()) else {
        return Ok(Some(Vec::new()));
    };
    let expression = probe.expression();
    let mut left = contents.len().saturating_mul(PASSED_EACH).saturating_add(PASSED);
    let mut found = Vec::new();
    for (table, _) in
        [("unindexed", true), ("cut", probe.body)].iter().filter(|(_, wanted)| *wanted)
    {
        // Whatever they hold.
        let all = format!("SELECT content FROM {table} WHERE content BETWEEN ?1 AND ?2");
        let mut statement = sql.prepare_cached(&all)?;
        let some = statement.query_map((first, last), |row| row.get(0))?;
        found.extend(some.collect::<rusqlite::Result<Vec<ContentId>>>()?);
    }
    let tables = [("head", probe.head), ("body", probe.body)];
    for (table, _) in tables.iter().filter(|(_, wanted)| *wanted) {
        let look =
            format!("SELECT rowid FROM {table} WHERE {table} MATCH ?1 AND rowid BETWEEN ?2 AND ?3");
        let mut statement = sql.prepare_cached(&look)?;
        let mut rows = statement.query((&expression, first, last))?;
        while let Some(row) = rows.next()? {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(None);
            }
            let content: ContentId = row.get(0)?;
            if contents.binary_search(&content).is_ok() {
                found.push(content);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(Some(found))
}

/// Raises a look-up's flag when its asker no longer waits.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> String {
        Probe { text: text.into(), head: true, body: false }.expression()
    }

    #[test]
    fn every_trigram_of_a_short_text_is_looked_up() {
        assert_eq!(expression("ABCD"), "\"ABC\" AND \"BCD\"");
        assert_eq!(expression("A\"B"), "\"A\"\"B\"");
        assert_eq!(expression("A\0BC"), "\"ABC\"");
        assert!(Probe::is_long_enough("ÄÖÜ") && !Probe::is_long_enough("ÄÖ\0"));
    }

    #[test]
    fn of_a_long_text_the_trigrams_are_bounded_and_its_end_counts() {
        let text: String = ('A'..='Z').cycle().take(60_000).collect();
        let expression = expression(&format!("{text}XYZ"));
        assert!(expression.matches(" AND ").count() <= TRIGRAMS);
        assert!(expression.ends_with("\"XYZ\""));
    }
}
