//! Writes answers: text, numbers, strings in the form that fits them.

use super::{
    Names,
    cursor::{is_astring, is_atom},
    utf7,
};

/// The longest string that is worth quoting; what is longer goes as a literal.
const LONGEST_QUOTED: usize = 1_000;

/// Something that knows how it is written.
pub trait Encode {
    /// Writes itself at the end of the buffer.
    fn encode(&self, out: &mut Buffer);
}

/// Octets on their way out.
///
/// What stands in the code is written by [`Buffer::put`] as it is; what came from outside goes
/// through [`Buffer::string`], [`Buffer::mailbox`] and the like, which leave no way to break a line.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    names: Names,
}

impl Buffer {
    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, taken.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many octets wait here.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Does nothing wait here?
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written, keeping the memory for the next answer.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Takes what was written, memory and all: an idle session holds none.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Forgets what was written behind this length: an answer begun in vain.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// How strings and mailbox names stand on the wire from now on.
    pub fn set_names(&mut self, names: Names) {
        self.names = names;
    }

    /// How strings and mailbox names stand on the wire.
    pub fn names(&self) -> Names {
        self.names
    }

    /// Writes something that knows how: words of our own, numbers, sets, replies.
    pub fn put(&mut self, value: impl Encode) {
        value.encode(self);
    }

    /// Writes octets as they are: the inside of a literal.
    pub fn raw(&mut self, octets: &[u8]) {
        self.bytes.extend_from_slice(octets);
    }

    /// Human-readable text up to the line end: controls become blanks, octets beyond US-ASCII `?`
    /// unless the session speaks UTF-8.
    pub fn text(&mut self, text: &str) {
        for char in text.chars() {
            if char.is_control() {
                self.bytes.push(b' ');
            } else if char.is_ascii() || self.names == Names::Utf8 {
                self.bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                self.bytes.push(b'?');
            }
        }
    }

    /// `string`: quoted where that is allowed, else a literal. A NUL, which neither may hold, is
    /// left out.
    pub fn string(&mut self, octets: &[u8]) {
        if self.can_quote(octets) {
            self.bytes.push(b'"');
            for byte in octets {
                if matches!(byte, b'"' | b'\\') {
                    self.bytes.push(b'\\');
                }
                self.bytes.push(*byte);
            }
            self.bytes.push(b'"');
        } else if octets.contains(&0) {
            let without: Vec<u8> = octets.iter().copied().filter(|byte| *byte != 0).collect();
            self.literal(&without);
        } else {
            self.literal(octets);
        }
    }

    fn can_quote(&self, octets: &[u8]) -> bool {
        let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t') || *byte > 127;
        octets.len() <= LONGEST_QUOTED
            && octets.iter().all(plain)
            && (octets.is_ascii() || self.names == Names::Utf8 && str::from_utf8(octets).is_ok())
    }

    /// `nstring`: a string, or NIL for None
    pub fn nstring(&mut self, octets: Option<&[u8]>) {
        match octets {
            Some(octets) => self.string(octets),
            None => self.put("NIL"),
        }
    }

    /// `value = nstring / literal8`: a literal8 only where the value holds a NUL
    pub fn value(&mut self, octets: Option<&[u8]>) {
        match octets {
            Some(octets) if octets.contains(&0) => self.literal8(octets),
            octets => self.nstring(octets),
        }
    }

    /// `astring`: the bare word where it is one (and not NIL), else a string
    pub fn astring(&mut self, octets: &[u8]) {
        let bare = !octets.is_empty() && octets.iter().copied().all(is_astring);
        if bare && !octets.eq_ignore_ascii_case(b"NIL") {
            self.raw(octets);
        } else {
            self.string(octets);
        }
    }

    /// `literal`
    pub fn literal(&mut self, octets: &[u8]) {
        self.literal_head(octets.len());
        self.raw(octets);
    }

    /// `literal8`, which may hold any octet (RFC 3516 §7)
    pub fn literal8(&mut self, octets: &[u8]) {
        self.put("~");
        self.literal(octets);
    }

    /// The head of a literal whose octets follow by other means.
    pub fn literal_head(&mut self, size: usize) {
        self.put("{");
        self.put(size as u64);
        self.put("}\r\n");
    }

    /// A mailbox name as the session has them: always quoted or bare, never broken.
    pub fn mailbox(&mut self, name: &str) {
        match self.names {
            Names::Modified7 => self.mailbox_word(utf7::encode(name).as_bytes()),
            Names::Utf8 => self.mailbox_word(name.as_bytes()),
        }
    }

    fn mailbox_word(&mut self, coded: &[u8]) {
        if !coded.is_empty()
            && coded.iter().copied().all(is_atom)
            && !coded.eq_ignore_ascii_case(b"NIL")
        {
            self.raw(coded);
        } else {
            self.string(coded);
        }
    }

    /// `"(" [item *(SP item)] ")"`
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.put("(");
        let mut space = "";
        for item in items {
            self.put(space);
            write(self, item);
            space = " ";
        }
        self.put(")");
    }
}

impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Buffer) {
        (**self).encode(out);
    }
}

/// Words of our own, written as they are.
impl Encode for str {
    fn encode(&self, out: &mut Buffer) {
        out.bytes.extend_from_slice(self.as_bytes());
    }
}

impl Encode for u64 {
    fn encode(&self, out: &mut Buffer) {
        let (mut digits, mut number, mut at) = ([0_u8; 20], *self, 20);
        loop {
            at -= 1;
            if let Some(digit) = digits.get_mut(at) {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            }
            number /= 10;
            if number == 0 {
                break;
            }
        }
        out.bytes.extend_from_slice(digits.get(at..).unwrap_or_default());
    }
}

impl Encode for u32 {
    fn encode(&self, out: &mut Buffer) {
        u64::from(*self).encode(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Cursor;
    use proptest::prelude::*;

    fn written(names: Names, write: impl FnOnce(&mut Buffer)) -> Vec<u8> {
        let mut out = Buffer::default();
        out.set_names(names);
        write(&mut out);
        out.into_bytes()
    }

    #[test]
    fn a_string_takes_the_form_that_fits_it() {
        let string = |names, octets: &[u8]| written(names, |out| out.string(octets));
        assert_eq!(string(Names::Modified7, b"a \"b\" \\"), b"\"a \\\"b\\\" \\\\\"");
        assert_eq!(string(Names::Modified7, b"a\r\nb"), b"{4}\r\na\r\nb");
        assert_eq!(string(Names::Modified7, "ü".as_bytes()), "{2}\r\nü".as_bytes());
        assert_eq!(string(Names::Utf8, "ü".as_bytes()), "\"ü\"".as_bytes());
        assert_eq!(string(Names::Utf8, b"\xfc"), b"{1}\r\n\xfc");
        assert_eq!(string(Names::Utf8, b"a\0b"), b"{2}\r\nab");
        assert_eq!(string(Names::Modified7, b""), b"\"\"");
    }

    #[test]
    fn an_astring_is_bare_where_it_can_be() {
        let astring = |octets: &[u8]| written(Names::Modified7, |out| out.astring(octets));
        assert_eq!(astring(b"a]b"), b"a]b");
        assert_eq!(astring(b"nil"), b"\"nil\"");
        assert_eq!(astring(b"a b"), b"\"a b\"");
        assert_eq!(astring(b""), b"\"\"");
    }

    #[test]
    fn text_never_breaks_its_line_nor_leaks_utf8() {
        let text = |names| written(names, |out| out.text("no\r\n* OK für"));
        assert_eq!(text(Names::Modified7), b"no  * OK f?r");
        assert_eq!(text(Names::Utf8), "no  * OK für".as_bytes());
    }

    #[test]
    fn numbers_and_lists_are_written() {
        let numbers = written(Names::Modified7, |out| {
            out.list([0, 7, u64::MAX], Buffer::put);
        });
        assert_eq!(numbers, b"(0 7 18446744073709551615)");
    }

    proptest! {
        #[test]
        fn a_written_string_reads_back(octets in proptest::collection::vec(1_u8.., 0..50), utf8: bool) {
            let names = if utf8 { Names::Utf8 } else { Names::Modified7 };
            for bytes in [
                written(names, |out| out.string(&octets)),
                written(names, |out| out.astring(&octets)),
            ] {
                let mut args = Cursor::new(&bytes);
                let read = args.astring().unwrap().into_owned();
                prop_assert_eq!(&read, &octets);
                prop_assert_eq!(args.end(), Ok(()));
            }
        }

        #[test]
        fn a_written_mailbox_name_reads_back(name in "[^\0]*", utf8: bool) {
            let names = if utf8 { Names::Utf8 } else { Names::Modified7 };
            let bytes = written(names, |out| out.mailbox(&name));
            let mut args = Cursor::new(&bytes).with_names(names);
            let expected = if name.eq_ignore_ascii_case("inbox") { "INBOX".to_owned() } else { name };
            prop_assert_eq!(args.mailbox(), Ok(expected));
            prop_assert_eq!(args.end(), Ok(()));
        }
    }
}
