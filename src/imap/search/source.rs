//! Which mailboxes an ESEARCH looks at (RFC 7377 §2.2).

use std::collections::HashSet;

use crate::{
    imap::error::Error,
    mail::{self, Actor, Mail, Mailbox, MailboxInfo, Rights, name},
    wire::{Cursor, Syntax},
};

/// Names of mailboxes in one command.
const NAMES_MAX: usize = 1_000;

/// Some mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The open one.
    Selected,
    /// The user's own; mail can be delivered into each of them, so that these are the inboxes too
    /// (RFC 5465 §6.3).
    Personal,
    /// Those whose names are subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<String>),
    /// These and those one level below them.
    SubtreeOne(Vec<String>),
    /// These.
    Mailboxes(Vec<String>),
}

/// `esearch-source-opts = "IN" SP "(" source-mbox [SP "(" scope-options ")"] ")"`; there are no scope
/// options yet.
pub fn sources(args: &mut Cursor<'_>) -> Result<Vec<Source>, Syntax> {
    args.keyword("IN")?;
    args.space()?;
    let mut names = 0;
    let sources = args.list(|args| source(args, &mut names))?;
    if sources.is_empty() { Err(Syntax::Expected("which mailboxes")) } else { Ok(sources) }
}

fn source(args: &mut Cursor<'_>, names: &mut usize) -> Result<Source, Syntax> {
    Ok(match args.word()?.to_ascii_uppercase().as_str() {
        "SELECTED" => Source::Selected,
        "INBOXES" | "PERSONAL" => Source::Personal,
        "SUBSCRIBED" => Source::Subscribed,
        "SUBTREE" => Source::Subtree(mailboxes(args, names)?),
        "SUBTREE-ONE" => Source::SubtreeOne(mailboxes(args, names)?),
        "MAILBOXES" => Source::Mailboxes(mailboxes(args, names)?),
        _ => return Err(Syntax::Expected("which mailboxes")),
    })
}

/// `SP (mailbox / "(" mailbox *(SP mailbox) ")")`
fn mailboxes(args: &mut Cursor<'_>, count: &mut usize) -> Result<Vec<String>, Syntax> {
    args.space()?;
    let mut one = |args: &mut Cursor<'_>| {
        *count += 1;
        if *count > NAMES_MAX {
            return Err(Syntax::Limit("mailboxes"));
        }
        Ok(name::full(&args.mailbox()?))
    };
    if !args.at_list() {
        return Ok(vec![one(args)?]);
    }
    let names = args.list(one)?;
    if names.is_empty() { Err(Syntax::Expected("a mailbox")) } else { Ok(names) }
}

/// The mailboxes of these sources that the actor may read, each once; the open one is left to its
/// session. Those that are named need no `l`; of others nothing is told (RFC 7377 §2.2).
pub async fn open(mail: &Mail, actor: &Actor, sources: &[Source]) -> Result<Vec<Mailbox>, Error> {
    let lists = sources.iter().any(Source::lists);
    let known = if lists { mail.mailboxes(actor).await? } else { Vec::new() };
    let mut names: Vec<&str> = Vec::new();
    for source in sources {
        if let Source::Mailboxes(named) = source {
            names.extend(named.iter().map(String::as_str));
        }
        let meant = known.iter().filter(|info| source.means(info));
        names.extend(meant.filter(|info| info.row.selectable).map(|info| &*info.name));
    }
    let mut seen = HashSet::new();
    let mut opened = Vec::new();
    for name in names.into_iter().filter(|name| seen.insert(*name)) {
        match mail.open(actor, name, Rights::READ).await {
            Ok(mailbox) => opened.push(mailbox),
            Err(mail::Error::NoMailbox | mail::Error::NotSelectable | mail::Error::Forbidden) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(opened)
}

impl Source {
    /// Does it take the list of all mailboxes to tell?
    fn lists(&self) -> bool {
        !matches!(self, Self::Selected | Self::Mailboxes(_))
    }

    /// Is it one of these, by the list?
    fn means(&self, info: &MailboxInfo) -> bool {
        match self {
            Self::Selected | Self::Mailboxes(_) => false,
            Self::Personal => !name::is_foreign(&info.name),
            Self::Subscribed => info.subscribed,
            Self::Subtree(tops) => tops.iter().any(|top| below(top, &info.name).is_some()),
            Self::SubtreeOne(tops) => {
                let near = |rest: &str| !rest.contains(name::SEPARATOR);
                tops.iter().any(|top| below(top, &info.name).is_some_and(near))
            }
        }
    }
}

/// What of the name stands below this top, nothing for the top itself.
fn below<'n>(top: &str, name: &'n str) -> Option<&'n str> {
    let rest = name.strip_prefix(top)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(name::SEPARATOR) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Source>, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = sources(&mut args)?;
        args.end()?;
        Ok(read)
    }

    #[test]
    fn sources_of_every_kind_are_read() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            read("IN (mailboxes (folder1 \"a b\") subtree folder2 subtree-one inbox/x)"),
            Ok(vec![
                Source::Mailboxes(names(&["folder1", "a b"])),
                Source::Subtree(names(&["folder2"])),
                Source::SubtreeOne(names(&["INBOX/x"])),
            ])
        );
        assert_eq!(
            read("in (SELECTED inboxes subscribed personal)"),
            Ok(vec![Source::Selected, Source::Personal, Source::Subscribed, Source::Personal])
        );
        for bad in [
            "IN",
            "IN ()",
            "IN personal",
            "IN (selected-delayed)",
            "IN (subtree)",
            "IN (mailboxes ())",
            "IN (personal (scope))",
            "IN (everything)",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn so_many_names_and_not_one_more() {
        let of = |count| read(&format!("IN (mailboxes ({}))", vec!["x"; count].join(" ")));
        assert!(of(NAMES_MAX).is_ok());
        assert_eq!(of(NAMES_MAX + 1), Err(Syntax::Limit("mailboxes")));
    }

    #[test]
    fn a_top_is_a_whole_level() {
        assert_eq!(below("a", "a"), Some(""));
        assert_eq!(below("a", "a/b/c"), Some("b/c"));
        assert_eq!(below("a", "ab"), None);
    }
}
