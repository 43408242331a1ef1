//! Real and nasty mail, put in by APPEND and fetched back: octet for octet, whole and in pieces, and
//! described by a BODYSTRUCTURE whose numbers hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{connection::Connection, house::House};

/// One value of an answer.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Nil,
    Word(String),
    Text(Vec<u8>),
    List(Vec<Self>),
}

impl Value {
    fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            other => panic!("no list: {other:?}"),
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            other => panic!("no string: {other:?}"),
        }
    }

    fn number(&self) -> usize {
        match self {
            Self::Word(word) => word.parse().unwrap(),
            other => panic!("no number: {other:?}"),
        }
    }

    fn is_text_or_nil(&self) -> bool {
        matches!(self, Self::Nil | Self::Text(_))
    }
}

/// Reads a value, and goes behind it.
fn value(rest: &mut &[u8]) -> Value {
    let (first, behind) = rest.split_first().unwrap();
    match first {
        b'(' => {
            *rest = behind;
            let mut values = Vec::new();
            while !rest.starts_with(b")") {
                values.push(value(rest));
                *rest = rest.strip_prefix(b" ").unwrap_or(rest);
            }
            *rest = &rest[1..];
            Value::List(values)
        }
        b'"' => {
            let mut text = Vec::new();
            let mut octets = behind.iter().enumerate();
            loop {
                match octets.next().unwrap() {
                    (_, b'\\') => text.push(*octets.next().unwrap().1),
                    (at, b'"') => {
                        *rest = &behind[at + 1..];
                        return Value::Text(text);
                    }
                    (_, octet) => text.push(*octet),
                }
            }
        }
        b'{' => {
            let end = rest.iter().position(|octet| *octet == b'}').unwrap();
            let size: usize = str::from_utf8(&rest[1..end]).unwrap().parse().unwrap();
            let text = rest[end + 3..end + 3 + size].to_vec();
            *rest = &rest[end + 3 + size..];
            Value::Text(text)
        }
        _ => {
            let mut depth = 0;
            let ends = |octet: &u8| {
                match octet {
                    b'[' => depth += 1,
                    b']' => depth -= 1,
                    _ => {}
                }
                depth == 0 && matches!(octet, b' ' | b')')
            };
            let end = rest.iter().position(ends).unwrap();
            let word = String::from_utf8(rest[..end].to_vec()).unwrap();
            *rest = &rest[end..];
            if word == "NIL" { Value::Nil } else { Value::Word(word) }
        }
    }
}

/// A client with a mailbox of its own ideas.
struct Client(Connection);

impl Client {
    /// A command, and the values of the one FETCH that answers it.
    fn fetch(&mut self, items: &str) -> Vec<Value> {
        self.0.send_line(&format!("f UID FETCH * ({items})")).unwrap();
        let mut answer = None;
        loop {
            let line = self.whole_line();
            if line.starts_with(b"f ") {
                assert!(line.starts_with(b"f OK"), "{items}: {}", line.escape_ascii());
                return answer.unwrap_or_else(|| panic!("no answer to {items}"));
            }
            let at = line.windows(8).position(|octets| octets == b" FETCH (");
            if let Some(at) = at {
                let mut rest = &line[at + 7..];
                let Value::List(values) = value(&mut rest) else { panic!("no list") };
                assert_eq!(rest, b"", "something behind the answer to {items}");
                answer = Some(values);
            }
        }
    }

    /// The value of one item.
    fn item(&mut self, item: &str) -> Value {
        let mut values = self.fetch(item);
        assert_eq!(values.len(), 4, "{item}: {values:?}");
        values.pop().unwrap()
    }

    /// A line with its literals.
    fn whole_line(&mut self) -> Vec<u8> {
        let mut whole = Vec::new();
        loop {
            let line = self.0.read_line().unwrap();
            whole.extend_from_slice(&line);
            let announced = line.strip_suffix(b"}").and_then(|line| {
                let open = line.iter().rposition(|octet| *octet == b'{')?;
                str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
            });
            let Some(size) = announced else { return whole };
            whole.extend_from_slice(b"\r\n");
            whole.extend(self.0.read_octets(size).unwrap());
        }
    }

    fn ok(&mut self, command: &[u8]) {
        self.0.send(&[b"c ", command, b"\r\n"].concat()).unwrap();
        loop {
            let line = self.whole_line();
            if line.starts_with(b"c ") {
                assert!(line.starts_with(b"c OK"), "{}", line.escape_ascii());
                return;
            }
        }
    }

    /// Compares what BODYSTRUCTURE says of a part with what is fetched; gives the number of leaves.
    fn check_part(&mut self, part: &[Value], path: &str) -> usize {
        let below = |number: usize| match path {
            "" => number.to_string(),
            path => format!("{path}.{number}"),
        };
        if matches!(part[0], Value::List(_)) {
            let children: Vec<_> =
                part.iter().take_while(|value| matches!(value, Value::List(_))).collect();
            let tail = &part[children.len()..];
            assert_eq!(tail.len(), 5, "{path}: subtype, parameters and three more: {tail:?}");
            assert!(!tail[0].text().is_empty());
            let numbered = children.into_iter().zip(1..);
            return numbered.map(|(child, n)| self.check_part(child.list(), &below(n))).sum();
        }
        let path = if path.is_empty() { "1" } else { path };
        let (name, subtype) = (part[0].text(), part[1].text());
        assert!(part[3].is_text_or_nil() && part[4].is_text_or_nil(), "{path}: id, description");
        assert!(matches!(part[2], Value::Nil | Value::List(_)), "{path}: parameters");
        let Value::Text(body) = self.item(&format!("BODY.PEEK[{path}]")) else {
            panic!("BODYSTRUCTURE has a part {path} that can't be fetched");
        };
        assert_eq!(body.len(), part[6].number(), "{path}: octets");
        let is_text = name.eq_ignore_ascii_case(b"text");
        let is_message = name.eq_ignore_ascii_case(b"message")
            && (subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global"));
        if is_text {
            let lines = body.windows(2).filter(|octets| octets == b"\r\n").count();
            assert_eq!(part[7].number(), lines, "{path}: lines");
        }
        if !is_message {
            assert_eq!(part.len(), if is_text { 12 } else { 11 }, "{path}: {part:?}");
            return 1;
        }
        assert_eq!(part.len(), 14, "{path}: envelope, body, lines and four more");
        assert_eq!(part[7].list().len(), 10);
        let header = self.item(&format!("BODY.PEEK[{path}.HEADER]"));
        let text = self.item(&format!("BODY.PEEK[{path}.TEXT]"));
        assert_eq!([header.text(), text.text()].concat(), body, "{path}: header and text");
        let inner = part[8].list();
        let inner_path =
            if matches!(inner[0], Value::List(_)) { path.to_owned() } else { format!("{path}.1") };
        self.check_part(inner, &inner_path)
    }
}

pub(crate) fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let mut files = Vec::new();
    for folder in fs::read_dir(&root).into_iter().flatten().flatten() {
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("eml" | "msg" | "txt")) {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() {
        eprintln!("SKIPPED: there is no corpus of messages at {}", root.display());
    }
    files
}

/// Every bare CR and LF as CRLF.
fn with_line_ends(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut octets = octets.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if_eq(&b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            octet => out.push(octet),
        }
    }
    out
}

/// Does the house keep another form of it: base64 in place of binary parts?
fn is_binary(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets).to_ascii_lowercase().replace([' ', '\t'], "");
    octets.contains(&0) || text.contains("content-transfer-encoding:binary")
}

#[test]
fn all_of_the_corpus_comes_back_and_is_described_rightly() {
    let house = House::open();
    let mut client = Client(house.log_in("alice@demo.example"));
    client.ok(b"SELECT INBOX");
    let mut leaves = 0;
    for path in corpus() {
        let octets = fs::read(&path).unwrap();
        if octets.is_empty() {
            continue;
        }
        let shown = path.display().to_string();
        eprintln!("{shown}");
        let append = format!("APPEND INBOX ~{{{}+}}\r\n", octets.len());
        client.ok(&[append.as_bytes(), &octets].concat());
        let whole = client.item("BODY.PEEK[]").text().to_vec();
        if !is_binary(&octets) {
            assert!(whole == with_line_ends(&octets), "{shown} is not what it was");
        }
        assert_eq!(client.item("RFC822.SIZE").number(), whole.len(), "{shown}");
        let header = client.item("BODY.PEEK[HEADER]");
        let text = client.item("BODY.PEEK[TEXT]");
        assert!([header.text(), text.text()].concat() == whole, "{shown}: header and text");
        let step = whole.len() / 3 + 1;
        let mut joined = Vec::new();
        for from in (0..whole.len()).step_by(step) {
            joined.extend_from_slice(client.item(&format!("BODY.PEEK[]<{from}.{step}>")).text());
        }
        assert!(joined == whole, "{shown} in pieces is not the whole");
        assert_eq!(client.item("ENVELOPE").list().len(), 10, "{shown}");
        let structure = client.item("BODYSTRUCTURE");
        leaves += client.check_part(structure.list(), "");
    }
    eprintln!("{leaves} parts");
}
