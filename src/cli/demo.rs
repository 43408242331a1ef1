//! `mailade demo`: a throw-away appliance on loopback, with mail in it, to be tried at once.

mod bulk;
mod papers;
mod people;
mod pictures;
mod post;
mod sketch;
mod threads;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tokio::time::{MissedTickBehavior, interval};

use self::{
    people::{ALICE, BOB, Person},
    post::Filed,
};
use super::{out, process, serve};
use crate::{
    config::{Address, Config, Loaded, LogLevel, Sources},
    control::{
        Access,
        domains::Domain,
        messages::{Head, Outcome},
        users::{NewUser, User},
    },
    logging,
    server::{Server, Services},
};

/// The password of both users: it opens nothing but this machine's own loopback.
const PASSWORD: &str = "mailade-demo";

/// Pause between two messages that trickle in.
const TRICKLE: Duration = Duration::from_secs(20);

/// Octets of one batch.
const BATCH: usize = 2 << 20;

/// Runs a throw-away appliance on loopback with two users and some hundred messages; Ctrl-C removes
/// it all.
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Keeps the mail in this folder, and finds it there the next time.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Takes any free ports, for a second demonstration beside the first.
    #[arg(long)]
    any_ports: bool,
    /// Prints one line on standard output once every service is open: "ready" and the services with
    /// their addresses as JSON.
    #[arg(long)]
    announce: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<()> {
        process::keep_files_private();
        process::keep_memory_small();
        let temporary = tempfile::Builder::new().prefix("mailade-demo-").tempdir()?;
        let data_dir = match &self.keep {
            Some(dir) => std::path::absolute(dir)?,
            None => temporary.path().join("data"),
        };
        let config = config(&data_dir, self.any_ports);
        logging::start(&config.log);
        serve::tell_open_files(0);
        let sources = Sources::default();
        let (explicit, ignored) = Default::default();
        let loaded = Loaded { config, explicit, ignored, sources };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(self.live(loaded));
        runtime.shutdown_background();
        temporary.close().context("the demonstration's folder cannot be removed")?;
        outcome
    }

    /// From the first door that opens to the last that closes.
    async fn live(&self, loaded: Loaded) -> anyhow::Result<()> {
        let posts = tokio::task::spawn_blocking(|| post::all(now()));
        let server = Server::start(loaded).await?;
        let access = Access::to(Arc::clone(server.house()));
        let users: Vec<User> = access.get("users", &[]).await?;
        if users.is_empty() {
            settle(&access).await?;
            fill(&access, &posts.await?).await?;
        }
        tell(server.services(), self.keep.as_deref());
        if self.announce {
            serve::announce(server.services());
        }
        let stop = server.house().stop.clone();
        tokio::spawn(stop.run_until_cancelled_owned(trickle(access)));
        Ok(server.run().await?)
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Loopback, with the ports of the documentation where they are free, or with any.
fn config(data_dir: &Path, any_ports: bool) -> Config {
    let mut config = Config { data_dir: data_dir.to_owned(), ..Config::default() };
    if let Ok(name) = "mail.demo.example".parse() {
        config.hostname = name;
    }
    config.log.level = LogLevel::Warn;
    let listen = &mut config.listen;
    for (addresses, port) in [
        (&mut listen.imap, 1143),
        (&mut listen.imaps, 1993),
        (&mut listen.smtp, 1025),
        (&mut listen.lmtp, 1024),
        (&mut listen.submission, 1587),
        (&mut listen.submissions, 1465),
    ] {
        *addresses = vec![free(if any_ports { 0 } else { port })];
    }
    for addresses in [
        &mut listen.immp,
        &mut listen.managesieve,
        &mut listen.admin,
        &mut listen.https,
        &mut listen.http,
    ] {
        addresses.clear();
    }
    config
}

/// The port when nobody has it, else any.
fn free(port: u16) -> Address {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let port = if TcpListener::bind(wanted).is_ok() { port } else { 0 };
    Address((Ipv4Addr::LOCALHOST, port).into())
}

/// Makes the domain and its two users.
async fn settle(access: &Access) -> anyhow::Result<()> {
    let domain = Domain { name: "demo.example".to_owned(), catch_all: None };
    let _: Domain = access.post("domains", &domain).await?;
    for (person, owner) in [(ALICE, true), (BOB, false)] {
        let new = NewUser {
            address: person.address.to_owned(),
            name: person.name.to_owned(),
            owner,
            password: PASSWORD.to_owned(),
            scram: true,
        };
        let _: User = access.post("users", &new).await?;
    }
    Ok(())
}

/// Puts everything in its place: few batches for each mailbox, all mailboxes at the same time.
async fn fill(access: &Access, posts: &[Filed]) -> anyhow::Result<()> {
    let mut places: Vec<(Person, &str)> = Vec::new();
    for filed in posts {
        if !places.contains(&(filed.user, filed.mailbox)) {
            places.push((filed.user, filed.mailbox));
        }
    }
    let filling = places.into_iter().map(|(user, mailbox)| async move {
        let here = posts.iter().filter(|filed| filed.user == user && filed.mailbox == mailbox);
        let mut body = Vec::new();
        for filed in here {
            if body.len() > BATCH {
                send(access, user, mailbox, std::mem::take(&mut body)).await?;
            }
            add(&mut body, &filed.flags, Some(filed.date), &filed.octets)?;
        }
        send(access, user, mailbox, body).await
    });
    futures_util::future::try_join_all(filling).await?;
    Ok(())
}

/// Adds a message to a batch.
fn add(
    body: &mut Vec<u8>,
    flags: &[String],
    date: Option<i64>,
    octets: &[u8],
) -> anyhow::Result<()> {
    let head = Head { size: u64::try_from(octets.len())?, flags: flags.to_vec(), date };
    serde_json::to_writer(&mut *body, &head)?;
    body.push(b'\n');
    body.extend_from_slice(octets);
    Ok(())
}

async fn send(access: &Access, user: Person, mailbox: &str, body: Vec<u8>) -> anyhow::Result<()> {
    let query = [("address", user.address), ("mailbox", mailbox), ("run", "1")];
    let outcomes: Vec<Outcome> = access.post_octets("messages", &query, body).await?;
    let refused = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Refused(why) => Some(why),
        _ => None,
    });
    refused.map_or(Ok(()), |why| Err(anyhow::anyhow!("a message was refused: {why}")))
}

/// A message every now and then, so that push can be seen.
async fn trickle(access: Access) {
    let mut times = interval(TRICKLE);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    times.tick().await;
    for number in 0_usize.. {
        times.tick().await;
        let sketch = post::next(number, now());
        let mut body = Vec::new();
        let added = add(&mut body, &[], Some(sketch.date), &sketch.octets());
        let Some(user) = sketch.to.first().copied().filter(|_| added.is_ok()) else {
            continue;
        };
        if let Err(error) = send(&access, user, "INBOX", body).await {
            tracing::warn!(%error, "nothing trickles in");
        }
    }
}

/// The table of services and logins.
fn tell(services: &Services, keep: Option<&Path>) {
    out::line("Mailade demonstration: mail.demo.example");
    out::line("");
    let row = |(service, addresses): (&&str, &Vec<SocketAddr>)| {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        [(*service).to_owned(), addresses.join(" "), secured(service).to_owned()]
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    out::table(["SERVICE", "ADDRESS", "SECURED BY"], &rows);
    out::line("");
    let login = |person: Person| [person.address, PASSWORD, person.name].map(str::to_owned);
    out::table(["LOGIN", "PASSWORD", "NAME"], &[login(ALICE), login(BOB)]);
    out::line("");
    out::line("The certificate is self-signed. A message trickles in every 20 seconds.");
    match keep {
        Some(dir) => {
            out::line(format_args!("Ctrl-C ends it; the mail stays in {}.", dir.display()));
        }
        None => out::line("Ctrl-C ends it and removes everything."),
    }
}

fn secured(service: &str) -> &'static str {
    match service {
        "imaps" | "submissions" | "https" => "TLS",
        "lmtp" => "loopback",
        _ => "STARTTLS, or loopback alone",
    }
}
