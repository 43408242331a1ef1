//! What servers say (RFC 9051 §7, §9), as far as this client has to understand it.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// How a status is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// What kind of answer a line is, or begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// `+`
    GoAhead,
    /// `*`, with a status or with data.
    Untagged(Option<Condition>),
    /// The end of a command.
    Tagged(&'a [u8], Condition),
    /// Nothing that a server may say.
    Nonsense,
}

impl<'a> Answer<'a> {
    pub(super) fn read(line: &'a [u8]) -> Self {
        let (first, rest) = word(line);
        match (first, condition(word(rest).0)) {
            (b"+", _) => Self::GoAhead,
            (b"*", status) => Self::Untagged(status),
            (tag, Some(status @ (Condition::Ok | Condition::No | Condition::Bad))) => {
                Self::Tagged(tag, status)
            }
            _ => Self::Nonsense,
        }
    }
}

fn condition(word: &[u8]) -> Option<Condition> {
    let known = [
        (&b"OK"[..], Condition::Ok),
        (b"NO", Condition::No),
        (b"BAD", Condition::Bad),
        (b"PREAUTH", Condition::PreAuth),
        (b"BYE", Condition::Bye),
    ];
    known.into_iter().find(|(text, _)| word.eq_ignore_ascii_case(text)).map(|(_, found)| found)
}

/// What stands before the first space, and what behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|octet| *octet == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    (word, rest.get(1..).unwrap_or_default())
}

/// The words behind `* OK` and its like.
fn behind_condition(line: &[u8]) -> &[u8] {
    word(word(line).1).1
}

/// The name of a status's response code.
pub(super) fn code(line: &[u8]) -> Option<&[u8]> {
    let inner = behind_condition(line).strip_prefix(b"[")?;
    let end = inner.iter().position(|octet| matches!(octet, b' ' | b']'))?;
    inner.get(..end)
}

/// The number in a response code of this name.
pub(super) fn number_of(line: &[u8], name: &[u8]) -> Option<u32> {
    let inner = behind_condition(line).strip_prefix(b"[")?;
    let (found, rest) = word(inner);
    let digits = rest.get(..rest.iter().position(|octet| *octet == b']')?)?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(super) fn is_capability(line: &[u8]) -> bool {
    let (first, rest) = word(line);
    first == b"*" && word(rest).0.eq_ignore_ascii_case(b"CAPABILITY")
}

/// The capabilities that a line tells, as data or in a code.
pub(super) fn capabilities(line: &[u8]) -> Option<Vec<String>> {
    let list = if is_capability(line) {
        word(word(line).1).1
    } else {
        let inner = behind_condition(line).strip_prefix(b"[")?;
        let (name, rest) = word(inner);
        if !name.eq_ignore_ascii_case(b"CAPABILITY") {
            return None;
        }
        rest.get(..rest.iter().position(|octet| *octet == b']')?)?
    };
    let words = list.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// What a URL gives.
    Url,
    /// A section of a message.
    Section,
}

/// What an answer, as far as it has come, says of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing up to here.
    Nothing,
    /// That there is none.
    Nil,
    /// This.
    Text(Vec<u8>),
    /// It is the literal that is announced at the end.
    Literal,
}

impl Value {
    /// Reads an answer that may break off behind the announcement of a literal.
    pub(super) fn read(answer: &[u8], asked: Asked) -> Self {
        let found = match asked {
            Asked::Url => of_url(answer),
            Asked::Section => of_section(answer),
        };
        found.unwrap_or(Self::Nothing)
    }
}

/// `"URLFETCH" SP url SP nstring`, or `url SP "(" "BINARY" SP nstring ")"` (RFC 5524 §3).
fn of_url(answer: &[u8]) -> Option<Value> {
    let (first, rest) = word(answer);
    let (name, rest) = word(rest);
    if first != b"*" || !name.eq_ignore_ascii_case(b"URLFETCH") {
        return None;
    }
    let rest = past_value(rest)?.strip_prefix(b" ")?;
    match rest.strip_prefix(b"(") {
        None => value(rest),
        Some(list) => {
            let (name, rest) = word(list);
            if name.eq_ignore_ascii_case(b"BINARY") { value(rest) } else { None }
        }
    }
}

/// `message-data`: the first item that is a section's octets.
fn of_section(answer: &[u8]) -> Option<Value> {
    let (first, rest) = word(answer);
    let (number, rest) = word(rest);
    let (name, rest) = word(rest);
    let is_fetch = first == b"*" && name.eq_ignore_ascii_case(b"FETCH");
    if !is_fetch || number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut rest = rest.strip_prefix(b"(")?;
    loop {
        let (name, behind) = item_name(rest)?;
        if starts(name, b"BODY[") || starts(name, b"BINARY[") {
            return value(behind);
        }
        rest = past_value(behind)?.strip_prefix(b" ")?;
    }
}

/// The name of an item, with what stands in brackets, and what is behind its space.
fn item_name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut within = false;
    let end = text.iter().position(|octet| {
        within = match octet {
            b'[' => true,
            b']' => false,
            _ => within,
        };
        *octet == b' ' && !within
    })?;
    Some((text.get(..end)?, text.get(end.checked_add(1)?..)?))
}

fn starts(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

/// `nstring / literal8` at the start; None when it has not come whole.
fn value(text: &[u8]) -> Option<Value> {
    match text.first()? {
        b'"' => quoted(text).map(|(value, _)| Value::Text(value)),
        b'{' | b'~' => match announced(text)? {
            (_, None) => Some(Value::Literal),
            (size, Some(rest)) => Some(Value::Text(rest.get(..size)?.to_vec())),
        },
        _ if starts(text, b"NIL") => Some(Value::Nil),
        _ => None,
    }
}

/// What a quoted string says, and what is behind it.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut value, mut escaped) = (Vec::new(), false);
    for (at, octet) in text.iter().enumerate().skip(1) {
        match octet {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return Some((value, text.get(at.checked_add(1)?..)?)),
            octet => {
                value.push(*octet);
                escaped = false;
            }
        }
    }
    None
}

/// The size of a literal, and what is behind its line end, if there is one.
fn announced(text: &[u8]) -> Option<(usize, Option<&[u8]>)> {
    let text = text.strip_prefix(b"~").unwrap_or(text).strip_prefix(b"{")?;
    let end = text.iter().position(|octet| *octet == b'}')?;
    let digits = text.get(..end)?;
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // What does not fit a number is longer than anything that has come.
    let size = std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX);
    let rest = text.get(end.checked_add(1)?..)?;
    if rest.is_empty() { Some((size, None)) } else { Some((size, rest.strip_prefix(b"\r\n"))) }
}

/// What is behind a value of any kind: a list, a string or a word.
fn past_value(text: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut depth) = (text, 0_usize);
    loop {
        rest = match rest.first()? {
            b'"' => quoted(rest)?.1,
            b'{' | b'~' => match announced(rest)? {
                (size, Some(behind)) => behind.get(size..)?,
                (_, None) => return None,
            },
            b'(' => {
                depth = depth.checked_add(1)?;
                rest.get(1..)?
            }
            b')' => {
                depth = depth.checked_sub(1)?;
                rest.get(1..)?
            }
            b' ' if depth > 0 => rest.get(1..)?,
            _ => {
                let ends = |octet: &u8| matches!(octet, b' ' | b'(' | b')' | b'"');
                let end = rest.iter().position(ends).unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                rest.get(end..)?
            }
        };
        if depth == 0 {
            return Some(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(answer: &str) -> Value {
        Value::read(answer.as_bytes(), Asked::Url)
    }

    fn section(answer: &str) -> Value {
        Value::read(answer.as_bytes(), Asked::Section)
    }

    fn text(text: &str) -> Value {
        Value::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(Answer::read(b"+ go"), Answer::GoAhead);
        assert_eq!(Answer::read(b"+"), Answer::GoAhead);
        assert_eq!(Answer::read(b"* ok ready"), Answer::Untagged(Some(Condition::Ok)));
        assert_eq!(Answer::read(b"* 3 EXISTS"), Answer::Untagged(None));
        assert_eq!(Answer::read(b"m1 NO [X] y"), Answer::Tagged(b"m1", Condition::No));
        assert_eq!(Answer::read(b"m1 BYE"), Answer::Nonsense);
        assert_eq!(Answer::read(b""), Answer::Nonsense);
    }

    #[test]
    fn codes_are_read() {
        assert_eq!(code(b"a NO [UNAVAILABLE] later"), Some(&b"UNAVAILABLE"[..]));
        assert_eq!(code(b"a NO later"), None);
        assert_eq!(number_of(b"* OK [UIDVALIDITY 17] x", b"uidvalidity"), Some(17));
        assert_eq!(number_of(b"* OK [UIDNEXT 17] x", b"UIDVALIDITY"), None);
        let told = Some(vec!["IMAP4rev1".to_owned(), "URLAUTH".to_owned()]);
        assert_eq!(capabilities(b"* CAPABILITY IMAP4rev1 URLAUTH"), told);
        assert_eq!(capabilities(b"a OK [CAPABILITY IMAP4rev1 URLAUTH] in"), told);
        assert_eq!(capabilities(b"a OK in"), None);
    }

    #[test]
    fn what_a_url_gives_is_found() {
        assert_eq!(url("* URLFETCH \"imap://a;b\" NIL"), Value::Nil);
        assert_eq!(url("* URLFETCH imap://a \"x\\\"y\""), text("x\"y"));
        assert_eq!(url("* URLFETCH \"imap://a\" {5}"), Value::Literal);
        assert_eq!(url("* URLFETCH {8}\r\nimap://a {5}"), Value::Literal);
        assert_eq!(url("* URLFETCH {8}\r\nimap://a ~{5}"), Value::Literal);
        assert_eq!(url("* URLFETCH \"imap://a\" (BINARY ~{5}"), Value::Literal);
        assert_eq!(url("* URLFETCH \"x\" {99999999999999999999999}"), Value::Literal);
        assert_eq!(url("* URLFETCH {8}"), Value::Nothing);
        assert_eq!(url("* URLFETCH"), Value::Nothing);
        assert_eq!(url("* 5 EXISTS"), Value::Nothing);
    }

    #[test]
    fn a_section_is_found_among_other_items() {
        assert_eq!(section("* 2 FETCH (BODY[] {7}"), Value::Literal);
        assert_eq!(section("* 2 FETCH (UID 5 BODY[1.2]<0> NIL FLAGS ())"), Value::Nil);
        assert_eq!(section("* 2 FETCH (BODY[HEADER.FIELDS (To Cc)] \"\" UID 5)"), text(""));
        let before = "* 2 FETCH (FLAGS (\\Seen $x) ENVELOPE ((\"a (\" {1}\r\n) \"b\")) body[1] {9}";
        assert_eq!(section(before), Value::Literal);
        assert_eq!(section("* 2 FETCH (FLAGS (\\Seen) UID 5)"), Value::Nothing);
        assert_eq!(section("* 2 FETCH (X {5}"), Value::Nothing);
        assert_eq!(section("* x FETCH (BODY[] {5}"), Value::Nothing);
        assert_eq!(section("* 2 FETCH (BINARY[1] ~{5}"), Value::Literal);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_stumble(
            answer in "(\\* (URLFETCH|1 FETCH) )?[a-z(){}\\[\\]\"\\\\~+0-9 \r\n]{0,40}",
        ) {
            let (url, section) = (url(&answer), section(&answer));
            prop_assert!(url == Value::Nothing || section == Value::Nothing);
            let _any = (Answer::read(answer.as_bytes()), capabilities(answer.as_bytes()));
        }
    }
}
