//! Domains: `GET`, `POST`, `PUT` and `DELETE /api/v1/domains`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{
    now,
    refusal::{Answer, Refusal},
    users,
};
use crate::{
    events::{Door, Origin},
    server::House,
    store, wire,
};

/// A domain that the server has mail for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// The address of the user who gets what is addressed to nobody.
    pub catch_all: Option<String>,
}

/// Which domain.
#[derive(Debug, Deserialize)]
struct Which {
    name: String,
}

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/domains", get(list).post(add).put(change).delete(remove))
}

/// The name as the store has it: A-labels, lower case.
fn ascii(name: &str) -> Result<String, Refusal> {
    let domain = wire::address::Domain::parse(name)?;
    if domain.ip().is_some() {
        return Err(Refusal::bad("an address in brackets is no domain"));
    }
    Ok(domain.ascii().to_owned())
}

async fn list(State(house): State<Arc<House>>) -> Answer<Vec<Domain>> {
    let all = house.store.read(|reader| {
        let mut all = Vec::new();
        for domain in reader.domains()? {
            let user = domain.catch_all.map(|id| reader.account_by_id(id)).transpose()?.flatten();
            all.push(Domain { name: domain.name, catch_all: user.map(|user| user.address) });
        }
        Ok::<_, store::Error>(all)
    });
    Ok(Json(all.await?))
}

async fn add(State(house): State<Arc<House>>, Json(new): Json<Domain>) -> Answer<Domain> {
    let name = ascii(&new.name)?;
    let catch_all = new.catch_all.as_deref().map(users::key).transpose()?;
    let origin = Origin::new(Door::Control, now());
    let made = house.store.write(origin, move |tx| {
        tx.add_domain(&name)?;
        set_catch_all(tx, name, catch_all)
    });
    Ok(Json(made.await?.into_inner()))
}

async fn change(State(house): State<Arc<House>>, Json(change): Json<Domain>) -> Answer<Domain> {
    let name = ascii(&change.name)?;
    let catch_all = change.catch_all.as_deref().map(users::key).transpose()?;
    let origin = Origin::new(Door::Control, now());
    let changed = house.store.write(origin, move |tx| set_catch_all(tx, name, catch_all));
    Ok(Json(changed.await?.into_inner()))
}

fn set_catch_all(
    tx: &mut store::Tx<'_>,
    name: String,
    catch_all: Option<String>,
) -> store::Result<Domain> {
    let user = match catch_all {
        Some(key) => Some(tx.account(&key)?.ok_or(store::Error::NotFound("user"))?),
        None => None,
    };
    tx.set_catch_all(&name, user.as_ref().map(|user| user.id))?;
    Ok(Domain { name, catch_all: user.map(|user| user.address) })
}

async fn remove(State(house): State<Arc<House>>, Query(which): Query<Which>) -> Answer<()> {
    let name = ascii(&which.name)?;
    let origin = Origin::new(Door::Control, now());
    house.store.write(origin, move |tx| tx.remove_domain(&name)).await?.into_inner();
    Ok(Json(()))
}
