//! Fields picked from a header that comes in steps, however long it is.
//!
//! It picks what [`select_fields`](crate::mail::section::select_fields) does of a header that is
//! there as a whole, and holds no more of it than a name.

use std::collections::HashSet;

use memchr::memchr;

use crate::wire::work::looked_at;

/// Blanks between a name and its colon, at most; a line with more has no name.
const BLANKS: usize = 1 << 10;

/// Picks the fields with some names, or all others.
#[derive(Debug)]
pub(super) struct Picker {
    /// In small letters.
    names: HashSet<Vec<u8>>,
    /// The longest of them.
    longest: usize,
    not: bool,
    place: Place,
    /// The beginning of a field that may still be any.
    held: Vec<u8>,
}

/// Where in the header the last octet stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a field's name.
    Name,
    /// Behind it, in a field that is picked or not; at the end of a line of it or not.
    Field { picked: bool, line_end: bool },
    /// Behind the empty line.
    Body,
}

impl Picker {
    /// The fields with these names, or with `not` all others.
    pub(super) fn new(names: &[Vec<u8>], not: bool) -> Self {
        Self {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            longest: names.iter().map(Vec::len).max().unwrap_or(0),
            not,
            place: Place::Name,
            held: Vec::new(),
        }
    }

    /// Takes the header's next octets and appends what is picked of them.
    pub(super) fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        looked_at(octets.len());
        let mut rest = octets;
        while let Some((octet, after)) = rest.split_first() {
            match self.place {
                Place::Name => {
                    self.held.push(*octet);
                    self.read_name(*octet, out);
                    rest = after;
                }
                Place::Field { line_end: true, .. } if !matches!(octet, b' ' | b'\t') => {
                    self.place = Place::Name;
                }
                Place::Field { picked, .. } => {
                    let end = memchr(b'\n', rest).map(|end| end.saturating_add(1));
                    let (line, after) =
                        rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or((rest, &[]));
                    if picked {
                        out.extend_from_slice(line);
                    }
                    self.place = Place::Field { picked, line_end: end.is_some() };
                    rest = after;
                }
                Place::Body => return,
            }
        }
    }

    /// The header is complete: what ends the picked fields.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        if self.place == Place::Name && !self.held.is_empty() {
            self.decide(false, out);
        }
        if self.place == (Place::Field { picked: true, line_end: false }) {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Looks at the octet that was held last.
    fn read_name(&mut self, octet: u8, out: &mut Vec<u8>) {
        let blank = octet.is_ascii_whitespace();
        match self.held.as_slice() {
            b"\n" | b"\r\n" => self.place = Place::Body,
            [name @ .., b':'] => {
                let name = name.trim_ascii_end().to_ascii_lowercase();
                self.decide(!name.is_empty() && self.names.contains(&name), out);
            }
            [b' ' | b'\t', ..] | [.., b'\n'] => self.decide(false, out),
            held if held.len() > self.longest.saturating_add(if blank { BLANKS } else { 0 }) => {
                self.decide(false, out);
            }
            _ => {}
        }
    }

    /// Now it is known whether the field has one of the names.
    fn decide(&mut self, named: bool, out: &mut Vec<u8>) {
        let picked = named != self.not;
        if picked {
            out.extend_from_slice(&self.held);
        }
        self.place = Place::Field { picked, line_end: self.held.ends_with(b"\n") };
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::section::select_fields;

    fn picked(header: &[u8], cuts: usize, names: &[Vec<u8>], not: bool) -> Vec<u8> {
        let (mut picker, mut out) = (Picker::new(names, not), Vec::new());
        for piece in header.chunks(cuts) {
            picker.feed(piece, &mut out);
        }
        picker.finish(&mut out);
        out
    }

    proptest! {
        #[test]
        fn it_picks_what_is_picked_of_a_whole_header(
            header in "((To|Cc|toto| |\t|\r|a|:){0,5}(\r\n|\n)?){0,8}",
            cuts in 1_usize..9,
            not in any::<bool>(),
        ) {
            let names = [b"TO".to_vec(), b"x-longer-than-those".to_vec(), b"cc".to_vec()];
            let expected = select_fields(header.as_bytes(), &names, not);
            prop_assert_eq!(picked(header.as_bytes(), cuts, &names, not), expected);
        }
    }

    #[test]
    fn no_more_is_held_than_a_name() {
        let (mut picker, mut out) = (Picker::new(&[b"to".to_vec()], false), Vec::new());
        for piece in ["x", "to ", "To: a\r\n b"] {
            for _ in 0..10_000 {
                picker.feed(piece.as_bytes(), &mut out);
                assert!(picker.held.len() <= BLANKS + 3);
            }
            picker.feed(b"\r\n", &mut out);
        }
    }
}
