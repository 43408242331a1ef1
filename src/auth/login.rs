//! Logins at every door: accounts and devices looked up, passwords and proofs judged, failures
//! counted and answered alike.
//!
//! A door decodes what its client sends and passes it to an [`Exchange`], or hands in name and
//! password as they are by [`Logins::login`]; then it says the outcome in its own words. Who failed
//! too often waits here before anything is judged, so that nobody learns the outcome sooner by
//! hanging up. An unknown user costs the same work and gives the same answer as a wrong password. Each
//! login and each refusal is one line of the log.

mod attempt;
mod exchange;
mod slot;

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

pub use self::exchange::{Exchange, Step};
use self::{attempt::Attempt, slot::Slot};
pub use super::sasl::Mechanism;
use super::{
    Claim, Identity, Keyring, Passwords, Secret, Throttle, ThrottleLimits, Verdict,
    fresh::ROUNDS,
    password::{PasswordError, random},
    sasl::acts_for_itself,
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
        Ok(Self {
            store: store.clone(),
            passwords,
            throttle: Mutex::new(Throttle::new(limits)),
            nobody: Nobody { secret, rounds: ROUNDS },
            waiting: Semaphore::new(MOST_WAITING),
            noted: Mutex::new(LruCache::new(MOST_NOTED)),
            metrics: Arc::clone(metrics),
        })
    }

    /// Somebody logged in from there so long ago, before this process began.
    pub fn remember(&self, known: &KnownAddress, ago: Duration, now: Instant) {
        let until = now.into_std() + throttle::KNOWN.saturating_sub(ago);
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.know(known.address, known.login, until);
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
            let slot = self.admit(attempt).await?;
            return Err(self.failed(attempt, slot));
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
        let slot = self.admit(attempt).await?;
        match self.judge(attempt, password).await {
            Ok(Some((identity, account))) => {
                slot.give_back();
                Ok(self.welcome(attempt, identity, account))
            }
            Ok(None) => Err(self.failed(attempt, slot)),
            Err(ours) => {
                slot.give_back();
                Err(ours)
            }
        }
    }

    /// Whose password it is, if it is the right one.
    async fn judge(
        &self,
        attempt: Attempt<'_>,
        password: &Secret,
    ) -> Result<Option<(Identity, Account)>, Refused> {
        let found = self.find(attempt.name).await?;
        let keyring = found.as_ref().map(|(_, keyring)| keyring);
        let now = attempt.visitor.now.into_std();
        let identity = self.passwords.verify(keyring, password, now).await?;
        Ok(identity.zip(found.map(|(account, _)| account)))
    }

    /// Lets somebody try: at once, or when others from there were judged, or after a while, or not at
    /// all.
    async fn admit(&self, attempt: Attempt<'_>) -> Result<Slot<'_>, Refused> {
        let claim = Claim::new(attempt.visitor.ip, attempt.name);
        let now = attempt.visitor.now.into_std();
        let (delay, limit) = loop {
            let turn = {
                let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
                match throttle.begin(claim, now) {
                    Verdict::Go => return Ok(Slot::new(&self.throttle, claim, now)),
                    Verdict::Wait(delay, limit) => break (Some(delay), limit),
                    Verdict::Refuse(limit) => break (None, limit),
                    Verdict::Queue => throttle.turn(claim),
                }
            };
            turn.await;
        };
        self.metrics.exceeded(limit);
        let Some(delay) = delay else { return Err(self.too_many(attempt)) };
        let slot = Slot::new(&self.throttle, claim, now + delay);
        let Ok(_seat) = self.waiting.try_acquire() else {
            slot.give_back();
            return Err(self.too_many(attempt));
        };
        sleep(delay).await;
        Ok(slot)
    }

    fn too_many(&self, attempt: Attempt<'_>) -> Refused {
        self.metrics.count(Count::LoginRefused);
        attempt.refused("too many failed logins");
        Refused::TooMany
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

    fn failed(&self, attempt: Attempt<'_>, slot: Slot<'_>) -> Refused {
        drop(slot);
        self.metrics.count(Count::LoginRefused);
        attempt.refused("authentication failed");
        Refused::Wrong
    }

    fn welcome(&self, attempt: Attempt<'_>, identity: Identity, account: Account) -> LoggedIn {
        let Attempt { name, visitor, .. } = attempt;
        let mut throttle = self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.succeeded(Claim::new(visitor.ip, name), visitor.now.into_std());
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

/// The addresses from which somebody has logged in lately, and how long ago that was at `now`.
pub async fn lately(
    store: &Store,
    now: i64,
) -> Result<Vec<(KnownAddress, Duration)>, store::Error> {
    let span = i64::try_from(throttle::KNOWN.as_secs()).unwrap_or(i64::MAX);
    let since = now.saturating_sub(span);
    let known = store.read(move |r| r.known_addresses(since, throttle::MOST.get())).await?;
    let ago = |known: &KnownAddress| {
        let seconds = now.saturating_sub(known.last).clamp(0, span);
        Duration::from_secs(seconds.unsigned_abs())
    };
    Ok(known.into_iter().map(|known| (known, ago(&known))).collect())
}

#[cfg(test)]
mod tests;
