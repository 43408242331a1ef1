//! Mail that leaves the house: by a smarthost that is another house, and back as a report when it
//! can't be delivered.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use crate::{
    connection::Connection,
    house::{House, Service, dotted},
};

/// Submits a message as alice; the answer to its end.
pub(crate) fn submit(house: &House, recipient: &str, parameters: &str, message: &[u8]) -> String {
    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    smtp.command("EHLO phone.example").unwrap();
    // alice@demo.example, secret
    let login = smtp.command("AUTH PLAIN AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=").unwrap();
    assert!(login.starts_with("235"), "{login}");
    smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
    let taken = smtp.command(&format!("RCPT TO:<{recipient}>{parameters}")).unwrap();
    assert!(taken.starts_with("250"), "{taken}");
    smtp.command("DATA").unwrap();
    smtp.send(&dotted(message)).unwrap();
    smtp.read_reply().unwrap()
}

/// Waits in IDLE until the mailbox holds so many messages, then fetches the last one.
pub(crate) fn last_message(house: &House, user: &str, count: usize) -> String {
    let mut imap = house.log_in(user);
    imap.send_line("a SELECT INBOX").unwrap();
    let exists = format!("* {count} EXISTS");
    if !read_to(&mut imap, "a ").contains(&exists) {
        imap.send_line("b IDLE").unwrap();
        read_to(&mut imap, &exists);
        imap.send_line("DONE").unwrap();
        read_to(&mut imap, "b ");
    }
    imap.send_line(&format!("c FETCH {count} BODY.PEEK[]")).unwrap();
    read_to(&mut imap, "c ")
}

/// Waits in IDLE until the mailbox holds so many messages, or more.
fn until_exists(house: &House, user: &str, least: usize) {
    let mut imap = house.log_in(user);
    imap.send_line("a SELECT INBOX").unwrap();
    let number = |text: &str| {
        let line = text.lines().rev().find_map(|line| line.strip_suffix(" EXISTS"));
        line.and_then(|line| line.strip_prefix("* ")?.parse::<usize>().ok()).unwrap_or(0)
    };
    if number(&read_to(&mut imap, "a ")) >= least {
        return;
    }
    imap.send_line("b IDLE").unwrap();
    loop {
        let line = imap.read_line().unwrap();
        if number(&String::from_utf8_lossy(&line)) >= least {
            return;
        }
    }
}

fn read_to(connection: &mut Connection, start: &str) -> String {
    let mut text = String::new();
    loop {
        let line = connection.read_line().unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        text += &line;
        text += "\r\n";
        if line.starts_with(start) {
            return text;
        }
    }
}

/// A house for remote.example, and one for demo.example that sends through it.
fn two_houses() -> (House, House) {
    two_houses_with(&[])
}

/// The same with further settings of both.
pub(crate) fn two_houses_with(settings: &[(&str, &str)]) -> (House, House) {
    let far = House::with(&[settings, &[("hostname", "mail.remote.example")]].concat());
    let run = |arguments: &[&str], input: &str| {
        let output = far.command(arguments, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["domain", "add", "remote.example"], "");
    run(&["user", "add", "carol@remote.example", "--password-stdin"], "secret\n");
    let relay = far.address(Service::Smtp).to_string();
    let near = House::with(&[settings, &[("outbound.relay", &relay)]].concat());
    (near, far)
}

const MESSAGE: &[u8] = b"From: alice@demo.example\r\nTo: carol@remote.example\r\n\
    Subject: gr\xc3\xbc\xc3\x9fe\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\n.dot\r\n\xc3\xa4\xc3\xb6\r\n";

/// One that every server takes.
const SIMPLE: &[u8] = b"From: alice@demo.example\r\nSubject: plans\r\n\r\nhi\r\n";

#[test]
fn mail_for_elsewhere_goes_through_the_smarthost_octet_for_octet() {
    let (near, far) = two_houses();
    let taken = submit(&near, "carol@remote.example", "", MESSAGE);
    assert!(taken.starts_with("250"), "{taken}");
    let arrived = last_message(&far, "carol@remote.example", 1);
    let body = String::from_utf8_lossy(MESSAGE);
    let body = body.split_once("\r\n\r\n").unwrap().1;
    assert!(arrived.contains(body), "{arrived}");
    assert!(arrived.contains("Return-Path: <alice@demo.example>\r\n"), "{arrived}");
    assert_eq!(arrived.matches("Return-Path:").count(), 1, "{arrived}");
}

#[test]
fn what_the_other_server_refuses_comes_back_as_a_report() {
    let (near, _far) = two_houses();
    let taken =
        submit(&near, "nobody@remote.example", " ORCPT=rfc822;nobody@remote.example", MESSAGE);
    assert!(taken.starts_with("250"), "{taken}");
    let report = last_message(&near, "alice@demo.example", 1);
    for expected in [
        "Return-Path: <>",
        "multipart/report",
        "Action: failed",
        "Status: 5.1.1",
        "Final-Recipient: rfc822;nobody@remote.example",
        "Original-Recipient: rfc822;nobody@remote.example",
        "Diagnostic-Code: smtp; 550",
        "Auto-Submitted: auto-replied",
    ] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
    let left = near.command(&["queue", "list"], "");
    assert!(!String::from_utf8_lossy(&left.stdout).contains("nobody@"), "the queue is empty");
}

#[test]
fn success_is_reported_when_asked_for_and_only_then() {
    let (near, far) = two_houses();
    submit(&near, "carol@remote.example", " NOTIFY=NEVER", MESSAGE);
    last_message(&far, "carol@remote.example", 1);
    submit(&near, "bob@demo.example", " NOTIFY=SUCCESS", MESSAGE);
    let report = last_message(&near, "alice@demo.example", 1);
    assert!(report.contains("Action: delivered"), "{report}");
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn run(house: &House, arguments: &[&str]) -> String {
    let output = house.command(arguments, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_owner_sees_what_waits_has_it_tried_and_takes_it_out() {
    let mut house = House::with(&[("outbound.relay", &nobody().to_string())]);
    submit(&house, "carol@remote.example", "", MESSAGE);
    submit(&house, "dan@remote.example", "", MESSAGE);
    house.until_logged("deferred", 2);
    let list = run(&house, &["queue", "list"]);
    assert!(list.contains("carol@remote.example") && list.contains("dan@remote.example"), "{list}");
    let shown = run(&house, &["queue", "show", "1"]);
    assert!(
        shown.contains("alice@demo.example") && shown.contains("4.4.1 cannot connect"),
        "{shown}"
    );
    assert_eq!(run(&house, &["queue", "retry", "1"]), "1 recipients are tried now\n");
    house.until_logged("deferred", 3);
    assert_eq!(
        run(&house, &["queue", "remove", "1"]),
        "removed 1; an attempt under way still comes to its end\n"
    );
    let missing = house.command(&["queue", "show", "1"], "");
    assert_eq!(String::from_utf8_lossy(&missing.stderr), "mailade: no such message in the queue\n");
    house.kill();
    let list = run(&house, &["queue", "list"]);
    assert!(!list.contains("carol@") && list.contains("dan@remote.example"), "{list}");
    assert_eq!(run(&house, &["queue", "retry"]), "1 recipients are tried now\n");
}

#[test]
fn what_waits_survives_a_kill_and_is_sent_when_the_smarthost_is_there() {
    let (mut near, far) = two_houses();
    let relay = far.address(Service::Smtp);
    drop(far);
    let taken = submit(&near, "carol@remote.example", "", SIMPLE);
    assert!(taken.starts_with("250"), "{taken}");
    near.kill();
    near.start();
    let waiting = near.command(&["queue", "list"], "");
    assert!(String::from_utf8_lossy(&waiting.stdout).contains("carol@remote.example"));
    let smarthost = Smarthost::at(relay);
    run(&near, &["queue", "retry"]);
    smarthost.until(|heard| heard.len() == 1);
}

/// What a smarthost took: how often each recipient.
type Heard = HashMap<String, usize>;

/// A smarthost's memory, and how many messages it may take before it makes others wait.
#[derive(Default)]
struct Taking {
    heard: Heard,
    may_take: usize,
}

/// A smarthost that counts.
struct Smarthost {
    address: SocketAddr,
    taking: Arc<(Mutex<Taking>, Condvar)>,
}

impl Smarthost {
    /// Takes everything at once.
    fn at(address: SocketAddr) -> Self {
        let smarthost = Self::slow(address);
        smarthost.may_take(usize::MAX);
        smarthost
    }

    /// Takes nothing yet.
    fn slow(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let taking = Arc::<(Mutex<Taking>, Condvar)>::default();
        let tell = Arc::clone(&taking);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, tell) = (stream.unwrap(), Arc::clone(&tell));
                // A client that was killed leaves amid a word.
                thread::spawn(move || serve(stream, &tell).ok());
            }
        });
        Self { address, taking }
    }

    fn may_take(&self, messages: usize) {
        self.taking.0.lock().unwrap().may_take = messages;
        self.taking.1.notify_all();
    }

    fn heard(&self) -> Heard {
        self.taking.0.lock().unwrap().heard.clone()
    }

    fn until(&self, enough: impl Fn(&Heard) -> bool) {
        let (taking, news) = &*self.taking;
        let (taking, wait) = (taking.lock().unwrap(), Duration::from_secs(30));
        let waits = |taking: &mut Taking| !enough(&taking.heard);
        let (taking, late) = news.wait_timeout_while(taking, wait, waits).unwrap();
        assert!(!late.timed_out(), "the smarthost has heard {:?}", taking.heard);
    }
}

/// A message counts from the moment on when its 250 is about to leave.
fn serve(mut stream: TcpStream, (taking, news): &(Mutex<Taking>, Condvar)) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    stream.write_all(b"220 far.example\r\n")?;
    let (mut in_data, mut to) = (false, Vec::new());
    for line in lines {
        let line = line?;
        let word = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        let reply = match word.as_str() {
            _ if in_data && line == "." => {
                let full =
                    |taking: &mut Taking| taking.heard.values().sum::<usize>() >= taking.may_take;
                let mut taking = news.wait_while(taking.lock().unwrap(), full).unwrap();
                to.drain(..).for_each(|to| *taking.heard.entry(to).or_default() += 1);
                news.notify_all();
                "250 taken\r\n"
            }
            _ if in_data => continue,
            "EHLO" => "250-far.example\r\n250 PIPELINING\r\n",
            "DATA" => "354 go on\r\n",
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        in_data = reply.starts_with('3');
        if word == "RCPT" {
            to.push(line);
        }
        stream.write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// RFC 1047: who was told 250 and has not yet written it down may send once more, nobody else.
#[test]
fn a_kill_amid_sending_loses_nobody_and_repeats_only_what_was_in_flight() {
    const MESSAGES: usize = 60;
    const KILLS: usize = 4;
    let smarthost = Smarthost::slow("127.0.0.1:0".parse().unwrap());
    let mut house = House::with(&[("outbound.relay", &nobody().to_string())]);
    for number in 0..MESSAGES {
        submit(&house, &format!("u{number}@remote.example"), "", SIMPLE);
    }
    house.until_logged("deferred", MESSAGES);
    house.set("outbound.relay", &smarthost.address.to_string());
    let mut recorded: HashMap<String, usize> = HashMap::new();
    for kill in 0..KILLS {
        house.kill();
        // What stands in the queue no more was recorded, so it is never sent again.
        let list = run(&house, &["queue", "list"]);
        let heard = smarthost.heard();
        assert!(recorded.iter().all(|(to, count)| heard[to] == *count), "{recorded:?} {heard:?}");
        let waits = |to: &str| list.contains(&to["RCPT TO:<".len()..to.len() - 1]);
        recorded = heard.into_iter().filter(|(to, _)| !waits(to)).collect();
        run(&house, &["queue", "retry"]);
        house.start();
        let enough = (kill + 1) * MESSAGES / (KILLS + 1);
        smarthost.may_take(enough);
        smarthost.until(|heard| heard.values().sum::<usize>() >= enough);
    }
    assert!(!recorded.is_empty());
    smarthost.may_take(usize::MAX);
    smarthost.until(|heard| heard.len() == MESSAGES);
    let heard = smarthost.heard();
    assert!(recorded.iter().all(|(to, count)| heard[to] == *count), "{recorded:?} {heard:?}");
    let again: usize = heard.values().map(|count| count - 1).sum();
    // Five connections, each with one message in flight at each kill.
    assert!(again <= 5 * KILLS, "{again}");
}

#[test]
fn what_was_asked_of_reports_goes_on_to_a_server_that_makes_them() {
    let (near, far) = two_houses();
    let parameters = " NOTIFY=SUCCESS ORCPT=rfc822;c+2Bd@old.example";
    let taken = submit(&near, "carol@remote.example", parameters, SIMPLE);
    assert!(taken.starts_with("250"), "{taken}");
    far.until_logged("reported", 1);
    let log = far.log();
    let report = log.lines().find(|line| line.contains("reported")).unwrap();
    assert!(report.contains("about=carol@remote.example state=Delivered heard=true"), "{report}");
    near.until_logged("sent", 1);
    assert_eq!(run(&near, &["queue", "list"]), "");
    assert!(!near.log().contains("reported"));
}

#[test]
fn who_passes_mail_to_a_server_without_reports_makes_the_report() {
    let smarthost = Smarthost::at("127.0.0.1:0".parse().unwrap());
    let house = House::with(&[("outbound.relay", &smarthost.address.to_string())]);
    submit(&house, "carol@remote.example", " NOTIFY=SUCCESS", SIMPLE);
    let report = last_message(&house, "alice@demo.example", 1);
    for expected in ["Reporting-MTA: dns; mail.demo.example", "Action: relayed", "passed on"] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
}

/// RFC 5321 §4.5.4.1: who had no room at first gets each message once, however often we are killed.
#[test]
fn a_kill_amid_late_deliveries_loses_none_and_repeats_none() {
    const MESSAGES: usize = 40;
    const KILLS: usize = 3;
    let mut house = House::with(&[]);
    run(&house, &["user", "quota", "alice@demo.example", "--octets", "1000"]);
    let mut smtp = house.connect(Service::Smtp);
    smtp.read_reply().unwrap();
    smtp.command("EHLO far.example").unwrap();
    for number in 0..MESSAGES {
        // Its announced size does not tell that there is no room.
        smtp.command("MAIL FROM:<carol@remote.example> SIZE=1").unwrap();
        smtp.command("RCPT TO:<alice@demo.example>").unwrap();
        smtp.command("RCPT TO:<bob@demo.example>").unwrap();
        smtp.command("DATA").unwrap();
        let message = format!("Subject: number {number};\r\n\r\n{}\r\n", "x".repeat(990));
        smtp.send(&dotted(message.as_bytes())).unwrap();
        let taken = smtp.read_reply().unwrap();
        assert!(taken.starts_with("250"), "{taken}");
    }
    house.kill();
    run(&house, &["user", "quota", "alice@demo.example", "--octets", "10MiB"]);
    run(&house, &["queue", "retry"]);
    for kill in 0..KILLS {
        house.start();
        until_exists(&house, "alice@demo.example", 1 + kill * MESSAGES / KILLS);
        house.kill();
        run(&house, &["queue", "retry"]);
    }
    house.start();
    last_message(&house, "alice@demo.example", MESSAGES);
    let mut imap = house.log_in("alice@demo.example");
    imap.send_line("a SELECT INBOX").unwrap();
    assert!(read_to(&mut imap, "a ").contains(&format!("* {MESSAGES} EXISTS")));
    imap.send_line("b FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]").unwrap();
    let subjects = read_to(&mut imap, "b ");
    for number in 0..MESSAGES {
        let subject = format!("Subject: number {number};");
        assert_eq!(subjects.matches(&subject).count(), 1, "{subject}");
    }
    assert_eq!(run(&house, &["queue", "list"]), "");
}
