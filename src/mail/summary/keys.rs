//! What messages are sorted and threaded by, computed once (RFC 5256, RFC 5957).

use super::{Address, Summary, date::unix_seconds};
use crate::mail::{
    budget::Budget,
    converted::{Converted, Converting},
    field::{find, unfold},
    structure::Limits,
    words,
};
use crate::wire::work::looked_at;

/// More message ids of one field are not read.
const IDS_MAX: usize = 100;
/// Longer message ids are none (RFC 5322 §2.1.1).
const ID_MAX: usize = 998;
/// So much of a subject or a name is compared.
const KEY_MAX: usize = 1_000;

/// Sort and thread keys. Texts are as [`Converted::into_key`] makes them, not yet casemapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The subject without `Re:`, `[list]`, `(fwd)` (RFC 5256 §2.1).
    pub base_subject: String,
    /// Something was taken off that a reply or a forwarded message has.
    pub is_reply: bool,
    /// The Date field in seconds since 1970; nothing: use the date of arrival (RFC 5256 §2.2).
    pub sent: Option<i64>,
    /// What the first From address is shown as (RFC 5957 §3): its name, else the address.
    pub display_from: String,
    /// What the first To address is shown as.
    pub display_to: String,
    /// What the first Cc address is shown as.
    pub display_cc: String,
    /// Message ids without their angle brackets.
    pub message_id: Option<Vec<u8>>,
    pub in_reply_to: Vec<Vec<u8>>,
    pub references: Vec<Vec<u8>>,
}

impl Keys {
    /// Says too whether there were more encoded words than are decoded.
    pub(super) fn read(summary: &Summary, header: &[u8], limits: &Limits) -> (Self, bool) {
        let ids = |text: Option<&[u8]>| text.map(message_ids).unwrap_or_default();
        let mut left = Budget::new(limits.encoded_words);
        let subject = summary.subject.as_deref().unwrap_or_default();
        let (base, is_reply) = base_subject(subject, &mut left);
        let references = find(header, b"references").map(|field| unfold(field.value));
        let keys = Self {
            base_subject: base,
            is_reply,
            sent: summary.date.as_deref().and_then(|date| unix_seconds(date, limits.comment_depth)),
            display_from: display(&summary.from, &mut left),
            display_to: display(&summary.to, &mut left),
            display_cc: display(&summary.cc, &mut left),
            message_id: ids(summary.message_id.as_deref()).into_iter().next(),
            in_reply_to: ids(summary.in_reply_to.as_deref()),
            references: ids(references.as_deref()),
        };
        (keys, left.is_short())
    }
}

/// The first of a list, as a person sees it (RFC 5957 §3).
fn display(list: &[Address], words_left: &mut Budget) -> String {
    let Some(first) = list.first() else { return String::new() };
    let name = first.name.as_deref().map(|name| name.get(..KEY_MAX).unwrap_or(name));
    let mut text = Converting::default();
    if let Some(name) = name {
        words::convert_within(name, words_left, &mut text);
    }
    if text.is_empty() {
        if let Some(mailbox) = &first.mailbox {
            words::convert_within(mailbox, words_left, &mut text);
        }
        if let (Some(_), Some(host)) = (&first.mailbox, &first.host) {
            text.push_ours("@");
            text.push(b"", host);
        }
    }
    text.end().into_key(KEY_MAX)
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(KEY_MAX));
}

/// The ids in angle brackets. The first (the thread's root) and the last ones are kept; one that comes
/// again stands there again, for the last is the parent (RFC 5256 §3 REFERENCES (1)(B)).
///
/// Without any bracket the words are the ids, as old programs write them.
fn message_ids(value: &[u8]) -> Vec<Vec<u8>> {
    let mut ids: Vec<Vec<u8>> = Vec::new();
    let mut rest = value;
    while let Some(start) = memchr::memchr(b'<', rest) {
        let Some((_, behind)) = rest.split_at_checked(start.saturating_add(1)) else { break };
        let end = memchr::memchr2(b'>', b'<', behind).unwrap_or(behind.len());
        let Some((id, behind)) = behind.split_at_checked(end) else { break };
        rest = behind;
        keep_id(&mut ids, id);
    }
    if ids.is_empty() {
        value.split(u8::is_ascii_whitespace).for_each(|word| {
            if memchr::memchr(b'@', word).is_some() {
                keep_id(&mut ids, word);
            }
        });
    }
    ids
}

fn keep_id(ids: &mut Vec<Vec<u8>>, id: &[u8]) {
    let id: Vec<u8> = id.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
    if id.is_empty() || id.len() > ID_MAX || ids.last() == Some(&id) {
        return;
    }
    if ids.len() >= IDS_MAX {
        looked_at(ids.len());
        ids.remove(1);
    }
    ids.push(id);
}

/// The base subject of a raw Subject, and whether it is that of a reply or a forwarded message
/// (RFC 5256 §2.1). Decodes at most `words_left` encoded words.
pub fn base_subject(subject: &[u8], words_left: &mut Budget) -> (String, bool) {
    let mut decoded = Converting::default();
    words::convert_within(subject, words_left, &mut decoded);
    let decoded = decoded.end();
    let mut text = String::with_capacity(decoded.text.len().min(KEY_MAX));
    for word in decoded.text.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        if text.len() > KEY_MAX {
            break;
        }
    }
    shorten(&mut text);
    let (base, is_reply) = strip(&text);
    let base = Converted { text: base.to_owned(), form: decoded.form };
    (base.into_key(KEY_MAX), is_reply)
}

fn strip(text: &str) -> (&str, bool) {
    let mut base = text.trim();
    let mut is_reply = false;
    loop {
        while let Some(rest) = strip_suffix(base, "(fwd)") {
            base = rest.trim_end();
            is_reply = true;
        }
        loop {
            if let Some(rest) = strip_leader(base) {
                base = rest;
                is_reply = true;
            } else if let Some(rest) = strip_blob(base).filter(|rest| !rest.is_empty()) {
                base = rest;
            } else {
                break;
            }
        }
        let inner = strip_prefix(base, "[fwd:").and_then(|rest| rest.strip_suffix(']'));
        match inner {
            Some(inner) => base = inner.trim(),
            None => return (base, is_reply),
        }
        is_reply = true;
    }
}

/// `subj-leader = *subj-blob ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn strip_leader(text: &str) -> Option<&str> {
    looked_at(1);
    let mut rest = text;
    while let Some(behind) = strip_blob(rest) {
        rest = behind;
    }
    let mark = ["re", "fwd", "fw"].iter().find_map(|mark| strip_prefix(rest, mark))?;
    let mark = mark.trim_start();
    let mark = strip_blob(mark).unwrap_or(mark);
    Some(mark.strip_prefix(':')?.trim_start())
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn strip_blob(text: &str) -> Option<&str> {
    let (inner, rest) = text.strip_prefix('[')?.split_once(']')?;
    if inner.contains('[') {
        return None;
    }
    Some(rest.trim_start())
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_stripped_to_their_base() {
        for (subject, base, is_reply) in [
            ("Hello", "Hello", false),
            ("Re: Hello", "Hello", true),
            ("RE : [list] re[2]: FW: Hello  (fwd) (FWD)", "Hello", true),
            ("[list] Hello", "Hello", false),
            ("[a] [b] Re: [c] Hello", "Hello", true),
            ("[only]", "[only]", false),
            ("[a][b]", "[b]", false),
            ("[Fwd: Re: Hello]", "Hello", true),
            ("=?utf-8?q?Re=3A_Gr=C3=BC=C3=9Fe?=", "Grüße", true),
            ("Report: x", "Report: x", false),
            ("re: ", "", true),
            ("", "", false),
        ] {
            assert_eq!(
                base_subject(subject.as_bytes(), &mut Budget::new(100)),
                (base.to_owned(), is_reply),
                "{subject}"
            );
        }
    }

    #[test]
    fn ids_lose_their_brackets_and_keep_their_order() {
        let ids = message_ids(b"<a@b><a@b> (x) <c@d><a@b> <e @f");
        assert_eq!(ids, [&b"a@b"[..], b"c@d", b"a@b", b"e@f"]);
        assert_eq!(message_ids(b"a@b c"), [&b"a@b"[..]]);
    }

    #[test]
    fn of_too_many_ids_the_root_and_the_last_are_kept() {
        let many: String = (0..150).map(|n| format!("<{n}@x> ")).collect();
        let ids = message_ids(many.as_bytes());
        assert_eq!(ids.len(), IDS_MAX);
        assert_eq!((&*ids[0], &*ids[1], &*ids[99]), (&b"0@x"[..], &b"51@x"[..], &b"149@x"[..]));
    }

    #[test]
    fn names_are_shown_decoded_and_addresses_whole() {
        let encoded = Address::new(Some("=?utf-8?q?K=C3=A4the?="), "k", "x.example");
        assert_eq!(display(&[encoded], &mut Budget::new(100)), "Käthe");
        assert_eq!(
            display(&[Address::new(None, "k", "x.example")], &mut Budget::new(0)),
            "k@x.example"
        );
        let empty = Address::new(Some("=?utf-8?q??="), "k", "x.example");
        assert_eq!(display(&[empty], &mut Budget::new(100)), "k@x.example");
    }
}
