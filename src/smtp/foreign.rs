//! Other IMAP servers whose URLs BURL takes (RFC 4468 §3.3, §5): those that the owner has named, and no
//! others. What they give is passed on as octets.
//!
//! A URL with an authorisation is fetched under the login that the owner has given us there, a regular
//! one as the very user who submits (PLAIN with an authorization identity). Whether a server can do
//! both is found out beforehand, once it is up and then every hour, and it is announced as long as it
//! could when it answered last: an announcement does not come and go with the network.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::extensions::Situation;
use crate::{
    mail::{
        self, Spool,
        assemble::{Writer, WrittenAs},
    },
    metrics::{Limit, Metrics},
    net::{
        Resolver,
        imap_client::{Body, Form, ImapClient, ImapError, Login, Secured, Ways},
    },
    wire::{
        address::Address,
        url::{ImapUrl, UrlAccess, UrlMessage, UrlServer},
    },
};

/// Ports that mean a server whatever it is reached by: clients write them, or leave them out.
const USUAL_PORTS: [u16; 2] = [143, 993];
/// Pauses between looks at a server: until it has answered, and afterwards.
const SOON: Duration = Duration::from_mins(1);
const LATER: Duration = Duration::from_hours(1);
/// The first pause before a server is tried again within a command, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Addresses of one server that are tried.
const ADDRESSES_MAX: usize = 4;

/// Another IMAP server, as the owner has it.
pub struct Host {
    /// Its name: in URLs, and in its certificate.
    pub name: String,
    /// Where it is reached.
    pub at: (String, u16),
    /// Our login there.
    pub identity: Login,
    /// How it is spoken to.
    pub ways: Ways,
}

/// All of them; cheap to clone.
#[derive(Clone)]
pub struct Foreign(Arc<Inner>);

struct Inner {
    hosts: BTreeMap<String, Known>,
    names: Arc<Resolver>,
    retry: Duration,
    metrics: Arc<Metrics>,
}

/// A server, and what was found out of it.
struct Known {
    host: Host,
    is_able: AtomicBool,
}

/// What is to be fetched.
pub(super) struct Asked<'a> {
    /// The URL, and what it says.
    pub(super) text: &'a str,
    pub(super) url: &'a ImapUrl,
    /// The address of the user who submits.
    pub(super) submitter: &'a str,
    /// How it is to be written.
    pub(super) form: WrittenAs,
    /// May it take a while?
    pub(super) retry: bool,
}

/// Why there are no octets.
#[derive(Debug, thiserror::Error)]
pub(super) enum Miss {
    /// Of a server that nobody has named, or that does not trust us.
    #[error("no trust relationship")]
    NoTrust,
    /// The authorisation does not hold, or the URL is another user's.
    #[error("no access")]
    NoAccess,
    /// There is no such message, or part of one.
    #[error("gone")]
    Gone,
    /// They do not fit the encoding.
    #[error("unfit")]
    Unfit,
    /// The server can't be reached now.
    #[error("the server is away: {0}")]
    Away(ImapError),
    /// Our own failure, or they are too many.
    #[error(transparent)]
    Mail(#[from] mail::Error),
}

impl Foreign {
    /// These, looked up by these names; one that can't be had now is tried again within a command for
    /// so long, where the client asks for that.
    pub fn new(
        hosts: Vec<Host>,
        names: Arc<Resolver>,
        retry: Duration,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let known = |host: Host| {
            (host.name.to_ascii_lowercase(), Known { host, is_able: AtomicBool::new(false) })
        };
        let hosts = hosts.into_iter().map(known).collect();
        Self(Arc::new(Inner { hosts, names, retry, metrics: Arc::clone(metrics) }))
    }

    /// EHLO's keyword lines in this situation. Whose URLs BURL takes is told to users only (RFC 4468
    /// §3.1), and of those alone that can do all that is asked of them.
    pub fn offers(&self, now: &Situation) -> Vec<String> {
        let mut lines = now.lines();
        let burl = lines.iter_mut().find(|line| line.starts_with("BURL "));
        if let Some(burl) = burl.filter(|_| now.logged_in) {
            for (name, known) in &self.0.hosts {
                if known.is_able.load(Ordering::Relaxed) {
                    burl.push_str(" imap://");
                    burl.push_str(name);
                }
            }
        }
        lines
    }

    /// Finds out what the servers can do, now and again until the end.
    pub async fn watch(self, stop: CancellationToken) {
        let watches = self.0.hosts.values().map(|known| self.watch_one(known));
        let all = futures_util::future::join_all(watches);
        stop.run_until_cancelled(all).await;
    }

    async fn watch_one(&self, known: &Known) {
        let host = known.host.name.as_str();
        loop {
            let pause = match self.probe(&known.host).await {
                Ok(()) => {
                    known.is_able.store(true, Ordering::Relaxed);
                    tracing::info!(host, "URLs of this IMAP server are taken");
                    LATER
                }
                Err(error) if is_temporary(&error) => {
                    tracing::warn!(host, %error, "an IMAP server of [burl] cannot be reached now");
                    SOON
                }
                Err(error) => {
                    known.is_able.store(false, Ordering::Relaxed);
                    tracing::error!(host, %error, "URLs of this IMAP server cannot be taken");
                    LATER
                }
            };
            sleep(pause).await;
        }
    }

    /// Can it do all that is asked of it?
    async fn probe(&self, host: &Host) -> Result<(), ImapError> {
        let mut client = self.connect(host).await?;
        if !client.offers("AUTH=PLAIN").await? {
            return Err(ImapError::Lacks("AUTH=PLAIN"));
        }
        client.log_in(&host.identity).await?;
        if !client.offers("URLAUTH").await? {
            return Err(ImapError::Lacks("URLAUTH"));
        }
        client.log_out().await;
        Ok(())
    }

    /// Fetches what a URL names into an empty spool that `room` makes.
    pub(super) async fn fetch(
        &self,
        asked: &Asked<'_>,
        room: impl Fn() -> Spool,
    ) -> Result<Spool, Miss> {
        let server = asked.url.server.as_ref().ok_or(Miss::NoAccess)?;
        let host = self.host(server).ok_or(Miss::NoTrust)?;
        let message = asked.url.message().ok_or(Miss::Gone)?;
        let login = login(host, message, server, asked.submitter).ok_or(Miss::NoAccess)?;
        let until = Instant::now() + self.0.retry;
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Box::pin(self.begin(host, &login, message, asked));
            let begun = if asked.retry {
                timeout_at(until, begun).await.unwrap_or(Err(Miss::Away(ImapError::TooSlow)))
            } else {
                begun.await
            };
            let done = match begun {
                Ok((client, body)) => take(client, body, asked.form, room()).await,
                Err(miss) => Err(miss),
            };
            let Err(Miss::Away(error)) = done else { return done };
            if error == ImapError::TooSlow {
                self.0.metrics.exceeded(Limit::BurlHostTime);
            }
            let again = Instant::now() + pause;
            if !asked.retry || again >= until {
                if asked.retry {
                    self.0.metrics.exceeded(Limit::BurlRetryTime);
                }
                tracing::warn!(host = host.name, %error, "a URL's IMAP server cannot be reached");
                return Err(Miss::Away(error));
            }
            sleep_until(again).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Gets as far as to the first octet.
    async fn begin(
        &self,
        host: &Host,
        login: &Login,
        message: &UrlMessage,
        asked: &Asked<'_>,
    ) -> Result<(ImapClient, Body), Miss> {
        let mut client = self.connect(host).await.map_err(miss)?;
        client.log_in(login).await.map_err(miss)?;
        let form = wanted(message, asked.form);
        let body = if message.authorisation.is_some() {
            let body = client.url_fetch(asked.text, form).await.map_err(miss)?;
            body.ok_or(Miss::NoAccess)?
        } else {
            client.fetch(message, form).await.map_err(miss)?.ok_or(Miss::Gone)?
        };
        Ok((client, body))
    }

    async fn connect(&self, host: &Host) -> Result<ImapClient, ImapError> {
        let (name, port) = &host.at;
        let addresses = self.0.names.addresses(name).await;
        let addresses = addresses.map_err(|error| ImapError::Away(error.to_string()))?;
        let mut last = ImapError::Away(format!("{name} has no address"));
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            match ImapClient::connect(&host.ways, &host.name, (address, *port).into()).await {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn host(&self, server: &UrlServer) -> Option<&Host> {
        let known = self.0.hosts.get(&server.host.to_ascii_lowercase())?;
        let is_port = |port| USUAL_PORTS.contains(&port) || known.host.at.1 == port;
        server.port.is_none_or(is_port).then_some(&known.host)
    }
}

/// As whom a URL is fetched; None when it is not this user's to use (RFC 4467 §3: whose `submit+` it is
/// only the submission server can say).
fn login(host: &Host, message: &UrlMessage, server: &UrlServer, submitter: &str) -> Option<Login> {
    if let Some(given) = &message.authorisation {
        let is_ours = match &given.access {
            UrlAccess::Submit(user) => means(user, submitter),
            UrlAccess::User(_) | UrlAccess::AuthUser | UrlAccess::Anonymous => true,
        };
        return (is_ours && given.proof.is_some()).then(|| host.identity.clone());
    }
    let is_own = server.user.as_ref().is_none_or(|user| means(user, submitter));
    is_own.then(|| Login { acts_as: Some(submitter.to_owned()), ..host.identity.clone() })
}

/// Does a name, with a domain or without, mean this user?
fn means(name: &str, submitter: &str) -> bool {
    let Ok(submitter) = Address::parse(submitter) else { return false };
    let whole =
        if name.contains('@') { name.to_owned() } else { format!("{name}@{}", submitter.domain()) };
    Address::parse(&whole).is_ok_and(|address| address.key() == submitter.key())
}

/// A part that holds no others is taken without its encoding, to be written in another; everything else
/// stays as it is.
fn wanted(message: &UrlMessage, form: WrittenAs) -> Form {
    let section = message.section.as_deref().unwrap_or_default();
    let is_part = section.ends_with(|c: char| c.is_ascii_digit());
    if form != WrittenAs::Stored && is_part { Form::Decoded } else { Form::Stored }
}

/// Takes all octets.
async fn take(
    mut client: ImapClient,
    mut body: Body,
    form: WrittenAs,
    mut into: Spool,
) -> Result<Spool, Miss> {
    into.check_room(body.size)?;
    let (mut writer, mut out) = (Writer::new(form), Vec::new());
    while let Some(piece) = client.piece(&mut body).await.map_err(miss)? {
        writer.feed(&piece, &mut out);
        into.write(&out)?;
        out.clear();
    }
    let fits = writer.finish(&mut out);
    into.write(&out)?;
    client.log_out().await;
    if fits { Ok(into) } else { Err(Miss::Unfit) }
}

fn is_temporary(error: &ImapError) -> bool {
    matches!(
        error,
        ImapError::Away(_) | ImapError::TooSlow | ImapError::NoTls(_) | ImapError::Nonsense
    )
}

fn miss(error: ImapError) -> Miss {
    match error {
        ImapError::Lacks("BINARY" | "URLAUTH=BINARY") => Miss::Unfit,
        ImapError::Lacks(_) | ImapError::LoginRefused(_) => Miss::NoTrust,
        ImapError::Refused(_) => Miss::Gone,
        temporary => Miss::Away(temporary),
    }
}

impl Host {
    /// How a server is spoken to by default: see `[burl]`.
    pub fn usual_port(secured: Secured) -> u16 {
        if secured == Secured::Tls { 993 } else { 143 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_submitter_with_its_domain_or_without() {
        for (name, same) in [
            ("alice", true),
            ("ALICE", true),
            ("alice@demo.example", true),
            ("Alice@Demo.Example", true),
            ("bob", false),
            ("alice@other.example", false),
            ("", false),
            ("alice@", false),
        ] {
            assert_eq!(means(name, "alice@demo.example"), same, "{name}");
        }
    }
}
