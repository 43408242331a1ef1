//! What an account can be known by.

use zeroize::Zeroizing;

use crate::{
    ids::{AccountId, DeviceId},
    store::{Account, Device, ScramKeys},
};

/// Something nobody may read in a log: it has no `Debug`, and is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password as it was sent.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password. Never to be printed.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Who was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account: AccountId,
    /// The device whose app password it was; none for the main password.
    pub device: Option<DeviceId>,
}

/// All that an account's owner and devices can log in with.
#[derive(Clone)]
pub struct Keyring {
    pub account: AccountId,
    pub enabled: bool,
    /// The main password's Argon2id hash, as a PHC string.
    pub password: Option<String>,
    /// The account's one SCRAM salt and iteration count.
    pub salt: Vec<u8>,
    pub iterations: u32,
    /// The main password's SCRAM keys, if its owner allows it for mail.
    pub scram: Option<ScramKeys>,
    pub devices: Vec<DeviceKeys>,
}

/// A device's app password.
#[derive(Clone)]
pub struct DeviceKeys {
    pub device: DeviceId,
    /// Its BLAKE3 hash.
    pub secret: [u8; 32],
    pub scram: ScramKeys,
}

impl Keyring {
    /// From the store's rows.
    pub fn new(account: &Account, devices: &[Device]) -> Self {
        let devices = devices.iter().map(|device| DeviceKeys {
            device: device.id,
            secret: device.secret,
            scram: device.scram.clone(),
        });
        Self {
            account: account.id,
            enabled: account.enabled,
            password: account.password.clone(),
            salt: account.scram_salt.clone(),
            iterations: account.scram_iterations,
            scram: account.scram.clone(),
            devices: devices.collect(),
        }
    }
}
