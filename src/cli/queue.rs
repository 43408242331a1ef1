//! `mailade queue`: mail on its way out.

use clap::Subcommand;

use super::out;
use crate::control::{
    Access,
    queue::{Queued, Retried, Standing, Which},
};

#[derive(Debug, Subcommand)]
pub(super) enum Queue {
    /// Lists the messages that wait, oldest first.
    List,
    /// Shows a message's recipients and what was answered last.
    Show {
        /// Its number.
        id: i64,
    },
    /// Tries a message, or all messages, at once.
    Retry {
        /// Its number.
        id: Option<i64>,
    },
    /// Removes a message; nobody is told.
    Remove {
        /// Its number.
        id: i64,
    },
}

impl Queue {
    pub(super) async fn run(self, access: Access) -> anyhow::Result<()> {
        match self {
            Self::List => list(&access).await?,
            Self::Show { id } => {
                let found: Vec<Queued> =
                    access.get("queue", &[("id", id.to_string().as_str())]).await?;
                found.iter().for_each(show);
            }
            Self::Retry { id } => {
                let retried: Retried = access.post("queue", &Which { id }).await?;
                out::line(format_args!("{} recipients are tried now", retried.recipients));
            }
            Self::Remove { id } => {
                access.delete("queue", &[("id", id.to_string().as_str())]).await?;
                out::line(format_args!(
                    "removed {id}; an attempt under way still comes to its end"
                ));
            }
        }
        Ok(())
    }
}

async fn list(access: &Access) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let mut after = 0;
    loop {
        let query = [("after", &*after.to_string())];
        let page: Vec<Queued> = access.get("queue", &query).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.id;
        rows.extend(page.iter().map(row));
    }
    out::table(["ID", "QUEUED", "OCTETS", "SENDER", "RECIPIENTS", "NEXT ATTEMPT"], &rows);
    Ok(())
}

fn row(queued: &Queued) -> [String; 6] {
    let next = queued.recipients.iter().map(|recipient| recipient.next_attempt).min();
    let first = queued.recipients.first().map_or("-", |recipient| &recipient.address);
    let more = queued.recipients.len().saturating_sub(1);
    let recipients = if more > 0 { format!("{first} +{more}") } else { first.to_owned() };
    [
        queued.id.to_string(),
        out::date(queued.created),
        queued.size.to_string(),
        sender(queued),
        recipients,
        next.map_or_else(|| "-".to_owned(), out::date),
    ]
}

fn sender(queued: &Queued) -> String {
    if queued.sender.is_empty() { "<>".to_owned() } else { queued.sender.clone() }
}

fn show(queued: &Queued) {
    out::line(format_args!("{}  {}  {}", queued.id, sender(queued), queued.trace));
    let rows: Vec<_> = queued
        .recipients
        .iter()
        .map(|recipient| {
            let next = match recipient.state {
                Standing::Waiting => out::date(recipient.next_attempt),
                Standing::Reporting => "report".to_owned(),
            };
            [
                recipient.address.clone(),
                recipient.attempts.to_string(),
                next,
                recipient.remote.clone(),
                recipient.reply.clone(),
            ]
        })
        .collect();
    out::table(["RECIPIENT", "ATTEMPTS", "NEXT", "SERVER", "ANSWER"], &rows);
}
