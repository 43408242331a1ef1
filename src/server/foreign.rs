//! The IMAP servers whose URLs are taken, built from `[burl]`.

use std::{sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{Error, House};
use crate::{
    config::{BurlHost, Loaded, Security},
    net::{
        ClientTls, Rate, Resolver,
        imap_client::{Login, Secured, Times, Ways},
    },
    smtp::foreign::{Foreign, Host},
};

/// The longest pause between two octets of what a server gives.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) fn foreign(loaded: &Loaded, house: &House) -> Result<Foreign, Error> {
    let config = &loaded.config;
    let servers: Vec<_> = config.dns.servers.iter().map(|server| server.0).collect();
    let named = config.burl.host.iter();
    let hosts = named.map(|(name, settings)| host(loaded, house, name, settings));
    let hosts = hosts.collect::<Result<_, _>>()?;
    let retry = *config.limits.burl_retry_time;
    Ok(Foreign::new(hosts, Arc::new(Resolver::new(&servers)?), retry, &house.metrics))
}

fn host(loaded: &Loaded, house: &House, name: &str, settings: &BurlHost) -> Result<Host, Error> {
    let limits = &house.config.limits;
    let tls = ClientTls::verified(settings.ca.as_deref()).map_err(|error| {
        let key = format!("burl.host.{name}.ca");
        loaded.unusable(&key, error.to_string(), "it must hold certificates in PEM form")
    })?;
    let secured = if settings.tls == Security::StartTls { Secured::StartTls } else { Secured::Tls };
    let usual = (name.to_owned(), Host::usual_port(secured));
    let at = settings.address.as_ref().map(|at| (at.host.clone(), at.port));
    let rate =
        Rate { least: limits.data_rate_min.octets(), grace: *limits.data_rate_after, pause: PAUSE };
    let times = Times { connect: *limits.burl_host_time, command: *limits.burl_host_time, rate };
    let identity = Login {
        acts_as: None,
        name: settings.identity.clone(),
        password: Zeroizing::new(settings.password.reveal().to_owned()),
    };
    let memory = Arc::clone(&house.memory);
    let ways = Ways { secured, tls, memory, times };
    Ok(Host { name: name.to_owned(), at: at.unwrap_or(usual), identity, ways })
}
