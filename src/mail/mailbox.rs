//! What mailboxes there are and how they stand: list, count, subscribe.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use super::{
    Actor, Mail, Mailbox,
    access::{Found, find, open, prefix},
    error::{Error, Result},
    name::{self, Place},
    rights::Rights,
    view::View,
};
use crate::{
    ids::{AccountId, MailboxId, ModSeq},
    metrics::Limit,
    store::{AclEntry, Committed, MailboxRow, Reader, SpecialUse, Tx},
};

/// The mailboxes that every account starts with.
const DEFAULTS: [(&str, u32); 6] = [
    ("INBOX", 0),
    ("Sent", 1 << 5),
    ("Drafts", 1 << 2),
    ("Trash", 1 << 6),
    ("Junk", 1 << 4),
    ("Archive", 1 << 1),
];

/// A mailbox in a list.
#[derive(Clone, Debug)]
pub struct MailboxInfo {
    /// Its name as the asker sees it.
    pub name: Arc<str>,
    /// What the store keeps of it: counters, special use, and its name in its owner's tree. A special
    /// use is its owner's alone and not shown to others.
    pub row: MailboxRow,
    /// What the asker may do with it.
    pub rights: Rights,
    /// Is its name subscribed?
    pub subscribed: bool,
}

/// What is told of a mailbox when it is opened, without any of its messages in memory.
#[derive(Clone, Debug)]
pub struct Outline {
    /// What the store keeps of it.
    pub row: MailboxRow,
    /// Its own keywords by number.
    pub keywords: Vec<(u8, Arc<str>)>,
    /// The number of the first message without `\Seen`.
    pub first_unseen: Option<u64>,
}

/// An account's quota and its use (RFC 9208).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Octets in use.
    pub octets: u64,
    /// Octets allowed.
    pub octets_limit: u64,
    /// Messages in use.
    pub messages: u64,
    /// Messages allowed; None means without limit.
    pub messages_limit: Option<u64>,
}

impl Mail {
    /// The handle on a mailbox that shall get messages, as [`Self::open`] gives it, and what room
    /// its owner has.
    pub async fn open_to_add(&self, actor: &Actor, name: &str) -> Result<(Mailbox, Quota)> {
        let (actor, name, default) = (*actor, name.to_owned(), self.limits.quota_octets);
        self.store
            .read(move |r| {
                let mailbox = open(r, &actor, &name, Rights::INSERT)?;
                let quota = quota(r, mailbox.account, default)?;
                Ok((mailbox, quota))
            })
            .await
    }

    /// What the store keeps of a mailbox: counters for STATUS and SELECT.
    pub async fn status(&self, actor: &Actor, name: &str) -> Result<MailboxInfo> {
        let (asker, place) = (actor.account, Place::of(name));
        self.store
            .read(move |r| {
                let found = find(r, asker, &place)?.selectable()?;
                found.check(Rights::READ)?;
                let Found { row, name, rights, .. } = found;
                Ok(MailboxInfo { name, row, rights, subscribed: false })
            })
            .await
    }

    /// The counters of an open mailbox as of now.
    pub async fn row(&self, mailbox: &Mailbox) -> Result<MailboxRow> {
        let id = mailbox.id;
        self.store.read(move |r| r.mailbox_by_id(id)?.ok_or(Error::NoMailbox)).await
    }

    /// The messages of an open mailbox, in memory; loaded when they are not there yet.
    pub async fn view(&self, mailbox: &Mailbox) -> Result<Arc<View>> {
        let view = self.views.view(&self.store, mailbox.id).await?;
        if view.uid_validity() == mailbox.uid_validity { Ok(view) } else { Err(Error::NoMailbox) }
    }

    /// The messages of an open mailbox, if they are in memory.
    pub fn cached_view(&self, mailbox: &Mailbox) -> Option<Arc<View>> {
        let view = self.views.cached(mailbox.id)?;
        (view.uid_validity() == mailbox.uid_validity).then_some(view)
    }

    /// The outline of an open mailbox in which nothing has happened after `since` and nothing is
    /// `\Recent` to who selects it now; None for any other.
    pub async fn unchanged(&self, mailbox: &Mailbox, since: ModSeq) -> Result<Option<Outline>> {
        let (id, uid_validity) = (mailbox.id, mailbox.uid_validity);
        self.store
            .read(move |r| {
                let row = r.mailbox_by_id(id)?.ok_or(Error::NoMailbox)?;
                let status = row.status;
                if row.uid_validity != uid_validity
                    || status.mod_seq > since
                    || status.recent_uid < status.uid_next
                {
                    return Ok(None);
                }
                let first_unseen = if status.unseen > 0 { r.first_unseen(id)? } else { None };
                Ok(Some(Outline { keywords: r.keywords(id)?, first_unseen, row }))
            })
            .await
    }

    /// All mailboxes the actor may see: its own by name, then those of others.
    pub async fn mailboxes(&self, actor: &Actor) -> Result<Vec<MailboxInfo>> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let mut all = own(r, account)?;
                all.extend(of_others(r, account)?);
                let subscribed: HashSet<_> = r.subscriptions(account)?.into_iter().collect();
                for info in &mut all {
                    info.subscribed = subscribed.contains(&info.name);
                }
                Ok(all)
            })
            .await
    }

    /// The actor's own mailboxes, by name.
    pub async fn own_mailboxes(&self, actor: &Actor) -> Result<Vec<MailboxRow>> {
        let account = actor.account;
        self.store.read(move |r| Ok(r.mailboxes(account)?)).await
    }

    /// The names the actor subscribed, also of mailboxes that are gone.
    pub async fn subscriptions(&self, actor: &Actor) -> Result<Vec<Arc<str>>> {
        let account = actor.account;
        self.store.read(move |r| Ok(r.subscriptions(account)?)).await
    }

    /// Makes the mailboxes that every account starts with, subscribed. Those that exist stay.
    pub fn add_default_mailboxes(tx: &mut Tx<'_>, account: AccountId) -> Result<()> {
        for (name, special_use) in DEFAULTS {
            let key = name::key(name);
            if tx.mailbox(account, &key)?.is_none() {
                tx.add_mailbox(account, name, &key, SpecialUse(special_use))?;
                tx.subscribe(account, name, true)?;
            }
        }
        Ok(())
    }

    /// Subscribes a name, whether or not there is such a mailbox, or ends its subscription.
    pub async fn subscribe(
        &self,
        actor: &Actor,
        name: &str,
        subscribed: bool,
    ) -> Result<Committed<()>> {
        let (account, place) = (actor.account, Place::of(name));
        if subscribed {
            name::check(place.name(), self.limits.names)?;
        }
        let name = place.to_string();
        let most = self.limits.mailboxes;
        let job = move |tx: &mut Tx<'_>| {
            if subscribed {
                let known = tx.subscriptions(account)?;
                if known.len() >= most && known.iter().all(|other| **other != *name) {
                    return Err(Error::Over(Limit::MailboxesPerUserMax, "too many subscriptions"));
                }
            }
            Ok(tx.subscribe(account, &name, subscribed)?)
        };
        self.store.write(actor.origin, job).await
    }

    /// From now on the mailbox's messages are recent to nobody else (`\Recent`, RFC 3501 §2.3.2):
    /// gives the first UID that was recent. Written by and by; nobody waits for it.
    pub fn take_recent(&self, actor: &Actor, mailbox: &Mailbox, view: &View) -> u64 {
        let (recent, next) = {
            let messages = view.messages();
            (messages.recent_uid(), messages.uid_next())
        };
        if recent < next {
            view.change(|messages| messages.raise_recent(next));
            let (store, origin, id) = (self.store.clone(), actor.origin, mailbox.id);
            tokio::spawn(async move {
                let job = move |tx: &mut Tx<'_>| tx.set_recent(id, next);
                if let Err(error) = store.write(origin, job).await {
                    tracing::warn!(%error, "could not keep what is recent");
                }
            });
        }
        recent
    }

    /// Whose quota a root is (see [`name::root`]); None when there is none of this name, or when the
    /// actor may read no mailbox that counts against it: it would tell how much there is.
    pub async fn quota_root(&self, actor: &Actor, root: &str) -> Result<Option<AccountId>> {
        if root.is_empty() {
            return Ok(Some(actor.account));
        }
        let known = self.mailboxes(actor).await?.into_iter();
        let mut readable = known.filter(|info| info.rights.contain(Rights::READ));
        Ok(readable.find(|info| name::root(&info.name) == root).map(|info| info.row.account))
    }

    /// The quota of the account that owns a mailbox, and how much of it is used.
    pub async fn quota(&self, account: AccountId) -> Result<Quota> {
        let default = self.limits.quota_octets;
        self.store.read(move |r| quota(r, account, default)).await
    }
}

fn quota(r: &Reader<'_>, account: AccountId, default_octets: u64) -> Result<Quota> {
    let account = r.account_by_id(account)?.ok_or(Error::NoMailbox)?;
    Ok(Quota {
        octets: account.used_octets,
        octets_limit: account.quota_octets.unwrap_or(default_octets),
        messages: account.used_messages,
        messages_limit: account.quota_messages,
    })
}

/// The mailboxes of an account, for itself.
fn own(r: &Reader<'_>, account: AccountId) -> Result<Vec<MailboxInfo>> {
    let info = |row: MailboxRow| MailboxInfo {
        name: Arc::clone(&row.name),
        rights: Rights::ALL,
        subscribed: false,
        row,
    };
    Ok(r.mailboxes(account)?.into_iter().map(info).collect())
}

/// The mailboxes of others that an account may see.
fn of_others(r: &Reader<'_>, asker: AccountId) -> Result<Vec<MailboxInfo>> {
    let mut lists: BTreeMap<MailboxId, Vec<AclEntry>> = BTreeMap::new();
    for (mailbox, entry) in r.acls_about(asker)? {
        lists.entry(mailbox).or_default().push(entry);
    }
    let mut visible = Vec::new();
    if r.is_owner(asker)? {
        for row in r.mailboxes(AccountId::SHARED)? {
            let list = lists.remove(&row.id).unwrap_or_default();
            visible.push((row, Rights::of(&list).with(Rights::STEWARD)));
        }
    }
    for (mailbox, list) in lists {
        r.check_cancelled()?;
        let rights = Rights::of(&list);
        if rights.contain(Rights::LOOKUP)
            && let Some(row) = r.mailbox_by_id(mailbox)?
        {
            visible.push((row, rights));
        }
    }
    let mut prefixes: HashMap<AccountId, Option<String>> = HashMap::new();
    let mut all = Vec::new();
    for (row, rights) in visible.into_iter().filter(|(row, _)| row.account != asker) {
        let prefix = match prefixes.entry(row.account) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(prefix(r, asker, row.account)?),
        };
        if let Some(prefix) = prefix {
            let Found { row, name, rights, .. } = Found::new(row, prefix, rights, asker);
            all.push(MailboxInfo { name, row, rights, subscribed: false });
        }
    }
    Ok(all)
}
