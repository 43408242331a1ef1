//! Against servers that say what is written for them.

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;
use crate::{
    metrics::Metrics,
    net::{MemoryLimits, tls::install_provider},
    wire::url::{ImapUrl, UrlMessage},
};

const OK: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n";
const IN: (&str, &str) =
    ("AUTHENTICATE PLAIN AGEAYg==", "TAG OK [CAPABILITY IMAP4rev1 URLAUTH BINARY] in\r\n");

fn ways(secured: Secured, command: Duration) -> Ways {
    install_provider();
    let times = Times { connect: Duration::from_secs(20), command, rate: Rate::default() };
    let memory = Memory::new(MemoryLimits::default(), &Metrics::new());
    Ways { secured, tls: ClientTls::verified(None).unwrap(), memory, times }
}

/// A server that greets, then answers each line that holds these words; `TAG` is the line's.
async fn server(
    greeting: &'static str,
    script: &'static [(&'static str, &'static str)],
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(greeting.as_bytes()).await.unwrap();
        for (words, answer) in script {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            assert!(line.contains(words), "{words:?} is not in {line:?}");
            let tag = line.split(' ').next().unwrap();
            // However it is cut, the client sees the same.
            for piece in answer.replace("TAG", tag).as_bytes().chunks(7) {
                stream.write_all(piece).await.unwrap();
            }
        }
    });
    (address, serving)
}

async fn logged_in(
    script: &'static [(&'static str, &'static str)],
) -> (ImapClient, JoinHandle<()>) {
    let (address, serving) = server(OK, script).await;
    let ways = ways(Secured::Plain, Duration::from_secs(20));
    let mut client = ImapClient::connect(&ways, "there", address).await.unwrap();
    let (name, password) = ("a".to_owned(), Zeroizing::new("b".to_owned()));
    client.log_in(&Login { acts_as: None, name, password }).await.unwrap();
    (client, serving)
}

fn message(url: &str) -> UrlMessage {
    ImapUrl::parse(url).unwrap().message().unwrap().clone()
}

async fn all(client: &mut ImapClient, mut body: Body) -> Result<String, ImapError> {
    let mut all = Vec::new();
    while let Some(piece) = client.piece(&mut body).await? {
        all.extend(piece);
    }
    Ok(String::from_utf8(all).unwrap())
}

#[tokio::test]
async fn a_section_is_found_amid_what_else_is_said() {
    let (mut client, serving) = logged_in(&[
        IN,
        (
            "EXAMINE \"a&AOQ-\"",
            "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [X] {5}\r\nTAG OK [READ-ONLY] open\r\n",
        ),
        (
            "UID FETCH 5 BODY.PEEK[1.MIME]<2.4294967295>",
            "* 4 EXISTS\r\n* 1 FETCH (FLAGS ())\r\n* 2 FETCH (ENVELOPE ({3}\r\na)\n) UID 5 \
             BODY[1.MIME]<2> {5}\r\n12\r\n3 FLAGS (\\Seen))\r\n* 5 EXISTS\r\nTAG OK done\r\n",
        ),
        ("EXAMINE", "* OK [UIDVALIDITY 7] x\r\nTAG OK [READ-ONLY] open\r\n"),
        ("UID FETCH 5 BODY.PEEK[]", "* 2 FETCH (UID 5 BODY[] \"q\")\r\nTAG OK done\r\n"),
        ("EXAMINE", "* OK [UIDVALIDITY 7] x\r\nTAG OK [READ-ONLY] open\r\n"),
        ("UID FETCH 6 BINARY.PEEK[2]", "TAG OK nothing\r\n"),
    ])
    .await;
    let url = "imap://h/a%C3%A4;UIDVALIDITY=7/;UID=5/;SECTION=1.MIME/;PARTIAL=2";
    let body = client.fetch(&message(url), Form::Stored).await.unwrap().unwrap();
    assert_eq!(body.size, 5);
    assert_eq!(all(&mut client, body).await.unwrap(), "12\r\n3");
    let body = client.fetch(&message("imap://h/a/;UID=5"), Form::Stored).await.unwrap().unwrap();
    assert_eq!(all(&mut client, body).await.unwrap(), "q");
    let none = client.fetch(&message("imap://h/a/;UID=6/;SECTION=2"), Form::Decoded).await;
    assert!(none.unwrap().is_none());
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (mut client, serving) = logged_in(&[
        IN,
        ("EXAMINE", "TAG NO [NONEXISTENT] no such mailbox\r\n"),
        ("EXAMINE", "* OK [UIDVALIDITY 8] x\r\nTAG OK open\r\n"),
        ("URLFETCH \"imap://h/a/;uid=1\"", "* URLFETCH \"imap://h/a/;uid=1\" NIL\r\nTAG OK x\r\n"),
        ("URLFETCH", "TAG OK x\r\n"),
        ("URLFETCH", "TAG NO [UNAVAILABLE] later\r\n"),
    ])
    .await;
    let gone = client.fetch(&message("imap://h/a/;UID=5"), Form::Stored).await.unwrap();
    assert!(gone.is_none());
    let other = message("imap://h/a;UIDVALIDITY=7/;UID=5");
    assert!(client.fetch(&other, Form::Stored).await.unwrap().is_none());
    // A section that would end itself is not asked for.
    let section = Some("1]\r\nm3 LOGOUT".to_owned());
    let sly = UrlMessage { section, ..message("imap://h/a/;UID=5") };
    assert!(client.fetch(&sly, Form::Stored).await.unwrap().is_none());
    for _ in 0..2 {
        let none = client.url_fetch("imap://h/a/;uid=1", Form::Stored).await.unwrap();
        assert!(none.is_none());
    }
    assert_eq!(
        client.url_fetch("x", Form::Decoded).await.err(),
        Some(ImapError::Lacks("URLAUTH=BINARY"))
    );
    let later = client.url_fetch("x", Form::Stored).await.err();
    assert!(matches!(later, Some(ImapError::Away(_))), "{later:?}");
    serving.await.unwrap();
}

#[tokio::test]
async fn octets_that_break_off_or_are_taken_back_are_no_whole() {
    for (answer, expected) in [
        ("* URLFETCH \"x\" {9}\r\n123", ImapError::Away("the peer left in the middle".into())),
        ("* URLFETCH \"x\" {3}\r\n123", ImapError::Away("it left".into())),
        (
            "* URLFETCH \"x\" {3}\r\n123\r\nTAG NO [X] no\r\n",
            ImapError::Refused("m2 NO [X] no".into()),
        ),
        ("* URLFETCH \"x\" {3}\r\n123\r\nother OK\r\n", ImapError::Nonsense),
    ] {
        let script = Box::leak(Box::new([IN, ("URLFETCH", answer)]));
        let (mut client, serving) = logged_in(script).await;
        let body = client.url_fetch("x", Form::Stored).await.unwrap().unwrap();
        serving.await.unwrap();
        assert_eq!(all(&mut client, body).await, Err(expected));
    }
}

#[tokio::test]
async fn a_server_that_asks_for_more_first_gets_it() {
    let (address, serving) = server(
        "* OK ready\r\n",
        &[
            ("CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK x\r\n"),
            ("AUTHENTICATE PLAIN\r\n", "+ \r\n"),
            ("dQBhAGI=", "m2 OK in\r\n"),
            ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK x\r\n"),
        ],
    )
    .await;
    let ways = ways(Secured::Plain, Duration::from_secs(20));
    let mut client = ImapClient::connect(&ways, "there", address).await.unwrap();
    let (acts_as, name) = (Some("u".to_owned()), "a".to_owned());
    let password = Zeroizing::new("b".to_owned());
    client.log_in(&Login { acts_as, name, password }).await.unwrap();
    assert!(!client.offers("URLAUTH").await.unwrap());
    serving.await.unwrap();
}

#[tokio::test]
async fn who_speaks_no_imap_or_is_on_leave_is_told_apart() {
    let long: &'static str = Box::leak(format!("* OK {}\r\n", "x".repeat(ANSWER_MAX)).into());
    for (greeting, expected) in [
        ("220 smtp.example ESMTP\r\n", ImapError::Nonsense),
        ("* PREAUTH welcome\r\n", ImapError::Nonsense),
        (long, ImapError::Nonsense),
        ("* BYE closed\r\n", ImapError::Away("* BYE closed".into())),
        ("", ImapError::Away("it left".into())),
    ] {
        let (address, _) = server(greeting, &[]).await;
        let ways = ways(Secured::Plain, Duration::from_secs(20));
        let error = ImapClient::connect(&ways, "there", address).await.err();
        assert_eq!(error, Some(expected), "{greeting:.40}");
    }
}

#[tokio::test]
async fn starttls_that_is_not_offered_is_no_reason_to_go_on_without() {
    let (address, _) = server(OK, &[("STARTTLS", "TAG BAD what\r\n")]).await;
    let ways = ways(Secured::StartTls, Duration::from_secs(20));
    let error = ImapClient::connect(&ways, "there", address).await.err();
    assert_eq!(error, Some(ImapError::Lacks("STARTTLS")));
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ways = ways(Secured::Plain, Duration::from_millis(20));
    let error = ImapClient::connect(&ways, "there", address).await.err();
    assert_eq!(error, Some(ImapError::TooSlow));
}
