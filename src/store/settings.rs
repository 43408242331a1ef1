//! The server's own settings and secrets, by name.

use super::{error::Result, reader::Reader, tx::Tx};
use crate::events::Kind;

impl Reader<'_> {
    /// A setting's value, if it was ever set.
    pub fn setting(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0))
    }
}

impl Tx<'_> {
    /// Sets a setting, whatever it was.
    pub fn set_setting(&mut self, name: &str, value: &[u8]) -> Result<()> {
        self.remember(name, value)?;
        self.happened_to(None, Kind::SettingsChange);
        Ok(())
    }

    /// Keeps a value that is nobody's setting, and of which nobody hears.
    pub(super) fn remember(&self, name: &str, value: &[u8]) -> Result<()> {
        let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.execute(sql, (name, value))?;
        Ok(())
    }
}
