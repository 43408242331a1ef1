//! Sends a message that lies in a mailbox, in one way for all who ask for that: its parts that are only
//! named are put in, its envelope is what was said along, or lies with it, or stands in its header.

use super::{
    addressed::{self, Unaddressed},
    along::{Along, CopyTo, Sent, Source},
    answer::Answer,
    answers::Answers,
    lines::{BadLine, Lines},
    submit::{Author, Error, Outgoing, Submission},
};
use crate::{
    delivery::Share,
    mail::{self, Actor, Draft, Spool, skeleton::SkeletonError, urls::Urls},
    metrics::Limit,
    store::Committed,
    wire::{
        address::{Address, ReversePath},
        envelope::{Body, Envelope, Notify, Recipient},
    },
};

/// A message to be sent from where it lies.
pub struct Stored {
    /// Who sends it.
    pub actor: Actor,
    /// Where it lies.
    pub source: Source,
    /// What was said of its envelope along with the wish.
    pub said: Said,
    /// Is its header its envelope, whatever lies with it?
    pub by_header: bool,
    /// By what it was asked for, in a word for the trace.
    pub word: &'static str,
    /// The id that follows it through the house.
    pub trace: String,
}

/// What is said of an envelope when a message is to be sent; the rest lies with the message.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its sender.
    pub sender: Option<ReversePath>,
    /// Its recipients, unless there are none.
    pub recipients: Vec<Address>,
    /// What the sender wants to hear of all of them.
    pub notify: Option<Notify>,
}

/// Why a message was not sent.
#[derive(Debug)]
pub struct Unsent {
    /// What is said of it, as SMTP would say it.
    pub answers: Box<Answers>,
    /// What it came from.
    pub cause: Cause,
}

/// What a message was not sent for.
#[derive(Debug)]
pub enum Cause {
    /// Its envelope can't be read.
    Envelope,
    /// A part of it can't be put in.
    Part(SkeletonError),
    /// It was not taken.
    Refused(Error),
}

impl Unsent {
    /// It is not there any more.
    pub fn gone() -> Self {
        Self::refused(&Envelope::default(), Error::Gone)
    }

    /// Was it sent before, or is it no longer to be sent? Then nothing new is known of it.
    pub fn is_settled(&self) -> bool {
        use Error::{AlreadySubmitted, Gone, Queued, Withdrawn};
        matches!(self.cause, Cause::Refused(AlreadySubmitted | Gone | Queued | Withdrawn))
    }

    /// May the same be sent later, when this house can do it again?
    pub fn may_pass(&self) -> bool {
        self.answers.refusal().is_some_and(|(.., answer)| answer.may_pass())
    }

    /// The first step that was refused, in one line.
    pub(super) fn told(&self) -> String {
        let refusal = self.answers.refusal();
        let told = refusal.map(|(step, about, answer)| format!("{step} {about}: {answer}"));
        told.unwrap_or_default()
    }

    fn lines(bad: &BadLine) -> Self {
        Self { answers: Box::new(Answers::bad_line(bad)), cause: Cause::Envelope }
    }

    fn unaddressed(error: Unaddressed) -> Self {
        Self { answers: Box::new(Answers::unaddressed(error)), cause: Cause::Envelope }
    }

    fn skeleton(envelope: &Envelope, error: SkeletonError) -> Self {
        let answers = Box::new(Answers::to_data(envelope, Answer::from(&error)));
        Self { answers, cause: Cause::Part(error) }
    }

    fn refused(envelope: &Envelope, error: Error) -> Self {
        Self { answers: Box::new(Answers::of(envelope, Err(&error))), cause: Cause::Refused(error) }
    }
}

impl Submission {
    /// Sends a message from where it lies: for all its recipients, or for none. What becomes of it is
    /// said there.
    pub async fn send_stored(
        &self,
        urls: &Urls,
        stored: Stored,
    ) -> Result<Committed<Sent>, Unsent> {
        let (actor, source) = (stored.actor, stored.source.clone());
        let (word, trace) = (stored.word, stored.trace.clone());
        let sent = self.hand_over_stored(urls, stored).await;
        if let (Err(unsent), Source::Sent { .. }) = (&sent, &source) {
            self.trace_unsent(&actor, word, trace, unsent).await;
            if !unsent.is_settled() {
                self.tell_unsent(actor.account, actor.origin, source, &unsent.answers).await;
            }
        }
        sent
    }

    /// For whoever asks why a message did not leave its mailbox.
    pub(super) async fn trace_unsent(
        &self,
        actor: &Actor,
        word: &str,
        trace: String,
        unsent: &Unsent,
    ) {
        let (account, told) = (actor.account, unsent.told());
        tracing::info!(trace, %account, by = word, told, "a message was not sent from its mailbox");
        let detail = format!("by {word}, {told}");
        self.delivery().trace_refusal(actor.origin, trace, Some(account), detail).await;
    }

    async fn hand_over_stored(
        &self,
        urls: &Urls,
        stored: Stored,
    ) -> Result<Committed<Sent>, Unsent> {
        let Stored { actor, source, said, by_header, word, trace } = stored;
        let draft = source.draft();
        let nobody = Envelope::default();
        let failed = |error: mail::Error| Unsent::refused(&nobody, error.into());
        source.check_flags().map_err(|error| Unsent::refused(&nobody, error))?;
        let mail = self.delivery().mail();
        let spool = mail.spool_of(draft.content, draft.size).await.map_err(failed)?;
        let header = spool.header().map_err(failed)?;
        let envelope = self.envelope(draft, said, by_header, &header)?;
        let message = urls.expand(&actor, Some(&draft.mailbox), spool).await;
        let message = message.map_err(|error| Unsent::skeleton(&envelope, error))?;
        let outgoing = self.outgoing(envelope.clone(), message, word, trace, &actor);
        let copy_to = draft.copy_to.clone().map(|name| CopyTo { by: actor.account, name });
        let along = Along { copy_to, source: Some(source) };
        let author = Author::User(actor.account);
        let sent = self.send(author, actor.origin, Share::All, outgoing, along).await;
        sent.map_err(|error| Unsent::refused(&envelope, error))
    }

    pub(super) fn outgoing(
        &self,
        envelope: Envelope,
        message: Spool,
        word: &str,
        trace: String,
        actor: &Actor,
    ) -> Outgoing {
        let received = self.received("IMAP", &trace, actor.origin.at);
        let (from, size) = (&envelope.reverse_path, message.len());
        tracing::info!(trace, %from, size, by = word, "a message is sent from a mailbox");
        let arrival = format!("by {word}, <{from}>, {size} octets");
        Outgoing { trace, envelope, received, arrival, message }
    }

    /// What was said along, and for the rest what lies with the message or stands in its header.
    fn envelope(
        &self,
        draft: &Draft,
        said: Said,
        by_header: bool,
        header: &[u8],
    ) -> Result<Envelope, Unsent> {
        let most = self.settings().recipients_max;
        let lines = draft.envelope.as_deref().filter(|_| !by_header);
        let whole = said.sender.is_some() && !said.recipients.is_empty();
        let mut envelope = match lines {
            Some(text) if !whole => Lines::parse(text, most)
                .and_then(|lines| lines.envelope(|| self.delivery().postmaster()))
                .inspect_err(|bad| self.count_bad(bad))
                .map_err(|bad| Unsent::lines(&bad))?,
            _ => from_header(&said, header).map_err(Unsent::unaddressed)?,
        };
        if let Some(sender) = said.sender {
            envelope.reverse_path = sender;
        }
        if !said.recipients.is_empty() {
            envelope.recipients = said.recipients.into_iter().map(Recipient::from).collect();
        }
        if let Some(notify) = said.notify {
            envelope.recipients.iter_mut().for_each(|to| to.notify = Some(notify));
        }
        let mut addresses = envelope.recipients.iter().map(|to| &to.address);
        envelope.utf8 |= addresses.any(Address::needs_utf8)
            || envelope.reverse_path.address().is_some_and(Address::needs_utf8);
        if envelope.recipients.len() > most {
            self.delivery().metrics().exceeded(Limit::SubmissionRecipientsMax);
            let answer = Answer::new(452, "4.5.3", "too many recipients");
            let answers = Answers::to_recipient(&envelope, most, answer);
            return Err(Unsent { answers: Box::new(answers), cause: Cause::Envelope });
        }
        Ok(envelope)
    }

    pub(super) fn count_bad(&self, bad: &BadLine) {
        if bad.fault == super::LineFault::TooMany {
            self.delivery().metrics().exceeded(Limit::SubmissionRecipientsMax);
        }
    }
}

/// The envelope of a header, as far as it was not said.
fn from_header(said: &Said, header: &[u8]) -> Result<Envelope, Unaddressed> {
    let reverse_path = match said.sender {
        Some(_) => ReversePath::NULL,
        None => addressed::sender(header)?.into(),
    };
    let recipients =
        if said.recipients.is_empty() { addressed::recipients(header)? } else { Vec::new() };
    Ok(Envelope {
        reverse_path,
        recipients: recipients.into_iter().map(Recipient::from).collect(),
        body: Body::EightBit,
        ..Envelope::default()
    })
}
