//! `mailade alias`: further addresses of users.

use clap::Subcommand;

use super::out;
use crate::control::{Access, aliases};

#[derive(Debug, Subcommand)]
pub(super) enum Alias {
    /// Lets mail for an address go to a user, or to one more user.
    Add {
        /// The further address.
        alias: String,
        /// The user.
        address: String,
    },
    /// Removes a further address.
    Remove {
        /// The further address.
        alias: String,
    },
    /// Lists the further addresses.
    List {
        /// Only those of one user.
        address: Option<String>,
    },
}

impl Alias {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::Add { alias, address } => {
                let new = aliases::Alias { alias, address };
                let made: aliases::Alias = access.post("aliases", &new).await?;
                out::line(format_args!("{} goes to {}", made.alias, made.address));
            }
            Self::Remove { alias } => {
                access.delete("aliases", &[("alias", &alias)]).await?;
                out::line(format_args!("removed {alias}"));
            }
            Self::List { address } => {
                let query: Vec<_> = address.iter().map(|user| ("address", user.as_str())).collect();
                let all: Vec<aliases::Alias> = access.get("aliases", &query).await?;
                let rows: Vec<_> =
                    all.into_iter().map(|alias| [alias.alias, alias.address]).collect();
                out::table(["ALIAS", "ADDRESS"], &rows);
            }
        }
        Ok(())
    }
}
