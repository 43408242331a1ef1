//! Posting addresses: mail that is addressed to a mailbox, and not only to its user
//! (draft-sabarish-immp-00 §4, draft-ietf-lemonade-submit-01 §4.2.2).
//!
//! | address | mailbox |
//! |---|---|
//! | `office/work/u@d` | `INBOX/work/office`: levels from the last to the first |
//! | `u+work@d`, `u+work/office@d` | `INBOX/work`, `INBOX/work/office`: from the first to the last |
//! | `u+work.office@d` | `INBOX/work.office`, else `INBOX/work/office` |
//! | `u+=Sent@d`, `u+=Shared/Team@d` | `Sent`, `Shared/Team`: any name as the user sees it |
//!
//! Letters are compared without case, and a name that hardly anybody could write is met by its
//! [`slug`](slug::slug) too. What leads to no mailbox leads to INBOX: no answer tells what there is.
//! Below INBOX everybody may post, elsewhere whom the owner gave the right `p` (RFC 4314 §2.1).

mod print;
mod reading;
mod slug;
#[cfg(test)]
mod tests;

pub(super) use self::print::address_of;
use self::{reading::readings, slug::slugs};
use super::{
    access,
    error::Result,
    name::{self, SEPARATOR, SHARED},
    rights::Rights,
};
use crate::{
    ids::{AccountId, MailboxId},
    store::{self, MailboxRow, Reader},
    wire::address::{Address, LocalPart},
};

/// The mailbox that mail goes to.
pub const INBOX: &str = "INBOX";

/// What an address of one of our domains means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meant {
    /// Whose it is: several for an alias of several.
    pub accounts: Vec<AccountId>,
    /// Names of the mailbox, as its user sees it, the best first; none for INBOX.
    pub names: Vec<String>,
    /// What stands in the address besides the user, as it was written.
    pub detail: Option<String>,
}

/// Finds out whose address this is, and what else it says; None when no account or alias is in it. A
/// real address or alias with the very local part wins over any reading of it.
pub fn meant(r: &Reader<'_>, address: &Address) -> Result<Option<Meant>, store::Error> {
    let accounts = r.addressees(&address.key())?;
    if !accounts.is_empty() {
        return Ok(Some(Meant { accounts, names: Vec::new(), detail: None }));
    }
    for reading in readings(&address.local().value()) {
        let user = LocalPart::from_value(reading.user);
        let user = user.and_then(|local| Address::new(local, address.domain().clone()));
        let Ok(user) = user else { continue };
        let accounts = r.addressees(&user.key())?;
        if !accounts.is_empty() {
            let detail = Some(reading.detail.to_owned());
            return Ok(Some(Meant { accounts, names: reading.names, detail }));
        }
    }
    Ok(None)
}

/// The mailbox that this user's mail is meant for by these names; None when that is INBOX, or when
/// there is none of them. A mere level of hierarchy is none.
pub fn find(
    r: &Reader<'_>,
    user: AccountId,
    names: &[String],
) -> Result<Option<MailboxId>, store::Error> {
    let places = || names.iter().filter_map(|name| tree(user, name));
    for (owner, name) in places() {
        let row = r.mailbox(owner, &name::key(name))?;
        if let Some(row) = row.filter(|row| row.selectable) {
            return Ok(Some(row.id));
        }
    }
    for (owner, name) in places() {
        let Some(wanted) = slugs(name) else { continue };
        // The one that was there first: nobody takes its mail by making another like it.
        for (id, name) in r.selectable_mailboxes(owner)? {
            if slugs(&name).is_some_and(|slugs| slugs == wanted) {
                return Ok(Some(id));
            }
        }
    }
    Ok(None)
}

/// In whose tree a name leads that this user's address holds, and its name there. Mailboxes of other
/// users have addresses of their own.
fn tree(user: AccountId, name: &str) -> Option<(AccountId, &str)> {
    let (start, rest) = name.split_at_checked(SHARED.len()).unwrap_or_default();
    if start.eq_ignore_ascii_case(SHARED) {
        return Some((AccountId::SHARED, rest));
    }
    (!name::is_foreign(name)).then_some((user, name))
}

/// May mail from this sender be put there by its address? `sender` is the account of the author,
/// None for who did not log in.
pub fn admits(r: &Reader<'_>, sender: Option<AccountId>, mailbox: &MailboxRow) -> Result<bool> {
    if is_inbox_or_below(mailbox) {
        return Ok(true);
    }
    let rights = match sender {
        Some(account) => access::rights(r, account, mailbox)?,
        // Nobody has this number, so only what is said of everybody is found.
        None => Rights::of(&r.acl_about(mailbox.id, AccountId::SHARED)?),
    };
    Ok(rights.contain(Rights::POST))
}

fn is_inbox_or_below(mailbox: &MailboxRow) -> bool {
    let below = mailbox.name.strip_prefix(INBOX);
    mailbox.account != AccountId::SHARED
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
}
