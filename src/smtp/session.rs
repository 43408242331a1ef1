//! One conversation: line by line, each command run to its reply before the next is read
//! (RFC 5321 §3, RFC 2920).
//!
//! All of the rhythm and little of the words: what a command does stands in the files beside this
//! one. Replies wait in the buffer while more commands of one batch are there already, and never
//! across a change of state.

mod faults;
mod lines;

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use self::faults::Faults;
use super::{
    Reply, Role,
    burl::is_burl,
    command::{ClientName, Command, Hello, Syntax},
    door::Door,
    extensions::Situation,
    transaction::Transaction,
};
use crate::{
    auth::login::{LoggedIn, Visitor},
    events::Origin,
    metrics::Limit,
    net::{Input, Output, Permit},
    sessions::Entry,
    wire::parameters::Fault,
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
    pub(super) failed_logins: usize,
    pub(super) unknown_recipients: usize,
    pub(super) messages: usize,
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
            failed_logins: 0,
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
                Err(fault) => self.refuse_syntax(&line, &fault)?,
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
            Command::Burl(reference) if self.door.role == Role::Submission => {
                self.burl(*reference).await?;
            }
            Command::Burl(_) => {
                self.faults.count();
                self.say(&Reply::from(&Syntax::Unknown));
            }
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
        let lines = match hello {
            Hello::Helo => Vec::new(),
            Hello::Ehlo | Hello::Lhlo => self.door.means.foreign.offers(&self.situation()),
        };
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

    /// Ends the conversation because the server, or the owner of the session, wants it.
    pub(super) fn end_by_stop<T>(&mut self) -> Done<T> {
        self.end(&Reply::new(421, "4.3.2", "closing, try again later"))
    }

    fn refuse_syntax(&mut self, line: &[u8], fault: &Syntax) -> Done {
        let reply = Reply::from(fault);
        if matches!(fault, Syntax::Bdat) {
            // Octets follow of which nobody knows the end.
            return self.end(&reply);
        }
        // An address that is none says nothing about who speaks; a verb that is none does.
        let address = matches!(fault, Syntax::Envelope(Fault::Sender(_) | Fault::Recipient(_)));
        if !address {
            self.faults.count();
        }
        if is_burl(line) {
            self.fail_by_burl(&reply);
        }
        self.say(&reply);
        Ok(())
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

    pub(super) fn log_end(&self, why: &str) {
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
