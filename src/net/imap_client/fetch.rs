//! Octets that were asked for, handed on as they come.

use super::{
    ImapClient, ImapError,
    answer::{Answer, Asked, Condition, Value},
    lost, outcome, quoted, words,
};
use crate::{
    net::Octets,
    wire::url::{UrlMessage, UrlPartial},
};

/// In what form octets are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the message has them.
    Stored,
    /// Without their transfer encoding (RFC 3516, RFC 5524).
    Decoded,
}

/// Octets on their way.
pub struct Body {
    tag: String,
    source: Source,
    /// How many there are.
    pub size: u64,
}

enum Source {
    Text(Vec<u8>),
    Octets(Octets),
    End,
}

impl ImapClient {
    /// URLFETCH (RFC 4467 §7): what a URL gives by its authorisation; None when it gives nothing.
    pub async fn url_fetch(&mut self, url: &str, form: Form) -> Result<Option<Body>, ImapError> {
        let Some(url) = quoted(url) else { return Ok(None) };
        let command = match form {
            Form::Stored => format!("URLFETCH {}", &*url),
            Form::Decoded if self.offers("URLAUTH=BINARY").await? => {
                format!("URLFETCH ({} BINARY)", &*url)
            }
            Form::Decoded => return Err(ImapError::Lacks("URLAUTH=BINARY")),
        };
        self.ask(&command, Asked::Url).await
    }

    /// What of a message a URL names, for whoever is logged in; None when there is no such message or
    /// part.
    pub async fn fetch(
        &mut self,
        message: &UrlMessage,
        form: Form,
    ) -> Result<Option<Body>, ImapError> {
        let (Some(mailbox), Some(section)) = (&message.mailbox, section(message)) else {
            return Ok(None);
        };
        if form == Form::Decoded && !self.offers("BINARY").await? {
            return Err(ImapError::Lacks("BINARY"));
        }
        let valid = match self.examine(&mailbox.name).await {
            Ok(valid) => valid,
            Err(ImapError::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if mailbox.uid_validity.is_some_and(|named| named != valid) {
            return Ok(None);
        }
        let item = if form == Form::Decoded { "BINARY" } else { "BODY" };
        let window = message.partial.map(window).unwrap_or_default();
        let uid = message.uid;
        self.ask(&format!("UID FETCH {uid} {item}.PEEK[{section}]{window}"), Asked::Section).await
    }

    async fn ask(&mut self, command: &str, asked: Asked) -> Result<Option<Body>, ImapError> {
        let tag = self.send(command).await?;
        for _ in 0..super::ANSWERS_MAX {
            let mut answer = Vec::new();
            loop {
                let literal = self.line(&mut answer).await?;
                if let Some(done) = outcome(&tag, &answer) {
                    return done.map(|()| None);
                }
                let source = match (Value::read(&answer, asked), literal) {
                    (Value::Literal, Some(literal)) => {
                        Some(Source::Octets(Octets::new(literal.size, self.times.rate)))
                    }
                    (Value::Text(text), None) => Some(Source::Text(text)),
                    (Value::Nil, None) => {
                        self.rest(&tag, Vec::new()).await?;
                        return Ok(None);
                    }
                    _ => None,
                };
                match (source, literal) {
                    (Some(source), _) => {
                        // Octets have a pace, and no other end.
                        self.input.set_deadline(None);
                        let size = source.size();
                        return Ok(Some(Body { tag, source, size }));
                    }
                    (None, Some(literal)) => self.literal(literal, &mut answer).await?,
                    (None, None) => break,
                }
            }
            if Answer::read(&answer) == Answer::Untagged(Some(Condition::Bye)) {
                return Err(ImapError::Away(words(&answer)));
            }
        }
        Err(ImapError::Nonsense)
    }

    /// The next piece of what was asked for, at most 64 KiB; None when all has come, and the server has
    /// said so.
    pub async fn piece(&mut self, body: &mut Body) -> Result<Option<Vec<u8>>, ImapError> {
        match &mut body.source {
            Source::Text(text) => {
                let text = std::mem::take(text);
                self.end(body, false).await?;
                Ok(Some(text).filter(|text| !text.is_empty()))
            }
            Source::Octets(octets) => match self.input.piece(octets).await {
                Ok(Some(piece)) => Ok(Some(piece)),
                Ok(None) => self.end(body, true).await.map(|()| None),
                Err(error) => Err(lost(&error)),
            },
            Source::End => Ok(None),
        }
    }

    /// Hears the rest of the answer, and of all answers to this command.
    async fn end(&mut self, body: &mut Body, inside: bool) -> Result<(), ImapError> {
        body.source = Source::End;
        self.begin_waiting();
        if inside {
            let mut rest = b"* ".to_vec();
            while let Some(literal) = self.line(&mut rest).await? {
                self.literal(literal, &mut rest).await?;
            }
        }
        self.rest(&body.tag, Vec::new()).await.map(drop)
    }
}

impl Source {
    fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Octets(octets) => octets.left(),
            Self::End => 0,
        }
    }
}

/// `section-spec`, if it holds nothing that could end it or be more than one.
fn section(message: &UrlMessage) -> Option<&str> {
    let section = message.section.as_deref().unwrap_or_default();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_ ()".contains(&octet);
    section.bytes().all(is_plain).then_some(section)
}

/// `"<" number "." nz-number ">"`
fn window(partial: UrlPartial) -> String {
    let most = u64::from(u32::MAX);
    let length = partial.length.map_or(most, |length| length.min(most));
    format!("<{}.{length}>", partial.offset)
}
