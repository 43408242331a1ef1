//! Why a function of the API says no: a status, and a line for people as `{"error": "…"}`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{auth::password::PasswordError, store, wire::address::AddressError};

/// A refusal; the line says what a person can do about it.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    text: String,
}

/// What the functions of the API give back.
pub(super) type Answer<T> = Result<Json<T>, Refusal>;

impl Refusal {
    /// What was asked for makes no sense.
    pub fn bad(text: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.to_string() }
    }

    /// What was asked about is not there.
    pub fn missing(text: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: text.to_string() }
    }
}

impl From<AddressError> for Refusal {
    fn from(error: AddressError) -> Self {
        Self::bad(format!("no address: {error}"))
    }
}

impl From<PasswordError> for Refusal {
    fn from(error: PasswordError) -> Self {
        tracing::error!(%error, "a password could not be hashed");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, text: error.to_string() }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        let status = match &error {
            E::NotFound(_) => StatusCode::NOT_FOUND,
            E::Exists(_) | E::Refused(_) => StatusCode::CONFLICT,
            E::OverQuota | E::Limit(_) | E::Over(..) | E::DiskFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            E::ReadOnly | E::Closed | E::SyncFailed => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%error, "the control socket could not do it");
        }
        Self { status, text: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.text }))).into_response()
    }
}
