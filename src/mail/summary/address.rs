//! Address lists as ENVELOPE shows them: names encoded as they came, groups by markers, source
//! routes apart (RFC 5322 §3.4, §4.4; RFC 9051 §7.5.2).
//!
//! Broken addresses stay visible: what has no domain gets [`MISSING_DOMAIN`], since an empty host
//! would read as the start of a group.

use crate::mail::{
    budget::Budget,
    lexer::{Lexer, is_blank},
};

/// Stands for the host of an address that has none.
pub const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";
/// Stands for the mailbox of an address that has none.
pub const MISSING_MAILBOX: &[u8] = b"MISSING_MAILBOX";

/// One address, or a group's start (only `mailbox`, its name) or end (nothing).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name without its quoting, encoded words kept.
    pub name: Option<Vec<u8>>,
    /// The source route: `@a,@b`.
    pub route: Option<Vec<u8>>,
    pub mailbox: Option<Vec<u8>>,
    pub host: Option<Vec<u8>>,
}

impl Address {
    /// A plain address.
    pub fn new(name: Option<&str>, mailbox: &str, host: &str) -> Self {
        Self {
            name: name.map(Into::into),
            route: None,
            mailbox: Some(mailbox.into()),
            host: Some(host.into()),
        }
    }
}

/// Reads `address-list`, as many addresses as `left` has room for. Says too whether a comment that was
/// too deep has ended it.
pub fn parse(value: &[u8], left: &mut Budget, comment_depth: usize) -> (Vec<Address>, bool) {
    let mut list = Vec::new();
    let mut lexer = Lexer::new(value, comment_depth);
    let mut in_group = false;
    loop {
        lexer.skip_blanks();
        match lexer.peek() {
            None => break,
            Some(b',') => drop(lexer.bump()),
            Some(b';') => {
                lexer.bump();
                if std::mem::take(&mut in_group) {
                    list.push(Address::default());
                }
            }
            Some(_) if !left.take() => break,
            Some(_) => {
                let item = Item::default().read(&mut lexer, in_group);
                let starts_group = item.as_ref().is_some_and(|item| item.host.is_none());
                in_group |= starts_group;
                list.extend(item);
            }
        }
    }
    if in_group {
        list.push(Address::default());
    }
    (list, lexer.is_cut())
}

/// What was read of an address before its nature is known.
#[derive(Default)]
struct Item {
    /// All words, single blanks between them.
    phrase: Vec<u8>,
    /// The last words as a local part.
    local: Vec<u8>,
    /// Where in `phrase` the words before the local part end.
    before: usize,
    comment: Option<Vec<u8>>,
}

impl Item {
    fn read(mut self, lexer: &mut Lexer<'_>, in_group: bool) -> Option<Address> {
        let mut gap = false;
        loop {
            match lexer.peek() {
                None | Some(b',' | b';') => return self.without_host(),
                Some(b' ' | b'\t') => gap = lexer.skip_blanks(),
                Some(b'(') => {
                    self.hear(lexer.comment());
                    gap = true;
                }
                Some(b'"') => {
                    let text = lexer.quoted();
                    self.word(&text, gap, gap);
                    gap = false;
                }
                Some(b'<') => {
                    let name = std::mem::take(&mut self.phrase);
                    return Some(self.angle(lexer, name));
                }
                Some(b'@') => return Some(self.at(lexer)),
                Some(b':') if !in_group && !self.phrase.is_empty() => {
                    lexer.bump();
                    return Some(Address { mailbox: Some(self.phrase), ..Address::default() });
                }
                Some(b':' | b'>' | b')') => {
                    lexer.bump();
                    self.word(b"", true, gap);
                }
                Some(_) => {
                    let text =
                        lexer.run(|octet| !is_blank(octet) && !b",;(\"<>@:)".contains(&octet));
                    let dotted = self.local.ends_with(b".") || text.starts_with(b".");
                    self.word(text, gap && !dotted, gap);
                    gap = false;
                }
            }
        }
    }

    /// `new_local`: the word begins another local part; `gap`: a blank stands before it.
    fn word(&mut self, text: &[u8], new_local: bool, gap: bool) {
        if new_local {
            self.before = self.phrase.len();
            self.local.clear();
        }
        if gap && !self.phrase.is_empty() {
            self.phrase.push(b' ');
        }
        self.phrase.extend_from_slice(text);
        self.local.extend_from_slice(text);
    }

    fn hear(&mut self, comment: Vec<u8>) {
        if self.comment.is_none() && !comment.is_empty() {
            self.comment = Some(comment);
        }
    }

    /// Words alone: an address that lost its domain.
    fn without_host(self) -> Option<Address> {
        if self.phrase.is_empty() && self.comment.is_none() {
            return None;
        }
        let mailbox = if self.phrase.is_empty() { MISSING_MAILBOX.to_vec() } else { self.phrase };
        Some(Address {
            name: self.comment,
            route: None,
            mailbox: Some(mailbox),
            host: Some(MISSING_DOMAIN.to_vec()),
        })
    }

    /// `local-part "@" domain`, at its `@`.
    fn at(mut self, lexer: &mut Lexer<'_>) -> Address {
        lexer.bump();
        let host = Self::domain(lexer);
        let rest = self.rest_of_item(lexer, true);
        if lexer.peek() == Some(b'<') {
            // The address was a display name without quotes.
            let mut name = std::mem::take(&mut self.phrase);
            name.push(b'@');
            name.extend_from_slice(&host);
            if !rest.is_empty() {
                name.push(b' ');
                name.extend_from_slice(&rest);
            }
            return self.angle(lexer, name);
        }
        let mut name = self.phrase;
        name.truncate(self.before);
        if !rest.is_empty() {
            name.extend_from_slice(if name.is_empty() { b"" } else { b" " });
            name.extend_from_slice(&rest);
        }
        Address {
            name: if name.is_empty() { self.comment } else { Some(name) },
            route: None,
            mailbox: Some(or_missing(self.local, MISSING_MAILBOX)),
            host: Some(or_missing(host, MISSING_DOMAIN)),
        }
    }

    /// `"<" [obs-route] addr-spec ">"`, at its `<`.
    fn angle(mut self, lexer: &mut Lexer<'_>, name: Vec<u8>) -> Address {
        lexer.bump();
        lexer.skip();
        let (mut route, mut mailbox) = (None, Vec::new());
        if lexer.peek() == Some(b'@') {
            let text = lexer.run(|octet| !b":<>".contains(&octet));
            if lexer.take(b':') {
                let kept = text.iter().copied().filter(|octet| !is_blank(*octet));
                route = Some(kept.collect());
            } else {
                mailbox = text.to_vec();
            }
        }
        let mut host = Vec::new();
        loop {
            match lexer.peek() {
                None | Some(b'>' | b',' | b';') => break,
                Some(b'"') => mailbox.extend(lexer.quoted()),
                Some(b'(') => {
                    let comment = lexer.comment();
                    self.hear(comment);
                }
                Some(b'@') => {
                    lexer.bump();
                    host = Self::domain(lexer);
                    lexer.skip();
                    host.extend(lexer.run(|octet| !b">,;(".contains(&octet)));
                    break;
                }
                Some(octet) => {
                    lexer.bump();
                    if !is_blank(octet) {
                        mailbox.push(octet);
                    }
                }
            }
        }
        lexer.take(b'>');
        self.rest_of_item(lexer, false);
        Address {
            name: if name.is_empty() { self.comment } else { Some(name) },
            route,
            mailbox: Some(or_missing(mailbox, MISSING_MAILBOX)),
            host: Some(or_missing(host, MISSING_DOMAIN)),
        }
    }

    /// A domain or a domain literal.
    fn domain(lexer: &mut Lexer<'_>) -> Vec<u8> {
        lexer.skip();
        let mut host = Vec::new();
        if lexer.peek() == Some(b'[') {
            host.extend(lexer.run(|octet| octet != b']' && !is_blank(octet)));
            host.extend(lexer.take(b']').then_some(b']'));
        }
        host.extend(lexer.run(|octet| !is_blank(octet) && !b",;<>()\"".contains(&octet)));
        host
    }

    /// Passes over what stands before the next comma, semicolon or, if wanted, angle bracket.
    fn rest_of_item(&mut self, lexer: &mut Lexer<'_>, angle: bool) -> Vec<u8> {
        let mut rest = Vec::new();
        loop {
            match lexer.peek() {
                None | Some(b',' | b';') => break,
                Some(b'<') if angle => break,
                Some(b'(') => {
                    let comment = lexer.comment();
                    self.hear(comment);
                }
                Some(b'"') => rest.extend(lexer.quoted()),
                Some(octet) => {
                    lexer.bump();
                    rest.push(octet);
                }
            }
        }
        rest.trim_ascii().to_vec()
    }
}

fn or_missing(text: Vec<u8>, missing: &[u8]) -> Vec<u8> {
    if text.is_empty() { missing.to_vec() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::lexer::COMMENT_DEPTH;

    fn list(value: &str) -> Vec<Address> {
        parse(value.as_bytes(), &mut Budget::new(100), COMMENT_DEPTH).0
    }

    fn one(value: &str) -> Address {
        let mut list = list(value);
        assert_eq!(list.len(), 1, "{value}: {list:?}");
        list.remove(0)
    }

    fn start(name: &str) -> Address {
        Address { mailbox: Some(name.into()), ..Address::default() }
    }

    #[test]
    fn the_forms_of_rfc_5322_appendix_a() {
        for (value, name, mailbox, host) in [
            ("John Doe <jdoe@machine.example>", Some("John Doe"), "jdoe", "machine.example"),
            (
                "\"Joe Q. Public\" <john.q.public@example.com>",
                Some("Joe Q. Public"),
                "john.q.public",
                "example.com",
            ),
            ("<boss@nil.test>", None, "boss", "nil.test"),
            (
                "\"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
                Some("Giant; \"Big\" Box"),
                "sysservices",
                "example.net",
            ),
            (
                "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
                Some("Pete"),
                "pete",
                "silly.test",
            ),
            (
                "Joe Q. Public <john.q.public@example.com>",
                Some("Joe Q. Public"),
                "john.q.public",
                "example.com",
            ),
            ("jdoe@test   . example", Some(". example"), "jdoe", "test"),
            ("john . doe@x.example", None, "john.doe", "x.example"),
            ("\"a b\"@c.example", None, "a b", "c.example"),
            ("a@[IPv6:::1]", None, "a", "[IPv6:::1]"),
            ("a@b (Ann Bee)", Some("Ann Bee"), "a", "b"),
        ] {
            assert_eq!(one(value), Address::new(name, mailbox, host), "{value}");
        }
    }

    #[test]
    fn groups_have_markers() {
        assert_eq!(
            list("A Group:Chris Jones <c@public.example>,joe@example.org;, x@y"),
            [
                start("A Group"),
                Address::new(Some("Chris Jones"), "c", "public.example"),
                Address::new(None, "joe", "example.org"),
                Address::default(),
                Address::new(None, "x", "y"),
            ]
        );
        assert_eq!(
            list("Undisclosed recipients:;"),
            [start("Undisclosed recipients"), Address::default()]
        );
        assert_eq!(
            list("open: a@b"),
            [start("open"), Address::new(None, "a", "b"), Address::default()]
        );
    }

    #[test]
    fn routes_stand_apart() {
        let address = one("<@node.test,@other.test:mary@example.net>");
        assert_eq!(address.route.as_deref(), Some(&b"@node.test,@other.test"[..]));
        assert_eq!(address.mailbox.as_deref(), Some(&b"mary"[..]));
    }

    #[test]
    fn broken_addresses_stay_visible() {
        for (value, name, mailbox, host) in [
            ("root", None, "root", "MISSING_DOMAIN"),
            ("undisclosed recipients", None, "undisclosed recipients", "MISSING_DOMAIN"),
            ("Name <user>", Some("Name"), "user", "MISSING_DOMAIN"),
            ("<>", None, "MISSING_MAILBOX", "MISSING_DOMAIN"),
            ("(only a comment)", Some("only a comment"), "MISSING_MAILBOX", "MISSING_DOMAIN"),
            ("a@b.c <a@b.c>", Some("a@b.c"), "a", "b.c"),
            ("John Doe jd@x.y", Some("John Doe"), "jd", "x.y"),
            ("a@b@c", None, "a", "b@c"),
            ("<a@b@c>", None, "a", "b@c"),
            ("Open <a@b", Some("Open"), "a", "b"),
            ("@x.y", None, "MISSING_MAILBOX", "x.y"),
            ("<@x.y>", None, "@x.y", "MISSING_DOMAIN"),
            ("Käthe <k@x>", Some("Käthe"), "k", "x"),
        ] {
            assert_eq!(one(value), Address::new(name, mailbox, host), "{value}");
        }
    }

    #[test]
    fn commas_alone_are_no_addresses_and_the_limit_holds() {
        assert_eq!(list(" , ,, "), []);
        for (most, read, short) in [(2, 2, true), (3, 3, false), (4, 3, false)] {
            let mut left = Budget::new(most);
            let (list, cut) = parse(b"a@b,c@d,e@f,;", &mut left, COMMENT_DEPTH);
            assert_eq!((list.len(), left.is_short(), cut), (read, short, false), "{most}");
        }
        assert!(parse(b"((x)) a@b", &mut Budget::new(9), 1).1);
    }
}
