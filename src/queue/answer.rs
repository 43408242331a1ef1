//! What is known of a recipient after an attempt: a status code, words, and who said them.

use std::fmt;

/// `status-code = class "." subject "." detail` (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u8, pub(super) u16, pub(super) u16);

impl Status {
    /// Reads a code that is the whole text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.');
        let class = numbers.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        let mut next = || {
            let digits = numbers.next()?;
            let short = digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
            if short { digits.parse().ok() } else { None }
        };
        let status = Self(class, next()?, next()?);
        if numbers.next().is_none() { Some(status) } else { None }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Success,
    Temporary,
    Permanent,
}

/// What is known of a recipient after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// One line: the peer's reply with its code, or our own words.
    pub(super) text: String,
    /// Who said it; None when it is our own finding.
    pub(super) remote: Option<String>,
    /// It was put off before any data: another server of the destination may be asked at once
    /// (RFC 5321 §5.1).
    pub(super) ask_another: bool,
}

impl Answer {
    /// Our own finding.
    pub(super) fn own(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), remote: None, ask_another: false }
    }

    pub(super) fn class(&self) -> Class {
        match self.status.0 {
            2 => Class::Success,
            5 => Class::Permanent,
            _ => Class::Temporary,
        }
    }

    /// The same, said to MAIL or RCPT.
    pub(super) fn before_data(mut self) -> Self {
        self.ask_another = self.class() == Class::Temporary;
        self
    }

    /// The same words, but it may be tried again.
    pub(super) fn temporary(mut self) -> Self {
        self.status.0 = 4;
        self
    }

    /// As the store keeps it.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.status, self.text)
    }
}

/// Parts what [`Answer::line`] joined.
pub(super) fn split_line(line: &str) -> (Status, &str) {
    let (status, text) = line.split_once(' ').unwrap_or((line, ""));
    (Status::parse(status).unwrap_or(Status(5, 0, 0)), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_have_three_numbers_and_a_class() {
        assert_eq!(Status::parse("5.1.10"), Some(Status(5, 1, 10)));
        for bad in ["", "5", "5.1", "3.1.1", "5.1.1.1", "5.x.1", "5.1.1000", "5..1", "5.+1.1"] {
            assert_eq!(Status::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_survives_its_line() {
        let answer = Answer::own(Status(4, 4, 1), "cannot connect");
        assert_eq!(split_line(&answer.line()), (answer.status, "cannot connect"));
        assert_eq!(split_line(""), (Status(5, 0, 0), ""));
    }
}
