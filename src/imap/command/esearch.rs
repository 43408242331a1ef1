//! ESEARCH (MULTISEARCH, RFC 7377): one search of many mailboxes, none of which has to be open.

use super::Parsed;
use crate::{
    imap::search::{
        query::Query,
        result::{self, Asked, Options},
        run::{Place, Search},
        source::{self, Source},
    },
    wire::Cursor,
};

/// `"ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mut sources = vec![Source::Selected];
    if args.clone().take_word("IN") {
        sources = source::sources(args)?;
        args.space()?;
    }
    let mut asked = Asked { options: Options::ALL, update: None };
    if args.clone().take_word("RETURN") {
        asked = result::asked(args)?;
        args.space()?;
    }
    let query = Query::for_search(args)?;
    Ok(Box::new(Search { place: Place::Sources(sources), asked: Some(asked), query }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_options_come_before_the_keys() {
        for good in [
            " UNSEEN",
            " IN (mailboxes \"folder1\" subtree \"folder2\") unseen",
            " IN (personal) RETURN (COUNT) CHARSET UTF-8 SUBJECT x",
            " RETURN (MIN SAVE) 1:100 FROM frobozz",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in
            ["", " ", " IN (personal)", " RETURN (MIN) IN (personal) ALL", " IN personal ALL"]
        {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
