//! Further addresses of users: `GET`, `POST` and `DELETE /api/v1/aliases`.

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
    store,
    wire::address::Address,
};

/// An address whose mail goes to a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The further address.
    pub alias: String,
    /// The user's own.
    pub address: String,
}

#[derive(Debug, Deserialize)]
struct Of {
    address: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Which {
    alias: String,
}

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/aliases", get(list).post(add).delete(remove))
}

async fn list(State(house): State<Arc<House>>, Query(of): Query<Of>) -> Answer<Vec<Alias>> {
    let key = of.address.as_deref().map(users::key).transpose()?;
    let all = house.store.read(move |reader| {
        let user = match key {
            Some(key) => Some(reader.account(&key)?.ok_or(store::Error::NotFound("user"))?),
            None => None,
        };
        reader.aliases(user.map(|user| user.id))
    });
    let alias = |(alias, address)| Alias { alias, address };
    Ok(Json(all.await?.into_iter().map(alias).collect()))
}

async fn add(State(house): State<Arc<House>>, Json(new): Json<Alias>) -> Answer<Alias> {
    if matches!(new.alias.split_once('@'), Some(("" | "*", _))) {
        let other = "for all mail to a domain's unknown users there is `domain catch-all`";
        return Err(Refusal::bad(format!("an alias is one address; {other}")));
    }
    let alias = Address::parse(&new.alias)?;
    let domain = alias.domain().ascii().to_owned();
    let key = users::key(&new.address)?;
    let origin = Origin::new(Door::Control, now());
    let made = house.store.write(origin, move |tx| {
        let user = tx.account(&key)?.ok_or(store::Error::NotFound("user"))?;
        if tx.domain(&domain)?.is_none() {
            return Err(store::Error::NotFound("domain"));
        }
        tx.add_alias(&alias.to_string(), &alias.key(), user.id)?;
        Ok(Alias { alias: alias.to_string(), address: user.address })
    });
    Ok(Json(made.await?.into_inner()))
}

async fn remove(State(house): State<Arc<House>>, Query(which): Query<Which>) -> Answer<()> {
    let key = users::key(&which.alias)?;
    let origin = Origin::new(Door::Control, now());
    house.store.write(origin, move |tx| tx.remove_alias(&key)).await?.into_inner();
    Ok(Json(()))
}
