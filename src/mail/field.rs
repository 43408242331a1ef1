//! Header fields as they stand in a message (RFC 5322 §2.2).
//!
//! Finds fields and unfolds them; what a field's value means is for others. A header ends at the
//! first empty line; a line that is no field (no colon) is a field without a name, so that the
//! fields together are always the whole header, octet for octet.

use std::borrow::Cow;

use crate::wire::work::looked_at;

/// One field with its folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Before the colon, without blanks; empty when there is no colon.
    pub name: &'a [u8],
    /// Behind the colon, folds and line end included.
    pub value: &'a [u8],
    /// All octets of the field, from its name to its last line end.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether the field has this name, in whatever case.
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a header, first to last; see [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a header or of a message (then up to the empty line).
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The first field of that name, whatever its case.
pub fn find<'a>(header: &'a [u8], name: &[u8]) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name))
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n") {
            return None;
        }
        let size = size_of_field(self.rest);
        looked_at(size);
        let (raw, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        let first_line = raw.split(|octet| *octet == b'\n').next().unwrap_or(raw);
        let (name, value) = match memchr::memchr(b':', first_line) {
            Some(colon) if !raw.starts_with(b" ") && !raw.starts_with(b"\t") => {
                let (name, value) = raw.split_at_checked(colon)?;
                (name.trim_ascii_end(), value.split_first()?.1)
            }
            _ => (&b""[..], raw),
        };
        Some(Field { name, value, raw })
    }
}

/// Up to the line end that no blank follows.
fn size_of_field(text: &[u8]) -> usize {
    for end in memchr::memchr_iter(b'\n', text) {
        let next = end.saturating_add(1);
        if !matches!(text.get(next), Some(b' ' | b'\t')) {
            return next;
        }
    }
    text.len()
}

/// A field's value as one line without blanks around it (RFC 5322 §2.2.3).
///
/// Never holds CR, LF or NUL, so that any door can print it.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    looked_at(value.len());
    let value = value.trim_ascii();
    if memchr::memchr3(b'\r', b'\n', 0, value).is_none() {
        return Cow::Borrowed(value);
    }
    let kept = value.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0));
    Cow::Owned(kept.collect::<Vec<u8>>().trim_ascii().to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folds_belong_to_their_field() {
        let header = b"Subject: one\r\n two\r\nTo : a@b\n\r\nbody: x\r\n";
        let all: Vec<_> = fields(header).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].raw, b"Subject: one\r\n two\r\n");
        assert_eq!(&*unfold(all[0].value), b"one two");
        assert!(all[1].is(b"TO"));
        assert_eq!(&*unfold(all[1].value), b"a@b");
    }

    #[test]
    fn a_line_without_a_colon_is_a_field_without_a_name() {
        let all: Vec<_> = fields(b"From alice\r\nX: 1").collect();
        assert_eq!(all[0].name, b"");
        assert_eq!(all[0].raw, b"From alice\r\n");
        assert_eq!(all[1].name, b"X");
    }

    proptest! {
        #[test]
        fn fields_together_are_the_header(header in "([a-zA-Z: \t]{0,6}\r?\n?){0,20}") {
            let joined: Vec<u8> = fields(header.as_bytes()).flat_map(|f| f.raw.to_vec()).collect();
            prop_assert!(header.as_bytes().starts_with(&joined));
            let rest = &header.as_bytes()[joined.len()..];
            prop_assert!(rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n"));
        }
    }
}
