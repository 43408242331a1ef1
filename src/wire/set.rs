//! Number sets: as a client writes them ([`Set`]), and as plain numbers ([`Ranges`]).

use std::{num::NonZeroU32, ops::RangeInclusive};

use super::{Buffer, Cursor, Encode, Syntax};
use crate::metrics::Limit;

/// One end of a span: a number, or `*`, the highest number there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A number that was written out.
    At(NonZeroU32),
    /// `*`
    Last,
}

impl Bound {
    fn resolve(self, last: u32) -> u32 {
        match self {
            Self::At(number) => number.get(),
            Self::Last => last,
        }
    }
}

/// From here to there, both within; the ends may stand in either order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The end that was written first; alone it is the other one too.
    pub from: Bound,
    /// The end that was written last.
    pub to: Bound,
}

/// `sequence-set` as it was written (RFC 9051 §9): spans, and perhaps `$`, the saved result of the
/// last search (RFC 5182).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// What was written out, in its order.
    pub spans: Vec<Span>,
    /// Was `$` named?
    pub saved: bool,
}

impl Set {
    /// `sequence-set = (seq-number / seq-range / "$") *("," (seq-number / seq-range / "$"))`
    pub(super) fn parse(args: &mut Cursor<'_>) -> Result<Self, Syntax> {
        let mut set = Self::default();
        loop {
            if args.take(b'$') {
                set.saved = true;
            } else if set.spans.len() < args.bounds().ranges {
                set.spans.push(span(args)?);
            } else {
                return Err(Syntax::Over(Limit::ImapSetRangesMax, "ranges in a set"));
            }
            if !args.take(b',') {
                return Ok(set);
            }
        }
    }

    /// Is `*` named? Then the set means at least the last message.
    pub fn names_last(&self) -> bool {
        self.spans.iter().any(|span| span.from == Bound::Last || span.to == Bound::Last)
    }

    /// The lowest number from which a span goes on up to `*`.
    pub fn open_from(&self) -> Option<u32> {
        let open = self.spans.iter().filter_map(|span| match (span.from, span.to) {
            (Bound::At(number), Bound::Last) | (Bound::Last, Bound::At(number)) => {
                Some(number.get())
            }
            _ => None,
        });
        open.min()
    }

    /// The highest number written out, for checking against the size of a mailbox.
    pub fn highest(&self) -> u32 {
        self.spans
            .iter()
            .flat_map(|span| [span.from, span.to])
            .map(|bound| bound.resolve(0))
            .max()
            .unwrap_or(0)
    }

    /// The numbers it means when `*` is `last` (zero for an empty mailbox: then `*` means nothing),
    /// `$` left aside. `12:*` is `9:12` when 9 is the last.
    pub fn resolve(&self, last: u32) -> Ranges {
        self.spans
            .iter()
            .map(|span| (span.from.resolve(last), span.to.resolve(last)))
            .map(|(from, to)| from.min(to)..=from.max(to))
            .collect()
    }
}

impl Encode for Set {
    fn encode(&self, out: &mut Buffer) {
        let mut comma = "";
        for span in &self.spans {
            out.put(comma);
            bound(span.from, out);
            if span.to != span.from {
                out.put(":");
                bound(span.to, out);
            }
            comma = ",";
        }
        if self.saved {
            out.put(comma);
            out.put("$");
        }
    }
}

fn bound(bound: Bound, out: &mut Buffer) {
    match bound {
        Bound::At(number) => out.put(number.get()),
        Bound::Last => out.put("*"),
    }
}

/// `seq-range = seq-number ":" seq-number` and the lone `seq-number` (RFC 3501 §9)
fn span(args: &mut Cursor<'_>) -> Result<Span, Syntax> {
    let from = end(args)?;
    let to = if args.take(b':') { end(args)? } else { from };
    Ok(Span { from, to })
}

/// `seq-number = nz-number / "*"`
fn end(args: &mut Cursor<'_>) -> Result<Bound, Syntax> {
    if args.take(b'*') {
        return Ok(Bound::Last);
    }
    let number = NonZeroU32::new(args.number().map_err(|_| Syntax::Expected("a message set"))?);
    number.map(Bound::At).ok_or(Syntax::Expected("a message set, which counts from one"))
}

/// Numbers above zero as rising ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<u32>>);

impl Ranges {
    /// Is there no number at all?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum()
    }

    /// Is this number among them?
    pub fn contains(&self, number: u32) -> bool {
        self.not_below(number).first().is_some_and(|range| range.contains(&number))
    }

    /// The lowest number.
    pub fn first(&self) -> Option<u32> {
        self.0.first().map(|range| *range.start())
    }

    /// The highest number.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|range| *range.end())
    }

    /// The ranges, rising.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// Every number, rising; mind that a client can name four billion of them.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(Clone::clone)
    }

    /// The ranges that do not end below this number, rising.
    pub fn not_below(&self, number: u32) -> &[RangeInclusive<u32>] {
        let below = self.0.partition_point(|range| *range.end() < number);
        self.0.get(below..).unwrap_or_default()
    }

    /// The numbers that are in either.
    #[must_use]
    pub fn either(&self, other: &Self) -> Self {
        let mut ranges: Vec<_> = self.0.iter().chain(&other.0).cloned().collect();
        ranges.sort_unstable_by_key(|range| *range.start());
        let mut either = Self::default();
        for range in ranges {
            either.push_range(range);
        }
        either
    }

    /// Adds a number; in rising order this costs nothing, in any other a look-up and a shift.
    pub fn insert(&mut self, number: u32) {
        if self.last().is_none_or(|last| number >= last) {
            return self.push_range(number..=number);
        }
        if number == 0 || self.contains(number) {
            return;
        }
        let at = self.0.partition_point(|range| *range.end() < number);
        let later = self.0.split_off(at);
        self.push_range(number..=number);
        let mut later = later.into_iter();
        if let Some(range) = later.next() {
            self.push_range(range);
        }
        self.0.extend(later);
    }

    /// Adds a range whose first number is above all that are there; else only what is above.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let above = self.last().map_or(0, |last| last.saturating_add(1));
        self.push_range(*range.start().max(&above)..=*range.end());
    }

    /// Those that are also here in `other`.
    #[must_use]
    pub fn within(&self, other: &Self) -> Self {
        let mut both = Self::default();
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(one), Some(two)) = (ours.peek(), theirs.peek()) {
            both.push_range(*one.start().max(two.start())..=*one.end().min(two.end()));
            if one.end() < two.end() {
                ours.next();
            } else {
                theirs.next();
            }
        }
        both
    }

    /// Those that are not among these, which rise.
    #[must_use]
    pub fn without(&self, rising: impl IntoIterator<Item = u32>) -> Self {
        let mut rest = Self::default();
        let mut others = rising.into_iter().peekable();
        for range in &self.0 {
            let mut from = Some(*range.start());
            while let Some(other) = others.next_if(|other| other <= range.end()) {
                if let Some(first) = from.filter(|first| *first <= other) {
                    rest.push_range(first..=other.saturating_sub(1));
                    // Nothing stands behind the highest number there is.
                    from = other.checked_add(1);
                }
            }
            if let Some(first) = from {
                rest.push_range(first..=*range.end());
            }
        }
        rest
    }

    /// Adds a range that begins no lower than the last one did.
    fn push_range(&mut self, range: RangeInclusive<u32>) {
        let (from, to) = ((*range.start()).max(1), *range.end());
        if from > to {
            return;
        }
        match self.0.last_mut() {
            Some(last) if from <= last.end().saturating_add(1) => {
                *last = *last.start()..=to.max(*last.end());
            }
            _ => self.0.push(from..=to),
        }
    }
}

/// Ranges in any order, which may overlap.
impl FromIterator<RangeInclusive<u32>> for Ranges {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u32>>>(ranges: I) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().collect();
        sorted.sort_unstable_by_key(|range| *range.start());
        let mut ranges = Self::default();
        for range in sorted {
            ranges.push_range(range);
        }
        ranges
    }
}

impl From<RangeInclusive<u32>> for Ranges {
    fn from(range: RangeInclusive<u32>) -> Self {
        let mut ranges = Self::default();
        ranges.push_range(range);
        ranges
    }
}

impl FromIterator<u32> for Ranges {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut ranges = Self::default();
        for number in numbers {
            ranges.insert(number);
        }
        ranges
    }
}

/// The shortest form: `1:5,7`.
impl Encode for Ranges {
    fn encode(&self, out: &mut Buffer) {
        let mut comma = "";
        for range in &self.0 {
            out.put(comma);
            out.put(*range.start());
            if range.end() > range.start() {
                out.put(":");
                out.put(*range.end());
            }
            comma = ",";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Set, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let set = args.set()?;
        args.end()?;
        Ok(set)
    }

    fn written(value: &impl Encode) -> String {
        let mut out = Buffer::default();
        out.put(value);
        String::from_utf8(out.into_bytes()).unwrap()
    }

    fn resolve(text: &str, last: u32) -> String {
        written(&read(text).unwrap().resolve(last))
    }

    #[test]
    fn star_is_the_last_message_even_when_the_other_end_is_beyond_it() {
        assert_eq!(resolve("12:*", 9), "9:12");
        assert_eq!(resolve("*:5", 9), "5:9");
        assert_eq!(resolve("*", 9), "9");
        assert_eq!(resolve("*", 0), "");
    }

    #[test]
    fn ranges_are_merged_and_written_short() {
        assert_eq!(resolve("7,5:1,2:3,6", 9), "1:7");
        assert_eq!(
            resolve("9,1,3,4294967295,4294967294:*", 4_294_967_295),
            "1,3,9,4294967294:4294967295"
        );
    }

    #[test]
    fn the_saved_result_has_its_place() {
        assert_eq!(read("$"), Ok(Set { spans: vec![], saved: true }));
        assert!(read("1:3,$").is_ok_and(|set| set.saved && set.spans.len() == 1));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for bad in ["", "0", "1:", ":3", "1,,2", "1,", "a", "4294967296", "1:0"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ten_thousand_ranges_are_read_and_not_one_more() {
        let set = |ranges| vec!["1"; ranges].join(",");
        assert!(read(&set(10_000)).is_ok());
        assert_eq!(
            read(&set(10_001)),
            Err(Syntax::Over(Limit::ImapSetRangesMax, "ranges in a set"))
        );
    }

    proptest! {
        #[test]
        fn a_written_set_reads_back(numbers: Vec<(u32, Option<u32>)>, saved: bool) {
            let bound = |number: u32| NonZeroU32::new(number).map_or(Bound::Last, Bound::At);
            let spans: Vec<_> = numbers
                .iter()
                .map(|(from, to)| Span { from: bound(*from), to: bound(to.unwrap_or(*from)) })
                .collect();
            let set = Set { saved: saved || spans.is_empty(), spans };
            prop_assert_eq!(read(&written(&set)), Ok(set));
        }

        #[test]
        fn what_two_sets_share_and_what_one_lacks_is_exact(
            one in proptest::collection::vec((0_u32..60, 0_u32..9), 0..12),
            two in proptest::collection::vec((0_u32..60, 0_u32..9), 0..12),
            high: bool,
        ) {
            // The same at the lower and at the upper end of all numbers.
            let base = if high { u32::MAX - 70 } else { 0 };
            let set = |spans: &[(u32, u32)]| -> Ranges {
                spans.iter().map(|(from, more)| base + from..=base + from + more).collect()
            };
            let plain = |ranges: &Ranges| ranges.numbers().collect::<Vec<_>>();
            let (one, two) = (set(&one), set(&two));
            let shared = plain(&one).into_iter().filter(|number| two.contains(*number));
            prop_assert_eq!(plain(&one.within(&two)), shared.collect::<Vec<_>>());
            let lacking = plain(&one).into_iter().filter(|number| !two.contains(*number));
            prop_assert_eq!(plain(&one.without(two.numbers())), lacking.collect::<Vec<_>>());
            let (rest, both) = (one.without(two.numbers()), one.within(&two));
            let whole: Ranges = rest.ranges().iter().chain(both.ranges()).cloned().collect();
            prop_assert_eq!(whole, one);
        }

        #[test]
        fn ranges_hold_exactly_what_was_put_in(numbers in proptest::collection::vec(1_u32..60, 0..40)) {
            let ranges: Ranges = numbers.iter().copied().collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(ranges.numbers().collect::<Vec<_>>(), sorted.clone());
            prop_assert_eq!(ranges.count(), sorted.len() as u64);
            let (low, high) = sorted.split_at(sorted.len() / 3);
            let (low, high) = (low.iter().copied().collect(), high.iter().copied().collect::<Ranges>());
            prop_assert_eq!(&high.either(&low), &ranges);
            prop_assert_eq!(ranges.within(&low), low.clone());
            prop_assert_eq!(low.within(&high), Ranges::default());
            for number in 0..61 {
                prop_assert_eq!(ranges.contains(number), sorted.contains(&number));
            }
        }
    }
}
