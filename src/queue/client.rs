//! Our own SMTP client (RFC 5321, RFC 3207, RFC 4954): one connection to one server, from connect to
//! QUIT. What is sent over it stands in [`transfer`].
//!
//! A fault here says that this server could not be used; another one may be tried.

mod reply;
mod transfer;
mod wire;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use self::reply::{LINE_MAX, LINES_MAX, Offers, Reply};
pub(super) use self::transfer::{Mailing, Submitter, Unsent};
use super::answer::{Answer, Status};
use crate::net::{ClientTls, Input, LineEnds, Memory, Output, Stream, open};

/// How a connection is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// By STARTTLS where it is offered, else not at all (RFC 7435).
    #[default]
    Opportunistic,
    /// By STARTTLS and a certificate that proves the name, or there is no connection.
    StartTls,
    /// TLS from the first octet on, and a certificate that proves the name.
    Tls,
    /// Never.
    Plain,
}

/// A login at a smarthost.
#[derive(Clone)]
pub struct Login {
    /// As whom one sends, when that is somebody else (the authorization identity of RFC 4422).
    pub acts_as: Option<String>,
    /// What shows who one is.
    pub proof: Proof,
}

/// What shows who one is.
#[derive(Clone)]
pub enum Proof {
    /// A name and a password (RFC 4616).
    Password {
        /// The user's name there.
        user: String,
        /// Its password.
        password: Zeroizing<String>,
    },
    /// The certificate that was shown when TLS was put on (RFC 4422 appendix A).
    Certificate,
}

/// How long each step may take (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The connection itself.
    pub connect: Duration,
    /// The greeting.
    pub greeting: Duration,
    /// The reply to a command.
    pub command: Duration,
    /// The reply to DATA.
    pub data_begin: Duration,
    /// A block of message data.
    pub data_block: Duration,
    /// The reply to the message's end.
    pub data_end: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_mins(1),
            greeting: Duration::from_mins(5),
            command: Duration::from_mins(5),
            data_begin: Duration::from_mins(2),
            data_block: Duration::from_mins(3),
            data_end: Duration::from_mins(10),
        }
    }
}

/// What all connections share.
pub(super) struct Ways {
    /// What we call ourselves.
    pub(super) hostname: String,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
    pub(super) times: Times,
    /// Takes any certificate.
    pub(super) anybody: ClientTls,
    /// Takes a certificate that proves the name.
    pub(super) verified: ClientTls,
    pub(super) memory: Arc<Memory>,
}

/// A conversation with a server that greeted us.
pub(super) struct Client {
    input: Input,
    output: Output,
    host: String,
    offers: Offers,
    times: Times,
    standing: Standing,
    secured: bool,
    logged_in: bool,
    open_end: OpenEnd,
}

/// What may be said next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Anything.
    Ready,
    /// RSET or QUIT: a transaction was given up that the server may go on with.
    Unended,
    /// Nothing more.
    Lost,
}

/// Whether all of a message was sent, and nobody knows yet what has become of it (RFC 1047).
#[derive(Clone, Debug, Default)]
pub(super) struct OpenEnd(Arc<AtomicBool>);

impl OpenEnd {
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// TLS that was tried for want of better, and failed: plain words are the next best.
struct Handshake(Answer);

impl Client {
    /// Connects, secures the connection as asked, and logs in if there is a login.
    pub(super) async fn connect(
        ways: &Ways,
        host: &str,
        address: SocketAddr,
    ) -> Result<Self, Answer> {
        let client = match Self::reach(ways, host, address, ways.security).await? {
            Ok(client) => client,
            Err(Handshake(answer)) if ways.security == Security::Opportunistic => {
                tracing::debug!(host, reason = answer.text, "TLS failed, going on without");
                match Self::reach(ways, host, address, Security::Plain).await? {
                    Ok(client) => client,
                    Err(Handshake(answer)) => return Err(answer),
                }
            }
            Err(Handshake(answer)) => return Err(answer),
        };
        match &ways.login {
            Some(login) => client.log_in(login).await,
            None => Ok(client),
        }
    }

    async fn reach(
        ways: &Ways,
        host: &str,
        address: SocketAddr,
        security: Security,
    ) -> Result<Result<Self, Handshake>, Answer> {
        let mut stream = Stream::connect(address, ways.times.connect).await.map_err(|error| {
            Answer::own(
                Status(4, 4, 1),
                format!("cannot connect to {host} [{}]: {error}", address.ip()),
            )
        })?;
        if security == Security::Tls
            && let Err(error) = stream.connect_tls(&ways.verified, host).await
        {
            return Ok(Err(Handshake(no_tls(host, &error))));
        }
        let secured = stream.is_secured();
        let (input, output) = open(stream, LineEnds::Lenient, &ways.memory);
        let (host, offers, times) = (host.to_owned(), Offers::default(), ways.times);
        let mut client = Self {
            input,
            output,
            host,
            offers,
            times,
            standing: Standing::Ready,
            secured,
            logged_in: false,
            open_end: OpenEnd::default(),
        };
        let greeting = client.reply(ways.times.greeting).await?;
        if greeting.code != 220 {
            // Another server of the domain may be in a better mood, or this one later.
            return Err(greeting.answer(&client.host).temporary());
        }
        client.hello(&ways.hostname).await?;
        let tls = match security {
            Security::StartTls => &ways.verified,
            Security::Opportunistic if client.offers.start_tls => &ways.anybody,
            Security::Opportunistic | Security::Tls | Security::Plain => return Ok(Ok(client)),
        };
        if !client.offers.start_tls {
            let text = format!("{} does not offer STARTTLS", client.host);
            return Err(Answer::own(Status(4, 7, 10), text));
        }
        client.start_tls(tls, security, &ways.hostname).await
    }

    /// STARTTLS (RFC 3207): what was read behind the go-ahead and what was offered before it were not
    /// protected, and are forgotten.
    async fn start_tls(
        mut self,
        tls: &ClientTls,
        security: Security,
        hostname: &str,
    ) -> Result<Result<Self, Handshake>, Answer> {
        let go_ahead = self.command("STARTTLS").await?;
        if go_ahead.code != 220 {
            return match security {
                Security::StartTls => Err(go_ahead.answer(&self.host).temporary()),
                _ => Ok(Ok(self)),
            };
        }
        let host = self.host.clone();
        if let Err(error) = self.input.connect_tls(tls, &host).await {
            return Ok(Err(Handshake(no_tls(&host, &error))));
        }
        self.secured = true;
        self.offers = Offers::default();
        self.hello(hostname).await?;
        Ok(Ok(self))
    }

    /// EHLO, or HELO where that is not known (RFC 5321 §3.2).
    async fn hello(&mut self, hostname: &str) -> Result<(), Answer> {
        let reply = self.command(&format!("EHLO {hostname}")).await?;
        if reply.is_positive() {
            self.offers = Offers::read(&reply);
            return Ok(());
        }
        let reply = self.command(&format!("HELO {hostname}")).await?;
        if !reply.is_positive() {
            return Err(reply.answer(&self.host).temporary());
        }
        let (code, first) = (reply.code, reply.lines.into_iter().next());
        self.offers = Offers::read(&Reply { code, lines: first.into_iter().collect() });
        Ok(())
    }

    /// AUTH (RFC 4954); a login that fails is the owner's to mend, so mail waits.
    async fn log_in(mut self, login: &Login) -> Result<Self, Answer> {
        if !self.secured {
            let text = format!("the login at {} needs TLS", self.host);
            return Err(Answer::own(Status(4, 7, 11), text));
        }
        let acts_as = login.acts_as.as_deref().unwrap_or_default();
        let (mechanism, offered, message) = match &login.proof {
            Proof::Password { user, password } => {
                let message = Zeroizing::new(format!("{acts_as}\0{user}\0{}", &**password));
                ("PLAIN", self.offers.auth_plain, message)
            }
            Proof::Certificate => {
                ("EXTERNAL", self.offers.auth_external, Zeroizing::new(acts_as.to_owned()))
            }
        };
        if !offered {
            let text = format!("{} does not offer AUTH {mechanism}", self.host);
            return Err(Answer::own(Status(4, 7, 4), text));
        }
        let mut message = Zeroizing::new(STANDARD.encode(&*message));
        if message.is_empty() {
            // A response of no octets (RFC 4954 §4).
            message.push('=');
        }
        let command = Zeroizing::new(format!("AUTH {mechanism} {}", &*message));
        let reply = self.command(&command).await?;
        if reply.code != 235 {
            return Err(reply.answer(&self.host).temporary());
        }
        self.logged_in = true;
        Ok(self)
    }

    /// Whether another message may be sent over it.
    pub(super) fn is_usable(&self) -> bool {
        self.standing != Standing::Lost
    }

    /// Tells of the message that is under way, also when nobody waits for it any more.
    pub(super) fn open_end(&self) -> OpenEnd {
        self.open_end.clone()
    }

    /// Whether the server reports to the sender itself (RFC 3461).
    pub(super) fn reports(&self) -> bool {
        self.offers.dsn
    }

    /// The name by which the server greets.
    pub(super) fn greeted_as(&self) -> &str {
        &self.offers.name
    }

    /// Says goodbye and does not wait long for an answer.
    pub(super) async fn quit(mut self) {
        if self.is_usable() {
            self.output.put("QUIT\r\n");
            let short = Duration::from_secs(5).min(self.times.command);
            if matches!(timeout(short, self.output.flush()).await, Ok(Ok(()))) {
                let _ = self.reply(short).await;
            }
        }
        let _ = timeout(Duration::from_secs(1), self.output.close()).await;
    }

    /// Sends a command and waits for its reply.
    async fn command(&mut self, line: &str) -> Result<Reply, Answer> {
        self.output.put(line);
        self.output.put("\r\n");
        self.flush().await?;
        self.reply(self.times.command).await
    }

    async fn flush(&mut self) -> Result<(), Answer> {
        match timeout(self.times.command, self.output.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error)),
            Err(_) => Err(self.lost(&"it does not read")),
        }
    }

    /// The next reply, whole. One that says goodbye (421) ends the conversation.
    async fn reply(&mut self, within: Duration) -> Result<Reply, Answer> {
        self.input.set_deadline(Some(Instant::now() + within));
        let mut reply = Reply::default();
        loop {
            let octets = match self.input.line(LINE_MAX).await {
                Ok(Some(octets)) => octets,
                Ok(None) => return Err(self.lost(&"it left")),
                Err(error) => return Err(self.lost(&error)),
            };
            let Some(line) = reply::line(&octets) else {
                return Err(self.lost(&"it does not speak SMTP"));
            };
            if !reply.lines.is_empty() && line.code != reply.code || reply.lines.len() >= LINES_MAX
            {
                return Err(self.lost(&"it does not speak SMTP"));
            }
            reply.code = line.code;
            reply.lines.push(line.text);
            if !line.more {
                break;
            }
        }
        if reply.code == 421 {
            self.standing = Standing::Lost;
            return Err(reply.answer(&self.host));
        }
        Ok(reply)
    }

    fn lost(&mut self, why: &dyn std::fmt::Display) -> Answer {
        self.standing = Standing::Lost;
        Answer::own(Status(4, 4, 2), format!("lost connection to {}: {why}", self.host))
    }
}

fn no_tls(host: &str, error: &std::io::Error) -> Answer {
    Answer::own(Status(4, 7, 5), format!("no TLS with {host}: {error}"))
}
