//! SCRAM, the server's side (RFC 5802, RFC 7677): a proof instead of a password.
//!
//! One exchange is a value that is told what the client said. It asks nobody: whose name it was is
//! handed out, and the account's credentials are handed in. The proof is tried against the key of
//! the main password, if it has one, and of each device; all are under the account's one salt and
//! iteration count, as only one of each fits the exchange.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Identity, Keyring, Secret, password::prepared};
use crate::store::ScramKeys;

/// Rounds for app passwords: they are random already.
pub const APP_ROUNDS: u32 = 4_096;
/// The most rounds that keys are derived with.
const MOST_ROUNDS: u32 = 1_000_000;
/// Octets of a salt.
pub const SALT: usize = 16;

/// The hash that a mechanism is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn digest(self, data: &[u8]) -> digest::Digest {
        match self {
            Self::Sha1 => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data),
            Self::Sha256 => digest::digest(&digest::SHA256, data),
        }
    }

    /// Octets of its result.
    fn length(self) -> usize {
        self.hmac().tag_len()
    }

    fn sign(self, key: &[u8], data: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.hmac(), key), data)
    }

    /// `StoredKey` and `ServerKey`, one behind the other (RFC 5802 §3).
    fn keys(self, password: &str, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = zeroize::Zeroizing::new(vec![0; self.length()]);
        pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
        let client = self.sign(&salted, b"Client Key");
        let mut keys = self.digest(client.as_ref()).as_ref().to_vec();
        keys.extend_from_slice(self.sign(&salted, b"Server Key").as_ref());
        keys
    }

    fn of(self, keys: &ScramKeys) -> Option<(&[u8], &[u8])> {
        let keys = match self {
            Self::Sha1 => &keys.sha1,
            Self::Sha256 => &keys.sha256,
        };
        let (stored, server) = keys.split_at_checked(self.length())?;
        (server.len() == self.length()).then_some((stored, server))
    }
}

/// A password's keys under an account's salt and rounds. Slow: not for a thread that must not block.
pub fn derive(password: &Secret, salt: &[u8], rounds: u32) -> ScramKeys {
    let rounds = NonZeroU32::new(rounds.min(MOST_ROUNDS)).unwrap_or(NonZeroU32::MIN);
    let password = zeroize::Zeroizing::new(prepared(password.reveal()));
    ScramKeys {
        sha256: Hash::Sha256.keys(&password, salt, rounds),
        sha1: Hash::Sha1.keys(&password, salt, rounds),
    }
}

/// What users that are not there are shown, so that they look like any other.
#[derive(Clone)]
pub struct Nobody {
    /// A secret of this server that outlives restarts: a salt must stay the same.
    pub secret: [u8; 32],
    /// The count most accounts have.
    pub rounds: u32,
}

impl Nobody {
    /// The salt of a name; the same each time, and a stranger's to any other server.
    fn salt(&self, login: &str) -> Vec<u8> {
        let login = prepared(login).to_lowercase();
        let tag = Hash::Sha256.sign(&self.secret, login.as_bytes());
        tag.as_ref().get(..SALT).unwrap_or_default().to_vec()
    }
}

/// What protects the connection, and whether the mechanism makes use of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// No binding is to be had, so none was offered.
    Absent,
    /// One was offered, but the mechanism without it was chosen.
    Offered,
    /// The mechanism with it was chosen; these are its octets (`tls-exporter`, RFC 9266).
    Used([u8; 32]),
}

/// Why an exchange ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("not a SCRAM message")]
    Syntax,
    #[error("channel binding does not match")]
    Binding,
    #[error("authentication failed")]
    Failed,
}

/// What a client begins with.
pub struct ClientFirst {
    /// Whose account it claims.
    pub login: String,
    /// Whom it wants to act for, if it says so.
    pub authzid: Option<String>,
    /// What is repeated in the end: `gs2-header`, and the binding's octets.
    bound: Vec<u8>,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// `client-first-message = gs2-header client-first-message-bare` (RFC 5802 §7)
    pub fn parse(message: &[u8], binding: Binding) -> Result<Self, ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Syntax)?;
        let (flag, rest) = message.split_once(',').ok_or(ScramError::Syntax)?;
        let (authzid, bare) = rest.split_once(',').ok_or(ScramError::Syntax)?;
        let header = format!("{flag},{authzid},");
        let bound = match (flag, binding) {
            ("p=tls-exporter", Binding::Used(octets)) => [header.as_bytes(), &octets].concat(),
            // "y" says that we offered none. If we did, somebody has taken it out (§6).
            ("n", Binding::Absent | Binding::Offered) | ("y", Binding::Absent) => {
                header.into_bytes()
            }
            ("n" | "y", _) => return Err(ScramError::Binding),
            _ if flag.starts_with("p=") => return Err(ScramError::Binding),
            _ => return Err(ScramError::Syntax),
        };
        let authzid = match authzid {
            "" => None,
            text => Some(saslname(text.strip_prefix("a=").ok_or(ScramError::Syntax)?)?),
        };
        // A mandatory extension "m=" would stand before the name: we know none.
        let mut fields = bare.split(',');
        let login = saslname(field(&mut fields, "n=")?)?;
        let nonce = field(&mut fields, "r=")?.to_owned();
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramError::Syntax);
        }
        Ok(Self { login, authzid, bound, bare: bare.to_owned(), nonce })
    }
}

/// An exchange in which the server has shown salt and rounds and waits for the proof.
pub struct Challenged {
    hash: Hash,
    first: ClientFirst,
    server_first: String,
    nonce: String,
    candidates: Vec<(Option<Identity>, ScramKeys)>,
}

impl Challenged {
    /// The answer to the client's first message; `nonce` is our random part, printable and without
    /// commas.
    pub fn new(
        hash: Hash,
        first: ClientFirst,
        credentials: Option<&Keyring>,
        nobody: &Nobody,
        nonce: &str,
    ) -> Self {
        let known = credentials.filter(|known| known.enabled);
        let (salt, rounds) = known.map_or_else(
            || (nobody.salt(&first.login), nobody.rounds),
            |known| (known.salt.clone(), known.iterations),
        );
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={rounds}", BASE64_STANDARD.encode(salt));
        let candidates = candidates(hash, known);
        Self { hash, first, server_first, nonce, candidates }
    }

    /// `server-first-message`
    pub fn message(&self) -> &str {
        &self.server_first
    }

    /// Judges `client-final-message`: who it is, and the server's own proof to be sent.
    pub fn finish(self, message: &[u8]) -> Result<(Identity, String), ScramError> {
        let message = std::str::from_utf8(message).map_err(|_| ScramError::Syntax)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Syntax)?;
        let proof = BASE64_STANDARD.decode(proof).map_err(|_| ScramError::Syntax)?;
        let mut fields = without_proof.split(',');
        let bound = BASE64_STANDARD.decode(field(&mut fields, "c=")?);
        if bound.map_err(|_| ScramError::Syntax)? != self.first.bound {
            return Err(ScramError::Binding);
        }
        if field(&mut fields, "r=")? != self.nonce {
            return Err(ScramError::Failed);
        }
        let signed = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let found = self.candidates.iter().fold(None, |found, (who, keys)| {
            self.server_proof(keys, &proof, signed.as_bytes())
                .and_then(|v| Some(((*who)?, v)))
                .or(found)
        });
        found.ok_or(ScramError::Failed)
    }

    /// The server's proof, if the client's is right for these keys (RFC 5802 §3).
    fn server_proof(&self, keys: &ScramKeys, proof: &[u8], signed: &[u8]) -> Option<String> {
        let (stored, server) = self.hash.of(keys)?;
        let signature = self.hash.sign(stored, signed);
        if proof.len() != signature.as_ref().len() {
            return None;
        }
        let client: Vec<u8> = proof.iter().zip(signature.as_ref()).map(|(p, s)| p ^ s).collect();
        constant_time::verify_slices_are_equal(self.hash.digest(&client).as_ref(), stored).ok()?;
        Some(format!("v={}", BASE64_STANDARD.encode(self.hash.sign(server, signed))))
    }
}

/// All that the proof may be made with; for nobody, keys that no proof fits, for the work's sake.
fn candidates(hash: Hash, known: Option<&Keyring>) -> Vec<(Option<Identity>, ScramKeys)> {
    let of = |known: &Keyring| {
        let account = known.account;
        let main =
            known.scram.iter().map(move |keys| (Identity { account, device: None }, keys.clone()));
        let devices = known.devices.iter().map(move |device| {
            (Identity { account, device: Some(device.device) }, device.scram.clone())
        });
        main.chain(devices)
            .filter(|(_, keys)| hash.of(keys).is_some())
            .map(|(who, keys)| (Some(who), keys))
            .collect::<Vec<_>>()
    };
    let found = known.map(of).unwrap_or_default();
    if found.is_empty() {
        return vec![(None, ScramKeys { sha256: vec![0; 64], sha1: vec![0; 40] })];
    }
    found
}

fn field<'a>(
    fields: &mut impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<&'a str, ScramError> {
    fields.next().and_then(|field| field.strip_prefix(name)).ok_or(ScramError::Syntax)
}

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")` (RFC 5802 §7)
fn saslname(text: &str) -> Result<String, ScramError> {
    let mut pieces = text.split('=');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (sign, rest) = match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Syntax),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains('\0') { Err(ScramError::Syntax) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::keyring::DeviceKeys,
        ids::{AccountId, DeviceId},
    };

    const NOBODY: Nobody = Nobody { secret: [9; 32], rounds: APP_ROUNDS };

    fn user(password: &str, salt: &[u8]) -> Keyring {
        let password = Secret::new(password.to_owned());
        Keyring {
            account: AccountId(1),
            enabled: true,
            password: None,
            salt: salt.to_owned(),
            iterations: APP_ROUNDS,
            scram: Some(derive(&password, salt, APP_ROUNDS)),
            devices: Vec::new(),
        }
    }

    /// A client that knows the password.
    fn client_final(hash: Hash, password: &str, challenged: &Challenged, bound: &[u8]) -> String {
        let fields: Vec<_> = challenged.message().split(',').collect();
        let salt = BASE64_STANDARD.decode(fields[1].strip_prefix("s=").unwrap()).unwrap();
        let rounds: NonZeroU32 = fields[2].strip_prefix("i=").unwrap().parse().unwrap();
        let algorithm = match hash {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; hash.length()];
        pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);
        let key = hash.sign(&salted, b"Client Key");
        let without = format!("c={},{}", BASE64_STANDARD.encode(bound), fields[0]);
        let signed = format!("{},{},{without}", challenged.first.bare, challenged.message());
        let stored = hash.digest(key.as_ref());
        let signature = hash.sign(stored.as_ref(), signed.as_bytes());
        let proof: Vec<u8> =
            key.as_ref().iter().zip(signature.as_ref()).map(|(k, s)| k ^ s).collect();
        format!("{without},p={}", BASE64_STANDARD.encode(proof))
    }

    fn challenged(first: &str, binding: Binding, known: Option<&Keyring>) -> Challenged {
        let first = ClientFirst::parse(first.as_bytes(), binding).unwrap();
        Challenged::new(Hash::Sha256, first, known, &NOBODY, "server")
    }

    #[test]
    fn the_example_of_rfc_7677_section_3() {
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let first = ClientFirst::parse(first, Binding::Absent).unwrap();
        assert_eq!(first.login, "user");
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let known = user("pencil", &salt);
        let challenged = Challenged::new(Hash::Sha256, first, Some(&known), &NOBODY, nonce);
        assert_eq!(
            challenged.message(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (who, proof) = challenged.finish(last.as_bytes()).unwrap();
        assert_eq!(who, Identity { account: AccountId(1), device: None });
        assert_eq!(proof, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_example_of_rfc_5802_section_5() {
        let salt = BASE64_STANDARD.decode("QSXCR+Q6sek8bf92").unwrap();
        let first = ClientFirst::parse(b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", Binding::Absent);
        let (known, nonce) = (user("pencil", &salt), "3rfcNHYJY1ZVvWVs7j");
        let challenged = Challenged::new(Hash::Sha1, first.unwrap(), Some(&known), &NOBODY, nonce);
        let last = "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                    p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
        let (_, proof) = challenged.finish(last.as_bytes()).unwrap();
        assert_eq!(proof, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    }

    #[test]
    fn each_device_is_recognised_by_its_own_proof() {
        let mut known = user("main", b"salt");
        known.devices = ["phone", "tablet"]
            .iter()
            .zip(1..)
            .map(|(password, id)| DeviceKeys {
                device: DeviceId(id),
                secret: [0; 32],
                scram: derive(&Secret::new((*password).to_owned()), b"salt", APP_ROUNDS),
            })
            .collect();
        for (password, device) in
            [("main", None), ("phone", Some(DeviceId(1))), ("tablet", Some(DeviceId(2)))]
        {
            let challenged = challenged("n,,n=u,r=x", Binding::Absent, Some(&known));
            let last = client_final(Hash::Sha256, password, &challenged, b"n,,");
            let (who, _) = challenged.finish(last.as_bytes()).unwrap();
            assert_eq!(who.device, device);
        }
        let challenged = challenged("n,,n=u,r=x", Binding::Absent, Some(&known));
        let last = client_final(Hash::Sha256, "wrong", &challenged, b"n,,");
        assert_eq!(challenged.finish(last.as_bytes()).unwrap_err(), ScramError::Failed);
    }

    #[test]
    fn nobody_looks_like_somebody_with_one_salt_for_ever() {
        let one = challenged("n,,n=Bob@x,r=x", Binding::Absent, None);
        let two = challenged("n,,n=bob@x,r=x", Binding::Absent, None);
        assert_eq!(one.message(), two.message());
        assert!(one.message().ends_with(",i=4096"));
        assert_ne!(one.message(), challenged("n,,n=eve@x,r=x", Binding::Absent, None).message());
        let last = client_final(Hash::Sha256, "guess", &one, b"n,,");
        assert_eq!(one.finish(last.as_bytes()).unwrap_err(), ScramError::Failed);
        let mut disabled = user("pencil", b"salt");
        disabled.enabled = false;
        let gone = challenged("n,,n=bob@x,r=x", Binding::Absent, Some(&disabled));
        assert_eq!(gone.message(), two.message());
    }

    #[test]
    fn a_binding_must_be_the_connections_own() {
        let (known, ours) = (user("pencil", b"salt"), [5; 32]);
        let header = b"p=tls-exporter,,";
        for (theirs, result) in [(ours, Ok(())), ([6; 32], Err(ScramError::Binding))] {
            let first = "p=tls-exporter,,n=u,r=x";
            let challenged = challenged(first, Binding::Used(ours), Some(&known));
            let bound = [&header[..], &theirs].concat();
            let last = client_final(Hash::Sha256, "pencil", &challenged, &bound);
            assert_eq!(challenged.finish(last.as_bytes()).map(|_| ()), result);
        }
    }

    #[test]
    fn a_downgrade_and_a_binding_of_another_kind_are_refused() {
        let used = Binding::Used([0; 32]);
        for (first, binding) in [
            ("y,,n=u,r=x", Binding::Offered),
            ("p=tls-exporter,,n=u,r=x", Binding::Offered),
            ("p=tls-exporter,,n=u,r=x", Binding::Absent),
            ("p=tls-unique,,n=u,r=x", used),
            ("n,,n=u,r=x", used),
            ("y,,n=u,r=x", used),
        ] {
            let parsed = ClientFirst::parse(first.as_bytes(), binding);
            assert_eq!(parsed.err(), Some(ScramError::Binding), "{first}");
        }
        assert!(ClientFirst::parse(b"y,,n=u,r=x", Binding::Absent).is_ok());
        assert!(ClientFirst::parse(b"n,,n=u,r=x", Binding::Offered).is_ok());
    }

    #[test]
    fn names_hold_commas_and_equal_signs_and_bad_messages_are_refused() {
        let first = b"n,a=who=2Cever,n==3Du=2Cv,r=x";
        let first = ClientFirst::parse(first, Binding::Absent).unwrap();
        assert_eq!((first.login.as_str(), first.authzid.as_deref()), ("=u,v", Some("who,ever")));
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=u",
            "n,,n=,r=x",
            "n,,n=u,r=",
            "n,,m=x,n=u,r=x",
            "n,b=x,n=u,r=x",
            "n,,n=u=4A,r=x",
            "q,,n=u,r=x",
            "n,,n=u,r=a b",
        ] {
            let parsed = ClientFirst::parse(bad.as_bytes(), Binding::Absent);
            assert_eq!(parsed.err(), Some(ScramError::Syntax), "{bad}");
        }
    }
}
