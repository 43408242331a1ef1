//! Looking again at messages that have changed or come, for a search that is kept true.

use std::{mem, sync::Arc};

use super::{facts::Known, key::Program, run::read};
use crate::{
    ids::Uid,
    mail::{Mail, Mailbox, Rights, error::Result},
    store::Reader,
};

/// Messages looked at while commits wait.
const AT_ONCE: usize = 4_096;
/// A job of the store looks at so many messages at most.
const PER_JOB: usize = 512;

impl Mail {
    /// Those of these messages, UIDs rising, that match. One that is gone matches nothing.
    pub async fn search_among(
        &self,
        mailbox: &Mailbox,
        mut program: Program,
        uids: &[Uid],
    ) -> Result<Vec<Uid>> {
        mailbox.need(Rights::READ)?;
        if uids.is_empty() {
            return Ok(Vec::new());
        }
        let view = self.view(mailbox).await?;
        program.bind(&view.messages());
        let (mut found, mut open) = (Vec::new(), Vec::new());
        for uids in uids.chunks(AT_ONCE) {
            let messages = view.messages();
            for entry in uids.iter().filter_map(|uid| messages.find(*uid)) {
                match program.matches(&mut Known(&entry))? {
                    Some(true) => found.push(entry.uid),
                    Some(false) => {}
                    None => open.push(entry),
                }
            }
        }
        let (program, words) = (Arc::new(program), self.limits.parsing.encoded_words);
        while !open.is_empty() {
            let behind = open.split_off(open.len().min(PER_JOB));
            let (program, now) = (Arc::clone(&program), mem::replace(&mut open, behind));
            let job = move |r: &Reader<'_>| read(r, &program, now, words);
            let (matching, left) = self.store().read(job).await?;
            found.extend(matching);
            open.splice(..0, left);
        }
        found.sort_unstable();
        Ok(found)
    }
}
