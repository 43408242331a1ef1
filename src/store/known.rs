//! From where login names were used lately, so that a restart does not make strangers of all.

use super::{
    error::{Error, Result},
    reader::Reader,
    sql::signed,
    tx::Tx,
};
use crate::ids::Neighbour;

/// An address from which somebody logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownAddress {
    /// From where.
    pub address: Neighbour,
    /// The hash of the login name.
    pub login: [u8; 32],
    /// When, for the last time, in seconds since 1970.
    pub last: i64,
}

impl Reader<'_> {
    /// At most `limit` addresses that were used after `since`, the latest first.
    pub fn known_addresses(&self, since: i64, limit: usize) -> Result<Vec<KnownAddress>> {
        let sql = "SELECT address, login, last FROM known_address WHERE last > ?1
            ORDER BY last DESC LIMIT ?2";
        let rows: Vec<(String, [u8; 32], i64)> =
            self.rows(sql, (since, signed(limit as u64)), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        rows.into_iter()
            .map(|(address, login, last)| {
                let address = address.parse::<std::net::IpAddr>();
                let address = address.map_err(|_| Error::Corrupt("a known address".into()))?;
                Ok(KnownAddress { address: address.into(), login, last })
            })
            .collect()
    }
}

impl Tx<'_> {
    /// This login name was used from this address just now.
    pub fn know_address(&mut self, address: Neighbour, login: [u8; 32]) -> Result<()> {
        let sql = "INSERT INTO known_address (address, login, last) VALUES (?1, ?2, ?3)
            ON CONFLICT (address, login) DO UPDATE SET last = excluded.last";
        self.execute(sql, (address.to_string(), login, self.now()))?;
        Ok(())
    }

    /// Forgets at most `limit` addresses that were used last before `before`; says how many.
    pub(super) fn forget_known_addresses(&mut self, before: i64, limit: u64) -> Result<usize> {
        let sql = "DELETE FROM known_address WHERE (address, login) IN
            (SELECT address, login FROM known_address WHERE last < ?1 LIMIT ?2)";
        self.execute(sql, (before, signed(limit)))
    }
}
