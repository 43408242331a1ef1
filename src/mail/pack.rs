//! The compact form in which structure and summary are stored: numbers in groups of seven bits,
//! texts with their length before them.
//!
//! What the fields mean is for [`structure`](super::structure) and [`summary`](super::summary) to
//! say. Reading copies nothing and never trusts a length.

use crate::wire::work::looked_at;

/// A stored form that this program did not write, or that was harmed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored form is damaged")]
pub struct Damaged;

pub(super) fn put_uint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

pub(super) fn put_size(out: &mut Vec<u8>, size: usize) {
    put_uint(out, u64::try_from(size).unwrap_or(u64::MAX));
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_size(out, text.len());
    out.extend_from_slice(text);
}

/// Nothing is 0, a text of n octets is n + 1 and the octets.
pub(super) fn put_maybe(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        None => out.push(0),
        Some(text) => {
            put_size(out, text.len().saturating_add(1));
            out.extend_from_slice(text);
        }
    }
}

/// Reads a stored form from left to right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unpack<'a>(&'a [u8]);

impl<'a> Unpack<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const NOTHING: Self = Self(b"");

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        looked_at(1);
        let (first, rest) = self.0.split_first().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn uint(&mut self) -> Result<u64, Damaged> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let next = self.byte()?;
            let bits = u64::from(next & 0x7f);
            if bits > u64::MAX >> shift {
                return Err(Damaged);
            }
            number |= bits << shift;
            if next < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged)
    }

    pub(super) fn size(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.uint()?).map_err(|_| Damaged)
    }

    pub(super) fn take(&mut self, size: usize) -> Result<&'a [u8], Damaged> {
        looked_at(1);
        let (taken, rest) = self.0.split_at_checked(size).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], Damaged> {
        let size = self.size()?;
        self.take(size)
    }

    pub(super) fn maybe(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        match self.size()?.checked_sub(1) {
            None => Ok(None),
            Some(size) => self.take(size).map(Some),
        }
    }

    /// The form has to end here.
    pub(super) fn end(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for number in (0..64).flat_map(|bit| [1u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut out = Vec::new();
            put_uint(&mut out, number);
            let mut unpack = Unpack::new(&out);
            assert_eq!(unpack.uint(), Ok(number));
            assert_eq!(unpack.end(), Ok(()));
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_damage() {
        assert_eq!(Unpack::new(&[0xff; 11]).uint(), Err(Damaged));
        let mut too_big = [0xff; 10];
        too_big[9] = 2;
        assert_eq!(Unpack::new(&too_big).uint(), Err(Damaged));
    }

    #[test]
    fn nothing_and_an_empty_text_differ() {
        let mut out = Vec::new();
        put_maybe(&mut out, None);
        put_maybe(&mut out, Some(b""));
        let mut unpack = Unpack::new(&out);
        assert_eq!(unpack.maybe(), Ok(None));
        assert_eq!(unpack.maybe(), Ok(Some(&b""[..])));
    }
}
