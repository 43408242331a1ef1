//! Reads one whole command from left to right.

use std::borrow::Cow;

use jiff::{Timestamp, civil::Date};

use super::{Set, Syntax, date, utf7, work::looked_at};
use crate::metrics::Limit;

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

    /// `atom = 1*ATOM-CHAR`
    pub fn atom(&mut self) -> Result<&'a str, Syntax> {
        self.ascii(is_atom, "an atom")
    }

    /// `tag = 1*<any ASTRING-CHAR except "+">`
    pub fn tag(&mut self) -> Result<&'a str, Syntax> {
        self.ascii(|byte| is_astring(byte) && byte != b'+', "a tag")
    }

    fn ascii(&mut self, part: fn(u8) -> bool, what: &'static str) -> Result<&'a str, Syntax> {
        let mut after = self.clone();
        let taken = after.run_of(part);
        if taken.is_empty() {
            return Err(Syntax::Expected(what));
        }
        self.rest = after.rest;
        str::from_utf8(taken).map_err(|_| Syntax::Expected(what))
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub fn astring(&mut self) -> Result<Cow<'a, [u8]>, Syntax> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => Ok(Cow::Borrowed(self.ascii(is_astring, "an atom or a string")?.as_bytes())),
        }
    }

    /// An `astring` that must be UTF-8.
    pub fn astring_text(&mut self) -> Result<Cow<'a, str>, Syntax> {
        text(self.astring()?)
    }

    /// `string = quoted / literal`
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Syntax> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Syntax::Expected("a string")),
        }
    }

    /// A `string` that must be UTF-8.
    pub fn string_text(&mut self) -> Result<Cow<'a, str>, Syntax> {
        text(self.string()?)
    }

    /// `nstring = string / nil`
    pub fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, Syntax> {
        if self.take_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `value = nstring / literal8` (RFC 5464 §5, RFC 5257 §5)
    pub fn value(&mut self) -> Result<Option<Cow<'a, [u8]>>, Syntax> {
        match self.peek() {
            Some(b'~') => self.literal8().map(|octets| Some(Cow::Borrowed(octets))),
            _ => self.nstring(),
        }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`; octets above 127 must be UTF-8 (RFC 6855 §3).
    pub fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Syntax> {
        let start = self.rest;
        let octets = self.any_quoted()?;
        if str::from_utf8(&octets).is_err() {
            self.rest = start;
            return Err(Syntax::Expected("UTF-8 in a quoted string"));
        }
        Ok(octets)
    }

    fn any_quoted(&mut self) -> Result<Cow<'a, [u8]>, Syntax> {
        let mut after = self.clone();
        after.expect(b'"', "a quoted string")?;
        let mut whole: Option<Vec<u8>> = None;
        loop {
            let plain = after.run_of(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0));
            if let Some(bytes) = &mut whole {
                bytes.extend_from_slice(plain);
            }
            if after.take(b'"') {
                self.rest = after.rest;
                return Ok(whole.map_or(Cow::Borrowed(plain), Cow::Owned));
            }
            after.expect(b'\\', "the closing quote of a string")?;
            match after.peek() {
                Some(byte @ (b'"' | b'\\')) => {
                    whole.get_or_insert_with(|| plain.to_vec()).push(byte);
                    after.advance(1);
                }
                _ => return Err(Syntax::Expected("\\\" or \\\\ within a quoted string")),
            }
        }
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`, without NUL
    pub fn literal(&mut self) -> Result<&'a [u8], Syntax> {
        let octets = self.octets()?;
        looked_at(octets.len());
        if octets.contains(&0) {
            return Err(Syntax::Expected("a literal without NUL"));
        }
        Ok(octets)
    }

    /// `literal8 = "~{" number64 ["+"] "}" CRLF *OCTET` (RFC 3516 §7)
    pub fn literal8(&mut self) -> Result<&'a [u8], Syntax> {
        let mut after = self.clone();
        after.expect(b'~', "a literal8")?;
        let octets = after.octets()?;
        self.rest = after.rest;
        Ok(octets)
    }

    fn octets(&mut self) -> Result<&'a [u8], Syntax> {
        let mut after = self.clone();
        after.expect(b'{', "a literal")?;
        let size = after.number64()?;
        let _ = after.take(b'+');
        after.expect(b'}', "a literal's closing brace")?;
        after.expect(b'\r', "a line end behind a literal's size")?;
        after.expect(b'\n', "a line end behind a literal's size")?;
        let size = usize::try_from(size).map_err(|_| Syntax::Expected("a whole literal"))?;
        if size > after.rest.len() {
            return Err(Syntax::Expected("a whole literal"));
        }
        let octets = after.advance(size);
        self.rest = after.rest;
        Ok(octets)
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

fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Syntax> {
    let what = Syntax::Expected("text in UTF-8");
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| what),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| what),
    }
}

/// `ATOM-CHAR`: no control, no blank, none of `(){%*"\]`
pub(super) fn is_atom(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR = ATOM-CHAR / "]"`
pub(super) fn is_astring(byte: u8) -> bool {
    is_atom(byte) || byte == b']'
}

/// `list-char = ATOM-CHAR / "%" / "*" / "]"`
fn is_list(byte: u8) -> bool {
    is_astring(byte) || matches!(byte, b'%' | b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursor(text: &str) -> Cursor<'_> {
        Cursor::new(text.as_bytes())
    }

    #[test]
    fn a_login_is_read_from_left_to_right() {
        let mut args = cursor("LOGIN \"a\\\"b@example.org\" {5+}\r\np w\"\\");
        args.keyword("login").unwrap();
        args.space().unwrap();
        assert_eq!(args.astring_text().unwrap(), "a\"b@example.org");
        args.space().unwrap();
        assert_eq!(&*args.astring().unwrap(), b"p w\"\\");
        assert_eq!(args.end(), Ok(()));
    }

    #[test]
    fn a_word_must_stand_whole() {
        assert!(!cursor("UIDS").take_word("UID"));
        assert!(cursor("uid)").take_word("UID"));
        assert_eq!(cursor("BODY.PEEK[TEXT]").word(), Ok("BODY.PEEK"));
    }

    #[test]
    fn a_tilde_may_begin_an_atom_and_a_plus_ends_a_tag() {
        assert_eq!(cursor("~peter x").atom(), Ok("~peter"));
        assert_eq!(cursor("a+b").tag(), Ok("a"));
        assert!(cursor("+").tag().is_err());
    }

    #[test]
    fn a_literal_may_hold_what_a_line_may_not() {
        assert_eq!(cursor("{4}\r\n\r\n\"(x").literal(), Ok(&b"\r\n\"("[..]));
        assert_eq!(cursor("~{3+}\r\na\0bx").literal8(), Ok(&b"a\0b"[..]));
        assert!(cursor("{3}\r\na\0b").literal().is_err());
        assert!(cursor("{9}\r\nabc").literal().is_err());
        assert!(cursor("{99999999999999999999}\r\nabc").literal().is_err());
        assert!(cursor("{3}abc").literal().is_err());
    }

    #[test]
    fn quotes_are_closed_and_only_two_octets_are_escaped() {
        for bad in ["\"abc", "\"a\\bc\"", "\"a\r\nb\"", "\"a\\", "\"\\\""] {
            assert!(cursor(bad).quoted().is_err(), "{bad}");
        }
        assert_eq!(&*cursor("\"a\\\\b\" c").quoted().unwrap(), b"a\\b");
        assert_eq!(&*cursor("\"\"").quoted().unwrap(), b"");
        assert!(Cursor::new(b"\"Gr\xfc\"").quoted().is_err());
        assert_eq!(&*cursor("\"Grü\"").quoted().unwrap(), "Grü".as_bytes());
    }

    #[test]
    fn numbers_keep_within_their_bits() {
        assert_eq!(cursor("4294967295").number(), Ok(u32::MAX));
        assert!(cursor("4294967296").number().is_err());
        assert_eq!(cursor("9223372036854775807").number64(), Ok(9_223_372_036_854_775_807));
        assert!(cursor("9223372036854775808").number64().is_err());
        assert!(cursor("-1").number().is_err());
        assert!(cursor("0").nonzero().is_err());
    }

    #[test]
    fn mailbox_names_are_read_as_the_session_has_them() {
        assert_eq!(cursor("inBox").mailbox().as_deref(), Ok("INBOX"));
        assert_eq!(cursor("Entw&APw-rfe").mailbox().as_deref(), Ok("Entwürfe"));
        assert_eq!(cursor("\"Entwürfe & &-\"").mailbox().as_deref(), Ok("Entwürfe & &-"));
        assert!(cursor("{4}\r\n&AP-").mailbox().is_err());
        let utf8 = |text| cursor(text).with_names(Names::Utf8);
        assert_eq!(utf8("\"Entwürfe\"").mailbox().as_deref(), Ok("Entwürfe"));
        assert_eq!(utf8("a&b").mailbox().as_deref(), Ok("a&b"));
        assert_eq!(cursor("%/&APw-*").list_mailbox().as_deref(), Ok("%/ü*"));
    }

    #[test]
    fn flags_keep_their_backslash() {
        assert_eq!(cursor("(\\Seen $Junk x)").flag_list(), Ok(vec!["\\Seen", "$Junk", "x"]));
        assert_eq!(cursor("()").flag_list(), Ok(vec![]));
        for bad in ["(\\)", "(\\Seen", "(\\Seen$)Junk", "(\\Seen\t)", "(%)"] {
            let mut args = cursor(bad);
            assert!(args.flag_list().and_then(|_| args.end()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_thirty_second_level_is_the_last() {
        fn depth(args: &mut Cursor<'_>) -> Result<usize, Syntax> {
            if args.at_list() {
                Ok(args.list(depth)?.into_iter().max().unwrap_or(0) + 1)
            } else {
                Err(Syntax::Expected("("))
            }
        }
        let brackets = |levels: usize| "(".repeat(levels) + &")".repeat(levels);
        assert_eq!(depth(&mut cursor(&brackets(33))), Ok(33)); // the innermost list is empty
        assert_eq!(
            depth(&mut cursor(&brackets(34))),
            Err(Syntax::Over(Limit::ImapDepthMax, "levels of brackets"))
        );
    }

    proptest! {
        #[test]
        fn no_octets_break_the_cursor(bytes: Vec<u8>) {
            let read = |read: fn(&mut Cursor<'_>) -> bool| read(&mut Cursor::new(&bytes));
            read(|args| args.astring().is_ok());
            read(|args| args.nstring().is_ok());
            read(|args| args.literal8().is_ok());
            read(|args| args.mailbox().is_ok());
            read(|args| args.list_mailbox().is_ok());
            read(|args| args.flag_list().is_ok());
            read(|args| args.set().is_ok());
            read(|args| args.date_time().is_ok());
            read(|args| args.list(Cursor::astring).is_ok());
        }
    }
}
