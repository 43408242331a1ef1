//! Reads a transcript file into cases and lines.

use std::path::Path;

/// One `==` case.
#[derive(Debug)]
pub(super) struct Case {
    /// The file and the title, for what is said of a failure.
    pub(super) title: String,
    pub(super) lines: Vec<Line>,
}

/// One line of a case, with its number in the file.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) act: Act,
}

/// What a line does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// `with KEY=VALUE`: a setting of this case's house.
    With { key: String, value: String },
    /// `NAME C: text`
    Send { who: String, text: String },
    /// `NAME R: text`: octets as they are, with escapes.
    SendRaw { who: String, octets: Vec<u8> },
    /// `NAME S: text`
    Expect { who: String, pattern: String },
    /// `NAME S: ...`
    Skip { who: String },
    /// `NAME S? text`: one of a run of lines that may come in any order.
    ExpectAnyOrder { who: String, pattern: String },
    /// `connect NAME`
    Connect { who: String },
    /// `close NAME`
    Close { who: String },
    /// `closed NAME`: the server has closed.
    Closed { who: String },
    /// `starttls NAME`: the handshake, after the go-ahead.
    StartTls { who: String },
    /// `deflate NAME`: both ways are compressed, after the go-ahead.
    Deflate { who: String },
    /// `deliver FILE to ADDRESS…`, or `deliver to ADDRESS…:` with the message behind it.
    Deliver { message: Message, sender: String, recipients: Vec<String> },
    /// `run ARGUMENTS`: the command line.
    Run { arguments: Vec<String> },
    /// `restart`: the server is killed and started again.
    Restart,
}

/// Where a message comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    File(String),
    Text(String),
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<Case>, String> {
    let name = file.to_string_lossy();
    let name = name.rsplit_once("tests/transcripts/").map_or(&*name, |(_, name)| name);
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, text)) = lines.next() {
        let number = index + 1;
        if let Some(title) = text.strip_prefix("== ") {
            cases.push(Case { title: format!("{name}:{number}: {title}"), lines: Vec::new() });
        } else if !text.trim().is_empty() && !text.starts_with('#') {
            let mut act = act(text).ok_or_else(|| format!("{name}:{number}: what is {text:?}?"))?;
            if let Act::Deliver { message: Message::Text(body), .. } = &mut act {
                let inner = |line: &str| Some(line.strip_prefix('|')?.to_owned());
                while let Some(line) = lines.peek().and_then(|(_, line)| inner(line)) {
                    *body += line.strip_prefix(' ').unwrap_or(&line);
                    *body += "\r\n";
                    lines.next();
                }
            }
            let case = cases.last_mut().ok_or_else(|| format!("{name}: a case starts with =="))?;
            case.lines.push(Line { number, text: text.to_owned(), act });
        }
    }
    Ok(cases)
}

fn act(text: &str) -> Option<Act> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let owned = str::to_owned;
    match (first, rest) {
        ("with", setting) => {
            let (key, value) = setting.split_once('=')?;
            Some(Act::With { key: key.trim().into(), value: value.trim().into() })
        }
        ("connect", who) => Some(Act::Connect { who: owned(who) }),
        ("close", who) => Some(Act::Close { who: owned(who) }),
        ("closed", who) => Some(Act::Closed { who: owned(who) }),
        ("starttls", who) => Some(Act::StartTls { who: owned(who) }),
        ("deflate", who) => Some(Act::Deflate { who: owned(who) }),
        ("restart", "") => Some(Act::Restart),
        ("run", line) => Some(Act::Run { arguments: words(line) }),
        ("deliver", rest) => deliver(rest),
        (who, rest) => said(who, rest),
    }
}

/// `NAME C: text` and its kin.
fn said(who: &str, rest: &str) -> Option<Act> {
    let (mark, text) = rest.split_at_checked(2)?;
    let text = text.strip_prefix(' ').unwrap_or(text);
    let who = who.to_owned();
    Some(match mark {
        "C:" => Act::Send { who, text: text.into() },
        "R:" => Act::SendRaw { who, octets: unescape(text)? },
        "S:" if text.trim_end() == "..." => Act::Skip { who },
        "S:" => Act::Expect { who, pattern: text.into() },
        "S?" => Act::ExpectAnyOrder { who, pattern: text.into() },
        _ => return None,
    })
}

/// `[FILE] [from ADDRESS] to ADDRESS, ADDRESS[:]`
fn deliver(rest: &str) -> Option<Act> {
    let (before, recipients) = match rest.strip_prefix("to ") {
        Some(recipients) => ("", recipients),
        None => rest.split_once(" to ")?,
    };
    let (file, sender) = match before.strip_prefix("from ") {
        Some(sender) => ("", sender),
        None => before.split_once(" from ").unwrap_or((before, "friend@remote.example")),
    };
    let recipients = recipients.trim_end_matches(':').split(',');
    let message = match file.trim() {
        "" => Message::Text(String::new()),
        file => Message::File(file.to_owned()),
    };
    Some(Act::Deliver {
        message,
        sender: sender.trim_matches(['<', '>']).to_owned(),
        recipients: recipients.map(|address| address.trim().to_owned()).collect(),
    })
}

/// Words, and words in double quotes.
fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        if index % 2 == 1 {
            out.push(part.to_owned());
        } else {
            out.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    out
}

/// `\r`, `\n`, `\t`, `\\`, `\xHH`; all else is itself.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        out.push(match octet {
            b'\\' => match octets.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [octets.next()?, octets.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

#[test]
fn raw_lines_have_escapes() {
    assert_eq!(unescape(r"a\r\n\x00\\"), Some(b"a\r\n\0\\".to_vec()));
    assert_eq!(unescape(r"\q"), None);
}

#[test]
fn a_message_may_stand_in_the_transcript() {
    let text =
        "== t\ndeliver from bob@demo.example to alice@demo.example:\n| A: b\n|\n| text\nx C: y";
    let cases = parse(Path::new("t.txt"), text).unwrap();
    let Act::Deliver { message, sender, recipients } = &cases[0].lines[0].act else { panic!() };
    assert_eq!(*message, Message::Text("A: b\r\n\r\ntext\r\n".into()));
    assert_eq!((sender.as_str(), recipients.len()), ("bob@demo.example", 1));
    assert_eq!(cases[0].lines[1].act, Act::Send { who: "x".into(), text: "y".into() });
}
