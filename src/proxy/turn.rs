//! Commands that are on their way, and whose turn it is: the server's answers come in their time, and
//! what the proxy answers itself comes behind those to all commands before.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use zeroize::Zeroizing;

use super::login::Login;
use crate::{net::Literal, wire::Cursor};

/// Commands that the server has not answered yet, by their tags.
#[derive(Default)]
pub(super) struct Underway {
    commands: Vec<(Vec<u8>, Deed)>,
}

/// What changes when the server says OK.
pub(super) enum Deed {
    /// This one is logged in.
    LogIn(Login),
    /// Nobody is.
    LogOut,
    /// This mailbox is open; none when the server says no.
    Open(Option<String>),
    /// None is.
    Close,
    /// Nothing; and until the client says DONE the server does not answer.
    Idle,
    /// Nothing.
    Other,
}

impl Underway {
    pub(super) fn began(&mut self, tag: Vec<u8>, deed: Deed) {
        self.commands.push((tag, deed));
    }

    /// What it was.
    pub(super) fn ended(&mut self, tag: &[u8]) -> Option<Deed> {
        let at = self.commands.iter().position(|(known, _)| known == tag)?;
        Some(self.commands.remove(at).1)
    }

    /// More is known now of the command that began last.
    pub(super) fn learn(&mut self, deed: Deed) {
        if let Some((_, last)) = self.commands.last_mut() {
            *last = deed;
        }
    }

    pub(super) fn has(&self, tag: &[u8]) -> bool {
        self.commands.iter().any(|(known, _)| known == tag)
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Does the client wait for nothing that the server would say by itself?
    pub(super) fn is_quiet(&self) -> bool {
        self.commands.iter().all(|(_, deed)| matches!(deed, Deed::Idle))
    }

    /// Is the client within IDLE?
    pub(super) fn is_idle(&self) -> bool {
        self.commands.iter().any(|(_, deed)| matches!(deed, Deed::Idle))
    }

    /// The client has said DONE.
    pub(super) fn done(&mut self) {
        let idle = self.commands.iter_mut().find(|(_, deed)| matches!(deed, Deed::Idle));
        if let Some((_, deed)) = idle {
            *deed = Deed::Other;
        }
    }

    /// The tag of the command that began last.
    pub(super) fn last(&self) -> Option<&[u8]> {
        self.commands.last().map(|(tag, _)| tag.as_slice())
    }
}

/// A login that is under way: until it is answered nothing else passes, but responses that the server
/// asks for.
pub(super) struct Logging {
    pub(super) tag: Vec<u8>,
    /// The mechanism of AUTHENTICATE whose first response has not come.
    pub(super) mechanism: Option<Vec<u8>>,
    /// It is AUTHENTICATE.
    pub(super) in_steps: bool,
    /// The server has asked for a response.
    pub(super) asked: bool,
}

/// A command that the proxy answers itself, or lets pass in its turn.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) tag: Vec<u8>,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    /// A message to be sent.
    Submit(Literal),
    /// LOGIN or AUTHENTICATE: it passes, but only when nothing else is on its way, so that the answer to
    /// it is no other's.
    LogIn(Vec<u8>, Zeroizing<Vec<u8>>),
    StartTls,
    /// It is refused, in these words, and so is the literal that it came with.
    Refuse(&'static str, Option<Literal>),
}

/// `tag = 1*<any ASTRING-CHAR except "+">` (RFC 9051 §9): an answer to another would be none to a tag.
pub(super) fn is_tag(tag: &[u8]) -> bool {
    let mut args = Cursor::new(tag);
    args.tag().is_ok() && args.end().is_ok()
}

/// `"SUBMIT" SP (literal / literal8)`
pub(super) fn submit(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.splitn(3, |octet| *octet == b' ');
    let argument = words.nth(2)?;
    let begins = argument.starts_with(b"{") || argument.starts_with(b"~{");
    let opens = memchr::memchr_iter(b'{', argument).count();
    Literal::announced_by(argument).filter(|_| begins && opens == 1)
}

/// The literal at the end of a line that is not passed.
pub(super) fn literal_behind(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"\n")?;
    Literal::announced_by(line.strip_suffix(b"\r").unwrap_or(line))
}

/// `"AUTHENTICATE" SP mechanism [SP initial-response]`: its mechanism in upper case, and the response.
pub(super) fn authenticate(line: &[u8]) -> (Vec<u8>, Option<&[u8]>) {
    let line = line.trim_ascii_end();
    let mut words = line.split(|octet| *octet == b' ').skip(2);
    (words.next().unwrap_or_default().to_ascii_uppercase(), words.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_has_one_literal_and_nothing_else() {
        let literal = |size, sent_at_once, binary| Some(Literal { size, sent_at_once, binary });
        assert_eq!(submit(b"a SUBMIT {3}\r\n"), literal(3, false, false));
        assert_eq!(submit(b"a SUBMIT ~{3+}\n"), literal(3, true, true));
        for bad in
            ["a SUBMIT\r\n", "a SUBMIT x\r\n", "a SUBMIT x {3}\r\n", "a SUBMIT (PARTIAL) {3}\r\n"]
        {
            assert_eq!(submit(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_tag_is_told_from_what_is_none() {
        for (tag, is) in [("a", true), ("A.1]", true), ("*", false), ("+", false), ("a+", false)] {
            assert_eq!(is_tag(tag.as_bytes()), is, "{tag}");
        }
    }

    #[test]
    fn an_authenticate_names_its_mechanism() {
        assert_eq!(authenticate(b"a AUTHENTICATE plain\r\n"), (b"PLAIN".to_vec(), None));
        let (mechanism, response) = authenticate(b"a authenticate PLAIN AAAA\r\n");
        assert_eq!((mechanism.as_slice(), response), (&b"PLAIN"[..], Some(&b"AAAA"[..])));
    }

    #[test]
    fn answers_may_come_in_any_order() {
        let mut underway = Underway::default();
        for tag in ["a", "b", "a"] {
            underway.began(tag.into(), Deed::Other);
        }
        assert!(underway.ended(b"a").is_some() && underway.ended(b"b").is_some());
        assert!(underway.ended(b"c").is_none() && !underway.is_quiet());
        assert_eq!((underway.last(), underway.len()), (Some(&b"a"[..]), 1));
        underway.learn(Deed::Idle);
        assert!(underway.is_quiet() && underway.is_idle());
        underway.done();
        assert!(!underway.is_quiet() && !underway.is_idle());
        assert!(underway.ended(b"a").is_some() && underway.is_quiet());
    }
}
