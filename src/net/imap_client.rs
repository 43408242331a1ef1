//! A small IMAP client (RFC 9051, RFC 3501): one connection to one server, from connect to LOGOUT.
//!
//! It gets in, and gets octets out: what a URL with an authorisation gives (RFC 4467), or a section of
//! a message. They are handed on as they come, in pieces. Every answer has a bound, every wait an end;
//! a fault ends the connection's use, and whoever sees one drops it.

mod answer;
mod fetch;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use self::answer::{Answer, Condition};
pub use self::fetch::{Body, Form};
use super::{
    ClientTls, Input, InputError, LineEnds, Literal, Memory, Octets, Output, Rate, Stream, open,
};

/// Octets of one answer, literals that nobody asked for among them.
const ANSWER_MAX: usize = 64 << 10;
/// Answers to one command.
const ANSWERS_MAX: usize = 10_000;
/// Octets of a server's words that are passed on.
const WORDS_MAX: usize = 200;

/// Why a server gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImapError {
    /// It can't be reached, has left, or said that it can't now: another time it may.
    #[error("{0}")]
    Away(String),
    /// It takes too long.
    #[error("it takes too long")]
    TooSlow,
    /// There is no secure connection with it.
    #[error("no TLS: {0}")]
    NoTls(String),
    /// It lacks what is needed.
    #[error("it does not offer {0}")]
    Lacks(&'static str),
    /// It does not let us in.
    #[error("the login was refused: {0}")]
    LoginRefused(String),
    /// It says no.
    #[error("refused: {0}")]
    Refused(String),
    /// What it says is no IMAP.
    #[error("it does not speak IMAP")]
    Nonsense,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secured {
    /// TLS from the first octet on.
    Tls,
    /// By STARTTLS before anything else is said.
    StartTls,
    /// Not at all.
    Plain,
}

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For the connection itself.
    pub connect: Duration,
    /// For the answers to a command.
    pub command: Duration,
    /// For octets.
    pub rate: Rate,
}

/// What all connections to a server share.
#[derive(Clone)]
pub struct Ways {
    /// How they are secured.
    pub secured: Secured,
    /// Whose certificates are believed.
    pub tls: ClientTls,
    /// What connections may hold in memory.
    pub memory: Arc<Memory>,
    /// How long the server may take.
    pub times: Times,
}

/// Who logs in.
#[derive(Clone)]
pub struct Login {
    /// As whom one acts there, when that is somebody else (the authorization identity of RFC 4616).
    pub acts_as: Option<String>,
    /// The login name.
    pub name: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

/// A conversation with a server that greeted us.
pub struct ImapClient {
    input: Input,
    output: Output,
    times: Times,
    number: u32,
    greeting: Vec<u8>,
    /// None until they were told.
    capabilities: Option<Vec<String>>,
}

impl ImapClient {
    /// Connects, secures the connection, and hears the greeting.
    pub async fn connect(ways: &Ways, host: &str, address: SocketAddr) -> Result<Self, ImapError> {
        let times = ways.times;
        let connected = Stream::connect(address, times.connect).await;
        let mut stream = connected.map_err(|error| match error.kind() {
            std::io::ErrorKind::TimedOut => ImapError::TooSlow,
            _ => ImapError::Away(format!("cannot connect to {host} [{}]: {error}", address.ip())),
        })?;
        if ways.secured == Secured::Tls {
            stream.connect_tls(&ways.tls, host).await.map_err(|error| no_tls(&error))?;
        }
        let (input, output) = open(stream, LineEnds::Lenient, &ways.memory);
        let (greeting, capabilities) = (Vec::new(), None);
        let mut client = Self { input, output, times, number: 0, greeting, capabilities };
        client.hear_greeting().await?;
        if ways.secured == Secured::StartTls {
            client.start_tls(&ways.tls, host).await?;
        }
        Ok(client)
    }

    async fn hear_greeting(&mut self) -> Result<(), ImapError> {
        self.begin_waiting();
        let greeting = self.answer().await?;
        match Answer::read(&greeting) {
            Answer::Untagged(Some(Condition::Ok)) => {
                self.capabilities = answer::capabilities(&greeting);
                self.greeting = greeting;
                Ok(())
            }
            Answer::Untagged(Some(Condition::Bye)) => Err(ImapError::Away(words(&greeting))),
            _ => Err(ImapError::Nonsense),
        }
    }

    /// STARTTLS (RFC 9051 §6.2.1): what was said before is worth nothing, and forgotten.
    async fn start_tls(&mut self, tls: &ClientTls, host: &str) -> Result<(), ImapError> {
        match self.command("STARTTLS").await {
            Ok(_) => {}
            Err(ImapError::Refused(_)) => return Err(ImapError::Lacks("STARTTLS")),
            Err(error) => return Err(error),
        }
        self.capabilities = None;
        self.greeting = b"* OK ready".to_vec();
        self.input.connect_tls(tls, host).await.map_err(|error| no_tls(&error))
    }

    /// What the server greeted with, without its line end.
    pub fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    /// The two halves of the connection, for whoever goes on by itself.
    pub fn into_halves(self) -> (Input, Output) {
        (self.input, self.output)
    }

    /// Does nobody listen who is not meant to?
    pub fn is_secured(&self) -> bool {
        self.input.is_secured()
    }

    /// Whether the server offers this now, in this state.
    pub async fn offers(&mut self, capability: &str) -> Result<bool, ImapError> {
        if self.capabilities.is_none() {
            let said = self.command("CAPABILITY").await?;
            let told = said.iter().find_map(|line| answer::capabilities(line));
            self.capabilities = Some(told.unwrap_or_default());
        }
        let known = self.capabilities.iter().flatten();
        Ok(known.into_iter().any(|known| known.eq_ignore_ascii_case(capability)))
    }

    /// Logs in by PLAIN (RFC 4616), or by LOGIN where nobody acts for another.
    ///
    /// # Errors
    /// [`ImapError::LoginRefused`], and what can befall any command.
    pub async fn log_in(&mut self, login: &Login) -> Result<(), ImapError> {
        if !self.is_secured() {
            return Err(ImapError::Lacks("a secure connection"));
        }
        let done = if self.offers("AUTH=PLAIN").await? {
            self.authenticate(login).await
        } else if login.acts_as.is_none() && !self.offers("LOGINDISABLED").await? {
            self.log_in_plainly(login).await
        } else {
            return Err(ImapError::Lacks("AUTH=PLAIN"));
        };
        let said = done.map_err(|error| match error {
            ImapError::Refused(words) => ImapError::LoginRefused(words),
            other => other,
        })?;
        self.capabilities = said.iter().find_map(|line| answer::capabilities(line));
        Ok(())
    }

    async fn authenticate(&mut self, login: &Login) -> Result<Vec<Vec<u8>>, ImapError> {
        let acts_as = login.acts_as.as_deref().unwrap_or_default();
        let message = Zeroizing::new(format!("{acts_as}\0{}\0{}", login.name, &*login.password));
        let message = Zeroizing::new(STANDARD.encode(&*message));
        if self.offers("SASL-IR").await? {
            return self.command(&format!("AUTHENTICATE PLAIN {}", &*message)).await;
        }
        let tag = self.send("AUTHENTICATE PLAIN").await?;
        let mut said = Vec::new();
        loop {
            let line = self.answer().await?;
            if line.starts_with(b"+") {
                break;
            }
            if let Some(done) = outcome(&tag, &line) {
                done?;
                return Err(ImapError::Nonsense);
            }
            keep(&mut said, line)?;
        }
        self.put(&message).await?;
        self.rest(&tag, said).await
    }

    async fn log_in_plainly(&mut self, login: &Login) -> Result<Vec<Vec<u8>>, ImapError> {
        let quoted = quoted(&login.name).zip(quoted(&login.password));
        let (name, password) = quoted.ok_or(ImapError::Lacks("AUTH=PLAIN"))?;
        let command = Zeroizing::new(format!("LOGIN {} {}", &*name, &*password));
        self.command(&command).await
    }

    /// Opens a mailbox to read (its name in UTF-8) and gives its UIDVALIDITY.
    pub async fn examine(&mut self, mailbox: &str) -> Result<u32, ImapError> {
        let name = crate::wire::utf7::encode(mailbox);
        let name = quoted(&name).ok_or_else(|| ImapError::Refused("no such mailbox".to_owned()))?;
        let said = self.command(&format!("EXAMINE {}", &*name)).await?;
        Ok(said.iter().find_map(|line| answer::number_of(line, b"UIDVALIDITY")).unwrap_or(0))
    }

    /// Says goodbye and does not wait long for an answer.
    pub async fn log_out(mut self) {
        let short = Duration::from_secs(1);
        let _whatever_it_says = timeout(short, self.command("LOGOUT")).await;
        let _gone = timeout(short, self.output.close()).await;
    }

    /// Sends a command and hears all that is said up to its end.
    async fn command(&mut self, command: &str) -> Result<Vec<Vec<u8>>, ImapError> {
        let tag = self.send(command).await?;
        self.rest(&tag, Vec::new()).await
    }

    /// The answers up to the tagged one, which is the last of them.
    async fn rest(&mut self, tag: &str, mut said: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ImapError> {
        loop {
            let line = self.answer().await?;
            if let Some(done) = outcome(tag, &line) {
                done?;
                said.push(line);
                return Ok(said);
            }
            if Answer::read(&line) == Answer::Untagged(Some(Condition::Bye)) {
                return Err(ImapError::Away(words(&line)));
            }
            keep(&mut said, line)?;
        }
    }

    /// Sends a command; its tag.
    async fn send(&mut self, command: &str) -> Result<String, ImapError> {
        self.number = self.number.wrapping_add(1);
        let tag = format!("m{}", self.number);
        let line = Zeroizing::new(format!("{tag} {command}"));
        self.put(&line).await?;
        Ok(tag)
    }

    async fn put(&mut self, line: &str) -> Result<(), ImapError> {
        self.output.put(line);
        self.output.put("\r\n");
        self.begin_waiting();
        match timeout(self.times.command, self.output.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ImapError::Away(error.to_string())),
            Err(_) => Err(ImapError::TooSlow),
        }
    }

    fn begin_waiting(&mut self) {
        self.input.set_deadline(Some(Instant::now() + self.times.command));
    }

    /// One whole answer, with its literals in their places.
    async fn answer(&mut self) -> Result<Vec<u8>, ImapError> {
        let mut whole = Vec::new();
        while let Some(literal) = self.line(&mut whole).await? {
            self.literal(literal, &mut whole).await?;
        }
        Ok(whole)
    }

    /// The next line of an answer, put behind what there is of it; the literal that it announces.
    async fn line(&mut self, whole: &mut Vec<u8>) -> Result<Option<Literal>, ImapError> {
        let room = ANSWER_MAX.saturating_sub(whole.len());
        match self.input.line(room).await {
            Ok(Some(line)) => whole.extend_from_slice(&line),
            Ok(None) => return Err(ImapError::Away("it left".to_owned())),
            Err(InputError::Line(_)) => return Err(ImapError::Nonsense),
            Err(error) => return Err(lost(&error)),
        }
        // What is said in words announces nothing.
        let in_words = matches!(
            Answer::read(whole),
            Answer::Untagged(Some(_)) | Answer::Tagged(..) | Answer::GoAhead
        );
        Ok(if in_words { None } else { Literal::announced_by(whole) })
    }

    /// A literal that is only part of an answer.
    async fn literal(&mut self, literal: Literal, whole: &mut Vec<u8>) -> Result<(), ImapError> {
        let room = ANSWER_MAX.saturating_sub(whole.len());
        if usize::try_from(literal.size).map_or(true, |size| size > room) {
            return Err(ImapError::Nonsense);
        }
        whole.extend_from_slice(b"\r\n");
        let mut octets = Octets::new(literal.size, self.times.rate);
        self.input.whole(&mut octets, whole).await.map_err(|error| lost(&error))
    }
}

/// What a tagged answer means, if the line is ours.
fn outcome(tag: &str, line: &[u8]) -> Option<Result<(), ImapError>> {
    let Answer::Tagged(found, condition) = Answer::read(line) else { return None };
    if found != tag.as_bytes() {
        return Some(Err(ImapError::Nonsense));
    }
    Some(match condition {
        Condition::Ok => Ok(()),
        _ if answer::code(line).is_some_and(|code| code.eq_ignore_ascii_case(b"UNAVAILABLE")) => {
            Err(ImapError::Away(words(line)))
        }
        _ => Err(ImapError::Refused(words(line))),
    })
}

fn keep(said: &mut Vec<Vec<u8>>, line: Vec<u8>) -> Result<(), ImapError> {
    if said.len() >= ANSWERS_MAX {
        return Err(ImapError::Nonsense);
    }
    // Of what a mailbox tells only the codes matter.
    if matches!(Answer::read(&line), Answer::Untagged(Some(_))) || answer::is_capability(&line) {
        said.push(line);
    }
    Ok(())
}

/// A server's words, fit for a log and for another reader.
fn words(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

fn no_tls(error: &std::io::Error) -> ImapError {
    ImapError::NoTls(error.to_string())
}

fn lost(error: &InputError) -> ImapError {
    match error {
        InputError::TimedOut | InputError::TooSlow => ImapError::TooSlow,
        error => ImapError::Away(error.to_string()),
    }
}

/// `quoted`, if the text can be written so.
fn quoted(text: &str) -> Option<Zeroizing<String>> {
    if !text.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
        return None;
    }
    let mut out = Zeroizing::new(String::with_capacity(text.len().saturating_add(2)));
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Some(out)
}
