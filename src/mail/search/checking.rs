//! Looks whether the full-text index is what it should be: it holds what the store holds, and what was
//! once written into it. One that does not is of no use, and begins anew.

use std::collections::HashMap;

use crate::{
    ids::ContentId,
    mail::{Mail, error::Result},
    store::{self, Hash, Index, Reader},
};

/// Rows that one step of a comparison with the store looks at.
const ROWS: u32 = 10_000;
/// Contents that one step forgets.
const FORGOTTEN: usize = 200;
/// Blocks that are held against their sums in one step.
const BLOCKS: u32 = 256;

impl Mail {
    /// Removes from the index what has left the store. An index that is not what it should be begins
    /// anew; says whether it was. One that was may be asked from now on.
    pub async fn compare_index(&self) -> Result<bool> {
        let index = self.index().await?;
        let (mark, is_ours) = index.work(|r, index| marks(r, index)).await?;
        if !is_ours {
            tracing::warn!("the full-text index is not of this store and begins anew");
            return Ok(false);
        }
        let mut there = Ids::default();
        let mut after = Hash::default();
        loop {
            let some = move |r: &Reader<'_>, _: &mut Index| r.contents_by_hash(&after, ROWS);
            let some = index.work(some).await?;
            some.iter().filter(|(_, id)| *id <= mark).for_each(|(_, id)| there.insert(*id));
            match some.last() {
                Some((hash, _)) => after = *hash,
                None => break,
            }
        }
        let mut after = ContentId(0);
        loop {
            let some = move |_: &Reader<'_>, index: &mut Index| index.known_after(after, ROWS);
            let some = index.work(some).await?;
            let Some(last) = some.last() else { break };
            after = *last;
            let gone: Vec<ContentId> =
                some.into_iter().filter(|id| *id <= mark && !there.remove(*id)).collect();
            for gone in gone.chunks(FORGOTTEN) {
                let gone = gone.to_vec();
                index.work(move |_, index| index.remove(&gone)).await?;
            }
        }
        let is_whole = there.is_empty();
        let end = move |_: &Reader<'_>, index: &mut Index| {
            if is_whole {
                index.trust();
            } else {
                index.distrust();
            }
            Ok::<_, store::Error>(())
        };
        index.work(end).await?;
        if !is_whole {
            tracing::warn!("the full-text index is not whole and begins anew");
        }
        Ok(is_whole)
    }

    /// Looks at one of `parts` of the index's blocks, going on where it ended the last time; behind the
    /// last one, at the index as a whole. So what rots there is known before all parts have had their
    /// turn.
    pub async fn scrub_index(&self, parts: u32) -> Result<()> {
        let Some(index) = self.store().fulltext() else { return Ok(()) };
        let blocks = index.work(|_, index| index.blocks()).await?;
        for _ in 0..=blocks / u64::from(parts.max(1)) / u64::from(BLOCKS) {
            let (more, findings) = index.work(|_, index| index.check_blocks(BLOCKS)).await?;
            if !findings.is_empty() {
                return Ok(());
            }
            if !more {
                index.work(|_, index| index.check()).await?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is wrong with the index, one finding a line; slow. It begins anew when anything is.
    pub async fn check_index(&self) -> Result<Vec<String>> {
        let Some(index) = self.store().fulltext() else { return Ok(Vec::new()) };
        index.work(|_, index| index.begin_with_first_block()).await?;
        let (mut more, mut findings) = (true, Vec::new());
        while more && findings.is_empty() {
            (more, findings) = index.work(|_, index| index.check_blocks(BLOCKS)).await?;
        }
        if findings.is_empty() {
            findings = index.work(|_, index| index.check()).await?;
        }
        if findings.is_empty() && !self.compare_index().await? {
            findings.push("it does not hold what is stored".into());
        }
        let say = |finding| format!("full-text index (it is made anew by itself): {finding}");
        Ok(findings.into_iter().map(say).collect())
    }
}

/// The mark, and whether the index is of this store: it may be of one that was put back since.
fn marks(r: &Reader<'_>, index: &Index) -> store::Result<(ContentId, bool)> {
    let mark = index.mark()?;
    let hash = r.content_hash(mark)?;
    let same = hash.is_none() || hash == index.mark_hash()?;
    let is_ours = mark <= r.last_content()? && same;
    if !is_ours {
        index.distrust();
    }
    Ok((mark, is_ours))
}

/// A set of ids that lie close together.
#[derive(Default)]
struct Ids(HashMap<i64, u64>);

impl Ids {
    fn insert(&mut self, id: ContentId) {
        *self.0.entry(id.0 >> 6).or_default() |= 1 << (id.0 & 63);
    }

    /// Takes an id out; says whether it was there.
    fn remove(&mut self, id: ContentId) -> bool {
        let Some(bits) = self.0.get_mut(&(id.0 >> 6)) else { return false };
        let bit = 1 << (id.0 & 63);
        let was_there = *bits & bit != 0;
        *bits &= !bit;
        if *bits == 0 {
            self.0.remove(&(id.0 >> 6));
        }
        was_there
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
