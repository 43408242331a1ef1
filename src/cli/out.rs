//! What a command tells: lines and tables on standard output, complaints on standard error.
//!
//! A reader that goes away early, as `head` does, is no error.

use std::{fmt::Display, io::Write};

/// One line on standard output.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{}", printable(&text.to_string()));
}

/// Text of several lines, as it is.
pub(super) fn text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// One line on standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "mailade: {}", printable(text));
}

/// Rows under a heading, columns aligned; nothing at all without rows.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) {
    if !rows.is_empty() {
        text(&aligned(heading, rows));
    }
}

fn aligned<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let heading = heading.map(str::to_owned);
    let all = || std::iter::once(&heading).chain(rows);
    let widths: Vec<_> = (0..N)
        .map(|at| all().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in all() {
        let mut line = String::new();
        for (cell, wanted) in row.iter().zip(&widths) {
            line.push_str(&printable(cell));
            line.extend(std::iter::repeat_n(' ', wanted.saturating_sub(width(cell)) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// The text without control characters, which could drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Seconds since 1970 as a date and time of this machine's zone.
pub(super) fn date(seconds: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_second(seconds) else {
        return String::from("-");
    };
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heading() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["cccc".to_owned(), "\u{1b}".to_owned()]];
        assert_eq!(aligned(["X", "Y"], &rows), "X     Y\na     bb\ncccc  \u{fffd}\n");
    }
}
