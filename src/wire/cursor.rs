//! Reads one whole command from left to right.

mod string;

use std::borrow::Cow;

use jiff::{Timestamp, civil::Date};

use super::{Set, Syntax, date, utf7, work::looked_at};
use crate::metrics::Limit;

use self::string::is_list;
pub(super) use self::string::{is_astring, is_atom};

/// Entries of one list.
const LONGEST_LIST: usize = 10_000;

/// How mailbox names stand on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Modified UTF-7 (RFC 3501 §5.1.3).
    #[default]
    Modified7,
    /// UTF-8, once IMAP4rev2 or UTF8=ACCEPT is enabled.
    Utf8,
}

/// How much of each thing one command may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Brackets within brackets, keys within keys.
    pub depth: usize,
    /// Ranges in one set.
    pub ranges: usize,
    /// SEARCH keys.
    pub search_keys: usize,
    /// FETCH items.
    pub fetch_items: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: 32, ranges: 10_000, search_keys: 1_000, fetch_items: 100 }
    }
}

/// What is left of a command. Its literals stand in their places, header and all, as they came.
///
/// Every method either takes what it names and moves on, or says what it expected.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    names: Names,
    bounds: Bounds,
    depth: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor before the first octet, reading names in modified UTF-7.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, names: Names::default(), bounds: Bounds::default(), depth: 0 }
    }

    /// The same, reading mailbox names as the session has them.
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The same, with other bounds than the usual ones.
    pub fn with_bounds(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// What bounds there are, for those who count what they read.
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How mailbox names are read.
    pub fn names(&self) -> Names {
        self.names
    }

    /// All that was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Is nothing left?
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next octet, left where it is.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes this octet if it is the next one.
    pub fn take(&mut self, byte: u8) -> bool {
        looked_at(1);
        match self.rest.split_first() {
            Some((next, rest)) if *next == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes this octet, or says what should have stood there.
    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Syntax> {
        if self.take(byte) { Ok(()) } else { Err(Syntax::Expected(what)) }
    }

    /// `SP`
    pub fn space(&mut self) -> Result<(), Syntax> {
        self.expect(b' ', "a space")
    }

    /// The command ends here. Blanks before the end are let pass: some clients send them.
    pub fn end(&mut self) -> Result<(), Syntax> {
        while self.take(b' ') {}
        if self.is_empty() { Ok(()) } else { Err(Syntax::Expected("the end of the command")) }
    }

    /// Takes this word in any case if it stands here whole.
    pub fn take_word(&mut self, word: &str) -> bool {
        let mut after = self.clone();
        if after.letters_and_more().eq_ignore_ascii_case(word.as_bytes()) {
            self.rest = after.rest;
            return true;
        }
        false
    }

    /// This word in any case, and nothing else.
    pub fn keyword(&mut self, word: &'static str) -> Result<(), Syntax> {
        if self.take_word(word) { Ok(()) } else { Err(Syntax::Expected(word)) }
    }

    /// Any word of letters, digits and `.-/=`: the name of an item, key or option. It stops at
    /// brackets, so `BODY[` and `UID)` give the word before them.
    pub fn word(&mut self) -> Result<&'a str, Syntax> {
        let word = self.letters_and_more();
        if word.is_empty() {
            return Err(Syntax::Expected("a word"));
        }
        str::from_utf8(word).map_err(|_| Syntax::Expected("a word"))
    }

    fn letters_and_more(&mut self) -> &'a [u8] {
        self.run_of(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'/' | b'=' | b'_' | b'$')
        })
    }

    pub(super) fn letters(&mut self) -> &'a [u8] {
        self.run_of(|byte| byte.is_ascii_alphabetic())
    }

    /// Takes octets as long as they please.
    fn run_of(&mut self, pleases: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|byte| !pleases(*byte)).unwrap_or(self.rest.len());
        looked_at(length.saturating_add(1));
        self.advance(length)
    }

    fn advance(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// `value = nstring / literal8` (RFC 5464 §5, RFC 5257 §5)
    pub fn value(&mut self) -> Result<Option<Cow<'a, [u8]>>, Syntax> {
        match self.peek() {
            Some(b'~') => self.literal8().map(|octets| Some(Cow::Borrowed(octets))),
            _ => self.nstring(),
        }
    }

    /// Decimal digits, at most so many, at least one.
    pub(super) fn digits(&mut self, most: usize) -> Result<u32, Syntax> {
        let (mut value, mut seen) = (0_u32, 0);
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            if seen == most {
                break;
            }
            let next = value.checked_mul(10).and_then(|v| v.checked_add(u32::from(byte - b'0')));
            value = next.ok_or(Syntax::Expected("a number"))?;
            self.advance(1);
            seen += 1;
        }
        if seen == 0 { Err(Syntax::Expected("a number")) } else { Ok(value) }
    }

    /// `number`: 32 bits, without sign
    pub fn number(&mut self) -> Result<u32, Syntax> {
        u32::try_from(self.number64()?).map_err(|_| Syntax::Expected("a number of 32 bits"))
    }

    /// `nz-number`: 32 bits, above zero
    pub fn nonzero(&mut self) -> Result<u32, Syntax> {
        match self.number()? {
            0 => Err(Syntax::Expected("a number above zero")),
            number => Ok(number),
        }
    }

    /// `number64`: 63 bits, without sign (RFC 9051 §9)
    pub fn number64(&mut self) -> Result<u64, Syntax> {
        let what = Syntax::Expected("a number");
        let digits = self.run_of(|byte| byte.is_ascii_digit());
        let digits = str::from_utf8(digits).map_err(|_| what)?;
        let number: i64 = digits.parse().map_err(|_| what)?;
        u64::try_from(number).map_err(|_| what)
    }

    /// `mailbox = "INBOX" / astring`, decoded to UTF-8; INBOX of any case becomes `INBOX`.
    pub fn mailbox(&mut self) -> Result<String, Syntax> {
        let coded = self.astring()?;
        if coded.eq_ignore_ascii_case(b"INBOX") {
            return Ok("INBOX".to_owned());
        }
        self.decode(&coded)
    }

    /// `list-mailbox = 1*list-char / string`, decoded to UTF-8, with its `%` and `*`
    pub fn list_mailbox(&mut self) -> Result<String, Syntax> {
        let coded = match self.peek() {
            Some(b'"' | b'{') => self.string()?,
            _ => Cow::Borrowed(self.ascii(is_list, "a mailbox pattern")?.as_bytes()),
        };
        self.decode(&coded)
    }

    /// `list-mailbox` whose octets are what they are, and no mailbox name
    pub fn list_text(&mut self) -> Result<Cow<'a, [u8]>, Syntax> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(Cow::Borrowed(self.ascii(is_list, "a pattern")?.as_bytes())),
        }
    }

    fn decode(&self, coded: &[u8]) -> Result<String, Syntax> {
        match self.names {
            Names::Modified7 if coded.is_ascii() => utf7::decode(coded),
            // Eight bits are UTF-8 from whomever they come (RFC 6855 §3).
            Names::Modified7 | Names::Utf8 => {
                let name = str::from_utf8(coded).map(str::to_owned);
                name.map_err(|_| Syntax::Expected("a mailbox name in UTF-8"))
            }
        }
    }

    /// `flag = "\" atom / atom`, with its backslash
    pub fn flag(&mut self) -> Result<&'a str, Syntax> {
        let start = self.rest;
        let length = usize::from(self.take(b'\\')) + self.ascii(is_atom, "a flag")?.len();
        let flag = start.get(..length).and_then(|bytes| str::from_utf8(bytes).ok());
        flag.ok_or(Syntax::Expected("a flag"))
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub fn flag_list(&mut self) -> Result<Vec<&'a str>, Syntax> {
        self.list(Self::flag)
    }

    /// `sequence-set`
    pub fn set(&mut self) -> Result<Set, Syntax> {
        Set::parse(self)
    }

    /// `date`, quoted or not
    pub fn date(&mut self) -> Result<Date, Syntax> {
        date::date(self)
    }

    /// `date-time`, quoted
    pub fn date_time(&mut self) -> Result<Timestamp, Syntax> {
        date::date_time(self)
    }

    /// Whether a bracket opens here.
    pub fn at_list(&self) -> bool {
        self.peek() == Some(b'(')
    }

    /// `"(" [item *(SP item)] ")"`
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Syntax>,
    ) -> Result<Vec<T>, Syntax> {
        let mut items = Vec::new();
        self.expect(b'(', "\"(\"")?;
        while self.take(b' ') {}
        while !self.take(b')') {
            if items.len() == LONGEST_LIST {
                return Err(Syntax::Limit("entries in a list"));
            }
            items.push(self.nested(&mut item)?);
            if !self.take(b' ') && self.peek() != Some(b')') {
                return Err(Syntax::Expected("a space or \")\""));
            }
            while self.take(b' ') {}
        }
        Ok(items)
    }

    /// Reads something one level deeper: whoever calls itself goes through here.
    pub fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, Syntax>,
    ) -> Result<T, Syntax> {
        if self.depth == self.bounds.depth {
            return Err(Syntax::Over(Limit::ImapDepthMax, "levels of brackets"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}

#[cfg(test)]
mod tests;
