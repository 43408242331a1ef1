//! AUTH: the exchange with a user's client (RFC 4954 §4).
//!
//! Challenges and responses are base64 here and octets in `auth`, which alone knows what they mean.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Reply, Role,
    command::Auth,
    session::{Done, Session},
};
use crate::{
    auth::login::{LoggedIn, Mechanism, Refused, Step},
    metrics::Limit,
};

impl Session {
    /// AUTH, from its command to 235 or a refusal.
    pub(super) async fn auth(&mut self, auth: Auth) -> Done {
        if let Err(fault) = self.exchange(auth).await? {
            self.faults.count();
            self.say(&fault);
        }
        Ok(())
    }

    /// The exchange itself; the reply to what the client did wrong.
    async fn exchange(&mut self, auth: Auth) -> Done<Result<(), Reply>> {
        let mechanism = match self.may_log_in(&auth) {
            Ok(mechanism) => mechanism,
            Err(reply) => return Ok(Err(reply)),
        };
        let initial = match auth.initial.as_deref() {
            None => None,
            Some("=") => Some(Zeroizing::new(Vec::new())),
            Some(text) => match BASE64_STANDARD.decode(text) {
                Ok(octets) => Some(Zeroizing::new(octets)),
                Err(_) => return Ok(Err(not_base64())),
            },
        };
        let mut steps = usize::from(initial.is_some());
        let logins = std::sync::Arc::clone(&self.door.means.logins);
        let mut exchange = logins.exchange(mechanism, self.input.channel_binding());
        let mut octets = initial.as_ref().map_or(0, |octets| octets.len());
        if octets > self.door.limits.auth_exchange {
            return Ok(Err(self.too_long()));
        }
        let initial = initial.as_ref().map(|octets| octets.as_slice());
        let stop = self.entry.stop().clone();
        let visitor = self.visitor();
        let mut step = tokio::select! {
            () = stop.cancelled() => return self.end_by_stop(),
            step = exchange.start(initial, visitor) => step,
        };
        loop {
            let challenge = match step {
                Ok(Step::Challenge(challenge)) => challenge,
                Ok(Step::Done(user)) => {
                    self.logged_in(user)?;
                    return self.flush().await.map(Ok);
                }
                Err(refused) => return self.refuse_login(&refused),
            };
            if steps >= self.door.limits.auth_steps {
                self.door.exceeded(Limit::SaslStepsMax);
                return Ok(Err(Reply::new(500, "5.5.6", "the exchange has too many steps")));
            }
            steps = steps.saturating_add(1);
            let response = match self.ask(&challenge).await? {
                Answer::Response(response) => response,
                Answer::Bad(reply) => return Ok(Err(reply)),
                Answer::Cancel => {
                    self.say(&Reply::new(501, "5.7.0", "cancelled"));
                    return Ok(Ok(()));
                }
            };
            octets = octets.saturating_add(response.len());
            if octets > self.door.limits.auth_exchange {
                return Ok(Err(self.too_long()));
            }
            let visitor = self.visitor();
            step = tokio::select! {
                () = stop.cancelled() => return self.end_by_stop(),
                step = exchange.respond(&response, visitor) => step,
            };
        }
    }

    fn too_long(&self) -> Reply {
        self.door.exceeded(Limit::SaslExchangeMax);
        Reply::new(500, "5.5.6", "the exchange is too long")
    }

    fn may_log_in(&self, auth: &Auth) -> Result<Mechanism, Reply> {
        if self.door.role != Role::Submission {
            return Err(Reply::new(502, "5.5.1", "nobody logs in here"));
        }
        if self.user.is_some() || self.transaction.is_some() {
            return Err(Reply::new(503, "5.5.1", "not now"));
        }
        if !self.input.is_secured() {
            return Err(Reply::new(538, "5.7.11", "say STARTTLS first"));
        }
        if self.client.is_none() {
            return Err(Reply::new(503, "5.5.1", "say EHLO first"));
        }
        match &*auth.mechanism {
            "PLAIN" => Ok(Mechanism::Plain),
            "LOGIN" => Ok(Mechanism::Login),
            "SCRAM-SHA-256" => Ok(Mechanism::ScramSha256),
            "SCRAM-SHA-256-PLUS" if self.situation().binding => Ok(Mechanism::ScramSha256Plus),
            _ => Err(Reply::new(504, "5.5.4", "mechanism not known")),
        }
    }

    /// Sends a challenge and reads the response. What the client sent before it saw the challenge
    /// is no response.
    async fn ask(&mut self, challenge: &[u8]) -> Done<Answer> {
        if self.input.has_spoken() {
            return self.end(&Reply::new(554, "5.5.0", "you must wait for the challenge"));
        }
        self.say(&Reply::plain(334, BASE64_STANDARD.encode(challenge)));
        let Some(line) = self.line(self.door.limits.auth_line).await? else {
            self.door.exceeded(Limit::SmtpAuthLineMax);
            return Ok(Answer::Bad(Reply::new(500, "5.5.6", "the response is too long")));
        };
        let line = Zeroizing::new(line);
        if *line == b"*" {
            return Ok(Answer::Cancel);
        }
        let response = BASE64_STANDARD.decode(&*line).map(Zeroizing::new);
        Ok(response.map_or_else(|_| Answer::Bad(not_base64()), Answer::Response))
    }

    fn logged_in(&mut self, user: LoggedIn) -> Done {
        if let Err(refusal) = self.permit.logged_in(Instant::now()) {
            return self.end(&Reply::new(421, "4.7.0", refusal.to_string()));
        }
        self.entry.login(Some(user.account), user.device);
        self.user = Some(user);
        self.say(&Reply::new(235, "2.7.0", "welcome"));
        Ok(())
    }

    fn refuse_login(&mut self, refused: &Refused) -> Done<Result<(), Reply>> {
        match refused {
            Refused::Wrong => {
                self.say(&Reply::new(535, "5.7.8", "authentication failed"));
                self.failed_logins = self.failed_logins.saturating_add(1);
                if self.failed_logins < self.door.limits.failed_logins {
                    return Ok(Ok(()));
                }
                self.door.exceeded(Limit::AuthFailuresPerConnection);
                self.log_end("too many failed logins");
                self.end(&Reply::new(421, "4.7.0", "too many failed logins"))
            }
            Refused::TooMany => self.end(&Reply::new(421, "4.7.0", "too many failed logins")),
            Refused::Malformed => Ok(Err(Reply::new(501, "5.5.2", "malformed response"))),
            Refused::Internal(error) => {
                tracing::error!(session = %self.entry.id(), %error, "login");
                self.say(&Reply::new(454, "4.7.0", "a failure of ours, try again later"));
                Ok(Ok(()))
            }
        }
    }
}

/// What a client says to a challenge.
enum Answer {
    Response(Zeroizing<Vec<u8>>),
    /// `*` (RFC 4954 §4), which is no fault.
    Cancel,
    /// Nothing that could be one.
    Bad(Reply),
}

fn not_base64() -> Reply {
    Reply::new(501, "5.5.2", "not base64")
}
