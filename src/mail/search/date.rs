//! The day that a Date field names, time and time zone left aside (RFC 9051 §6.4.4, SENTON).

use jiff::civil::Date;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The day of `Wed, 17 Jul 1996 02:23:25 -0700`, also in older ways of writing it.
pub(super) fn sent_day(field: &[u8]) -> Option<Date> {
    let words = field.split(|octet| !octet.is_ascii_alphanumeric() && *octet != b':');
    let words: Vec<_> = words.filter(|word| !word.is_empty()).take(16).collect();
    let place = words.iter().position(|word| month(word).is_some())?;
    let month = month(words.get(place)?)?;
    let before = place.checked_sub(1).and_then(|place| day(words.get(place)?));
    let mut behind = words.iter().skip(place.saturating_add(1));
    // asctime has the day behind the month and the year at the end.
    let day = before.or_else(|| day(behind.next()?))?;
    let year = behind.find_map(|word| year(word))?;
    Date::new(year, month, day).ok()
}

fn month(word: &[u8]) -> Option<i8> {
    let word = word.get(..3)?;
    let known = MONTHS.iter().zip(1..).find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
    known.map(|(_, number)| number)
}

fn day(word: &[u8]) -> Option<i8> {
    let number = str::from_utf8(word).ok().filter(|word| word.len() <= 2)?.parse().ok()?;
    (1..=31).contains(&number).then_some(number)
}

/// Years of two and three digits are as in RFC 5322 §4.3.
fn year(word: &[u8]) -> Option<i16> {
    let number: i16 = str::from_utf8(word).ok()?.parse().ok()?;
    match (word.len(), number) {
        (2, 0..=49) => Some(number + 2000),
        (2 | 3, _) => Some(number + 1900),
        (4, _) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_the_senders() {
        for (field, day) in [
            ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", "1996-07-17"),
            ("1 Feb 2026 23:59:59 -1200", "2026-02-01"),
            ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06"),
            ("Sun Nov  6 08:49:37 1994", "1994-11-06"),
            ("Fri, 21 Nov 97 09:55:06 -0600", "1997-11-21"),
            ("Thu, 3 january 102 0:0 +0000", "2002-01-03"),
        ] {
            assert_eq!(sent_day(field.as_bytes()).map(|day| day.to_string()).as_deref(), Some(day));
        }
    }

    #[test]
    fn what_names_no_day_has_none() {
        for field in ["", "yesterday", "31 Feb 2020", "Jul", "17 Jul", "99 Jul 2020"] {
            assert_eq!(sent_day(field.as_bytes()), None, "{field}");
        }
    }
}
