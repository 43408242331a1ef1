//! Certificates and keys, ours and others': what TLS is put on with.
//!
//! The server's pair comes from two PEM files, or is made here and signed by itself. It can be
//! loaded anew while connections go on. [`Stream`](super::Stream) does the handshakes.

mod client;
mod own;
mod server;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

pub use self::{
    client::ClientTls,
    server::{Protocol, ServerTls},
};

/// What the mode of a private key's file must not have: nothing for others, a group may read.
const BEYOND_0640: u32 = 0o037;

/// How long a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: no PEM file: {source}", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{}: no certificate in it", .0.display())]
    NoCertificate(PathBuf),
    #[error("{}: no private key in it", .0.display())]
    NoKey(PathBuf),
    #[error("{}: open to others by its mode {mode:04o}", path.display())]
    OpenKey { path: PathBuf, mode: u32 },
    #[error("{}: not the key of the certificate in {}", key.display(), cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("{}: cannot be used: {source}", path.display())]
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
    let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
    if mode & BEYOND_0640 != 0 {
        return Err(TlsError::OpenKey { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey(path.to_owned()),
        source => TlsError::Pem { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests;
