//! A window on a list of messages: `PARTIAL` of SEARCH, SORT and FETCH (RFC 9394, RFC 5267 §4.4).

use std::ops::Range;

use crate::wire::{Buffer, Cursor, Encode, Syntax};

/// Places in a list, counted from one, from its beginning or from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The place that was written first; it may be the higher one.
    from: u32,
    /// The place that was written last.
    to: u32,
    /// Counted from the end: 1 is the last of the list.
    backwards: bool,
}

impl Partial {
    /// `partial-range = nz-number ":" nz-number / "-" nz-number ":" "-" nz-number` (RFC 9394 §4)
    pub fn parse(args: &mut Cursor<'_>) -> Result<Self, Syntax> {
        let backwards = args.take(b'-');
        let from = args.nonzero()?;
        args.expect(b':', "a range such as 1:100 or -1:-100")?;
        if args.take(b'-') != backwards {
            return Err(Syntax::Expected("both ends of the range counted from the same side"));
        }
        Ok(Self { from, to: args.nonzero()?, backwards })
    }

    /// What it shows of a list.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        list.get(self.places(list.len())).unwrap_or_default()
    }

    /// The same of a list that is to hold nothing else.
    pub fn keep<T>(self, list: &mut Vec<T>) {
        let places = self.places(list.len());
        list.truncate(places.end);
        list.drain(..places.start);
    }

    fn places(self, length: usize) -> Range<usize> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).min(length);
        let (before, to) = (place(self.from.min(self.to) - 1), place(self.from.max(self.to)));
        if self.backwards { length - to..length - before } else { before..to }
    }
}

impl Encode for Partial {
    fn encode(&self, out: &mut Buffer) {
        let sign = if self.backwards { "-" } else { "" };
        out.put(sign);
        out.put(self.from);
        out.put(":");
        out.put(sign);
        out.put(self.to);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Partial, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let partial = Partial::parse(&mut args)?;
        args.end()?;
        Ok(partial)
    }

    #[test]
    fn a_window_shows_what_there_is_of_it() {
        let list = [1_u8, 2, 3, 4, 5];
        let shown = |text| read(text).unwrap().of(&list).to_vec();
        assert_eq!(shown("1:2"), [1, 2]);
        assert_eq!(shown("4:2"), [2, 3, 4]);
        assert_eq!(shown("5:9"), [5]);
        assert!(shown("6:9").is_empty());
        assert_eq!(shown("-1:-2"), [4, 5]);
        assert_eq!(shown("-4:-3"), [2, 3]);
        assert_eq!(shown("-5:-4294967295"), [1]);
        assert!(shown("-6:-7").is_empty());
        assert!(read("1:4294967295").unwrap().of::<u8>(&[]).is_empty());
    }

    #[test]
    fn both_ends_are_numbers_counted_from_one_side() {
        for bad in
            ["", "1", "1:", "0:1", "1:0", "1:*", "-1:2", "1:-2", "-0:-1", "1:4294967296", "+1:2"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_windows_read_back_and_keep_what_they_show(
            from in 1_u32..20, to in 1_u32..20, backwards: bool, length in 0_usize..20,
        ) {
            let partial = Partial { from, to, backwards };
            let mut out = Buffer::default();
            out.put(partial);
            let text = String::from_utf8(out.into_bytes()).unwrap();
            prop_assert_eq!(read(&text), Ok(partial));
            let mut list: Vec<usize> = (1..=length).collect();
            let shown = partial.of(&list).to_vec();
            let (low, high) = (from.min(to) as usize, from.max(to) as usize);
            let counted = |n: &usize| if backwards { length + 1 - n } else { *n };
            let expected: Vec<_> =
                (1..=length).filter(|n| (low..=high).contains(&counted(n))).collect();
            prop_assert_eq!(&shown, &expected);
            partial.keep(&mut list);
            prop_assert_eq!(list, expected);
        }
    }
}
