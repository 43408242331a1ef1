//! What a client says, told apart just as far as the proxy must (RFC 9051 §2.2.1, §9): lines, literals,
//! and which command each line begins. All passes octet for octet but the lines of a few commands,
//! which are held until it is decided about them.
//!
//! Fed with whatever has come, in whatever pieces; no more is held than one line of those commands.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use memchr::memchr;
use zeroize::Zeroizing;

use crate::net::Literal;

/// Octets of a line that is held.
const LINE_MAX: usize = 64 << 10;
/// Octets in which a tag and a command's name must have come, or a response to a challenge.
const HEAD_MAX: usize = 16 << 10;
/// Commands of which a copy is kept while they pass, and how many octets of it.
const COPIED: [&[u8]; 3] = [b"LOGIN", b"SELECT", b"EXAMINE"];
const COPY_MAX: usize = 64 << 10;
/// Octets at the end of a line in which a literal shows.
const TAIL: usize = 32;

/// Something that a client has said.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A command that passes has begun: its tag, and its name in upper case.
    Begun { tag: Vec<u8>, name: Vec<u8> },
    /// The line of a command that is held: with its end, and not passed.
    Held { tag: Vec<u8>, name: Vec<u8>, line: Zeroizing<Vec<u8>> },
    /// A line that is no command has passed: DONE, or a response to a challenge.
    Bare(Zeroizing<Vec<u8>>),
    /// A LOGIN, SELECT or EXAMINE has passed whole, and this is it.
    Copied { name: &'static [u8], command: Zeroizing<Vec<u8>> },
    /// A literal was announced that the server must ask for; see [`Commands::go_ahead`].
    Waits,
    /// A line is too long to be held. Nothing more is understood.
    TooLong,
}

/// Tells a client's commands apart.
#[derive(Debug, Default)]
pub struct Commands {
    place: Place,
    /// A copy of the command that passes.
    copy: Option<(&'static [u8], Zeroizing<Vec<u8>>)>,
    /// The next line is the response to a challenge, whatever it looks like.
    responds: bool,
    /// The octet before was a CR, in a line that passes.
    after_cr: bool,
    /// Something was said that a server may understand otherwise.
    is_odd: bool,
}

#[derive(Debug)]
enum Place {
    /// In a line of which it is not known yet what it is.
    Head(Zeroizing<Vec<u8>>),
    /// In a line that passes: its last octets.
    Line(Vec<u8>),
    /// In a literal that passes, so many octets before its end.
    Literal(u64),
    /// Before a literal that the server has not asked for.
    Waiting(u64),
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Zeroizing::default())
    }
}

/// What a line is, seen from its beginning.
enum Kind {
    Unknown,
    Bare,
    Command { tag: Vec<u8>, name: Vec<u8> },
}

impl Commands {
    /// The next line is the response to a challenge, or after all it is not.
    pub fn expect_response(&mut self, responds: bool) {
        self.responds = responds;
    }

    /// Was something said that a server may understand otherwise than it was understood here?
    pub fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// The line of a command of this name, which was held, passes after all.
    pub fn pass_held(&mut self, name: &[u8], line: &[u8], out: &mut Vec<u8>) -> Option<Said> {
        self.begin_line(name);
        self.line(line, out).1
    }

    /// From here on a line passes that begins a command of this name.
    fn begin_line(&mut self, name: &[u8]) {
        self.place = Place::Line(Vec::new());
        let copied = COPIED.into_iter().find(|copied| *copied == name);
        self.copy = copied.map(|name| (name, Zeroizing::default()));
    }

    /// Is it between two commands?
    pub fn is_between(&self) -> bool {
        matches!(&self.place, Place::Head(head) if head.is_empty())
    }

    /// Does the client wait for the server to ask for a literal?
    pub fn is_waiting(&self) -> bool {
        matches!(self.place, Place::Waiting(_))
    }

    /// The server has asked for the literal.
    pub fn go_ahead(&mut self) {
        if let Place::Waiting(size) = self.place {
            self.place = Place::Literal(size);
        }
    }

    /// The server has ended the command instead of asking.
    pub fn refused(&mut self) {
        if self.is_waiting() {
            self.place = Place::default();
            self.copy = None;
        }
    }

    /// Takes what has come and adds what passes to `out`; says how much it took. It takes all, or stops
    /// behind what it tells.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Said>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, said) = match &mut self.place {
                Place::Head(_) => self.head(rest, out),
                Place::Line(_) => self.line(rest, out),
                Place::Literal(_) => (self.literal(rest, out), None),
                Place::Waiting(_) => break,
            };
            rest = rest.get(taken..).unwrap_or_default();
            if said.is_some() {
                return (bytes.len().saturating_sub(rest.len()), said);
            }
        }
        (bytes.len().saturating_sub(rest.len()), None)
    }

    /// At a line's beginning: gathers it until it is known what it is.
    fn head(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Said>) {
        let responds = self.responds;
        let Place::Head(head) = &mut self.place else { return (0, None) };
        let before = head.len();
        let end = memchr(b'\n', bytes).and_then(|at| at.checked_add(1));
        // How much is gathered hangs on what has come, not on how it was cut.
        let is_command = !responds && matches!(kind(head), Kind::Command { .. });
        let most = if is_command { LINE_MAX } else { HEAD_MAX };
        let room = most.saturating_sub(before).max(1);
        let taken = end.unwrap_or(bytes.len()).min(room);
        let ended = end == Some(taken);
        head.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        match kind(head) {
            _ if responds => {
                if ended {
                    self.responds = false;
                    return self.bare(ended, out, taken);
                }
                let too_long = head.len() >= HEAD_MAX;
                (taken, too_long.then_some(Said::TooLong))
            }
            Kind::Unknown | Kind::Bare if ended || head.len() >= HEAD_MAX => {
                self.bare(ended, out, taken)
            }
            Kind::Unknown | Kind::Bare => (taken, None),
            Kind::Command { tag, name } if is_held(&name) => {
                if ended {
                    let line = std::mem::take(head);
                    return (taken, Some(Said::Held { tag, name, line }));
                }
                let too_long = head.len() >= LINE_MAX;
                (taken, too_long.then_some(Said::TooLong))
            }
            Kind::Command { tag, name } => {
                // The line is read again from where it stands, now that it passes.
                let whole = std::mem::take(head);
                self.begin_line(&name);
                // What was gathered holds no line end but perhaps its last octet.
                let again = if ended { whole.len().saturating_sub(1) } else { whole.len() };
                let (now, later) = whole.split_at_checked(again).unwrap_or((&whole, &[]));
                self.line(now, out);
                // Its end is taken with the next call, so that the command is told of first.
                (taken.saturating_sub(later.len()), Some(Said::Begun { tag, name }))
            }
        }
    }

    /// A line that begins no command passes; one that is whole is told of.
    fn bare(&mut self, ended: bool, out: &mut Vec<u8>, taken: usize) -> (usize, Option<Said>) {
        let Place::Head(head) = &mut self.place else { return (taken, None) };
        let line = std::mem::take(head);
        out.extend_from_slice(&line);
        if ended {
            return (taken, Some(Said::Bare(line)));
        }
        self.place = Place::Line(Vec::new());
        (taken, None)
    }

    /// In a line that passes.
    fn line(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Said>) {
        let end = memchr(b'\n', bytes).and_then(|at| at.checked_add(1));
        let taken = end.unwrap_or(bytes.len());
        let text = bytes.get(..taken).unwrap_or_default();
        self.pass(text, out);
        self.look_at(text);
        let Place::Line(tail) = &mut self.place else { return (taken, None) };
        keep_tail(tail, text);
        if end.is_none() {
            return (taken, None);
        }
        let literal = announced(tail);
        self.is_odd |= literal.is_none() && looks_like_literal(tail);
        self.place = match literal {
            Some(literal) if literal.sent_at_once => Place::Literal(literal.size),
            Some(literal) => Place::Waiting(literal.size),
            None => Place::default(),
        };
        let said = match literal {
            Some(literal) if literal.sent_at_once => None,
            Some(_) => Some(Said::Waits),
            None => self.copy.take().map(|(name, command)| Said::Copied { name, command }),
        };
        (taken, said)
    }

    /// A server may take a line for two, or see its end before ours.
    fn look_at(&mut self, text: &[u8]) {
        for octet in text {
            self.is_odd |= *octet == 0 || self.after_cr && *octet != b'\n';
            self.after_cr = *octet == b'\r';
        }
    }

    /// In a literal.
    fn literal(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let Place::Literal(left) = &mut self.place else { return 0 };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        if *left == 0 {
            self.place = Place::Line(Vec::new());
        }
        self.pass(bytes.get(..taken).unwrap_or_default(), out);
        taken
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        if let Some((_, copy)) = &mut self.copy {
            if copy.len().saturating_add(bytes.len()) > COPY_MAX {
                self.copy = None;
            } else {
                copy.extend_from_slice(bytes);
            }
        }
    }
}

fn is_held(name: &[u8]) -> bool {
    matches!(name, b"SUBMIT" | b"STARTTLS" | b"COMPRESS" | b"AUTHENTICATE" | b"LOGIN")
}

/// `tag SP command`, as soon as the command's name has come whole.
fn kind(head: &[u8]) -> Kind {
    let ends = |octet: &u8| matches!(octet, b' ' | b'\r' | b'\n');
    let Some(space) = head.iter().position(ends) else { return Kind::Unknown };
    let (tag, rest) = head.split_at_checked(space).unwrap_or((head, &[]));
    if !rest.starts_with(b" ") {
        return if rest.ends_with(b"\n") { Kind::Bare } else { Kind::Unknown };
    }
    let rest = rest.get(1..).unwrap_or_default();
    let Some(end) = rest.iter().position(ends) else { return Kind::Unknown };
    let name = rest.get(..end).unwrap_or_default();
    if tag.is_empty() || name.is_empty() {
        return Kind::Bare;
    }
    // What stands before the name may itself be one's, as in UID FETCH: none of those are held.
    Kind::Command { tag: tag.to_vec(), name: name.to_ascii_uppercase() }
}

/// Keeps the last octets of a line.
pub(super) fn keep_tail(tail: &mut Vec<u8>, more: &[u8]) {
    let more = more.get(more.len().saturating_sub(TAIL)..).unwrap_or(more);
    tail.extend_from_slice(more);
    let beyond = tail.len().saturating_sub(TAIL);
    tail.drain(..beyond);
}

fn looks_like_literal(tail: &[u8]) -> bool {
    let line = tail.trim_ascii_end();
    Literal::announced_by(line).is_some()
}

/// The literal that the end of a line announces. It begins a word of its own.
pub(super) fn announced(tail: &[u8]) -> Option<Literal> {
    let line = tail.strip_suffix(b"\n")?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let literal = Literal::announced_by(line)?;
    let brace = line.iter().rposition(|octet| *octet == b'{')?;
    let before = line.get(..brace)?;
    let before = before.strip_suffix(b"~").unwrap_or(before);
    matches!(before.last(), Some(b' ' | b'(')).then_some(literal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may stop")]

    use proptest::prelude::*;

    use super::*;

    /// What passes, and what is told, when it comes in pieces of these sizes. Literals that must be asked
    /// for are.
    fn all(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Said>) {
        let (mut commands, mut out, mut told) = (Commands::default(), Vec::new(), Vec::new());
        let (mut rest, mut cuts) = (bytes, cuts.iter());
        let mut waiting: Vec<u8> = Vec::new();
        while !rest.is_empty() || !waiting.is_empty() {
            let cut = cuts.next().copied().unwrap_or(rest.len()).clamp(1, rest.len().max(1));
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            waiting.extend_from_slice(piece);
            loop {
                let (taken, said) = commands.feed(&waiting, &mut out);
                waiting.drain(..taken);
                match said {
                    Some(Said::Waits) => {
                        commands.go_ahead();
                        told.push(Said::Waits);
                    }
                    Some(said) => told.push(said),
                    None => break,
                }
            }
            assert!(waiting.is_empty());
        }
        (out, told)
    }

    fn begun(tag: &str, name: &str) -> Said {
        Said::Begun { tag: tag.into(), name: name.into() }
    }

    fn held(tag: &str, name: &str, line: &str) -> Said {
        let line = Zeroizing::new(line.into());
        Said::Held { tag: tag.into(), name: name.into(), line }
    }

    #[test]
    fn commands_pass_with_their_literals() {
        let text = b"a NOOP\r\nb append x {3+}\r\ny S (~{2}\r\nab) x\r\nc UID FETCH 1 x\nd IDLE\r\nDONE\r\n";
        let (out, told) = all(text, &[]);
        assert_eq!(out, text);
        let expected = [
            begun("a", "NOOP"),
            begun("b", "APPEND"),
            begun("c", "UID"),
            begun("d", "IDLE"),
            Said::Bare(Zeroizing::new(b"DONE\r\n".to_vec())),
        ];
        // The three octets of the first literal hold what only looks like another.
        let waits = told.iter().filter(|said| **said == Said::Waits).count();
        assert_eq!(waits, 1);
        let others: Vec<_> = told.into_iter().filter(|said| *said != Said::Waits).collect();
        assert_eq!(others, expected);
    }

    #[test]
    fn a_few_lines_are_held() {
        let text = b"a SUBMIT {3+}\r\n";
        assert_eq!(all(text, &[]), (Vec::new(), vec![held("a", "SUBMIT", "a SUBMIT {3+}\r\n")]));
        let text = b"a starttls\r\nb Compress DEFLATE\r\nc NOOP\r\nd AUTHENTICATE PLAIN\r\n";
        let (out, told) = all(text, &[]);
        assert_eq!(out, b"c NOOP\r\n");
        let expected = [
            held("a", "STARTTLS", "a starttls\r\n"),
            held("b", "COMPRESS", "b Compress DEFLATE\r\n"),
            begun("c", "NOOP"),
            held("d", "AUTHENTICATE", "d AUTHENTICATE PLAIN\r\n"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_login_is_held_and_copied_with_its_literals_when_it_passes() {
        let (mut commands, mut out) = (Commands::default(), Vec::new());
        let line = "a LOGIN {5}\r\n";
        let said = commands.feed(line.as_bytes(), &mut out).1;
        assert_eq!((said, out.len()), (Some(held("a", "LOGIN", line)), 0));
        let said = commands.pass_held(b"LOGIN", line.as_bytes(), &mut out);
        assert_eq!(said, Some(Said::Waits));
        assert!(commands.is_waiting() && !commands.is_between());
        commands.go_ahead();
        let rest = b"alice {6+}\r\nsecret\r\n";
        let (taken, said) = commands.feed(rest, &mut out);
        let command = Zeroizing::new([line.as_bytes(), rest].concat());
        assert!(out == *command && taken == rest.len());
        assert_eq!(said, Some(Said::Copied { name: b"LOGIN", command }));
        assert!(commands.is_between() && !commands.is_odd());
    }

    #[test]
    fn a_response_may_look_like_anything() {
        let (mut commands, mut out) = (Commands::default(), Vec::new());
        commands.expect_response(true);
        let line = b"b LOGIN x {3}\r\n".to_vec();
        let said = commands.feed(&line, &mut out).1;
        assert_eq!(
            (said, out),
            (Some(Said::Bare(Zeroizing::new(line))), b"b LOGIN x {3}\r\n".to_vec())
        );
        let said = commands.feed(b"b LOGIN x y\r\n", &mut Vec::new()).1;
        assert!(matches!(said, Some(Said::Held { .. })));
        commands = Commands::default();
        commands.expect_response(true);
        let long = vec![b'x'; HEAD_MAX];
        assert_eq!(commands.feed(&long, &mut Vec::new()).1, Some(Said::TooLong));
    }

    #[test]
    fn what_a_server_may_take_for_something_else_is_odd() {
        for (text, odd) in [
            ("a NOOP\r\n", false),
            ("a X {3+}\r\n\0\ra\r\n", false),
            ("a X \"{3}\"\r\n", false),
            ("a X y{3}\r\n", true),
            ("a X y{3+}\n", true),
            ("a X\rb NOOP\r\n", true),
            ("a X \0\r\n", true),
        ] {
            let (mut commands, mut out) = (Commands::default(), Vec::new());
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let taken = commands.feed(rest, &mut out).0;
                rest = &rest[taken..];
            }
            assert_eq!(commands.is_odd(), odd, "{text:?}");
        }
    }

    #[test]
    fn a_literal_that_was_refused_is_not_waited_for() {
        let (mut commands, mut out) = (Commands::default(), Vec::new());
        let bytes = b"a APPEND x {3}\r\n";
        assert!(matches!(commands.feed(bytes, &mut out), (12.., Some(Said::Begun { .. }))));
        assert_eq!(commands.feed(b"\n", &mut out), (1, Some(Said::Waits)));
        assert!(commands.is_waiting());
        assert_eq!(commands.feed(b"b NOOP\r\n", &mut out), (0, None));
        commands.refused();
        assert!(matches!(commands.feed(b"b NOOP\r\n", &mut out), (_, Some(Said::Begun { .. }))));
    }

    #[test]
    fn what_only_looks_like_a_literal_is_text() {
        for text in ["a X \"y{3}\r\n", "a X y{3}\r\n", "a X {x}\r\n", "{3}\r\n", "a {3}\r\n"] {
            let (out, told) = all(text.as_bytes(), &[]);
            assert_eq!(out, text.as_bytes());
            assert!(!told.contains(&Said::Waits) || text == "a {3}\r\n", "{text}");
        }
    }

    #[test]
    fn a_line_that_is_held_has_a_bound() {
        let mut text = b"a SUBMIT ".to_vec();
        text.resize(LINE_MAX, b'x');
        let mut commands = Commands::default();
        let (taken, said) = commands.feed(&text[..LINE_MAX - 1], &mut Vec::new());
        assert_eq!((taken, said), (LINE_MAX - 1, None));
        assert_eq!(commands.feed(b"x", &mut Vec::new()).1, Some(Said::TooLong));
        // One that passes has none.
        let mut text = b"a NOOP ".to_vec();
        text.resize(5 * LINE_MAX, b'x');
        text.extend_from_slice(b"\r\nb NOOP\r\n");
        let (out, told) = all(&text, &[1000; 400]);
        assert!(out == text);
        assert_eq!(told, [begun("a", "NOOP"), begun("b", "NOOP")]);
        // Nor has one that is no command.
        let mut text = vec![b'x'; 2 * LINE_MAX];
        text.extend_from_slice(b"\r\nb NOOP\r\n");
        let (out, told) = all(&text, &[1000; 400]);
        assert!(out == text);
        assert_eq!(told.last(), Some(&begun("b", "NOOP")));
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 14] = [
            b"a ",
            b"NOOP",
            b"SUBMIT ",
            b"LOGIN ",
            b"{3}\r\n",
            b"{4+}\r\n",
            b"~{1+}\r\n",
            b"\r\n",
            b"\n",
            b"x y",
            b" (",
            b"DONE\r\n",
            b"\"q\"",
            b"AUTHENTICATE PLAIN\r\n",
        ];
        let piece = prop::sample::select(pieces.to_vec());
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_it_is_cut(
            bytes in soup(),
            cuts in prop::collection::vec(1_usize..9, 0..60),
        ) {
            prop_assert_eq!(all(&bytes, &cuts), all(&bytes, &[]));
        }

        #[test]
        fn nothing_is_lost_and_nothing_added(bytes in soup()) {
            let (out, told) = all(&bytes, &[]);
            let held = told.iter().map(|said| match said {
                Said::Held { line, .. } => line.len(),
                _ => 0,
            });
            let kept = held.sum::<usize>();
            // What is undecided at the end was not told and has not passed.
            prop_assert!(out.len() + kept <= bytes.len());
            let last = bytes.iter().rposition(|octet| *octet == b'\n').map_or(0, |at| at + 1);
            prop_assert!(out.len() + kept >= last);
        }
    }
}
