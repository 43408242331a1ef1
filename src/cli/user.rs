//! `mailade user`: the users and their passwords.

use std::io::{BufRead, Read};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::out;
use crate::{
    config::Size,
    control::{Access, users},
};

/// A password longer than this is a mistake.
const PASSWORD_MAX: u64 = 1_024;

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Adds a user with the usual mailboxes.
    Add {
        /// The address, which is also the login name.
        address: String,
        /// The person's name.
        #[arg(long, default_value = "")]
        name: String,
        /// Keeps no keys of the password for SCRAM; mail programs then send it as it is, in TLS.
        #[arg(long)]
        no_scram: bool,
        /// May run the server on its web pages.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: GivenPassword,
    },
    /// Lists the users.
    List {
        /// Only those of one domain.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Removes a user with all mail.
    Remove {
        /// The address.
        address: String,
    },
    /// Sets a new password.
    Password {
        /// The address.
        address: String,
        #[command(flatten)]
        password: GivenPassword,
    },
    /// Says how much mail a user may keep; without a number the server's default holds.
    Quota {
        /// The address.
        address: String,
        /// Octets of all mail, such as "5 GiB".
        #[arg(long, value_name = "SIZE", value_parser = size)]
        octets: Option<Size>,
        /// Number of messages.
        #[arg(long, value_name = "NUMBER")]
        messages: Option<u64>,
    },
    /// Lets a user log in and get mail again.
    Enable {
        /// The address.
        address: String,
    },
    /// Keeps a user from logging in and getting mail.
    Disable {
        /// The address.
        address: String,
    },
}

/// How a password is given: never as an argument, which others could see.
#[derive(Args, Debug)]
pub(super) struct GivenPassword {
    /// Reads the password from the first line of standard input.
    #[arg(long, required = true)]
    password_stdin: bool,
}

impl User {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::Add { address, name, no_scram, admin, .. } => {
                let password = read_password()?;
                let new =
                    users::NewUser { address, name, owner: admin, password, scram: !no_scram };
                let made: users::User = access.post("users", &new).await?;
                out::line(format_args!("added {}", made.address));
            }
            Self::List { domain } => {
                let query: Vec<_> = domain.iter().map(|name| ("domain", name.as_str())).collect();
                let all: Vec<users::User> = access.get("users", &query).await?;
                list(&all);
            }
            Self::Remove { address } => {
                access.delete("users", &[("address", &address)]).await?;
                out::line(format_args!("removed {address}"));
            }
            Self::Password { address, .. } => {
                let password = Some(read_password()?);
                change(&access, users::Change { password, ..users::Change::of(address) }).await?;
            }
            Self::Quota { address, octets, messages } => {
                let quota = users::Quota { octets: octets.map(Size::octets), messages };
                let quota = Some(quota);
                change(&access, users::Change { quota, ..users::Change::of(address) }).await?;
            }
            Self::Enable { address } => {
                let enabled = Some(true);
                change(&access, users::Change { enabled, ..users::Change::of(address) }).await?;
            }
            Self::Disable { address } => {
                let enabled = Some(false);
                change(&access, users::Change { enabled, ..users::Change::of(address) }).await?;
            }
        }
        Ok(())
    }
}

/// The first line of standard input.
fn read_password() -> anyhow::Result<String> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(PASSWORD_MAX + 2);
    input.read_line(&mut line).context("no password can be read from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("standard input holds no password");
    }
    if u64::try_from(password.len())? > PASSWORD_MAX {
        bail!("the password is longer than {PASSWORD_MAX} octets");
    }
    Ok(password.to_owned())
}

async fn change(access: &Access, change: users::Change) -> anyhow::Result<()> {
    let changed: users::User = access.put("users", &change).await?;
    out::line(format_args!("changed {}", changed.address));
    Ok(())
}

fn list(all: &[users::User]) {
    let row = |user: &users::User| {
        let mut kinds = Vec::new();
        kinds.extend(user.owner.then_some("owner"));
        kinds.extend((!user.enabled).then_some("disabled"));
        let quota = user.quota.octets.map_or_else(|| "default".to_owned(), human);
        [
            user.address.clone(),
            user.name.clone(),
            kinds.join(" "),
            user.used_messages.to_string(),
            human(user.used_octets),
            quota,
        ]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    out::table(["ADDRESS", "NAME", "KIND", "MESSAGES", "OCTETS", "QUOTA"], &rows);
}

pub(super) fn human(octets: u64) -> String {
    indicatif::HumanBytes(octets).to_string()
}

pub(super) fn size(text: &str) -> Result<Size, String> {
    text.parse().map_err(|()| "a size such as \"5 GiB\" is expected".to_owned())
}
