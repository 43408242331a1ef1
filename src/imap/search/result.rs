//! What a SEARCH brought, as it is told: SEARCH, or ESEARCH with what was asked for (RFC 9051 §7.3.4,
//! RFC 4731 §3.1).

use crate::{
    imap::{error::Error, picture::By, reply::Replies},
    wire::{Cursor, Ranges, Syntax},
};

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
}

/// `"RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`; nothing between the brackets
/// means ALL.
pub fn options(args: &mut Cursor<'_>) -> Result<Options, Syntax> {
    args.keyword("RETURN")?;
    args.space()?;
    let mut options = Options::default();
    args.list(|args| {
        match args.word()?.to_ascii_uppercase().as_str() {
            "MIN" => options.min = true,
            "MAX" => options.max = true,
            "ALL" => options.all = true,
            "COUNT" => options.count = true,
            "SAVE" => options.save = true,
            _ => return Err(Syntax::Expected("MIN, MAX, ALL, COUNT or SAVE")),
        }
        Ok(())
    })?;
    if options == Options::default() {
        options.all = true;
    }
    Ok(options)
}

impl Options {
    /// Is there anything to tell? `RETURN (SAVE)` wants no answer (RFC 5182 §2.1).
    pub fn tell(self) -> bool {
        self.min || self.max || self.all || self.count
    }

    /// What `$` stands for from now on (RFC 5182 §2.1): all, or only what was asked for when that was
    /// no more than the lowest and the highest.
    pub fn saved(self, uids: &[u32]) -> Ranges {
        if self.all || self.count || !(self.min || self.max) {
            return uids.iter().copied().collect();
        }
        let lowest = uids.first().filter(|_| self.min);
        let highest = uids.last().filter(|_| self.max);
        lowest.into_iter().chain(highest).copied().collect()
    }
}

/// `* SEARCH 2 84 882`
pub async fn search(numbers: &[u32], out: &mut Replies) -> Result<(), Error> {
    out.buffer().put("* SEARCH");
    for number in numbers {
        out.buffer().put(" ");
        out.buffer().put(*number);
        out.breathe().await?;
    }
    out.buffer().put("\r\n");
    Ok(())
}

/// `* ESEARCH (TAG "A282") UID MIN 2 COUNT 3`
pub fn esearch(tag: &str, by: By, options: Options, numbers: &[u32], out: &mut Replies) {
    out.line(|out| {
        out.put("ESEARCH (TAG ");
        out.string(tag.as_bytes());
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
            out.put(numbers.iter().copied().collect::<Ranges>());
        }
        if options.count {
            out.put(" COUNT ");
            out.put(numbers.len() as u64);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, Syntax> {
        options(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn nothing_asked_for_means_all() {
        assert!(read("RETURN ()").is_ok_and(|options| options.all && options.tell()));
        assert!(read("return (save)").is_ok_and(|options| options.save && !options.tell()));
        assert!(read("RETURN (FOO)").is_err() && read("RETURN ALL").is_err());
    }

    #[test]
    fn what_is_kept_is_what_was_asked_for() {
        let saved = |text| read(text).unwrap().saved(&[2, 5, 9]).numbers().collect::<Vec<_>>();
        assert_eq!(saved("RETURN (SAVE)"), [2, 5, 9]);
        assert_eq!(saved("RETURN (SAVE MIN)"), [2]);
        assert_eq!(saved("RETURN (SAVE MIN MAX)"), [2, 9]);
        assert_eq!(saved("RETURN (SAVE MAX COUNT)"), [2, 5, 9]);
    }
}
