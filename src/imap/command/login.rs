//! LOGIN (RFC 9051 §6.2.3), and what all logins have in common.

use zeroize::Zeroizing;

use super::{Command, Parsed, Running};
use crate::{
    auth::login::{Credentials, LoggedIn, Refused, Visitor},
    events::{Door, Origin},
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::{Session, User, now},
    },
    wire::Cursor,
};

struct Login {
    credentials: Credentials,
}

/// `"LOGIN" SP userid SP password`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let name = args.astring_text()?.into_owned();
    args.space()?;
    let password = Zeroizing::new(args.astring_text()?.into_owned());
    args.end()?;
    let authorization = String::new();
    Ok(Box::new(Login { credentials: Credentials { authorization, name, password } }))
}

impl Command for Login {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            need_privacy(session)?;
            let (visitor, door) = (visitor(session)?, session.door.clone());
            match door.logins.login(self.credentials, visitor).await {
                Ok(who) => welcome(session, who),
                Err(refused) => Err(refusal(session, refused)),
            }
        })
    }
}

/// Passwords travel only where nobody listens.
pub fn need_privacy(session: &Session) -> Result<(), Error> {
    if session.facts().secured {
        return Ok(());
    }
    Err(Error::no(Code::PrivacyRequired, "turn on TLS first"))
}

/// Who asks, for the room of logins.
pub fn visitor(session: &mut Session) -> Result<Visitor, Error> {
    let ip = session.input()?.peer().ip();
    let origin = Origin { door: Door::Imap, session: Some(session.id), device: None, at: now() };
    Ok(Visitor { ip, origin, now: tokio::time::Instant::now() })
}

/// Logs the user in and tells what can be done now.
pub fn welcome(session: &mut Session, who: LoggedIn) -> Result<Done, Error> {
    let LoggedIn { account, device, address, .. } = who;
    session.log_in(User { account, device, address: address.into() })?;
    Ok(Done::with("logged in", Code::Capability(session.capabilities())))
}

/// A refusal in IMAP's words.
pub fn refusal(session: &mut Session, refused: Refused) -> Error {
    match refused {
        Refused::Wrong => {
            session.login_failed();
            Error::no(Code::AuthenticationFailed, "authentication failed")
        }
        Refused::TooMany => Error::Bye(Some(Code::AuthenticationFailed), "too many failed logins"),
        Refused::Malformed => Error::unfit("this response is malformed"),
        Refused::Internal(cause) => Error::from(crate::mail::Error::from(cause)),
    }
}
