//! Lays the steps of a rewrite over a structure.

use super::{Edit, How, Rewrite, Step};
use crate::mail::structure::{Damage, Kind, PartRef, StructureRef};

/// What shall happen to one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mail) struct Treatment {
    pub header: Edit,
    /// The body of a leaf; of other parts what stands between their children.
    pub body: How,
}

/// A part and what surrounds it.
#[derive(Clone, Copy, Debug)]
pub(in crate::mail) struct Seen<'a> {
    pub part: PartRef<'a>,
    /// The root of the message or of an embedded one.
    pub of_message: bool,
    /// Within a multipart/signed.
    pub signed: bool,
    /// A field can be added to the header, so the body can be encoded.
    pub has_header: bool,
    /// The text that stands for the parts of a multipart that has none.
    pub only_text: Option<PartRef<'a>>,
}

/// Asks for each part what shall happen to it; nothing if nothing shall.
pub(in crate::mail) fn plan(
    structure: StructureRef<'_>,
    mut treat: impl FnMut(Seen<'_>) -> Treatment,
) -> Option<Rewrite> {
    let mut steps = Steps::default();
    let mut around: Vec<Around> = Vec::new();
    let mut parts = structure.parts().enumerate().peekable();
    while let Some((index, part)) = parts.next() {
        while let Some(done) = around.pop_if(|outer| outer.until <= index) {
            steps.until(done.end, &done.between);
        }
        if let Some(outer) = around.last() {
            steps.until(part.header, &outer.between);
        }
        let empty = part.kind == Kind::Multipart && part.damage.has(Damage::NO_PARTS);
        let open = part.damage.has(Damage::HEADER_OPEN);
        let treatment = treat(Seen {
            part,
            of_message: around.last().is_none_or(|outer| outer.kind == Kind::Message),
            signed: around.last().is_some_and(|outer| outer.signed),
            has_header: part.header < part.body
                || open && around.last().is_none_or(|outer| outer.header_ends),
            only_text: parts.peek().filter(|_| empty).map(|(_, child)| *child),
        });
        let mut header = treatment.header;
        if header.is_nothing() {
            steps.until(part.body, &How::Copy);
        } else {
            header.empty_line = header.adds() && open && !part.is_empty();
            steps.header(part.body, header);
        }
        if part.kind == Kind::Leaf {
            steps.until(part.end, &treatment.body);
        } else {
            let signed =
                around.last().is_some_and(|outer| outer.signed) || part.is("multipart", "signed");
            around.push(Around {
                until: index.saturating_add(part.size),
                end: part.end,
                kind: part.kind,
                header_ends: part.kind == Kind::Multipart || !open,
                signed,
                between: treatment.body,
            });
        }
    }
    while let Some(done) = around.pop() {
        steps.until(done.end, &done.between);
    }
    steps.work.then(|| Rewrite::new(steps.list))
}

struct Around {
    until: usize,
    end: u64,
    kind: Kind,
    signed: bool,
    /// What a child begins with is not part of this one's header.
    header_ends: bool,
    between: How,
}

#[derive(Default)]
struct Steps {
    list: Vec<Step>,
    at: u64,
    /// There is more to do than to copy.
    work: bool,
}

impl Steps {
    /// An edited header; if it is empty, its fields come in here.
    fn header(&mut self, end: u64, edit: Edit) {
        self.work = true;
        self.list.push(Step { range: self.at..end, how: How::Header(edit) });
        self.at = end;
    }

    fn until(&mut self, end: u64, how: &How) {
        if end <= self.at {
            return;
        }
        let range = self.at..end;
        self.at = end;
        self.work |= *how != How::Copy;
        match self.list.last_mut() {
            // Copies and line ends flow from one stretch into the next.
            Some(last) if last.how == *how && matches!(how, How::Copy | How::LineEnds) => {
                last.range.end = end;
            }
            _ => self.list.push(Step { range, how: how.clone() }),
        }
    }
}
