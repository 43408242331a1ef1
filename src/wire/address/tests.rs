//! The grammar of addresses, to the octet.

use std::net::IpAddr;

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn addresses_print_as_they_were_written() {
    for text in [
        "a@b",
        "john.doe+tag@Example.ORG",
        "\"john doe\"@example.org",
        "\"a\\\"b\\\\@c\"@example.org",
        "\"\"@example.org",
        "user@[192.0.2.1]",
        "user@[IPv6:2001:db8::1]",
        "дядя@почта.рф",
        "o'hara!#$%&*/=?^_`{|}~-@ex_ample.org",
    ] {
        assert_eq!(address(text).to_string(), text);
    }
}

#[test]
fn what_breaks_the_grammar_is_no_address() {
    for text in [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a@@b",
        "a b@c",
        "a@b c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@.b",
        "a@b.",
        "a@b..c",
        "a@-b",
        "a@b-",
        "<a@b>",
        "\"a@b",
        "\"a\"b@c",
        "\"a\\",
        "\"\\",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[IPv6:zz]",
        "a@[tag:x]",
        "a\r@b",
        "\"a\r\n\"@b",
        "\"a\0\"@b",
        "a@b\u{85}",
        "a\u{a0}@b",
        "a@b,c@d",
        "(x)a@b",
    ] {
        assert!(Address::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn lengths_hold_to_the_octet() {
    let local = |n: usize| "a".repeat(n);
    assert!(Address::parse(&format!("{}@b", local(64))).is_ok());
    assert_eq!(Address::parse(&format!("{}@b", local(65))), Err(AddressError::TooLong));
    let labels = |n: usize| {
        let mut name = format!("{}.", "b".repeat(63)).repeat(3);
        name.push_str(&"c".repeat(n.saturating_sub(name.len())));
        name
    };
    assert_eq!(labels(252).len(), 252);
    assert!(Address::parse(&format!("a@{}", labels(252))).is_ok());
    assert_eq!(Address::parse(&format!("ab@{}", labels(252))), Err(AddressError::TooLong));
    assert!(Domain::parse(&labels(255)).is_ok());
    assert_eq!(Domain::parse(&"b.".repeat(128)), Err(AddressError::TooLong));
    assert_eq!(Domain::parse(&"b".repeat(64)), Err(AddressError::Domain));
}

#[test]
fn a_quoted_local_part_means_what_stands_between_the_quotes() {
    assert_eq!(address("\"john\"@x").key(), address("John@X").key());
    assert_eq!(address("\"a\\\"b\\c\"@x").local().value(), "a\"bc");
    assert_eq!(address("\"\"@x").local().value(), "");
    assert_eq!(LocalPart::from_value("a b\"c").unwrap().as_str(), "\"a b\\\"c\"");
    assert_eq!(LocalPart::from_value("plain").unwrap().as_str(), "plain");
    assert!(LocalPart::from_value("a\nb").is_err());
}

#[test]
fn domains_are_compared_by_their_a_labels() {
    let unicode = Domain::parse("BÜCHER.example").unwrap();
    assert_eq!(unicode.ascii(), "xn--bcher-kva.example");
    assert_eq!(unicode, Domain::parse("xn--bcher-KVA.example").unwrap());
    assert_eq!(unicode.unicode(), "bücher.example");
    assert_eq!(
        address("a@bücher.example").with_ascii_domain().to_string(),
        "a@xn--bcher-kva.example"
    );
    assert!(!address("a@bücher.example").needs_utf8());
    assert!(address("ä@b").needs_utf8());
}

#[test]
fn keys_fold_case_and_composition() {
    assert_eq!(address("MÜLLER@x").key(), address("mu\u{308}ller@x").key());
    assert_eq!(address("Straße@x").key(), address("STRASSE@x").key());
}

#[test]
fn literals_give_their_address() {
    assert_eq!(Domain::parse("[192.0.2.1]").unwrap().ip(), Some("192.0.2.1".parse().unwrap()));
    let six: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(Domain::literal(six).to_string(), "[IPv6:2001:db8::1]");
    assert_eq!(Domain::parse("[ipv6:2001:DB8::1]").unwrap().ip(), Some(six));
    assert_eq!(Domain::parse("example.org").unwrap().ip(), None);
}

#[test]
fn the_null_path_is_the_empty_text() {
    assert_eq!(ReversePath::parse(""), Ok(ReversePath::NULL));
    assert_eq!(ReversePath::NULL.to_string(), "");
    assert_eq!(ReversePath::parse("a@b").unwrap().to_string(), "a@b");
    assert!(ReversePath::parse(" ").is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_what_parses_prints_the_same(text in "\\PC{0,80}") {
        if let Ok(address) = Address::parse(&text) {
            proptest::prop_assert_eq!(address.to_string(), text);
            proptest::prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
        }
    }

    #[test]
    fn every_value_can_be_written_as_a_local_part(value in "[ -~]{0,20}") {
        let local = LocalPart::from_value(&value).unwrap();
        proptest::prop_assert_eq!(local.value(), value.as_str());
    }
}
