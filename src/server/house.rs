//! The rooms of the house, built from the configuration in their order.

use std::{path::PathBuf, sync::Arc};

use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Limits},
    control::messages::Known,
    events::Bus,
    mail::{self, Mail, name::NameLimits},
    sessions::Sessions,
    store,
};

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
    /// Mailboxes and messages.
    pub mail: Mail,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Imports under way.
    pub(crate) imports: Arc<Known>,
    /// Fires when all shall end.
    pub stop: CancellationToken,
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
        let mail = Mail::new(store.clone(), mail_limits(limits));
        let stop = CancellationToken::new();
        let sessions = Sessions::new(stop.clone());
        let config = Arc::new(config.clone());
        Ok(Self { config, store, mail, sessions, imports: Arc::default(), stop })
    }

    /// Finishes what is under way in the store and closes it.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// The limits of the mail rooms.
fn mail_limits(limits: &Limits) -> mail::Limits {
    mail::Limits {
        message_size: limits.message_size_max.octets(),
        names: NameLimits {
            octets: limits.mailbox_name_max.len(),
            depth: limits.mailbox_depth_max,
        },
        mailboxes: limits.mailboxes_per_user_max,
        quota_octets: limits.quota.octets(),
        keyword_octets: limits.keyword_length_max.len(),
    }
}
