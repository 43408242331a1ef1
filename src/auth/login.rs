//! Logins at every door: accounts and devices looked up, passwords and proofs judged, failures
//! counted and answered alike.
//!
//! A door decodes what its client sends and passes it to an [`Exchange`], or hands in name and
//! password as they are by [`Logins::login`]; then it says the outcome in its own words. Who failed
//! too often waits here before anything is judged, so that nobody learns the outcome sooner by
//! hanging up. An unknown user costs the same work and gives the same answer as a wrong password. Each
//! login and each refusal is one line of the log.

use std::{
    io,
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};
use zeroize::Zeroizing;

pub use super::sasl::Mechanism;
use super::{
    Identity, Keyring, Passwords, Secret, Throttle, ThrottleLimits, Verdict,
    fresh::ROUNDS,
    password::{PasswordError, random},
    sasl::{self, Fault, Sasl, acts_for_itself},
    scram::Nobody,
    throttle,
};
use crate::{
    events::{Door, Origin},
    ids::{AccountId, DeviceId, Neighbour},
    metrics::{Count, Metrics},
    store::{self, Account, KnownAddress, Store},
    wire::address::Address,
};

/// The setting that makes salts for users that are not there; it must outlive restarts.
const NOBODY: &str = "auth.nobody";
/// A login of this account, by this device, from there.
type Noted = (AccountId, Option<DeviceId>, Neighbour);
/// Clients that wait for having failed, at most; beyond that they are sent away.
const MOST_WAITING: usize = 1_000;
/// How often a login is written down.
const NOTED: Duration = Duration::from_hours(1);
/// Accounts, devices and addresses of which it is remembered that a login was written down.
const MOST_NOTED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Which account.
    pub account: AccountId,
    /// The device whose app password it was; None for the main password.
    pub device: Option<DeviceId>,
    /// The account's address as it is shown.
    pub address: String,
    /// May run the server?
    pub owner: bool,
}

/// A name and a password, as they came.
#[derive(Clone)]
pub struct Credentials {
    /// Whom to act as; empty for oneself.
    pub authorization: String,
    /// The login name: a full address.
    pub name: String,
    /// The password.
    pub password: Zeroizing<String>,
}

/// Who asks, from where, when.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The socket's peer address.
    pub ip: IpAddr,
    /// Door, session and wall clock.
    pub origin: Origin,
    /// The clock that delays are measured with.
    pub now: Instant,
}

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Name, password or proof is wrong, or the account is closed: one answer for all of these.
    #[error("authentication failed")]
    Wrong,
    /// Too many failures from there: the connection is ended.
    #[error("too many failed logins")]
    TooMany,
    /// What the client sent breaks the mechanism's grammar.
    #[error("malformed response")]
    Malformed,
    /// Our own failure; the cause goes to the log.
    #[error("internal error")]
    Internal(#[from] store::Error),
}

impl From<PasswordError> for Refused {
    fn from(error: PasswordError) -> Self {
        Self::Internal(io::Error::other(error).into())
    }
}

/// What follows in an exchange.
#[derive(Debug)]
pub enum Step {
    /// This is sent (in base64), and the client answers.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done(LoggedIn),
}

/// An attempt to log in, as it is logged.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    /// Under which name.
    name: &'a str,
    /// How.
    mechanism: Mechanism,
    visitor: Visitor,
}

impl Attempt<'_> {
    /// Characters of a name that are logged: anything may stand there.
    const NAME: usize = 100;

    fn refused(self, why: &str) {
        let Visitor { ip, origin: Origin { door, session, .. }, .. } = self.visitor;
        let name: String = self.name.chars().take(Self::NAME).collect();
        let (session, mechanism) = (session.map(|id| id.0), self.mechanism.name());
        tracing::info!(session, ?door, peer = %ip, mechanism, user = name, why, "login refused");
    }

    fn succeeded(self, user: &LoggedIn) {
        let Visitor { ip, origin: Origin { door, session, .. }, .. } = self.visitor;
        let (session, mechanism) = (session.map(|id| id.0), self.mechanism.name());
        let device = user.device.map(|id| id.0);
        tracing::info!(session, ?door, peer = %ip, mechanism, user = user.address, device, "login");
    }
}

/// The room of logins.
pub struct Logins {
    store: Store,
    passwords: Arc<Passwords>,
    throttle: Mutex<Throttle>,
    nobody: Nobody,
    waiting: Semaphore,
    noted: Mutex<LruCache<Noted, Instant>>,
    metrics: Arc<Metrics>,
}

impl Logins {
    /// Makes the room; at the first start of a store it makes the store's secret for it.
    pub async fn open(
        store: &Store,
        passwords: Arc<Passwords>,
        limits: ThrottleLimits,
        metrics: &Arc<Metrics>,
        now: i64,
    ) -> Result<Self, Refused> {
        let fresh: [u8; 32] = random()?;
        let kept = store.read(|r| r.setting(NOBODY)).await?;
        let secret = if let Some(kept) = kept.and_then(|kept| kept.try_into().ok()) {
            kept
        } else {
            let origin = Origin::new(Door::House, now);
            let job = move |tx: &mut store::Tx<'_>| tx.set_setting(NOBODY, &fresh);
            store.write(origin, job).await?.into_inner();
            fresh
        };
        let mut throttle = Throttle::new(limits);
        for (known, left) in lately(store, now, throttle::KNOWN).await? {
            throttle.know(known.address, known.login, Instant::now().into_std() + left);
        }
        Ok(Self {
            store: store.clone(),
            passwords,
            throttle: Mutex::new(throttle),
            nobody: Nobody { secret, rounds: ROUNDS },
            waiting: Semaphore::new(MOST_WAITING),
            noted: Mutex::new(LruCache::new(MOST_NOTED)),
            metrics: Arc::clone(metrics),
        })
    }

    /// From now on so many failures are taken as mishaps.
    pub fn renew(&self, limits: ThrottleLimits) {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner).renew(limits);
    }

    /// Checks a name and a password. Can be dropped without harm.
    pub async fn login(
        &self,
        credentials: Credentials,
        visitor: Visitor,
    ) -> Result<LoggedIn, Refused> {
        let Credentials { authorization, name, password } = credentials;
        let attempt = Attempt { name: &name, mechanism: Mechanism::Login, visitor };
        if acts_for_itself(&authorization, &name).is_err() {
            return Err(self.failed(attempt));
        }
        self.verify(attempt, &Secret::new(password.to_string())).await
    }

    /// Begins an exchange; `binding` is the connection's channel binding, when it has one.
    pub fn exchange(&self, mechanism: Mechanism, binding: Option<[u8; 32]>) -> Exchange<'_> {
        Exchange {
            logins: self,
            mechanism,
            binding,
            sasl: None,
            name: String::new(),
            account: None,
        }
    }

    async fn verify(&self, attempt: Attempt<'_>, password: &Secret) -> Result<LoggedIn, Refused> {
        self.admit(attempt).await?;
        let found = self.find(attempt.name).await?;
        let keyring = found.as_ref().map(|(_, keyring)| keyring);
        let now = attempt.visitor.now.into_std();
        let identity = self.passwords.verify(keyring, password, now).await?;
        match (identity, found) {
            (Some(identity), Some((account, _))) => Ok(self.welcome(attempt, identity, account)),
            _ => Err(self.failed(attempt)),
        }
    }

    /// Lets somebody try: at once, or after a while, or not at all.
    async fn admit(&self, attempt: Attempt<'_>) -> Result<(), Refused> {
        let Attempt { name, visitor, .. } = attempt;
        let verdict = {
            let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            throttle.verdict(visitor.ip, name, visitor.now.into_std())
        };
        let seat = match verdict {
            Verdict::Go => return Ok(()),
            Verdict::Wait(delay, limit) => {
                self.metrics.exceeded(limit);
                self.waiting.try_acquire().ok().map(|seat| (seat, delay))
            }
            Verdict::Refuse(limit) => {
                self.metrics.exceeded(limit);
                None
            }
        };
        let Some((_seat, delay)) = seat else {
            self.metrics.count(Count::LoginRefused);
            attempt.refused("too many failed logins");
            return Err(Refused::TooMany);
        };
        sleep(delay).await;
        Ok(())
    }

    /// The account of a login name, and what it can be known by.
    async fn find(&self, name: &str) -> Result<Option<(Account, Keyring)>, Refused> {
        // What is no address is looked up all the same, for the work's sake.
        let key = Address::parse(name).map_or_else(|_| name.to_owned(), |address| address.key());
        let found = self
            .store
            .read(move |r| {
                let Some(account) = r.account(&key)? else { return Ok::<_, store::Error>(None) };
                let devices = r.devices(account.id)?;
                Ok(Some((account, devices)))
            })
            .await?;
        Ok(found.map(|(account, devices)| {
            let keyring = Keyring::new(&account, &devices);
            (account, keyring)
        }))
    }

    fn failed(&self, attempt: Attempt<'_>) -> Refused {
        let Attempt { name, visitor, .. } = attempt;
        self.metrics.count(Count::LoginRefused);
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.failed(visitor.ip, name, visitor.now.into_std());
        drop(throttle);
        attempt.refused("authentication failed");
        Refused::Wrong
    }

    fn welcome(&self, attempt: Attempt<'_>, identity: Identity, account: Account) -> LoggedIn {
        let Attempt { name, visitor, .. } = attempt;
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.succeeded(visitor.ip, name, visitor.now.into_std());
        drop(throttle);
        self.metrics.count(Count::Login);
        self.note(identity, name, visitor);
        let Account { address, owner, .. } = account;
        let user = LoggedIn { account: identity.account, device: identity.device, address, owner };
        attempt.succeeded(&user);
        user
    }

    /// Writes down that there was a login, and from where, now and then. Nobody waits for it.
    fn note(&self, identity: Identity, name: &str, visitor: Visitor) {
        let Identity { account, device } = identity;
        let from = Neighbour::from(visitor.ip);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let last = noted.put((account, device, from), visitor.now);
        if let Some(last) = last.filter(|last| visitor.now.duration_since(*last) < NOTED) {
            noted.put((account, device, from), last);
            return;
        }
        let login = throttle::key(name);
        drop(noted);
        let store = self.store.clone();
        tokio::spawn(async move {
            let job = move |tx: &mut store::Tx<'_>| {
                tx.logged_in(account)?;
                tx.know_address(from, login)?;
                device.map_or(Ok(()), |device| tx.device_used(device))
            };
            if let Err(error) = store.write::<(), store::Error, _>(visitor.origin, job).await {
                tracing::debug!(%account, %error, "a login was not written down");
            }
        });
    }
}

/// The addresses from which somebody has logged in within so long before `now`, and how much is left
/// of that time.
pub async fn lately(
    store: &Store,
    now: i64,
    within: Duration,
) -> Result<Vec<(KnownAddress, Duration)>, store::Error> {
    let span = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    let since = now.saturating_sub(span);
    let known = store.read(move |r| r.known_addresses(since, throttle::MOST.get())).await?;
    let left = |known: &KnownAddress| {
        let seconds = known.last.saturating_sub(since).clamp(0, span);
        Duration::from_secs(seconds.unsigned_abs())
    };
    Ok(known.into_iter().map(|known| (known, left(&known))).collect())
}

/// One exchange of challenges and responses, already decoded from base64.
pub struct Exchange<'a> {
    logins: &'a Logins,
    mechanism: Mechanism,
    binding: Option<[u8; 32]>,
    sasl: Option<Sasl>,
    /// Whom the client claims to be, once it has said so, and what was found under the name.
    name: String,
    account: Option<Account>,
}

impl Exchange<'_> {
    /// The first step: with an initial response (RFC 4422 §4.3.1), or without one.
    pub async fn start(
        &mut self,
        initial: Option<&[u8]>,
        visitor: Visitor,
    ) -> Result<Step, Refused> {
        let (sasl, step) = Sasl::start(self.mechanism, initial, self.binding);
        self.sasl = Some(sasl);
        self.follow(step, visitor).await
    }

    /// Each following step. After a refusal there is none.
    pub async fn respond(&mut self, response: &[u8], visitor: Visitor) -> Result<Step, Refused> {
        let step = self.sasl.as_mut().ok_or(Refused::Malformed)?.step(response);
        self.follow(step, visitor).await
    }

    /// Does what the mechanism asks for, until it is the client's turn.
    async fn follow(&mut self, step: sasl::Step, visitor: Visitor) -> Result<Step, Refused> {
        let step = match step {
            sasl::Step::Find(name) => {
                self.name = name;
                self.logins.admit(self.attempt(visitor)).await?;
                let found = self.logins.find(&self.name).await?;
                let sasl = self.sasl.as_mut().ok_or(Refused::Malformed)?;
                let keyring = found.as_ref().map(|(_, keyring)| keyring);
                let step = sasl.found(keyring, &self.logins.nobody);
                self.account = found.map(|(account, _)| account);
                step
            }
            other => other,
        };
        match step {
            sasl::Step::Challenge(challenge) => Ok(Step::Challenge(challenge)),
            sasl::Step::Verify(plain) => {
                self.name = plain.login;
                let verified = self.logins.verify(self.attempt(visitor), &plain.password).await;
                verified.map(Step::Done)
            }
            sasl::Step::Success(identity) => {
                let account = self.account.take().ok_or(Refused::Wrong)?;
                Ok(Step::Done(self.logins.welcome(self.attempt(visitor), identity, account)))
            }
            sasl::Step::Find(_) => Err(Refused::Malformed),
            sasl::Step::Failed(fault) => Err(self.refuse(fault, visitor)),
        }
    }

    fn attempt(&self, visitor: Visitor) -> Attempt<'_> {
        Attempt { name: &self.name, mechanism: self.mechanism, visitor }
    }

    fn refuse(&self, fault: Fault, visitor: Visitor) -> Refused {
        match fault {
            Fault::Syntax | Fault::Mechanism => Refused::Malformed,
            Fault::Binding | Fault::Authorization | Fault::Credentials => {
                self.logins.failed(self.attempt(visitor))
            }
            Fault::Internal => Refused::Internal(io::Error::other(fault).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        auth::{password::app_secret, scram::derive},
        events::Bus,
        store::{NewAccount, NewDevice, Options, ScramKeys, Tx},
    };

    /// A store with alice, her password and her phone.
    async fn logins(limits: ThrottleLimits) -> (tempfile::TempDir, Logins) {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { least_for_adding: 0, ..Options::new(folder.path().join("data")) };
        let store = Store::open(&options, Arc::new(Bus::default())).unwrap();
        let passwords = Arc::new(Passwords::new(2).unwrap());
        let hash = passwords.hash(Secret::new("right".into())).await.unwrap();
        let job = move |tx: &mut Tx<'_>| {
            tx.add_domain("here.example")?;
            let id = tx.add_account(&NewAccount {
                address: "Alice@here.example".into(),
                address_key: "alice@here.example".into(),
                domain: "here.example".into(),
                full_name: String::new(),
                owner: false,
                password: Some(hash),
                scram_salt: b"salt".to_vec(),
                scram_iterations: ROUNDS,
                scram: None,
            })?;
            let app = Secret::new("app".into());
            let scram: ScramKeys = derive(&app, b"salt", ROUNDS);
            tx.add_device(id, &NewDevice { name: "phone".into(), secret: app_secret(&app), scram })
        };
        let origin = Origin::new(Door::House, 0);
        store.write::<_, store::Error, _>(origin, job).await.unwrap().into_inner();
        let logins = Logins::open(&store, passwords, limits, &Metrics::new(), 0).await.unwrap();
        (folder, logins)
    }

    fn visitor() -> Visitor {
        let ip = "192.0.2.1".parse().unwrap();
        Visitor { ip, origin: Origin::new(Door::Imap, 0), now: Instant::now() }
    }

    fn credentials(name: &str, password: &str) -> Credentials {
        let password = Zeroizing::new(password.to_owned());
        Credentials { authorization: String::new(), name: name.to_owned(), password }
    }

    #[tokio::test]
    async fn an_account_is_let_in_by_password_and_by_app_password() {
        let (_folder, logins) = logins(ThrottleLimits::default()).await;
        let main = logins.login(credentials("ALICE@here.example", "right"), visitor()).await;
        let main = main.unwrap();
        assert_eq!((main.address.as_str(), main.device), ("Alice@here.example", None));
        let phone = logins.login(credentials("alice@here.example", "app"), visitor()).await;
        assert_eq!(phone.unwrap().device, Some(DeviceId(1)));
        for (name, password) in [
            ("alice@here.example", "wrong"),
            ("bob@here.example", "right"),
            ("alice", "right"),
            ("", ""),
        ] {
            let refused = logins.login(credentials(name, password), visitor()).await;
            assert!(matches!(refused, Err(Refused::Wrong)), "{name}");
        }
        let as_bob = Credentials {
            authorization: "bob@here.example".into(),
            ..credentials("alice@here.example", "right")
        };
        assert!(matches!(logins.login(as_bob, visitor()).await, Err(Refused::Wrong)));
    }

    #[tokio::test]
    async fn who_is_known_is_known_after_a_restart_too() {
        let limits = ThrottleLimits { account_hour: 1, ..ThrottleLimits::default() };
        let (_folder, before) = logins(limits).await;
        before.login(credentials("alice@here.example", "right"), visitor()).await.unwrap();
        // Nobody waits for what is written down; what is asked for later stands behind it.
        tokio::task::yield_now().await;
        let origin = Origin::new(Door::House, 0);
        before.store.write::<_, store::Error, _>(origin, |_| Ok(())).await.unwrap().into_inner();
        for (now, is_known) in [(0, true), (30 * 24 * 3_600, false)] {
            let passwords = Arc::new(Passwords::new(2).unwrap());
            let metrics = Metrics::new();
            let after = Logins::open(&before.store, passwords, limits, &metrics, now);
            let after = after.await.unwrap();
            let stranger = Visitor { ip: "198.51.100.9".parse().unwrap(), ..visitor() };
            for _ in 0..2 {
                after.failed(Attempt {
                    name: "alice@here.example",
                    mechanism: Mechanism::Login,
                    visitor: stranger,
                });
            }
            let verdict = |ip| {
                let mut throttle = after.throttle.lock().unwrap();
                throttle.verdict(ip, "Alice@here.example", Instant::now().into_std())
            };
            assert_eq!(verdict(visitor().ip) == Verdict::Go, is_known);
            assert_ne!(verdict(stranger.ip), Verdict::Go);
        }
    }

    #[tokio::test]
    async fn plain_and_login_lead_to_the_same_door() {
        let (_folder, logins) = logins(ThrottleLimits::default()).await;
        let mut plain = logins.exchange(Mechanism::Plain, None);
        let done = plain.start(Some(b"\0alice@here.example\0right"), visitor()).await;
        assert!(matches!(done, Ok(Step::Done(_))));
        let mut login = logins.exchange(Mechanism::Login, None);
        assert!(matches!(login.start(None, visitor()).await, Ok(Step::Challenge(_))));
        let name = login.respond(b"alice@here.example", visitor()).await;
        assert!(matches!(name, Ok(Step::Challenge(_))));
        assert!(matches!(login.respond(b"wrong", visitor()).await, Err(Refused::Wrong)));
        let behind_the_end = login.respond(b"right", visitor()).await;
        assert!(!matches!(behind_the_end, Ok(Step::Done(_))));
    }

    #[tokio::test]
    async fn scram_answers_alike_for_somebody_and_nobody() {
        let (_folder, logins) = logins(ThrottleLimits::default()).await;
        for name in ["alice@here.example", "bob@here.example"] {
            let mut exchange = logins.exchange(Mechanism::ScramSha256, None);
            let first = format!("n,,n={name},r=abc");
            let step = exchange.start(Some(first.as_bytes()), visitor()).await;
            let Ok(Step::Challenge(challenge)) = step else { panic!("{step:?}") };
            let challenge = String::from_utf8(challenge).unwrap();
            assert!(challenge.ends_with(&format!(",i={ROUNDS}")), "{challenge}");
            let nonce = challenge.split(',').next().unwrap();
            let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
            let refused = exchange.respond(last.as_bytes(), visitor()).await;
            assert!(matches!(refused, Err(Refused::Wrong)), "{name}: {refused:?}");
        }
    }

    /// `client-final-message` of one who knows the password (RFC 5802 §3).
    fn proof(password: &str, first: &str, challenge: &str) -> Vec<u8> {
        use aws_lc_rs::{digest, hmac, pbkdf2};
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let sign = |key: &[u8], data: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
        };
        let mut salted = [0; 32];
        let rounds = std::num::NonZeroU32::new(ROUNDS).unwrap();
        let (hash, secret) = (pbkdf2::PBKDF2_HMAC_SHA256, password.as_bytes());
        pbkdf2::derive(hash, rounds, b"salt", secret, &mut salted);
        let key = sign(&salted, b"Client Key");
        let without = format!("c=biws,{}", challenge.split(',').next().unwrap());
        let signed = format!("{},{challenge},{without}", first.strip_prefix("n,,").unwrap());
        let signature = sign(digest::digest(&digest::SHA256, &key).as_ref(), signed.as_bytes());
        let proof: Vec<u8> = key.iter().zip(&signature).map(|(k, s)| k ^ s).collect();
        format!("{without},p={}", BASE64_STANDARD.encode(proof)).into_bytes()
    }

    #[tokio::test]
    async fn scram_knows_a_device_by_the_proof_of_its_app_password() {
        let (_folder, logins) = logins(ThrottleLimits::default()).await;
        let first = "n,,n=alice@here.example,r=abc";
        for (password, device) in [("app", Some(DeviceId(1))), ("wrong", None)] {
            let mut exchange = logins.exchange(Mechanism::ScramSha256, None);
            let step = exchange.start(Some(first.as_bytes()), visitor()).await;
            let Ok(Step::Challenge(challenge)) = step else { panic!("{step:?}") };
            let last = proof(password, first, std::str::from_utf8(&challenge).unwrap());
            let step = exchange.respond(&last, visitor()).await;
            let Some(device) = device else {
                assert!(matches!(step, Err(Refused::Wrong)), "{step:?}");
                continue;
            };
            let Ok(Step::Challenge(server)) = step else { panic!("{step:?}") };
            assert!(server.starts_with(b"v="));
            let done = exchange.respond(b"", visitor()).await;
            let Ok(Step::Done(user)) = done else { panic!("{done:?}") };
            assert_eq!(user.device, Some(device));
        }
    }

    #[tokio::test]
    async fn who_fails_on_and_on_waits_and_is_sent_away() {
        let limits = ThrottleLimits { address_minute: 1, ..ThrottleLimits::default() };
        let (_folder, logins) = logins(limits).await;
        let visitor = visitor();
        let first = logins.login(credentials("x@y", "z"), visitor).await;
        assert!(matches!(first, Err(Refused::Wrong)));
        let attempt = Attempt { name: "x@y", mechanism: Mechanism::Plain, visitor };
        for _ in 0..5 {
            assert!(logins.admit(attempt).now_or_never().is_none(), "let in at once");
            logins.failed(attempt);
        }
        let refused = logins.login(credentials("x@y", "z"), visitor).await;
        assert!(matches!(refused, Err(Refused::TooMany)));
    }
}
