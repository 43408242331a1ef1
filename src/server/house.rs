//! The rooms of the house, built from the configuration in their order.

use std::{path::PathBuf, sync::Arc};

use crate::{config::Config, events::Bus, store};

/// Why the house cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// The store.
    #[error("{}: {cause}", data_dir.display())]
    Store {
        /// Where it is.
        data_dir: PathBuf,
        /// What it says.
        cause: store::Error,
    },
}

impl HouseError {
    /// Does another process have the house open?
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Store { cause: store::Error::InUse, .. })
    }
}

/// All rooms. Doors get what they need of it by their constructors.
#[derive(Clone)]
pub struct House {
    /// What it was built from.
    pub config: Arc<Config>,
    /// The store.
    pub store: store::Store,
}

impl House {
    /// Opens the store and builds the rooms; nothing listens and nothing is sent yet.
    pub fn open(config: &Config) -> Result<Self, HouseError> {
        let limits = &config.limits;
        let twice = limits.message_size_max.octets().saturating_mul(2);
        let options = store::Options {
            least_for_adding: limits.disk_free_min.octets().max(twice),
            least_for_writing: limits.disk_free_stop.octets(),
            ..store::Options::new(&config.data_dir)
        };
        let failed = |cause| HouseError::Store { data_dir: config.data_dir.clone(), cause };
        let store = store::Store::open(&options, Arc::new(Bus::default())).map_err(failed)?;
        Ok(Self { config: Arc::new(config.clone()), store })
    }

    /// Finishes what is under way in the store and closes it.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
