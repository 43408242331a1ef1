//! A stored message as the next hop can take it: streamed from the store, converted on the way, its
//! Return-Path left at home.

use std::sync::Arc;

use crate::{
    ids::ContentId,
    mail::{
        self, Mail, Spool,
        downgrade::{Hop, downgrade_to_lines},
        rewrite::Rewrite,
        structure::{self, StructureRef},
    },
    store::Want,
};

/// Octets that only a hop with BINARYMIME takes as they are (RFC 3030 §3).
const BINARY: [structure::Octets; 3] =
    [structure::Octets::NUL, structure::Octets::BARE_CR, structure::Octets::BARE_LF];
/// Our own field is never folded, and an address is short.
const RETURN_PATH_MAX: usize = 512;
const RETURN_PATH: &[u8] = b"Return-Path:";
/// Octets of a spool that are read at once.
const STEP: u64 = 64 << 10;

/// What is known of a message before it is sent.
#[derive(Clone)]
pub(super) struct Letter {
    kept: Kept,
    pub(super) size: u64,
    /// Octets of a line of text that is sent.
    line_max: usize,
    structure: Vec<u8>,
    /// Octets above 127 in a body.
    pub(super) eight_bit: bool,
    /// Octets above 127 in a header.
    pub(super) eight_bit_header: bool,
    /// Octets in a body that are no text.
    pub(super) binary: bool,
}

/// Where a message is.
#[derive(Clone)]
enum Kept {
    Stored(Box<Mail>, ContentId),
    Spooled(Arc<Spool>),
}

impl Letter {
    /// Looks at a message that only passes.
    pub(super) fn spooled(
        mut spool: Spool,
        parsing: &structure::Limits,
        line_max: usize,
    ) -> mail::Result<Self> {
        let (size, structure) = (spool.len(), spool.structure(parsing)?);
        Ok(Self::described(Kept::Spooled(Arc::new(spool)), size, line_max, structure))
    }

    /// Looks at a stored message.
    pub(super) async fn open(
        mail: &Mail,
        content: ContentId,
        size: u64,
        line_max: usize,
    ) -> mail::Result<Self> {
        let want = Want { summary: true, ..Want::default() };
        let parts = mail.contents(vec![content], want).await?.pop();
        let structure = parts.transpose()?.unwrap_or_default().structure;
        Ok(Self::described(
            Kept::Stored(Box::new(mail.clone()), content),
            size,
            line_max,
            structure,
        ))
    }

    fn described(kept: Kept, size: u64, line_max: usize, structure: Vec<u8>) -> Self {
        let (mut eight_bit, mut eight_bit_header, mut binary) = (false, false, false);
        if let Ok(read) = StructureRef::parse(&structure) {
            for part in read.parts() {
                eight_bit |= part.octets.has(structure::Octets::EIGHT_BIT);
                binary |= BINARY.iter().any(|kind| part.octets.has(*kind));
                eight_bit_header |= part.header_octets.has(structure::Octets::EIGHT_BIT);
            }
        }
        Self { kept, size, line_max, structure, eight_bit, eight_bit_header, binary }
    }

    /// Its octets as they are, or fit for a hop that takes less.
    pub(super) fn source(&self, hop: Option<Hop>) -> Source {
        let rewrite = hop.and_then(|hop| self.rewrite(hop));
        let octets = match &self.kept {
            Kept::Stored(mail, content) => {
                Octets::Stored(Box::new(mail.octets(*content, 0..self.size)))
            }
            Kept::Spooled(spool) => Octets::Spooled(Arc::clone(spool), 0),
        };
        Source { octets, rewrite, head: Some(Vec::new()) }
    }

    /// Whether it has to be changed for such a hop.
    pub(super) fn changes_for(&self, hop: Hop) -> bool {
        self.rewrite(hop).is_some()
    }

    fn rewrite(&self, hop: Hop) -> Option<Rewrite> {
        downgrade_to_lines(StructureRef::parse(&self.structure).ok()?, hop, self.line_max)
    }
}

/// Octets on their way out.
pub(super) struct Source {
    octets: Octets,
    rewrite: Option<Rewrite>,
    /// The first line, until it is known whether it stays.
    head: Option<Vec<u8>>,
}

enum Octets {
    Stored(Box<mail::Octets>),
    /// From here on.
    Spooled(Arc<Spool>, u64),
    #[cfg(test)]
    Given(std::vec::IntoIter<Vec<u8>>),
}

impl Source {
    /// The next octets; None at the end.
    pub(super) async fn next(&mut self) -> Option<mail::Result<Vec<u8>>> {
        loop {
            let more = match &mut self.octets {
                Octets::Stored(octets) => octets.next().await,
                Octets::Spooled(spool, at) if *at >= spool.len() => None,
                Octets::Spooled(spool, at) => {
                    let octets = spool.read(*at..at.saturating_add(STEP));
                    *at = at.saturating_add(STEP);
                    Some(octets)
                }
                #[cfg(test)]
                Octets::Given(pieces) => pieces.next().map(Ok),
            };
            let octets = match more {
                Some(Ok(octets)) => self.rewritten(octets),
                Some(Err(error)) => return Some(Err(error)),
                None => return self.last().map(Ok),
            };
            let out = self.without_return_path(octets);
            if !out.is_empty() {
                return Some(Ok(out));
            }
        }
    }

    fn rewritten(&mut self, octets: Vec<u8>) -> Vec<u8> {
        let Some(rewrite) = &mut self.rewrite else { return octets };
        let mut out = Vec::with_capacity(octets.len());
        rewrite.feed(&octets, &mut out);
        out
    }

    fn last(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        if let Some(rewrite) = self.rewrite.take() {
            rewrite.finish(&mut out);
        }
        let mut out = self.without_return_path(out);
        if let Some(head) = self.head.take() {
            out = stripped(head);
        }
        if out.is_empty() { None } else { Some(out) }
    }

    /// Who finally delivers writes Return-Path; a relay must not (RFC 5321 §4.4).
    fn without_return_path(&mut self, octets: Vec<u8>) -> Vec<u8> {
        let Some(mut head) = self.head.take() else { return octets };
        head.extend(octets);
        let undecided = head.len() < RETURN_PATH_MAX && memchr::memchr(b'\n', &head).is_none();
        if undecided {
            self.head = Some(head);
            return Vec::new();
        }
        stripped(head)
    }
}

fn stripped(mut head: Vec<u8>) -> Vec<u8> {
    let name = head.get(..RETURN_PATH.len()).unwrap_or_default();
    if name.eq_ignore_ascii_case(RETURN_PATH)
        && let Some(end) = memchr::memchr(b'\n', &head)
    {
        head.drain(..=end);
    }
    head
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message that is in no store.
    pub(in crate::queue) fn given(pieces: &[&[u8]]) -> Source {
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let octets = Octets::Given(pieces.into_iter());
        Source { octets, rewrite: None, head: Some(Vec::new()) }
    }

    async fn all(mut source: Source) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(octets) = source.next().await {
            all.extend(octets.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn our_return_path_stays_at_home() {
        let pieces: [&[&[u8]]; 3] = [
            &[b"Return-Path: <a@b>\r\nTo: c@d\r\n\r\nx"],
            &[b"Retur", b"n-Path: <a@b>", b"\r\nTo: c@d\r\n", b"\r\nx"],
            &[b"To: c@d\r\n\r\nx"],
        ];
        for pieces in pieces {
            assert_eq!(all(given(pieces)).await, b"To: c@d\r\n\r\nx");
        }
        assert_eq!(all(given(&[b"To"])).await, b"To");
        assert_eq!(all(given(&[])).await, b"");
    }
}
