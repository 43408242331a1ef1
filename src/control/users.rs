//! Users: `GET`, `POST`, `PUT` and `DELETE /api/v1/users`.

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
};
use crate::{
    auth::{
        Secret,
        fresh::{self, Salted},
    },
    events::{Door, Origin},
    mail::{self, Mail},
    server::House,
    store,
    wire::address::Address,
};

/// A user as others may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The address, which is also the login name.
    pub address: String,
    /// The person's name.
    pub name: String,
    /// May run the server?
    pub owner: bool,
    /// May log in and get mail?
    pub enabled: bool,
    /// How much mail it may keep.
    pub quota: Quota,
    /// Octets of its mail.
    pub used_octets: u64,
    /// Number of its messages.
    pub used_messages: u64,
}

/// How much mail a user may keep; what is absent is the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Octets.
    pub octets: Option<u64>,
    /// Messages.
    pub messages: Option<u64>,
}

/// A user to be made.
#[derive(Serialize, Deserialize)]
pub struct NewUser {
    /// The address, which is also the login name.
    pub address: String,
    /// The person's name.
    pub name: String,
    /// May run the server?
    pub owner: bool,
    /// The password in the clear: it goes no farther than the socket.
    pub password: String,
    /// May it be used with SCRAM? Then keys of it are stored, which a thief could try words on.
    pub scram: bool,
}

/// What shall be otherwise with a user; what is absent stays.
#[derive(Default, Serialize, Deserialize)]
pub struct Change {
    /// The user.
    pub address: String,
    /// The new password.
    pub password: Option<String>,
    /// The new quota.
    pub quota: Option<Quota>,
    /// May log in and get mail?
    pub enabled: Option<bool>,
}

impl Change {
    /// No change of this user yet.
    pub fn of(address: String) -> Self {
        Self { address, ..Self::default() }
    }
}

#[derive(Debug, Deserialize)]
struct In {
    domain: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Which {
    address: String,
}

pub(super) fn routes() -> Router<Arc<House>> {
    Router::new().route("/users", get(list).post(add).put(change).delete(remove))
}

/// How an address is looked up.
pub(super) fn key(address: &str) -> Result<String, Refusal> {
    Ok(Address::parse(address)?.key())
}

impl From<store::Account> for User {
    fn from(account: store::Account) -> Self {
        Self {
            address: account.address,
            name: account.full_name,
            owner: account.owner,
            enabled: account.enabled,
            quota: Quota { octets: account.quota_octets, messages: account.quota_messages },
            used_octets: account.used_octets,
            used_messages: account.used_messages,
        }
    }
}

async fn list(State(house): State<Arc<House>>, Query(within): Query<In>) -> Answer<Vec<User>> {
    let all = house.store.read(move |reader| reader.accounts(within.domain.as_deref()));
    Ok(Json(all.await?.into_iter().map(User::from).collect()))
}

/// A new password. SASL PLAIN cannot carry a NUL (RFC 4616 §2), so nobody could log in with one.
fn new_password(password: String) -> Result<Secret, Refusal> {
    if password.is_empty() || password.contains('\0') {
        return Err(Refusal::bad("a password has at least one character, and no NUL"));
    }
    Ok(Secret::new(password))
}

async fn add(State(house): State<Arc<House>>, Json(new): Json<NewUser>) -> Answer<User> {
    let address = Address::parse(&new.address)?;
    let salted = Salted::new()?;
    let main = fresh::main(new_password(new.password)?, salted.clone(), new.scram).await?;
    let account = store::NewAccount {
        address: address.to_string(),
        address_key: address.key(),
        domain: address.domain().ascii().to_owned(),
        full_name: new.name,
        owner: new.owner,
        password: Some(main.hash),
        scram_salt: salted.salt,
        scram_iterations: salted.rounds,
        scram: main.scram,
    };
    let origin = Origin::new(Door::Control, now());
    let made = house.store.write(origin, move |tx| {
        let id = tx.add_account(&account)?;
        Mail::add_default_mailboxes(tx, id)?;
        let user = tx.account_by_id(id)?.ok_or(store::Error::NotFound("user"))?;
        Ok::<_, mail::Error>(user)
    });
    Ok(Json(made.await?.into_inner().into()))
}

/// The new password as it is stored, with SCRAM keys if the old one had them.
async fn main(house: &House, key: String, password: String) -> Result<fresh::Main, Refusal> {
    let user = house.store.read(move |reader| reader.account(&key)).await?;
    let user = user.ok_or(store::Error::NotFound("user"))?;
    let salted = Salted { salt: user.scram_salt, rounds: user.scram_iterations };
    Ok(fresh::main(new_password(password)?, salted, user.scram.is_some()).await?)
}

async fn change(State(house): State<Arc<House>>, Json(change): Json<Change>) -> Answer<User> {
    let key = key(&change.address)?;
    let main = match change.password {
        Some(password) => Some(main(&house, key.clone(), password).await?),
        None => None,
    };
    let ends_sessions = main.is_some() || change.enabled == Some(false);
    let origin = Origin::new(Door::Control, now());
    let changed = house.store.write(origin, move |tx| {
        let id = tx.account(&key)?.ok_or(store::Error::NotFound("user"))?.id;
        if let Some(main) = main {
            tx.set_password(id, &main.hash, main.scram.as_ref())?;
        }
        if let Some(quota) = change.quota {
            tx.set_quota(id, quota.octets, quota.messages)?;
        }
        if let Some(enabled) = change.enabled {
            tx.set_enabled(id, enabled)?;
        }
        tx.account_by_id(id)?.ok_or(store::Error::NotFound("user"))
    });
    let user = changed.await?.into_inner();
    if ends_sessions {
        house.sessions.end_account(user.id);
    }
    Ok(Json(user.into()))
}

async fn remove(State(house): State<Arc<House>>, Query(which): Query<Which>) -> Answer<()> {
    let key = key(&which.address)?;
    let origin = Origin::new(Door::Control, now());
    let removed = house.store.write(origin, move |tx| {
        let user = tx.account(&key)?.ok_or(store::Error::NotFound("user"))?;
        tx.remove_account(user.id)?;
        Ok::<_, store::Error>(user.id)
    });
    house.sessions.end_account(removed.await?.into_inner());
    Ok(Json(()))
}
