//! What messages are sorted and threaded by, read from view and store in steps.

use std::sync::Arc;

use super::{
    Mail, Mailbox, Rights,
    error::{Error, Result},
    summary::SummaryRef,
};
use crate::{
    events::Entry,
    ids::{ContentId, Uid},
    store::{self, Reader},
};

/// Messages looked at while commits wait.
const AT_ONCE: usize = 4_096;
/// Summaries that one job of the store reads.
const PER_JOB: usize = 1_024;
/// From how many messages on their ordering is a thread's work of its own.
const MANY: usize = 2_000;

/// What the view knows of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) uid: Uid,
    pub(super) internal_date: i64,
    pub(super) size: u64,
    pub(super) content: ContentId,
}

impl Known {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { uid, internal_date, size, content, .. } = *entry;
        Self { uid, internal_date, size, content }
    }
}

impl Mail {
    /// What the view knows of these messages; those that have gone are left out.
    pub(super) async fn known(&self, mailbox: &Mailbox, uids: &[Uid]) -> Result<Vec<Known>> {
        mailbox.need(Rights::READ)?;
        let view = self.view(mailbox).await?;
        let mut all = Vec::with_capacity(uids.len());
        for uids in uids.chunks(AT_ONCE) {
            let messages = view.messages();
            let known = |uid: &Uid| messages.find(*uid).map(|entry| Known::of(&entry));
            all.extend(uids.iter().filter_map(known));
        }
        Ok(all)
    }

    /// What `make` makes of each message and its summary, in the same order. One whose summary is
    /// damaged is taken as if it had none.
    pub(super) async fn keyed<T: Send + 'static>(
        &self,
        known: &[Known],
        make: impl Fn(Known, Option<&SummaryRef<'_>>) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>> {
        let make = Arc::new(make);
        let mut all = Vec::with_capacity(known.len());
        for known in known.chunks(PER_JOB) {
            let (known, make) = (known.to_vec(), Arc::clone(&make));
            let job = move |r: &Reader<'_>| {
                let mut some = Vec::with_capacity(known.len());
                for known in known {
                    r.check_cancelled()?;
                    let summary = r.summary(known.content)?.unwrap_or_default();
                    some.push(make(known, SummaryRef::parse(&summary).ok().as_ref()));
                }
                Ok::<_, Error>(some)
            };
            all.extend(self.store().read(job).await?);
        }
        Ok(all)
    }
}

/// Puts so many messages in order; when they are many the async executor is left alone.
pub(super) async fn arrange<T: Send + 'static>(
    count: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if count < MANY {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::Internal(store::Error::Cancelled))
}
