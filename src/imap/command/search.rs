//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, §6.4.9) with ESEARCH (RFC 4731), SEARCHRES (RFC 5182) and
//! mod-sequences (RFC 7162 §3.1.5).

use super::{Command, Parsed, Running};
use crate::{
    imap::{
        error::Error,
        extensions::Numbers,
        picture::By,
        reply::{Done, Replies},
        search::{
            compile::{Charset, Context},
            key::{self, Key},
            result::{self, Found, Options},
        },
        selected::Selected,
        session::{Session, now},
    },
    mail::Mail,
    wire::{Cursor, Ranges},
};

struct Search {
    by: By,
    /// What a RETURN asked for.
    options: Option<Options>,
    charset: Option<String>,
    key: Key,
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
    let mut charset = None;
    if args.take_word("CHARSET") {
        args.space()?;
        charset = Some(args.astring_text()?.into_owned());
        args.space()?;
    }
    let key = key::keys(args)?;
    Ok(Box::new(Search { by, options, charset, key }))
}

impl Command for Search {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            session.tell(Numbers::Still, out).await?;
            if self.charset.is_some() && session.enabled.utf8 && !session.enabled.rev2 {
                // RFC 6855 §3: everything is UTF-8 then.
                return Err(Error::unfit("no charset can be named once UTF8=ACCEPT is enabled"));
            }
            if self.key.names_mod_seq() {
                session.enable_condstore(out);
            }
            let (mail, tag, rev2) = (session.mail(), session.tag.clone(), session.enabled.rev2);
            let selected = session.selected()?;
            let saves = self.options.is_some_and(|options| options.save);
            let found = self.find(&mail, selected).await;
            if saves && matches!(found, Err(Error::No(..) | Error::Internal(_))) {
                selected.saved = Ranges::default();
            }
            let found = found?;
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
                None => result::search(&found, self.by, out).await?,
            }
            let done = Done::ok("searched");
            Ok(if self.key.names_numbers() { done.still() } else { done })
        })
    }
}

impl Search {
    async fn find(&self, mail: &Mail, selected: &mut Selected) -> Result<Found, Error> {
        let charset = Charset::named(self.charset.as_deref())?;
        let (saved, recent) = (selected.saved.clone(), selected.recent().clone());
        let compiled = selected.look(mail, |picture, messages| {
            let now = now();
            let (saved, recent) = (&saved, &recent);
            let context = Context { picture, messages, saved, recent, charset, now };
            Ok::<_, Error>((context.program(&self.key)?, picture.last_told()))
        });
        let (program, last) = compiled.await??;
        let matching = mail.search(&selected.mailbox, program, last).await?;
        let with_mod_seqs = self.key.names_mod_seq();
        // What went while the search ran is passed over: it has no number any more.
        let numbered = selected.look(mail, |picture, messages| {
            let living = messages.uids();
            let mut found = Found::default();
            for uid in matching {
                let Some(number) = picture.number(uid, living) else { continue };
                found.uids.push(uid.get());
                found.numbers.push(number);
                if with_mod_seqs {
                    let entry = messages.place(uid).ok().and_then(|at| messages.mod_seqs().get(at));
                    found.mod_seqs.push(entry.copied().unwrap_or_default());
                }
            }
            found
        });
        numbered.await
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
