//! A client in IDLE that knows of a sorted result what it is told, while by that changes by which it is
//! sorted, one change close behind the other (RFC 5267 §4.3.3, §4.3.4; RFC 5257 §4.9).

use super::{Connection, House, Random, text, viewer::follow};

const SORTED: &str =
    "UID SORT RETURN (ALL UPDATE) (ANNOTATION /comment value.shared) UTF-8 UNFLAGGED";
const ROUNDS: usize = 12;
/// Changes in a round, which come without a pause.
const CHANGES: usize = 8;

struct Client {
    imap: Connection,
    list: Vec<u32>,
}

impl Client {
    /// Reads up to the line with this tag, and follows what is told of the result.
    fn until(&mut self, tag: &str) {
        loop {
            let line = text(self.imap.read_line().unwrap());
            if let Some(rest) = line.strip_prefix("* ESEARCH (TAG \"t\")") {
                follow(&mut self.list, rest, true);
            }
            if line.starts_with(tag) {
                assert!(line.starts_with("+ ") || line.contains(" OK "), "{line}");
                return;
            }
        }
    }

    fn command(&mut self, tag: &str, command: &str) {
        self.imap.send_line(&format!("{tag} {command}")).unwrap();
        self.until(&format!("{tag} "));
    }

    /// The result as it is now, kept up to date from now on.
    fn ask(&mut self) -> Vec<u32> {
        self.list.clear();
        self.command("t", SORTED);
        self.list.clone()
    }
}

/// A client whose mailbox holds so many messages.
fn client(house: &House, messages: usize) -> Client {
    let mut imap = house.log_in("alice@demo.example");
    let texts = " {1+}\r\nx".repeat(messages);
    for command in [&*format!("APPEND INBOX{texts}"), "SELECT INBOX"] {
        imap.send_line(&format!("a {command}")).unwrap();
        while !text(imap.read_line().unwrap()).starts_with("a OK") {}
    }
    Client { imap, list: Vec::new() }
}

fn follows(messages: u32) {
    let house = House::open();
    let mut phone = client(&house, messages as usize);
    let mut laptop = client(&house, 1);
    phone.command("x", "NOOP");
    let mut random = Random::new(u64::from(messages));
    phone.ask();
    for _ in 0..ROUNDS {
        phone.imap.send_line("i IDLE").unwrap();
        phone.until("+ ");
        for _ in 0..CHANGES {
            let uid = 1 + random.below(u64::from(messages));
            let command = match random.below(6) {
                0 => format!("UID STORE {uid} +FLAGS.SILENT (\\Flagged)"),
                1 => format!("UID STORE {uid} -FLAGS.SILENT (\\Flagged)"),
                _ => {
                    let value = random.pick(&["a", "b", "c", "d"]);
                    format!("UID STORE {uid} ANNOTATION (/comment (value.shared \"{value}\"))")
                }
            };
            laptop.command("b", &command);
        }
        phone.imap.send_line("DONE").unwrap();
        phone.until("i ");
        phone.command("x", "NOOP");
        let told = phone.list.clone();
        phone.command("x", "CANCELUPDATE \"t\"");
        assert_eq!(told, phone.ask());
    }
}

#[test]
fn a_client_in_idle_follows_a_short_result_that_is_sorted_by_annotations() {
    follows(5);
}

#[test]
fn a_client_in_idle_follows_a_long_result_that_is_sorted_by_annotations() {
    follows(150);
}
