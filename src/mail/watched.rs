//! How mailboxes stand for somebody who watches them.

use std::sync::Arc;

use super::{
    Actor, Mail, MailboxInfo,
    access::{Found, by_id, find},
    error::{Error, Result},
    name::{self, Place, SEPARATOR},
    rights::Rights,
};
use crate::ids::MailboxId;

/// A name, of a mailbox or not, as LIST shows it.
#[derive(Clone, Debug)]
pub struct NamedPlace {
    /// The mailbox, if the user may know of one.
    pub info: Option<MailboxInfo>,
    /// Is the name subscribed?
    pub subscribed: bool,
    /// Is there a mailbox below it?
    pub has_children: bool,
}

impl Mail {
    /// These mailboxes as they stand now, as far as the actor may know of them. Whether they are
    /// subscribed is only looked up on demand.
    pub async fn stand(
        &self,
        actor: &Actor,
        ids: Vec<MailboxId>,
        with_subscriptions: bool,
    ) -> Result<Vec<MailboxInfo>> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let subscribed =
                    if with_subscriptions { r.subscriptions(account)? } else { Vec::new() };
                let mut all = Vec::new();
                for id in ids {
                    let visible = by_id(r, account, id)?.and_then(visible);
                    all.extend(visible.map(|info| MailboxInfo {
                        subscribed: subscribed.contains(&info.name),
                        ..info
                    }));
                }
                Ok::<_, Error>(all)
            })
            .await
    }

    /// How a name stands now.
    pub async fn place(&self, actor: &Actor, name: &Arc<str>) -> Result<NamedPlace> {
        let (account, full) = (actor.account, Arc::clone(name));
        let job = self.store.read(move |r| {
            let place = Place::of(&full);
            let subscribed = r.is_subscribed(account, &full)?;
            let info = match find(r, account, &place) {
                Ok(found) => visible(found).map(|info| MailboxInfo { subscribed, ..info }),
                Err(Error::NoMailbox) => None,
                Err(error) => return Err(error),
            };
            let has_children = r.has_mailbox_below(account, &name::key(place.name()))?;
            Ok(NamedPlace { info, subscribed, has_children })
        });
        let mut place = job.await?;
        if name::is_foreign(name) {
            // Below it only those count that the user may see.
            let below = format!("{name}{SEPARATOR}");
            let mut all = self.mailboxes(actor).await?.into_iter();
            place.has_children = all.any(|info| info.name.starts_with(&below));
        }
        Ok(place)
    }
}

fn visible(found: Found) -> Option<MailboxInfo> {
    let Found { row, name, rights, .. } = found;
    rights.contain(Rights::LOOKUP).then_some(MailboxInfo { name, row, rights, subscribed: false })
}
