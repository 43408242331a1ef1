//! One SASL exchange (RFC 4422), whatever door it comes by.
//!
//! The exchange is told what the client sends and says what to do next. It never waits: where a
//! password is to be verified or an account looked up, it says so. Base64, the client's wish to
//! stop and the length of lines are the door's; no mechanism here takes more than three messages.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    Identity, Keyring, Secret,
    password::{prepared, random},
    scram::{Binding, Challenged, ClientFirst, Hash, Nobody, ScramError},
};

/// What we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    ScramSha256Plus,
    ScramSha256,
    ScramSha1,
    Plain,
    Login,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 5] =
        [Self::ScramSha256Plus, Self::ScramSha256, Self::ScramSha1, Self::Plain, Self::Login];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanism of a name in any case.
    pub fn named(name: &[u8]) -> Option<Self> {
        let same = |known: &Self| known.name().as_bytes().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(same)
    }
}

/// A name and a password, to be verified.
pub struct Plain {
    pub login: String,
    pub password: Secret,
}

/// What to do next.
pub enum Step {
    /// Send this, and wait for the client's answer.
    Challenge(Vec<u8>),
    /// See if this is right. The exchange is over.
    Verify(Plain),
    /// Look up this login name, then go on with [`Sasl::found`].
    Find(String),
    /// This is who it is. The exchange is over.
    Success(Identity),
    /// It has failed. The exchange is over.
    Failed(Fault),
}

/// Why an exchange has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not what the mechanism asks for.
    #[error("malformed authentication data")]
    Syntax,
    /// Not offered on this connection.
    #[error("mechanism not available")]
    Mechanism,
    /// The binding to TLS does not match.
    #[error("channel binding does not match")]
    Binding,
    /// Nobody acts for another.
    #[error("cannot act for another user")]
    Authorization,
    /// The proof is wrong, whatever the reason.
    #[error("authentication failed")]
    Credentials,
    /// Ours.
    #[error("temporary failure")]
    Internal,
}

impl From<ScramError> for Fault {
    fn from(error: ScramError) -> Self {
        match error {
            ScramError::Syntax => Self::Syntax,
            ScramError::Binding => Self::Binding,
            ScramError::Failed => Self::Credentials,
        }
    }
}

enum State {
    PlainMessage,
    LoginName,
    LoginPassword(String),
    ScramFirst(Hash, Binding),
    /// The account is being looked up.
    ScramFind(Hash, Box<ClientFirst>),
    ScramFinal(Box<Challenged>),
    /// Our proof was sent; the client has nothing to add.
    ScramProven(Identity),
    Over,
}

/// An exchange that goes on.
pub struct Sasl {
    state: State,
}

impl Sasl {
    /// Begins with a mechanism and the octets that both ends of TLS know, if there are any; then
    /// with the client's initial response (RFC 4422 §4.3.1), or the question for it.
    pub fn start(
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        binding: Option<[u8; 32]>,
    ) -> (Self, Step) {
        let offered = if binding.is_some() { Binding::Offered } else { Binding::Absent };
        let (state, question) = match (mechanism, binding) {
            (Mechanism::Plain, _) => (State::PlainMessage, ""),
            (Mechanism::Login, _) => (State::LoginName, "Username:"),
            (Mechanism::ScramSha1, _) => (State::ScramFirst(Hash::Sha1, offered), ""),
            (Mechanism::ScramSha256, _) => (State::ScramFirst(Hash::Sha256, offered), ""),
            (Mechanism::ScramSha256Plus, Some(octets)) => {
                (State::ScramFirst(Hash::Sha256, Binding::Used(octets)), "")
            }
            (Mechanism::ScramSha256Plus, None) => {
                return (Self { state: State::Over }, Step::Failed(Fault::Binding));
            }
        };
        let mut exchange = Self { state };
        let step = match initial {
            Some(initial) => exchange.step(initial),
            None => Step::Challenge(question.as_bytes().to_vec()),
        };
        (exchange, step)
    }

    /// Goes on with what the client answered.
    pub fn step(&mut self, message: &[u8]) -> Step {
        self.advance(message).unwrap_or_else(|fault| {
            self.state = State::Over;
            Step::Failed(fault)
        })
    }

    /// Will the client's next message be judged here, as a proof?
    pub fn judges_next(&self) -> bool {
        matches!(self.state, State::ScramFinal(_))
    }

    /// Goes on after [`Step::Find`] with what was found. `nobody` is shown if it was nothing.
    pub fn found(&mut self, credentials: Option<&Keyring>, nobody: &Nobody) -> Step {
        let State::ScramFind(hash, first) = std::mem::replace(&mut self.state, State::Over) else {
            return Step::Failed(Fault::Internal);
        };
        let Ok(nonce) = random::<18>() else { return Step::Failed(Fault::Internal) };
        let nonce = BASE64_STANDARD.encode(nonce);
        let challenged = Challenged::new(hash, *first, credentials, nobody, &nonce);
        let message = challenged.message().as_bytes().to_vec();
        self.state = State::ScramFinal(Box::new(challenged));
        Step::Challenge(message)
    }

    fn advance(&mut self, message: &[u8]) -> Result<Step, Fault> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::PlainMessage => plain(message).map(Step::Verify),
            State::LoginName => {
                self.state = State::LoginPassword(text(message)?);
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword(login) => {
                Ok(Step::Verify(Plain { login, password: Secret::new(text(message)?) }))
            }
            State::ScramFirst(hash, binding) => {
                let first = ClientFirst::parse(message, binding)?;
                acts_for_itself(first.authzid.as_deref().unwrap_or_default(), &first.login)?;
                let login = first.login.clone();
                self.state = State::ScramFind(hash, Box::new(first));
                Ok(Step::Find(login))
            }
            State::ScramFinal(challenged) => {
                let (who, proof) = challenged.finish(message)?;
                self.state = State::ScramProven(who);
                Ok(Step::Challenge(proof.into_bytes()))
            }
            State::ScramProven(who) if message.is_empty() => Ok(Step::Success(who)),
            State::ScramProven(_) => Err(Fault::Syntax),
            State::ScramFind(..) | State::Over => Err(Fault::Internal),
        }
    }
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2)
fn plain(message: &[u8]) -> Result<Plain, Fault> {
    let message = std::str::from_utf8(message).map_err(|_| Fault::Syntax)?;
    let mut fields = message.split('\0');
    let (Some(authzid), Some(login), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Fault::Syntax);
    };
    if login.is_empty() || password.is_empty() {
        return Err(Fault::Syntax);
    }
    acts_for_itself(authzid, login)?;
    Ok(Plain { login: login.to_owned(), password: Secret::new(password.to_owned()) })
}

fn text(message: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(message).map_err(|_| Fault::Syntax)?;
    if text.is_empty() || text.contains('\0') { Err(Fault::Syntax) } else { Ok(text.to_owned()) }
}

/// Nobody may act for another, but may say that it is himself.
pub(super) fn acts_for_itself(authzid: &str, login: &str) -> Result<(), Fault> {
    let same = || prepared(authzid).to_lowercase() == prepared(login).to_lowercase();
    if authzid.is_empty() || same() { Ok(()) } else { Err(Fault::Authorization) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(step: &Step) -> Option<Fault> {
        if let Step::Failed(fault) = step { Some(*fault) } else { None }
    }

    fn challenge(step: Step) -> String {
        let Step::Challenge(text) = step else { panic!("no challenge") };
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn plain_comes_at_once_or_when_asked_for() {
        let message = b"\0tim\0tanstaaftanstaaf";
        let (_, at_once) = Sasl::start(Mechanism::Plain, Some(message), None);
        let (mut exchange, asked) = Sasl::start(Mechanism::Plain, None, None);
        assert_eq!(challenge(asked), "");
        for step in [at_once, exchange.step(message)] {
            let Step::Verify(plain) = step else { panic!("nothing to verify") };
            assert_eq!(plain.login, "tim");
            assert_eq!(plain.password.reveal(), "tanstaaftanstaaf");
        }
    }

    #[test]
    fn nobody_acts_for_another() {
        let start = |text: &str| Sasl::start(Mechanism::Plain, Some(text.as_bytes()), None).1;
        assert!(matches!(start("Tim@X\0tim@x\0secret"), Step::Verify(_)));
        assert_eq!(fault(&start("Ursel\0Kurt\0xipj3plmq")), Some(Fault::Authorization));
        let scram = b"n,a=ursel,n=kurt,r=x";
        let (_, step) = Sasl::start(Mechanism::ScramSha256, Some(scram), None);
        assert_eq!(fault(&step), Some(Fault::Authorization));
    }

    #[test]
    fn login_asks_twice() {
        let (mut exchange, step) = Sasl::start(Mechanism::Login, None, None);
        assert_eq!(challenge(step), "Username:");
        assert_eq!(challenge(exchange.step(b"tim")), "Password:");
        let Step::Verify(plain) = exchange.step(b"secret") else { panic!("no end") };
        assert_eq!((plain.login.as_str(), plain.password.reveal()), ("tim", "secret"));
    }

    #[test]
    fn broken_messages_end_the_exchange() {
        for text in ["", "\0", "\0\0", "\0tim\0", "\0\0secret", "tim", "a\0b\0c\0d"] {
            let (mut exchange, _) = Sasl::start(Mechanism::Plain, None, None);
            assert_eq!(fault(&exchange.step(text.as_bytes())), Some(Fault::Syntax), "{text:?}");
            let behind_the_end = exchange.step(b"\0tim\0secret");
            assert_eq!(fault(&behind_the_end), Some(Fault::Internal));
        }
        let (_, latin1) = Sasl::start(Mechanism::Plain, Some(b"\0tim\0\xe4"), None);
        assert_eq!(fault(&latin1), Some(Fault::Syntax));
        let (_, empty) = Sasl::start(Mechanism::Login, Some(b""), None);
        assert_eq!(fault(&empty), Some(Fault::Syntax));
    }

    #[test]
    fn a_binding_is_needed_where_one_is_named() {
        let (_, step) = Sasl::start(Mechanism::ScramSha256Plus, None, None);
        assert_eq!(fault(&step), Some(Fault::Binding));
        let (_, step) = Sasl::start(Mechanism::ScramSha256, Some(b"y,,n=u,r=x"), Some([1; 32]));
        assert_eq!(fault(&step), Some(Fault::Binding));
    }

    #[test]
    fn scram_asks_for_the_account_and_fails_for_nobody() {
        let nobody = Nobody { secret: [1; 32], rounds: 4096 };
        let (mut exchange, step) =
            Sasl::start(Mechanism::ScramSha256, Some(b"n,,n=tim,r=abc"), None);
        assert!(matches!(step, Step::Find(login) if login == "tim"));
        let first = challenge(exchange.found(None, &nobody));
        let nonce = first.split(',').next().unwrap();
        assert!(nonce.starts_with("r=abc") && nonce.len() > 20);
        let proof = BASE64_STANDARD.encode([0; 32]);
        let last = format!("c=biws,{nonce},p={proof}");
        assert_eq!(fault(&exchange.step(last.as_bytes())), Some(Fault::Credentials));
    }

    #[test]
    fn names_are_found_in_any_case() {
        for mechanism in Mechanism::ALL {
            let name = mechanism.name().to_lowercase();
            assert_eq!(Mechanism::named(name.as_bytes()), Some(mechanism));
        }
        assert_eq!(Mechanism::named(b"GSSAPI"), None);
    }
}
