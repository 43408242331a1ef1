//! The address of a mailbox, as it is told to its users.

use super::{INBOX, find, is_inbox_or_below, meant, slug::slugs};
use crate::{
    ids::AccountId,
    mail::{
        error::Result,
        name::{SEPARATOR, SHARED},
    },
    store::{MailboxRow, Reader},
    wire::address::{Address, LocalPart},
};

/// How many senders can write an address: the more, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Writing {
    /// Letters, digits and signs of ASCII.
    Plain,
    /// In quotes, which some mail programs do not know.
    Quoted,
    /// In UTF-8, for senders and servers with SMTPUTF8 alone.
    Utf8,
}

impl Writing {
    fn of(address: &Address) -> Self {
        let local = address.local().as_str();
        if !local.is_ascii() {
            Self::Utf8
        } else if local.starts_with('"') {
            Self::Quoted
        } else {
            Self::Plain
        }
    }
}

/// The address by which mail gets into a mailbox: among those that lead there the one that most
/// senders can write. A mailbox that belongs to nobody alone has that of the user who asks. None when
/// no address can be so long.
pub(in crate::mail) fn address_of(
    r: &Reader<'_>,
    asker: AccountId,
    mailbox: &MailboxRow,
) -> Result<Option<String>> {
    let user = if mailbox.account == AccountId::SHARED { asker } else { mailbox.account };
    let account = r.account_by_id(user)?;
    let Some(address) = account.and_then(|account| Address::parse(&account.address).ok()) else {
        return Ok(None);
    };
    if is_inbox_or_below(mailbox) && *mailbox.name == *INBOX {
        return Ok(Some(address.to_string()));
    }
    let mut candidates: Vec<_> = forms(&address.local().value(), mailbox)
        .iter()
        .filter_map(|local| LocalPart::from_value(local).ok())
        .filter_map(|local| Address::new(local, address.domain().clone()).ok())
        .collect();
    candidates.sort_by_key(Writing::of);
    for candidate in candidates {
        let leads = meant(r, &candidate)?.filter(|meant| meant.accounts == [user]);
        if let Some(meant) = leads
            && find(r, user, &meant.names)? == Some(mailbox.id)
        {
            return Ok(Some(candidate.to_string()));
        }
    }
    Ok(None)
}

/// All that could stand before the `@`, the usual first.
fn forms(user: &str, mailbox: &MailboxRow) -> Vec<String> {
    let namespace = if mailbox.account == AccountId::SHARED { SHARED } else { "" };
    let name = &*mailbox.name;
    let below = if is_inbox_or_below(mailbox) { INBOX.len().saturating_add(1) } else { 0 };
    let slugs = slugs(name);
    let spellings = || [Some(name), slugs.as_deref()].into_iter().flatten();
    let mut forms = Vec::new();
    for path in spellings().filter_map(|name| name.get(below..)).filter(|_| below > 0) {
        let mut levels: Vec<_> = path.split(SEPARATOR).collect();
        levels.reverse();
        forms.push(format!("{}{SEPARATOR}{user}", levels.join("/")));
        forms.push(format!("{user}+{path}"));
    }
    forms.extend(spellings().map(|name| format!("{user}+={namespace}{name}")));
    forms
}
