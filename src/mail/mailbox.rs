//! Mailboxes by name: open, list, make, remove, rename, subscribe, count.

use std::sync::Arc;

use super::{
    Actor, Mail,
    error::{Error, Result},
    name::{self, NameLimits},
    rights::Rights,
    view::View,
};
use crate::{
    ids::{AccountId, MailboxId, ModSeq, UidValidity},
    store::{Committed, MailboxRow, Reader, SpecialUse, Tx},
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

/// A handle on a mailbox: the proof that its bearer may do there what `rights` say.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name when it was opened.
    pub name: Arc<str>,
    /// What its UIDs are valid under.
    pub uid_validity: UidValidity,
    /// What the bearer may do.
    pub rights: Rights,
}

impl Mailbox {
    /// Refuses a deed for which rights are missing.
    pub fn need(&self, rights: Rights) -> Result<()> {
        if self.rights.contain(rights) { Ok(()) } else { Err(Error::Forbidden) }
    }
}

/// A mailbox in a list.
#[derive(Clone, Debug)]
pub struct MailboxInfo {
    /// What the store keeps of it: name, counters, special use.
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
    /// The handle on a mailbox; the one way to reach it.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] when there is none of that very spelling (INBOX in any case) or the
    /// actor may not know of it; [`Error::NotSelectable`]; [`Error::Forbidden`].
    pub async fn open(&self, actor: &Actor, name: &str, need: Rights) -> Result<Mailbox> {
        let (actor, name) = (*actor, name.to_owned());
        self.store.read(move |r| open(r, &actor, &name, need)).await
    }

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
    pub async fn status(&self, actor: &Actor, name: &str) -> Result<MailboxRow> {
        let mailbox = self.open(actor, name, Rights::READ).await?;
        self.row(&mailbox).await
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

    /// All mailboxes the actor may see, by name.
    pub async fn mailboxes(&self, actor: &Actor) -> Result<Vec<MailboxInfo>> {
        let account = actor.account;
        self.store
            .read(move |r| {
                let subscribed = r.subscriptions(account)?;
                let info = |row: MailboxRow| MailboxInfo {
                    subscribed: subscribed.contains(&row.name),
                    rights: Rights::ALL,
                    row,
                };
                Ok(r.mailboxes(account)?.into_iter().map(info).collect())
            })
            .await
    }

    /// The names the actor subscribed, also of mailboxes that are gone.
    pub async fn subscriptions(&self, actor: &Actor) -> Result<Vec<Arc<str>>> {
        let account = actor.account;
        self.store.read(move |r| Ok(r.subscriptions(account)?)).await
    }

    /// The form in which a new mailbox of this name would be kept, if it could be made.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::Limit`]; [`Error::Forbidden`] for a name outside the user's own
    /// namespace.
    pub fn new_name(&self, name: &str) -> Result<String> {
        let name = name::canonical(name);
        name::check(&name, self.limits.names)?;
        if name::is_foreign(&name) { Err(Error::Forbidden) } else { Ok(name) }
    }

    /// Makes a mailbox and the levels above it that are missing.
    pub async fn create(
        &self,
        actor: &Actor,
        name: &str,
        special_use: SpecialUse,
    ) -> Result<Committed<MailboxId>> {
        let (account, name) = (actor.account, self.new_name(name)?);
        let most = self.limits.mailboxes;
        self.store
            .write(actor.origin, move |tx| {
                let known = tx.mailboxes(account)?;
                if known.iter().any(|row| row.special_use.0 & special_use.0 != 0) {
                    return Err(Error::SpecialUseTaken);
                }
                check_twins(&known, &name)?;
                let missing: Vec<&str> = name::ancestors(&name)
                    .filter(|level| known.iter().all(|row| *row.key != *name::key(level)))
                    .collect();
                if known.len() + missing.len() >= most {
                    return Err(Error::Limit("too many mailboxes"));
                }
                for level in missing {
                    tx.add_mailbox(account, level, &name::key(level), SpecialUse::default())?;
                }
                Ok(tx.add_mailbox(account, &name, &name::key(&name), special_use)?)
            })
            .await
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

    /// Removes a mailbox with its messages. One that has mailboxes below it stays as a mere level
    /// (RFC 9051 §6.3.5); a mere level with mailboxes below it can't be removed.
    pub async fn delete(&self, actor: &Actor, name: &str) -> Result<Committed<MailboxId>> {
        let (account, name) = (actor.account, name::canonical(name));
        if name == "INBOX" {
            return Err(Error::Cannot("INBOX can't be deleted"));
        }
        self.store
            .write(actor.origin, move |tx| {
                let row = find(tx, account, &name)?;
                let below = format!("{}/", row.key);
                let has_children =
                    tx.mailboxes(account)?.iter().any(|other| other.key.starts_with(&below));
                if has_children && !row.selectable {
                    return Err(Error::Cannot("there are mailboxes below this name"));
                }
                tx.remove_mailbox(&row, has_children)?;
                Ok(row.id)
            })
            .await
    }

    /// Gives a mailbox and all below it another name. INBOX stays: its messages move into the new
    /// mailbox (RFC 9051 §6.3.6).
    pub async fn rename(&self, actor: &Actor, from: &str, to: &str) -> Result<Committed<()>> {
        let account = actor.account;
        let (from, to) = (name::canonical(from), self.new_name(to)?);
        let (names, most) = (self.limits.names, self.limits.mailboxes);
        self.store
            .write(actor.origin, move |tx| {
                let row = find(tx, account, &from)?;
                let known = tx.mailboxes(account)?;
                let target_key = name::key(&to);
                let taken = |other: &MailboxRow| {
                    *other.key == *target_key && (other.id != row.id || *other.name == *to)
                };
                if known.iter().any(taken) {
                    return Err(Error::MailboxExists);
                }
                if from != "INBOX" && target_key.starts_with(&format!("{}/", row.key)) {
                    return Err(Error::Cannot("a mailbox can't be moved below itself"));
                }
                check_twins(&known, &to)?;
                check_below(&known, &row, &to, names)?;
                let missing: Vec<&str> = name::ancestors(&to)
                    .filter(|level| known.iter().all(|row| *row.key != *name::key(level)))
                    .collect();
                let new = missing.len() + usize::from(from == "INBOX");
                if new > 0 && known.len() + new > most {
                    return Err(Error::Limit("too many mailboxes"));
                }
                for level in missing {
                    tx.add_mailbox(account, level, &name::key(level), SpecialUse::default())?;
                }
                if from == "INBOX" {
                    empty_inbox_into(tx, &row, &to, &target_key)
                } else {
                    Ok(tx.rename_mailbox(&row, &to, &target_key)?)
                }
            })
            .await
    }

    /// Subscribes a name, whether or not there is such a mailbox, or ends its subscription.
    pub async fn subscribe(
        &self,
        actor: &Actor,
        name: &str,
        subscribed: bool,
    ) -> Result<Committed<()>> {
        let (account, name) = (actor.account, name::canonical(name));
        if subscribed {
            name::check(&name, self.limits.names)?;
        }
        let most = self.limits.mailboxes;
        let job = move |tx: &mut Tx<'_>| {
            if subscribed {
                let known = tx.subscriptions(account)?;
                if known.len() >= most && known.iter().all(|other| **other != *name) {
                    return Err(Error::Limit("too many subscriptions"));
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

    /// The quota of the account that owns a mailbox, and how much of it is used.
    pub async fn quota(&self, account: AccountId) -> Result<Quota> {
        let default = self.limits.quota_octets;
        self.store.read(move |r| quota(r, account, default)).await
    }
}

/// The handle on a mailbox, as [`Mail::open`] gives it.
pub(super) fn open(r: &Reader<'_>, actor: &Actor, name: &str, need: Rights) -> Result<Mailbox> {
    let row = find(r, actor.account, &name::canonical(name))?;
    if !row.selectable {
        return Err(Error::NotSelectable);
    }
    let mailbox = handle(&row);
    mailbox.need(need)?;
    Ok(mailbox)
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

/// The mailbox of this spelling.
pub(super) fn find(r: &Reader<'_>, account: AccountId, name: &str) -> Result<MailboxRow> {
    let row = r.mailbox(account, &name::key(name))?;
    row.filter(|row| *row.name == *name).ok_or(Error::NoMailbox)
}

fn handle(row: &MailboxRow) -> Mailbox {
    Mailbox {
        id: row.id,
        account: row.account,
        name: Arc::clone(&row.name),
        uid_validity: row.uid_validity,
        rights: Rights::ALL,
    }
}

/// Refuses a name whose upper level exists in another spelling: two mailboxes would differ by case.
fn check_twins(known: &[MailboxRow], name: &str) -> Result<()> {
    let twin = name::ancestors(name).any(|level| {
        let key = name::key(level);
        known.iter().any(|row| *row.key == *key && *row.name != *level)
    });
    if twin { Err(Error::MailboxExists) } else { Ok(()) }
}

/// Refuses a name that would make the names of the mailboxes below too long or too deep. What is
/// below INBOX stays there.
fn check_below(known: &[MailboxRow], row: &MailboxRow, to: &str, limits: NameLimits) -> Result<()> {
    if &*row.name == "INBOX" {
        return Ok(());
    }
    let below = format!("{}/", row.name);
    let below = known.iter().filter_map(|other| other.name.strip_prefix(&below));
    below.map(|rest| format!("{to}/{rest}")).try_for_each(|name| name::check(&name, limits))
}

fn empty_inbox_into(tx: &mut Tx<'_>, inbox: &MailboxRow, to: &str, key: &str) -> Result<()> {
    let id = tx.add_mailbox(inbox.account, to, key, SpecialUse::default())?;
    let target = tx.mailbox_by_id(id)?.ok_or(Error::NoMailbox)?;
    let all = tx.uids(inbox.id)?;
    tx.copy(inbox, &all, &target)?;
    tx.expunge(inbox, &all)?;
    tx.copy_metadata(inbox.id, id)?;
    Ok(())
}
