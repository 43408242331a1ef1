//! What SMTP would have answered to each step of a submission: for clients that are told so by another
//! protocol, and for the line that stays with the message for each recipient.

use std::fmt;

use super::{
    addressed::Unaddressed,
    answer::Answer,
    lines::BadLine,
    submit::{Error, Outcome},
};
use crate::wire::envelope::Envelope;

/// A command of SMTP that gives a message away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Who sends it.
    Mail,
    /// Who gets it.
    Rcpt,
    /// What it is.
    Data,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
        })
    }
}

/// The answers to all steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The sender, and what is said of it.
    pub sender: (String, Answer),
    /// Each recipient in order, and what is said of it.
    pub recipients: Vec<(String, Answer)>,
    /// What is said of the message.
    pub data: Answer,
}

impl Answers {
    /// To a message that was taken, or why it was not.
    pub fn of(envelope: &Envelope, taken: Result<&[Outcome], &Error>) -> Self {
        match taken {
            Ok(outcomes) => Self::taken(envelope, outcomes),
            Err(error @ (Error::NotYours(_) | Error::NoAuthor)) => {
                let answers = Self::all(envelope, &sender_first(), sender_first());
                let sender = (answers.sender.0, Answer::from(error));
                Self { sender, ..answers }
            }
            Err(Error::Refused(refused)) => {
                let mut refused = refused.iter().peekable();
                let recipients = envelope.recipients.iter().map(|recipient| {
                    let refusal = refused.next_if(|(which, _)| which == recipient);
                    let answer = refusal.map_or_else(willing, |(_, refusal)| (*refusal).into());
                    (recipient.address.with_ascii_domain().to_string(), answer)
                });
                let recipients = recipients.collect();
                let data = Answer::new(554, "5.5.1", "not sent, since a recipient was refused");
                Self { recipients, ..Self::all(envelope, &willing(), data) }
            }
            Err(error @ Error::NoRecipients) => Self::no_recipient(envelope, Answer::from(error)),
            Err(error) => Self::all(envelope, &willing(), Answer::from(error)),
        }
    }

    fn taken(envelope: &Envelope, outcomes: &[Outcome]) -> Self {
        let recipients = envelope.recipients.iter().zip(outcomes).map(|(recipient, outcome)| {
            let answer = match outcome {
                Ok(taken) => Answer::from(taken),
                Err(refusal) => Answer::from(*refusal),
            };
            (recipient.address.with_ascii_domain().to_string(), answer)
        });
        let recipients = recipients.collect();
        let data = if outcomes.iter().any(Result::is_ok) {
            Answer::new(250, "2.0.0", "taken")
        } else {
            no_recipients()
        };
        Self { recipients, ..Self::all(envelope, &willing(), data) }
    }

    /// To a message that is refused whoever gets it.
    pub fn to_data(envelope: &Envelope, answer: Answer) -> Self {
        Self::all(envelope, &willing(), answer)
    }

    /// To a message that has a recipient too many.
    pub fn to_recipient(envelope: &Envelope, number: usize, answer: Answer) -> Self {
        let mut answers = Self::all(envelope, &willing(), no_recipients());
        if let Some((_, refused)) = answers.recipients.get_mut(number) {
            *refused = answer;
        }
        answers
    }

    /// To a message that names nobody as its sender or recipient.
    pub fn unaddressed(error: Unaddressed) -> Self {
        let nobody = Envelope::default();
        match error {
            Unaddressed::NoSender => {
                let answers = Self::all(&nobody, &sender_first(), sender_first());
                let sender = (String::new(), Answer::new(550, "5.6.0", error.to_string()));
                Self { sender, ..answers }
            }
            Unaddressed::BadRecipient => {
                Self::no_recipient(&nobody, Answer::new(501, "5.1.3", error.to_string()))
            }
            Unaddressed::NoRecipients => {
                Self::no_recipient(&nobody, Answer::from(&Error::NoRecipients))
            }
        }
    }

    /// To an envelope with a line that can't be read.
    pub fn bad_line(bad: &BadLine) -> Self {
        let answer = Answer::from(bad);
        let nobody = Envelope::default();
        match bad.step {
            Step::Mail => {
                let answers = Self::all(&nobody, &sender_first(), sender_first());
                Self { sender: (bad.argument.clone(), answer), ..answers }
            }
            Step::Rcpt | Step::Data => {
                let recipients = vec![(bad.argument.clone(), answer)];
                Self { recipients, ..Self::all(&nobody, &willing(), no_recipients()) }
            }
        }
    }

    fn no_recipient(envelope: &Envelope, answer: Answer) -> Self {
        let recipients = vec![(String::new(), answer)];
        Self { recipients, ..Self::all(envelope, &willing(), no_recipients()) }
    }

    fn all(envelope: &Envelope, each: &Answer, data: Answer) -> Self {
        let recipients = envelope.recipients.iter();
        Self {
            sender: (envelope.reverse_path.to_string(), Answer::new(250, "2.1.0", "sender taken")),
            recipients: recipients
                .map(|to| (to.address.with_ascii_domain().to_string(), each.clone()))
                .collect(),
            data,
        }
    }

    /// The first step that was refused, what it was about, and what was said of it.
    pub fn refusal(&self) -> Option<(Step, &str, &Answer)> {
        let sender = std::iter::once((Step::Mail, &self.sender.0, &self.sender.1));
        let recipients = self.recipients.iter().map(|(to, answer)| (Step::Rcpt, to, answer));
        let refused = sender.chain(recipients).find(|(.., answer)| answer.is_refusal());
        match refused {
            Some((step, about, answer)) => Some((step, about, answer)),
            None => self.data.is_refusal().then_some((Step::Data, "", &self.data)),
        }
    }

    /// Each recipient, and what became of the message for it.
    pub fn fates(&self) -> impl Iterator<Item = (&str, &Answer)> {
        self.recipients.iter().map(|(to, answer)| {
            let own = self.for_all().or_else(|| answer.is_refusal().then_some(answer));
            let told =
                own.unwrap_or_else(|| if self.data.is_refusal() { &self.data } else { answer });
            (to.as_str(), told)
        })
    }

    /// What is said to everybody, since the sender is refused.
    fn for_all(&self) -> Option<&Answer> {
        Some(&self.sender.1).filter(|answer| answer.is_refusal())
    }

    /// One line for each recipient: its address, and what became of the message for it; at most so many
    /// octets, in whole lines. Where nobody is known as a recipient the address is `<>`.
    pub fn status(&self, most: usize) -> String {
        let line =
            |to: &str, told: &Answer| format!("{} {told}", if to.is_empty() { "<>" } else { to });
        let mut lines: Vec<_> = self.fates().map(|(to, told)| line(to, told)).collect();
        if lines.is_empty() {
            lines.push(line("", self.for_all().unwrap_or(&self.data)));
        }
        let mut text = String::new();
        for line in lines {
            let end = if text.is_empty() { "" } else { "\r\n" };
            if text.len().saturating_add(end.len()).saturating_add(line.len()) > most {
                break;
            }
            text.push_str(end);
            text.push_str(&line);
        }
        text
    }
}

fn willing() -> Answer {
    Answer::new(250, "2.1.5", "recipient taken")
}

fn sender_first() -> Answer {
    Answer::new(503, "5.5.1", "MAIL first")
}

fn no_recipients() -> Answer {
    Answer::new(554, "5.5.1", "no valid recipients")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::Refusal,
        ids::QueueId,
        metrics::Limit,
        submission::Taken,
        wire::address::{Address, ReversePath},
    };

    fn envelope() -> Envelope {
        let address = |text: &str| Address::parse(text).unwrap();
        Envelope {
            reverse_path: ReversePath::from(address("a@x")),
            recipients: ["b@x", "c@x", "\"d e\"@x"].map(|to| address(to).into()).to_vec(),
            ..Envelope::default()
        }
    }

    fn refusal(answers: &Answers) -> String {
        let told =
            answers.refusal().map(|(step, about, answer)| format!("{step}|{about}|{answer}"));
        told.unwrap_or_default()
    }

    #[test]
    fn what_is_taken_is_told_for_each() {
        let outcomes = [Ok(Taken::Delivered), Ok(Taken::Queued(QueueId(7))), Ok(Taken::Delivered)];
        let answers = Answers::of(&envelope(), Ok(&outcomes));
        assert_eq!(refusal(&answers), "");
        let status =
            "b@x 250 2.1.5 delivered\r\nc@x 250 2.1.5 queued as 7\r\n\"d e\"@x 250 2.1.5 delivered";
        assert_eq!(answers.status(1_000), status);
        assert_eq!(answers.status(30), "b@x 250 2.1.5 delivered");
        let each = [Ok(Taken::Delivered), Err(Refusal::Disabled), Ok(Taken::Delivered)];
        let answers = Answers::of(&envelope(), Ok(&each));
        assert!(!answers.data.is_refusal());
        assert!(answers.status(1_000).contains("\r\nc@x 550 5.2.1 mailbox disabled\r\n"));
    }

    #[test]
    fn the_first_step_that_is_refused_is_told() {
        let refused = envelope().recipients.split_off(1).into_iter();
        let refused = refused.map(|to| (to, Refusal::UnknownUser)).collect();
        let cases = [
            (
                Error::Refused(refused),
                "RCPT TO|c@x|550 5.1.1 no such user here",
                "b@x 554 5.5.1 not sent, since a recipient was refused",
            ),
            (
                Error::NotYours(Box::new(Address::parse("a@x").unwrap())),
                "MAIL FROM|a@x|550 5.7.1 a@x is not an address of yours",
                "b@x 550 5.7.1 a@x is not an address of yours",
            ),
            (
                Error::QueueFull(Limit::QueueMessagesMax),
                "DATA||452 4.3.1 too many messages in the queue",
                "b@x 452 4.3.1 too many messages in the queue",
            ),
            (Error::NoRecipients, "RCPT TO||554 5.5.1 no recipients", "<> 554 5.5.1 no recipients"),
        ];
        for (error, first, status) in cases {
            let answers = Answers::of(&envelope(), Err(&error));
            assert_eq!(refusal(&answers), first);
            assert_eq!(answers.status(1_000).lines().next(), Some(status), "{first}");
        }
    }

    #[test]
    fn a_message_without_an_envelope_has_its_answers_too() {
        for (error, first) in [
            (Unaddressed::NoSender, "MAIL FROM||550 5.6.0 "),
            (Unaddressed::BadRecipient, "RCPT TO||501 5.1.3 "),
            (Unaddressed::NoRecipients, "RCPT TO||554 5.5.1 "),
        ] {
            let answers = Answers::unaddressed(error);
            assert!(refusal(&answers).starts_with(first), "{}", refusal(&answers));
            assert!(answers.status(1_000).starts_with("<> 5"));
        }
    }
}
