//! GENURLAUTH, RESETKEY, and whether an authorisation holds (RFC 4467 §5, §6, §7).

use super::{
    By, Follower, Here, LinkError, Text, Urls, here,
    token::{self, INTERNAL, proves},
};
use crate::{
    ids::AccountId,
    mail::{
        Actor, Rights,
        access::{Found, find},
        error::Error,
        name::Place,
    },
    store::{Committed, Reader, UrlKey},
    wire::url::{UrlAccess, UrlAuth, UrlMessage, UrlProof},
};

/// Why a URL is not authorised.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The URL does not name what can be authorised (RFC 4467 §7, GENURLAUTH).
    #[error("{0}")]
    Unfit(&'static str),
    /// It cannot be followed by who asks.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl From<crate::store::Error> for GrantError {
    fn from(error: crate::store::Error) -> Self {
        Self::Link(error.into())
    }
}

impl Urls {
    /// Authorises URLs of the actor's own mailboxes; gives them back, in order, with their tokens.
    ///
    /// # Errors
    /// All of [`GrantError`].
    pub async fn authorise(
        &self,
        actor: &Actor,
        rumps: Vec<String>,
    ) -> Result<Committed<Vec<String>>, GrantError> {
        let texts = rumps.iter().map(|rump| Text::parse(rump)).collect::<Result<Vec<_>, _>>();
        let texts = texts?;
        let keys = texts.iter().map(|_| token::fresh_key()).collect::<Result<Vec<_>, _>>()?;
        let (here, asker) = (std::sync::Arc::clone(&self.here), actor.account);
        let job = move |tx: &mut crate::store::Tx<'_>| {
            let mut granted = Vec::with_capacity(texts.len());
            for (url, fresh) in texts.iter().zip(&keys) {
                let found = grantable(tx, &here, url, asker)?;
                let key = tx.url_key_or(asker, found.row.id, fresh)?;
                granted.push(format!("{}:{INTERNAL}:{}", url.text, token::token(&key, &url.text)));
            }
            Ok::<_, GrantError>(granted)
        };
        self.mail.store.write(actor.origin, job).await
    }

    /// Renews the actor's key for a mailbox, or removes all keys of the actor: what was authorised by
    /// them is no longer (RESETKEY).
    pub async fn reset_key(
        &self,
        actor: &Actor,
        mailbox: Option<String>,
    ) -> Result<Committed<()>, LinkError> {
        let (fresh, account) = (token::fresh_key()?, actor.account);
        let job = move |tx: &mut crate::store::Tx<'_>| {
            let Some(name) = mailbox else { return Ok(tx.remove_url_keys(account)?) };
            let found = find(tx, account, &Place::of(&name))?.selectable()?;
            found.check(Rights::READ)?;
            Ok::<_, LinkError>(tx.set_url_key(account, found.row.id, &fresh)?)
        };
        self.mail.store.write(actor.origin, job).await
    }
}

/// The mailbox of a URL that the asker may authorise.
fn grantable(
    r: &Reader<'_>,
    here: &Here,
    url: &Text,
    asker: AccountId,
) -> Result<Found, GrantError> {
    let Ok(message) = url.message() else {
        return Err(GrantError::Unfit("the URL names no message"));
    };
    match &message.authorisation {
        None => return Err(GrantError::Unfit("missing access identifier in supplied URL")),
        Some(UrlAuth { proof: Some(_), .. }) => {
            return Err(GrantError::Unfit("the supplied URL is authorised already"));
        }
        Some(_) => {}
    }
    let server = url.url.server.as_ref().filter(|server| server.user.is_some());
    let server = server.ok_or(GrantError::Unfit("missing owner username in supplied URL"))?;
    match here.check(r, server) {
        Err(LinkError::Elsewhere) => {
            return Err(GrantError::Unfit("the supplied URL names another server"));
        }
        checked => checked?,
    }
    if here::user(r, server, asker)? != Some(asker) {
        return Err(GrantError::Unfit("the supplied URL names another user"));
    }
    let name = message.mailbox.as_ref().map(|mailbox| mailbox.name.as_str()).unwrap_or_default();
    let found = find(r, asker, &Place::of(name)).and_then(Found::selectable);
    let found = found.and_then(|found| found.check(Rights::READ).map(|()| found));
    found.map_err(|error| match error {
        Error::NoMailbox | Error::NotSelectable => {
            GrantError::Unfit("the supplied URL names no mailbox")
        }
        other => GrantError::Link(other.into()),
    })
}

/// The mailbox to which a URL gives access, if its authorisation holds now and for who follows it.
///
/// Whatever is wrong, one token is made and compared, and the refusal is the same.
pub(super) fn check(r: &Reader<'_>, url: &Text, by: By) -> Result<Found, LinkError> {
    let message = url.message()?;
    let Some(UrlAuth { access, proof: Some(proof) }) = &message.authorisation else {
        return Err(LinkError::NoAccess);
    };
    let server = url.server()?;
    let owner = enabled(r, here::user(r, server, by.follower.account())?)?;
    let found = owner.map(|owner| mailbox(r, owner, message)).transpose()?.flatten();
    let key = found.as_ref().zip(owner);
    let key = key.map(|(found, owner)| r.url_key(owner, found.row.id)).transpose()?.flatten();
    let holds = holds(url, proof, key.as_ref())
        & message.expire.is_none_or(|until| by.now <= until.as_second())
        & permits(r, access, by.follower)?;
    found.filter(|found| holds && found.rights.contain(Rights::READ)).ok_or(LinkError::NoAccess)
}

/// Who gave the authorisation, if it is somebody who may still log in.
fn enabled(r: &Reader<'_>, owner: Option<AccountId>) -> Result<Option<AccountId>, LinkError> {
    let account = owner.map(|owner| r.account_by_id(owner)).transpose()?.flatten();
    Ok(account.filter(|account| account.enabled).map(|account| account.id))
}

/// The mailbox as who gave the authorisation sees it now.
fn mailbox(
    r: &Reader<'_>,
    owner: AccountId,
    message: &UrlMessage,
) -> Result<Option<Found>, LinkError> {
    let Some(named) = &message.mailbox else { return Ok(None) };
    match find(r, owner, &Place::of(&named.name)).and_then(Found::selectable) {
        Ok(found) => Ok(Some(found)),
        Err(Error::NoMailbox | Error::NotSelectable) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn holds(url: &Text, proof: &UrlProof, key: Option<&UrlKey>) -> bool {
    let signed = url.text.get(..proof.signed).unwrap_or_default();
    let is_known = proof.mechanism.eq_ignore_ascii_case(INTERNAL);
    proves(key, signed, &proof.token) & is_known
}

/// Is this one whom the access identifier means?
fn permits(r: &Reader<'_>, access: &UrlAccess, follower: Follower) -> Result<bool, LinkError> {
    Ok(match (access, follower) {
        (UrlAccess::Submit(user), Follower::Submission(account))
        | (UrlAccess::User(user), Follower::User(account)) => here::is_called(r, user, account)?,
        // There is no anonymous login here, so both mean everybody who is logged in.
        (UrlAccess::AuthUser | UrlAccess::Anonymous, _)
        | (UrlAccess::Submit(_), Follower::Submitter(_)) => true,
        (UrlAccess::Submit(_) | UrlAccess::User(_), _) => false,
    })
}
