//! The keys of SEARCH as they are written (RFC 9051 §6.4.4, RFC 3501 §6.4.4) with those of WITHIN
//! (RFC 5032), OBJECTID (RFC 8474 §6), SAVEDATE (RFC 8514 §4.3), MESSAGELIMIT (RFC 9738 §3.2) and
//! FILTERS (RFC 5466 §3.1) and ANNOTATE (RFC 5257 §4.8).
//!
//! Texts stay octets here: what they mean depends on the charset.

use super::filter;
use crate::{
    flags::Flags,
    ids::ModSeq,
    imap::annotations,
    mail::{
        annotations::AnnotationMatch,
        metadata::Scope,
        search::{Days, Field, Key as Plain},
    },
    metrics::Limit,
    wire::{Cursor, Set, Syntax},
};

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a program has few keys, and most are plain")]
pub enum Key {
    /// One that means the same for everybody.
    Plain(Plain),
    /// All of these hold.
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    /// Message numbers.
    Numbers(Set),
    Uids(Set),
    /// UIDs above this one (RFC 9738 §3.2).
    UidAfter(u32),
    /// UIDs below this one.
    UidBefore(u32),
    Keyword(String),
    /// `\Recent` in this session.
    Recent,
    /// Arrived so many seconds ago or earlier.
    Older(u32),
    /// Arrived within the last so many seconds.
    Younger(u32),
    Field(Field, Vec<u8>),
    Header(Vec<u8>, Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
    EmailId(String),
    ThreadId(String),
    /// Came or changed with this mod-sequence or after it.
    ModSeq(ModSeq),
    /// A text is in what is said to these (RFC 5257 §4.8); None: nothing is said to them.
    Annotation(AnnotationMatch, Vec<Scope>, Option<Vec<u8>>),
    /// Keys that were kept under this name (RFC 5466 §3.1), in small letters.
    Filter(String),
}

impl Key {
    /// Is this the key, or one within it, for which `is` says yes? As deep as keys nest.
    fn any(&self, is: fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::And(keys) => keys.iter().any(|key| key.any(is)),
                Self::Or(one, other) => one.any(is) || other.any(is),
                Self::Not(key) => key.any(is),
                _ => false,
            }
    }

    /// Shows this key and all within it. As deep as keys nest.
    pub fn each<'k>(&'k self, look: &mut dyn FnMut(&'k Self)) {
        look(self);
        match self {
            Self::And(keys) => keys.iter().for_each(|key| key.each(look)),
            Self::Or(one, other) => {
                one.each(look);
                other.each(look);
            }
            Self::Not(key) => key.each(look),
            _ => {}
        }
    }

    /// Does it name filters?
    pub fn names_filters(&self) -> bool {
        self.any(|key| matches!(key, Self::Filter(_)))
    }

    /// Does it ask for mod-sequences? Then the answer names one (RFC 7162 §3.1.5).
    pub fn names_mod_seq(&self) -> bool {
        self.any(|key| matches!(key, Self::ModSeq(_)))
    }

    /// Can it hold for a message at one time and not at another?
    pub fn hears_changes(&self) -> bool {
        let flags = |key: &Self| matches!(key, Self::Plain(Plain::Flags(_)));
        let others =
            |key: &Self| matches!(key, Self::Keyword(_) | Self::ModSeq(_) | Self::Annotation(..));
        self.any(flags) || self.any(others)
    }

    /// Does it count by message number? Then none may change (RFC 7162 §3.2.10.2).
    pub fn names_numbers(&self) -> bool {
        self.any(|key| matches!(key, Self::Numbers(set) if !set.spans.is_empty()))
    }
}

/// `search-key *(SP search-key)`: all must hold.
pub fn keys(args: &mut Cursor<'_>) -> Result<Key, Syntax> {
    sequence(args).map(all_of)
}

/// The same, one by one. Blanks behind the last are let pass.
pub fn sequence(args: &mut Cursor<'_>) -> Result<Vec<Key>, Syntax> {
    let mut count = Count::default();
    let mut keys = vec![key(args, &mut count)?];
    loop {
        while args.take(b' ') {}
        if args.is_empty() {
            return Ok(keys);
        }
        keys.push(key(args, &mut count)?);
    }
}

/// What was read already.
#[derive(Default)]
struct Count {
    keys: usize,
    filters: usize,
}

/// One key that holds when all of these do.
pub fn all_of(mut keys: Vec<Key>) -> Key {
    match keys.pop() {
        Some(key) if keys.is_empty() => key,
        last => Key::And(keys.into_iter().chain(last).collect()),
    }
}

/// `search-key`
fn key(args: &mut Cursor<'_>, count: &mut Count) -> Result<Key, Syntax> {
    count.keys += 1;
    if count.keys > args.bounds().search_keys {
        return Err(Syntax::Over(Limit::ImapSearchKeysMax, "search keys"));
    }
    match args.peek() {
        Some(b'(') => {
            let filters = count.filters;
            let keys = args.list(|args| key(args, count))?;
            in_brackets(keys, count.filters > filters)
        }
        Some(b'0'..=b'9' | b'*' | b'$') => Ok(Key::Numbers(args.set()?)),
        _ => {
            let word = args.word()?.to_ascii_uppercase();
            named(&word, args, count)
        }
    }
}

/// Brackets hold together what a filter will be.
fn in_brackets(keys: Vec<Key>, filters: bool) -> Result<Key, Syntax> {
    match keys.as_slice() {
        [] => Err(Syntax::Expected("a search key")),
        [_] if filters => Ok(Key::And(keys)),
        _ => Ok(all_of(keys)),
    }
}

fn named(word: &str, args: &mut Cursor<'_>, count: &mut Count) -> Result<Key, Syntax> {
    if let Some(key) = flag_key(word) {
        return Ok(key);
    }
    if matches!(word, "ALL" | "SAVEDATESUPPORTED") {
        // All our mailboxes keep the date.
        return Ok(Key::Plain(Plain::All));
    }
    args.space()?;
    Ok(match word {
        "NOT" => not(args.nested(|args| key(args, count))?),
        "OR" => args.nested(|args| {
            let one = key(args, count)?;
            args.space()?;
            Ok(Key::Or(Box::new(one), Box::new(key(args, count)?)))
        })?,
        "UID" => Key::Uids(args.set()?),
        "UIDAFTER" => Key::UidAfter(args.nonzero()?),
        "UIDBEFORE" => Key::UidBefore(args.nonzero()?),
        "KEYWORD" => keyword(args)?,
        "UNKEYWORD" => not(keyword(args)?),
        "LARGER" => Key::Plain(Plain::Larger(args.number64()?)),
        "SMALLER" => Key::Plain(Plain::Smaller(args.number64()?)),
        "OLDER" => Key::Older(args.nonzero()?),
        "YOUNGER" => Key::Younger(args.nonzero()?),
        "FROM" => Key::Field(Field::From, args.astring()?.into_owned()),
        "TO" => Key::Field(Field::To, args.astring()?.into_owned()),
        "CC" => Key::Field(Field::Cc, args.astring()?.into_owned()),
        "BCC" => Key::Field(Field::Bcc, args.astring()?.into_owned()),
        "SUBJECT" => Key::Field(Field::Subject, args.astring()?.into_owned()),
        "BODY" => Key::Body(args.astring()?.into_owned()),
        "TEXT" => Key::Text(args.astring()?.into_owned()),
        "HEADER" => {
            let name = args.astring()?.into_owned();
            args.space()?;
            Key::Header(name, args.astring()?.into_owned())
        }
        "MODSEQ" => mod_seq(args)?,
        "ANNOTATION" => {
            let entry = annotations::entry_match(args)?;
            args.space()?;
            let scopes = annotations::searched(args)?;
            args.space()?;
            Key::Annotation(entry, scopes, args.value()?.map(std::borrow::Cow::into_owned))
        }
        "FILTER" => filter(args, count)?,
        "EMAILID" => Key::EmailId(args.atom()?.to_owned()),
        "THREADID" => Key::ThreadId(args.atom()?.to_owned()),
        word => return date_key(word, args),
    })
}

fn not(key: Key) -> Key {
    Key::Not(Box::new(key))
}

/// Keys that ask for one flag.
fn flag_key(word: &str) -> Option<Key> {
    let flags = |flags| Key::Plain(Plain::Flags(flags));
    Some(match word {
        "ANSWERED" => flags(Flags::ANSWERED),
        "DELETED" => flags(Flags::DELETED),
        "DRAFT" => flags(Flags::DRAFT),
        "FLAGGED" => flags(Flags::FLAGGED),
        "SEEN" => flags(Flags::SEEN),
        "UNANSWERED" => not(flags(Flags::ANSWERED)),
        "UNDELETED" => not(flags(Flags::DELETED)),
        "UNDRAFT" => not(flags(Flags::DRAFT)),
        "UNFLAGGED" => not(flags(Flags::FLAGGED)),
        "UNSEEN" => not(flags(Flags::SEEN)),
        "RECENT" => Key::Recent,
        "OLD" => not(Key::Recent),
        "NEW" => Key::And(vec![Key::Recent, not(flags(Flags::SEEN))]),
        _ => return None,
    })
}

/// `[entry-name SP entry-type-req SP] mod-sequence-valzer` (RFC 7162 §7). A message has one
/// mod-sequence for all its metadata, so the entry only has to be one.
fn mod_seq(args: &mut Cursor<'_>) -> Result<Key, Syntax> {
    if args.peek() == Some(b'"') {
        let entry = args.quoted()?;
        if entry.strip_prefix(b"/flags/").is_none_or(<[u8]>::is_empty) {
            return Err(Syntax::Expected("an entry such as \"/flags/\\\\Seen\""));
        }
        args.space()?;
        if !["priv", "shared", "all"].into_iter().any(|word| args.take_word(word)) {
            return Err(Syntax::Expected("priv, shared or all"));
        }
        args.space()?;
    }
    Ok(Key::ModSeq(ModSeq(args.number64()?)))
}

/// `"FILTER" SP filter-name`
fn filter(args: &mut Cursor<'_>, count: &mut Count) -> Result<Key, Syntax> {
    count.filters += 1;
    filter::name(args).map(Key::Filter)
}

/// `"KEYWORD" SP flag-keyword`
fn keyword(args: &mut Cursor<'_>) -> Result<Key, Syntax> {
    let name = args.atom()?;
    Ok(match Flags::named(name) {
        Some(flag) => Key::Plain(Plain::Flags(flag)),
        None => Key::Keyword(name.to_owned()),
    })
}

/// `"BEFORE" / "ON" / "SINCE"`, alone or behind `SENT` or `SAVED`, and a date
fn date_key(word: &str, args: &mut Cursor<'_>) -> Result<Key, Syntax> {
    let (which, when): (fn(Days) -> Plain, _) = if let Some(when) = word.strip_prefix("SENT") {
        (Plain::Sent, when)
    } else if let Some(when) = word.strip_prefix("SAVED") {
        (Plain::Saved, when)
    } else {
        (Plain::Internal, word)
    };
    let days = match when {
        "BEFORE" => Days::before,
        "ON" => Days::on,
        "SINCE" => Days::since,
        _ => return Err(Syntax::Expected("a search key")),
    };
    Ok(Key::Plain(which(days(args.date()?))))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use jiff::civil::Date;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        Buffer,
        set::{Bound, Span},
    };

    fn read(text: &str) -> Result<Key, Syntax> {
        keys(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn keys_of_every_family_are_read() {
        for good in [
            "ALL",
            "1:3,5 UID 7:* $",
            "UIDAFTER 25000 uidbefore 1",
            "UNSEEN FLAGGED NOT DELETED",
            "OR (SEEN 1) NOT OR FROM a TO b",
            "KEYWORD $Junk UNKEYWORD mine",
            "BEFORE 1-Feb-1994 SENTSINCE \"2-Mar-2020\" SAVEDON 3-Apr-2021",
            "LARGER 0 SMALLER 5000000000 OLDER 3600 YOUNGER 60",
            "HEADER Message-ID <a@b> SUBJECT \"a b\" TEXT {1}\r\nx BODY y CC z BCC z",
            "EMAILID Eabc THREADID T1 SAVEDATESUPPORTED",
            "MODSEQ 620162338",
            "FILTER on-the-road NOT filter ~x+y",
            "ANNOTATION /comment value \"IMAP4\" NOT annotation * value.priv {1}\r\nx",
            "ANNOTATION \"/vendor/%\" value.shared NIL ANNOTATION /c value ~{1}\r\n\0",
            "OR NOT MODSEQ 0 modseq \"/flags/\\\\draft\" all 9223372036854775807",
            "unseen   ", // some phones
            "NEW OLD RECENT",
        ] {
            assert!(read(good).is_ok(), "{good}: {:?}", read(good));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [
            "",
            "()",
            "FOO",
            "NOT",
            "OR SEEN",
            "OR SEEN ",
            "BEFORE yesterday",
            "LARGER -1",
            "OLDER 0",
            "UID x",
            "UIDAFTER 0",
            "UIDBEFORE *",
            "UIDBEFORE 1:2",
            "(SEEN",
            "SEEN)",
            "HEADER a",
            "SENTFOO 1-Feb-1994",
            "KEYWORD \\Seen",
            "MODSEQ",
            "MODSEQ -1",
            "MODSEQ 9223372036854775808",
            "MODSEQ \"/flags/\\\\Seen\" 1",
            "MODSEQ \"/flags/\\\\Seen\" both 1",
            "MODSEQ \"/flags/\" all 1",
            "MODSEQ \"Seen\" all 1",
            "MODSEQ all 1",
            "FILTER",
            "FILTER a/b",
            "ANNOTATION",
            "ANNOTATION /comment",
            "ANNOTATION /comment value",
            "ANNOTATION /comment size \"1\"",
            "ANNOTATION /comment value.* \"1\"",
            "ANNOTATION comment value \"1\"",
            "ANNOTATION /comment value x",
            "FILTER \"a\"",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_keys_within_keys_name_is_found() {
        let read = |text| read(text).unwrap();
        assert!(read("SEEN OR NOT MODSEQ 1 (SEEN)").names_mod_seq());
        assert!(!read("SEEN OR NOT UID 1 (SEEN)").names_mod_seq());
        assert!(read("SEEN NOT (1:* SEEN)").names_numbers());
        assert!(!read("$ UID 1:* MODSEQ 1").names_numbers());
    }

    #[test]
    fn a_thousand_keys_are_read_and_not_one_more() {
        assert!(read(&vec!["SEEN"; 1000].join(" ")).is_ok());
        let too_many = vec!["SEEN"; 1001].join(" ");
        assert_eq!(read(&too_many), Err(Syntax::Over(Limit::ImapSearchKeysMax, "search keys")));
    }

    #[test]
    fn keys_nest_so_deep_and_not_deeper() {
        let nested = |depth| format!("{}SEEN", "NOT ".repeat(depth));
        assert!(read(&nested(32)).is_ok());
        assert_eq!(read(&nested(33)), Err(Syntax::Over(Limit::ImapDepthMax, "levels of brackets")));
        let brackets = |depth| format!("{}SEEN{}", "(".repeat(depth), ")".repeat(depth));
        assert!(read(&brackets(32)).is_ok() && read(&brackets(33)).is_err());
    }

    /// A key as it is printed, and what it is.
    type Both = (Vec<u8>, Key);

    fn printed(write: impl FnOnce(&mut Buffer)) -> Vec<u8> {
        let mut out = Buffer::default();
        write(&mut out);
        out.into_bytes()
    }

    fn word(word: &'static str, key: Key) -> BoxedStrategy<Both> {
        Just((word.as_bytes().to_vec(), key)).boxed()
    }

    /// `WORD argument`
    fn with<A: std::fmt::Debug + Clone + 'static>(
        word: &'static str,
        argument: impl Strategy<Value = A> + 'static,
        write: fn(&mut Buffer, &A),
        key: fn(A) -> Key,
    ) -> BoxedStrategy<Both> {
        let both = move |argument: A| {
            let text = printed(|out| {
                out.put(word);
                out.put(" ");
                write(out, &argument);
            });
            (text, key(argument))
        };
        argument.prop_map(both).boxed()
    }

    fn octets() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(1_u8.., 0..12)
    }

    fn sets() -> impl Strategy<Value = Set> {
        let bound = || (0_u32..50).prop_map(|n| NonZeroU32::new(n).map_or(Bound::Last, Bound::At));
        let span = (bound(), bound()).prop_map(|(from, to)| Span { from, to });
        let set = (proptest::collection::vec(span, 0..4), any::<bool>());
        set.prop_map(|(spans, saved)| Set { saved: saved || spans.is_empty(), spans })
    }

    fn days() -> impl Strategy<Value = Date> {
        let day = |(year, month, day)| Date::new(year, month, day).unwrap();
        (1_i16..=9999, 1_i8..=12, 1_i8..=28).prop_map(day)
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "all arguments are passed so")]
    fn write_day(out: &mut Buffer, date: &Date) {
        out.put(date.strftime("%-d-%b-%Y").to_string().as_str());
    }

    fn leaves() -> impl Strategy<Value = Both> {
        let write_text: fn(&mut Buffer, &Vec<u8>) = |out, text| out.astring(text);
        let field = |word, key: fn(Vec<u8>) -> Key| with(word, octets(), write_text, key);
        let number: fn(&mut Buffer, &u64) = |out, number| out.put(*number);
        let interval: fn(&mut Buffer, &u32) = |out, number| out.put(*number);
        let set: fn(&mut Buffer, &Set) = |out, set| out.put(set);
        let name: fn(&mut Buffer, &String) = |out, name| out.put(name.as_str());
        let pair: fn(&mut Buffer, &(Vec<u8>, Vec<u8>)) = |out, (name, text)| {
            out.astring(name);
            out.put(" ");
            out.astring(text);
        };
        let annotation: fn(&mut Buffer, &(String, Option<Vec<u8>>)) = |out, (name, text)| {
            out.put(name.as_str());
            out.put(" value.shared ");
            out.value(text.as_deref());
        };
        let any_size = 0..=u64::MAX / 2;
        proptest::strategy::Union::new([
            word("ALL", Key::Plain(Plain::All)),
            word("SEEN", Key::Plain(Plain::Flags(Flags::SEEN))),
            word("UNFLAGGED", not(Key::Plain(Plain::Flags(Flags::FLAGGED)))),
            word("RECENT", Key::Recent),
            word("OLD", not(Key::Recent)),
            sets().prop_map(|set| (printed(|out| out.put(&set)), Key::Numbers(set))).boxed(),
            with("UID", sets(), set, Key::Uids),
            with("KEYWORD", "x[a-z0-9$]{0,5}", name, Key::Keyword),
            with("UNKEYWORD", "x[a-z0-9$]{0,5}", name, |name| not(Key::Keyword(name))),
            with("LARGER", any_size.clone(), number, |size| Key::Plain(Plain::Larger(size))),
            with("MODSEQ", any_size.clone(), number, |since| Key::ModSeq(ModSeq(since))),
            with("SMALLER", any_size, number, |size| Key::Plain(Plain::Smaller(size))),
            with("OLDER", 1..=u32::MAX, interval, Key::Older),
            with("YOUNGER", 1..=u32::MAX, interval, Key::Younger),
            field("FROM", |text| Key::Field(Field::From, text)),
            field("SUBJECT", |text| Key::Field(Field::Subject, text)),
            field("BODY", Key::Body),
            field("TEXT", Key::Text),
            with("HEADER", (octets(), octets()), pair, |(name, text)| Key::Header(name, text)),
            with(
                "ANNOTATION",
                ("/[a-z*%]{1,5}", proptest::option::of(octets())),
                annotation,
                |(name, text)| {
                    let entry = AnnotationMatch::parse(name.as_bytes()).unwrap();
                    Key::Annotation(entry, vec![Scope::Shared], text)
                },
            ),
            with("FILTER", "f[a-z0-9.-]{0,5}", name, Key::Filter),
            with("EMAILID", "E[a-zA-Z0-9_-]{1,9}", name, Key::EmailId),
            with("THREADID", "T[0-9]{1,9}", name, Key::ThreadId),
            with("ON", days(), write_day, |day| Key::Plain(Plain::Internal(Days::on(day)))),
            with("SENTBEFORE", days(), write_day, |day| Key::Plain(Plain::Sent(Days::before(day)))),
            with("SAVEDSINCE", days(), write_day, |day| Key::Plain(Plain::Saved(Days::since(day)))),
        ])
    }

    /// Keys one behind the other, with what stands before, between and behind them.
    fn joined(before: &str, keys: Vec<Both>, behind: &str) -> (Vec<u8>, Vec<Key>) {
        let (texts, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        ([before.as_bytes(), &texts.join(&b' '), behind.as_bytes()].concat(), keys)
    }

    fn any_key() -> impl Strategy<Value = Both> {
        leaves().prop_recursive(6, 40, 4, |key| {
            prop_oneof![
                key.clone().prop_map(|key| {
                    let (text, mut keys) = joined("NOT ", vec![key], "");
                    (text, not(keys.remove(0)))
                }),
                (key.clone(), key.clone()).prop_map(|(one, other)| {
                    let (text, mut keys) = joined("OR ", vec![one, other], "");
                    let other = Box::new(keys.remove(1));
                    (text, Key::Or(Box::new(keys.remove(0)), other))
                }),
                proptest::collection::vec(key, 1..4).prop_map(|keys| {
                    let (text, keys) = joined("(", keys, ")");
                    let holds = keys.len() == 1 && keys.iter().any(Key::names_filters);
                    (text, if holds { Key::And(keys) } else { all_of(keys) })
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn printed_keys_read_back(all in proptest::collection::vec(any_key(), 1..4)) {
            let (text, expected) = joined("", all, "");
            let read = keys(&mut Cursor::new(&text));
            prop_assert_eq!(read, Ok(all_of(expected)), "{}", String::from_utf8_lossy(&text));
        }
    }
}
