//! The least clients that can load a server: blocking sockets, every answer checked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, LazyLock},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// What an awake client reads into, and what a sleeping one keeps.
const AWAKE: usize = 64 << 10;
const ASLEEP: usize = 512;

/// A connection of lines.
pub(crate) struct Wire {
    input: BufReader<Layer>,
}

enum Layer {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// Between two others.
    None,
}

impl Wire {
    pub(crate) fn connect(port: u16) -> Self {
        Self { input: BufReader::with_capacity(AWAKE, Layer::Plain(socket(port))) }
    }

    fn connect_tls(port: u16) -> Self {
        static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider);
            let config = config.with_safe_default_protocol_versions().unwrap();
            let mut config =
                config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
            config.dangerous().set_certificate_verifier(Arc::new(Anybody));
            Arc::new(config)
        });
        let name = ServerName::try_from("mail.demo.example").unwrap();
        let tls = ClientConnection::new(Arc::clone(&CONFIG), name).unwrap();
        let layer = Layer::Tls(Box::new(StreamOwned::new(tls, socket(port))));
        Self { input: BufReader::with_capacity(AWAKE, layer) }
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.input.get_mut().write_all(octets).unwrap();
        self.input.get_mut().flush().unwrap();
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        assert!(self.input.read_until(b'\n', &mut line).unwrap() > 0, "the server hung up");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Keeps little memory from now on; nothing may be waiting to be read.
    fn sleep(&mut self) {
        assert!(self.input.buffer().is_empty(), "something waits");
        let layer = std::mem::replace(self.input.get_mut(), Layer::None);
        self.input = BufReader::with_capacity(ASLEEP, layer);
    }
}

fn socket(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    stream
}

impl Read for Layer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::None => Ok(0),
        }
    }
}

impl Write for Layer {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(octets),
            Self::Tls(tls) => tls.write(octets),
            Self::None => Ok(0),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
            Self::None => Ok(()),
        }
    }
}

/// Takes the server's self-signed certificate for good: only speed and memory are measured here.
#[derive(Debug)]
struct Anybody;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

/// An LMTP client.
pub(crate) struct Lmtp(Wire);

impl Lmtp {
    pub(crate) fn connect(port: u16) -> Self {
        let mut wire = Wire::connect(port);
        wire.line();
        wire.send(b"LHLO bench\r\n");
        while !wire.line().starts_with("250 ") {}
        Self(wire)
    }

    /// Hands one message over; returns when it is acknowledged.
    pub(crate) fn deliver(&mut self, to: &str, message: &[u8]) {
        let wire = &mut self.0;
        wire.send(format!("MAIL FROM:<s@example.org>\r\nRCPT TO:<{to}>\r\nDATA\r\n").as_bytes());
        for expected in ["250", "250", "354"] {
            let line = wire.line();
            assert!(line.starts_with(expected), "{line}");
        }
        wire.send(&[message, b".\r\n"].concat());
        let line = wire.line();
        assert!(line.starts_with("250"), "{line}");
    }
}

/// A client that sends mail, logged in.
pub(crate) struct Smtp(Wire);

impl Smtp {
    pub(crate) fn login(port: u16, user: &str) -> Self {
        let mut wire = Wire::connect(port);
        wire.line();
        wire.send(b"EHLO bench\r\n");
        while !wire.line().starts_with("250 ") {}
        let plain = BASE64_STANDARD.encode(format!("\0{user}\0secret"));
        let mut smtp = Self(wire);
        smtp.send(&format!("AUTH PLAIN {plain}\r\n"), &["235"]);
        smtp
    }

    /// Sends commands, all at once; their answers must begin so.
    pub(crate) fn send(&mut self, commands: &str, expected: &[&str]) {
        self.0.send(commands.as_bytes());
        for expected in expected {
            let line = self.0.line();
            assert!(line.starts_with(expected), "{line}");
        }
    }
}

/// An IMAP client.
pub(crate) struct Imap {
    wire: Wire,
    tag: u32,
}

impl Imap {
    pub(crate) fn login(port: u16, user: &str) -> Self {
        Self::greeted(Wire::connect(port), user)
    }

    pub(crate) fn login_tls(port: u16, user: &str) -> Self {
        Self::greeted(Wire::connect_tls(port), user)
    }

    fn greeted(mut wire: Wire, user: &str) -> Self {
        let greeting = wire.line();
        assert!(greeting.starts_with("* OK"), "{greeting}");
        let mut imap = Self { wire, tag: 0 };
        imap.command(&format!("LOGIN {user} secret"));
        imap
    }

    /// Sends a command; gives its untagged lines and literals.
    pub(crate) fn command(&mut self, text: &str) -> Answer {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.wire.send(format!("{tag}{text}\r\n").as_bytes());
        self.answer(&tag, text)
    }

    fn answer(&mut self, tag: &str, text: &str) -> Answer {
        let mut answer = Answer::default();
        loop {
            let line = self.wire.line();
            if let Some(status) = line.strip_prefix(tag) {
                assert!(status.starts_with("OK"), "{text}: {line}");
                status.clone_into(&mut answer.status);
                return answer;
            }
            // What Dovecot says while it is at work belongs to no answer.
            if line.starts_with("* OK Searched ") {
                continue;
            }
            answer.lines += usize::from(line.starts_with("* "));
            answer.octets += line.len();
            answer.hash = line.bytes().fold(answer.hash, |hash, octet| {
                (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01b3)
            });
            if let Some(length) = literal(&line) {
                let mut octets = vec![0; length];
                self.wire.input.read_exact(&mut octets).unwrap();
                answer.literal = octets;
            } else if answer.text.len() < 4096 {
                answer.text.push_str(&line);
            }
        }
    }

    /// APPENDs a message with a synchronising literal.
    pub(crate) fn append(&mut self, mailbox: &str, message: &[u8]) {
        self.tag += 1;
        let tag = format!("t{} ", self.tag);
        self.wire.send(format!("{tag}APPEND {mailbox} {{{}}}\r\n", message.len()).as_bytes());
        let go = self.wire.line();
        assert!(go.starts_with('+'), "{go}");
        self.wire.send(&[message, b"\r\n"].concat());
        self.answer(&tag, "APPEND");
    }

    /// Begins IDLE; [`Self::hear`] waits for news.
    pub(crate) fn idle(&mut self) {
        self.tag += 1;
        self.wire.send(format!("t{} IDLE\r\n", self.tag).as_bytes());
        while !self.wire.line().starts_with('+') {}
    }

    /// Keeps little memory on this side, so that thousands can be connected.
    pub(crate) fn sleep(&mut self) {
        self.wire.sleep();
    }

    /// The next line with this word: what is told unasked.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        loop {
            let line = self.wire.line();
            if line.contains(word) {
                return line;
            }
        }
    }
}

/// What a command gave.
#[derive(Default)]
pub(crate) struct Answer {
    /// Lines that begin with `* `.
    pub(crate) lines: usize,
    /// The first of them, up to some kilobytes.
    pub(crate) text: String,
    /// All octets of them, literals apart,
    pub(crate) octets: usize,
    /// and a hash of these.
    pub(crate) hash: u64,
    /// The last literal.
    pub(crate) literal: Vec<u8>,
    /// The line at its end, without the tag.
    pub(crate) status: String,
}

fn literal(line: &str) -> Option<usize> {
    line.trim_end().strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}
