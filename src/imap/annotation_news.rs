//! What others have said of messages, for a client that opened its mailbox with ANNOTATE (RFC 5257
//! §4.4): under which names, and never what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::error::Error;
use crate::{
    events::Entries,
    ids::Uid,
    mail::{Actor, Mail, Mailbox},
};

/// Names that wait for a silent client; of more it hears all that there are.
const MOST_WAITING: usize = 1_000;
/// Messages whose names are looked up at once.
const AT_ONCE: usize = 256;

/// Names under which something is said, by message.
pub type Names = BTreeMap<Uid, BTreeSet<Arc<str>>>;

/// Names under which something new is said, and the client was not told yet.
#[derive(Default)]
pub struct AnnotationNews {
    names: Names,
    waiting: usize,
    /// More happened than was kept.
    lost: bool,
}

impl AnnotationNews {
    /// Something is said of these messages.
    pub fn hear(&mut self, uids: &[Uid], entries: &Entries) {
        if self.lost {
            return;
        }
        for uid in uids {
            let known = self.names.entry(*uid).or_default();
            let new = entries.names.iter().filter(|name| known.insert(Arc::clone(name))).count();
            self.waiting = self.waiting.saturating_add(new);
        }
        if self.waiting > MOST_WAITING {
            self.lose();
        }
    }

    /// More happened than was kept.
    pub fn lose(&mut self) {
        *self = Self { lost: true, ..Self::default() };
    }

    /// The names that are to be told of these messages, which have changed. When more happened than
    /// was kept, all that there are may be new.
    pub async fn take(
        &mut self,
        mail: &Mail,
        actor: &Actor,
        mailbox: &Mailbox,
        changed: Vec<Uid>,
    ) -> Result<Names, Error> {
        let Self { mut names, lost, .. } = std::mem::take(self);
        if lost {
            for uids in changed.chunks(AT_ONCE) {
                let all = mail.annotation_names(actor, mailbox, uids.to_vec()).await?;
                let some = all.into_iter().filter(|(_, names)| !names.is_empty());
                names.extend(some.map(|(uid, names)| (uid, names.into_iter().collect())));
            }
        }
        Ok(names)
    }
}
