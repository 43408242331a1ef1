//! Changes a message piece by piece while it streams by: bodies get another transfer encoding,
//! headers another field, everything else stays octet for octet.
//!
//! What is to be done is planned from the structure alone ([`binary`](super::binary) and
//! [`downgrade`](super::downgrade) do that); here it is carried out. Memory stays bounded: only a
//! header that is edited is held, up to its limit.

mod ascii;
pub(in crate::mail) mod encode;
mod header;
mod line_ends;
mod plan;

use std::{ops::Range, vec::IntoIter};

pub use self::line_ends::LineEnds;
pub(super) use self::{
    encode::Mask,
    header::Edit,
    plan::{Seen, Treatment, plan},
};

/// Lines of text in quoted-printable; they come back octet for octet (RFC 2045 §6.7).
pub fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let (mut work, mut out) = (encode::Quoted::default(), Vec::new());
    work.feed(text, &mut out);
    work.finish(&mut out);
    out
}

/// What happens to a stretch of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    Copy,
    /// Bare CR and bare LF become CRLF, NUL a blank.
    LineEnds,
    Base64,
    /// Quoted-printable for lines of text.
    Quoted,
    /// Text in base64, put into short lines of clean base64.
    Rewrap,
    /// Text in quoted-printable, put into short lines of seven bits.
    Requote,
    /// Text that nobody reads, made harmless.
    Mask(Mask),
    Header(Edit),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub range: Range<u64>,
    pub how: How,
}

/// A planned change that the message's octets flow through, from first to last.
#[derive(Debug)]
pub struct Rewrite {
    steps: IntoIter<Step>,
    /// Octets left of the current step.
    left: u64,
    work: Work,
    line_ends: LineEnds,
}

#[derive(Debug)]
enum Work {
    Copy,
    LineEnds,
    Base64(encode::Base64),
    Quoted(encode::Quoted),
    Rewrap(encode::Rewrap),
    Requote(encode::Requote),
    Mask(encode::Masking),
    Header(header::Editor),
}

impl Rewrite {
    pub(super) fn new(steps: Vec<Step>) -> Self {
        Self { steps: steps.into_iter(), left: 0, work: Work::Copy, line_ends: LineEnds::default() }
    }

    /// Takes the message's next octets and appends what becomes of them.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.left == 0 && !self.next_step(out) {
                self.work(rest, out);
                return;
            }
            let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            let (here, behind) = rest.split_at_checked(size).unwrap_or((rest, b""));
            self.left = self.left.saturating_sub(u64::try_from(here.len()).unwrap_or(u64::MAX));
            self.work(here, out);
            rest = behind;
        }
    }

    /// The message is complete.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.end_work(out);
        if let Work::LineEnds = self.work {
            self.line_ends.finish(out);
        }
    }

    /// The whole message at once.
    pub fn apply(mut self, message: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(message.len().saturating_add(message.len() / 8));
        self.feed(message, &mut out);
        self.finish(&mut out);
        out
    }

    fn next_step(&mut self, out: &mut Vec<u8>) -> bool {
        self.end_work(out);
        let Some(step) = self.steps.next() else {
            self.work = Work::Copy;
            return false;
        };
        self.left = step.range.end.saturating_sub(step.range.start);
        if step.how != How::LineEnds {
            self.line_ends.finish(out);
        }
        self.work = match step.how {
            How::Copy => Work::Copy,
            How::LineEnds => Work::LineEnds,
            How::Base64 => Work::Base64(encode::Base64::default()),
            How::Quoted => Work::Quoted(encode::Quoted::default()),
            How::Rewrap => Work::Rewrap(encode::Rewrap::default()),
            How::Requote => Work::Requote(encode::Requote::default()),
            How::Mask(mask) => Work::Mask(encode::Masking::new(mask)),
            How::Header(edit) => Work::Header(header::Editor::new(edit)),
        };
        true
    }

    fn work(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match &mut self.work {
            Work::Copy => out.extend_from_slice(octets),
            Work::LineEnds => self.line_ends.feed(octets, out),
            Work::Base64(work) => work.feed(octets, out),
            Work::Quoted(work) => work.feed(octets, out),
            Work::Rewrap(work) => work.feed(octets, out),
            Work::Requote(work) => work.feed(octets, out),
            Work::Mask(work) => work.feed(octets, out),
            Work::Header(work) => work.feed(octets, out),
        }
    }

    fn end_work(&mut self, out: &mut Vec<u8>) {
        match &mut self.work {
            Work::Copy | Work::LineEnds | Work::Rewrap(_) | Work::Mask(_) => {}
            Work::Base64(work) => work.finish(out),
            Work::Quoted(work) => work.finish(out),
            Work::Requote(work) => work.finish(out),
            Work::Header(work) => work.finish(out),
        }
    }
}
