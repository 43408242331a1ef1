//! GENURLAUTH (RFC 4467 §7): URLs of one's own messages that give access to others.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Done, Replies},
        session::Session,
    },
    mail::urls::{GrantError, LinkError},
    wire::{Cursor, Syntax},
};

struct GenUrlAuth {
    rumps: Vec<String>,
    /// All mechanisms are INTERNAL, the only one there is.
    internal: bool,
}

/// `"GENURLAUTH" 1*(SP url-rump SP mechanism)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let (mut rumps, mut internal) = (Vec::new(), true);
    while !args.is_empty() {
        args.space()?;
        rumps.push(url(args)?);
        args.space()?;
        internal &= args.word()?.eq_ignore_ascii_case("INTERNAL");
    }
    if rumps.is_empty() {
        return Err(Syntax::Expected("a URL and a mechanism"));
    }
    Ok(Box::new(GenUrlAuth { rumps, internal }))
}

/// A URL, as `astring`; what it says is looked at later.
pub(super) fn url(args: &mut Cursor<'_>) -> Result<String, Syntax> {
    let url = String::from_utf8(args.astring()?.into_owned());
    url.map_err(|_| Syntax::Expected("a URL"))
}

impl Command for GenUrlAuth {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            if !self.internal {
                return Err(Error::plain("INTERNAL is the only mechanism"));
            }
            let granted = session.door.urls.authorise(&session.actor()?, self.rumps).await;
            let granted = granted.map_err(refused)?.into_inner();
            out.line(|out| {
                out.put("GENURLAUTH");
                for url in &granted {
                    out.put(" ");
                    out.string(url.as_bytes());
                }
            });
            Ok(Done::ok("GENURLAUTH completed"))
        })
    }
}

/// A URL that does not pass the checks is the client's fault: `BAD` (RFC 4467 §7).
fn refused(error: GrantError) -> Error {
    match error {
        GrantError::Unfit(text) => Error::unfit(text),
        GrantError::Link(LinkError::Mail(error)) => error.into(),
        GrantError::Link(LinkError::Syntax(_)) => Error::unfit("the supplied text is no IMAP URL"),
        GrantError::Link(_) => Error::unfit("the supplied URL names no message of yours"),
    }
}
