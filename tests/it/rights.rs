//! Every command against every right (RFC 4314 §4): with the rights that it takes it is done, and with
//! any of them missing it is refused, or does less; and nothing tells a stranger what there is.
//!
//! Bob does it to a mailbox of alice's. A command of the table that stands in no list here fails a
//! test: whoever adds one says which rights it takes.

use std::collections::BTreeSet;

use mailade::imap::extensions::EXTENSIONS;

use crate::{connection::Connection, house::House};

/// All rights, one letter each.
const ALL: &str = "lrswipkxtena";

/// Commands that reach no mailbox, or change only what is the user's own.
const WITHOUT_RIGHTS: &[&str] = &[
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "LOGIN",
    "AUTHENTICATE",
    "STARTTLS",
    "UNAUTHENTICATE",
    "COMPRESS",
    "ID",
    "ENABLE",
    "COMPARATOR",
    "NAMESPACE",
    "GETQUOTA",
    "SETQUOTA",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "EHLO",
];

/// Commands whose mailboxes have rights, but that are never refused for want of one: what they leave
/// out is shown by the transcripts imap/acl, imap/sharing, imap/notify, imap/multisearch and
/// imap/urlauth.
const TELLING_LESS: &[&str] = &[
    "LIST",
    "LSUB",
    "NOTIFY",
    "CLOSE",
    "ESEARCH",
    "UID ESEARCH",
    "FETCH",
    "UID FETCH",
    "GENURLAUTH",
    "URLFETCH",
];

/// Commands on an open mailbox that take no right but the one to open it.
const ONCE_OPEN: &[&str] = &[
    "CANCELUPDATE",
    "CHECK",
    "UNSELECT",
    "IDLE",
    "SEARCH",
    "UID SEARCH",
    "SORT",
    "UID SORT",
    "THREAD",
    "UID THREAD",
];

/// Which rights it takes.
#[derive(Clone, Copy)]
enum Needs {
    /// All of these.
    All(&'static str),
    /// Any of these.
    Any(&'static str),
    /// To look it up, and any of these.
    LookupAndAny(&'static str),
}

/// What a stranger hears, to whom the mailbox is not there.
#[derive(Clone, Copy)]
enum Stranger {
    NonExistent,
    TryCreate,
    NoPerm,
}

/// A command, and what it takes.
struct Row {
    name: &'static str,
    /// With the mailbox of alice open?
    open: bool,
    /// `@` is the mailbox; the command `z` is the one that counts.
    ask: &'static [&'static str],
    needs: Needs,
    stranger: Stranger,
}

const fn row(name: &'static str, ask: &'static [&'static str], needs: &'static str) -> Row {
    Row { name, open: false, ask, needs: Needs::All(needs), stranger: Stranger::NonExistent }
}

const fn open(name: &'static str, ask: &'static [&'static str], needs: &'static str) -> Row {
    Row { open: true, ..row(name, ask, needs) }
}

impl Row {
    const fn any(self, rights: &'static str) -> Self {
        Self { needs: Needs::Any(rights), ..self }
    }

    const fn lookup_and_any(self, rights: &'static str) -> Self {
        Self { needs: Needs::LookupAndAny(rights), ..self }
    }

    const fn stranger(self, stranger: Stranger) -> Self {
        Self { stranger, ..self }
    }
}

/// What `~` is.
const MESSAGE: &str = "{17+}\r\nSubject: x\r\n\r\ny\r\n";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("SELECT", &["SELECT @"], "r"),
    row("EXAMINE", &["EXAMINE @"], "r"),
    row("STATUS", &["STATUS @ (MESSAGES UNSEEN SIZE HIGHESTMODSEQ)"], "r"),
    row("RESETKEY", &["RESETKEY @"], "r"),
    row("GETQUOTAROOT", &["GETQUOTAROOT @"], "r"),
    row("CREATE", &["CREATE @/new"], "k").stranger(Stranger::NoPerm),
    row("CREATE", &["CREATE @/far/below"], "k").stranger(Stranger::NoPerm),
    row("DELETE", &["DELETE @"], "x"),
    row("RENAME", &["RENAME @/child @/other"], "xk"),
    row("APPEND", &["APPEND @ (\\Seen) ~"], "i").stranger(Stranger::TryCreate),
    row("APPEND", &["APPEND @ ~ (\\Flagged) ~"], "i").stranger(Stranger::TryCreate),
    row("APPEND", &["APPEND @ ANNOTATION (/comment (value.shared \"x\")) ~"], "in").stranger(Stranger::TryCreate),
    row("COMPOSE", &["COMPOSE @ ~"], "i").stranger(Stranger::TryCreate),
    row("SUBMIT", &["SUBMIT (FCC @ FROM bob@demo.example TO (bob@demo.example)) ~"], "i").stranger(Stranger::TryCreate),
    row("SETACL", &["SETACL @ anyone l"], "a"),
    row("SETACL", &["SETACL @ -bob@demo.example +p"], "a"),
    row("DELETEACL", &["DELETEACL @ anyone"], "a"),
    row("GETACL", &["GETACL @"], "a"),
    row("LISTRIGHTS", &["LISTRIGHTS @ anyone"], "a"),
    row("MYRIGHTS", &["MYRIGHTS @"], "").any("lrikxa"),
    row("GETMETADATA", &["GETMETADATA @ /shared/comment"], "").lookup_and_any("rswip"),
    row("SETMETADATA", &["SETMETADATA @ (/private/comment \"x\")"], "").lookup_and_any("rswip"),
    row("COPY", &["SELECT INBOX", "COPY 1:2 @"], "i").stranger(Stranger::TryCreate),
    row("UID COPY", &["SELECT INBOX", "UID COPY 1:2 @"], "i").stranger(Stranger::TryCreate),
    row("MOVE", &["SELECT INBOX", "MOVE 1 @"], "i").stranger(Stranger::TryCreate),
    row("UID MOVE", &["SELECT INBOX", "UID MOVE 1 @"], "i").stranger(Stranger::TryCreate),
    row("REPLACE", &["SELECT INBOX", "REPLACE 1 @ ~"], "i").stranger(Stranger::TryCreate),
    row("UID REPLACE", &["SELECT INBOX", "UID REPLACE * @ ~"], "i").stranger(Stranger::TryCreate),
    open("COPY", &["COPY 1 INBOX"], ""),
    open("UID COPY", &["UID COPY 1 INBOX"], ""),
    open("MOVE", &["MOVE 1 INBOX"], "te"),
    open("UID MOVE", &["UID MOVE 1 INBOX"], "te"),
    open("REPLACE", &["REPLACE 1 INBOX ~"], "te"),
    open("UID REPLACE", &["UID REPLACE 1 INBOX ~"], "te"),
    open("EXPUNGE", &["EXPUNGE"], "e"),
    open("UID EXPUNGE", &["UID EXPUNGE 1:*"], "e"),
    open("STORE", &["STORE 1:2 +FLAGS (\\Seen)"], "s"),
    open("STORE", &["STORE 1:2 -FLAGS (\\Deleted)"], "t"),
    open("STORE", &["STORE 1:2 +FLAGS.SILENT (\\Flagged)"], "w"),
    open("STORE", &["STORE 1:2 +FLAGS (keyword)"], "w"),
    open("UID STORE", &["UID STORE 1:2 +FLAGS ($Forwarded)"], "w"),
    open("STORE", &["STORE 1:2 ANNOTATION (/comment (value.shared \"x\"))"], "n"),
    open("UID STORE", &["UID STORE 1:2 ANNOTATION (/comment (value.priv \"x\"))"], ""),
    open("UID STORE", &["UID STORE 1:2 FLAGS (\\Answered)"], "").any("swt"),
    open("UID STORE", &["UID STORE 1:2 +FLAGS (\\Answered \\Seen)"], "").any("sw"),
    open("FETCH", &["FETCH 1 (BODY[])"], ""),
    open("UID FETCH", &["UID FETCH 1 (BODY[])"], ""),
    open("CHECK", &["CHECK"], ""),
    open("SEARCH", &["SEARCH TEXT x"], ""),
    open("UID SEARCH", &["UID SEARCH RETURN (ALL COUNT) ALL"], ""),
    open("SORT", &["SORT (SUBJECT) UTF-8 ALL"], ""),
    open("UID SORT", &["UID SORT (SUBJECT) UTF-8 ALL"], ""),
    open("THREAD", &["THREAD REFERENCES UTF-8 ALL"], ""),
    open("UID THREAD", &["UID THREAD REFS UTF-8 ALL"], ""),
    open("SEND", &["SEND 1:2"], ""),
    open("UID SEND", &["UID SEND 1:2"], ""),
    open("UID SENDMAIL", &["UID SENDMAIL 1 (FROM bob@demo.example RECIPIENT bob@demo.example)"], ""),
    open("CLOSE", &["CLOSE"], ""),
    open("UNSELECT", &["UNSELECT"], ""),
];

/// A client that counts its commands.
struct Client {
    connection: Connection,
    count: u32,
}

impl Client {
    fn new(house: &House, user: &str) -> Self {
        Self { connection: house.log_in(&format!("{user}@demo.example")), count: 0 }
    }

    /// Gives a command; its tagged answer without the tag, and all lines before it.
    fn ask(&mut self, command: &str) -> (String, Vec<String>) {
        self.count += 1;
        let tag = format!("t{} ", self.count);
        self.connection.send(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        let mut before = Vec::new();
        loop {
            let line = String::from_utf8(self.connection.read_line().unwrap()).unwrap();
            match line.strip_prefix(&tag) {
                Some(answer) => return (answer.to_owned(), before),
                None => before.push(line),
            }
        }
    }

    fn well(&mut self, command: &str) -> Vec<String> {
        let (answer, before) = self.ask(command);
        assert!(answer.starts_with("OK"), "{command}: {answer}");
        before
    }
}

/// Alice, bob, and a fresh mailbox for each trial.
struct Trial {
    alice: Client,
    bob: Client,
    count: u32,
}

const TREE: &str = "Other Users/alice@demo.example";

impl Trial {
    fn new(house: &House) -> Self {
        let (alice, bob) = (Client::new(house, "alice"), Client::new(house, "bob"));
        Self { alice, bob, count: 0 }
    }

    /// A mailbox with a message, one with `\Deleted`, and a mailbox below it, on which bob has these
    /// rights; its name for alice.
    fn mailbox(&mut self, rights: &str) -> String {
        self.count += 1;
        let name = format!("box{}", self.count);
        self.alice.well(&format!("CREATE {name}"));
        self.alice.well(&format!("APPEND {name} {MESSAGE}"));
        self.alice.well(&format!("APPEND {name} (\\Deleted) {MESSAGE}"));
        if !rights.is_empty() {
            self.alice.well(&format!("SETACL {name} bob@demo.example {rights}"));
        }
        self.alice.well(&format!("CREATE {name}/child"));
        name
    }

    /// What bob hears who has these rights.
    fn hears(&mut self, row: &Row, rights: &str) -> String {
        let name = self.mailbox(rights);
        for _ in 0..2 {
            self.bob.well(&format!("APPEND INBOX {MESSAGE}"));
        }
        if row.open {
            self.bob.well(&format!("SELECT \"{TREE}/{name}\""));
        }
        let mut answer = String::new();
        for command in row.ask {
            answer = self.bob.ask(&filled(command, &name)).0;
        }
        answer
    }
}

/// The command with the name of the mailbox, in quotes, and the message in it.
fn filled(command: &str, name: &str) -> String {
    let words = command.split(' ').map(|word| match word.strip_prefix('@') {
        Some(below) => format!("\"{TREE}/{name}{below}\""),
        None => word.replace('~', MESSAGE),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn without(rights: &str, gone: &str) -> String {
    rights.chars().filter(|letter| !gone.contains(*letter)).collect()
}

#[test]
fn every_command_takes_its_rights_and_no_others() {
    let house = House::open();
    let mut trial = Trial::new(&house);
    let mut wrong = Vec::new();
    for row in ROWS {
        let base = if row.open { "r" } else { "" };
        let (least, most_without): (Vec<String>, Vec<String>) = match row.needs {
            Needs::All(rights) => (
                vec![format!("{base}{rights}")],
                rights.chars().map(|right| without(ALL, &right.to_string())).collect(),
            ),
            Needs::Any(rights) => (
                rights.chars().map(|right| format!("{base}{right}")).collect(),
                vec![without(ALL, rights)],
            ),
            Needs::LookupAndAny(rights) => (
                rights.chars().map(|right| format!("l{right}")).collect(),
                vec![without(ALL, rights)],
            ),
        };
        for rights in least.iter().map(String::as_str).chain([ALL]) {
            let heard = trial.hears(row, rights);
            if !heard.starts_with("OK") {
                wrong.push(format!("{:?} with {rights}: {heard}", row.ask));
            }
        }
        for rights in &most_without {
            let visible = rights.contains('l');
            let expected = if visible { "NO [NOPERM] " } else { "NO [NONEXISTENT] " };
            let heard = trial.hears(row, rights);
            if !heard.starts_with(expected) {
                wrong.push(format!("{:?} with {rights}: {heard}", row.ask));
            }
        }
        if row.open {
            continue;
        }
        let expected = match row.stranger {
            Stranger::NonExistent => "NO [NONEXISTENT] no such mailbox",
            Stranger::TryCreate => "NO [TRYCREATE] no such mailbox",
            Stranger::NoPerm => "NO [NOPERM] you have no right to do this",
        };
        let needed = match row.needs {
            Needs::All(rights) | Needs::Any(rights) => rights.to_owned(),
            Needs::LookupAndAny(rights) => format!("l{rights}"),
        };
        let hidden = without(&without(ALL, "l"), &needed);
        for rights in ["", &hidden] {
            let heard = trial.hears(row, rights);
            if heard != expected {
                wrong.push(format!("{:?}, a stranger with {rights:?}: {heard}", row.ask));
            }
        }
        // The very same is said of what is not there.
        let asked = row.ask.iter().map(|ask| filled(ask, "never"));
        let heard = asked.map(|ask| trial.bob.ask(&ask).0).last().unwrap();
        if heard != expected {
            wrong.push(format!("{:?} of nothing: {heard}", row.ask));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn notify_tells_only_where_messages_may_be_seen_and_read() {
    let house = House::open();
    let (mut alice, mut bob) = (Client::new(&house, "alice"), Client::new(&house, "bob"));
    alice.well("CREATE common");
    for (rights, told) in
        [("", None), ("r", None), ("l", Some("* LIST (\\NoAccess)")), ("lr", Some("* STATUS"))]
    {
        alice.well(&format!("SETACL common bob@demo.example \"{rights}\""));
        let set = "NOTIFY SET STATUS (subtree \"Other Users\" (MessageNew MessageExpunge))";
        let lines = bob.well(set);
        let is_told = |line: &String| told.is_some_and(|told| line.starts_with(told));
        assert!(lines.len() == usize::from(told.is_some()), "{rights}: {lines:?}");
        assert!(lines.iter().all(is_told), "{rights}: {lines:?}");
        alice.well("APPEND common {1+}\r\nx");
        let lines = bob.well("NOOP");
        assert_eq!(lines.len(), usize::from(rights == "lr"), "{rights}: {lines:?}");
        bob.well("NOTIFY NONE");
    }
}

#[test]
fn every_command_stands_in_a_list_of_rights() {
    let known: BTreeSet<&str> = ROWS
        .iter()
        .map(|row| row.name)
        .chain([WITHOUT_RIGHTS, TELLING_LESS, ONCE_OPEN].into_iter().flatten().copied())
        .collect();
    let all = EXTENSIONS.iter().flat_map(|extension| extension.rows).map(|row| row.name);
    let unknown: Vec<_> = all.filter(|name| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "which rights do these take? {unknown:?}");
}
