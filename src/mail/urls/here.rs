//! What a URL must say to mean this very server, and whom it means by the name of a user.

use super::{LinkError, store};
use crate::{
    ids::AccountId,
    store::Reader,
    wire::{address::Address, url::UrlServer},
};

/// Ports that mean this server whatever it listens on: clients write them, or leave them out.
const USUAL_PORTS: [u16; 2] = [143, 993];

/// By what names this server is known.
#[derive(Clone, Debug, Default)]
pub struct Here {
    /// Its name, in lower case.
    pub hostname: String,
    /// Ports it speaks IMAP on.
    pub ports: Vec<u16>,
    /// Keys of the addresses of submission servers outside (`[urlauth] submit_users`).
    pub submitters: Vec<String>,
}

impl Here {
    /// Does a login by this name say that it is a submission server?
    pub fn is_submitter(&self, login: &str) -> bool {
        let key = Address::parse(login).map(|address| address.key());
        key.is_ok_and(|key| self.submitters.contains(&key))
    }

    /// Refuses a URL of another server: ours are our name and the domains we have mail for.
    pub(super) fn check(&self, r: &Reader<'_>, server: &UrlServer) -> Result<(), LinkError> {
        let host = server.host.to_ascii_lowercase();
        let is_port = |port| USUAL_PORTS.contains(&port) || self.ports.contains(&port);
        if !server.port.is_none_or(is_port) {
            return Err(LinkError::Elsewhere);
        }
        let is_ours = host == self.hostname || host == "localhost" || r.domain(&host)?.is_some();
        if is_ours { Ok(()) } else { Err(LinkError::Elsewhere) }
    }
}

/// Whose mailboxes are meant. A name without a domain is that of the domain in the place of the
/// host, that of the asker, or the only one there is.
pub(super) fn user(
    r: &Reader<'_>,
    server: &UrlServer,
    asker: AccountId,
) -> Result<Option<AccountId>, store::Error> {
    let Some(name) = &server.user else { return Ok(None) };
    if name.contains('@') {
        return account(r, name);
    }
    if let Some(account) = account(r, &format!("{name}@{}", server.host))? {
        return Ok(Some(account));
    }
    named(r, name, asker)
}

/// The user whom an access identifier names, seen by who follows the URL.
pub(super) fn is_called(
    r: &Reader<'_>,
    name: &str,
    follower: AccountId,
) -> Result<bool, store::Error> {
    let meant = if name.contains('@') { account(r, name)? } else { named(r, name, follower)? };
    Ok(meant == Some(follower))
}

/// The account of a whole address.
fn account(r: &Reader<'_>, name: &str) -> Result<Option<AccountId>, store::Error> {
    let Ok(address) = Address::parse(name) else { return Ok(None) };
    Ok(r.account(&address.key())?.map(|account| account.id))
}

/// The account of a name without a domain: the asker's own, else the only one of that name.
fn named(r: &Reader<'_>, name: &str, asker: AccountId) -> Result<Option<AccountId>, store::Error> {
    // Any domain: only what stands before the @ is compared.
    let Ok(address) = Address::parse(&format!("{name}@x")) else { return Ok(None) };
    let key = address.key();
    let local = key.strip_suffix("@x").unwrap_or(&key);
    let own = r.account_by_id(asker)?;
    if own.is_some_and(|own| own.address_key.rsplit_once('@').is_some_and(|(l, _)| l == local)) {
        return Ok(Some(asker));
    }
    match r.accounts_called(local)?.as_slice() {
        [only] => Ok(Some(*only)),
        _ => Ok(None),
    }
}
