//! COMPARATOR (RFC 5255 §4.7): how SEARCH, SORT and THREAD compare texts from now on.

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        reply::{Code, Done, Replies},
        session::Session,
    },
    mail::Collation,
    wire::{Cursor, Syntax},
};

/// What one command may ask for.
const MOST: usize = 32;

struct Comparator {
    wanted: Vec<String>,
}

/// `"COMPARATOR" *(SP comp-order-quoted)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    let mut wanted = Vec::new();
    while args.take(b' ') {
        if wanted.len() == MOST {
            return Err(Syntax::Limit("comparators"));
        }
        wanted.push(args.astring_text()?.into_owned());
    }
    args.end()?;
    Ok(Box::new(Comparator { wanted }))
}

impl Command for Comparator {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let mut matching = Vec::new();
            for wanted in &self.wanted {
                for collation in Collation::ALL {
                    if matches(wanted, collation) && !matching.contains(&collation) {
                        matching.push(collation);
                    }
                }
            }
            match matching.first() {
                Some(first) => session.collation = *first,
                None if self.wanted.is_empty() => {}
                None => return Err(Error::no(Code::BadComparator, "no such comparator")),
            }
            let active = session.collation;
            out.line(|out| {
                out.put("COMPARATOR ");
                out.string(active.name().as_bytes());
                if matching.len() > 1 {
                    let mut before = " (";
                    for collation in matching {
                        out.put(before);
                        out.string(collation.name().as_bytes());
                        before = " ";
                    }
                    out.put(")");
                }
            });
            Ok(Done::ok("texts are compared so"))
        })
    }
}

/// Does this collation-order mean it (RFC 4790 §3)? It may have wild cards, and a sign in front for the
/// direction, of which there is only the rising one.
fn matches(wanted: &str, collation: Collation) -> bool {
    let wanted = wanted.strip_prefix('+').unwrap_or(wanted);
    if wanted.eq_ignore_ascii_case("default") {
        return collation == Collation::default();
    }
    glob(&wanted.to_ascii_lowercase(), collation.name())
}

/// Does the whole name match a pattern in which `*` stands for any characters, none too?
fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_cards_stand_for_anything() {
        for (pattern, name) in [
            ("*", "i;octet"),
            ("i;octet", "i;octet"),
            ("i;*casemap", "i;ascii-casemap"),
            ("*;*-*", "i;ascii-casemap"),
            ("i;octet*", "i;octet"),
        ] {
            assert!(glob(pattern, name), "{pattern}");
        }
        for (pattern, name) in [
            ("", "i;octet"),
            ("i;oct", "i;octet"),
            ("octet", "i;octet"),
            ("i;octet*octet", "i;octet"),
        ] {
            assert!(!glob(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn the_default_is_one_too() {
        assert!(
            matches("default", Collation::UnicodeCasemap) && !matches("default", Collation::Octet)
        );
        assert!(matches("+I;OCTET", Collation::Octet) && !matches("-i;octet", Collation::Octet));
    }
}
