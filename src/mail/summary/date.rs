//! The Date field as a number (RFC 5322 §3.3, §4.3).
//!
//! Reads what mail really holds: words in any order that can be told apart, two-digit years, zone
//! names, seconds left out. A missing time counts as midnight, a missing zone as UTC (RFC 5256 §2.2).

use jiff::civil::date;

use crate::mail::lexer::{Lexer, is_blank};

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Seconds since 1970 of a Date field's value; nothing if there is no date in it. What stands
/// behind comments that nest deeper than `comment_depth` is not read.
pub(super) fn unix_seconds(value: &[u8], comment_depth: usize) -> Option<i64> {
    let mut found = Found::default();
    let mut lexer = Lexer::new(value, comment_depth);
    loop {
        lexer.skip();
        if lexer.peek().is_none() {
            break;
        }
        let word = lexer.run(|octet| !is_blank(octet) && !b"(,".contains(&octet));
        if word.is_empty() {
            lexer.bump();
        } else {
            found.word(word);
        }
    }
    found.seconds()
}

#[derive(Default)]
struct Found {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<i64>,
    zone: i64,
}

impl Found {
    fn word(&mut self, word: &[u8]) {
        if memchr::memchr(b':', word).is_some() {
            self.time = self.time.or_else(|| time(word));
        } else if let [b'+' | b'-', digits @ ..] = word {
            if let (4, Some(hhmm)) = (digits.len(), number(digits)) {
                let seconds = (hhmm / 100 * 60 + hhmm % 100) * 60;
                self.zone = if word.starts_with(b"-") { -seconds } else { seconds };
            }
        } else if word.iter().all(u8::is_ascii_digit) {
            self.number(word);
        } else if word.first().is_some_and(u8::is_ascii_digit)
            && memchr::memchr(b'-', word).is_some()
        {
            // 21-Nov-97
            word.split(|octet| *octet == b'-').for_each(|piece| self.piece(piece));
        } else {
            self.name(word);
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if piece.iter().all(u8::is_ascii_digit) { self.number(piece) } else { self.name(piece) }
    }

    fn number(&mut self, digits: &[u8]) {
        let Some(number) = number(digits).and_then(|number| i16::try_from(number).ok()) else {
            return;
        };
        if digits.len() <= 2 && self.day.is_none() {
            self.day = i8::try_from(number).ok();
        } else if self.year.is_none() {
            // RFC 5322 §4.3: two digits are 1950 to 2049, three count from 1900.
            self.year = Some(match (digits.len(), number) {
                (2, 0..50) => number.saturating_add(2000),
                (2 | 3, _) => number.saturating_add(1900),
                _ => number,
            });
        }
    }

    fn name(&mut self, name: &[u8]) {
        let name = name.to_ascii_lowercase();
        let begins = |month: &&[u8]| name.starts_with(month);
        if self.month.is_none()
            && let Some(month) = MONTHS.iter().position(begins)
        {
            self.month = i8::try_from(month.saturating_add(1)).ok();
            return;
        }
        let hours = match name.as_slice() {
            b"edt" => -4,
            b"est" | b"cdt" => -5,
            b"cst" | b"mdt" => -6,
            b"mst" | b"pdt" => -7,
            b"pst" => -8,
            _ => return,
        };
        self.zone = hours * 3600;
    }

    fn seconds(self) -> Option<i64> {
        let (year, month, day) = (self.year?, self.month?, self.day?);
        let day = jiff::civil::Date::new(year, month, day).ok()?;
        let days = (day - date(1970, 1, 1)).get_days();
        Some(i64::from(days) * 86_400 + self.time.unwrap_or(0) - self.zone)
    }
}

/// `hh:mm[:ss]`
fn time(word: &[u8]) -> Option<i64> {
    let mut pieces = word.split(|octet| matches!(octet, b':' | b'.'));
    let mut next = |most| match pieces.next() {
        None => Some(0),
        Some(digits) => number(digits).filter(|number| *number <= most),
    };
    Some((next(23)? * 60 + next(59)?) * 60 + next(60)?)
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_all_ages_are_read() {
        for (value, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", 880_127_706),
            ("Tue, 1 Jul 2003 10:52:37 +0200", 1_057_049_557),
            ("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", -27_723_480),
            ("21 Nov 97 09:55:06 GMT", 880_106_106),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880_070_400 + 21_600),
            ("Fri Nov 21 09:55:06 1997", 880_106_106),
            ("21-Nov-1997 09:55:06 EST", 880_106_106 + 18_000),
            ("1 Jan 1970", 0),
            ("Thu, 01 Jan 70 00:00:60 +0000", 60),
        ] {
            assert_eq!(unix_seconds(value.as_bytes(), 50), Some(seconds), "{value}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for value in ["", "yesterday", "31 Feb 2020 10:00", "Nov 1997", "99999999999 Jan 1", "---"]
        {
            assert_eq!(unix_seconds(value.as_bytes(), 50), None, "{value}");
        }
    }
}
