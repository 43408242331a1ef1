//! The server's side: its pair, which can be loaded anew while connections go on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, SystemTime},
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, ProducesTickets},
};
use tokio_rustls::TlsAcceptor;

use super::{HANDSHAKE, TlsError, chain, own, private_key};

/// What is spoken within TLS. A client that names protocols must name this one (RFC 7301 §3.2), so
/// that nobody is led to a door that was not meant (ALPACA); one that names none is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `imap` (RFC 9325 and the IANA registry)
    Imap,
    /// `smtp`
    Smtp,
    /// `lmtp`
    Lmtp,
    /// `managesieve`
    ManageSieve,
}

impl Protocol {
    const ALL: [Self; 4] = [Self::Imap, Self::Smtp, Self::Lmtp, Self::ManageSieve];

    const fn id(self) -> &'static [u8] {
        match self {
            Self::Imap => b"imap",
            Self::Smtp => b"smtp",
            Self::Lmtp => b"lmtp",
            Self::ManageSieve => b"managesieve",
        }
    }
}

/// The server's side: a certificate chain with its key, and what goes on between handshakes. Cheap to
/// clone; all clones load anew together.
#[derive(Clone)]
pub struct ServerTls {
    shared: Arc<Shared>,
    protocol: Option<Protocol>,
    handshake: Duration,
}

struct Shared {
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Loaded>,
}

struct Loaded {
    cert: PathBuf,
    key: PathBuf,
    stamp: Stamp,
    /// For whatever protocol, then for each of them.
    any: Arc<ServerConfig>,
    each: [Arc<ServerConfig>; Protocol::ALL.len()],
}

/// When the two files were changed last.
type Stamp = (Option<SystemTime>, Option<SystemTime>);

impl ServerTls {
    /// Loads a chain and its key from PEM files.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new()?;
        let current = RwLock::new(load(cert, key, &tickets)?);
        let shared = Arc::new(Shared { tickets, current });
        Ok(Self { shared, protocol: None, handshake: HANDSHAKE })
    }

    /// Uses the pair in `folder` that was signed by itself; makes one if there is none that is good
    /// at `now` for this host.
    pub fn own(folder: &Path, host: &str, now: SystemTime) -> Result<Self, TlsError> {
        let (cert, key) = own::pair(folder, host, now)?;
        Self::load(&cert, &key)
    }

    /// Could [`Self::own`] use this folder? Makes nothing.
    pub fn check_own(folder: &Path) -> Result<(), TlsError> {
        own::check(folder)
    }

    /// The same for one protocol alone.
    #[must_use]
    pub fn speaking(&self, protocol: Protocol) -> Self {
        Self { protocol: Some(protocol), ..self.clone() }
    }

    /// Waits so long for the other side of a handshake, instead of 10 s.
    #[must_use]
    pub fn with_handshake_time(self, handshake: Duration) -> Self {
        Self { handshake, ..self }
    }

    /// Loads the files again; connections that stand keep what they have. After a fault all stays as
    /// it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (cert, key) = {
            let current = self.current();
            (current.cert.clone(), current.key.clone())
        };
        self.load_anew(&cert, &key)
    }

    /// Loads other files from now on. After a fault all stays as it was.
    pub fn load_anew(&self, cert: &Path, key: &Path) -> Result<(), TlsError> {
        let loaded = load(cert, key, &self.shared.tickets)?;
        *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The same with the pair in `folder` that was signed by itself; see [`Self::own`].
    pub fn own_anew(&self, folder: &Path, host: &str, now: SystemTime) -> Result<(), TlsError> {
        let (cert, key) = own::pair(folder, host, now)?;
        self.load_anew(&cert, &key)
    }

    /// Loads the files again if one of them has changed; says whether it did.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let changed = {
            let current = self.current();
            current.stamp != stamp(&current.cert, &current.key)
        };
        if changed {
            self.reload()?;
        }
        Ok(changed)
    }

    /// The file with our certificate chain.
    pub fn cert_path(&self) -> PathBuf {
        self.current().cert.clone()
    }

    /// How long a handshake may take.
    pub(in crate::net) fn handshake_time(&self) -> Duration {
        self.handshake
    }

    /// What the next handshake is done with. Whatever name a client asks for, it gets our chain.
    pub(in crate::net) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current();
        let each = Protocol::ALL.iter().zip(&current.each);
        let ours = each.filter(|(protocol, _)| Some(**protocol) == self.protocol);
        let config = ours.map(|(_, config)| config).next().unwrap_or(&current.any);
        TlsAcceptor::from(Arc::clone(config))
    }

    fn current(&self) -> RwLockReadGuard<'_, Loaded> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("cert", &self.cert_path()).finish_non_exhaustive()
    }
}

fn load(cert: &Path, key: &Path, tickets: &Arc<dyn ProducesTickets>) -> Result<Loaded, TlsError> {
    // Taken before reading: a change in between is seen as one at the next look.
    let stamp = stamp(cert, key);
    let (chain, private) = (chain(cert)?, private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|source| unfit(cert, key, source))?;
    // A ticket is kept by the client; one is enough, and we keep nothing for anybody.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Arc::clone(tickets);
    config.send_tls13_tickets = 1;
    let each = Protocol::ALL.map(|protocol| {
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.id().to_vec()];
        Arc::new(config)
    });
    let (cert, key) = (cert.to_owned(), key.to_owned());
    Ok(Loaded { cert, key, stamp, any: Arc::new(config), each })
}

/// Why a pair cannot be used, each file of which could be read.
fn unfit(cert: &Path, key: &Path, source: rustls::Error) -> TlsError {
    match source {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() }
        }
        source => TlsError::Pair { path: cert.to_owned(), source },
    }
}

fn stamp(cert: &Path, key: &Path) -> Stamp {
    let changed = |path| fs::metadata(path).and_then(|data| data.modified()).ok();
    (changed(cert), changed(key))
}
