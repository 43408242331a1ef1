//! URLs of this very server, followed inside the process (RFC 5092): what CATENATE, URLFETCH and BURL
//! are given instead of octets.
//!
//! A URL names a message, or a part of one, of a user's. That user may follow it; everybody else needs
//! an authorisation (RFC 4467), which ends with the right of whoever gave it. What cannot be followed
//! is refused by the same work, whatever the reason.

mod authorise;
mod here;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

pub use self::{authorise::GrantError, here::Here};
use super::{
    Actor, Draft, Mail, Mailbox, Rights,
    access::{Found, find, still},
    error::Error,
    extract::{Cut, Form},
    name::Place,
    section::{Section, section},
};
use crate::{
    ids::{AccountId, ContentId, Uid},
    store::{self, Reader},
    wire::{
        Cursor,
        url::{ImapUrl, UrlError, UrlMessage, UrlServer},
    },
};

/// A piece of a stored message that a URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The message.
    pub content: ContentId,
    /// All its octets, counted.
    pub size: u64,
    /// What of it: whether there is such a part is seen when it is cut.
    pub cut: Cut,
}

/// Who follows a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// A user.
    User(AccountId),
    /// A submission server outside, which says by its login that it sees to `submit+` itself.
    Submitter(AccountId),
    /// Our own submission, on behalf of this user.
    Submission(AccountId),
}

impl Follower {
    fn account(self) -> AccountId {
        match self {
            Self::User(account) | Self::Submitter(account) | Self::Submission(account) => account,
        }
    }
}

/// Why a URL is not followed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is none.
    #[error("{0}")]
    Syntax(#[from] UrlError),
    /// It names no message and no part of one.
    #[error("the URL names no message")]
    NoMessage,
    /// It names another server.
    #[error("the URL names another server")]
    Elsewhere,
    /// It is not the follower's own, and no authorisation holds: wrong, expired or revoked.
    #[error("the URL gives no access")]
    NoAccess,
    /// The message is not there, or not under that UIDVALIDITY.
    #[error("there is no such message")]
    Gone,
    /// Our own failure.
    #[error(transparent)]
    Mail(#[from] Error),
}

impl From<store::Error> for LinkError {
    fn from(error: store::Error) -> Self {
        Self::Mail(error.into())
    }
}

/// Follows URLs and authorises them; cheap to clone.
#[derive(Clone)]
pub struct Urls {
    mail: Mail,
    here: Arc<Here>,
}

impl Urls {
    /// Of a server that is known as this.
    pub fn new(mail: &Mail, here: Here) -> Self {
        Self { mail: mail.clone(), here: Arc::new(here) }
    }

    /// The room whose messages they name.
    pub(super) fn mail(&self) -> &Mail {
        &self.mail
    }

    /// A user, or a submission server outside when the login is one's.
    pub fn follower(&self, account: AccountId, login: &str) -> Follower {
        if self.here.is_submitter(login) {
            Follower::Submitter(account)
        } else {
            Follower::User(account)
        }
    }

    /// Follows a URL of the actor's own: relative to the server or to the open mailbox, or absolute.
    ///
    /// # Errors
    /// All of [`LinkError`].
    pub async fn own(
        &self,
        actor: &Actor,
        open: Option<&Mailbox>,
        url: &str,
    ) -> Result<Linked, LinkError> {
        Ok(self.own_draft(actor, open, url).await?.0)
    }

    /// The same, and what its user left with it for the time when it is sent, if a whole message is
    /// named.
    ///
    /// # Errors
    /// All of [`LinkError`].
    pub async fn own_draft(
        &self,
        actor: &Actor,
        open: Option<&Mailbox>,
        url: &str,
    ) -> Result<(Linked, Option<Draft>), LinkError> {
        let url = Text::parse(url)?;
        let (here, open, account) = (Arc::clone(&self.here), open.cloned(), actor.account);
        let by = By { follower: Follower::User(account), now: actor.origin.at };
        self.read(move |r| {
            let message = url.message()?;
            if let Some(server) = &url.url.server {
                here.check(r, server)?;
                if server.user.is_some() && here::user(r, server, account)? != Some(account) {
                    return Err(LinkError::NoAccess);
                }
            }
            if message.authorisation.is_some() {
                authorise::check(r, &url, by)?;
            }
            let found = match (&message.mailbox, &open) {
                (Some(named), _) => find(r, account, &Place::of(&named.name)),
                (None, Some(open)) => still(r, open, Rights::READ),
                (None, None) => return Err(LinkError::NoMessage),
            };
            let found = readable(found)?;
            let linked = link(r, &found, message)?;
            let whole = message.section.is_none() && message.partial.is_none();
            let uid = Uid::new(message.uid).filter(|_| whole);
            let draft = uid.map(|uid| Draft::find(r, account, &found.handle(), uid));
            Ok((linked, draft.transpose()?.flatten()))
        })
        .await
    }

    /// Follows a URL by the authorisation in it.
    ///
    /// # Errors
    /// All of [`LinkError`].
    pub async fn authorised(
        &self,
        follower: Follower,
        now: i64,
        url: &str,
    ) -> Result<Linked, LinkError> {
        let url = Text::parse(url)?;
        let here = Arc::clone(&self.here);
        self.read(move |r| {
            let message = url.message()?;
            here.check(r, url.server()?)?;
            let found = authorise::check(r, &url, By { follower, now })?;
            link(r, &found, message)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Reader<'_>) -> Result<T, LinkError> + Send + 'static,
    ) -> Result<T, LinkError> {
        self.mail.store.read(job).await
    }
}

/// Who follows a URL, and when (seconds since 1970).
#[derive(Clone, Copy, Debug)]
struct By {
    follower: Follower,
    now: i64,
}

/// A URL, and the very octets that an authorisation signs.
struct Text {
    text: String,
    url: ImapUrl,
}

impl Text {
    fn parse(text: &str) -> Result<Self, LinkError> {
        Ok(Self { url: ImapUrl::parse(text)?, text: text.to_owned() })
    }

    fn message(&self) -> Result<&UrlMessage, LinkError> {
        self.url.message().ok_or(LinkError::NoMessage)
    }

    fn server(&self) -> Result<&UrlServer, LinkError> {
        self.url.server.as_ref().ok_or(LinkError::NoAccess)
    }
}

/// A mailbox whose messages may be read; that another is there is not told.
fn readable(found: Result<Found, Error>) -> Result<Found, LinkError> {
    let found = found.and_then(Found::selectable).and_then(|found| {
        found.check(Rights::READ)?;
        Ok(found)
    });
    found.map_err(|error| match error {
        Error::NoMailbox | Error::NotSelectable | Error::Forbidden => LinkError::Gone,
        other => LinkError::Mail(other),
    })
}

/// The message, and what of it is meant.
fn link(r: &Reader<'_>, found: &Found, message: &UrlMessage) -> Result<Linked, LinkError> {
    let named = message.mailbox.as_ref().and_then(|mailbox| mailbox.uid_validity);
    if named.is_some_and(|number| number != found.row.uid_validity.0) {
        return Err(LinkError::Gone);
    }
    let uid = Uid::new(message.uid).ok_or(LinkError::Gone)?;
    let entry = r.message(found.row.id, uid)?.ok_or(LinkError::Gone)?;
    let section = message.section.as_deref().map(read_section).transpose()?.unwrap_or_default();
    let window = message.partial.map(|part| (part.offset, part.length.unwrap_or(u64::MAX)));
    let cut = Cut { section, form: Form::Stored, window };
    Ok(Linked { content: entry.content, size: entry.size, cut })
}

/// `section-spec`, which stands without brackets in a URL.
fn read_section(text: &str) -> Result<Section, UrlError> {
    let text = format!("[{text}]");
    let mut args = Cursor::new(text.as_bytes());
    let read = section(&mut args).and_then(|read| args.end().map(|()| read));
    read.map_err(|_| UrlError::Expected("a section"))
}
