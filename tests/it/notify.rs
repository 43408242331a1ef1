//! Many sessions that wait for news, and one that does not read what it asked for.

use std::thread;

use super::{connection::Connection, house::House, memory};

/// Sessions of each kind.
const EACH: usize = 50;
/// Octets of a message that no socket takes whole.
const LARGE: usize = 16_000_000;
/// Mailboxes that come and go while nobody reads: more than are remembered.
const MANY: usize = 300;
/// What the peak of the whole program may grow by meanwhile, in KiB.
const GROWTH: u64 = 48 * 1024;

/// Sends a command and reads up to its end.
fn done(connection: &mut Connection, command: &str) {
    connection.send_line(&format!("x {command}")).unwrap();
    loop {
        let line = connection.read_line().unwrap();
        if line.starts_with(b"x ") {
            assert!(line.starts_with(b"x OK"), "{command}: {}", String::from_utf8_lossy(&line));
            return;
        }
    }
}

/// How a session waits for news, and what it then reads.
#[derive(Clone, Copy)]
struct Way {
    before: &'static [&'static str],
    idles: bool,
    news: &'static str,
}

const WAYS: [Way; 4] = [
    Way { before: &["SELECT INBOX"], idles: true, news: "* 1 EXISTS" },
    Way {
        before: &["NOTIFY SET (selected (MessageNew (UID) MessageExpunge))", "SELECT INBOX"],
        idles: false,
        news: "* 1 EXISTS",
    },
    Way {
        before: &["NOTIFY SET (inboxes (MessageNew MessageExpunge))"],
        idles: false,
        news: "* STATUS INBOX (MESSAGES 1 UIDNEXT 2)",
    },
    Way {
        before: &["NOTIFY SET (subtree INBOX (MessageNew MessageExpunge))", "SELECT Sent"],
        idles: true,
        news: "* STATUS INBOX (MESSAGES 1 UIDNEXT 2)",
    },
];

fn waiting(house: &House, way: Way) -> Connection {
    let mut connection = house.log_in("alice@demo.example");
    way.before.iter().for_each(|command| done(&mut connection, command));
    if way.idles {
        connection.send_line("i IDLE").unwrap();
        assert!(connection.read_line().unwrap().starts_with(b"+"));
    }
    connection
}

#[test]
fn two_hundred_sessions_that_wait_are_told_of_a_message() {
    let house = House::open();
    // The mailboxes are in step with what is recent before anybody waits.
    done(&mut house.log_in("alice@demo.example"), "SELECT INBOX");
    let house_now = &house;
    let open =
        move |way: Way| (0..EACH).map(|_| (way, waiting(house_now, way))).collect::<Vec<_>>();
    let mut sessions: Vec<(Way, Connection)> = thread::scope(|scope| {
        let openers: Vec<_> = WAYS.map(|way| scope.spawn(move || open(way))).into();
        openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
    });
    assert_eq!(sessions.len(), 4 * EACH);
    let mut sender = house.log_in("alice@demo.example");
    done(&mut sender, "APPEND INBOX {1+}\r\nx");
    for (way, session) in &mut sessions {
        let line = String::from_utf8(session.read_line().unwrap()).unwrap();
        assert_eq!(line, way.news);
    }
}

#[test]
fn who_does_not_read_is_told_that_it_was_too_much_and_costs_no_memory() {
    let house = House::open();
    let mut phone = house.log_in("alice@demo.example");
    done(&mut phone, "SELECT INBOX");
    done(
        &mut phone,
        "NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge)) \
        (personal (MessageNew MessageExpunge MailboxName))",
    );
    let mut laptop = house.log_in("alice@demo.example");
    let before = memory::peak(house.pid());
    laptop.send_line(&format!("x APPEND INBOX {{{LARGE}+}}")).unwrap();
    for chunk in vec![b'x'; LARGE].chunks(64 * 1024) {
        laptop.send(chunk).unwrap();
    }
    laptop.send(b"\r\n").unwrap();
    assert!(laptop.read_line().unwrap().starts_with(b"x OK"));
    // The message is on its way, and the phone reads nothing.
    for number in 0..MANY {
        done(&mut laptop, &format!("CREATE m{number}"));
        done(&mut laptop, &format!("APPEND m{number} {{1+}}\r\nx"));
    }
    if let Some(before) = before {
        let grown = memory::peak(house.pid()).unwrap_or(before).saturating_sub(before);
        println!("the peak grew by {grown} KiB");
        assert!(grown <= GROWTH, "the peak grew by {grown} KiB");
    }
    phone.send_line("y NOOP").unwrap();
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.starts_with("y ")) {
        let line = String::from_utf8(phone.read_line().unwrap()).unwrap();
        if line.ends_with(&format!("{{{LARGE}}}")) {
            assert_eq!(phone.read_octets(LARGE).unwrap().len(), LARGE);
        }
        lines.push(line);
    }
    let overflow = lines.iter().position(|line| line.starts_with("* OK [NOTIFICATIONOVERFLOW]"));
    let overflow = overflow.unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(lines.iter().all(|line| !line.contains("/\" m299")), "{lines:#?}");
    assert!(lines[overflow + 1..].iter().all(|line| line.starts_with("y OK")), "{lines:#?}");
    // As after NOTIFY NONE.
    done(&mut laptop, "CREATE later");
    phone.send_line("z NOOP").unwrap();
    assert!(phone.read_line().unwrap().starts_with(b"z OK"));
    // It can ask again.
    done(&mut phone, "NOTIFY SET (personal (MailboxName))");
    done(&mut laptop, "CREATE last");
    let line = String::from_utf8(phone.read_line().unwrap()).unwrap();
    assert_eq!(line, "* LIST (\\HasNoChildren) \"/\" last");
}
