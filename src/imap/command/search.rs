//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, §6.4.9) with ESEARCH (RFC 4731), SEARCHRES (RFC 5182),
//! mod-sequences (RFC 7162 §3.1.5), windows (RFC 9394) and updates (RFC 5267).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        contexts::{
            ask::{self, Wanted},
            results::Results,
        },
        error::Error,
        extensions::Numbers,
        message_limit,
        picture::By,
        reply::{Done, Replies},
        search::{
            query::{Matching, Query},
            result::{self, Asked, Options},
        },
        session::Session,
    },
    wire::{Cursor, Ranges},
};

struct Search {
    by: By,
    /// What a RETURN asked for.
    asked: Option<Asked>,
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
    let mut asked = None;
    if args.clone().take_word("RETURN") {
        asked = Some(result::asked(args)?);
        args.space()?;
        // Some phones put more than one blank there.
        while args.take(b' ') {}
    }
    let query = Query::for_search(args)?;
    Ok(Box::new(Search { by, asked, query }))
}

impl Command for Search {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let Self { by, asked, mut query } = *self;
            session.tell(Numbers::Still, out).await?;
            if query.names_charset() && session.enabled.utf8 && !session.enabled.rev2 {
                // RFC 6855 §3: everything is UTF-8 then.
                return Err(Error::unfit("no charset can be named once UTF8=ACCEPT is enabled"));
            }
            let saves = asked.as_ref().is_some_and(|asked| asked.options.save);
            let filters = query.put_in_filters(session).await;
            if saves && matches!(filters, Err(Error::No(..) | Error::Internal(_))) {
                session.selected()?.saved = Ranges::default();
            }
            filters?;
            query.enable(session, out)?;
            if asked.as_ref().is_some_and(|asked| asked.update.is_some()) {
                query = ask::begin(session, &query).await?;
            }
            let (mail, tag, rev2) = (session.mail(), session.tag.clone(), session.enabled.rev2);
            let most = session.door.limits.messages_per_command;
            let selected = session.selected()?;
            let matching = out.meanwhile(query.matching(&mail, selected, most)).await?;
            if saves && matches!(matching, Err(Error::No(..) | Error::Internal(_))) {
                selected.saved = Ranges::default();
            }
            let Matching { uids, limit } = matching?;
            let mut found = query.numbered(&mail, selected, uids).await?;
            found.limit.clone_from(&limit);
            let done = query.done(Done::ok("searched"));
            match asked {
                Some(Asked { options, update }) => {
                    if options.save {
                        selected.saved = options.saved(&found.uids);
                    }
                    if options.tell() || update.is_some() {
                        result::esearch(&tag, by, options, &found, out);
                    }
                    if let Some(fetch) = update {
                        let results = limit.is_none().then(|| Results::of_search(&found.uids));
                        ask::keep(session, Wanted { by, query, results, fetch }, out)?;
                    }
                }
                None if rev2 => {
                    let all = Options { all: true, ..Options::default() };
                    result::esearch(&tag, by, all, &found, out);
                }
                None => result::plain("SEARCH", &found, by, out).await?,
            }
            message_limit::end(limit, Ok(done), out, &session.door.metrics)
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
