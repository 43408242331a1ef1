//! One conversation: line by line, each command run to its reply before the next is read
//! (RFC 5321 §3, RFC 2920).
//!
//! All of the rhythm and little of the words: what a command does stands in the files beside this
//! one. Replies wait in the buffer while more commands of one batch are there already, and never
//! across a change of state.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Reply, Role,
    command::{ClientName, Command, Hello, Syntax},
    door::Door,
    extensions::Situation,
    transaction::Transaction,
};
use crate::{
    auth::login::{LoggedIn, Visitor},
    events::Origin,
    metrics::Limit,
    net::{BadLine, Input, InputError, Output, Permit},
    sessions::Entry,
};

/// How long a client that was told the end may take to hear it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a conversation is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// We have said so; the reply waits to be flushed.
    Said,
    /// Nobody is there to hear anything.
    Gone,
}

/// What a step of the conversation leads to.
pub(super) type Done<T = ()> = Result<T, Ended>;

/// A conversation with one client.
pub(super) struct Session {
    pub(super) door: Arc<Door>,
    pub(super) entry: Entry,
    pub(super) permit: Arc<Permit>,
    pub(super) input: Input,
    output: Output,
    pub(super) peer: IpAddr,
    /// How the client greeted last, on this side of STARTTLS.
    pub(super) client: Option<(Hello, ClientName)>,
    pub(super) user: Option<LoggedIn>,
    pub(super) transaction: Option<Transaction>,
    started: Instant,
    /// Until when something is waited for, and what ends the wait.
    until: (Instant, Limit),
    pub(super) faults: Faults,
    pub(super) unknown_recipients: usize,
    pub(super) messages: usize,
}

/// Commands in error.
#[derive(Debug, Default)]
pub(super) struct Faults {
    number: usize,
    is_new: bool,
}

impl Faults {
    /// Counts one more.
    pub(super) fn count(&mut self) {
        self.number = self.number.saturating_add(1);
        self.is_new = true;
    }

    /// Has one come since this was asked last?
    fn is_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }
}

impl Session {
    pub(super) fn new(
        door: Arc<Door>,
        entry: Entry,
        permit: Arc<Permit>,
        input: Input,
        output: Output,
    ) -> Self {
        let (peer, started) = (input.peer().ip(), permit.since());
        Self {
            door,
            entry,
            permit,
            input,
            output,
            peer,
            client: None,
            user: None,
            transaction: None,
            started,
            until: (started, Limit::SmtpCommandTime),
            faults: Faults::default(),
            unknown_recipients: 0,
            messages: 0,
        }
    }

    /// Talks until the end, whoever makes it.
    pub(super) async fn run(mut self) {
        if let Err(Ended::Said) = self.converse().await {
            // The peer may still be sending: a connection closed with octets unread would take our
            // last words with it.
            let farewell = async {
                let _heard = self.output.close().await;
                self.input.ended(usize::MAX).await;
            };
            let _gone = timeout(FAREWELL, farewell).await;
        }
    }

    async fn converse(&mut self) -> Done {
        self.greet()?;
        loop {
            let line = self.command_line().await?;
            match Command::parse(&line) {
                Ok(command) => self.obey(command).await?,
                Err(fault) => self.refuse_syntax(&fault)?,
            }
            self.bear_with_faults()?;
        }
    }

    /// The greeting (RFC 5321 §3.1). Who spoke before it is no mail program.
    fn greet(&mut self) -> Done {
        if self.input.has_spoken() {
            self.log_end("spoke before the greeting");
            return self.end(&Reply::new(554, "5.5.0", "you must wait for the greeting"));
        }
        let protocol = if self.door.role == Role::Lmtp { "LMTP" } else { "ESMTP" };
        let text = format!("{} {protocol} Mailade", self.door.means.hostname);
        self.say(&Reply::plain(220, text));
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Done {
        match command {
            Command::Hello(hello, name) => {
                self.hello(hello, name);
                self.flush().await?;
            }
            Command::Mail(mail) => {
                let reply = self.mail(*mail).await;
                self.say_or_end(&reply)?;
            }
            Command::Rcpt(rcpt) => {
                let reply = self.rcpt(*rcpt).await?;
                self.say(&reply);
            }
            Command::Data => self.data().await?,
            Command::Bdat(chunk) => self.bdat(chunk).await?,
            Command::Rset => {
                self.transaction = None;
                self.say(&Reply::new(250, "2.0.0", "forgotten"));
            }
            Command::Noop => self.say(&Reply::new(250, "2.0.0", "here")),
            Command::Vrfy => {
                let text = "send some mail, I'll try my best";
                self.say(&Reply::new(252, "2.5.2", text));
            }
            Command::Expn => {
                self.faults.count();
                self.say(&Reply::new(502, "5.5.1", "lists are not told"));
            }
            Command::Help => self.help(),
            Command::Quit => {
                return self.end(&Reply::new(221, "2.0.0", "goodbye"));
            }
            Command::StartTls => self.start_tls().await?,
            Command::Auth(auth) => self.auth(auth).await?,
            Command::Http => {
                self.log_end("speaks HTTP");
                return self.end(&Reply::new(421, "4.7.0", "this is no web server"));
            }
        }
        Ok(())
    }

    fn help(&mut self) {
        let source = self.door.means.source_url.as_ref().map(|url| format!("source: {url}"));
        let reply = Reply::new(214, "2.0.0", "see RFC 5321");
        self.say(&reply.with_lines(source.into_iter().collect()));
    }

    /// EHLO, HELO and LHLO begin anew (RFC 5321 §4.1.4, RFC 2033 §4.1).
    fn hello(&mut self, hello: Hello, name: ClientName) {
        if (hello == Hello::Lhlo) != (self.door.role == Role::Lmtp) {
            let text = if hello == Hello::Lhlo { "this is no LMTP" } else { "say LHLO" };
            return self.say(&Reply::new(500, "5.5.1", text));
        }
        self.transaction = None;
        let host = self.door.means.hostname.to_string();
        let reply = Reply::plain(250, host);
        let lines = if hello == Hello::Helo { Vec::new() } else { self.situation().lines() };
        self.say(&reply.with_lines(lines));
        self.client = Some((hello, name));
    }

    /// STARTTLS (RFC 3207): nothing from before it counts afterwards.
    async fn start_tls(&mut self) -> Done {
        let Some(tls) = self.door.means.tls.clone().filter(|_| !self.input.is_tls()) else {
            self.faults.count();
            let text = if self.input.is_tls() { "TLS is on" } else { "no TLS here" };
            self.say(&Reply::new(503, "5.5.1", text));
            return Ok(());
        };
        if self.user.is_some() {
            self.say(&Reply::new(503, "5.5.1", "not after a login"));
            return Ok(());
        }
        if self.input.has_spoken() {
            // Injected by somebody on the way, or sent by a client that does not wait: either way
            // it was not protected.
            let octets = self.input.discard_buffered();
            tracing::warn!(session = %self.entry.id(), peer = %self.peer, octets,
                "thrown away: input behind STARTTLS");
        }
        self.say(&Reply::new(220, "2.0.0", "ready for TLS"));
        self.flush().await?;
        if let Err(error) = self.input.start_tls(&tls).await {
            tracing::debug!(session = %self.entry.id(), peer = %self.peer, %error, "TLS handshake");
            return Err(Ended::Gone);
        }
        self.client = None;
        self.transaction = None;
        Ok(())
    }

    /// What EHLO's answer depends on.
    pub(super) fn situation(&self) -> Situation {
        Situation {
            role: self.door.role,
            tls_possible: self.door.means.tls.is_some() && !self.input.is_tls(),
            binding: self.input.channel_binding().is_some(),
            secured: self.input.is_secured(),
            logged_in: self.user.is_some(),
            size_max: self.door.limits.message_size,
        }
    }

    /// The next command's line. AUTH may be longer than all others (RFC 4954 §4).
    async fn command_line(&mut self) -> Done<Vec<u8>> {
        let most = self.door.limits.command_line;
        let may_log_in = self.door.role == Role::Submission && self.user.is_none();
        let auth = if may_log_in { self.door.limits.auth_line } else { 0 };
        let is_auth =
            |line: &[u8]| line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "));
        loop {
            let line = self.line(most.max(auth)).await?;
            let may_log_in = auth > 0 && line.as_deref().is_none_or(is_auth);
            let (most, limit) = if may_log_in {
                (auth, Limit::SmtpAuthLineMax)
            } else {
                (most, Limit::SmtpCommandLineMax)
            };
            if let Some(line) = line.filter(|line| line.len() <= most) {
                return Ok(line);
            }
            self.door.exceeded(limit);
            self.faults.count();
            self.say(&Reply::new(500, "5.5.2", "line too long"));
            self.bear_with_faults()?;
        }
    }

    /// The next line; None for one that was too long. While none has come, what was said leaves.
    pub(super) async fn line(&mut self, most: usize) -> Done<Option<Vec<u8>>> {
        if self.entry.stop().is_cancelled() {
            return self.end_by_stop();
        }
        self.wait_until(self.command_deadline());
        let read = match self.input.line(most).now_or_never() {
            Some(read) => read,
            None => self.line_to_come(most).await?,
        };
        match read {
            Ok(Some(line)) => Ok(Some(line)),
            Ok(None) => Err(Ended::Gone),
            Err(InputError::Line(BadLine::TooLong)) => Ok(None),
            Err(InputError::Line(fault)) => {
                self.log_end("a line with a lone CR or LF, or NUL");
                self.end(&Reply::new(550, "5.5.2", fault.to_string()))
            }
            Err(error) => self.end_by(&error),
        }
    }

    /// Waits for a line that is not there yet; what was said leaves first.
    async fn line_to_come(&mut self, most: usize) -> Done<Result<Option<Vec<u8>>, InputError>> {
        self.flush().await?;
        let stop = self.entry.stop().clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => self.end_by_stop(),
            read = self.input.line(most) => Ok(read),
        }
    }

    /// Nothing is waited for longer.
    pub(super) fn wait_until(&mut self, until: (Instant, Limit)) {
        self.input.set_deadline(Some(until.0));
        self.until = until;
    }

    fn command_deadline(&self) -> (Instant, Limit) {
        let command = Instant::now() + self.door.times().command;
        let end = self.end_of_patience();
        end.filter(|(end, _)| *end < command).unwrap_or((command, Limit::SmtpCommandTime))
    }

    /// Until when a message's octets must have come.
    pub(super) fn data_deadline(&self) -> (Instant, Limit) {
        let session = self.door.times().session;
        self.end_of_patience().unwrap_or_else(|| (Instant::now() + session, Limit::SmtpSessionTime))
    }

    /// The end of the whole session, or of the time to log in.
    fn end_of_patience(&self) -> Option<(Instant, Limit)> {
        let session = self.door.times().session;
        match self.door.role {
            Role::Mx | Role::Lmtp => Some((self.started + session, Limit::SmtpSessionTime)),
            Role::Submission if self.user.is_none() => {
                Some((self.started + self.door.limits.login, Limit::LoginTime))
            }
            // Phones on slow networks are not cut off for their mere duration.
            Role::Submission => None,
        }
    }

    /// Ends the conversation because of what came, or did not come.
    pub(super) fn end_by<T>(&mut self, error: &InputError) -> Done<T> {
        match error {
            InputError::TimedOut | InputError::TooSlow => {
                if matches!(error, InputError::TimedOut) {
                    // A pause within data has no deadline of its own here.
                    let (end, limit) = self.until;
                    let over = Instant::now() >= end;
                    self.door.exceeded(if over { limit } else { Limit::SmtpDataTime });
                }
                self.log_end("timeout");
                self.end(&Reply::new(421, "4.4.2", error.to_string()))
            }
            InputError::NoMemory => {
                self.log_end("no memory left for input");
                self.end(&Reply::new(451, "4.3.1", "out of memory, try again later"))
            }
            InputError::Line(_) | InputError::Ended | InputError::Io(_) => Err(Ended::Gone),
        }
    }

    /// Ends the conversation because the server, or the owner of the session, wants it.
    pub(super) fn end_by_stop<T>(&mut self) -> Done<T> {
        self.end(&Reply::new(421, "4.3.2", "closing, try again later"))
    }

    fn refuse_syntax(&mut self, fault: &Syntax) -> Done {
        let reply = Reply::from(fault);
        if matches!(fault, Syntax::Bdat) {
            // Octets follow of which nobody knows the end.
            return self.end(&reply);
        }
        // An address that is none says nothing about who speaks; a verb that is none does.
        if !matches!(fault, Syntax::Sender(_) | Syntax::Recipient(_)) {
            self.faults.count();
        }
        self.say(&reply);
        Ok(())
    }

    /// Ends the conversation behind the last command in error that is borne.
    fn bear_with_faults(&mut self) -> Done {
        if !self.faults.is_new() {
            return Ok(());
        }
        let limits = &self.door.limits;
        let proven = self.user.is_some() || self.messages > 0 || self.transaction.is_some();
        let (most, limit) = if proven {
            (limits.bad_commands, Limit::BadCommandsMax)
        } else {
            (limits.bad_commands_at_first, Limit::BadCommandsBeforeLoginMax)
        };
        if self.faults.number < most {
            return Ok(());
        }
        self.door.exceeded(limit);
        self.log_end("too many commands in error");
        self.end(&Reply::new(421, "4.7.0", "too many errors"))
    }

    /// Puts a reply behind those that wait.
    pub(super) fn say(&mut self, reply: &Reply) {
        reply.encode(self.output.buffer());
    }

    /// The same, and 421 ends the conversation (RFC 5321 §3.8).
    pub(super) fn say_or_end(&mut self, reply: &Reply) -> Done {
        if reply.code() == 421 {
            return self.end(reply);
        }
        self.say(reply);
        Ok(())
    }

    /// Says a last word.
    pub(super) fn end<T>(&mut self, reply: &Reply) -> Done<T> {
        self.say(reply);
        Err(Ended::Said)
    }

    /// Lets what was said leave.
    pub(super) async fn flush(&mut self) -> Done {
        self.output.flush().await.map_err(|_| Ended::Gone)
    }

    /// Makes the client wait, unless we are to stop.
    pub(super) async fn pause(&mut self, delay: Duration) -> Done {
        if delay.is_zero() {
            return Ok(());
        }
        let stop = self.entry.stop().clone();
        tokio::select! {
            () = stop.cancelled() => self.end_by_stop(),
            () = sleep(delay) => Ok(()),
        }
    }

    fn log_end(&self, why: &str) {
        let (session, role) = (self.entry.id(), self.door.role);
        tracing::info!(%session, ?role, peer = %self.peer, why, "conversation ended");
    }

    /// Who changes something, and when.
    pub(super) fn origin(&self) -> Origin {
        let at = Timestamp::now().as_second();
        let device = self.user.as_ref().and_then(|user| user.device);
        Origin { session: Some(self.entry.id()), device, ..Origin::new(self.door.role.door(), at) }
    }

    /// Who asks to be let in.
    pub(super) fn visitor(&self) -> Visitor {
        Visitor { ip: self.peer, origin: self.origin(), now: Instant::now() }
    }
}
