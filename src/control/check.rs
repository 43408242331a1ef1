//! Looks for damage: `GET /api/v1/check`.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};

use super::refusal::Answer;
use crate::server::House;

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/check", get(check))
}

/// What is wrong, one finding a line; nothing when all is well. Slow, and beside everything else.
async fn check(State(house): State<Arc<House>>) -> Answer<Vec<String>> {
    let mut found = house.store.check().await?;
    found.extend(house.mail.check_index().await?);
    tracing::info!(faults = found.len(), "store checked");
    Ok(Json(found))
}
