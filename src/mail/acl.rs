//! The access control list of a mailbox (RFC 4314): who may see and change it, and what it can say.
//!
//! Identifiers are the addresses that users log in with, `anyone`, and either behind a `-`, which
//! takes rights away. The owner is told with all rights and stands in no list.

use super::{
    Actor, Mail,
    access::{Found, find},
    error::{Error, Result},
    name::Place,
    rights::{Rights, RightsChange},
};
use crate::{
    ids::AccountId,
    metrics::Limit,
    store::{AclEntry, Committed, Identifier, Reader},
    wire::address::Address,
};

/// The identifier of everybody who has an account (RFC 4314 §2).
pub const ANYONE: &str = "anyone";

/// A mailbox's list as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// The mailbox, as the asker sees it.
    pub mailbox: String,
    /// Identifiers and what each has, or has not when it begins with `-`.
    pub entries: Vec<(String, Rights)>,
}

/// What an identifier can have (RFC 4314 §3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grantable {
    /// The mailbox, as the asker sees it.
    pub mailbox: String,
    /// What it has in any case.
    pub required: Rights,
    /// What it can be given, each right by itself.
    pub optional: Rights,
}

impl Mail {
    /// The list of a mailbox, for who may change it (GETACL).
    pub async fn acl(&self, actor: &Actor, mailbox: &str) -> Result<Acl> {
        let (asker, place) = (actor.account, Place::of(mailbox));
        self.store
            .read(move |r| {
                let Found { row, name, .. } = administered(r, asker, &place)?;
                let mut entries = Vec::new();
                if row.account != AccountId::SHARED {
                    entries.extend(address(r, row.account)?.map(|owner| (owner, Rights::ALL)));
                }
                for entry in r.acl(row.id)? {
                    let who = match entry.identifier {
                        Identifier::Anyone => Some(ANYONE.to_owned()),
                        Identifier::Account(account) => address(r, account)?,
                    };
                    let sign = if entry.negative { "-" } else { "" };
                    let rights = Rights::from_bits(entry.rights);
                    entries.extend(who.map(|who| (format!("{sign}{who}"), rights)));
                }
                Ok(Acl { mailbox: name.to_string(), entries })
            })
            .await
    }

    /// Changes what the list of a mailbox says of an identifier (SETACL). Whoever has the mailbox
    /// open is bound by it at once.
    ///
    /// # Errors
    /// [`Error::NoUser`]; [`Error::Cannot`] for the owner; [`Error::Over`]; and those of
    /// [`Mail::open`].
    pub async fn set_acl(
        &self,
        actor: &Actor,
        mailbox: &str,
        identifier: &str,
        change: RightsChange,
    ) -> Result<Committed<()>> {
        let (asker, place) = (actor.account, Place::of(mailbox));
        let (text, most) = (identifier.to_owned(), self.limits.acl_entries);
        self.store
            .write(actor.origin, move |tx| {
                let row = administered(tx, asker, &place)?.row;
                let (identifier, negative) = identify(tx, &text)?;
                if identifier == Identifier::Account(row.account) {
                    return Err(Error::Cannot("the owner has all rights, always"));
                }
                let list = tx.acl(row.id)?;
                let same = |e: &&AclEntry| e.identifier == identifier && e.negative == negative;
                let old = list.iter().find(same).map(|entry| Rights::from_bits(entry.rights));
                let new = change.apply(old.unwrap_or_default());
                if new == old.unwrap_or_default() {
                    return Ok(());
                }
                if old.is_none() && list.len() >= most {
                    let text = "too many identifiers have rights on this mailbox";
                    return Err(Error::Over(Limit::AclEntriesMax, text));
                }
                Ok(tx.set_acl(&row, AclEntry { identifier, negative, rights: new.bits() })?)
            })
            .await
    }

    /// What an identifier has on a mailbox in any case, and what it can be given (LISTRIGHTS).
    pub async fn grantable(
        &self,
        actor: &Actor,
        mailbox: &str,
        identifier: &str,
    ) -> Result<Grantable> {
        let (asker, place) = (actor.account, Place::of(mailbox));
        let text = identifier.to_owned();
        self.store
            .read(move |r| {
                let Found { row, name, .. } = administered(r, asker, &place)?;
                let (identifier, negative) = identify(r, &text)?;
                let required = match identifier {
                    Identifier::Account(account) if account == row.account => Rights::ALL,
                    Identifier::Account(account)
                        if row.account == AccountId::SHARED && r.is_owner(account)? =>
                    {
                        Rights::STEWARD
                    }
                    _ => Rights::NONE,
                };
                Ok(Grantable {
                    mailbox: name.to_string(),
                    optional: Rights::ALL.without(required),
                    // What somebody has in any case cannot be taken away.
                    required: if negative { Rights::NONE } else { required },
                })
            })
            .await
    }
}

/// The mailbox, for who may give rights on it.
fn administered(r: &Reader<'_>, asker: AccountId, place: &Place) -> Result<Found> {
    let found = find(r, asker, place)?.selectable()?;
    found.check(Rights::ADMINISTER)?;
    Ok(found)
}

fn address(r: &Reader<'_>, account: AccountId) -> Result<Option<String>> {
    Ok(r.account_by_id(account)?.map(|account| account.address))
}

/// Whom an identifier means, and whether it takes rights away.
fn identify(r: &Reader<'_>, text: &str) -> Result<(Identifier, bool)> {
    let (who, negative) = match text.strip_prefix('-') {
        Some(who) => (who, true),
        None => (text, false),
    };
    if who == ANYONE {
        return Ok((Identifier::Anyone, negative));
    }
    let address = Address::parse(who).map_err(|_| Error::NoUser)?;
    let account = r.account(&address.key())?.ok_or(Error::NoUser)?;
    Ok((Identifier::Account(account.id), negative))
}
