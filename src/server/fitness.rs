//! Whether what the configuration names can be used: our own name, the data directory, certificate
//! and key, addresses. Each fault is one line that names the key, the file, and what to do.
//!
//! Looks, and leaves everything as it was. What only a start can show (an address that is taken) is
//! told in the same words once the attempt was made.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::fs::{Access, access};

use crate::{
    config::{Error, Loaded},
    net::{BindError, ServerTls, TlsError},
    wire::address::Domain,
};

/// What the store writes in its folder, when it is there already.
const WRITTEN: [&str; 3] = ["lock", "mailade.db", "blobs"];

/// Can a server run by this configuration, as far as one can see without starting it?
pub fn check(loaded: &Loaded) -> Result<(), Error> {
    check_house(loaded)?;
    let tls = &loaded.config.tls;
    let usable = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => ServerTls::load(cert, key).map(drop),
        _ => ServerTls::check_own(&loaded.config.data_dir),
    };
    usable.map_err(|error| certificate(loaded, &error))
}

/// The same for what every command needs: a name and a folder.
pub fn check_house(loaded: &Loaded) -> Result<(), Error> {
    let hostname = loaded.config.hostname.as_str();
    if Domain::parse(hostname).is_err() {
        let what = format!("{hostname} is no mail domain");
        return Err(loaded.unusable(
            "hostname",
            what,
            "name this machine as other servers know it",
        ));
    }
    data_dir(&loaded.config.data_dir).map_err(|what| {
        loaded.unusable("data_dir", what, "it must belong to the user that runs mailade")
    })
}

/// What is wrong with the folder, or with that in which it is to be made.
fn data_dir(dir: &Path) -> Result<(), String> {
    let there = dir.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let Some((path, meta)) = there else {
        return Err(format!("{} cannot be reached", dir.display()));
    };
    if !meta.is_dir() {
        return Err(format!("{} is no folder", path.display()));
    }
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    if path != dir {
        return access(path, wanted).map_err(Into::into).and_then(|()| hold(path)).map_err(
            |error| {
                let cause = plainly(&error);
                format!("{} cannot be made below {}: {cause}", dir.display(), path.display())
            },
        );
    }
    let refused = |path: &Path, error: io::Error| {
        format!("{} cannot be written: {}", path.display(), plainly(&error))
    };
    let usable = access(dir, wanted | Access::READ_OK).map_err(Into::into);
    usable.and_then(|()| hold(dir)).map_err(|error| refused(dir, error))?;
    let user = rustix::process::geteuid();
    if meta.permissions().mode() & 0o077 != 0 && meta.uid() != user.as_raw() && !user.is_root() {
        return Err(format!("{} is open to others, and another user's", dir.display()));
    }
    let written = WRITTEN.map(|name| dir.join(name));
    let mut written = written.iter().filter(|path| path.exists());
    written.try_for_each(|path| access(path, Access::WRITE_OK).map_err(|e| refused(path, e.into())))
}

/// Can a folder hold others? Root may write everywhere, also where nothing can be made (`/proc`). A
/// full disk is no fault of the folder: mail can be read there.
fn hold(folder: &Path) -> io::Result<()> {
    match tempfile::Builder::new().prefix(".mailade-").tempdir_in(folder) {
        Ok(made) => made.close(),
        Err(error) if is_full(&error) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(io::Error::other("nothing can be made there"))
        }
        Err(error) => Err(error.kind().into()),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The certificate or its key cannot be used.
pub(super) fn certificate(loaded: &Loaded, error: &TlsError) -> Error {
    let tls = &loaded.config.tls;
    let is_key = |path: &Path| tls.key.as_deref() == Some(path);
    let file = |path: &Path, what: &str, remedy: &str| {
        let key = match (tls.key.is_some(), is_key(path)) {
            (true, true) => "tls.key",
            (true, false) => "tls.cert",
            // The pair that we have made ourselves lies there.
            (false, _) => "data_dir",
        };
        loaded.unusable(key, format!("{}: {what}", path.display()), remedy)
    };
    let wanted = |path: &Path| {
        let key = "it must hold the private key in PEM form";
        if is_key(path) { key } else { "it must hold the certificate chain in PEM form" }
    };
    match error {
        TlsError::File { path, source } => {
            file(path, &plainly(source), "the user that runs mailade must be able to read it")
        }
        TlsError::Pem { path, .. } => file(path, "damaged, or no PEM file", wanted(path)),
        TlsError::NoCertificate(path) => file(path, "no certificate in it", wanted(path)),
        TlsError::NoKey(path) => file(path, "no private key in it", wanted(path)),
        TlsError::OpenKey { path, mode } => {
            let what = format!("others than its owner may use it (mode {mode:04o})");
            file(path, &what, "chmod it to 0600, or 0640 for a group that may read it")
        }
        TlsError::Mismatch { cert, key } => {
            let what = format!("not the key of the certificate in {}", cert.display());
            file(key, &what, "name the key that this certificate was made for")
        }
        TlsError::Pair { path, source } => {
            file(path, &source.to_string(), "get another certificate")
        }
        TlsError::Make(_) | TlsError::Library(_) => {
            let remedy = "name a certificate and its key in [tls]";
            loaded.unusable("hostname", error.to_string(), remedy)
        }
    }
}

/// Another process has the data directory open.
pub(super) fn in_use(loaded: &Loaded) -> Error {
    let what = format!("{}: another mailade is at work there", loaded.config.data_dir.display());
    loaded.unusable("data_dir", what, "end that one, or name another folder")
}

/// An address of this key cannot be listened on.
pub(super) fn address(loaded: &Loaded, key: &str, fault: &BindError) -> Error {
    let BindError { address, cause } = fault;
    let (why, remedy) = match cause.kind() {
        io::ErrorKind::AddrInUse => {
            ("another program listens there".to_owned(), "end that one, or name another address")
        }
        io::ErrorKind::PermissionDenied => (
            "not permitted".to_owned(),
            "ports below 1024 take root or the capability CAP_NET_BIND_SERVICE",
        ),
        io::ErrorKind::AddrNotAvailable => {
            ("this machine has no such address".to_owned(), "name one of its own, or [::] for all")
        }
        _ => (cause.to_string(), "name another address"),
    };
    loaded.unusable(key, format!("{address}: {why}"), remedy)
}

/// What the file system says, in an owner's words.
fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => error.to_string(),
    }
}
