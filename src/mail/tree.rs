//! The tree of mailboxes: make, remove, rename, in one's own tree or where another has given the
//! right to.

use super::{
    Actor, Mail,
    access::{Found, find, owner, refusal, rights},
    error::{Error, Result},
    name::{self, NameLimits, Place},
    rights::Rights,
};
use crate::{
    ids::{AccountId, MailboxId},
    metrics::Limit,
    store::{AclEntry, Along, Committed, Identifier, MailboxRow, Reader, SpecialUse, Tx},
};

impl Mail {
    /// Where a new mailbox of this name would be, if it could be made.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::Limit`]; [`Error::Forbidden`] for a level of the namespaces.
    pub fn new_name(&self, name: &str) -> Result<Place> {
        let place = Place::of(name);
        name::check(place.name(), self.limits.names)?;
        let reserved = match &place {
            Place::Nowhere(_) => true,
            Place::Own(name) => name::is_namespace(name),
            // Names there begin with another user's, or with none: they may not look like these.
            Place::Other { name, .. } => name::is_namespace(name) || name::is_foreign(name),
            Place::Shared(name) => {
                name::is_namespace(name) || name::is_foreign(name) || is_inbox(name)
            }
        };
        if reserved { Err(Error::Forbidden) } else { Ok(place) }
    }

    /// Makes a mailbox and the levels above it that are missing. It inherits the rights that others
    /// have on the mailbox above it (RFC 4314 §4).
    pub async fn create(
        &self,
        actor: &Actor,
        name: &str,
        special_use: SpecialUse,
    ) -> Result<Committed<MailboxId>> {
        let (asker, place) = (actor.account, self.new_name(name)?);
        let most = self.limits.mailboxes;
        self.store
            .write(actor.origin, move |tx| {
                let branch = Branch::find(tx, asker, &place)?;
                branch.may_grow(tx)?;
                if branch.account != asker && !special_use.is_empty() {
                    return Err(Error::SpecialUseNotHere);
                }
                if branch.known.iter().any(|row| row.special_use.0 & special_use.0 != 0) {
                    return Err(Error::SpecialUseTaken);
                }
                if branch.taken().is_some_and(|row| row.selectable) {
                    return Err(branch.exists(tx)?);
                }
                check_twins(&branch.known, branch.name)?;
                branch.grow(tx, most, 1)?;
                branch.add(tx, branch.name, special_use)
            })
            .await
    }

    /// Removes a mailbox with its messages. One that has mailboxes below it stays as a mere level
    /// (RFC 9051 §6.3.5); a mere level with mailboxes below it can't be removed.
    pub async fn delete(&self, actor: &Actor, name: &str) -> Result<Committed<MailboxId>> {
        let (asker, place) = (actor.account, Place::of(name));
        self.store
            .write(actor.origin, move |tx| {
                let found = find(tx, asker, &place)?;
                found.check(Rights::DELETE_MAILBOX)?;
                let row = found.row;
                if &*row.name == "INBOX" {
                    return Err(Error::Cannot("INBOX can't be deleted"));
                }
                let below = format!("{}/", row.key);
                let has_children =
                    tx.mailboxes(row.account)?.iter().any(|other| other.key.starts_with(&below));
                if has_children && !row.selectable {
                    return Err(Error::Cannot("there are mailboxes below this name"));
                }
                tx.remove_mailbox(&row, has_children)?;
                Ok(row.id)
            })
            .await
    }

    /// Gives a mailbox and all below it another name in the tree of its owner; rights on them stay.
    /// INBOX stays: its messages move into the new mailbox (RFC 9051 §6.3.6).
    pub async fn rename(&self, actor: &Actor, from: &str, to: &str) -> Result<Committed<()>> {
        let asker = actor.account;
        let (from, to) = (Place::of(from), self.new_name(to)?);
        let (names, most) = (self.limits.names, self.limits.mailboxes);
        self.store
            .write(actor.origin, move |tx| {
                let found = find(tx, asker, &from)?;
                found.check(Rights::DELETE_MAILBOX)?;
                let Found { row, .. } = found;
                let branch = Branch::find(tx, asker, &to)?;
                branch.may_grow(tx)?;
                if branch.account != row.account {
                    return Err(Error::Cannot("a mailbox can't be moved to another owner"));
                }
                let is_inbox = &*row.name == "INBOX";
                if is_inbox && row.account != asker {
                    return Err(Error::Cannot("another user's INBOX can't be renamed"));
                }
                let taken = |other: &MailboxRow| other.id != row.id || *other.name == *branch.name;
                if branch.taken().is_some_and(taken) {
                    return Err(branch.exists(tx)?);
                }
                if !is_inbox && branch.key.starts_with(&format!("{}/", row.key)) {
                    return Err(Error::Cannot("a mailbox can't be moved below itself"));
                }
                check_twins(&branch.known, branch.name)?;
                check_below(&branch.known, &row, branch.name, names)?;
                branch.grow(tx, most, usize::from(is_inbox))?;
                if is_inbox {
                    branch.take_all(tx, &row)
                } else {
                    Ok(tx.rename_mailbox(&row, branch.name, &branch.key)?)
                }
            })
            .await
    }
}

/// Where a mailbox is about to get a name.
struct Branch<'p> {
    asker: AccountId,
    /// In whose tree.
    account: AccountId,
    name: &'p str,
    key: String,
    /// All mailboxes of that tree.
    known: Vec<MailboxRow>,
}

impl<'p> Branch<'p> {
    fn find(r: &Reader<'_>, asker: AccountId, place: &'p Place) -> Result<Self> {
        // That there is no such user is not told.
        let account = owner(r, asker, place)?.ok_or(Error::Forbidden)?;
        let (name, key) = (place.name(), name::key(place.name()));
        Ok(Self { asker, account, name, key, known: r.mailboxes(account)? })
    }

    /// The nearest mailbox above this name that there is.
    fn parent(&self, name: &str) -> Option<&MailboxRow> {
        let keys: Vec<_> = name::ancestors(name).map(name::key).collect();
        keys.iter().rev().find_map(|key| self.known.iter().find(|row| *row.key == **key))
    }

    /// Refuses who may not make mailboxes there: it takes `k` on the nearest mailbox above
    /// (RFC 4314 §4), and above all it takes the owner, or one who runs the server.
    fn may_grow(&self, r: &Reader<'_>) -> Result<()> {
        if self.account == self.asker {
            return Ok(());
        }
        let may = match self.parent(self.name) {
            Some(parent) => rights(r, self.asker, parent)?.contain(Rights::CREATE),
            None => self.account == AccountId::SHARED && r.is_owner(self.asker)?,
        };
        if may { Ok(()) } else { Err(Error::Forbidden) }
    }

    /// The mailbox or level that has the name already, in any case.
    fn taken(&self) -> Option<&MailboxRow> {
        self.known.iter().find(|row| *row.key == *self.key)
    }

    /// That the name is taken, for who may know.
    fn exists(&self, r: &Reader<'_>) -> Result<Error> {
        let rights = match self.taken() {
            Some(row) => rights(r, self.asker, row)?,
            None => Rights::NONE,
        };
        Ok(match refusal(rights) {
            Error::Forbidden => Error::MailboxExists,
            _ => Error::Forbidden,
        })
    }

    /// Makes the levels that are missing above the name, if there is room for so many more.
    fn grow(&self, tx: &mut Tx<'_>, most: usize, more: usize) -> Result<()> {
        let missing: Vec<&str> = name::ancestors(self.name)
            .filter(|level| self.known.iter().all(|row| *row.key != *name::key(level)))
            .collect();
        let new = missing.len() + more;
        if new > 0 && self.known.len() + new > most {
            return Err(Error::Over(Limit::MailboxesPerUserMax, "too many mailboxes"));
        }
        for level in missing {
            self.add(tx, level, SpecialUse::default())?;
        }
        Ok(())
    }

    /// Makes one mailbox, with the rights of the one above it. Where nothing is above it and it
    /// belongs to nobody alone, who makes it has all rights.
    fn add(&self, tx: &mut Tx<'_>, name: &str, special_use: SpecialUse) -> Result<MailboxId> {
        let id = tx.add_mailbox(self.account, name, &name::key(name), special_use)?;
        if let Some(parent) = self.parent(name) {
            tx.inherit_acl(parent.id, id)?;
        } else if self.account == AccountId::SHARED
            && self.asker != AccountId::SHARED
            && let Some(row) = tx.mailbox_by_id(id)?
        {
            let identifier = Identifier::Account(self.asker);
            tx.set_acl(&row, AclEntry { identifier, negative: false, rights: Rights::ALL.bits() })?;
        }
        Ok(id)
    }

    /// Makes the mailbox and moves all messages of INBOX there.
    fn take_all(&self, tx: &mut Tx<'_>, inbox: &MailboxRow) -> Result<()> {
        let id = self.add(tx, self.name, SpecialUse::default())?;
        let target = tx.mailbox_by_id(id)?.ok_or(Error::NoMailbox)?;
        let all = tx.uids(inbox.id)?;
        let copied = tx.copy(inbox, &all, &target, Rights::ALL.marks())?;
        tx.copy_annotations(inbox.id, &copied, id, Along::All)?;
        tx.take_sending_along(inbox.id, &copied, &target)?;
        tx.expunge(inbox, &all)?;
        tx.copy_metadata(inbox.id, id)?;
        Ok(())
    }
}

fn is_inbox(name: &str) -> bool {
    name == "INBOX" || name.starts_with("INBOX/")
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
