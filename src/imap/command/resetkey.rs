//! RESETKEY (RFC 4467 §7): revokes authorised URLs, of one mailbox or all.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::urls::LinkError,
    wire::Cursor,
};

struct ResetKey {
    mailbox: Option<String>,
    /// No mechanism is asked for but INTERNAL.
    internal: bool,
}

/// `"RESETKEY" [SP mailbox *(SP mechanism)]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let (mut mailbox, mut internal) = (None, true);
    if !args.is_empty() {
        args.space()?;
        mailbox = Some(args.mailbox()?);
    }
    while !args.is_empty() {
        args.space()?;
        internal &= args.word()?.eq_ignore_ascii_case("INTERNAL");
    }
    Ok(Box::new(ResetKey { mailbox, internal }))
}

impl Command for ResetKey {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, _: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if !self.internal {
                return Err(Error::plain("INTERNAL is the only mechanism"));
            }
            let all = self.mailbox.is_none();
            let reset = session.door.urls.reset_key(&session.actor()?, self.mailbox).await;
            reset
                .map_err(|error| match error {
                    LinkError::Mail(error) => error.into(),
                    other => Error::plain(other.to_string()),
                })?
                .into_inner();
            tracing::info!(session = %session.id, all, "imap resetkey");
            Ok(if all { Done::ok("All keys removed") } else { Done::with("mechs", Code::UrlMech) })
        })
    }
}
