//! Sends a message that comes with wishes: an envelope of its author's, a copy to be kept, and whether it
//! shall go to some when not all take it (draft-ietf-lemonade-submit-01 §4.1.4).

use super::{
    addressed::{self, Unaddressed},
    along::{Along, CopyTo, Source},
    answer::Answer,
    answers::Answers,
    lines::{BadLine, LineFault, Lines},
    stored::Cause,
    submit::{Author, Error, Outcome, Submission},
};
use crate::{
    delivery::Share,
    mail::{Actor, Appended, Draft, Mailbox, Spool, urls::Urls},
    metrics::Limit,
    wire::{
        address::{Address, ReversePath},
        envelope::{Body, EnvId, Envelope, Notify, Orcpt, Recipient, Ret},
        parameters::Fault,
    },
};

/// There are too many recipients (RFC 3463 §3.6).
const TOO_MANY: &str = "4.5.3";

/// What an author wants besides that a message is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Who sends it; empty for nobody.
    pub sender: Option<String>,
    /// Who gets it.
    pub recipients: Option<Vec<Wanted>>,
    /// How much of it a report returns.
    pub ret: Option<Ret>,
    /// The author's own name for it.
    pub envid: Option<EnvId>,
    /// All of that in SMTP's words, line by line.
    pub lines: Option<Vec<u8>>,
    /// The mailbox that gets a copy.
    pub copy_to: Option<String>,
    /// Do all get it or nobody, or each that takes it?
    pub share: Share,
}

/// A recipient as its author writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What shall be its address.
    pub address: String,
    /// What the author wants to hear of it.
    pub notify: Option<Notify>,
    /// What it was before.
    pub orcpt: Option<Orcpt>,
}

/// A message with wishes.
pub struct Posting {
    /// Who sends it.
    pub actor: Actor,
    /// How.
    pub wishes: Wishes,
    /// Its octets.
    pub message: Spool,
    /// Where it lies, if it lies in a mailbox.
    pub draft: Option<Draft>,
    /// The mailbox to which URLs in it may be relative.
    pub open: Option<Mailbox>,
    /// By what it was asked for, in a word for the trace.
    pub word: &'static str,
    /// The id that follows it through the house.
    pub trace: String,
}

/// What became of it.
pub struct Posted {
    /// Its envelope, as far as it could be read.
    pub envelope: Envelope,
    /// What is said to each step, as SMTP would say it.
    pub answers: Answers,
    /// The copy that was kept, or why the message was not sent.
    pub outcome: Result<Option<Appended>, Cause>,
}

/// An envelope, and the recipients that are none.
#[derive(Debug, Default)]
struct Addressed {
    envelope: Envelope,
    bad: Vec<Bad>,
}

/// A recipient that is none, with its place among all.
type Bad = (usize, (String, Answer));

impl Submission {
    /// Sends a message as it is wished. Where it lies it is said what became of it.
    pub async fn post(&self, urls: &Urls, posting: Posting) -> Posted {
        let (actor, draft) = (posting.actor, posting.draft.clone());
        let posted = self.post_silently(urls, posting).await;
        if let (Err(_), Some(draft)) = (&posted.outcome, draft) {
            let source = Source::Named(draft);
            self.tell_unsent(actor.account, actor.origin, source, &posted.answers).await;
        }
        posted
    }

    /// Looks whether a message could be sent as it is wished, as far as the wishes alone say that: before
    /// its author has to bring it.
    ///
    /// # Errors
    /// What [`Self::post`] would give.
    pub async fn foresee(&self, actor: &Actor, wishes: &Wishes) -> Result<(), Box<Posted>> {
        let words = wishes.sender.is_some() && wishes.recipients.is_some();
        if !words && wishes.lines.is_none() {
            return Ok(());
        }
        let addressed = self.writable(wishes, None, b"")?;
        let (author, now) = (Author::User(actor.account), actor.origin.at);
        let seen = self.look_ahead(author, now, wishes.share, &addressed.envelope).await;
        seen.map(|_| ()).map_err(|error| {
            self.count(Err(&error));
            Box::new(addressed.failed(error))
        })
    }

    async fn post_silently(&self, urls: &Urls, posting: Posting) -> Posted {
        let Posting { actor, wishes, message, draft, open, word, trace } = posting;
        let header = match message.header() {
            Ok(header) => header,
            Err(error) => return Addressed::default().failed(error.into()),
        };
        let addressed = match self.writable(&wishes, draft.as_ref(), &header) {
            Ok(addressed) => addressed,
            Err(posted) => return *posted,
        };
        let message = match urls.expand(&actor, open.as_ref(), message).await {
            Ok(message) => message,
            Err(error) => {
                let answers = Answers::to_data(&addressed.envelope, Answer::from(&error));
                return addressed.with(answers, Err(Cause::Part(error)));
            }
        };
        let outgoing = self.outgoing(addressed.envelope.clone(), message, word, trace, &actor);
        let copy_to = wishes.copy_to.or_else(|| draft.as_ref()?.copy_to.clone());
        let copy_to = copy_to.map(|name| CopyTo { by: actor.account, name });
        let along = Along { copy_to, source: draft.map(Source::Named) };
        let author = Author::User(actor.account);
        match self.send(author, actor.origin, wishes.share, outgoing, along).await {
            Ok(sent) => {
                let sent = sent.into_inner();
                addressed.posted(Ok(&sent.outcomes), Ok(sent.copy))
            }
            Err(error) => addressed.failed(error),
        }
    }

    /// The envelope, if it is one by which all or some can be written to.
    fn writable(
        &self,
        wishes: &Wishes,
        draft: Option<&Draft>,
        header: &[u8],
    ) -> Result<Addressed, Box<Posted>> {
        let addressed = self.address(wishes, draft, header).map_err(|answers| {
            let (answers, outcome) = (*answers, Err(Cause::Envelope));
            Box::new(Posted { envelope: Envelope::default(), answers, outcome })
        })?;
        let nobody_left = addressed.envelope.recipients.is_empty();
        if !addressed.bad.is_empty() && (wishes.share != Share::Each || nobody_left) {
            return Err(Box::new(addressed.refused(Cause::Envelope)));
        }
        Ok(addressed)
    }

    /// What the author says, else what was left with the message, else what its header says.
    fn address(
        &self,
        wishes: &Wishes,
        draft: Option<&Draft>,
        header: &[u8],
    ) -> Result<Addressed, Box<Answers>> {
        let most = self.settings().recipients_max;
        let left = || draft.and_then(|draft| draft.envelope.as_deref());
        let lines = wishes.lines.as_deref().or_else(left);
        let (mut envelope, mut bad) = match lines {
            Some(text) => {
                let lines = Lines::parse_any(text, most);
                let lines = lines.map_err(|bad| Box::new(Answers::bad_line(&bad)))?;
                let (envelope, bad) = lines.envelope_of_good(|| self.delivery().postmaster());
                let answered = |(at, bad): (usize, BadLine)| {
                    let answer = Answer::from(&bad);
                    (at, (bad.argument, answer))
                };
                (envelope, bad.into_iter().map(answered).collect())
            }
            None => (Envelope { body: Body::EightBit, ..Envelope::default() }, Vec::new()),
        };
        match &wishes.sender {
            Some(sender) => envelope.reverse_path = reverse_path(sender)?,
            None if lines.is_none() => {
                let sender = addressed::sender(header).map_err(unaddressed)?;
                envelope.reverse_path = sender.into();
            }
            None => {}
        }
        match &wishes.recipients {
            Some(wanted) => (envelope.recipients, bad) = recipients(wanted, most),
            None if lines.is_none() => {
                let found = addressed::recipients(header).map_err(unaddressed)?;
                let beyond = found.iter().enumerate().skip(most);
                bad = beyond.map(|(at, to)| too_many(at, to)).collect();
                envelope.recipients = found.into_iter().take(most).map(Into::into).collect();
            }
            None => {}
        }
        if bad.iter().any(|(_, (_, answer))| answer.enhanced == TOO_MANY) {
            self.delivery().metrics().exceeded(Limit::SubmissionRecipientsMax);
        }
        envelope.ret = wishes.ret.or(envelope.ret);
        envelope.envid = wishes.envid.clone().or(envelope.envid);
        let mut all = envelope.recipients.iter().map(|to| &to.address);
        envelope.utf8 |= all.any(Address::needs_utf8)
            || envelope.reverse_path.address().is_some_and(Address::needs_utf8);
        Ok(Addressed { envelope, bad })
    }
}

impl Addressed {
    fn failed(self, error: Error) -> Posted {
        let answers = Err(&error);
        let answers = Answers::of(&self.envelope, answers);
        self.with(answers, Err(Cause::Refused(error)))
    }

    /// Nobody gets it, since some can't be written to.
    fn refused(self, cause: Cause) -> Posted {
        let nobody_else = Error::Refused(Vec::new());
        let answers = Answers::of(&self.envelope, Err(&nobody_else));
        self.with(answers, Err(cause))
    }

    fn posted(
        self,
        taken: Result<&[Outcome], &Error>,
        outcome: Result<Option<Appended>, Cause>,
    ) -> Posted {
        let answers = Answers::of(&self.envelope, taken);
        self.with(answers, outcome)
    }

    /// With the answers to recipients that are none in their places.
    fn with(self, mut answers: Answers, outcome: Result<Option<Appended>, Cause>) -> Posted {
        for (at, bad) in self.bad {
            answers.recipients.insert(at.min(answers.recipients.len()), bad);
        }
        Posted { envelope: self.envelope, answers, outcome }
    }
}

fn unaddressed(error: Unaddressed) -> Box<Answers> {
    Box::new(Answers::unaddressed(error))
}

/// An address, or nobody.
fn reverse_path(text: &str) -> Result<ReversePath, Box<Answers>> {
    ReversePath::parse(text).map_err(|error| {
        let answers = Answers::of(&Envelope::default(), Err(&Error::NoAuthor));
        let sender = (text.to_owned(), Answer::from(&Fault::Sender(error)));
        Box::new(Answers { sender, ..answers })
    })
}

/// Those that can be written to, and those that can't be read or are too many.
fn recipients(wanted: &[Wanted], most: usize) -> (Vec<Recipient>, Vec<Bad>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (at, Wanted { address: text, notify, orcpt }) in wanted.iter().enumerate() {
        match Address::parse(text) {
            Ok(_) if good.len() >= most => bad.push(too_many(at, text)),
            Ok(address) => {
                good.push(Recipient { address, notify: *notify, orcpt: orcpt.clone() });
            }
            Err(error) => {
                bad.push((at, (text.clone(), Answer::from(&Fault::Recipient(error)))));
            }
        }
    }
    (good, bad)
}

fn too_many(at: usize, to: &impl ToString) -> Bad {
    (at, (to.to_string(), Answer::new(452, TOO_MANY, LineFault::TooMany.to_string())))
}
