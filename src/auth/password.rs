//! Passwords that are sent in words: hashed slowly, verified slowly, and then remembered a while.
//!
//! The main password is guarded by Argon2id (19 MiB, 2 passes). Phones log in often, so a verified
//! one is remembered for some minutes by a keyed hash under a key that no restart survives. App
//! passwords are made here from random numbers, so a plain hash is enough for them.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier, password_hash};
use aws_lc_rs::rand;
use base64::{
    Engine,
    prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD},
};
use lru::LruCache;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use super::{Identity, Keyring, Secret};
use crate::ids::AccountId;

/// How long a verified password is remembered.
const REMEMBERED: Duration = Duration::from_mins(10);
/// Accounts whose password is remembered at most.
const MOST_REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Why no hash was made. What was asked of it is never told.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("hashing a password: {0}")]
    Hash(#[from] password_hash::Error),
    #[error("hashing a password: bad parameters: {0}")]
    Parameters(argon2::Error),
    #[error("no random numbers")]
    Random,
    #[error("hashing a password was interrupted")]
    Interrupted,
}

/// KiB that a hash is worked on in,
const MEMORY: u32 = 19 * 1024;
/// and how often all of it is gone through.
const PASSES: u32 = 2;

/// Hashes and verifies, so many at the same time.
pub struct Passwords {
    slots: Arc<Semaphore>,
    /// What is verified for users that are not there.
    nobody: String,
    key: [u8; 32],
    remembered: Mutex<LruCache<AccountId, Remembered>>,
}

struct Remembered {
    hash: blake3::Hash,
    until: Instant,
}

impl Passwords {
    /// At most `parallel` hashes are worked on at once, each in 19 MiB.
    pub fn new(parallel: usize) -> Result<Self, PasswordError> {
        Ok(Self {
            slots: Arc::new(Semaphore::new(parallel.max(1))),
            nobody: nobody()?,
            key: random()?,
            remembered: Mutex::new(LruCache::new(MOST_REMEMBERED)),
        })
    }

    /// A new password's hash, as a PHC string.
    pub async fn hash(&self, password: Secret) -> Result<String, PasswordError> {
        self.slowly(move || hash(&prepared(password.reveal()))).await?
    }

    /// Who this is, if the password is one of the account's. No account, a disabled one and a
    /// wrong password are not told apart, by words or by work.
    pub async fn verify(
        &self,
        credentials: Option<&Keyring>,
        password: &Secret,
        now: Instant,
    ) -> Result<Option<Identity>, PasswordError> {
        let password = Secret::new(prepared(password.reveal()));
        let mark = credentials.map(|known| self.mark(known, &password));
        if let (Some(known), Some(mark)) = (credentials, mark) {
            if let Some(device) = device(known, &password) {
                return Ok(known.enabled.then_some(device));
            }
            if known.enabled && self.is_remembered(known.account, mark, now) {
                return Ok(Some(Identity { account: known.account, device: None }));
            }
        }
        let kept = credentials.and_then(|known| known.password.as_ref());
        let phc = kept.unwrap_or(&self.nobody).clone();
        let matches = self.slowly(move || matches(&password, &phc)).await?;
        let known =
            credentials.filter(|known| matches && known.enabled && known.password.is_some());
        Ok(known.map(|known| {
            if let Some(hash) = mark {
                let until = now + REMEMBERED;
                self.lock().put(known.account, Remembered { hash, until });
            }
            Identity { account: known.account, device: None }
        }))
    }

    /// Forgets what is remembered of an account: to be called at every change of it.
    pub fn forget(&self, account: AccountId) {
        self.lock().pop(&account);
    }

    /// The hash of what was kept is part of it, so that a new password makes an old memory
    /// worthless even when the two cross.
    fn mark(&self, known: &Keyring, password: &Secret) -> blake3::Hash {
        let kept = known.password.as_deref().unwrap_or_default();
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&known.account.0.to_le_bytes());
        hasher.update(blake3::hash(kept.as_bytes()).as_bytes());
        hasher.update(password.reveal().as_bytes());
        hasher.finalize()
    }

    fn is_remembered(&self, account: AccountId, mark: blake3::Hash, now: Instant) -> bool {
        // blake3::Hash compares in constant time.
        self.lock().get(&account).is_some_and(|kept| kept.hash == mark && now < kept.until)
    }

    /// Runs it on a thread that may block, when a place is free.
    async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| PasswordError::Interrupted)?;
        let run = move || {
            let done = work();
            drop(slot);
            done
        };
        tokio::task::spawn_blocking(run).await.map_err(|_| PasswordError::Interrupted)
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<AccountId, Remembered>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new app password, from 120 random bits.
pub fn generate() -> Result<Secret, PasswordError> {
    let bits: [u8; 15] = random()?;
    Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bits)))
}

/// What is stored of an app password.
pub fn app_secret(password: &Secret) -> [u8; 32] {
    *blake3::hash(prepared(password.reveal()).as_bytes()).as_bytes()
}

/// `SASLprep` (RFC 4013), or the text itself where that has no answer.
pub(super) fn prepared(password: &str) -> String {
    stringprep::saslprep(password).map_or_else(|_| password.to_owned(), Into::into)
}

/// Octets that cannot be guessed.
pub(super) fn random<const N: usize>() -> Result<[u8; N], PasswordError> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|_| PasswordError::Random)?;
    Ok(octets)
}

/// Slow: not for a thread that must not block.
pub(super) fn hash(password: &str) -> Result<String, PasswordError> {
    let params = Params::new(MEMORY, PASSES, 1, None).map_err(PasswordError::Parameters)?;
    let salt: [u8; 16] = random()?;
    let hash = Argon2::from(params).hash_password_with_salt(password.as_bytes(), &salt)?;
    Ok(hash.to_string())
}

/// What costs the same work as a password's hash, and is the hash of none that anybody knows. To make
/// it costs none: the 19 MiB would stay with the process as long as nothing else needs them.
fn nobody() -> Result<String, PasswordError> {
    let (salt, hash): ([u8; 16], [u8; 32]) = (random()?, random()?);
    let [salt, hash] = [BASE64_STANDARD_NO_PAD.encode(salt), BASE64_STANDARD_NO_PAD.encode(hash)];
    Ok(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${hash}"))
}

fn matches(password: &Secret, phc: &str) -> bool {
    Argon2::default().verify_password(password.reveal().as_bytes(), phc).is_ok()
}

/// The device that has this app password; all are compared.
fn device(known: &Keyring, password: &Secret) -> Option<Identity> {
    let secret = *blake3::hash(password.reveal().as_bytes()).as_bytes();
    let account = known.account;
    known.devices.iter().fold(None, |found, device| {
        let same = bool::from(device.secret.ct_eq(&secret));
        if same { Some(Identity { account, device: Some(device.device) }) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{auth::keyring::DeviceKeys, ids::DeviceId, store::ScramKeys};

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn alice(password: &str) -> Keyring {
        let device = DeviceKeys {
            device: DeviceId(3),
            secret: app_secret(&secret("app")),
            scram: ScramKeys::default(),
        };
        Keyring {
            account: AccountId(7),
            enabled: true,
            password: Some(hash(password).unwrap()),
            salt: Vec::new(),
            iterations: 4096,
            scram: None,
            devices: vec![device],
        }
    }

    #[tokio::test]
    async fn the_right_password_is_known_and_others_are_not() {
        let (passwords, now) = (Passwords::new(2).unwrap(), Instant::now());
        let alice = alice("right");
        let main = Identity { account: AccountId(7), device: None };
        let phone = Identity { device: Some(DeviceId(3)), ..main };
        for (password, who) in [("right", Some(main)), ("app", Some(phone)), ("wrong", None)] {
            let found = passwords.verify(Some(&alice), &secret(password), now).await.unwrap();
            assert_eq!(found, who, "{password}");
        }
        let nobody = passwords.verify(None, &secret("nobody has this password"), now).await;
        assert_eq!(nobody.unwrap(), None);
    }

    #[tokio::test]
    async fn a_disabled_account_is_nobody() {
        let (passwords, now) = (Passwords::new(2).unwrap(), Instant::now());
        let mut alice = alice("right");
        passwords.verify(Some(&alice), &secret("right"), now).await.unwrap().unwrap();
        alice.enabled = false;
        for password in ["right", "app"] {
            let found = passwords.verify(Some(&alice), &secret(password), now).await.unwrap();
            assert_eq!(found, None, "{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_remembered_for_ten_minutes_unless_the_account_changes() {
        let (passwords, now) = (Passwords::new(2).unwrap(), Instant::now());
        let old = alice("right");
        let right = secret("right");
        let remembered = |who: &Keyring, at| {
            passwords.is_remembered(who.account, passwords.mark(who, &right), at)
        };
        assert!(!remembered(&old, now));
        passwords.verify(Some(&old), &right, now).await.unwrap().unwrap();
        assert!(remembered(&old, now));
        assert!(!remembered(&old, now + REMEMBERED));
        assert!(!remembered(&alice("right"), now), "the hash was made anew");
        passwords.forget(old.account);
        assert!(!remembered(&old, now));
    }

    #[tokio::test]
    async fn a_hash_says_how_it_was_made_and_no_two_are_alike() {
        let passwords = Passwords::new(1).unwrap();
        let one = passwords.hash(secret("x")).await.unwrap();
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, passwords.hash(secret("x")).await.unwrap());
    }

    /// Not even one that cannot be read, which would cost nothing.
    #[test]
    fn nobody_has_a_hash_like_others_and_no_password() {
        let (nobody, other) = (nobody().unwrap(), hash("x").unwrap());
        assert_eq!(nobody.len(), other.len());
        assert_eq!(nobody.split('$').nth(3), other.split('$').nth(3));
        let verified = Argon2::default().verify_password(b"x", &*nobody);
        assert_eq!(verified, Err(password_hash::Error::PasswordInvalid));
    }

    #[test]
    fn an_app_password_is_long_and_never_the_same() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.reveal().len(), 20);
        assert!(one.reveal() != two.reveal());
    }
}
