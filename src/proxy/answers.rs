//! What the server says, told apart just as far as the proxy must (RFC 9051 §7): where one answer ends
//! and the next begins, what is asked for, what has ended, and where capabilities are told. All passes
//! octet for octet but those.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use memchr::memchr;

use super::{
    capability,
    commands::{announced, keep_tail},
};

/// Octets of a line that is held: one that tells capabilities, or a status.
const LINE_MAX: usize = 64 << 10;
/// Octets in which must have come what kind of answer it is.
const HEAD_MAX: usize = 4 << 10;

/// Something that the server has said; it has passed.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// `+`: it asks for more.
    GoAhead,
    /// A command has ended, well or not.
    Ended { tag: Vec<u8>, well: bool },
    /// `* BYE`
    Bye,
    /// A line is too long to be held. Nothing more is understood.
    TooLong,
}

/// Tells a server's answers apart.
#[derive(Debug, Default)]
pub struct Answers {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// At the beginning of an answer, or in one of which it is not known yet what it is, or which is
    /// held.
    Head(Vec<u8>),
    /// In a line of data: its last octets.
    Data(Vec<u8>),
    /// In a line that asks for more.
    Asking,
    /// In a literal, so many octets before its end.
    Literal(u64),
}

impl Default for Place {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

enum Kind {
    Unknown,
    Asking,
    Data,
    /// A status, or a list of capabilities: a line that is held.
    Held,
}

impl Answers {
    /// Is it between two answers?
    pub fn is_between(&self) -> bool {
        matches!(&self.place, Place::Head(head) if head.is_empty())
    }

    /// Takes what has come and adds what passes to `out`; says how much it took. It takes all, or stops
    /// behind what it tells.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        now: capability::Situation,
        out: &mut Vec<u8>,
    ) -> (usize, Option<Heard>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, heard) = match &mut self.place {
                Place::Head(_) => self.head(rest, now, out),
                Place::Data(_) => (self.data(rest, out), None),
                Place::Asking => self.asking(rest, out),
                Place::Literal(_) => (self.literal(rest, out), None),
            };
            rest = rest.get(taken..).unwrap_or_default();
            if heard.is_some() {
                return (bytes.len().saturating_sub(rest.len()), heard);
            }
        }
        (bytes.len(), None)
    }

    fn head(
        &mut self,
        bytes: &[u8],
        now: capability::Situation,
        out: &mut Vec<u8>,
    ) -> (usize, Option<Heard>) {
        let Place::Head(head) = &mut self.place else { return (0, None) };
        let before = head.len();
        let end = memchr(b'\n', bytes).and_then(|at| at.checked_add(1));
        // Of a long run of data only as much is gathered as shows that it is data.
        let taken = match kind(head) {
            Kind::Unknown => end.unwrap_or(bytes.len()).min(HEAD_MAX.saturating_sub(before).max(1)),
            _ => end.unwrap_or(bytes.len()).min(LINE_MAX.saturating_sub(before).max(1)),
        };
        head.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        match kind(head) {
            Kind::Held if end == Some(taken) => {
                let line = std::mem::take(head);
                let line = capability::rewrite(line, now);
                out.extend_from_slice(&line);
                (taken, status(&line))
            }
            Kind::Held if head.len() >= LINE_MAX => (taken, Some(Heard::TooLong)),
            Kind::Unknown if end != Some(taken) && head.len() < HEAD_MAX => (taken, None),
            Kind::Held => (taken, None),
            Kind::Asking => self.pass_head(Place::Asking, taken, out),
            Kind::Data | Kind::Unknown => self.pass_head(Place::Data(Vec::new()), taken, out),
        }
    }

    /// What was gathered of a line passes, but its end: that is taken with the next call.
    fn pass_head(
        &mut self,
        place: Place,
        taken: usize,
        out: &mut Vec<u8>,
    ) -> (usize, Option<Heard>) {
        let Place::Head(whole) = std::mem::replace(&mut self.place, place) else {
            return (taken, None);
        };
        let later = usize::from(whole.ends_with(b"\n"));
        let now = whole.get(..whole.len().saturating_sub(later)).unwrap_or_default();
        match self.place {
            Place::Asking => drop(self.asking(now, out)),
            _ => drop(self.data(now, out)),
        }
        (taken.saturating_sub(later), None)
    }

    fn data(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let Place::Data(tail) = &mut self.place else { return 0 };
        let end = memchr(b'\n', bytes).and_then(|at| at.checked_add(1));
        let taken = end.unwrap_or(bytes.len());
        let text = bytes.get(..taken).unwrap_or_default();
        out.extend_from_slice(text);
        keep_tail(tail, text);
        if end.is_some() {
            let literal = announced(tail);
            self.place = literal.map_or_else(Place::default, |found| Place::Literal(found.size));
        }
        taken
    }

    fn asking(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> (usize, Option<Heard>) {
        let end = memchr(b'\n', bytes).and_then(|at| at.checked_add(1));
        let taken = end.unwrap_or(bytes.len());
        out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if end.is_none() {
            return (taken, None);
        }
        self.place = Place::default();
        (taken, Some(Heard::GoAhead))
    }

    fn literal(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let Place::Literal(left) = &mut self.place else { return 0 };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
        *left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
        if *left == 0 {
            self.place = Place::Data(Vec::new());
        }
        out.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        taken
    }
}

/// The first two words of a line, as soon as they have come whole.
fn words(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = |octet: &u8| matches!(octet, b' ' | b'\r' | b'\n');
    let space = line.iter().position(ends)?;
    let (first, rest) = line.split_at_checked(space)?;
    let Some(rest) = rest.strip_prefix(b" ") else { return Some((first, b"")) };
    rest.get(..rest.iter().position(ends)?).map(|second| (first, second))
}

fn kind(head: &[u8]) -> Kind {
    if head.starts_with(b"+") {
        return Kind::Asking;
    }
    let Some((first, second)) = words(head) else { return Kind::Unknown };
    let is = |names: &[&str]| names.iter().any(|name| second.eq_ignore_ascii_case(name.as_bytes()));
    let untagged = first == b"*" && is(&["BYE", "PREAUTH", "CAPABILITY"]);
    if untagged || is(&["OK", "NO", "BAD"]) { Kind::Held } else { Kind::Data }
}

/// What a held line tells.
fn status(line: &[u8]) -> Option<Heard> {
    let (first, second) = words(line)?;
    match first {
        b"*" if second.eq_ignore_ascii_case(b"BYE") => Some(Heard::Bye),
        b"*" => None,
        tag => Some(Heard::Ended { tag: tag.to_vec(), well: second.eq_ignore_ascii_case(b"OK") }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may stop")]

    use proptest::prelude::*;

    use super::*;

    const NOW: capability::Situation =
        capability::Situation { secured: true, may_start_tls: false };

    fn all(bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Heard>) {
        let (mut answers, mut out, mut told) = (Answers::default(), Vec::new(), Vec::new());
        let (mut rest, mut cuts) = (bytes, cuts.iter());
        while !rest.is_empty() {
            let cut = cuts.next().copied().unwrap_or(rest.len()).clamp(1, rest.len());
            let (mut piece, later) = rest.split_at(cut);
            rest = later;
            loop {
                let (taken, heard) = answers.feed(piece, NOW, &mut out);
                piece = &piece[taken..];
                match heard {
                    Some(heard) => told.push(heard),
                    None => break,
                }
            }
            assert!(piece.is_empty());
        }
        (out, told)
    }

    fn ended(tag: &str, well: bool) -> Heard {
        Heard::Ended { tag: tag.into(), well }
    }

    #[test]
    fn data_passes_with_its_literals() {
        let text = b"* 1 FETCH (BODY[] {14}\r\na1 OK done {9}\r\n FLAGS ())\r\n+ go\r\n\
            * LIST () \"/\" \"a{5}\"\r\n* OK said {5}\r\n* SEARCH\r\na1 OK done {9}\r\n\
            a2 no [X] y\r\n* bye now\r\n*\r\n\r\n";
        let (out, told) = all(text, &[]);
        assert_eq!(out, text);
        let expected = [Heard::GoAhead, ended("a1", true), ended("a2", false), Heard::Bye];
        assert_eq!(told, expected);
    }

    #[test]
    fn capabilities_are_told_anew_wherever_they_stand() {
        let text = b"* OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] x\r\n* CAPABILITY IMAP4rev1\r\n\
            a OK [CAPABILITY IMAP4rev1] in\r\n* 1 FETCH (X {24}\r\n* CAPABILITY IMAP4rev1\r\n)\r\n";
        let told = "* OK [CAPABILITY IMAP4rev1 CAN-SUBMIT] x\r\n\
            * CAPABILITY IMAP4rev1 CAN-SUBMIT\r\na OK [CAPABILITY IMAP4rev1 CAN-SUBMIT] in\r\n\
            * 1 FETCH (X {24}\r\n* CAPABILITY IMAP4rev1\r\n)\r\n";
        let (out, _) = all(text, &[]);
        assert_eq!(String::from_utf8(out).unwrap(), told);
    }

    #[test]
    fn a_line_that_is_held_has_a_bound_and_data_has_none() {
        let mut text = b"a OK ".to_vec();
        text.resize(LINE_MAX, b'x');
        let (out, told) = all(&text, &[1000; 100]);
        assert_eq!((out.len(), told), (0, vec![Heard::TooLong]));
        for start in [&b"* LIST "[..], b"", b"* "] {
            let mut text = start.to_vec();
            text.resize(4 * LINE_MAX, b'x');
            text.extend_from_slice(b"\r\na OK\r\n");
            let (out, told) = all(&text, &[1000; 400]);
            assert!(out == text);
            assert_eq!(told, [ended("a", true)]);
        }
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let pieces: [&[u8]; 14] = [
            b"* ",
            b"a1 ",
            b"OK ",
            b"NO\r\n",
            b"{3}\r\n",
            b" ~{4}\r\n",
            b"\r\n",
            b"\n",
            b"CAPABILITY X",
            b" [CAPABILITY X Y] ",
            b"+",
            b" (",
            b"\"q\"",
            b"BYE",
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
    }
}
