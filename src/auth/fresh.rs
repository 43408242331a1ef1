//! What is stored of a new password: slow hashes, made on a thread that may block.

use super::{
    keyring::Secret,
    password::{self, PasswordError, app_secret, generate, prepared, random},
    scram::{SALT, derive},
};
use crate::store::ScramKeys;

/// SCRAM rounds of every account, those that are not there included: another number would tell that one
/// is. People choose main passwords, so a thief of their keys shall have work. Cyrus SASL, and with it
/// mutt and mbsync, refuses more.
pub const ROUNDS: u32 = 65_536;

/// The account's one salt and iteration count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salted {
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub rounds: u32,
}

impl Salted {
    /// For a new account.
    pub fn new() -> Result<Self, PasswordError> {
        Ok(Self { salt: random::<SALT>()?.to_vec(), rounds: ROUNDS })
    }
}

/// A main password as it is stored.
pub struct Main {
    /// Argon2id, as a PHC string.
    pub hash: String,
    /// Its SCRAM keys, when it may be used so.
    pub scram: Option<ScramKeys>,
}

/// A main password's hash and, if so wished, its SCRAM keys.
pub async fn main(password: Secret, salted: Salted, scram: bool) -> Result<Main, PasswordError> {
    slowly(move || {
        let hash = password::hash(&prepared(password.reveal()))?;
        let keys = || derive(&password, &salted.salt, salted.rounds);
        Ok(Main { hash, scram: scram.then(keys) })
    })
    .await
}

/// A device's new app password, and what is stored of it.
pub struct App {
    /// To be told once.
    pub password: Secret,
    /// Its BLAKE3 hash.
    pub secret: [u8; 32],
    /// Its SCRAM keys.
    pub scram: ScramKeys,
}

/// Makes an app password.
pub async fn app(salted: Salted) -> Result<App, PasswordError> {
    slowly(move || {
        let password = generate()?;
        let scram = derive(&password, &salted.salt, salted.rounds);
        Ok(App { secret: app_secret(&password), scram, password })
    })
    .await
}

async fn slowly<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
) -> Result<T, PasswordError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PasswordError::Interrupted)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_main_password_without_scram_has_no_keys() {
        let password = || Secret::new("correct horse".to_owned());
        let salted = Salted::new().unwrap();
        let main = main(password(), salted, false).await.unwrap();
        assert!(main.scram.is_none() && main.hash.starts_with("$argon2id$"));
    }

    #[tokio::test]
    async fn an_app_password_is_stored_by_hash_and_keys() {
        let salted = Salted::new().unwrap();
        let made = app(salted.clone()).await.unwrap();
        assert_eq!(made.secret, app_secret(&made.password));
        assert_eq!(made.scram, derive(&made.password, &salted.salt, salted.rounds));
    }
}
