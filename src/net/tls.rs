//! Certificates and keys, ours and others': what TLS is put on with.
//!
//! The server's pair comes from two PEM files, or is made here and signed by itself. It can be
//! loaded anew while connections go on. [`Stream`](super::Stream) does the handshakes.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::{Duration, SystemTime},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{NoServerSessionStorage, ProducesTickets},
};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::{Connect, TlsAcceptor, TlsConnector};

mod own;

/// How long a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: not a PEM file as expected here: {source}", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{}: no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    #[error("{}: readable by others than its owner and group; chmod it to 0600", .0.display())]
    OpenKey(PathBuf),
    #[error("{}: certificate and key cannot be used: {source}", path.display())]
    Pair { path: PathBuf, source: rustls::Error },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// Makes the cryptography library the process's one. Calls after the first change nothing.
pub fn install_provider() {
    let _there_already = CryptoProvider::install_default(aws_lc_rs::default_provider());
}

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
    pub(super) fn handshake_time(&self) -> Duration {
        self.handshake
    }

    /// What the next handshake is done with. Whatever name a client asks for, it gets our chain.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
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
        .map_err(|source| TlsError::Pair { path: cert.to_owned(), source })?;
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

fn stamp(cert: &Path, key: &Path) -> Stamp {
    let changed = |path| fs::metadata(path).and_then(|data| data.modified()).ok();
    (changed(cert), changed(key))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(file)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(TlsError::OpenKey(path.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

/// The client's side: whom we believe.
#[derive(Clone)]
pub struct ClientTls(TlsConnector);

impl ClientTls {
    /// Believes whom this machine believes, and whom the certificates in the file vouch for.
    pub fn verified(extra: Option<&Path>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let extra = extra.map(chain).transpose()?.unwrap_or_default();
        // A machine without any certificates of its own can still use the given ones.
        let verifier: Arc<dyn ServerCertVerifier> =
            match Verifier::new_with_extra_roots(extra.clone(), Arc::clone(&provider)) {
                Ok(verifier) => Arc::new(verifier),
                Err(error) if extra.is_empty() => return Err(error.into()),
                Err(_) => only(extra, Arc::clone(&provider))?,
            };
        Self::new(provider, verifier)
    }

    /// Believes anybody: for mail that would else go in clear words (RFC 7435), and nothing more.
    pub fn opportunistic() -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anybody = Anybody(provider.signature_verification_algorithms);
        Self::new(provider, Arc::new(anybody))
    }

    fn new(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, TlsError> {
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The handshake with a server of this name or address.
    pub(super) fn connect(&self, tcp: TcpStream, host: &str) -> io::Result<Connect<TcpStream>> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(self.0.connect(name, tcp))
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTls")
    }
}

fn only(
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map(|verifier| -> Arc<dyn ServerCertVerifier> { verifier })
        .map_err(|error| TlsError::Library(rustls::Error::General(error.to_string())))
}

/// Takes any certificate, but holds its owner to what he signs in the handshake.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        metrics::Metrics,
        net::{LineEnds, Memory, MemoryLimits, Stream, open},
    };

    fn own(folder: &Path) -> ServerTls {
        ServerTls::own(folder, "mail.example.org", SystemTime::now()).unwrap()
    }

    async fn sockets() -> (Stream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (Stream::new(server).unwrap(), Stream::new(client).unwrap())
    }

    async fn shake(
        server: &ServerTls,
        client: &ClientTls,
        host: &str,
    ) -> io::Result<(Stream, Stream)> {
        let (mut ours, mut theirs) = sockets().await;
        let (one, two) = tokio::join!(ours.start_tls(server), theirs.connect_tls(client, host));
        two.and(one).map(|()| (ours, theirs))
    }

    #[tokio::test]
    async fn both_ends_derive_the_same_binding_and_talk() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        let client = ClientTls::verified(Some(&server.cert_path())).unwrap();
        let (ours, theirs) = shake(&server, &client, "mail.example.org").await.unwrap();
        assert!(ours.is_tls() && ours.is_secured());
        assert!(ours.channel_binding().is_some());
        assert_eq!(ours.channel_binding(), theirs.channel_binding());
        assert_eq!(ours.agreed().unwrap().version, "TLSv1.3");
        let memory = Memory::new(MemoryLimits::default(), &Metrics::new());
        let (mut input, _) = open(ours, LineEnds::Strict, &memory);
        let (_, mut output) = open(theirs, LineEnds::Strict, &memory);
        output.put("EHLO x\r\n");
        output.close().await.unwrap();
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"EHLO x");
        assert!(input.line(100).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_certificate_holds_for_its_names_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        let client = ClientTls::verified(Some(&server.cert_path())).unwrap();
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(shake(&server, &client, host).await.is_ok(), "{host}");
        }
        assert!(shake(&server, &client, "other.example.org").await.is_err());
        let anybody = ClientTls::opportunistic().unwrap();
        assert!(shake(&server, &anybody, "other.example.org").await.is_ok());
    }

    #[tokio::test]
    async fn a_client_that_names_protocols_must_name_ours() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        let anybody = ClientTls::opportunistic().unwrap();
        for (ours, theirs, welcome) in [
            (Protocol::Imap, &["imap"][..], true),
            (Protocol::Smtp, &["smtp"], true),
            (Protocol::ManageSieve, &["managesieve"], true),
            (Protocol::Imap, &["h2", "http/1.1", "imap"], true),
            (Protocol::Imap, &[], true),
            (Protocol::Imap, &["http/1.1"], false),
            (Protocol::Imap, &["smtp"], false),
            (Protocol::Smtp, &["imap"], false),
            (Protocol::Smtp, &["h2", "http/1.1"], false),
        ] {
            let mut config = ClientConfig::clone(anybody.0.config());
            config.alpn_protocols = theirs.iter().map(|name| name.as_bytes().to_vec()).collect();
            let client = ClientTls(TlsConnector::from(Arc::new(config)));
            let shaken = shake(&server.speaking(ours), &client, "localhost").await;
            assert_eq!(shaken.is_ok(), welcome, "{ours:?} {theirs:?}");
        }
    }

    #[tokio::test]
    async fn words_in_clear_before_tls_are_gone_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        let client = ClientTls::opportunistic().unwrap();
        let (ours, theirs) = sockets().await;
        let memory = Memory::new(MemoryLimits::default(), &Metrics::new());
        let (mut input, _output) = open(ours, LineEnds::Strict, &memory);
        let (mut their_input, mut their_output) = open(theirs, LineEnds::Strict, &memory);
        their_output.put("STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n");
        their_output.flush().await.unwrap();
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"STARTTLS");
        assert!(input.has_buffered());
        let (one, two) =
            tokio::join!(input.start_tls(&server), their_input.connect_tls(&client, "localhost"));
        one.and(two).unwrap();
        their_output.put("EHLO x\r\n");
        their_output.flush().await.unwrap();
        assert_eq!(input.line(100).await.unwrap().unwrap(), b"EHLO x");
        assert!(input.is_tls());
    }

    #[tokio::test]
    async fn a_failed_handshake_leaves_a_closed_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, theirs) = sockets().await;
        let memory = Memory::new(MemoryLimits::default(), &Metrics::new());
        let (_, mut output) = open(theirs, LineEnds::Strict, &memory);
        output.put("this is no ClientHello at all\r\n");
        output.flush().await.unwrap();
        assert!(ours.start_tls(&own(folder.path())).await.is_err());
        assert!(!ours.is_tls());
        assert!(ours.readable().await.is_err());
    }

    #[tokio::test]
    async fn a_handshake_that_does_not_go_on_ends() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path()).with_handshake_time(Duration::ZERO);
        let (mut ours, _theirs) = sockets().await;
        let error = ours.start_tls(&server).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_a_group_may() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        let key = folder.path().join("self-signed.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        server.reload().unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
        assert!(matches!(server.reload(), Err(TlsError::OpenKey(_))));
    }

    #[test]
    fn a_faulty_pair_leaves_the_old_one_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let server = own(folder.path());
        assert!(!server.reload_if_changed().unwrap());
        let cert = server.cert_path();
        fs::write(&cert, "nothing").unwrap();
        fs::File::open(&cert).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(matches!(server.reload_if_changed(), Err(TlsError::NoCertificate(_))));
        let other = tempfile::tempdir().unwrap();
        fs::copy(own(other.path()).cert_path(), &cert).unwrap();
        assert!(matches!(server.reload(), Err(TlsError::Pair { .. })));
        let _still_there = server.acceptor();
    }
}
