//! Whom an address of this house means: an account, an alias, a mailbox of one
//! ([`posting`]), the postmaster, or whoever takes what is addressed to nobody. The house's own name
//! has one mailbox, the postmaster's, unless it is a domain of ours too.
//!
//! Local parts are compared without regard to case.

use crate::{
    ids::{AccountId, MailboxId},
    mail::posting::{self, Meant},
    store::{self, Account, Domain, Reader},
    wire::{address::Address, envelope::Recipient},
};

/// The mailbox that every domain must have (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";
/// Who our reports are from; an answer to one is for the postmaster.
const MAILER_DAEMON: &str = "mailer-daemon";

/// Who gets what is addressed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The address as it came, with what the sender asked for.
    pub recipient: Recipient,
    /// Who gets it, in INBOX: several for an alias of several.
    pub accounts: Vec<AccountId>,
    /// Who of them gets it in another mailbox, if that is still there then and the sender may post
    /// there.
    pub elsewhere: Vec<(AccountId, MailboxId)>,
    /// What stood beside the user's own address, as it was written.
    pub detail: Option<String>,
    /// The account's own address; None for an alias of several accounts.
    pub home: Option<String>,
}

impl Addressee {
    /// Where this one of them gets it, when that is not INBOX.
    pub(super) fn mailbox(&self, account: AccountId) -> Option<MailboxId> {
        let found = self.elsewhere.iter().find(|(whose, _)| *whose == account);
        found.map(|(_, mailbox)| *mailbox)
    }
}

/// Why an address gets no mail here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The domain is ours, the user is not.
    #[error("no such user here")]
    UnknownUser,
    /// The domain is not ours.
    #[error("not a domain of this server")]
    UnknownDomain,
    /// The postmaster is addressed, and the house has no owner yet.
    #[error("nobody looks after this server yet")]
    NoPostmaster,
    /// The account may get no mail.
    #[error("mailbox disabled")]
    Disabled,
    /// The account's quota is used up.
    #[error("mailbox full")]
    OverQuota,
    /// It has been for days, and nobody makes room.
    #[error("mailbox full for a long time")]
    LongOverQuota,
    /// Nobody's mail can be taken now.
    #[error("insufficient storage")]
    DiskFull,
    /// Somebody has no room, and so many messages wait that this one can't.
    #[error("too many messages wait")]
    QueueFull,
    /// The message has been through too many servers.
    #[error("mail loop: too many hops")]
    Loop,
    /// The message was in this very mailbox before.
    #[error("mail loop: it was delivered to this mailbox before")]
    Again,
}

impl Refusal {
    /// Whether it may be otherwise later.
    pub fn is_temporary(self) -> bool {
        match self {
            Self::NoPostmaster | Self::OverQuota | Self::DiskFull | Self::QueueFull => true,
            Self::UnknownUser
            | Self::UnknownDomain
            | Self::Disabled
            | Self::LongOverQuota
            | Self::Loop
            | Self::Again => false,
        }
    }
}

/// Whether mail for this address is for this house, be it taken or not; `hostname` as in [`resolve`].
pub fn is_here(
    reader: &Reader<'_>,
    hostname: &str,
    address: &Address,
) -> Result<bool, store::Error> {
    let domain = address.domain().ascii();
    Ok(domain == hostname && is_for_postmaster(address) || reader.domain(domain)?.is_some())
}

/// Finds out whom an address means; `hostname` is the house's own name in A-labels.
pub fn resolve(
    reader: &Reader<'_>,
    hostname: &str,
    recipient: &Recipient,
) -> Result<Result<Addressee, Refusal>, store::Error> {
    let address = &recipient.address;
    let found = match reader.domain(address.domain().ascii())? {
        Some(domain) => accounts(reader, address, &domain)?,
        None if address.domain().ascii() == hostname && is_for_postmaster(address) => {
            postmaster(reader)?
        }
        None => Err(Refusal::UnknownDomain),
    };
    let Meant { accounts, names, detail } = match found {
        Ok(found) => found,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (mut enabled, mut home) = (Vec::with_capacity(accounts.len()), None);
    for account in accounts {
        if let Some(account) = reader.account_by_id(account)?.filter(|account| account.enabled) {
            enabled.push(account.id);
            home = Some(account.address);
        }
    }
    if enabled.is_empty() {
        return Ok(Err(Refusal::Disabled));
    }
    let home = home.filter(|_| enabled.len() == 1);
    let mut elsewhere = Vec::new();
    for account in &enabled {
        let mailbox = posting::find(reader, *account, &names)?;
        elsewhere.extend(mailbox.map(|mailbox| (*account, mailbox)));
    }
    let recipient = recipient.clone();
    Ok(Ok(Addressee { recipient, accounts: enabled, elsewhere, detail, home }))
}

type Found = Result<Meant, Refusal>;

/// Their INBOXes.
fn inboxes(accounts: Vec<AccountId>) -> Meant {
    Meant { accounts, names: Vec::new(), detail: None }
}

fn accounts(
    reader: &Reader<'_>,
    address: &Address,
    domain: &Domain,
) -> Result<Found, store::Error> {
    if let Some(meant) = posting::meant(reader, address)? {
        return Ok(Ok(meant));
    }
    let mut refusal = Refusal::UnknownUser;
    if address.local().value().eq_ignore_ascii_case(POSTMASTER) {
        match postmaster(reader)? {
            Ok(found) => return Ok(Ok(found)),
            Err(none) => refusal = none,
        }
    }
    Ok(domain.catch_all.map(|account| inboxes(vec![account])).ok_or(refusal))
}

/// Is this address of the house's own name one that somebody reads?
fn is_for_postmaster(address: &Address) -> bool {
    let local = address.local().value();
    [POSTMASTER, MAILER_DAEMON].iter().any(|name| local.eq_ignore_ascii_case(name))
}

/// Whoever runs the server reads what the postmaster gets: the owner who was there first.
fn postmaster(reader: &Reader<'_>) -> Result<Found, store::Error> {
    let owners = reader.accounts(None)?.into_iter().filter(|account| account.owner);
    let owner = owners.filter(|account| account.enabled).map(|account| account.id).min();
    Ok(owner.map(|owner| inboxes(vec![owner])).ok_or(Refusal::NoPostmaster))
}

/// Whether a user may write as this address: the account's own, an alias of it, or one of these with
/// a mailbox or detail. What a catch-all takes belongs to nobody.
pub fn is_own_address(
    reader: &Reader<'_>,
    account: AccountId,
    address: &Address,
) -> Result<bool, store::Error> {
    let meant = posting::meant(reader, address)?;
    Ok(meant.is_some_and(|meant| meant.accounts.contains(&account)))
}

/// How much room an account has, and how long mail for a full one is put off.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Octets of all mail of a user without a quota of its own.
    pub octets: u64,
    /// Seconds after which mail for a full account is refused for good.
    pub refused_after: i64,
}

impl Quota {
    /// Whether so many octets more would fit into an account, `now` in seconds since 1970.
    pub(super) fn check(self, account: &Account, octets: u64, now: i64) -> Result<(), Refusal> {
        let room = account.quota_octets.unwrap_or(self.octets);
        let places = account.quota_messages.unwrap_or(u64::MAX);
        let fits =
            account.used_octets.saturating_add(octets) <= room && account.used_messages < places;
        if fits && (octets > 0 || account.used_octets < room) {
            return Ok(());
        }
        let since = account.full_since.unwrap_or(now);
        let long = now.saturating_sub(since) >= self.refused_after;
        Err(if long { Refusal::LongOverQuota } else { Refusal::OverQuota })
    }
}
