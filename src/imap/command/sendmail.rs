//! UID SENDMAIL (draft-imap-sendmail-01): one message of the open mailbox is sent, to whom the command
//! says or its header names. The form that an existing client speaks.

use super::{Command, Parsed, Running, send, store};
use crate::{
    imap::{
        error::Error,
        picture::By,
        reply::{Done, Replies},
        session::Session,
    },
    submission::{Said, Step},
    wire::{
        Cursor, Set, Syntax,
        address::{Address, ReversePath},
        envelope::Notify,
    },
};

/// Addresses of one command.
const MOST: usize = 10_000;

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    from: Option<String>,
    recipients: Vec<String>,
    notify: Option<Notify>,
}

struct SendMail {
    message: Set,
    options: Options,
}

/// `sendmail = "SENDMAIL" SP uniqueid [SP submission-options]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mut one = args.clone();
    one.nonzero()?;
    let message = args.set()?;
    if args.rest().len() != one.rest().len() {
        return Err(Syntax::Expected("the UID of one message"));
    }
    let mut options = Options::default();
    if args.take(b' ') && args.at_list() {
        options = self::options(args)?;
    }
    args.end()?;
    Ok(Box::new(SendMail { message, options }))
}

/// `submission-options = "(" submission-option *( SP submission-option ) ")"`, of which FROM and DSN stand
/// once
fn options(args: &mut Cursor<'_>) -> Result<Options, Syntax> {
    let mut options = Options::default();
    args.list(|args| {
        let option = args.word()?.to_ascii_uppercase();
        args.space()?;
        match option.as_str() {
            "FROM" if options.from.is_none() => {
                options.from = Some(args.astring_text()?.into_owned());
            }
            "RECIPIENT" if options.recipients.len() < MOST => {
                options.recipients.push(args.astring_text()?.into_owned());
            }
            "RECIPIENT" => return Err(Syntax::Limit("recipients")),
            "DSN" if options.notify.is_none() => options.notify = Some(notify(args)?),
            _ => return Err(Syntax::Expected("FROM once, RECIPIENT, or DSN once")),
        }
        Ok(())
    })?;
    Ok(options)
}

/// `sub-option-dsn = "DSN" SP ( NIL / "(" dsn-spec-item *( SP dsn-spec-item ) ")" )`
fn notify(args: &mut Cursor<'_>) -> Result<Notify, Syntax> {
    let mut notify = Notify::NEVER;
    if args.take_word("NIL") {
        return Ok(notify);
    }
    let words = args.list(|args| {
        let word = args.word()?.to_ascii_uppercase();
        let place = match word.as_str() {
            "SUCCESS" => &mut notify.success,
            "FAILURE" => &mut notify.failure,
            "DELAY" => &mut notify.delay,
            _ => return Err(Syntax::Expected("SUCCESS, FAILURE or DELAY")),
        };
        if std::mem::replace(place, true) {
            return Err(Syntax::Expected("each word once"));
        }
        Ok(())
    })?;
    if words.is_empty() { Err(Syntax::Expected("SUCCESS, FAILURE or DELAY")) } else { Ok(notify) }
}

impl Options {
    /// What they say of the envelope; a text that is no address is refused.
    fn said(self) -> Result<Said, Error> {
        let bad = |what: &str, text: &str, error| Error::plain(format!("{what} {text}: {error}"));
        let sender = self
            .from
            .map(|from| ReversePath::parse(&from).map_err(|error| bad("sender", &from, error)));
        let recipients = self
            .recipients
            .iter()
            .map(|to| Address::parse(to).map_err(|error| bad("recipient", to, error)));
        let recipients = recipients.collect::<Result<_, _>>()?;
        Ok(Said { sender: sender.transpose()?, recipients, notify: self.notify })
    }
}

impl Command for SendMail {
    /// The message's flags are told, and its UID with them.
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            let Self { message, options } = *self;
            let (mail, said) = (session.mail(), options.said()?);
            let selected = session.selected()?;
            let writes = selected.writes();
            let found = selected.targets(&mail, &message, By::Uid).await?;
            let Some(target) = found.first().copied() else {
                return Err(Error::plain("no such message"));
            };
            let asked = send::ask(session, target.uid, said, "UID SENDMAIL", out).await?;
            if let Err(unsent) = asked {
                let text = match unsent.answers.refusal() {
                    Some((Step::Rcpt, to, answer)) if !to.is_empty() => {
                        format!("{to}: {}", answer.text)
                    }
                    Some((.., answer)) => answer.text.to_string(),
                    None => "not sent".to_owned(),
                };
                return Err(Error::plain(text));
            }
            if writes {
                store::tell_flags(session, &[target], By::Uid, out).await?;
            }
            Ok(Done::ok("sent"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, Syntax> {
        options(&mut Cursor::new(text.as_bytes()))
    }

    #[test]
    fn options_are_read_as_the_client_writes_them() {
        let expected = Options {
            from: Some("a@x".to_owned()),
            recipients: vec!["b@x".to_owned(), "c@x".to_owned()],
            notify: Some(Notify { success: false, failure: true, delay: true }),
        };
        for text in [
            "(FROM \"a@x\" RECIPIENT \"b@x\" RECIPIENT \"c@x\" DSN (delay failure))",
            "( FROM a@x RECIPIENT b@x  RECIPIENT {3}\r\nc@x DSN (DELAY FAILURE) )",
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
        assert_eq!(read("(DSN NIL)").unwrap().notify, Some(Notify::NEVER));
        for bad in [
            "(FROM a@x FROM b@x)",
            "(FROM)",
            "(TO a@x)",
            "(DSN ())",
            "(DSN (DELAY DELAY))",
            "(DSN NIL DSN NIL)",
            "FROM a@x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_message_is_named() {
        let reads = |text: &str| parse(&mut Cursor::new(text.as_bytes())).is_ok();
        assert!(reads(" 333") && reads(" 333 ()") && reads(" 1 (FROM a@x)"));
        assert!(!reads(" 1:2") && !reads(" *") && !reads(" 0") && !reads(" 1 FROM a@x"));
    }
}
