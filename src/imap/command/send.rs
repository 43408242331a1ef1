//! SEND and UID SEND (imap-send-extension): messages of the open mailbox are sent to whom their headers
//! name, or the envelopes that were left with them. Each is sent to all its recipients or to nobody, and
//! what became of it is said in the words of SMTP.

use jiff::Timestamp;

use super::{Command, Parsed, Running, store};
use crate::{
    ids::{Uid, trace_id},
    imap::{
        error::Error,
        message_limit,
        picture::{By, Target},
        reply::{Done, Replies},
        session::{Session, closing},
    },
    mail,
    submission::{Answers, Cause, Said, Source, Stored, Unsent},
    wire::{Buffer, Cursor, Encode, Set},
};

struct Send {
    set: Set,
    by: By,
}

/// `send_command = "SEND" SPACE set`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP send_command`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let set = args.set()?;
    args.end()?;
    Ok(Box::new(Send { set, by }))
}

impl Command for Send {
    /// One message after the other; whatever becomes of one, the others are still sent.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let (mail, most) = (session.mail(), session.door.limits.messages_per_command);
            let mut targets = session.selected()?.targets(&mail, &self.set, self.by).await?;
            let limit = message_limit::highest(&mut targets, most);
            let writes = session.selected()?.writes();
            let mut sent = Vec::new();
            for target in targets {
                if session.stop().is_cancelled() {
                    return Err(closing());
                }
                let asked = ask(session, target.uid, Said::default(), "SEND", out).await?;
                let answers = match asked {
                    Ok(()) => {
                        sent.push(target);
                        None
                    }
                    Err(unsent) => Some(unsent.answers),
                };
                let number = if session.enabled.uid_only { 0 } else { target.number };
                out.line(|out| out.put(Answer { number, target, refused: answers.as_deref() }));
                out.flush().await?;
            }
            if writes && !sent.is_empty() {
                store::tell_flags(session, &sent, self.by, out).await?;
            }
            message_limit::end(limit, Ok(Done::ok("SEND completed")), out, &session.door.metrics)
        })
    }
}

/// Sends one message of the open mailbox; the inner error is said of it alone.
pub(super) async fn ask(
    session: &mut Session,
    uid: Uid,
    said: Said,
    word: &'static str,
    out: &mut Replies,
) -> Result<Result<(), Unsent>, Error> {
    let (actor, selected) = (session.actor()?, session.selected()?);
    let (mailbox, writes) = (selected.mailbox.clone(), selected.writes());
    let found = session.mail().draft(&actor, &mailbox, uid).await;
    let draft = match found {
        Ok(Some(draft)) => draft,
        Ok(None) => return Ok(Err(Unsent::gone())),
        Err(error) => return Err(error.into()),
    };
    let trace = trace_id(Timestamp::now());
    tracing::debug!(session = %session.id, trace, "imap send");
    let source = Source::Sent { draft, writes };
    let stored = Stored { actor, source, said, by_header: false, word, trace };
    let (room, urls) = (&session.door.submission, &session.door.urls);
    let sending = room.send_stored(urls, stored);
    let unsent = match out.meanwhile(Box::pin(sending)).await? {
        Ok(_committed) => return Ok(Ok(())),
        Err(unsent) => unsent,
    };
    let closed =
        |error: &mail::Error| matches!(error, mail::Error::Internal(crate::store::Error::Closed));
    match &unsent.cause {
        Cause::Refused(crate::submission::Error::Mail(error)) if closed(error) => Err(closing()),
        _ => Ok(Err(unsent)),
    }
}

/// `send_response = seq_num SPACE "SEND" SPACE "(" uid_num SPACE send_result ")"`
struct Answer<'a> {
    number: u32,
    target: Target,
    refused: Option<&'a Answers>,
}

impl Encode for Answer<'_> {
    /// `2 SEND (3002 NO ("RCPT TO" "john@x" "550 5.1.1 no such user here"))`
    fn encode(&self, out: &mut Buffer) {
        out.put(self.number);
        out.put(" SEND (");
        out.put(self.target.uid.get());
        match self.refused.and_then(Answers::refusal) {
            None => out.put(" OK NIL)"),
            Some((step, about, answer)) => {
                out.put(" NO (");
                out.string(step.to_string().as_bytes());
                out.put(" ");
                out.string(about.as_bytes());
                out.put(" ");
                out.string(answer.to_string().as_bytes());
                out.put("))");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_all_there_is() {
        let reads = |text: &str| parse(&mut Cursor::new(text.as_bytes())).is_ok();
        assert!(reads(" 1:3") && reads(" *") && reads(" $"));
        assert!(!reads("") && !reads(" ") && !reads(" 1:3 x") && !reads(" (1)"));
    }
}
