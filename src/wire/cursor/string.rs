//! Atoms, quoted strings and literals.

use std::borrow::Cow;

use super::Cursor;
use crate::wire::{Syntax, work::looked_at};

impl<'a> Cursor<'a> {
    /// `atom = 1*ATOM-CHAR`
    pub fn atom(&mut self) -> Result<&'a str, Syntax> {
        self.ascii(is_atom, "an atom")
    }

    /// `tag = 1*<any ASTRING-CHAR except "+">`
    pub fn tag(&mut self) -> Result<&'a str, Syntax> {
        self.ascii(|byte| is_astring(byte) && byte != b'+', "a tag")
    }

    pub(super) fn ascii(
        &mut self,
        part: fn(u8) -> bool,
        what: &'static str,
    ) -> Result<&'a str, Syntax> {
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
}

pub(super) fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Syntax> {
    let what = Syntax::Expected("text in UTF-8");
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| what),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| what),
    }
}

/// `ATOM-CHAR`: no control, no blank, none of `(){%*"\]`
pub(in crate::wire) fn is_atom(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR = ATOM-CHAR / "]"`
pub(in crate::wire) fn is_astring(byte: u8) -> bool {
    is_atom(byte) || byte == b']'
}

/// `list-char = ATOM-CHAR / "%" / "*" / "]"`
pub(super) fn is_list(byte: u8) -> bool {
    is_astring(byte) || matches!(byte, b'%' | b'*')
}
