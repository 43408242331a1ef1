//! SUBMIT with a list (draft-ietf-lemonade-submit-01 §4.1.4): the envelope may be the client's own, a
//! copy may be kept, and every step of the hand-over is answered as SMTP answers it.
//!
//! Whoever leaves once the message has come does not stop it. A failure that the client may not have heard
//! of is reported by mail when the connection ends.

use jiff::Timestamp;

use super::{Message, brought};
use crate::{
    ids::trace_id,
    imap::{
        command::{
            append::{append_uid, check_data, check_room},
            copy::no_place,
            tell_form,
        },
        error::Error,
        incoming::Data,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::{Actor, Appended, skeleton::SkeletonError},
    queue::Unheard,
    submission::{self, Answers, Cause, Posted, Posting, Step, Wishes},
};

pub(super) async fn run(
    session: &mut Session,
    wishes: Wishes,
    message: Message,
    out: &mut Replies,
) -> Result<Done, Error> {
    let actor = session.actor()?;
    if let Err(error) = check(session, &actor, &wishes, &message, out).await {
        if let Message::Sent(data) = &message {
            data.swallow(session).await?;
        }
        return Err(error);
    }
    let (message, draft) = brought(session, message, out).await?;
    let (trace, header) = (trace_id(Timestamp::now()), message.header()?);
    let open = session.selected().ok().map(|selected| selected.mailbox.clone());
    let name = wishes.copy_to.clone().or_else(|| draft.as_ref()?.copy_to.clone());
    let name = name.unwrap_or_default();
    let (word, of_trace) = ("SUBMIT", trace.clone());
    let posting = Posting { actor, wishes, message, draft, open, word, trace: of_trace };
    let posting = session.door.submission.post(&session.door.urls, posting);
    // Whether or not the client still listens.
    let posted = Box::pin(posting).await;
    session.keep_unheard(Unheard::of(trace, header, &posted))?;
    let copy = told(session, &name, posted, out)?.and_then(append_uid);
    if copy.is_some() {
        tell_form(session, &name, "", out);
    }
    Ok(match copy {
        Some(code) => Done::with("SUBMIT completed", code),
        None => Done::ok("SUBMIT completed"),
    })
}

/// Refuses what cannot be done before the message is asked for.
async fn check(
    session: &Session,
    actor: &Actor,
    wishes: &Wishes,
    message: &Message,
    out: &mut Replies,
) -> Result<(), Error> {
    let Message::Sent(data) = message else {
        return check_copy(session, actor, wishes, None).await;
    };
    check_data(session, data)?;
    check_copy(session, actor, wishes, Some(data)).await?;
    if data.waits()
        && let Err(posted) = session.door.submission.foresee(actor, wishes).await
    {
        told(session, "", *posted, out)?;
    }
    Ok(())
}

/// Refuses a copy for which there is no place.
async fn check_copy(
    session: &Session,
    actor: &Actor,
    wishes: &Wishes,
    data: Option<&Data>,
) -> Result<(), Error> {
    let Some(name) = &wishes.copy_to else { return Ok(()) };
    let mail = session.mail();
    let opened = mail.open_to_add(actor, name).await;
    let (_, quota) = opened.map_err(|error| no_place(&mail, name, error))?;
    data.map_or(Ok(()), |data| check_room(quota, data, 0))
}

/// Tells each step, and gives the copy or why there is none; `name` is of the mailbox that was to get it.
fn told(
    session: &Session,
    name: &str,
    posted: Posted,
    out: &mut Replies,
) -> Result<Option<Appended>, Error> {
    tell(&posted.answers, out);
    posted.outcome.map_err(|cause| {
        let told = refusal(&posted.answers);
        match cause {
            Cause::Part(SkeletonError::Part(url)) => Error::no(Code::BadUrl(url), told),
            Cause::Part(SkeletonError::Mail(error)) => error.into(),
            Cause::Envelope | Cause::Part(SkeletonError::Hidden) => Error::plain(told),
            Cause::Refused(error) => refused(session, name, error, told),
        }
    })
}

/// `* SUBMIT ("MAIL FROM" "a@b" "250 2.1.0 OK")`, then one for each RCPT TO, then DATA
fn tell(answers: &Answers, out: &mut Replies) {
    let sender = (Step::Mail, &*answers.sender.0, &answers.sender.1);
    let recipients = answers.recipients.iter().map(|(to, answer)| (Step::Rcpt, &**to, answer));
    let data = (Step::Data, "", &answers.data);
    for (step, about, answer) in std::iter::once(sender).chain(recipients).chain([data]) {
        out.line(|out| {
            out.put("SUBMIT (");
            out.string(step.to_string().as_bytes());
            out.put(" ");
            out.string(about.as_bytes());
            out.put(" ");
            out.string(answer.to_string().as_bytes());
            out.put(")");
        });
    }
}

/// The first refusal in words.
fn refusal(answers: &Answers) -> String {
    answers.refusal().map_or_else(String::new, |(step, about, answer)| match about {
        "" => format!("{step}: {answer}"),
        _ => format!("{step} {about}: {answer}"),
    })
}

/// Why a message was not taken; `name` is of the mailbox that was to get a copy.
fn refused(session: &Session, name: &str, error: submission::Error, told: String) -> Error {
    use submission::Error as Submission;
    match error {
        Submission::Copy(error) => no_place(&session.mail(), name, error),
        Submission::Mail(error) => error.into(),
        Submission::NotYours(_) => Error::no(Code::NoPerm, told),
        Submission::TooMany | Submission::QueueFull(_) => Error::no(Code::Limit, told),
        _ => Error::plain(told),
    }
}
