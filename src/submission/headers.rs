//! Header repair for mail that starts here: what must be there is added, what must not leave is
//! taken out, and nothing else is touched, so that a client's signature stays good.

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use mail_parser::{HeaderName, HeaderValue, MessageParser};

use crate::{
    mail::field::{self, Field},
    wire::address::Address,
};

/// Fields that a message from its author cannot have, since others write them.
const TAKEN_OUT: [&str; 4] = ["Return-Path", "Delivered-To", "X-Original-To", "Received"];
/// Fields that only the author may read.
const SECRET: [&str; 2] = ["Bcc", "Resent-Bcc"];

/// What a repair puts in.
#[derive(Clone, Debug)]
pub(super) struct Repair {
    /// Fields in front of all others, each with its CRLF.
    pub(super) front: Vec<u8>,
    /// For a missing Date, in seconds since 1970.
    pub(super) now: i64,
    /// For a missing Message-ID, without angle brackets.
    pub(super) message_id: String,
    /// The name under which we write Authentication-Results (RFC 8601 §5): forged ones go.
    pub(super) own_id: String,
    /// Who shall read it.
    pub(super) reader: Reader,
}

/// Who reads a message that is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Those it is sent to.
    Recipients,
    /// Its author, who keeps a copy.
    Author,
}

impl Reader {
    fn may_not_see(self, field: &Field<'_>) -> bool {
        self == Self::Recipients && SECRET.iter().any(|name| field.is(name.as_bytes()))
    }
}

/// Fields that a message must have; one that says nothing is none (RFC 6409 §8.1, §8.2).
const NEEDED: [&str; 2] = ["Date", "Message-ID"];

/// The header, repaired. It comes, and goes, with the empty line behind it; it gets one where the
/// message has none.
pub(super) fn repair(header: &[u8], repair: Repair) -> Vec<u8> {
    let mut repaired = repair.front;
    let lacks = |name: &str| {
        !field::fields(header).any(|field| field.is(name.as_bytes()) && !says_nothing(&field))
    };
    if lacks("Date") {
        repaired.extend(format!("Date: {}\r\n", date(repair.now)).into_bytes());
    }
    if lacks("Message-ID") {
        repaired.extend(format!("Message-ID: <{}>\r\n", repair.message_id).into_bytes());
    }
    let mut taken = 0_usize;
    for field in field::fields(header) {
        taken = taken.saturating_add(field.raw.len());
        let goes = TAKEN_OUT.iter().any(|name| field.is(name.as_bytes()))
            || repair.reader.may_not_see(&field)
            || NEEDED.iter().any(|name| field.is(name.as_bytes())) && says_nothing(&field)
            || field.is(b"Authentication-Results") && is_by(field.value, &repair.own_id);
        if !goes {
            repaired.extend_from_slice(field.raw);
        }
    }
    match header.get(taken..).filter(|behind| !behind.is_empty()) {
        Some(behind) => repaired.extend_from_slice(behind),
        None if repaired.ends_with(b"\n") => repaired.extend_from_slice(b"\r\n"),
        None => repaired.extend_from_slice(b"\r\n\r\n"),
    }
    repaired
}

fn says_nothing(field: &Field<'_>) -> bool {
    field::unfold(field.value).is_empty()
}

/// Whether a message begins with a field, or with its empty line; else it has no header at all, and all
/// of it is text. A line that mailbox files have before a message is passed over as before.
pub(super) fn begins_with_header(start: &[u8]) -> bool {
    let Some(first) = field::fields(start).next() else { return true };
    let is_field = !first.name.is_empty() && first.name.iter().all(u8::is_ascii_graphic);
    is_field || start.starts_with(b"From ")
}

/// `date-time` (RFC 5322 §3.3); a time beyond all calendars is the epoch.
pub(super) fn date(now: i64) -> String {
    let now = Timestamp::from_second(now).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

/// `authserv-id` is the first word of the value (RFC 8601 §2.2).
fn is_by(value: &[u8], own_id: &str) -> bool {
    let value = field::unfold(value);
    let end = value.iter().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(value.len());
    value.get(..end).is_some_and(|id| id.eq_ignore_ascii_case(own_id.as_bytes()))
}

/// Who a message says wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Writers {
    /// There is no From.
    Nobody,
    /// All these must be the author's own.
    These(Vec<Address>),
    /// From or Sender cannot be read, or do not say who it was.
    Unclear,
}

/// From's only address, else Sender's; Sender's in any case when it is there (RFC 5322 §3.6.2). Whoever
/// is said to have sent it again is among them, in each such field (§3.6.6).
pub(super) fn writers(header: &[u8]) -> Writers {
    let (mut from, mut sender, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for field in field::fields(header) {
        if field.is(b"From") {
            from.push(field.raw);
        } else if field.is(b"Sender") {
            sender.push(field.raw);
        } else if field.is(b"Resent-From") {
            again.push(addresses(field.raw, &HeaderName::ResentFrom));
        } else if field.is(b"Resent-Sender") {
            again.push(addresses(field.raw, &HeaderName::ResentSender));
        }
    }
    let again: Option<Vec<_>> = again.into_iter().collect();
    match (authors(&from, &sender), again) {
        (Writers::These(mut writers), Some(again)) => {
            writers.extend(again.into_iter().flatten());
            Writers::These(writers)
        }
        (Writers::Nobody, Some(again)) if !again.is_empty() => {
            Writers::These(again.into_iter().flatten().collect())
        }
        (_, None) => Writers::Unclear,
        (authors, Some(_)) => authors,
    }
}

/// The writers by From and Sender.
fn authors(from: &[&[u8]], sender: &[&[u8]]) -> Writers {
    let (from, sender) = match (from, sender) {
        ([], []) => return Writers::Nobody,
        ([from], []) => (addresses(from, &HeaderName::From), Some(Vec::new())),
        ([from], [sender]) => {
            (addresses(from, &HeaderName::From), addresses(sender, &HeaderName::Sender))
        }
        _ => return Writers::Unclear,
    };
    match (from, sender) {
        (Some(mut one), Some(sender)) if one.len() == 1 => {
            one.extend(sender);
            Writers::These(one)
        }
        (Some(several), Some(sender)) if !several.is_empty() && !sender.is_empty() => {
            Writers::These(sender)
        }
        _ => Writers::Unclear,
    }
}

/// All addresses of a field, groups opened; None when one of them is none.
fn addresses(raw: &[u8], name: &HeaderName<'_>) -> Option<Vec<Address>> {
    let mut header = raw.to_vec();
    header.extend_from_slice(b"\r\n");
    let message = MessageParser::new().with_address_headers().parse_headers(&header)?;
    let value = message.headers().iter().find(|header| header.name == *name).map(|h| &h.value)?;
    let HeaderValue::Address(list) = value else { return None };
    list.iter().map(|address| Address::parse(address.address()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(header: &str) -> String {
        repaired_for(Reader::Recipients, header)
    }

    fn repaired_for(reader: Reader, header: &str) -> String {
        let with = Repair {
            reader,
            front: b"Received: here\r\n".into(),
            now: 784_887_151,
            message_id: "1@here.example".into(),
            own_id: "here.example".into(),
        };
        String::from_utf8(repair(header.as_bytes(), with)).unwrap()
    }

    #[test]
    fn what_is_missing_is_added() {
        assert_eq!(
            repaired("Subject: x\r\n\r\n"),
            "Received: here\r\nDate: Tue, 15 Nov 1994 08:12:31 +0000\r\n\
             Message-ID: <1@here.example>\r\nSubject: x\r\n\r\n"
        );
    }

    #[test]
    fn a_field_that_says_nothing_is_none() {
        for empty in ["Date:\r\nMessage-Id: \r\n", "Message-ID:\r\n \r\nDate:\r\n\t\r\n"] {
            let header = format!("{empty}Subject:\r\n\r\n");
            assert_eq!(
                repaired(&header),
                "Received: here\r\nDate: Tue, 15 Nov 1994 08:12:31 +0000\r\n\
                 Message-ID: <1@here.example>\r\nSubject:\r\n\r\n"
            );
        }
    }

    #[test]
    fn a_header_that_is_not_ended_is_ended() {
        let added = "Received: here\r\nDate: Tue, 15 Nov 1994 08:12:31 +0000\r\n\
            Message-ID: <1@here.example>\r\n";
        for (header, ended) in [
            ("", "\r\n"),
            ("\r\n", "\r\n"),
            ("Subject: x\r\n", "Subject: x\r\n\r\n"),
            ("Subject: x", "Subject: x\r\n\r\n"),
        ] {
            assert_eq!(repaired(header), format!("{added}{ended}"));
        }
    }

    #[test]
    fn what_begins_with_no_field_has_no_header() {
        for (start, header) in [
            ("Subject: x\r\n", true),
            ("Subject : x\r\n", true),
            ("\r\ntext", true),
            ("", true),
            ("From alice Thu\r\nTo: b\r\n", true),
            ("Dear Bob,\r\n", false),
            ("Dear Bob: hello\r\n", false),
            (" Subject: x\r\n", false),
            (": x\r\n", false),
        ] {
            assert_eq!(begins_with_header(start.as_bytes()), header, "{start}");
        }
    }

    #[test]
    fn what_must_not_leave_is_taken_out_with_its_folds_and_the_rest_stays() {
        let header = "Return-Path: <a@b>\r\nDate: today\r\nBCC: secret@x,\r\n other@x\r\n\
            message-id: <2@x>\r\nReceived: by\r\n\tme\r\nresent-bcc: b@x\r\nTo:  c@x \r\n\
            Authentication-Results: here.example; spf=pass\r\n\
            Authentication-Results: there.example; spf=pass\r\nno field\r\n\r\n";
        assert_eq!(
            repaired(header),
            "Received: here\r\nDate: today\r\nmessage-id: <2@x>\r\nTo:  c@x \r\n\
             Authentication-Results: there.example; spf=pass\r\nno field\r\n\r\n"
        );
    }

    #[test]
    fn the_author_keeps_what_nobody_else_may_read() {
        let header = "Date: today\r\nBCC: secret@x\r\nReceived: by me\r\nMessage-ID: <2@x>\r\n\r\n";
        assert_eq!(
            repaired_for(Reader::Author, header),
            "Received: here\r\nDate: today\r\nBCC: secret@x\r\nMessage-ID: <2@x>\r\n\r\n"
        );
    }

    #[test]
    fn the_writer_is_from_or_sender_when_from_has_several() {
        let these = |texts: &[&str]| {
            Writers::These(texts.iter().map(|text| Address::parse(text).unwrap()).collect())
        };
        let cases = [
            ("To: a@x\r\n", Writers::Nobody),
            ("From: \"A, B\" <a@x>\r\n", these(&["a@x"])),
            ("From: a@x\r\nSender: s@x\r\n", these(&["a@x", "s@x"])),
            // Programs differ on whom they show of these.
            ("From: <a@x> <b@x>\r\n", Writers::Unclear),
            ("From: a@x b@x\r\n", Writers::Unclear),
            ("From: a@x <b@x> c@x\r\n", Writers::Unclear),
            ("From: <a@x> b@x\r\n", Writers::Unclear),
            ("From: a@x\0b\r\n", Writers::Unclear),
            ("From: a@x, b@x\r\nSender: s@x\r\n", these(&["s@x"])),
            ("From: a@x, b@x\r\n", Writers::Unclear),
            ("From: a@x\r\nFrom: b@x\r\n", Writers::Unclear),
            ("From: Alice\r\n", Writers::Unclear),
            ("From:\r\n", Writers::Unclear),
            ("Sender: s@x\r\n", Writers::Unclear),
            (
                "Resent-From: r@x, B <q@x>\r\nResent-Sender: t@x\r\nFrom: a@x\r\nResent-From: u@x\r\n",
                these(&["a@x", "r@x", "q@x", "t@x", "u@x"]),
            ),
            ("From: a@x\r\nResent-From: nobody\r\n", Writers::Unclear),
            ("Resent-From: r@x\r\n", these(&["r@x"])),
        ];
        for (header, expected) in cases {
            assert_eq!(writers(format!("{header}\r\n").as_bytes()), expected, "{header}");
        }
    }
}
