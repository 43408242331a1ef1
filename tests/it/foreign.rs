//! BURL with URLs of other IMAP servers: another house, and servers that misbehave.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    connection::Connection,
    house::{House, Service},
    imap_server::{ImapServer, NAME, Peer},
    limits::exceeded,
    outbound::last_message,
};

const TAKEN: &str = "URLs of this IMAP server are taken";
const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n";
/// `\0submit\0secret`
const IDENTITY: &str = "AUTHENTICATE PLAIN AHN1Ym1pdABzZWNyZXQ=";
/// `alice@demo.example\0submit\0secret`
const FOR_ALICE: &str = "AUTHENTICATE PLAIN YWxpY2VAZGVtby5leGFtcGxlAHN1Ym1pdABzZWNyZXQ=";
const IN: &str = "TAG OK [CAPABILITY IMAP4rev1 URLAUTH BINARY] in\r\n";
const MESSAGE: &str = "From: alice@demo.example\r\nTo: bob@demo.example\r\nSubject: by reference\r\n\r\nSi vis pacem, para bellum.\r\n";
const TOKEN: &str = "internal:91354a473744909de610943775f92038";

/// A house that knows one other server.
fn house(name: &str, login: &str, at: &str, ca: &str, more: &[(&str, &str)]) -> House {
    let key = |key: &str| format!("burl.host.\"{name}\".{key}");
    let settings = [
        (key("identity"), login),
        (key("password"), "secret"),
        (key("address"), at),
        (key("ca"), ca),
    ];
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    House::with(&[&settings, more].concat())
}

fn before(server: &ImapServer, more: &[(&str, &str)]) -> House {
    let (at, ca) = (server.address.to_string(), server.ca());
    house(NAME, "submit", &at, ca.to_str().unwrap(), more)
}

/// Plays what a house asks at its start.
fn probe(peer: &mut Peer) -> std::io::Result<()> {
    peer.say(GREETING)?;
    peer.answer(IDENTITY, IN)?;
    peer.answer("LOGOUT", "* BYE\r\nTAG OK\r\n")
}

fn log_in(house: &House) -> Connection {
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(offers.contains("\n250-BURL imap\n"), "{offers}");
    // alice@demo.example, secret
    let login = smtp.command("AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
    assert!(login.starts_with("235"), "{login}");
    smtp
}

/// Sends what a URL names to bob; the answer to BURL.
fn burl(smtp: &mut Connection, arguments: &str) -> String {
    smtp.command("RSET").unwrap();
    smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
    smtp.command("RCPT TO:<bob@demo.example>").unwrap();
    smtp.command(&format!("BURL {arguments}")).unwrap()
}

#[test]
fn what_lies_in_another_house_is_sent_by_its_url() {
    let far = House::with(&[
        ("hostname", "mail.remote.example"),
        ("urlauth.submit_users", "submit@remote.example"),
    ]);
    let run = |arguments: &[&str]| assert!(far.command(arguments, "secret\n").status.success());
    run(&["domain", "add", "remote.example"]);
    run(&["user", "add", "carol@remote.example", "--password-stdin"]);
    run(&["user", "add", "submit@remote.example", "--password-stdin"]);
    let mut carol = far.log_in("carol@remote.example");
    let url = |carol: &mut Connection, rump: &str| {
        carol.send_line(&format!("u GENURLAUTH \"{rump}\" INTERNAL")).unwrap();
        let line = String::from_utf8(carol.read_line().unwrap()).unwrap();
        carol.read_line().unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    carol.send_line(&format!("a APPEND INBOX {{{}+}}\r\n{MESSAGE}", MESSAGE.len())).unwrap();
    while !carol.read_line().unwrap().starts_with(b"a OK") {}
    let base = "imap://carol@mail.remote.example/INBOX/;uid=1";
    let good = url(&mut carol, &format!("{base};urlauth=submit+alice"));
    let bobs = url(&mut carol, &format!("{base};urlauth=submit+bob"));
    let other = url(&mut carol, &format!("{base};urlauth=submit+alice@other.example"));

    let ca = far.data_dir().join("self-signed.crt");
    let at = far.address(Service::Imaps).to_string();
    let (name, login) = ("mail.remote.example", "submit@remote.example");
    let near = house(name, login, &at, ca.to_str().unwrap(), &[("limits.message_size_max", "400")]);
    near.wait_for_log(TAKEN);
    let mut smtp = log_in(&near);
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(offers.contains("\n250-BURL imap imap://mail.remote.example\n"), "{offers}");

    let taken = burl(&mut smtp, &format!("{good} LAST"));
    assert!(taken.starts_with("250 2.0.0 "), "{taken}");
    let arrived = last_message(&near, "bob@demo.example", 1);
    assert!(arrived.contains(MESSAGE.split_once("\r\n\r\n").unwrap().1), "{arrived}");
    let forged = format!("{}0", &good[..good.len() - 1]);
    let forged = if forged == good { format!("{}1", &good[..good.len() - 1]) } else { forged };
    for (arguments, answer) in [
        (format!("{forged} LAST"), "554 5.7.0 "),
        (format!("{bobs} LAST"), "554 5.7.0 "),
        (format!("{other} LAST"), "554 5.7.0 "),
        (format!("{base};urlauth=submit+alice LAST"), "554 5.7.0 "),
        // Whoever has that mailbox, alice has not.
        (format!("{base} LAST"), "554 5.7.0 "),
        // The other house lets nobody act for another.
        ("imap://mail.remote.example/INBOX/;uid=1 LAST".to_owned(), "554 5.7.14 "),
        (format!("{} LAST", good.replace("mail.", "mail2.")), "554 5.7.14 "),
        (format!("{} LAST", good.replace(".example/", ".example:25/")), "554 5.7.14 "),
        ("imap://mail.remote.example/INBOX LAST".to_owned(), "554 5.6.6 "),
    ] {
        let said = burl(&mut smtp, &arguments);
        assert!(said.starts_with(answer), "{arguments}: {said}");
    }
    let twice = burl(&mut smtp, &good);
    assert!(twice.starts_with("250 2.5.0 "), "{twice}");
    for _ in 0..2 {
        let said = smtp.command(&format!("BURL {good}")).unwrap();
        assert!(said.starts_with("250 2.5.0 "), "{said}");
    }
    let said = smtp.command(&format!("BURL {good} LAST")).unwrap();
    assert!(said.starts_with("554 5.3.4 "), "{said}");
}

#[test]
fn a_regular_url_is_fetched_as_the_user_who_submits_and_in_the_encoding_asked_for() {
    let server = ImapServer::over_tls(|peer| {
        if peer.number == 1 {
            return probe(peer);
        }
        peer.say(GREETING)?;
        peer.answer(FOR_ALICE, IN)?;
        peer.answer("EXAMINE \"Drafts\"", "* OK [UIDVALIDITY 9] x\r\nTAG OK x\r\n")?;
        let tag = peer.line()?;
        let tag = if tag.contains("UID FETCH 3 BODY.PEEK[]") {
            let (size, tag) = (MESSAGE.len(), tag.split(' ').next().unwrap());
            peer.say(format!(
                "* 1 FETCH (UID 3 BODY[] {{{size}}}\r\n{MESSAGE})\r\n{tag} OK x\r\n"
            ))?;
            peer.answer("LOGOUT", "* BYE\r\nTAG OK\r\n")?;
            return Ok(());
        } else {
            assert!(tag.contains("UID FETCH 3 BINARY.PEEK[2]"), "{tag}");
            tag.split(' ').next().unwrap().to_owned()
        };
        peer.say(format!("* 1 FETCH (UID 3 BINARY[2] ~{{3}}\r\n\0\u{1}\u{2})\r\n{tag} OK x\r\n"))
    });
    let house = before(&server, &[]);
    house.wait_for_log(TAKEN);
    let mut smtp = log_in(&house);
    for url in [
        "imap://imap.remote.example/Drafts/;uid=3",
        "imap://alice@imap.remote.example:143/Drafts;UIDVALIDITY=9/;uid=3",
    ] {
        let said = burl(&mut smtp, &format!("{url} LAST"));
        assert!(said.starts_with("250 2.0.0 "), "{said}");
    }
    let said = burl(&mut smtp, "imap://imap.remote.example/Drafts;UIDVALIDITY=8/;uid=3 LAST");
    assert!(said.starts_with("554 5.6.6 "), "{said}");
    let part = "imap://imap.remote.example/Drafts/;uid=3/;section=2";
    for (encoding, answer) in
        [("8bit", "554 5.6.3 "), ("base64", "250 2.5.0 "), ("binary", "250 2.5.0 ")]
    {
        let said = burl(&mut smtp, &format!("{encoding} {part}"));
        assert!(said.starts_with(answer), "{encoding}: {said}");
    }
    assert!(last_message(&house, "bob@demo.example", 2).contains("para bellum"));
}

#[test]
fn a_server_that_misbehaves_ends_one_transaction_and_no_more() {
    const CASES: &[(&str, &str)] = &[
        ("* URLFETCH \"x\" NIL\r\nTAG OK x\r\n", "554 5.7.0 "),
        ("TAG BAD what\r\n", "554 5.6.6 "),
        ("TAG NO [UNAVAILABLE] later\r\n", "451 4.4.1 "),
        ("* BYE I'm off\r\n", "451 4.4.1 "),
        ("* URLFETCH \"x\" {400}\r\nonly this", "451 4.4.1 "),
        ("* URLFETCH \"x\" {99999999999999999999}\r\n", "554 5.3.4 "),
        ("* URLFETCH \"x\" {3}\r\nabc\r\nTAG NO I was wrong\r\n", "554 5.6.6 "),
        ("other OK x\r\n", "451 4.4.1 "),
        ("\r\n\r\n", "451 4.4.1 "),
    ];
    static CASE: AtomicUsize = AtomicUsize::new(0);
    let server = ImapServer::over_tls(|peer| {
        if peer.number == 1 {
            return probe(peer);
        }
        peer.say(GREETING)?;
        peer.answer(IDENTITY, IN)?;
        peer.answer("URLFETCH", CASES[CASE.load(Ordering::Relaxed)].0)
    });
    let house = before(&server, &[]);
    house.wait_for_log(TAKEN);
    let mut smtp = log_in(&house);
    for (at, (script, answer)) in CASES.iter().enumerate() {
        CASE.store(at, Ordering::Relaxed);
        let url = format!("imap://{NAME}/INBOX/;uid=1;urlauth=submit+alice:{TOKEN}");
        let said = burl(&mut smtp, &format!("{url} LAST"));
        assert!(said.starts_with(answer), "{script}: {said}");
    }
    let mut imap = house.log_in("bob@demo.example");
    imap.send_line("a STATUS INBOX (MESSAGES)").unwrap();
    assert_eq!(imap.read_line().unwrap(), b"* STATUS INBOX (MESSAGES 0)");
}

#[test]
fn a_server_that_comes_back_is_waited_for_when_the_client_asks_for_it() {
    let server = ImapServer::over_tls(|peer| {
        match peer.number {
            1 => return probe(peer),
            2 | 4 => return peer.say("* BYE restarting\r\n"),
            3 => {
                peer.say(GREETING)?;
                return peer.answer(IDENTITY, "TAG NO [UNAVAILABLE] not yet\r\n");
            }
            _ => {}
        }
        peer.say(GREETING)?;
        peer.answer(IDENTITY, IN)?;
        let size = MESSAGE.len();
        let whole = format!("* URLFETCH \"x\" {{{size}}}\r\n{MESSAGE}\r\nTAG OK x\r\n");
        // What had come before the connection broke is not kept.
        let answer = if peer.number == 5 { &whole[..60] } else { &whole };
        peer.answer("URLFETCH", answer)
    });
    let house = before(&server, &[]);
    house.wait_for_log(TAKEN);
    let mut smtp = log_in(&house);
    let url = format!("imap://{NAME}/INBOX/;uid=1;urlauth=anonymous:{TOKEN}");
    let said = burl(&mut smtp, &format!("{url} LAST failnow"));
    assert!(said.starts_with("451 4.4.1 "), "{said}");
    let said = burl(&mut smtp, &format!("{url} LAST retry"));
    assert!(said.starts_with("250 2.0.0 "), "{said}");
    let arrived = last_message(&house, "bob@demo.example", 1);
    assert_eq!(arrived.matches("para bellum").count(), 1, "{arrived}");
}

#[test]
fn nobody_is_waited_for_longer_than_the_limits_say() {
    let silent = ImapServer::over_tls(|peer| {
        if peer.number == 1 {
            return probe(peer);
        }
        peer.line().map(drop)
    });
    let house = before(&silent, &[("limits.burl_host_time", "100 ms")]);
    house.wait_for_log(TAKEN);
    let mut smtp = log_in(&house);
    let url = format!("imap://{NAME}/INBOX/;uid=1;urlauth=anonymous:{TOKEN}");
    let said = burl(&mut smtp, &format!("{url} LAST"));
    assert!(said.starts_with("451 4.4.1 "), "{said}");
    assert_eq!(exceeded(&house, "burl_host_time"), 1);
    assert_eq!(exceeded(&house, "burl_retry_time"), 0);

    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ca = silent.ca();
    let more = [("limits.burl_retry_time", "500 ms")];
    let house = self::house(NAME, "submit", &closed, ca.to_str().unwrap(), &more);
    house.wait_for_log("cannot be reached now");
    let mut smtp = log_in(&house);
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(offers.contains("\n250-BURL imap\n"), "not announced: {offers}");
    let said = burl(&mut smtp, &format!("{url} LAST retry"));
    assert!(said.starts_with("451 4.4.1 "), "{said}");
    assert_eq!(exceeded(&house, "burl_retry_time"), 1);
}

#[test]
fn a_server_that_can_not_do_it_all_is_not_announced() {
    for (greeting, login) in [
        (GREETING, "TAG OK [CAPABILITY IMAP4rev1] in\r\n"),
        (GREETING, "TAG NO [AUTHENTICATIONFAILED] who?\r\n"),
        ("* OK [CAPABILITY IMAP4rev1 URLAUTH] ready\r\n", "TAG OK in\r\n"),
    ] {
        let server = ImapServer::over_tls(move |peer| {
            peer.say(greeting)?;
            peer.answer("", login)
        });
        let house = before(&server, &[]);
        house.wait_for_log("URLs of this IMAP server cannot be taken");
        let mut smtp = log_in(&house);
        let offers = smtp.command("EHLO phone.example").unwrap();
        assert!(offers.contains("\n250-BURL imap\n"), "{greeting}, {login}: {offers}");
    }
    // A certificate of somebody else's.
    let server = ImapServer::over_tls(probe);
    let other = ImapServer::over_tls(probe);
    let (at, ca) = (server.address.to_string(), other.ca());
    let house = house(NAME, "submit", &at, ca.to_str().unwrap(), &[]);
    house.wait_for_log("no TLS: ");
    assert!(!house.log().contains(TAKEN));
}

#[test]
fn starttls_comes_before_anything_else() {
    let server = ImapServer::start(|peer| {
        peer.say("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] ready\r\n")?;
        peer.answer("STARTTLS", "TAG OK go\r\n* OK injected\r\n")?;
        peer.start_tls()?;
        peer.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\nTAG OK x\r\n")?;
        peer.answer(IDENTITY, IN)?;
        peer.answer("LOGOUT", "* BYE\r\nTAG OK\r\n")
    });
    let key = format!("burl.host.\"{NAME}\".tls");
    let house = before(&server, &[(key.as_str(), "starttls")]);
    house.wait_for_log(TAKEN);
}
