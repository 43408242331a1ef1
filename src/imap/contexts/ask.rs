//! How SEARCH and SORT ask that a result be kept up to date (RFC 5267 §4.3, §4.3.1).

use std::sync::Arc;

use super::{Context, results::Results};
use crate::{
    imap::{
        error::Error,
        fetch::item::Item,
        picture::By,
        reply::{Code, Replies},
        search::query::Query,
        session::Session,
    },
    metrics::Limit,
};

/// A search whose result shall be kept up to date.
pub struct Wanted {
    /// Numbers or UIDs?
    pub by: By,
    /// What was searched for, as [`begin`] gave it.
    pub query: Query,
    /// What was found; None when not all messages were looked at.
    pub results: Option<Results>,
    /// What is told of new messages that match.
    pub fetch: Vec<Item>,
}

/// Before the search: from now on changes are listened to. Gives the query with which to search.
pub async fn begin(session: &mut Session, query: &Query) -> Result<Query, Error> {
    let (mail, tag) = (session.mail(), session.tag.clone());
    let selected = session.selected()?;
    if selected.contexts().is_some_and(|contexts| contexts.has(&tag)) {
        return Err(Error::unfit("a search of this tag is kept up to date already"));
    }
    let query = query.frozen(&mail, selected).await?;
    selected.watch_changes();
    Ok(query)
}

/// After it: keeps the result up to date from now on, or says that it is not.
pub fn keep(session: &mut Session, wanted: Wanted, out: &mut Replies) -> Result<(), Error> {
    let (most, metrics) = (session.door.limits.contexts, session.door.metrics.clone());
    let tag = session.tag.clone();
    let Wanted { by, query, results, fetch } = wanted;
    let selected = session.selected()?;
    let upto = selected.last_told();
    let kept = results.is_some_and(|results| {
        let contexts = selected.watch_changes();
        let fits = contexts.has_room(&results, most);
        if fits {
            let (tag, query, fetch) = (tag.as_str().into(), Arc::new(query), fetch.into());
            contexts.add(Context { tag, by, query, results, upto, fetch });
        }
        fits
    });
    if !kept {
        metrics.exceeded(Limit::ContextsMax);
        out.status("NO", Some(&Code::NoUpdate(tag)), "too much to be kept up to date");
    }
    Ok(())
}
