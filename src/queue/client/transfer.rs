//! One message over a connection: MAIL, RCPT, and the data by DATA or BDAT.

use std::fmt::Write as _;

use tokio::time::timeout;

use super::{Client, Standing, reply::Reply, wire::Dots};
use crate::{
    mail::downgrade::Hop,
    queue::{
        answer::{Answer, Class, Status},
        source::{Letter, Source},
    },
    wire::{
        address::{Address, ReversePath},
        envelope::{EnvId, Envelope, Orcpt, Recipient, Ret, xtext_encode},
    },
};

/// Recipients whose commands are sent before their replies are read: these replies must fit into the
/// buffers of the connection, or both sides would wait to write (RFC 2920 §3.1).
const PIPELINED: usize = 50;
/// Octets of a BDAT chunk.
const CHUNK: usize = 256 << 10;

/// A message and what is asked along with it.
pub(in crate::queue) struct Mailing<'a> {
    pub(in crate::queue) envelope: &'a Envelope,
    pub(in crate::queue) letter: &'a Letter,
    pub(in crate::queue) submitter: Submitter<'a>,
}

/// Who is said to have submitted a message (RFC 4954 §5).
#[derive(Clone, Copy)]
pub(in crate::queue) enum Submitter<'a> {
    /// Whoever logs in, which needs no words.
    LoggedIn,
    /// This user.
    Known(&'a Address),
    Unknown,
}

/// Why nobody has a message.
pub(in crate::queue) enum Unsent {
    /// The server could not be used.
    Server(Answer),
    /// It takes no such message, or not from this sender.
    Message(Answer),
    /// It refused these recipients.
    Recipients(Vec<(usize, Answer)>),
}

/// How the message goes to this server.
struct Way {
    /// The parameters of MAIL.
    parameters: String,
    /// What it must be made fit for; None sends it as it is.
    hop: Option<Hop>,
    /// By BDAT.
    chunks: bool,
    utf8: bool,
}

impl Client {
    /// Sends a message; one answer for each recipient, in order.
    ///
    /// # Errors
    /// The server could not be used; nobody has the message, and another server may be tried.
    pub(in crate::queue) async fn send(
        &mut self,
        mailing: &Mailing<'_>,
        recipients: &[&Recipient],
    ) -> Result<Vec<Answer>, Answer> {
        let way = match self.way(mailing) {
            Ok(way) => way,
            Err(answer) => return Ok(vec![answer; recipients.len()]),
        };
        let source = mailing.letter.source(way.hop);
        self.send_source(&mailing.envelope.reverse_path, &way, recipients, source).await
    }

    /// Sends a message to all its recipients, or to nobody. It is the last one over this connection:
    /// what has come to nothing ends with that, and no answer has to wait for another.
    pub(in crate::queue) async fn send_to_all(
        &mut self,
        mailing: &Mailing<'_>,
        recipients: &[&Recipient],
    ) -> Result<(), Unsent> {
        let way = self.way(mailing).map_err(Unsent::Message)?;
        let unspeakable = recipients.iter().map(|to| self.unspeakable(to, &way));
        let mut refused: Vec<_> = (0..).zip(unspeakable).filter_map(with_place).collect();
        if refused.is_empty() {
            let reverse_path = &mailing.envelope.reverse_path;
            let mail = mail_from(reverse_path, &way);
            let all: Vec<usize> = (0..recipients.len()).collect();
            let asked = self.open_transaction(&mail, &way, recipients, &all).await;
            let answers = asked.map_err(Unsent::Server)?.map_err(Unsent::Message)?;
            let failed = |answer: Answer| Some(answer).filter(|a| a.class() != Class::Success);
            refused = (0..).zip(answers.into_iter().map(failed)).filter_map(with_place).collect();
        }
        if !refused.is_empty() {
            return Err(Unsent::Recipients(refused));
        }
        let source = mailing.letter.source(way.hop);
        let fate = if way.chunks { self.chunks(source).await } else { self.data(source).await };
        let fate = fate.map_err(Unsent::Server)?;
        if fate.class() == Class::Success { Ok(()) } else { Err(Unsent::Message(fate)) }
    }

    async fn send_source(
        &mut self,
        reverse_path: &ReversePath,
        way: &Way,
        recipients: &[&Recipient],
        source: Source,
    ) -> Result<Vec<Answer>, Answer> {
        let mail = mail_from(reverse_path, way);
        let mut answers: Vec<Option<Answer>> =
            recipients.iter().map(|to| self.unspeakable(to, way)).collect();
        let asked: Vec<usize> =
            (0..).zip(&answers).filter(|(_, answer)| answer.is_none()).map(|(at, _)| at).collect();
        if !asked.is_empty() {
            let replies = self.open_transaction(&mail, way, recipients, &asked).await?;
            let replies = replies.unwrap_or_else(|mail| vec![mail; asked.len()]);
            for (at, answer) in asked.iter().zip(replies) {
                put(&mut answers, *at, answer);
            }
        }
        let mut accepted = Vec::new();
        for at in asked {
            let taken = answers.get(at).and_then(Option::as_ref).map(Answer::class);
            if taken == Some(Class::Success) {
                accepted.push(at);
            }
        }
        if accepted.is_empty() {
            self.reset().await;
        } else {
            let fate =
                if way.chunks { self.chunks(source).await? } else { self.data(source).await? };
            if self.standing == Standing::Unended {
                self.reset().await;
            }
            for at in accepted {
                put(&mut answers, at, fate.clone());
            }
        }
        let missing = || Answer::own(Status(4, 3, 0), "no answer");
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect())
    }

    /// Finds out how this server can be given the message.
    fn way(&self, mailing: &Mailing<'_>) -> Result<Way, Answer> {
        let (letter, envelope, offers) = (mailing.letter, mailing.envelope, &self.offers);
        if offers.size.is_some_and(|limit| limit > 0 && letter.size > limit) {
            let text = format!("{} takes at most {} octets", self.host, offers.size.unwrap_or(0));
            return Err(Answer::own(Status(5, 3, 4), text));
        }
        let sender = envelope.reverse_path.address();
        // A header that nobody declared is put into seven bits for everybody: whoever gets it from
        // there has not agreed to anything either.
        let declared = envelope.utf8 || sender.is_some_and(Address::needs_utf8);
        if sender.is_some_and(Address::needs_utf8) && !offers.utf8 {
            return Err(self.lacks_utf8());
        }
        let raw_header = letter.eight_bit_header && declared && offers.utf8 && offers.eight_bit;
        let header_fits = raw_header || !letter.eight_bit_header;
        let as_it_is = letter.binary && offers.binary && offers.chunking && header_fits;
        let hop = match (as_it_is, offers.eight_bit) {
            (true, _) => None,
            (false, true) if raw_header => Some(Hop::International),
            (false, true) => Some(Hop::EightBit),
            (false, false) => Some(Hop::SevenBit),
        };
        let mut parameters = String::new();
        if offers.size.is_some() {
            let grows = hop.is_some_and(|hop| letter.changes_for(hop));
            let size = if grows { letter.size.saturating_mul(11) / 8 } else { letter.size };
            let _ = write!(parameters, " SIZE={size}");
        }
        if as_it_is {
            parameters.push_str(" BODY=BINARYMIME");
        } else if offers.eight_bit && (letter.eight_bit || raw_header) {
            parameters.push_str(" BODY=8BITMIME");
        }
        if offers.dsn {
            push(&mut parameters, "RET", envelope.ret.map(Ret::as_str));
            push(&mut parameters, "ENVID", envelope.envid.as_ref().map(EnvId::encode));
        }
        if self.logged_in && offers.auth {
            // Whose login this is says nothing of who wrote the mail (RFC 4954 §5).
            let known = match mailing.submitter {
                Submitter::LoggedIn => None,
                Submitter::Known(address) if !address.needs_utf8() => {
                    Some(xtext_encode(&address.to_string()))
                }
                Submitter::Known(_) | Submitter::Unknown => Some("<>".into()),
            };
            push(&mut parameters, "AUTH", known);
        }
        // The server must know it for recipients too, who may need it when the sender does not.
        let utf8 = offers.utf8 && declared;
        if utf8 {
            parameters.push_str(" SMTPUTF8");
        }
        Ok(Way { parameters, hop, chunks: as_it_is, utf8 })
    }

    /// Why a recipient cannot even be named to this server.
    fn unspeakable(&self, recipient: &Recipient, way: &Way) -> Option<Answer> {
        (recipient.address.needs_utf8() && !way.utf8).then(|| self.lacks_utf8())
    }

    fn lacks_utf8(&self) -> Answer {
        let text = format!("{} does not offer SMTPUTF8", self.host);
        Answer::own(Status(5, 6, 7), text)
    }

    /// MAIL and RCPT; one answer for each recipient that was asked for, or the refusal of the sender.
    async fn open_transaction(
        &mut self,
        mail: &str,
        way: &Way,
        recipients: &[&Recipient],
        asked: &[usize],
    ) -> Result<Result<Vec<Answer>, Answer>, Answer> {
        let mut commands = vec![mail.to_owned()];
        for recipient in asked.iter().filter_map(|at| recipients.get(*at)) {
            commands.push(self.rcpt(recipient, way));
        }
        let batch = if self.offers.pipelining { PIPELINED } else { 1 };
        let mut replies = Vec::with_capacity(commands.len());
        for commands in commands.chunks(batch) {
            for command in commands {
                self.output.put(command);
                self.output.put("\r\n");
            }
            self.flush().await?;
            for _ in commands {
                replies.push(self.reply(self.times.command).await?);
            }
            let refused = replies.first().filter(|mail| !mail.is_positive());
            if let Some(refused) = refused {
                return Ok(Err(refused.answer(&self.host).before_data()));
            }
        }
        let answer = |reply: &Reply| reply.answer(&self.host).before_data();
        Ok(Ok(replies.iter().skip(1).map(answer).collect()))
    }

    fn rcpt(&self, recipient: &Recipient, way: &Way) -> String {
        let mut command = format!("RCPT TO:<{}>", written(Some(&recipient.address), way.utf8));
        if self.offers.dsn {
            push(&mut command, "NOTIFY", recipient.notify);
            push(&mut command, "ORCPT", recipient.orcpt.as_ref().map(Orcpt::encode));
        }
        command
    }

    /// The data by DATA (RFC 5321 §4.1.1.4); the answer holds for all accepted recipients.
    async fn data(&mut self, mut source: Source) -> Result<Answer, Answer> {
        self.output.put("DATA\r\n");
        self.flush().await?;
        let go_ahead = self.reply(self.times.data_begin).await?;
        if go_ahead.code != 354 {
            self.standing = Standing::Unended;
            return Ok(go_ahead.answer(&self.host));
        }
        let mut dots = Dots::new();
        while let Some(octets) = source.next().await {
            let octets = octets.map_err(|error| self.abandon(&error))?;
            dots.feed(&octets, self.output.buffer());
            if let Err(answer) = self.room().await {
                return self.last_words(answer).await;
            }
        }
        dots.finish(self.output.buffer());
        self.end_of_data().await
    }

    /// The data by BDAT (RFC 3030 §2), octet for octet.
    async fn chunks(&mut self, mut source: Source) -> Result<Answer, Answer> {
        let mut chunk = Vec::new();
        while let Some(octets) = source.next().await {
            chunk.extend(octets.map_err(|error| self.abandon(&error))?);
            if chunk.len() >= CHUNK {
                self.output.put(format!("BDAT {}\r\n", chunk.len()));
                self.output.put(std::mem::take(&mut chunk));
                if let Err(answer) = self.drained().await {
                    return self.last_words(answer).await;
                }
                let reply = self.reply(self.times.data_block).await?;
                if !reply.is_positive() {
                    self.standing = Standing::Unended;
                    return Ok(reply.answer(&self.host));
                }
            }
        }
        self.output.put(format!("BDAT {} LAST\r\n", chunk.len()));
        self.output.put(chunk);
        self.end_of_data().await
    }

    /// Sends the end and waits for the word that decides.
    async fn end_of_data(&mut self) -> Result<Answer, Answer> {
        self.open_end.begin();
        if let Err(answer) = self.drained().await {
            let said = self.last_words(answer).await;
            if said.is_ok() {
                self.open_end.end();
            }
            return said;
        }
        match self.reply(self.times.data_end).await {
            Ok(reply) => {
                self.open_end.end();
                Ok(reply.answer(&self.host))
            }
            // The server may have it: no other server is tried now (RFC 1047).
            Err(answer) => Ok(answer),
        }
    }

    /// Lets data flow; a server that takes nothing for so long is given up.
    async fn room(&mut self) -> Result<(), Answer> {
        match timeout(self.times.data_block, self.output.room()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.lost(&"it does not read")),
        }
    }

    async fn drained(&mut self) -> Result<(), Answer> {
        // At most what `room` leaves waits, so that this takes no longer than a few blocks.
        match timeout(self.times.data_block, self.output.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.lost(&"it does not read")),
        }
    }

    /// A server that closes amid the data may have said why.
    async fn last_words(&mut self, lost: Answer) -> Result<Answer, Answer> {
        let short = std::time::Duration::from_secs(5).min(self.times.command);
        match self.reply(short).await {
            Ok(reply) if reply.code >= 400 => Ok(reply.answer(&self.host)),
            _ => Err(lost),
        }
    }

    /// Our own message can't be read: the data must not look complete.
    fn abandon(&mut self, error: &dyn std::fmt::Display) -> Answer {
        self.standing = Standing::Lost;
        Answer::own(Status(4, 3, 0), format!("cannot read the message: {error}"))
    }

    /// Ends a transaction that came to nothing.
    async fn reset(&mut self) {
        let reply: Result<Reply, _> = self.command("RSET").await;
        let done = reply.is_ok_and(|reply| reply.is_positive());
        self.standing = if done { Standing::Ready } else { Standing::Lost };
    }
}

fn mail_from(reverse_path: &ReversePath, way: &Way) -> String {
    format!("MAIL FROM:<{}>{}", written(reverse_path.address(), way.utf8), way.parameters)
}

fn with_place((at, answer): (usize, Option<Answer>)) -> Option<(usize, Answer)> {
    answer.map(|answer| (at, answer))
}

fn put(answers: &mut [Option<Answer>], at: usize, answer: Answer) {
    if let Some(slot) = answers.get_mut(at) {
        *slot = Some(answer);
    }
}

fn push(command: &mut String, keyword: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let _ = write!(command, " {keyword}={value}");
    }
}

/// An address for the wire: domains in A-labels for a server without SMTPUTF8.
fn written(address: Option<&Address>, utf8: bool) -> String {
    match address {
        Some(address) if utf8 => address.to_string(),
        Some(address) => address.with_ascii_domain().to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
