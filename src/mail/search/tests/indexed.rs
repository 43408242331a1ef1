//! A search that asks the index finds what a search without it finds.

use crate::mail::Collation;
use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use super::house::House;
use crate::{
    events::{Door, Origin},
    flags::Flags,
    mail::search::{Field, Key, Needle},
    store::MarkNames,
};

/// Letters that casemapping changes, joins or parts, and what the engine could trip over.
const LETTERS: [&str; 24] = [
    "a",
    "b",
    "A",
    "c",
    "d",
    " ",
    "\u{e9}",
    "E\u{301}",
    "\u{df}",
    "\u{17f}",
    "\u{212a}",
    "\u{fb01}",
    "\u{3a3}",
    "\u{3c2}",
    "\"",
    "'",
    "=",
    "?",
    "\u{fdfa}",
    "\u{ac00}",
    "\u{65e5}",
    "\u{1d49c}",
    "\u{1c5}",
    "*",
];

fn text(most: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(select(&LETTERS), 0..most).prop_map(|letters| letters.concat())
}

/// A value of a header field: as it is, folded, or in encoded words; perhaps not in the character set
/// that they name.
fn value() -> impl Strategy<Value = String> {
    (text(12), 0..5).prop_map(|(text, how)| match how {
        0 => format!("=?utf-8?B?{}?=", BASE64_STANDARD.encode(&text)),
        1 => {
            let octets = text.bytes().fold(String::new(), |mut out, octet| {
                let _ = write!(out, "={octet:02X}");
                out
            });
            format!("x =?UTF-8?q?{octets}?=")
        }
        2 => format!("{text}\r\n  {text}"),
        3 => format!(
            "{text}=?utf-8?B?{}?= a",
            BASE64_STANDARD.encode([text.as_bytes(), b"\xc3"].concat())
        ),
        _ => text,
    })
}

/// A part: its header and its text, each in its encoding.
fn part() -> impl Strategy<Value = String> {
    (text(30), value(), 0..7).prop_map(|(text, value, how)| match how {
        0 => format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Description: {value}\r\n\r\n{}\r\n",
            BASE64_STANDARD.encode(&text)
        ),
        1 => format!(
            "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: \
             quoted-printable\r\n\r\n<p>{}=\r\n</p>\r\n",
            text.replace('=', "=3D")
        ),
        2 => format!("Content-Type: image/png; name=\"{value}\"\r\n\r\n{text}\r\n"),
        3 => format!("Content-Type: message/rfc822\r\n\r\nSubject: {value}\r\n\r\n{text}\r\n"),
        4 => format!("Content-Type: text/plain; charset=x-unknown\r\n\r\n{text}\r\n"),
        5 => format!(
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
            BASE64_STANDARD.encode([b"\xff", text.as_bytes(), b"\xe2\x82"].concat())
        ),
        _ => format!("\r\n{text}\r\n"),
    })
}

fn message() -> impl Strategy<Value = String> {
    let fields = proptest::collection::vec((select(&FIELDS), value()), 0..6);
    (fields, proptest::collection::vec(part(), 0..4)).prop_map(|(fields, parts)| {
        let mut out = String::new();
        for (name, value) in fields {
            let _ = match name {
                "From" | "To" | "Cc" => {
                    write!(out, "{name}: \"{}\" (note) <a@b>\r\n", value.replace('"', "\\\""))
                }
                _ => write!(out, "{name}: {value}\r\n"),
            };
        }
        if let [part] = parts.as_slice() {
            out.push_str(part);
            return out;
        }
        out.push_str("Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        for part in parts {
            let _ = write!(out, "--b\r\n{part}");
        }
        out.push_str("--b--\r\n");
        out
    })
}

const FIELDS: [&str; 7] = ["Subject", "From", "To", "Cc", "Bcc", "X-Note", "Subject"];

fn key() -> impl Strategy<Value = Key> {
    let needle = || {
        (text(5), select(&Collation::ALL[..]))
            .prop_map(|(text, collation)| Needle::new(&text, collation))
    };
    let one = prop_oneof![
        needle().prop_map(Key::Text),
        needle().prop_map(Key::Body),
        (select(&Field::ALL), needle()).prop_map(|(field, needle)| Key::Field(field, needle)),
        (select(&FIELDS), needle())
            .prop_map(|(name, needle)| Key::Header(name.as_bytes().to_vec(), needle)),
    ];
    one.prop_recursive(2, 6, 3, |key| {
        prop_oneof![
            key.clone().prop_map(|key| Key::Not(Box::new(key))),
            proptest::collection::vec(key.clone(), 1..3).prop_map(Key::Or),
            proptest::collection::vec(key, 1..3).prop_map(Key::And),
        ]
    })
}

#[test]
fn what_the_index_helps_to_find_is_what_a_scan_finds() {
    let config = ProptestConfig { cases: 12, ..ProptestConfig::default() };
    let messages = proptest::collection::vec(message(), 50..80);
    let keys = proptest::collection::vec(key(), 60);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(messages, keys), |(messages, keys)| {
        runtime.block_on(async {
            let house = House::open().await;
            // The last ones come behind the index.
            let known = messages.len() - 5;
            house.add_all(&messages[..known], MarkNames::default()).await;
            house.mail.index_all().await.unwrap();
            house.add_all(&messages[known..], MarkNames::default()).await;
            for key in keys {
                let (found, scanned) =
                    (house.found(key.clone()).await, house.scanned(key.clone()).await);
                prop_assert_eq!(found, scanned, "{:?}", key);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

fn subject(text: &str) -> Key {
    Key::Field(Field::Subject, Needle::new(text, Collation::default()))
}

#[tokio::test]
async fn only_what_may_hold_a_text_is_read() {
    let house = House::open().await;
    house.add_many("haystack", 60).await;
    house.add("Subject: a Needle\r\n\r\nhidden in straw\r\n", MarkNames::default()).await;
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("needle").await, Some(1));
    assert_eq!(house.found(subject("nEEdl")).await, [61]);
    assert_eq!(house.found(Key::Text(Needle::new("straw", Collation::default()))).await, [61]);
    // Two letters are no trigram.
    assert_eq!(house.found(subject("ee")).await, [61]);
}

#[tokio::test]
async fn a_message_is_found_at_once_and_the_index_catches_up() {
    let house = House::open().await;
    house.add_many("early", 40).await;
    house.mail.index_all().await.unwrap();
    house.add_many("late", 3).await;
    assert_eq!(house.candidates("late").await, Some(3));
    assert_eq!(house.candidates("nowhere").await, Some(3));
    assert_eq!(house.found(subject("late")).await, [41, 42, 43]);
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("nowhere").await, Some(0));
    let house = house.reopen(drop).await;
    house.add_many("later", 1).await;
    assert_eq!(house.found(subject("late")).await, [41, 42, 43, 44]);
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("late").await, Some(4));
}

#[tokio::test]
async fn the_mail_of_others_is_never_found() {
    let house = House::open().await;
    house.add_many("mine", 40).await;
    for number in 0..5 {
        let neighbour = house.neighbour(&format!("n{number}@d")).await;
        neighbour.add_many("theirs", 40).await;
        // The same octets as mine have the same content.
        neighbour.add("Subject: mine 1\r\n\r\nbody of 1\r\n", MarkNames::default()).await;
    }
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("theirs").await, Some(0));
    assert!(house.found(subject("theirs")).await.is_empty());
    assert_eq!(house.found(subject("mine 1")).await.len(), 11);
    let neighbour = house.neighbour("n3@d").await;
    assert_eq!(neighbour.found(subject("theirs")).await.len(), 40);
    assert_eq!(neighbour.found(subject("mine")).await, [41]);
}

#[tokio::test]
async fn what_is_swept_leaves_the_index() {
    let house = House::open().await;
    house.add_many("kept", 40).await;
    for number in 0..2 {
        let message = format!("Subject: thrown away {number}\r\n\r\n");
        house.add(message, MarkNames::flags(Flags::DELETED)).await;
    }
    house.add_many("last", 1).await;
    house.mail.index_all().await.unwrap();
    assert_eq!(house.known("thrown").await, 2);
    let gone = house.mail.expunge(&house.actor, &house.inbox, None).await.unwrap();
    assert_eq!(gone.len(), 2);
    assert!(house.found(subject("thrown")).await.is_empty());
    assert_eq!(house.known("thrown").await, 2);
    let later = Origin::new(Door::House, 1_000 + 2 * 24 * 3600);
    assert_eq!(house.mail.store().sweep(later).await.unwrap().contents, 2);
    assert!(house.mail.compare_index().await.unwrap());
    assert_eq!(house.known("thrown").await, 0);
    assert_eq!((house.known("kept").await, house.known("last").await), (40, 1));
    assert_eq!(house.mail.check_index().await.unwrap(), Vec::<String>::new());
}

/// A message with more than the limits allow is looked at each time.
#[tokio::test]
async fn what_is_not_like_others_is_looked_at_each_time() {
    let house = House::open().await;
    house.add_many("plain", 40).await;
    let words = "=?utf-8?q?x?= ".repeat(house.mail.limits().parsing.encoded_words);
    let many = format!("Subject: {words}=?utf-8?q?last?=\r\n\r\n");
    house.add(many, MarkNames::default()).await;
    house.mail.index_all().await.unwrap();
    assert_eq!(house.candidates("nowhere").await, Some(1));
    for text in ["last", "xxx", "=?utf-8?q?last"] {
        assert_eq!(house.found(subject(text)).await, house.scanned(subject(text)).await, "{text}");
    }
}

fn body(text: &str) -> Key {
    Key::Body(Needle::new(text, Collation::default()))
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

/// A message whose text the index does not hold whole is looked at each time, to its end.
#[tokio::test]
async fn text_beyond_the_limit_is_found() {
    let house = House::open().await;
    house.add_many("plain", 40).await;
    let most = usize::try_from(house.mail.limits().text_indexed).unwrap();
    // The last letter is a line end of the index's own.
    for (number, behind) in [(41, 0), (42, 1), (43, most)] {
        let mut message = format!("Subject: long {behind}\r\n\r\n").into_bytes();
        let end = format!("end{behind}xx");
        message.resize(message.len() + most - 1 - end.len() + behind, b'-');
        message.extend(end.bytes());
        house.add(message, MarkNames::default()).await;
        house.mail.index_all().await.unwrap();
        for key in [body(&end), Key::Text(Needle::new(&end, Collation::Octet))] {
            assert_eq!(house.found(key.clone()).await, [number], "{behind}");
            assert_eq!(house.scanned(key.clone()).await, [number], "{behind}");
            assert_eq!(house.found(not(key)).await.len(), usize::try_from(number).unwrap() - 1);
        }
        assert_eq!(house.found(not(body("---"))).await.len(), 40);
    }
    // Headers are known all the same: only the two that were cut are read for the others' texts.
    assert_eq!(house.candidates_in("nowhere", false).await, Some(0));
    assert_eq!(house.candidates("nowhere").await, Some(0));
    assert_eq!(house.candidates_in("nowhere", true).await, Some(2));
}

/// Long texts come in pieces; what is parted between two is found all the same.
#[tokio::test]
async fn what_is_parted_between_two_pieces_of_a_long_text_is_found() {
    let house = House::open().await;
    // A word of two letters and two marks stands across each place where octets are parted.
    let word = "gr\u{fc}\u{df}e\u{323}\u{307}";
    let plain = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ";
    for shift in 0..word.len() {
        let mut message = format!("{plain}8bit\r\n\r\n").into_bytes();
        let first = message.len();
        for n in 1..=3 {
            message.resize(first + n * (128 << 10) - word.len() + shift, b'-');
            message.extend(format!("{word}{n}").bytes());
        }
        house.add(&message, MarkNames::default()).await;
    }
    let all: Vec<u32> = (1..=u32::try_from(word.len()).unwrap()).collect();
    for n in 1..=3 {
        let needle = format!("-GR\u{dc}\u{df}E\u{307}\u{323}{n}");
        assert_eq!(house.found(body(&needle)).await, all, "{needle}");
    }
    assert!(house.found(not(body(&format!("{word}2")))).await.is_empty());
}

/// Octets that are not UTF-8 to the last one are none at all, wherever that one is.
#[tokio::test]
async fn a_long_text_is_in_one_character_set() {
    let house = House::open().await;
    let text = format!("{}\r\n", "Gr\u{fc}\u{df}e ".repeat(8)).repeat(5_000);
    let base64 = BASE64_STANDARD.encode(&text).into_bytes();
    let mut wrapped = b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec();
    base64.chunks(76).for_each(|line| wrapped.extend([line, b"\r\n"].concat()));
    house.add(wrapped, MarkNames::default()).await;
    let mixed = [b"Subject: s\r\n\r\n", text.as_bytes(), b"\xff"].concat();
    house.add(mixed, MarkNames::default()).await;
    assert_eq!(house.found(body("GR\u{dc}\u{df}E gr")).await, [1]);
    assert_eq!(house.found(body("gr\u{c3}\u{bc}\u{c3}\u{178}e")).await, [2]);
    assert_eq!(house.found(body("\u{ff}")).await, [2]);
}

/// Whatever lengths they have: headers, headers of parts, single fields.
#[tokio::test]
async fn headers_are_looked_at_to_their_ends() {
    let house = House::open().await;
    house.add_many("plain", 40).await;
    let long = "x".repeat(70_000);
    let field = format!("Subject: s\r\nX-Long: {long}fieldend\r\n\r\n");
    let part = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-Long: {long}partend\r\n\r\n\
         --b--\r\n"
    );
    let lines = format!("X-Line: {}\r\n", "y".repeat(900)).repeat(1_300);
    let header = format!("Subject: s\r\n{lines}X-Last: headerend\r\n\r\nbodyend\r\n");
    for message in [field, part, header] {
        house.add(message, MarkNames::default()).await;
    }
    house.mail.index_all().await.unwrap();
    let text = |text: &str| Key::Text(Needle::new(text, Collation::default()));
    for (key, number) in [
        (text("xfieldend"), 41),
        (Key::Header(b"x-long".to_vec(), Needle::new("xfieldend", Collation::Octet)), 41),
        (text("xpartend"), 42),
        (body("xpartend"), 42),
        (text("headerend"), 43),
        (body("bodyend"), 43),
    ] {
        assert_eq!(house.found(key.clone()).await, [number], "{key:?}");
        assert_eq!(house.scanned(key.clone()).await, [number], "{key:?}");
    }
    assert!(house.found(body("headerend")).await.is_empty());
}

/// Who no longer waits stops the search.
#[tokio::test]
async fn a_search_that_nobody_waits_for_ends() {
    let house = House::open().await;
    house.add_many("plain", 40).await;
    house.mail.index_all().await.unwrap();
    let search = house.found(Key::Text(Needle::new("plain", Collation::default())));
    let gone = tokio::time::timeout(std::time::Duration::ZERO, search).await;
    assert!(gone.is_err());
    // What was abandoned holds nothing back.
    house.mail.index_all().await.unwrap();
    assert_eq!(house.found(subject("plain 3")).await.len(), 11);
}
