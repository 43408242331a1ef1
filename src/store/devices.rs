//! Devices: each has an app password of its own, so that one can be revoked alone.
//!
//! App passwords are made by the server from random numbers, so a plain hash guards them.

use super::{
    accounts::ScramKeys,
    error::{Error, Result},
    reader::Reader,
    tx::Tx,
};
use crate::{
    events::Kind,
    ids::{AccountId, DeviceId},
};

/// A device to be made.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// What its owner calls it.
    pub name: String,
    /// BLAKE3 of the app password.
    pub secret: [u8; 32],
    /// The app password's SCRAM keys under the account's salt and iterations.
    pub scram: ScramKeys,
}

/// A device of an account.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its number.
    pub id: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// BLAKE3 of the app password.
    pub secret: [u8; 32],
    /// The app password's SCRAM keys.
    pub scram: ScramKeys,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub last_used: Option<i64>,
}

impl Reader<'_> {
    /// An account's devices, oldest first.
    pub fn devices(&self, account: AccountId) -> Result<Vec<Device>> {
        let sql = "SELECT id, name, secret, scram_sha256, scram_sha1, created, last_used
            FROM device WHERE account = ?1 ORDER BY id";
        self.rows(sql, [account], |row| {
            Ok(Device {
                id: row.get(0)?,
                name: row.get(1)?,
                secret: row.get(2)?,
                scram: ScramKeys { sha256: row.get(3)?, sha1: row.get(4)? },
                created: row.get(5)?,
                last_used: row.get(6)?,
            })
        })
    }
}

impl Tx<'_> {
    /// Makes a device.
    pub fn add_device(&mut self, account: AccountId, new: &NewDevice) -> Result<DeviceId> {
        let sql = "INSERT INTO device (account, name, secret, scram_sha256, scram_sha1, created)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let keys = &new.scram;
        let row = (account, &new.name, new.secret, &keys.sha256, &keys.sha1, self.now());
        self.execute(sql, row)?;
        let id = DeviceId(self.sql.last_insert_rowid());
        self.happened_to(Some(account), Kind::DeviceChange(id));
        Ok(id)
    }

    /// Ends a device's app password; its live sessions end by the event.
    pub fn remove_device(&mut self, account: AccountId, device: DeviceId) -> Result<()> {
        let sql = "DELETE FROM device WHERE account = ?1 AND id = ?2";
        if self.execute(sql, (account, device))? == 0 {
            return Err(Error::NotFound("device"));
        }
        self.happened_to(Some(account), Kind::DeviceChange(device));
        Ok(())
    }

    /// Remembers that a device was used.
    pub fn device_used(&mut self, device: DeviceId) -> Result<()> {
        self.execute("UPDATE device SET last_used = ?2 WHERE id = ?1", (device, self.now()))?;
        Ok(())
    }
}
