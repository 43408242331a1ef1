//! Entries that nobody sets, because the house knows what they say: whom to ask (RFC 5464
//! §3.2.1.1), what a mailbox is for (RFC 6154 §4), and to which address mail for it goes.

use crate::{
    ids::AccountId,
    mail::{error::Result, name::SEPARATOR},
    store::{MailboxRow, Reader},
    wire::address::{Address, LocalPart},
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
/// something.
pub(super) fn computed(
    r: &Reader<'_>,
    account: AccountId,
    mailbox: Option<&MailboxRow>,
) -> Result<Vec<(&'static str, String)>> {
    let Some(mailbox) = mailbox else {
        return Ok(admin(r, account)?.map(|admin| (ADMIN, admin)).into_iter().collect());
    };
    let mut entries = Vec::new();
    let uses: Vec<_> = mailbox.special_use.names().collect();
    if !uses.is_empty() {
        entries.push((SPECIAL_USE, uses.join(" ")));
    }
    if mailbox.selectable
        && let Some(address) = post_address(r, mailbox)?
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

/// `work/u@d` for what is below INBOX, levels from the last to the first; `u+=Sent@d` for others. None
/// when no address can be so long.
fn post_address(r: &Reader<'_>, mailbox: &MailboxRow) -> Result<Option<String>> {
    let account = r.account_by_id(mailbox.account)?;
    let address = account.and_then(|account| Address::parse(&account.address).ok());
    Ok(address.and_then(|address| posting_to(&address, &mailbox.name)))
}

fn posting_to(address: &Address, mailbox: &str) -> Option<String> {
    let user = address.local().value();
    let local = match mailbox.strip_prefix("INBOX") {
        Some("") => user.into_owned(),
        Some(below) if below.starts_with(SEPARATOR) => {
            let mut levels: Vec<_> = below.split(SEPARATOR).skip(1).collect();
            levels.reverse();
            format!("{}{SEPARATOR}{user}", levels.join("/"))
        }
        _ => format!("{user}+={mailbox}"),
    };
    let local = LocalPart::from_value(&local).ok()?;
    Address::new(local, address.domain().clone()).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_below_inbox_are_said_backwards_and_other_names_behind_a_plus() {
        let address = Address::parse("alice@demo.example").unwrap();
        for (mailbox, posting) in [
            ("INBOX", "alice@demo.example"),
            ("INBOX/work", "work/alice@demo.example"),
            ("INBOX/work/office", "office/work/alice@demo.example"),
            ("Sent", "alice+=Sent@demo.example"),
            ("Archive/2026", "alice+=Archive/2026@demo.example"),
            ("INBOXES", "alice+=INBOXES@demo.example"),
            ("My Box", "\"alice+=My Box\"@demo.example"),
        ] {
            assert_eq!(posting_to(&address, mailbox).as_deref(), Some(posting), "{mailbox}");
        }
        assert_eq!(posting_to(&address, &"x".repeat(70)), None);
    }
}
