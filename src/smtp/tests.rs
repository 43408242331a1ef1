//! Conversations with a whole house behind the door, over loopback.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{Door, Limits, Means, Role, foreign::Foreign};
use crate::{
    auth::{Passwords, Secret, ThrottleLimits, login::Logins},
    delivery::{self, Delivery},
    events::{self, Bus, Origin},
    ids::{AccountId, Uid},
    mail::{
        self, Mail,
        urls::{Here, Urls},
    },
    metrics::Metrics,
    net::{
        Connection, ConnectionLimits, Connections, Memory, MemoryLimits, Resolver, Stream,
        dns::Table,
    },
    sessions::Sessions,
    store::{NewAccount, Options, Store},
    submission::{self, Submission},
    wire::address::Domain,
};

/// A house with alice@here.example, and a door.
struct House {
    door: Arc<Door>,
    store: Store,
    stop: CancellationToken,
    _folder: TempDir,
}

/// A client that says a line and hears a reply.
struct Client {
    stream: BufReader<TcpStream>,
}

impl House {
    async fn new(role: Role, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let hostname = Domain::parse("mail.here.example").unwrap();
        let mail_limits = mail::Limits { message_size: limits.message_size, ..Default::default() };
        let mail = Mail::new(store.clone(), mail_limits);
        let passwords = Arc::new(Passwords::new(2).unwrap());
        let password = passwords.hash(Secret::new("secret".into())).await.unwrap();
        store
            .write(Origin::new(events::Door::House, 0), |tx| {
                tx.add_domain("here.example")?;
                let id = tx.add_account(&NewAccount {
                    address: "alice@here.example".into(),
                    address_key: "alice@here.example".into(),
                    domain: "here.example".into(),
                    full_name: String::new(),
                    owner: true,
                    password: Some(password),
                    scram_salt: vec![0; 16],
                    scram_iterations: 4096,
                    scram: None,
                })?;
                Mail::add_default_mailboxes(tx, id)
            })
            .await
            .unwrap()
            .into_inner();
        let metrics = Metrics::new();
        let settings = delivery::Settings {
            hostname: hostname.clone(),
            received_max: 100,
            quota_refused_after: Duration::from_hours(7 * 24),
            queue_max: 100,
            metrics: Arc::clone(&metrics),
        };
        let urls = Urls::new(&mail, Here::default());
        let delivery = Delivery::new(mail, settings);
        let settings = submission::Settings {
            hostname: hostname.clone(),
            messages_per_hour: 300,
            queue_per_user_max: 100,
            queue_max: 100,
            recipients_max: 100,
            retry_time: Duration::from_hours(4),
        };
        let submission = Submission::new(delivery.clone(), settings);
        let throttle = ThrottleLimits::default();
        let logins = Logins::open(&store, passwords, throttle, &metrics, 0).await.unwrap();
        let stop = CancellationToken::new();
        let means = Means {
            hostname,
            source_url: None,
            delivery,
            submission,
            urls,
            foreign: Foreign::new(
                Vec::new(),
                Arc::new(Resolver::fixed(Table::default())),
                Duration::ZERO,
                &metrics,
            ),
            logins: Arc::new(logins),
            tls: None,
            connections: Connections::new(ConnectionLimits::default(), &metrics),
            sessions: Sessions::new(stop.clone()),
            memory: Memory::new(MemoryLimits::default(), &metrics),
            metrics,
        };
        Self { door: Door::new(role, limits, means), store, stop, _folder: folder }
    }

    async fn mx() -> Self {
        Self::new(Role::Mx, Limits::default()).await
    }

    /// Connects, and says what is to be said before the greeting.
    async fn connect_saying(&self, early: &str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(early.as_bytes()).await.unwrap();
        let (tcp, peer) = listener.accept().await.unwrap();
        if !early.is_empty() {
            tcp.readable().await.unwrap();
        }
        let permit = self.door.means.connections.open(peer.ip(), tokio::time::Instant::now());
        let stream = Stream::new(tcp).unwrap();
        let connection = Connection { stream, permit: Arc::new(permit.unwrap()) };
        tokio::spawn(Arc::clone(&self.door).serve(connection));
        Client { stream: BufReader::new(client) }
    }

    async fn connect(&self) -> Client {
        let mut client = self.connect_saying("").await;
        client.hears("220 mail.here.example").await;
        client
    }

    /// How many messages alice has, and the octets of the last.
    async fn inbox(&self) -> (u64, String) {
        self.store
            .read(|r| {
                let key = mail::name::key("INBOX");
                let inbox = r.mailbox(AccountId(1), &key)?.unwrap();
                let entries = r.messages(inbox.id, Uid::MIN, 100)?;
                let octets = match entries.last() {
                    Some(last) => r.octets(last.content, 0..u64::MAX)?,
                    None => Vec::new(),
                };
                let text = String::from_utf8_lossy(&octets).into_owned();
                Ok::<_, crate::store::Error>((entries.len() as u64, text))
            })
            .await
            .unwrap()
    }
}

impl Client {
    async fn sends(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    /// A whole reply must start so; gives it.
    async fn hears(&mut self, start: &str) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            let more = line.as_bytes().get(3) == Some(&b'-');
            reply.push_str(&line);
            if !more {
                break;
            }
        }
        assert!(reply.starts_with(start), "wanted {start:?}, heard {reply:?}");
        reply
    }

    async fn says(&mut self, line: &str, start: &str) -> String {
        self.sends(format!("{line}\r\n").as_bytes()).await;
        self.hears(start).await
    }

    async fn begins(&mut self) {
        self.says("EHLO relay.example", "250-mail.here.example").await;
        self.says("MAIL FROM:<bob@there.example>", "250 2.1.0").await;
        self.says("RCPT TO:<alice@here.example>", "250 2.1.5").await;
    }

    async fn logs_in(&mut self) {
        let right = BASE64_STANDARD.encode("\0alice@here.example\0secret");
        self.says(&format!("AUTH PLAIN {right}"), "235 2.7.0").await;
    }

    async fn hears_the_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

#[tokio::test]
async fn a_message_is_in_the_inbox_when_its_250_is_said() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.begins().await;
    client.says("DATA", "354").await;
    client.says("Subject: x\r\n\r\n..dot\r\n.", "250 2.0.0").await;
    let (messages, octets) = house.inbox().await;
    assert_eq!(messages, 1);
    assert!(octets.starts_with("Return-Path: <bob@there.example>\r\nDelivered-To: "));
    assert!(octets.contains("\r\nReceived: from relay.example"));
    assert!(octets.ends_with("\r\nSubject: x\r\n\r\n.dot\r\n"));
    client.says("QUIT", "221").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn no_server_may_relay_by_us_whatever_trick_it_knows() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.begins().await;
    for address in [
        "x@elsewhere.example",
        "@here.example:x@elsewhere.example",
        "x@[127.0.0.1]",
        "x@[192.0.2.1]",
    ] {
        client.says(&format!("RCPT TO:<{address}>"), "550 5.7.1").await;
    }
    for address in ["x%elsewhere.example@here.example", "elsewhere.example!x@here.example"] {
        client.says(&format!("RCPT TO:<{address}>"), "550 5.1.1").await;
    }
    client.says("RCPT TO:<\"x@elsewhere.example\"@here.example>", "550 5.1.1").await;
    client.says("RCPT TO:<Postmaster>", "250 2.1.5").await;
}

#[tokio::test]
async fn nothing_but_crlf_dot_crlf_ends_a_message() {
    let house = House::mx().await;
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n\0.\r\n", "\r\n.\r", "\r.\r\n"] {
        let mut client = house.connect().await;
        client.begins().await;
        client.says("DATA", "354").await;
        let smuggled = "MAIL FROM:<admin@here.example>\r\nRCPT TO:<alice@here.example>\r\nDATA\r\n";
        client.sends(format!("Subject: x\r\n\r\nx{end}{smuggled}").as_bytes()).await;
        client.says("evil\r\n.", "550 5.5.2").await;
        client.hears_the_end().await;
    }
    assert_eq!(house.inbox().await.0, 0);
}

#[tokio::test]
async fn a_lone_lf_in_a_command_ends_the_conversation() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.sends(b"EHLO x\nMAIL FROM:<a@b>\r\n").await;
    client.hears("550 5.5.2").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.says("EHLO x", "250").await;
    client
        .sends(
            b"MAIL FROM:<>\r\nRCPT TO:<nobody@here.example>\r\nRCPT TO:<alice@here.example>\r\n\
              DATA\r\n",
        )
        .await;
    for start in ["250 2.1.0", "550 5.1.1", "250 2.1.5", "354"] {
        client.hears(start).await;
    }
    client.sends(b"A: b\r\n\r\n.\r\nRSET\r\nNOOP\r\n").await;
    for start in ["250 2.0.0 taken", "250 2.0.0", "250 2.0.0"] {
        client.hears(start).await;
    }
}

#[tokio::test]
async fn who_does_not_wait_for_354_is_sent_away() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.begins().await;
    client.sends(b"DATA\r\nSubject: x\r\n\r\n.\r\n").await;
    client.hears("554 5.5.0").await;
    client.hears_the_end().await;
    assert_eq!(house.inbox().await.0, 0);
}

#[tokio::test]
async fn who_speaks_before_the_greeting_is_sent_away() {
    let house = House::mx().await;
    let mut client = house.connect_saying("EHLO x\r\n").await;
    client.hears("554 5.5.0").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn chunks_make_one_message_whatever_octets_they_hold() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.begins().await;
    client.sends(b"BDAT 12\r\nSubject: x\r\nBDAT 9 LAST\r\n\r\n.\r\nRSET").await;
    client.hears("250 2.0.0 12 octets").await;
    client.hears("250 2.0.0 taken").await;
    assert!(house.inbox().await.1.ends_with("\r\nSubject: x\r\n\r\n.\r\nRSET"));
    client.sends(b"BDAT 6\r\nNOOP\r\n").await;
    client.hears("503 5.5.1").await;
    client.says("NOOP", "250").await;
    client.says("BDAT x", "501").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_message_too_big_is_read_to_its_end_and_refused() {
    let limits = Limits { message_size: 1000, ..Limits::default() };
    let house = House::new(Role::Mx, limits).await;
    let mut client = house.connect().await;
    client.begins().await;
    client.says("DATA", "354").await;
    let line = format!("{}\r\n", "x".repeat(98));
    client.sends(line.repeat(11).as_bytes()).await;
    client.says(".", "552 5.3.4").await;
    client.says("MAIL FROM:<a@b> SIZE=1001", "552 5.3.4").await;
    client.says("MAIL FROM:<a@b> SIZE=1000", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.sends(format!("BDAT 1100\r\n{}", line.repeat(11)).as_bytes()).await;
    client.hears("552 5.3.4").await;
    client.says("BDAT 0 LAST", "552 5.3.4").await;
    client.says("NOOP", "250").await;
    assert_eq!(house.inbox().await.0, 0);
}

#[tokio::test]
async fn a_line_too_long_is_refused_with_its_message() {
    let limits = Limits { text_line: 100, ..Limits::default() };
    let house = House::new(Role::Mx, limits).await;
    let mut client = house.connect().await;
    for (octets, reply) in [(99, "250"), (100, "250"), (101, "552 5.3.4")] {
        client.begins().await;
        client.says("DATA", "354").await;
        client.says(&format!("{}\r\n.", "x".repeat(octets)), reply).await;
        client.begins().await;
        let line = format!("{}\r\n", "x".repeat(octets));
        client.sends(format!("BDAT {} LAST\r\n{line}", line.len()).as_bytes()).await;
        client.hears(reply).await;
    }
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let house = House::new(Role::Lmtp, Limits::default()).await;
    let mut client = house.connect().await;
    client.says("EHLO x", "500 5.5.1").await;
    client.says("LHLO x", "250-mail.here.example").await;
    client.says("MAIL FROM:<>", "250").await;
    client.says("DATA", "503 5.5.1").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("RCPT TO:<nobody@here.example>", "550 5.1.1").await;
    client.says("RCPT TO:<alice+x@here.example>", "250").await;
    client.says("DATA", "354").await;
    client.says("A: b\r\n\r\n.", "250 2.0.0").await;
    client.hears("250 2.0.0").await;
    client.says("MAIL FROM:<>", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("DATA", "354").await;
    client.says("A: b\r\n\r\nx\ny\r\n.", "550 5.5.2").await;
    client.hears("550 5.5.2").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn users_log_in_before_they_send() {
    let house = House::new(Role::Submission, Limits::default()).await;
    let mut client = house.connect().await;
    let keywords = client.says("EHLO x", "250-").await;
    assert!(keywords.contains("AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n"));
    client.says("MAIL FROM:<alice@here.example>", "530 5.7.0").await;
    client.says("AUTH XYZZY", "504 5.5.4").await;
    client.says("AUTH PLAIN !", "501 5.5.2").await;
    client.says("AUTH LOGIN", "334").await;
    client.says("*", "501 5.7.0").await;
    let wrong = BASE64_STANDARD.encode("\0alice@here.example\0guess");
    client.says(&format!("AUTH PLAIN {wrong}"), "535 5.7.8").await;
    client.logs_in().await;
    let keywords = client.says("EHLO x", "250-").await;
    assert!(!keywords.contains("AUTH"));
    client.says("AUTH PLAIN", "503 5.5.1").await;
}

#[tokio::test]
async fn users_send_in_their_own_name_to_whom_they_like() {
    let house = House::new(Role::Submission, Limits::default()).await;
    let mut client = house.connect().await;
    client.says("EHLO x", "250-").await;
    client.logs_in().await;
    client.says("MAIL FROM:<bob@here.example>", "550 5.7.1").await;
    client.says("MAIL FROM:<alice@here.example> AUTH=<> RET=HDRS ENVID=x", "250").await;
    client.says("RCPT TO:<nobody@here.example>", "550 5.1.1").await;
    client.says("RCPT TO:<bob@there.example> NOTIFY=NEVER", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("DATA", "354").await;
    client.says("From: alice@here.example\r\nBcc: x@y\r\n\r\nHi\r\n.", "250 2.0.0").await;
    let (messages, octets) = house.inbox().await;
    assert_eq!(messages, 1);
    assert!(octets.contains(" with ESMTPA id "));
    assert!(!octets.contains("Bcc") && octets.contains("\r\nMessage-ID: <"));
    client.says("MAIL FROM:<alice@here.example>", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("DATA", "354").await;
    client.says("From: bob@here.example\r\n\r\nHi\r\n.", "550 5.7.1").await;
}

#[tokio::test]
async fn a_batch_may_follow_an_initial_response_but_not_a_challenge() {
    let house = House::new(Role::Submission, Limits::default()).await;
    let mut client = house.connect().await;
    client.says("EHLO x", "250-").await;
    let right = BASE64_STANDARD.encode("\0alice@here.example\0secret");
    let batch = format!("AUTH PLAIN {right}\r\nMAIL FROM:<alice@here.example>\r\nNOOP\r\n");
    client.sends(batch.as_bytes()).await;
    for start in ["235 2.7.0", "250 2.1.0", "250 2.0.0"] {
        client.hears(start).await;
    }
    let mut client = house.connect().await;
    client.says("EHLO x", "250-").await;
    client.sends(format!("AUTH PLAIN\r\n{right}\r\n").as_bytes()).await;
    client.hears("554 5.5.0").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn commands_out_of_order_are_refused() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.says("MAIL FROM:<a@b>", "503 5.5.1").await;
    client.says("EHLO x", "250").await;
    client.says("RCPT TO:<a@b>", "503 5.5.1").await;
    client.says("DATA", "503 5.5.1").await;
    client.says("MAIL FROM:<a@b>", "250").await;
    client.says("MAIL FROM:<a@b>", "503 5.5.1").await;
    client.says("DATA", "554 5.5.1").await;
    client.says("RSET", "250").await;
    client.says("MAIL FROM:<a@b> AUTH=<>", "555 5.5.4").await;
    client.says("MAIL FROM:<a@b> BODY=BINARYMIME", "250").await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("DATA", "503 5.5.1").await;
    client.says("VRFY alice", "252").await;
    client.says("EXPN list", "502").await;
    client.says("STARTTLS", "503 5.5.1").await;
    client.says("AUTH PLAIN", "502 5.5.1").await;
}

#[tokio::test]
async fn three_unknown_commands_are_forgiven_and_the_fourth_is_not() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    for _ in 0..3 {
        client.says("XYZZY", "500 5.5.1").await;
    }
    client.says("XYZZY", "421 4.7.0").await;
    client.hears_the_end().await;
    let mut browser = house.connect().await;
    browser.says("GET / HTTP/1.1", "421").await;
    browser.hears_the_end().await;
}

#[tokio::test]
async fn international_addresses_need_smtputf8() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    client.says("EHLO x", "250").await;
    client.says("MAIL FROM:<дядя@почта.рф>", "553 5.6.7").await;
    client.says("MAIL FROM:<дядя@почта.рф> SMTPUTF8", "250").await;
    client.says("RSET", "250").await;
    client.says("MAIL FROM:<a@b>", "250").await;
    client.says("RCPT TO:<ä@here.example>", "553 5.6.7").await;
}

#[tokio::test]
async fn too_many_recipients_are_for_another_mail() {
    let limits = Limits { recipients: 2, ..Limits::default() };
    let house = House::new(Role::Mx, limits).await;
    let mut client = house.connect().await;
    client.begins().await;
    client.says("RCPT TO:<alice@here.example>", "250").await;
    client.says("RCPT TO:<alice@here.example>", "452 4.5.3").await;
}

#[tokio::test]
async fn guessing_addresses_ends_the_conversation() {
    let limits = Limits { unknown_recipients: 3, ..Limits::default() };
    let house = House::new(Role::Mx, limits).await;
    let mut client = house.connect().await;
    client.begins().await;
    client.says("RCPT TO:<a@here.example>", "550 5.1.1").await;
    client.says("RCPT TO:<b@here.example>", "550 5.1.1").await;
    client.says("RCPT TO:<c@here.example>", "421 4.7.0").await;
    client.hears_the_end().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_keeps_nothing_half() {
    let house = House::mx().await;
    let mut client = house.connect().await;
    let mut other = house.connect().await;
    client.begins().await;
    client.says("DATA", "354").await;
    client.sends(b"A: b\r\n\r\nhalf").await;
    house.stop.cancel();
    client.hears("421 4.3.2").await;
    client.hears_the_end().await;
    other.hears("421 4.3.2").await;
    assert_eq!(house.inbox().await.0, 0);
}
