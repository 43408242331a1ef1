//! ESEARCH (MULTISEARCH, RFC 7377): one search of many mailboxes, none of which has to be open.

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
        reply::{Code, Done, Replies},
        search::{
            query::{Matching, Query},
            result::{self, Asked, Options},
            source::{self, Source},
        },
        selected::{Access, Selected},
        session::Session,
    },
    mail::{Actor, Mailbox},
    wire::Cursor,
};

struct ESearch {
    sources: Vec<Source>,
    asked: Asked,
    query: Query,
}

/// `"ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mut sources = vec![Source::Selected];
    if args.clone().take_word("IN") {
        sources = source::sources(args)?;
        args.space()?;
    }
    let all = Options { all: true, ..Options::default() };
    let mut asked = Asked { options: all, update: None };
    if args.clone().take_word("RETURN") {
        asked = result::asked(args)?;
        args.space()?;
    }
    let query = Query::for_search(args)?;
    Ok(Box::new(ESearch { sources, asked, query }))
}

impl Command for ESearch {
    /// A mailbox in which nothing matches is not told of.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let Self { sources, asked, mut query } = *self;
            session.tell(Numbers::Still, out).await?;
            if query.names_charset() && session.enabled.utf8 && !session.enabled.rev2 {
                return Err(Error::unfit("no charset can be named once UTF8=ACCEPT is enabled"));
            }
            let only_selected = sources.iter().all(|source| *source == Source::Selected);
            if asked.options.save && !only_selected {
                return Err(Error::unfit("only a search of the open mailbox can be saved"));
            }
            let in_selected = sources.contains(&Source::Selected);
            if in_selected || asked.update.is_some() {
                session.selected()?;
            }
            query.put_in_filters(session).await?;
            query.enable(session, out)?;
            let (mail, actor) = (session.mail(), session.actor()?);
            let others = source::open(&mail, &actor, &sources).await?;
            let open = session.selected().ok().map(|selected| selected.mailbox.id);
            let named = others.iter().any(|mailbox| Some(mailbox.id) == open);
            let mut limit = None;
            if in_selected || named {
                limit = search_open(session, &asked, &query, out).await?;
            }
            for mailbox in others.into_iter().filter(|mailbox| Some(mailbox.id) != open) {
                let cut =
                    search_other(session, &actor, mailbox, asked.options, &query, out).await?;
                limit = limit.or(cut);
            }
            let done = Ok(query.done(Done::ok("searched")));
            message_limit::end(limit, done, out, &session.door.metrics)
        })
    }
}

/// Searches the open mailbox, as its client sees it. Gives the code of a search that was cut.
async fn search_open(
    session: &mut Session,
    asked: &Asked,
    query: &Query,
    out: &mut Replies,
) -> Result<Option<Code>, Error> {
    let (mail, tag) = (session.mail(), session.tag.clone());
    let most = session.door.limits.messages_per_command;
    let frozen = match asked.update {
        Some(_) => Some(ask::begin(session, query).await?),
        None => None,
    };
    let query = frozen.as_ref().unwrap_or(query);
    let selected = session.selected()?;
    let Matching { uids, limit } = out.meanwhile(query.matching(&mail, selected, most)).await??;
    let mut found = query.numbered(&mail, selected, uids).await?;
    found.limit.clone_from(&limit);
    if asked.options.save {
        selected.saved = asked.options.saved(&found.uids);
    }
    if asked.options.tell() && !found.uids.is_empty() {
        result::esearch_in(&tag, &selected.mailbox, asked.options, &found, out);
    }
    if let (Some(fetch), Some(query)) = (asked.update.clone(), frozen) {
        let results = limit.is_none().then(|| Results::of_search(&found.uids));
        ask::keep(session, Wanted { by: By::Uid, query, results, fetch }, out)?;
    }
    Ok(limit)
}

/// Searches a mailbox that is not open. Gives the code of a search that was cut.
async fn search_other(
    session: &Session,
    actor: &Actor,
    mailbox: Mailbox,
    options: Options,
    query: &Query,
    out: &mut Replies,
) -> Result<Option<Code>, Error> {
    let (mail, most) = (session.mail(), session.door.limits.messages_per_command);
    let search = async {
        let (mut selected, _) =
            Selected::open(&mail, actor, session.id, mailbox, Access::ReadOnly, None).await?;
        let Matching { uids, limit } = query.matching(&mail, &mut selected, most).await?;
        let mut found = query.numbered(&mail, &mut selected, uids).await?;
        found.limit.clone_from(&limit);
        Ok::<_, Error>((selected.mailbox, found, limit))
    };
    let (mailbox, found, limit) = match out.meanwhile(search).await? {
        // It went, or was closed to the client, meanwhile: nothing of it is told.
        Err(Error::No(Some(Code::NonExistent | Code::NoPerm), _)) => return Ok(None),
        searched => searched?,
    };
    if options.tell() && !found.uids.is_empty() {
        result::esearch_in(&session.tag, &mailbox, options, &found, out);
        out.breathe().await?;
    }
    Ok(limit)
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
