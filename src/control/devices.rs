//! Devices and their app passwords: `GET`, `POST` and `DELETE /api/v1/app-passwords`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{now, refusal::Answer, users};
use crate::{
    auth::fresh::{self, Salted},
    events::{Door, Origin},
    ids::DeviceId,
    server::House,
    store,
};

/// A device to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDevice {
    /// Whose it is.
    pub address: String,
    /// What its owner calls it.
    pub name: String,
}

/// A device that was made.
#[derive(Serialize, Deserialize)]
pub struct Made {
    /// Its number.
    pub id: i64,
    /// Its password, told this once.
    pub password: String,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its number.
    pub id: i64,
    /// What its owner calls it.
    pub name: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub last_used: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Of {
    address: String,
}

#[derive(Debug, Deserialize)]
struct Which {
    address: String,
    id: i64,
}

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/app-passwords", get(list).post(add).delete(revoke))
}

async fn list(State(house): State<Arc<House>>, Query(of): Query<Of>) -> Answer<Vec<Device>> {
    let key = users::key(&of.address)?;
    let all = house.store.read(move |reader| {
        let user = reader.account(&key)?.ok_or(store::Error::NotFound("user"))?;
        reader.devices(user.id)
    });
    let device = |device: store::Device| Device {
        id: device.id.0,
        name: device.name,
        created: device.created,
        last_used: device.last_used,
    };
    Ok(Json(all.await?.into_iter().map(device).collect()))
}

async fn add(State(house): State<Arc<House>>, Json(new): Json<NewDevice>) -> Answer<Made> {
    let key = users::key(&new.address)?;
    let user = house.store.read(move |reader| reader.account(&key)).await?;
    let user = user.ok_or(store::Error::NotFound("user"))?;
    let salted = Salted { salt: user.scram_salt, rounds: user.scram_iterations };
    let app = fresh::app(salted).await?;
    let device = store::NewDevice { name: new.name, secret: app.secret, scram: app.scram };
    let origin = Origin::new(Door::Control, now());
    let made = house.store.write(origin, move |tx| tx.add_device(user.id, &device));
    let id = made.await?.into_inner().0;
    Ok(Json(Made { id, password: app.password.reveal().to_owned() }))
}

async fn revoke(State(house): State<Arc<House>>, Query(which): Query<Which>) -> Answer<()> {
    let key = users::key(&which.address)?;
    let origin = Origin::new(Door::Control, now());
    let revoked = house.store.write(origin, move |tx| {
        let user = tx.account(&key)?.ok_or(store::Error::NotFound("user"))?;
        tx.remove_device(user.id, DeviceId(which.id))
    });
    revoked.await?.into_inner();
    house.sessions.end_device(DeviceId(which.id));
    Ok(Json(()))
}
