//! The rhythm of a conversation: read, parse, run, tell what else happened, reply.
//!
//! The words are the commands'. A command that needs more of the connection (IDLE, APPEND,
//! AUTHENTICATE) asks the session for its input.

mod telling;

use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::telling::Ears;
use super::{
    command::Command,
    error::Error,
    extensions::{Capabilities, Facts, Row, When},
    limits::Limits,
    metadata_news::MetadataNews,
    notify::Notify,
    reply::{Code, Done, Next, Replies},
    request::{Incoming, Reader, Request, Situation, within},
    selected::Selected,
};
use crate::{
    auth::login::Logins,
    events::{Door as Way, Origin},
    ids::{AccountId, DeviceId, SessionId},
    mail::{Actor, Collation, Mail, urls::Urls},
    metrics::{Limit, Metrics},
    net::{self, Connection, Input, LineEnds, Memory, Permit, ServerTls, Share},
    queue::Unheard,
    sessions::{Entry, Sessions},
    submission::Submission,
    wire::{Names, address::Address},
};

/// What all sessions of this door share.
pub struct Door {
    /// Mailboxes and messages.
    pub mail: Mail,
    /// URLs of messages, followed and authorised.
    pub urls: Urls,
    /// Mail from our users.
    pub submission: Submission,
    /// Where else they can hand it in, each as `host:port`.
    pub submission_servers: Arc<[String]>,
    /// What those servers say to EHLO when a user has logged in over TLS.
    pub submission_keywords: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Passwords and SASL exchanges.
    pub logins: Arc<Logins>,
    /// What one connection may ask.
    pub limits: Limits,
    /// Turns on TLS; without it STARTTLS is not offered.
    pub tls: Option<Arc<ServerTls>>,
    /// What all input buffers together may hold.
    pub memory: Arc<Memory>,
    /// Where it is counted what happens here.
    pub metrics: Arc<Metrics>,
    /// Our name in the greeting.
    pub hostname: String,
    /// Where the source of this very program is to be had; told by ID, as the licence asks.
    pub source_url: Option<String>,
    /// Who is connected, and the means to end a session from anywhere.
    pub sessions: Arc<Sessions>,
}

/// Who is logged in.
#[derive(Clone, Debug)]
pub struct User {
    /// The account.
    pub account: AccountId,
    /// Its address, for the log and for QUOTAROOT.
    pub address: Arc<str>,
    /// The device whose app password was used.
    pub device: Option<DeviceId>,
}

/// What the client has enabled.
#[allow(clippy::struct_excessive_bools, reason = "a client enables each by itself")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// IMAP4rev2: ESEARCH instead of SEARCH, no RECENT, names in UTF-8.
    pub rev2: bool,
    /// UTF8=ACCEPT: strings and names in UTF-8.
    pub utf8: bool,
    /// CONDSTORE: mod-sequences and UIDs in every FETCH response that was not asked for.
    pub condstore: bool,
    /// It was enabled by that name, and not by the way.
    pub condstore_by_name: bool,
    /// QRESYNC: CONDSTORE, and VANISHED instead of EXPUNGE.
    pub qresync: bool,
    /// UIDONLY: messages have no numbers.
    pub uid_only: bool,
    /// METADATA: what others say of mailboxes and of the server.
    pub metadata: bool,
    /// METADATA-SERVER: what others say of the server.
    pub metadata_server: bool,
}

/// What is kept of a failure, and the memory that it takes.
struct Kept {
    unheard: Unheard,
    _share: Share,
}

/// One connection.
pub struct Session {
    /// What all sessions share.
    pub door: Arc<Door>,
    /// Its number.
    pub id: SessionId,
    /// Its place in the register; also the sign that it has to end.
    entry: Entry,
    /// What the client has enabled.
    pub enabled: Enabled,
    /// How the client wants texts to be compared (RFC 5255 §4.7).
    pub collation: Collation,
    /// Where the last APPEND put its message; None after one that failed.
    pub appended_to: Option<Box<str>>,
    /// What the client was told last of a message that was not sent, until it shows that it has heard it.
    unheard: Option<Box<Kept>>,
    /// The tag of the command at work.
    pub tag: String,
    user: Option<User>,
    selected: Option<Box<Selected>>,
    /// What others say of mailboxes and of the server, when the client wants to hear of it.
    metadata: Option<Box<MetadataNews>>,
    /// What the client wants to be told of unasked, once it has given NOTIFY.
    pub notify: Option<Box<Notify>>,
    input: Option<Input>,
    permit: Arc<Permit>,
    /// Until when the client has to log in.
    login_by: Option<Instant>,
    bad: u32,
    /// Logins that failed, whatever came between them.
    failed_logins: u32,
}

/// Serves one connection to its end.
pub async fn serve(door: Arc<Door>, connection: Connection) {
    let Connection { stream, permit } = connection;
    let (input, output) = net::open(stream, LineEnds::Lenient, &door.memory);
    let mut out = Replies::new(output);
    let entry = door.sessions.open(Way::Imap, input.peer().ip(), now());
    let mut session = Session {
        id: entry.id(),
        entry,
        login_by: permit.since().checked_add(door.limits.login_time),
        enabled: Enabled::default(),
        appended_to: None,
        unheard: None,
        collation: Collation::default(),
        tag: String::new(),
        user: None,
        selected: None,
        metadata: None,
        notify: None,
        input: Some(input),
        permit,
        bad: 0,
        failed_logins: 0,
        door,
    };
    let mut ended = session.converse(&mut out).await;
    if session.unheard.is_some() {
        // Few sessions ever come here, and all would hold room for this.
        Box::pin(session.report_unheard()).await;
    }
    let told_to = session.entry.stop().is_cancelled() && !session.door.sessions.is_closing();
    if told_to && matches!(ended, Err(Error::Bye(Some(Code::Unavailable), _))) {
        // It alone: a client that tries again at once is not let in.
        ended = Err(Error::Bye(None, "your access has changed; log in again"));
    }
    if let Err(Error::Bye(code, text)) = &ended {
        out.bye(code.as_ref(), text);
    }
    tracing::debug!(session = %session.id, reason = ?ended.err(), "imap session ends");
    out.close().await;
}

impl Session {
    /// The conversation: ends with the client's leaving, or with the reason for a BYE.
    async fn converse(&mut self, out: &mut Replies) -> Result<(), Error> {
        let greeting = format!("{} Mailade is ready", self.door.hostname);
        out.ok(&Code::Capability(self.capabilities()), &greeting);
        out.flush().await?;
        let mut reader = Reader::new(self.input()?.share());
        loop {
            // What was sent before an answer does not show that it was heard.
            let was_silent = self.unheard.is_some() && !self.input()?.has_spoken();
            let incoming = self.incoming(&mut reader, out).await?;
            if was_silent && !matches!(incoming, Incoming::End) {
                self.unheard = None;
            }
            let request = match incoming {
                Incoming::End => return Ok(()),
                Incoming::Bad(tag, error) => {
                    let too_long = matches!(error, Error::Unfit(Some(Code::TooBig), _));
                    self.finish(tag.as_deref().unwrap_or("*"), Err(error), out).await?;
                    if too_long {
                        return Err(Error::Bye(Some(Code::TooBig), "command line too long"));
                    }
                    continue;
                }
                Incoming::Request(request) => request,
            };
            self.tag.clone_from(&request.tag);
            out.begin(&request.tag, self.door.limits.progress_every);
            let parsed = if self.enabled.uid_only && request.row.by_number {
                Err(uid_required())
            } else {
                request.parse(self.names(), self.door.limits.bounds)
            };
            let outcome = match parsed {
                Ok(command) => self.run(command, request.row, out).await,
                Err(error) => {
                    if let Some(literal) = request.unread {
                        self.swallow(literal).await?;
                    }
                    Err(error)
                }
            };
            if let Err(error @ (Error::Bye(..) | Error::Connection(_))) = outcome {
                return Err(error);
            }
            let row = request.row.numbers;
            let numbers = outcome.as_ref().map_or(row, |done| done.numbers(row));
            self.tell_all(numbers, out).await?;
            let outcome = self.with_highest(outcome, out);
            if !self.next(&request, outcome, out).await? {
                return Ok(());
            }
        }
    }

    /// Waits for the next request, and takes in what happens meanwhile; it is told with the answer.
    async fn incoming(
        &mut self,
        reader: &mut Reader,
        out: &mut Replies,
    ) -> Result<Incoming, Error> {
        let (limits, metrics) = (self.door.limits, Arc::clone(&self.door.metrics));
        let patience = if self.user.is_some() {
            (within(limits.idle_time), Limit::ImapIdleTime)
        } else {
            (self.login_by, Limit::LoginTime)
        };
        let situation = Situation {
            logged_in: self.user.is_some(),
            selected: self.selected.is_some(),
            limits: &limits,
            patience,
            metrics: &metrics,
        };
        let stop = self.entry.stop().clone();
        if let Some(input) = &mut self.input {
            input.set_deadline(patience.0);
        }
        loop {
            let Some(input) = &mut self.input else { return Ok(Incoming::End) };
            let ears = Ears {
                selected: self.selected.as_deref_mut(),
                metadata: self.metadata.as_deref_mut(),
                notify: self.notify.as_deref(),
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(closing()),
                incoming = reader.next(input, out, situation) => return incoming,
                () = ears.between_commands() => {}
            }
            // Few sessions ever come here, and all would hold room for this.
            Box::pin(self.tell_unasked(out)).await?;
        }
    }

    /// Keeps what the client is about to be told, for the time when it may not have heard it.
    pub fn keep_unheard(&mut self, unheard: Option<Unheard>) -> Result<(), Error> {
        self.unheard = None;
        let Some(unheard) = unheard else { return Ok(()) };
        let mut share = self.input()?.share();
        if share.hold(unheard.weight()) {
            self.unheard = Some(Box::new(Kept { unheard, _share: share }));
        } else {
            tracing::warn!(session = %self.id, "no memory to keep that mail was refused");
        }
        Ok(())
    }

    /// A client that left without another word may not have heard that its message was not sent.
    async fn report_unheard(&mut self) {
        let (Some(kept), Ok(user)) = (self.unheard.take(), self.user()) else { return };
        let Ok(author) = Address::parse(&user.address) else { return };
        if let Err(error) = kept.unheard.report(&self.door.submission, &author, now()).await {
            tracing::error!(session = %self.id, %error, "it is not reported that mail was refused");
        }
    }

    /// Runs a command. One that only reads ends when the client leaves or the server closes.
    async fn run(
        &mut self,
        command: Box<dyn Command>,
        row: &Row,
        out: &mut Replies,
    ) -> Result<Done, Error> {
        let stop = self.entry.stop().clone();
        if row.when == When::BeforeLogin {
            // A login that fails takes its time; the server's stop does not wait for it.
            return tokio::select! {
                biased;
                outcome = command.run(self, out) => outcome,
                () = stop.cancelled() => Err(closing()),
            };
        }
        if !row.reads_only {
            return command.run(self, out).await;
        }
        let waiting = self.door.limits.commands_waiting;
        let mut input = self.input.take();
        let outcome = tokio::select! {
            biased;
            outcome = command.run(self, out) => outcome,
            () = stop.cancelled() => Err(closing()),
            () = gone(input.as_mut(), waiting) => Err(Error::Connection(std::io::ErrorKind::NotConnected.into())),
        };
        self.input = input;
        outcome
    }

    /// Says how a command ended and does what follows from it; false when nothing follows any more.
    async fn next(
        &mut self,
        request: &Request,
        outcome: Result<Done, Error>,
        out: &mut Replies,
    ) -> Result<bool, Error> {
        let next = outcome.as_ref().map_or(Next::GoOn, Done::next);
        if next == Next::StartTls {
            // What came before the go-ahead was not protected (RFC 9051 §6.2.1).
            self.input()?.discard_buffered();
        }
        self.finish(&request.tag, outcome, out).await?;
        match next {
            Next::GoOn => Ok(true),
            Next::Leave => Ok(false),
            Next::Compress => {
                self.input()?.compress();
                Ok(true)
            }
            Next::StartTls => {
                let tls = self.door.tls.clone().ok_or_else(|| Error::unfit("no TLS here"))?;
                self.input()?.start_tls(&tls).await?;
                self.enabled = Enabled::default();
                self.bad = 0;
                Ok(true)
            }
        }
    }

    async fn finish(
        &mut self,
        tag: &str,
        outcome: Result<Done, Error>,
        out: &mut Replies,
    ) -> Result<(), Error> {
        let bad = matches!(outcome, Err(Error::Bad(_) | Error::Unfit(..)));
        if let Some(limit) = outcome.as_ref().err().and_then(Error::limit) {
            self.door.metrics.exceeded(limit);
        }
        let failed_login = matches!(outcome, Err(Error::No(Some(Code::AuthenticationFailed), _)));
        out.finish(tag, outcome)?;
        if bad {
            self.bad += 1;
            let limits = &self.door.limits;
            let (most, limit) = if self.user.is_some() {
                (limits.bad, Limit::BadCommandsMax)
            } else {
                (limits.bad_before_login, Limit::BadCommandsBeforeLoginMax)
            };
            if self.bad >= most {
                self.door.metrics.exceeded(limit);
                return Err(Error::Bye(None, "too many bad commands"));
            }
        }
        if failed_login && self.failed_logins >= self.door.limits.failed_logins {
            self.door.metrics.exceeded(Limit::AuthFailuresPerConnection);
            return Err(Error::Bye(None, "too many failed logins"));
        }
        out.flush().await
    }

    /// The client has not shown who it is; too often, and the connection ends behind the answer.
    pub fn login_failed(&mut self) {
        self.failed_logins = self.failed_logins.saturating_add(1);
    }

    /// The client wants mod-sequences from now on. The first time it is told up to which one it knows
    /// its open mailbox (RFC 7162 §3.1).
    pub fn enable_condstore(&mut self, out: &mut Replies) {
        if std::mem::replace(&mut self.enabled.condstore, true) {
            return;
        }
        if let Some(selected) = &mut self.selected {
            selected.hear_mod_seqs();
            out.ok(&Code::HighestModSeq(selected.tell_highest()), "the last change you know");
        }
    }

    /// The client wants to hear of metadata, as far as it has enabled that.
    pub fn enable_metadata(&mut self) -> Result<(), Error> {
        if !self.enabled.metadata && !self.enabled.metadata_server {
            return Ok(());
        }
        let account = self.user()?.account;
        let news = || Box::new(MetadataNews::new(&self.door.mail, account, self.id));
        self.metadata.get_or_insert_with(news).set_enabled(self.enabled);
        Ok(())
    }

    /// What hangs on the state of the connection.
    pub fn facts(&self) -> Facts {
        let input = self.input.as_ref();
        let tls = input.is_some_and(Input::is_tls);
        Facts {
            logged_in: self.user.is_some(),
            tls,
            compressed: input.is_some_and(Input::is_compressed),
            secured: input.is_some_and(Input::is_secured),
            can_start_tls: self.door.tls.is_some() && !tls,
            can_bind: input.is_some_and(|input| input.channel_binding().is_some()),
            message_max: self.door.limits.message,
            messages_max: self.door.limits.messages_per_command as u64,
        }
    }

    /// What CAPABILITY says now.
    pub fn capabilities(&self) -> Capabilities {
        let submission_servers = Arc::clone(&self.door.submission_servers);
        Capabilities { facts: self.facts(), submission_servers }
    }

    /// How mailbox names are read and written.
    pub fn names(&self) -> Names {
        let utf8 = self.enabled.rev2 || self.enabled.utf8;
        if utf8 { Names::Utf8 } else { Names::Modified7 }
    }

    /// The room of mailboxes and messages.
    pub fn mail(&self) -> Mail {
        self.door.mail.clone()
    }

    /// Who is logged in.
    pub fn user(&self) -> Result<&User, Error> {
        self.user.as_ref().ok_or_else(|| Error::unfit("log in first"))
    }

    /// The logged-in user as the one who does something now.
    pub fn actor(&self) -> Result<Actor, Error> {
        let user = self.user()?;
        let origin =
            Origin { door: Way::Imap, session: Some(self.id), device: user.device, at: now() };
        Ok(Actor { account: user.account, origin })
    }

    /// The client has shown who it is.
    pub fn log_in(&mut self, user: User) -> Result<(), Error> {
        if self.permit.logged_in(Instant::now()).is_err() {
            return Err(Error::Bye(Some(Code::Limit), "too many connections from you"));
        }
        self.entry.login(Some(user.account), user.device);
        self.user = Some(user);
        self.bad = 0;
        Ok(())
    }

    /// Forgets all that came with the login and after it (RFC 8437 §3); TLS stays.
    pub fn log_out(&mut self) {
        self.entry.login(None, None);
        self.permit.logged_out();
        self.login_by = Instant::now().checked_add(self.door.limits.login_time);
        self.user = None;
        self.enabled = Enabled::default();
        self.selected = None;
        self.metadata = None;
        self.notify = None;
        self.appended_to = None;
        self.unheard = None;
        self.collation = Collation::default();
        self.bad = 0;
    }

    /// The open mailbox.
    pub fn selected(&mut self) -> Result<&mut Selected, Error> {
        self.selected.as_deref_mut().ok_or_else(|| Error::unfit("select a mailbox first"))
    }

    /// Opens this mailbox in place of another, or none; says whether one was open.
    pub fn select(&mut self, selected: Option<Selected>) -> bool {
        std::mem::replace(&mut self.selected, selected.map(Box::new)).is_some()
    }

    /// The sign that the server closes.
    pub fn stop(&self) -> CancellationToken {
        self.entry.stop().clone()
    }

    /// The connection's input; only for commands that are not marked as reading only.
    pub fn input(&mut self) -> Result<&mut Input, Error> {
        self.input.as_mut().ok_or(Error::Connection(std::io::ErrorKind::NotConnected.into()))
    }
}

/// A client that has enabled UIDONLY names messages by their UIDs alone (RFC 9586 §3).
pub fn uid_required() -> Error {
    Error::Unfit(Some(Code::UidRequired), "messages have no numbers once UIDONLY is enabled")
}

/// Waits until the client has left; reads on while fewer commands than so many wait. One that
/// closed its side behind further commands still listens.
async fn gone(input: Option<&mut Input>, waiting: usize) {
    if let Some(input) = input {
        input.ended(waiting).await;
        if !input.has_buffered() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Why the connection ends when the server does.
pub fn closing() -> Error {
    Error::Bye(Some(Code::Unavailable), "the server is closing")
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, F: Future>(_: impl Fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_session_is_small() {
        assert!(size(serve) <= 3 * 1024, "{}", size(serve));
    }
}
