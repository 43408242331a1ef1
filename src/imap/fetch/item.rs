//! What a FETCH asks for, read from the command (RFC 9051 §6.4.5, RFC 3501 §6.4.5), and what has to
//! be loaded for it.

use std::sync::Arc;

use crate::{
    imap::annotations,
    mail::{
        annotations::WantedAnnotations,
        extract::{Cut, Form, Wanted},
        section::{Section, SectionText, section, section_binary},
    },
    metrics::Limit,
    wire::{Cursor, Syntax},
};

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Uid,
    Flags,
    InternalDate,
    /// RFC822.SIZE
    Size,
    Envelope,
    /// BODY without a section
    Body,
    BodyStructure,
    /// RFC 8474 §5.1
    EmailId,
    /// RFC 8474 §5.2
    ThreadId,
    /// RFC 8514 §4.2
    SaveDate,
    /// RFC 7162 §3.1.4.2
    ModSeq,
    /// RFC 8970 §3
    Preview,
    /// What users say of it (RFC 5257 §4.3).
    Annotation(Arc<WantedAnnotations>),
    /// Octets of the message.
    Octets(Octets),
}

/// An item that brings octets of the message, or their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Octets {
    /// By what name it was asked for and is answered.
    pub name: Name,
    /// What is wanted.
    pub cut: Cut,
    /// Does it mark the message as read?
    pub sets_seen: bool,
}

/// The names of items with octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `BODY[…]`
    Body,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
    /// `BINARY[…]` (RFC 3516 §4.2)
    Binary,
    /// `BINARY.SIZE[…]`
    BinarySize,
}

/// `"ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"`, no item twice
pub fn items(args: &mut Cursor<'_>) -> Result<Vec<Item>, Syntax> {
    use Item::{Body, Envelope, Flags, InternalDate, Size};
    if args.take_word("FAST") {
        return Ok(vec![Flags, InternalDate, Size]);
    }
    if args.take_word("ALL") {
        return Ok(vec![Flags, InternalDate, Size, Envelope]);
    }
    if args.take_word("FULL") {
        return Ok(vec![Flags, InternalDate, Size, Envelope, Body]);
    }
    if !args.at_list() {
        return Ok(vec![item(args)?]);
    }
    let most = args.bounds().fetch_items;
    let mut items = Vec::new();
    let mut read = 0;
    args.list(|args| {
        read += 1;
        if read > most {
            return Err(Syntax::Over(Limit::ImapFetchItemsMax, "fetch items"));
        }
        let item = item(args)?;
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    if items.is_empty() { Err(Syntax::Expected("something to fetch")) } else { Ok(items) }
}

/// The same items, none twice.
pub fn once_each<'i>(items: impl IntoIterator<Item = &'i Item>) -> Vec<Item> {
    let mut once = Vec::new();
    for item in items {
        if !once.contains(item) {
            once.push(item.clone());
        }
    }
    once
}

/// Do these bring text of a message, and not only its header or how long it is?
pub fn bring_text(items: &[Item]) -> bool {
    items.iter().any(|item| match item {
        Item::Octets(octets) => {
            let text = matches!(octets.cut.section.text, SectionText::All | SectionText::Text);
            text && octets.name != Name::BinarySize
        }
        _ => false,
    })
}

/// Do these bring what users say of a message?
pub fn bring_annotations(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Annotation(_)))
}

/// `fetch-att`
fn item(args: &mut Cursor<'_>) -> Result<Item, Syntax> {
    let word = args.word()?.to_ascii_uppercase();
    Ok(match word.as_str() {
        "UID" => Item::Uid,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "RFC822.SIZE" => Item::Size,
        "ENVELOPE" => Item::Envelope,
        "BODY" if args.peek() == Some(b'[') => body(args, true)?,
        "BODY.PEEK" => body(args, false)?,
        "BODY" => Item::Body,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "SAVEDATE" => Item::SaveDate,
        "MODSEQ" => Item::ModSeq,
        "PREVIEW" => preview(args)?,
        "ANNOTATION" => {
            args.space()?;
            Item::Annotation(Arc::new(annotations::wanted(args)?))
        }
        "RFC822" => whole(Name::Rfc822, SectionText::All),
        "RFC822.HEADER" => whole(Name::Rfc822Header, SectionText::Header),
        "RFC822.TEXT" => whole(Name::Rfc822Text, SectionText::Text),
        "BINARY" => binary(args, true)?,
        "BINARY.PEEK" => binary(args, false)?,
        "BINARY.SIZE" => {
            let section = section_binary(args)?;
            let cut = Cut { section, form: Form::DecodedSize, window: None };
            Item::Octets(Octets { name: Name::BinarySize, cut, sets_seen: false })
        }
        _ => return Err(Syntax::Expected("something that can be fetched")),
    })
}

/// `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]` where `preview-mod = "LAZY"` (RFC 8970 §6).
/// It is made at arrival, so that nobody has to wait for it. Other brackets belong to the FETCH.
fn preview(args: &mut Cursor<'_>) -> Result<Item, Syntax> {
    let mut after = args.clone();
    if after.take(b' ') && after.take(b'(') && after.take_word("LAZY") {
        args.space()?;
        args.list(|args| args.keyword("LAZY"))?;
    }
    Ok(Item::Preview)
}

/// `section [partial]`
fn body(args: &mut Cursor<'_>, sets_seen: bool) -> Result<Item, Syntax> {
    let section = section(args)?;
    let cut = Cut { section, form: Form::Stored, window: partial(args)? };
    Ok(Item::Octets(Octets { name: Name::Body, cut, sets_seen }))
}

/// `section-binary [partial]`
fn binary(args: &mut Cursor<'_>, sets_seen: bool) -> Result<Item, Syntax> {
    let section = section_binary(args)?;
    let cut = Cut { section, form: Form::Decoded, window: partial(args)? };
    Ok(Item::Octets(Octets { name: Name::Binary, cut, sets_seen }))
}

/// The items of RFC 3501 that later became sections.
fn whole(name: Name, text: SectionText) -> Item {
    let section = Section { path: Vec::new(), text };
    let cut = Cut { section, form: Form::Stored, window: None };
    Item::Octets(Octets { name, cut, sets_seen: name != Name::Rfc822Header })
}

/// `partial = "<" number64 "." nz-number64 ">"`
fn partial(args: &mut Cursor<'_>) -> Result<Option<(u64, u64)>, Syntax> {
    if !args.take(b'<') {
        return Ok(None);
    }
    let from = args.number64()?;
    args.expect(b'.', "a dot within the partial")?;
    let length = args.number64()?;
    if length == 0 {
        return Err(Syntax::Expected("a partial of at least one octet"));
    }
    args.expect(b'>', "the end of the partial")?;
    Ok(Some((from, length)))
}

/// What has to be loaded from the store for these items; nothing when the view knows it all.
pub fn wanted(items: &[Item]) -> Option<Wanted> {
    let (mut wanted, mut said) = (Wanted::default(), false);
    for item in items {
        match item {
            Item::Envelope | Item::Body | Item::BodyStructure => wanted.listing = true,
            Item::EmailId => wanted.hash = true,
            Item::Preview => wanted.preview = true,
            // Read beside the rest; whether there are such parts the structure tells.
            Item::Annotation(annotations) => {
                said = true;
                wanted.listing |= annotations.parts().next().is_some();
            }
            Item::Octets(octets) => wanted.cuts.push(octets.cut.clone()),
            Item::Uid
            | Item::Flags
            | Item::InternalDate
            | Item::Size
            | Item::ThreadId
            | Item::SaveDate
            | Item::ModSeq => {}
        }
    }
    let Wanted { listing, hash, preview, cuts } = &wanted;
    (*listing || *hash || *preview || !cuts.is_empty() || said).then_some(wanted)
}

/// Does any of these items mark messages as read?
pub fn sets_seen(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Octets(octets) if octets.sets_seen))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        mail::{
            annotations::{AnnotationMatch, Attribute, AttributeKind},
            metadata::Scope,
            section::Written,
        },
        wire::Buffer,
    };

    fn read(text: &str) -> Result<Vec<Item>, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = items(&mut args)?;
        args.end()?;
        Ok(read)
    }

    fn count(text: &str) -> usize {
        read(text).unwrap().len()
    }

    #[test]
    fn macros_stand_for_their_items() {
        assert_eq!((count("fast"), count("ALL"), count("Full")), (3, 4, 5));
        assert!(read("(ALL)").is_err());
        assert!(wanted(&read("FAST").unwrap()).is_none());
        assert!(wanted(&read("ALL").unwrap()).is_some_and(|wanted| wanted.listing));
    }

    #[test]
    fn items_stand_alone_or_in_brackets_and_none_counts_twice() {
        assert_eq!(count("BODY[]"), 1);
        assert_eq!(count("(UID FLAGS uid BODY BODY[TEXT]<0.10> BODY.PEEK[TEXT]<0.10>)"), 5);
        assert_eq!(count("(BINARY[1] BINARY.PEEK[1.2]<5.6> BINARY.SIZE[3])"), 3);
        assert_eq!(count("(EMAILID THREADID SAVEDATE MODSEQ RFC822 RFC822.HEADER RFC822.TEXT)"), 7);
    }

    #[test]
    fn a_preview_may_be_lazy_and_leaves_other_brackets_alone() {
        assert_eq!(count("(PREVIEW (LAZY) UID preview (lazy LAZY))"), 2);
        assert_eq!(count("PREVIEW (LAZY)"), 1);
        let mut args = Cursor::new(b"PREVIEW (CHANGEDSINCE 5)");
        assert_eq!(items(&mut args), Ok(vec![Item::Preview]));
        assert_eq!(args.rest(), b" (CHANGEDSINCE 5)");
        for bad in ["(PREVIEW (EAGER))", "(PREVIEW ())", "PREVIEW (LAZY EAGER)", "PREVIEW(LAZY)"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_peeking_leaves_a_message_unread() {
        for text in ["BODY[]", "BODY[HEADER]", "RFC822", "RFC822.TEXT", "BINARY[1]"] {
            assert!(sets_seen(&read(text).unwrap()), "{text}");
        }
        for text in ["BODY.PEEK[]", "BODY", "RFC822.HEADER", "BINARY.PEEK[1]", "BINARY.SIZE[1]"] {
            assert!(!sets_seen(&read(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_refused() {
        for bad in [
            "",
            "()",
            "FOO",
            "(FLAGS",
            "FLAGS UID",
            "BODY[]<0>",
            "BODY[]<0.0>",
            "BODY[]<0.1",
            "BINARY",
            "BINARY[HEADER]",
            "BINARY.SIZE[1]<0.1>",
            "BODY.PEEK",
            "RFC822.PEEK",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hundred_items_are_read_and_not_one_more() {
        let many = |n| format!("({})", vec!["FLAGS"; n].join(" "));
        assert!(read(&many(100)).is_ok());
        assert_eq!(read(&many(101)), Err(Syntax::Over(Limit::ImapFetchItemsMax, "fetch items")));
    }

    fn sections() -> impl Strategy<Value = Section> {
        let path = || proptest::collection::vec(1..=u32::MAX, 0..4);
        let name = proptest::collection::vec(1_u8.., 1..8);
        let names = proptest::collection::vec(name, 1..4);
        prop_oneof![
            path().prop_map(|path| Section { path, text: SectionText::All }),
            path().prop_map(|path| Section { path, text: SectionText::Header }),
            path().prop_map(|path| Section { path, text: SectionText::Text }),
            (1..9_u32).prop_map(|part| Section { path: vec![part], text: SectionText::Mime }),
            (path(), names, any::<bool>()).prop_map(|(path, names, not)| Section {
                path,
                text: SectionText::HeaderFields { names, not }
            }),
        ]
    }

    fn any_octets() -> impl Strategy<Value = Item> {
        let window = proptest::option::of((0..=u64::MAX / 2, 1..=u64::MAX / 2));
        let name = proptest::sample::select(vec![Name::Body, Name::Binary, Name::BinarySize]);
        (name, sections(), window, any::<bool>()).prop_map(
            |(name, mut section, window, sets_seen)| {
                if name != Name::Body {
                    section.text = SectionText::All;
                }
                let (form, window, sets_seen) = match name {
                    Name::BinarySize => (Form::DecodedSize, None, false),
                    Name::Binary => (Form::Decoded, window, sets_seen),
                    _ => (Form::Stored, window, sets_seen),
                };
                Item::Octets(Octets { name, cut: Cut { section, form, window }, sets_seen })
            },
        )
    }

    fn any_item() -> impl Strategy<Value = Item> {
        use Item::{
            Body, BodyStructure, EmailId, Envelope, Flags, InternalDate, ModSeq, Preview, SaveDate,
            Size, ThreadId, Uid,
        };
        let plain = vec![
            Uid,
            Flags,
            InternalDate,
            Size,
            Envelope,
            Body,
            BodyStructure,
            EmailId,
            ThreadId,
            SaveDate,
            ModSeq,
            Preview,
            whole(Name::Rfc822, SectionText::All),
            whole(Name::Rfc822Header, SectionText::Header),
            whole(Name::Rfc822Text, SectionText::Text),
        ];
        prop_oneof![proptest::sample::select(plain), any_octets(), any_annotation()]
    }

    fn any_annotation() -> impl Strategy<Value = Item> {
        let entries = proptest::collection::hash_set("/[a-z%*]{1,4}", 1..4);
        let scopes = proptest::sample::subsequence(vec![Scope::Private, Scope::Shared], 1..=2);
        (entries, scopes).prop_map(|(entries, scopes)| {
            let parse = |name: &String| AnnotationMatch::parse(name.as_bytes()).unwrap();
            let kind = AttributeKind::Value;
            Item::Annotation(Arc::new(WantedAnnotations {
                entries: entries.iter().map(parse).collect(),
                attributes: scopes.into_iter().map(|scope| Attribute { kind, scope }).collect(),
            }))
        })
    }

    fn print_annotations(wanted: &WantedAnnotations, out: &mut Buffer) {
        out.put(" (");
        out.list(&wanted.entries, |out, entry| match entry {
            AnnotationMatch::One(name) => out.put(&**name.as_str()),
            AnnotationMatch::Any(pattern) => out.put(&**pattern),
        });
        out.put(" ");
        out.list(&wanted.attributes, |out, attribute| match attribute.scope {
            Scope::Private => out.put("value.priv"),
            Scope::Shared => out.put("value.shared"),
        });
        out.put(")");
    }

    fn print(item: &Item, out: &mut Buffer) {
        out.put(match item {
            Item::Uid => "UID",
            Item::Flags => "FLAGS",
            Item::InternalDate => "INTERNALDATE",
            Item::Size => "RFC822.SIZE",
            Item::Envelope => "ENVELOPE",
            Item::Body => "BODY",
            Item::BodyStructure => "BODYSTRUCTURE",
            Item::EmailId => "EMAILID",
            Item::ThreadId => "THREADID",
            Item::SaveDate => "SAVEDATE",
            Item::ModSeq => "MODSEQ",
            Item::Preview => "PREVIEW",
            Item::Annotation(_) => "ANNOTATION",
            Item::Octets(octets) => match (octets.name, octets.sets_seen) {
                (Name::Body, true) => "BODY",
                (Name::Body, false) => "BODY.PEEK",
                (Name::Rfc822, _) => "RFC822",
                (Name::Rfc822Header, _) => "RFC822.HEADER",
                (Name::Rfc822Text, _) => "RFC822.TEXT",
                (Name::Binary, true) => "BINARY",
                (Name::Binary, false) => "BINARY.PEEK",
                (Name::BinarySize, _) => "BINARY.SIZE",
            },
        });
        if let Item::Annotation(wanted) = item {
            print_annotations(wanted, out);
        }
        let Item::Octets(octets) = item else { return };
        if matches!(octets.name, Name::Body | Name::Binary | Name::BinarySize) {
            out.put(Written(&octets.cut.section));
        }
        if let Some((from, length)) = octets.cut.window {
            out.put("<");
            out.put(from);
            out.put(".");
            out.put(length);
            out.put(">");
        }
    }

    proptest! {
        #[test]
        fn printed_items_read_back(mut all in proptest::collection::vec(any_item(), 1..6)) {
            let mut out = Buffer::default();
            out.list(&all, |out, item| print(item, out));
            let mut args = Cursor::new(out.bytes());
            let read = items(&mut args);
            let mut seen = Vec::new();
            all.retain(|item| !seen.contains(item) && { seen.push(item.clone()); true });
            prop_assert_eq!(read, Ok(all), "{}", String::from_utf8_lossy(out.bytes()));
            prop_assert_eq!(args.end(), Ok(()));
        }
    }
}
