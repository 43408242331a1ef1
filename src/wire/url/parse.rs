//! From a text to its parts (RFC 5092 §11).

use std::borrow::Cow;

use jiff::Timestamp;

use super::{
    ImapUrl, URL_MAX, UrlAccess, UrlAuth, UrlError, UrlMailbox, UrlMessage, UrlPartial, UrlProof,
    UrlServer, UrlTarget,
    percent::{achar, bchar, decode},
};

type Result<T> = std::result::Result<T, UrlError>;

/// `imapurl / imapurl-rel`
pub(super) fn url(text: &str) -> Result<ImapUrl> {
    if text.len() > URL_MAX {
        return Err(UrlError::TooLong);
    }
    let (server, path) = match after_scheme(text)? {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(server(authority)?), path)
        }
        None => (None, text),
    };
    let (own, path) = match path.strip_prefix('/') {
        Some(path) => (true, path),
        None if server.is_some() && path.is_empty() => (true, path),
        None if server.is_none() && path.starts_with(';') => (false, path),
        None => return Err(UrlError::Expected("a / at the beginning")),
    };
    Ok(ImapUrl { server, target: target(path, own, text.len())? })
}

/// What stands behind `imap://`, or behind the `//` of `inetwork-path`; None for a mere path.
fn after_scheme(text: &str) -> Result<Option<&str>> {
    if let Some(rest) = text.strip_prefix("//") {
        return Ok(Some(rest));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
    if scheme.eq_ignore_ascii_case("imap") {
        return Ok(Some(rest));
    }
    // A path may hold the same octets.
    if scheme.starts_with(['/', ';']) { Ok(None) } else { Err(UrlError::Scheme) }
}

/// `iserver = [iuserinfo "@"] host [":" port]`
fn server(text: &str) -> Result<UrlServer> {
    // An @ in the user's name should be encoded and often is not.
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, text),
    };
    let (user, auth) = match user.map(|user| split_parameter(user, ";AUTH=")) {
        None => (None, None),
        Some((user, auth)) => {
            let what = "the name of a user";
            let user = decode(user, |octet| achar(octet) || octet == b'@', what)?;
            let auth =
                auth.map(|auth| decode(auth, achar, "the name of a mechanism")).transpose()?;
            if user.is_empty() && auth.is_none() || auth.as_deref() == Some("") {
                return Err(UrlError::Expected(what));
            }
            (Some(user).filter(|user| !user.is_empty()), auth)
        }
    };
    let (host, port) = host_and_port(place)?;
    Ok(UrlServer { user, auth, host: host.to_owned(), port })
}

fn host_and_port(text: &str) -> Result<(&str, Option<u16>)> {
    let wrong = UrlError::Expected("the name of a server");
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => {
            let (address, behind) = literal.split_once(']').ok_or(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong)?;
            let host = text.get(..text.len().saturating_sub(behind.len())).ok_or(wrong)?;
            (host, behind)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
    if host.is_empty() || !(host.starts_with('[') || host.bytes().all(is_name)) {
        return Err(wrong);
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|octet| octet.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| UrlError::Expected("the number of a port"))?)
        }
        _ => return Err(UrlError::Expected("the number of a port")),
    };
    Ok((host, port))
}

/// `icommand`, of which the text begins behind the first `/`.
fn target(path: &str, own: bool, length: usize) -> Result<UrlTarget> {
    if path.is_empty() {
        return Ok(UrlTarget::Server);
    }
    let (path, search) = match path.split_once('?') {
        Some((path, search)) => (path, Some(search)),
        None => (path, None),
    };
    let whole = without_dots(path);
    let (named, parameters) = whole.split_at(whole.find(';').unwrap_or(whole.len()));
    let (name, slash) = match named.strip_suffix('/') {
        Some(name) => (name, true),
        None => (named, !own),
    };
    let mut parameters = Parameters { rest: parameters, slash };
    let uid_validity = parameters.take("UIDVALIDITY", false).map(nonzero).transpose()?;
    let what = UrlError::Expected("the name of a mailbox");
    let mailbox = match (own, name) {
        (false, "") if uid_validity.is_none() => None,
        (false, _) => return Err(UrlError::Expected("a / before the mailbox")),
        (true, "") => return Err(what),
        (true, name) => {
            let name = decode(name, bchar, "the name of a mailbox")?;
            Some(UrlMailbox { name, uid_validity })
        }
    };
    if parameters.is_at_end() {
        let search = search.map(|search| decode(search, bchar, "what to search for"));
        return Ok(UrlTarget::Mailbox(mailbox.ok_or(what)?, search.transpose()?));
    }
    if search.is_some() {
        return Err(UrlError::Expected("either a message or a search"));
    }
    message(mailbox, parameters, length).map(|message| UrlTarget::Message(Box::new(message)))
}

/// `iuid [isection] [ipartial] [iurlauth]`
fn message(
    mailbox: Option<UrlMailbox>,
    mut parameters: Parameters<'_>,
    length: usize,
) -> Result<UrlMessage> {
    let uid = nonzero(parameters.take("UID", true).ok_or(UrlError::Expected("a UID"))?)?;
    let section = parameters.take("SECTION", true);
    let section = section.map(|text| decode(text, bchar, "a section")).transpose()?;
    if section.as_deref() == Some("") {
        return Err(UrlError::Expected("a section"));
    }
    let partial = parameters.take("PARTIAL", true).map(partial).transpose()?;
    let expire = parameters.take("EXPIRE", false).map(date).transpose()?;
    let authorisation = parameters.last("URLAUTH");
    let authorisation = authorisation.map(|text| authorised(text, length)).transpose()?;
    if !parameters.is_at_end() {
        return Err(UrlError::Expected("its parameters in their order"));
    }
    if expire.is_some() && authorisation.is_none() {
        return Err(UrlError::Expected(";URLAUTH behind ;EXPIRE"));
    }
    Ok(UrlMessage { mailbox, uid, section, partial, expire, authorisation })
}

/// `access [":" uauth-mechanism ":" enc-urlauth]`, the end of a URL of so many octets.
fn authorised(text: &str, length: usize) -> Result<UrlAuth> {
    let (access, proof) = match text.split_once(':') {
        Some((access, proof)) => (access, Some(proof)),
        None => (text, None),
    };
    let user = |name: &str| {
        let what = "the name of a user behind submit+ or user+";
        let name = decode(name, |octet| achar(octet) || octet == b'@', what)?;
        if name.is_empty() { Err(UrlError::Expected(what)) } else { Ok(name) }
    };
    let access = if access.eq_ignore_ascii_case("authuser") {
        UrlAccess::AuthUser
    } else if access.eq_ignore_ascii_case("anonymous") {
        UrlAccess::Anonymous
    } else if let Some(name) = after(access, "submit+") {
        UrlAccess::Submit(user(name)?)
    } else if let Some(name) = after(access, "user+") {
        UrlAccess::User(user(name)?)
    } else {
        return Err(UrlError::Expected("an access identifier"));
    };
    let proof = proof.map(|proof| {
        let (mechanism, token) =
            proof.split_once(':').ok_or(UrlError::Expected("a token behind the mechanism"))?;
        let is_word = |octet: u8| octet.is_ascii_alphanumeric() || b"-.".contains(&octet);
        if mechanism.is_empty() || !mechanism.bytes().all(is_word) {
            return Err(UrlError::Expected("the name of a mechanism"));
        }
        if token.len() < 32 || !token.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err(UrlError::Expected("a token of at least 32 hexadecimal digits"));
        }
        let signed = length.saturating_sub(proof.len()).saturating_sub(1);
        Ok(UrlProof { mechanism: mechanism.to_owned(), token: token.to_owned(), signed })
    });
    Ok(UrlAuth { access, proof: proof.transpose()? })
}

fn nonzero(text: &str) -> Result<u32> {
    let number = digits(text).and_then(|digits| digits.parse().ok());
    number.filter(|number| *number > 0).ok_or(UrlError::Expected("a number above zero"))
}

fn partial(text: &str) -> Result<UrlPartial> {
    let wrong = UrlError::Expected("a range of octets");
    let number = |text| digits(text).and_then(|digits| digits.parse::<u64>().ok()).ok_or(wrong);
    let (offset, length) = match text.split_once('.') {
        Some((offset, length)) => (number(offset)?, Some(number(length)?)),
        None => (number(text)?, None),
    };
    if length == Some(0) { Err(wrong) } else { Ok(UrlPartial { offset, length }) }
}

/// `date-time` of RFC 3339
fn date(text: &str) -> Result<Timestamp> {
    let wrong = UrlError::Expected("a date and time after RFC 3339");
    let text = decode(text, |octet| achar(octet) || octet == b':', "a date")?;
    let like =
        text.len() >= 20 && text.as_bytes().get(10).is_some_and(|t| matches!(t, b'T' | b't'));
    if !like {
        return Err(wrong);
    }
    text.parse().map_err(|_| wrong)
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())).then_some(text)
}

fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(word.len())?;
    begin.eq_ignore_ascii_case(word).then_some(rest)
}

/// What stands before a word, and what behind it.
fn split_parameter<'a>(text: &'a str, word: &str) -> (&'a str, Option<&'a str>) {
    let at = (0..text.len()).find(|at| text.get(*at..).is_some_and(|t| after(t, word).is_some()));
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((before, rest)) => (before, after(rest, word)),
        None => (text, None),
    }
}

/// `;UID=20/;SECTION=1.2;URLAUTH=...`, what is left of it.
struct Parameters<'a> {
    rest: &'a str,
    /// A `/` stands in front of it.
    slash: bool,
}

impl<'a> Parameters<'a> {
    /// The value of the next one, if it has this name and, where it needs it, a `/` before it.
    fn take(&mut self, name: &str, needs_slash: bool) -> Option<&'a str> {
        let value = self.value(name).filter(|_| self.slash || !needs_slash)?;
        let (value, rest) = match value.find(';') {
            Some(end) => value.split_at_checked(end)?,
            None => (value, ""),
        };
        self.rest = rest;
        let before_slash = if rest.is_empty() { None } else { value.strip_suffix('/') };
        self.slash = before_slash.is_some();
        Some(before_slash.unwrap_or(value))
    }

    /// The same for one that must be the last.
    fn last(&mut self, name: &str) -> Option<&'a str> {
        let value = self.value(name)?;
        self.rest = "";
        Some(value)
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        after(after(self.rest, ";")?, name).and_then(|rest| rest.strip_prefix('='))
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

/// `remove_dot_segments` of RFC 3986 §5.2.4, of a path without its first `/`.
fn without_dots(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    Cow::Owned(kept.join("/"))
}
