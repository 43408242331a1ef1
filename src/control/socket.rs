//! The socket itself: a file in the data directory that only its owner may open.
//!
//! A socket's address holds about a hundred octets; a data directory with a longer name is reached
//! through its open directory (`/proc/self/fd/N/control.sock`).

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const NAME: &str = "control.sock";

/// The longest path that a socket's address holds, with its final zero.
const ADDRESS_MAX: usize = 108;

/// A path that fits into a socket's address, valid as long as this lives.
struct Reachable {
    path: PathBuf,
    _directory: Option<File>,
}

fn reach(data_dir: &Path) -> io::Result<Reachable> {
    let path = data_dir.join(NAME);
    if path.as_os_str().len() < ADDRESS_MAX {
        return Ok(Reachable { path, _directory: None });
    }
    let directory = File::open(data_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
    Ok(Reachable { path, _directory: Some(directory) })
}

/// Opens a connection to the server of this data directory.
pub(super) async fn connect(data_dir: &Path) -> io::Result<UnixStream> {
    let reachable = reach(data_dir)?;
    UnixStream::connect(&reachable.path).await
}

/// The server's end.
pub struct Socket {
    listener: UnixListener,
    data_dir: PathBuf,
}

impl Socket {
    /// Opens the socket. Whoever calls holds the lock of the data directory, so that a socket that
    /// is there already was left behind by a dead server.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let reachable = reach(data_dir)?;
        match fs::remove_file(&reachable.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&reachable.path)?;
        fs::set_permissions(&reachable.path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, data_dir: data_dir.to_owned() })
    }

    /// Answers until told to stop, then waits for what is under way. Each connection has the router
    /// that is given when it begins.
    pub async fn serve(self, router: impl Fn() -> Router, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let answers = answer(stream, router(), stop.clone());
                    tasks.spawn(answers);
                }
                Err(error) => {
                    tracing::error!(%error, "the control socket cannot accept");
                    break;
                }
            }
        }
        if let Ok(reachable) = reach(&self.data_dir) {
            let _ = fs::remove_file(reachable.path);
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Answers the requests of one connection, one after another.
async fn answer(stream: UnixStream, router: Router, stop: CancellationToken) {
    let service = hyper_util::service::TowerToHyperService::new(router);
    let stream = hyper_util::rt::TokioIo::new(stream);
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a control connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request, routing::get};
    use std::os::unix::fs::MetadataExt as _;

    #[tokio::test]
    async fn a_long_data_directory_is_reached_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), "long".repeat(50)] {
            let data_dir = folder.path().join(name);
            fs::create_dir(&data_dir).unwrap();
            fs::write(data_dir.join(NAME), "left behind").unwrap();
            let socket = Socket::open(&data_dir).unwrap();
            assert_eq!(fs::metadata(data_dir.join(NAME)).unwrap().mode() & 0o777, 0o600);
            let stop = CancellationToken::new();
            let router = Router::new().route("/", get(|| async { "here" }));
            let serving = tokio::spawn(socket.serve(move || router.clone(), stop.clone()));
            let stream = hyper_util::rt::TokioIo::new(connect(&data_dir).await.unwrap());
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            let response = sender.send_request(Request::new(Body::empty())).await.unwrap();
            assert_eq!(response.status(), 200);
            stop.cancel();
            serving.await.unwrap();
            assert!(!data_dir.join(NAME).exists());
        }
    }
}
