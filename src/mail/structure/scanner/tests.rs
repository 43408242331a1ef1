//! What the scanner finds in whole and in broken messages.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::mail::structure::StructureRef;

const DEPTH_MAX: usize = 100;
const PARTS_MAX: usize = 1_000;
const HEADER_LINES_MAX: usize = 1_000;

/// The tree in short: type, [header body end] cut out of the message, lines.
fn tree(message: &str) -> String {
    let scanned = scan(message.as_bytes());
    let mut out = String::new();
    let mut until = Vec::new();
    for (index, part) in scanned.structure.parts.iter().enumerate() {
        while until.last().is_some_and(|end| *end <= index) {
            until.pop();
        }
        let cut = |from: u64, to: u64| &message[from as usize..to as usize];
        let media = String::from_utf8_lossy(&part.media.name).into_owned();
        let subtype = String::from_utf8_lossy(&part.media.subtype).into_owned();
        let body = match part.kind {
            Kind::Leaf => format!(" {:?}", cut(part.body, part.end)),
            _ => String::new(),
        };
        let indent = "  ".repeat(until.len());
        writeln!(out, "{indent}{media}/{subtype}{body} {}", part.lines).unwrap();
        until.push(index + part.size);
    }
    out
}

fn damage(message: &str, index: usize) -> Damage {
    scan(message.as_bytes()).structure.parts[index].damage
}

#[test]
fn an_empty_message_is_an_empty_text() {
    assert_eq!(tree(""), "text/plain \"\" 0\n");
    assert_eq!(scan(b"").header_len, 0);
}

#[test]
fn a_header_alone_has_an_empty_body() {
    assert_eq!(tree("Subject: x\r\n"), "text/plain \"\" 0\n");
    assert!(damage("Subject: x\r\n", 0).has(Damage::HEADER_OPEN));
    assert_eq!(tree("Subject: x\r\n\r\n"), "text/plain \"\" 0\n");
    assert_eq!(scan(b"Subject: x").header_len, 10);
}

#[test]
fn the_example_of_rfc_2046_section_5_1_1() {
    let message = "From: Nathaniel Borenstein <nsb@bellcore.com>\r\n\
        MIME-Version: 1.0\r\n\
        Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n\
        This is the preamble.\r\n\
        --simple boundary\r\n\r\n\
        This is implicitly typed plain US-ASCII text.\r\n\
        It does NOT end with a linebreak.\r\n\
        --simple boundary\r\n\
        Content-type: text/plain; charset=us-ascii\r\n\r\n\
        This is explicitly typed plain US-ASCII text.\r\n\
        It DOES end with a linebreak.\r\n\r\n\
        --simple boundary--\r\n\r\n\
        This is the epilogue.  It is also to be ignored.\r\n";
    assert_eq!(
        tree(message),
        "multipart/mixed 14\n  text/plain \"This is implicitly typed plain US-ASCII text.\\r\\nIt does NOT end with a linebreak.\" 1\n  text/plain \"This is explicitly typed plain US-ASCII text.\\r\\nIt DOES end with a linebreak.\\r\\n\" 2\n"
    );
    assert!(!damage(message, 0).has(Damage::OPEN_END));
}

#[test]
fn an_outer_boundary_ends_what_is_inside() {
    let message = "Content-Type: multipart/mixed; boundary=o\n\n\
        --o\nContent-Type: multipart/alternative; boundary=i\n\n\
        --i\n\none\n--o\n\ntwo\n";
    assert_eq!(
        tree(message),
        "multipart/mixed 9\n  multipart/alternative 2\n    text/plain \"one\" 0\n  text/plain \"two\\n\" 1\n"
    );
    assert!(damage(message, 1).has(Damage::OPEN_END));
    assert!(damage(message, 0).has(Damage::OPEN_END));
}

#[test]
fn boundaries_that_begin_alike_differ() {
    let message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\nContent-Type: multipart/mixed; boundary=ab\r\n\r\n\
        --ab\r\n\r\none\r\n--ab--\r\n--a  \r\n\r\n--a b\r\n--ac\r\n--a--\r\n";
    assert_eq!(
        tree(message),
        "multipart/mixed 12\n  multipart/mixed 3\n    text/plain \"one\" 0\n  text/plain \"--a b\\r\\n--ac\" 1\n"
    );
}

#[test]
fn the_same_boundary_within_itself_belongs_to_the_inner_one() {
    let message = "Content-Type: multipart/mixed; boundary=a\n\n\
        --a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n--a\n\ntwo\n--a--\n";
    assert_eq!(
        tree(message),
        "multipart/mixed 11\n  multipart/mixed 3\n    text/plain \"one\" 0\n  text/plain \"two\" 0\n"
    );
}

#[test]
fn a_multipart_without_parts_has_one_text() {
    for (message, body) in [
        ("Content-Type: multipart/mixed; boundary=a\r\n\r\nhello\r\n", "hello\\r\\n\" 1"),
        ("Content-Type: multipart/mixed\r\n\r\nhello\r\n", "hello\\r\\n\" 1"),
        ("Content-Type: multipart/mixed; boundary=a\r\n\r\n", "\" 0"),
        ("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a--\r\n", "--a--\\r\\n\" 1"),
    ] {
        let lines = body.rsplit(' ').next().unwrap();
        assert_eq!(tree(message), format!("multipart/mixed {lines}\n  text/plain \"{body}\n"));
        assert!(damage(message, 0).has(Damage::NO_PARTS));
    }
}

#[test]
fn headers_may_end_at_a_boundary() {
    let message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\nX-One: 1\r\n--a\r\n--a\r\n\r\n--a--\r\n";
    assert_eq!(
        tree(message),
        "multipart/mixed 6\n  text/plain \"\" 0\n  text/plain \"\" 0\n  text/plain \"\" 0\n"
    );
    let parts = scan(message.as_bytes()).structure.parts;
    assert_eq!(&message[parts[1].header as usize..parts[1].body as usize], "X-One: 1\r\n");
    assert_eq!(&message[parts[3].header as usize..parts[3].body as usize], "\r\n");
}

#[test]
fn embedded_messages_have_a_summary_and_a_part() {
    let message = "Content-Type: multipart/digest; boundary=a\r\nSubject: out\r\n\r\n\
        --a\r\n\r\nSubject: in\r\n\r\nbody\r\n\
        --a\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVj\r\n\
        --a--\r\n";
    assert_eq!(
        tree(message),
        "multipart/digest 11\n  message/rfc822 2\n    text/plain \"body\" 0\n  application/octet-stream \"U3ViamVj\" 0\n"
    );
    let scanned = scan(message.as_bytes());
    let inner = scanned.structure.parts[1].summary.as_ref().unwrap();
    assert_eq!(inner.subject.as_deref(), Some(&b"in"[..]));
    assert_eq!(inner.keys, None);
    assert_eq!(scanned.summary.keys.unwrap().base_subject, "out");
}

#[test]
fn octets_are_told_per_part() {
    let message = "Content-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\n\r\nplain\r\n--a\r\nX: \u{fc}\r\n\r\na\0b\rc\n--a--\r\n";
    let scanned = scan(message.as_bytes());
    let parts = &scanned.structure.parts;
    assert_eq!(parts[1].octets, Octets::default());
    assert_eq!(parts[2].octets, Octets::NUL.with(Octets::BARE_CR).with(Octets::BARE_LF));
    assert_eq!(parts[2].header_octets, Octets::EIGHT_BIT);
    assert!(scanned.has_binary && scanned.has_8bit);
    assert_eq!(scan(&[b'x'; 999]).octets, Octets::LONG_LINE);
}

#[test]
fn depth_and_number_are_bounded() {
    let mut deep = String::new();
    for level in 0..300 {
        write!(deep, "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n").unwrap();
    }
    let parts = scan(deep.as_bytes()).structure.parts;
    assert_eq!(parts.len(), DEPTH_MAX + 1);
    assert!(parts[DEPTH_MAX - 1].damage.has(Damage::OPAQUE));

    let many =
        format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(3000));
    let parts = scan(many.as_bytes()).structure.parts;
    assert_eq!(parts.len(), PARTS_MAX + 1);
    assert!(!parts[PARTS_MAX - 1].damage.has(Damage::OPAQUE));
    assert!(parts[PARTS_MAX].damage.has(Damage::OPAQUE));
    assert_eq!(parts[PARTS_MAX].end, many.len() as u64);

    let nested = format!(
        "Content-Type: message/rfc822\n\n{}",
        "Content-Type: message/rfc822\n\n".repeat(300)
    );
    assert_eq!(scan(nested.as_bytes()).structure.parts.len(), DEPTH_MAX);
}

#[test]
fn headers_beyond_the_limits_are_not_read() {
    let late = "Content-Type: text/html\r\nSubject: late\r\n\r\nbody";
    let long = format!("{}{late}", "X: y\r\n".repeat(HEADER_LINES_MAX));
    let scanned = scan(long.as_bytes());
    assert!(scanned.structure.parts[0].media.is("text", "plain"));
    assert_eq!(scanned.summary.subject, None);
    assert!(scanned.structure.parts[0].damage.has(Damage::HEADER_TOO_LARGE));
    assert_eq!(scanned.len - scanned.header_len, 4);

    let wide = format!("X: {}\r\n{late}", "y".repeat(70_000));
    let scanned = scan(wide.as_bytes());
    assert!(scanned.structure.parts[0].media.is("text", "html"));
    assert!(scanned.structure.parts[0].damage.has(Damage::HEADER_TOO_LARGE));
}

/// Messages that have something of everything.
fn messages() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=a\r\n",
        "Content-Type: multipart/digest; boundary=\"b\"\n",
        "content-type: message/rfc822\r\n",
        "Content-Type: text/html; name*0*=utf-8''a%20; name*1=b\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Disposition: attachment; filename=x\r\n",
        "Content-Language: de, en\r\n",
        "Subject: x\r\n",
        "From: a <b@c>, g: d@e;\r\n",
        "--a\r\n",
        "--a--\r\n",
        "--b\n",
        "--b--\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "text\r\n",
        "\u{fc}",
        " fold\r\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn splits_make_no_difference(message in messages(), cuts in prop::collection::vec(1usize..9, 0..60)) {
        let mut scanner = Scanner::new();
        let mut rest = message.as_bytes();
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            scanner.feed(piece);
            rest = behind;
        }
        scanner.feed(rest);
        prop_assert_eq!(scanner.finish(), scan(message.as_bytes()));
    }

    #[test]
    fn what_is_stored_comes_back(message in messages()) {
        let scanned = scan(message.as_bytes());
        let stored = scanned.structure.encode();
        prop_assert_eq!(&Structure::decode(&stored).unwrap(), &scanned.structure);
        prop_assert_eq!(Summary::decode(&scanned.summary.encode()).unwrap(), scanned.summary);
    }

    #[test]
    fn damaged_forms_are_refused_or_read_but_never_harm(
        message in messages(),
        at in any::<prop::sample::Index>(),
        octet: u8,
    ) {
        let mut stored = scan(message.as_bytes()).structure.encode();
        *at.get_mut(&mut stored) = octet;
        if let Ok(structure) = StructureRef::parse(&stored) {
            prop_assert_eq!(structure.parts().count(), structure.count());
        }
        let _ = Structure::decode(&stored);
        stored.truncate(at.index(stored.len()));
        let _ = Summary::decode(&stored);
    }
}
