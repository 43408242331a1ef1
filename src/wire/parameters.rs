//! What follows MAIL and RCPT: a path, and the parameters that extensions add (RFC 5321 §4.1.2).
//!
//! SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), RET, ENVID, NOTIFY and ORCPT
//! (RFC 3461), AUTH (RFC 4954 §5). No parameter may stand twice, and none that is not known.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{
    address::{Address, AddressError, Domain, ReversePath},
    envelope::{Body, EnvId, Notify, Orcpt, Ret, xtext_decode},
};

/// Why a text does not follow MAIL or RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The arguments are not as they should be.
    #[error("syntax: {0}")]
    Arguments(&'static str),
    /// No reverse path.
    #[error("sender: {0}")]
    Sender(AddressError),
    /// No forward path.
    #[error("recipient: {0}")]
    Recipient(AddressError),
    /// A parameter that this command does not have.
    #[error("parameter not known")]
    Parameter,
    /// A known parameter with a bad value, or given twice.
    #[error("bad value of {0}")]
    Value(&'static str),
}

/// `MAIL FROM:` and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// Where failures are reported to.
    pub reverse_path: ReversePath,
    /// SIZE: how large the client believes the message to be.
    pub size: Option<u64>,
    /// BODY.
    pub body: Option<Body>,
    /// SMTPUTF8.
    pub utf8: bool,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID.
    pub envid: Option<EnvId>,
    /// AUTH: who is said to have submitted the message first. None of our doors believes it.
    pub auth: Option<Submitter>,
}

/// AUTH='s value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitter {
    /// `<>`: not known, or not to be trusted.
    Unknown,
    /// A mailbox, decoded.
    Named(Address),
}

/// `RCPT TO:` and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rcpt {
    /// Who shall get it.
    pub path: ForwardPath,
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT.
    pub orcpt: Option<Orcpt>,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<Postmaster>`, without a domain: whoever cares for this server (RFC 5321 §4.5.1).
    Postmaster,
    /// An address.
    Address(Address),
}

/// `"FROM:" Reverse-path [SP Mail-parameters]`
pub fn mail(arguments: &str) -> Result<Mail, Fault> {
    let rest = keyword(arguments, "FROM:").ok_or(Fault::Arguments("MAIL FROM:<address>"))?;
    let (reverse_path, rest) = if let Some(rest) = rest.strip_prefix("<>") {
        (ReversePath::NULL, rest)
    } else {
        let (address, rest) = path(rest).map_err(Fault::Sender)?;
        (address.into(), rest)
    };
    let mut mail = Mail { reverse_path, ..Mail::default() };
    for parameter in parameters(rest, "MAIL FROM:<address> parameters")? {
        let (keyword, value) = parameter?;
        match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => once(&mut mail.size, "SIZE", number(needed(value, "SIZE")?))?,
            "BODY" => once(&mut mail.body, "BODY", Body::parse(needed(value, "BODY")?).ok())?,
            "RET" => once(&mut mail.ret, "RET", Ret::parse(needed(value, "RET")?).ok())?,
            "ENVID" => once(&mut mail.envid, "ENVID", EnvId::parse(needed(value, "ENVID")?).ok())?,
            "AUTH" => once(&mut mail.auth, "AUTH", submitter(needed(value, "AUTH")?))?,
            "SMTPUTF8" if value.is_none() && !mail.utf8 => mail.utf8 = true,
            "SMTPUTF8" => return Err(Fault::Value("SMTPUTF8")),
            _ => return Err(Fault::Parameter),
        }
    }
    Ok(mail)
}

/// `"TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters]`
pub fn rcpt(arguments: &str) -> Result<Rcpt, Fault> {
    let rest = keyword(arguments, "TO:").ok_or(Fault::Arguments("RCPT TO:<address>"))?;
    let (path, rest) = if let Some(rest) = keyword(rest, "<postmaster>") {
        (ForwardPath::Postmaster, rest)
    } else {
        let (address, rest) = path(rest).map_err(Fault::Recipient)?;
        (ForwardPath::Address(address), rest)
    };
    let mut rcpt = Rcpt { path, notify: None, orcpt: None };
    for parameter in parameters(rest, "RCPT TO:<address> parameters")? {
        let (keyword, value) = parameter?;
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => {
                once(&mut rcpt.notify, "NOTIFY", Notify::parse(needed(value, "NOTIFY")?).ok())?;
            }
            "ORCPT" => once(&mut rcpt.orcpt, "ORCPT", Orcpt::parse(needed(value, "ORCPT")?).ok())?,
            _ => return Err(Fault::Parameter),
        }
    }
    Ok(rcpt)
}

/// `Path = "<" [ A-d-l ":" ] Mailbox ">"`; the route is read and dropped (RFC 5321 §4.1.2, F.2).
fn path(text: &str) -> Result<(Address, &str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::NoAt)?;
    let inner = if inner.starts_with('@') { behind_route(inner)? } else { inner };
    let (address, rest) = Address::read(inner)?;
    Ok((address, rest.strip_prefix('>').ok_or(AddressError::Trailing)?))
}

/// `A-d-l = At-domain *( "," At-domain )` and the colon behind it
fn behind_route(text: &str) -> Result<&str, AddressError> {
    let (route, rest) = text.split_once(':').ok_or(AddressError::Domain)?;
    for hop in route.split(',') {
        Domain::parse(hop.strip_prefix('@').ok_or(AddressError::Domain)?)?;
    }
    Ok(rest)
}

/// What follows a keyword in any case, and the spaces that many clients put there.
fn keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(keyword.len())?;
    start.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches(' '))
}

type Parameter<'a> = Result<(&'a str, Option<&'a str>), Fault>;

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`, each behind a space (RFC 5321 §4.1.2)
fn parameters<'a>(
    rest: &'a str,
    expected: &'static str,
) -> Result<impl Iterator<Item = Parameter<'a>>, Fault> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(Fault::Arguments(expected));
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let is_value = |c: char| c != '=' && !c.is_control();
    Ok(rest.split(' ').filter(|word| !word.is_empty()).map(move |word| {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let well_formed = !keyword.is_empty()
            && keyword.bytes().all(is_name)
            && value.is_none_or(|value| !value.is_empty() && value.chars().all(is_value));
        if well_formed { Ok((keyword, value)) } else { Err(Fault::Arguments(expected)) }
    }))
}

/// `1*20DIGIT`
pub fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_digit());
    // Twenty digits can be more than a number holds; all such are beyond every limit alike.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn needed<'a>(value: Option<&'a str>, name: &'static str) -> Result<&'a str, Fault> {
    value.ok_or(Fault::Value(name))
}

fn once<T>(place: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), Fault> {
    if place.is_some() || value.is_none() {
        return Err(Fault::Value(name));
    }
    *place = value;
    Ok(())
}

/// `"AUTH=" ( "<>" / xtext of a mailbox )` (RFC 4954 §5)
fn submitter(value: &str) -> Option<Submitter> {
    if value == "<>" {
        return Some(Submitter::Unknown);
    }
    let decoded = xtext_decode(value)?;
    Address::parse(&decoded).ok().map(Submitter::Named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_sender_is_a_path_or_nobody() {
        assert_eq!(mail("FROM:<>").unwrap().reverse_path, ReversePath::NULL);
        assert_eq!(mail("from: <a@b>").unwrap().reverse_path, address("a@b").into());
        assert_eq!(mail("FROM:<\"a b>\"@c>").unwrap().reverse_path, address("\"a b>\"@c").into());
        for bad in ["FROM:<a>", "FROM:<a@b", "FROM:<a@b>>", "FROM:< a@b>", "FROM:<a@b\u{7}>"] {
            assert!(mail(bad).is_err(), "{bad}");
        }
        for bad in ["FROM", "FRÖM:<a@b>", "TO:<a@b>", "FROM:<a@b>SIZE=1", ""] {
            assert!(matches!(mail(bad), Err(Fault::Arguments(_))), "{bad}");
        }
    }

    #[test]
    fn source_routes_are_read_and_dropped() {
        let to = rcpt("TO:<@hop.example,@[192.0.2.1]:joe@example.org>").unwrap();
        assert_eq!(to.path, ForwardPath::Address(address("joe@example.org")));
        assert!(rcpt("TO:<@hop.example,joe@example.org>").is_err());
        assert!(rcpt("TO:<@:joe@example.org>").is_err());
    }

    #[test]
    fn the_postmaster_needs_no_domain() {
        assert_eq!(rcpt("TO:<PostMaster>").unwrap().path, ForwardPath::Postmaster);
        assert!(matches!(rcpt("TO:<root>"), Err(Fault::Recipient(AddressError::NoAt))));
        assert!(matches!(rcpt("TO:<>"), Err(Fault::Recipient(_))));
    }

    #[test]
    fn mail_takes_the_parameters_of_seven_extensions() {
        let line = "FROM:<a@b> SIZE=1024 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1 AUTH=e+3Df@g";
        let mail = mail(line).unwrap();
        assert_eq!(mail.size, Some(1024));
        assert_eq!(mail.body, Some(Body::EightBit));
        assert!(mail.utf8);
        assert_eq!(mail.ret, Some(Ret::Headers));
        assert_eq!(mail.envid.unwrap().as_str(), "QQ+1");
        assert_eq!(mail.auth, Some(Submitter::Named(address("e=f@g"))));
    }

    #[test]
    fn rcpt_takes_notify_and_orcpt() {
        let rcpt = rcpt("TO:<a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c+2Bd@e").unwrap();
        assert_eq!(rcpt.notify.unwrap().to_string(), "SUCCESS,DELAY");
        assert_eq!(rcpt.orcpt.unwrap().address(), "c+d@e");
    }

    #[test]
    fn a_parameter_stands_once_with_a_good_value_and_must_be_known() {
        for (line, fault) in [
            ("FROM:<a@b> SIZE=1 SIZE=1", Fault::Value("SIZE")),
            ("FROM:<a@b> SIZE=-1", Fault::Value("SIZE")),
            ("FROM:<a@b> SIZE", Fault::Value("SIZE")),
            ("FROM:<a@b> BODY=9BIT", Fault::Value("BODY")),
            ("FROM:<a@b> SMTPUTF8=yes", Fault::Value("SMTPUTF8")),
            ("FROM:<a@b> SMTPUTF8 SMTPUTF8", Fault::Value("SMTPUTF8")),
            ("FROM:<a@b> RET=BODY", Fault::Value("RET")),
            ("FROM:<a@b> AUTH=x", Fault::Value("AUTH")),
            ("FROM:<a@b> XYZZY=1", Fault::Parameter),
            ("FROM:<a@b> NOTIFY=NEVER", Fault::Parameter),
        ] {
            assert_eq!(mail(line), Err(fault), "{line}");
        }
        assert_eq!(rcpt("TO:<a@b> NOTIFY=NEVER,DELAY"), Err(Fault::Value("NOTIFY")));
        assert!(matches!(mail("FROM:<a@b> SIZE="), Err(Fault::Arguments(_))));
        assert!(matches!(mail("FROM:<a@b> =1"), Err(Fault::Arguments(_))));
    }
}
