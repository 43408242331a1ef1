//! What the full-text index holds of a message, and what it can rule out.
//!
//! The index must hold all that a search would look at, prepared as a search compares it: then each
//! trigram of a text that is there is in the index, and a message that lacks one need not be read.

use std::ops::ControlFlow;

use super::{
    decide::Facts,
    facts::{self, Known},
    key::{Field, Key, Program},
    needle::Needle,
    text::{self, Scope, See, Source},
};
use crate::{
    events::Entry,
    ids::ContentId,
    mail::{
        casemap::{casemap, has_marks},
        converted::Form,
        error::{Error, Result},
        structure::StructureRef,
        summary::SummaryRef,
    },
    store::{Candidates, Probe, Reader, Texts, Want},
};

/// Texts of one search that are looked up; the others are looked for.
const MOST_PROBES: usize = 16;

/// How much of a message is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Octets of text in the header, and in the body, of a message that the index holds.
    pub(super) text: u64,
    /// Encoded words that are decoded.
    pub(super) encoded_words: usize,
}

/// The texts of a message as the index has them, without its body where that is too much. None when it
/// is not like others and is better looked at each time: damaged, with too large a header, or with so
/// many encoded words that not all are decoded.
pub(super) fn texts(
    r: &Reader<'_>,
    content: ContentId,
    size: u64,
    reach: Reach,
) -> Result<Option<Texts>> {
    match try_texts(r, content, size, reach) {
        Err(Error::Damaged(cause)) => {
            tracing::warn!(%cause, %content, "a damaged message is not indexed");
            Ok(None)
        }
        other => other,
    }
}

fn try_texts(r: &Reader<'_>, content: ContentId, size: u64, reach: Reach) -> Result<Option<Texts>> {
    let parts = r.content(content, Want { summary: true, header: true, ..Want::default() })?;
    let structure = StructureRef::parse(&parts.structure).map_err(|_| facts::damaged())?;
    if parts.header.len() as u64 > reach.text || text::header_is_beyond(structure) {
        return Ok(None);
    }
    let mut left = reach.encoded_words;
    let mut head = String::new();
    for header in text::header(&parts.header, &mut left) {
        if is_odd(&header.text, header.form) {
            return Ok(None);
        }
        head.push_str(&casemap(&header.text));
    }
    let summary = SummaryRef::parse(&parts.summary).map_err(|_| facts::damaged())?;
    for field in Field::ALL {
        let mut left = reach.encoded_words;
        let Some(text) = facts::field_text(&summary, field, &mut left) else { continue };
        if left == 0 {
            return Ok(None);
        }
        if is_odd(&text.text, text.form) {
            return Ok(None);
        }
        // Most fields read the same in the header.
        let text = casemap(&text.text);
        if memchr::memmem::find(head.as_bytes(), text.as_bytes()).is_none() {
            head.push_str(&text);
            head.push('\n');
        }
    }
    let mut body = Gathered { text: String::new(), most: reach.text, is_cut: false, is_odd: false };
    let source = Source { r, content, size };
    text::each_text(source, structure, Scope::Body, &mut left, &mut body)?;
    if body.is_odd {
        return Ok(None);
    }
    let body = (!body.is_cut).then_some(body.text);
    Ok((left > 0).then_some(Texts { head, body }))
}

/// The texts of a body, up to a bound.
struct Gathered {
    text: String,
    most: u64,
    is_cut: bool,
    is_odd: bool,
}

/// What is compared by its octets is found in the index as other texts are, unless preparing it would
/// put marks in another order.
fn is_odd(text: &str, form: Form) -> bool {
    form == Form::Octets && has_marks(text)
}

impl See for Gathered {
    fn see(&mut self, piece: &str, form: Form, last: bool) -> ControlFlow<()> {
        self.is_odd |= is_odd(piece, form);
        self.text.push_str(&casemap(piece));
        if last {
            self.text.push('\n');
        }
        self.is_cut = self.text.len() as u64 > self.most;
        if self.is_cut || self.is_odd { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Program {
    /// The texts that can be looked up; what is found is then known to [`RuledOut`] by their numbers.
    pub(super) fn probes(&mut self) -> Vec<Probe> {
        let mut probes = Vec::new();
        self.key.number(&mut probes);
        probes
    }
}

impl Key {
    fn number(&mut self, probes: &mut Vec<Probe>) {
        let (head, body, needle) = match self {
            Self::And(keys) | Self::Or(keys) => {
                for key in keys {
                    key.number(probes);
                }
                return;
            }
            Self::Not(key) => return key.number(probes),
            Self::Field(_, needle) | Self::Header(_, needle) => (true, false, needle),
            Self::Body(needle) => (false, true, needle),
            Self::Text(needle) => (true, true, needle),
            _ => return,
        };
        let text = needle.indexed().filter(|text| Probe::is_long_enough(text));
        if let Some(text) = text.filter(|_| probes.len() < MOST_PROBES) {
            needle.probe = Some(probes.len());
            probes.push(Probe { text, head, body });
        }
    }
}

/// What view and index know together.
pub(super) struct RuledOut<'e> {
    pub(super) entry: &'e Entry,
    pub(super) candidates: &'e Candidates,
}

impl RuledOut<'_> {
    fn rule_out(&self, needle: &Needle) -> Option<bool> {
        let out = |probe| self.candidates.rule_out(probe, self.entry.content);
        needle.probe.is_some_and(out).then_some(false)
    }
}

impl Facts for RuledOut<'_> {
    fn holds(&mut self, key: &Key) -> Result<Option<bool>> {
        match key {
            Key::Field(_, needle)
            | Key::Header(_, needle)
            | Key::Body(needle)
            | Key::Text(needle) => Ok(self.rule_out(needle)),
            key => Known(self.entry).holds(key),
        }
    }
}
