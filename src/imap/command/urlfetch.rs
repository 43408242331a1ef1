//! URLFETCH (RFC 4467 §7): what authorised URLs name, as it is stored or, by RFC 5524, decoded and
//! described.

use std::sync::Arc;

use super::{Command, Parsed, Running, genurlauth::url};
use crate::{
    imap::{
        error::Error,
        fetch::{octets, structure::BodyPart},
        reply::{Done, Replies},
        session::{Session, now},
    },
    mail::{
        self, Mail,
        extract::{Extract, Form, Large, Piece, Wanted},
        section::{Section, parts_at},
        structure::StructureRef,
        urls::{Follower, LinkError, Linked},
    },
    wire::{Buffer, Cursor, Syntax},
};

struct UrlFetch {
    asked: Vec<Asked>,
}

/// One URL and what is wanted of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    url: String,
    /// In brackets and with items: the answer names its items too.
    extended: bool,
    structure: bool,
    /// The octets, and whether their transfer encoding shall be taken off.
    octets: Option<Form>,
}

/// `"URLFETCH" 1*(SP url-fetch-arg)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let mut all = Vec::new();
    while !args.is_empty() {
        args.space()?;
        all.push(asked(args)?);
    }
    if all.is_empty() {
        return Err(Syntax::Expected("a URL"));
    }
    Ok(Box::new(UrlFetch { asked: all }))
}

/// `url-full / "(" url-full *(SP url-fetch-param) ")"` (RFC 5524 §5)
fn asked(args: &mut Cursor<'_>) -> Result<Asked, Syntax> {
    if !args.take(b'(') {
        let octets = Some(Form::Stored);
        return Ok(Asked { url: url(args)?, octets, ..Asked::default() });
    }
    let mut asked = Asked { url: url(args)?, ..Asked::default() };
    while !args.take(b')') {
        args.space()?;
        asked.extended = true;
        let word = args.word()?.to_ascii_uppercase();
        let form = match word.as_str() {
            "BODYPARTSTRUCTURE" if !asked.structure => {
                asked.structure = true;
                continue;
            }
            // The seed documents print it in one of their examples.
            "BINARY" | "BODY=BINARY" => Form::Decoded,
            "BODY" => Form::Stored,
            _ => return Err(Syntax::Expected("BODYPARTSTRUCTURE, and either BODY or BINARY")),
        };
        if asked.octets.replace(form).is_some() {
            return Err(Syntax::Expected("BODY or BINARY once"));
        }
    }
    if !asked.extended {
        asked.octets = Some(Form::Stored);
    }
    Ok(asked)
}

impl Command for UrlFetch {
    /// What can't be followed is NIL, whatever the reason; only our own failure makes it a NO.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let user = session.user()?;
            let follower = session.door.urls.follower(user.account, &user.address);
            let (mail, mut failed) = (session.mail(), None);
            out.buffer().put("* URLFETCH");
            for asked in &self.asked {
                out.buffer().put(" ");
                out.buffer().string(asked.url.as_bytes());
                out.buffer().put(" ");
                match fetch(session, &mail, follower, asked).await {
                    Ok(Some(found)) => found.write(&mail, out).await?,
                    Ok(None) => out.buffer().put("NIL"),
                    Err(error) => {
                        out.buffer().put("NIL");
                        failed = Some(error);
                    }
                }
            }
            out.buffer().put("\r\n");
            out.breathe().await?;
            match failed {
                None => Ok(Done::ok("URLFETCH completed")),
                Some(error) => Err(error.into()),
            }
        })
    }
}

/// What a URL names, ready to be written; None when it names nothing for who asks.
async fn fetch<'a>(
    session: &Session,
    mail: &Mail,
    follower: Follower,
    asked: &'a Asked,
) -> Result<Option<Found<'a>>, mail::Error> {
    let linked = match session.door.urls.authorised(follower, now(), &asked.url).await {
        Ok(linked) => linked,
        Err(LinkError::Mail(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let Linked { content, size, mut cut } = linked;
    let section = cut.section.clone();
    // Only what parts hold is encoded.
    let is_part = section.text == mail::section::SectionText::All;
    cut.form = asked.octets.filter(|_| is_part).unwrap_or(Form::Stored);
    let wanted = Wanted { listing: asked.structure, cuts: vec![cut], ..Wanted::default() };
    let mut extracts = mail.extract(vec![(content, size)], Arc::new(wanted)).await?;
    let Some(extract) = extracts.pop() else { return Ok(None) };
    let extract = extract?;
    if matches!(extract.pieces.as_slice(), [Piece::Absent] | []) {
        return Ok(None);
    }
    Ok(Some(Found { asked, section, extract }))
}

/// What is to be told of one URL.
struct Found<'a> {
    asked: &'a Asked,
    section: Section,
    extract: Extract,
}

impl Found<'_> {
    async fn write(&self, mail: &Mail, out: &mut Replies) -> Result<(), Error> {
        if self.asked.structure {
            out.buffer().put("(BODYPARTSTRUCTURE ");
            let lines = self.lines(mail).await?;
            self.structure(lines, out.buffer());
            out.buffer().put(")");
        }
        let Some(form) = self.asked.octets else { return Ok(()) };
        if self.asked.structure {
            out.buffer().put(" ");
        }
        if self.asked.extended {
            out.buffer().put(if form == Form::Decoded { "(BINARY " } else { "(BODY " });
        }
        match self.extract.pieces.first() {
            Some(Piece::Large(large)) => {
                octets::large(mail, large, form == Form::Decoded, out).await?;
            }
            Some(Piece::Octets(octets)) => {
                octets::small(octets, form == Form::Decoded, out.buffer());
            }
            _ => out.buffer().put("NIL"),
        }
        if self.asked.extended {
            out.buffer().put(")");
        }
        Ok(())
    }

    /// The structure of what is told: without transfer encoding if that is taken off.
    fn structure(&self, lines: u64, out: &mut Buffer) {
        let told = self.told();
        let parts = StructureRef::parse(&self.extract.structure)
            .ok()
            .and_then(|structure| parts_at(structure, &self.section));
        let Some(mut parts) = parts else {
            return match told {
                Some(size) => headers(size, lines, out),
                None => out.put("NIL"),
            };
        };
        let is_decoded = self.asked.octets == Some(Form::Decoded);
        if let (Some(part), Some(size)) = (parts.first_mut(), told)
            && self.section.text == mail::section::SectionText::All
        {
            part.end = part.body.saturating_add(size);
            part.lines = lines;
            if is_decoded && part.kind == mail::structure::Kind::Leaf {
                part.encoding = b"BINARY";
            }
        }
        out.put(BodyPart { parts });
    }

    /// How many octets are told; None when none are.
    fn told(&self) -> Option<u64> {
        match self.extract.pieces.first()? {
            Piece::Octets(octets) => Some(octets.len() as u64),
            Piece::Large(large) => Some(large.len()),
            Piece::Size(_) | Piece::Absent | Piece::Undecodable(_) => None,
        }
    }

    /// How many lines are told.
    async fn lines(&self, mail: &Mail) -> Result<u64, Error> {
        Ok(match self.extract.pieces.first() {
            Some(Piece::Octets(octets)) => line_ends(octets),
            Some(Piece::Large(large)) => count(mail, large).await?,
            _ => 0,
        })
    }
}

async fn count(mail: &Mail, large: &Large) -> Result<u64, Error> {
    let (mut stream, mut lines) = (mail.stream(large), 0_u64);
    while let Some(octets) = stream.next().await {
        lines = lines.saturating_add(line_ends(&octets?));
    }
    Ok(lines)
}

fn line_ends(octets: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', octets).count() as u64
}

/// The structure of a header, which is a part of no message (RFC 3462 has this type for it).
fn headers(size: u64, lines: u64, out: &mut Buffer) {
    out.put("(\"TEXT\" \"RFC822-HEADERS\" NIL NIL NIL \"8BIT\" ");
    out.put(size);
    out.put(" ");
    out.put(lines);
    out.put(" NIL NIL NIL NIL)");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Asked, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = asked(&mut args)?;
        args.end()?;
        Ok(read)
    }

    #[test]
    fn every_form_of_rfc_5524_section_5_is_read() {
        let stored = Some(Form::Stored);
        let simple = Asked { url: "x".into(), octets: stored, ..Asked::default() };
        assert_eq!(read("\"x\""), Ok(simple));
        assert_eq!(
            read("(\"x\")").map(|asked| (asked.extended, asked.octets)),
            Ok((false, stored))
        );
        let whole = read("(x bodypartstructure binary)").unwrap();
        assert!(whole.extended && whole.structure && whole.octets == Some(Form::Decoded));
        let described = read("(x BODYPARTSTRUCTURE)").unwrap();
        assert!(described.structure && described.octets.is_none());
        for bad in ["", "()", "(x BODY BINARY)", "(x BODY BODY)", "(x FOO)", "(x BODY", "(x  BODY)"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
