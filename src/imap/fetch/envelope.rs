//! ENVELOPE (RFC 9051 §7.5.2): the stored summary as a list of lists.

use crate::{
    mail::summary::{AddressRef, Addresses, SummaryRef},
    wire::{Buffer, Encode},
};

/// `envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP
/// env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"`
pub struct Envelope<'s>(pub SummaryRef<'s>);

impl Encode for Envelope<'_> {
    fn encode(&self, out: &mut Buffer) {
        let summary = &self.0;
        out.put("(");
        out.nstring(summary.date);
        out.put(" ");
        out.nstring(summary.subject);
        let lists =
            [summary.from, summary.sender, summary.reply_to, summary.to, summary.cc, summary.bcc];
        for list in lists {
            out.put(" ");
            addresses(out, list);
        }
        out.put(" ");
        out.nstring(summary.in_reply_to);
        out.put(" ");
        out.nstring(summary.message_id);
        out.put(")");
    }
}

/// `"(" 1*address ")" / nil`
fn addresses(out: &mut Buffer, list: Addresses<'_>) {
    if list.is_empty() {
        return out.put("NIL");
    }
    out.put("(");
    for AddressRef { name, route, mailbox, host } in list {
        out.put("(");
        out.nstring(name);
        for text in [route, mailbox, host] {
            out.put(" ");
            out.nstring(text);
        }
        out.put(")");
    }
    out.put(")");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::budget::Budget;
    use crate::{
        mail::{structure::Limits, summary::Summary},
        wire::Names,
    };

    fn written(header: &[u8], names: Names) -> String {
        let (mut left, mut beyond) = (Budget::new(100), Vec::new());
        let stored = Summary::read(header, &mut left, &Limits::default(), &mut beyond).encode();
        let mut out = Buffer::default();
        out.set_names(names);
        out.put(Envelope(SummaryRef::parse(&stored).unwrap()));
        String::from_utf8_lossy(out.bytes()).into_owned()
    }

    #[test]
    fn the_example_of_rfc_9051_section_8() {
        let header = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
            From: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev2 WG mtg summary and minutes\r\n\
            To: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
        let gray = "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\"))";
        let expected = format!(
            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \
            \"IMAP4rev2 WG mtg summary and minutes\" {gray} {gray} {gray} \
            ((NIL NIL \"imap\" \"cac.washington.edu\")) \
            ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
            (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
            \"<B27397-0100000@cac.washington.edu>\")"
        );
        assert_eq!(written(header, Names::Modified7), expected);
    }

    #[test]
    fn a_group_begins_with_its_name_and_ends_with_nothing() {
        let text = written(b"To: friends: a@b, c@d;\r\n", Names::Modified7);
        let expected = "((NIL NIL \"friends\" NIL)(NIL NIL \"a\" \"b\")\
            (NIL NIL \"c\" \"d\")(NIL NIL NIL NIL))";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn eight_bit_text_is_quoted_only_for_those_who_asked_for_it() {
        let header = "Subject: Grüße\r\n".as_bytes();
        assert!(written(header, Names::Modified7).starts_with("(NIL {7}\r\nGrüße NIL"));
        assert!(written(header, Names::Utf8).starts_with("(NIL \"Grüße\" NIL"));
        assert!(written(b"Subject: Gr\xfc\r\n", Names::Utf8).starts_with("(NIL {3}\r\n"));
    }
}
