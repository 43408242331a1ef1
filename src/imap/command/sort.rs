//! SORT and UID SORT (RFC 5256 §3, RFC 5957), with the return options of ESORT
//! (RFC 5267 §3), windows (RFC 9394) and updates (RFC 5267 §4.3).

use super::{Command, Parsed, Running};
use crate::{
    ids::Uid,
    imap::{
        annotations,
        contexts::{
            ask::{self, Wanted},
            results::Results,
        },
        error::Error,
        extensions::Numbers,
        picture::By,
        reply::{Done, Replies},
        search::{
            query::Query,
            result::{self, Asked},
            run,
        },
        session::Session,
    },
    mail::{Collation, SaidCriterion, SortBy, SortCriterion, SortKey},
    wire::{Cursor, Syntax},
};

/// Criteria of one SORT; each can be named twice, once reversed.
const MOST_CRITERIA: usize = 2 * KEYS.len();

const KEYS: [(&str, SortKey); 9] = [
    ("ARRIVAL", SortKey::Arrival),
    ("CC", SortKey::Cc),
    ("DATE", SortKey::Date),
    ("FROM", SortKey::From),
    ("SIZE", SortKey::Size),
    ("SUBJECT", SortKey::Subject),
    ("TO", SortKey::To),
    ("DISPLAYFROM", SortKey::DisplayFrom),
    ("DISPLAYTO", SortKey::DisplayTo),
];

struct Sort {
    by: By,
    /// What a RETURN asked for.
    asked: Option<Asked>,
    criteria: Vec<SortBy>,
    query: Query,
}

/// `"SORT" [SP search-return-opts] SP sort-criteria SP search-criteria`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Number)
}

/// `"UID" SP sort`
pub fn parse_uid(args: &mut Cursor<'_>) -> Parsed {
    read(args, By::Uid)
}

fn read(args: &mut Cursor<'_>, by: By) -> Parsed {
    args.space()?;
    let mut asked = None;
    if args.clone().take_word("RETURN") {
        asked = Some(result::asked(args)?);
        args.space()?;
    }
    let criteria = criteria(args)?;
    args.space()?;
    let query = Query::with_charset(args)?;
    Ok(Box::new(Sort { by, asked, criteria, query }))
}

/// `sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"` where
/// `sort-criterion = ["REVERSE" SP] sort-key`
fn criteria(args: &mut Cursor<'_>) -> Result<Vec<SortBy>, Syntax> {
    let mut count = 0;
    let criteria = args.list(|args| {
        count += 1;
        if count > MOST_CRITERIA {
            return Err(Syntax::Limit("sort criteria"));
        }
        let reverse = args.take_word("REVERSE");
        if reverse {
            args.space()?;
        }
        let word = args.word()?;
        if word.eq_ignore_ascii_case("ANNOTATION") {
            return annotation(args, reverse).map(SortBy::Said);
        }
        let known = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let key = known.map(|(_, key)| *key).ok_or(Syntax::Expected("a sort criterion"))?;
        Ok(SortBy::Known(SortCriterion { key, reverse, collation: Collation::default() }))
    })?;
    if criteria.is_empty() { Err(Syntax::Expected("a sort criterion")) } else { Ok(criteria) }
}

/// `SP entry SP ("value.priv" / "value.shared")` (RFC 5257 §4.9)
fn annotation(args: &mut Cursor<'_>, reverse: bool) -> Result<SaidCriterion, Syntax> {
    args.space()?;
    let name = annotations::entry(args)?;
    args.space()?;
    let scope = annotations::scope_of_value(args)?;
    Ok(SaidCriterion { name, scope, asker: None, reverse, collation: Collation::default() })
}

impl Command for Sort {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let saves = self.asked.as_ref().is_some_and(|asked| asked.options.save);
            let outcome = self.sort(session, out).await;
            run::saved_nothing(saves, &outcome, session);
            outcome
        })
    }
}

impl Sort {
    async fn sort(self, session: &mut Session, out: &mut Replies) -> Result<Done, Error> {
        let Self { by, asked, mut criteria, mut query } = self;
        session.tell(Numbers::Still, out).await?;
        query.put_in_filters(session).await?;
        query.enable(session, out)?;
        let account = session.actor()?.account;
        for criterion in &mut criteria {
            criterion.ask_as(account, session.collation);
        }
        if asked.as_ref().is_some_and(|asked| asked.update.is_some()) {
            query = ask::begin(session, &query).await?;
        }
        let (mail, tag) = (session.mail(), session.tag.clone());
        let most = session.door.limits.messages_per_command;
        let selected = session.selected()?;
        let progress = out.progress();
        let finding = query.all_matching(&mail, selected, most, &progress);
        let uids = out.meanwhile(finding).await??;
        let sorted =
            out.meanwhile(mail.sort_by(&selected.mailbox, uids, criteria.clone())).await??;
        let found = query.numbered(&mail, selected, sorted).await?;
        let done = query.done(Done::ok("sorted"));
        let Some(Asked { options, update }) = asked else {
            result::plain("SORT", &found, by, out).await?;
            return Ok(done);
        };
        if options.save {
            selected.saved = options.saved(&found.uids);
        }
        if options.tell() || update.is_some() {
            result::esearch(&tag, by, options, &found, out);
        }
        if let Some(fetch) = update {
            let uids = found.uids.iter().filter_map(|uid| Uid::new(*uid)).collect();
            let results = Some(Results::Sorted(uids, criteria));
            ask::keep(session, Wanted { by, query, results, fetch }, out)?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_and_charset_come_before_the_keys() {
        for good in [
            " (SUBJECT) UTF-8 SINCE 1-Feb-1994",
            " (subject reverse date) \"us-ascii\" ALL",
            " (ANNOTATION /altsubject value.shared REVERSE annotation /comment value.priv) UTF-8 ALL",
            " RETURN () (REVERSE DATE) UTF-8 UNDELETED UNKEYWORD $Junk",
            " RETURN (MIN COUNT) (ARRIVAL CC FROM SIZE TO DISPLAYFROM DISPLAYTO) UTF-8 1:*",
        ] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in [
            "",
            " SUBJECT UTF-8 ALL",
            " () UTF-8 ALL",
            " (SUBJECT) UTF-8",
            " (REVERSE) UTF-8 ALL",
            " (REVERSE REVERSE DATE) UTF-8 ALL",
            " (BODY) UTF-8 ALL",
            " (SUBJECT)UTF-8 ALL",
            " (ANNOTATION /% value.shared) UTF-8 ALL",
            " (ANNOTATION /comment value) UTF-8 ALL",
            " (ANNOTATION /comment size.priv) UTF-8 ALL",
            " (ANNOTATION /comment) UTF-8 ALL",
            " RETURN (SUBJECT) UTF-8 ALL",
        ] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn so_many_criteria_are_read_and_not_one_more() {
        let many = |n| format!("({})", vec!["DATE"; n].join(" "));
        let read = |n| criteria(&mut Cursor::new(many(n).as_bytes())).map(|c| c.len());
        assert_eq!(read(MOST_CRITERIA), Ok(MOST_CRITERIA));
        assert_eq!(read(MOST_CRITERIA + 1), Err(Syntax::Limit("sort criteria")));
    }
}
