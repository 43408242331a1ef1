//! `mailade app-password`: a password of its own for each device, so that one can be revoked alone.

use clap::Subcommand;

use super::out;
use crate::control::{Access, devices};

#[derive(Debug, Subcommand)]
pub(super) enum AppPassword {
    /// Makes a password for a device and prints it, this once.
    Add {
        /// The user.
        address: String,
        /// What the user calls the device.
        #[arg(long, default_value = "device")]
        name: String,
    },
    /// Lists a user's devices.
    List {
        /// The user.
        address: String,
    },
    /// Ends a device's password; its live sessions end too.
    Revoke {
        /// The user.
        address: String,
        /// The device's number, as `list` shows it.
        id: i64,
    },
}

impl AppPassword {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::Add { address, name } => {
                let new = devices::NewDevice { address, name };
                let made: devices::Made = access.post("app-passwords", &new).await?;
                out::line(made.password);
            }
            Self::List { address } => {
                let query = [("address", address.as_str())];
                let all: Vec<devices::Device> = access.get("app-passwords", &query).await?;
                let used = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), out::date);
                let row = |device: devices::Device| {
                    [
                        device.id.to_string(),
                        device.name,
                        out::date(device.created),
                        used(device.last_used),
                    ]
                };
                let rows: Vec<_> = all.into_iter().map(row).collect();
                out::table(["ID", "DEVICE", "MADE", "LAST USED"], &rows);
            }
            Self::Revoke { address, id } => {
                let id = id.to_string();
                let query = [("address", address.as_str()), ("id", id.as_str())];
                access.delete("app-passwords", &query).await?;
                out::line(format_args!("revoked {id}"));
            }
        }
        Ok(())
    }
}
