//! What a SUBMIT says besides its message (draft-ietf-lemonade-submit-01 §4.1.4): the envelope, in words
//! of its own or in those of SMTP, and what shall be done with the answers.

use crate::{
    delivery::Share,
    submission::{Wanted, Wishes},
    wire::{
        Cursor, Syntax,
        envelope::{EnvId, Notify, Orcpt, Ret},
    },
};

/// `"(" item *(SP item) ")"`, each item once: `"FROM" SP string / "TO" SP "(" rcpt *(SP rcpt) ")" /
/// "FCC" SP mailbox / "PARTIAL" / "RET" SP ("FULL" / "HDRS") / "ENVID" SP string / "ENVELOPE" SP literal`
///
/// An envelope in SMTP's words leaves nothing to be said of it in others.
pub(super) fn wishes(args: &mut Cursor<'_>) -> Result<Wishes, Syntax> {
    let mut wishes = Wishes::default();
    if args.list(|args| item(args, &mut wishes))?.is_empty() {
        return Err(Syntax::Expected("something to wish for"));
    }
    let Wishes { sender, recipients, ret, envid, lines, .. } = &wishes;
    let words = sender.is_some() || recipients.is_some() || ret.is_some() || envid.is_some();
    if lines.is_some() && words {
        return Err(Syntax::Expected("ENVELOPE or FROM, TO, RET and ENVID"));
    }
    Ok(wishes)
}

fn item(args: &mut Cursor<'_>, wishes: &mut Wishes) -> Result<(), Syntax> {
    match args.word()?.to_ascii_uppercase().as_str() {
        "FROM" => once(&mut wishes.sender, text(args)?),
        "TO" => {
            args.space()?;
            let to = args.list(rcpt)?;
            once(&mut wishes.recipients, (!to.is_empty()).then_some(to).ok_or(WHO)?)
        }
        "FCC" => {
            args.space()?;
            once(&mut wishes.copy_to, args.mailbox()?)
        }
        "PARTIAL" if wishes.share != Share::Each => {
            wishes.share = Share::Each;
            Ok(())
        }
        "RET" => {
            args.space()?;
            let ret = Ret::parse(args.word()?).map_err(|_| Syntax::Expected("FULL or HDRS"))?;
            once(&mut wishes.ret, ret)
        }
        "ENVID" => {
            let text = text(args)?;
            let envid = EnvId::parse(&text).or_else(|_| EnvId::from_value(&text));
            once(&mut wishes.envid, envid.map_err(|_| Syntax::Expected("a value of ENVID"))?)
        }
        "ENVELOPE" => {
            args.space()?;
            once(&mut wishes.lines, args.string()?.into_owned())
        }
        _ => Err(Syntax::Expected("FROM, TO, FCC, PARTIAL, RET, ENVID or ENVELOPE, each once")),
    }
}

const WHO: Syntax = Syntax::Expected("somebody who gets it");

/// `rcpt = string [SP "(" dsn *(SP dsn) ")"]`
fn rcpt(args: &mut Cursor<'_>) -> Result<Wanted, Syntax> {
    let address = args.astring_text()?.into_owned();
    let mut to = Wanted { address, notify: None, orcpt: None };
    let mut ahead = args.clone();
    if ahead.take(b' ') && ahead.at_list() {
        *args = ahead;
        args.list(|args| dsn(args, &mut to))?;
    }
    Ok(to)
}

/// `dsn = ("NOTIFY" / "ORCPT") SP string`, a value as SMTP has it (RFC 3461 §4)
fn dsn(args: &mut Cursor<'_>, to: &mut Wanted) -> Result<(), Syntax> {
    match args.word()?.to_ascii_uppercase().as_str() {
        "NOTIFY" => {
            let notify = Notify::parse(&text(args)?);
            once(&mut to.notify, notify.map_err(|_| Syntax::Expected("a value of NOTIFY"))?)
        }
        "ORCPT" => {
            let text = text(args)?;
            let plain = || {
                let (kind, address) = text.split_once(';')?;
                Orcpt::new(kind, address).ok()
            };
            let orcpt = Orcpt::parse(&text).ok().or_else(plain);
            once(&mut to.orcpt, orcpt.ok_or(Syntax::Expected("a value of ORCPT"))?)
        }
        _ => Err(Syntax::Expected("NOTIFY or ORCPT")),
    }
}

/// `SP string`
fn text(args: &mut Cursor<'_>) -> Result<String, Syntax> {
    args.space()?;
    Ok(args.astring_text()?.into_owned())
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Syntax> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Syntax::Expected("each item once")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Wishes, Syntax> {
        let mut args = Cursor::new(text.as_bytes());
        let read = wishes(&mut args)?;
        args.end().map(|()| read)
    }

    #[test]
    fn items_stand_in_any_order_and_each_once() {
        let text = "(FROM \"a@x\" TO (\"b@x\" c@x (NOTIFY \"SUCCESS,DELAY\" ORCPT \"rfc822;d@y\")) \
            FCC Sent PARTIAL RET HDRS ENVID \"QQ 1\")";
        let read = read(text).unwrap();
        assert_eq!(read.sender.as_deref(), Some("a@x"));
        assert_eq!((read.copy_to.as_deref(), read.share), (Some("Sent"), Share::Each));
        assert_eq!(read.ret, Some(Ret::Headers));
        assert_eq!(read.envid.map(|envid| envid.as_str().to_owned()).as_deref(), Some("QQ 1"));
        let [b, c] = read.recipients.as_deref().unwrap() else { panic!() };
        assert_eq!((b.address.as_str(), b.notify), ("b@x", None));
        assert_eq!(c.notify, Notify::parse("SUCCESS,DELAY").ok());
        assert_eq!(c.orcpt, Orcpt::parse("rfc822;d@y").ok());
    }

    #[test]
    fn an_envelope_in_the_words_of_smtp_stands_alone() {
        let lines = "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>";
        let literal = format!("{{{}}}\r\n{lines}", lines.len());
        let both = read(&format!("(ENVELOPE {literal} FCC Sent)")).unwrap();
        assert_eq!(both.lines.as_deref(), Some(lines.as_bytes()));
        for other in ["FROM a@x", "TO (b@x)", "RET FULL", "ENVID x", "ENVELOPE {0}\r\n"] {
            assert!(read(&format!("(ENVELOPE {literal} {other})")).is_err(), "{other}");
        }
    }

    #[test]
    fn values_are_read_as_smtp_has_them_or_else_as_they_stand() {
        let orcpt = |value: &str| {
            let to = read(&format!("(TO (b@x (ORCPT \"{value}\")))")).unwrap().recipients.unwrap();
            to[0].orcpt.as_ref().unwrap().address().to_owned()
        };
        assert_eq!(orcpt("rfc822;a+2Bb@x"), "a+b@x");
        assert_eq!(orcpt("rfc822;a+b@x"), "a+b@x");
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for bad in [
            "()",
            "(FROM)",
            "(FROM a@x FROM b@x)",
            "(PARTIAL PARTIAL)",
            "(TO b@x)",
            "(TO ())",
            "(TO (b@x (NOTIFY x)))",
            "(TO (b@x (ORCPT x)))",
            "(TO (b@x (RET FULL)))",
            "(RET x)",
            "(ENVID \"\")",
            "(FCC)",
            "(SIZE 1)",
            "(FROM a@x",
            "FROM a@x",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printed_wishes_read_back(
            sender in proptest::option::of("[a-zä \"\\\\@]{0,8}"),
            recipients in proptest::collection::vec(
                ("[a-zä \"\\\\@]{0,8}", proptest::option::of(any::<(bool, bool, bool)>()), any::<bool>()),
                0..4,
            ),
            copy_to in proptest::option::of("[a-z/ ]{1,8}"),
            partial: bool,
            full in proptest::option::of(any::<bool>()),
            envid in proptest::option::of("[ -~]{1,20}"),
            order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let recipients = recipients.into_iter().map(|(address, notify, orcpt)| Wanted {
                address,
                notify: notify.map(|(success, failure, delay)| Notify { success, failure, delay }),
                orcpt: orcpt.then(|| Orcpt::new("rfc822", "a+b=c@x").unwrap()),
            });
            let recipients: Vec<_> = recipients.collect();
            let wishes = Wishes {
                sender,
                recipients: (!recipients.is_empty()).then_some(recipients),
                ret: full.map(|full| if full { Ret::Full } else { Ret::Headers }),
                envid: envid.map(|envid| EnvId::from_value(&envid).unwrap()),
                lines: None,
                copy_to,
                share: if partial { Share::Each } else { Share::All },
            };
            let to = |wanted: &Wanted| {
                let notify = wanted.notify.map(|notify| format!("NOTIFY \"{notify}\""));
                let orcpt = wanted.orcpt.as_ref().map(|orcpt| format!("ORCPT \"{}\"", orcpt.encode()));
                let dsn: Vec<_> = notify.into_iter().chain(orcpt).collect();
                let dsn = if dsn.is_empty() { String::new() } else { format!(" ({})", dsn.join(" ")) };
                quoted(&wanted.address) + &dsn
            };
            let list = |all: &Vec<Wanted>| all.iter().map(to).collect::<Vec<_>>().join(" ");
            let items = [
                wishes.sender.as_deref().map(|sender| format!("FROM {}", quoted(sender))),
                wishes.recipients.as_ref().map(|all| format!("TO ({})", list(all))),
                wishes.copy_to.as_deref().map(|name| format!("FCC {}", quoted(name))),
                partial.then(|| "PARTIAL".to_owned()),
                wishes.ret.map(|ret| format!("RET {}", ret.as_str())),
                wishes.envid.as_ref().map(|envid| format!("ENVID {}", quoted(&envid.encode()))),
            ];
            let said: Vec<_> = order.iter().filter_map(|at| items[*at].clone()).collect();
            prop_assume!(!said.is_empty());
            prop_assert_eq!(read(&format!("({})", said.join(" "))), Ok(wishes));
        }

        #[test]
        fn no_list_does_harm(text in "\\(( |\\(|\\)|FROM|TO|FCC|ENVELOPE|RET|ENVID|NOTIFY|a@x|\"|\\{3\\}|\\{1\\}\r\n){0,12}") {
            let _ = read(&text);
        }
    }
}
