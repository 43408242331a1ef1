//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, §6.4.9) with ESEARCH (RFC 4731), SEARCHRES (RFC 5182),
//! mod-sequences (RFC 7162 §3.1.5), windows (RFC 9394) and updates (RFC 5267).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        picture::By,
        reply::Replies,
        search::{
            query::Query,
            result,
            run::{Place, Search},
        },
        session::Session,
    },
    wire::Cursor,
};

/// `"SEARCH" [SP search-return-opts] SP [("CHARSET" SP charset SP)] search-key *(SP search-key)`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP search`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let mut asked = None;
    if args.clone().take_word("RETURN") {
        asked = Some(result::asked(args)?);
        args.space()?;
        // Some phones put more than one blank there.
        while args.take(b' ') {}
    }
    let query = Query::for_search(args)?;
    Ok(Box::new(Search { place: Place::Open(by), asked, query }))
}

impl Command for Search {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin((*self).run(session, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_charset_come_first() {
        for good in [
            " ALL",
            " RETURN (MIN COUNT) CHARSET UTF-8 UNSEEN",
            " RETURN () ALL",
            " CHARSET \"utf-8\" TEXT {2}\r\n\u{fc}",
            " UNSEEN ", // RFC 3501 has no blank there, some phones have
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " ", " RETURN (MIN)", " CHARSET UTF-8", " RETURN MIN ALL", " ALL RETURN ()"]
        {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
