//! Handshakes over loopback.

use std::{sync::Arc, time::SystemTime};

use rustls::ClientConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

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

async fn shake(server: &ServerTls, client: &ClientTls, host: &str) -> io::Result<(Stream, Stream)> {
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

/// A pair for these days of the year 2000 and on, signed by itself as an authority's.
fn authority(folder: &Path, days: std::ops::Range<u32>) -> ServerTls {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
    let mut params = CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let day = |number: u32| date_time_ymd(2000, 1, 1) + Duration::from_hours(24) * number;
    (params.not_before, params.not_after) = (day(days.start), day(days.end));
    let key = KeyPair::generate().unwrap();
    let (cert_file, key_file) = (folder.join("a.crt"), folder.join("a.key"));
    fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    ServerTls::load(&cert_file, &key_file).unwrap()
}

#[tokio::test]
async fn a_certificate_that_was_named_holds_though_it_is_an_authoritys() {
    let folder = tempfile::tempdir().unwrap();
    let server = authority(folder.path(), 0..36_500);
    let client = ClientTls::verified(Some(&server.cert_path())).unwrap();
    assert!(shake(&server, &client, "mail.example.org").await.is_ok());
    assert!(shake(&server, &client, "other.example.org").await.is_err());
    let nobody = ClientTls::verified(None).unwrap();
    assert!(shake(&server, &nobody, "mail.example.org").await.is_err());
    for days in [0..1, 36_000..36_500] {
        let server = authority(folder.path(), days);
        let client = ClientTls::verified(Some(&server.cert_path())).unwrap();
        assert!(shake(&server, &client, "mail.example.org").await.is_err());
    }
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
    for mode in [0o604, 0o602, 0o601, 0o660, 0o650] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let told = server.reload();
        assert!(matches!(told, Err(TlsError::OpenKey { mode: m, .. }) if m == mode), "{told:?}");
        assert!(ServerTls::check_own(folder.path()).is_err());
    }
    fs::remove_file(&key).unwrap();
    ServerTls::check_own(folder.path()).unwrap();
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
    assert!(matches!(server.reload(), Err(TlsError::Mismatch { .. })));
    let _still_there = server.acceptor();
}
