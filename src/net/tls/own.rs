//! A certificate that nobody vouches for but itself: good enough to begin with.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use x509_parser::{extensions::GeneralName, prelude::parse_x509_certificate};

use super::{TlsError, private_key};

/// As long as clients accept a certificate at all (398 days), less one.
const LIFE: Duration = Duration::from_hours(397 * 24);
/// One that ends so soon is made anew.
const TOO_OLD: Duration = Duration::from_hours(7 * 24);

/// The certificate and the key in `folder`, made if there are none that are good.
pub(super) fn pair(
    folder: &Path,
    host: &str,
    now: SystemTime,
) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = (folder.join("self-signed.crt"), folder.join("self-signed.key"));
    if !is_good(&cert, &key, host, now) {
        let made = KeyPair::generate()?;
        let certificate = params(host, now)?.self_signed(&made)?;
        write(folder, &key, &made.serialize_pem())?;
        write(folder, &cert, &certificate.pem())?;
    }
    Ok((cert, key))
}

/// Is the key in `folder`, if there is one, hidden from others?
pub(super) fn check(folder: &Path) -> Result<(), TlsError> {
    match private_key(&folder.join("self-signed.key")) {
        Err(open @ TlsError::OpenKey { .. }) => Err(open),
        // What cannot be used for another reason is made anew.
        _ => Ok(()),
    }
}

fn params(host: &str, now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    if host != "localhost" {
        params.subject_alt_names.insert(0, SanType::DnsName(host.try_into()?));
    }
    for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        params.subject_alt_names.push(SanType::IpAddress(ip));
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    // An hour back, for clocks that are late.
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + LIFE).into();
    Ok(params)
}

/// Do both belong together, to this host, and for some days more?
fn is_good(cert: &Path, key: &Path, host: &str, now: SystemTime) -> bool {
    let Ok(pem) = fs::read(cert) else { return false };
    let Ok(der) = rustls::pki_types::CertificateDer::from_pem_slice(&pem) else { return false };
    let Ok((_, certificate)) = parse_x509_certificate(&der) else { return false };
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ends = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
    let names_host = certificate.subject_alternative_name().ok().flatten().is_some_and(|names| {
        let is_host =
            |name: &GeneralName<'_>| matches!(name, GeneralName::DNSName(n) if *n == host);
        names.value.general_names.iter().any(is_host)
    });
    // A key that others can read is told of when it is loaded, not silently replaced.
    let same_key = match private_key(key).map(|key| KeyPair::try_from(&key)) {
        Ok(Ok(key)) => {
            key.public_key_raw() == certificate.public_key().subject_public_key.data.as_ref()
        }
        Err(TlsError::OpenKey { .. }) => true,
        Ok(Err(_)) | Err(_) => false,
    };
    names_host && same_key && ends > seconds(now + TOO_OLD)
}

/// Puts a file of mode 0600 in its place at once.
fn write(folder: &Path, path: &Path, text: &str) -> Result<(), TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(file)?;
    new.write_all(text.as_bytes()).map_err(file)?;
    new.as_file().sync_all().map_err(file)?;
    new.persist(path).map_err(|error| file(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (cert, key) = pair(folder.path(), "mail.example.org", now).unwrap();
        let first = fs::read(&cert).unwrap();
        for path in [&cert, &key] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        pair(folder.path(), "mail.example.org", now).unwrap();
        assert_eq!(fs::read(&cert).unwrap(), first);
    }

    #[test]
    fn it_is_made_anew_for_another_host_before_its_end_and_after_half_a_loss() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let (cert, key) = pair(folder.path(), "mail.example.org", now).unwrap();
        assert!(is_good(&cert, &key, "mail.example.org", now + LIFE - TOO_OLD * 2));
        assert!(!is_good(&cert, &key, "mail.example.org", now + LIFE - TOO_OLD));
        assert!(!is_good(&cert, &key, "mx.example.org", now));
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(!is_good(&cert, &key, "mail.example.org", now));
    }
}
