//! Looking for damage: all at once when a person asks, and little by little all the time, since
//! octets that nobody reads can rot for years.

use std::collections::HashSet;

use super::{
    Store,
    error::{Error, Result},
    reader::Reader,
    sql::{signed, unsigned},
};
use crate::{events::Origin, flags::Flags, ids::ContentId};

/// How many rows one reading job takes, so that no snapshot is held for long.
const STEP: u32 = 200;
/// How many octets are in memory at a time.
const CHUNK: u64 = 256 << 10;
/// The setting that remembers how far the scrub came.
const SCRUBBED: &str = "scrubbed";

/// What a part of a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Contents that were read.
    pub contents: usize,
    /// Those that are damaged, one line each.
    pub damaged: Vec<String>,
}

/// What must be nowhere, and how many there are of it.
const NOWHERE: [(&str, &str); 26] = [
    ("rows whose foreign key has no parent", "SELECT count(*) FROM pragma_foreign_key_check"),
    (
        "messages without their content",
        "SELECT count(*) FROM message WHERE content NOT IN (SELECT id FROM content)",
    ),
    (
        "expunged messages without their content",
        "SELECT count(*) FROM tombstone WHERE content NOT IN (SELECT id FROM content)",
    ),
    (
        "queued messages without their content",
        "SELECT count(*) FROM queue WHERE content NOT IN (SELECT id FROM content)",
    ),
    (
        "queued messages without a recipient",
        "SELECT count(*) FROM queue WHERE id NOT IN (SELECT queue FROM queue_recipient)",
    ),
    (
        "messages to be submitted that are not marked so",
        "SELECT count(*) FROM sending LEFT JOIN message USING (mailbox, uid)
         WHERE state < 2 AND ifnull(flags, 0) & 2048 = 0 OR flags IS NULL",
    ),
    (
        "accounts whose queue has another length than is written down",
        "WITH counted (account, messages) AS (
             SELECT account, count(*) FROM queue WHERE account IS NOT NULL GROUP BY account
             UNION ALL SELECT -1, count(*) FROM queue
         )
         SELECT count(*) FROM (
             SELECT * FROM counted EXCEPT SELECT * FROM queue_length
             UNION ALL SELECT * FROM queue_length EXCEPT SELECT * FROM counted
         )",
    ),
    (
        "contents without their summary",
        "SELECT count(*) FROM content WHERE id NOT IN (SELECT content FROM summary)",
    ),
    (
        "messages of another size than their content",
        "SELECT count(*) FROM message JOIN content ON content.id = message.content
         WHERE message.size <> content.size",
    ),
    (
        "messages beyond their mailbox's UIDNEXT",
        "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE uid >= uid_next",
    ),
    (
        "expunged messages beyond their mailbox's UIDNEXT",
        "SELECT (SELECT count(*) FROM tombstone JOIN mailbox ON mailbox.id = mailbox
                 WHERE uid >= uid_next)
              + (SELECT count(*) FROM vanished JOIN mailbox ON mailbox.id = mailbox
                 WHERE last >= uid_next)",
    ),
    (
        "UIDs that were expunged and are there",
        "SELECT (SELECT count(*) FROM message JOIN tombstone USING (mailbox, uid))
              + (SELECT count(*) FROM vanished JOIN message ON message.mailbox = vanished.mailbox
                 AND uid BETWEEN first AND last)",
    ),
    (
        "messages beyond their mailbox's mod-sequence",
        "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox
         WHERE message.mod_seq > mailbox.mod_seq",
    ),
    (
        "expunged messages beyond their mailbox's mod-sequence",
        "SELECT (SELECT count(*) FROM tombstone JOIN mailbox ON mailbox.id = mailbox
                 WHERE tombstone.mod_seq > mailbox.mod_seq)
              + (SELECT count(*) FROM vanished JOIN mailbox ON mailbox.id = mailbox
                 WHERE vanished.mod_seq > mailbox.mod_seq)",
    ),
    (
        "messages with keywords of which their mailbox does not know",
        "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox
         WHERE flags & ~31 & ~fixed_keywords <> 0",
    ),
    (
        "keywords taken away beyond their mailbox's mod-sequence",
        "SELECT count(*) FROM unmarked JOIN mailbox ON mailbox.id = mailbox
         WHERE unmarked.mod_seq > mailbox.mod_seq",
    ),
    (
        "mailboxes beyond their account's mod-sequence",
        "SELECT count(*) FROM mailbox JOIN account ON account.id = account
         WHERE mailbox.mod_seq > account.mod_seq",
    ),
    (
        "mailboxes beyond their account's UIDVALIDITY",
        "SELECT count(*) FROM mailbox JOIN account ON account.id = account
         WHERE mailbox.uid_validity > account.uid_validity",
    ),
    (
        "mailboxes that share a UIDVALIDITY with another of their account",
        "SELECT count(*) - count(DISTINCT account || ' ' || uid_validity) FROM mailbox",
    ),
    (
        "mailboxes that call messages recent which are not there yet",
        "SELECT count(*) FROM mailbox WHERE recent_uid > uid_next",
    ),
    (
        "threads that were not given yet",
        "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox
         JOIN account ON account.id = account WHERE thread >= thread_next",
    ),
    (
        "metadata of no mailbox",
        "SELECT count(*) FROM metadata
         WHERE mailbox <> 0 AND mailbox NOT IN (SELECT id FROM mailbox)",
    ),
    (
        "annotations of no message",
        "SELECT count(*) FROM annotation
         WHERE (mailbox, uid) NOT IN (SELECT mailbox, uid FROM message)",
    ),
    (
        "private metadata of nobody",
        "SELECT count(*) FROM metadata WHERE owner <> 0 AND owner NOT IN (SELECT id FROM account)",
    ),
    (
        "private annotations of nobody",
        "SELECT count(*) FROM annotation
         WHERE owner <> 0 AND owner NOT IN (SELECT id FROM account)",
    ),
    (
        "accounts whose use of their quota is wrong",
        "SELECT count(*) FROM account LEFT JOIN
         (SELECT account AS id, count(*) AS n, sum(size) AS o FROM message
          JOIN mailbox ON mailbox.id = mailbox GROUP BY account) USING (id) LEFT JOIN
         (SELECT iif(owner = 0, account, owner) AS id, sum(length(entry) + length(value)) AS s FROM
          (SELECT mailbox, entry, owner, value FROM metadata
           UNION ALL SELECT mailbox, entry, owner, value FROM annotation)
          LEFT JOIN mailbox ON mailbox.id = mailbox GROUP BY 1) USING (id)
         WHERE used_messages <> coalesce(n, 0)
         OR used_octets <> coalesce(o, 0) + coalesce(s, 0)",
    ),
];

/// Counters of a mailbox that differ from its messages; `\Seen` is ?1, `\Deleted` is ?2.
const COUNTERS: &str = "SELECT mailbox.id FROM mailbox LEFT JOIN
    (SELECT mailbox AS id, count(*) AS n, sum(flags & ?1 = 0) AS u, sum(flags & ?2 <> 0) AS d,
     sum(size) AS o, sum(size * (flags & ?2 <> 0)) AS od FROM message GROUP BY mailbox) USING (id)
    WHERE messages <> coalesce(n, 0) OR unseen <> coalesce(u, 0) OR deleted <> coalesce(d, 0)
    OR octets <> coalesce(o, 0) OR deleted_octets <> coalesce(od, 0)";

impl Store {
    /// What is wrong with the store, one finding a line; nothing when all is well.
    ///
    /// Looks at the database's own integrity, at references without their row, at numbers that must
    /// only grow, at counters, and reads everything that is stored.
    pub async fn check(&self) -> Result<Vec<String>> {
        let mut findings = self.read(|r| Ok::<_, Error>(r.check_rows())).await?;
        let mut after = 0;
        loop {
            let (last, more) = self.read(move |r| r.check_files(after)).await?;
            findings.extend(more);
            let Some(last) = last else { break };
            after = last;
        }
        let mut after = ContentId(0);
        loop {
            let contents = self.read(move |r| r.contents_after(after, STEP.into())).await?;
            let Some(last) = contents.last() else { break };
            after = *last;
            for content in contents {
                findings.extend(self.damage_of(content).await);
            }
        }
        Ok(findings)
    }

    /// Reads one of `parts` of all that is stored, going on where it ended the last time, and raises
    /// the alarm when something is no longer what it was.
    pub async fn scrub(&self, origin: Origin, parts: u32) -> Result<Scrubbed> {
        let contents = self.read(move |r| r.next_to_scrub(parts)).await?;
        let mut scrubbed = Scrubbed { contents: contents.len(), damaged: Vec::new() };
        for content in &contents {
            if let Some(damage) = self.damage_of(*content).await {
                tracing::error!(damage, "stored mail is damaged: restore it from a backup");
                scrubbed.damaged.push(damage);
            }
        }
        if let Some(last) = contents.last().copied() {
            let job = self.write(origin, move |tx| tx.remember(SCRUBBED, &last.0.to_le_bytes()));
            let _ = job.await?;
        }
        Ok(scrubbed)
    }

    /// Why a content is not what was put in; nothing when it has gone meanwhile.
    async fn damage_of(&self, content: ContentId) -> Option<String> {
        match self.read(move |r| r.is_whole(content)).await {
            Ok(true) => None,
            Ok(false) => Some(format!("content {content}: its octets are not what was stored")),
            Err(error) => Some(format!("content {content}: {error}")),
        }
    }
}

impl Reader<'_> {
    /// What the database says of itself, and what its rows say of each other.
    fn check_rows(&self) -> Vec<String> {
        let mut findings = match self.rows("PRAGMA integrity_check", [], |row| row.get(0)) {
            Ok(findings) => findings,
            Err(error) => vec![format!("integrity: {error}")],
        };
        findings.retain(|finding: &String| finding != "ok");
        for (what, sql) in NOWHERE {
            match self.row(sql, [], |row| row.get::<_, i64>(0)) {
                Ok(Some(count @ 1..)) => findings.push(format!("{count} {what}")),
                Ok(_) => {}
                Err(error) => findings.push(format!("{what}: {error}")),
            }
        }
        let counters = self.rows(COUNTERS, (Flags::SEEN, Flags::DELETED), |row| row.get(0));
        match counters {
            Ok(wrong) => {
                let say = |mailbox: i64| format!("the counters of mailbox {mailbox} are wrong");
                findings.extend(wrong.into_iter().map(say));
            }
            Err(error) => findings.push(format!("counters: {error}")),
        }
        findings
    }

    /// Looks at some files behind `after`: are they there, of their length, with their octets? Gives
    /// the last one looked at.
    fn check_files(&self, after: i64) -> Result<(Option<i64>, Vec<String>)> {
        let sql = "SELECT id, hash, size FROM blob WHERE id > ?1 ORDER BY id LIMIT ?2";
        let files: Vec<(i64, [u8; 32], i64)> =
            self.rows(sql, (after, STEP), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut findings = Vec::new();
        for (id, hash, size) in &files {
            self.check_cancelled()?;
            match self.blobs.measure(hash) {
                Ok((length, _)) if signed(length) != *size => {
                    findings.push(format!("blob {id} has another length"));
                }
                Ok((_, found)) if found != *hash => {
                    findings.push(format!("blob {id} has other octets"));
                }
                Ok(_) => {}
                Err(error) => findings.push(format!("blob {id}: {error}")),
            }
        }
        Ok((files.last().map(|(id, ..)| *id), findings))
    }

    /// Does a content hold the octets that were put in? Yes when there is no such content.
    fn is_whole(&self, content: ContentId) -> Result<bool> {
        let sql = "SELECT size, hash FROM content WHERE id = ?1";
        let found =
            self.row(sql, [content], |row| Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?)))?;
        let Some((size, hash)) = found else { return Ok(true) };
        let (size, mut at) = (unsigned(size), 0);
        let mut hasher = blake3::Hasher::new();
        while at < size {
            self.check_cancelled()?;
            let octets = self.octets(content, at..size.min(at.saturating_add(CHUNK)))?;
            if octets.is_empty() {
                return Ok(false);
            }
            at = at.saturating_add(octets.len() as u64);
            hasher.update(&octets);
        }
        Ok(at == size && *hasher.finalize().as_bytes() == hash)
    }

    fn contents_after(&self, after: ContentId, limit: u64) -> Result<Vec<ContentId>> {
        let sql = "SELECT id FROM content WHERE id > ?1 ORDER BY id LIMIT ?2";
        self.rows(sql, (after, signed(limit)), |row| row.get(0))
    }

    /// The next of `parts` parts of all contents; behind the last one comes the first again.
    fn next_to_scrub(&self, parts: u32) -> Result<Vec<ContentId>> {
        let all = self.row("SELECT count(*) FROM content", [], |row| row.get(0))?;
        let part = unsigned(all.unwrap_or(0)).div_ceil(parts.max(1).into());
        let after = self.setting(SCRUBBED)?.and_then(|id| id.try_into().ok());
        let after = ContentId(after.map_or(0, i64::from_le_bytes));
        let mut next = self.contents_after(after, part)?;
        if (next.len() as u64) < part {
            next.extend(self.contents_after(ContentId(0), part.saturating_sub(next.len() as u64))?);
            let mut seen = HashSet::new();
            next.retain(|content| seen.insert(*content));
        }
        Ok(next)
    }
}
