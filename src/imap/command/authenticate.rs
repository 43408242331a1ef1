//! AUTHENTICATE (RFC 9051 §6.2.2), with an initial response (RFC 4959).

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    Command, Parsed, Running,
    login::{need_privacy, refusal, visitor, welcome},
};
use crate::{
    auth::login::{Mechanism, Refused, Step},
    imap::{
        error::Error,
        reply::{Code, Replies},
        request::connection,
        session::Session,
    },
    metrics::Limit,
    net::{BadLine, InputError},
    wire::{Cursor, Syntax},
};

struct Authenticate {
    /// None for one that is not spoken here.
    mechanism: Option<Mechanism>,
    initial: Option<Zeroizing<Vec<u8>>>,
}

/// `"AUTHENTICATE" SP auth-type [SP (base64 / "=")]`
pub fn parse(args: &mut Cursor<'_>) -> Parsed {
    args.space()?;
    let mechanism = match args.atom()?.to_ascii_uppercase().as_str() {
        "PLAIN" => Some(Mechanism::Plain),
        "SCRAM-SHA-256" => Some(Mechanism::ScramSha256),
        "SCRAM-SHA-256-PLUS" => Some(Mechanism::ScramSha256Plus),
        _ => None,
    };
    let mut initial = None;
    if args.take(b' ') && !args.is_empty() {
        initial = Some(match args.astring()?.as_ref() {
            b"=" => Zeroizing::new(Vec::new()),
            base64 => decode(base64)?,
        });
    }
    args.end()?;
    Ok(Box::new(Authenticate { mechanism, initial }))
}

fn decode(base64: &[u8]) -> Result<Zeroizing<Vec<u8>>, Syntax> {
    STANDARD.decode(base64).map(Zeroizing::new).map_err(|_| Syntax::Expected("base64"))
}

impl Command for Authenticate {
    fn run<'a>(self: Box<Self>, session: &'a mut Session, out: &'a mut Replies) -> Running<'a> {
        Box::pin(async move {
            need_privacy(session)?;
            let unknown = || Error::no(Code::Cannot, "no such mechanism");
            let mechanism = self.mechanism.ok_or_else(unknown)?;
            let binding = session.input()?.channel_binding();
            if mechanism == Mechanism::ScramSha256Plus && binding.is_none() {
                return Err(unknown());
            }
            let (door, limits) = (session.door.clone(), session.door.limits);
            let mut exchange = door.logins.exchange(mechanism, binding);
            let mut octets = self.initial.as_ref().map_or(0, |initial| initial.len());
            let initial = self.initial.as_ref().map(|initial| initial.as_slice());
            let mut step = exchange.start(initial, visitor(session)?).await;
            let mut steps = usize::from(initial.is_some());
            loop {
                let challenge = match step {
                    Ok(Step::Challenge(challenge)) => challenge,
                    Ok(Step::Done(who)) => return welcome(session, who),
                    Err(refused) => return Err(refusal(session, refused)),
                };
                if steps >= limits.sasl_steps {
                    door.metrics.exceeded(Limit::SaslStepsMax);
                    break;
                }
                steps += 1;
                out.go_on(&STANDARD.encode(challenge));
                out.flush().await?;
                let response = response(session).await?;
                octets += response.len();
                if octets > limits.sasl {
                    door.metrics.exceeded(Limit::SaslExchangeMax);
                    break;
                }
                step = exchange.respond(&response, visitor(session)?).await;
            }
            Err(refusal(session, Refused::Malformed))
        })
    }
}

/// The client's line behind a challenge: base64, or `*` to give up.
async fn response(session: &mut Session) -> Result<Zeroizing<Vec<u8>>, Error> {
    let max = session.door.limits.sasl;
    let line = match session.input()?.line(max).await {
        Ok(Some(line)) => Zeroizing::new(line),
        Ok(None) => return Err(Error::Connection(std::io::ErrorKind::UnexpectedEof.into())),
        Err(InputError::Line(BadLine::TooLong)) => return Err(Error::unfit("response too long")),
        Err(error) => return Err(connection(error)),
    };
    if line.as_slice() == b"*" {
        return Err(Error::unfit("given up"));
    }
    Ok(decode(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_response_is_base64_or_empty() {
        for good in [" PLAIN", " plain =", " PLAIN AGEAYg==", " XYZZY"] {
            assert!(parse(&mut Cursor::new(good.as_bytes())).is_ok(), "{good}");
        }
        for bad in ["", " PLAIN ?", " PLAIN AGEAYg== x", " PLAIN AGEAYg"] {
            assert!(parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
