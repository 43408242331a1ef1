//! `mailade shared`: mailboxes that belong to nobody alone, and who may do what with them.

use clap::Subcommand;

use super::{
    out,
    user::{human, size},
};
use crate::{
    config::Size,
    control::{Access, shared, users::Quota},
};

#[derive(Debug, Subcommand)]
pub(super) enum Shared {
    /// Makes a mailbox below Shared/, which nobody but administrators sees at first.
    Add {
        /// Its name below Shared/, such as "Team" or "Team/2026".
        name: String,
    },
    /// Lists the shared mailboxes and who may do what with them.
    List,
    /// Says what a user may do with a shared mailbox.
    ///
    /// The rights are letters (RFC 4314): l see it, r read, s mark as read, w other flags, i put
    /// messages in, p post, k make mailboxes below, x delete it, t mark as deleted, e expunge, a give
    /// rights. "lrs" reads, "lrswite" works with it.
    Allow {
        /// Its name below Shared/.
        name: String,
        /// A user's address, or anyone for all users; with a - before it, what they may not.
        #[arg(allow_hyphen_values = true)]
        who: String,
        /// The rights from now on; +LETTERS or -LETTERS changes some, "" takes all away.
        #[arg(allow_hyphen_values = true)]
        rights: String,
    },
    /// Says how much mail all shared mailboxes may keep; without a number the server's default holds.
    Quota {
        /// Octets of all mail, such as "5 GiB".
        #[arg(long, value_name = "SIZE", value_parser = size)]
        octets: Option<Size>,
        /// Number of messages.
        #[arg(long, value_name = "NUMBER")]
        messages: Option<u64>,
    },
    /// Removes a shared mailbox with all messages in it.
    Remove {
        /// Its name below Shared/.
        name: String,
    },
}

impl Shared {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::Add { name } => {
                let made: shared::Mailbox = access.post("shared", &shared::Which { name }).await?;
                out::line(format_args!("added {}", made.name));
            }
            Self::List => {
                let all: Vec<shared::Mailbox> = access.get("shared", &[]).await?;
                let rows: Vec<_> = all.iter().map(row).collect();
                out::table(["MAILBOX", "MESSAGES", "OCTETS", "RIGHTS"], &rows);
            }
            Self::Allow { name, who, rights } => {
                let change = shared::Change { name, identifier: who, rights };
                let changed: shared::Mailbox = access.put("shared/rights", &change).await?;
                let [name, _, _, rights] = row(&changed);
                out::line(format_args!("{name}: {rights}"));
            }
            Self::Quota { octets, messages } => {
                let quota = Quota { octets: octets.map(Size::octets), messages };
                let () = access.put("shared/quota", &quota).await?;
                out::line(format_args!("changed the quota of all shared mailboxes"));
            }
            Self::Remove { name } => {
                access.delete("shared", &[("name", &name)]).await?;
                out::line(format_args!("removed {name}"));
            }
        }
        Ok(())
    }
}

fn row(mailbox: &shared::Mailbox) -> [String; 4] {
    let rights: Vec<_> =
        mailbox.rights.iter().map(|who| format!("{}={}", who.identifier, who.rights)).collect();
    let rights = if rights.is_empty() { "-".to_owned() } else { rights.join(" ") };
    [mailbox.name.clone(), mailbox.messages.to_string(), human(mailbox.octets), rights]
}
