//! Mailboxes that belong to nobody alone: `GET`, `POST` and `DELETE /api/v1/shared`, `PUT
//! /api/v1/shared/rights`, `PUT /api/v1/shared/quota`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, put},
};
use serde::{Deserialize, Serialize};

use super::{
    now,
    refusal::{Answer, Refusal},
    users::Quota,
};
use crate::{
    events::{Door, Origin},
    ids::AccountId,
    mail::{Actor, acl, name},
    server::House,
    store::SpecialUse,
};

/// A shared mailbox, and who may do what with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Its name as users see it, `Shared/` and what follows.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// Octets of them.
    pub octets: u64,
    /// Who may do what.
    pub rights: Vec<Rights>,
}

/// What somebody may do with a shared mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// A user's address or `anyone`; with `-` before it, the rights are taken away.
    pub identifier: String,
    /// The letters of RFC 4314.
    pub rights: String,
}

/// A change of rights.
#[derive(Debug, Serialize, Deserialize)]
pub struct Change {
    /// The mailbox, with or without `Shared/`.
    pub name: String,
    /// Whose rights.
    pub identifier: String,
    /// The letters it has from now on; behind `+` or `-`, those it has besides or no longer.
    pub rights: String,
}

/// Which mailbox.
#[derive(Debug, Serialize, Deserialize)]
pub struct Which {
    /// Its name, with or without `Shared/`.
    pub name: String,
}

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new()
        .route("/shared", get(list).post(add).delete(remove))
        .route("/shared/rights", put(allow))
        .route("/shared/quota", put(quota))
}

/// The one who owns what belongs to nobody alone.
fn steward() -> Actor {
    Actor { account: AccountId::SHARED, origin: Origin::new(Door::Control, now()) }
}

fn full(name: &str) -> String {
    let below = name.strip_prefix(name::SHARED).unwrap_or(name);
    format!("{}{below}", name::SHARED)
}

async fn list(State(house): State<Arc<House>>) -> Answer<Vec<Mailbox>> {
    let mut all = Vec::new();
    for row in house.mail.own_mailboxes(&steward()).await? {
        if row.selectable {
            all.push(told(&house, full(&row.name)).await?);
        }
    }
    Ok(Json(all))
}

async fn told(house: &House, name: String) -> Result<Mailbox, Refusal> {
    let status = house.mail.status(&steward(), &name).await?.row.status;
    let acl::Acl { entries, .. } = house.mail.acl(&steward(), &name).await?;
    let rights = |(identifier, rights): (String, crate::mail::Rights)| Rights {
        identifier,
        rights: rights.to_string(),
    };
    Ok(Mailbox {
        name,
        messages: status.messages,
        octets: status.octets,
        rights: entries.into_iter().map(rights).collect(),
    })
}

async fn add(State(house): State<Arc<House>>, Json(new): Json<Which>) -> Answer<Mailbox> {
    let name = full(&new.name);
    house.mail.create(&steward(), &name, SpecialUse::default()).await?.into_inner();
    Ok(Json(told(&house, name::full(&name)).await?))
}

async fn remove(State(house): State<Arc<House>>, Query(which): Query<Which>) -> Answer<()> {
    house.mail.delete(&steward(), &full(&which.name)).await?.into_inner();
    Ok(Json(()))
}

async fn allow(State(house): State<Arc<House>>, Json(change): Json<Change>) -> Answer<Mailbox> {
    let rights = change.rights.parse().map_err(Refusal::bad)?;
    let name = full(&change.name);
    house.mail.set_acl(&steward(), &name, &change.identifier, rights).await?.into_inner();
    Ok(Json(told(&house, name::full(&name)).await?))
}

async fn quota(State(house): State<Arc<House>>, Json(quota): Json<Quota>) -> Answer<()> {
    let Quota { octets, messages } = quota;
    let set = house
        .store
        .write(steward().origin, move |tx| tx.set_quota(AccountId::SHARED, octets, messages));
    set.await?.into_inner();
    Ok(Json(()))
}
