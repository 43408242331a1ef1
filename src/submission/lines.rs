//! An envelope as SMTP writes it, line by line: `MAIL FROM:<…>`, then `RCPT TO:<…>` for each recipient,
//! with all parameters that submission understands.
//!
//! A client leaves it with a message that is to be sent, or gives it along.

use super::{answer::Answer, answers::Step};
use crate::{
    delivery::Refusal,
    wire::{
        address::Address,
        envelope::{Body, Envelope, Recipient},
        parameters::{self, Fault, ForwardPath, Mail, Rcpt},
    },
};

/// Octets of a line's argument that are told.
const TOLD: usize = 320;

/// The lines of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    mail: Mail,
    recipients: Vec<Result<Rcpt, BadLine>>,
}

/// A line that is none of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of the envelope: {fault}")]
pub struct BadLine {
    /// Which line, counted from 1.
    pub number: usize,
    /// What it was to say.
    pub step: Step,
    /// What stands behind `FROM:` or `TO:`.
    pub argument: String,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// Its octets are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// It breaks the grammar.
    #[error(transparent)]
    Syntax(#[from] Fault),
    /// Another line should stand here.
    #[error("{0}")]
    Order(&'static str),
    /// There are more recipients than a message may have.
    #[error("too many recipients")]
    TooMany,
    /// The postmaster is meant, and there is none.
    #[error(transparent)]
    Postmaster(Refusal),
}

impl From<&BadLine> for Answer {
    fn from(bad: &BadLine) -> Self {
        match &bad.fault {
            LineFault::NotUtf8 => Self::new(500, "5.5.2", bad.fault.to_string()),
            LineFault::Syntax(fault) => Self::from(fault),
            LineFault::Order(text) => Self::new(503, "5.5.1", *text),
            LineFault::TooMany => Self::new(452, "4.5.3", bad.fault.to_string()),
            LineFault::Postmaster(refusal) => Self::from(*refusal),
        }
    }
}

impl Lines {
    /// Reads the lines of an envelope of at most so many recipients; they end with CRLF or LF, the last
    /// one with nothing too, and empty ones mean nothing.
    ///
    /// # Errors
    /// The first line that can't be read, or the one that is missing.
    pub fn parse(text: &[u8], most: usize) -> Result<Self, BadLine> {
        let lines = Self::parse_any(text, most)?;
        let bad = lines.recipients.iter().find_map(|rcpt| rcpt.as_ref().err());
        match bad {
            Some(bad) => Err(bad.clone()),
            None => Ok(lines),
        }
    }

    /// The same, though a recipient that can't be read, or is one too many, does not spoil the others.
    ///
    /// # Errors
    /// The first line that can't be read when one can't that is no recipient's, or the one that is
    /// missing.
    pub fn parse_any(text: &[u8], most: usize) -> Result<Self, BadLine> {
        let mut recipients = Vec::new();
        let mail = read(text, most, &mut recipients);
        let earlier = || recipients.iter().find_map(|rcpt| rcpt.as_ref().err().cloned());
        let mail = mail.map_err(|bad| earlier().unwrap_or(bad))?;
        Ok(Self { mail, recipients })
    }

    /// The envelope of these lines; `postmaster` is who is meant by `<Postmaster>` alone.
    pub fn envelope(
        self,
        postmaster: impl Fn() -> Result<Address, Refusal>,
    ) -> Result<Envelope, BadLine> {
        let (envelope, bad) = self.envelope_of_good(postmaster);
        match bad.into_iter().next() {
            Some((_, bad)) => Err(bad),
            None => Ok(envelope),
        }
    }

    /// The envelope without those recipients that can't be read or written to, and these with their
    /// places among all.
    pub fn envelope_of_good(
        self,
        postmaster: impl Fn() -> Result<Address, Refusal>,
    ) -> (Envelope, Vec<(usize, BadLine)>) {
        let Self { mail, recipients } = self;
        let mut utf8 = mail.utf8 || mail.reverse_path.address().is_some_and(Address::needs_utf8);
        let (mut good, mut bad) = (Vec::with_capacity(recipients.len()), Vec::new());
        for (at, rcpt) in recipients.into_iter().enumerate() {
            let read = rcpt.and_then(|rcpt| match rcpt.path {
                ForwardPath::Address(address) => Ok((address, rcpt.notify, rcpt.orcpt)),
                ForwardPath::Postmaster => match postmaster() {
                    Ok(address) => Ok((address, rcpt.notify, rcpt.orcpt)),
                    Err(refusal) => Err(BadLine {
                        number: at.saturating_add(2),
                        step: Step::Rcpt,
                        argument: "<Postmaster>".to_owned(),
                        fault: LineFault::Postmaster(refusal),
                    }),
                },
            });
            match read {
                Ok((address, notify, orcpt)) => {
                    utf8 |= address.needs_utf8();
                    good.push(Recipient { address, notify, orcpt });
                }
                Err(line) => bad.push((at, line)),
            }
        }
        let envelope = Envelope {
            reverse_path: mail.reverse_path,
            recipients: good,
            ret: mail.ret,
            envid: mail.envid,
            body: mail.body.unwrap_or(Body::EightBit),
            utf8,
        };
        (envelope, bad)
    }
}

/// Reads all lines; what is no recipient's and can't be read ends it.
fn read(
    text: &[u8],
    most: usize,
    recipients: &mut Vec<Result<Rcpt, BadLine>>,
) -> Result<Mail, BadLine> {
    let (mut mail, mut good, mut number) = (None, 0_usize, 0_usize);
    for line in text.split(|octet| *octet == b'\n') {
        number = number.saturating_add(1);
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        let step = if mail.is_none() { Step::Mail } else { Step::Rcpt };
        let bad =
            |step, fault: LineFault| BadLine { number, step, argument: argument(line), fault };
        let text = str::from_utf8(line).map_err(|_| bad(step, LineFault::NotUtf8))?;
        let arguments = |verb: &str| {
            let (start, rest) = text.split_at_checked(verb.len())?;
            start.eq_ignore_ascii_case(verb).then_some(rest)
        };
        if let Some(arguments) = arguments("MAIL ") {
            if mail.is_some() {
                return Err(bad(Step::Mail, LineFault::Order("one MAIL FROM")));
            }
            let read = parameters::mail(arguments);
            mail = Some(read.map_err(|fault| bad(Step::Mail, fault.into()))?);
        } else if let Some(arguments) = arguments("RCPT ") {
            if mail.is_none() {
                return Err(bad(Step::Mail, LineFault::Order("MAIL FROM first")));
            }
            let read = parameters::rcpt(arguments).map_err(|fault| bad(Step::Rcpt, fault.into()));
            let room =
                (good < most).then_some(()).ok_or_else(|| bad(Step::Rcpt, LineFault::TooMany));
            let rcpt = read.and_then(|rcpt| room.map(|()| rcpt));
            good = good.saturating_add(usize::from(rcpt.is_ok()));
            recipients.push(rcpt);
        } else {
            return Err(bad(step, LineFault::Order("MAIL FROM:<address> or RCPT TO:<address>")));
        }
    }
    let missing = |step, what| BadLine {
        number,
        step,
        argument: String::new(),
        fault: LineFault::Order(what),
    };
    if mail.is_some() && recipients.is_empty() {
        return Err(missing(Step::Rcpt, "no recipients"));
    }
    mail.ok_or_else(|| missing(Step::Mail, "MAIL FROM first"))
}

/// What stands behind the colon, as far as it is told.
fn argument(line: &[u8]) -> String {
    let colon = line.iter().position(|octet| *octet == b':');
    let behind = colon.and_then(|at| line.get(at.saturating_add(1)..)).unwrap_or(line);
    String::from_utf8_lossy(behind.get(..TOLD).unwrap_or(behind)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::envelope::{EnvId, Notify, Orcpt, Ret};

    fn read(text: &str) -> Result<Envelope, BadLine> {
        let postmaster = || Address::parse("postmaster@here.example").map_err(|_| Refusal::Loop);
        Lines::parse(text.as_bytes(), 3)?.envelope(postmaster)
    }

    #[test]
    fn an_envelope_is_read_line_by_line() {
        let text = "MAIL FROM:<a@x> SIZE=100 RET=HDRS ENVID=QQ\r\n\
            rcpt to:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@y\nRCPT TO: <Postmaster> \r\n\r\n";
        let envelope = read(text).unwrap();
        assert_eq!(envelope.reverse_path.to_string(), "a@x");
        assert_eq!(envelope.ret, Some(Ret::Headers));
        assert_eq!(envelope.envid, EnvId::parse("QQ").ok());
        assert_eq!(envelope.body, Body::EightBit);
        let [bob, postmaster] = envelope.recipients.as_slice() else { panic!() };
        assert_eq!(bob.notify, Notify::parse("SUCCESS,DELAY").ok());
        assert_eq!(bob.orcpt, Orcpt::parse("rfc822;c@y").ok());
        assert_eq!(postmaster.address.to_string(), "postmaster@here.example");
        assert!(read("MAIL FROM:<>\r\nRCPT TO:<b@x>").unwrap().reverse_path.is_null());
        assert!(!envelope.utf8 && read("MAIL FROM:<>\nRCPT TO:<ä@x>").unwrap().utf8);
        let body = read("MAIL FROM:<> BODY=BINARYMIME\nRCPT TO:<b@x>").unwrap().body;
        assert_eq!(body, Body::Binary);
    }

    #[test]
    fn the_line_that_is_wrong_is_named() {
        for (text, number, step, argument) in [
            ("", 1, Step::Mail, ""),
            ("RCPT TO:<b@x>", 1, Step::Mail, "<b@x>"),
            ("MAIL FROM:<a@x>\r\n", 2, Step::Rcpt, ""),
            ("MAIL FROM:<a@x>\nMAIL FROM:<b@x>", 2, Step::Mail, "<b@x>"),
            ("MAIL FROM:a@x\nRCPT TO:<b@x>", 1, Step::Mail, "a@x"),
            ("\nMAIL FROM:<a@x>\nRCPT TO:<b@x>\nRCPT TO:<c> X=y", 4, Step::Rcpt, "<c> X=y"),
            ("MAIL FROM:<a@x>\nDATA", 2, Step::Rcpt, "DATA"),
            (
                "MAIL FROM:<a@x>\nRCPT TO:<a@x>\nRCPT TO:<b@x>\nRCPT TO:<c@x>\nRCPT TO:<d@x>",
                5,
                Step::Rcpt,
                "<d@x>",
            ),
        ] {
            let bad = read(text).unwrap_err();
            assert_eq!(
                (bad.number, bad.step, bad.argument.as_str()),
                (number, step, argument),
                "{text}"
            );
            assert!(Answer::from(&bad).is_refusal());
        }
        let bad = Lines::parse(b"MAIL FROM:<a@x>\nRCPT TO:<\xff@x>", 9).unwrap_err();
        assert_eq!((bad.number, bad.fault), (2, LineFault::NotUtf8));
        let none = Lines::parse(b"MAIL FROM:<>\nRCPT TO:<Postmaster>", 9).unwrap();
        let bad = none.envelope(|| Err(Refusal::NoPostmaster)).unwrap_err();
        assert_eq!(bad.fault, LineFault::Postmaster(Refusal::NoPostmaster));
    }

    #[test]
    fn a_recipient_that_cannot_be_read_need_not_spoil_the_others() {
        let text = b"MAIL FROM:<a@x>\nRCPT TO:<b>\nRCPT TO:<b@x>\nRCPT TO:<c@x> X=y\nRCPT TO:<d@x>";
        let lines = Lines::parse_any(text, 1).unwrap();
        let (envelope, bad) = lines.envelope_of_good(|| Err(Refusal::NoPostmaster));
        assert_eq!(envelope.recipients.len(), 1);
        let bad: Vec<_> = bad.iter().map(|(at, bad)| (*at, bad.argument.as_str())).collect();
        assert_eq!(bad, [(0, "<b>"), (2, "<c@x> X=y"), (3, "<d@x>")]);
        let spoilt = Lines::parse_any(b"MAIL FROM:<a@x>\nRCPT TO:<b>\nDATA", 9).unwrap_err();
        assert_eq!(spoilt.number, 2);
    }

    proptest! {
        #[test]
        fn whatever_the_octets_nothing_breaks(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Lines::parse(&octets, 5);
        }

        #[test]
        fn whatever_the_lines_faults_name_one_of_them(
            lines in proptest::collection::vec(
                "(MAIL FROM:|RCPT TO:|mail from: |x)(<[a-c@\"ä ]{0,6}>|<a@b>)( [A-Z]{1,8}(=[a-z+;0-9]{0,4})?){0,2}",
                0..6,
            ),
            end in proptest::sample::select(vec!["\n", "\r\n"]),
        ) {
            let text = lines.join(end);
            match Lines::parse(text.as_bytes(), 3) {
                Ok(read) => prop_assert!((1..=3).contains(&read.recipients.len())),
                Err(bad) => prop_assert!((1..=lines.len().max(1)).contains(&bad.number)),
            }
        }

        #[test]
        fn printed_envelopes_read_back(
            from in proptest::option::of("[a-z]{1,8}@[a-z]{1,8}"),
            recipients in proptest::collection::vec(
                ("[a-zä+]{1,8}@[a-z]{1,8}", proptest::option::of(any::<(bool, bool, bool)>())),
                1..4,
            ),
            ret in proptest::option::of(any::<bool>()),
            body in proptest::sample::select(vec![Body::SevenBit, Body::EightBit, Body::Binary]),
            utf8: bool,
        ) {
            let mut text = format!("MAIL FROM:<{}> BODY={}", from.clone().unwrap_or_default(), body.as_str());
            let ret = ret.map(|full| if full { Ret::Full } else { Ret::Headers });
            text.extend(ret.map(|ret| format!(" RET={}", ret.as_str())));
            text.push_str(if utf8 { " SMTPUTF8" } else { "" });
            let mut expected = Envelope { ret, body, utf8, ..Envelope::default() };
            expected.reverse_path.0 = from.map(|from| Address::parse(&from).unwrap());
            for (address, notify) in recipients {
                let notify = notify.map(|(success, failure, delay)| Notify { success, failure, delay });
                text.push_str(&format!("\r\nRCPT TO:<{address}>"));
                text.extend(notify.map(|notify| format!(" NOTIFY={notify}")));
                let address = Address::parse(&address).unwrap();
                expected.utf8 |= address.needs_utf8();
                expected.recipients.push(Recipient { address, notify, orcpt: None });
            }
            prop_assert_eq!(read(&text), Ok(expected));
        }
    }
}
