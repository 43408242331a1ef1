//! Known answers, and what must hold for any field.

use proptest::prelude::*;

use super::*;
use crate::mail::{
    downgrade::{Hop, LINE_MAX, downgrade},
    field::fields,
    structure::{StructureRef, scan},
    words::{WORDS_MAX, decode},
};

fn converted(field: impl AsRef<[u8]>) -> String {
    let header = field.as_ref();
    let mut out = Vec::new();
    put(&fields(header).next().unwrap(), &mut out);
    String::from_utf8(out).unwrap()
}

/// Each field and what becomes of it.
fn holds(cases: &[(&str, &str)]) {
    for (field, expected) in cases {
        assert_eq!(converted(format!("{field}\r\n")), format!("{expected}\r\n"));
    }
}

#[test]
fn text_becomes_encoded_words_and_its_ascii_words_stay() {
    holds(&[
        (
            "Subject: Grüße aus Köln",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?utf-8?q?K=C3=B6ln?=",
        ),
        ("Subject: über  ödes Land", "Subject: =?utf-8?q?=C3=BCber__=C3=B6des?= Land"),
        ("X-Note:ü", "X-Note: =?utf-8?q?=C3=BC?="),
        ("List-Id: Käse <a.b>", "List-Id: =?utf-8?q?K=C3=A4se?= <a.b>"),
        ("Subject: (ä) a_b=c? ", "Subject: =?utf-8?q?=28=C3=A4=29?= a_b=c?"),
    ]);
}

#[test]
fn blanks_beside_encoded_words_are_not_lost() {
    holds(&[
        ("Subject: =?utf-8?q?a?= ü", "Subject: =?utf-8?q?a?= =?utf-8?q?_=C3=BC?="),
        ("Subject: ü =?utf-8?q?a?=", "Subject: =?utf-8?q?=C3=BC_?= =?utf-8?q?a?="),
    ]);
}

#[test]
fn an_encoded_word_that_was_forgotten_to_be_encoded_says_itself_what_it_is() {
    assert_eq!(
        converted(b"To: =?iso-8859-1?Q?M\xfcller?= <m@x>\r\n"),
        "To: =?iso-8859-1?Q?M=FCller?= <m@x>\r\n"
    );
    assert_eq!(
        converted(b"Subject: =?iso-8859-1?Q?\xfc?= =?x?b?\xfc?=\r\n"),
        "Subject: =?iso-8859-1?Q?=FC?= =?windows-1252?q?_=3D=3Fx=3Fb=3F=FC=3F=3D?=\r\n"
    );
}

#[test]
fn octets_of_no_known_kind_are_called_what_they_can_be() {
    assert_eq!(converted(b"Subject: Gr\xfc\xdfe\r\n"), "Subject: =?windows-1252?q?Gr=FC=DFe?=\r\n");
    assert_eq!(converted(b"Subject: \x81 x\r\n"), "Subject: =?unknown-8bit?q?=81?= x\r\n");
    assert_eq!(
        converted(b"Content-Type: text/x; name=\"\xfc\"\r\n"),
        "Content-Type: text/x; name*=windows-1252''%FC\r\n"
    );
}

#[test]
fn names_become_encoded_words_and_addresses_stay() {
    holds(&[
        (
            "From: Jörg Müller <j@x.example>",
            "From: =?utf-8?q?J=C3=B6rg_M=C3=BCller?= <j@x.example>",
        ),
        ("To: \"Müller, Jörg\" <j@x>,a@b", "To: =?utf-8?q?M=C3=BCller=2C_J=C3=B6rg?= <j@x>,a@b"),
        ("To: Dr. Müller<m@x>", "To: Dr. =?utf-8?q?M=C3=BCller?= <m@x>"),
        (
            "Cc: \"a b\" ü <x@y> (von ö)",
            "Cc: \"a b\" =?utf-8?q?=C3=BC?= <x@y> (von =?utf-8?q?=C3=B6?=)",
        ),
        (
            "To: Größe: a@b, Ü <c@d>;",
            "To: =?utf-8?q?Gr=C3=B6=C3=9Fe?= : a@b, =?utf-8?q?=C3=9C?= <c@d>;",
        ),
        ("Keywords: müde, froh", "Keywords: =?utf-8?q?m=C3=BCde?= , froh"),
        ("To: \"ü\"a\"b\" <x@y>", "To: =?utf-8?q?=C3=BCab?= <x@y>"),
    ]);
}

#[test]
fn a_domain_has_a_labels_and_a_local_part_is_shown_as_the_name_of_a_group() {
    holds(&[
        ("To: Jo <jo@bücher.example>", "To: Jo <jo@xn--bcher-kva.example>"),
        ("To: jo@bücher.example (ü)", "To: jo@xn--bcher-kva.example (=?utf-8?q?=C3=BC?=)"),
        ("To: ü@x.example, a@b", "To: =?utf-8?q?=C3=BC=40x=2Eexample?= :;, a@b"),
        ("From: Jo <ü@x>", "From: Jo =?utf-8?q?=C3=BC=40x?= :;"),
        ("To: g: a@b, ü@x;, c@d", "To: g =?utf-8?q?a=40b=2C_=C3=BC=40x?= :;, c@d"),
        ("To: <@a,@b:ü@x>", "To: =?utf-8?q?=40a=2C=40b=3A=C3=BC=40x?= :;"),
        ("Return-Path: <a@bücher.example>", "Return-Path: <a@xn--bcher-kva.example>"),
    ]);
}

#[test]
fn comments_keep_their_brackets() {
    holds(&[
        (
            "Date: today (Köln (Süd) \\) x)",
            "Date: today (=?utf-8?q?K=C3=B6ln?= (=?utf-8?q?S=C3=BCd?=) \\) x)",
        ),
        ("MIME-Version: 1.0 (offen ü", "MIME-Version: 1.0 (offen =?utf-8?q?=C3=BC?=)"),
    ]);
}

#[test]
fn parameters_are_extended_and_long_ones_come_in_pieces() {
    holds(&[
        (
            "Content-Disposition: attachment; filename=\"Käse 1.txt\"; size=3",
            "Content-Disposition: attachment; filename*=utf-8''K%C3%A4se%201.txt; size=3",
        ),
        ("Content-Type: a/b; name=Käse 1.txt", "Content-Type: a/b; name*=utf-8''K%C3%A4se%201.txt"),
        (
            "Content-Type: a/b; name*0=\"a%\"; x=y; name*1=\"ü\"",
            "Content-Type: a/b; name*=utf-8''a%25%C3%BC; x=y",
        ),
        (
            "Content-Type: a/b; name*=iso-8859-2'de'%FCü",
            "Content-Type: a/b; name*=iso-8859-2''%FC%C3%BC",
        ),
        ("Content-Type: a/b; boundary=\"ü\"", "Content-Type: a/b; boundary=\"??\""),
        ("Content-Type: a/bü; ü=x (ü)", "Content-Type: a/b??; ??=x (=?utf-8?q?=C3=BC?=)"),
    ]);
    let long = converted(format!("Content-Type: a/b; name=\"{}\"\r\n", "ü".repeat(40)));
    assert!(long.contains("\r\n name*1*=%"), "{long}");
    assert_eq!(long.matches("%C3").count(), 40);
    assert!(long.lines().all(|line| line.len() <= 76), "{long}");
}

#[test]
fn what_programs_read_has_another_name_or_no_letters_beyond_ascii() {
    holds(&[
        ("Message-ID: <ü@x>", "Downgraded-Message-ID: =?utf-8?q?=3C=C3=BC=40x=3E?="),
        ("In-Reply-To: <a@x> (ü)", "In-Reply-To: <a@x> (=?utf-8?q?=C3=BC?=)"),
        (
            "Received: from bücher.example for <ü@bücher.example>; now",
            "Received: from xn--bcher-kva.example for <??@xn--bcher-kva.example>; now",
        ),
        ("Sübject: x", "S??bject: x"),
        ("no field ü", "no field ??"),
    ]);
}

#[test]
fn long_text_is_folded_between_words_that_part_no_character() {
    let subject = converted(format!("Subject: {}\r\n", "äöü ".repeat(60)));
    for line in subject.lines() {
        assert!(line.len() <= 76, "{line}");
        let word = line.trim_start_matches("Subject:").trim();
        let text = decode(word.as_bytes(), &mut { WORDS_MAX });
        assert!(!text.contains('\u{c3}'), "{text}");
    }
}

/// What people see of a field.
fn shown(field: &[u8]) -> String {
    let value = unfold(fields(field).next().unwrap().value).into_owned();
    decode(&value, &mut { WORDS_MAX })
}

const TEXTS: [&str; 10] =
    ["a", "Grüße", "日本語", "=?utf-8?q?x?=", "ü=?", "(b", "c)", "\"d", "e,", "🦀"];

proptest! {
    #[test]
    fn any_text_reads_the_same(
        words in prop::collection::vec((prop::sample::select(TEXTS.to_vec()), " {1,3}"), 1..60),
    ) {
        let text: String = words.iter().map(|(word, gap)| format!("{word}{gap}")).collect();
        let field = format!("Subject: ö {}\r\n", text.trim());
        let sent = converted(&field);
        prop_assert!(sent.is_ascii());
        prop_assert!(sent.lines().all(|line| line.len() <= 76), "{}", sent);
        prop_assert_eq!(shown(sent.as_bytes()), shown(field.as_bytes()));
    }

    #[test]
    fn any_octets_of_any_field_become_harmless(
        name in prop::sample::select(vec![
            "Subject", "To", "From", "Content-Type", "Received", "References", "Keywords", "Date",
        ]),
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b" "[..], b"a", b"\xc3\xbc", b"\xfc", b"<", b">", b",", b";", b":", b"@", b"(", b")",
            b"\"", b"\\", b"=", b"name", b"*0", b"*", b"'", b"%41", b"=?utf-8?q?x?=", b".example",
            b"\r\n ", b"boundary", b"[", b"]", b"\t",
        ]), 0..60),
    ) {
        let field = [name.as_bytes(), b": \xc3\xa4", &pieces.concat(), b"\r\n\r\n"].concat();
        let sent = converted(&field);
        prop_assert!(sent.is_ascii() && sent.ends_with("\r\n"));
        let again = fields(sent.as_bytes()).count();
        prop_assert_eq!(again, 1, "{}", sent);
        prop_assert!(sent.lines().all(|line| line.len() <= LINE_MAX && !line.trim().is_empty()));
    }

    #[test]
    fn a_whole_message_becomes_seven_bits_and_its_ascii_fields_stay(
        fields in prop::collection::vec(prop::sample::select(vec![
            "Subject: x\r\n", "Subject: ü\r\n", "To: Ü <a@b>\r\n", "X-Long:  kept   as it\r\n  is\r\n",
            "DKIM-Signature: v=1; b=abc\r\n",
        ]), 0..6),
    ) {
        let header = fields.concat();
        let part = format!("Content-Type: text/x; name=\"ü\"\r\n{header}\r\nhi\r\n");
        let message = format!(
            "{header}Content-Type: multipart/mixed; boundary=\"ü\"\r\n\r\n--ü\r\n{part}\r\n--ü\r\n\
             Content-Type: message/rfc822\r\n\r\n{part}\r\n--ü--\r\n"
        );
        for hop in [Hop::SevenBit, Hop::EightBit] {
            let stored = scan(message.as_bytes()).structure.encode();
            let rewrite = downgrade(StructureRef::parse(&stored).unwrap(), hop).unwrap();
            let sent = rewrite.apply(message.as_bytes());
            prop_assert!(sent.is_ascii(), "{}", String::from_utf8_lossy(&sent));
            let after = scan(&sent).structure;
            prop_assert_eq!(after.parts.len(), scan(message.as_bytes()).structure.parts.len());
            let sent = String::from_utf8(sent).unwrap();
            for field in fields.iter().filter(|field| field.is_ascii()) {
                let times = |text: &str| text.matches(field).count();
                prop_assert_eq!(times(&sent), times(&message));
            }
        }
    }
}
