//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, §6.4.9) with ESEARCH (RFC 4731), SEARCHRES (RFC 5182) and
//! mod-sequences (RFC 7162 §3.1.5).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        extensions::Numbers,
        message_limit,
        picture::By,
        reply::{Done, Replies},
        search::{
            query::{Matching, Query},
            result::{self, Options},
        },
        session::Session,
    },
    wire::{Cursor, Ranges},
};

struct Search {
    by: By,
    /// What a RETURN asked for.
    options: Option<Options>,
    query: Query,
}

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
    let mut options = None;
    if args.clone().take_word("RETURN") {
        options = Some(result::options(args)?);
        args.space()?;
        // Some phones put more than one blank there.
        while args.take(b' ') {}
    }
    let query = Query::for_search(args)?;
    Ok(Box::new(Search { by, options, query }))
}

impl Command for Search {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            session.tell(Numbers::Still, out).await?;
            if self.query.names_charset() && session.enabled.utf8 && !session.enabled.rev2 {
                // RFC 6855 §3: everything is UTF-8 then.
                return Err(Error::unfit("no charset can be named once UTF8=ACCEPT is enabled"));
            }
            self.query.enable(session, out);
            let (mail, tag, rev2) = (session.mail(), session.tag.clone(), session.enabled.rev2);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let saves = self.options.is_some_and(|options| options.save);
            let matching = self.query.matching(&mail, selected, most).await;
            if saves && matches!(matching, Err(Error::No(..) | Error::Internal(_))) {
                selected.saved = Ranges::default();
            }
            let Matching { uids, limit } = matching?;
            let mut found = self.query.numbered(&mail, selected, uids).await?;
            found.limit.clone_from(&limit);
            match self.options {
                Some(options) => {
                    if options.save {
                        selected.saved = options.saved(&found.uids);
                    }
                    if options.tell() {
                        result::esearch(&tag, self.by, options, &found, out);
                    }
                }
                None if rev2 => {
                    let all = Options { all: true, ..Options::default() };
                    result::esearch(&tag, self.by, all, &found, out);
                }
                None => result::plain("SEARCH", &found, self.by, out).await?,
            }
            message_limit::end(limit, Ok(self.query.done(Done::ok("searched"))), out)
        })
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
