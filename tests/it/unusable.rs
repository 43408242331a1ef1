//! What is said of a configuration that names what cannot be used: one line with the place, the key,
//! the file and what to do, and exit status 2; by the check before a start, and by the start.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use crate::{
    cli::Place,
    house::{House, Service},
};

/// A certificate and its key in files of their own.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    fn make(folder: &Path, name: &str) -> Self {
        let pair = Self {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        let made = rcgen::generate_simple_self_signed(vec!["mail.demo.example".to_owned()]);
        let made = made.unwrap();
        fs::write(&pair.cert, made.cert.pem()).unwrap();
        fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
        mode(&pair.key, 0o600);
        pair
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Both ways to hear of a fault say these words and nothing else.
fn refuses(place: &Place, text: &str, wanted: &str) {
    let file = place.dir.path().join("mailade.toml");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for command in [&["config", "check"][..], &["serve"]] {
        let (status, said) = place.refused(&[&["--config", file], command].concat());
        assert_eq!(said, format!("mailade: {file}: {wanted}\n"), "{command:?}");
        assert_eq!(status, 2, "{command:?}");
    }
    assert!(!place.data.join("mailade.db").exists(), "nothing was begun");
}

#[test]
fn a_certificate_and_its_key_are_looked_at_before_the_start() {
    let place = Place::new();
    let dir = place.dir.path();
    let (one, other) = (Pair::make(dir, "one"), Pair::make(dir, "other"));
    let broken = dir.join("broken");
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n").unwrap();
    let absent = dir.join("absent");
    let tls = |cert: &Path, key: &Path| format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let refused = |cert: &Path, key: &Path, wanted: &str| {
        refuses(&place, &tls(cert, key), &wanted.replace("DIR", &dir.display().to_string()));
    };
    let must = "the user that runs mailade must be able to read it";
    refused(&absent, &one.key, &format!("tls.cert: DIR/absent: there is no such file; {must}"));
    refused(&one.cert, &absent, &format!("tls.key: DIR/absent: there is no such file; {must}"));
    refused(dir, &one.key, &format!("tls.cert: DIR: it is a folder; {must}"));
    let chain = "it must hold the certificate chain in PEM form";
    refused(
        &other.key,
        &one.key,
        &format!("tls.cert: DIR/other.key: no certificate in it; {chain}"),
    );
    let fault = "damaged, or no PEM file";
    refused(&broken, &one.key, &format!("tls.cert: DIR/broken: {fault}; {chain}"));
    refused(
        &one.cert,
        &broken,
        "tls.key: DIR/broken: others than its owner may use it (mode 0644); chmod it to 0600, or \
         0640 for a group that may read it",
    );
    mode(&broken, 0o640);
    let key = "it must hold the private key in PEM form";
    refused(&one.cert, &broken, &format!("tls.key: DIR/broken: {fault}; {key}"));
    mode(&other.cert, 0o640);
    let empty = format!("tls.key: DIR/other.crt: no private key in it; {key}");
    refused(&one.cert, &other.cert, &empty);
    refused(
        &one.cert,
        &other.key,
        "tls.key: DIR/other.key: not the key of the certificate in DIR/one.crt; name the key that \
         this certificate was made for",
    );
    for open in [0o604, 0o644, 0o660, 0o777] {
        mode(&one.key, open);
        refused(
            &one.cert,
            &one.key,
            &format!(
                "tls.key: DIR/one.key: others than its owner may use it (mode {open:04o}); chmod \
                 it to 0600, or 0640 for a group that may read it"
            ),
        );
    }
    let file = dir.join("mailade.toml");
    fs::write(&file, tls(&one.cert, &one.key)).unwrap();
    for hidden in [0o400, 0o600, 0o640] {
        mode(&one.key, hidden);
        let said = place.run(&["--config", file.to_str().unwrap(), "config", "check"]);
        assert_eq!(said, format!("{} can be used\n", file.display()));
    }
    assert!(!place.data.exists(), "a check makes nothing");
}

#[test]
fn a_key_of_our_own_making_that_others_can_read_is_told_of() {
    let place = Place::new();
    fs::create_dir(&place.data).unwrap();
    mode(&place.data, 0o700);
    let key = place.data.join("self-signed.key");
    fs::write(&key, "").unwrap();
    mode(&key, 0o644);
    let wanted = format!(
        "mailade: the command line: data_dir: {}: others than its owner may use it (mode 0644); \
         chmod it to 0600, or 0640 for a group that may read it\n",
        key.display()
    );
    for command in [&["config", "check"][..], &["serve"]] {
        assert_eq!(place.refused(command), (2, wanted.clone()));
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_stops_every_command() {
    let mut place = Place::new();
    // Another user must get as far as the folder itself.
    mode(place.dir.path(), 0o755);
    let folder = |name: &str| place.dir.path().join(name);
    let (file, closed) = (folder("file"), folder("closed"));
    fs::write(&file, "").unwrap();
    fs::create_dir(&closed).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&closed, Some(12_345), Some(12_345)).unwrap();
    }
    mode(&closed, 0o500);
    // Others than root hear of the permission alone.
    let why = if rustix::process::geteuid().is_root() {
        "nothing can be made there"
    } else {
        "permission denied"
    };
    let nowhere = |what: &str| format!("{what}: {why}");
    for (data, what) in [
        (file.clone(), format!("{} is no folder", file.display())),
        (file.join("data"), format!("{} is no folder", file.display())),
        (closed.clone(), format!("{} cannot be written: permission denied", closed.display())),
        (PathBuf::from("/proc/mailade"), nowhere("/proc/mailade cannot be made below /proc")),
        (PathBuf::from("/proc"), nowhere("/proc cannot be written")),
    ] {
        let wanted = format!(
            "mailade: the command line: data_dir: {what}; it must belong to the user that runs \
             mailade\n"
        );
        for command in [&["config", "check"][..], &["serve"], &["user", "list"]] {
            place.data.clone_from(&data);
            assert_eq!(place.refused(command), (2, wanted.clone()), "{command:?}");
        }
    }
}

#[test]
fn an_address_in_use_stops_the_start() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let others = ["imaps", "smtp", "submission", "submissions"];
    let mut text = format!("[listen]\nimap = [\"{address}\"]\n");
    text.extend(others.map(|service| format!("{service} = []\n")));
    let file = place.dir.path().join("mailade.toml");
    fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    let said = place.run(&["--config", config, "config", "check"]);
    assert_eq!(said, format!("{config} can be used\n"), "only a start shows it");
    let (status, said) = place.refused(&["--config", config, "serve"]);
    assert_eq!(
        said,
        format!(
            "mailade: {config}: listen.imap: {address}: another program listens there; end that \
             one, or name another address\n"
        )
    );
    assert_eq!(status, 2);
    let elsewhere = ["--config", config, "--set", "listen.imap=192.0.2.1:1143", "serve"];
    let (status, said) = place.refused(&elsewhere);
    assert_eq!(
        said,
        "mailade: the command line: listen.imap: 192.0.2.1:1143: this machine has no such address; \
         name one of its own, or [::] for all\n"
    );
    assert_eq!(status, 2);
}

#[test]
fn a_data_directory_in_use_stops_the_start() {
    let house = House::open();
    // It waits for a while: the other one may be about to end.
    let second = house.command(&["serve"], "");
    let said = String::from_utf8(second.stderr).unwrap();
    let data = house.data_dir();
    let wanted = format!(
        "data_dir: {}: another mailade is at work there; end that one, or name another folder\n",
        data.display()
    );
    assert!(said.ends_with(&wanted) && said.starts_with("mailade: "), "{said}");
    assert_eq!(second.status.code(), Some(2));
}

#[test]
fn a_hangup_with_a_pair_that_cannot_be_used_keeps_the_old_one_and_says_so_once() {
    let house = House::open();
    let before = house.connect(Service::Submissions).certificate();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Pair::make(folder.path(), "one"), Pair::make(folder.path(), "other"));
    house.configure(&format!("[tls]\ncert = {:?}\nkey = {:?}\n", one.cert, other.key));
    let before_that = house.log().len();
    house.reload();
    let log = house.log();
    let odd = |line: &&str| line.contains("ERROR") || line.contains("WARN");
    let told: Vec<_> = log[before_that..].lines().filter(odd).collect();
    let [line] = told[..] else { panic!("{log}") };
    assert!(line.contains("the certificate stays as it was"), "{line}");
    assert!(line.contains("tls.key") && line.contains("other.key: not the key of"), "{line}");
    assert_eq!(house.connect(Service::Submissions).certificate(), before);
}
