//! What a SEARCH brought, as it is told: SEARCH, or ESEARCH with what was asked for (RFC 9051 §7.3.4,
//! RFC 4731 §3.1, RFC 9394 §3.1).

use crate::{
    ids::{ModSeq, Uid},
    imap::{
        error::Error,
        fetch::item::{self, Item},
        partial::Partial,
        picture::By,
        reply::{Code, InOrder, Replies},
    },
    mail::Mailbox,
    wire::{Cursor, Ranges, Syntax},
};

/// What stands in the brackets behind RETURN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What shall be returned at once.
    pub options: Options,
    /// The client wants to know when the result changes, and these items of new messages that match
    /// (RFC 5267 §4.3, RFC 5465 §7).
    pub update: Option<Vec<Item>>,
}

/// What a SEARCH shall return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the options are independent of each other")]
pub struct Options {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    /// Keep the result for `$` (RFC 5182).
    pub save: bool,
    /// Only a window of the result (RFC 9394 §3.1).
    pub partial: Option<Partial>,
}

/// `"RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`; nothing between the brackets, or
/// nothing but the hint CONTEXT (RFC 5267 §4.2), means ALL.
pub fn asked(args: &mut Cursor<'_>) -> Result<Asked, Syntax> {
    args.keyword("RETURN")?;
    args.space()?;
    let mut options = Options::default();
    let mut update = None;
    args.list(|args| {
        match args.word()?.to_ascii_uppercase().as_str() {
            "MIN" => options.min = true,
            "MAX" => options.max = true,
            "ALL" => options.all = true,
            "COUNT" => options.count = true,
            "SAVE" => options.save = true,
            "PARTIAL" if options.partial.is_none() => {
                args.space()?;
                options.partial = Some(Partial::parse(args)?);
            }
            "CONTEXT" => {}
            "UPDATE" if update.is_none() => update = Some(attributes(args)?),
            _ => return Err(Syntax::Expected("a return option, UPDATE and PARTIAL once")),
        }
        Ok(())
    })?;
    if options.all && options.partial.is_some() {
        return Err(Syntax::Expected("either ALL or PARTIAL"));
    }
    if options == Options::default() && update.is_none() {
        options.all = true;
    }
    Ok(Asked { options, update })
}

/// `[SP "(" fetch-att *(SP fetch-att) ")"]`, what UPDATE may have behind it
fn attributes(args: &mut Cursor<'_>) -> Result<Vec<Item>, Syntax> {
    if !args.rest().starts_with(b" (") {
        return Ok(Vec::new());
    }
    args.space()?;
    item::items(args)
}

impl Options {
    /// Everything that is found.
    pub const ALL: Self =
        Self { min: false, max: false, all: true, count: false, save: false, partial: None };

    /// Is there anything to tell? `RETURN (SAVE)` wants no answer (RFC 5182 §2.1).
    pub fn tell(self) -> bool {
        !self.save || self.min || self.max || self.all || self.count || self.partial.is_some()
    }

    /// What `$` stands for from now on (RFC 5182 §2.1, RFC 9394 §3.2): all, or only what was asked for
    /// when that was no more than a window, the lowest and the highest.
    pub fn saved(self, uids: &[u32]) -> Ranges {
        let some = self.min || self.max || self.partial.is_some();
        let mut saved: Vec<u32> = if self.all || self.count || !some {
            uids.to_vec()
        } else {
            let lowest = uids.first().filter(|_| self.min);
            let highest = uids.last().filter(|_| self.max);
            let window = self.partial.map_or(&[][..], |partial| partial.of(uids));
            window.iter().chain(lowest).chain(highest).copied().collect()
        };
        saved.sort_unstable();
        saved.into_iter().collect()
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// UIDs, rising or in the order that was asked for.
    pub uids: Vec<u32>,
    /// The numbers of the same messages.
    pub numbers: Vec<u32>,
    /// Their mod-sequences, if the search was for some.
    pub mod_seqs: Vec<ModSeq>,
    /// Not all messages were looked at, and what is told stands from the highest down.
    pub limit: Option<Code>,
}

impl Found {
    /// The number or UID of a message; the UIDs must rise.
    pub fn number(&self, uid: Uid, by: By) -> Option<u32> {
        let place = self.uids.binary_search(&uid.get()).ok()?;
        self.told(by).get(place).copied()
    }

    /// As the client reads them.
    fn told(&self, by: By) -> &[u32] {
        match by {
            By::Number => &self.numbers,
            By::Uid => &self.uids,
        }
    }

    /// The highest mod-sequence of all messages that are told (RFC 7162 §3.1.5), or of the lowest, the
    /// highest and those in a window when only they are (RFC 4731 §3.2).
    fn mod_seq(&self, options: Options) -> Option<ModSeq> {
        if options.all || options.count {
            return self.mod_seqs.iter().max().copied();
        }
        let lowest = self.mod_seqs.first().filter(|_| options.min);
        let highest = self.mod_seqs.last().filter(|_| options.max);
        let window = options.partial.and_then(|partial| partial.of(&self.mod_seqs).iter().max());
        lowest.max(highest).max(window).copied()
    }
}

/// `* SEARCH 2 84 882 (MODSEQ 917162500)`, or the same of a SORT
pub async fn plain(
    word: &'static str,
    found: &Found,
    by: By,
    out: &mut Replies,
) -> Result<(), Error> {
    out.buffer().put("* ");
    out.buffer().put(word);
    let mut numbers = found.told(by).iter();
    while let Some(number) =
        if found.limit.is_some() { numbers.next_back() } else { numbers.next() }
    {
        out.buffer().put(" ");
        out.buffer().put(*number);
        out.breathe().await?;
    }
    if let Some(mod_seq) = found.mod_seqs.iter().max() {
        out.buffer().put(" (MODSEQ ");
        out.buffer().put(mod_seq.0);
        out.buffer().put(")");
    }
    out.buffer().put("\r\n");
    Ok(())
}

/// `* ESEARCH (TAG "A282") UID MIN 2 COUNT 3 MODSEQ 917162500`
pub fn esearch(tag: &str, by: By, options: Options, found: &Found, out: &mut Replies) {
    tell(tag, None, by, options, found, out);
}

/// `* ESEARCH (TAG "tag1" MAILBOX "folder1" UIDVALIDITY 1) UID ALL 4001` (RFC 7377 §2.1)
pub fn esearch_in(
    tag: &str,
    mailbox: &Mailbox,
    options: Options,
    found: &Found,
    out: &mut Replies,
) {
    tell(tag, Some(mailbox), By::Uid, options, found, out);
}

fn tell(
    tag: &str,
    mailbox: Option<&Mailbox>,
    by: By,
    options: Options,
    found: &Found,
    out: &mut Replies,
) {
    let numbers = found.told(by);
    out.line(|out| {
        out.put("ESEARCH (TAG ");
        out.string(tag.as_bytes());
        if let Some(mailbox) = mailbox {
            out.put(" MAILBOX ");
            out.mailbox(&mailbox.name);
            out.put(" UIDVALIDITY ");
            out.put(mailbox.uid_validity.0);
        }
        out.put(")");
        if by == By::Uid {
            out.put(" UID");
        }
        if let Some(lowest) = numbers.first().filter(|_| options.min) {
            out.put(" MIN ");
            out.put(*lowest);
        }
        if let Some(highest) = numbers.last().filter(|_| options.max) {
            out.put(" MAX ");
            out.put(*highest);
        }
        if options.all && !numbers.is_empty() {
            out.put(" ALL ");
            out.put(InOrder(numbers));
        }
        if let Some(partial) = options.partial {
            out.put(" PARTIAL (");
            out.put(partial);
            out.put(" ");
            match partial.of(numbers) {
                [] => out.put("NIL"),
                window => out.put(InOrder(window)),
            }
            out.put(")");
        }
        if options.count {
            out.put(" COUNT ");
            out.put(numbers.len() as u64);
        }
        if let Some(mod_seq) = found.mod_seq(options) {
            out.put(" MODSEQ ");
            out.put(mod_seq.0);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, Syntax> {
        asked(&mut Cursor::new(text.as_bytes())).map(|asked| asked.options)
    }

    #[test]
    fn nothing_asked_for_means_all() {
        assert!(read("RETURN ()").is_ok_and(|options| options.all && options.tell()));
        assert!(read("return (save)").is_ok_and(|options| options.save && !options.tell()));
        assert!(read("RETURN (FOO)").is_err() && read("RETURN ALL").is_err());
    }

    #[test]
    fn updates_are_asked_for_beside_what_is_returned_at_once() {
        let read = |text: &str| asked(&mut Cursor::new(text.as_bytes()));
        assert!(read("RETURN (CONTEXT)").is_ok_and(|a| a.options.all && a.update.is_none()));
        let only = read("RETURN (UPDATE)").unwrap();
        assert!(only.options == Options::default() && only.update == Some(Vec::new()));
        let with = read("RETURN (COUNT UPDATE (UID FLAGS) MIN)").unwrap();
        assert!(with.options.min && with.update == Some(vec![Item::Uid, Item::Flags]));
        for bad in ["UPDATE UPDATE", "UPDATE ()", "UPDATE (FOO)", "UPDATE(UID)"] {
            assert!(read(&format!("RETURN ({bad})")).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_and_a_window_exclude_each_other() {
        assert!(read("RETURN (PARTIAL -1:-100 COUNT)").is_ok_and(|o| !o.all && o.tell()));
        for bad in ["ALL PARTIAL 1:2", "PARTIAL 1:2 ALL", "PARTIAL 1:2 PARTIAL 3:4", "PARTIAL"] {
            assert!(read(&format!("RETURN ({bad})")).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_mod_sequence_is_that_of_what_is_told() {
        let mod_seqs = vec![ModSeq(917_162_488), ModSeq(917_162_500), ModSeq(907_162_321)];
        let found = Found { uids: vec![2, 5, 23], numbers: vec![2, 5, 23], mod_seqs, limit: None };
        let told = |text| found.mod_seq(read(text).unwrap()).unwrap().0;
        assert_eq!(told("RETURN (MIN)"), 917_162_488);
        assert_eq!(told("RETURN (MAX)"), 907_162_321);
        assert_eq!(told("RETURN (MIN MAX)"), 917_162_488);
        assert_eq!(told("RETURN (MIN COUNT)"), 917_162_500);
        assert_eq!(told("RETURN (MAX ALL)"), 917_162_500);
        assert_eq!(told("RETURN (PARTIAL 1:2)"), 917_162_500);
        assert_eq!(told("RETURN (PARTIAL -1:-1 MIN)"), 917_162_488);
    }

    #[test]
    fn what_is_kept_is_what_was_asked_for() {
        let saved = |text| read(text).unwrap().saved(&[2, 5, 9]).numbers().collect::<Vec<_>>();
        assert_eq!(saved("RETURN (SAVE)"), [2, 5, 9]);
        assert_eq!(saved("RETURN (SAVE MIN)"), [2]);
        assert_eq!(saved("RETURN (SAVE MIN MAX)"), [2, 9]);
        assert_eq!(saved("RETURN (SAVE MAX COUNT)"), [2, 5, 9]);
        assert_eq!(saved("RETURN (SAVE PARTIAL 2:2)"), [5]);
        assert_eq!(saved("RETURN (SAVE PARTIAL 2:2 MIN)"), [2, 5]);
        assert_eq!(saved("RETURN (SAVE PARTIAL 2:2 MAX)"), [5, 9]);
        assert_eq!(saved("RETURN (SAVE PARTIAL -1:-1 MIN MAX)"), [2, 9]);
        assert_eq!(saved("RETURN (SAVE PARTIAL 2:2 MIN COUNT)"), [2, 5, 9]);
    }
}
