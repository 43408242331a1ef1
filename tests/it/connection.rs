//! One end of a conversation, as a client has it: lines and replies, in the clear or over TLS.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// Longer than any answer takes, even on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(20);

enum Layer {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection to a service.
pub(crate) struct Connection {
    layer: Layer,
    deflate: Option<Box<(Compress, Decompress)>>,
    buffered: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// A connection from this address of ours.
    pub(crate) fn from(source: IpAddr, address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((source, 0).into()).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        };
        let tcp = runtime.block_on(connect);
        tcp.set_nonblocking(false).unwrap();
        Self::over(tcp)
    }

    fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { layer: Layer::Plain(tcp), deflate: None, buffered: Vec::new() }
    }

    /// Puts TLS on; any certificate will do.
    pub(crate) fn with_tls(self) -> Self {
        self.try_tls().unwrap()
    }

    /// The same, or why the handshake failed.
    pub(crate) fn try_tls(self) -> io::Result<Self> {
        let Layer::Plain(tcp) = self.layer else { panic!("TLS is on already") };
        // The first octet of an alert: the server has seen a handshake that is none.
        if self.buffered.starts_with(b"\x15") {
            return Err(io::Error::other("alert"));
        }
        assert!(self.buffered.is_empty(), "the server spoke before the handshake");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(aws_lc_rs::default_provider())))
            .with_no_client_auth();
        let name = ServerName::try_from("mail.demo.example").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(client, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { layer: Layer::Tls(Box::new(stream)), deflate: None, buffered: Vec::new() })
    }

    /// Deflates both ways from here on (RFC 4978 §3).
    pub(crate) fn compressed(self) -> Self {
        assert!(self.buffered.is_empty(), "the server spoke before it could be inflated");
        let deflate = Compress::new(Compression::default(), false);
        Self { deflate: Some(Box::new((deflate, Decompress::new(false)))), ..self }
    }

    /// Waits so long for what is read.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        let tcp = match &self.layer {
            Layer::Plain(tcp) => tcp,
            Layer::Tls(tls) => &tls.sock,
        };
        tcp.set_read_timeout(Some(patience)).unwrap();
    }

    /// The server's own certificate.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let Layer::Tls(tls) = &self.layer else { panic!("TLS is off") };
        tls.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// The `tls-exporter` binding (RFC 9266 §2).
    pub(crate) fn channel_binding(&self) -> Vec<u8> {
        let Layer::Tls(tls) = &self.layer else { panic!("TLS is off") };
        let label = b"EXPORTER-Channel-Binding";
        tls.conn.export_keying_material(vec![0; 32], label, Some(b"")).unwrap()
    }

    pub(crate) fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(deflate) = &mut self.deflate else { return self.send_as_it_is(octets) };
        let mut out = Vec::with_capacity(octets.len() + 1_000);
        deflate.0.compress_vec(octets, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.len() < out.capacity());
        self.send_as_it_is(&out)
    }

    /// Past what deflates, if anything does.
    pub(crate) fn send_as_it_is(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain(tcp) => tcp.write_all(octets),
            Layer::Tls(tls) => tls.write_all(octets).and_then(|()| tls.flush()),
        }
    }

    pub(crate) fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\r\n").as_bytes())
    }

    /// The next line without its end; an empty one and `UnexpectedEof` when the server has closed.
    pub(crate) fn read_line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = self.read_line_with_end()?;
        line.pop();
        line.pop_if(|octet| *octet == b'\r');
        Ok(line)
    }

    /// The next line as it came.
    pub(crate) fn read_line_with_end(&mut self) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            let rest = self.buffered.get(seen..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|&octet| octet == b'\n') {
                return Ok(self.buffered.drain(..=seen + at).collect());
            }
            seen = self.buffered.len();
            self.fill()?;
        }
    }

    /// A run of octets, as a literal announces it.
    pub(crate) fn read_octets(&mut self, octets: usize) -> io::Result<Vec<u8>> {
        while self.buffered.len() < octets {
            self.fill()?;
        }
        Ok(self.buffered.drain(..octets).collect())
    }

    /// One answer of SMTP with all its lines, joined by line feeds.
    pub(crate) fn read_reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let line = String::from_utf8_lossy(&self.read_line()?).into_owned();
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return Ok(reply);
            }
            reply.push('\n');
        }
    }

    /// Sends a line of SMTP and reads the answer.
    pub(crate) fn command(&mut self, line: &str) -> io::Result<String> {
        self.send_line(line)?;
        self.read_reply()
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let read = match &mut self.layer {
            Layer::Plain(tcp) => tcp.read(&mut piece)?,
            Layer::Tls(tls) => tls.read(&mut piece)?,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let piece = piece.get(..read).unwrap_or_default();
        let Some(deflate) = &mut self.deflate else {
            self.buffered.extend_from_slice(piece);
            return Ok(());
        };
        let (inflate, mut taken) = (&mut deflate.1, 0);
        while taken < piece.len() {
            self.buffered.reserve(64 * 1024);
            let before = inflate.total_in();
            let rest = &piece[taken..];
            let status = inflate.decompress_vec(rest, &mut self.buffered, FlushDecompress::None);
            taken += usize::try_from(inflate.total_in() - before).unwrap();
            if status.map_err(io::Error::other)? == Status::StreamEnd {
                break;
            }
        }
        Ok(())
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(CryptoProvider);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
