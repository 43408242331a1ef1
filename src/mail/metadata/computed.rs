//! Entries that nobody sets, because the house knows what they say: whom to ask (RFC 5464
//! §3.2.1.1), what a mailbox is for (RFC 6154 §4), and to which address mail for it goes.

use super::WantedMetadata;
use crate::{
    ids::AccountId,
    mail::{error::Result, posting},
    store::{MailboxRow, Reader},
    wire::address::Address,
};

/// How to reach who runs the server.
pub(super) const ADMIN: &str = "/shared/admin";
/// What a mailbox is for.
pub(super) const SPECIAL_USE: &str = "/private/specialuse";
/// Where a message is sent to get into a mailbox, under both scopes.
const POST_ADDRESS: [&str; 2] =
    ["/private/vendor/mailade/post-address", "/shared/vendor/mailade/post-address"];
/// A phone's name at a push service. Nothing is pushed that way here, and nobody shall think so.
const DEVICE_TOKEN: &str = "/private/devicetoken";

/// May a client never set this entry, whoever it is?
pub(super) fn is_read_only(folded: &str, of_mailbox: bool) -> bool {
    folded == DEVICE_TOKEN
        || if of_mailbox { POST_ADDRESS.contains(&folded) } else { folded == ADMIN }
}

/// All such entries of a mailbox, or of the server, as this account sees them; only those that say
/// something, and may be left out when they are not wanted.
pub(super) fn computed(
    r: &Reader<'_>,
    account: AccountId,
    mailbox: Option<&MailboxRow>,
    wanted: &WantedMetadata,
) -> Result<Vec<(&'static str, String)>> {
    let Some(mailbox) = mailbox else {
        return Ok(admin(r, account)?.map(|admin| (ADMIN, admin)).into_iter().collect());
    };
    let mut entries = Vec::new();
    let uses: Vec<_> = mailbox.special_use.names().collect();
    if !uses.is_empty() {
        entries.push((SPECIAL_USE, uses.join(" ")));
    }
    // It takes some looking up.
    if mailbox.selectable
        && POST_ADDRESS.iter().any(|entry| wanted.names(entry))
        && let Some(address) = posting::address_of(r, account, mailbox)?
    {
        entries.extend(POST_ADDRESS.map(|entry| (entry, address.clone())));
    }
    Ok(entries)
}

/// The postmaster of the user's own domain: whoever runs the server gets that mail.
fn admin(r: &Reader<'_>, account: AccountId) -> Result<Option<String>> {
    let account = r.account_by_id(account)?;
    let address = account.and_then(|account| Address::parse(&account.address).ok());
    Ok(address.map(|address| format!("mailto:postmaster@{}", address.domain().ascii())))
}
