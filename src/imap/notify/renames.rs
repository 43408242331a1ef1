//! Mailboxes that get another name because the one above them does: of these a client is not told
//! (RFC 5465 §5.4). Each is an event of its own, and the client may be told of the first before the
//! others are heard.

use std::sync::Arc;

use crate::{ids::ModSeq, mail::name::SEPARATOR};

/// The mailboxes that one command gave other names.
#[derive(Debug, Default)]
pub(super) struct Renames {
    last: ModSeq,
    /// Of the one above the others.
    names: Option<(Arc<str>, Arc<str>)>,
}

impl Renames {
    /// One more has another name, by this change. Those of one command follow each other; in between the
    /// house may take messages back that it was asked to send.
    pub(super) fn next(&mut self, mod_seq: ModSeq) {
        let follows = (1..=2).contains(&mod_seq.0.saturating_sub(self.last.0));
        self.names.take_if(|_| !follows);
        self.last = mod_seq;
    }

    /// Is it to be told? Not when it has another name only because the one above it has.
    pub(super) fn begin(&mut self, from: &Arc<str>, to: &Arc<str>) -> bool {
        if self.names.as_ref().is_some_and(|above| is_below(above, from, to)) {
            return false;
        }
        self.names = Some((Arc::clone(from), Arc::clone(to)));
        true
    }
}

fn is_below((above_from, above_to): &(Arc<str>, Arc<str>), from: &str, to: &str) -> bool {
    let rest = from.strip_prefix(&**above_from).filter(|rest| rest.starts_with(SEPARATOR));
    rest.is_some() && rest == to.strip_prefix(&**above_to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_a_name_that_changed_are_known() {
        let above = (Arc::from("a"), Arc::from("b"));
        assert!(is_below(&above, "a/x/y", "b/x/y"));
        assert!(!is_below(&above, "a", "b") && !is_below(&above, "ax", "bx"));
        assert!(!is_below(&above, "a/x", "c/x"));
    }

    #[test]
    fn another_command_is_told_of_anew() {
        let (mut renames, names) = (Renames::default(), |name: &str| Arc::<str>::from(name));
        let mut told = |mod_seq, from, to| {
            renames.next(ModSeq(mod_seq));
            renames.begin(&names(from), &names(to))
        };
        assert!(told(7, "a", "b"));
        assert!(!told(8, "a/x", "b/x") && !told(10, "a/y", "b/y"));
        assert!(told(11, "c", "d"));
        assert!(told(20, "a", "b") && told(30, "a/z", "b/z"));
    }
}
