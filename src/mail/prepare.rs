//! From octets to a message that can be stored: everything that is computed once, at arrival.

use std::sync::Arc;

use super::{
    Mail, binary,
    error::{Error, Result},
    preview,
    spool::Spool,
    structure::{Limits, Octets, Scanned, Scanner, StructureRef},
    summary::Keys,
};
use crate::{
    metrics::{Limit, Metrics},
    store::{self, NewContent, NewPiece},
};

/// How much of a header is kept in its own column; more of it counts as body there.
const HEADER_MAX: u64 = 1 << 20;
/// How often a message is rewritten: each time another header may come to light behind a bare CR.
const REWRITES_MAX: usize = 3;

/// A message ready to be stored in one job, in any number of mailboxes. A large body is on the disk
/// already, synced, under its final name.
#[derive(Clone)]
pub struct Prepared(Arc<NewContent>);

impl Prepared {
    /// All its octets, counted.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Its header with the empty line behind it, at most the first MiB.
    pub fn header(&self) -> &[u8] {
        &self.0.header
    }

    /// Octets that it takes in memory: all but what is in a file.
    pub fn weight(&self) -> u64 {
        let NewContent { header, pieces, summary, structure, preview, references, .. } = &*self.0;
        let inline = pieces.iter().map(|piece| match piece {
            NewPiece::Octets(octets) => octets.len(),
            NewPiece::Blob(..) | NewPiece::Shared(_) => 0,
        });
        let described = header.len() + summary.len() + structure.len() + preview.len();
        let all = inline.sum::<usize>() + described + size_of_val(references.as_slice());
        (all + size_of::<NewContent>()) as u64
    }

    /// What the store keeps.
    pub fn content(&self) -> &NewContent {
        &self.0
    }
}

impl Mail {
    /// Makes a spooled message ready: bare CR and bare LF become CRLF, binary parts become base64
    /// (RFC 3516 §4.3 permits it; BINARY decodes), and `edit` may put header fields in or take them
    /// out.
    ///
    /// `edit` gets the header with the empty line behind it and gives the one to be stored.
    pub async fn prepare(
        &self,
        spool: Spool,
        edit: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Result<Prepared> {
        let (limits, metrics) = (self.limits.parsing, Arc::clone(&self.metrics));
        if spool.is_small() {
            return prepare(spool, edit, &limits, &metrics);
        }
        // A large body is read several times and synced.
        let work = move || prepare(spool, edit, &limits, &metrics);
        let work = tokio::task::spawn_blocking(work).await;
        work.map_err(|_| Error::Internal(store::Error::Cancelled))?
    }

    /// The same for two messages that differ in their headers alone: what is large of them is kept once.
    pub async fn prepare_twice(
        &self,
        spool: Spool,
        edit: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
        other: impl FnOnce(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Result<(Prepared, Prepared)> {
        let (limits, metrics) = (self.limits.parsing, Arc::clone(&self.metrics));
        if spool.is_small() {
            return prepare_twice(spool, edit, other, &limits, &metrics);
        }
        let work = move || prepare_twice(spool, edit, other, &limits, &metrics);
        let work = tokio::task::spawn_blocking(work).await;
        work.map_err(|_| Error::Internal(store::Error::Cancelled))?
    }
}

fn prepare(
    spool: Spool,
    edit: impl FnOnce(Vec<u8>) -> Vec<u8>,
    limits: &Limits,
    metrics: &Metrics,
) -> Result<Prepared> {
    let (mut spool, scanned) = one_view(spool, limits)?;
    let head = scanned.header_len.min(HEADER_MAX);
    let (described, beyond) = describe(&mut spool, scanned, head, edit, limits)?;
    for limit in &beyond {
        metrics.exceeded(*limit);
    }
    Ok(Prepared(Arc::new(NewContent { pieces: spool.into_pieces(head)?, ..described })))
}

fn prepare_twice(
    spool: Spool,
    edit: impl FnOnce(Vec<u8>) -> Vec<u8>,
    other: impl FnOnce(Vec<u8>) -> Vec<u8>,
    limits: &Limits,
    metrics: &Metrics,
) -> Result<(Prepared, Prepared)> {
    let (mut spool, scanned) = one_view(spool, limits)?;
    let head = scanned.header_len.min(HEADER_MAX);
    let (one, beyond) = describe(&mut spool, scanned, head, edit, limits)?;
    for limit in &beyond {
        metrics.exceeded(*limit);
    }
    let scanned = scan(&mut spool, limits)?;
    let (two, _) = describe(&mut spool, scanned, head, other, limits)?;
    let pieces = spool.into_pieces(head)?;
    let one = NewContent { pieces: pieces.clone(), ..one };
    Ok((Prepared(Arc::new(one)), Prepared(Arc::new(NewContent { pieces, ..two }))))
}

/// All that is known of a message whose first `head` octets become what `edit` makes of them, save the
/// pieces behind them; and the bounds beyond which it was not read.
fn describe(
    spool: &mut Spool,
    mut scanned: Scanned,
    head: u64,
    edit: impl FnOnce(Vec<u8>) -> Vec<u8>,
    limits: &Limits,
) -> Result<(NewContent, Vec<Limit>)> {
    let original = spool.read(0..head)?;
    let header = edit(original.clone());
    if header != original {
        scanned = scan_with_header(spool, &header, head, limits)?;
    }
    let hash = hash(spool, &header, head)?;
    let structure = scanned.structure.encode();
    let keys = scanned.summary.keys.as_deref();
    let described = NewContent {
        hash,
        size: scanned.len,
        summary: scanned.summary.encode(),
        preview: preview(spool, &structure, &header, head)?,
        structure,
        references: references(keys, &hash),
        header,
        pieces: Vec::new(),
    };
    Ok((described, scanned.beyond))
}

/// The message as BODY shows it: parts in binary become base64, bare CR and bare LF become CRLF.
fn one_view(mut spool: Spool, limits: &Limits) -> Result<(Spool, Scanned)> {
    for _ in 0..REWRITES_MAX {
        let scanned = scan(&mut spool, limits)?;
        if !scanned.has_binary && !scanned.octets.has(Octets::BARE_CR.with(Octets::BARE_LF)) {
            return Ok((spool, scanned));
        }
        let structure = scanned.structure.encode();
        let plan = StructureRef::parse(&structure).ok().and_then(binary::one_view);
        let Some(mut rewrite) = plan else { return Ok((spool, scanned)) };
        let mut rewritten = spool.sibling();
        let mut out = Vec::new();
        spool.each_chunk(|octets| {
            rewrite.feed(octets, &mut out);
            let written = rewritten.write(&out);
            out.clear();
            written
        })?;
        rewrite.finish(&mut out);
        rewritten.write(&out)?;
        spool = rewritten;
    }
    let scanned = scan(&mut spool, limits)?;
    Ok((spool, scanned))
}

/// The first words, read from wherever the first text stands.
fn preview(spool: &Spool, structure: &[u8], header: &[u8], head: u64) -> Result<String> {
    let Ok(structure) = StructureRef::parse(structure) else { return Ok(String::new()) };
    for source in preview::sources(structure) {
        // Bodies stand behind the header, which may have got another length.
        let shift = |at: u64| at.saturating_sub(header.len() as u64).saturating_add(head);
        let octets = spool.read(shift(source.range.start)..shift(source.range.end))?;
        let words = source.preview(&octets);
        if !words.is_empty() {
            return Ok(words);
        }
    }
    Ok(String::new())
}

impl Spool {
    /// The structure of the message in it, as it would be stored.
    pub fn structure(&mut self, limits: &Limits) -> Result<Vec<u8>> {
        Ok(scan(self, limits)?.structure.encode())
    }
}

pub(super) fn scan(spool: &mut Spool, limits: &Limits) -> Result<Scanned> {
    let mut scanner = Scanner::with_limits(*limits);
    spool.each_chunk::<Error>(|octets| {
        scanner.feed(octets);
        Ok(())
    })?;
    Ok(scanner.finish())
}

/// The same message with another header in place of its first `head` octets.
fn scan_with_header(
    spool: &mut Spool,
    header: &[u8],
    head: u64,
    limits: &Limits,
) -> Result<Scanned> {
    let mut scanner = Scanner::with_limits(*limits);
    scanner.feed(header);
    behind(spool, head, |octets| scanner.feed(octets))?;
    Ok(scanner.finish())
}

fn hash(spool: &mut Spool, header: &[u8], head: u64) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    behind(spool, head, |octets| {
        hasher.update(octets);
    })?;
    Ok(*hasher.finalize().as_bytes())
}

/// All octets behind the first `skip`.
fn behind(spool: &mut Spool, mut skip: u64, mut f: impl FnMut(&[u8])) -> Result<()> {
    spool.each_chunk(|octets| {
        let here = usize::try_from(skip).unwrap_or(usize::MAX).min(octets.len());
        skip = skip.saturating_sub(octets.len() as u64);
        if let Some(rest) = octets.get(here..).filter(|rest| !rest.is_empty()) {
            f(rest);
        }
        Ok(())
    })
}

/// Hashes of the Message-ID and of the ids it refers to, its own first. A message without any has
/// the hash of its octets: the same octets must always be in the same thread (RFC 8474 §5.2).
fn references(keys: Option<&Keys>, octets: &[u8; 32]) -> Vec<i64> {
    let first =
        |hash: &[u8; 32]| i64::from_le_bytes(hash.first_chunk().copied().unwrap_or_default());
    let ids = keys
        .into_iter()
        .flat_map(|keys| keys.message_id.iter().chain(&keys.references).chain(&keys.in_reply_to));
    let mut hashes: Vec<i64> = Vec::new();
    for id in ids {
        let hash = first(blake3::hash(id).as_bytes());
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    if hashes.is_empty() {
        hashes.push(first(octets));
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::Bus,
        mail::{Limits, structure::scan as scan_octets},
        store::{Options, Store},
    };

    async fn prepared(message: &[u8], edit: fn(Vec<u8>) -> Vec<u8>) -> Prepared {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store, Limits::default());
        let mut spool = mail.spool();
        for chunk in message.chunks(50_000) {
            spool.write(chunk).unwrap();
        }
        mail.prepare(spool, edit).await.unwrap()
    }

    fn added(header: Vec<u8>) -> Vec<u8> {
        [b"X-New: 1\r\n".to_vec(), header].concat()
    }

    #[tokio::test]
    async fn small_and_large_messages_are_described_alike() {
        for lines in [3, 20_000] {
            let message = format!(
                "Subject: hi\r\nMessage-ID: <a@b>\r\nReferences: <c@d> <a@b>\r\n\r\n{}",
                "one line of text\r\n".repeat(lines)
            );
            let whole = [b"X-New: 1\r\n", message.as_bytes()].concat();
            let prepared = prepared(message.as_bytes(), added).await;
            let (content, expected) = (prepared.content(), scan_octets(&whole));
            assert_eq!(content.hash, *blake3::hash(&whole).as_bytes());
            assert_eq!(content.size, whole.len() as u64);
            assert_eq!(content.structure, expected.structure.encode());
            assert_eq!(content.summary, expected.summary.encode());
            assert_eq!(content.references.len(), 2);
            assert!(content.header.starts_with(b"X-New: 1\r\nSubject"));
            assert_eq!(matches!(content.pieces[..], [NewPiece::Blob(..)]), lines > 3);
        }
    }

    #[tokio::test]
    async fn a_message_with_two_headers_has_one_body() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path()), Arc::new(Bus::default())).unwrap();
        let mail = Mail::new(store, Limits::default());
        for lines in [3, 20_000] {
            let message = format!("Subject: hi\r\n\r\n{}", "one line of text\r\n".repeat(lines));
            let mut spool = mail.spool();
            spool.write(message.as_bytes()).unwrap();
            let (one, two) = mail.prepare_twice(spool, added, |header| header).await.unwrap();
            let whole = [b"X-New: 1\r\n", message.as_bytes()].concat();
            for (prepared, octets) in [(one, whole.as_slice()), (two, message.as_bytes())] {
                let (content, expected) = (prepared.content(), scan_octets(octets));
                assert_eq!(content.hash, *blake3::hash(octets).as_bytes());
                assert_eq!(content.size, octets.len() as u64);
                assert_eq!(content.structure, expected.structure.encode());
                assert!(content.preview.starts_with("one line of text"));
                assert_eq!(matches!(content.pieces[..], [NewPiece::Blob(..)]), lines > 3);
            }
        }
    }

    #[tokio::test]
    async fn binary_parts_become_base64_and_bare_line_ends_crlf() {
        let message = b"Content-Transfer-Encoding: binary\nContent-Type: image/png\n\n\0\x01\n\xff";
        let prepared = prepared(message, |header| header).await;
        let [NewPiece::Octets(body)] = &prepared.content().pieces[..] else { panic!() };
        assert_eq!(body.trim_ascii(), b"AAEK/w==");
        let header = String::from_utf8_lossy(prepared.header()).to_lowercase();
        assert!(header.contains("encoding: base64\r\n"), "{header}");
        assert!(header.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn the_preview_is_of_the_text_whatever_the_header_became() {
        let message = b"Subject: x\r\n\r\nDear Bob, lunch at noon?\r\n";
        let prepared = prepared(message, added).await;
        assert_eq!(prepared.content().preview, "Dear Bob, lunch at noon?");
    }

    #[tokio::test]
    async fn a_message_without_a_body_has_no_pieces() {
        let prepared = prepared(b"Subject: x\r\n\r\n", |header| header).await;
        assert!(prepared.content().pieces.is_empty());
        assert_eq!(prepared.size(), 14);
    }
}
