//! The proxy before other servers: before a house, and before servers that say what is written for them.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    connection::Connection,
    house::{House, PROGRAM, Service},
    imap_server::{ImapServer, NAME, Peer},
    outbound::last_message,
};

/// A login that begins with `n,,n=alice@demo.example,r=x`.
const SCRAM: &str = "a AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZUBkZW1vLmV4YW1wbGUscj14";
/// The longest that a proxy may take to open.
const PATIENCE: Duration = Duration::from_secs(30);
const GREETING: &str = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n";
const MESSAGE: &str =
    "From: alice@demo.example\r\nTo: bob@demo.example\r\nSubject: by proxy\r\n\r\nhello\r\n";

/// A running proxy.
struct Proxy {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Proxy {
    /// Before these two servers, both in the clear.
    fn before(imap: SocketAddr, smtp: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let (imap, smtp) = (imap.to_string(), smtp.to_string());
        let usual = [
            ("proxy.imap", imap.as_str()),
            ("proxy.smtp", smtp.as_str()),
            ("proxy.listen_tls", "none"),
            ("proxy.imap_tls", "none"),
            ("proxy.smtp_tls", "none"),
        ];
        Self::with(&[&usual, settings].concat())
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("mailade-proxy-").tempdir().unwrap();
        let config = dir.path().join("proxy.toml");
        // There is no data_dir, and none could be made.
        let text = "hostname = \"mail.demo.example\"\ndata_dir = \"/proc/none\"\n\
            [proxy]\nlisten = [\"127.0.0.1:0\"]\n[log]\nlevel = \"trace\"\n";
        fs::write(&config, text).unwrap();
        let ready = dir.path().join("ready");
        let mut program = Command::new(PROGRAM);
        program.env("RUST_BACKTRACE", "0").arg("--config").arg(&config);
        for (key, value) in settings {
            program.arg("--set").arg(format!("{key}={value}"));
        }
        let child = program
            .args(["proxy", "--announce"])
            .stdin(Stdio::null())
            .stdout(File::create(&ready).unwrap())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut proxy = Self { child, dir, address: ([127, 0, 0, 1], 0).into() };
        proxy.hear_address(&ready);
        proxy
    }

    fn hear_address(&mut self, ready: &Path) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(ready).unwrap_or_default();
            if let Some(json) = text.strip_suffix('\n').and_then(|text| text.strip_prefix("ready "))
            {
                let services: BTreeMap<String, Vec<SocketAddr>> =
                    serde_json::from_str(json).unwrap();
                self.address = services["proxy"][0];
                return;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A connection past its greeting.
    fn greeted(&self) -> Connection {
        let mut imap = Connection::open(self.address);
        let greeting = line(&mut imap);
        assert!(greeting.starts_with("* OK "), "{greeting}");
        imap
    }

    fn log_in(&self, user: &str) -> Connection {
        let mut imap = self.greeted();
        let said = ask(&mut imap, &format!("login LOGIN {user} secret"));
        assert!(said.contains("login OK "), "{said}");
        imap
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn line(imap: &mut Connection) -> String {
    String::from_utf8(imap.read_line().unwrap()).unwrap()
}

/// All that is said up to the tagged answer.
fn ask(imap: &mut Connection, command: &str) -> String {
    imap.send_line(command).unwrap();
    answer(imap, command.split(' ').next().unwrap())
}

fn answer(imap: &mut Connection, tag: &str) -> String {
    let mut said = String::new();
    loop {
        let line = line(imap);
        said += &line;
        said += "\r\n";
        if line.starts_with(&format!("{tag} ")) {
            return said;
        }
    }
}

/// Sends a message over the connection; the tagged answer.
fn submit(imap: &mut Connection, message: &str) -> String {
    let command = format!("s SUBMIT {{{}+}}\r\n{message}\r\n", message.len());
    imap.send(command.as_bytes()).unwrap();
    answer(imap, "s")
}

/// Before a house, which is both the IMAP server and the submission server.
fn before_house(house: &House, settings: &[(&str, &str)]) -> Proxy {
    Proxy::before(house.address(Service::Imap), house.address(Service::Submission), settings)
}

/// An address at which nobody listens any more.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn what_both_sides_say_passes_octet_for_octet() {
    let server = ImapServer::start(|peer| {
        peer.say("* OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE AUTH=GSSAPI] ready {5}\r\n")?;
        peer.answer("a1 LOGIN alice {6}", "+ go\r\n")?;
        assert_eq!(peer.octets(8)?, b"secret\r\n");
        peer.say("a1 OK [CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE] in\r\n")?;
        peer.answer("a2 APPEND x (\\Seen) {5}", "a2 NO [TRYCREATE] none {5}\r\n")?;
        peer.answer("a3 APPEND x ~{3}", "* 3 EXISTS\r\n+\r\n")?;
        assert_eq!(peer.octets(5)?, b"\0\n{\r\n");
        peer.say("a3 OK [APPENDUID 1 2] done\r\n")?;
        peer.answer("a4 IDLE", "+ idling\r\n* 4 EXISTS\r\n")?;
        assert_eq!(peer.line()?, "DONE");
        peer.say("a4 OK done\r\n")?;
        peer.answer("a6 XFOO ((\"\\\\\"", "a6 BAD what\r\n")?;
        peer.answer("a7 LOGOUT", "* BYE so long\r\na7 OK done\r\n")
    });
    let proxy = Proxy::before(server.address, nowhere(), &[]);
    let mut imap = Connection::open(proxy.address);
    assert_eq!(line(&mut imap), "* OK [CAPABILITY IMAP4rev1 CAN-SUBMIT] ready {5}");
    imap.send_line("a1 LOGIN alice {6}").unwrap();
    assert_eq!(line(&mut imap), "+ go");
    imap.send_line("secret").unwrap();
    assert_eq!(line(&mut imap), "a1 OK [CAPABILITY IMAP4rev1 IDLE CAN-SUBMIT] in");
    assert_eq!(ask(&mut imap, "a2 APPEND x (\\Seen) {5}"), "a2 NO [TRYCREATE] none {5}\r\n");
    imap.send_line("a3 APPEND x ~{3}").unwrap();
    assert_eq!((line(&mut imap), line(&mut imap)), ("* 3 EXISTS".into(), "+".into()));
    imap.send(b"\0\n{\r\n").unwrap();
    assert_eq!(line(&mut imap), "a3 OK [APPENDUID 1 2] done");
    imap.send_line("a4 IDLE").unwrap();
    assert_eq!((line(&mut imap), line(&mut imap)), ("+ idling".into(), "* 4 EXISTS".into()));
    // The next command comes with the end of IDLE.
    imap.send(b"DONE\r\na6 XFOO ((\"\\\\\"\r\n").unwrap();
    assert_eq!((line(&mut imap), line(&mut imap)), ("a4 OK done".into(), "a6 BAD what".into()));
    assert_eq!(ask(&mut imap, "a7 LOGOUT"), "* BYE so long\r\na7 OK done\r\n");
    assert!(imap.read_line().is_err());
}

#[test]
fn large_literals_pass_both_ways_at_once() {
    const BIG: usize = 3 << 20;
    let server = ImapServer::start(|peer| {
        let big: Vec<u8> = (0..BIG).map(|at| (at % 256) as u8).collect();
        peer.say("* OK ready\r\n")?;
        peer.answer(&format!("a5 APPEND x {{{BIG}+}}"), "")?;
        assert!(peer.octets(BIG)? == big);
        assert_eq!(peer.line()?, "");
        peer.say(format!("* 1 FETCH (BODY[] {{{BIG}}}\r\n"))?;
        peer.say(&big)?;
        peer.say(" X \"{3}\" UID 5)\r\na5 OK done\r\n")?;
        peer.answer("a7 LOGOUT", "* BYE so long\r\na7 OK done\r\n")
    });
    let proxy = Proxy::before(server.address, nowhere(), &[]);
    let mut imap = proxy.greeted();
    let big: Vec<u8> = (0..BIG).map(|at| (at % 256) as u8).collect();
    imap.send_line(&format!("a5 APPEND x {{{BIG}+}}")).unwrap();
    for piece in big.chunks(77_777) {
        imap.send(piece).unwrap();
    }
    imap.send_line("").unwrap();
    assert_eq!(line(&mut imap), format!("* 1 FETCH (BODY[] {{{BIG}}}"));
    assert!(imap.read_octets(BIG).unwrap() == big);
    assert_eq!(line(&mut imap), " X \"{3}\" UID 5)");
    assert_eq!(line(&mut imap), "a5 OK done");
    assert_eq!(ask(&mut imap, "a7 LOGOUT"), "* BYE so long\r\na7 OK done\r\n");
    assert!(imap.read_line().is_err());
}

#[test]
fn a_message_goes_out_with_what_it_names_put_in() {
    let house = House::open();
    let proxy = before_house(&house, &[]);
    let mut imap = proxy.log_in("alice@demo.example");
    let said = ask(&mut imap, "c CAPABILITY");
    assert!(said.contains(" CAN-SUBMIT") && !said.contains("COMPRESS="), "{said}");
    let attachment = "Content-Type: text/plain\r\n\r\nhello from Drafts\r\n";
    let stored = format!(
        "From: x@demo.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{attachment}--b--\r\n"
    );
    let said = ask(&mut imap, &format!("d APPEND Drafts {{{}+}}\r\n{stored}", stored.len()));
    assert!(said.contains("d OK "), "{said}");
    ask(&mut imap, "e SELECT Drafts");
    for url in ["imap://alice@mail.demo.example/Drafts/;UID=1/;SECTION=1", ";UID=1/;SECTION=1"] {
        let message = format!(
            "From: Alice <alice@demo.example>\r\nTo: bob@demo.example\r\nBcc: alice@demo.example\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\
             Content-Type: message/external-body; access-type=URL; URL=\"{url}\"\r\n\r\n\
             Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n--q--\r\n"
        );
        assert_eq!(submit(&mut imap, &message), "s OK SUBMIT completed\r\n");
    }
    let arrived = last_message(&house, "bob@demo.example", 2);
    assert!(
        arrived.contains("Content-Disposition: attachment\r\n\r\nhello from Drafts\r\n"),
        "{arrived}"
    );
    assert!(arrived.contains("Message-ID: <") && arrived.contains("Date: "), "{arrived}");
    assert!(!arrived.contains("Bcc:") && !arrived.contains("external-body"), "{arrived}");
    last_message(&house, "alice@demo.example", 2);
    // What is not there is not sent.
    let gone = "From: alice@demo.example\r\nTo: bob@demo.example\r\nContent-Type: message/external-body; \
        access-type=URL; URL=\"/Drafts/;UID=9\"\r\n\r\nContent-Type: text/plain\r\n\r\n";
    let said = submit(&mut imap, gone);
    assert_eq!(said, "s NO a part of the message names /Drafts/;UID=9; which cannot be had,\r\n");
    let elsewhere = gone.replace("/Drafts", "imap://imap.elsewhere.example/Drafts");
    assert!(submit(&mut imap, &elsewhere).starts_with("s NO a part of the message names "));
}

#[test]
fn answers_keep_their_order_and_refusals_their_form() {
    let house = House::open();
    let proxy = before_house(&house, &[("limits.message_size_max", "400")]);
    let mut imap = proxy.log_in("alice@demo.example");
    // In one packet.
    let size = MESSAGE.len();
    let batch = format!(
        "b1 SELECT INBOX\r\nb2 SUBMIT {{{size}+}}\r\n{MESSAGE}\r\nb3 NOOP\r\nb4 COMPRESS DEFLATE\r\nb5 NOOP\r\n"
    );
    imap.send(batch.as_bytes()).unwrap();
    let said = answer(&mut imap, "b5");
    let tags: Vec<_> =
        said.lines().filter(|line| line.starts_with('b')).map(|line| &line[..5]).collect();
    assert_eq!(tags, ["b1 OK", "b2 OK", "b3 OK", "b4 NO", "b5 OK"], "{said}");
    // Asked for, in both kinds of literal.
    for tilde in ["", "~"] {
        imap.send_line(&format!("t SUBMIT {tilde}{{{size}}}")).unwrap();
        assert!(line(&mut imap).starts_with("+ "));
        imap.send_line(MESSAGE).unwrap();
        assert_eq!(answer(&mut imap, "t").lines().last(), Some("t OK SUBMIT completed"));
    }
    let nobody = MESSAGE.replace("To: bob@", "Cc: nobody@demo.example\r\nTo: bob@");
    assert_eq!(submit(&mut imap, &nobody), "s NO ,nobody@demo.example\r\n");
    let two = nobody.replace("To: bob@", "To: other@demo.example, bob@");
    assert_eq!(submit(&mut imap, &two), "s NO ,nobody@demo.example,other@demo.example\r\n");
    let foreign = MESSAGE.replace("alice@demo", "alice@other");
    assert_eq!(
        submit(&mut imap, &foreign),
        "s NO alice@other.example is not an address of yours,\r\n"
    );
    // In the same domain, but not hers: here it is the submission server that says so.
    let bobs = MESSAGE.replace("From: alice", "From: bob");
    let said = submit(&mut imap, &bobs);
    assert!(said.starts_with("s NO 550 5.7.1 ") && said.ends_with(",\r\n"), "{said}");
    assert_eq!(said.matches(',').count(), 1);
    assert_eq!(
        submit(&mut imap, "Subject: x\r\n\r\n"),
        "s NO From and Sender do not name one author,\r\n"
    );
    let large = format!("{MESSAGE}{}", "x".repeat(400));
    let size = large.len();
    let said = ask(&mut imap, &format!("u SUBMIT {{{size}}}"));
    assert_eq!(said, "u NO [TOOBIG] the message is too large,\r\n");
    for bad in ["v SUBMIT", "v SUBMIT x", "v SUBMIT (PARTIAL) {3}"] {
        assert!(ask(&mut imap, bad).starts_with("v BAD "), "{bad}");
    }
    for none in ["*", "+", "a+"] {
        imap.send(format!("{none} SUBMIT {{{}+}}\r\n{MESSAGE}\r\n", MESSAGE.len()).as_bytes())
            .unwrap();
        assert_eq!(line(&mut imap), "* BAD a tag is expected");
    }
    imap.send(b"w SUBMIT {3+}\r\nabc x\r\n").unwrap();
    assert_eq!(answer(&mut imap, "w"), "w NO nothing may stand behind the message,\r\n");
    // Nobody got any of these.
    last_message(&house, "bob@demo.example", 3);
    let mut bob = house.log_in("bob@demo.example");
    assert!(ask(&mut bob, "m STATUS INBOX (MESSAGES)").contains("(MESSAGES 3)"));
}

#[test]
fn who_is_not_known_sends_nothing() {
    let house = House::open();
    let proxy = before_house(&house, &[]);
    let mut imap = proxy.greeted();
    assert_eq!(submit(&mut imap, MESSAGE), "s NO log in first,\r\n");
    // A login that is pipelined before counts.
    let size = MESSAGE.len();
    imap.send(format!("a AUTHENTICATE PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=\r\ns SUBMIT {{{size}+}}\r\n{MESSAGE}\r\n").as_bytes()).unwrap();
    assert!(answer(&mut imap, "a").contains("a OK "));
    assert_eq!(answer(&mut imap, "s"), "s OK SUBMIT completed\r\n");
    assert!(ask(&mut imap, "u UNAUTHENTICATE").contains("u OK "));
    assert_eq!(submit(&mut imap, MESSAGE), "s NO log in first,\r\n");
    assert!(ask(&mut imap, "l LOGIN bob@demo.example wrong").contains("l NO "));
    assert_eq!(submit(&mut imap, MESSAGE), "s NO log in first,\r\n");
    // In steps.
    imap.send_line("p AUTHENTICATE PLAIN").unwrap();
    assert!(line(&mut imap).starts_with('+'));
    imap.send_line("AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
    assert!(answer(&mut imap, "p").contains("p OK "));
    assert_eq!(submit(&mut imap, MESSAGE), "s OK SUBMIT completed\r\n");
    for mechanism in ["GSSAPI", "EXTERNAL", "SCRAM-SHA-256-PLUS"] {
        let said = ask(&mut imap, &format!("x AUTHENTICATE {mechanism} AAAA"));
        assert_eq!(said, "x NO [CANNOT] this mechanism cannot pass the proxy\r\n");
    }
    // No secret is told to anybody.
    let log = proxy.log();
    assert!(log.contains("proxy submit"), "{log}");
    for secret in ["secret", "AGFsaWNl", "wrong"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

/// A submission server that takes all, and what is said to it.
fn believing() -> (ImapServer, mpsc::Receiver<String>) {
    let (tell, hear) = mpsc::channel();
    let smtp = ImapServer::start(move |peer| {
        peer.say("220 smtp\r\n")?;
        let reply = |line: &str| match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-smtp\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 in\r\n",
            "DATA" => "354 go\r\n",
            _ => "250 ok\r\n",
        };
        loop {
            let line = peer.line()?;
            peer.say(reply(&line))?;
            let is_data = line == "DATA";
            tell.send(line).unwrap();
            while is_data && peer.line()? != "." {}
            if is_data {
                peer.say("250 taken\r\n")?;
            }
        }
    });
    (smtp, hear)
}

#[test]
fn a_login_that_hides_its_password_needs_the_relay() {
    let imap = || {
        ImapServer::start(|peer| {
            peer.say(GREETING)?;
            peer.answer("AUTHENTICATE SCRAM-SHA-256 biws", "TAG OK in\r\n")?;
            peer.line().map(drop)
        })
    };
    let server = imap();
    let proxy = Proxy::before(server.address, nowhere(), &[]);
    let mut client = proxy.greeted();
    assert!(ask(&mut client, SCRAM).contains("a OK in"));
    assert_eq!(
        submit(&mut client, MESSAGE),
        "s NO to send; log in by LOGIN or PLAIN: the proxy needs your password,\r\n"
    );
    let (smtp, hear) = believing();
    let server = imap();
    let relay = [("proxy.relay_user", "relay"), ("proxy.relay_password", "pass")];
    let proxy = Proxy::before(server.address, smtp.address, &relay);
    let mut client = proxy.greeted();
    assert!(ask(&mut client, SCRAM).contains("a OK in"));
    assert_eq!(submit(&mut client, MESSAGE), "s OK SUBMIT completed\r\n");
    let said: Vec<_> = (0..4).map(|_| hear.recv().unwrap()).collect();
    // `alice@demo.example\0relay\0pass`
    assert_eq!(said[1], "AUTH PLAIN YWxpY2VAZGVtby5leGFtcGxlAHJlbGF5AHBhc3M=");
    let mail = "MAIL FROM:<alice@demo.example> AUTH=alice@demo.example";
    assert_eq!(said[2..], [mail, "RCPT TO:<bob@demo.example>"]);
    let external = "From: alice@demo.example\r\nTo: bob@demo.example\r\nContent-Type: \
        message/external-body; access-type=URL; URL=\"/Drafts/;UID=9\"\r\n\r\nX: y\r\n\r\n";
    let said = submit(&mut client, external);
    assert!(said.starts_with("s NO to put in parts by URL; ") && said.ends_with(",\r\n"), "{said}");
}

#[test]
fn a_name_that_a_digest_is_bound_to_is_believed() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        peer.answer("AUTHENTICATE CRAM-MD5", "+ PDFAeD4=\r\n")?;
        peer.line()?;
        peer.say("a OK in\r\n")?;
        peer.line().map(drop)
    });
    let (smtp, hear) = believing();
    let relay = [("proxy.relay_user", "relay"), ("proxy.relay_password", "pass")];
    let proxy = Proxy::before(server.address, smtp.address, &relay);
    // `alice@demo.example 913a602c7eda7a495b4e6e7334d3890`
    let response = "YWxpY2VAZGVtby5leGFtcGxlIDkxM2E2MDJjN2VkYTdhNDk1YjRlNmU3MzM0ZDM4OTA=";
    let log_in = |initial: &str| {
        let mut imap = proxy.greeted();
        imap.send_line(&format!("a AUTHENTICATE CRAM-MD5{initial}")).unwrap();
        assert!(line(&mut imap).starts_with("+ "));
        imap.send_line(response).unwrap();
        assert_eq!(line(&mut imap), "a OK in");
        submit(&mut imap, MESSAGE)
    };
    assert_eq!(log_in(""), "s OK SUBMIT completed\r\n");
    let auth = hear.iter().nth(1).unwrap();
    assert_eq!(auth, "AUTH PLAIN YWxpY2VAZGVtby5leGFtcGxlAHJlbGF5AHBhc3M=");
    // The server may have passed over what came before its challenge: nobody is known by that.
    let said = log_in(&format!(" {response}"));
    assert_eq!(said, "s NO your login did not tell the proxy who you are,\r\n");
}

#[test]
fn nobody_is_taken_for_another_by_what_the_server_understands_otherwise() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        if peer.number == 1 {
            peer.answer("a AUTHENTICATE PLAIN", "+ \r\n")?;
            // To the server this is the response to its challenge.
            assert_eq!(peer.line()?, "b LOGIN alice@demo.example guessed");
            peer.say("a NO [AUTHENTICATIONFAILED] no\r\n")?;
            peer.answer("b NOOP", "TAG OK done\r\n")?;
        } else {
            peer.answer("n NOOP", "TAG OK done\r\nx OK what\r\n")?;
            peer.answer("l LOGIN", "TAG OK in\r\n")?;
        }
        peer.line().map(drop)
    });
    let relay = [("proxy.relay_user", "relay"), ("proxy.relay_password", "pass")];
    let proxy = Proxy::before(server.address, nowhere(), &relay);
    let mut imap = proxy.greeted();
    imap.send(b"a AUTHENTICATE PLAIN\r\nb LOGIN alice@demo.example guessed\r\nb NOOP\r\n").unwrap();
    assert!(answer(&mut imap, "a").ends_with("a NO [AUTHENTICATIONFAILED] no\r\n"));
    assert_eq!(answer(&mut imap, "b"), "b OK done\r\n");
    assert_eq!(submit(&mut imap, MESSAGE), "s NO log in first,\r\n");
    // An answer to nothing: who knows what the next ones are to.
    let mut imap = proxy.greeted();
    imap.send(b"n NOOP\r\nl LOGIN alice@demo.example secret\r\n").unwrap();
    answer(&mut imap, "l");
    let said = submit(&mut imap, MESSAGE);
    assert_eq!(said, "s NO not all that you said was understood; connect and log in anew,\r\n");
}

#[test]
fn a_relay_can_be_known_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["proxy.example".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let smtp = ImapServer::asking(Some(made.cert.der().clone()), |peer| {
        peer.start_tls()?;
        peer.say("220 smtp\r\n")?;
        peer.answer("EHLO", "250-smtp\r\n250 AUTH EXTERNAL\r\n")?;
        // `alice@demo.example`
        peer.answer("AUTH EXTERNAL YWxpY2VAZGVtby5leGFtcGxl", "235 in\r\n")?;
        peer.answer("MAIL FROM:<alice@demo.example> AUTH=alice@demo.example", "250 ok\r\n")?;
        peer.answer("RCPT", "250 ok\r\n")?;
        peer.answer("DATA", "354 go\r\n")?;
        while peer.line()? != "." {}
        peer.say("250 taken\r\n")
    });
    let house = House::open();
    let (imap, at) =
        (house.address(Service::Imap).to_string(), format!("localhost:{}", smtp.address.port()));
    let ca = smtp.ca();
    let proxy = Proxy::with(&[
        ("proxy.imap", &imap),
        ("proxy.imap_tls", "none"),
        ("proxy.listen_tls", "none"),
        ("proxy.smtp", &at),
        ("proxy.ca", ca.to_str().unwrap()),
        ("proxy.relay_cert", cert.to_str().unwrap()),
        ("proxy.relay_key", key.to_str().unwrap()),
    ]);
    let mut imap = proxy.log_in("alice@demo.example");
    assert_eq!(submit(&mut imap, MESSAGE), "s OK SUBMIT completed\r\n");
}

#[test]
fn whom_one_may_write_as_is_the_owners_choice() {
    let house = House::open();
    for (rule, sender, answer) in [
        ("login", "alice@demo.example", "s OK "),
        ("login", "bob@demo.example", "s NO bob@demo.example is not an address of yours,"),
        ("domain", "x@other.example", "s NO x@other.example is not an address of yours,"),
        // So it is the submission server that refuses.
        ("any", "x@other.example", "s NO 550 5.7.1 "),
    ] {
        let proxy = before_house(&house, &[("proxy.from", rule)]);
        let mut imap = proxy.log_in("alice@demo.example");
        let said = submit(&mut imap, &MESSAGE.replace("alice@demo.example", sender));
        assert!(said.starts_with(answer), "{rule}, {sender}: {said}");
    }
}

#[test]
fn nobody_is_named_as_the_writer_beside_ones_own_address() {
    const UNCLEAR: &str = "s NO From and Sender do not name one author,\r\n";
    const FOREIGN: &str = "s NO ceo@far.example is not an address of yours,\r\n";
    let house = House::open();
    for rule in ["login", "domain", "any"] {
        let proxy = before_house(&house, &[("proxy.from", rule)]);
        let mut imap = proxy.log_in("alice@demo.example");
        for (fields, answer) in [
            ("From: ceo@far.example", UNCLEAR),
            ("From: alice@demo.example", UNCLEAR),
            ("Sender: ceo@far.example", FOREIGN),
            ("Sender: alice@demo.example\r\nSender: ceo@far.example", UNCLEAR),
            ("Sender: somebody", UNCLEAR),
            ("Resent-From: ceo@far.example", FOREIGN),
        ] {
            let said = submit(&mut imap, &MESSAGE.replace("To: ", &format!("{fields}\r\nTo: ")));
            // Where the owner does not ask, the submission server does.
            let answer = if rule == "any" { "s NO 55" } else { answer };
            assert!(said.starts_with(answer), "{rule}, {fields}: {said}");
        }
        let own = MESSAGE.replace("To: ", "Sender: alice@demo.example\r\nTo: ");
        assert_eq!(submit(&mut imap, &own), "s OK SUBMIT completed\r\n");
    }
}

#[test]
fn tls_is_on_both_sides_and_proves_who_is_behind() {
    let house = House::with(&[("hostname", NAME)]);
    let (cert, key) =
        (house.data_dir().join("self-signed.crt"), house.data_dir().join("self-signed.key"));
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let (imaps, submission) = (house.address(Service::Imaps), house.address(Service::Submission));
    let (imap, smtp) =
        (format!("localhost:{}", imaps.port()), format!("localhost:{}", submission.port()));
    let settings = [
        ("tls.cert", cert),
        ("tls.key", key),
        ("proxy.imap", imap.as_str()),
        ("proxy.smtp", smtp.as_str()),
        ("proxy.smtp_tls", "starttls"),
        ("proxy.ca", cert),
    ];
    for listen_tls in ["tls", "starttls"] {
        let proxy = Proxy::with(&[&settings[..], &[("proxy.listen_tls", listen_tls)]].concat());
        let mut imap = Connection::open(proxy.address);
        let mut imap = if listen_tls == "tls" {
            let mut imap = imap.with_tls();
            assert!(!line(&mut imap).contains("STARTTLS"));
            imap
        } else {
            assert!(line(&mut imap).contains(" STARTTLS CAN-SUBMIT]"));
            // What comes behind it is thrown away.
            imap.send(b"t STARTTLS\r\nx LOGIN alice@demo.example secret\r\n").unwrap();
            assert_eq!(line(&mut imap), "t OK begin TLS now");
            imap.with_tls()
        };
        assert!(ask(&mut imap, "u STARTTLS").starts_with("u BAD "));
        assert!(ask(&mut imap, "a LOGIN alice@demo.example secret").contains("a OK "));
        assert_eq!(submit(&mut imap, MESSAGE), "s OK SUBMIT completed\r\n");
    }
    last_message(&house, "bob@demo.example", 2);
    // On this machine TLS is not needed to log in, and can't be had behind it.
    let proxy = Proxy::with(&[&settings[..], &[("proxy.listen_tls", "starttls")]].concat());
    let mut imap = Connection::open(proxy.address);
    assert!(line(&mut imap).contains(" STARTTLS "));
    let said = ask(&mut imap, "a LOGIN alice@demo.example wrong");
    assert!(said.contains("a NO ") && ask(&mut imap, "b CAPABILITY").contains(" STARTTLS "));
    let said = ask(&mut imap, "c LOGIN alice@demo.example secret");
    assert!(said.contains(" CAN-SUBMIT] ") && !said.contains("STARTTLS"), "{said}");
    // Nobody vouches for this one.
    let proxy = Proxy::with(&[&settings[..5], &[("proxy.listen_tls", "none")]].concat());
    let mut imap = Connection::open(proxy.address);
    assert_eq!(line(&mut imap), "* BYE [UNAVAILABLE] the mail server cannot be reached now");
}

#[test]
fn a_server_behind_that_secures_itself_by_starttls_is_greeted_for_it() {
    let server = ImapServer::start(|peer| {
        peer.say("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")?;
        peer.answer("STARTTLS", "TAG OK go\r\n")?;
        peer.start_tls()?;
        peer.answer("c CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nc OK done\r\n")
    });
    let (at, ca) = (format!("localhost:{}", server.address.port()), server.ca());
    let settings = [
        ("proxy.imap", at.as_str()),
        ("proxy.imap_tls", "starttls"),
        ("proxy.smtp", "localhost:1"),
        ("proxy.listen_tls", "none"),
        ("proxy.ca", ca.to_str().unwrap()),
    ];
    let proxy = Proxy::with(&settings);
    let mut imap = Connection::open(proxy.address);
    assert_eq!(line(&mut imap), "* OK ready");
    let said = ask(&mut imap, "c CAPABILITY");
    assert_eq!(said, "* CAPABILITY IMAP4rev1 AUTH=PLAIN CAN-SUBMIT\r\nc OK done\r\n");
}

#[test]
fn an_upstream_that_is_away_is_told_of_cleanly() {
    let proxy = Proxy::before(nowhere(), nowhere(), &[]);
    let mut imap = Connection::open(proxy.address);
    assert_eq!(line(&mut imap), "* BYE [UNAVAILABLE] the mail server cannot be reached now");
    assert!(imap.read_line().is_err());

    let leaving = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        peer.line().map(drop)
    });
    let proxy = Proxy::before(leaving.address, nowhere(), &[]);
    let mut imap = proxy.greeted();
    imap.send_line("a NOOP").unwrap();
    assert_eq!(line(&mut imap), "* BYE [UNAVAILABLE] the mail server has left");

    let house = House::open();
    let proxy = Proxy::before(house.address(Service::Imap), nowhere(), &[]);
    let mut imap = proxy.log_in("alice@demo.example");
    let said = submit(&mut imap, MESSAGE);
    assert!(said.starts_with("s NO cannot connect to ") && said.ends_with(",\r\n"), "{said}");
    assert!(ask(&mut imap, "n NOOP").contains("n OK "), "the session goes on");
}

/// A submission server that plays along up to a point, and from there is silent.
fn silent_from(word: &'static str) -> ImapServer {
    ImapServer::start(move |peer: &mut Peer| -> io::Result<()> {
        peer.say("220 smtp\r\n")?;
        loop {
            let line = peer.line()?;
            if line.starts_with(word) {
                loop {
                    peer.line()?;
                }
            }
            peer.say(match line.get(..4).unwrap_or(&line) {
                "EHLO" => "250-smtp\r\n250 AUTH PLAIN\r\n",
                "AUTH" => "235 in\r\n",
                "DATA" => "354 go\r\n",
                _ => "250 ok\r\n",
            })?;
            if line == "DATA" {
                while peer.line()? != "." {}
                // The end of the data is the word that is not answered.
                loop {
                    peer.line()?;
                }
            }
        }
    })
}

#[test]
fn submitting_takes_no_longer_than_the_limit_says() {
    let house = House::open();
    for (word, said) in [
        ("EHLO", "s NO upstream timeout,\r\n"),
        ("RCPT", "s NO upstream timeout,\r\n"),
        (".", "s NO upstream timeout; the message may have been sent,\r\n"),
    ] {
        let smtp = silent_from(word);
        let limit = [("limits.proxy_submit_time", "1 s")];
        let proxy = Proxy::before(house.address(Service::Imap), smtp.address, &limit);
        let mut imap = proxy.log_in("alice@demo.example");
        assert_eq!(submit(&mut imap, MESSAGE), said, "{word}");
        assert!(ask(&mut imap, "n NOOP").contains("n OK "), "the session goes on");
    }
}

#[test]
fn a_refusal_is_told_though_nothing_more_is_heard() {
    let house = House::open();
    for (refused, said) in
        [("RCPT", "s NO ,bob@demo.example\r\n"), ("DATA", "s NO 554 not this one,\r\n")]
    {
        let smtp = ImapServer::start(move |peer| {
            peer.say("220 smtp\r\n")?;
            loop {
                let line = peer.line()?;
                match line.get(..4).unwrap_or_default() {
                    word if word == refused => peer.say("554 not this one\r\n")?,
                    "EHLO" => peer.say("250-smtp\r\n250 AUTH PLAIN\r\n")?,
                    "AUTH" => peer.say("235 in\r\n")?,
                    "RSET" | "QUIT" => {}
                    _ => peer.say("250 ok\r\n")?,
                }
            }
        });
        let limit = [("limits.proxy_submit_time", "15 s")];
        let proxy = Proxy::before(house.address(Service::Imap), smtp.address, &limit);
        let mut imap = proxy.log_in("alice@demo.example");
        assert_eq!(submit(&mut imap, MESSAGE), said);
    }
}

#[test]
fn a_session_is_bounded() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        let mut lines = Vec::new();
        while lines.len() < 3 {
            lines.push(peer.line()?);
        }
        // No fourth comes before one of them is answered.
        for line in lines {
            peer.say(format!("{} OK x\r\n", line.split(' ').next().unwrap()))?;
        }
        peer.answer("a3 NOOP", "TAG OK x\r\n")?;
        peer.line().map(drop)
    });
    let limits = [("limits.imap_commands_waiting_max", "3"), ("limits.login_time", "2 s")];
    let proxy = Proxy::before(server.address, nowhere(), &limits);
    let mut imap = proxy.greeted();
    imap.send(b"a0 NOOP\r\na1 NOOP\r\na2 NOOP\r\na3 NOOP\r\n").unwrap();
    answer(&mut imap, "a3");
    // A line that is held has an end, and so has the time to log in.
    let mut long = proxy.greeted();
    long.send(format!("a AUTHENTICATE PLAIN {}", "x".repeat(70_000)).as_bytes()).unwrap();
    assert_eq!(line(&mut long), "* BYE [TOOBIG] the line is too long");
    assert_eq!(line(&mut imap), "* BYE Autologout");
}

#[test]
fn more_than_a_message_may_have_is_not_waited_for() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        peer.answer("LOGIN", "TAG OK in\r\n")?;
        peer.line().map(drop)
    });
    let limit = [("limits.message_size_max", "400")];
    let proxy = Proxy::before(server.address, nowhere(), &limit);
    let octets = "x".repeat(300);
    let twice = format!("s COMPRESS {{300+}}\r\n{octets} {{101+}}\r\n");
    for command in [
        "s SUBMIT {401+}\r\n",
        "s SUBMIT ~{401+}\r\nFrom: alice@demo.example\r\n",
        "s SUBMIT {99999999999999999999+}\r\n",
        "s SUBMIT (PARTIAL) {401+}\r\n",
        "s COMPRESS {401+}\r\n",
        &twice,
    ] {
        for mut imap in [proxy.greeted(), proxy.log_in("alice@demo.example")] {
            imap.send(command.as_bytes()).unwrap();
            let said = line(&mut imap);
            assert_eq!(said, "* BYE [TOOBIG] the literal is too large", "{command}");
            assert!(imap.read_line().is_err());
        }
    }
    // Who is not logged in has no longer for a literal than for all else.
    let limit = [("limits.login_time", "1 s")];
    let proxy = Proxy::before(server.address, nowhere(), &limit);
    let mut imap = proxy.greeted();
    imap.send(b"s SUBMIT {40+}\r\n").unwrap();
    assert_eq!(line(&mut imap), "* BYE Autologout");
}

#[test]
fn who_unauthenticates_has_time_again() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        peer.answer("LOGIN", "TAG OK x\r\n")?;
        peer.line()?;
        peer.say("n OK x\r\n")?;
        peer.answer("UNAUTHENTICATE", "TAG OK x\r\n")?;
        peer.answer("LOGIN", "TAG OK x\r\n")?;
        peer.line().map(drop)
    });
    let proxy = Proxy::before(server.address, nowhere(), &[("limits.login_time", "1 s")]);
    let mut imap = proxy.log_in("alice@demo.example");
    // The second of the first login is over.
    thread::sleep(Duration::from_millis(1100));
    ask(&mut imap, "n NOOP");
    ask(&mut imap, "u UNAUTHENTICATE");
    assert_eq!(ask(&mut imap, "l LOGIN alice secret"), "l OK x\r\n");
}

#[test]
fn who_has_said_all_still_hears_the_answers() {
    let server = ImapServer::start(|peer| {
        peer.say(GREETING)?;
        let tag = peer.expect("a FETCH")?;
        assert!(peer.line().is_err(), "the end is passed on");
        peer.say(format!("* 1 FETCH (UID 1)\r\n{tag} OK x\r\n"))
    });
    let proxy = Proxy::before(server.address, nowhere(), &[]);
    let mut tcp = std::net::TcpStream::connect(proxy.address).unwrap();
    io::Write::write_all(&mut tcp, b"a FETCH 1 UID\r\n").unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = String::new();
    io::Read::read_to_string(&mut tcp, &mut heard).unwrap();
    assert!(heard.ends_with("\r\n* 1 FETCH (UID 1)\r\na OK x\r\n"), "{heard}");
}

#[test]
fn it_does_not_start_without_what_it_needs() {
    for (settings, fault) in [
        (&["proxy.imap=x:1", "proxy.smtp=x:1"][..], "proxy.listen: the proxy needs it"),
        (&["proxy.listen=127.0.0.1:0", "proxy.smtp=x:1"], "proxy.imap: the proxy needs it"),
        (&["proxy.listen=127.0.0.1:0", "proxy.imap=x:1"], "proxy.smtp: the proxy needs it"),
        (
            &["proxy.listen=127.0.0.1:0", "proxy.imap=x:1", "proxy.smtp=x:1"],
            "tls.cert: the proxy needs it",
        ),
        (&["proxy.imap_tls=opportunistic"], "proxy.imap_tls: "),
        (&["proxy.relay_user=x"], "proxy.relay_user: stands alone"),
        (&["proxy.relay_key=x"], "proxy.relay_key: stands alone"),
        (
            &["proxy.relay_cert=x", "proxy.relay_key=x", "proxy.smtp_tls=none"],
            "proxy.smtp_tls: a certificate is shown within TLS only",
        ),
        (
            &[
                "proxy.listen=127.0.0.1:0",
                "proxy.imap=x:1",
                "proxy.smtp=x:1",
                "proxy.listen_tls=none",
                "proxy.ca=/none",
            ],
            "proxy.ca: ",
        ),
    ] {
        let mut program = Command::new(PROGRAM);
        for setting in settings {
            program.arg("--set").arg(setting);
        }
        let output = program.arg("proxy").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(fault), "{fault}: {said}");
    }
}
