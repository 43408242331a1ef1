//! `mailade domain`: the domains that this server has mail for.

use clap::Subcommand;

use super::out;
use crate::control::{Access, domains};

#[derive(Debug, Subcommand)]
pub(super) enum Domain {
    /// Adds a domain.
    Add {
        /// Its name.
        domain: String,
        /// The user who gets what is addressed to nobody.
        #[arg(long, value_name = "ADDRESS")]
        catch_all: Option<String>,
    },
    /// Says who gets what is addressed to nobody; without an address it is refused.
    CatchAll {
        /// The domain.
        domain: String,
        /// The user.
        address: Option<String>,
    },
    /// Lists the domains.
    List,
    /// Removes a domain that has no users left.
    Remove {
        /// Its name.
        domain: String,
    },
}

impl Domain {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::Add { domain, catch_all } => {
                let new = domains::Domain { name: domain, catch_all };
                let made: domains::Domain = access.post("domains", &new).await?;
                out::line(format_args!("added {}", made.name));
            }
            Self::CatchAll { domain, address } => {
                let change = domains::Domain { name: domain, catch_all: address };
                let changed: domains::Domain = access.put("domains", &change).await?;
                match changed.catch_all {
                    Some(user) => out::line(format_args!("{user} gets all for {}", changed.name)),
                    None => out::line(format_args!("nobody gets all for {}", changed.name)),
                }
            }
            Self::List => {
                let all: Vec<domains::Domain> = access.get("domains", &[]).await?;
                let row = |domain: domains::Domain| {
                    [domain.name, domain.catch_all.unwrap_or_else(|| "-".to_owned())]
                };
                let rows: Vec<_> = all.into_iter().map(row).collect();
                out::table(["DOMAIN", "CATCH-ALL"], &rows);
            }
            Self::Remove { domain } => {
                access.delete("domains", &[("name", &domain)]).await?;
                out::line(format_args!("removed {domain}"));
            }
        }
        Ok(())
    }
}
