//! What we can say: response codes, the tagged end of a command, untagged data.

use std::{borrow::Cow, io, pin::pin, time::Duration};

use super::{
    error::Error,
    extensions::{Capabilities, Numbers},
    picture::Target,
};
use crate::{
    ids::{MailboxId, ModSeq, Uid, UidValidity},
    mail::search::Progress,
    net,
    wire::{Buffer, Encode, Names, Ranges, Syntax},
};

/// `12 FETCH`, or `4827 UIDFETCH` (RFC 9586 §3.3)
#[derive(Clone, Copy, Debug)]
pub struct Heading {
    target: Target,
    /// The UID stands here, and need not stand behind it too.
    pub uid_only: bool,
}

impl Encode for Heading {
    fn encode(&self, out: &mut Buffer) {
        if self.uid_only {
            out.put(self.target.uid.get());
            out.put(" UIDFETCH");
        } else {
            out.put(self.target.number);
            out.put(" FETCH");
        }
    }
}

/// Ranges of UIDs in one VANISHED.
const MOST_RANGES: usize = 1_000;
/// From how many waiting octets on an answer is sent on while it still grows.
const FLUSH_AT: usize = 16 * 1024;
/// From how many on they are handed on with their memory instead of being copied out of it.
const WORTH_GIVING: usize = 32 * 1024;

/// A response code (RFC 9051 §7.1, RFC 5530 and those of the extensions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The name is taken.
    AlreadyExists,
    /// What comes and leaves is compressed already (RFC 4978 §3).
    CompressionActive,
    /// A value that is said of a message is too long (RFC 5257 §4.5).
    AnnotateTooBig,
    /// Too much is said of a message (RFC 5257 §4.5).
    AnnotateTooMany,
    /// What may be said of messages: values of so many octets, or nothing (RFC 5257 §4.1).
    Annotations(Option<u64>),
    /// Where appended messages are, in their order (RFC 4315 §3).
    AppendUid(UidValidity, Vec<Uid>),
    /// Wrong user or password.
    AuthenticationFailed,
    /// May not act as that user.
    AuthorizationFailed,
    /// The first URL that could not be followed (RFC 4469 §4.1).
    BadUrl(String),
    /// No such charset; these there are.
    BadCharset,
    /// No such way to compare texts (RFC 5255 §4.9).
    BadComparator,
    /// It can never be done.
    Cannot,
    /// What we speak, as CAPABILITY says it.
    Capability(Capabilities),
    /// The client does what no client should.
    ClientBug,
    /// The mailbox selected before is closed; what follows is about the next (RFC 7162 §3.2.11).
    Closed,
    /// Where copied messages came from and are (RFC 4315 §3).
    CopyUid(UidValidity, Ranges, Ranges),
    /// Stored data is damaged.
    Corruption,
    /// Messages are gone; NOOP tells which.
    ExpungeIssued,
    /// It has children.
    HasChildren,
    /// Up to which change the client knows everything (RFC 7162 §3.1.2.1).
    HighestModSeq(ModSeq),
    /// A limit of this server.
    Limit,
    /// No more messages than so many are worked on at once; the lowest UID that was (RFC 9738 §3.1).
    MessageLimit(usize, Option<Uid>),
    /// The mailbox's id (RFC 8474 §4.2).
    MailboxId(MailboxId),
    /// The octets of the largest value that was too large (RFC 5464 §4.2.1).
    MetadataLongEntries(u64),
    /// No value may have more octets (RFC 5464 §4.3).
    MetadataMaxSize(u64),
    /// There may be no more entries (RFC 5464 §4.3).
    MetadataTooMany,
    /// Messages of a conditional STORE that had changed, by number or UID (RFC 7162 §3.1.3).
    Modified(Ranges),
    /// No such mailbox.
    NonExistent,
    /// Not allowed.
    NoPerm,
    /// The search result could not be kept (RFC 5182).
    NotSaved,
    /// No such event can be asked for; these can (RFC 5465 §8).
    BadEvent(Vec<&'static str>),
    /// More happened than can be told, or it would be too much (RFC 5465 §5.8).
    NotificationOverflow,
    /// The search of this tag is not kept up to date (RFC 5267 §4.3.1).
    NoUpdate(String),
    /// The owner's quota is used up.
    OverQuota,
    /// The command of this tag is still at work (RFC 9585 §4).
    /// How many messages are done, of how many, where that is known.
    InProgress(String, Option<(usize, usize)>),
    /// A message could not be read.
    Parse,
    /// The flags that can be kept, ready to print.
    PermanentFlags(String),
    /// Only under TLS.
    PrivacyRequired,
    /// May only be read.
    ReadOnly,
    /// May be changed.
    ReadWrite,
    /// Our own failure.
    ServerBug,
    /// Too many octets.
    TooBig,
    /// No such mailbox, but it could be made.
    TryCreate,
    /// The UID that comes next.
    UidNext(u32),
    /// Messages are named by UID alone (RFC 9586 §3).
    UidRequired,
    /// What the UIDs are valid under.
    UidValidity(UidValidity),
    /// Not now; later it may work.
    Unavailable,
    /// There is no filter of this name (RFC 5466 §3.1).
    UndefinedFilter(String),
    /// The part's transfer encoding is unknown (RFC 3516).
    UnknownCte,
    /// The number of the first message without `\Seen`.
    Unseen(u32),
    /// How URLs can be authorised (RFC 4467 §8).
    UrlMech,
    /// No such special use, or not here (RFC 6154 §6).
    UseAttr,
}

/// `INPROGRESS ("A001" 454 1000)`; a bracket in the tag would end the code (RFC 9585 §4).
fn in_progress(tag: &str, progress: Option<(usize, usize)>, out: &mut Buffer) {
    out.put("INPROGRESS (");
    if tag.contains(']') {
        out.put("NIL");
    } else {
        out.string(tag.as_bytes());
    }
    match progress {
        Some((done, of)) => {
            out.put(" ");
            out.put(done as u64);
            out.put(" ");
            out.put(of as u64);
            out.put(")");
        }
        None => out.put(" NIL NIL)"),
    }
}

impl Encode for Code {
    fn encode(&self, out: &mut Buffer) {
        match self {
            Self::AlreadyExists => out.put("ALREADYEXISTS"),
            Self::CompressionActive => out.put("COMPRESSIONACTIVE"),
            Self::AppendUid(validity, uids) => {
                out.put("APPENDUID ");
                out.put(validity.0);
                out.put(" ");
                let uids: Vec<u32> = uids.iter().map(|uid| uid.get()).collect();
                out.put(InOrder(&uids));
            }
            Self::AuthenticationFailed => out.put("AUTHENTICATIONFAILED"),
            Self::AuthorizationFailed => out.put("AUTHORIZATIONFAILED"),
            Self::BadUrl(url) => bad_url(url, out),
            Self::BadCharset => out.put("BADCHARSET (US-ASCII UTF-8)"),
            Self::BadComparator => out.put("BADCOMPARATOR"),
            Self::Cannot => out.put("CANNOT"),
            Self::Capability(capabilities) => out.put(capabilities),
            Self::ClientBug => out.put("CLIENTBUG"),
            Self::Closed => out.put("CLOSED"),
            Self::CopyUid(validity, from, to) => copy_uid(*validity, from, to, out),
            Self::Corruption => out.put("CORRUPTION"),
            Self::ExpungeIssued => out.put("EXPUNGEISSUED"),
            Self::HasChildren => out.put("HASCHILDREN"),
            Self::HighestModSeq(mod_seq) => {
                out.put("HIGHESTMODSEQ ");
                out.put(mod_seq.0);
            }
            Self::Limit => out.put("LIMIT"),
            Self::MessageLimit(most, lowest) => {
                out.put("MESSAGELIMIT ");
                out.put(*most as u64);
                if let Some(uid) = lowest {
                    out.put(" ");
                    out.put(uid.get());
                }
            }
            Self::MailboxId(id) => {
                out.put("MAILBOXID (");
                out.put(MailboxObject(*id));
                out.put(")");
            }
            Self::AnnotateTooBig
            | Self::AnnotateTooMany
            | Self::Annotations(_)
            | Self::MetadataLongEntries(_)
            | Self::MetadataMaxSize(_)
            | Self::MetadataTooMany => self.encode_said(out),
            Self::Modified(set) => {
                out.put("MODIFIED ");
                out.put(set);
            }
            Self::NonExistent => out.put("NONEXISTENT"),
            Self::NoPerm => out.put("NOPERM"),
            Self::NotSaved => out.put("NOTSAVED"),
            Self::BadEvent(events) => bad_event(events, out),
            Self::NotificationOverflow => out.put("NOTIFICATIONOVERFLOW"),
            Self::NoUpdate(tag) => {
                out.put("NOUPDATE ");
                out.string(tag.as_bytes());
            }
            Self::OverQuota => out.put("OVERQUOTA"),
            Self::InProgress(tag, progress) => in_progress(tag, *progress, out),
            Self::Parse => out.put("PARSE"),
            Self::PermanentFlags(flags) => {
                out.put("PERMANENTFLAGS ");
                out.put(flags.as_str());
            }
            Self::PrivacyRequired => out.put("PRIVACYREQUIRED"),
            Self::ReadOnly => out.put("READ-ONLY"),
            Self::ReadWrite => out.put("READ-WRITE"),
            Self::ServerBug => out.put("SERVERBUG"),
            Self::TooBig => out.put("TOOBIG"),
            Self::TryCreate => out.put("TRYCREATE"),
            Self::UidNext(uid) => {
                out.put("UIDNEXT ");
                out.put(*uid);
            }
            Self::UidRequired => out.put("UIDREQUIRED"),
            Self::UidValidity(validity) => {
                out.put("UIDVALIDITY ");
                out.put(validity.0);
            }
            Self::Unavailable => out.put("UNAVAILABLE"),
            Self::UndefinedFilter(name) => {
                out.put("UNDEFINED-FILTER ");
                out.put(name.as_str());
            }
            Self::UnknownCte => out.put("UNKNOWN-CTE"),
            Self::Unseen(number) => {
                out.put("UNSEEN ");
                out.put(*number);
            }
            Self::UrlMech => out.put("URLMECH INTERNAL"),
            Self::UseAttr => out.put("USEATTR"),
        }
    }
}

/// `BADURL "/INBOX/;UID=20"`; what would end the quotes or the code is encoded.
fn bad_url(url: &str, out: &mut Buffer) {
    const LONGEST: usize = 1_000;
    out.put("BADURL \"");
    for octet in url.bytes().take(LONGEST) {
        if octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\' | b']') {
            out.raw(&[octet]);
        } else {
            out.put(format!("%{octet:02X}").as_str());
        }
    }
    out.put("\"");
}

/// `BADEVENT (MessageNew MessageExpunge)`
fn bad_event(events: &[&'static str], out: &mut Buffer) {
    out.put("BADEVENT ");
    out.list(events, |out, event| out.put(*event));
}

/// `COPYUID 38505 304,319:320 3956:3958`
fn copy_uid(validity: UidValidity, from: &Ranges, to: &Ranges, out: &mut Buffer) {
    out.put("COPYUID ");
    out.put(validity.0);
    out.put(" ");
    out.put(from);
    out.put(" ");
    out.put(to);
}

impl Code {
    /// Those about metadata and annotations (RFC 5464 §5, RFC 5257 §5).
    fn encode_said(&self, out: &mut Buffer) {
        let (words, number) = match self {
            Self::AnnotateTooBig => ("ANNOTATE TOOBIG", None),
            Self::AnnotateTooMany => ("ANNOTATE TOOMANY", None),
            Self::Annotations(None) => ("ANNOTATIONS READ-ONLY", None),
            Self::Annotations(Some(most)) => ("ANNOTATIONS ", Some(*most)),
            Self::MetadataLongEntries(size) => ("METADATA LONGENTRIES ", Some(*size)),
            Self::MetadataMaxSize(most) => ("METADATA MAXSIZE ", Some(*most)),
            _ => ("METADATA TOOMANY", None),
        };
        out.put(words);
        if let Some(number) = number {
            out.put(number);
        }
    }
}

/// A set of numbers that keeps its order; ranges only where the numbers rise one by one.
pub struct InOrder<'n>(pub &'n [u32]);

impl Encode for InOrder<'_> {
    fn encode(&self, out: &mut Buffer) {
        let mut comma = "";
        for run in self.0.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            out.put(comma);
            out.put(*first);
            if last != first {
                out.put(":");
                out.put(*last);
            }
            comma = ",";
        }
    }
}

/// A mailbox's object id: survives RENAME, never given again (RFC 8474 §4).
pub struct MailboxObject(pub MailboxId);

impl Encode for MailboxObject {
    fn encode(&self, out: &mut Buffer) {
        out.put("F");
        out.put(self.0.0.unsigned_abs());
    }
}

/// `* LIST (…) "/" name ["(OLDNAME" (old) ")"]`: a name that another was given for (RFC 9051
/// §6.3.9.7).
pub struct OldName<'n> {
    /// What the mailbox is, without brackets.
    pub attributes: &'static str,
    /// The name as it is kept.
    pub name: &'n str,
    /// The name as it was given, when it was another.
    pub old: Option<&'n str>,
}

impl Encode for OldName<'_> {
    fn encode(&self, out: &mut Buffer) {
        out.put("* LIST (");
        out.put(self.attributes);
        out.put(") \"/\" ");
        out.mailbox(self.name);
        if let Some(old) = self.old {
            out.put(" (\"OLDNAME\" (");
            out.mailbox(old);
            out.put("))");
        }
        out.put("\r\n");
    }
}

/// Messages that are gone, by UID (RFC 7162 §3.2.10).
pub struct Vanished {
    /// Which.
    pub uids: Ranges,
    /// They were gone before the client counted what there is; it still counts them otherwise.
    pub earlier: bool,
}

impl Vanished {
    /// `* VANISHED (EARLIER) 41,43:116`, in several lines when there are very many, in none when there
    /// is nothing to tell.
    pub async fn write(&self, out: &mut Replies) -> Result<(), Error> {
        for some in self.uids.ranges().chunks(MOST_RANGES) {
            out.line(|out| {
                out.put(if self.earlier { "VANISHED (EARLIER) " } else { "VANISHED " });
                out.put(some.iter().cloned().collect::<Ranges>());
            });
            out.breathe().await?;
        }
        Ok(())
    }
}

/// What the session does behind the tagged OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Waits for the next command.
    GoOn,
    /// Ends the connection.
    Leave,
    /// Puts TLS on.
    StartTls,
    /// Deflates what comes and leaves.
    Compress,
}

/// How a command went well: what its tagged OK says, and what follows.
#[derive(Debug)]
pub struct Done {
    code: Option<Code>,
    text: Cow<'static, str>,
    next: Next,
    /// Message numbers keep still, whatever the command's row says.
    still: bool,
}

impl Done {
    /// OK with this text.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, text: text.into(), next: Next::GoOn, still: false }
    }

    /// OK with this text, and a code before it.
    pub fn with(text: impl Into<Cow<'static, str>>, code: Code) -> Self {
        Self { code: Some(code), ..Self::ok(text) }
    }

    /// The same, with this behind it.
    pub fn then(self, next: Next) -> Self {
        Self { next, ..self }
    }

    /// The same, with this code if it has none yet; gives the code back when there is no room for it.
    pub fn or_code(self, code: Code) -> (Self, Option<Code>) {
        match self.code {
            Some(_) => (self, Some(code)),
            None => (Self { code: Some(code), ..self }, None),
        }
    }

    /// The same; the client counted by message number, and nothing may be renumbered.
    pub fn still(self) -> Self {
        Self { still: true, ..self }
    }

    /// May message numbers change at the end of this command, when its row says so?
    pub fn numbers(&self, row: Numbers) -> Numbers {
        if self.still { Numbers::Still } else { row }
    }

    /// What the session does next.
    pub fn next(&self) -> Next {
        self.next
    }
}

/// The answers of one connection on their way out.
///
/// Commands write into it with [`Replies::put`] and [`Replies::line`]; long answers call
/// [`Replies::breathe`] between their pieces, so that no more than some kilobytes wait here.
pub struct Replies {
    buffer: Buffer,
    output: net::Output,
    uid_only: bool,
    work: Work,
}

/// The command at work.
#[derive(Default)]
struct Work {
    tag: String,
    /// How often its client is told that it still is; zero is never.
    tell_every: Duration,
    /// How far it has come, if it says so.
    progress: Progress,
}

impl Replies {
    /// Answers that leave by this output.
    pub fn new(output: net::Output) -> Self {
        Self { buffer: Buffer::default(), output, uid_only: false, work: Work::default() }
    }

    /// Where answers are written.
    pub fn buffer(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    /// Writes something that knows how, line end and all.
    pub fn put(&mut self, reply: impl Encode) {
        self.buffer.put(reply);
    }

    /// Writes one untagged line: `* `, what the closure writes, and the line end.
    pub fn line(&mut self, write: impl FnOnce(&mut Buffer)) {
        self.buffer.put("* ");
        write(&mut self.buffer);
        self.buffer.put("\r\n");
    }

    /// An untagged `* OK [code] text`.
    pub fn ok(&mut self, code: &Code, text: &str) {
        self.status("OK", Some(code), text);
    }

    /// The last words before the connection ends.
    pub fn bye(&mut self, code: Option<&Code>, text: &str) {
        self.status("BYE", code, text);
    }

    /// An untagged status response.
    pub fn status(&mut self, word: &'static str, code: Option<&Code>, text: &str) {
        self.buffer.put("* ");
        status(&mut self.buffer, word, code, text);
    }

    /// A command begins.
    pub fn begin(&mut self, tag: &str, tell_every: Duration) {
        tag.clone_into(&mut self.work.tag);
        self.work.tell_every = tell_every;
        self.work.progress.forget();
    }

    /// Where a command notes how far it has come, so that its client can be told.
    pub fn progress(&self) -> Progress {
        self.work.progress.clone()
    }

    /// Waits for what may take long; the client is told now and then that it does (RFC 9585). No line
    /// may be half written.
    pub async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let every = self.work.tell_every;
        if every.is_zero() {
            return Ok(work.await);
        }
        let mut work = pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout(every, &mut work).await {
                return Ok(done);
            }
            let code = Code::InProgress(self.work.tag.clone(), self.work.progress.now());
            self.ok(&code, "still at work");
            self.flush().await?;
        }
    }

    /// Lets a long answer flow: call it between pieces. Waits when the client reads slowly.
    pub async fn breathe(&mut self) -> Result<(), Error> {
        if self.buffer.len() < FLUSH_AT {
            return Ok(());
        }
        if self.buffer.len() < WORTH_GIVING {
            self.output.put(self.buffer.bytes());
            self.buffer.clear();
        } else {
            self.output.give(self.buffer.take());
        }
        self.output.room().await.map_err(gone)
    }

    /// Sends all that waits, and keeps no memory.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.output.give(self.buffer.take());
        self.output.flush().await.map_err(gone)
    }

    /// Sends all that waits, if the client still reads, and says that nothing follows.
    pub async fn close(&mut self) {
        self.output.give(self.buffer.take());
        if let Err(error) = self.output.close().await {
            tracing::debug!(%error, "imap connection closed by the other side");
        }
    }

    /// `+ text`: the client may go on.
    pub fn go_on(&mut self, text: &str) {
        self.buffer.put("+ ");
        self.buffer.text(text);
        self.buffer.put("\r\n");
    }

    /// How mailbox names and strings are written from now on.
    pub fn set_names(&mut self, names: Names) {
        self.buffer.set_names(names);
    }

    /// Whether messages are named by UID alone from now on (RFC 9586 §3).
    pub fn set_uid_only(&mut self, uid_only: bool) {
        self.uid_only = uid_only;
    }

    /// How that begins which is told of a message.
    pub fn heading(&self, target: Target) -> Heading {
        Heading { target, uid_only: self.uid_only }
    }

    /// Writes the tagged end of a command. An error that ends the connection is handed back.
    pub fn finish(&mut self, tag: &str, outcome: Result<Done, Error>) -> Result<(), Error> {
        let error = match outcome {
            Ok(done) => {
                self.tagged(tag, "OK", done.code.as_ref(), &done.text);
                return Ok(());
            }
            Err(error) => error,
        };
        match &error {
            Error::Bad(syntax) => {
                let limit = matches!(syntax, Syntax::Limit(_) | Syntax::Over(..));
                let code = limit.then_some(Code::Limit);
                self.tagged(tag, "BAD", code.as_ref(), &syntax.to_string());
            }
            Error::Unfit(code, text) => self.tagged(tag, "BAD", code.as_ref(), text),
            Error::No(code, text) => self.tagged(tag, "NO", code.as_ref(), text),
            Error::Over(_, code, text) => self.tagged(tag, "NO", Some(code), text),
            Error::Internal(cause) => {
                tracing::error!(error = %cause, "command failed");
                self.tagged(tag, "NO", Some(&Code::ServerBug), "internal error");
            }
            Error::Bye(..) | Error::Connection(_) => return Err(error),
        }
        Ok(())
    }

    fn tagged(&mut self, tag: &str, word: &'static str, code: Option<&Code>, text: &str) {
        self.buffer.put(tag);
        self.buffer.put(" ");
        status(&mut self.buffer, word, code, text);
    }
}

fn gone(error: net::OutputError) -> Error {
    Error::Connection(match error {
        net::OutputError::Stalled => io::ErrorKind::TimedOut.into(),
        net::OutputError::Io(error) => error,
    })
}

fn status(out: &mut Buffer, word: &'static str, code: Option<&Code>, text: &str) {
    out.put(word);
    out.put(" ");
    if let Some(code) = code {
        out.put("[");
        out.put(code);
        out.put("] ");
    }
    out.text(if text.is_empty() { "done" } else { text });
    out.put("\r\n");
}
