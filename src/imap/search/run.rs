//! A search at work: of the open mailbox for SEARCH, of one mailbox after the other for ESEARCH.

use super::{
    query::Query,
    result::{self, Asked, Found, Options},
    source::{self, Source},
};
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
        selected::{Access, Selected},
        session::Session,
    },
    mail::{Actor, Mailbox},
    wire::Ranges,
};

/// A search as a command asks for it.
pub struct Search {
    /// Where.
    pub place: Place,
    /// What a RETURN asked for.
    pub asked: Option<Asked>,
    /// For what.
    pub query: Query,
}

/// Where is searched, and how the client is told of what is found there.
pub enum Place {
    /// In the open mailbox, whose messages the client calls so.
    Open(By),
    /// In the mailboxes of these sources (RFC 7377): each is told of by its name, unless nothing
    /// matches there.
    Sources(Vec<Source>),
}

impl Search {
    /// Searches, tells what was found and keeps what shall be kept.
    pub async fn run(self, session: &mut Session, out: &mut Replies) -> Result<Done, Error> {
        let saves = self.options().save;
        let outcome = self.search(session, out).await;
        saved_nothing(saves, &outcome, session);
        outcome
    }

    fn options(&self) -> Options {
        self.asked.as_ref().map(|asked| asked.options).unwrap_or_default()
    }

    fn updates(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.update.is_some())
    }

    async fn search(mut self, session: &mut Session, out: &mut Replies) -> Result<Done, Error> {
        session.tell(Numbers::Still, out).await?;
        if self.query.names_charset() && session.enabled.utf8 && !session.enabled.rev2 {
            // RFC 6855 §3: everything is UTF-8 then.
            return Err(Error::unfit("no charset can be named once UTF8=ACCEPT is enabled"));
        }
        self.must_fit(session)?;
        self.query.put_in_filters(session).await?;
        self.query.enable(session, out)?;
        let (in_open, others) = self.mailboxes(session).await?;
        let mut limit = None;
        if in_open {
            limit = self.in_open(session, out).await?;
        } else if self.updates() {
            // RFC 7377 §2.2: only the open mailbox can be watched.
            let code = Code::NoUpdate(session.tag.clone());
            out.status("NO", Some(&code), "only a search of the open mailbox is kept up to date");
        }
        let actor = session.actor()?;
        for mailbox in others {
            let cut = self.in_other(session, &actor, mailbox, out).await?;
            limit = limit.or(cut);
        }
        let done = self.query.done(Done::ok("searched"));
        message_limit::end(limit, Ok(done), out, &session.door.metrics)
    }

    /// What only the open mailbox can give is refused where it is not asked, or none is open
    /// (RFC 7377 §2.2).
    fn must_fit(&self, session: &mut Session) -> Result<(), Error> {
        if let Place::Sources(sources) = &self.place {
            if self.options().save && sources.iter().any(|source| *source != Source::Selected) {
                return Err(Error::unfit("only a search of the open mailbox can be saved"));
            }
            if !sources.contains(&Source::Selected) && !self.updates() {
                return Ok(());
            }
        }
        session.selected().map(drop)
    }

    /// Is the open mailbox among those to be searched, and which others are?
    async fn mailboxes(&self, session: &mut Session) -> Result<(bool, Vec<Mailbox>), Error> {
        let Place::Sources(sources) = &self.place else { return Ok((true, Vec::new())) };
        let (mail, actor) = (session.mail(), session.actor()?);
        let open = session.selected().ok().map(|selected| selected.mailbox.id);
        let all = source::open(&mail, &actor, sources).await?;
        let (open, others): (Vec<_>, _) = all.into_iter().partition(|m| Some(m.id) == open);
        Ok((!open.is_empty() || sources.contains(&Source::Selected), others))
    }

    /// Searches the open mailbox, as its client sees it. Gives the code of a search that was cut.
    async fn in_open(
        &mut self,
        session: &mut Session,
        out: &mut Replies,
    ) -> Result<Option<Code>, Error> {
        if self.updates() {
            self.query = ask::begin(session, &self.query).await?;
        }
        let (mail, tag, rev2) = (session.mail(), session.tag.clone(), session.enabled.rev2);
        let most = session.door.limits.messages_per_command;
        let selected = session.selected()?;
        let progress = out.progress();
        let finding = self.query.found(&mail, selected, most, &progress);
        let found = out.meanwhile(finding).await??;
        if self.options().save {
            selected.saved = self.options().saved(&found.uids);
        }
        match (&self.place, &self.asked) {
            (Place::Sources(_), _) => self.tell_of(&tag, &selected.mailbox, &found, out),
            (Place::Open(by), Some(asked)) => {
                if asked.options.tell() || asked.update.is_some() {
                    result::esearch(&tag, *by, asked.options, &found, out);
                }
            }
            (Place::Open(by), None) if rev2 => {
                result::esearch(&tag, *by, Options::ALL, &found, out);
            }
            (Place::Open(by), None) => result::plain("SEARCH", &found, *by, out).await?,
        }
        self.keep(&found, session, out)?;
        Ok(found.limit)
    }

    /// Keeps the result up to date from now on, if that is wanted.
    fn keep(
        &mut self,
        found: &Found,
        session: &mut Session,
        out: &mut Replies,
    ) -> Result<(), Error> {
        let asked = self.asked.as_mut();
        let Some(fetch) = asked.and_then(|asked| asked.update.take()) else { return Ok(()) };
        let by = match self.place {
            Place::Open(by) => by,
            Place::Sources(_) => By::Uid,
        };
        let query = self.query.clone();
        let results = found.limit.is_none().then(|| Results::of_search(&found.uids));
        ask::keep(session, Wanted { by, query, results, fetch }, out)
    }

    /// Searches a mailbox that is not open. Gives the code of a search that was cut.
    async fn in_other(
        &self,
        session: &Session,
        actor: &Actor,
        mailbox: Mailbox,
        out: &mut Replies,
    ) -> Result<Option<Code>, Error> {
        let (mail, most) = (session.mail(), session.door.limits.messages_per_command);
        let progress = out.progress();
        let search = async {
            let (mut selected, _) =
                Selected::open(&mail, actor, session.id, mailbox, Access::ReadOnly, None).await?;
            let found = self.query.found(&mail, &mut selected, most, &progress).await?;
            Ok::<_, Error>((selected.mailbox, found))
        };
        let (mailbox, found) = match out.meanwhile(search).await? {
            // It went, or was closed to the client, meanwhile: nothing of it is told.
            Err(Error::No(Some(Code::NonExistent | Code::NoPerm), _)) => return Ok(None),
            searched => searched?,
        };
        self.tell_of(&session.tag, &mailbox, &found, out);
        out.breathe().await?;
        Ok(found.limit)
    }

    /// Tells what was found in one of several mailboxes, if anything was.
    fn tell_of(&self, tag: &str, mailbox: &Mailbox, found: &Found, out: &mut Replies) {
        let options = self.options();
        if options.tell() && !found.uids.is_empty() {
            result::esearch_in(tag, mailbox, options, found, out);
        }
    }
}

/// A search that shall be kept and is answered by NO leaves nothing to `$` (RFC 5182 §2.1).
pub fn saved_nothing(saves: bool, outcome: &Result<Done, Error>, session: &mut Session) {
    if saves
        && outcome.as_ref().is_err_and(Error::says_no)
        && let Ok(selected) = session.selected()
    {
        selected.saved = Ranges::default();
    }
}
