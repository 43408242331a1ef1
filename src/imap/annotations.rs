//! How annotations are asked for, set and told (RFC 5257 §5).

use std::sync::Arc;

use crate::{
    mail::{
        annotations::{
            AllSaid, AnnotationMatch, AnnotationName, AnnotationValue, Attribute, AttributeKind,
            NoName, Said, WantedAnnotations,
        },
        metadata::Scope,
    },
    wire::{Buffer, Cursor, Syntax},
};

/// Names and patterns of one item.
const MOST_ENTRIES: usize = 100;
/// Values of one command.
const MOST_VALUES: usize = 1_000;
const SCOPES: [Scope; 2] = [Scope::Private, Scope::Shared];

/// `"(" entries SP attribs ")"`
pub fn wanted(args: &mut Cursor<'_>) -> Result<WantedAnnotations, Syntax> {
    args.expect(b'(', "entries and attributes in brackets")?;
    let mut entries = Vec::new();
    let mut add = |entry: AnnotationMatch| {
        if entries.len() == MOST_ENTRIES {
            return Err(Syntax::Limit("entries"));
        }
        if !entries.contains(&entry) {
            entries.push(entry);
        }
        Ok(())
    };
    if args.at_list() {
        args.list(|args| add(entry_match(args)?))?;
    } else {
        add(entry_match(args)?)?;
    }
    args.space()?;
    let mut attributes = Vec::new();
    let mut add = |(kind, scope): (AttributeKind, Option<Scope>)| {
        for scope in SCOPES.into_iter().filter(|known| scope.is_none_or(|scope| scope == *known)) {
            let attribute = Attribute { kind, scope };
            if !attributes.contains(&attribute) {
                attributes.push(attribute);
            }
        }
    };
    if args.at_list() {
        args.list(|args| attribute(args).map(&mut add))?;
    } else {
        add(attribute(args)?);
    }
    args.expect(b')', "the end of entries and attributes")?;
    if entries.is_empty() || attributes.is_empty() {
        return Err(Syntax::Expected("entries and attributes"));
    }
    Ok(WantedAnnotations { entries, attributes })
}

/// `"(" entry-att *(SP entry-att) ")"` where
/// `entry-att = entry SP "(" attrib SP value *(SP attrib SP value) ")"`
pub fn values(args: &mut Cursor<'_>) -> Result<Vec<AnnotationValue>, Syntax> {
    let mut values = Vec::new();
    args.list(|args| {
        let name = entry(args)?;
        if !name.can_have_value() {
            return Err(Syntax::Expected("an entry that can have a value"));
        }
        args.space()?;
        let before = values.len();
        args.list(|args| {
            if values.len() == MOST_VALUES {
                return Err(Syntax::Limit("values"));
            }
            let scope = scope_of_value(args)?;
            args.space()?;
            let value = args.value()?.map(std::borrow::Cow::into_owned);
            if value.as_ref().is_some_and(|value| !name.takes(value)) {
                return Err(Syntax::Expected("\"0\" or \"1\" for a flag"));
            }
            values.push(AnnotationValue { name: name.clone(), scope, value });
            Ok(())
        })?;
        if values.len() == before { Err(Syntax::Expected("an attribute")) } else { Ok(()) }
    })?;
    if values.is_empty() { Err(Syntax::Expected("an entry")) } else { Ok(values) }
}

/// `entry = astring`, slash-separated, without `*` and `%`
pub fn entry(args: &mut Cursor<'_>) -> Result<AnnotationName, Syntax> {
    AnnotationName::parse(&args.astring()?).map_err(no_name)
}

/// `entry-match = list-mailbox`, slash-separated
pub fn entry_match(args: &mut Cursor<'_>) -> Result<AnnotationMatch, Syntax> {
    AnnotationMatch::parse(&args.list_text()?).map_err(no_name)
}

fn no_name(error: NoName) -> Syntax {
    match error {
        NoName::TooLong => Syntax::Limit("octets in an entry's name"),
        NoName::Malformed(what) => Syntax::Expected(what),
    }
}

/// `att-search = "value" / "value.priv" / "value.shared"`
pub fn searched(args: &mut Cursor<'_>) -> Result<Vec<Scope>, Syntax> {
    match attribute(args)? {
        (AttributeKind::Value, scope) => {
            Ok(scope.map_or_else(|| SCOPES.into(), |scope| vec![scope]))
        }
        (AttributeKind::Size, _) => Err(Syntax::Expected("value, value.priv or value.shared")),
    }
}

/// `"value.priv" / "value.shared"`: what can be set, and sorted by
pub fn scope_of_value(args: &mut Cursor<'_>) -> Result<Scope, Syntax> {
    match attribute(args)? {
        (AttributeKind::Value, Some(scope)) => Ok(scope),
        _ => Err(Syntax::Expected("value.priv or value.shared")),
    }
}

/// `attrib`: `value` or `size`, with the suffix `.priv` or `.shared` or, when both are meant, without
fn attribute(args: &mut Cursor<'_>) -> Result<(AttributeKind, Option<Scope>), Syntax> {
    let name = args.astring()?.to_ascii_lowercase();
    Ok(match name.as_slice() {
        b"value" => (AttributeKind::Value, None),
        b"value.priv" => (AttributeKind::Value, Some(Scope::Private)),
        b"value.shared" => (AttributeKind::Value, Some(Scope::Shared)),
        b"size" => (AttributeKind::Size, None),
        b"size.priv" => (AttributeKind::Size, Some(Scope::Private)),
        b"size.shared" => (AttributeKind::Size, Some(Scope::Shared)),
        _ => return Err(Syntax::Expected("value or size, perhaps with .priv or .shared")),
    })
}

/// `"(" entry-att *(SP entry-att) ")"` with what is wanted of a message; false, and nothing is
/// written, when there is nothing of it.
pub fn write(wanted: &WantedAnnotations, all: &AllSaid, out: &mut Buffer) -> bool {
    let nothing = Said::default();
    let mut told: Vec<&str> = Vec::new();
    let mut before = "ANNOTATION (";
    let mut tell = |name: &'_ str, said: &Said, out: &mut Buffer| {
        out.put(std::mem::replace(&mut before, " "));
        out.astring(name.as_bytes());
        out.put(" ");
        out.list(&wanted.attributes, |out, attribute| write_attribute(*attribute, said, out));
    };
    let start = out.len();
    for entry in &wanted.entries {
        match entry {
            AnnotationMatch::One(name) => {
                let name = name.as_str();
                if !told.contains(&&**name) {
                    told.push(name);
                    tell(name, all.get(name).unwrap_or(&nothing), out);
                }
            }
            AnnotationMatch::Any(_) => {
                for (name, said) in all.iter().filter(|(name, _)| entry.fits(name)) {
                    let mut scopes = wanted.attributes.iter().map(|attribute| attribute.scope);
                    if scopes.any(|scope| said.to(scope).is_some()) && !told.contains(&&**name) {
                        told.push(name);
                        tell(name, said, out);
                    }
                }
            }
        }
    }
    if out.len() == start {
        return false;
    }
    out.put(")");
    true
}

/// `value.priv "My comment"`
fn write_attribute(attribute: Attribute, said: &Said, out: &mut Buffer) {
    let (kind, suffix) = match attribute {
        Attribute { kind: AttributeKind::Value, scope: Scope::Private } => ("value", ".priv "),
        Attribute { kind: AttributeKind::Value, scope: Scope::Shared } => ("value", ".shared "),
        Attribute { kind: AttributeKind::Size, scope: Scope::Private } => ("size", ".priv "),
        Attribute { kind: AttributeKind::Size, scope: Scope::Shared } => ("size", ".shared "),
    };
    out.put(kind);
    out.put(suffix);
    let value = said.to(attribute.scope);
    match attribute.kind {
        AttributeKind::Value => out.value(value),
        AttributeKind::Size => {
            out.put("\"");
            out.put(value.map_or(0, <[u8]>::len) as u64);
            out.put("\"");
        }
    }
}

/// `ANNOTATION (/comment /altsubject)`: something new is said under these names (RFC 5257 §4.4).
pub fn write_names<'n>(names: impl IntoIterator<Item = &'n Arc<str>>, out: &mut Buffer) {
    out.put(" ANNOTATION ");
    out.list(names, |out, name| out.astring(name.as_bytes()));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<WantedAnnotations, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let wanted = wanted(&mut args)?;
        args.end()?;
        Ok(wanted)
    }

    fn set(text: &str) -> Result<Vec<AnnotationValue>, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let values = values(&mut args)?;
        args.end()?;
        Ok(values)
    }

    #[test]
    fn entries_and_attributes_stand_alone_or_in_brackets() {
        let one = read("(/comment value)").unwrap();
        assert_eq!((one.entries.len(), one.attributes.len()), (1, 2));
        let many = read("((/comment /% \"/vendor/*\") (value.priv size VALUE))").unwrap();
        assert_eq!((many.entries.len(), many.attributes.len()), (3, 4));
        assert_eq!(read("(/* (value.priv size.priv))").unwrap().attributes.len(), 2);
        for bad in [
            "",
            "/comment value",
            "(/comment)",
            "(/comment ())",
            "(() value)",
            "(comment value)",
            "(/comment content)",
            "(/comment value.*)",
            "(/comment value.both)",
            "(/a//b value)",
            "(/comment value size)",
            "(/0/comment value)",
            "(/comment value",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many = |count: usize| {
            let names: Vec<_> =
                (0..count).map(|number| format!("/{}x", "a".repeat(number))).collect();
            format!("(({}) value)", names.join(" "))
        };
        assert!(read(&many(MOST_ENTRIES)).is_ok());
        assert_eq!(read(&many(MOST_ENTRIES + 1)), Err(Syntax::Limit("entries")));
    }

    #[test]
    fn only_values_with_a_suffix_are_set() {
        let text =
            "(/comment (value.priv \"Get tix\" value.shared NIL) /1/flags/seen (value.priv \"1\"))";
        assert_eq!(set(text).unwrap().len(), 3);
        assert_eq!(
            set("(/c (value.shared ~{3}\r\na\0b))").unwrap()[0].value,
            Some(b"a\0b".to_vec())
        );
        for bad in [
            "",
            "()",
            "(/comment)",
            "(/comment ())",
            "(/comment (value \"x\"))",
            "(/comment (size.priv \"1\"))",
            "(/comment (value.priv))",
            "(/comment (value.priv x))",
            "(/% (value.priv \"x\"))",
            "(/flags/seen (value.priv \"1\"))",
            "(/1 (value.priv \"x\"))",
            "(/1/flags/seen (value.priv \"yes\"))",
            "(/comment value.priv \"x\")",
        ] {
            assert!(set(bad).is_err(), "{bad}");
        }
        let many = |count: usize| format!("(/c ({}))", vec!["value.priv NIL"; count].join(" "));
        assert!(set(&many(MOST_VALUES)).is_ok());
        assert_eq!(set(&many(MOST_VALUES + 1)), Err(Syntax::Limit("values")));
    }

    #[test]
    fn what_is_there_is_told_and_what_was_named_though_it_is_not() {
        let said = |private: Option<&str>, shared: Option<&str>| Said {
            private: private.map(Into::into),
            shared: shared.map(Into::into),
        };
        let all = AllSaid::from([
            ("/altsubject".into(), said(Some("Rhinoceroses!"), None)),
            ("/comment".into(), said(Some("My comment"), Some("Group note"))),
            ("/vendor/x/bin".into(), said(None, Some("a\0b"))),
        ]);
        let told = |text: &str| {
            let mut out = Buffer::default();
            let any = write(&read(text).unwrap(), &all, &mut out);
            assert_eq!(any, !out.is_empty());
            String::from_utf8(out.into_bytes()).unwrap()
        };
        let comment =
            "ANNOTATION (/comment (value.priv \"My comment\" value.shared \"Group note\"))";
        assert_eq!(told("(/comment value)"), comment);
        assert_eq!(
            told("((/% /comment) (value.priv size.priv))"),
            "ANNOTATION (/altsubject (value.priv \"Rhinoceroses!\" size.priv \"13\") \
             /comment (value.priv \"My comment\" size.priv \"10\"))"
        );
        assert_eq!(
            told("(/nothing (value size))"),
            "ANNOTATION (/nothing (value.priv NIL value.shared NIL size.priv \"0\" size.shared \"0\"))"
        );
        assert_eq!(told("(/vendor/* value.priv)"), "");
        assert_eq!(
            told("(/vendor/* value.shared)"),
            "ANNOTATION (/vendor/x/bin (value.shared ~{3}\r\na\0b))"
        );
    }

    proptest! {
        #[test]
        fn printed_values_read_back(
            all in proptest::collection::vec(
                ("/[a-z \"\\\\(.]{1,6}(/[a-z]{1,3})?", any::<bool>(),
                 proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))),
                1..5,
            ),
        ) {
            let all: Vec<_> = all
                .into_iter()
                .map(|(name, shared, value)| AnnotationValue {
                    name: AnnotationName::parse(name.as_bytes()).unwrap(),
                    scope: if shared { Scope::Shared } else { Scope::Private },
                    value,
                })
                .collect();
            prop_assume!(all.iter().all(|value| value.name.can_have_value()));
            let mut out = Buffer::default();
            out.list(&all, |out, value| {
                out.astring(value.name.as_str().as_bytes());
                out.put(if value.scope == Scope::Shared { " (value.shared " } else { " (value.priv " });
                out.value(value.value.as_deref());
                out.put(")");
            });
            let mut args = Cursor::new(out.bytes());
            prop_assert_eq!(values(&mut args), Ok(all));
            prop_assert_eq!(args.end(), Ok(()));
        }

        #[test]
        fn printed_wishes_read_back(
            names in proptest::collection::vec("/[a-z%*\" ]{1,6}(/[a-z*]{1,3})?", 1..5),
            attributes in proptest::sample::subsequence(
                vec!["value.priv", "value.shared", "size.priv", "size.shared"], 1..=4),
        ) {
            let mut out = Buffer::default();
            out.put("(");
            out.list(&names, |out, name| {
                if name.contains(['"', ' ']) { out.string(name.as_bytes()) } else { out.raw(name.as_bytes()) }
            });
            out.put(" ");
            out.list(&attributes, |out, name| out.put(*name));
            out.put(")");
            let mut entries: Vec<_> =
                names.iter().map(|name| AnnotationMatch::parse(name.as_bytes()).unwrap()).collect();
            let mut seen = Vec::new();
            entries.retain(|entry| !seen.contains(entry) && { seen.push(entry.clone()); true });
            let read = read(&String::from_utf8_lossy(out.bytes())).unwrap();
            prop_assert_eq!(read.entries, entries);
            prop_assert_eq!(read.attributes.len(), attributes.len());
        }
    }
}
