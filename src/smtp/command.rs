//! What a client can say: one line of text to one typed [`Command`] (RFC 5321 §4.1).
//!
//! A plain function over octets: it knows no session and no role. Which command is allowed when, and
//! what it does, is the session's business.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::wire::parameters::{Fault, Mail, Rcpt, mail, number, rcpt};

/// A client's name for itself is cut off here in our own texts (RFC 5321 §4.5.3.1.2).
const CLIENT_NAME_MAX: usize = 255;

/// One command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `EHLO`, `HELO` or `LHLO`.
    Hello(Hello, ClientName),
    /// `MAIL FROM:`
    Mail(Box<Mail>),
    /// `RCPT TO:`
    Rcpt(Box<Rcpt>),
    /// `DATA`
    Data,
    /// `BDAT size [LAST]` (RFC 3030 §2)
    Bdat(Chunk),
    /// `BURL [encoding] url [LAST]` (RFC 4468 §3.5)
    Burl(Box<Reference>),
    /// `RSET`
    Rset,
    /// `NOOP`, whatever follows it
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY text`
    Vrfy,
    /// `EXPN text`
    Expn,
    /// `HELP`
    Help,
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954)
    Auth(Auth),
    /// The first word of another protocol: a browser was sent here to say something in our name.
    Http,
}

/// How a client greets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// Old SMTP.
    Helo,
    /// SMTP with extensions.
    Ehlo,
    /// LMTP (RFC 2033 §4.1).
    Lhlo,
}

/// What a client calls itself. It proves nothing; only what may stand in a trace field is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Box<str>);

impl ClientName {
    fn new(text: &str) -> Self {
        let harmless =
            |c: &char| !c.is_control() && !c.is_whitespace() && !"()<>\"\\;,".contains(*c);
        let mut name = String::new();
        for c in text.chars().filter(harmless) {
            if name.len().saturating_add(c.len_utf8()) > CLIENT_NAME_MAX {
                break;
            }
            name.push(c);
        }
        Self(name.into())
    }

    /// The name without what could mislead.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "unknown" } else { &self.0 }
    }
}

/// `BDAT`'s arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Octets that follow the line.
    pub size: u64,
    /// The message is whole with them.
    pub last: bool,
}

/// `BURL`'s arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference {
    /// In which transfer encoding the octets shall be written; None as they are stored.
    pub encoding: Option<AsEncoded>,
    /// What the octets are named by.
    pub url: Box<str>,
    /// The message is whole with them.
    pub last: bool,
    /// A failure of another server that may pass shall be tried again for a while.
    pub retry: bool,
}

impl std::fmt::Debug for Reference {
    /// The URL holds a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reference").field("last", &self.last).finish_non_exhaustive()
    }
}

/// A transfer encoding that BURL can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsEncoded {
    SevenBit,
    EightBit,
    Binary,
    Base64,
    QuotedPrintable,
}

/// `AUTH`'s arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// The mechanism in upper case.
    pub mechanism: Box<str>,
    /// The first response in base64; `=` stands for an empty one (RFC 4954 §4).
    pub initial: Option<Box<str>>,
}

impl std::fmt::Debug for Auth {
    /// The response is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// Why a line is no command: the client's text is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Syntax {
    /// The first word is none of ours.
    #[error("command not recognized")]
    Unknown,
    /// The octets are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The arguments are not as they should be.
    #[error("syntax: {0}")]
    Arguments(&'static str),
    /// The same for BDAT: what follows can't be told from commands.
    #[error("syntax: BDAT size [LAST]")]
    Bdat,
    /// What follows MAIL or RCPT is not as it should be.
    #[error(transparent)]
    Envelope(#[from] Fault),
}

impl Command {
    /// Reads a line without its end. White space at the end is let through (RFC 5321 §4.1.1).
    pub fn parse(line: &[u8]) -> Result<Self, Syntax> {
        let line = std::str::from_utf8(line).map_err(|_| Syntax::NotUtf8)?;
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let none = |command: Self| {
            if arguments.is_empty() { Ok(command) } else { Err(Syntax::Arguments("no argument")) }
        };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => hello(Hello::Ehlo, arguments),
            "HELO" => hello(Hello::Helo, arguments),
            "LHLO" => hello(Hello::Lhlo, arguments),
            "MAIL" => Ok(Self::Mail(Box::new(mail(arguments)?))),
            "RCPT" => Ok(Self::Rcpt(Box::new(rcpt(arguments)?))),
            "DATA" => none(Self::Data),
            "BDAT" => bdat(arguments),
            "BURL" => burl(arguments),
            "RSET" => none(Self::Rset),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => none(Self::Quit),
            "VRFY" => some(Self::Vrfy, arguments),
            "EXPN" => some(Self::Expn, arguments),
            "HELP" => Ok(Self::Help),
            "STARTTLS" => none(Self::StartTls),
            "AUTH" => auth(arguments),
            "GET" | "POST" | "PUT" | "HEAD" | "CONNECT" | "OPTIONS" | "DELETE" | "PATCH"
            | "TRACE" | "PRI" => Ok(Self::Http),
            _ => Err(Syntax::Unknown),
        }
    }
}

/// `ehlo = "EHLO" SP ( Domain / address-literal )` (RFC 5321 §4.1.1.1); any word will do, since the
/// name proves nothing and many are wrong.
fn hello(hello: Hello, arguments: &str) -> Result<Command, Syntax> {
    match arguments.split_ascii_whitespace().next() {
        Some(name) => Ok(Command::Hello(hello, ClientName::new(name))),
        None => Err(Syntax::Arguments("a domain or an address literal")),
    }
}

/// `bdat-cmd = "BDAT" SP chunk-size [SP "LAST"]` (RFC 3030 §2)
fn bdat(arguments: &str) -> Result<Command, Syntax> {
    let (size, last) = match arguments.split_once(' ') {
        None => (arguments, false),
        Some((size, last)) if last.trim().eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return Err(Syntax::Bdat),
    };
    let size = number(size).ok_or(Syntax::Bdat)?;
    Ok(Command::Bdat(Chunk { size, last }))
}

/// `burl-cmd = "BURL" SP absolute-URI [SP "LAST"]` (RFC 4468 §3.5), and before it an encoding, behind it
/// `failnow` or `retry`: the words of an older form (draft-ietf-lemonade-submit-01 §4.2.2).
fn burl(arguments: &str) -> Result<Command, Syntax> {
    let wrong = Syntax::Arguments("BURL url [LAST]");
    let mut words = arguments.split(' ').peekable();
    let encoding = words.peek().and_then(|word| encoding(word));
    if encoding.is_some() {
        words.next();
    }
    let url = words.next().filter(|url| url.contains(':')).ok_or_else(|| wrong.clone())?;
    let mut reference = Reference { encoding, url: url.into(), last: false, retry: false };
    let mut when = false;
    for word in words {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "last" if !reference.last => reference.last = true,
            "failnow" | "retry" if !when => (when, reference.retry) = (true, word == "retry"),
            _ => return Err(wrong),
        }
    }
    Ok(Command::Burl(Box::new(reference)))
}

fn encoding(word: &str) -> Option<AsEncoded> {
    Some(match word.to_ascii_lowercase().as_str() {
        "7bit" => AsEncoded::SevenBit,
        "8bit" => AsEncoded::EightBit,
        "binary" => AsEncoded::Binary,
        "base64" => AsEncoded::Base64,
        "quoted-printable" => AsEncoded::QuotedPrintable,
        _ => return None,
    })
}

/// `auth-command = "AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 §8)
fn auth(arguments: &str) -> Result<Command, Syntax> {
    let (mechanism, initial) = match arguments.split_once(' ') {
        Some((mechanism, initial)) => (mechanism, Some(initial)),
        None => (arguments, None),
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if mechanism.is_empty() || mechanism.len() > 20 || !mechanism.bytes().all(is_name) {
        return Err(Syntax::Arguments("AUTH mechanism [initial-response]"));
    }
    if initial.is_some_and(|initial| initial.contains(' ')) {
        return Err(Syntax::Arguments("AUTH mechanism [initial-response]"));
    }
    let mechanism = mechanism.to_ascii_uppercase().into();
    Ok(Command::Auth(Auth { mechanism, initial: initial.map(Into::into) }))
}

fn some(command: Command, arguments: &str) -> Result<Command, Syntax> {
    if arguments.is_empty() { Err(Syntax::Arguments("a text")) } else { Ok(command) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Syntax> {
        Command::parse(line.as_bytes())
    }

    #[test]
    fn verbs_are_read_in_any_case_and_with_white_space_behind() {
        assert_eq!(parse("quit"), Ok(Command::Quit));
        assert_eq!(parse("DATA \t "), Ok(Command::Data));
        assert_eq!(parse("NOOP all of this"), Ok(Command::Noop));
        assert_eq!(parse("DATA now"), Err(Syntax::Arguments("no argument")));
        assert_eq!(parse("STARTTLS x"), Err(Syntax::Arguments("no argument")));
        assert_eq!(parse("XYZZY"), Err(Syntax::Unknown));
        assert_eq!(parse(""), Err(Syntax::Unknown));
        assert_eq!(Command::parse(b"NOOP \xff"), Err(Syntax::NotUtf8));
        assert_eq!(parse("GET / HTTP/1.1"), Ok(Command::Http));
    }

    #[test]
    fn a_client_keeps_only_the_harmless_part_of_its_name() {
        let name = |line: &str| match parse(line) {
            Ok(Command::Hello(_, name)) => name.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(name("EHLO mail.example.org"), "mail.example.org");
        assert_eq!(name("HELO [192.0.2.1]"), "[192.0.2.1]");
        assert_eq!(name("LHLO a(b)<c>;d"), "abcd");
        assert_eq!(name("EHLO ()"), "unknown");
        assert_eq!(name(&format!("EHLO {}", "ä".repeat(1000))).len(), 254);
        assert!(matches!(parse("EHLO"), Err(Syntax::Arguments(_))));
    }

    #[test]
    fn chunks_have_a_size_and_may_be_the_last() {
        let chunk = |size, last| Ok(Command::Bdat(Chunk { size, last }));
        assert_eq!(parse("BDAT 86"), chunk(86, false));
        assert_eq!(parse("bdat 0 last"), chunk(0, true));
        assert_eq!(parse("BDAT 99999999999999999999"), chunk(u64::MAX, false));
        for bad in ["BDAT", "BDAT x", "BDAT -1", "BDAT 1 FIRST", "BDAT +1", "BDAT 1 LAST x"] {
            assert_eq!(parse(bad), Err(Syntax::Bdat), "{bad}");
        }
    }

    #[test]
    fn a_reference_is_a_url_and_may_be_the_last() {
        let read = |line: &str| match parse(line) {
            Ok(Command::Burl(reference)) => *reference,
            other => panic!("{other:?}"),
        };
        let url = "imap://a@b/c/;uid=1;urlauth=submit+a:internal:0123";
        let first = read(&format!("BURL {url}"));
        assert_eq!((&*first.url, first.last, first.encoding), (url, false, None));
        assert!(read(&format!("burl {url} last")).last);
        let old = read(&format!("BURL Base64 {url} LAST retry"));
        assert!(old.last && old.retry && old.encoding == Some(AsEncoded::Base64));
        assert!(!read(&format!("BURL {url} failnow")).last);
        assert!(!format!("{first:?}").contains("0123"));
        for bad in
            ["BURL", "BURL LAST", "BURL x", "BURL 7bit", "BURL a:b LAST LAST", "BURL a:b  LAST"]
        {
            assert!(matches!(parse(bad), Err(Syntax::Arguments(_))), "{bad}");
        }
        for bad in ["BURL rot13 a:b", "BURL a:b retry failnow", "BURL a:b FIRST"] {
            assert!(matches!(parse(bad), Err(Syntax::Arguments(_))), "{bad}");
        }
    }

    #[test]
    fn auth_has_a_mechanism_and_perhaps_a_response() {
        let Ok(Command::Auth(auth)) = parse("AUTH plain AGFAYgBj") else { panic!() };
        assert_eq!(&*auth.mechanism, "PLAIN");
        assert_eq!(auth.initial.as_deref(), Some("AGFAYgBj"));
        assert!(!format!("{auth:?}").contains("AGFA"));
        for bad in ["AUTH", "AUTH pl?ain", "AUTH PLAIN a b"] {
            assert!(matches!(parse(bad), Err(Syntax::Arguments(_))), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Command::parse(&line);
        }

        #[test]
        fn no_text_behind_a_verb_panics(text in "(MAIL FROM:|RCPT TO:|BDAT |BURL |AUTH )\\PC{0,60}") {
            let _ = parse(&text);
        }
    }
}
