//! The structure scanner over real and nasty mail, beside other parsers' opinion.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use mailade::mail::{
    binary::one_view,
    downgrade::{Hop, downgrade},
    preview::preview,
    section::{Section, SectionText},
    structure::{Damage, Kind, Part, Scanned, Scanner, Structure, StructureRef, scan},
    summary::Summary,
};
use serde_json::Value;

/// Where Python's email package sees something else, and why we keep what we see.
const DIFFER: &[(&str, &str)] = &[
    ("legacy/035.eml", "a backslash quotes whatever follows it"),
    ("legacy/039.eml", "a backslash quotes whatever follows it"),
    ("malformed/000.eml", "two boundaries in a row have an empty part between them"),
    ("malformed/003.eml", "of two equal boundaries the inner one counts"),
    ("malformed/005.eml", "of two equal boundaries the inner one counts"),
    ("malformed/013.eml", "of two equal boundaries the inner one counts"),
    ("malformed/017.eml", "a parameter without its semicolon is read"),
    ("malformed/019.eml", "a field name with a blank does not end the header"),
    ("mimekit/empty-multipart.eml", "the line end before a boundary is the boundary's"),
    ("mimekit/feedback-report.eml", "a field name after a byte order mark does not end the header"),
    ("mimekit/issue358.eml", "a field name that is damaged does not end the header"),
    ("mimekit/missing-subtype.eml", "a type that can't be read has no parameters either"),
    ("mimekit/startrek.eml", "a parameter has an equals sign"),
    ("mimekit/stack-overflow.eml", "of a header only the first 1,000 lines are read"),
    ("rfc/008.eml", "an encoded message is a leaf"),
    ("thirdparty/010.eml", "a folded parameter does not go on behind its quotes"),
    ("thirdparty/012.eml", "a boundary may be folded"),
    ("thirdparty/015.eml", "a line without a colon does not end the header"),
];

fn corpus() -> Vec<PathBuf> {
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

fn short(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    format!("{}/{}", folder.to_string_lossy(), path.file_name().unwrap().to_string_lossy())
}

fn cut(message: &[u8], from: u64, to: u64) -> &[u8] {
    &message[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()]
}

/// Depth, kind, type, body and fields of each part.
fn rows<'s>(message: &[u8], scanned: &'s Scanned) -> Vec<(usize, Kind, String, Vec<u8>, &'s Part)> {
    let mut rows = Vec::new();
    let mut until: Vec<usize> = Vec::new();
    for (index, part) in scanned.structure.parts.iter().enumerate() {
        until.retain(|end| *end > index);
        let media = [&part.media.name[..], b"/", &part.media.subtype[..]].concat();
        let media = String::from_utf8_lossy(&media).to_ascii_lowercase();
        let body = cut(message, part.body, part.end).to_vec();
        // For Python a multipart in which no part was found is a leaf.
        let kind = if part.damage.has(Damage::NO_PARTS) { Kind::Leaf } else { part.kind };
        let parent = index.checked_sub(1).map(|parent| scanned.structure.parts[parent].damage);
        if !parent.is_some_and(|damage| damage.has(Damage::NO_PARTS)) {
            rows.push((until.len(), kind, media, body, part));
        }
        until.push(index + part.size);
    }
    rows
}

#[test]
fn every_message_of_the_corpus_has_a_sound_structure() {
    for path in corpus() {
        let name = short(&path);
        let message = fs::read(&path).unwrap();
        let scanned = scan(&message);
        check_places(&scanned.structure.parts, message.len(), &name);

        for size in [1, 7, 4096] {
            let mut scanner = Scanner::new();
            message.chunks(size).for_each(|piece| scanner.feed(piece));
            assert_eq!(scanner.finish(), scanned, "{name} in pieces of {size}");
        }

        let stored = scanned.structure.encode();
        assert_eq!(Structure::decode(&stored).unwrap(), scanned.structure, "{name}");
        assert_eq!(Summary::decode(&scanned.summary.encode()).unwrap(), scanned.summary, "{name}");

        let structure = StructureRef::parse(&stored).unwrap();
        let whole = Section::default().locate(structure).unwrap();
        assert_eq!(whole, 0..message.len() as u64, "{name}");
        let part = |text| Section { path: Vec::new(), text }.locate(structure).unwrap();
        assert_eq!(part(SectionText::Header).end, part(SectionText::Text).start, "{name}");
        assert!(preview(structure, &message).chars().count() <= 256, "{name}");
    }
}

fn check_places(parts: &[Part], len: usize, name: &str) {
    assert_eq!((parts[0].header, parts[0].end), (0, len as u64), "{name}");
    assert_eq!(parts[0].size, parts.len(), "{name}");
    for (index, part) in parts.iter().enumerate() {
        assert!(part.header <= part.body && part.body <= part.end, "{name} part {index}");
        let mut place = part.body;
        let mut child = index + 1;
        while child < index + part.size {
            let inner = &parts[child];
            assert!(inner.header >= place && inner.end <= part.end, "{name} part {child}");
            place = inner.end;
            child += inner.size;
        }
        assert_eq!(child, index + part.size, "{name} part {index}");
    }
}

#[test]
fn what_is_stored_of_the_corpus_has_right_line_ends_and_goes_through_seven_bits() {
    for path in corpus() {
        let name = short(&path);
        let mut message = fs::read(&path).unwrap();
        for _ in 0..3 {
            let stored = scan(&message).structure.encode();
            match one_view(StructureRef::parse(&stored).unwrap()) {
                Some(rewrite) => message = rewrite.apply(&message),
                None => break,
            }
        }
        let before = scan(&message);
        let stored = before.structure.encode();
        let structure = StructureRef::parse(&stored).unwrap();
        assert!(one_view(structure).is_none(), "{name}");
        assert!(!message.contains(&0), "{name}");

        let Some(rewrite) = downgrade(structure, Hop::SevenBit) else { continue };
        let after = scan(&rewrite.apply(&message));
        let kinds = |scanned: &Scanned| {
            scanned.structure.parts.iter().map(|part| part.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&before), kinds(&after), "{name}");
        let stored = after.structure.encode();
        let again = downgrade(StructureRef::parse(&stored).unwrap(), Hop::SevenBit);
        assert!(again.is_none(), "{name} is not at rest");
    }
}

/// Where mail-parser sees something else, and why we keep what we see.
const PARSER_DIFFERS: &[(&str, &str)] = &[
    ("thirdparty/005.eml", "a boundary in the midst of a line is none"),
    ("thirdparty/015.eml", "a boundary ends an embedded message whose header is open"),
];

#[test]
fn mail_parser_sees_the_same_bodies() {
    let mut wrong = Vec::new();
    // Where everything is broken Python is the better judge.
    for path in corpus().iter().filter(|path| !short(path).starts_with("malformed")) {
        let name = short(path);
        let message = fs::read(path).unwrap();
        let difference = compare_with_parser(&message);
        match (difference, PARSER_DIFFERS.iter().find(|(file, _)| *file == name)) {
            (Some(difference), None) => wrong.push(format!("{name}: {difference}")),
            (None, Some(_)) => wrong.push(format!("{name}: does not differ any more")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first level only: its offsets do not reach into embedded messages.
fn compare_with_parser(message: &[u8]) -> Option<String> {
    let parsed = mail_parser::MessageParser::new().parse(message)?;
    let scanned = scan(message);
    let mut ours = Vec::new();
    let mut embedded_until = 0;
    for (index, part) in scanned.structure.parts.iter().enumerate() {
        if index < embedded_until {
            continue;
        }
        if part.kind == Kind::Message {
            embedded_until = index + part.size;
        }
        if part.kind != Kind::Multipart {
            ours.push((part.body, part.end));
        }
    }
    let theirs: Vec<_> = parsed
        .parts
        .iter()
        .filter(|part| !part.is_multipart())
        .map(|part| (u64::from(part.offset_body), u64::from(part.offset_end)))
        .collect();
    (ours != theirs).then(|| format!("{ours:?}, mail-parser {theirs:?}"))
}

#[test]
fn python_sees_the_same_tree() {
    let files = corpus();
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/bodystructure.py");
    let output = match Command::new("python3").arg(tool).args(&files).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: no python3: {error}");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = output.stdout;
    let mut wrong = Vec::new();
    for (path, line) in files.iter().zip(output.split(|octet| *octet == b'\n')) {
        let name = short(path);
        let opinion: Value = serde_json::from_slice(line).unwrap();
        let message = fs::read(path).unwrap();
        let difference = compare(&message, &opinion);
        match (difference, DIFFER.iter().find(|(file, _)| *file == name)) {
            (Some(difference), None) => wrong.push(format!("{name}: {difference}")),
            (None, Some(_)) => wrong.push(format!("{name}: does not differ any more")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as Python sees it.
fn compare(message: &[u8], opinion: &Value) -> Option<String> {
    let scanned = scan(message);
    let ours = rows(message, &scanned);
    let subject = scanned.summary.subject.as_deref().map(latin1);
    if subject.as_deref() != opinion["subject"].as_str() {
        return Some(format!("subject {subject:?}, python {}", opinion["subject"]));
    }
    let theirs = opinion["parts"].as_array()?;
    for (index, (depth, kind, media, body, part)) in ours.iter().enumerate() {
        let Some(other) = theirs.get(index) else {
            return Some(format!("part {index} {media} is none for python"));
        };
        let other_kind = match other[1].as_str() {
            Some("leaf") => Kind::Leaf,
            Some("message") => Kind::Message,
            _ => Kind::Multipart,
        };
        if other[0] != *depth || other_kind != *kind || other[2] != **media {
            return Some(format!("part {index} {depth} {kind:?} {media}, python {other:.60}"));
        }
        if let Some(difference) = compare_fields(part, &other[4]) {
            return Some(format!("part {index} {media}: {difference}"));
        }
        if let Some(theirs) = other[3].as_str() {
            let theirs = STANDARD.decode(theirs).unwrap();
            // Python takes the last line end off a part that no boundary ends.
            let open =
                body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body));
            let open = open.filter(|_| message.ends_with(body));
            if theirs != *body && Some(&*theirs) != open {
                let at = theirs.iter().zip(body).take_while(|(a, b)| a == b).count();
                return Some(format!(
                    "body of part {index} {media}: {} octets, python {}, alike up to {at}",
                    body.len(),
                    theirs.len()
                ));
            }
        }
    }
    (theirs.len() > ours.len())
        .then(|| format!("python has {} parts more", theirs.len() - ours.len()))
}

/// Transfer encoding and parameters, of fields that Python has found.
fn compare_fields(part: &Part, theirs: &Value) -> Option<String> {
    if let Some(encoding) = theirs["encoding"].as_str().filter(|encoding| !encoding.is_empty()) {
        let ours = plain(&part.encoding).to_ascii_lowercase();
        // Python keeps comments.
        if encoding.split(['(', ' ']).next() != Some(&*ours) {
            return Some(format!("encoding {ours}, python {encoding}"));
        }
    }
    let disposition = part.disposition.as_ref();
    let fields = [
        ("content-type", Some(&part.media.params)),
        ("content-disposition", disposition.map(|disposition| &disposition.params)),
    ];
    for (name, ours) in fields {
        let Some(theirs) = theirs[name][1].as_object() else { continue };
        let mut params = BTreeMap::new();
        for param in ours.into_iter().flatten().filter(|param| !param.name.ends_with(b"*")) {
            params
                .entry(plain(&param.name).to_ascii_lowercase())
                .or_insert_with(|| plain(&param.value));
        }
        let theirs = theirs.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap()));
        let theirs: BTreeMap<_, _> = theirs.map(|(name, value)| (name, value.to_owned())).collect();
        if params != theirs {
            return Some(format!("{name} {params:?}, python {theirs:?}"));
        }
    }
    None
}

/// As the tool prints it: single blanks, and U+FFFD for an octet beyond US-ASCII.
fn plain(octets: &[u8]) -> String {
    let char = |octet: &u8| if octet.is_ascii() { char::from(*octet) } else { '\u{fffd}' };
    let text: String = octets.iter().map(char).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn latin1(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}
