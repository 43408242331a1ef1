//! The client's side: whom it believes.

use std::{io, path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::{Connect, TlsConnector};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TlsError, chain, private_key};

/// The client's side: whom we believe.
#[derive(Clone)]
pub struct ClientTls(pub(super) TlsConnector);

impl ClientTls {
    /// Believes whom this machine believes, and whom the certificates in the file vouch for: as those of
    /// authorities, or as those of the very servers.
    pub fn verified(extra: Option<&Path>) -> Result<Self, TlsError> {
        Self::trusting(extra, None)
    }

    /// The same, and shows this certificate to who asks for one.
    pub fn identified(extra: Option<&Path>, cert: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::trusting(extra, Some((cert, key)))
    }

    fn trusting(extra: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let extra = extra.map(chain).transpose()?.unwrap_or_default();
        // A machine without any certificates of its own can still use the given ones.
        let verifier: Arc<dyn ServerCertVerifier> =
            match Verifier::new_with_extra_roots(extra.clone(), Arc::clone(&provider)) {
                Ok(verifier) => Arc::new(verifier),
                Err(error) if extra.is_empty() => return Err(error.into()),
                Err(_) => only(extra.clone(), Arc::clone(&provider))?,
            };
        let named = Named { servers: extra, others: verifier };
        Self::new(provider, Arc::new(named), own)
    }

    /// Believes anybody: for mail that would else go in clear words (RFC 7435), and nothing more.
    pub fn opportunistic() -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anybody = Anybody(provider.signature_verification_algorithms);
        Self::new(provider, Arc::new(anybody), None)
    }

    fn new(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
        own: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let pair = builder.with_client_auth_cert(chain(cert)?, private_key(key)?);
                pair.map_err(|source| TlsError::Pair { path: cert.to_owned(), source })?
            }
        };
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The handshake with a server of this name or address.
    pub(in crate::net) fn connect(
        &self,
        tcp: TcpStream,
        host: &str,
    ) -> io::Result<Connect<TcpStream>> {
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

/// Takes the very certificates that were named, for their names and as long as they last: many sign
/// themselves as authorities too, which no server may be. Others are left to another judge.
#[derive(Debug)]
struct Named {
    servers: Vec<CertificateDer<'static>>,
    others: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.servers.iter().any(|named| named == certificate) {
            return self.others.verify_server_cert(certificate, chain, name, ocsp, now);
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_name(&parsed, name)?;
        let read = X509Certificate::from_der(certificate);
        let (_, read) = read.map_err(|_| CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = read.validity();
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.others.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.others.supported_verify_schemes()
    }
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
