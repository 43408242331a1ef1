//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2): the stored structure as nested lists.
//!
//! Parts come in the order of the message, parents before children; what a parent has to say behind
//! its children is written when the last of them is through. So nothing here calls itself.

use super::envelope::Envelope;
use crate::{
    mail::structure::{Kind, Params, PartRef, StructureRef},
    wire::{Buffer, Encode},
};

/// How much of a structure is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// BODY: without extension data.
    Plain,
    /// BODYSTRUCTURE.
    Extended,
}

/// `body = "(" (body-type-1part / body-type-mpart) ")"`
pub struct Body<'s> {
    /// What was stored.
    pub structure: StructureRef<'s>,
    /// How much is told.
    pub detail: Detail,
}

/// One part of it, in the form of [`Body`]: BODYPARTSTRUCTURE (RFC 5259 §8.2).
pub struct BodyPart<'s> {
    /// The part and all inside it, as [`crate::mail::section::parts_at`] gives them.
    pub parts: Vec<PartRef<'s>>,
}

impl Encode for BodyPart<'_> {
    fn encode(&self, out: &mut Buffer) {
        encode(self.parts.iter().copied(), Detail::Extended, out);
    }
}

/// A part whose children are being written.
struct Open<'s> {
    part: PartRef<'s>,
    /// The index of the first part that is not inside.
    until: usize,
}

impl Encode for Body<'_> {
    fn encode(&self, out: &mut Buffer) {
        encode(self.structure.parts(), self.detail, out);
    }
}

fn encode<'s>(parts: impl Iterator<Item = PartRef<'s>>, detail: Detail, out: &mut Buffer) {
    let mut open: Vec<Open<'_>> = Vec::new();
    for (index, part) in parts.enumerate() {
        match part.kind {
            Kind::Leaf => detail.leaf(out, &part),
            Kind::Multipart => out.put("("),
            Kind::Message => message_start(out, &part),
        }
        let until = index.saturating_add(part.size);
        if part.kind != Kind::Leaf {
            open.push(Open { part, until });
        }
        while let Some(Open { part, .. }) =
            open.pop_if(|open| open.until <= index.saturating_add(1))
        {
            detail.close(out, &part);
        }
    }
}

impl Detail {
    /// `body-type-basic / body-type-text`
    fn leaf(self, out: &mut Buffer, part: &PartRef<'_>) {
        out.put("(");
        if part.is("message", "rfc822") || part.is("message", "global") {
            // Those words promise an envelope, which what was not looked into does not have.
            out.put("\"application\" \"octet-stream\"");
        } else {
            media(out, part);
        }
        fields(out, part);
        if part.is_text() {
            out.put(" ");
            out.put(part.lines);
        }
        self.extension(out, part);
        out.put(")");
    }

    /// What stands behind the children: `media-subtype [SP body-ext-mpart]`, or
    /// `SP body-fld-lines [SP body-ext-1part]` of a message.
    fn close(self, out: &mut Buffer, part: &PartRef<'_>) {
        out.put(" ");
        if part.kind == Kind::Message {
            out.put(part.lines);
            self.extension(out, part);
        } else {
            out.string(part.subtype);
            if self == Self::Extended {
                out.put(" ");
                params(out, part.params);
                tail(out, part);
            }
        }
        out.put(")");
    }

    /// `body-ext-1part`
    fn extension(self, out: &mut Buffer, part: &PartRef<'_>) {
        if self == Self::Extended {
            out.put(" ");
            out.nstring(part.md5);
            tail(out, part);
        }
    }
}

/// `body-type-msg` up to the body of the message inside
fn message_start(out: &mut Buffer, part: &PartRef<'_>) {
    out.put("(");
    media(out, part);
    fields(out, part);
    out.put(" ");
    match part.summary() {
        Some(summary) => out.put(Envelope(summary)),
        None => out.put("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"),
    }
    out.put(" ");
}

fn media(out: &mut Buffer, part: &PartRef<'_>) {
    out.string(part.name);
    out.put(" ");
    out.string(part.subtype);
}

/// `SP body-fields`: parameters, id, description, encoding, octets
fn fields(out: &mut Buffer, part: &PartRef<'_>) {
    out.put(" ");
    params(out, part.params);
    for text in [part.id, part.description] {
        out.put(" ");
        out.nstring(text);
    }
    out.put(" ");
    out.string(part.encoding);
    out.put(" ");
    out.put(part.len());
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn params(out: &mut Buffer, params: Params<'_>) {
    if params.is_empty() {
        return out.put("NIL");
    }
    out.list(params, |out, (name, value)| {
        out.string(name);
        out.put(" ");
        out.string(value);
    });
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn tail(out: &mut Buffer, part: &PartRef<'_>) {
    match part.disposition {
        Some(disposition) => {
            out.put(" (");
            out.string(disposition.name);
            out.put(" ");
            params(out, disposition.params);
            out.put(") ");
        }
        None => out.put(" NIL "),
    }
    let mut languages = part.languages().peekable();
    if languages.peek().is_some() {
        out.list(languages, Buffer::string);
    } else {
        out.put("NIL");
    }
    out.put(" ");
    out.nstring(part.location);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::structure::scan;

    fn written(message: &str, detail: Detail) -> String {
        let stored = scan(message.as_bytes()).structure.encode();
        let structure = StructureRef::parse(&stored).unwrap();
        let mut out = Buffer::default();
        out.put(Body { structure, detail });
        String::from_utf8_lossy(out.bytes()).into_owned()
    }

    #[test]
    fn a_plain_text_tells_its_lines() {
        let message = "Content-Type: text/plain; charset=utf-8\r\n\r\none\r\ntwo\r\n";
        assert_eq!(
            written(message, Detail::Plain),
            "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 10 2)"
        );
        assert_eq!(
            written(message, Detail::Extended),
            "(\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7bit\" 10 2 NIL NIL NIL NIL)"
        );
    }

    #[test]
    fn a_multipart_has_its_children_before_its_subtype_and_its_parameters_behind() {
        let message = "Content-Type: multipart/mixed; boundary=b\r\nContent-Language: de, en\r\n\r\n\
            --b\r\n\r\nhi\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\
            Content-ID: <1@x>\r\nContent-Disposition: attachment; filename=a.png\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n";
        assert_eq!(
            written(message, Detail::Extended),
            "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 2 0 NIL NIL NIL NIL)\
            (\"image\" \"png\" (\"name\" \"a.png\") \"<1@x>\" NIL \"base64\" 4 NIL \
            (\"attachment\" (\"filename\" \"a.png\")) NIL NIL) \"mixed\" \
            (\"boundary\" \"b\") NIL (\"de\" \"en\") NIL)"
        );
    }

    #[test]
    fn a_message_in_a_message_has_an_envelope_and_a_body_and_lines() {
        let message = "Content-Type: multipart/digest; boundary=b\r\n\r\n\
            --b\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
            --c\r\n\r\nx\r\n--c--\r\n\r\n--b--\r\n";
        let text = written(message, Detail::Plain);
        let envelope = "(NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL)";
        let inner =
            "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0) \"mixed\")";
        assert!(text.starts_with("((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" "), "{text}");
        assert!(text.contains(&format!(" {envelope} {inner} ")), "{text}");
        assert!(text.ends_with(") \"digest\")"), "{text}");
    }

    #[test]
    fn brackets_close_even_when_parts_nest_deeply() {
        let mut message = String::new();
        for level in 0..300 {
            message +=
                &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
        }
        let text = written(&message, Detail::Extended);
        assert_eq!(text.matches('(').count(), text.matches(')').count());
    }
}
