//! The stored form of a summary, and how it is read without copying.
//!
//! [`SummaryRef::parse`] checks all of it once; what it hands out afterwards cannot fail.

use super::{Address, Keys, Summary};
use crate::mail::pack::{Damaged, Unpack, put_maybe, put_text, put_uint};

const VERSION: u8 = 1;
/// The list is as From and is not stored again.
const SENDER_IS_FROM: u8 = 1;
const REPLY_TO_IS_FROM: u8 = 2;

impl Summary {
    /// The form that is stored.
    pub fn encode(&self) -> Vec<u8> {
        let sender_is_from = self.sender == self.from;
        let reply_to_is_from = self.reply_to == self.from;
        let mut out = vec![VERSION];
        let sender_flag = if sender_is_from { SENDER_IS_FROM } else { 0 };
        let reply_to_flag = if reply_to_is_from { REPLY_TO_IS_FROM } else { 0 };
        out.push(sender_flag | reply_to_flag);
        for text in [&self.date, &self.subject, &self.in_reply_to, &self.message_id] {
            put_maybe(&mut out, text.as_deref());
        }
        put_addresses(&mut out, &self.from);
        put_addresses(&mut out, if sender_is_from { &[] } else { &self.sender });
        put_addresses(&mut out, if reply_to_is_from { &[] } else { &self.reply_to });
        for list in [&self.to, &self.cc, &self.bcc] {
            put_addresses(&mut out, list);
        }
        put_maybe(&mut out, self.keys.as_ref().map(|keys| keys.encode()).as_deref());
        out
    }

    /// Reads what [`Summary::encode`] has written.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        SummaryRef::parse(bytes).map(SummaryRef::to_summary)
    }
}

fn put_addresses(out: &mut Vec<u8>, list: &[Address]) {
    let mut packed = Vec::new();
    for address in list {
        for text in [&address.name, &address.route, &address.mailbox, &address.host] {
            put_maybe(&mut packed, text.as_deref());
        }
    }
    put_text(out, &packed);
}

impl Keys {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, self.base_subject.as_bytes());
        out.push(u8::from(self.is_reply));
        out.push(u8::from(self.sent.is_some()));
        put_uint(&mut out, self.sent.unwrap_or(0).cast_unsigned());
        for text in [&self.display_from, &self.display_to, &self.display_cc] {
            put_text(&mut out, text.as_bytes());
        }
        put_maybe(&mut out, self.message_id.as_deref());
        for ids in [&self.in_reply_to, &self.references] {
            let mut packed = Vec::new();
            for id in ids {
                put_text(&mut packed, id);
            }
            put_text(&mut out, &packed);
        }
        out
    }
}

/// A stored summary, checked.
#[derive(Clone, Copy, Debug)]
pub struct SummaryRef<'a> {
    pub date: Option<&'a [u8]>,
    pub subject: Option<&'a [u8]>,
    pub in_reply_to: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    pub from: Addresses<'a>,
    pub sender: Addresses<'a>,
    pub reply_to: Addresses<'a>,
    pub to: Addresses<'a>,
    pub cc: Addresses<'a>,
    pub bcc: Addresses<'a>,
    /// Only for the message itself, not for messages within it.
    pub keys: Option<KeysRef<'a>>,
}

impl<'a> SummaryRef<'a> {
    /// Checks a stored summary.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut unpack = Unpack::new(bytes);
        if unpack.byte()? != VERSION {
            return Err(Damaged);
        }
        let flags = unpack.byte()?;
        let (date, subject) = (unpack.maybe()?, unpack.maybe()?);
        let (in_reply_to, message_id) = (unpack.maybe()?, unpack.maybe()?);
        let from = Addresses::read(&mut unpack)?;
        let sender = Addresses::read(&mut unpack)?;
        let reply_to = Addresses::read(&mut unpack)?;
        let summary = Self {
            date,
            subject,
            in_reply_to,
            message_id,
            from,
            sender: if flags & SENDER_IS_FROM == 0 { sender } else { from },
            reply_to: if flags & REPLY_TO_IS_FROM == 0 { reply_to } else { from },
            to: Addresses::read(&mut unpack)?,
            cc: Addresses::read(&mut unpack)?,
            bcc: Addresses::read(&mut unpack)?,
            keys: unpack.maybe()?.map(KeysRef::parse).transpose()?,
        };
        unpack.end()?;
        Ok(summary)
    }

    pub(in crate::mail) fn to_summary(self) -> Summary {
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        Summary {
            date: own(self.date),
            subject: own(self.subject),
            from: self.from.to_addresses(),
            sender: self.sender.to_addresses(),
            reply_to: self.reply_to.to_addresses(),
            to: self.to.to_addresses(),
            cc: self.cc.to_addresses(),
            bcc: self.bcc.to_addresses(),
            in_reply_to: own(self.in_reply_to),
            message_id: own(self.message_id),
            keys: self.keys.map(|keys| Box::new(keys.to_keys())),
        }
    }
}

/// An address list; group markers are addresses without a host (RFC 9051 §7.5.2).
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a>(Unpack<'a>);

/// One address, or a group's start or end; the fields are as in [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRef<'a> {
    pub name: Option<&'a [u8]>,
    pub route: Option<&'a [u8]>,
    pub mailbox: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
}

impl<'a> Addresses<'a> {
    fn read(unpack: &mut Unpack<'a>) -> Result<Self, Damaged> {
        let list = Unpack::new(unpack.text()?);
        let mut rest = list;
        while !rest.is_empty() {
            AddressRef::read(&mut rest)?;
        }
        Ok(Self(list))
    }

    /// Whether there is none: ENVELOPE shows NIL.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn to_addresses(self) -> Vec<Address> {
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        let addresses = self.into_iter().map(|address| Address {
            name: own(address.name),
            route: own(address.route),
            mailbox: own(address.mailbox),
            host: own(address.host),
        });
        addresses.collect()
    }
}

impl<'a> IntoIterator for Addresses<'a> {
    type Item = AddressRef<'a>;
    type IntoIter = AddressIter<'a>;

    fn into_iter(self) -> AddressIter<'a> {
        AddressIter(self.0)
    }
}

/// First to last address of a list.
#[derive(Clone, Debug)]
pub struct AddressIter<'a>(Unpack<'a>);

impl<'a> Iterator for AddressIter<'a> {
    type Item = AddressRef<'a>;

    fn next(&mut self) -> Option<AddressRef<'a>> {
        AddressRef::read(&mut self.0).ok()
    }
}

impl<'a> AddressRef<'a> {
    fn read(unpack: &mut Unpack<'a>) -> Result<Self, Damaged> {
        Ok(Self {
            name: unpack.maybe()?,
            route: unpack.maybe()?,
            mailbox: unpack.maybe()?,
            host: unpack.maybe()?,
        })
    }
}

/// Sort and thread keys in a stored summary; the fields are as in [`Keys`].
#[derive(Clone, Copy, Debug)]
pub struct KeysRef<'a> {
    pub base_subject: &'a [u8],
    pub is_reply: bool,
    pub sent: Option<i64>,
    pub display_from: &'a [u8],
    pub display_to: &'a [u8],
    pub display_cc: &'a [u8],
    pub message_id: Option<&'a [u8]>,
    pub in_reply_to: Ids<'a>,
    pub references: Ids<'a>,
}

impl<'a> KeysRef<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut unpack = Unpack::new(bytes);
        let base_subject = unpack.text()?;
        let is_reply = unpack.byte()? != 0;
        let has_date = unpack.byte()? != 0;
        let seconds = unpack.uint()?.cast_signed();
        let keys = Self {
            base_subject,
            is_reply,
            sent: has_date.then_some(seconds),
            display_from: unpack.text()?,
            display_to: unpack.text()?,
            display_cc: unpack.text()?,
            message_id: unpack.maybe()?,
            in_reply_to: Ids::read(&mut unpack)?,
            references: Ids::read(&mut unpack)?,
        };
        unpack.end()?;
        Ok(keys)
    }

    fn to_keys(self) -> Keys {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Keys {
            base_subject: text(self.base_subject),
            is_reply: self.is_reply,
            sent: self.sent,
            display_from: text(self.display_from),
            display_to: text(self.display_to),
            display_cc: text(self.display_cc),
            message_id: self.message_id.map(<[u8]>::to_vec),
            in_reply_to: self.in_reply_to.into_iter().map(<[u8]>::to_vec).collect(),
            references: self.references.into_iter().map(<[u8]>::to_vec).collect(),
        }
    }
}

/// Message ids without their angle brackets.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'a>(Unpack<'a>);

impl<'a> Ids<'a> {
    fn read(unpack: &mut Unpack<'a>) -> Result<Self, Damaged> {
        let list = Unpack::new(unpack.text()?);
        let mut rest = list;
        while !rest.is_empty() {
            rest.text()?;
        }
        Ok(Self(list))
    }
}

impl<'a> IntoIterator for Ids<'a> {
    type Item = &'a [u8];
    type IntoIter = IdIter<'a>;

    fn into_iter(self) -> IdIter<'a> {
        IdIter(self.0)
    }
}

/// First to last id of a list.
#[derive(Clone, Debug)]
pub struct IdIter<'a>(Unpack<'a>);

impl<'a> Iterator for IdIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.text().ok()
    }
}
