//! Delivery status notifications (RFC 3464, RFC 6533): a message in three parts, for people, for
//! programs, and of the original. Values in, octets out.

use std::fmt::Write as _;

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use mail_builder::{
    MessageBuilder,
    headers::{content_type::ContentType, raw::Raw},
    mime::MimePart,
};

use super::answer::{Status, split_line};
use crate::{
    mail::{field, rewrite::quoted_printable},
    store::{Queued, QueuedRecipient, RecipientState},
    wire::{
        address::Address,
        envelope::{Body, Envelope, Notify, Recipient},
    },
};

/// Octets of the original's header that are returned.
const HEADER_MAX: usize = 64 << 10;
/// Columns of a field before it is folded.
const FOLD: usize = 76;
/// Content-Transfer-Encodings.
const SEVEN_BITS: &str = "7bit";
const EIGHT_BITS: &str = "8bit";

/// What is reported.
pub(super) struct Report<'a> {
    /// Who reports.
    pub(super) hostname: &'a str,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// When a delayed message will be given up.
    pub(super) until: i64,
    pub(super) message: &'a Queued,
    /// Whose fate is reported.
    pub(super) told: &'a [&'a QueuedRecipient],
    /// The original's header with its empty line.
    pub(super) header: &'a [u8],
    /// The whole original, when it is to be returned.
    pub(super) full: Option<&'a [u8]>,
    /// The left side of the Message-ID.
    pub(super) id: &'a str,
}

/// A report, ready to be submitted.
pub(super) struct Notification {
    pub(super) envelope: Envelope,
    pub(super) octets: Vec<u8>,
}

/// `action-value` (RFC 3464 §2.3.3)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
}

impl Action {
    fn of(recipient: &QueuedRecipient) -> Self {
        match recipient.state {
            RecipientState::Waiting => Self::Delayed,
            RecipientState::Delivered => Self::Delivered,
            RecipientState::Relayed => Self::Relayed,
            RecipientState::Failed => Self::Failed,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }

    const fn subject(self) -> &'static str {
        match self {
            Self::Failed => "Your message could not be delivered",
            Self::Delayed => "Your message is delayed",
            Self::Delivered => "Your message was delivered",
            Self::Relayed => "Your message was passed on",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Failed => {
                "could not be delivered to the recipients below, and is not tried again:"
            }
            Self::Delayed => {
                "could not be delivered yet to the recipients below. You need not send it again: \
                 it is tried further"
            }
            Self::Delivered => "was delivered to:",
            Self::Relayed => "was passed on to a server that does not tell what became of it, for:",
        }
    }
}

/// Writes the report; None when nobody is to be told.
pub(super) fn notification(report: &Report<'_>) -> Option<Notification> {
    let to = report.message.envelope.reverse_path.address()?;
    let worst = report.told.iter().map(|to| Action::of(to)).min()?;
    let status = status(report);
    // A header that nobody declared to be UTF-8 is returned as it came, in the forms for all
    // (RFC 6533 §3).
    let declared = report.message.envelope.utf8;
    let international = !status.is_ascii() || declared && !report.header.is_ascii();
    let kind = |plain: &'static str, global: &'static str| {
        ContentType::new(if international { global } else { plain })
    };
    let mut parts = vec![MimePart::new("text/plain", text(report))];
    let mut label = SEVEN_BITS;
    let mut add = |kind, octets: Vec<u8>| {
        let encoding = if octets.is_ascii() { SEVEN_BITS } else { EIGHT_BITS };
        if encoding == EIGHT_BITS {
            label = encoding;
        }
        parts.push(MimePart::new(kind, octets).transfer_encoding(encoding));
    };
    let kind_of_status = kind("message/delivery-status", "message/global-delivery-status");
    add(kind_of_status, status.into_bytes());
    match report.full {
        Some(full) if declared || report.header.is_ascii() => {
            let kind = kind("message/rfc822", "message/global");
            add(kind, without_return_path(full).to_vec());
        }
        _ if international => {
            add(ContentType::new("message/global-headers"), headers(report.header));
        }
        _ => parts.push(plain_headers(headers(report.header))),
    }
    let from = format!("mailer-daemon@{}", report.hostname);
    let mut message = MessageBuilder::new()
        .from(("Mail Delivery System", from.as_str()))
        .to(to.to_string())
        .subject(worst.subject())
        .date(report.now)
        .message_id(format!("{}@{}", report.id, report.hostname))
        .header("Auto-Submitted", Raw::new("auto-replied"));
    if let Some(id) = original_id(report.header) {
        message = message.in_reply_to(id.clone()).references(id);
    }
    let kind = ContentType::new("multipart/report").attribute("report-type", "delivery-status");
    let body = MimePart::new(kind, parts).transfer_encoding(label);
    let octets = message.body(body).write_to_vec().ok()?;
    let recipient = Recipient { notify: Some(Notify::NEVER), ..Recipient::from(to.clone()) };
    let body = if octets.is_ascii() { Body::SevenBit } else { Body::EightBit };
    let utf8 = to.needs_utf8();
    let envelope = Envelope { recipients: vec![recipient], body, utf8, ..Envelope::default() };
    Some(Notification { envelope, octets })
}

/// `text/rfc822-headers`, of which seven bits are expected (RFC 6522 §4): others are encoded.
fn plain_headers(headers: Vec<u8>) -> MimePart<'static> {
    let kind = ContentType::new("text/rfc822-headers");
    if headers.is_ascii() {
        return MimePart::new(kind, headers).transfer_encoding(SEVEN_BITS);
    }
    MimePart::new(kind, quoted_printable(&headers)).transfer_encoding("quoted-printable")
}

/// For people.
fn text(report: &Report<'_>) -> String {
    let mut text = format!("This is the mail server {}.\r\n", report.hostname);
    for action in [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed] {
        let told: Vec<_> = report.told.iter().filter(|to| Action::of(to) == action).collect();
        if told.is_empty() {
            continue;
        }
        let _ = write!(text, "\r\nYour message {}", action.sentence());
        if action == Action::Delayed {
            let _ = write!(text, " until {}.\r\nIt is for:", date(report.until));
        }
        text.push_str("\r\n");
        for to in told {
            let _ = write!(text, "\r\n    {}\r\n", to.recipient.address);
            if action != Action::Delivered {
                let (_, said) = split_line(&to.reply);
                let by =
                    if to.remote.is_empty() { String::new() } else { format!("{}: ", to.remote) };
                let _ = write!(text, "    {by}{}\r\n", clean(said));
            }
            if let Some(advice) = advice(action, to) {
                let _ = write!(text, "    {advice}\r\n");
            }
        }
    }
    text
}

/// What it means in plain words, and what can be done; none where only the server's own words help.
fn advice(action: Action, to: &QueuedRecipient) -> Option<&'static str> {
    if action != Action::Failed {
        return None;
    }
    Some(match split_line(&to.reply).0 {
        Status(5, 1, 1) => "There is no such mailbox. Please check what stands before the @.",
        Status(5, 1, 2) => "There is no such domain. Please check what stands behind the @.",
        Status(5, 1, 10) => "This domain takes no mail. Please check what stands behind the @.",
        Status(5, 2, 1) => "The mailbox is closed. Please ask the recipient in another way.",
        Status(_, 2, 2) => "The mailbox is full. Please try again later.",
        Status(5, 3, 4) => "The message is too large. Please send it without its attachments.",
        Status(5, 4, 4) => "The domain names no server that can be found.",
        Status(5, 4, 6) => "The message would go round in a circle. Please tell your postmaster.",
        Status(5, 6, 7) => {
            "The server there knows only addresses and subjects in plain letters (A to Z)."
        }
        Status(5, 7, _) => "The server there does not want this message, or none from you.",
        Status(4, ..) if to.attempts > 0 => {
            "This was tried many times, for days. Please try again later."
        }
        _ => return None,
    })
}

/// For programs: `delivery-status-content` (RFC 3464 §2.1).
fn status(report: &Report<'_>) -> String {
    let mut out = String::new();
    put(&mut out, "Reporting-MTA", &format!("dns; {}", report.hostname));
    if let Some(id) = &report.message.envelope.envid {
        put(&mut out, "Original-Envelope-Id", id.as_str());
    }
    if let Some(from) = received_from(report) {
        put(&mut out, "Received-From-MTA", &format!("dns; {from}"));
    }
    put(&mut out, "Arrival-Date", &date(report.message.created));
    for to in report.told {
        out.push_str("\r\n");
        let action = Action::of(to);
        if let Some(orcpt) = &to.recipient.orcpt {
            let value = format!("{};{}", orcpt.addr_type(), orcpt.address());
            put(&mut out, "Original-Recipient", &value);
        }
        put(&mut out, "Final-Recipient", &typed(&to.recipient.address));
        put(&mut out, "Action", action.word());
        let (status, said) = split_line(&to.reply);
        if action == Action::Delivered {
            put(&mut out, "Status", "2.0.0");
        } else {
            put(&mut out, "Status", &status.to_string());
        }
        if !to.remote.is_empty() {
            put(&mut out, "Remote-MTA", &format!("dns; {}", to.remote));
            put(&mut out, "Diagnostic-Code", &format!("smtp; {said}"));
        }
        if let Some(last) = to.last_attempt {
            put(&mut out, "Last-Attempt-Date", &date(last));
        }
        put(&mut out, "Final-Log-ID", &report.message.trace);
        if action == Action::Delayed {
            put(&mut out, "Will-Retry-Until", &date(report.until));
        }
    }
    out
}

/// Who gave us the message: the name it called itself by and its address, from our own Received field
/// (RFC 3464 §2.2.4).
fn received_from(report: &Report<'_>) -> Option<String> {
    let field = field::find(report.header, b"Received")?;
    let value = String::from_utf8(field::unfold(field.value).into_owned()).ok()?;
    let (from, by) = value.strip_prefix("from ")?.split_once(" by ").or_else(|| {
        // Unfolding leaves the tab before it.
        value.strip_prefix("from ")?.split_once("\tby ")
    })?;
    let ours = format!("{} with ", report.hostname);
    let id = format!(" id {}", report.message.trace);
    (by.starts_with(&ours) && by.contains(&id)).then(|| from.trim().to_owned())
}

/// `address-type ";" generic-address` (RFC 3464 §2.1.2, RFC 6533 §4)
fn typed(address: &Address) -> String {
    let text = address.to_string();
    let kind = if text.is_ascii() { "rfc822" } else { "utf-8" };
    format!("{kind};{text}")
}

/// A field, folded; no value can end it.
fn put(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(':');
    let mut column = name.len();
    for word in clean(value).split(' ').filter(|word| !word.is_empty()) {
        column = column.saturating_add(word.len()).saturating_add(1);
        if column > FOLD {
            out.push_str("\r\n");
            column = word.len();
        }
        out.push(' ');
        out.push_str(word);
    }
    out.push_str("\r\n");
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The original's header as it was sent to us, as far as it is not too long.
fn headers(header: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    for field in field::fields(without_return_path(header)) {
        if kept.len().saturating_add(field.raw.len()) > HEADER_MAX {
            break;
        }
        kept.extend_from_slice(field.raw);
    }
    kept
}

/// Return-Path is ours, not the sender's.
fn without_return_path(message: &[u8]) -> &[u8] {
    match field::fields(message).next() {
        Some(field) if field.is(b"Return-Path") => {
            message.get(field.raw.len()..).unwrap_or_default()
        }
        _ => message,
    }
}

/// The original's Message-ID without its brackets, so that clients show both together.
fn original_id(header: &[u8]) -> Option<String> {
    let value = field::unfold(field::find(header, b"Message-ID")?.value).into_owned();
    let id = String::from_utf8(value).ok()?;
    let id = id.strip_prefix('<')?.strip_suffix('>')?;
    let plain =
        id.len() <= 250 && id.bytes().all(|b| matches!(b, b'!'..=b'~') && !b"<>".contains(&b));
    plain.then(|| id.to_owned())
}

fn date(at: i64) -> String {
    let at = Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH);
    rfc2822::to_string(&at.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;
    use crate::{
        queue::fate::tests::message,
        wire::envelope::{EnvId, Orcpt},
    };

    const HEADER: &[u8] =
        b"Return-Path: <a@here.example>\r\nMessage-ID: <1@x>\r\nSubject: secret plans\r\n\r\n";

    fn failed(from: &str, to: &str) -> Queued {
        let mut message = message(from, to, None);
        let recipient = message.recipients.first_mut().unwrap();
        recipient.state = RecipientState::Failed;
        recipient.reply = "5.1.1 550 5.1.1 no such user\r\nX: injected".into();
        recipient.remote = "mx.there.example".into();
        recipient.last_attempt = Some(60);
        message
    }

    fn report(message: &Queued, header: &[u8], full: Option<&[u8]>) -> (Envelope, String) {
        let told: Vec<_> = message.recipients.iter().collect();
        let notification = notification(&Report {
            hostname: "here.example",
            now: 120,
            until: 432_000,
            message,
            told: &told,
            header,
            full,
            id: "r1",
        });
        let notification = notification.unwrap();
        (notification.envelope, String::from_utf8(notification.octets).unwrap())
    }

    #[test]
    fn a_failure_is_told_to_people_and_to_programs() {
        let mut message = failed("a@here.example", "bob@there.example");
        message.envelope.envid = EnvId::from_value("QQ 314").ok();
        message.recipients[0].recipient.orcpt = Orcpt::parse("rfc822;robert@x").ok();
        let (envelope, octets) = report(&message, HEADER, None);
        assert!(envelope.reverse_path.is_null());
        assert_eq!(envelope.recipients[0].address.to_string(), "a@here.example");
        assert_eq!(envelope.recipients[0].notify, Some(Notify::NEVER));
        let parsed = MessageParser::default().parse(octets.as_bytes()).unwrap();
        assert_eq!(
            parsed.from().unwrap().first().unwrap().address().unwrap(),
            "mailer-daemon@here.example"
        );
        let kind = parsed.content_type().unwrap();
        assert_eq!((kind.ctype(), kind.subtype()), ("multipart", Some("report")));
        assert_eq!(kind.attribute("report-type"), Some("delivery-status"));
        assert_eq!(parsed.in_reply_to().as_text(), Some("1@x"));
        let people = parsed.body_text(0).unwrap();
        assert!(
            people.contains("no such user") && people.contains("check what stands before the @")
        );
        let status = "Reporting-MTA: dns; here.example\r\n\
            Original-Envelope-Id: QQ 314\r\n\
            Arrival-Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n\
            Original-Recipient: rfc822;robert@x\r\n\
            Final-Recipient: rfc822;bob@there.example\r\n\
            Action: failed\r\n\
            Status: 5.1.1\r\n\
            Remote-MTA: dns; mx.there.example\r\n\
            Diagnostic-Code: smtp; 550 5.1.1 no such user X: injected\r\n\
            Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n\
            Final-Log-ID: t\r\n";
        assert!(octets.contains(status), "{octets}");
        assert!(octets.contains("Content-Type: text/rfc822-headers"));
        assert!(octets.contains("Subject: secret plans"));
        assert!(!octets.contains("Return-Path"));
        assert!(octets.contains("Auto-Submitted: auto-replied"));
    }

    #[test]
    fn who_gave_us_the_message_is_told_from_our_own_trace_field_alone() {
        let message = failed("a@here.example", "b@x");
        let field = |by: &str, id: &str| {
            format!(
                "Return-Path: <a@here.example>\r\nReceived: from relay.example ([192.0.2.7])\r\n\
                 \tby {by} with ESMTPS id {id}\r\n\tfor <b@x>;\r\n\tdate\r\n\r\n"
            )
        };
        let told = "Received-From-MTA: dns; relay.example ([192.0.2.7])\r\nArrival-Date: ";
        let (_, octets) = report(&message, field("here.example", "t").as_bytes(), None);
        assert!(octets.contains(told), "{octets}");
        for other in [field("there.example", "t"), field("here.example", "u")] {
            let (_, octets) = report(&message, other.as_bytes(), None);
            assert!(!octets.contains("Received-From-MTA"), "{octets}");
        }
    }

    #[test]
    fn the_whole_message_comes_back_as_a_message() {
        let full = [HEADER, b"the plans\r\n"].concat();
        let (_, octets) = report(&failed("a@here.example", "b@x"), HEADER, Some(&full));
        let parsed = MessageParser::default().parse(octets.as_bytes()).unwrap();
        let inner = parsed.attachments().find_map(|part| part.message()).unwrap();
        assert_eq!(inner.subject(), Some("secret plans"));
        assert!(octets.contains("\r\n\r\nthe plans\r\n"));
    }

    #[test]
    fn names_beyond_ascii_are_reported_in_the_forms_of_rfc_6533() {
        let message = failed("дядя@here.example", "тётя@there.example");
        let (envelope, octets) = report(&message, HEADER, None);
        assert!(envelope.utf8);
        assert!(octets.contains("Content-Type: message/global-delivery-status"));
        assert!(octets.contains("Final-Recipient: utf-8;тётя@there.example"));
    }

    #[test]
    fn a_header_that_was_not_declared_comes_back_as_plain_text() {
        let header = "Subject: gr\u{fc}\u{df}e\r\n\r\n".as_bytes();
        let full = [header, b"hi\r\n"].concat();
        let mut message = failed("a@here.example", "b@x");
        let (_, octets) = report(&message, header, Some(&full));
        assert!(octets.contains("Content-Type: text/rfc822-headers"), "{octets}");
        assert!(octets.contains("Content-Transfer-Encoding: quoted-printable\r\n"), "{octets}");
        assert!(octets.contains("Subject: gr=C3=BC=C3=9Fe\r\n"), "{octets}");
        assert!(octets.contains("Content-Type: message/delivery-status"));
        assert!(octets.is_ascii() && !octets.contains("\r\nhi\r\n"));
        message.envelope.utf8 = true;
        let (_, octets) = report(&message, header, Some(&full));
        assert!(octets.contains("Content-Type: message/global\r\n"), "{octets}");
        assert!(octets.contains("Content-Type: message/global-delivery-status"));
    }

    #[test]
    fn what_holds_eight_bits_says_so() {
        let label = "Content-Transfer-Encoding: ";
        let message = failed("a@here.example", "b@x");
        for (body, around, returned) in [("hi", "7bit", "7bit"), ("h\u{ef}", "8bit", "8bit")] {
            let full = [HEADER, body.as_bytes(), b"\r\n"].concat();
            let (envelope, octets) = report(&message, HEADER, Some(&full));
            assert_eq!(envelope.body == Body::EightBit, around == "8bit");
            let (head, parts) = octets.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("{label}{around}")), "{head}");
            let header_of = |kind: &str| {
                let (_, behind) = parts.split_once(&format!("Content-Type: {kind}")).unwrap();
                behind.split_once("\r\n\r\n").unwrap().0.to_owned()
            };
            assert!(header_of("message/rfc822").contains(&format!("{label}{returned}")));
            assert!(header_of("message/delivery-status").contains(&format!("{label}7bit")));
        }
    }

    #[test]
    fn a_delay_says_until_when() {
        let mut message = failed("a@here.example", "b@x");
        message.recipients[0].state = RecipientState::Waiting;
        message.recipients[0].reply = "4.4.1 cannot connect".into();
        message.recipients[0].remote = String::new();
        let (_, octets) = report(&message, HEADER, None);
        assert!(octets.contains("Action: delayed\r\nStatus: 4.4.1\r\n"));
        assert!(octets.contains("Will-Retry-Until: Tue, 6 Jan 1970 00:00:00 +0000"));
        assert!(!octets.contains("Diagnostic-Code"));
    }

    #[test]
    fn nobody_is_told_of_what_nobody_sent() {
        let message = failed("", "b@x");
        let told: Vec<_> = message.recipients.iter().collect();
        let (header, full) = (HEADER, None);
        let report = Report {
            hostname: "h",
            now: 0,
            until: 0,
            message: &message,
            told: &told,
            header,
            full,
            id: "r",
        };
        assert!(notification(&report).is_none());
    }

    #[test]
    fn long_diagnostics_are_folded() {
        let mut out = String::new();
        put(&mut out, "Diagnostic-Code", &"word ".repeat(100));
        assert!(out.lines().all(|line| line.len() <= FOLD + 8));
        assert!(out.ends_with("\r\n"));
    }
}
