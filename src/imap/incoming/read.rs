//! The octets of a message that comes, and what follows them.

use super::{
    head::{Data, Head, behind, ends_in_value, head},
    parts::{Parts, Step},
};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Replies},
        session::Session,
    },
    mail::{Prepared, Spool, urls::LinkError},
    metrics::Limit,
    net::Literal,
    wire::{Cursor, Syntax},
};

/// What stands behind a message, as far as it was read.
#[derive(Debug)]
pub enum Tail {
    /// Nothing of it; a bracket must follow a message that is marked as UTF-8.
    Unread {
        /// The message was marked so.
        utf8: bool,
    },
    /// This.
    Text(Vec<u8>),
}

impl Tail {
    /// Reads the rest of a command that has failed.
    pub async fn swallow(self, session: &mut Session) -> Result<(), Error> {
        match self {
            Self::Unread { .. } => session.swallow_rest().await,
            Self::Text(text) => match Literal::announced_by(&text) {
                Some(literal) => session.swallow(literal).await,
                None => Ok(()),
            },
        }
    }
}

/// Does this end the connection, so that nothing more is read?
fn is_last(error: &Error) -> bool {
    matches!(error, Error::Bye(..) | Error::Connection(_))
}

/// Reads one message whole and makes it ready. When it fails the command is read to its end.
pub async fn message(
    session: &mut Session,
    data: Data,
    out: &mut Replies,
) -> Result<(Prepared, Tail), Error> {
    let (spool, tail) = octets(session, data, out).await?;
    match prepare(session, spool).await {
        Ok(prepared) => Ok((prepared, tail)),
        Err(error) => {
            tail.swallow(session).await?;
            Err(error)
        }
    }
}

/// Reads the octets of one message. When it fails the command is read to its end.
pub async fn octets(
    session: &mut Session,
    data: Data,
    out: &mut Replies,
) -> Result<(Spool, Tail), Error> {
    let (spool, tail) = match data {
        Data::Literal { literal, utf8 } => {
            (session.message(literal, out).await, Tail::Unread { utf8 })
        }
        Data::Parts(mut parts) => {
            let mut spool = session.mail().spool();
            let gathered = gather(session, &mut parts, &mut spool, out).await;
            let whole = gathered.is_err();
            let tail = Tail::Text(if whole { parts.into_text() } else { parts.into_rest() });
            (gathered.map(|()| spool), tail)
        }
    };
    match spool {
        Ok(spool) => Ok((spool, tail)),
        Err(error) if is_last(&error) => Err(error),
        Err(error) => {
            tail.swallow(session).await?;
            Err(error)
        }
    }
}

async fn prepare(session: &Session, spool: Spool) -> Result<Prepared, Error> {
    if spool.is_empty() {
        return Err(Error::plain("an empty message is not kept"));
    }
    Ok(session.mail().prepare(spool, |header| header).await?)
}

/// Gathers the parts of a message, in their order.
async fn gather(
    session: &mut Session,
    parts: &mut Parts,
    spool: &mut Spool,
    out: &mut Replies,
) -> Result<(), Error> {
    let most = session.door.limits.catenate_parts;
    for _ in 0..most {
        match parts.step()? {
            Step::End => return Ok(()),
            Step::Url(url) => link(session, spool, &url).await?,
            Step::Data { literal, utf8 } => {
                if utf8 && !session.enabled.utf8 {
                    return Err(Error::unfit("enable UTF8=ACCEPT first"));
                }
                spool.check_room(literal.size)?;
                let read = session.message_part(spool, literal, out).await;
                if read.as_ref().is_err_and(is_last) {
                    return read;
                }
                let text = line_behind(session, |text| parts.breaks_off_in_url(text), out).await;
                parts.go_on(text?);
                read?;
            }
        }
    }
    match parts.step()? {
        Step::End => Ok(()),
        Step::Url(_) | Step::Data { .. } => {
            let limit = Limit::CatenatePartsMax;
            Err(Error::Over(limit, Code::TooBig, "too many parts in one message".into()))
        }
    }
}

/// Adds what a URL names.
async fn link(session: &mut Session, spool: &mut Spool, url: &str) -> Result<(), Error> {
    let actor = session.actor()?;
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let mail = session.mail();
    let linked = session.door.urls.own(&actor, open.as_ref(), url).await;
    let found = match linked {
        Ok(linked) => mail.add_linked(spool, linked).await?,
        Err(LinkError::Mail(error)) => return Err(error.into()),
        Err(_) => false,
    };
    if found { Ok(()) } else { Err(bad_url(url)) }
}

/// `NO [BADURL "…"]` (RFC 4469 §4.1): whatever is wrong with it is said alike.
pub(in crate::imap) fn bad_url(url: &str) -> Error {
    Error::no(Code::BadUrl(url.to_owned()), "the URL names no message or part of yours")
}

/// What stands behind a message: the end, or the head of another. When it fails the command is read
/// to its end.
pub async fn following(
    session: &mut Session,
    tail: Tail,
    out: &mut Replies,
) -> Result<Option<Head>, Error> {
    let (text, utf8) = match tail {
        Tail::Unread { utf8 } => {
            let skip = usize::from(utf8);
            let ends = |text: &[u8]| text.get(skip..).is_some_and(ends_in_value);
            (line_behind(session, ends, out).await?, utf8)
        }
        Tail::Text(text) => (text, false),
    };
    match next_head(&text, utf8) {
        Ok(next) => Ok(next),
        Err(syntax) => {
            Tail::Text(text).swallow(session).await?;
            Err(syntax.into())
        }
    }
}

/// Nothing may follow a message. When something does the command is read to its end.
pub async fn nothing_more(
    session: &mut Session,
    tail: Tail,
    out: &mut Replies,
) -> Result<(), Error> {
    match following(session, tail, out).await? {
        None => Ok(()),
        Some(further) => {
            further.data.swallow(session).await?;
            Err(Syntax::Expected("the end behind the one message").into())
        }
    }
}

/// The rest of the line behind a literal, and more of it as long as it ends in a value that is a
/// literal itself.
async fn line_behind(
    session: &mut Session,
    ends_in_value: impl Fn(&[u8]) -> bool,
    out: &mut Replies,
) -> Result<Vec<u8>, Error> {
    let mut line = session.after_literal().await?;
    while let Some(literal) = Literal::announced_by(&line)
        && ends_in_value(&line)
    {
        let value = session.value(literal, line.len(), out).await?;
        line.extend_from_slice(b"\r\n");
        line.extend_from_slice(&value);
        line.extend_from_slice(&session.after_literal().await?);
    }
    Ok(line)
}

fn next_head(line: &[u8], utf8: bool) -> Result<Option<Head>, Syntax> {
    let mut args = Cursor::new(line);
    if utf8 {
        args.expect(b')', "\")\" behind the message")?;
    }
    if args.clone().end().is_ok() { Ok(None) } else { head(&mut args).map(Some) }
}

impl Parts {
    /// With this text behind the last literal: is the literal at its end a URL, or a value that is
    /// said of a later message?
    fn breaks_off_in_url(&self, text: &[u8]) -> bool {
        let mut parts = self.clone();
        parts.go_on(text.to_vec());
        match behind(parts) {
            Ok(rest) => ends_in_value(&rest),
            Err(in_url) => in_url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_message_stands_the_end_or_another() {
        assert_eq!(next_head(b"", false), Ok(None));
        assert_eq!(next_head(b")", true), Ok(None));
        assert!(next_head(b" (\\Seen) {3}", false).is_ok_and(|head| head.is_some()));
        assert!(next_head(b" CATENATE (URL /x)", false).is_ok_and(|head| head.is_some()));
        assert!(next_head(b"", true).is_err() && next_head(b"x", false).is_err());
    }
}
