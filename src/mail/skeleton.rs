//! Skeletons: messages some of whose parts are named instead of being there
//! (draft-ietf-lemonade-submit-01 §4.1.3). On their way out the named octets are put in.
//!
//! A part of type `message/external-body` with an access type of URL (RFC 2017) and an IMAP URL becomes
//! the header that stands inside it, with the octets that the URL names behind it. Multiparts are
//! walked, messages within are not, and what is put in is not looked into.

use memchr::memmem;

use super::{
    Spool,
    error::{Error, Result},
    field::fields,
    prepare::scan,
    structure::{Kind, Limits, PartRef, Structure, StructureRef},
    urls::{LinkError, Urls},
};
use crate::{
    mail::{Actor, Mailbox},
    metrics::Limit,
};

/// Octets of the header inside a part; more of it is not read.
const HEADER_MAX: u64 = 64 << 10;
/// Characters of a URL that are repeated.
const URL_SHOWN: usize = 200;

/// Why a skeleton can't become a message.
#[derive(Debug, thiserror::Error)]
pub enum SkeletonError {
    /// A part names what can't be had.
    #[error("a part of the message names {0}, which cannot be had")]
    Part(String),
    /// Parts that are not told apart any more name something.
    #[error("the message has more parts, or deeper ones, than can be looked into")]
    Hidden,
    /// The message itself.
    #[error(transparent)]
    Mail(#[from] Error),
}

/// A part to be replaced.
#[derive(Debug, PartialEq, Eq)]
struct External {
    /// Where its header begins, where the header inside it does, and where it ends.
    header: u64,
    body: u64,
    end: u64,
    /// It is the message itself, whose own fields stay.
    is_root: bool,
    url: String,
}

/// A message with gaps, which whoever can get at what is named fills one by one.
pub struct Skeleton {
    spool: Spool,
    whole: Spool,
    parts: std::vec::IntoIter<External>,
    /// Up to where the message is in `whole`.
    at: u64,
}

impl Skeleton {
    /// Looks for what a message names.
    ///
    /// # Errors
    /// [`SkeletonError::Hidden`] when something may be named where parts are not told apart: it would
    /// leave as it is.
    pub fn read(mut spool: Spool, parsing: &Limits) -> Result<Self, SkeletonError> {
        let scanned = scan(&mut spool, parsing)?;
        let parts = externals(&scanned.structure);
        if scanned.beyond.iter().copied().any(hides_parts) && mentions(&mut spool)? > parts.len() {
            return Err(SkeletonError::Hidden);
        }
        let parts = parts.into_iter();
        let whole = spool.sibling();
        Ok(Self { spool, whole, parts, at: 0 })
    }

    /// Goes on to the next gap: the URL of what belongs there.
    pub fn next_gap(&mut self) -> Result<Option<String>> {
        let Some(part) = self.parts.next() else { return Ok(None) };
        self.spool.copy(self.at..part.header, &mut self.whole)?;
        if part.is_root {
            let own = self.spool.read(part.header..part.body)?;
            self.whole.write(&without_content_fields(&own))?;
        }
        let inside = part.body..part.end.min(part.body.saturating_add(HEADER_MAX));
        self.whole.write(&header_inside(&self.spool.read(inside)?))?;
        self.at = part.end;
        Ok(Some(part.url))
    }

    /// Where what belongs into the gap is written.
    pub fn whole(&mut self) -> &mut Spool {
        &mut self.whole
    }

    /// The message with its gaps filled; the same message when it had none.
    pub fn finish(mut self) -> Result<Spool> {
        if self.at == 0 {
            return Ok(self.spool);
        }
        self.spool.copy(self.at..self.spool.len(), &mut self.whole)?;
        Ok(self.whole)
    }
}

impl SkeletonError {
    /// For what such a URL names, which can't be had.
    pub fn absent(url: &str) -> Self {
        Self::Part(url.chars().filter(|c| !c.is_control()).take(URL_SHOWN).collect())
    }
}

impl Urls {
    /// A message with what its external parts name in their place; the same message when it has none.
    ///
    /// # Errors
    /// [`SkeletonError::Part`] for the first that names nothing of the actor's; [`Error::TooBig`].
    pub async fn expand(
        &self,
        actor: &Actor,
        open: Option<&Mailbox>,
        spool: Spool,
    ) -> Result<Spool, SkeletonError> {
        let mut skeleton = Skeleton::read(spool, &self.mail().limits().parsing)?;
        while let Some(url) = skeleton.next_gap()? {
            let linked = match self.own(actor, open, &url).await {
                Ok(linked) => linked,
                Err(LinkError::Mail(error)) => return Err(error.into()),
                Err(_) => return Err(SkeletonError::absent(&url)),
            };
            if !self.mail().add_linked(skeleton.whole(), linked).await? {
                return Err(SkeletonError::absent(&url));
            }
        }
        Ok(skeleton.finish()?)
    }
}

/// The external parts of a message, in their order.
fn externals(structure: &Structure) -> Vec<External> {
    let structure = structure.encode();
    let Ok(structure) = StructureRef::parse(&structure) else { return Vec::new() };
    let (mut externals, mut within) = (Vec::new(), 0_usize);
    for (index, part) in structure.parts().enumerate() {
        if index < within {
            continue;
        }
        if part.kind == Kind::Message {
            within = index.saturating_add(part.size);
        }
        externals.extend(url(&part).map(|url| External {
            header: part.header,
            body: part.body,
            end: part.end,
            is_root: index == 0,
            url,
        }));
    }
    externals
}

/// Does coming up against this bound leave parts that are not told apart?
fn hides_parts(limit: Limit) -> bool {
    matches!(
        limit,
        Limit::MimePartsMax
            | Limit::MimeDepthMax
            | Limit::MimeBoundaryMax
            | Limit::HeaderMax
            | Limit::HeaderLinesMax
            | Limit::HeaderLineMax
    )
}

/// How often a message says the type of external parts.
fn mentions(spool: &mut Spool) -> Result<usize> {
    const TYPE: &[u8] = b"message/external-body";
    let (mut found, mut rest) = (0_usize, Vec::new());
    spool.each_chunk(|chunk| {
        rest.extend(chunk.iter().map(u8::to_ascii_lowercase));
        found = found.saturating_add(memmem::find_iter(&rest, TYPE).count());
        // What begins at the end of a chunk is found with the next.
        rest.drain(..rest.len().saturating_sub(TYPE.len() - 1));
        Ok::<_, Error>(())
    })?;
    Ok(found)
}

/// The IMAP URL that a part stands for; white space in it means nothing (RFC 2017 §3).
fn url(part: &PartRef<'_>) -> Option<String> {
    if part.kind != Kind::Leaf || !part.is("message", "external-body") {
        return None;
    }
    let value = |wanted: &str| {
        let mut params = part.params.into_iter();
        let found = params.find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        found.map(|(_, value)| value)
    };
    if !value("access-type")?.eq_ignore_ascii_case(b"url") {
        return None;
    }
    // Extended (RFC 2231 §4), the value begins with a charset and a language, and is encoded as URLs are.
    let extended = || value("url*")?.splitn(3, |octet| *octet == b'\'').nth(2).map(unescaped);
    let url = value("url").map_or_else(extended, |url| Some(url.to_vec()))?;
    let url = String::from_utf8(url).ok()?;
    let url: String = url.chars().filter(|c| !c.is_whitespace()).collect();
    let scheme = url.get(..5).unwrap_or_default();
    (scheme.eq_ignore_ascii_case("imap:") || url.starts_with(['/', ';'])).then_some(url)
}

/// `%20` and its like in the octets that they stand for.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::with_capacity(value.len()), value);
    while let Some((octet, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *octet == b'%');
        let code =
            digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        octets.push(code.unwrap_or(*octet));
        rest = behind.get(if code.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    octets
}

/// The header inside an external part, with one empty line behind it.
fn header_inside(body: &[u8]) -> Vec<u8> {
    let mut header: Vec<u8> = Vec::new();
    if !body.starts_with(b"\r\n") {
        for field in fields(body) {
            header.extend_from_slice(field.raw);
        }
    }
    if !header.is_empty() && !header.ends_with(b"\n") {
        header.extend_from_slice(b"\r\n");
    }
    header.extend_from_slice(b"\r\n");
    header
}

/// The fields of a header that say nothing of its content.
fn without_content_fields(header: &[u8]) -> Vec<u8> {
    const PREFIX: &[u8] = b"content-";
    let mut kept = Vec::new();
    for field in fields(header) {
        let prefix = field.name.get(..PREFIX.len()).unwrap_or_default();
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            kept.extend_from_slice(field.raw);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_inside_ends_with_one_empty_line() {
        for (body, header) in [
            ("Content-Type: image/gif\r\n\r\nphantom", "Content-Type: image/gif\r\n\r\n"),
            ("A: b\r\n c\r\nD: e\r\n\r\n", "A: b\r\n c\r\nD: e\r\n\r\n"),
            ("A: b", "A: b\r\n\r\n"),
            ("A: b\r\n", "A: b\r\n\r\n"),
            ("\r\nphantom", "\r\n"),
            ("", "\r\n"),
        ] {
            assert_eq!(String::from_utf8(header_inside(body.as_bytes())).unwrap(), header);
        }
    }

    #[test]
    fn a_url_may_be_extended() {
        let of = |header: &str| {
            let message = format!("{header}\r\n\r\n");
            let scanned = crate::mail::structure::scan(message.as_bytes());
            externals(&scanned.structure).into_iter().map(|part| part.url).collect::<Vec<_>>()
        };
        let external = "Content-Type: message/external-body; access-type=URL;";
        assert_eq!(of(&format!("{external} URL=\"/INBOX/;UID=1\"")), ["/INBOX/;UID=1"]);
        assert_eq!(
            of(&format!("{external}\r\n URL*=utf-8''%2FINBOX%2F%3BUID%3D1%")),
            ["/INBOX/;UID=1%"]
        );
        assert!(of(&format!("{external} URL=\"\"")).is_empty());
        assert!(of(&format!("{external} URL=\"http://x\"")).is_empty());
    }

    #[test]
    fn a_message_that_is_external_itself_keeps_what_is_not_about_its_content() {
        let header = b"From: a\r\nCONTENT-type: x;\r\n y=z\r\nTo: b\r\nContent-ID: <1>\r\n\r\n";
        assert_eq!(without_content_fields(header), b"From: a\r\nTo: b\r\n");
    }
}
