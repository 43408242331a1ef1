//! IMAP's dates: `1-Feb-1994` and `" 1-Feb-1994 21:52:25 -0800"` (RFC 9051 §9, `date`, `date-time`).

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{Offset, TimeZone},
};

use super::{Cursor, Syntax};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How an INTERNALDATE is written, quotes included, in UTC.
pub fn internal_date(at: Timestamp) -> String {
    let date = Offset::UTC.to_datetime(at);
    let month = usize::try_from(date.month() - 1).ok().and_then(|month| MONTHS.get(month));
    format!(
        "\"{:2}-{}-{:04} {:02}:{:02}:{:02} +0000\"",
        date.day(),
        month.unwrap_or(&"Jan"),
        date.year(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// Reads a whole `date-time`, quotes included: what an APPEND may give as the date.
pub fn date_time(args: &mut Cursor<'_>) -> Result<Timestamp, Syntax> {
    args.expect(b'"', "a quoted date and time")?;
    let _ = args.take(b' ');
    let date = civil_date(args)?;
    args.space()?;
    let hour = two_digits(args)?;
    args.expect(b':', "hours:minutes:seconds")?;
    let minute = two_digits(args)?;
    args.expect(b':', "hours:minutes:seconds")?;
    let second = two_digits(args)?.min(59); // jiff has no leap seconds
    args.space()?;
    let offset = zone(args)?;
    args.expect(b'"', "a quote behind the time zone")?;
    let time = DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0);
    let time = time.map_err(|_| Syntax::Expected("a time that exists"))?;
    let zoned = time.to_zoned(TimeZone::fixed(offset));
    Ok(zoned.map_err(|_| Syntax::Expected("a date within reach"))?.timestamp())
}

/// `date = date-text / DQUOTE date-text DQUOTE`
pub(super) fn date(args: &mut Cursor<'_>) -> Result<Date, Syntax> {
    let quoted = args.take(b'"');
    let date = civil_date(args)?;
    if quoted {
        args.expect(b'"', "a quote behind the date")?;
    }
    Ok(date)
}

/// `date-text = date-day "-" date-month "-" date-year`
fn civil_date(args: &mut Cursor<'_>) -> Result<Date, Syntax> {
    let what = "a date such as 1-Feb-1994";
    let day = i8::try_from(args.digits(2)?).map_err(|_| Syntax::Expected(what))?;
    args.expect(b'-', what)?;
    let name = args.letters();
    let month =
        MONTHS.iter().zip(1_i8..).find(|(month, _)| month.as_bytes().eq_ignore_ascii_case(name));
    let (_, month) = month.ok_or(Syntax::Expected(what))?;
    args.expect(b'-', what)?;
    let year = i16::try_from(exactly(4, args)?).map_err(|_| Syntax::Expected(what))?;
    Date::new(year, month, day).map_err(|_| Syntax::Expected("a date that exists"))
}

fn two_digits(args: &mut Cursor<'_>) -> Result<i8, Syntax> {
    i8::try_from(exactly(2, args)?).map_err(|_| Syntax::Expected("two digits"))
}

/// So many digits, none fewer.
fn exactly(count: usize, args: &mut Cursor<'_>) -> Result<u32, Syntax> {
    let before = args.rest().len();
    let number = args.digits(count)?;
    if before - args.rest().len() == count { Ok(number) } else { Err(Syntax::Expected("a digit")) }
}

/// `zone = ("+" / "-") 4DIGIT`
fn zone(args: &mut Cursor<'_>) -> Result<Offset, Syntax> {
    let what = Syntax::Expected("a time zone such as +0100");
    let sign = if args.take(b'-') {
        -1
    } else if args.take(b'+') {
        1
    } else {
        return Err(what);
    };
    let (hours, minutes) = (exactly(2, args)?, exactly(2, args)?);
    let seconds = i32::try_from(hours * 3600 + minutes * 60).map_err(|_| what)?;
    Offset::from_seconds(sign * seconds).map_err(|_| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Timestamp, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let at = date_time(&mut args)?;
        args.end()?;
        Ok(at)
    }

    #[test]
    fn the_date_of_the_rfc_is_read_and_written() {
        let at = read("\" 7-Feb-1994 21:52:25 -0800\"").unwrap();
        assert_eq!(at.as_second(), 760_686_745);
        assert_eq!(internal_date(at), "\" 8-Feb-1994 05:52:25 +0000\"");
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for bad in [
            "\"31-Feb-1994 21:52:25 -0800\"",
            "\"01-Feb-1994 25:52:25 -0800\"",
            "\"1-Foo-1994\"",
            "\" 1-Feb-94 21:52:25 -0800\"",
            "\" 1-Feb-1994 1:52:25 -0800\"",
            "\" 1-Feb-1994 21:52:25 -800\"",
            "",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(date(&mut Cursor::new(b"\"1-feb-1994\"")).is_ok());
        assert!(date(&mut Cursor::new(b"1-Feb-1994")).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(second in 0_i64..4_000_000_000) {
            let at = Timestamp::from_second(second).unwrap();
            prop_assert_eq!(read(&internal_date(at)), Ok(at));
        }
    }
}
