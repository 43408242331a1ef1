//! The asking side: a running server over its socket, or the house itself.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Request, StatusCode, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::SendRequest;
use serde::{Serialize, de::DeserializeOwned};
use tower::ServiceExt as _;

use super::{router, socket};
use crate::{
    config::Config,
    server::{House, HouseError},
};

/// The largest answer that is read.
const ANSWER_MAX: usize = 2 << 30;

/// How often a data directory is tried that somebody holds who does not answer: another command, or
/// a server that is about to start or to end.
const TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Why an answer could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The house says no, in its own words.
    #[error("{0}")]
    Refused(String),
    /// The house cannot be opened.
    #[error(transparent)]
    House(#[from] HouseError),
    /// Somebody holds the data directory and does not answer.
    #[error("{} is in use, but its server does not answer: {cause}", data_dir.display())]
    Silent {
        /// The data directory.
        data_dir: PathBuf,
        /// What became of the last try.
        cause: io::Error,
    },
    /// The conversation broke off.
    #[error("the server's answer broke off: {0}")]
    Broken(String),
}

/// A way to ask; cheap to clone, and good for many questions at a time.
#[derive(Clone)]
pub struct Access(Arc<Way>);

enum Way {
    /// Nobody else has the house open: it is ours until we close it.
    Here { house: Arc<House>, router: Router },
    /// A server runs.
    There { data_dir: PathBuf, idle: Mutex<Vec<SendRequest<Body>>> },
}

impl Access {
    /// Opens the house of this configuration, or reaches the server that has it open.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        let data_dir = config.data_dir.clone();
        let mut tries = 0;
        loop {
            match House::open(config).await {
                Ok(house) => return Ok(Self::to(Arc::new(house))),
                Err(error) if error.is_in_use() => {}
                Err(error) => return Err(error.into()),
            }
            let idle = match connect(&data_dir).await {
                Ok(sender) => Mutex::new(vec![sender]),
                Err(_) if tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(BETWEEN_TRIES).await;
                    continue;
                }
                Err(cause) => return Err(Error::Silent { data_dir, cause }),
            };
            return Ok(Self(Arc::new(Way::There { data_dir, idle })));
        }
    }

    /// To a house that this process has open.
    pub fn to(house: Arc<House>) -> Self {
        let router = router(Arc::clone(&house));
        Self(Arc::new(Way::Here { house, router }))
    }

    /// Does a server answer? Else the house is open in this process alone.
    pub fn is_to_a_server(&self) -> bool {
        matches!(&*self.0, Way::There { .. })
    }

    /// Ends the access; a house that was opened for it is closed.
    pub async fn close(&self) {
        if let Way::Here { house, .. } = &*self.0 {
            house.close().await;
        }
    }

    /// Asks for something.
    pub async fn get<T: DeserializeOwned>(
        &self,
        noun: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let request = request(Method::GET, noun, query, Body::empty())?;
        decode(&self.send(request).await?)
    }

    /// Asks for something that is no JSON.
    pub async fn get_octets(&self, noun: &str, query: &[(&str, &str)]) -> Result<Bytes, Error> {
        self.send(request(Method::GET, noun, query, Body::empty())?).await
    }

    /// Makes something.
    pub async fn post<T: DeserializeOwned>(
        &self,
        noun: &str,
        value: &impl Serialize,
    ) -> Result<T, Error> {
        self.send_json(Method::POST, noun, value).await
    }

    /// Makes something of octets.
    pub async fn post_octets<T: DeserializeOwned>(
        &self,
        noun: &str,
        query: &[(&str, &str)],
        octets: Vec<u8>,
    ) -> Result<T, Error> {
        let request = request(Method::POST, noun, query, Body::from(octets))?;
        decode(&self.send(request).await?)
    }

    /// Changes something.
    pub async fn put<T: DeserializeOwned>(
        &self,
        noun: &str,
        value: &impl Serialize,
    ) -> Result<T, Error> {
        self.send_json(Method::PUT, noun, value).await
    }

    /// Removes something.
    pub async fn delete(&self, noun: &str, query: &[(&str, &str)]) -> Result<(), Error> {
        let request = request(Method::DELETE, noun, query, Body::empty())?;
        self.send(request).await.map(drop)
    }

    async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        noun: &str,
        value: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(value).map_err(broken)?;
        let mut request = request(method, noun, &[], Body::from(body))?;
        let json = axum::http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        decode(&self.send(request).await?)
    }

    /// One question, one answer.
    async fn send(&self, request: Request<Body>) -> Result<Bytes, Error> {
        let (status, octets) = match &*self.0 {
            Way::Here { router, .. } => {
                let answer = router.clone().oneshot(request).await;
                let Ok(answer) = answer;
                (answer.status(), whole(answer.into_body()).await?)
            }
            Way::There { data_dir, idle } => {
                let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut sender = match free.filter(|sender| !sender.is_closed()) {
                    Some(sender) => sender,
                    None => connect(data_dir).await.map_err(broken)?,
                };
                sender.ready().await.map_err(broken)?;
                let answer = sender.send_request(request).await.map_err(broken)?;
                let status = answer.status();
                let octets = whole(Body::new(answer.into_body())).await?;
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
                (status, octets)
            }
        };
        if status.is_success() { Ok(octets) } else { Err(refusal(status, &octets)) }
    }
}

async fn connect(data_dir: &std::path::Path) -> io::Result<SendRequest<Body>> {
    let stream = hyper_util::rt::TokioIo::new(socket::connect(data_dir).await?);
    let made = hyper::client::conn::http1::handshake(stream).await;
    let (sender, connection) = made.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn whole(body: Body) -> Result<Bytes, Error> {
    Ok(Limited::new(body, ANSWER_MAX).collect().await.map_err(broken)?.to_bytes())
}

fn request(
    method: Method,
    noun: &str,
    query: &[(&str, &str)],
    body: Body,
) -> Result<Request<Body>, Error> {
    let mut target = format!("/api/v1/{noun}");
    for (at, (name, value)) in query.iter().enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.extend([name, "=", &percent_encoded(value)]);
    }
    let request = Request::builder().method(method).uri(target).header("Host", "localhost");
    request.body(body).map_err(broken)
}

/// A query's value with all but letters, digits and `-._~` written as `%XX` (RFC 3986 §2.1).
fn percent_encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for octet in value.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.extend(['%', hex(octet >> 4), hex(octet & 15)]);
        }
    }
    out
}

fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase()
}

fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(octets).map_err(broken)
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::Broken(error.to_string())
}

/// The house's own words, or the bare status when they are not to be understood.
fn refusal(status: StatusCode, octets: &[u8]) -> Error {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
    }
    let said = serde_json::from_slice::<Said>(octets).map(|said| said.error);
    let plain = || format!("{status}: {}", String::from_utf8_lossy(octets));
    Error::Refused(said.unwrap_or_else(|_| plain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_querys_value_may_hold_anything() {
        assert_eq!(percent_encoded("a b&c=d/ü"), "a%20b%26c%3Dd%2F%C3%BC");
    }
}
