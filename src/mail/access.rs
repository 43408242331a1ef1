//! May this user do this with this mailbox? The one place where that is decided.
//!
//! - A door that wants to do something asks [`Mail::open`] for a handle, naming the rights it takes.
//!   Where one of several rights is enough it asks [`Mail::open_any`].
//! - Rights can go while a handle lives. A job that changes something therefore asks [`still`] within
//!   its transaction; what it gives back is true at that moment. A session that has a mailbox open
//!   asks [`Mail::rights`] after [`crate::events::Kind::RightsChange`] or when it lagged.
//! - A list asks [`Mail::mailboxes`]: it holds what the user may know of, each with its rights.
//!
//! An owner has all rights, and for the owner nothing is read but the mailbox itself, and not even that
//! when the owner opened it lately ([`super::opened`]). A mailbox
//! without `l` for the user is answered as if it were not there (RFC 4314 §6), except to a deed for
//! which the right is there: who may insert need not see.

use std::sync::Arc;

use super::{
    Actor, Mail,
    error::{Error, Result},
    name::{self, Place},
    rights::Rights,
};
use crate::{
    ids::{AccountId, MailboxId, ThreadId, UidValidity},
    store::{MailboxRow, Reader, SpecialUse, Tx},
    wire::address::Address,
};

/// A handle on a mailbox: the proof that its bearer may do there what `rights` say.
#[derive(Clone, Debug)]
pub struct Mailbox {
    /// Its number.
    pub id: MailboxId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name when it was opened, as the bearer sees it.
    pub name: Arc<str>,
    /// What its UIDs are valid under.
    pub uid_validity: UidValidity,
    /// What the bearer might do when it was opened, or looked again.
    pub rights: Rights,
    /// Who opened it.
    bearer: AccountId,
}

impl Mailbox {
    /// Refuses a deed for which rights were missing when they were looked at last.
    pub fn need(&self, rights: Rights) -> Result<()> {
        if self.rights.contain(rights) { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// Is it the bearer's own? Then its rights never change.
    pub fn is_own(&self) -> bool {
        self.bearer == self.account
    }
}

impl Mail {
    /// The handle on a mailbox, for who has all of these rights there; the one way to reach it.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] when there is none of that very spelling (INBOX in any case) or the
    /// actor may not know of it; [`Error::NotSelectable`]; [`Error::Forbidden`].
    pub async fn open(&self, actor: &Actor, name: &str, need: Rights) -> Result<Mailbox> {
        // An owner has all rights.
        if let Some(mailbox) = self.views.opened.get(actor.account, name) {
            return Ok(mailbox);
        }
        let now = self.views.opened.now();
        let (actor, of_name) = (*actor, name.to_owned());
        let mailbox = self.store.read(move |r| open(r, &actor, &of_name, need)).await?;
        self.views.opened.keep(name, &mailbox, now);
        Ok(mailbox)
    }

    /// The same for who has any of these rights.
    pub async fn open_any(&self, actor: &Actor, name: &str, any: Rights) -> Result<Mailbox> {
        let (bearer, place) = (actor.account, Place::of(name));
        self.store.read(move |r| find(r, bearer, &place)?.selectable()?.permit_any(any)).await
    }

    /// What the bearer of a handle may do now; nothing reads the store for the bearer's own mailbox.
    ///
    /// # Errors
    /// [`Error::NoMailbox`] when it is gone.
    pub async fn rights(&self, mailbox: &Mailbox) -> Result<Rights> {
        if mailbox.is_own() {
            return Ok(Rights::ALL);
        }
        let mailbox = mailbox.clone();
        self.store.read(move |r| Ok(still(r, &mailbox, Rights::NONE)?.rights)).await
    }
}

/// The handle on a mailbox, as [`Mail::open`] gives it, within a job.
pub(super) fn open(r: &Reader<'_>, actor: &Actor, name: &str, need: Rights) -> Result<Mailbox> {
    find(r, actor.account, &Place::of(name))?.selectable()?.permit(need)
}

/// A mailbox as it is at the moment of a job.
pub(super) struct Found {
    /// What the store keeps of it.
    pub(super) row: MailboxRow,
    /// Its name as the asker sees it.
    pub(super) name: Arc<str>,
    /// What the asker may do with it.
    pub(super) rights: Rights,
    asker: AccountId,
}

impl Found {
    /// One below this prefix. What a mailbox is for is its owner's affair: others are not told.
    pub(super) fn new(mut row: MailboxRow, prefix: &str, rights: Rights, asker: AccountId) -> Self {
        let name = if prefix.is_empty() {
            Arc::clone(&row.name)
        } else {
            format!("{prefix}{}", row.name).into()
        };
        if row.account != asker {
            row.special_use = SpecialUse::default();
        }
        Self { row, name, rights, asker }
    }

    /// Refuses a mere level of hierarchy.
    pub(super) fn selectable(self) -> Result<Self> {
        if self.row.selectable {
            return Ok(self);
        }
        Err(if self.rights.contain(Rights::LOOKUP) {
            Error::NotSelectable
        } else {
            Error::NoMailbox
        })
    }

    /// The conversation of a message that the asker puts here. Only the owner's own joins one: to
    /// another it would tell what else the owner has.
    pub(super) fn thread(&self, tx: &mut Tx<'_>, references: &[i64]) -> Result<ThreadId> {
        if self.asker == self.row.account {
            return Ok(tx.thread(self.row.account, references)?);
        }
        Ok(tx.new_thread(self.row.account)?)
    }

    /// May the asker know which UIDs are given here? Who can't select the mailbox may not
    /// (RFC 9051 §6.3.12, §6.4.7).
    pub(super) fn tells_uids(&self) -> bool {
        self.rights.contain(Rights::READ)
    }

    /// Refuses what is not allowed, and does not tell a stranger that it is there.
    pub(super) fn check(&self, need: Rights) -> Result<()> {
        if self.rights.contain(need) { Ok(()) } else { Err(refusal(self.rights)) }
    }

    pub(super) fn permit(self, need: Rights) -> Result<Mailbox> {
        self.check(need)?;
        Ok(self.handle())
    }

    fn permit_any(self, any: Rights) -> Result<Mailbox> {
        if self.rights.meet(any) { Ok(self.handle()) } else { Err(refusal(self.rights)) }
    }

    pub(super) fn handle(self) -> Mailbox {
        Mailbox {
            id: self.row.id,
            account: self.row.account,
            name: self.name,
            uid_validity: self.row.uid_validity,
            rights: self.rights,
            bearer: self.asker,
        }
    }
}

/// Why somebody with these rights is refused.
pub(super) fn refusal(rights: Rights) -> Error {
    if rights.contain(Rights::LOOKUP) { Error::Forbidden } else { Error::NoMailbox }
}

/// The mailbox of this name, whatever the asker may do with it: the caller checks that.
pub(super) fn find(r: &Reader<'_>, asker: AccountId, place: &Place) -> Result<Found> {
    let owner = owner(r, asker, place)?.ok_or(Error::NoMailbox)?;
    let row = r.mailbox(owner, &name::key(place.name()))?;
    let row = row.filter(|row| *row.name == *place.name()).ok_or(Error::NoMailbox)?;
    let rights = rights(r, asker, &row)?;
    Ok(Found::new(row, &place.prefix(), rights, asker))
}

/// The mailbox of this number, whatever the asker may do with it: the caller checks that.
pub(super) fn by_id(r: &Reader<'_>, asker: AccountId, id: MailboxId) -> Result<Option<Found>> {
    let Some(row) = r.mailbox_by_id(id)? else { return Ok(None) };
    let rights = rights(r, asker, &row)?;
    let prefix = prefix(r, asker, row.account)?;
    Ok(prefix.map(|prefix| Found::new(row, &prefix, rights, asker)))
}

/// What stands before the names of an account's mailboxes for the asker.
pub(super) fn prefix(r: &Reader<'_>, asker: AccountId, owner: AccountId) -> Result<Option<String>> {
    if owner == asker {
        return Ok(Some(String::new()));
    }
    if owner == AccountId::SHARED {
        return Ok(Some(name::SHARED.to_owned()));
    }
    Ok(r.account_by_id(owner)?.map(|account| name::of_user(&account.address)))
}

/// The mailbox as it is now, if it is still the one that was opened and its bearer may do this now.
pub(super) fn still(r: &Reader<'_>, mailbox: &Mailbox, need: Rights) -> Result<Found> {
    let row = r.mailbox_by_id(mailbox.id)?;
    let same = |row: &MailboxRow| row.selectable && row.uid_validity == mailbox.uid_validity;
    let row = row.filter(same).ok_or(Error::NoMailbox)?;
    let rights = rights(r, mailbox.bearer, &row)?;
    let name = Arc::clone(&mailbox.name);
    let found = Found { row, name, rights, asker: mailbox.bearer };
    if !found.rights.contain(need) {
        // The bearer had it open: that it is there is no secret.
        return Err(Error::Forbidden);
    }
    Ok(found)
}

/// In whose tree a name leads; None when that is nobody's.
pub(super) fn owner(r: &Reader<'_>, asker: AccountId, place: &Place) -> Result<Option<AccountId>> {
    match place {
        Place::Own(_) => Ok(Some(asker)),
        Place::Shared(_) => Ok(Some(AccountId::SHARED)),
        Place::Nowhere(_) => Ok(None),
        Place::Other { user, .. } => {
            let address = name::user_address(user).and_then(|text| Address::parse(&text).ok());
            let Some(address) = address else { return Ok(None) };
            // Only in the spelling in which it is listed, and nobody is another user to oneself.
            let account = r.account(&address.key())?.filter(|account| {
                account.id != asker && name::user_level(&account.address) == *user
            });
            Ok(account.map(|account| account.id))
        }
    }
}

/// What somebody may do with a mailbox.
pub(super) fn rights(r: &Reader<'_>, asker: AccountId, row: &MailboxRow) -> Result<Rights> {
    if row.account == asker {
        return Ok(Rights::ALL);
    }
    let given = Rights::of(&r.acl_about(row.id, asker)?);
    if row.account == AccountId::SHARED && r.is_owner(asker)? {
        return Ok(given.with(Rights::STEWARD));
    }
    Ok(given)
}
