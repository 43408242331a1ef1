//! One conversation: everything passes both ways as it comes, and in between stand the few commands
//! that the proxy answers itself, each in its turn.
//!
//! One task holds both connections. It reads from one only as long as the other takes what was read, so
//! that a session holds some hundred KiB at most.

mod own;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    answers::{Answers, Heard},
    capability::{self, Situation},
    commands::{Commands, Said},
    door::{Door, Halves},
    login::Login,
    turn::{Deed, Logging, Own, Underway, What, authenticate, is_tag, literal_behind, submit},
};
use crate::{
    metrics::Limit,
    net::{Input, InputError, Output, OutputError, Permit, imap_client::ImapClient},
    wire::Cursor,
};

/// When so much waits for one side, nothing more is read from the other.
const HIGH: usize = 64 << 10;
/// How long either side may take to hear the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a conversation is over.
#[derive(Debug)]
pub(super) enum Ended {
    ClientLeft,
    ServerLeft,
    /// We end it, in these words.
    ByUs(&'static str),
}

type Done<T = ()> = Result<T, Ended>;

struct Side {
    input: Input,
    output: Output,
}

/// A conversation between a client and a server.
pub(super) struct Session {
    door: Arc<Door>,
    permit: Arc<Permit>,
    stop: CancellationToken,
    client: Side,
    server: Side,
    commands: Commands,
    answers: Answers,
    underway: Underway,
    logging: Option<Logging>,
    /// Whatever was said and answered could be told apart, so that it is known who logged in.
    understood: bool,
    own: Option<Own>,
    login: Option<Login>,
    /// The mailbox that is open.
    open: Option<String>,
    /// The server has said BYE.
    parted: bool,
    /// Until when somebody must have logged in.
    login_until: Instant,
    /// When something was heard last.
    last: Instant,
}

impl Session {
    pub(super) fn new(
        door: Arc<Door>,
        permit: Arc<Permit>,
        stop: CancellationToken,
        (input, output): Halves,
        server: ImapClient,
    ) -> Self {
        let mut greeting = server.greeting().to_vec();
        greeting.extend_from_slice(b"\r\n");
        let (server_input, server_output) = server.into_halves();
        let login_until = permit.since() + door.limits.login_time;
        let mut session = Self {
            door,
            permit,
            stop,
            client: Side { input, output },
            server: Side { input: server_input, output: server_output },
            commands: Commands::default(),
            answers: Answers::default(),
            underway: Underway::default(),
            logging: None,
            understood: true,
            own: None,
            login: None,
            open: None,
            parted: false,
            login_until,
            last: Instant::now(),
        };
        session.client.input.set_deadline(None);
        session.server.input.set_deadline(None);
        let now = session.situation();
        let _a_greeting_ends_nothing =
            session.answers.feed(&greeting, now, session.client.output.buffer());
        session
    }

    /// Talks until the end, whoever makes it.
    pub(super) async fn run(mut self) {
        let ended = match self.converse().await {
            Ok(()) => return,
            Err(ended) => ended,
        };
        let words = match ended {
            Ended::ClientLeft => None,
            Ended::ServerLeft if self.parted => None,
            Ended::ServerLeft => Some("[UNAVAILABLE] the mail server has left"),
            Ended::ByUs(words) => Some(words),
        };
        if let Some(words) = words.filter(|_| self.answers.is_between()) {
            self.client.output.put(format!("* BYE {words}\r\n"));
        }
        // The client may still be sending: a connection closed with octets unread would take our last
        // words with it.
        let Side { input, output } = &mut self.client;
        let farewell = async {
            let _heard = output.close().await;
            input.discard_buffered();
            input.ended(usize::MAX).await;
        };
        let server = &mut self.server.output;
        let (_, _) = tokio::join!(timeout(FAREWELL, farewell), timeout(FAREWELL, server.close()));
    }

    async fn converse(&mut self) -> Done {
        loop {
            self.pass_commands()?;
            if self.own.is_some() && self.underway.is_quiet() && self.answers.is_between() {
                self.answer_own().await?;
                continue;
            }
            let may_read = self.may_pass() && !self.client.input.has_buffered();
            let (until, limit) = self.deadline();
            let Self { client, server, stop, .. } = self;
            tokio::select! {
                () = stop.cancelled() => return Err(Ended::ByUs("the proxy is closing")),
                there = client.input.some(), if may_read => {
                    if !there.map_err(|error| of_client(&error))? {
                        return self.drain().await;
                    }
                    self.last = Instant::now();
                }
                there = server.input.some(), if client.output.waiting() < HIGH => {
                    if !there.map_err(|error| of_server(&error))? {
                        return Err(Ended::ServerLeft);
                    }
                    self.last = Instant::now();
                    self.hear_answers()?;
                }
                done = client.output.flush(), if client.output.waiting() > 0 => {
                    done.map_err(|_: OutputError| Ended::ClientLeft)?;
                }
                done = server.output.flush(), if server.output.waiting() > 0 => {
                    done.map_err(|_: OutputError| Ended::ServerLeft)?;
                }
                () = sleep_until(until) => {
                    self.door.exceeded(limit);
                    return Err(Ended::ByUs("Autologout"));
                }
            }
        }
    }

    /// The client says nothing more, but may still hear: it gets what the server has to say.
    async fn drain(&mut self) -> Done {
        let until = Instant::now() + self.door.limits.rate.pause;
        let said_so = timeout(FAREWELL, self.server.output.close()).await;
        said_so.map_err(|_| Ended::ClientLeft)?.map_err(|_| Ended::ServerLeft)?;
        loop {
            let Self { client, server, stop, .. } = self;
            tokio::select! {
                () = stop.cancelled() => return Err(Ended::ByUs("the proxy is closing")),
                there = server.input.some(), if client.output.waiting() < HIGH => {
                    if !there.map_err(|error| of_server(&error))? {
                        return Err(Ended::ClientLeft);
                    }
                    self.hear_answers()?;
                }
                done = client.output.flush(), if client.output.waiting() > 0 => {
                    done.map_err(|_: OutputError| Ended::ClientLeft)?;
                }
                () = sleep_until(until) => return Err(Ended::ClientLeft),
            }
        }
    }

    /// Until when something must have happened, and by which bound.
    fn deadline(&self) -> (Instant, Limit) {
        if self.login.is_none() {
            (self.login_until, Limit::LoginTime)
        } else {
            (self.last + self.door.limits.idle_time, Limit::ImapIdleTime)
        }
    }

    /// May more of what the client says be looked at now?
    fn may_pass(&self) -> bool {
        self.own.is_none()
            && !self.commands.is_waiting()
            && self.server.output.waiting() < HIGH
            && !self.is_full()
            && !self.is_logging_in()
    }

    /// Has a login passed whole that the server has neither answered nor asked more of?
    fn is_logging_in(&self) -> bool {
        self.commands.is_between() && self.logging.as_ref().is_some_and(|login| !login.asked)
    }

    /// Do so many commands wait that none more may begin?
    fn is_full(&self) -> bool {
        self.commands.is_between() && self.underway.len() >= self.door.limits.commands_waiting
    }

    /// Passes what the client has said, up to a command of our own or a literal that is not asked for.
    fn pass_commands(&mut self) -> Done {
        while self.may_pass() && self.client.input.has_buffered() {
            let bytes = self.client.input.buffered();
            let (taken, said) = self.commands.feed(bytes, self.server.output.buffer());
            self.client.input.consume(taken);
            match said {
                None | Some(Said::Waits) => {}
                Some(Said::TooLong) => return Err(Ended::ByUs("[TOOBIG] the line is too long")),
                Some(Said::Begun { tag, name }) => self.begun(tag, &name),
                Some(Said::Copied { name, command }) => self.copied(name, &command),
                Some(Said::Bare(line)) => self.bare(&line),
                Some(Said::Held { tag, name, line }) => self.held(tag, &name, &line),
            }
        }
        if self.is_full() && self.client.input.has_buffered() {
            self.door.exceeded(Limit::ImapCommandsWaitingMax);
        }
        Ok(())
    }

    fn begun(&mut self, tag: Vec<u8>, name: &[u8]) {
        self.understood &= !self.underway.has(&tag);
        let deed = match name {
            b"UNAUTHENTICATE" => Deed::LogOut,
            b"SELECT" | b"EXAMINE" => Deed::Open(None),
            b"CLOSE" | b"UNSELECT" => Deed::Close,
            b"IDLE" => Deed::Idle,
            _ => Deed::Other,
        };
        self.underway.began(tag, deed);
    }

    /// A command has passed whole of which something must be known.
    pub(super) fn copied(&mut self, name: &[u8], command: &[u8]) {
        if name == b"LOGIN" {
            if let Some(login) = Login::of_command(command) {
                self.underway.learn(Deed::LogIn(login));
            }
            return;
        }
        let argument = command.splitn(3, |octet| *octet == b' ').nth(2).unwrap_or_default();
        self.underway.learn(Deed::Open(Cursor::new(argument).mailbox().ok()));
    }

    /// DONE, or a response to a challenge.
    fn bare(&mut self, line: &[u8]) {
        if let Some(logging) = self.logging.as_mut().filter(|login| login.asked) {
            logging.asked = false;
            let mechanism = logging.mechanism.take();
            let login = mechanism.and_then(|mechanism| Login::of_response(&mechanism, line));
            if let Some(login) = login {
                self.underway.learn(Deed::LogIn(login));
            }
        } else if self.underway.is_idle() && line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
            self.underway.done();
        } else {
            // A server may understand it otherwise; nobody answers an empty line.
            self.understood &= line.trim_ascii().is_empty();
        }
    }

    /// A command that passes only if it may, or is ours.
    fn held(&mut self, tag: Vec<u8>, name: &[u8], line: &Zeroizing<Vec<u8>>) {
        let refuse = |words| What::Refuse(words, literal_behind(line));
        if !is_tag(&tag) {
            self.own = Some(Own { tag: b"*".to_vec(), what: refuse("BAD a tag is expected") });
            return;
        }
        let what = match name {
            _ if self.underway.is_idle() => refuse("BAD DONE is expected"),
            b"SUBMIT" => {
                submit(line).map_or_else(|| refuse("BAD a literal is expected"), What::Submit)
            }
            b"STARTTLS" => What::StartTls,
            b"COMPRESS" => refuse("NO [CANNOT] nothing compressed can pass the proxy"),
            _ if !self.is_secured() => refuse("NO [PRIVACYREQUIRED] say STARTTLS first"),
            b"AUTHENTICATE" if !capability::passes(&authenticate(line).0) => {
                refuse("NO [CANNOT] this mechanism cannot pass the proxy")
            }
            name => What::LogIn(name.to_vec(), line.clone()),
        };
        self.own = Some(Own { tag, what });
    }

    /// Passes what the server has said.
    fn hear_answers(&mut self) -> Done {
        while self.server.input.has_buffered() {
            let now = self.situation();
            let bytes = self.server.input.buffered();
            let (taken, heard) = self.answers.feed(bytes, now, self.client.output.buffer());
            self.server.input.consume(taken);
            match heard {
                None => {}
                Some(Heard::GoAhead) => self.go_ahead(),
                Some(Heard::Bye) => self.parted = true,
                Some(Heard::Ended { tag, well }) => self.ended(&tag, well)?,
                Some(Heard::TooLong) => return Err(Ended::ServerLeft),
            }
        }
        Ok(())
    }

    /// The server has asked for more.
    fn go_ahead(&mut self) {
        if self.commands.is_waiting() {
            self.commands.go_ahead();
        } else if let Some(login) = self.logging.as_mut().filter(|login| login.in_steps) {
            login.asked = true;
            self.commands.expect_response(true);
        }
    }

    /// The server has answered a command.
    fn ended(&mut self, tag: &[u8], well: bool) -> Done {
        if self.commands.is_waiting() && self.underway.last() == Some(tag) {
            self.commands.refused();
        }
        if self.logging.take_if(|login| login.tag == tag).is_some() {
            self.commands.expect_response(false);
        }
        match self.underway.ended(tag) {
            None => self.understood = false,
            Some(Deed::LogIn(login)) if well => {
                self.login = Some(login);
                self.last = Instant::now();
                let admitted = self.permit.logged_in(Instant::now());
                admitted.map_err(|_| Ended::ByUs("[LIMIT] too many connections"))?;
            }
            Some(Deed::LogOut) if well => {
                self.login = None;
                self.login_until = Instant::now() + self.door.limits.login_time;
                self.open = None;
                self.permit.logged_out();
            }
            Some(Deed::Open(mailbox)) => self.open = mailbox.filter(|_| well),
            Some(Deed::Close) if well => self.open = None,
            _ => {}
        }
        Ok(())
    }

    /// May secrets be sent to us?
    fn is_secured(&self) -> bool {
        self.door.means.trusts_network || self.client.input.is_secured()
    }

    fn situation(&self) -> Situation {
        let tls_possible = self.door.means.tls.is_some() && !self.client.input.is_tls();
        Situation {
            secured: self.is_secured(),
            // What is told with the answer to a login holds behind it.
            may_start_tls: tls_possible && self.login.is_none() && self.logging.is_none(),
        }
    }
}

fn of_client(error: &InputError) -> Ended {
    match error {
        InputError::NoMemory => Ended::ByUs("[UNAVAILABLE] no memory left"),
        _ => Ended::ClientLeft,
    }
}

fn of_server(error: &InputError) -> Ended {
    match error {
        InputError::NoMemory => Ended::ByUs("[UNAVAILABLE] no memory left"),
        _ => Ended::ServerLeft,
    }
}
