//! One message's answer: `* 23 FETCH (UID 4827313 FLAGS (\Seen) …)` (RFC 9051 §7.5.2).

use jiff::Timestamp;

use super::{
    envelope::Envelope,
    item::{Item, Name, Octets},
    message::{Gathered, Message},
    octets,
    structure::{Body, Detail},
};
use crate::{
    imap::{annotations, error::Error, reply::Replies},
    mail::{
        EmailId, Mail,
        annotations::WantedAnnotations,
        binary::UndecodableContent,
        extract::{Extract, Form, Piece},
        section::{Section, SectionText, Written},
        structure::StructureRef,
        summary::SummaryRef,
    },
    wire::{Buffer, internal_date},
};

/// What could not be told of some message.
#[derive(Debug, Default)]
pub struct Trouble {
    /// A part's transfer encoding can't be taken off.
    pub undecodable: Option<UndecodableContent>,
    /// What is stored can't be read.
    pub damaged: bool,
    /// There is no such part of which something could be said.
    pub no_part: bool,
}

/// Writes a message's answer. `extract` has what the view does not know.
pub async fn message(
    mail: &Mail,
    gathered: &Gathered,
    message: &Message,
    extract: &Extract,
    items: &[Item],
    trouble: &mut Trouble,
    out: &mut Replies,
) -> Result<(), Error> {
    let start = out.buffer().len();
    out.buffer().put("* ");
    let heading = out.heading(message.target);
    out.buffer().put(heading);
    let mut before = " (";
    let mut pieces = extract.pieces.iter();
    for item in items {
        let piece = if matches!(item, Item::Octets(_)) { pieces.next() } else { None };
        let mark = out.buffer().len();
        out.buffer().put(before);
        let written = match (item, piece) {
            (Item::Octets(octets), Some(Piece::Large(large))) => {
                label(octets, out.buffer());
                octets::large(mail, large, octets.cut.form == Form::Decoded, out).await?;
                true
            }
            (Item::Octets(octets), piece) => small(octets, piece, trouble, out.buffer()),
            (Item::Flags, _) => {
                out.buffer().put("FLAGS ");
                out.buffer().raw(gathered.flags(message));
                true
            }
            (Item::Annotation(wanted), _) => {
                let has_parts = has_parts(wanted, extract);
                trouble.no_part |= !has_parts;
                has_parts && annotations::write(wanted, &message.said, out.buffer())
            }
            _ => known(item, message, extract, trouble, out.buffer()),
        };
        if written {
            before = " ";
        } else {
            out.buffer().truncate(mark);
        }
    }
    if before == " (" {
        // Nothing could be told, and an empty list is no answer.
        out.buffer().truncate(start);
    } else {
        out.buffer().put(")\r\n");
    }
    out.breathe().await
}

/// An item that needs no octets; false when it can't be told.
fn known(
    item: &Item,
    message: &Message,
    extract: &Extract,
    trouble: &mut Trouble,
    out: &mut Buffer,
) -> bool {
    let entry = &message.entry;
    match item {
        Item::Uid => {
            out.put("UID ");
            out.put(entry.uid.get());
        }
        Item::InternalDate => {
            out.put("INTERNALDATE ");
            date(entry.internal_date, out);
        }
        Item::SaveDate => {
            out.put("SAVEDATE ");
            date(entry.save_date, out);
        }
        Item::ModSeq => {
            out.put("MODSEQ (");
            out.put(entry.mod_seq.0);
            out.put(")");
        }
        Item::Size => {
            out.put("RFC822.SIZE ");
            out.put(entry.size);
        }
        Item::EmailId => email_id(&extract.hash, out),
        Item::Preview => {
            out.put("PREVIEW ");
            out.string(extract.preview.as_bytes());
        }
        Item::ThreadId => {
            out.put("THREADID (T");
            out.put(entry.thread.0.unsigned_abs());
            out.put(")");
        }
        Item::Envelope => {
            let Ok(summary) = SummaryRef::parse(&extract.summary) else {
                trouble.damaged = true;
                return false;
            };
            out.put("ENVELOPE ");
            out.put(Envelope(summary));
        }
        Item::Body | Item::BodyStructure => {
            let Ok(structure) = StructureRef::parse(&extract.structure) else {
                trouble.damaged = true;
                return false;
            };
            let (name, detail) = match item {
                Item::Body => ("BODY ", Detail::Plain),
                _ => ("BODYSTRUCTURE ", Detail::Extended),
            };
            out.put(name);
            out.put(Body { structure, detail });
        }
        Item::Flags | Item::Annotation(_) | Item::Octets(_) => return false,
    }
    true
}

/// Has the message all parts that are named?
fn has_parts(wanted: &WantedAnnotations, extract: &Extract) -> bool {
    let mut parts = wanted.parts().peekable();
    if parts.peek().is_none() {
        return true;
    }
    let Ok(structure) = StructureRef::parse(&extract.structure) else { return false };
    parts.all(|path| Section { path, text: SectionText::All }.locate(structure).is_some())
}

fn date(seconds: i64, out: &mut Buffer) {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    out.put(internal_date(at).as_str());
}

/// `"EMAILID" SP "(" objectid ")"`: made of the content's hash, so that it is the same for the same
/// octets wherever they are (RFC 8474 §5.1).
fn email_id(hash: &[u8; 32], out: &mut Buffer) {
    out.put("EMAILID (");
    out.put(EmailId::of(hash).as_str());
    out.put(")");
}

/// An item with few octets, or none; false when it can't be told.
fn small(octets: &Octets, piece: Option<&Piece>, trouble: &mut Trouble, out: &mut Buffer) -> bool {
    match piece {
        Some(Piece::Undecodable(error)) => {
            trouble.undecodable.get_or_insert(*error);
            return false;
        }
        Some(Piece::Octets(content)) => {
            label(octets, out);
            octets::small(content, octets.cut.form == Form::Decoded, out);
        }
        Some(Piece::Size(size)) => {
            label(octets, out);
            out.put(*size);
        }
        // The size of nothing is a number all the same.
        Some(Piece::Absent) if octets.name == Name::BinarySize => {
            label(octets, out);
            out.put("0");
        }
        Some(Piece::Absent | Piece::Large(_)) | None => {
            label(octets, out);
            out.put("NIL");
        }
    }
    true
}

/// `BODY[TEXT]<0> `: the name under which octets are told.
fn label(octets: &Octets, out: &mut Buffer) {
    out.put(match octets.name {
        Name::Body => "BODY",
        Name::Rfc822 => "RFC822",
        Name::Rfc822Header => "RFC822.HEADER",
        Name::Rfc822Text => "RFC822.TEXT",
        Name::Binary => "BINARY",
        Name::BinarySize => "BINARY.SIZE",
    });
    if matches!(octets.name, Name::Body | Name::Binary | Name::BinarySize) {
        out.put(Written(&octets.cut.section));
    }
    if let Some((from, _)) = octets.cut.window {
        out.put("<");
        out.put(from);
        out.put(">");
    }
    out.put(" ");
}
