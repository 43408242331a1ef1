//! An IMAP server that says and does what a test has written for it, misbehaviour too.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

/// The name in the certificate of every such server, beside localhost.
pub(crate) const NAME: &str = "imap.remote.example";
/// Longer than any client takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server; each connection has a thread, which ends when its part was played.
pub(crate) struct ImapServer {
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// One end of a conversation, as the server has it.
pub(crate) struct Peer {
    layer: Layer,
    tls: Arc<ServerConfig>,
    buffered: Vec<u8>,
    /// The how many-th connection this is, from 1.
    pub(crate) number: usize,
}

enum Layer {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

impl ImapServer {
    /// Plays this part over TLS.
    pub(crate) fn over_tls(
        part: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |peer| {
            peer.start_tls()?;
            part(peer)
        })
    }

    /// Plays this part in the clear, at first.
    pub(crate) fn start(
        part: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::asking(None, part)
    }

    /// The same; whoever puts TLS on must show this certificate.
    pub(crate) fn asking(
        client: Option<CertificateDer<'static>>,
        part: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made =
            rcgen::generate_simple_self_signed(vec![NAME.to_owned(), "localhost".to_owned()])
                .unwrap();
        fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = client.map_or_else(WebPkiClientVerifier::no_client_auth, |client| {
            let mut roots = RootCertStore::empty();
            roots.add(client).unwrap();
            let (roots, provider) = (Arc::new(roots), Arc::clone(&provider));
            WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap()
        });
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let (tls, part) = (Arc::new(tls), Arc::new(part));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (number, tcp) in (1..).zip(listener.incoming()) {
                let (tcp, tls, part) = (tcp.unwrap(), Arc::clone(&tls), Arc::clone(&part));
                tcp.set_read_timeout(Some(PATIENCE)).unwrap();
                tcp.set_nodelay(true).unwrap();
                let layer = Layer::Plain(tcp);
                let mut peer = Peer { layer, tls, buffered: Vec::new(), number };
                thread::spawn(move || {
                    let _the_client_may_leave = part(&mut peer);
                });
            }
        });
        Self { address, folder }
    }

    /// The certificate's file.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }
}

impl Peer {
    pub(crate) fn say(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain(tcp) => tcp.write_all(text.as_ref()),
            Layer::Tls(tls) => tls.write_all(text.as_ref()).and_then(|()| tls.flush()),
            Layer::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next line without its end.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffered.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.buffered.drain(..=at).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches("\r\n").to_owned());
            }
            self.fill()?;
        }
    }

    /// So many octets.
    pub(crate) fn octets(&mut self, number: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < number {
            self.fill()?;
        }
        Ok(self.buffered.drain(..number).collect())
    }

    /// A line that must hold these words; its tag.
    pub(crate) fn expect(&mut self, words: &str) -> io::Result<String> {
        let line = self.line()?;
        assert!(line.contains(words), "{words:?} is not in {line:?}");
        Ok(line.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Answers a line that must hold these words; `TAG` is the line's.
    pub(crate) fn answer(&mut self, words: &str, answer: &str) -> io::Result<()> {
        let tag = self.expect(words)?;
        self.say(answer.replace("TAG", &tag))
    }

    pub(crate) fn start_tls(&mut self) -> io::Result<()> {
        let Layer::Plain(tcp) = std::mem::replace(&mut self.layer, Layer::Gone) else {
            panic!("TLS is on already");
        };
        let connection = ServerConnection::new(Arc::clone(&self.tls)).unwrap();
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.layer = Layer::Tls(Box::new(stream));
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let read = match &mut self.layer {
            Layer::Plain(tcp) => tcp.read(&mut piece)?,
            Layer::Tls(tls) => tls.read(&mut piece)?,
            Layer::Gone => 0,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffered.extend_from_slice(&piece[..read]);
        Ok(())
    }
}
