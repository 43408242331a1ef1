//! `"(" cat-part *(SP cat-part) ")"` (RFC 4469 §5), taken one part at a time: the text breaks off at
//! each literal with data and goes on behind it.

use super::head::waiting;
use crate::{
    net::Literal,
    wire::{Cursor, Syntax},
};

/// Parts of a message, and the text that has come but was not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    text: Vec<u8>,
    at: usize,
    grammar: Grammar,
    place: Place,
    /// The last step broke off within a URL.
    in_url: bool,
}

/// How parts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grammar {
    /// `"TEXT" SP literal / "URL" SP astring`, to a closing bracket.
    Catenate,
    /// `SP (literal / literal8 / quoted)`, to the end of the command.
    Compose,
}

/// What has to stand next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first part.
    First,
    /// Another part, or the end.
    Next,
    /// The bracket behind a literal that is marked as UTF-8.
    Closing,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Add what this names.
    Url(String),
    /// Add the octets of this literal, which waits; `utf8` when it is marked so (RFC 6855 §4).
    Data { literal: Literal, utf8: bool },
    /// All parts are there.
    End,
}

impl Parts {
    /// The parts of a CATENATE, behind the first bracket.
    pub(super) fn catenate(text: Vec<u8>) -> Self {
        Self { text, at: 0, grammar: Grammar::Catenate, place: Place::First, in_url: false }
    }

    /// The parts of a COMPOSE, from the space before the first one on, which is looked at.
    pub(in crate::imap) fn compose(text: Vec<u8>) -> Result<Self, Syntax> {
        let parts = Self { grammar: Grammar::Compose, ..Self::catenate(text) };
        parts.clone().step()?;
        Ok(parts)
    }

    /// Takes the next part.
    pub(super) fn step(&mut self) -> Result<Step, Syntax> {
        self.in_url = false;
        let mut args = Cursor::new(self.text.get(self.at..).unwrap_or_default());
        let step = match self.grammar {
            Grammar::Catenate => of_catenate(&mut args, self.place, &mut self.in_url)?,
            Grammar::Compose => of_compose(&mut args, self.place)?,
        };
        let marked = matches!(step, Step::Data { utf8: true, .. });
        self.place = if marked { Place::Closing } else { Place::Next };
        self.at = self.text.len().saturating_sub(args.rest().len());
        Ok(step)
    }

    /// The text behind the literal that was read last.
    pub(super) fn go_on(&mut self, text: Vec<u8>) {
        (self.text, self.at) = (text, 0);
    }

    /// The literal at the end of the text, which waits.
    pub(super) fn unread(&self) -> Option<Literal> {
        Literal::announced_by(&self.text)
    }

    /// Did the last step break off within a URL?
    pub(super) fn is_in_url(&self) -> bool {
        self.in_url
    }

    /// All the text since the last literal that was read.
    pub(super) fn into_text(self) -> Vec<u8> {
        self.text
    }

    /// What stands behind the parts.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.text.split_off(self.at.min(self.text.len()))
    }
}

/// `*(SP cat-part) ")"`, without the space before the first.
fn of_catenate(args: &mut Cursor<'_>, mut place: Place, in_url: &mut bool) -> Result<Step, Syntax> {
    if place == Place::Closing {
        args.expect(b')', "\")\" behind a literal8 in UTF-8")?;
        place = Place::Next;
    }
    if place == Place::Next {
        if args.take(b')') {
            return Ok(Step::End);
        }
        args.space()?;
    }
    part(args, in_url)
}

/// `*(SP (literal / literal8 / quoted))`
fn of_compose(args: &mut Cursor<'_>, place: Place) -> Result<Step, Syntax> {
    if place != Place::First && args.is_empty() {
        return Ok(Step::End);
    }
    args.space()?;
    if args.peek() == Some(b'"') {
        let url = String::from_utf8(args.quoted()?.into_owned());
        return url.map(Step::Url).map_err(|_| Syntax::Expected("a URL"));
    }
    let literal = waiting(args, "a literal, or a URL in quotes")?;
    Ok(Step::Data { literal, utf8: false })
}

/// `cat-part = "TEXT" SP literal / "URL" SP astring / "UTF8" SP "(" literal8 ")"`
fn part(args: &mut Cursor<'_>, in_url: &mut bool) -> Result<Step, Syntax> {
    if args.take_word("URL") {
        args.space()?;
        *in_url = true;
        let url = args.astring_text()?.into_owned();
        *in_url = false;
        return Ok(Step::Url(url));
    }
    let utf8 = args.take_word("UTF8");
    if !utf8 && !args.take_word("TEXT") {
        return Err(Syntax::Expected("TEXT, URL or UTF8"));
    }
    args.space()?;
    if utf8 {
        args.expect(b'(', "\"(\" behind UTF8")?;
    }
    let literal = waiting(args, "a literal with text")?;
    if utf8 && !literal.binary {
        return Err(Syntax::Expected("a literal8 behind UTF8"));
    }
    Ok(Step::Data { literal, utf8 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<Result<Step, ()>> {
        let mut parts = Parts::catenate(text.as_bytes().to_vec());
        let mut steps = Vec::new();
        loop {
            let step = parts.step().map_err(|_| ());
            let last = !matches!(step, Ok(Step::Url(_)));
            steps.push(step);
            if last {
                return steps;
            }
        }
    }

    fn url(text: &str) -> Step {
        Step::Url(text.to_owned())
    }

    #[test]
    fn parts_come_one_by_one_until_the_text_breaks_off() {
        let literal = Literal { size: 42, sent_at_once: false, binary: false };
        let data = Ok(Step::Data { literal, utf8: false });
        assert_eq!(steps("URL \"/a\" TEXT {42}"), [Ok(url("/a")), data]);
        assert_eq!(steps("url /a URL {2}\r\n/b)"), [Ok(url("/a")), Ok(url("/b")), Ok(Step::End)]);
        let literal = Literal { size: 1, sent_at_once: true, binary: true };
        assert_eq!(steps("UTF8 (~{1+}"), [Ok(Step::Data { literal, utf8: true })]);
        for bad in
            ["", " URL /a", "URL", "TEXT x", "TEXT \"x\"", "UTF8 ({3}", "FOO /a", "TEXT {3} x"]
        {
            assert_eq!(steps(bad), [Err(())], "{bad}");
        }
        assert_eq!(steps("URL /a URL /b"), [Ok(url("/a")), Ok(url("/b")), Err(())]);
        assert_eq!(steps("URL /aURL /b)"), [Ok(url("/aURL")), Err(())]);
    }

    #[test]
    fn the_text_goes_on_behind_a_literal() {
        let mut parts = Parts::catenate(b"UTF8 (~{3}".to_vec());
        assert!(matches!(parts.step(), Ok(Step::Data { utf8: true, .. })));
        parts.go_on(b") URL /a) {5}".to_vec());
        assert_eq!(parts.step(), Ok(Step::Url("/a".into())));
        assert_eq!(parts.step(), Ok(Step::End));
        assert_eq!(parts.into_rest(), b" {5}");
    }

    #[test]
    fn parts_of_a_compose_are_literals_and_quoted_urls() {
        let mut parts = Parts::compose(b" \"/a\" \"/b\" {5}".to_vec()).unwrap();
        assert_eq!(parts.step(), Ok(url("/a")));
        assert_eq!(parts.step(), Ok(url("/b")));
        assert!(matches!(parts.step(), Ok(Step::Data { utf8: false, .. })));
        parts.go_on(b" \"/c\"".to_vec());
        assert_eq!(parts.step(), Ok(url("/c")));
        assert_eq!(parts.step(), Ok(Step::End));
        for bad in ["", " ", " /a", "{5}", " {5} x"] {
            assert!(Parts::compose(bad.as_bytes().to_vec()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_that_breaks_off_is_known() {
        let mut parts = Parts::catenate(b"URL {30}".to_vec());
        assert!(parts.step().is_err() && parts.is_in_url());
        let mut parts = Parts::catenate(b"TEXT 30".to_vec());
        assert!(parts.step().is_err() && !parts.is_in_url());
    }
}
