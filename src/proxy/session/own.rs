//! What the proxy answers itself, when its turn has come.

use std::sync::Arc;

use tokio::time::timeout_at;

use super::{Done, Ended, HIGH, Session, of_client, of_server};
use crate::{
    mail::{self, Spool},
    metrics::Limit,
    net::{InputError, Literal, Octets},
    proxy::{
        commands::{Commands, Said},
        login::Login,
        submit::{Order, Refusal},
        turn::{Deed, Logging, Own, What, authenticate, literal_behind},
    },
};

/// Octets of the line behind a literal.
const LINE_MAX: usize = 64 << 10;

impl Session {
    /// Answers the command whose turn it is.
    pub(super) async fn answer_own(&mut self) -> Done {
        let Some(Own { tag, what }) = self.own.take() else { return Ok(()) };
        match what {
            What::StartTls => self.start_tls(&tag).await,
            What::Submit(literal) => self.submit(&tag, literal).await,
            What::LogIn(name, line) => {
                self.log_in(tag, &name, &line);
                Ok(())
            }
            What::Refuse(words, literal) => {
                if let Some(literal) = literal {
                    self.swallow(literal).await?;
                }
                self.say(&tag, words.as_bytes());
                Ok(())
            }
        }
    }

    /// LOGIN or AUTHENTICATE, with nothing else on its way.
    fn log_in(&mut self, tag: Vec<u8>, name: &[u8], line: &[u8]) {
        let in_steps = name == b"AUTHENTICATE";
        let (mut mechanism, mut login) = (None, None);
        if in_steps {
            let (named, response) = authenticate(line);
            // Where the server begins, what comes before its challenge is no answer to it.
            let first = response.filter(|_| named != b"CRAM-MD5");
            login = first.and_then(|response| Login::of_response(&named, response));
            mechanism = Some(named).filter(|_| response.is_none());
        }
        let login = login.unwrap_or_else(|| Login::hidden(None));
        self.underway.began(tag.clone(), Deed::LogIn(login));
        self.logging = Some(Logging { tag, mechanism, in_steps, asked: false });
        let said = self.commands.pass_held(name, line, self.server.output.buffer());
        if let Some(Said::Copied { name, command }) = said {
            self.copied(name, &command);
        }
    }

    fn say(&mut self, tag: &[u8], words: &[u8]) {
        self.client.output.put([tag, b" ", words, b"\r\n"].concat());
    }

    async fn flush(&mut self) -> Done {
        self.client.output.flush().await.map_err(|_| Ended::ClientLeft)
    }

    /// STARTTLS (RFC 9051 §6.2.1): what came behind it was not protected, and is thrown away.
    async fn start_tls(&mut self, tag: &[u8]) -> Done {
        let tls = self.door.means.tls.clone().filter(|_| self.situation().may_start_tls);
        let Some(tls) = tls else {
            self.say(tag, b"BAD no STARTTLS now");
            return Ok(());
        };
        self.say(tag, b"OK begin TLS now");
        self.flush().await?;
        let done = self.client.input.start_tls(&tls).await;
        done.map_err(|_| Ended::ClientLeft)?;
        self.understood &= !self.commands.is_odd();
        self.commands = Commands::default();
        Ok(())
    }

    /// SUBMIT: reads the message, and sends it while the server's news go on passing.
    async fn submit(&mut self, tag: &[u8], literal: Literal) -> Done {
        let Some(login) = self.login.clone() else {
            self.swallow(literal).await?;
            self.say(tag, b"NO log in first,");
            return Ok(());
        };
        if literal.size > self.door.limits.message {
            self.swallow(literal).await?;
            self.door.exceeded(Limit::MessageSizeMax);
            self.say(tag, b"NO [TOOBIG] the message is too large,");
            return Ok(());
        }
        if !literal.sent_at_once {
            self.client.output.put("+ go ahead\r\n");
            self.flush().await?;
        }
        let read = self.read_message(literal).await?;
        let sent = match read {
            Ok(message) => {
                let understood = self.understood && !self.commands.is_odd();
                let order = Order { message, login, understood, open: self.open.clone() };
                self.send(order).await?
            }
            Err(refusal) => Err(refusal),
        };
        match sent {
            Ok(()) => self.say(tag, b"OK SUBMIT completed"),
            Err(Refusal(text)) => self.say(tag, format!("NO {text}").as_bytes()),
        }
        Ok(())
    }

    /// The message, and the end of its line.
    async fn read_message(&mut self, literal: Literal) -> Done<Result<Spool, Refusal>> {
        let mut octets = Octets::new(literal.size, self.door.limits.rate);
        let mut spool = Ok(Spool::passing(self.door.limits.message));
        let stop = self.stop.clone();
        loop {
            let piece = tokio::select! {
                piece = self.client.input.piece(&mut octets) => piece,
                () = stop.cancelled() => return Err(Ended::ByUs("the proxy is closing")),
            };
            let Some(piece) = piece.map_err(|error| of_client(&error))? else { break };
            if let Ok(kept) = &mut spool
                && let Err(error) = kept.write(&piece)
            {
                // Our disk may be full: what is left is read all the same.
                tracing::error!(%error, "a message could not be kept while it passes");
                spool = Err(error);
            }
        }
        if !self.rest_of_line().await?.is_empty() {
            return Ok(Err(Refusal::in_general("nothing may stand behind the message")));
        }
        Ok(spool.map_err(|error: mail::Error| Refusal::in_general(&error.to_string())))
    }

    /// Sends a message; meanwhile what the server says passes.
    async fn send(&mut self, order: Order) -> Done<Result<(), Refusal>> {
        let door = Arc::clone(&self.door);
        let mut sending = std::pin::pin!(async move { door.submit(order).await });
        let mut sent = None;
        let mut server_left = false;
        loop {
            // An answer that has begun comes first.
            if let Some(sent) = sent.take_if(|_| server_left || self.answers.is_between()) {
                return Ok(sent);
            }
            let Self { client, server, .. } = self;
            tokio::select! {
                done = &mut sending, if sent.is_none() => sent = Some(done),
                there = server.input.some(), if !server_left && client.output.waiting() < HIGH => {
                    match there.map_err(|error| of_server(&error)) {
                        Ok(true) => self.hear_answers()?,
                        Ok(false) | Err(_) => server_left = true,
                    }
                }
                done = client.output.flush(), if client.output.waiting() > 0 => {
                    // Who has left hears no answer, but what was begun is brought to its end.
                    if done.is_err() {
                        return Ok(match sent {
                            Some(sent) => sent,
                            None => sending.await,
                        });
                    }
                }
            }
        }
    }

    /// Reads what belongs to a command that is refused, and keeps nothing.
    async fn swallow(&mut self, literal: Literal) -> Done {
        if self.login.is_some() {
            return self.pass_over(literal).await;
        }
        let done = timeout_at(self.login_until, self.pass_over(literal)).await;
        done.unwrap_or_else(|_| {
            self.door.exceeded(Limit::LoginTime);
            Err(Ended::ByUs("Autologout"))
        })
    }

    /// The same, however long it takes. More than a message may have is not waited for.
    async fn pass_over(&mut self, literal: Literal) -> Done {
        let mut room = self.door.limits.message;
        let mut next = Some(literal).filter(|literal| literal.sent_at_once);
        while let Some(literal) = next {
            room = self.less(room, literal.size)?;
            let mut octets = Octets::new(literal.size, self.door.limits.rate);
            let done = self.client.input.discard(&mut octets).await;
            done.map_err(|error| of_client(&error))?;
            let mut line = self.rest_of_line().await?;
            line.push(b'\n');
            next = literal_behind(&line).filter(|literal| literal.sent_at_once);
            if next.is_some() {
                room = self.less(room, line.len() as u64)?;
            }
        }
        Ok(())
    }

    /// What is left of the room for octets that nobody wants.
    fn less(&self, room: u64, octets: u64) -> Done<u64> {
        room.checked_sub(octets).ok_or_else(|| {
            self.door.exceeded(Limit::MessageSizeMax);
            Ended::ByUs("[TOOBIG] the literal is too large")
        })
    }

    /// What stands behind a literal, without the line's end.
    async fn rest_of_line(&mut self) -> Done<Vec<u8>> {
        let until = tokio::time::Instant::now() + self.door.limits.rate.pause;
        self.client.input.set_deadline(Some(until));
        let line = self.client.input.line(LINE_MAX).await;
        self.client.input.set_deadline(None);
        match line {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Ended::ClientLeft),
            Err(InputError::Line(_)) => Err(Ended::ByUs("[TOOBIG] the line is too long")),
            Err(error) => Err(of_client(&error)),
        }
    }
}
