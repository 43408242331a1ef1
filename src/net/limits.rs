//! Who may connect: counters in all and per address, and a reserve for those we know.
//!
//! Plain counting: the time is passed in, and what is not needed any more is forgotten, so that
//! memory is bounded whoever comes. [`Listener`](super::Listener) asks, and says no.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::Instant;

use crate::{
    ids::Neighbour,
    metrics::{Count, Limit, Metrics},
};

const MINUTE: Duration = Duration::from_mins(1);
/// How long an address that logged in is known.
const KNOWN: Duration = Duration::from_hours(24);
/// Addresses remembered at most, each for the one reason or the other.
const MOST_ADDRESSES: usize = 100_000;

/// How many connections there may be.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// Of these, kept for addresses that logged in during the last 24 hours.
    pub reserve: usize,
    /// Per address, before a login.
    pub before_login: u32,
    /// Per address, after a login: many phones stand behind one address of their carrier.
    pub after_login: u32,
    /// New ones per address and minute.
    pub per_minute: u32,
    /// Networks to which the limits per address do not apply.
    pub exempt: Vec<IpNet>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 12_000,
            reserve: 1_000,
            before_login: 20,
            after_login: 1_000,
            per_minute: 120,
            exempt: ["127.0.0.0/8", "::1/128"].iter().flat_map(|net| net.parse()).collect(),
        }
    }
}

/// What a connection that is not wanted reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The house is full.
    #[error("too many connections")]
    Full,
    /// This address has too many, or comes too often.
    #[error("too many connections from this address")]
    Address,
}

impl From<Limit> for Refusal {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::ConnectionsMax | Limit::ConnectionsReserved => Self::Full,
            _ => Self::Address,
        }
    }
}

/// The connections of one address.
#[derive(Debug)]
struct Tally {
    before: u32,
    after: u32,
    minute: Instant,
    new: u32,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    counts: HashMap<Neighbour, Tally>,
    /// Until when an address is known.
    known: HashMap<Neighbour, Instant>,
}

/// All connections of the process.
#[derive(Debug)]
pub struct Connections {
    limits: RwLock<Arc<ConnectionLimits>>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

impl Connections {
    /// Nobody is connected yet.
    pub fn new(limits: ConnectionLimits, metrics: &Arc<Metrics>) -> Arc<Self> {
        let limits = RwLock::new(Arc::new(limits));
        Arc::new(Self { limits, metrics: Arc::clone(metrics), state: Mutex::default() })
    }

    /// These limits hold from the next connection on.
    pub fn renew(&self, limits: ConnectionLimits) {
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }

    fn limits(&self) -> Arc<ConnectionLimits> {
        Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One more from this address, or why not.
    pub fn open(self: &Arc<Self>, ip: IpAddr, now: Instant) -> Result<Permit, Refusal> {
        let who = Neighbour::from(ip);
        let exempt = self.is_exempt(ip);
        let opened = self.lock().open(&self.limits(), who, exempt, now);
        opened.inspect_err(|limit| self.metrics.exceeded(*limit))?;
        self.metrics.count(Count::Connection);
        Ok(Permit {
            connections: Arc::clone(self),
            who,
            exempt,
            since: now,
            logged_in: AtomicBool::new(false),
        })
    }

    /// Is this address free of the limits per address?
    pub fn is_exempt(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.limits().exempt.iter().any(|network| network.contains(&ip))
    }

    /// Somebody logged in from there so long ago, before this process began.
    pub fn remember(&self, who: Neighbour, ago: Duration, now: Instant) {
        if let Some(left) = KNOWN.checked_sub(ago) {
            self.lock().know(who, now, left);
        }
    }

    /// Has somebody logged in from there during the last 24 hours?
    pub fn is_known(&self, ip: IpAddr, now: Instant) -> bool {
        self.lock().is_known(Neighbour::from(ip), now)
    }

    /// Connections that stand.
    pub fn open_now(&self) -> usize {
        self.lock().total
    }

    /// Are nearly all places taken? Then peers get less time.
    pub fn is_crowded(&self) -> bool {
        let total = self.limits().total;
        self.open_now() >= total.saturating_sub(total / 10)
    }

    /// Where connections are counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(
        &mut self,
        limits: &ConnectionLimits,
        who: Neighbour,
        exempt: bool,
        now: Instant,
    ) -> Result<(), Limit> {
        if self.total >= limits.total {
            return Err(Limit::ConnectionsMax);
        }
        let for_all = limits.total.saturating_sub(limits.reserve);
        if self.total >= for_all && !exempt && !self.is_known(who, now) {
            return Err(Limit::ConnectionsReserved);
        }
        if !exempt {
            self.make_room(now)?;
            let fresh = Tally { before: 0, after: 0, minute: now, new: 0 };
            let count = self.counts.entry(who).or_insert(fresh);
            if now.duration_since(count.minute) >= MINUTE {
                (count.minute, count.new) = (now, 0);
            }
            if count.before >= limits.before_login {
                return Err(Limit::ConnectionsPerAddressBeforeLogin);
            }
            if count.new >= limits.per_minute {
                return Err(Limit::ConnectionsPerAddressPerMinute);
            }
            count.before += 1;
            count.new += 1;
        }
        self.total += 1;
        Ok(())
    }

    /// Drops who has no connection and none in the last minute, when there are too many.
    fn make_room(&mut self, now: Instant) -> Result<(), Limit> {
        if self.counts.len() >= MOST_ADDRESSES {
            self.counts.retain(|_, count| !count.is_over(now));
        }
        if self.counts.len() >= MOST_ADDRESSES { Err(Limit::ConnectionsMax) } else { Ok(()) }
    }

    fn is_known(&self, who: Neighbour, now: Instant) -> bool {
        self.known.get(&who).is_some_and(|until| now < *until)
    }

    fn know(&mut self, who: Neighbour, now: Instant, left: Duration) {
        if self.known.len() >= MOST_ADDRESSES {
            self.known.retain(|_, until| now < *until);
        }
        if self.known.len() < MOST_ADDRESSES || self.known.contains_key(&who) {
            let until = self.known.entry(who).or_insert(now);
            *until = (*until).max(now + left);
        }
    }
}

impl Tally {
    fn is_over(&self, now: Instant) -> bool {
        self.before == 0 && self.after == 0 && now.duration_since(self.minute) >= MINUTE
    }
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    connections: Arc<Connections>,
    who: Neighbour,
    exempt: bool,
    since: Instant,
    /// Changed only under the lock of the state.
    logged_in: AtomicBool,
}

impl Permit {
    /// When the connection was accepted.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The client has shown who it is: it counts among those from now on, and its address is known.
    ///
    /// Refused when there are too many of them from this address.
    pub fn logged_in(&self, now: Instant) -> Result<(), Refusal> {
        let most = self.connections.limits().after_login;
        let mut state = self.connections.lock();
        if !self.exempt && !self.logged_in.load(Ordering::Relaxed) {
            let Some(count) = state.counts.get_mut(&self.who) else { return Ok(()) };
            if count.after >= most {
                let limit = Limit::ConnectionsPerAddressAfterLogin;
                self.connections.metrics.exceeded(limit);
                return Err(limit.into());
            }
            count.after += 1;
            count.before = count.before.saturating_sub(1);
        }
        self.logged_in.store(true, Ordering::Relaxed);
        state.know(self.who, now, KNOWN);
        Ok(())
    }

    /// The client is unknown again (UNAUTHENTICATE): it counts among those who have not logged in,
    /// even when there are too many of them, since it may not be refused (RFC 8437 §3).
    pub fn logged_out(&self) {
        let mut state = self.connections.lock();
        let was_in = self.logged_in.swap(false, Ordering::Relaxed);
        if was_in
            && !self.exempt
            && let Some(count) = state.counts.get_mut(&self.who)
        {
            count.after = count.after.saturating_sub(1);
            count.before += 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        state.total = state.total.saturating_sub(1);
        if !self.exempt
            && let Some(count) = state.counts.get_mut(&self.who)
        {
            let logged_in = self.logged_in.load(Ordering::Relaxed);
            let side = if logged_in { &mut count.after } else { &mut count.before };
            *side = side.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: &str = "192.0.2.7";

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            total: 5,
            reserve: 2,
            before_login: 2,
            after_login: 1,
            per_minute: 4,
            exempt: vec!["198.51.100.0/24".parse().unwrap()],
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_and_one_more_after_one_left() {
        let metrics = Metrics::new();
        let (all, now) = (Connections::new(limits(), &metrics), Instant::now());
        let one = all.open(ip(LAN), now).unwrap();
        let _two = all.open(ip(LAN), now).unwrap();
        assert_eq!(all.open(ip(LAN), now).unwrap_err(), Refusal::Address);
        drop(one);
        assert!(all.open(ip(LAN), now).is_ok());
        assert_eq!(metrics.times_exceeded(Limit::ConnectionsPerAddressBeforeLogin), 1);
    }

    #[test]
    fn who_comes_too_often_waits_for_the_next_minute() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        for _ in 0..4 {
            all.open(ip(LAN), now).unwrap();
        }
        assert_eq!(all.open(ip(LAN), now).unwrap_err(), Refusal::Address);
        assert!(all.open(ip(LAN), now + MINUTE).is_ok());
    }

    #[test]
    fn the_reserve_is_for_those_who_logged_in_within_a_day() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        all.open(ip(LAN), now).unwrap().logged_in(now).unwrap();
        let strangers: Vec<_> =
            ["203.0.113.1", "203.0.113.2", "203.0.113.3"].map(|a| all.open(ip(a), now)).into();
        assert!(strangers.iter().all(Result::is_ok));
        assert_eq!(all.open(ip("203.0.113.4"), now).unwrap_err(), Refusal::Full);
        assert!(all.open(ip(LAN), now).is_ok());
        assert_eq!(all.open(ip(LAN), now + KNOWN).unwrap_err(), Refusal::Full);
    }

    #[test]
    fn who_is_remembered_from_before_has_its_place_for_the_time_that_is_left() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        all.remember(Neighbour::from(ip(LAN)), KNOWN.saturating_sub(MINUTE), now);
        let strangers = ["203.0.113.1", "203.0.113.2", "203.0.113.3"];
        let _three = strangers.map(|a| all.open(ip(a), now).unwrap());
        assert!(all.open(ip(LAN), now).is_ok());
        assert_eq!(all.open(ip(LAN), now + MINUTE).unwrap_err(), Refusal::Full);
    }

    #[test]
    fn a_login_frees_its_place_among_the_unknown_and_has_a_limit_of_its_own() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        let one = all.open(ip(LAN), now).unwrap();
        let two = all.open(ip(LAN), now).unwrap();
        one.logged_in(now).unwrap();
        assert_eq!(two.logged_in(now).unwrap_err(), Refusal::Address);
        let _three = all.open(ip(LAN), now).unwrap();
        drop(one);
        two.logged_in(now).unwrap();
    }

    #[test]
    fn other_limits_hold_from_the_next_connection_on() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        let _two = [ip(LAN), ip(LAN)].map(|ip| all.open(ip, now).unwrap());
        assert!(all.open(ip(LAN), now).is_err());
        all.renew(ConnectionLimits { before_login: 3, reserve: 0, ..limits() });
        let _three = all.open(ip(LAN), now).unwrap();
        assert!(all.open(ip(LAN), now).is_err());
    }

    #[test]
    fn listed_networks_have_only_the_common_limit_and_loopback_is_listed() {
        let exempt = ConnectionLimits::default().exempt;
        let limits = ConnectionLimits { exempt, ..limits() };
        let (all, now) = (Connections::new(limits, &Metrics::new()), Instant::now());
        let _five: Vec<_> = ["::1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
            .map(|a| all.open(ip(a), now).unwrap())
            .into();
        assert_eq!(all.open(ip("127.0.0.1"), now).unwrap_err(), Refusal::Full);
        assert_eq!(all.open_now(), 5);
    }

    #[test]
    fn loopback_that_is_taken_off_the_list_is_an_address_like_any_other() {
        let (all, now) = (Connections::new(limits(), &Metrics::new()), Instant::now());
        let _two = ["127.0.0.1", "127.0.0.1"].map(|a| all.open(ip(a), now).unwrap());
        assert_eq!(all.open(ip("127.0.0.1"), now).unwrap_err(), Refusal::Address);
        assert!(all.open(ip("198.51.100.9"), now).is_ok());
    }
}
