//! No parser of foreign octets costs more than about twice as much for twice the input, and none is
//! harmed by how deep its input nests. Measured in octets looked at, not in time; limits are out of
//! the way, since they must not be what keeps the cost down.

use std::thread;

use crate::{
    imap::{
        extensions::{EXTENSIONS, row},
        fetch::structure::{Body, Detail},
    },
    mail::{
        binary,
        downgrade::{Hop, downgrade},
        encoding::Encoding,
        preview,
        section::select_fields,
        structure::{Limits, Scanned, Scanner, StructureRef},
        summary::SummaryRef,
    },
    wire::{Bounds, Buffer, Cursor, utf7, work},
};

/// Makes an input of a size.
type Text = fn(usize) -> String;
/// The same of octets.
type Octets = fn(usize) -> Vec<u8>;

/// The most that twice the input may cost, in tenths of what the input costs.
const TENTHS: u64 = 25;

const UNLIMITED: Limits = Limits {
    header: usize::MAX,
    header_line: usize::MAX,
    header_lines: usize::MAX,
    addresses: usize::MAX,
    parameters: usize::MAX,
    depth: usize::MAX,
    parts: usize::MAX,
    boundary: usize::MAX,
    comment_depth: usize::MAX,
    encoded_words: usize::MAX,
};

fn scan(message: &[u8]) -> Scanned {
    let mut scanner = Scanner::with_limits(UNLIMITED);
    scanner.feed(message);
    scanner.finish()
}

/// What a message goes through at its arrival and when it is listed.
fn read_message(message: &[u8]) {
    let scanned = scan(message);
    let structure = scanned.structure.encode();
    let structure = StructureRef::parse(&structure).unwrap();
    assert_eq!(structure.parts().count(), structure.count());
    let _ = preview::preview(structure, message);
    let _ = binary::one_view(structure);
    SummaryRef::parse(&scanned.summary.encode()).unwrap();
    let mut answer = Buffer::default();
    answer.put(Body { structure, detail: Detail::Extended });
}

/// Twice the input must not cost more than this much.
fn doubles(name: &str, input: &dyn Fn(usize) -> Vec<u8>, read: &dyn Fn(&[u8])) {
    let (one, two) = (input(2_000), input(4_000));
    let (cost, twice) = (work::of(|| read(&one)), work::of(|| read(&two)));
    assert!(cost as usize >= one.len() / 4, "{name}: {cost} for {} octets", one.len());
    assert!(twice * 10 <= cost * TENTHS, "{name}: {cost}, then {twice}");
}

fn field(name: &str, value: impl Fn(usize) -> String) -> impl Fn(usize) -> Vec<u8> {
    move |n| format!("{name}: {}\r\n\r\nbody\r\n", value(n)).into_bytes()
}

fn numbered(n: usize, one: impl Fn(usize) -> String) -> String {
    (0..n).map(one).collect()
}

#[test]
fn twice_the_header_costs_twice_as_much() {
    let values: [(&str, &str, Text); 30] = [
        ("addresses", "To", |n| "a <b@c>, ".repeat(n)),
        ("bare addresses", "To", |n| "b@c,".repeat(n)),
        ("groups", "To", |n| numbered(n, |k| format!("g{k}: a@b;"))),
        ("open groups", "To", |n| "g:".repeat(n)),
        ("angles", "To", |n| "<".repeat(n)),
        ("at signs", "To", |n| "@".repeat(n)),
        ("commas", "To", |n| ",".repeat(n)),
        ("words", "To", |n| "word ".repeat(n)),
        ("dots", "To", |n| "a. .b ".repeat(n)),
        ("quotes", "To", |n| "\"a\\\"b\" ".repeat(n)),
        ("an open quote", "To", |n| format!("\"{}", "a".repeat(n))),
        ("comments", "To", |n| "(a) ".repeat(n)),
        ("deep comments", "To", |n| "(".repeat(n)),
        ("closed comments", "To", |n| "(".repeat(n) + &")".repeat(n)),
        ("routes", "To", |n| format!("<{}:a@b>", "@a,".repeat(n))),
        ("encoded words", "Subject", |n| "=?utf-8?q?a?= ".repeat(n)),
        ("no encoded words", "Subject", |n| "=?".repeat(n)),
        ("half encoded words", "Subject", |n| "=?utf-8?q?".repeat(n)),
        ("replies", "Subject", |n| "Re: ".repeat(n)),
        ("blobs", "Subject", |n| "[a]".repeat(n)),
        ("open blobs", "Subject", |n| "[".repeat(n)),
        ("forwards", "Subject", |n| "[Fwd: ".repeat(n)),
        ("references", "References", |n| numbered(n, |k| format!("<{k}@x> "))),
        ("open references", "References", |n| "<".repeat(n)),
        ("dates", "Date", |n| "1 Jan ".repeat(n)),
        ("date comments", "Date", |n| "(".repeat(n)),
        ("parameters", "Content-Type", |n| {
            "a/b".to_owned() + &numbered(n, |k| format!("; p{k}=1"))
        }),
        ("pieces of a parameter", "Content-Type", |n| {
            "a/b".to_owned() + &numbered(n, |k| format!("; p*{k}=1"))
        }),
        ("no parameters", "Content-Disposition", |n| "a;=;\"".to_owned() + &";=\"".repeat(n)),
        ("languages", "Content-Language", |n| "de, ".repeat(n)),
    ];
    for (name, key, value) in values {
        doubles(name, &field(key, value), &read_message);
    }
}

#[test]
fn twice_the_message_costs_twice_as_much() {
    let inputs: [(&str, Octets); 11] = [
        ("header lines", |n| "X: y\r\n".repeat(n).into_bytes()),
        ("folds", |n| ("X: y\r\n".to_owned() + &" z\r\n".repeat(n)).into_bytes()),
        ("bare lines", |n| format!("\r\n{}", "a\n\r\rb".repeat(n)).into_bytes()),
        ("one line", |n| vec![b'x'; n]),
        ("parts", |n| {
            let parts = "--b\r\n\r\nx\r\n".repeat(n);
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--").into_bytes()
        }),
        ("parts within parts", |n| {
            let part =
                |k| format!("Content-Type: multipart/mixed; boundary=b{k}\r\n\r\n--b{k}\r\n");
            numbered(n, part).into_bytes()
        }),
        ("the same boundary within itself", |n| {
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(n).into_bytes()
        }),
        ("messages within messages", |n| {
            "Content-Type: message/rfc822\r\nSubject: x\r\n\r\n".repeat(n).into_bytes()
        }),
        ("digests", |n| {
            let parts = "--b\r\n\r\nSubject: x\r\n\r\nx\r\n".repeat(n);
            format!("Content-Type: multipart/digest; boundary=b\r\n\r\n{parts}").into_bytes()
        }),
        ("boundaries of nobody", |n| {
            let lines = "--other\r\n".repeat(n);
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{lines}").into_bytes()
        }),
        ("binary parts", |n| {
            let parts = "--b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n".repeat(n);
            format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}").into_bytes()
        }),
    ];
    for (name, input) in inputs {
        doubles(name, &input, &read_message);
        let in_steps = |message: &[u8]| {
            let mut scanner = Scanner::with_limits(UNLIMITED);
            message.chunks(7).for_each(|chunk| scanner.feed(chunk));
            assert_eq!(scanner.finish(), scan(message));
        };
        doubles(&format!("{name} in steps"), &input, &in_steps);
    }
}

#[test]
fn twice_the_eight_bit_header_costs_twice_as_much() {
    let values: [(&str, &str, &str); 8] = [
        ("text", "Subject", "ü "),
        ("addresses", "To", "ü <ü@ü>, "),
        ("open addresses", "To", "ü <"),
        ("groups", "To", "ü: ü@x;"),
        ("comments", "Date", "(ü "),
        ("quotes", "Received", "ü \""),
        ("parameters", "Content-Type", ";ü=ü"),
        ("pieces", "Content-Type", ";a*1=ü"),
    ];
    for (name, key, value) in values {
        let in_seven_bits = |message: &[u8]| {
            let structure = scan(message).structure.encode();
            let structure = StructureRef::parse(&structure).unwrap();
            let rewrite = downgrade(structure, Hop::SevenBit).unwrap();
            assert!(rewrite.apply(message).is_ascii());
        };
        doubles(name, &field(key, |n| value.repeat(n)), &in_seven_bits);
    }
}

#[test]
fn twice_the_fields_and_names_cost_twice_as_much() {
    let header = |n| numbered(n, |k| format!("X-{k}: y\r\n")).into_bytes();
    let names = |header: &[u8]| {
        let names: Vec<_> = (0..header.len() / 10).map(|k| format!("x-{k}").into_bytes()).collect();
        assert!(!select_fields(header, &names, false).is_empty());
    };
    doubles("fields by name", &header, &names);
}

#[test]
fn twice_the_encoded_text_costs_twice_as_much() {
    let inputs: [(&str, Encoding, &str); 4] = [
        ("base64", Encoding::Base64, "AAAA"),
        ("no base64", Encoding::Base64, "=.=."),
        ("escapes", Encoding::QuotedPrintable, "=3D"),
        ("blanks", Encoding::QuotedPrintable, " \t="),
    ];
    for (name, encoding, piece) in inputs {
        let decode = |encoded: &[u8]| {
            let mut decoder = binary::Decoder::new(encoding).unwrap();
            let mut out = Vec::new();
            decoder.feed(encoded, &mut out);
            let _ = decoder.finish(&mut out);
        };
        doubles(name, &|n| piece.repeat(n).into_bytes(), &decode);
    }
}

/// Commands by their row, and what follows them.
#[test]
fn twice_the_command_costs_twice_as_much() {
    let arguments: [(&str, &str, Text); 18] = [
        ("keys", "SEARCH", |n| " ALL".repeat(n)),
        ("texts", "SEARCH", |n| " SUBJECT \"a\\\\b\"".repeat(n)),
        ("literals", "SEARCH", |n| " TEXT {1}\r\nx".repeat(n)),
        ("brackets", "SEARCH", |n| " ".to_owned() + &"(".repeat(n)),
        ("nots", "SEARCH", |n| " NOT".repeat(n)),
        ("ors", "SEARCH", |n| " OR ALL".repeat(n)),
        ("ranges", "FETCH", |n| format!(" 1{} UID", ",1:2".repeat(n))),
        ("items", "FETCH", |n| format!(" 1 ({})", "UID FLAGS ".repeat(n))),
        ("sections", "FETCH", |n| format!(" 1 BODY[1{}]", ".1".repeat(n))),
        ("names of fields", "FETCH", |n| format!(" 1 BODY[HEADER.FIELDS ({})]", "a ".repeat(n))),
        ("flags", "STORE", |n| format!(" 1 FLAGS ({})", "a ".repeat(n))),
        ("an open string", "SELECT", |n| format!(" \"{}", "a".repeat(n))),
        ("escapes in a string", "SELECT", |n| format!(" \"{}\"", "\\\\".repeat(n))),
        ("shifts", "SELECT", |n| format!(" \"{}\"", "&AOQ-a".repeat(n))),
        ("ampersands", "SELECT", |n| format!(" \"{}\"", "&-".repeat(n))),
        ("patterns", "LIST", |n| format!(" \"\" ({})", "a% ".repeat(n))),
        ("fields of ID", "ID", |n| format!(" ({})", "\"a\" NIL ".repeat(n))),
        ("items of STATUS", "STATUS", |n| format!(" INBOX ({})", "MESSAGES ".repeat(n))),
    ];
    let bounds =
        Bounds { depth: 32, ranges: usize::MAX, search_keys: usize::MAX, fetch_items: usize::MAX };
    for (name, command, text) in arguments {
        let row = row(command).unwrap();
        let read = |text: &[u8]| {
            work::looked_at(text.len()); // the line was found
            let _ = (row.parse)(&mut Cursor::new(text).with_bounds(bounds));
        };
        doubles(name, &|n| text(n).into_bytes(), &read);
    }
    doubles("modified UTF-7", &|n| "&AOQ-a".repeat(n).into_bytes(), &|coded| {
        utf7::decode(coded).unwrap();
    });
}

/// Runs on half the stack that a session has: nothing that calls itself for each bracket finds room
/// there.
fn on_a_small_stack(what: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().stack_size(1 << 20).spawn(what);
    thread.unwrap().join().unwrap();
}

#[test]
fn no_command_nests_deeper_than_its_bound_however_deep_it_is_written() {
    on_a_small_stack(|| {
        let pieces =
            ["(", "NOT ", "OR ALL ", "OR (NOT ", "((NOT ", "\"", "{1}\r\n", "BODY[", "<", "["];
        for piece in pieces {
            let deep = piece.repeat(5_000);
            for row in EXTENSIONS.iter().flat_map(|extension| extension.rows) {
                for start in [" ", " 1 ", " 1 (", " INBOX (", " \"\" (", " RETURN (", " UID "] {
                    let text = format!("{start}{deep}");
                    let _ = (row.parse)(&mut Cursor::new(text.as_bytes()));
                }
            }
        }
    });
}

#[test]
fn the_deepest_search_that_can_be_configured_is_read_and_dropped() {
    on_a_small_stack(|| {
        let bounds = Bounds { depth: 64, ..Bounds::default() };
        for (open, close) in [("(", ")"), ("NOT ", ""), ("OR ALL ", ""), ("(OR ALL ", ")")] {
            let text = format!(" {}ALL{}", open.repeat(32), close.repeat(32));
            let row = row("SEARCH").unwrap();
            let mut args = Cursor::new(text.as_bytes()).with_bounds(bounds);
            drop((row.parse)(&mut args).unwrap_or_else(|error| panic!("{open}: {error}")));
        }
    });
}

#[test]
fn no_message_nests_too_deep_for_what_walks_it() {
    on_a_small_stack(|| {
        let deep = 20_000;
        let multiparts =
            |k| format!("Content-Type: multipart/mixed; boundary=b{k}\r\n\r\n--b{k}\r\n");
        let html = format!("Content-Type: text/html\r\n\r\n{}", "<div>".repeat(deep));
        for message in [
            numbered(deep, multiparts),
            "Content-Type: message/rfc822\r\n\r\n".repeat(deep),
            format!("To: {}\r\nSubject: {}\r\n\r\n", "(".repeat(deep), "[Fwd: ".repeat(deep)),
            html,
        ] {
            read_message(message.as_bytes());
        }
    });
}
