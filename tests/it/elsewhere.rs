//! Who does not come from this machine: no login before TLS, and mail that goes by MX.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::mpsc::{self, Receiver},
    thread,
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, MX},
    },
};

use crate::{
    connection::Connection,
    house::{House, Service},
    namespace::{self, ELSEWHERE},
};

/// alice@demo.example, secret
const PLAIN: &str = "AGFsaWNlQGRlbW8uZXhhbXBsZQBzZWNyZXQ=";

#[test]
fn nobody_elsewhere_logs_in_before_tls() {
    if !namespace::enter("elsewhere::nobody_elsewhere_logs_in_before_tls") {
        return;
    }
    let here = format!("{ELSEWHERE}:0");
    let house = House::with(&[("listen.submission", &here), ("listen.imap", &here)]);

    let mut smtp = house.connect(Service::Submission);
    smtp.read_reply().unwrap();
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(offers.contains("STARTTLS") && !offers.contains("AUTH"), "{offers}");
    for (command, answer) in [
        (format!("AUTH PLAIN {PLAIN}"), "538 5.7.11 "),
        ("AUTH LOGIN".to_owned(), "538 5.7.11 "),
        ("MAIL FROM:<alice@demo.example>".to_owned(), "530 5.7.0 "),
        ("STARTTLS".to_owned(), "220 "),
    ] {
        let said = smtp.command(&command).unwrap();
        assert!(said.starts_with(answer), "{command}: {said}");
    }
    let mut smtp = smtp.with_tls();
    let offers = smtp.command("EHLO phone.example").unwrap();
    assert!(!offers.contains("STARTTLS") && offers.contains("AUTH "), "{offers}");
    let said = smtp.command(&format!("AUTH PLAIN {PLAIN}")).unwrap();
    assert!(said.starts_with("235 "), "{said}");

    let mut imap = house.connect(Service::Imap);
    let greeting = line(&mut imap);
    for said in [&greeting, &answer(&mut imap, "a CAPABILITY")] {
        assert!(said.contains("LOGINDISABLED") && said.contains("STARTTLS"), "{said}");
        assert!(!said.contains(" AUTH="), "{said}");
    }
    for (command, refusal) in [
        ("b LOGIN alice@demo.example secret", "b NO [PRIVACYREQUIRED] "),
        (&format!("c AUTHENTICATE PLAIN {PLAIN}"), "c NO [PRIVACYREQUIRED] "),
        ("d STARTTLS", "d OK "),
    ] {
        let said = answer(&mut imap, command);
        assert!(said.contains(refusal), "{command}: {said}");
    }
    let mut imap = imap.with_tls();
    let offers = answer(&mut imap, "e CAPABILITY");
    assert!(!offers.contains("LOGINDISABLED") && offers.contains("AUTH=PLAIN"), "{offers}");
    let said = answer(&mut imap, "f LOGIN alice@demo.example secret");
    assert!(said.contains("f OK "), "{said}");

    let here = House::open();
    let mut here = here.connect(Service::Submission);
    here.read_reply().unwrap();
    assert!(here.command("EHLO phone.example").unwrap().contains("AUTH "), "loopback is secured");
}

fn line(imap: &mut Connection) -> String {
    String::from_utf8(imap.read_line().unwrap()).unwrap()
}

/// All that is said up to the tagged answer.
fn answer(imap: &mut Connection, command: &str) -> String {
    imap.send_line(command).unwrap();
    let tag = command.split_inclusive(' ').next().unwrap();
    let mut said = String::new();
    loop {
        let line = line(imap);
        said += &line;
        said += "\n";
        if line.starts_with(tag) {
            return said;
        }
    }
}

/// A server at port 25 that takes what comes, and tells the recipients.
fn server(ip: &str) -> Receiver<String> {
    let listener = TcpListener::bind((ip, 25)).unwrap();
    let (tell, hear) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            stream.write_all(b"220 far.example\r\n").unwrap();
            let mut in_data = false;
            while let Some(Ok(line)) = lines.next() {
                let word = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
                let reply = match word.as_str() {
                    _ if in_data && line == "." => "250 taken\r\n",
                    _ if in_data => continue,
                    "DATA" => "354 go on\r\n",
                    "QUIT" => "221 bye\r\n",
                    _ => "250 ok\r\n",
                };
                in_data = reply.starts_with('3');
                if word == "RCPT" {
                    tell.send(line).unwrap();
                }
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    hear
}

/// A name server for two.example, whose better server is `one`, null.example, and their hosts.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut packet = [0; 1500];
        loop {
            let (length, peer) = socket.recv_from(&mut packet).unwrap();
            let question = Message::from_vec(&packet[..length]).unwrap();
            socket.send_to(&reply(&question).to_vec().unwrap(), peer).unwrap();
        }
    });
    address
}

fn reply(question: &Message) -> Message {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    let mx =
        |preference, host: &str| RData::MX(MX::new(preference, Name::from_ascii(host).unwrap()));
    let name = query.name().to_ascii().to_lowercase();
    let records = match (name.as_str(), query.query_type()) {
        ("two.example.", RecordType::MX) => {
            vec![mx(20, "two.far.example."), mx(10, "one.far.example.")]
        }
        ("null.example.", RecordType::MX) => vec![mx(0, ".")],
        ("one.far.example.", RecordType::A) => vec![RData::A(A([127, 0, 0, 2].into()))],
        ("two.far.example.", RecordType::A) => vec![RData::A(A([127, 0, 0, 3].into()))],
        ("one.far.example." | "two.far.example.", _) => Vec::new(),
        _ => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
    };
    for data in records {
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    }
    answer.add_query(query);
    answer
}

#[test]
fn mail_goes_by_mx_to_port_25() {
    if !namespace::enter("elsewhere::mail_goes_by_mx_to_port_25") {
        return;
    }
    let names = name_server();
    assert!(matches!(names.ip(), IpAddr::V4(_)));
    let house = House::with(&[("dns.servers", &names.to_string())]);
    let second = server("127.0.0.3");
    let submit = |to: &str| {
        let mut smtp = house.connect(Service::Submission);
        smtp.read_reply().unwrap();
        smtp.command("EHLO phone.example").unwrap();
        smtp.command(&format!("AUTH PLAIN {PLAIN}")).unwrap();
        smtp.command("MAIL FROM:<alice@demo.example>").unwrap();
        smtp.command(&format!("RCPT TO:<{to}>")).unwrap();
        smtp.command("DATA").unwrap();
        let taken = smtp.command("From: alice@demo.example\r\n\r\nhi\r\n.").unwrap();
        assert!(taken.starts_with("250 "), "{taken}");
    };
    submit("carol@two.example");
    assert_eq!(second.recv().unwrap(), "RCPT TO:<carol@two.example>");
    let first = server("127.0.0.2");
    submit("dan@two.example");
    assert_eq!(first.recv().unwrap(), "RCPT TO:<dan@two.example>");
    assert!(second.try_recv().is_err());
    submit("eve@null.example");
    let report = super::outbound::last_message(&house, "alice@demo.example", 1);
    assert!(report.contains("Status: 5.1.10"), "{report}");
}
