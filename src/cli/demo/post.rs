//! Which message lies where, and how it is marked.

use std::sync::Arc;

use super::{
    bulk::{self, Album},
    people::{ALICE, BOB, Person, ZOE},
    sketch::Sketch,
    threads,
};

const DAY: i64 = 86_400;

/// A message in a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Filed {
    pub(super) user: Person,
    pub(super) mailbox: &'static str,
    pub(super) flags: Vec<String>,
    pub(super) date: i64,
    pub(super) octets: Arc<Vec<u8>>,
}

/// All mail of both users, oldest first.
pub(super) fn all(now: i64) -> Vec<Filed> {
    let album = Album::draw();
    let mut all = Vec::new();
    for sketch in threads::all(now) {
        file(&sketch, now, &mut all);
    }
    for sketch in bulk::newsletters(now, &album)
        .iter()
        .chain(&bulk::orders(now))
        .chain(&bulk::builds(now, &album))
        .chain(&bulk::files(now, &album))
    {
        file(sketch, now, &mut all);
    }
    for sketch in bulk::junk(now) {
        let octets = Arc::new(sketch.octets());
        put(&mut all, ALICE, "Junk", &["$Junk"], &sketch, &octets);
    }
    for sketch in bulk::drafts(now) {
        let octets = Arc::new(sketch.octets());
        put(&mut all, ALICE, "Drafts", &["\\Draft", "\\Seen"], &sketch, &octets);
    }
    all.sort_by_key(|filed| filed.date);
    all
}

/// Puts a message where each of our users who has to do with it keeps it.
fn file(sketch: &Sketch, now: i64, all: &mut Vec<Filed>) {
    let octets = Arc::new(sketch.octets());
    for user in [ALICE, BOB] {
        if sketch.from == user {
            put(all, user, "Sent", &["\\Seen"], sketch, &octets);
        } else if sketch.to.contains(&user) || sketch.cc.contains(&user) {
            let age = now - sketch.date;
            let mailbox = mailbox(sketch, age);
            put(all, user, mailbox, &flags(sketch, age), sketch, &octets);
        }
    }
}

/// Old mail is in the archive, lists have a mailbox of their own.
fn mailbox(sketch: &Sketch, age: i64) -> &'static str {
    match sketch.list {
        Some("builds.ci.example") => "Builds",
        Some(_) if age > 14 * DAY => "Newsletters",
        None if age > 60 * DAY => "Archive",
        _ => "INBOX",
    }
}

/// What was seen, answered or thought worth a flag.
fn flags(sketch: &Sketch, age: i64) -> Vec<&'static str> {
    let mut flags = Vec::new();
    if age > 2 * DAY {
        flags.push("\\Seen");
    }
    if age > 2 * DAY && sketch.subject.starts_with("Re:") && sketch.list.is_none() {
        flags.push("\\Answered");
    }
    if sketch.from == ZOE || sketch.subject.contains("FAILED") {
        flags.push("\\Flagged");
    }
    if sketch.subject.contains("receipt") {
        flags.push("Receipts");
    }
    if sketch.subject.contains("Budget") {
        flags.push("$Important");
    }
    flags
}

fn put(
    all: &mut Vec<Filed>,
    user: Person,
    mailbox: &'static str,
    flags: &[&str],
    sketch: &Sketch,
    octets: &Arc<Vec<u8>>,
) {
    let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    all.push(Filed { user, mailbox, flags, date: sketch.date, octets: Arc::clone(octets) });
}

/// What trickles in while the demonstration runs.
pub(super) fn next(number: usize, now: i64) -> Sketch {
    let lines = [
        ("Coffee? ☕", "I'm at the pier in ten minutes. You?"),
        ("Re: Coffee? ☕", "Make it fifteen, I'm still looking for my keys."),
        ("Wind is turning", "South-west by now, 16 knots. Good for tomorrow!"),
        ("Kurze Frage", "Hast du noch die Nummer vom Hafenmeister? Grüße!"),
        ("写真です", "今朝の港です。とてもきれいでした。"),
        ("Tickets", "Got them! Row 7, in the middle. 🎭"),
    ];
    let (subject, text) = lines.get(number % lines.len()).copied().unwrap_or_default();
    let to = if number % 3 == 2 { BOB } else { ALICE };
    Sketch::new(ZOE, &[to], subject, text, now)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn both_users_have_some_hundred_messages_of_many_kinds() {
        let all = all(1_800_000_000);
        let of = |user: Person| all.iter().filter(|filed| filed.user == user).count();
        assert!((200..500).contains(&of(ALICE)), "{}", of(ALICE));
        assert!((80..300).contains(&of(BOB)), "{}", of(BOB));
        let mailboxes: BTreeSet<_> = all.iter().map(|filed| filed.mailbox).collect();
        for mailbox in ["INBOX", "Sent", "Drafts", "Junk", "Archive", "Newsletters", "Builds"] {
            assert!(mailboxes.contains(mailbox), "{mailbox}");
        }
        let has = |kind: &str| {
            all.iter().any(|filed| memchr::memmem::find(&filed.octets, kind.as_bytes()).is_some())
        };
        for kind in
            ["application/pdf", "image/jpeg", "image/png", "text/calendar", "text/html", "text/csv"]
        {
            assert!(has(kind), "{kind}");
        }
    }

    #[test]
    fn every_message_is_whole_and_refers_to_what_was_before() {
        use mail_parser::MessageParser;
        for filed in all(1_800_000_000) {
            let message = MessageParser::new().parse(filed.octets.as_slice()).unwrap();
            assert!(message.message_id().is_some() && message.date().is_some());
            assert!(filed.date <= 1_800_000_000 + 2 * DAY);
            let text = String::from_utf8_lossy(&filed.octets);
            assert!(text.lines().all(|line| line.len() < 998));
            assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{text}");
            if message.subject().unwrap_or_default().starts_with("Re: Monday") {
                assert!(message.in_reply_to().as_text().is_some());
            }
        }
    }
}
