//! Capabilities, as clients of the proxy are told them: the server's, without what the proxy could not
//! see through, and with what it adds (RFC 9051 §7.2.2).

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// What the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// May secrets be sent to us?
    pub secured: bool,
    /// Could the client put TLS on now?
    pub may_start_tls: bool,
}

/// A line with its capabilities, if it tells any, as they are here; else the same line.
pub(super) fn rewrite(line: Vec<u8>, now: Situation) -> Vec<u8> {
    let Some((start, end)) = list(&line) else { return line };
    let told = line.get(start..end).unwrap_or_default();
    let mut out = line.get(..start).unwrap_or_default().to_vec();
    let words = told.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let kept: Vec<_> = words.filter(|word| stays(word, now)).collect();
    let disabled = kept.iter().any(|word| word.eq_ignore_ascii_case(b"LOGINDISABLED"));
    out.extend_from_slice(&kept.join(&b' '));
    if now.may_start_tls {
        out.extend_from_slice(b" STARTTLS");
    }
    if !now.secured && !disabled {
        out.extend_from_slice(b" LOGINDISABLED");
    }
    out.extend_from_slice(b" CAN-SUBMIT");
    out.extend_from_slice(line.get(end..).unwrap_or_default());
    out
}

/// Where the list stands in a line: behind `* CAPABILITY `, or in the code of a status.
fn list(line: &[u8]) -> Option<(usize, usize)> {
    const NAME: &[u8] = b"CAPABILITY ";
    let begins = |at: usize| {
        let end = at.checked_add(NAME.len())?;
        line.get(at..end).is_some_and(|name| name.eq_ignore_ascii_case(NAME)).then_some(end)
    };
    let until = |start: usize, stop: fn(&u8) -> bool| {
        let rest = line.get(start..)?;
        start.checked_add(rest.iter().position(stop).unwrap_or(rest.len()))
    };
    if line.starts_with(b"* ")
        && let Some(start) = begins(2)
    {
        return Some((start, until(start, |octet| matches!(octet, b'\r' | b'\n'))?));
    }
    // `tag SP status SP "["`
    let first = memchr::memchr(b' ', line)?.checked_add(1)?;
    let second = memchr::memchr(b' ', line.get(first..)?)?.checked_add(first)?.checked_add(1)?;
    if line.get(second) != Some(&b'[') {
        return None;
    }
    let start = begins(second.checked_add(1)?)?;
    let end = until(start, |octet| *octet == b']')?;
    (end < line.len()).then_some((start, end))
}

/// Does a capability of the server's hold for clients of the proxy too?
fn stays(word: &[u8], now: Situation) -> bool {
    let word = word.to_ascii_uppercase();
    let mechanism = word.strip_prefix(b"AUTH=");
    if let Some(name) = mechanism {
        return now.secured && passes(name);
    }
    // What it compresses or encrypts could not be read, and SUBMIT is ours in its plain form alone.
    let ours = [&b"STARTTLS"[..], b"CAN-SUBMIT", b"SUBMIT=EXT"];
    !ours.contains(&word.as_slice()) && !word.starts_with(b"COMPRESS=")
}

/// Can a login by this mechanism go through the proxy? Not one that is bound to the connection, and not
/// one that may put on a layer of its own.
pub(super) fn passes(mechanism: &[u8]) -> bool {
    let layered: [&[u8]; 6] =
        [b"GSSAPI", b"GSS-SPNEGO", b"DIGEST-MD5", b"EXTERNAL", b"KERBEROS_V4", b"KERBEROS_V5"];
    !(mechanism.ends_with(b"-PLUS") || layered.contains(&mechanism))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECURED: Situation = Situation { secured: true, may_start_tls: false };

    fn told(line: &str, now: Situation) -> String {
        String::from_utf8(rewrite(line.into(), now)).unwrap()
    }

    #[test]
    fn what_could_not_be_seen_through_goes_and_one_word_comes() {
        let line = "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=SCRAM-SHA-256-PLUS auth=gssapi \
            AUTH=DIGEST-MD5 AUTH=EXTERNAL AUTH=SCRAM-SHA-256 COMPRESS=DEFLATE CAN-SUBMIT SUBMIT=EXT \
            URLAUTH=BINARY\r\n";
        let expected =
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=SCRAM-SHA-256 URLAUTH=BINARY CAN-SUBMIT\r\n";
        assert_eq!(told(line, SECURED), expected);
        assert_eq!(
            told("a ok [capability X] in\r\n", SECURED),
            "a ok [capability X CAN-SUBMIT] in\r\n"
        );
    }

    #[test]
    fn where_somebody_may_listen_nobody_is_invited_to_log_in() {
        let open = Situation { secured: false, may_start_tls: true };
        let expected = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED CAN-SUBMIT] x\r\n";
        assert_eq!(told("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] x\r\n", open), expected);
        assert_eq!(
            told("* CAPABILITY LOGINDISABLED\r\n", open),
            "* CAPABILITY LOGINDISABLED STARTTLS CAN-SUBMIT\r\n"
        );
        let here = Situation { secured: true, may_start_tls: true };
        assert_eq!(
            told("* CAPABILITY AUTH=PLAIN\r\n", here),
            "* CAPABILITY AUTH=PLAIN STARTTLS CAN-SUBMIT\r\n"
        );
    }

    #[test]
    fn all_other_lines_stay() {
        for line in [
            "* OK CAPABILITY X\r\n",
            "* OK [X CAPABILITY Y] z\r\n",
            "* OK [CAPABILITY X\r\n",
            "a OK done\r\n",
            "a OK\r\n",
            "* CAPABILITYX a\r\n",
        ] {
            assert_eq!(told(line, SECURED), line);
        }
    }
}
