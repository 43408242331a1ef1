//! Commands read from left to right.

use super::*;
use proptest::prelude::*;

fn cursor(text: &str) -> Cursor<'_> {
    Cursor::new(text.as_bytes())
}

#[test]
fn a_login_is_read_from_left_to_right() {
    let mut args = cursor("LOGIN \"a\\\"b@example.org\" {5+}\r\np w\"\\");
    args.keyword("login").unwrap();
    args.space().unwrap();
    assert_eq!(args.astring_text().unwrap(), "a\"b@example.org");
    args.space().unwrap();
    assert_eq!(&*args.astring().unwrap(), b"p w\"\\");
    assert_eq!(args.end(), Ok(()));
}

#[test]
fn a_word_must_stand_whole() {
    assert!(!cursor("UIDS").take_word("UID"));
    assert!(cursor("uid)").take_word("UID"));
    assert_eq!(cursor("BODY.PEEK[TEXT]").word(), Ok("BODY.PEEK"));
}

#[test]
fn a_tilde_may_begin_an_atom_and_a_plus_ends_a_tag() {
    assert_eq!(cursor("~peter x").atom(), Ok("~peter"));
    assert_eq!(cursor("a+b").tag(), Ok("a"));
    assert!(cursor("+").tag().is_err());
}

#[test]
fn a_literal_may_hold_what_a_line_may_not() {
    assert_eq!(cursor("{4}\r\n\r\n\"(x").literal(), Ok(&b"\r\n\"("[..]));
    assert_eq!(cursor("~{3+}\r\na\0bx").literal8(), Ok(&b"a\0b"[..]));
    assert!(cursor("{3}\r\na\0b").literal().is_err());
    assert!(cursor("{9}\r\nabc").literal().is_err());
    assert!(cursor("{99999999999999999999}\r\nabc").literal().is_err());
    assert!(cursor("{3}abc").literal().is_err());
}

#[test]
fn quotes_are_closed_and_only_two_octets_are_escaped() {
    for bad in ["\"abc", "\"a\\bc\"", "\"a\r\nb\"", "\"a\\", "\"\\\""] {
        assert!(cursor(bad).quoted().is_err(), "{bad}");
    }
    assert_eq!(&*cursor("\"a\\\\b\" c").quoted().unwrap(), b"a\\b");
    assert_eq!(&*cursor("\"\"").quoted().unwrap(), b"");
    assert!(Cursor::new(b"\"Gr\xfc\"").quoted().is_err());
    assert_eq!(&*cursor("\"Grü\"").quoted().unwrap(), "Grü".as_bytes());
}

#[test]
fn numbers_keep_within_their_bits() {
    assert_eq!(cursor("4294967295").number(), Ok(u32::MAX));
    assert!(cursor("4294967296").number().is_err());
    assert_eq!(cursor("9223372036854775807").number64(), Ok(9_223_372_036_854_775_807));
    assert!(cursor("9223372036854775808").number64().is_err());
    assert!(cursor("-1").number().is_err());
    assert!(cursor("0").nonzero().is_err());
}

#[test]
fn mailbox_names_are_read_as_the_session_has_them() {
    assert_eq!(cursor("inBox").mailbox().as_deref(), Ok("INBOX"));
    assert_eq!(cursor("Entw&APw-rfe").mailbox().as_deref(), Ok("Entwürfe"));
    assert_eq!(cursor("\"Entwürfe & &-\"").mailbox().as_deref(), Ok("Entwürfe & &-"));
    assert!(cursor("{4}\r\n&AP-").mailbox().is_err());
    let utf8 = |text| cursor(text).with_names(Names::Utf8);
    assert_eq!(utf8("\"Entwürfe\"").mailbox().as_deref(), Ok("Entwürfe"));
    assert_eq!(utf8("a&b").mailbox().as_deref(), Ok("a&b"));
    assert_eq!(cursor("%/&APw-*").list_mailbox().as_deref(), Ok("%/ü*"));
}

#[test]
fn flags_keep_their_backslash() {
    assert_eq!(cursor("(\\Seen $Junk x)").flag_list(), Ok(vec!["\\Seen", "$Junk", "x"]));
    assert_eq!(cursor("()").flag_list(), Ok(vec![]));
    for bad in ["(\\)", "(\\Seen", "(\\Seen$)Junk", "(\\Seen\t)", "(%)"] {
        let mut args = cursor(bad);
        assert!(args.flag_list().and_then(|_| args.end()).is_err(), "{bad}");
    }
}

#[test]
fn the_thirty_second_level_is_the_last() {
    fn depth(args: &mut Cursor<'_>) -> Result<usize, Syntax> {
        if args.at_list() {
            Ok(args.list(depth)?.into_iter().max().unwrap_or(0) + 1)
        } else {
            Err(Syntax::Expected("("))
        }
    }
    let brackets = |levels: usize| "(".repeat(levels) + &")".repeat(levels);
    assert_eq!(depth(&mut cursor(&brackets(33))), Ok(33)); // the innermost list is empty
    assert_eq!(
        depth(&mut cursor(&brackets(34))),
        Err(Syntax::Over(Limit::ImapDepthMax, "levels of brackets"))
    );
}

proptest! {
    #[test]
    fn no_octets_break_the_cursor(bytes: Vec<u8>) {
        let read = |read: fn(&mut Cursor<'_>) -> bool| read(&mut Cursor::new(&bytes));
        read(|args| args.astring().is_ok());
        read(|args| args.nstring().is_ok());
        read(|args| args.literal8().is_ok());
        read(|args| args.mailbox().is_ok());
        read(|args| args.list_mailbox().is_ok());
        read(|args| args.flag_list().is_ok());
        read(|args| args.set().is_ok());
        read(|args| args.date_time().is_ok());
        read(|args| args.list(Cursor::astring).is_ok());
    }
}
