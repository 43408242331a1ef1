//! `append-message` up to the message (RFC 9051 §9, RFC 4466 §2.5, RFC 4469 §5, RFC 5257 §4.7).

use super::parts::{Parts, Step};
use crate::{
    imap::{annotations, error::Error, flags, session::Session},
    mail::{NewMail, Prepared, annotations::AnnotationValue},
    net::Literal,
    store::MarkNames,
    wire::{Cursor, Syntax},
};

/// What stands before a message, and where its octets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What is said about the message.
    pub about: About,
    /// Where its octets are.
    pub data: Data,
}

/// What is said about a message that comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its flags and keywords.
    pub marks: MarkNames,
    /// INTERNALDATE in seconds since 1970; None means now.
    pub date: Option<i64>,
    /// What is said of it (RFC 5257 §4.7).
    pub annotations: Vec<AnnotationValue>,
}

impl About {
    /// The message that this is about.
    pub fn mail(self, message: Prepared) -> NewMail {
        let Self { marks, date, annotations } = self;
        NewMail { message, marks, internal_date: date, annotations }
    }
}

/// Where the octets of a message are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In a literal, which waits. `UTF8 (` may stand before it, and then a bracket must follow it.
    Literal {
        /// The literal.
        literal: Literal,
        /// The message is marked as one with UTF-8 in its header (RFC 6855 §4).
        utf8: bool,
    },
    /// In parts.
    Parts(Parts),
}

impl Data {
    /// How many octets are announced; parts say so only one by one.
    pub fn announced(&self) -> u64 {
        match self {
            Self::Literal { literal, .. } => literal.size,
            Self::Parts(_) => 0,
        }
    }

    /// Does its client wait for a go-ahead?
    pub fn waits(&self) -> bool {
        self.unread().is_some_and(|literal| !literal.sent_at_once)
    }

    fn unread(&self) -> Option<Literal> {
        match self {
            Self::Literal { literal, .. } => Some(*literal),
            Self::Parts(parts) => parts.unread(),
        }
    }

    /// Reads the rest of a command that has failed.
    pub async fn swallow(&self, session: &mut Session) -> Result<(), Error> {
        match self.unread() {
            Some(literal) => session.swallow(literal).await,
            None => Ok(()),
        }
    }
}

/// `append-message = [SP flag-list] [SP date-time] [SP "ANNOTATION" SP "(" entry-att … ")"] SP
/// append-data`, where `append-data = literal / literal8 / "UTF8" SP "(" literal8 ")" / "CATENATE" SP
/// "(" cat-part *(SP cat-part) ")"`
///
/// Of parts all that has come is taken, to the end.
pub fn head(args: &mut Cursor<'_>) -> Result<Head, Syntax> {
    let mut about = marks_and_date(args)?;
    if args.take_word("ANNOTATION") {
        args.space()?;
        about.annotations = annotations::values(args)?;
        args.space()?;
    }
    if args.take_word("CATENATE") {
        return Ok(Head { about, data: Data::Parts(catenate(args)?) });
    }
    let utf8 = args.take_word("UTF8");
    if utf8 {
        args.space()?;
        args.expect(b'(', "\"(\" behind UTF8")?;
    }
    let literal = waiting(args, "a literal with the message")?;
    if utf8 && !literal.binary {
        return Err(Syntax::Expected("a literal8 behind UTF8"));
    }
    Ok(Head { about, data: Data::Literal { literal, utf8 } })
}

/// The literal that is announced here and waits.
pub(in crate::imap) fn waiting(args: &Cursor<'_>, what: &'static str) -> Result<Literal, Syntax> {
    let begins = matches!(args.rest(), [b'{', ..] | [b'~', b'{', ..]);
    let inside = args.rest().contains(&b'\n');
    let literal = Literal::announced_by(args.rest()).filter(|_| begins && !inside);
    literal.ok_or(Syntax::Expected(what))
}

/// `"(" cat-part …`, behind the word.
pub(in crate::imap) fn catenate(args: &mut Cursor<'_>) -> Result<Parts, Syntax> {
    args.space()?;
    args.expect(b'(', "\"(\" behind CATENATE")?;
    if args.peek() == Some(b')') {
        return Err(Syntax::Expected("a part to catenate"));
    }
    Ok(Parts::catenate(args.rest().to_vec()))
}

/// `SP [flag-list SP] [date-time SP]`; the word FLAGS before the flags is let pass
pub(super) fn marks_and_date(args: &mut Cursor<'_>) -> Result<About, Syntax> {
    args.space()?;
    if args.take_word("FLAGS") {
        args.space()?;
    }
    let mut about = About::default();
    if args.at_list() {
        about.marks = flags::list(args)?;
        args.space()?;
    }
    if args.peek() == Some(b'"') {
        about.date = Some(args.date_time()?.as_second());
        args.space()?;
    }
    Ok(about)
}

/// Is the literal at the end of these arguments of an APPEND message data, and not the mailbox's name
/// nor a value within?
pub fn is_data(args: &[u8]) -> bool {
    let mut args = Cursor::new(args);
    args.space().and_then(|()| args.astring()).is_ok()
        && !args.is_empty()
        && !ends_in_value(args.rest())
}

/// Is the literal at the end of what stands before a message, or of messages in parts, a value that is
/// kept in memory: one that is said of a message, or a URL?
pub(super) fn ends_in_value(text: &[u8]) -> bool {
    let mut rest = text.to_vec();
    loop {
        let mut args = Cursor::new(&rest);
        if marks_and_date(&mut args).is_err() {
            return false;
        }
        if args.take_word("ANNOTATION") {
            if args.space().is_err() {
                return false;
            }
            if annotations::values(&mut args).is_err() {
                return true;
            }
            if args.space().is_err() {
                return false;
            }
        }
        if !args.take_word("CATENATE") {
            return false;
        }
        let Ok(parts) = catenate(&mut args) else { return false };
        match behind(parts) {
            Ok(behind) => rest = behind,
            Err(is_url) => return is_url,
        }
    }
}

/// What stands behind parts that have all come; else whether they break off within a URL.
pub(in crate::imap) fn behind(mut parts: Parts) -> Result<Vec<u8>, bool> {
    loop {
        match parts.step() {
            Ok(Step::Url(_)) => {}
            Ok(Step::End) => return Ok(parts.into_rest()),
            Ok(Step::Data { .. }) => return Err(false),
            Err(_) => return Err(parts.is_in_url()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        flags::Flags,
        mail::{annotations::AnnotationName, metadata::Scope},
        wire::internal_date,
    };

    fn read(text: &str) -> Result<Head, Syntax> {
        head(&mut Cursor::new(text.as_bytes()))
    }

    fn literal(text: &str) -> Option<(Literal, bool)> {
        match read(text).ok()?.data {
            Data::Literal { literal, utf8 } => Some((literal, utf8)),
            Data::Parts(_) => None,
        }
    }

    #[test]
    fn flags_date_and_all_kinds_of_literals_are_read() {
        let text = " (\\Seen $Work) \" 7-Feb-1994 21:52:25 -0800\" {310}";
        let whole = read(text).unwrap();
        assert_eq!(whole.about.date, Some(760_686_745));
        assert_eq!(whole.about.marks.keywords, ["$Work"]);
        let expected = Literal { size: 310, sent_at_once: false, binary: false };
        assert_eq!(literal(text), Some((expected, false)));
        assert!(literal(" ~{310+}").is_some_and(|(literal, utf8)| literal.binary && !utf8));
        assert!(literal(" UTF8 (~{310}").is_some_and(|(_, utf8)| utf8));
        assert!(read(" FLAGS (\\Seen) {3}").is_ok());
        let said = read(" (\\Seen) ANNOTATION (/comment (value.priv {2}\r\nab)) {310}").unwrap();
        assert_eq!(said.about.annotations.len(), 1);
        assert!(read(" ANNOTATION {310}").is_err() && read(" ANNOTATION () {310}").is_err());
        for bad in ["", " ", " INBOX", " \"text\"", " UTF8 ({3}", " (\\Seen){3}", " x{3}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_may_stand_in_place_of_a_literal() {
        let parts = |text| matches!(read(text), Ok(Head { data: Data::Parts(_), .. }));
        assert!(parts(" CATENATE (TEXT {42}") && parts(" (\\Draft) catenate (URL \"/x\")"));
        // U14
        for bad in [" CATENATE ()", " CATENATE", " CATENATE(URL x)", " CATENATE {3}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_a_literal_is_no_message() {
        assert!(!is_data(b" {5}"));
        assert!(is_data(b" {5}\r\nINBOX {310}"));
        assert!(is_data(b" INBOX {310}") && is_data(b" \"a b\" (\\Seen) {310+}"));
        assert!(!is_data(b"{310}"));
        assert!(!is_data(b" INBOX ANNOTATION (/comment (value.priv {5}"));
        assert!(!is_data(b" INBOX (\\Seen) annotation (/c (value.priv {1}\r\na value.shared ~{5}"));
        assert!(is_data(b" INBOX ANNOTATION (/comment (value.priv {1}\r\na)) {310}"));
        assert!(is_data(b" INBOX (ANNOTATION) {310}"));
    }

    #[test]
    fn a_url_that_is_a_literal_is_no_message() {
        assert!(is_data(b" INBOX CATENATE (TEXT {5}") && is_data(b" INBOX CATENATE (UTF8 (~{5}"));
        assert!(!is_data(b" INBOX CATENATE (URL {5}"));
        assert!(!is_data(b" INBOX CATENATE (URL \"/x\" URL {5+}"));
        assert!(is_data(b" INBOX CATENATE (URL {2}\r\n/x TEXT ~{5+}"));
        assert!(!is_data(b" INBOX CATENATE (URL /x) (\\Seen) CATENATE (URL {5}"));
        assert!(!is_data(b" INBOX CATENATE (URL /x) ANNOTATION (/comment (value.priv {5}"));
        assert!(is_data(b" INBOX CATENATE (URL /x) {5}"));
        assert!(is_data(b" INBOX CATENATE (nonsense {5}"));
        assert!(is_data(b" URL (CATENATE) {5}"));
    }

    proptest! {
        #[test]
        fn printed_heads_read_back(
            flags in proptest::sample::subsequence(Flags::NAMES.to_vec(), 0..=Flags::NAMES.len()),
            keywords in proptest::collection::vec("x[a-z0-9$.]{0,5}", 0..4),
            date in proptest::option::of(0_i64..4_000_000_000),
            annotations in proptest::option::of("[a-z ]{0,9}"),
            size: u64,
            sent_at_once: bool,
            binary: bool,
            utf8: bool,
        ) {
            let literal = Literal { size, sent_at_once, binary: binary || utf8 };
            let mut marks = MarkNames { keywords, ..MarkNames::default() };
            for (flag, _) in &flags {
                marks.flags = marks.flags.with(*flag);
            }
            let names: Vec<_> = flags.iter().map(|(_, name)| *name)
                .chain(marks.keywords.iter().map(String::as_str)).collect();
            let mut text = format!(" ({})", names.join(" "));
            if let Some(date) = date {
                text += " ";
                text += &internal_date(jiff::Timestamp::from_second(date).unwrap());
            }
            if let Some(value) = &annotations {
                text += &format!(" ANNOTATION (/comment (value.priv \"{value}\"))");
            }
            text += if utf8 { " UTF8 (" } else { " " };
            text += if literal.binary { "~{" } else { "{" };
            text += &size.to_string();
            text += if sent_at_once { "+}" } else { "}" };
            let annotations = annotations.iter().map(|value| AnnotationValue {
                name: AnnotationName::parse(b"/comment").unwrap(),
                scope: Scope::Private,
                value: Some(value.as_bytes().to_vec()),
            });
            let about = About { marks, date, annotations: annotations.collect() };
            let data = Data::Literal { literal, utf8 };
            prop_assert_eq!(read(&text), Ok(Head { about, data }));
        }

        #[test]
        fn no_text_before_a_message_does_harm(text in "( |\\(|\\)|CATENATE|URL|TEXT|UTF8|ANNOTATION|/x|\"|\\{3\\}|\\{1\\}\r\n){0,12}") {
            let _ = read(&text);
            let _ = is_data(text.as_bytes());
        }
    }
}
