//! A message as it is thought up, and as it is written.

use mail_builder::{
    MessageBuilder,
    headers::{address::Address, message_id::MessageId, raw::Raw},
};

use super::people::Person;

/// A file that goes with a message.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) octets: Vec<u8>,
    /// Shown within the HTML text under this id.
    pub(super) inline: Option<&'static str>,
}

/// A message as it is thought up.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    pub(super) from: Person,
    pub(super) to: Vec<Person>,
    pub(super) cc: Vec<Person>,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
    /// Seconds since 1970.
    pub(super) date: i64,
    /// Message-ID without its brackets.
    pub(super) id: String,
    /// Those before it in its conversation, the first one first.
    pub(super) references: Vec<String>,
    /// The list it came by: its name and its List-Id.
    pub(super) list: Option<&'static str>,
}

impl Sketch {
    /// A short message without more.
    pub(super) fn new(from: Person, to: &[Person], subject: &str, text: &str, date: i64) -> Self {
        let digest = blake3::hash(format!("{}{subject}{date}{text}", from.address).as_bytes());
        let domain = from.address.rsplit('@').next().unwrap_or_default();
        let id = digest.to_hex().chars().take(20).collect::<String>() + "@" + domain;
        Self {
            from,
            to: to.to_vec(),
            cc: Vec::new(),
            subject: subject.to_owned(),
            text: text.to_owned(),
            html: None,
            attachments: Vec::new(),
            date,
            id,
            references: Vec::new(),
            list: None,
        }
    }

    /// The message in octets; what came from outside bears the trace of its way.
    pub(super) fn octets(&self) -> Vec<u8> {
        let mut message = MessageBuilder::new()
            .from((self.from.name, self.from.address))
            .to(addresses(&self.to))
            .subject(self.subject.as_str())
            .date(self.date)
            .message_id(self.id.as_str())
            .text_body(self.text.as_str());
        if !self.cc.is_empty() {
            message = message.cc(addresses(&self.cc));
        }
        if let Some(last) = self.references.last() {
            let all = self.references.iter().map(String::as_str);
            message = message.in_reply_to(last.as_str()).references(MessageId::new_list(all));
        }
        if let Some(list) = self.list {
            message = message
                .header("List-Id", Raw::new(format!("<{list}>")))
                .header("List-Unsubscribe", Raw::new(format!("<https://{list}/unsubscribe>")));
        }
        if let Some(html) = &self.html {
            message = message.html_body(html.as_str());
        }
        for file in &self.attachments {
            message = match file.inline {
                Some(id) => message.inline(file.kind, id, file.octets.as_slice()),
                None => message.attachment(file.kind, file.name.as_str(), file.octets.as_slice()),
            };
        }
        // Writing to memory does not fail.
        let written = message.write_to_vec().unwrap_or_default();
        let mut octets = self.trace().into_bytes();
        octets.extend_from_slice(&written);
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }

    /// The fields that our server puts in front of what comes from outside.
    fn trace(&self) -> String {
        let domain = self.from.address.rsplit('@').next().unwrap_or_default();
        if domain == "demo.example" {
            return String::new();
        }
        let date = mail_builder::headers::date::Date::new(self.date).to_rfc822();
        format!(
            "Return-Path: <{}>\r\nReceived: from mx.{domain} (mx.{domain} [192.0.2.25])\r\n\tby \
             mail.demo.example with ESMTPS id {:x};\r\n\t{date}\r\n",
            self.from.address, self.date
        )
    }
}

fn addresses(people: &[Person]) -> Address<'static> {
    let one = |person: &Person| Address::new_address(Some(person.name), person.address);
    Address::new_list(people.iter().map(one).collect())
}
