//! A message's summary: IMAP's ENVELOPE in the raw form that IMAP wants, and the keys by which
//! messages are sorted and threaded.
//!
//! Computed once from the header and stored in a compact form, which [`SummaryRef`] reads without
//! copying. Texts are unfolded, encoded words stay encoded, eight-bit octets stay as they came; no
//! text holds CR, LF or NUL. Where a field is given twice the first counts.

mod address;
mod date;
mod keys;
mod packed;

pub use self::{
    address::{Address, MISSING_DOMAIN, MISSING_MAILBOX, parse as addresses},
    keys::{Keys, base_subject},
    packed::{AddressIter, AddressRef, Addresses, IdIter, Ids, KeysRef, SummaryRef},
};
use super::{
    budget::Budget,
    field::{fields, unfold},
    structure::Limits,
};
use crate::metrics::Limit;

/// What ENVELOPE tells (RFC 9051 §7.5.2), and the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub date: Option<Vec<u8>>,
    pub subject: Option<Vec<u8>>,
    pub from: Vec<Address>,
    /// As `from` when the header has none.
    pub sender: Vec<Address>,
    /// As `from` when the header has none.
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub in_reply_to: Option<Vec<u8>>,
    pub message_id: Option<Vec<u8>>,
    /// Only for the message itself, not for messages within it.
    pub keys: Option<Box<Keys>>,
}

impl Summary {
    /// Reads ENVELOPE's fields from a header, at most as many addresses as are left. Adds to `beyond`
    /// the bounds behind which the rest was not read.
    pub fn read(
        header: &[u8],
        addresses_left: &mut Budget,
        limits: &Limits,
        beyond: &mut Vec<Limit>,
    ) -> Self {
        let mut summary = Self::default();
        let mut seen = 0u16;
        for field in fields(header) {
            let name = field.name.to_ascii_lowercase();
            let Some(place) = FIELDS.iter().position(|known| known.as_bytes() == name) else {
                continue;
            };
            let bit = 1 << place;
            if seen & bit != 0 {
                continue;
            }
            seen |= bit;
            let value = unfold(field.value);
            match summary.slot(place) {
                Slot::Text(slot) => *slot = Some(value.into_owned()),
                Slot::List(slot) => {
                    let (list, cut) = address::parse(&value, addresses_left, limits.comment_depth);
                    *slot = list;
                    beyond.extend(cut.then_some(Limit::CommentDepthMax));
                }
            }
        }
        beyond.extend(addresses_left.is_short().then_some(Limit::AddressesMax));
        for list in [&mut summary.sender, &mut summary.reply_to] {
            if list.is_empty() {
                list.clone_from(&summary.from);
            }
        }
        summary
    }

    /// Adds what sorting and threading need.
    pub fn add_keys(&mut self, header: &[u8], limits: &Limits, beyond: &mut Vec<Limit>) {
        let (keys, short) = Keys::read(self, header, limits);
        self.keys = Some(Box::new(keys));
        beyond.extend(short.then_some(Limit::EncodedWordsMax));
    }

    fn slot(&mut self, place: usize) -> Slot<'_> {
        match place {
            0 => Slot::Text(&mut self.date),
            1 => Slot::Text(&mut self.subject),
            2 => Slot::Text(&mut self.in_reply_to),
            3 => Slot::Text(&mut self.message_id),
            4 => Slot::List(&mut self.from),
            5 => Slot::List(&mut self.sender),
            6 => Slot::List(&mut self.reply_to),
            7 => Slot::List(&mut self.to),
            8 => Slot::List(&mut self.cc),
            _ => Slot::List(&mut self.bcc),
        }
    }
}

/// The fields that are read, in the order of [`Summary::slot`].
const FIELDS: [&str; 10] = [
    "date",
    "subject",
    "in-reply-to",
    "message-id",
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
];

enum Slot<'a> {
    Text(&'a mut Option<Vec<u8>>),
    List(&'a mut Vec<Address>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[u8]) -> Summary {
        Summary::read(header, &mut Budget::new(0), &Limits::default(), &mut Vec::new())
    }

    #[test]
    fn the_example_of_rfc_9051_section_8() {
        let header = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
            From: Terry Gray <gray@cac.washington.edu>\r\n\
            Subject: IMAP4rev2 WG mtg summary and minutes\r\n\
            To: imap@cac.washington.edu\r\n\
            cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
            Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n";
        let (mut left, mut beyond) = (Budget::new(100), Vec::new());
        let summary = Summary::read(header, &mut left, &Limits::default(), &mut beyond);
        assert_eq!(beyond, []);
        assert_eq!(summary.date.as_deref(), Some(&b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)"[..]));
        let gray = Address::new(Some("Terry Gray"), "gray", "cac.washington.edu");
        assert_eq!(summary.from, std::slice::from_ref(&gray));
        assert_eq!(summary.sender, summary.from);
        assert_eq!(summary.reply_to, summary.from);
        assert_eq!(
            summary.cc,
            [
                Address::new(None, "minutes", "CNRI.Reston.VA.US"),
                Address::new(Some("John Klensin"), "KLENSIN", "MIT.EDU"),
            ]
        );
        assert_eq!(summary.bcc, []);
        assert_eq!(summary.in_reply_to, None);
    }

    #[test]
    fn the_first_field_of_a_name_counts_and_folds_vanish() {
        let summary = read(b"Subject: a\r\n  b\r\nSUBJECT: c\r\n");
        assert_eq!(summary.subject.as_deref(), Some(&b"a  b"[..]));
    }

    #[test]
    fn an_empty_subject_is_there() {
        assert_eq!(read(b"Subject: \r\n").subject.as_deref(), Some(&b""[..]));
    }
}
