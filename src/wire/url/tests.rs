//! URLs as RFC 5092 and RFC 4467 have them, and as clients write them.

use proptest::prelude::*;

use super::*;

fn url(text: &str) -> ImapUrl {
    ImapUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn message(text: &str) -> UrlMessage {
    url(text).message().unwrap_or_else(|| panic!("{text} is no message")).clone()
}

fn server(user: &str, host: &str) -> UrlServer {
    let user = Some(user.to_owned()).filter(|user| !user.is_empty());
    UrlServer { user, host: host.to_owned(), ..UrlServer::default() }
}

fn mailbox(name: &str, uid_validity: u32) -> UrlMailbox {
    let uid_validity = Some(uid_validity).filter(|number| *number > 0);
    UrlMailbox { name: name.to_owned(), uid_validity }
}

#[test]
fn the_examples_of_rfc_5092_section_9() {
    let text =
        "imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024";
    let read = url(text);
    assert_eq!(read.server, Some(server("", "minbari.example.org")));
    let part = message(text);
    assert_eq!(part.mailbox, Some(mailbox("gray-council", 385_759_045)));
    assert_eq!((part.uid, part.partial), (20, Some(UrlPartial { offset: 0, length: Some(1024) })));

    let read =
        url("imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97");
    assert_eq!(read.target, UrlTarget::Mailbox(mailbox("~peter/日本語/台北", 0), None));

    let text = "imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2";
    let place = url(text).server.unwrap();
    assert_eq!((place.user, place.auth.as_deref()), (None, Some("GSSAPI")));
    assert_eq!(message(text).section.as_deref(), Some("1.2"));

    let read = url("imap://;AUTH=*@minbari.example.org/gray%20council?SUBJECT%20shadows");
    let search = Some("SUBJECT shadows".to_owned());
    assert_eq!(read.target, UrlTarget::Mailbox(mailbox("gray council", 0), search));

    let read = url("imap://john;AUTH=*@minbari.example.org/babylon5/personel?\
        charset%20UTF-8%20SUBJECT%20%7B14+%7D%0D%0A%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%D0%B0");
    assert_eq!(read.server.unwrap().user.as_deref(), Some("john"));
    let search = Some("charset UTF-8 SUBJECT {14+}\r\nИванова".to_owned());
    assert_eq!(read.target, UrlTarget::Mailbox(mailbox("babylon5/personel", 0), search));
}

#[test]
fn relative_urls_of_rfc_5092_section_9_1() {
    assert_eq!(url("/foo/;UID=20/.."), url("/foo"));
    assert_eq!(message(";UID=20").mailbox, None);
    assert_eq!(message("/%2E%2E;UIDVALIDITY=385759045/;UID=20").mailbox.unwrap().name, "..");
    assert_eq!(message("/..;UIDVALIDITY=385759045/;UID=20").mailbox.unwrap().name, "..");
    assert_eq!(url("//host.example/INBOX"), url("imap://host.example/INBOX"));
    assert_eq!(url("imap://host.example").target, UrlTarget::Server);
    assert_eq!(url("imap://host.example/").target, UrlTarget::Server);
    assert_eq!(url("/a/./b/../c"), url("/a/c"));
}

#[test]
fn an_authorisation_and_what_it_signs() {
    let text = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:\
        91354a473744909de610943775f92038";
    let given = message(text).authorisation.unwrap();
    assert_eq!(given.access, UrlAccess::Submit("fred".to_owned()));
    let proof = given.proof.unwrap();
    assert_eq!((&*proof.mechanism, proof.token.len()), ("internal", 32));
    let rump = "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred";
    assert_eq!(text.get(..proof.signed), Some(rump));
    assert_eq!(message(rump).authorisation.unwrap().proof, None);
    for (access, expected) in [
        ("user+a%40b.example", UrlAccess::User("a@b.example".into())),
        ("user+a@b.example", UrlAccess::User("a@b.example".into())),
        ("AuthUser", UrlAccess::AuthUser),
        ("anonymous", UrlAccess::Anonymous),
    ] {
        let text = format!("imap://joe@example.com/INBOX/;uid=20;urlauth={access}");
        assert_eq!(message(&text).authorisation.unwrap().access, expected);
    }
}

#[test]
fn a_slash_may_stand_before_what_authorises() {
    for text in [
        "imap://bob.ar@example.org/Sent;UIDVALIDITY=387899045/;uid=45;expire=2005-10-28T23:59:59Z;\
            urlauth=submit+bob.ar",
        "imap://bob.ar@example.org/Sent;UIDVALIDITY=387899045/;uid=45/;expire=2005-10-28T23:59:59Z/;\
            urlauth=submit+bob.ar",
    ] {
        let read = message(text);
        assert_eq!(read.uid, 45);
        assert_eq!(read.expire.map(Timestamp::as_second), Some(1_130_543_999));
        assert_eq!(read.authorisation.unwrap().access, UrlAccess::Submit("bob.ar".into()));
    }
}

#[test]
fn a_user_may_be_a_whole_address_encoded_or_not() {
    for text in ["imap://a%40b.example@host.example:993/x", "imap://a@b.example@host.example:993/x"]
    {
        let read = url(text).server.unwrap();
        assert_eq!(read.user.as_deref(), Some("a@b.example"));
        assert_eq!((&*read.host, read.port), ("host.example", Some(993)));
    }
    assert_eq!(url("imap://[2001:db8::1]:143/").server.unwrap().host, "[2001:db8::1]");
}

#[test]
fn a_slash_in_a_section_is_no_segment() {
    let mut part = message("/INBOX/;UID=1");
    part.section = Some("a/..".into());
    let url = ImapUrl { server: None, target: UrlTarget::Message(Box::new(part)) };
    assert_eq!(url.to_string(), "/INBOX/;UID=1/;SECTION=a%2F..");
    assert_eq!(ImapUrl::parse(&url.to_string()), Ok(url));
    for name in ["/", "/a", "a/", "a//b", "//"] {
        let url = ImapUrl { server: None, target: UrlTarget::Mailbox(mailbox(name, 0), None) };
        assert_eq!(ImapUrl::parse(&url.to_string()), Ok(url), "{name}");
    }
}

#[test]
fn what_breaks_the_grammar_is_no_url() {
    for text in [
        "",
        "INBOX",
        "INBOX/;UID=20",
        "/;UID=20",
        ";UIDVALIDITY=3/;UID=20",
        ";SECTION=1.4",
        "http://host.example/INBOX",
        "imap:/INBOX",
        "imap://",
        "imap:///INBOX/;UID=1",
        "imap://@host/INBOX",
        "imap://;AUTH=@host/INBOX",
        "imap://a b@host/INBOX",
        "imap://host:x/INBOX",
        "imap://host:99999/INBOX",
        "imap://[::1/INBOX",
        "imap://[x]/INBOX",
        "imap://host?x",
        "/INBOX;UID=20",
        "/INBOX/;UID=0",
        "/INBOX/;UID=4294967296",
        "/INBOX/;UID=+1",
        "/INBOX/;UID=1,2",
        "/INBOX/;UID=20/",
        "/INBOX/;UID=20/;SECTION=",
        "/INBOX/;UID=20;SECTION=1",
        "/INBOX/;UID=20/;PARTIAL=",
        "/INBOX/;UID=20/;PARTIAL=0.0",
        "/INBOX/;UID=20/;PARTIAL=1.2.3",
        "/INBOX/;UID=20/;PARTIAL=1/;SECTION=1",
        "/INBOX/;UID=20/;UID=21",
        "/INBOX/;UID=20?ALL",
        "/INBOX;UIDVALIDITY=0/;UID=20",
        "/INBOX;UIDVALIDITY=x",
        "/IN BOX",
        "/%",
        "/%4",
        "/%zz",
        "/%FF",
        "/%00",
        "/a\r\nb",
        "/INBOX/;UID=20;EXPIRE=2005-10-28T23:59:59Z",
        "/INBOX/;UID=20;EXPIRE=2005-10-28;URLAUTH=authuser",
        "/INBOX/;UID=20;URLAUTH=",
        "/INBOX/;UID=20;URLAUTH=stream",
        "/INBOX/;UID=20;URLAUTH=user+",
        "/INBOX/;UID=20;URLAUTH=user+a;x",
        "/INBOX/;UID=20;URLAUTH=authuser:INTERNAL",
        "/INBOX/;UID=20;URLAUTH=authuser:INTERNAL:0123",
        "/INBOX/;UID=20;URLAUTH=authuser::91354a473744909de610943775f92038",
        "/INBOX/;UID=20;URLAUTH=authuser:INTERNAL:91354a473744909de610943775f9203g",
        "/INBOX/;UID=20;URLAUTH=authuser:INTERNAL:91354a473744909de610943775f92038/;PARTIAL=1",
    ] {
        assert!(ImapUrl::parse(text).is_err(), "{text}");
    }
    assert_eq!(ImapUrl::parse(&format!("/{}", "a".repeat(URL_MAX))), Err(UrlError::TooLong));
}

fn name() -> impl Strategy<Value = String> {
    "[^\0]{1,12}".prop_filter("a name", |name| {
        !name.ends_with('/') && !name.starts_with('/') && !name.contains("//")
    })
}

prop_compose! {
    fn any_message()(
        named in proptest::option::of((name(), proptest::option::of(1_u32..))),
        uid in 1_u32..,
        section in proptest::option::of("[^\0]{1,8}[^\0/]"),
        partial in proptest::option::of((any::<u64>(), proptest::option::of(1_u64..))),
        access in proptest::option::of((0..4, "[^\0]{1,8}", any::<bool>())),
        expire in 0_i64..4_000_000_000,
    ) -> UrlMessage {
        let authorisation = access.map(|(kind, user, proven)| UrlAuth {
            access: match kind {
                0 => UrlAccess::Submit(user),
                1 => UrlAccess::User(user),
                2 => UrlAccess::AuthUser,
                _ => UrlAccess::Anonymous,
            },
            proof: proven.then(|| UrlProof {
                mechanism: "INTERNAL".into(),
                token: "0123456789abcdef".repeat(4),
                signed: 0,
            }),
        });
        UrlMessage {
            mailbox: named.map(|(name, uid_validity)| UrlMailbox { name, uid_validity }),
            uid,
            section,
            partial: partial.map(|(offset, length)| UrlPartial { offset, length }),
            expire: authorisation.as_ref().and_then(|_| Timestamp::from_second(expire).ok()),
            authorisation,
        }
    }
}

/// What was signed is a matter of the text, and not compared.
fn unsigned(mut url: ImapUrl) -> ImapUrl {
    if let UrlTarget::Message(message) = &mut url.target
        && let Some(given) = &mut message.authorisation
        && let Some(proof) = &mut given.proof
    {
        proof.signed = 0;
    }
    url
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        part in any_message(),
        place in proptest::option::of((proptest::option::of("[^\0]{1,10}"), any::<Option<u16>>())),
    ) {
        let server = place.map(|(user, port)| UrlServer {
            user,
            auth: None,
            host: "mail.example.org".into(),
            port,
        });
        let named = part.mailbox.is_some();
        let url = ImapUrl { server, target: UrlTarget::Message(Box::new(part)) };
        prop_assume!(named || url.server.is_none());
        let text = url.to_string();
        prop_assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{}", text);
        prop_assert_eq!(ImapUrl::parse(&text).map(unsigned), Ok(url), "{}", text);
    }

    #[test]
    fn no_text_does_harm(text in "(imap://|/|;)?[a-zA-Z0-9;:@/=%.+\\[\\]?]{0,60}") {
        if let Ok(url) = ImapUrl::parse(&text) {
            prop_assert_eq!(ImapUrl::parse(&url.to_string()).map(unsigned), Ok(unsigned(url)));
        }
    }
}
