//! Whom a message says it is from and for: the envelope of what is sent without one.

use std::collections::HashSet;

use super::list::addresses;
use crate::{
    mail::field,
    wire::{
        address::{Address, ReversePath},
        envelope::{Body, Envelope},
    },
};

/// The envelope that a header stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// From's address, or Sender's when From has several.
    pub sender: Address,
    /// Those of To, Cc and Bcc, groups opened, each once.
    pub recipients: Vec<Address>,
}

impl From<Addressed> for Envelope {
    fn from(addressed: Addressed) -> Self {
        let Addressed { sender, recipients } = addressed;
        let utf8 = recipients.iter().chain([&sender]).any(Address::needs_utf8);
        Self {
            reverse_path: ReversePath::from(sender),
            recipients: recipients.into_iter().map(Into::into).collect(),
            body: Body::EightBit,
            utf8,
            ..Self::default()
        }
    }
}

/// Why a header stands for no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unaddressed {
    /// From is missing, or does not say who it was.
    #[error("From and Sender do not name one author")]
    NoSender,
    /// An address of To, Cc or Bcc can't be read.
    #[error("an address in To, Cc or Bcc cannot be read")]
    BadRecipient,
    /// There is none.
    #[error("no recipients")]
    NoRecipients,
}

/// Reads the envelope of a message from its header; the fields of a resent one mean nothing here.
pub fn addressed(header: &[u8]) -> Result<Addressed, Unaddressed> {
    Ok(Addressed { sender: sender(header)?, recipients: recipients(header)? })
}

/// Those of To, Cc and Bcc.
pub(super) fn recipients(header: &[u8]) -> Result<Vec<Address>, Unaddressed> {
    let (mut recipients, mut known) = (Vec::new(), HashSet::new());
    for found in field::fields(header) {
        if ![b"To".as_slice(), b"Cc", b"Bcc"].iter().any(|name| found.is(name)) {
            continue;
        }
        for address in addresses(found.value).ok_or(Unaddressed::BadRecipient)? {
            // Elsewhere case may matter in front of the @.
            if known.insert(format!("{}@{}", address.local(), address.domain().ascii())) {
                recipients.push(address);
            }
        }
    }
    if recipients.is_empty() {
        return Err(Unaddressed::NoRecipients);
    }
    Ok(recipients)
}

/// From's only address, else Sender's.
pub(super) fn sender(header: &[u8]) -> Result<Address, Unaddressed> {
    let only = |name: &[u8]| {
        let value = field::find(header, name)?.value;
        let mut list = addresses(value)?;
        list.pop().filter(|_| list.is_empty())
    };
    only(b"From").or_else(|| only(b"Sender")).ok_or(Unaddressed::NoSender)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Result<(String, Vec<String>), Unaddressed> {
        let found = addressed(format!("{header}\r\n").as_bytes())?;
        let recipients = found.recipients.iter().map(ToString::to_string);
        Ok((found.sender.to_string(), recipients.collect()))
    }

    #[test]
    fn the_envelope_is_what_the_fields_say() {
        let header = "From: \"A, B\" <a@x>\r\nTo: b@x, Team: c@x, \"d e\"@x;, b@X\r\nCC: c@x\r\n\
            Bcc: f@x\r\nResent-To: g@x\r\nResent-From: h@x\r\n";
        let recipients = ["b@x", "c@x", "\"d e\"@x", "f@x"].map(str::to_owned).to_vec();
        assert_eq!(read(header), Ok(("a@x".to_owned(), recipients)));
        let several = "From: a@x, b@x\r\nSender: b@x\r\nTo: c@x\r\n";
        assert_eq!(read(several).map(|(sender, _)| sender), Ok("b@x".to_owned()));
    }

    #[test]
    fn what_names_nobody_has_no_envelope() {
        assert_eq!(read("To: a@x\r\n"), Err(Unaddressed::NoSender));
        assert_eq!(read("From: a@x, b@x\r\nTo: a@x\r\n"), Err(Unaddressed::NoSender));
        assert_eq!(read("From: a@x\r\n"), Err(Unaddressed::NoRecipients));
        assert_eq!(read("From: a@x\r\nTo:\r\nCc: \r\n"), Err(Unaddressed::NoRecipients));
        assert_eq!(read("From: a@x\r\nTo: Undisclosed:;\r\n"), Err(Unaddressed::NoRecipients));
        assert_eq!(read("From: a@x\r\nTo: b@x, nobody\r\n"), Err(Unaddressed::BadRecipient));
    }
}
