//! Sizes and durations, with or without a unit.

use std::{fmt, ops::Deref, str::FromStr, time::Duration};

use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};

use super::quoted;
use crate::config::section::{Kind, Setting};

/// A number of octets: `"50 MiB"`, `"998 B"` or a plain number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

impl Size {
    /// So many KiB.
    pub const fn kib(number: u64) -> Self {
        Self(number << 10)
    }

    /// So many MiB.
    pub const fn mib(number: u64) -> Self {
        Self(number << 20)
    }

    /// So many GiB.
    pub const fn gib(number: u64) -> Self {
        Self(number << 30)
    }

    /// The octets.
    pub const fn octets(self) -> u64 {
        self.0
    }

    /// The octets as a length in memory; the largest there is when it does not fit.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// None at all?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = amount(text).ok_or(())?;
        let known = |(name, _): &&(&str, u64)| {
            unit.is_empty() && *name == "B" || name.eq_ignore_ascii_case(unit)
        };
        let (_, factor) = SIZE_UNITS.iter().find(known).ok_or(())?;
        number.checked_mul(*factor).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        match SIZE_UNITS.iter().take(4).find(fits) {
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A duration: `"30 min"`, `"1 h 30 min"` or a plain number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl Span {
    /// So many milliseconds.
    pub const fn millis(number: u64) -> Self {
        Self(Duration::from_millis(number))
    }

    /// So many seconds.
    pub const fn secs(number: u64) -> Self {
        Self(Duration::from_secs(number))
    }

    /// So many minutes.
    pub const fn mins(number: u64) -> Self {
        Self::secs(number * 60)
    }

    /// So many hours.
    pub const fn hours(number: u64) -> Self {
        Self::secs(number * 3_600)
    }

    /// So many days.
    pub const fn days(number: u64) -> Self {
        Self::secs(number * 86_400)
    }
}

impl Deref for Span {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// Milliseconds of a unit; the first name of each is the one that is written.
const SPAN_UNITS: [(&[&str], u64); 5] = [
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["min", "mins", "minute", "minutes"], 60_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000),
    (&["ms", "millisecond", "milliseconds"], 1),
];

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut rest = text.trim();
        let mut millis = 0_u64;
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(unit_at);
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, next) = after.split_at(end);
            let alone = unit.is_empty() && millis == 0;
            let unit = if alone { "s" } else { unit };
            let (_, factor) =
                SPAN_UNITS.iter().find(|(names, _)| names.contains(&unit)).ok_or(())?;
            let number = number.trim().parse::<u64>().map_err(|_| ())?;
            let part = number.checked_mul(*factor).ok_or(())?;
            millis = millis.checked_add(part).ok_or(())?;
            rest = next.trim();
        }
        if text.trim().is_empty() { Err(()) } else { Ok(Self::millis(millis)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let fits =
            |(_, factor): &&(&[&str], u64)| millis >= *factor && millis.is_multiple_of(*factor);
        match SPAN_UNITS.iter().find(fits) {
            Some((names, factor)) => {
                write!(f, "{} {}", millis / factor, names.first().copied().unwrap_or("ms"))
            }
            None => f.write_str("0 s"),
        }
    }
}

/// A number and the word behind it.
fn amount(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// Reads what may be a number or a text with a unit.
struct Measure<T>(&'static str, fn(u64) -> T);

impl<T: FromStr> Visitor<'_> for Measure<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        Ok(self.1(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        let positive = u64::try_from(number);
        positive.map(self.1).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Measure("a size such as \"50 MiB\", or a number of octets", Self))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = "a duration such as \"30 min\", or a number of seconds";
        from.deserialize_any(Measure(allowed, Self::secs))
    }
}

impl Setting for Size {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for Span {
    const KIND: Kind = Kind::Number;

    fn toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, octets) in
            [("50 MiB", 50 << 20), ("64KiB", 65_536), ("998 B", 998), ("7", 7), ("2 kb", 2_000)]
        {
            assert_eq!(text.parse(), Ok(Size(octets)), "{text}");
        }
        for text in ["", "MiB", "-1", "5 apples", "99999999999 TiB", "1.5 GiB"] {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_parts() {
        for (text, millis) in [
            ("30 min", 1_800_000),
            ("1 h 30 min", 5_400_000),
            ("60", 60_000),
            ("500ms", 500),
            ("5 days", 432_000_000),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Span::millis(millis)), "{text}");
        }
        for text in ["", "min", "1 fortnight", "1 h 30", "-5 s", "99999999999999999999 s"] {
            assert_eq!(text.parse::<Span>(), Err(()), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for size in [0, 1, 998, 1_024, 1_536, 50 << 20, 1 << 40] {
            assert_eq!(Size(size).to_string().parse(), Ok(Size(size)));
        }
        for millis in [0, 1, 500, 1_000, 90_000, 86_400_000, 90_061_001] {
            assert_eq!(Span::millis(millis).to_string().parse(), Ok(Span::millis(millis)));
        }
    }
}
